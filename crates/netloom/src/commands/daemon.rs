//! The daemon: holds the namespaces of an ordinary user, and keeps running topologies as described.
//!
//! What: started by `apply`, ended by the `destroy` of the last topology. Without root it is the holder of
//! the realm (see `control::realm`). It wakes when the kernel reports a change in a namespace of ours, and
//! every [`RESYNC`] anyway; then it compares and puts back what was changed by hand.
//!
//! Invariant: it never works on a topology while a command does; the store's lock decides.

use super::{select, switchd};
use crate::failure::Failure;
use netloom_control::machine;
use netloom_control::realm::{Realm, RealmError, RealmKind};
use netloom_control::switch::SwitchSocket;
use netloom_kernel::netlink::{Messages, NetlinkError, Protocol, Socket};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{PidfdFlags, Signal};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time between two full comparisons when nothing is reported.
const RESYNC: Duration = Duration::from_secs(30);
/// No time.
const NOW: Duration = Duration::ZERO;
/// Longest time between two looks at what there is to be held.
const LOOK: Duration = Duration::from_secs(1);
/// The same while there may be a switch, but no connection to it.
const SWITCH_LOOK: Duration = Duration::from_millis(250);
/// How often a switch is started again at once, within [`RETRY`].
const RESTARTS: usize = 5;
/// How long a switch that was started again may take until it answers.
const SWITCH_START: Duration = Duration::from_secs(2);
/// Time between two attempts to mend what could not be mended.
const RETRY: Duration = Duration::from_secs(5);
/// An idle daemon ends itself after this time without a topology.
const IDLE: Duration = Duration::from_secs(60);

/// Starts the daemon and returns once it is ready.
///
/// # Errors
/// When it can't be started, with what it said.
pub fn start(realm: &Realm) -> Result<(), RealmError> {
    let failed = |reason: String| RealmError::Holder { reason };
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(realm.log_dir().join("daemon.log"))
        .map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new(program)
        .arg("daemon")
        .env("NETLOOM_RUN_DIR", &realm.run_dir)
        .env("NETLOOM_STATE_DIR", &realm.state_dir)
        .env("NETLOOM_ROOTLESS", if realm.kind == RealmKind::User { "1" } else { "0" })
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).map_err(|error| failed(error.to_string()))?;
    }
    match said.trim().split_once('\n').unwrap_or((said.trim(), "")) {
        ("ready", _) => Ok(()),
        ("forbidden", rest) => {
            let (reason, way_out) = rest.split_once('\n').unwrap_or((rest, ""));
            Err(RealmError::Forbidden { reason: reason.to_owned(), way_out: way_out.to_owned() })
        }
        (_, _) if said.trim().is_empty() => {
            Err(failed("it ended without a word; see logs/daemon.log".to_owned()))
        }
        _ => Err(failed(said.trim().to_owned())),
    }
}

/// Ends the daemon if no topology is left, and waits until it is gone.
///
/// # Errors
/// When the state directory can't be read.
pub fn stop_if_idle(realm: &Realm) -> Result<(), Failure> {
    if !select::topologies(realm)?.is_empty() {
        return Ok(());
    }
    let Some(pid) = realm.daemon() else { return Ok(()) };
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Ok(()) };
    // Its lock proves that this pid is the daemon's; the descriptor keeps it from being somebody else's later.
    let Ok(daemon) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if realm.daemon().is_some() {
        let _ = rustix::process::pidfd_send_signal(&daemon, Signal::TERM);
        let most = Timespec { tv_sec: 5, tv_nsec: 0 };
        let _ = rustix::event::poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&most));
    }
    Ok(())
}

