//! A server of databases as a machine: messages in, messages out.
//!
//! What: whoever does I/O opens a session for each connection, hands in what it says ([`Server::receive`]) and the time
//! ([`Server::run`]), and sends what is there for it ([`Server::flush`], [`Server::take_output`]). Commits go to the
//! database's [`Storage`] before they are true.
//!
//! Invariants: an answer to a transaction comes after the updates that it brings about for the same client. A client
//! that reads slowly costs no more than its last states of rows: monitors are told of nothing while something waits to
//! be sent, and afterwards of everything at once. Sessions, monitors, locks and waiting transactions are limited.
//!
//! Costs: a commit is written once for all monitors that want the same; each of the others costs what changed.

mod handle;
mod locks;
mod monitor;
mod requests;
mod status;
mod tell;
mod triggers;

pub use handle::Follower;
pub use requests::Breach;

use super::database::Database;
use super::error::OvsdbError;
use super::history::Commit;
use super::json::Json;
use super::message::Message;
use super::record;
use super::uuid::{Uuid, UuidSource};
use locks::Locks;
use monitor::{Monitor, Spec};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tell::Told;
use triggers::Trigger;

/// The most monitors of a session.
const MONITORS: usize = 1024;
/// The most locks of a session.
const LOCKS: usize = 1024;
/// The most transactions of a session that wait.
const TRIGGERS: usize = 1024;

/// A session's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub monotonic: u64,
    /// Milliseconds since 1970.
    pub date: i64,
}

/// Where a database's commits are kept.
pub trait Storage: Send {
    /// Adds a commit. One that is `durable` is to be on the disk before anything is sent to a client.
    ///
    /// # Errors
    /// When it can't be kept: then it is not true either.
    fn append(&mut self, record: &str, durable: bool) -> Result<(), OvsdbError>;

    /// Puts a schema and all rows in the place of everything.
    ///
    /// # Errors
    /// When they can't be kept: then everything is as it was.
    fn replace(&mut self, schema: &str, snapshot: &str) -> Result<(), OvsdbError>;

    /// Has durable commits be on the disk.
    ///
    /// # Errors
    /// When they can't be brought there.
    fn sync(&mut self) -> Result<(), OvsdbError> {
        Ok(())
    }

    /// Whether it has grown so much that it should be put in order.
    fn is_long(&self) -> bool {
        false
    }
}

/// Keeps nothing: for databases that live as long as their server.
#[derive(Debug, Clone, Copy)]
pub struct Forgetful;

impl Storage for Forgetful {
    fn append(&mut self, _record: &str, _durable: bool) -> Result<(), OvsdbError> {
        Ok(())
    }

    fn replace(&mut self, _schema: &str, _snapshot: &str) -> Result<(), OvsdbError> {
        Ok(())
    }
}

/// A piece of output. Pieces of several clients may be the same.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// For one client.
    Own(String),
    /// For several.
    Shared(Arc<str>),
}

impl Chunk {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A database that is served.
struct Hosted {
    database: Database,
    storage: Box<dyn Storage>,
    /// Sessions with monitors.
    watchers: BTreeSet<SessionId>,
    triggers: Vec<Trigger>,
    /// Whether waiting transactions are to be tried again.
    changed: bool,
    /// What was told since the last commit.
    told: Vec<Told>,
}

#[derive(Default)]
struct Session {
    read_only: bool,
    db_change_aware: bool,
    /// By the text of their names.
    monitors: BTreeMap<String, Monitor>,
    triggers: usize,
    output: Vec<Chunk>,
    closing: bool,
}

/// The server.
pub struct Server {
    hosted: BTreeMap<Arc<str>, Hosted>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    specs: BTreeSet<Arc<Spec>>,
    locks: Locks,
    followers: BTreeMap<u64, (Arc<str>, VecDeque<Arc<Commit>>)>,
    next_follower: u64,
    /// Sessions for which there may be something to do.
    ready: BTreeSet<SessionId>,
    uuids: UuidSource,
    id: Uuid,
    /// It knows only the monitors of RFC 7047.
    plain_monitors: bool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.hosted.keys().map(|name| &**name).collect();
        out.debug_struct("Server").field("databases", &names).field("sessions", &self.sessions.len()).finish()
    }
}

