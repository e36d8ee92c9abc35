//! A server that is another one's backup: it has what the other has, and clients may only read (ovsdb(7), "Active-Backup
//! Database Service Model").
//!
//! ```text
//! active server ──▶ DatabaseClient, one for each database ──▶ thread ──▶ DatabaseHandle::change ──▶ own file and clients
//! ```
//!
//! Invariants: as long as it is a backup no client changes anything. A database is replicated only if it has all tables and
//! columns of the other's, and never from itself.
//!
//! Absent: which of two servers is the active one is somebody else's decision.

use super::client::{DatabaseClient, Follow, News};
use super::handle::DatabaseHandle;
use super::remotes;
use crate::unixctl::Commands;
use netloom_proto::ovsdb::client::Wanted;
use netloom_proto::ovsdb::{Row, Schema, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether replication is to end.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait at first for what comes of it.
const FIRST: Duration = Duration::from_millis(300);

/// How far replication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Replicating,
    Failed,
}

/// What the threads say.
type States = Arc<Mutex<BTreeMap<String, State>>>;

/// Replication of a server's databases.
#[derive(Debug)]
pub struct Replication {
    handle: DatabaseHandle,
    /// Where relative paths of sockets are.
    directory: PathBuf,
    /// The active server.
    from: Option<String>,
    /// Tables that are not replicated: `DATABASE:TABLE`.
    excluded: BTreeSet<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    states: States,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replication {
    /// Of the databases of a server, which is no backup yet.
    #[must_use]
    pub const fn new(handle: DatabaseHandle, directory: PathBuf) -> Self {
        Self { handle, directory, from: None, excluded: BTreeSet::new(), running: None }
    }

    /// Names the active server.
    pub fn set_source(&mut self, from: &str) {
        self.from = Some(from.to_owned());
    }

    /// Sets which tables are not replicated: `DATABASE:TABLE`, separated by commas.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn exclude(&mut self, text: &str) -> Result<(), String> {
        let all: BTreeSet<String> =
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if let Some(wrong) = all.iter().find(|one| !one.contains(':')) {
            return Err(format!("\"{wrong}\" is not DATABASE:TABLE"));
        }
        self.excluded = all;
        if self.running.is_some() {
            self.start();
        }
        Ok(())
    }

    /// Becomes the backup of the active server that was named; false if none was.
    pub fn start(&mut self) -> bool {
        let Some(from) = self.from.clone() else { return false };
        self.end();
        // A server that has ended has no clients.
        let _ = self.handle.set_read_only(true);
        let names = self.handle.with(|server, _| server.names().map(str::to_owned).collect::<Vec<_>>());
        let names = names.unwrap_or_default().into_iter().filter(|name| !name.starts_with('_'));
        let (stop, states): (Arc<AtomicBool>, States) = Default::default();
        let mut threads = Vec::new();
        for name in names {
            lock(&states).insert(name.clone(), State::Connecting);
            let copy = Copy {
                handle: self.handle.clone(),
                excluded: self.excluded.clone(),
                states: states.clone(),
                stop: stop.clone(),
                name,
            };
            let (from, directory) = (from.clone(), self.directory.clone());
            let job = move || copy.run(&from, &directory);
            match std::thread::Builder::new().name("netloom-ovsdb-r".to_owned()).spawn(job) {
                Ok(thread) => threads.push(thread),
                Err(error) => tracing::error!(target: "replication", "no thread is left: {error}"),
            }
        }
        // Who asked for it may look at once what came of it.
        let until = Instant::now() + FIRST;
        let waits = |states: &States| lock(states).values().any(|state| *state == State::Connecting);
        while waits(&states) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.running = Some(Running { stop, threads, states });
        true
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.store(true, Ordering::Release);
            for thread in running.threads {
                // One that panicked has ended, too.
                let _ = thread.join();
            }
        }
    }

    /// Is no backup any more: clients may write.
    pub fn stop(&mut self) {
        self.end();
        let _ = self.handle.set_read_only(false);
    }

    /// What `sync-status` says.
    pub fn status(&mut self) -> String {
        let states = self.running.as_ref().map(|running| lock(&running.states).clone());
        let from = self.from.as_deref().unwrap_or_default();
        let Some(states) = states else { return "state: active\n".to_owned() };
        let is = |state| states.values().any(|one| *one == state);
        if !states.is_empty() && states.values().all(|state| *state == State::Failed) {
            // There is nothing that it could be a backup of.
            self.stop();
            return "state: active\n".to_owned();
        }
        match is(State::Connecting) {
            true => format!("state: backup\nconnecting: {from}"),
            false => {
                let of =
                    |(name, state): (&String, &State)| (*state == State::Replicating).then(|| name.clone());
                let names: Vec<String> = states.iter().filter_map(of).collect();
                let mut text = format!("state: backup\nreplicating: {from}\ndatabase: {}", names.join(", "));
                if !self.excluded.is_empty() {
                    text.push_str(&format!("\nexclude: {}", self.excluded()));
                }
                text
            }
        }
    }

    /// Tables that are not replicated.
    #[must_use]
    pub fn excluded(&self) -> String {
        self.excluded.iter().cloned().collect::<Vec<_>>().join(",")
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.end();
    }
}

