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
//! When a front end goes, its rings are taken away; when one comes, it gets the same queues. A [frozen](Port::freeze) port
//! says nothing and takes nothing until it is [thawed](Port::thaw), here or in the process that [adopted](Port::adopt) it.
//!
//! Costs: one small thread for each port, which sleeps; while a client has nobody to talk to, an attempt to connect every
//! half second.

use super::counters::QueueCounters;
use super::features;
use super::handover::Exchange;
use super::passing::{Conversation, Passed};
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
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most queue pairs of a port.
pub const PAIRS: usize = 64;

/// How long a front end may take to finish a message.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// What another process passed on makes no port.
    #[error("what was passed on makes no port: {0}")]
    Passed(String),
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
    /// Readable while the thread has an order other than to run.
    stop: OwnedFd,
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    Freeze,
    End,
}

#[derive(Debug)]
struct Orders {
    order: Order,
    /// What the thread passes on while it is frozen.
    frozen: Option<Result<Passed, std::io::Error>>,
    /// The socket's path is another process's.
    passed_on: bool,
    /// The front end has to connect again.
    anew: bool,
    /// An adopted front end's rings are not in use yet.
    resuming: bool,
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
        Self::run(number, config, listener, None)
    }

    /// Goes on with a port that another process [froze](Port::freeze), and is frozen itself until it is
    /// [thawed](Port::thaw): the other process may go on instead.
    ///
    /// # Errors
    /// When what was passed on makes no port.
    pub fn adopt(number: PortNumber, config: Config, passed: Passed) -> Result<(Self, Vec<Pair>), OpenError> {
        let (listener, session) = passed.unpack(config.pairs).map_err(OpenError::Passed)?;
        if (config.mode == Mode::Server) != listener.is_some() {
            return Err(OpenError::Passed("the socket's side is another one".to_owned()));
        }
        Self::run(number, config, listener, Some(session))
    }

    /// Starts the thread; frozen, with the session of a predecessor, if it goes on with one's port.
    fn run(
        number: PortNumber,
        config: Config,
        listener: Option<OwnedFd>,
        adopted: Option<Option<(OwnedFd, Conversation)>>,
    ) -> Result<(Self, Vec<Pair>), OpenError> {
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
        let is_adopted = adopted.is_some();
        let order = if is_adopted { Order::Freeze } else { Order::Run };
        let adopted = adopted.flatten();
        let resuming = adopted.is_some();
        let orders = Orders { order, frozen: None, passed_on: is_adopted, anew: false, resuming };
        let orders = Mutex::new(orders);
        let shared =
            Shared { config, exchanges, status: Mutex::default(), stop, orders, changed: Condvar::new() };
        let shared = Arc::new(shared);
        if is_adopted {
            shared.ring();
        }
        let thread = std::thread::Builder::new().name("vhost".to_owned()).stack_size(256 << 10).spawn({
            let shared = shared.clone();
            move || shared.run(listener.as_ref(), adopted)
        })?;
        Ok((Self { shared, thread: Some(thread) }, pairs))
    }

    /// Holds the port still between two messages of its front end, and gives what another process needs to go on with it.
    /// No worker may use its queues from before this until the port is [thawed](Port::thaw).
    ///
    /// # Errors
    /// When its front end does not finish a message, or descriptors are short. The port goes on then.
    pub fn freeze(&self) -> std::io::Result<Passed> {
        self.shared.order(Order::Freeze);
        let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.shared.changed.wait_timeout_while(orders, PATIENCE, |orders| orders.frozen.is_none());
        let (mut orders, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let frozen = orders.frozen.take();
        orders.passed_on = true;
        drop(orders);
        match frozen {
            Some(Ok(passed)) => Ok(passed),
            other => {
                self.thaw();
                let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the guest's side is silent");
                Err(other.and_then(Result::err).unwrap_or_else(late))
            }
        }
    }

    /// Has a port that was frozen or adopted go on. Its socket's path is its own from now on. An adopted port has its rings
    /// when this returns: a frame that is sent to one without is lost.
    pub fn thaw(&self) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).passed_on = false;
        self.shared.order(Order::Run);
        let orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.shared.changed.wait_timeout_while(orders, PATIENCE, |orders| orders.resuming);
    }

    /// The same after the other process may have used the rings: nobody knows where they are, so the front end has to connect
    /// again.
    pub fn thaw_anew(&self) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).anew = true;
        self.thaw();
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
        self.shared.order(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let passed_on = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).passed_on;
        if self.shared.config.mode == Mode::Server && !passed_on {
            let _ = unlink(&self.shared.config.path);
        }
    }
}

