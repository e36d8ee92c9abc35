//! The server's own process as a client: without messages.

use super::triggers::Attempt;
use super::{Now, Server};
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::history::Commit;
use crate::ovsdb::json::Json;
use crate::ovsdb::record;
use crate::ovsdb::transaction::Transaction;
use crate::ovsdb::uuid::UuidSource;
use std::collections::VecDeque;
use std::sync::Arc;

/// Who is told of a database's commits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Follower(u64);

impl Server {
    /// Carries out operations and commits them. A `wait` for what is not so fails at once.
    ///
    /// # Errors
    /// When no database has this name, an operation fails, or the end of the transaction does.
    pub fn transact_here(
        &mut self,
        name: &str,
        operations: &[Json],
        now: Now,
    ) -> Result<Vec<Json>, OvsdbError> {
        if !self.hosted.contains_key(name) {
            return Err(OvsdbError::new("unknown database", format!("no database named {name}")));
        }
        match self.attempt(name, None, operations, 0, now) {
            Attempt::Wait(_) => Err(OvsdbError::new("timed out", "\"where\" clause test failed")),
            Attempt::Answer(results) => {
                let failed = results.iter().find(|result| result.get("error").is_some());
                failed.and_then(OvsdbError::from_json).map_or(Ok(results), Err)
            }
        }
    }

    /// Changes a database without the detour over operations, and commits that. What `change` puts into rows is checked
    /// against the types of their columns.
    ///
    /// # Errors
    /// `constraint violation` or `referential integrity violation`, or when no database has this name or its storage fails.
    pub fn change_here(
        &mut self,
        name: &str,
        now: Now,
        change: impl FnOnce(&mut Transaction<'_>, &mut UuidSource),
    ) -> Result<(), OvsdbError> {
        let Some(hosted) = self.hosted.get_mut(name) else {
            return Err(OvsdbError::new("unknown database", format!("no database named {name}")));
        };
        let mut transaction = Transaction::new(&hosted.database);
        change(&mut transaction, &mut self.uuids);
        transaction.check_values()?;
        let prepared = transaction.prepare(&mut self.uuids)?;
        if prepared.is_empty() {
            return Ok(());
        }
        let schema = hosted.database.schema().clone();
        if let Some(text) = record::write(&schema, prepared.changes(), &prepared.comment, now.date) {
            hosted.storage.append(&text, false)?;
        }
        hosted.database.apply(prepared, &mut self.uuids)?;
        self.committed(name);
        Ok(())
    }

    /// Follows a database: its commits from now on are kept until they are [taken](Server::take_commits). Gives what the
    /// rows are now by [`Server::database`].
    pub fn follow(&mut self, name: &str) -> Follower {
        let id = self.next_follower;
        self.next_follower += 1;
        self.followers.insert(id, (name.into(), VecDeque::new()));
        Follower(id)
    }

    /// What was committed since this was called last.
    pub fn take_commits(&mut self, follower: &Follower) -> VecDeque<Arc<Commit>> {
        self.followers.get_mut(&follower.0).map(|(_, commits)| std::mem::take(commits)).unwrap_or_default()
    }

    /// Whether a follower's database is still the one that it began to follow: not removed, and of the same schema.
    #[must_use]
    pub fn is_followed(&self, follower: &Follower) -> bool {
        self.followers.contains_key(&follower.0)
    }

    /// Follows no more.
    pub fn end_follower(&mut self, follower: Follower) {
        self.followers.remove(&follower.0);
    }
}
