//! The thread: waits, reads, lets the machine work, brings durable commits to the disk, writes.

use super::active::{Active, BACKOFF};
use super::connection::{Connection, Liveness, Probe};
use super::handle::{Command, DatabaseHandle, Follow};
use super::keys::KeySources;
use super::manager::Managed;
use super::relay::Relays;
use crate::sockets::{Heard, Keyring, Remote, RemoteOptions, Stream, wait};
use netloom_proto::ovsdb::UuidSource;
use netloom_proto::ovsdb::server::{Now, Server, SessionId};
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The most clients.
const CONNECTIONS: usize = 16_384;
/// Clients that are taken at once.
const ACCEPTS: usize = 64;
/// Reads of one client at once.
const READS: usize = 16;
/// Events of one turn.
const EVENTS: usize = 256;
/// What all clients together may have said without coming to an end, before those that say most are cut off.
const WAITING: usize = 256 << 20;
/// A client that has said less of a message is not among those.
const SMALL: usize = 1 << 20;
/// How often silence, files and states are looked at, in milliseconds.
const TICK: u64 = 1000;
/// The bell's number; others count from 1.
const BELL: u64 = 0;

/// Why a server can't be started.
#[derive(Debug, thiserror::Error)]
#[error("the database server can't be started: {0}")]
pub struct StartError(#[from] io::Error);

/// A running server.
#[derive(Debug)]
pub struct OvsdbServer {
    handle: DatabaseHandle,
    thread: Option<JoinHandle<()>>,
}

impl OvsdbServer {
    /// Starts one without databases and remotes.
    ///
    /// # Errors
    /// When the system gives no poller, no randomness or no thread.
    pub fn start() -> Result<Self, StartError> {
        let mut seed = [0; 32];
        let mut filled = 0;
        while filled < seed.len() {
            let rest = seed.get_mut(filled..).unwrap_or_default();
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())
                .map_err(io::Error::from)?;
        }
        let mut words = [0; 4];
        for (word, octets) in words.iter_mut().zip(seed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*octets);
        }
        let mut uuids = UuidSource::new(words);
        let bell =
            Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(io::Error::from)?);
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let flags = epoll::EventFlags::IN;
        epoll::add(&poller, &bell, epoll::EventData::new_u64(BELL), flags).map_err(io::Error::from)?;
        let (sender, commands) = channel();
        // The server and what opens files draw from sources that differ.
        let own = UuidSource::new(std::array::from_fn(|_| {
            let uuid = uuids.next_uuid().as_u128();
            (uuid >> 64) as u64 ^ uuid as u64
        }));
        let mut core = Core {
            server: Server::new(uuids),
            uuids: own,
            poller,
            bell: bell.clone(),
            commands,
            remotes: BTreeMap::new(),
            explicit: BTreeMap::new(),
            managed: BTreeMap::new(),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            followers: Vec::new(),
            next_token: 1,
            waiting: 0,
            origin: Instant::now(),
            ticked: 0,
            states_changed: true,
            read_only: false,
            directory: PathBuf::new(),
            relays: Relays::new(),
            keyring: Keyring::default(),
            keys: KeySources::default(),
            files: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("ovsdb".to_owned()).spawn(move || core.run())?;
        Ok(Self { handle: DatabaseHandle::new(sender, bell), thread: Some(thread) })
    }

    /// How the rest of the process speaks to it.
    #[must_use]
    pub const fn handle(&self) -> &DatabaseHandle {
        &self.handle
    }

    /// Ends it: clients are disconnected, listening sockets and locks are gone when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for OvsdbServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Everything the thread has.
pub(super) struct Core {
    pub(super) server: Server,
    pub(super) uuids: UuidSource,
    pub(super) poller: OwnedFd,
    bell: Arc<OwnedFd>,
    commands: Receiver<Command>,
    /// By their texts.
    pub(super) remotes: BTreeMap<String, Active>,
    /// Those that somebody asked for, columns included.
    pub(super) explicit: BTreeMap<String, Remote>,
    /// What columns say.
    pub(super) managed: BTreeMap<String, Managed>,
    pub(super) connections: BTreeMap<u64, Connection>,
    sessions: BTreeMap<SessionId, u64>,
    pub(super) followers: Vec<Follow>,
    pub(super) next_token: u64,
    /// What clients said without coming to an end.
    waiting: usize,
    origin: Instant,
    ticked: u64,
    /// Whether remotes fare otherwise than when their states were written.
    pub(super) states_changed: bool,
    pub(super) read_only: bool,
    /// Where sockets are that are named by relative paths.
    pub(super) directory: PathBuf,
    pub(super) relays: Relays,
    /// Keys of TLS, and where it is said which those are.
    pub(super) keyring: Keyring,
    pub(super) keys: KeySources,
    /// Files by their databases' names.
    pub(super) files: BTreeMap<String, PathBuf>,
}

