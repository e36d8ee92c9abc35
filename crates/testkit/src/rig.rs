//! Throw-away network and mount namespaces for one test, as root and as an ordinary user.
//!
//! ```no_run
//! netloom_testkit::rig::isolated(|rig| {
//!     // In here the current thread has an empty network namespace and private mounts.
//!     assert!(rig.netns_dir.is_dir());
//! });
//! ```
//!
//! As root the body runs in a thread of its own. A thread cannot enter a new user namespace, so as an
//! ordinary user the test binary is started again, in new user, network and mount namespaces and for
//! this test alone.
//!
//! Invariants: everything the body makes (namespaces, mounts, interfaces) ends with it; threads and
//! programs that the body starts are inside too.

#![allow(clippy::panic, reason = "a failing rig fails the test that asked for it")]

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;
use std::any::type_name;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Set in the copy of the test binary that already is in a user namespace.
const INSIDE: &str = "NETLOOM_RIG_INSIDE";

/// What a test finds in its namespaces.
#[derive(Debug)]
pub struct Rig {
    /// An empty directory on a file system of its own for named network namespaces.
    pub netns_dir: PathBuf,
    /// An empty directory for logs.
    pub log_dir: PathBuf,
    /// An empty directory for anything else.
    pub state_dir: PathBuf,
}

impl Rig {
    /// Runs a program in the rig's namespace and gives its output; `None` when it is not installed.
    ///
    /// # Panics
    /// When it cannot be started for another reason.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Option<Output> {
        match Command::new(program).args(arguments).env("PATH", path()).output() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{program}: {error}"),
        }
    }

    /// The same inside a named namespace of [`Rig::netns_dir`].
    ///
    /// # Panics
    /// When the namespace cannot be entered or the program not be started.
    #[must_use]
    pub fn run_in(&self, namespace: &str, program: &str, arguments: &[&str]) -> Option<Output> {
        let path = self.netns_dir.join(namespace);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&path);
                self.run(program, arguments)
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs code inside a named namespace of [`Rig::netns_dir`], in a thread.
    ///
    /// # Panics
    /// When the namespace cannot be entered, or as `body` does.
    pub fn within<T: Send>(&self, namespace: &str, body: impl FnOnce() -> T + Send) -> T {
        let path = self.netns_dir.join(namespace);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(&path);
                body()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn enter(path: &Path) {
    use std::os::fd::AsFd;
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
        .unwrap_or_else(|error| panic!("entering {}: {error}", path.display()));
}

/// An ordinary user's search path often lacks the directories of `ip` and `nft`.
fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Runs `body` in new namespaces; reports a skip where the system forbids them.
///
/// # Panics
/// As `body` does.
pub fn isolated<F: FnOnce(&Rig) + Send>(body: F) {
    if rustix::process::geteuid().is_root() {
        let name = std::thread::current().name().unwrap_or("rig").to_owned();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, || inside(body))
                .unwrap_or_else(|error| panic!("a thread: {error}"));
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        });
    } else {
        again(type_name::<F>());
    }
}

#[allow(
    deprecated,
    reason = "the replacement is unsafe only for unsharing file descriptors, which we do not"
)]
fn unshare() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS)
}

fn inside<F: FnOnce(&Rig)>(body: F) {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if let Err(error) = unshare() {
        crate::skip::report(
            type_name::<F>().trim_end_matches("::{{closure}}"),
            &format!("new namespaces: {error}"),
        );
        return;
    }
    let directory = std::env::temp_dir().join(format!(
        "netloom-rig-{}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    ));
    let _removed = Removed(directory.clone());
    let prepare = || -> std::io::Result<Rig> {
        rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        std::fs::create_dir_all(&directory)?;
        rustix::mount::mount("netloom-rig", &directory, "tmpfs", MountFlags::NOSUID, None)?;
        let make = |name: &str| -> std::io::Result<PathBuf> {
            let path = directory.join(name);
            std::fs::create_dir(&path)?;
            Ok(path)
        };
        Ok(Rig { netns_dir: make("netns")?, log_dir: make("logs")?, state_dir: make("state")? })
    };
    let rig = prepare().unwrap_or_else(|error| panic!("preparing the rig: {error}"));
    body(&rig);
}

/// Takes the directory away even when the body panics. Its contents live in the mount.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Starts this test again as root of a new user namespace.
fn again(function: &str) {
    let function = function.trim_end_matches("::{{closure}}");
    assert!(std::env::var_os(INSIDE).is_none(), "not root although in a user namespace");
    let test = match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => function.split_once("::").map_or(function, |(_, rest)| rest).to_owned(),
    };
    let prefix = ["--user", "--map-root-user", "--net", "--mount"];
    match Command::new("unshare").args(prefix).arg("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return crate::skip::report(function, &String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => return crate::skip::report(function, &format!("unshare(1): {error}")),
    }
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("own path: {error}"));
    let output = Command::new("unshare")
        .args(prefix)
        .arg(program)
        .args(["--exact", &test, "--include-ignored", "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .output()
        .unwrap_or_else(|error| panic!("unshare(1): {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} failed in a user namespace");
    assert!(text.contains("1 passed"), "{test} was not found in the test binary: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_an_empty_network_and_leaves_nothing() {
        let mut directory = None;
        isolated(|rig| {
            let links = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            assert_eq!(links.lines().count(), 3, "two lines of heading and lo: {links}");
            std::fs::write(rig.state_dir.join("file"), "x").unwrap();
            directory = Some(rig.state_dir.clone());
        });
        if let Some(directory) = directory {
            assert!(!directory.exists() && !directory.parent().unwrap().exists());
        }
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_inside_fails_the_test() {
        isolated(|_| panic!("on purpose"));
        // As an ordinary user the message is printed by the copy.
        panic!("on purpose");
    }
}
