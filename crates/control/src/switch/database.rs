//! The Open vSwitch database is the switch's configuration: one place, whoever changes it.
//!
//! ```text
//! netloom switch, port, ... -> Switch --- what differs between two records ---> database <- ovs-vsctl, OVN, ...
//!                                ^------- what differs from what is wanted ------'  |
//!                                `------> ofport, error, statistics, cur_cfg -------'
//! ```
//!
//! What: [`Joint`] serves `conf.db` of the daemon's directory on its `db.sock`, keeps a copy of its rows, writes changes of
//! the configuration into it, and says what others changed. What rows mean is in [`super::records`].
//!
//! Invariants: a change that a request brought is in the file before the request is answered. What others write is carried
//! out as far as possible; what can't be is said in the row (`error`, `status`), and `cur_cfg` follows `next_cfg` once
//! everything was tried. Rows, columns and keys that mean nothing to us stay as they are.
//!
//! Costs: a change by others reads all rows of bridges, ports, interfaces and mirrors again: about a microsecond each.

mod keep;
mod read;
mod report;
mod tables;
mod wants;
mod write;

use super::configuration::SwitchConfiguration;
use super::records::{Records, wanted};
use super::state::SwitchError;
use crate::ovsdb::{DatabaseFile, DatabaseHandle, OvsdbServer};
use netloom_proto::ovsdb::server::Follower;
use netloom_proto::ovsdb::{
    Commit, Json, OPEN_VSWITCH, OvsdbError, Row, Schema, TableSchema, Uuid, UuidSource,
};
use rustix::event::EventfdFlags;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

pub(super) use report::Problems;
use report::Told;

/// The file of the database, in the daemon's directory.
pub(crate) const FILE: &str = "conf.db";
/// The file that is locked beside it.
const LOCK: &str = ".conf.db.~lock~";
/// The socket on which it is served.
const SOCKET: &str = "db.sock";
/// Its name.
const NAME: &str = "Open_vSwitch";

/// A table's rows by their names.
type Rows = BTreeMap<Uuid, Arc<Row>>;

/// The database, as the switch has it.
pub(super) struct Joint {
    server: Option<OvsdbServer>,
    handle: DatabaseHandle,
    directory: PathBuf,
    schema: Arc<Schema>,
    tables: Vec<Rows>,
    /// What was committed is taken from here, in step with what is committed by ourselves.
    follower: Arc<Follower>,
    /// Tells that there is something.
    commits: Receiver<Arc<Commit>>,
    /// Rows changed since they were looked at.
    fresh: bool,
    /// What was written about ports last.
    told: Told,
}

impl std::fmt::Debug for Joint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joint").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The configuration that a daemon left behind when it was killed; none if it had none.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn left(directory: &Path) -> std::io::Result<Option<SwitchConfiguration>> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    // Nothing new gets a name here.
    let database =
        DatabaseFile::peek(&path, &mut UuidSource::new([1, 2, 3, 4])).map_err(std::io::Error::other)?;
    let records = read::records(&database);
    Ok(Some(wanted(&records, &SwitchConfiguration::default()).0))
}

fn failed(path: &Path, error: impl std::fmt::Display) -> SwitchError {
    SwitchError::Keep { path: path.to_owned(), source: std::io::Error::other(error.to_string()) }
}

