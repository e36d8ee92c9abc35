//! The Open vSwitch database is the switch's configuration: one place, whoever changes it.
//!
//! ```text
//! netloom switch, port, ... -> Switch --- what differs between two records ---> database <- ovs-vsctl, OVN, ...
//!                                ^------- what differs from what is wanted ------'  |
//!                                `------> ofport, error, statistics, cur_cfg -------'
//! ```
//!
//! What: [`Joint`] keeps a copy of the rows, writes changes of the configuration into the database, and says what others
//! changed. The database is `conf.db` of the daemon's directory, served by this process on `db.sock` (`own`), or one that
//! another process serves (`foreign`); nothing else here knows which. What rows mean is in [`super::records`].
//!
//! Invariants: a change that a request brought is in the file before the request is answered. What others write is carried
//! out as far as possible; what can't be is said in the row (`error`, `status`), and `cur_cfg` follows `next_cfg` once
//! everything was tried. Rows, columns and keys that mean nothing to us stay as they are.
//!
//! Costs: a change by others costs a look at each port, about a microsecond, and what it takes to carry it out where
//! something changed. What the switch itself says is no change ([`news`]).

mod bridge;
mod controllers;
mod exports;
mod flow_tables;
mod foreign;
mod interface;
mod keep;
mod news;
mod own;
mod qos;
mod read;
mod report;
mod tables;
mod wants;
mod watches;
mod write;

use super::configuration::SwitchConfiguration;
use super::records::{Asked, Records, wanted_with};
use super::state::SwitchError;
use crate::ovsdb::{DatabaseFile, DatabaseHandle, KeyFiles, Remote};
pub(super) use foreign::Standing;
use foreign::{Foreign, Heard};
use netloom_proto::ovsdb::{Json, OvsdbError, Row, RowChange, Schema, TableSchema, Uuid, UuidSource};
use own::Own;
use read::Readings;
use rustix::event::EventfdFlags;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use report::Told;
pub(super) use report::{Problems, Statistics};
pub(super) use watches::WatchesTold;

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

/// Who serves it.
enum Store {
    /// This process.
    Own(Own),
    /// Another one.
    Foreign(Foreign),
}

/// The database, as the switch has it.
pub(super) struct Joint {
    store: Store,
    /// Where it is, for messages.
    place: String,
    schema: Arc<Schema>,
    tables: Vec<Rows>,
    /// Rows changed since they were looked at.
    fresh: bool,
    /// What was written about ports last.
    told: Told,
    /// What was read of ports.
    readings: Readings,
}

