//! The control socket: one JSON request per line, one JSON reply per line.
//!
//! Invariants: a line has at most a megabyte; a client that sends nothing holds a thread and nothing else, and there are
//! at most so many clients.

use super::capture::{self, CaptureRequest};
use super::protocol::{Event, EventKind, Reply, Request};
use super::state::{Switch, SwitchError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest line.
const LINE: u64 = 1 << 20;
/// Most clients at a time.
const CLIENTS: usize = 64;
/// How long a daemon that was started on demand waits for its first switch.
const UNUSED: Duration = Duration::from_secs(10);
/// The answer to [`Request::StopUnused`] of a daemon that goes on.
const IN_USE: &str = "it carries switches, or was started by hand";

/// Where the control socket of a run directory is.
#[derive(Debug, Clone)]
pub struct SwitchSocket(PathBuf);

impl SwitchSocket {
    /// In this directory.
    #[must_use]
    pub fn within(directory: &Path) -> Self {
        Self(directory.join("switch.sock"))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether somebody listens there.
    #[must_use]
    pub fn answers(&self) -> bool {
        UnixStream::connect(&self.0).is_ok()
    }
}

/// The server.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Held as long as the daemon lives: of two that start at once only one may take the socket.
    _lock: std::fs::File,
}

impl Server {
    /// Listens. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When another daemon listens there, or the directory can't be used.
    pub fn bind(socket: &SwitchSocket) -> io::Result<Self> {
        let path = socket.path().to_owned();
        let lock = std::fs::File::open(path.parent().unwrap_or(&path))?;
        let alone = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
        if !alone || UnixStream::connect(&path).is_ok() {
            let text = format!("another switch daemon listens on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, _lock: lock })
    }

    /// Serves clients until one asks to stop or `ended` says so (it is looked at ten times a second). With `on_demand`
    /// it ends as well when the last switch is taken away, and then nothing is to come back after a restart.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn serve(self, switch: Switch, ended: &AtomicBool, on_demand: bool) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let (switch, stop) = (Arc::new(Mutex::new(switch)), Arc::new(AtomicBool::new(false)));
        let clients = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        while !stop.load(Ordering::Acquire) && !ended.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((stream, _)) if clients.load(Ordering::Acquire) < CLIENTS => {
                    let (switch, stop, clients) = (switch.clone(), stop.clone(), clients.clone());
                    clients.fetch_add(1, Ordering::AcqRel);
                    std::thread::spawn(move || {
                        // A client that goes away in the middle is no matter of ours.
                        let _ = converse(&stream, &switch, &stop, on_demand);
                        clients.fetch_sub(1, Ordering::AcqRel);
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut wait = [rustix::event::PollFd::new(&self.listener, rustix::event::PollFlags::IN)];
                    let tenth = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                    let _ = rustix::event::poll(&mut wait, Some(&tenth));
                    let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
                    switch.tick();
                    // Whoever started it died before it said what for.
                    if on_demand && switch.is_empty() && began.elapsed() > UNUSED {
                        switch.forget();
                        stop.store(true, Ordering::Release);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn converse(
    stream: &UnixStream,
    switch: &Mutex<Switch>,
    stop: &AtomicBool,
    on_demand: bool,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let reply = match serde_json::from_str::<Request>(&line) {
            Ok(Request::Capture(request)) => match show(stream, switch, &request, stop) {
                Ok(done) => return done,
                Err(error) => Reply::Failed { message: error.to_string() },
            },
            Ok(Request::Watch { kinds, switch: of }) => {
                return tell(stream, switch, (kinds, of), &|| stop.load(Ordering::Acquire));
            }
            Ok(request) => {
                let ends = request == Request::Stop;
                let if_unused = request == Request::StopUnused;
                let last = if_unused || matches!(request, Request::SwitchDelete { .. });
                let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
                // What is asked of a daemon that ends would be lost with it: the client finds the next one.
                if stop.load(Ordering::Acquire) {
                    return Ok(());
                }
                let result = switch.carry_out(request);
                let last = last && on_demand && switch.is_empty();
                if last {
                    switch.forget();
                }
                if ends || last {
                    stop.store(true, Ordering::Release);
                }
                drop(switch);
                let result = if if_unused && !last {
                    Ok(Reply::Failed { message: IN_USE.to_owned() })
                } else {
                    result
                };
                result.unwrap_or_else(|error| Reply::Failed { message: error.to_string() })
            }
            Err(error) => Reply::Failed { message: format!("not a request: {error}") },
        };
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        (&*stream).write_all(text.as_bytes())?;
        if stop.load(Ordering::Acquire) {
            // Wakes the server, so that it ends now.
            if let Some(path) = stream.local_addr()?.as_pathname() {
                let _ = UnixStream::connect(path);
            }
            return Ok(());
        }
    }
}

/// Lets a client see packets until it goes.
fn show(
    stream: &UnixStream,
    switch: &Mutex<Switch>,
    request: &CaptureRequest,
    stop: &AtomicBool,
) -> Result<io::Result<()>, SwitchError> {
    let mine = || switch.lock().unwrap_or_else(PoisonError::into_inner);
    let (capture, ports) = mine().capture(request)?;
    let done = (|| {
        let mut text = serde_json::to_string(&Reply::Capturing { ports })?;
        text.push('\n');
        (&*stream).write_all(text.as_bytes())?;
        capture::stream(stream, switch, &capture, &|| stop.load(Ordering::Acquire))
    })();
    mine().end_capture(&capture);
    Ok(done)
}

/// Tells a client what changes, until it goes.
fn tell(
    stream: &UnixStream,
    switch: &Mutex<Switch>,
    (kinds, of): (Vec<EventKind>, Option<String>),
    ended: &dyn Fn() -> bool,
) -> io::Result<()> {
    let line = |text: String| (&*stream).write_all((text + "\n").as_bytes());
    let changes = {
        let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
        match of.as_deref().map(|of| switch.known_switch(of)) {
            Some(Err(error)) => Err(error),
            None | Some(Ok(())) => Ok(switch.watch(kinds, of)),
        }
    };
    let changes = match changes {
        Ok(changes) => changes,
        Err(error) => return line(serde_json::to_string(&Reply::Failed { message: error.to_string() })?),
    };
    line(serde_json::to_string(&Reply::Watching)?)?;
    while !ended() {
        match changes.recv_timeout(Duration::from_millis(500)) {
            Ok(event) => line(serde_json::to_string(&event)?)?,
            Err(RecvTimeoutError::Timeout) => {
                // A client that watches says nothing: what can be read is its end.
                let mut wait = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::IN)];
                if rustix::event::poll(&mut wait, Some(&rustix::event::Timespec::default()))? > 0 {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

/// Lets a daemon tell what changes: of these kinds only, if there are some, and of this switch only. `each` gets every
/// change until it gives false.
///
/// # Errors
/// When no daemon listens, it refuses, or it ends.
pub fn watch(
    socket: &SwitchSocket,
    kinds: Vec<EventKind>,
    switch: Option<String>,
    mut each: impl FnMut(Event) -> bool,
) -> io::Result<()> {
    let stream = UnixStream::connect(socket.path())?;
    let mut text = serde_json::to_string(&Request::Watch { kinds, switch })?;
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if let Reply::Failed { message } = serde_json::from_str(&line)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon has ended"));
        }
        if !each(serde_json::from_str(&line)?) {
            return Ok(());
        }
    }
}

/// Asks a daemon something.
///
/// # Errors
/// When no daemon listens, or it does not answer.
pub fn ask(socket: &SwitchSocket, request: &Request) -> io::Result<Reply> {
    let stream = UnixStream::connect(socket.path())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon is ending"));
    }
    Ok(serde_json::from_str(&line)?)
}
