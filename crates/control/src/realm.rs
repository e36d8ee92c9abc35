//! Where Netloom works: on the host as root, or in a user and network namespace of the user's own.
//!
//! What: [`Realm::enter`] finds the directories, and without root joins (or starts) the *holder*, a
//! small daemon of the user that keeps a user, a network and a mount namespace open. From then on the
//! two cases are the same: the process may make namespaces in [`Realm::netns_dir`] and interfaces in them.
//!
//! Invariants:
//! - Entering happens before any thread starts: a process joins a user namespace only alone.
//! - A holder is alive exactly while it holds the lock on `daemon.lock`; a pid alone proves nothing.
//! - Without root nothing outside the run and state directories is touched; when the holder ends, the
//!   kernel removes every namespace, mount and interface that it held.
//!
//! Deliberately absent: privileges by setuid helpers; several subordinate user IDs.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{CapabilitySet, LinkNameSpaceType, UnshareFlags};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Which of the two realms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RealmKind {
    /// The host's own namespaces, as root.
    Host,
    /// The user's own user, network and mount namespace.
    User,
}

/// Where Netloom works.
#[derive(Debug, Clone)]
pub struct Realm {
    /// Which realm.
    pub kind: RealmKind,
    /// Sockets, locks, logs; gone after a reboot.
    pub run_dir: PathBuf,
    /// Generations and allocations; kept.
    pub state_dir: PathBuf,
    /// Named network namespaces.
    pub netns_dir: PathBuf,
}

/// Why a realm can't be entered.
#[derive(Debug, thiserror::Error)]
pub enum RealmError {
    /// A directory can't be made or used.
    #[error("can't use the directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to you; remove it or set NETLOOM_RUN_DIR")]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The kernel or the distribution forbids user namespaces to ordinary users.
    #[error("this system lets ordinary users make no network namespaces: {reason}")]
    Forbidden {
        /// What forbids it.
        reason: String,
        /// The exact way out.
        way_out: String,
    },
    /// The holder did not start.
    #[error("the daemon that holds your namespaces did not start: {reason}")]
    Holder {
        /// What it said.
        reason: String,
    },
    /// Joining failed.
    #[error("can't join the namespaces held by process {pid}: {source}")]
    Join {
        /// The holder.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl RealmError {
    /// The way out, in words, if there is one.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Forbidden { way_out, .. } => Some(way_out.clone()),
            Self::Holder { .. } => Some("`netloom doctor` tells what this system allows".to_owned()),
            _ => None,
        }
    }
}

/// Starts the holder of a realm and returns once it is ready.
pub type StartHolder<'a> = &'a dyn Fn(&Realm) -> Result<(), RealmError>;

/// Whether this process can make namespaces and interfaces on the host itself.
#[must_use]
pub fn has_host_privileges() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

impl Realm {
    /// Finds the realm of this process without entering or making anything.
    ///
    /// `NETLOOM_ROOTLESS=1` chooses the user realm even for root; `NETLOOM_RUN_DIR`,
    /// `NETLOOM_STATE_DIR` and `NETLOOM_NETNS_DIR` move the directories.
    #[must_use]
    pub fn locate() -> Self {
        Self::locate_with(false)
    }

    /// [`Realm::locate`], choosing the user realm if `rootless` says so.
    #[must_use]
    pub fn locate_with(rootless: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let rootless = rootless
            || std::env::var_os("NETLOOM_ROOTLESS").is_some_and(|value| value == "1" || value == "true");
        if has_host_privileges() && !rootless {
            return Self {
                kind: RealmKind::Host,
                run_dir: set("NETLOOM_RUN_DIR").unwrap_or_else(|| "/run/netloom".into()),
                state_dir: set("NETLOOM_STATE_DIR").unwrap_or_else(|| "/var/lib/netloom".into()),
                netns_dir: set("NETLOOM_NETNS_DIR").unwrap_or_else(|| "/run/netns".into()),
            };
        }
        let uid = rustix::process::getuid().as_raw();
        let run_dir = set("NETLOOM_RUN_DIR").unwrap_or_else(|| {
            match set("XDG_RUNTIME_DIR").filter(|dir| is_writable_directory(dir)) {
                Some(dir) => dir.join("netloom"),
                None => std::env::temp_dir().join(format!("netloom-{uid}")),
            }
        });
        let state_dir = set("NETLOOM_STATE_DIR").unwrap_or_else(|| {
            let home = set("HOME").filter(|home| is_writable_directory(home));
            match (set("XDG_STATE_HOME"), home) {
                (Some(dir), _) => dir.join("netloom"),
                (None, Some(home)) => home.join(".local/state/netloom"),
                (None, None) => run_dir.join("state"),
            }
        });
        Self { kind: RealmKind::User, netns_dir: run_dir.join("netns"), run_dir, state_dir }
    }

