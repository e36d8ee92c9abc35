//! The control socket: one JSON request per line, one JSON reply per line.
//!
//! Invariants: a line has at most a megabyte; a client that sends nothing holds a thread and nothing else, and there are
//! at most so many clients.

use super::appctl::ControlSocket;
use super::capture::{self, CaptureRequest};
use super::exports::ExportThread;
use super::protocol::{Event, EventKind, Reply, Request};
use super::state::{Switch, SwitchError};
use super::succession::say_refusal;
use super::watches::Watcher;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest line.
const LINE: u64 = 1 << 20;
/// Most clients at a time.
const CLIENTS: usize = 64;
/// How often a client asks again because there is a successor.
const SUCCESSIONS: usize = 16;
/// Time between two ticks.
const TICK: Duration = Duration::from_millis(100);
/// Time until the next try when a client has the switch.
const BUSY: Duration = Duration::from_millis(1);
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
pub struct Server {
    listener: Arc<UnixListener>,
    path: PathBuf,
    /// Held as long as the daemon lives: of two that start at once only one may take the socket. A successor holds the
    /// same.
    lock: Arc<std::fs::File>,
    /// The socket's name is ours, to be taken away at the end.
    owned: bool,
    /// Where `ovs-appctl` asks.
    control: Option<ControlSocket>,
    /// Called when what the database asked for at first was done.
    ready: Option<Ready>,
}

/// Called once.
pub(super) type Ready = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, or nothing needed it.
    Stopped,
    /// A successor goes on: this process ends without touching anything.
    HandedOver,
}

/// A process that is to take over.
pub trait Successor {
    /// Whether it has ended, and how.
    fn ended(&mut self) -> Option<String>;

    /// Ends it.
    fn end(&mut self);
}

/// Starts the program of a successor; that of this process without one.
pub type StartSuccessor = Box<dyn Fn(Option<&Path>) -> io::Result<Box<dyn Successor>> + Send + Sync>;

/// How long a successor may take from its start to the end of the take-over.
const SUCCESSION: Duration = Duration::from_secs(60);

