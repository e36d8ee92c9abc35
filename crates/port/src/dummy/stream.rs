//! Frames over a socket, each behind its length in two octets, the more significant first.
//!
//! A thread of the port's own reads, takes connections, and connects again where it has to.

use super::Dummy;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Most connections to a port that others connect to.
const CONNECTIONS: usize = 64;
/// Octets that may wait for one connection; what does not fit is lost.
const WAITING: usize = 256 << 10;
/// Until a connection is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// Until the thread looks whether its port is gone.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Where frames go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// Connects to this.
    Active(Address),
    /// Waits for others here.
    Passive(Address),
}

/// An address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Unix(PathBuf),
    /// Address and port.
    Tcp(String),
}

impl Remote {
    /// Reads `unix:FILE` or `tcp:ADDRESS:PORT`.
    #[must_use]
    pub fn active(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("unix", path) => Some(Self::Active(Address::Unix(path.into()))),
            ("tcp", to) => Some(Self::Active(Address::Tcp(to.to_owned()))),
            _ => None,
        }
    }

    /// Reads `punix:FILE` or `ptcp:PORT[:ADDRESS]`.
    #[must_use]
    pub fn passive(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("punix", path) => Some(Self::Passive(Address::Unix(path.into()))),
            ("ptcp", at) => {
                let (port, address) = at.split_once(':').unwrap_or((at, "0.0.0.0"));
                Some(Self::Passive(Address::Tcp(format!("{address}:{port}"))))
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn connect(to: &Address) -> io::Result<Self> {
        Ok(match to {
            Address::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                Self::Unix(socket)
            }
            Address::Tcp(to) => {
                let socket = TcpStream::connect(to)?;
                socket.set_nonblocking(true)?;
                Self::Tcp(socket)
            }
        })
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => (&*socket).read(into),
            Self::Tcp(socket) => (&*socket).read(into),
        }
    }

    fn write(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => (&*socket).write(octets),
            Self::Tcp(socket) => (&*socket).write(octets),
        }
    }
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    fn bind(at: &Address) -> io::Result<Self> {
        Ok(match at {
            Address::Unix(path) => {
                let _ = std::fs::remove_file(path);
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                Self::Unix(listener, path.clone())
            }
            Address::Tcp(at) => {
                let listener = TcpListener::bind(at)?;
                listener.set_nonblocking(true)?;
                Self::Tcp(listener)
            }
        })
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener, _) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Unix(socket))
            }
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Tcp(socket))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    came: Vec<u8>,
    leaves: Vec<u8>,
}

impl Connection {
    const fn new(socket: Socket) -> Self {
        Self { socket, came: Vec::new(), leaves: Vec::new() }
    }

    /// Sends what it can; false when the other side is gone.
    fn flush(&mut self) -> bool {
        while !self.leaves.is_empty() {
            match self.socket.write(&self.leaves) {
                Ok(count) => drop(self.leaves.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes what came; false when the other side is gone.
    fn receive(&mut self, dummy: &Dummy) -> bool {
        let mut part = [0; 16 << 10];
        let goes_on = loop {
            match self.socket.read(&mut part) {
                Ok(0) => break false,
                Ok(count) => self.came.extend_from_slice(part.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
            if self.came.len() > WAITING {
                break true;
            }
        };
        let mut done = 0;
        while let Some((head, rest)) = self.came.get(done..).and_then(|rest| rest.split_first_chunk::<2>())
            && let Some(frame) = rest.get(..usize::from(u16::from_be_bytes(*head)))
        {
            // What is shorter than an Ethernet header is no frame.
            if frame.len() >= 14 {
                dummy.put(frame.to_vec());
            }
            done += 2 + frame.len();
        }
        self.came.drain(..done);
        goes_on
    }
}

#[derive(Debug, Default)]
struct Shared {
    connections: Mutex<Vec<Connection>>,
    ends: AtomicBool,
}

/// A port's way to others.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
    active: bool,
}

impl Stream {
    /// Begins. The port is asked for as long as it is there.
    pub(super) fn start(remote: Remote, dummy: Weak<Dummy>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (own, active) = (shared.clone(), matches!(remote, Remote::Active(_)));
        let (listener, to) = match remote {
            Remote::Passive(at) => (Some(Listener::bind(&at)?), None),
            Remote::Active(to) => (None, Some(to)),
        };
        std::thread::Builder::new()
            .name("netloom-dummy".to_owned())
            .spawn(move || serve(&own, listener.as_ref(), to.as_ref(), &dummy))?;
        Ok(Self { shared, active })
    }

    /// Sends a frame to all.
    pub(super) fn send(&mut self, frame: &[u8]) {
        let Ok(length) = u16::try_from(frame.len()) else { return };
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if connection.leaves.len() + frame.len() < WAITING {
                connection.leaves.extend(length.to_be_bytes());
                connection.leaves.extend(frame);
                // The thread sees whether it is gone.
                connection.flush();
            }
        }
    }

    pub(super) fn connected(&self) -> Option<bool> {
        let connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        self.active.then_some(!connections.is_empty())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
    }
}

fn serve(shared: &Shared, listener: Option<&Listener>, to: Option<&Address>, dummy: &Weak<Dummy>) {
    let mut tried: Option<Instant> = None;
    while !shared.ends.load(Ordering::Acquire) {
        let Some(dummy) = dummy.upgrade() else { return };
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = to
            && connections.is_empty()
            && tried.is_none_or(|tried| tried.elapsed() >= RETRY)
        {
            tried = Some(Instant::now());
            connections.extend(Socket::connect(to).ok().map(Connection::new));
        }
        while let Some(Ok(socket)) = listener.map(Listener::accept) {
            if connections.len() < CONNECTIONS {
                connections.push(Connection::new(socket));
            }
        }
        connections.retain_mut(|connection| connection.flush() && connection.receive(&dummy));
        // Only this thread takes connections away: their sockets are open while it waits.
        let waits: Vec<io::Result<rustix::fd::OwnedFd>> = connections
            .iter()
            .map(|connection| connection.socket.descriptor().try_clone_to_owned())
            .collect();
        drop(connections);
        drop(dummy);
        let waits: Vec<rustix::fd::OwnedFd> = waits.into_iter().flatten().collect();
        let mut polled: Vec<PollFd<'_>> = waits.iter().map(|wait| PollFd::new(wait, PollFlags::IN)).collect();
        polled.extend(listener.map(|of| PollFd::from_borrowed_fd(of.descriptor(), PollFlags::IN)));
        let _ = poll(&mut polled, Some(&LOOK));
    }
}
