//! The sockets: connections, whole requests out of them, replies into them.

use super::commands::{Answer, Call};
use super::framing::Framer;
use crate::sockets::timespec;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Most connections.
const CLIENTS: usize = 64;
/// Octets that are read at once.
const PART: usize = 64 << 10;

/// A reply: whose, the request's number, what.
type Reply = (u64, Value, Result<String, String>);

/// Takes replies from any thread.
#[derive(Debug, Clone)]
pub(super) struct Replies {
    to: Sender<Reply>,
    bell: Arc<OwnedFd>,
}

impl Replies {
    pub(super) fn send(&self, connection: u64, id: Value, result: Result<String, String>) {
        // A socket that is gone needs no answer; a full bell rings all the same.
        if self.to.send((connection, id, result)).is_ok() {
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }
}

/// A request as it is on the wire. Anything else in it is wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    id: Value,
    method: String,
    params: Vec<Value>,
}

struct Connection {
    number: u64,
    stream: UnixStream,
    framer: Framer,
    /// What is still to be sent, and how much of it was.
    out: Vec<u8>,
    sent: usize,
    /// A request waits for its answer.
    busy: bool,
    /// The other side sends no more.
    ended: bool,
}

impl Connection {
    fn wants(&self) -> PollFlags {
        if !self.out.is_empty() {
            PollFlags::OUT
        } else if self.busy || self.ended {
            PollFlags::empty()
        } else {
            PollFlags::IN
        }
    }