impl std::fmt::Debug for Joint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joint").field("place", &self.place).finish_non_exhaustive()
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
    Ok(Some(wanted_with(&mut Asked::default(), &records, &SwitchConfiguration::default()).0))
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
        let (own, schema, tables) = Own::open(directory, bell)?;
        let mut joint = Self {
            store: Store::Own(own),
            place: directory.join(FILE).display().to_string(),
            schema,
            tables,
            fresh: false,
            told: Told::default(),
            readings: Readings::default(),
        };
        joint.prepare().map_err(|error| joint.failed(error))?;
        if let Store::Own(own) = &joint.store {
            own.listen()?;
        }
        Ok(joint)
    }

    /// Follows a database that another process serves. `bell` is rung when there is something new.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn follow(
        remotes: Vec<(String, Remote)>,
        keys: Option<KeyFiles>,
        bell: Arc<OwnedFd>,
    ) -> Result<Self, SwitchError> {
        let place = remotes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
        let (foreign, schema) = Foreign::follow(remotes, keys, bell)?;
        let tables = schema.tables.iter().map(|_| Rows::new()).collect();
        let store = Store::Foreign(foreign);
        Ok(Self {
            store,
            place,
            schema,
            tables,
            fresh: false,
            told: Told::default(),
            readings: Readings::default(),
        })
    }

    /// An eventfd for [`Joint::open`] and [`Joint::follow`].
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn bell() -> std::io::Result<Arc<OwnedFd>> {
        Ok(Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    fn failed(&self, error: impl std::fmt::Display) -> SwitchError {
        failed(Path::new(&self.place), error)
    }

    /// Serves it no more: clients are cut off, and the file is free.
    pub(super) fn stop(&mut self) {
        if let Store::Own(own) = &mut self.store {
            own.stop();
        }
    }

    /// Takes away what is left in the directory.
    pub(super) fn forget(&mut self) {
        if let Store::Own(own) = &mut self.store {
            own.forget();
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

    /// Whose part it is to be the switch. It is ours where the database is.
    pub(super) const fn standing(&self) -> Standing {
        match &self.store {
            Store::Own(_) => Standing::Ours,
            Store::Foreign(foreign) => foreign.standing(),
        }
    }

    /// The server of the database, where it is ours.
    pub(super) fn handle(&self) -> Option<DatabaseHandle> {
        match &self.store {
            Store::Own(own) => Some(own.handle()),
            Store::Foreign(_) => None,
        }
    }

    /// Takes in what was heard without asking.
    pub(super) fn listen(&mut self) {
        match &mut self.store {
            Store::Own(own) => {
                if own.has_news() {
                    self.take_in();
                }
            }
            Store::Foreign(_) => self.take_in(),
        }
    }

    /// Whether rows changed, or we became the switch, since this was asked last.
    pub(super) const fn take_fresh(&mut self) -> bool {
        std::mem::replace(&mut self.fresh, false)
    }

    /// Whether something is to be said again; asked once.
    pub(super) fn take_unsaid(&mut self) -> bool {
        match &mut self.store {
            Store::Own(_) => false,
            Store::Foreign(foreign) => foreign.take_unsaid(),
        }
    }

    /// Whether a transaction is under way: what is to be said is said later.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(&self.store, Store::Foreign(foreign) if foreign.is_busy())
    }

    /// Whether what the rows asked for at first was done, and said.
    pub(super) const fn is_settled(&self) -> bool {
        match &self.store {
            Store::Own(_) => true,
            Store::Foreign(foreign) => foreign.is_settled(),
        }
    }

    /// Takes in what was committed until now, by whomever, as far as it was heard of.
    fn take_in(&mut self) {
        loop {
            let heard = match &mut self.store {
                Store::Own(own) => {
                    let changes = own.changes();
                    return self.hear(Heard::Changed(changes));
                }
                Store::Foreign(foreign) => foreign.next(),
            };
            match heard {
                Some(heard) => self.hear(heard),
                None => return,
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Whole(schema, tables) => {
                (self.schema, self.tables) = (schema, tables);
                self.fresh = true;
            }
            Heard::Changed(changes) => self.change(&changes),
            // The lock may be ours now.
            Heard::Lock => self.fresh = true,
            Heard::Other => {}
        }
    }

    fn change(&mut self, changes: &[RowChange]) {
        for change in changes {
            self.fresh |= news::is_news(&self.schema, change);
            let Some(rows) = self.tables.get_mut(change.table) else { continue };
            match &change.new {
                Some(row) => rows.insert(change.uuid, row.clone()),
                None => rows.remove(&change.uuid),
            };
        }
    }

    /// Carries out operations, and has the copy of the rows be what they made. They last when this returns.
    fn transact(&mut self, operations: Vec<Json>) -> Result<(), OvsdbError> {
        if operations.is_empty() {
            return Ok(());
        }
        match &mut self.store {
            Store::Own(own) => {
                let changes = own.transact(operations, true)?;
                self.change(&changes);
                return Ok(());
            }
            Store::Foreign(foreign) => {
                let mut all = Vec::new();
                // What is said of itself ends first.
                let _ = foreign.wait(|heard| all.push(heard));
                foreign.submit(operations);
                let done = foreign.wait(|heard| all.push(heard));
                all.into_iter().for_each(|heard| self.hear(heard));
                done?;
            }
        }
        self.take_in();
        Ok(())
    }

    /// Carries out operations of which nobody waits for the outcome.
    fn say(&mut self, operations: Vec<Json>) -> Result<(), OvsdbError> {
        match &mut self.store {
            Store::Own(_) if operations.is_empty() => Ok(()),
            // A switch that starts again says it anew: it need not be on the disk.
            Store::Own(own) => {
                let changes = own.transact(operations, false)?;
                self.change(&changes);
                Ok(())
            }
            Store::Foreign(foreign) => {
                match (operations.is_empty(), foreign.is_busy()) {
                    (true, _) => foreign.settle(),
                    (false, true) => foreign.leave_unsaid(),
                    (false, false) => foreign.submit(operations),
                }
                Ok(())
            }
        }
    }

    /// Writes what differs between two records.
    ///
    /// # Errors
    /// When it can't be written; then nothing is.
    pub(super) fn keep(&mut self, before: &Records, after: &Records) -> Result<(), SwitchError> {
        // What others wrote meanwhile is written about as it is.
        self.take_in();
        if self.standing() != Standing::Ours {
            return Err(self.failed("the database is not there, or another process is the switch"));
        }
        let done = self.prepare().and_then(|()| {
            let operations = self.difference(before, after);
            self.transact(operations)
        });
        done.map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests;
