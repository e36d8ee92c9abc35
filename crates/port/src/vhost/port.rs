//! A vhost-user port: a thread that connects or listens and speaks the protocol, and the queues it feeds.
//!
//! ```no_run
//! use netloom_port::vhost::{Config, Mode, Port};
//!
//! let config = Config::new("/run/vm0.sock", Mode::Server);
//! let (port, mut pairs) = Port::open(1, config)?;
//! // Each pair goes to a worker: `pair.from_guest` receives, `pair.to_guest` sends.
//! let pair = pairs.remove(0);
//! # drop(pair);
//! println!("{:?}", port.status());
//! # Ok::<(), netloom_port::vhost::OpenError>(())
//! ```
//!
//! Invariants: the queues live as long as their owner wants, with or without a front end, and with or without the port.
//! When a front end goes, its rings are taken away; when one comes, it gets the same queues.
//!
//! Costs: one small thread for each port, which sleeps; while a client has nobody to talk to, an attempt to connect every
//! half second.

use super::counters::QueueCounters;
use super::features;
use super::handover::Exchange;
use super::protocol::{Connection, ProtocolError};
use super::receive::FromGuest;
use super::send::ToGuest;
use super::session::{Session, SessionError};
use netloom_mem::PortNumber;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FileType, Mode as FileMode, chmod, lstat, unlink};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Most queue pairs of a port.
pub const PAIRS: usize = 64;

/// Time between attempts to connect, in nanoseconds.
const RETRY: i64 = 500_000_000;
/// Time after a conversation that went wrong, in nanoseconds.
const BREATH: i64 = 100_000_000;

/// Which side makes the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The front end listens; we connect, and again when it goes.
    Client,
    /// We listen.
    Server,
}

/// What a port is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The socket.
    pub path: PathBuf,
    /// Who makes it.
    pub mode: Mode,
    /// Queue pairs that the guest may use, 1 to [`PAIRS`].
    pub pairs: usize,
    /// Whether checksum and segmentation offloads are offered.
    pub offloads: bool,
    /// Whether packed rings are offered.
    pub packed: bool,
    /// Permissions of the socket that we make.
    pub permissions: u32,
}

impl Config {
    /// One queue pair, offloads and packed rings offered, a socket for its owner only.
    pub fn new(path: impl Into<PathBuf>, mode: Mode) -> Self {
        Self { path: path.into(), mode, pairs: 1, offloads: true, packed: true, permissions: 0o600 }
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There are too many or no queue pairs.
    #[error("{0} queue pairs: a port has 1 to {PAIRS}")]
    Pairs(usize),
    /// The path can't be a socket's.
    #[error("{}: not a path for a socket: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: Errno,
    },
    /// Something else is there.
    #[error("{}: something that is not a socket is in the way", .0.display())]
    InTheWay(PathBuf),
    /// A program listens there already.
    #[error("{}: another program listens there", .0.display())]
    Taken(PathBuf),
    /// Listening failed.
    #[error("{}: listening: {source}", path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: Errno,
    },
    /// Descriptors or threads are short.
    #[error("opening a port: {0}")]
    System(#[from] std::io::Error),
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

/// A queue of each direction, for one worker.
#[derive(Debug)]
pub struct Pair {
    /// Receives what the guest sends.
    pub from_guest: FromGuest,
    /// Sends to the guest.
    pub to_guest: ToGuest,
}

/// How a port is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// A front end is connected.
    pub connected: bool,
    /// Negotiated virtio features, 0 before.
    pub features: u64,
    /// Octets of memory that the guest shares.
    pub memory: u64,
    /// For each ring whether it is started and enabled: to and from the guest for each pair in turn.
    pub rings: Vec<bool>,
    /// Conversations since the port was opened.
    pub connections: u64,
    /// Why the last conversation ended, unless the front end just went.
    pub fault: Option<String>,
}

/// An open port. Closing it (by dropping it) takes the rings from the workers and ends the thread.
#[derive(Debug)]
pub struct Port {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    exchanges: Vec<Arc<Exchange>>,
    status: Mutex<Status>,
    stop: OwnedFd,
}

impl Port {
    /// Opens a port; `number` is the one its frames carry. A server's socket exists when this returns.
    ///
    /// # Errors
    /// When the configuration can't be, or the system is short of something. A front end that is not there is none.
    pub fn open(number: PortNumber, config: Config) -> Result<(Self, Vec<Pair>), OpenError> {
        if !(1..=PAIRS).contains(&config.pairs) {
            return Err(OpenError::Pairs(config.pairs));
        }
        SocketAddrUnix::new(&config.path)
            .map_err(|source| OpenError::Path { path: config.path.clone(), source })?;
        let listener = match config.mode {
            Mode::Client => None,
            Mode::Server => Some(make_listener(&config)?),
        };
        let exchanges =
            (0..2 * config.pairs).map(|_| Exchange::new().map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let pairs = exchanges
            .chunks_exact(2)
            .filter_map(|pair| {
                let [to, from] = pair else { return None };
                Some(Pair {
                    from_guest: FromGuest::new(from.clone(), number),
                    to_guest: ToGuest::new(to.clone()),
                })
            })
            .collect();
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { config, exchanges, status: Mutex::default(), stop });
        let thread = std::thread::Builder::new().name("vhost".to_owned()).stack_size(256 << 10).spawn({
            let shared = shared.clone();
            move || shared.run(listener.as_ref())
        })?;
        Ok((Self { shared, thread: Some(thread) }, pairs))
    }