/// A database of this name is served already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a database named {0} is served already")]
pub struct AlreadyServed(pub String);

impl Server {
    /// A server of the database `_Server` alone.
    #[must_use]
    pub fn new(mut uuids: UuidSource) -> Self {
        let id = uuids.next_uuid();
        let mut server = Self {
            hosted: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: 1,
            specs: BTreeSet::new(),
            locks: Locks::default(),
            followers: BTreeMap::new(),
            next_follower: 1,
            ready: BTreeSet::new(),
            uuids,
            id,
            plain_monitors: false,
        };
        server.host_status();
        server
    }

    /// Serves a database more. Clients that did not say that they take notice are disconnected.
    ///
    /// # Errors
    /// When there is one of the same name.
    pub fn add_database(
        &mut self,
        database: Database,
        storage: Box<dyn Storage>,
    ) -> Result<(), AlreadyServed> {
        if self.hosted.contains_key(database.name()) {
            return Err(AlreadyServed(database.name().to_owned()));
        }
        self.host(database, storage);
        self.disconnect(false);
        self.update_status();
        Ok(())
    }

    fn host(&mut self, database: Database, storage: Box<dyn Storage>) {
        let name = database.schema().name.clone();
        let hosted = Hosted {
            database,
            storage,
            watchers: BTreeSet::new(),
            triggers: Vec::new(),
            changed: false,
            told: Vec::new(),
        };
        self.hosted.insert(name, hosted);
    }

    /// Serves a database no more. Its monitors and waiting transactions are cancelled.
    pub fn remove_database(&mut self, name: &str) -> Option<Database> {
        if name.starts_with('_') {
            return None;
        }
        self.cancel_all(name);
        let hosted = self.hosted.remove(name)?;
        self.disconnect(false);
        self.update_status();
        Some(hosted.database)
    }

