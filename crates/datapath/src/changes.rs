//! What changed, told to all workers: a short log that each reads when its version is another than the last it saw.
//!
//! Invariants: whoever changed what answers rest on writes it here after the change. A worker reads at the beginning of
//! a turn, and keeps an answer in the turn in which it asked: so an answer that was given before a change is either kept
//! before the worker reads of the change, or given anew. Nobody waits for a reader: one that fell too far behind takes
//! all its flows back.
//!
//! Costs: one load for each turn; a lock when something changed.

use crate::brain::Tag;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Changes that are remembered.
const REMEMBERED: usize = 4096;
/// Who is no worker.
pub(crate) const NOBODY: usize = usize::MAX;

#[derive(Debug, Default)]
struct Log {
    /// The version before the first entry.
    first: u64,
    /// What changed, and which worker knows it already.
    entries: VecDeque<(usize, Tag)>,
    /// The version at which everything changed last.
    all: u64,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    version: AtomicU64,
    log: Mutex<Log>,
}

/// What a reader has to take back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Flows that rest on these.
    Tags(Vec<Tag>),
    /// All flows.
    All,
}

impl Changes {
    /// The version now.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Tells of changes that `author` knows already.
    pub(crate) fn tell(&self, author: usize, tags: &[Tag]) {
        if tags.is_empty() {
            return;
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.entries.extend(tags.iter().map(|tag| (author, *tag)));
        let version = self.version.load(Ordering::Relaxed) + tags.len() as u64;
        let surplus = log.entries.len().saturating_sub(REMEMBERED);
        log.entries.drain(..surplus);
        log.first = version - log.entries.len() as u64;
        self.version.store(version, Ordering::Release);
    }

    /// Tells that everything changed.
    pub(crate) fn tell_all(&self) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Ordering::Relaxed) + 1;
        log.entries.clear();
        (log.first, log.all) = (version, version);
        self.version.store(version, Ordering::Release);
    }

    /// What `reader` missed since a version, which becomes the newest.
    pub(crate) fn read(&self, reader: usize, seen: &mut u64) -> Missed {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let since = std::mem::replace(seen, self.version.load(Ordering::Relaxed));
        if since < log.all || since < log.first {
            return Missed::All;
        }
        let passed = usize::try_from(since - log.first).unwrap_or(usize::MAX);
        let missed = log.entries.iter().skip(passed).filter(|(author, _)| *author != reader);
        Missed::Tags(missed.map(|(_, tag)| *tag).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Readers that come now and then take back at least what changed, and nothing that they knew unless they were
        /// away for too long.
        #[test]
        fn nobody_misses_a_change(program in proptest::collection::vec((0_usize..5, 0_usize..3, 0_u64..2000), 0..60)) {
            let changes = Changes::default();
            // What each saw, missed, and how much was told since; more than is remembered when everything changed.
            let mut readers: [(u64, BTreeSet<u64>, usize); 3] = Default::default();
            for (step, worker, number) in program {
                match step {
                    0 => {
                        changes.tell_all();
                        readers.iter_mut().for_each(|(.., told)| *told = REMEMBERED + 1);
                    }
                    1 | 2 => {
                        let tags: Vec<u64> = (0..number).collect();
                        changes.tell(worker, &tags);
                        for (reader, (_, missed, told)) in readers.iter_mut().enumerate() {
                            *told += tags.len();
                            if reader != worker {
                                missed.extend(&tags);
                            }
                        }
                    }
                    _ => {
                        let (seen, missed, told) = &mut readers[worker];
                        match changes.read(worker, seen) {
                            Missed::All => prop_assert!(*told > REMEMBERED),
                            Missed::Tags(tags) => {
                                prop_assert!(*told <= REMEMBERED);
                                prop_assert_eq!(&tags.into_iter().collect::<BTreeSet<_>>(), &*missed);
                            }
                        }
                        prop_assert_eq!(*seen, changes.version());
                        missed.clear();
                        *told = 0;
                    }
                }
            }
        }
    }
}
