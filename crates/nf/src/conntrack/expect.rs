//! Connections that helpers expect.
//!
//! Invariants: an expectation lives as long as the connection whose helper made it. There are [`MOST`] at most, and
//! [`EACH`] of one connection; beyond that the oldest of the same connection gives way, or the new one is not made.

use super::tuple::Tuple;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most expectations.
const MOST: usize = 65_536;
/// Most of one connection.
const EACH: usize = 64;

/// What is expected, and what the connection is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expectation {
    /// Original tuple of the connection that is its cause.
    pub(super) parent: Tuple,
    pub(super) mark: u32,
    pub(super) label: u128,
    /// What an address is replaced by, with translation.
    pub(super) replacement: u128,
    /// It replaces the source, seen from the packet that is expected; else the destination.
    pub(super) replaces_source: bool,
}

#[derive(Debug, Default)]
struct Table {
    /// By the tuple that is expected; its source port does not matter and is 0.
    expected: HashMap<Tuple, Expectation>,
    of: HashMap<Tuple, VecDeque<Tuple>>,
}

/// All expectations.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    /// How many there are, so that most packets need not ask. It may be old for a packet on another core: that packet came
    /// at the same time as the one that made the expectation.
    count: AtomicUsize,
    table: Mutex<Table>,
}

impl Expectations {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the expectation that a packet fits.
    pub(super) fn find(&self, tuple: &Tuple) -> Option<Expectation> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        self.table().expected.get(&Tuple { source_port: 0, ..*tuple }).copied()
    }

    /// Expects a connection; one that is expected already stays as it is.
    pub(super) fn add(&self, tuple: &Tuple, expectation: Expectation) {
        let key = Tuple { source_port: 0, ..*tuple };
        let mut table = self.table();
        let Table { expected, of } = &mut *table;
        if expected.contains_key(&key) {
            return;
        }
        let siblings = of.entry(expectation.parent).or_default();
        if siblings.len() >= EACH
            && let Some(oldest) = siblings.pop_front()
        {
            expected.remove(&oldest);
        }
        if expected.len() >= MOST {
            return;
        }
        siblings.push_back(key);
        expected.insert(key, expectation);
        self.count.store(expected.len(), Relaxed);
    }

    /// Forgets what a connection made expected.
    pub(super) fn forget(&self, parent: &Tuple) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut table = self.table();
        let Table { expected, of } = &mut *table;
        for key in of.remove(parent).into_iter().flatten() {
            expected.remove(&key);
        }
        self.count.store(expected.len(), Relaxed);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }
}
