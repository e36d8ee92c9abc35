//! Commands that the user's file asks for: started in a namespace, found again, ended.
//!
//! What: a command is its own process group, with its output in a log file. Its environment carries the
//! ownership mark (realm, topology, node and name) and its specification, so that it is found in `/proc` by
//! any later run of the program, whoever started it; no pid file can be stale.
//!
//! Invariants: only processes with the mark of this realm and topology are ever signalled, and only through
//! a pidfd, so that a reused pid is never hit. Programs that put themselves into the background keep the
//! mark and are found too.
//!
//! Costs: one read of `/proc/PID/environ` for each process of the system per look.

use netloom_compile::object::Process;
use netloom_wire::NodeName;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::thread::LinkNameSpaceType;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Has faults of memory end this process at once, as others expect it of a daemon that they start again.
pub fn end_by_faults() {
    crate::sys::end_by_faults();
}

/// Which realm (the directory of its namespaces): two users may both run a topology of one name.
const REALM: &str = "NETLOOM_REALM";
/// `TOPOLOGY/NODE/NAME`.
const MARK: &str = "NETLOOM_PROCESS";
/// The specification in JSON, so that a changed command is noticed.
const SPECIFICATION: &str = "NETLOOM_PROCESS_SPEC";

/// How long a command may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Names one command of one topology.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The node.
    pub node: NodeName,
    /// The command's name in the node.
    pub name: Arc<str>,
}

/// A command that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// As it was asked for.
    pub process: Process,
    /// Its processes; more than one if it made others.
    pub pids: Vec<u32>,
}