    /// Sends what it can.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.out, self.sent) = (Vec::new(), 0);
        Ok(())
    }

    /// The next whole request.
    fn take(&mut self) -> io::Result<Option<Wire>> {
        loop {
            let wrong = |text: String| io::Error::new(ErrorKind::InvalidData, text);
            if let Some(object) = self.framer.next_object().map_err(|error| wrong(error.to_string()))? {
                let wire: Wire = serde_json::from_slice(&object).map_err(|error| wrong(error.to_string()))?;
                return if wire.id.is_null() {
                    Err(wrong("a notification is no request".to_owned()))
                } else {
                    Ok(Some(wire))
                };
            }
            let mut part = vec![0; PART];
            match self.stream.read(&mut part) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(None);
                }
                Ok(count) => self.framer.push(part.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A control socket.
#[derive(Debug)]
pub struct Unixctl {
    listener: UnixListener,
    path: PathBuf,
    connections: Vec<Connection>,
    next: u64,
    replies: Receiver<Reply>,
    way: Replies,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {}", self.number)
    }
}

impl Unixctl {
    /// Listens at a path; what nobody listens at any more is replaced. Only the owner and the group may use it.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o750))?;
        listener.set_nonblocking(true)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(rustix::event::eventfd(0, flags)?);
        let (to, replies) = channel();
        Ok(Self {
            listener,
            path: path.to_owned(),
            connections: Vec::new(),
            next: 0,
            replies,
            way: Replies { to, bell },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rung, it ends a [`Unixctl::wait`].
    #[must_use]
    pub fn bell(&self) -> Arc<OwnedFd> {
        self.way.bell.clone()
    }

    /// What to wait for, for those who wait for other things as well; then comes [`Unixctl::take`].
    #[must_use]
    pub fn descriptors(&self) -> Vec<PollFd<'_>> {
        let mut all = vec![
            PollFd::from_borrowed_fd(self.way.bell.as_fd(), PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        all.extend(self.connections.iter().map(|of| PollFd::from_borrowed_fd(of.stream.as_fd(), of.wants())));
        all
    }

    /// Waits until there is something to do, or for so long, and does it: what is given back is to be carried out
    /// ([`super::Commands::carry_out`]).
    pub fn wait(&mut self, patience: Duration) -> Vec<Call> {
        // Interrupted or not: what can be done is done.
        let _ = poll(&mut self.descriptors(), Some(&timespec(patience)));
        self.take()
    }

    /// Does what can be done at once.
    pub fn take(&mut self) -> Vec<Call> {
        let _ = rustix::io::read(&self.way.bell, &mut [0_u8; 8]);
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() >= CLIENTS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let number = self.next;
            self.next += 1;
            self.connections.push(Connection {
                number,
                stream,
                framer: Framer::default(),
                out: Vec::new(),
                sent: 0,
                busy: false,
                ended: false,
            });
        }
        self.deliver();
        let mut calls = Vec::new();
        let way = &self.way;
        self.connections.retain_mut(|of| {
            if let Err(error) = of.flush() {
                tracing::debug!(target: "unixctl", %error, "a client went away");
                return false;
            }
            if of.out.is_empty() && !of.busy && !of.ended {
                match of.take() {
                    Ok(Some(wire)) => {
                        of.busy = true;
                        let arguments = serde_json::to_string(&wire.params).unwrap_or_default();
                        tracing::debug!(target: "unixctl", "received request {}{arguments}, id={}", wire.method, wire.id);
                        calls.push(call(wire, of.number, way));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(target: "jsonrpc", "unix#{}: received bad JSON-RPC message: {error}", of.number);
                        return false;
                    }
                }
            }
            !is_gone(&of.stream) && (of.busy || !of.out.is_empty() || !of.ended)
        });
        calls
    }

    /// Puts answers where they leave.
    fn deliver(&mut self) {
        while let Ok((number, id, result)) = self.replies.try_recv() {
            let Some(of) = self.connections.iter_mut().find(|of| of.number == number) else { continue };
            of.busy = false;
            let how = if result.is_ok() { "success" } else { "error" };
            let (Ok(text) | Err(text)) = &result;
            tracing::debug!(target: "unixctl", "replying with {how}, id={id}: \"{text}\"");
            let line = |mut text: String| {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                Value::String(text)
            };
            let (result, error) = match result {
                Ok(text) => (line(text), Value::Null),
                Err(text) => (Value::Null, line(text)),
            };
            let reply = serde_json::json!({ "id": id, "result": result, "error": error });
            of.out.extend(reply.to_string().into_bytes());
        }
    }

    /// Sends the answers that were given, for at most so long: for a daemon that ends.
    pub fn finish(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            self.deliver();
            self.connections.retain_mut(|of| of.flush().is_ok());
            if self.connections.iter().all(|of| of.out.is_empty()) || Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Unixctl {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes control sockets of daemons that were killed: `NAME.PID.ctl` on which nobody listens.
pub fn remove_stale(directory: &Path, name: &str) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let pid = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".ctl"));
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok()) && UnixStream::connect(&path).is_err() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether the other side has closed its end.
fn is_gone(stream: &UnixStream) -> bool {
    let mut one = [PollFd::new(stream, PollFlags::empty())];
    let done = poll(&mut one, Some(&Timespec::default()));
    matches!(done, Ok(1..)) && one.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

fn call(wire: Wire, connection: u64, way: &Replies) -> Call {
    let answer = Answer::new(way.clone(), connection, wire.id);
    let text = |value: Value| match value {
        Value::String(text) => text,
        // The real one refuses arguments that are no strings; as text they are what was meant.
        other => other.to_string(),
    };
    Call { command: wire.method, arguments: wire.params.into_iter().map(text).collect(), answer }
}

/// Asks a daemon something, as `ovs-appctl -t SOCKET` does: its answer, or what it says is wrong.
///
/// # Errors
/// When nobody listens there, or there is no answer in time.
pub fn ask(
    path: &Path,
    command: &str,
    arguments: &[&str],
    patience: Duration,
) -> io::Result<Result<String, String>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(patience))?;
    let request = serde_json::json!({ "id": 0, "method": command, "params": arguments });
    stream.write_all(request.to_string().as_bytes())?;
    let mut framer = Framer::up_to(usize::MAX);
    let mut part = vec![0; PART];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the daemon ended without an answer"));
        }
        framer.push(part.get(..count).unwrap_or_default());
        let Some(object) = framer.next_object().map_err(io::Error::other)? else { continue };
        let reply: Value = serde_json::from_slice(&object)?;
        let text = |member: &str| reply.get(member).and_then(Value::as_str).map(str::to_owned);
        return Ok(match text("error") {
            Some(error) => Err(error),
            None => Ok(text("result").unwrap_or_default()),
        });
    }
}