impl Core {
    /// The time.
    pub(super) fn now(&self) -> Now {
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX),
            date: i64::try_from(date.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let patience = self.patience();
            if let Err(error) = wait(&self.poller, &mut events, patience) {
                tracing::error!(%error, "the database server can't wait");
                return;
            }
            let now = self.now();
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token == BELL {
                    let _ = rustix::io::read(&self.bell, &mut [0; 8]);
                } else {
                    self.attend(token, flags, now);
                }
            }
            if self.obey() {
                return;
            }
            if now.monotonic >= self.ticked + TICK {
                self.ticked = now.monotonic;
                self.tick(now);
            }
            self.connect_due(now);
            self.apply_columns(now);
            // What is read while answers are sent makes work again.
            loop {
                self.server.run(now);
                if let Err(error) = self.server.sync() {
                    // Whoever was to be told would believe what may not last.
                    tracing::error!(%error, "durable commits may be lost: clients are disconnected");
                    let all: Vec<u64> = self.connections.keys().copied().collect();
                    all.into_iter().for_each(|token| self.hang_up(token));
                }
                let ready = self.server.take_ready();
                if ready.is_empty() {
                    break;
                }
                for session in ready {
                    if let Some(token) = self.sessions.get(&session) {
                        self.deliver(*token, now);
                    }
                }
            }
            self.tell_followers();
        }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = self.now().monotonic;
        let probes = self.connections.values().any(|connection| connection.probe_interval > 0);
        let tick =
            (probes || !self.managed.is_empty() || !self.remotes.is_empty()).then(|| self.ticked + TICK);
        let tries = self.remotes.values().filter_map(|active| Some(active.retry?.0)).min();
        let next = [self.server.next_deadline(), tick, tries].into_iter().flatten().min();
        next.map_or(Duration::from_secs(3600), |at| Duration::from_millis(at.saturating_sub(now)))
    }

    /// Does what the rest of the process asks for; true if it is to end.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Work(work)) => work(self),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// What is due from time to time.
    fn tick(&mut self, now: Now) {
        let mut gone = Vec::new();
        for (token, connection) in &mut self.connections {
            match connection.probe(now.monotonic) {
                Probe::Nothing => {}
                Probe::Ask => {
                    connection.liveness = Liveness::Asked(now.monotonic);
                    self.server.probe(connection.session);
                }
                Probe::HangUp => gone.push(*token),
            }
        }
        for token in gone {
            tracing::info!("a database client is silent for too long: disconnecting");
            self.hang_up(token);
        }
        for name in self.server.long_files() {
            if let Err(error) = self.server.compact(&name, now) {
                tracing::error!(database = &*name, %error, "a database file can't be put in order");
            }
        }
        // Listening sockets that could not take clients are looked at again.
        let listeners = self.remotes.values().filter_map(|active| active.listener.as_ref());
        for (token, listener) in listeners {
            let data = epoll::EventData::new_u64(*token);
            let _ = epoll::modify(&self.poller, listener, data, epoll::EventFlags::IN);
        }
    }

    fn attend(&mut self, token: u64, flags: epoll::EventFlags, now: Now) {
        if let Some(connection) = self.connections.get(&token) {
            if connection.connecting && !self.established(token) {
                return;
            }
            let ended = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            if flags.contains(epoll::EventFlags::IN) || ended {
                self.listen_to(token, now);
            }
            if flags.contains(epoll::EventFlags::OUT) {
                self.deliver(token, now);
                // What was read before may go on.
                self.converse(token, now);
            }
            return;
        }
        let of = |active: &&Active| active.listener.as_ref().is_some_and(|(own, _)| *own == token);
        if let Some(name) = self.remotes.iter().find(|(_, active)| of(active)).map(|(name, _)| name.clone()) {
            self.accept(&name, now);
        }
    }

    fn accept(&mut self, name: &str, now: Now) {
        for _ in 0..ACCEPTS {
            let Some(active) = self.remotes.get_mut(name) else {
                return;
            };
            let Some((token, listener)) = &active.listener else {
                return;
            };
            let accepted = if self.connections.len() < CONNECTIONS {
                listener.accept()
            } else {
                Err(io::Error::other(format!("there are {CONNECTIONS} clients already")))
            };
            match accepted {
                Ok(Some(stream)) => {
                    let options = active.options;
                    self.adopt(name, stream, options, now, false);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(remote = name, %error, "a database client can't be taken");
                    // Until the next tick, so that this does not spin.
                    let data = epoll::EventData::new_u64(*token);
                    let _ = epoll::modify(&self.poller, listener, data, epoll::EventFlags::empty());
                    return;
                }
            }
        }
    }

    pub(super) fn adopt(
        &mut self,
        name: &str,
        stream: OwnedFd,
        options: RemoteOptions,
        now: Now,
        connecting: bool,
    ) {
        self.choose_keys();
        let Some(active) = self.remotes.get_mut(name) else { return };
        let stream = match Stream::new(stream, &active.remote, &mut self.keyring) {
            Ok(stream) => stream,
            Err(error) => {
                if active.error.replace(error.to_string()).is_none() {
                    tracing::error!(target: "stream_ssl", remote = name, "{error}");
                }
                self.states_changed = true;
                return;
            }
        };
        let token = self.next_token;
        self.next_token += 1;
        let flags = if connecting { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        if let Err(error) = epoll::add(&self.poller, &stream, epoll::EventData::new_u64(token), flags) {
            tracing::warn!(remote = name, %error, "a database client can't be waited for");
            return;
        }
        let session = self.server.open_session(self.read_only || options.read_only);
        let mut connection = Connection::new(stream, session, options.probe_interval, now.monotonic);
        connection.connecting = connecting;
        connection.looks_for_write = connecting;
        connection.looks_for_read = !connecting;
        self.connections.insert(token, connection);
        self.states_changed = true;
        self.sessions.insert(session, token);
        if let Some(active) = self.remotes.get_mut(name) {
            active.connections.insert(token);
            active.error = None;
        }
    }

    /// Whether a connection that is being made came about.
    fn established(&mut self, token: u64) -> bool {
        self.states_changed = true;
        let Some(connection) = self.connections.get_mut(&token) else {
            return false;
        };
        let error = match rustix::net::sockopt::socket_error(&*connection) {
            Ok(Ok(())) => {
                connection.connecting = false;
                if let Some(active) = self.remotes.values_mut().find(|one| one.connections.contains(&token)) {
                    active.retry = None;
                }
                // TLS begins.
                let begun = connection.write();
                self.set_interest(token);
                match begun {
                    Ok(()) => return true,
                    Err(error) => error,
                }
            }
            Ok(Err(error)) | Err(error) => error.into(),
        };
        let active = self.remotes.values_mut().find(|one| one.connections.contains(&token));
        if let Some(active) = active {
            active.error = Some(error.to_string());
        }
        self.hang_up(token);
        false
    }

    /// Reads what a client says.
    fn listen_to(&mut self, token: u64, now: Now) {
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(&token) else {
                return;
            };
            if connection.is_full() {
                break;
            }
            let before = connection.waiting();
            let heard = connection.read(now.monotonic);
            self.waiting = self.waiting + connection.waiting() - before;
            match heard {
                Ok(Heard::End) => {
                    self.converse(token, now);
                    self.hang_up(token);
                    return;
                }
                Ok(heard) => {
                    self.converse(token, now);
                    if heard == Heard::Enough {
                        break;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a database client is gone");
                    self.hang_up(token);
                    return;
                }
            }
        }
        let greedy = self.connections.get(&token).is_some_and(|connection| connection.waiting() > SMALL);
        if greedy && self.waiting > WAITING {
            tracing::warn!("a database client says too much at once: disconnecting");
            self.hang_up(token);
            return;
        }
        self.set_interest(token);
    }

    /// Carries out what a client asked for, until it has to read.
    fn converse(&mut self, token: u64, now: Now) {
        loop {
            let Some(connection) = self.connections.get_mut(&token) else {
                return;
            };
            if connection.is_full() {
                return;
            }
            let before = connection.waiting();
            let message = connection.next_message();
            let session = connection.session;
            self.waiting -= before - connection.waiting();
            let fault = match message {
                Ok(None) => return,
                Ok(Some(message)) if self.forwards(session, &message) => continue,
                Ok(Some(message)) => match self.server.receive(session, message, now) {
                    Ok(()) => None,
                    Err(breach) => Some(breach.to_string()),
                },
                Err(error) => Some(error.to_string()),
            };
            if let Some(fault) = fault {
                tracing::warn!(%fault, "a database client breaks the protocol: disconnecting");
                self.hang_up(token);
                return;
            }
            let output = self.server.take_output(session);
            if let Some(connection) = self.connections.get_mut(&token).filter(|_| !output.is_empty()) {
                connection.push(output);
                self.server.wake(session);
            }
        }
    }

    /// Sends a client what is there for it.
    fn deliver(&mut self, token: u64, now: Now) {
        let Some(connection) = self.connections.get_mut(&token).filter(|one| !one.connecting) else {
            return;
        };
        let session = connection.session;
        if connection.is_idle() && connection.write().is_err() {
            self.hang_up(token);
            return;
        }
        let done = loop {
            connection.push(self.server.take_output(session));
            if connection.is_idle() {
                self.server.flush(session);
                connection.push(self.server.take_output(session));
                if connection.is_idle() {
                    break Ok(());
                }
            }
            if let Err(error) = connection.write() {
                break Err(error);
            }
            if !connection.is_idle() {
                break Ok(());
            }
        };
        if done.is_err() || (connection.is_idle() && self.server.is_closing(session)) {
            self.hang_up(token);
            return;
        }
        if connection.is_idle() && connection.waiting() > 0 && !connection.looks_for_read {
            self.converse(token, now);
        }
        self.set_interest(token);
    }

    /// Has the poller look for what is wanted of a client.
    fn set_interest(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token).filter(|one| !one.connecting) else {
            return;
        };
        let (read, write) = (!connection.is_full(), connection.wants_write());
        if (read, write) == (connection.looks_for_read, connection.looks_for_write) {
            return;
        }
        (connection.looks_for_read, connection.looks_for_write) = (read, write);
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        let _ = epoll::modify(&self.poller, &*connection, epoll::EventData::new_u64(token), flags);
    }

    pub(super) fn hang_up(&mut self, token: u64) {
        let Some(connection) = self.connections.remove(&token) else {
            return;
        };
        self.waiting -= connection.waiting();
        self.states_changed = true;
        let _ = epoll::delete(&self.poller, connection.as_fd());
        self.sessions.remove(&connection.session);
        self.server.close_session(connection.session);
        let now = self.now().monotonic;
        for active in self.remotes.values_mut() {
            if active.connections.remove(&token) && !active.remote.listens() {
                let wait = active.retry.map_or(BACKOFF, |(_, wait)| wait);
                active.retry = Some((now + wait, (wait * 2).min(active.options.max_backoff.max(BACKOFF))));
            }
        }
    }

    /// Sets whether any client may change anything.
    pub(super) fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
        for active in self.remotes.values() {
            for connection in active.connections.iter().filter_map(|token| self.connections.get(token)) {
                self.server.set_read_only(connection.session, read_only || active.options.read_only);
            }
        }
    }

    /// How many clients there are.
    pub(super) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    fn tell_followers(&mut self) {
        let mut ended = Vec::new();
        for (index, follow) in self.followers.iter().enumerate() {
            let commits = self.server.take_commits(&follow.follower);
            if !self.server.is_followed(&follow.follower) {
                ended.push(index);
                continue;
            }
            if commits.is_empty() {
                continue;
            }
            if commits.into_iter().any(|commit| follow.sender.send(commit).is_err()) {
                ended.push(index);
            } else {
                (follow.wake)();
            }
        }
        for index in ended.into_iter().rev() {
            let Follow { follower, sender, wake } = self.followers.swap_remove(index);
            self.server.end_follower(follower);
            // The end is heard like a commit.
            drop(sender);
            wake();
        }
    }
}
