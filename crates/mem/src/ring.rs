//! A ring between two threads: one produces, one consumes, neither waits for the other.
//!
//! Invariants: values come out in the order they went in, each once. The producer owns the slots from `tail` to
//! `head + capacity`, the consumer those from `head` to `tail`; an index is published with release and read with
//! acquire, so whoever sees it sees the values before it. Indexes count without end and wrap with `usize`, which
//! is right because the capacity is a power of two.
//!
//! Costs: no atomic read-modify-write; each side keeps a copy of the other's index and reads the real one only when
//! the ring looks full or empty, so a burst costs one transfer of a cache line.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// An index on a cache line of its own.
#[repr(align(128))]
#[derive(Debug)]
struct Line(AtomicUsize);

#[derive(Debug)]
struct Shared<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// Next to be consumed.
    head: Line,
    /// Next to be produced.
    tail: Line,
}

// SAFETY: a slot is touched by the side that owns it only (see the invariants), and values move between threads.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Shared<T> {}

/// The side that puts values in.
#[derive(Debug)]
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head: usize,
}

/// The side that takes values out.
#[derive(Debug)]
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail: usize,
}

/// The ring is full; here is the value again.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// A ring for at least `capacity` values (rounded up to a power of two, at least one).
#[must_use]
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
        head: Line(AtomicUsize::new(0)),
        tail: Line(AtomicUsize::new(0)),
    });
    (Producer { shared: shared.clone(), tail: 0, head: 0 }, Consumer { shared, head: 0, tail: 0 })
}

impl<T> Shared<T> {
    fn slot(&self, index: usize) -> *mut MaybeUninit<T> {
        self.slots[index & (self.slots.len() - 1)].get()
    }
}

impl<T: Send> Producer<T> {
    /// Puts a value in.
    ///
    /// # Errors
    /// Gives it back when there is no room.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full<T>> {
        if self.tail.wrapping_sub(self.head) == self.shared.slots.len() {
            self.head = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head) == self.shared.slots.len() {
                return Err(Full(value));
            }
        }
        // SAFETY: the slot at `tail` is ours: the consumer has passed it (checked above) and does not come to it
        // before `tail` is published. It holds no value, so nothing is leaked.
        #[allow(unsafe_code)]
        unsafe {
            (*self.shared.slot(self.tail)).write(value);
        }
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T: Send> Consumer<T> {
    /// Takes the oldest value out.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: the slot at `head` is ours: the producer published it (seen with acquire) and does not come to
        // it before `head` is published. It holds a value, which is read exactly once.
        #[allow(unsafe_code)]
        let value = unsafe { (*self.shared.slot(self.head)).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        if self.head == self.tail {
            self.tail = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.head == self.tail
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Ordering::Relaxed), self.tail.0.load(Ordering::Relaxed));
        while head != tail {
            // SAFETY: both sides are gone, and the slots from head to tail hold values.
            #[allow(unsafe_code)]
            unsafe {
                (*self.slot(head)).assume_init_drop();
            }
            head = head.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    proptest::proptest! {
        #[test]
        fn it_is_a_bounded_queue(capacity in 0_usize..9, program in proptest::collection::vec(proptest::bool::ANY, 0..200)) {
            let (mut producer, mut consumer) = ring(capacity);
            let room = capacity.max(1).next_power_of_two();
            let mut oracle = VecDeque::new();
            for (number, push) in program.into_iter().enumerate() {
                // Boxed, so that a value lost or dropped twice is found by Miri and the allocator.
                if push {
                    let result = producer.push(Box::new(number));
                    proptest::prop_assert_eq!(result.is_ok(), oracle.len() < room);
                    if result.is_ok() {
                        oracle.push_back(Box::new(number));
                    }
                } else {
                    proptest::prop_assert_eq!(consumer.pop(), oracle.pop_front());
                }
            }
        }
    }

    #[test]
    fn threads_see_every_value_in_order() {
        let count = if cfg!(miri) { 200 } else { 200_000 };
        let (mut producer, mut consumer) = ring(64);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..count {
                    let mut value = Box::new(number);
                    while let Err(Full(back)) = producer.push(value) {
                        value = back;
                        std::thread::yield_now();
                    }
                }
            });
            for number in 0..count {
                let value = loop {
                    match consumer.pop() {
                        Some(value) => break value,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(*value, number);
            }
        });
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;

    #[test]
    fn every_interleaving_of_two_threads() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring::<Box<usize>>(2);
            let thread = loom::thread::spawn(move || {
                for number in 0..3 {
                    let mut value = Box::new(number);
                    while let Err(Full(back)) = producer.push(value) {
                        value = back;
                        loom::thread::yield_now();
                    }
                }
            });
            for number in 0..3 {
                let value = loop {
                    match consumer.pop() {
                        Some(value) => break value,
                        None => loom::thread::yield_now(),
                    }
                };
                assert_eq!(*value, number);
            }
            thread.join().unwrap();
        });
    }
}
