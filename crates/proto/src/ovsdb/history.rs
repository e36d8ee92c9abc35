//! What was committed last: for monitors that have not been told yet, and for clients that come back
//! (`monitor_cond_since`).
//!
//! Invariants: commits are numbered without gaps. At most 100 are kept, and no more rows than 10,000
//! when there are several.

use super::database::RowChange;
use super::uuid::Uuid;
use std::collections::VecDeque;
use std::sync::Arc;

/// The most commits that are kept.
const COMMITS: usize = 100;
/// The most rows that are kept when there are several commits.
const ROWS: usize = 10_000;

/// A commit.
#[derive(Debug)]
pub struct Commit {
    /// Its name.
    pub id: Uuid,
    /// Its number: the first has 1.
    pub sequence: u64,
    /// The rows that changed, each once.
    pub changes: Vec<RowChange>,
}

/// The last commits.
#[derive(Debug, Default)]
pub struct History {
    commits: VecDeque<Arc<Commit>>,
    sequence: u64,
    rows: usize,
}

impl History {
    /// The number of the last commit.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The name of the last commit; zero if there was none.
    #[must_use]
    pub fn last_id(&self) -> Uuid {
        self.commits.back().map_or(Uuid::ZERO, |commit| commit.id)
    }

    /// The number of the commit of this name, if what came after it is still known.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<u64> {
        self.commits.iter().rev().find(|commit| commit.id == id).map(|commit| commit.sequence)
    }

    /// The commits after the one of this number; nothing if some are not known any more.
    pub fn after(&self, sequence: u64) -> Option<impl DoubleEndedIterator<Item = &Arc<Commit>>> {
        let missing = self.sequence.checked_sub(sequence)?;
        let missing = usize::try_from(missing).ok()?;
        let skip = self.commits.len().checked_sub(missing)?;
        Some(self.commits.iter().skip(skip))
    }

    /// The oldest number `after` can be asked about.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.sequence - u64::try_from(self.commits.len()).unwrap_or(self.sequence)
    }

    pub(super) fn push(&mut self, id: Uuid, changes: Vec<RowChange>) {
        self.sequence += 1;
        self.rows += changes.len();
        self.commits.push_back(Arc::new(Commit { id, sequence: self.sequence, changes }));
    }

    /// Forgets all commits but not their number.
    pub(super) fn forget(&mut self) {
        self.commits.clear();
        self.rows = 0;
    }

    /// Begins anew after a commit of this number.
    pub(super) fn continue_after(&mut self, sequence: u64) {
        *self = Self { sequence: sequence + 1, ..Self::default() };
    }

    /// Whether commits are there that need not be kept.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.commits.len() > COMMITS || (self.rows > ROWS && self.commits.len() > 1)
    }

    /// Takes the oldest commit if there are too many.
    pub(super) fn shorten(&mut self) -> Option<Arc<Commit>> {
        if !self.is_long() {
            return None;
        }
        let commit = self.commits.pop_front()?;
        self.rows -= commit.changes.len();
        Some(commit)
    }
}
