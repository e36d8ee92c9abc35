//! Counters that one thread writes and all may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A 64-bit counter with a single writer: adding is a load and a store, not a locked read-modify-write.
/// A second concurrent writer would lose counts, never memory safety.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds; for the one writer.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// What was counted so far.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