/// What the threads of clients share.
pub(super) struct Common {
    switch: Mutex<Switch>,
    pub(super) stop: AtomicBool,
    /// A successor goes on.
    pub(super) handed_over: AtomicBool,
    /// Time is being put forward.
    pub(super) warping: AtomicBool,
    /// Wakes the server.
    bell: Arc<OwnedFd>,
    clients: AtomicUsize,
    /// Those that wait for an answer.
    asking: AtomicUsize,
    /// Why the last one did not take over.
    refusal: Mutex<String>,
    on_demand: bool,
    listener: Arc<UnixListener>,
    lock: Arc<std::fs::File>,
    start_successor: StartSuccessor,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("path", &self.path).finish_non_exhaustive()
    }
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
        Ok(Self {
            listener: Arc::new(listener),
            path,
            lock: Arc::new(lock),
            owned: true,
            control: None,
            ready: None,
        })
    }

    /// A server with the listening socket and the lock of a predecessor, whose they stay until it [owns](Server::own) them.
    pub(super) fn adopt(socket: &SwitchSocket, listener: OwnedFd, lock: OwnedFd) -> Self {
        Self {
            listener: Arc::new(listener.into()),
            path: socket.path().to_owned(),
            lock: Arc::new(lock.into()),
            owned: false,
            control: None,
            ready: None,
        }
    }

    /// Has the socket's name be its own.
    pub(super) const fn own(&mut self) {
        self.owned = true;
    }

    /// Serves `ovs-appctl` as well.
    pub fn control(&mut self, control: ControlSocket) {
        self.control = Some(control);
    }

    /// Has `ready` be called once what the database asks for at first was done.
    pub fn when_ready(&mut self, ready: Ready) {
        self.ready = Some(ready);
    }

    /// Serves clients until one asks to stop or `ended` says so (it is looked at ten times a second), or a successor took
    /// over. With `on_demand` it ends as well when the last switch is taken away, and then nothing is to come back after a
    /// restart.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn serve(
        mut self,
        switch: Switch,
        ended: &AtomicBool,
        on_demand: bool,
        start_successor: StartSuccessor,
    ) -> io::Result<Ended> {
        self.listener.set_nonblocking(true)?;
        let bell = switch.bell()?;
        let database_bell = switch.database_bell.clone();
        let common = Arc::new(Common {
            switch: Mutex::new(switch),
            stop: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            warping: AtomicBool::new(false),
            bell: bell.clone(),
            clients: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            refusal: Mutex::default(),
            on_demand,
            listener: self.listener.clone(),
            lock: self.lock.clone(),
            start_successor,
        });
        let control = self.control.take().map(|control| {
            let (common, bell) = (common.clone(), control.bell());
            (std::thread::spawn(move || control.serve(&common)), bell)
        });
        let watcher = Watcher::start(common.lock().desk())?;
        let exports = ExportThread::start(common.lock().desk())?;
        let began = Instant::now();
        let mut ticked = Instant::now();
        let mut rang = false;
        // Time is not put forward before the database has answered.
        let mut waits = false;
        while !common.stop.load(Ordering::Acquire) && !ended.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((stream, _)) if common.clients.load(Ordering::Acquire) < CLIENTS => {
                    let common = common.clone();
                    common.clients.fetch_add(1, Ordering::AcqRel);
                    std::thread::spawn(move || {
                        // A client that goes away in the middle is no matter of ours.
                        let _ = common.converse(&stream);
                        common.clients.fetch_sub(1, Ordering::AcqRel);
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    use rustix::event::{PollFd, PollFlags, Timespec, poll};
                    let mut wait = [
                        PollFd::new(&*self.listener, PollFlags::IN),
                        PollFd::new(&*bell, PollFlags::IN),
                        PollFd::new(&*database_bell, PollFlags::IN),
                    ];
                    let patience = match (common.warping.load(Ordering::Acquire), rang || waits) {
                        (true, false) => Duration::ZERO,
                        (_, true) => BUSY,
                        (false, false) => TICK,
                    };
                    let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
                    let _ = poll(&mut wait, Some(&patience));
                    rang |= rustix::io::read(&*bell, &mut [0; 8]).is_ok();
                    rang |= rustix::io::read(&*database_bell, &mut [0; 8]).is_ok();
                }
                Err(error) => return Err(error),
            }
            // A client may have the switch for long: those who come meanwhile are taken all the same.
            let due = ticked.elapsed() >= TICK || common.warping.load(Ordering::Acquire);
            if (due || rang)
                && let Ok(mut switch) = common.switch.try_lock()
                && !common.stop.load(Ordering::Acquire)
            {
                rang = false;
                switch.settle();
                switch.follow_database();
                if let Some(ready) = self.ready.take_if(|_| switch.is_settled()) {
                    drop(switch);
                    ready()?;
                    continue;
                }
                if !due {
                    continue;
                }
                ticked = Instant::now();
                switch.tick();
                switch.report_due_statistics();
                common.warping.store(switch.warp_on(), Ordering::Release);
                waits = switch.waits_for_database();
                // Whoever started it died before it said what for.
                if on_demand && switch.is_empty() && began.elapsed() > UNUSED {
                    switch.forget();
                    common.stop.store(true, Ordering::Release);
                }
            }
        }
        common.stop.store(true, Ordering::Release);
        drop(watcher);
        drop(exports);
        if let Some((control, bell)) = control {
            ring(&bell);
            // One that panicked has ended, too.
            let _ = control.join();
        }
        if !common.handed_over.load(Ordering::Acquire) {
            return Ok(Ended::Stopped);
        }
        self.owned = false;
        // Those who wait are told to ask again.
        let until = Instant::now() + Duration::from_secs(1);
        while common.asking.load(Ordering::Acquire) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        // What it has is another's: nothing of it is closed in order.
        std::mem::forget(common);
        Ok(Ended::HandedOver)
    }
}

