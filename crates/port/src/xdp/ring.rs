//! The four rings of an AF_XDP socket: one side is the kernel, the other we, in memory that both see.
//!
//! ```text
//! fill        we produce   the kernel consumes   chunks that it may receive into
//! receive     it produces  we consume            descriptors of what came
//! send        we produce   it consumes           descriptors of what shall go
//! completion  it produces  we consume            chunks that have gone
//! ```
//!
//! Invariants:
//! - Entries between the consumer's and the producer's index are the consumer's, all others the producer's. An index is
//!   published with release and read with acquire, so whoever sees it sees the entries before it.
//! - Indexes count without end and wrap at 32 bits; the size is a power of two. The other side's index is believed only
//!   if it leaves between none and all entries to us: anything else counts as "nothing there", for ever if need be.
//! - What is in an entry is read once, and checked by whoever uses it.
//!
//! Costs: no read-modify-write; the other side's index is read again only when the last look does not suffice.

use std::marker::PhantomData;
use std::ptr::NonNull;

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, Ordering},
};
#[cfg(not(loom))]
use std::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, Ordering},
};

/// The other side wants to be told when entries come (`XDP_RING_NEED_WAKEUP`).
const NEED_WAKEUP: u32 = 1;

/// Where a ring lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<UnsafeCell<T>>,
    size: u32,
    values: PhantomData<T>,
}

// SAFETY: the memory belongs to the process; the indexes are atomic, and entries are touched by their owner only (see
// the invariants).
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Place<T> {}

impl<T: Copy> Place<T> {
    /// A ring whose parts are at these addresses; `None` when the size is not a power of two.
    ///
    /// # Safety
    /// The pointers must lead to live, aligned memory (for `size` entries) as long as the ring is used, every octet of
    /// which is a valid value, and which only the other side and the one owner of this ring touch.
    #[allow(unsafe_code)]
    pub(super) unsafe fn new(
        producer: *mut AtomicU32,
        consumer: *mut AtomicU32,
        flags: *mut AtomicU32,
        entries: *mut UnsafeCell<T>,
        size: u32,
    ) -> Option<Self> {
        if !size.is_power_of_two() {
            return None;
        }
        Some(Self {
            producer: NonNull::new(producer)?,
            consumer: NonNull::new(consumer)?,
            flags: NonNull::new(flags)?,
            entries: NonNull::new(entries)?,
            size,
            values: PhantomData,
        })
    }

    fn word(&self, word: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: `new`'s caller promised that it lives as long as the ring is used.
        #[allow(unsafe_code)]
        unsafe {
            word.as_ref()
        }
    }

    fn entry(&self, index: u32) -> &UnsafeCell<T> {
        let place = self.entries.as_ptr().wrapping_add((index & (self.size - 1)) as usize);
        // SAFETY: the masked index is below `size`, and `new`'s caller promised so many entries.
        #[allow(unsafe_code)]
        unsafe {
            &*place
        }
    }

    fn read(&self, index: u32) -> T {
        // SAFETY: the entry is ours to read: its index was published to us. Volatile, because the other side is not
        // believed to keep to that, and a value that was checked must not be read again.
        #[allow(unsafe_code)]
        #[cfg(not(loom))]
        unsafe {
            self.entry(index).get().read_volatile()
        }
        // SAFETY: the entry is ours to read: its index was published to us.
        #[allow(unsafe_code)]
        #[cfg(loom)]
        self.entry(index).with(|value| unsafe { *value })
    }

    fn write(&self, index: u32, value: T) {
        // SAFETY: the entry is ours to write: the other side has passed it, and comes back to it after we publish.
        #[allow(unsafe_code)]
        #[cfg(not(loom))]
        unsafe {
            self.entry(index).get().write_volatile(value);
        }
        // SAFETY: as above.
        #[allow(unsafe_code)]
        #[cfg(loom)]
        self.entry(index).with_mut(|place| unsafe { *place = value });
    }

    fn wants_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// Our side of a ring into which we put entries.
#[derive(Debug)]
pub(super) struct Producer<T> {
    place: Place<T>,
    /// The next entry.
    next: u32,
    /// The consumer's index when it was last looked at.
    seen: u32,
}

impl<T: Copy> Producer<T> {
    /// Goes on where the ring is.
    pub(super) fn new(place: Place<T>) -> Self {
        let next = place.word(place.producer).load(Ordering::Relaxed);
        Self { place, next, seen: place.word(place.consumer).load(Ordering::Acquire) }
    }

    fn free(&self) -> u32 {
        // A consumer that is ahead of us, or too far behind, leaves no room.
        self.place.size.saturating_sub(self.next.wrapping_sub(self.seen))
    }