/// Starts a command in a namespace.
///
/// # Errors
/// When the namespace can't be entered, the log can't be written, or the program can't be started.
pub fn start(
    namespace: &File,
    realm: &Path,
    topology: &NodeName,
    identity: &Identity,
    process: &Process,
    log: &Path,
) -> io::Result<()> {
    let (program, arguments) =
        process.command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(&process.environment)
        .env(REALM, realm)
        .env(MARK, format!("{topology}/{}/{}", identity.node, identity.name))
        .env(SPECIFICATION, serde_json::to_string(process)?)
        .current_dir(process.directory.as_deref().unwrap_or("/"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    std::thread::scope(|scope| {
        let child = scope.spawn(|| -> io::Result<_> {
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            command.spawn()
        });
        let mut child =
            child.join().unwrap_or_else(|_| Err(io::Error::other("starting ended unexpectedly")))?;
        until_readable(&mut child)?;
        // Somebody must take note of its end, or it would stay as a zombie as long as this program runs.
        std::thread::spawn(move || child.wait());
        Ok(())
    })
}

/// Waits until the mark of a new child can be read, or the child ended. Starting returns when the kernel is
/// past the point where `execve` can fail, and the new program's environment is set up a moment later.
fn until_readable(child: &mut Child) -> io::Result<()> {
    let path = format!("/proc/{}/environ", child.id());
    let began = Instant::now();
    while began.elapsed() < GRACE {
        if child.try_wait()?.is_some() || std::fs::read(&path).is_ok_and(|variables| is_marked(&variables)) {
            break;
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn is_marked(environment: &[u8]) -> bool {
    let needle = MARK.as_bytes();
    environment.windows(needle.len()).any(|window| window == needle)
}

/// The commands of a topology that run in this realm.
#[must_use]
pub fn observe(realm: &Path, topology: &NodeName) -> BTreeMap<Identity, Running> {
    let mut found: BTreeMap<Identity, Running> = BTreeMap::new();
    for (pid, variables) in marked(realm, topology) {
        let Some((identity, process)) = identify(&variables) else { continue };
        found.entry(identity).or_insert_with(|| Running { process, pids: Vec::new() }).pids.push(pid);
    }
    found
}

/// Ends a command and everything it started: asks, waits up to two seconds, then kills.
///
/// # Errors
/// When it does not end even then.
pub fn stop(realm: &Path, topology: &NodeName, identity: &Identity) -> io::Result<()> {
    let open = || -> Vec<OwnedFd> {
        marked(realm, topology)
            .into_iter()
            .filter(|(_, variables)| identify(variables).is_some_and(|(found, _)| found == *identity))
            .filter_map(|(pid, _)| Pid::from_raw(i32::try_from(pid).ok()?))
            .filter_map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
            .collect()
    };
    let fds = open();
    signal(&fds, Signal::TERM);
    wait(&fds, GRACE);
    // Whatever is still there, or was started meanwhile.
    for _ in 0..5 {
        let fds = open();
        if fds.is_empty() {
            return Ok(());
        }
        signal(&fds, Signal::KILL);
        wait(&fds, GRACE);
    }
    if open().is_empty() { Ok(()) } else { Err(io::Error::other("the command does not end")) }
}

fn signal(fds: &[OwnedFd], signal: Signal) {
    for fd in fds {
        // It may have ended by itself.
        let _ = rustix::process::pidfd_send_signal(fd, signal);
    }
}

fn wait(fds: &[OwnedFd], most: Duration) {
    let began = Instant::now();
    for fd in fds {
        let left = most.saturating_sub(began.elapsed());
        let Ok(timeout) = Timespec::try_from(left) else { return };
        let _ =
            rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&timeout));
    }
}

/// Variables of a process by name.
type Variables = BTreeMap<String, String>;

/// Processes with the mark of this realm and topology, with the variables that matter.
fn marked(realm: &Path, topology: &NodeName) -> Vec<(u32, Variables)> {
    let prefix = format!("{topology}/");
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes of other users can't be read, and are not ours.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        if !is_marked(&environment) {
            continue;
        }
        let variables: Variables = environment
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
            .filter(|(name, _)| [REALM, MARK, SPECIFICATION].contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let ours = variables.get(REALM).is_some_and(|value| Path::new(value) == realm)
            && variables.get(MARK).is_some_and(|value| value.starts_with(&prefix));
        if ours {
            all.push((pid, variables));
        }
    }
    all
}

fn identify(variables: &Variables) -> Option<(Identity, Process)> {
    let mut parts = variables.get(MARK)?.splitn(3, '/');
    let (_topology, node, name) = (parts.next()?, parts.next()?, parts.next()?);
    let process = serde_json::from_str(variables.get(SPECIFICATION)?).ok()?;
    Some((Identity { node: node.parse().ok()?, name: name.into() }, process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_started_found_and_ended_with_its_children() {
        let here = File::open("/proc/self/ns/net").unwrap();
        let realm = std::env::temp_dir().join(format!("netloom-process-{}", std::process::id()));
        std::fs::create_dir_all(&realm).unwrap();
        let topology: NodeName = "t".parse().unwrap();
        let identity = Identity { node: "web".parse().unwrap(), name: "sleeper".into() };
        let process = Process {
            // A child that ignores the request to end, so that killing is needed too.
            command: ["/bin/sh", "-c", "trap '' TERM; sleep 1000 & wait"].map(str::to_owned).to_vec(),
            environment: BTreeMap::from([("A".to_owned(), "b c".to_owned())]),
            directory: None,
        };
        if let Err(error) = start(&here, &realm, &topology, &identity, &process, &realm.join("log")) {
            // Joining one's own namespace needs a privilege too.
            println!("SKIP: {error}");
            return;
        }
        let began = Instant::now();
        while observe(&realm, &topology).get(&identity).is_none_or(|running| running.pids.len() < 2) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", observe(&realm, &topology));
            std::thread::yield_now();
        }
        assert_eq!(observe(&realm, &topology)[&identity].process, process);
        assert!(observe(&realm, &"other".parse().unwrap()).is_empty());
        assert!(observe(Path::new("/elsewhere"), &topology).is_empty());
        stop(&realm, &topology, &identity).unwrap();
        assert!(observe(&realm, &topology).is_empty());
        std::fs::remove_dir_all(&realm).unwrap();
    }
}
