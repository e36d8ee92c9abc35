//! Tables that one side publishes and workers read without locks.
//!
//! What: a version number and a value behind a lock. A reader keeps its own reference and looks at the number
//! once per turn (an acquire load); only when it changed it takes the lock, for the time of one clone.
//!
//! Invariants: a reader sees versions in order and never goes back; an old value lives exactly as long as some
//! reader still has it. [`Publisher::seen`] tells when all readers have moved on.
//!
//! Costs: one load per turn and reader. No value is copied.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
struct Shared<T> {
    version: AtomicU64,
    value: Mutex<(u64, Arc<T>)>,
    readers: Mutex<Vec<Arc<AtomicU64>>>,
}

/// The writing side.
#[derive(Debug)]
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
}

/// A reader, for one thread.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    version: u64,
    value: Arc<T>,
    seen: Arc<AtomicU64>,
}

/// A value to be published, and its first reader.
#[must_use]
pub fn snapshot<T>(value: T) -> (Publisher<T>, Reader<T>) {
    let shared = Arc::new(Shared {
        version: AtomicU64::new(0),
        value: Mutex::new((0, Arc::new(value))),
        readers: Mutex::default(),
    });
    let publisher = Publisher { shared };
    let reader = publisher.reader();
    (publisher, reader)
}

impl<T> Publisher<T> {
    /// One more reader.
    #[must_use]
    pub fn reader(&self) -> Reader<T> {
        let seen = Arc::new(AtomicU64::new(0));
        let (version, value) = self.shared.value.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.store(version, Ordering::Release);
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        Reader { shared: self.shared.clone(), version, value, seen }
    }

    /// Publishes a new value and gives its version.
    pub fn publish(&self, value: T) -> u64 {
        let mut current = self.shared.value.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 += 1;
        current.1 = Arc::new(value);
        self.shared.version.store(current.0, Ordering::Release);
        current.0
    }

    /// The oldest version that a living reader may still use.
    #[must_use]
    pub fn seen(&self) -> u64 {
        let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that is gone has left only our reference behind.
        readers.retain(|seen| Arc::strong_count(seen) > 1);
        let current = self.shared.version.load(Ordering::Acquire);
        readers.iter().map(|seen| seen.load(Ordering::Acquire)).min().unwrap_or(current)
    }
}

impl<T> Reader<T> {
    /// Moves on to the newest value; true when it changed.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        if self.shared.version.load(Ordering::Acquire) == self.version {
            return false;
        }
        self.move_on();
        true
    }

    #[cold]
    fn move_on(&mut self) {
        let (version, value) = self.shared.value.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.version = version;
        self.value = value;
        self.seen.store(version, Ordering::Release);
    }

    /// The value as of the last [`Reader::refresh`].
    #[inline]
    #[must_use]
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_move_on_by_themselves_and_the_writer_knows() {
        let (publisher, mut first) = snapshot(1);
        let mut second = publisher.reader();
        assert!(!first.refresh());
        assert_eq!(publisher.publish(2), 1);
        assert_eq!((*first.get(), publisher.seen()), (1, 0));
        assert!(first.refresh());
        assert_eq!((*first.get(), publisher.seen()), (2, 0));
        assert!(second.refresh());
        assert_eq!(publisher.seen(), 1);
        drop((first, second));
        publisher.publish(3);
        assert_eq!(publisher.seen(), 2);
    }

    #[test]
    fn versions_never_go_back_under_a_busy_writer() {
        let (publisher, mut reader) = snapshot(0_u64);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=1000).for_each(|value| assert_eq!(publisher.publish(value), value)));
            let mut last = 0;
            while last < 1000 {
                reader.refresh();
                assert!(*reader.get() >= last && *reader.get() == reader.version());
                last = *reader.get();
            }
        });
    }
}