    /// How many entries fit; looks again only if fewer than `wanted` did at the last look.
    #[inline]
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        if self.free() < wanted {
            self.seen = self.place.word(self.place.consumer).load(Ordering::Acquire);
        }
        self.free()
    }

    /// Puts an entry in, to be seen after [`Producer::publish`]; false when there is no room.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> bool {
        if self.room(1) == 0 {
            return false;
        }
        self.place.write(self.next, value);
        self.next = self.next.wrapping_add(1);
        true
    }

    /// Shows the other side what was put in.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.place.word(self.place.producer).store(self.next, Ordering::Release);
    }

    /// How many entries the other side has not taken yet.
    #[inline]
    pub(super) fn waiting(&mut self) -> u32 {
        self.seen = self.place.word(self.place.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(self.seen).min(self.place.size)
    }

    /// Whether the other side must be told that there are entries.
    #[inline]
    pub(super) fn wants_wakeup(&self) -> bool {
        self.place.wants_wakeup()
    }
}

/// Our side of a ring out of which we take entries.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    place: Place<T>,
    /// The next entry.
    next: u32,
    /// The producer's index when it was last looked at.
    seen: u32,
}

impl<T: Copy> Consumer<T> {
    /// Goes on where the ring is.
    pub(super) fn new(place: Place<T>) -> Self {
        let next = place.word(place.consumer).load(Ordering::Relaxed);
        Self { place, next, seen: next }
    }

    fn waiting(&self) -> u32 {
        let waiting = self.seen.wrapping_sub(self.next);
        // A producer that is behind us, or too far ahead, has produced nothing that could be used.
        if waiting <= self.place.size { waiting } else { 0 }
    }

    /// How many entries there are; looks again only if fewer than `wanted` were there at the last look.
    #[inline]
    pub(super) fn available(&mut self, wanted: u32) -> u32 {
        if self.waiting() < wanted {
            self.seen = self.place.word(self.place.producer).load(Ordering::Acquire);
        }
        self.waiting()
    }

    /// The entry so many places ahead, if it was [available](Consumer::available).
    #[inline]
    pub(super) fn peek(&self, ahead: u32) -> Option<T> {
        (ahead < self.waiting()).then(|| self.place.read(self.next.wrapping_add(ahead)))
    }