    /// How the port is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counters of the queue that receives from the guest, by pair.
    #[must_use]
    pub fn from_guest(&self, pair: usize) -> Option<&QueueCounters> {
        self.shared.exchanges.get(2 * pair + 1).map(|exchange| &exchange.counters)
    }

    /// Counters of the queue that sends to the guest, by pair.
    #[must_use]
    pub fn to_guest(&self, pair: usize) -> Option<&QueueCounters> {
        self.shared.exchanges.get(2 * pair).map(|exchange| &exchange.counters)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.shared.config.mode == Mode::Server {
            let _ = unlink(&self.shared.config.path);
        }
    }
}

impl Shared {
    fn run(&self, listener: Option<&OwnedFd>) {
        loop {
            let socket = match listener {
                Some(listener) => self.accept(listener),
                None => self.connect(),
            };
            // None: the port was closed.
            let Some(socket) = socket else { return };
            let connection = Connection { socket, stop: self.stop.as_fd() };
            let fault = self.converse(&connection);
            let stopped = matches!(fault, SessionError::Protocol(ProtocolError::Stopped));
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = matches!(fault, SessionError::Protocol(ProtocolError::Closed));
            let fault = (!gone && !stopped).then(|| fault.to_string());
            let failed = fault.is_some();
            *status = Status { connections: status.connections, fault, ..Status::default() };
            drop(status);
            // A front end that talks nonsense, or one that closes at once, is not met again at full speed.
            if stopped || ((failed || listener.is_none()) && !self.pause(BREATH)) {
                return;
            }
        }
    }

    /// Speaks with a front end until it goes.
    fn converse(&self, connection: &Connection<'_>) -> SessionError {
        let Config { pairs, offloads, packed, .. } = self.config;
        let mut session = Session::new(features::offered(pairs, offloads, packed), &self.exchanges);
        let mut connections = 1;
        let error = loop {
            {
                let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
                connections += std::mem::take(&mut status.connections);
                *status = Status {
                    connected: true,
                    features: session.features(),
                    memory: session.memory_size(),
                    rings: session.live(),
                    connections: std::mem::take(&mut connections),
                    fault: None,
                };
            }
            let done = connection.receive().map_err(SessionError::from);
            if let Err(error) = done.and_then(|message| session.handle(connection, message)) {
                break error;
            }
        };
        session.end();
        error
    }

    /// Waits a while; false when the port was closed.
    fn pause(&self, nanoseconds: i64) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        let mut stop = [PollFd::new(&self.stop, PollFlags::IN)];
        matches!(retry_on_intr(|| poll(&mut stop, Some(&timeout))), Ok(0))
    }

    fn connect(&self) -> Option<OwnedFd> {
        let address = SocketAddrUnix::new(&self.config.path).ok()?;
        loop {
            if let Ok(socket) =
                socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                && connect(&socket, &address).is_ok()
            {
                return Some(socket);
            }
            if !self.pause(RETRY) {
                return None;
            }
        }
    }

    fn accept(&self, listener: &OwnedFd) -> Option<OwnedFd> {
        loop {
            let mut both = [PollFd::new(listener, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            let _ = retry_on_intr(|| poll(&mut both, None));
            if !both[1].revents().is_empty() {
                return None;
            }
            match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(socket) => return Some(socket),
                // Descriptors may be short: try again later.
                Err(_) if !self.pause(RETRY) => return None,
                Err(_) => {}
            }
        }
    }
}

/// A listening socket; what a program that died left at its place is removed.
fn make_listener(config: &Config) -> Result<OwnedFd, OpenError> {
    let path: &Path = &config.path;
    let failed = |source| OpenError::Listen { path: path.to_owned(), source };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    let new = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    if let Ok(status) = lstat(path) {
        if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
            return Err(OpenError::InTheWay(path.to_owned()));
        }
        match connect(new().map_err(failed)?, &address) {
            Err(Errno::CONNREFUSED) => unlink(path).map_err(failed)?,
            _ => return Err(OpenError::Taken(path.to_owned())),
        }
    }
    let listener = new().map_err(failed)?;
    bind(&listener, &address).map_err(failed)?;
    chmod(path, FileMode::from_raw_mode(config.permissions)).map_err(failed)?;
    listen(&listener, 4).map_err(failed)?;
    rustix::io::ioctl_fionbio(&listener, true).map_err(failed)?;
    Ok(listener)
}