/// One database that is replicated.
pub(super) struct Copy {
    handle: DatabaseHandle,
    name: String,
    excluded: BTreeSet<String>,
    states: States,
    stop: Arc<AtomicBool>,
}

/// What is to be done to a row: its table and its name here, and the values of its columns; nothing for one that is deleted.
pub(super) type Change = (usize, Uuid, Option<Row>);

impl Copy {
    /// Of all tables of a database.
    pub(super) fn new(handle: DatabaseHandle, name: &str, stop: Arc<AtomicBool>) -> Self {
        Self { handle, name: name.to_owned(), excluded: BTreeSet::new(), states: States::default(), stop }
    }

    /// Whether it is to end.
    pub(super) fn ends(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) const fn handle(&self) -> &DatabaseHandle {
        &self.handle
    }

    fn say(&self, state: State) {
        lock(&self.states).insert(self.name.clone(), state);
    }

    fn run(&self, from: &str, directory: &std::path::Path) {
        let remotes = match remotes(from, directory) {
            Ok(remotes) => remotes,
            Err(error) => {
                tracing::error!(target: "replication", "{error}");
                return self.say(State::Failed);
            }
        };
        let Some(own) = self.schema() else { return self.say(State::Failed) };
        let is_wanted = |table: &str| !self.excluded.contains(&format!("{}:{table}", self.name));
        let names = own.tables.iter().map(|table| table.name.to_string()).filter(|name| is_wanted(name));
        let wanted = Some(names.map(|table| Wanted { table, columns: None, condition: None }).collect());
        let keys = self.handle.key_files();
        let follow = Follow { remotes, database: self.name.clone(), wanted, lock: None, keys };
        let client = match DatabaseClient::start(follow, Box::new(|| {})) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(target: "replication", "{error}");
                return self.say(State::Failed);
            }
        };
        let server = self.handle.with(|server, _| server.id().to_string()).unwrap_or_default();
        let mut theirs: Option<Arc<Schema>> = None;
        while !self.ends() {
            match client.wait_news(LOOK) {
                Some(News::Server(id)) if id == server => {
                    tracing::warn!(target: "replication", "Self replicating is not allowed");
                    return self.say(State::Failed);
                }
                Some(News::Whole { schema, tables }) => {
                    if theirs.as_ref() != Some(&schema) && !self.may_copy(&own, &schema) {
                        return self.say(State::Failed);
                    }
                    self.take_all(&own, &schema, tables);
                    theirs = Some(schema);
                    self.say(State::Replicating);
                }
                Some(News::Changed(changes)) => {
                    let Some(theirs) = &theirs else { continue };
                    let changes = changes.into_iter().filter_map(|change| {
                        let table = here(&own, theirs, change.table)?;
                        let row =
                            change.new.as_ref().and_then(|row| own_row(&own, theirs, change.table, row));
                        Some((table, change.uuid, row))
                    });
                    self.change(changes.collect());
                }
                Some(News::Lost) => self.say(State::Connecting),
                _ => {}
            }
        }
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        let name = self.name.clone();
        self.handle.with(move |server, _| Some(server.database(&name)?.schema().clone())).ok().flatten()
    }

    /// Whether we have all tables and columns of another schema.
    fn may_copy(&self, own: &Schema, theirs: &Schema) -> bool {
        let name = &self.name;
        if own == theirs {
            return true;
        }
        let check = "Schema version mismatch, checking if";
        tracing::info!(target: "replication", "{check} {name} can still be replicated or not");
        let missing = theirs.tables.iter().find_map(|table| {
            let Some(found) = own.table(&table.name).and_then(|at| own.tables.get(at)) else {
                return Some(format!("table {}", table.name));
            };
            let column = table.columns.iter().find(|column| {
                let same = |at: usize| found.columns.get(at).is_some_and(|own| own.ty == column.ty);
                !found.column(&column.name).is_some_and(same)
            })?;
            Some(format!("column {} of table {}", column.name, table.name))
        });
        match &missing {
            Some(missing) => {
                tracing::warn!(target: "replication", "{name} cannot be replicated: there is no {missing}");
            }
            None => tracing::info!(target: "replication", "{name} can be replicated"),
        }
        missing.is_none()
    }

    /// Has what the other has, and nothing else in tables that are replicated.
    pub(super) fn take_all(&self, own: &Arc<Schema>, theirs: &Schema, tables: Vec<Vec<Arc<Row>>>) {
        let name = self.name.clone();
        let known = self.handle.with(move |server, _| {
            let database = server.database(&name)?;
            let rows =
                |at| database.table(at).into_iter().flat_map(|table| table.rows().map(|row| row.uuid()));
            let count = database.schema().tables.len();
            Some((0..count).map(|at| rows(at).collect::<BTreeSet<_>>()).collect::<Vec<_>>())
        });
        let known = known.ok().flatten().unwrap_or_default();
        let mut changes: Vec<Change> = Vec::new();
        for (at, rows) in tables.into_iter().enumerate() {
            let Some(table) = here(own, theirs, at) else { continue };
            let is_excluded = own
                .tables
                .get(table)
                .is_none_or(|table| self.excluded.contains(&format!("{}:{}", self.name, table.name)));
            if is_excluded {
                continue;
            }
            let mut gone = known.get(table).cloned().unwrap_or_default();
            for row in &rows {
                gone.remove(&row.uuid());
                changes.extend(own_row(own, theirs, at, row).map(|own| (table, row.uuid(), Some(own))));
            }
            changes.extend(gone.into_iter().map(|uuid| (table, uuid, None)));
        }
        // Tables that they do not have are empty there.
        for (at, table) in
            own.tables.iter().enumerate().filter(|(_, table)| theirs.table(&table.name).is_none())
        {
            if !self.excluded.contains(&format!("{}:{}", self.name, table.name)) {
                changes.extend(known.get(at).into_iter().flatten().map(|uuid| (at, *uuid, None)));
            }
        }
        self.change(changes);
    }

    pub(super) fn change(&self, changes: Vec<Change>) {
        let done = self.handle.change(&self.name, move |transaction, uuids| {
            for (table, uuid, row) in changes {
                match row {
                    None => transaction.delete(table, uuid),
                    Some(row) if transaction.get(table, uuid).is_none() => {
                        transaction.insert(table, row, uuids)
                    }
                    Some(row) => {
                        let Some(known) = transaction.modify(table, uuid) else { continue };
                        for (column, value) in row.fields().iter().enumerate().skip(2) {
                            if known.field(column) != value {
                                known.set(column, value.clone());
                            }
                        }
                    }
                }
            }
        });
        if let Err(error) = done {
            tracing::error!(target: "replication", "{}: {error}", self.name);
        }
    }
}