impl Shared {
    fn ring(&self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }

    /// Tells the thread what to do.
    fn order(&self, order: Order) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.order = order;
        orders.frozen = None;
        if order == Order::Run {
            let _ = rustix::io::read(&self.stop, &mut [0_u8; 8]);
        } else {
            self.ring();
        }
        self.changed.notify_all();
    }

    fn is_ending(&self) -> bool {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).order == Order::End
    }

    /// Does as ordered; false when the thread is to end.
    fn heed(&self, listener: Option<&OwnedFd>, session: Option<(&OwnedFd, &Session<'_>)>) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match orders.order {
                Order::Run => return true,
                Order::End => return false,
                Order::Freeze => {
                    if orders.frozen.is_none() {
                        orders.frozen = Some(Passed::pack(listener, session));
                        self.changed.notify_all();
                    }
                    orders = self.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn run(&self, listener: Option<&OwnedFd>, adopted: Option<(OwnedFd, Conversation)>) {
        let mut adopted = adopted;
        loop {
            if !self.heed(listener, None) {
                return;
            }
            let (socket, conversation) = match adopted.take() {
                Some((socket, conversation)) => (Some(socket), Some(conversation)),
                None => (listener.map_or_else(|| self.connect(), |listener| self.accept(listener)), None),
            };
            // None: there is an order.
            let Some(socket) = socket else { continue };
            let at_once = || self.is_ending();
            let connection = Connection { socket, stop: self.stop.as_fd(), at_once: &at_once };
            let fault = self.converse(&connection, listener, conversation);
            let stopped = matches!(fault, SessionError::Protocol(ProtocolError::Stopped));
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = matches!(fault, SessionError::Protocol(ProtocolError::Closed));
            let fault = (!gone && !stopped).then(|| fault.to_string());
            let failed = fault.is_some();
            *status = Status { connections: status.connections, fault, ..Status::default() };
            drop(status);
            if stopped {
                return;
            }
            // A front end that talks nonsense, or one that closes at once, is not met again at full speed.
            if failed || listener.is_none() {
                self.pause(BREATH);
            }
        }
    }

    /// Speaks with a front end until it goes, from the beginning or from where a predecessor was.
    fn converse(
        &self,
        connection: &Connection<'_>,
        listener: Option<&OwnedFd>,
        conversation: Option<Conversation>,
    ) -> SessionError {
        let Config { pairs, offloads, packed, .. } = self.config;
        let offered = features::offered(pairs, offloads, packed);
        let mut session = Session::new(offered, &self.exchanges);
        if let Some(conversation) = conversation {
            let begun = conversation.put_into(&mut session);
            self.orders.lock().unwrap_or_else(PoisonError::into_inner).resuming = false;
            self.changed.notify_all();
            if let Err(error) = begun {
                session.end();
                return error;
            }
        }
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
            let message = match connection.receive() {
                Ok(message) => message,
                Err(ProtocolError::Stopped) if self.heed(listener, Some((&connection.socket, &session))) => {
                    let anew = &mut self.orders.lock().unwrap_or_else(PoisonError::into_inner).anew;
                    if std::mem::take(anew) {
                        break ProtocolError::Closed.into();
                    }
                    continue;
                }
                Err(error) => break error.into(),
            };
            if let Err(error) = session.handle(connection, message) {
                break error;
            }
        };
        session.end();
        error
    }

    /// Waits a while; false when there is an order.
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