    /// The names of the databases, that of the server itself included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosted.keys().map(|name| &**name)
    }

    /// Knows only the monitors of RFC 7047 from now on, as old servers do. Clients are disconnected, to find that out.
    pub fn use_plain_monitors(&mut self) {
        self.plain_monitors = true;
        self.disconnect(true);
    }

    /// What the server calls itself.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// A database.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.hosted.get(name).map(|hosted| &hosted.database)
    }

    /// Opens a session.
    pub fn open_session(&mut self, read_only: bool) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(id, Session { read_only, ..Session::default() });
        id
    }

    /// Ends a session: its monitors, its locks, its waiting transactions.
    pub fn close_session(&mut self, id: SessionId) {
        if self.sessions.remove(&id).is_none() {
            return;
        }
        for hosted in self.hosted.values_mut() {
            hosted.watchers.remove(&id);
            hosted.triggers.retain(|trigger| trigger.session != id);
        }
        for (owner, name) in self.locks.unlock_all(id) {
            self.notify(owner, "locked", vec![Json::String(name)]);
        }
        self.forget_specs();
        self.ready.remove(&id);
    }

    /// Sets whether a session may change anything.
    pub fn set_read_only(&mut self, id: SessionId, read_only: bool) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.read_only = read_only;
        }
    }

    /// What the server holds, by the names that `memory/show` of Open vSwitch has for it.
    #[must_use]
    pub fn usage(&self) -> BTreeMap<&'static str, usize> {
        let mut usage = BTreeMap::new();
        let mut add = |name, count| *usage.entry(name).or_insert(0) += count;
        for hosted in self.hosted.values() {
            let database = &hosted.database;
            for (schema, table) in database.schema.tables.iter().zip(&database.tables) {
                add("cells", table.len() * schema.columns.len());
                let values = table.rows().flat_map(|row| row.fields());
                add("atoms", values.map(|value| value.atoms().len() + 2 * value.pairs().len()).sum());
                add("n-weak-refs", table.weak.len());
            }
            add("triggers", hosted.triggers.len());
            add("json-caches", hosted.told.len());
            let kept = usize::try_from(database.history.sequence() - database.history.oldest()).unwrap_or(0);
            add("txn-history", kept);
        }
        add("monitors", self.specs.len());
        add("sessions", self.sessions.len());
        usage
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The locks of a session: those it has, those it waits for, and those it lost.
    #[must_use]
    pub fn locks_of(&self, id: SessionId) -> [Vec<Arc<str>>; 3] {
        self.locks.states(id)
    }

    /// Sessions for which [`Server::flush`] or [`Server::take_output`] may give something, or that
    /// [end](Server::is_closing). Each is named once until there is more.
    pub fn take_ready(&mut self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.ready)
    }

    /// What is to be sent to a client now.
    pub fn take_output(&mut self, id: SessionId) -> Vec<Chunk> {
        self.sessions.get_mut(&id).map(|session| std::mem::take(&mut session.output)).unwrap_or_default()
    }

    /// Whether a client is to be disconnected when it was sent everything.
    #[must_use]
    pub fn is_closing(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_none_or(|session| session.closing)
    }

    /// Disconnects all clients, or those that did not say that they take notice of databases that come and go.
    pub fn disconnect(&mut self, all: bool) {
        let mut monitors = Vec::new();
        for (id, session) in &mut self.sessions {
            if all || !session.db_change_aware {
                session.closing = true;
                self.ready.insert(*id);
                monitors.extend(session.monitors.keys().map(|key| (*id, key.clone())));
            }
        }
        // What comes from now on is not told any more.
        for (id, key) in monitors {
            self.end_monitor(id, &key);
        }
    }

    /// Names a session among the [ready](Server::take_ready) ones.
    pub fn wake(&mut self, id: SessionId) {
        self.ready.insert(id);
    }

    /// Asks a client whether it is there; its answer is taken by [`Server::receive`].
    pub fn probe(&mut self, id: SessionId) {
        let echo = Message::Request { method: "echo".into(), params: Vec::new(), id: Json::string("echo") };
        self.send(id, &echo);
    }

    fn send(&mut self, id: SessionId, message: &Message) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.output.push(Chunk::Own(message.text()));
            self.ready.insert(id);
        }
    }

    /// Sends a notification after what the client's monitors have to tell.
    fn notify(&mut self, id: SessionId, method: &str, params: Vec<Json>) {
        self.flush(id);
        self.send(id, &Message::Notification { method: method.into(), params });
    }

    /// Has durable commits be on the disk; before this is done nothing may be sent. One call serves all that came
    /// together.
    ///
    /// # Errors
    /// When a storage fails: what clients were to be told may not last.
    pub fn sync(&mut self) -> Result<(), OvsdbError> {
        self.hosted.values_mut().try_for_each(|hosted| hosted.storage.sync())
    }

    /// The databases whose files should be put in order.
    #[must_use]
    pub fn long_files(&self) -> Vec<Arc<str>> {
        self.hosted
            .iter()
            .filter(|(_, hosted)| hosted.storage.is_long())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Puts the file of a database in order: one record with all its rows.
    ///
    /// # Errors
    /// When the storage fails; it is as it was then.
    pub fn compact(&mut self, name: &str, now: Now) -> Result<(), OvsdbError> {
        let Some(hosted) = self.hosted.get_mut(name) else {
            return Err(OvsdbError::new("unknown database", format!("no database named {name}")));
        };
        let schema = hosted.database.schema().to_json().text();
        let comment = "compacting database online";
        hosted.storage.replace(&schema, &record::snapshot(&hosted.database, comment, now.date))
    }
}