    /// Gives so many entries back.
    #[inline]
    pub(super) fn take(&mut self, count: u32) {
        self.next = self.next.wrapping_add(count.min(self.waiting()));
        self.place.word(self.place.consumer).store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
pub(super) mod memory {
    //! A ring in memory of our own, for tests: both its sides, or a side and whatever the other writes.

    use super::{AtomicU32, Place, UnsafeCell};

    /// The memory.
    pub(in crate::xdp) struct RingMemory<T> {
        pub(in crate::xdp) producer: AtomicU32,
        pub(in crate::xdp) consumer: AtomicU32,
        pub(in crate::xdp) flags: AtomicU32,
        pub(in crate::xdp) entries: Box<[UnsafeCell<T>]>,
    }

    // SAFETY: as for `Place`.
    #[allow(unsafe_code)]
    unsafe impl<T: Send> Sync for RingMemory<T> {}

    impl<T: Copy> RingMemory<T> {
        /// An empty ring whose indexes begin at `start`.
        pub(in crate::xdp) fn new(size: u32, start: u32, value: T) -> Self {
            Self {
                producer: AtomicU32::new(start),
                consumer: AtomicU32::new(start),
                flags: AtomicU32::new(0),
                entries: (0..size).map(|_| UnsafeCell::new(value)).collect(),
            }
        }

        /// The ring as one of its sides sees it. The memory must outlive the place.
        pub(in crate::xdp) fn place(&self) -> Place<T> {
            let word = |word: &AtomicU32| std::ptr::from_ref(word).cast_mut();
            // SAFETY: all parts live as long as this memory, which the tests keep.
            #[allow(unsafe_code)]
            unsafe {
                let entries = self.entries.as_ptr().cast_mut();
                let size = self.entries.len() as u32;
                Place::new(word(&self.producer), word(&self.consumer), word(&self.flags), entries, size)
            }
            .expect("a power of two")
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::memory::RingMemory;
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Push(u8),
        Publish,
        Take(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![(0_u8..6).prop_map(Step::Push), Just(Step::Publish), (0_u8..6).prop_map(Step::Take),]
    }

    proptest! {
        /// Both our sides on one ring, wherever its indexes begin: a bounded queue.
        #[test]
        fn it_is_a_bounded_queue(
            bits in 0_u32..5,
            start in prop_oneof![Just(0), (u32::MAX - 20)..=u32::MAX, any::<u32>()],
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let size = 1 << bits;
            let memory = RingMemory::new(size, start, 0_u64);
            let (mut producer, mut consumer) = (Producer::new(memory.place()), Consumer::new(memory.place()));
            let (mut seen, mut hidden, mut number) = (VecDeque::new(), VecDeque::new(), 0);
            for step in steps {
                match step {
                    Step::Push(count) => for _ in 0..count {
                        let fits = seen.len() + hidden.len() < size as usize;
                        prop_assert_eq!(producer.push(number), fits);
                        if fits {
                            hidden.push_back(number);
                        }
                        number += 1;
                    },
                    Step::Publish => {
                        producer.publish();
                        seen.append(&mut hidden);
                        prop_assert_eq!(producer.waiting() as usize, seen.len());
                    }
                    Step::Take(wanted) => {
                        let count = consumer.available(u32::from(wanted)).min(u32::from(wanted));
                        prop_assert_eq!(count as usize, seen.len().min(usize::from(wanted)));
                        for (ahead, value) in seen.drain(..count as usize).enumerate() {
                            prop_assert_eq!(consumer.peek(ahead as u32), Some(value));
                        }
                        consumer.take(count);
                    }
                }
                prop_assert_eq!(consumer.peek(size), None);
            }
        }

        /// The other side writes what it likes: nothing goes out of range, and no more is there than the ring has.
        #[test]
        fn a_mad_other_side_is_harmless(
            bits in 0_u32..5,
            starts in any::<(u32, u32)>(),
            writes in proptest::collection::vec((any::<u32>(), any::<u32>(), 0_u32..40), 0..60),
        ) {
            let size = 1 << bits;
            let memory = RingMemory::new(size, 0, 7_u64);
            memory.producer.store(starts.0, Ordering::Relaxed);
            memory.consumer.store(starts.1, Ordering::Relaxed);
            let (mut producer, mut consumer) = (Producer::new(memory.place()), Consumer::new(memory.place()));
            for (first, second, count) in writes {
                memory.producer.store(first, Ordering::Relaxed);
                memory.consumer.store(second, Ordering::Relaxed);
                prop_assert!(consumer.available(count) <= size);
                for ahead in 0..count {
                    prop_assert!(consumer.peek(ahead).is_none_or(|value| value == 7));
                }
                consumer.take(count);
                prop_assert!(producer.room(count) <= size);
                let pushed = (0..count).filter(|_| producer.push(7)).count();
                prop_assert!(pushed <= size as usize);
                producer.publish();
                prop_assert!(producer.waiting() <= size);
            }
        }
    }

    #[test]
    fn sizes_are_powers_of_two_and_the_flag_is_read() {
        let memory = RingMemory::new(4, 0, 0_u64);
        let place = memory.place();
        // SAFETY: the memory lives; a wrong size is refused.
        #[allow(unsafe_code)]
        let odd = unsafe {
            Place::new(
                place.producer.as_ptr(),
                place.consumer.as_ptr(),
                place.flags.as_ptr(),
                place.entries.as_ptr(),
                3,
            )
        };
        assert!(odd.is_none());
        let producer = Producer::new(place);
        assert!(!producer.wants_wakeup());
        memory.flags.store(1, Ordering::Relaxed);
        assert!(producer.wants_wakeup());
    }

    #[test]
    fn threads_see_every_value_in_order() {
        let count: u64 = if cfg!(miri) { 300 } else { 200_000 };
        let memory = RingMemory::new(64, u32::MAX - 100, 0_u64);
        let (mut producer, mut consumer) = (Producer::new(memory.place()), Consumer::new(memory.place()));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..count {
                    while !producer.push(number) {
                        std::thread::yield_now();
                    }
                    producer.publish();
                }
            });
            let mut number = 0;
            while number < count {
                let available = consumer.available(1);
                for ahead in 0..available {
                    assert_eq!(consumer.peek(ahead), Some(number));
                    number += 1;
                }
                consumer.take(available);
                if available == 0 {
                    std::thread::yield_now();
                }
            }
        });
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::memory::RingMemory;
    use super::*;

    #[test]
    fn every_interleaving_of_two_sides() {
        loom::model(|| {
            let memory = loom::sync::Arc::new(RingMemory::new(2, u32::MAX, 0_u64));
            let other = memory.clone();
            let thread = loom::thread::spawn(move || {
                let mut producer = Producer::new(other.place());
                for number in 1..=3 {
                    while !producer.push(number) {
                        loom::thread::yield_now();
                    }
                    producer.publish();
                }
            });
            let mut consumer = Consumer::new(memory.place());
            for number in 1..=3 {
                while consumer.available(1) == 0 {
                    loom::thread::yield_now();
                }
                assert_eq!(consumer.peek(0), Some(number));
                consumer.take(1);
            }
            thread.join().unwrap();
        });
    }
}
