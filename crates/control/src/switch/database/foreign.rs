//! The database that another process serves: `ovs-vswitchd unix:.../db.sock`.
//!
//! What: [`Foreign`] keeps what is known about it. Whoever has the lock `ovs_vswitchd` is the switch; every transaction
//! asserts it.
//!
//! Invariants: one transaction is under way at a time, so that what it says is in the rows when the next one is made from
//! what differs. Nothing of this is written anywhere here.

use super::{NAME, Rows};
use crate::ovsdb::{DatabaseClient, Follow, KeyFiles, News, Remote};
use netloom_proto::ovsdb::client::Wanted;
use netloom_proto::ovsdb::{Json, OPEN_VSWITCH, OvsdbError, Row, RowChange, Schema};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever has it is the switch.
const LOCK: &str = "ovs_vswitchd";
/// How long a change that somebody waits for may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was refused is said again after this.
const PAUSE: Duration = Duration::from_millis(100);
/// What is written and not read: it changes all the time.
const UNREAD: &[(&str, &[&str])] =
    &[("Interface", &["statistics"]), ("Mirror", &["statistics"]), (NAME, &["statistics"])];

/// Whose part it is to be the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// The rows, or whose the lock is, are not known.
    Unknown,
    /// Another process is the switch.
    Others,
    /// We are.
    Ours,
}

/// What comes from the database.
pub(super) enum Heard {
    /// All rows.
    Whole(Arc<Schema>, Vec<Rows>),
    /// Rows changed.
    Changed(Vec<RowChange>),
    /// The lock is ours, or not.
    Lock,
    /// Something else is otherwise.
    Other,
}

/// A database that another process serves.
pub(super) struct Foreign {
    client: DatabaseClient,
    /// The rows are known.
    whole: bool,
    /// Whether the lock is ours; nothing while that is not known.
    lock: Option<bool>,
    /// The transaction that is under way.
    pending: Option<u64>,
    /// How the last one ended.
    ended: Option<Result<(), OvsdbError>>,
    /// Something could not be said because a transaction was under way, or was refused.
    unsaid: bool,
    /// When it may be said again.
    again: Option<Instant>,
    /// The operations were answered at least once.
    answered: bool,
}

impl Foreign {
    /// Begins to follow a database. `bell` is rung when there is something new. Gives the schema that is expected.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn follow(
        remotes: Vec<(String, Remote)>,
        keys: Option<KeyFiles>,
        bell: Arc<OwnedFd>,
    ) -> io::Result<(Self, Arc<Schema>)> {
        let schema = Schema::parse(OPEN_VSWITCH).map_err(|error| io::Error::other(error.to_string()))?;
        let wanted = schema.tables.iter().map(|table| {
            let unread =
                UNREAD.iter().find(|(name, _)| **name == *table.name).map_or(&[][..], |(_, names)| names);
            let names =
                table.columns.iter().map(|column| &*column.name).filter(|name| !name.starts_with('_'));
            let columns = names.filter(|name| !unread.contains(name)).map(str::to_owned).collect();
            Wanted { table: table.name.to_string(), columns: Some(columns), condition: None }
        });
        let follow = Follow {
            remotes,
            database: NAME.to_owned(),
            wanted: Some(wanted.collect()),
            lock: Some(LOCK.to_owned()),
            keys,
        };
        let ring = move || {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes());
        };
        let client = DatabaseClient::start(follow, Box::new(ring))?;
        let foreign = Self {
            client,
            whole: false,
            lock: None,
            pending: None,
            ended: None,
            unsaid: false,
            again: None,
            answered: false,
        };
        Ok((foreign, Arc::new(schema)))
    }

    pub(super) const fn standing(&self) -> Standing {
        match (self.lock, self.whole) {
            (Some(false), _) => Standing::Others,
            (Some(true), true) => Standing::Ours,
            _ => Standing::Unknown,
        }
    }

    /// The next that was heard.
    pub(super) fn next(&mut self) -> Option<Heard> {
        let news = self.client.next_news()?;
        Some(self.hear(news))
    }

    fn hear(&mut self, news: News) -> Heard {
        match news {
            News::Whole { schema, tables } => {
                self.whole = true;
                let by_name = |rows: Vec<Arc<Row>>| rows.into_iter().map(|row| (row.uuid(), row)).collect();
                return Heard::Whole(schema, tables.into_iter().map(by_name).collect());
            }
            News::Changed(changes) => return Heard::Changed(changes),
            News::Answered(number, result) => {
                if self.pending == Some(number) {
                    self.pending = None;
                    self.answered = true;
                    self.again = None;
                    if let Err(error) = &result {
                        self.unsaid = true;
                        self.again = Some(Instant::now() + PAUSE);
                        if !["disconnected", "not owner"].contains(&error.tag()) {
                            tracing::warn!(target: "ovsdb_idl", "transaction error: {error}");
                        }
                    }
                    self.ended = Some(result.map(drop));
                }
            }
            News::Lock(ours) => {
                self.lock = Some(ours);
                return Heard::Lock;
            }
            News::Server(_) | News::Forwarded(..) => {}
            News::Lost => (self.whole, self.lock) = (false, None),
        }
        Heard::Other
    }

    /// Whether a transaction is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether everything that was to be said at first was said.
    pub(super) const fn is_settled(&self) -> bool {
        self.answered && self.pending.is_none()
    }

    /// Nothing had to be said.
    pub(super) const fn settle(&mut self) {
        self.answered = true;
    }

    /// Whether something is still to be said; asked once.
    pub(super) fn take_unsaid(&mut self) -> bool {
        let due = !self.is_busy() && self.again.is_none_or(|at| at <= Instant::now());
        due && std::mem::take(&mut self.unsaid)
    }

    /// Something is still to be said, once that is possible.
    pub(super) const fn leave_unsaid(&mut self) {
        self.unsaid = true;
    }

    /// Asks for operations. One transaction must not be under way.
    pub(super) fn submit(&mut self, mut operations: Vec<Json>) {
        let assert = Json::object([("op", Json::string("assert")), ("lock", Json::string(LOCK))]);
        operations.insert(0, assert);
        self.ended = None;
        self.pending = Some(self.client.transact(operations));
    }

    /// Waits until the transaction that is under way has ended; `each` gets what is heard meanwhile.
    pub(super) fn wait(&mut self, mut each: impl FnMut(Heard)) -> Result<(), OvsdbError> {
        let until = Instant::now() + PATIENCE;
        while self.is_busy() {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.wait_news(left) {
                Some(news) => each(self.hear(news)),
                None if left.is_zero() => {
                    return Err(OvsdbError::new("timed out", "the database server does not answer"));
                }
                None => {}
            }
        }
        self.ended.take().unwrap_or(Ok(()))
    }
}