    /// The lock that a living daemon holds.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.run_dir.join("daemon.lock")
    }

    /// Logs of the daemon and of the nodes' commands.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.run_dir.join("logs")
    }

    /// The pid of the living daemon, if there is one.
    #[must_use]
    pub fn daemon(&self) -> Option<u32> {
        let mut file = fs::File::open(self.daemon_lock()).ok()?;
        // A lock that can be had is nobody's: the daemon is gone, whatever pid it left.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// When they can't be made or belong to somebody else.
    pub fn prepare(&self) -> Result<(), RealmError> {
        for dir in [&self.run_dir, &self.state_dir, &self.log_dir(), &self.netns_dir] {
            let mode = if self.kind == RealmKind::Host && *dir == self.netns_dir { 0o755 } else { 0o700 };
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(dir)
                .map_err(|source| RealmError::Directory { path: dir.clone(), source })?;
        }
        // A directory in /tmp may have been put there by somebody else.
        let metadata = fs::metadata(&self.run_dir)
            .map_err(|source| RealmError::Directory { path: self.run_dir.clone(), source })?;
        let uid = rustix::process::geteuid().as_raw();
        if metadata.uid() == uid {
            Ok(())
        } else {
            Err(RealmError::ForeignDirectory { path: self.run_dir.clone(), owner: metadata.uid() })
        }
    }

    /// Enters the realm: afterwards this process may make namespaces and interfaces.
    ///
    /// `start_holder` starts the holder process and returns once it is ready; it is called only without
    /// root and only if none is alive. Returns `false` without entering if there is no holder and
    /// `start_holder` is `None` (nothing of the user's is up).
    ///
    /// # Errors
    /// When the system forbids it, with the way out.
    pub fn enter(&self, start_holder: Option<StartHolder<'_>>) -> Result<bool, RealmError> {
        self.prepare()?;
        if self.kind == RealmKind::Host {
            return Ok(true);
        }
        let pid = match (self.daemon(), start_holder) {
            (Some(pid), _) => pid,
            (None, Some(start)) => {
                start(self)?;
                self.daemon().ok_or_else(|| RealmError::Holder { reason: "it ended at once".to_owned() })?
            }
            (None, None) => return Ok(false),
        };
        join(pid).map_err(|source| RealmError::Join { pid, source })?;
        Ok(true)
    }

    /// Turns this process, which must have one thread, into the holder of a new user realm.
    ///
    /// # Errors
    /// When the system forbids user namespaces, with the way out.
    pub fn become_holder(&self) -> Result<(), RealmError> {
        self.prepare()?;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        unshare_all().map_err(|error| forbidden("unshare", &error.into()))?;
        let map = || -> io::Result<()> {
            // An unprivileged process must give up setgroups before it maps a group (user_namespaces(7)).
            write_existing("/proc/self/setgroups", "deny")?;
            write_existing("/proc/self/uid_map", &format!("0 {uid} 1"))?;
            write_existing("/proc/self/gid_map", &format!("0 {gid} 1"))
        };
        map().map_err(|error| forbidden("mapping the user", &error))?;
        let mounts = || -> io::Result<()> {
            rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
            rustix::mount::mount(
                "netloom",
                &self.netns_dir,
                "tmpfs",
                MountFlags::NOSUID | MountFlags::NODEV,
                None,
            )?;
            rustix::mount::mount_change(&self.netns_dir, MountPropagationFlags::SHARED)?;
            Ok(())
        };
        mounts().map_err(|error| forbidden("mounting", &error))
    }

    /// Takes the daemon's lock and writes this process's pid into it; held as long as the result lives.
    ///
    /// # Errors
    /// When another daemon holds it, or the file can't be written.
    pub fn take_daemon_lock(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = rustix::fs::open(self.daemon_lock(), flags, Mode::from_raw_mode(0o600))?;
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::ftruncate(&fd, 0)?;
        let mut file = fs::File::from(fd);
        writeln!(file, "{}", std::process::id())?;
        Ok(file.into())
    }
}

fn is_writable_directory(path: &Path) -> bool {
    path.is_dir() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn write_existing(path: &str, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[allow(
    deprecated,
    reason = "the replacement is unsafe only for unsharing file descriptors, which we do not"
)]
fn unshare_all() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWNS)
}

/// Joins the user, network and mount namespaces of `pid` and returns to the working directory.
fn join(pid: u32) -> io::Result<()> {
    let directory = std::env::current_dir();
    let open = |name: &str| fs::File::open(format!("/proc/{pid}/ns/{name}"));
    let (user, net, mount) = (open("user")?, open("net")?, open("mnt")?);
    use std::os::fd::AsFd;
    rustix::thread::move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    rustix::thread::move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))?;
    rustix::thread::move_into_link_name_space(mount.as_fd(), Some(LinkNameSpaceType::Mount))?;
    // Joining a mount namespace moves the process to its root.
    match directory {
        Ok(directory) => std::env::set_current_dir(directory),
        Err(_) => Ok(()),
    }
}

/// Finds out what forbids namespaces to ordinary users.
fn forbidden(doing: &str, error: &io::Error) -> RealmError {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let (reason, way_out) = if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
        == Some("1")
    {
        (
            "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1, as on Ubuntu 23.10 and later)".to_owned(),
            apparmor_way_out(),
        )
    } else if read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        (
            "kernel.unprivileged_userns_clone is 0".to_owned(),
            "as an administrator: sysctl -w kernel.unprivileged_userns_clone=1 (and put it into /etc/sysctl.d to keep it); or run netloom as root".to_owned(),
        )
    } else if read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        (
            "user.max_user_namespaces is 0".to_owned(),
            "as an administrator: sysctl -w user.max_user_namespaces=15000 (and put it into /etc/sysctl.d to keep it); or run netloom as root".to_owned(),
        )
    } else {
        (
            format!("{doing} failed: {error}"),
            "this often means a container without the right to nest namespaces; run it with user namespaces allowed, or run netloom as root".to_owned(),
        )
    };
    RealmError::Forbidden { reason, way_out }
}

fn apparmor_way_out() -> String {
    let program = std::env::current_exe()
        .map_or_else(|_| "/usr/bin/netloom".to_owned(), |path| path.display().to_string());
    format!(
        "as an administrator, allow this one program:\n\
         printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile netloom {program} flags=(unconfined) {{\\n  userns,\\n}}\\n' > /etc/apparmor.d/netloom && apparmor_parser -r /etc/apparmor.d/netloom\n\
         or all programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; or run netloom as root"
    )
}