fn ring(bell: &OwnedFd) {
    // A bell that can't be rung was rung often enough.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.owned {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Common {
    /// Ends the daemon.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    /// Wakes the server.
    pub(super) fn ring(&self) {
        ring(&self.bell);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.by_ref().take(LINE).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let _asking = Asking::new(&self.asking);
            let reply = match serde_json::from_str::<Request>(&line) {
                Ok(Request::TakeOver { version }) => return self.hand_over(stream, version),
                Ok(Request::Upgrade { program }) => self.upgrade(program.as_deref()),
                Ok(Request::Capture(request)) => match self.show(stream, &request) {
                    Ok(done) => return done,
                    Err(error) => Reply::Failed { message: error.to_string() },
                },
                Ok(Request::Watch { kinds, switch }) => return self.tell(stream, kinds, switch),
                Ok(request) => match self.carry_out(request) {
                    Some(reply) => reply,
                    // What is asked of a daemon that ends would be lost with it: the client finds the next one.
                    None => return Ok(()),
                },
                Err(error) => Reply::Failed { message: format!("not a request: {error}") },
            };
            let mut text = serde_json::to_string(&reply)?;
            text.push('\n');
            (&*stream).write_all(text.as_bytes())?;
            if self.stop.load(Ordering::Acquire) {
                return self.wake(stream);
            }
        }
    }

    /// Wakes the server, so that it ends now.
    fn wake(&self, stream: &UnixStream) -> io::Result<()> {
        if let Some(path) = stream.local_addr()?.as_pathname() {
            let _ = UnixStream::connect(path);
        }
        Ok(())
    }

    fn carry_out(&self, request: Request) -> Option<Reply> {
        let ends = request == Request::Stop;
        let if_unused = request == Request::StopUnused;
        let last = if_unused || matches!(request, Request::SwitchDelete { .. });
        let mut switch = self.lock();
        if self.handed_over.load(Ordering::Acquire) {
            return Some(Reply::Moved);
        }
        if self.stop.load(Ordering::Acquire) {
            return None;
        }
        switch.settle();
        let result = switch.carry_out(request);
        let last = last && self.on_demand && switch.is_empty();
        if last {
            switch.forget();
        }
        if ends || last {
            self.stop.store(true, Ordering::Release);
        }
        drop(switch);
        if if_unused && !last {
            return Some(Reply::Failed { message: IN_USE.to_owned() });
        }
        Some(result.unwrap_or_else(|error| Reply::Failed { message: error.to_string() }))
    }

    /// Hands everything over to a client.
    fn hand_over(&self, stream: &UnixStream, version: u32) -> io::Result<()> {
        let mut switch = self.lock();
        if self.stop.load(Ordering::Acquire) {
            return Ok(());
        }
        let own = vec![self.listener.as_fd().try_clone_to_owned()?, self.lock.as_fd().try_clone_to_owned()?];
        match switch.hand_over(stream, version, own) {
            Ok(()) => {
                switch.leave_database();
                self.handed_over.store(true, Ordering::Release);
                self.stop.store(true, Ordering::Release);
                Ok(())
            }
            Err(refusal) => {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal.to_string();
                say_refusal(stream, &refusal)
            }
        }
    }

    /// Lets a client see packets until it goes.
    fn show(&self, stream: &UnixStream, request: &CaptureRequest) -> Result<io::Result<()>, SwitchError> {
        let (capture, ports) = self.lock().capture(request)?;
        let done = (|| {
            let mut text = serde_json::to_string(&Reply::Capturing { ports })?;
            text.push('\n');
            (&*stream).write_all(text.as_bytes())?;
            capture::stream(stream, &self.switch, &capture, &|| self.stop.load(Ordering::Acquire))
        })();
        self.lock().end_capture(&capture);
        Ok(done)
    }

    /// Tells a client what changes, until it goes.
    fn tell(&self, stream: &UnixStream, kinds: Vec<EventKind>, of: Option<String>) -> io::Result<()> {
        let line = |text: String| (&*stream).write_all((text + "\n").as_bytes());
        let changes = {
            let mut switch = self.lock();
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
        while !self.stop.load(Ordering::Acquire) {
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

    /// Starts a successor and waits for it.
    fn upgrade(&self, program: Option<&Path>) -> Reply {
        let failed = |message: String| Reply::Failed { message };
        if self.stop.load(Ordering::Acquire) {
            return Reply::Moved;
        }
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut successor = match (self.start_successor)(program) {
            Ok(successor) => successor,
            Err(error) => return failed(format!("the successor can't be started: {error}")),
        };
        let until = Instant::now() + SUCCESSION;
        let mut how = "it did not take over in time".to_owned();
        while Instant::now() < until && !self.handed_over.load(Ordering::Acquire) {
            if let Some(ended) = successor.ended() {
                how = ended;
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Nothing is handed over while this is held.
        let switch = self.lock();
        if self.handed_over.load(Ordering::Acquire) {
            return Reply::Done;
        }
        successor.end();
        drop(switch);
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let why = if refusal.is_empty() { "its messages are where this daemon's are" } else { &refusal };
        failed(format!("the successor failed ({how}), this daemon goes on: {why}"))
    }
}

/// Counts a client that waits for an answer.
struct Asking<'a>(&'a AtomicUsize);

impl<'a> Asking<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
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
    // One daemon after the other may hand over meanwhile, but not for ever.
    let mut reply = ask_once(socket, request)?;
    for _ in 0..SUCCESSIONS {
        if reply != Reply::Moved {
            break;
        }
        reply = ask_once(socket, request)?;
    }
    Ok(reply)
}

fn ask_once(socket: &SwitchSocket, request: &Request) -> io::Result<Reply> {
    let stream = UnixStream::connect(socket.path())?;
    let patience =
        if matches!(request, Request::Upgrade { .. }) { 2 * SUCCESSION } else { Duration::from_secs(60) };
    stream.set_read_timeout(Some(patience))?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon is ending"));
    }
    Ok(serde_json::from_str(&line)?)
}