/// The place here of a table of another schema.
fn here(own: &Schema, theirs: &Schema, table: usize) -> Option<usize> {
    own.table(&theirs.tables.get(table)?.name)
}

/// A row of another schema as one of ours; columns that it does not have are as in a new row.
fn own_row(own: &Schema, theirs: &Schema, table: usize, row: &Row) -> Option<Row> {
    let (ours, their) = (own.tables.get(here(own, theirs, table)?)?, theirs.tables.get(table)?);
    let mut made = Row::new(ours, row.uuid());
    for (at, column) in their.columns.iter().enumerate().skip(2) {
        if let Some(place) = ours.column(&column.name) {
            made.set(place, row.field(at).clone());
        }
    }
    Some(made)
}

/// Adds the commands of replication.
pub fn add_commands(commands: &mut Commands<DatabaseHandle>, replication: &Arc<Mutex<Replication>>) {
    let first = |arguments: &[String]| arguments.first().cloned().unwrap_or_default();
    let of = || replication.clone();
    let own = of();
    commands.add("ovsdb-server/sync-status", "", 0, 0, move |_, _| Ok(lock(&own).status()));
    let own = of();
    commands.add("ovsdb-server/set-active-ovsdb-server", "", 1, 1, move |_, arguments| {
        lock(&own).set_source(&first(arguments));
        Ok(String::new())
    });
    let own = of();
    commands.add("ovsdb-server/get-active-ovsdb-server", "", 0, 0, move |_, _| {
        Ok(lock(&own).from.clone().unwrap_or_default())
    });
    let own = of();
    commands.add("ovsdb-server/connect-active-ovsdb-server", "", 0, 0, move |_, _| {
        Ok(match lock(&own).start() {
            true => String::new(),
            false => "Unable to connect: active server is not specified.\n".to_owned(),
        })
    });
    let own = of();
    commands.add("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, move |_, _| {
        lock(&own).stop();
        Ok(String::new())
    });
    let own = of();
    commands.add("ovsdb-server/set-sync-exclude-tables", "", 0, 1, move |_, arguments| {
        lock(&own).exclude(&first(arguments)).map(|()| String::new())
    });
    let own = of();
    commands.add("ovsdb-server/get-sync-exclude-tables", "", 0, 0, move |_, _| Ok(lock(&own).excluded()));
}