/// Runs as the daemon. Called before any thread exists.
///
/// # Errors
/// When the realm can't be made or held; what is wrong goes to standard output too, for the starter.
pub fn run() -> Result<u8, Failure> {
    let realm = Realm::locate();
    let _ = rustix::process::setsid();
    let begin = || -> Result<_, RealmError> {
        if realm.kind == RealmKind::User {
            realm.become_holder()?;
            // A new namespace has its loopback interface down; programs in the realm expect 127.0.0.1.
            if let Err(error) = loopback_up() {
                tracing::warn!(%error, "the loopback interface stays down");
            }
        }
        realm.prepare()?;
        realm.take_daemon_lock().map_err(|error| RealmError::Holder { reason: error.to_string() })
    };
    let _lock = match begin() {
        Ok(lock) => lock,
        Err(error) => {
            match &error {
                RealmError::Forbidden { reason, way_out } => println!("forbidden\n{reason}\n{way_out}"),
                other => println!("{other}"),
            }
            return Err(error.into());
        }
    };
    println!("ready");
    std::io::stdout().flush()?;
    // The starter waits for the end of this stream.
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null).map_err(std::io::Error::from)?;
    keep(&realm)
}

/// Sets the loopback interface (index 1 in every namespace) up.
fn loopback_up() -> Result<(), NetlinkError> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;
    // `struct ifinfomsg`: family, type, index, flags, mask of flags to change (linux/rtnetlink.h).
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&1_u32.to_ne_bytes());
    header[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
    header[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    let mut messages = Messages::new();
    messages.add(RTM_NEWLINK, 0).header(&header);
    let verdicts = Socket::open(Protocol::Route)?.batch(&mut messages)?;
    verdicts.into_iter().try_for_each(|verdict| verdict.map_err(NetlinkError::from))
}

fn keep(realm: &Realm) -> Result<u8, Failure> {
    let mut idle_since = Instant::now();
    let mut synced = Instant::now();
    let (mut known_dead, mut restarts) = (false, Vec::<Instant>::new());
    // Something could not be put back.
    let mut failed = false;
    // The switch never says anything on it; it ends when the switch does.
    let mut switch: Option<UnixStream> = None;
    let mut watcher = super::watch::Watcher::new(realm);
    loop {
        let topologies = select::topologies(realm)?;
        if topologies.is_empty() {
            if idle_since.elapsed() > IDLE {
                return Ok(0);
            }
        } else {
            idle_since = Instant::now();
        }
        // A switch that was killed is noticed by nobody else.
        let switches = switchd::of_realm(realm);
        if switch.as_ref().is_none_or(|connection| super::watch::has_ended(connection.as_fd())) {
            switch = UnixStream::connect(SwitchSocket::within(&switches).path()).ok();
        }
        // One that died before it was looked at is not waited for.
        let look = match &switch {
            None if !known_dead && machine::has_died(&switches) => NOW,
            None if switches.exists() => SWITCH_LOOK,
            _ => LOOK,
        };
        let woken = watcher.wait(&topologies, switch.as_ref().map(AsFd::as_fd), look);
        let died = machine::has_died(&switches);
        let soon = (died && known_dead) || failed;
        let due = synced.elapsed() > if soon { RETRY } else { RESYNC } || (died && !known_dead);
        known_dead = died;
        if died && due {
            // One that ends again and again is given time.
            restarts.retain(|started| started.elapsed() < RETRY);
            known_dead = restarts.len() >= RESTARTS || !restart(realm, &switches);
            restarts.push(Instant::now());
        }
        failed &= !due;
        for topology in &topologies {
            super::watch::expire(realm, topology);
            if due || woken.contains(topology) {
                failed |= !super::watch::heal(realm, topology);
            }
        }
        if due {
            synced = Instant::now();
        }
    }
}

/// Starts a switch that was killed, which opens its ports by itself, and waits until it answers. Healing compares after that.
fn restart(realm: &Realm, directory: &Path) -> bool {
    let began = Instant::now();
    if let Err(error) = switchd::start(realm, directory) {
        tracing::warn!(%error, "the switch can't be started again");
        return false;
    }
    let socket = SwitchSocket::within(directory);
    while began.elapsed() < SWITCH_START {
        if socket.answers() {
            tracing::info!(after = ?began.elapsed(), "the switch was killed and runs again");
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::warn!("the switch was started again and does not answer");
    false
}