impl Joint {
    /// Serves the database of a directory, which is made if it is not there. `bell` is rung when somebody changed it.
    ///
    /// # Errors
    /// When the file can't be read or written, or another process has it.
    pub(super) fn open(directory: &Path, bell: Arc<OwnedFd>) -> Result<Self, SwitchError> {
        let path = directory.join(FILE);
        let wrong = |error: &dyn std::fmt::Display| failed(&path, error);
        if !path.exists() {
            let schema = Schema::parse(OPEN_VSWITCH).map_err(|error| wrong(&error))?;
            DatabaseFile::create(&path, &schema).map_err(|error| wrong(&error))?;
        }
        let server = OvsdbServer::start().map_err(|error| wrong(&error))?;
        let handle = server.handle().clone();
        handle.add_file(&path).map_err(|error| wrong(&error))?;
        let ring = move || {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes());
        };
        let follower = handle.with(|server, _| server.follow(NAME)).map_err(|error| wrong(&error))?;
        let followed = handle.follow(NAME, Box::new(ring)).map_err(|error| wrong(&error))?;
        let by_name = |rows: Vec<Arc<Row>>| rows.into_iter().map(|row| (row.uuid(), row)).collect();
        let mut joint = Self {
            server: Some(server),
            handle,
            directory: directory.to_owned(),
            schema: followed.schema,
            tables: followed.tables.into_iter().map(by_name).collect(),
            follower: Arc::new(follower),
            commits: followed.commits,
            fresh: false,
            told: Told::default(),
        };
        joint.prepare().map_err(|error| wrong(&error))?;
        let socket = directory.join(SOCKET);
        let remote = format!("punix:{}", socket.display());
        joint.handle.add_remote(&remote).map_err(|error| failed(&socket, error))?;
        Ok(joint)
    }

    /// An eventfd for [`Joint::open`].
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn bell() -> std::io::Result<Arc<OwnedFd>> {
        Ok(Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Serves it no more: clients are cut off, and the file is free.
    pub(super) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Takes away what is left in the directory.
    pub(super) fn forget(&mut self) {
        self.stop();
        for name in [FILE, LOCK, SOCKET] {
            // What stays is an empty database.
            let _ = std::fs::remove_file(self.directory.join(name));
        }
    }

    fn table(&self, name: &str) -> Option<&TableSchema> {
        self.schema.tables.get(self.schema.table(name)?)
    }

    fn rows(&self, name: &str) -> Option<&Rows> {
        self.tables.get(self.schema.table(name)?)
    }

    /// The row of the whole.
    fn whole(&self) -> Option<Uuid> {
        self.rows(NAME)?.keys().next().copied()
    }

    /// A number that no other database has.
    pub(super) fn identity(&self) -> Option<u64> {
        self.whole().map(|uuid| uuid.as_u128() as u64)
    }

    /// Makes the row of the whole if it is not there.
    fn prepare(&mut self) -> Result<(), OvsdbError> {
        if self.whole().is_none() {
            self.transact(vec![write::insert(NAME, None, Vec::new())])?;
        }
        Ok(())
    }

    /// Takes in what was committed; true if rows changed since this was asked last.
    pub(super) fn refresh(&mut self) -> bool {
        if self.commits.try_iter().count() > 0 {
            self.take_in();
        }
        std::mem::take(&mut self.fresh)
    }

    /// Takes in what was committed until now, by whomever.
    fn take_in(&mut self) {
        let follower = self.follower.clone();
        // A server that has ended commits nothing.
        let commits = self.handle.with(move |server, _| server.take_commits(&follower)).unwrap_or_default();
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            let Some(rows) = self.tables.get_mut(change.table) else { continue };
            match &change.new {
                Some(row) => rows.insert(change.uuid, row.clone()),
                None => rows.remove(&change.uuid),
            };
            self.fresh = true;
        }
    }

    /// Carries out operations, and has the copy of the rows be what they made.
    fn transact(&mut self, mut operations: Vec<Json>) -> Result<(), OvsdbError> {
        if operations.is_empty() {
            return Ok(());
        }
        operations.push(Json::object([("op", Json::string("commit")), ("durable", Json::Bool(true))]));
        self.handle.transact(NAME, operations)?;
        self.take_in();
        Ok(())
    }

    /// Writes what differs between two records.
    ///
    /// # Errors
    /// When it can't be written; then nothing is.
    pub(super) fn keep(&mut self, before: &Records, after: &Records) -> Result<(), SwitchError> {
        // What others wrote meanwhile is written about as it is.
        self.take_in();
        let operations = self.difference(before, after);
        self.transact(operations).map_err(|error| failed(&self.directory.join(FILE), error))
    }
}
