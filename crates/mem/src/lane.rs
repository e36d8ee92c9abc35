//! Frames from one thread to another: a ring of octets in which whole frames lie one behind the other.
//!
//! ```text
//!          head                        read      tail                published by the producer with
//!  | free   |  frames that the consumer |  frames  |  frames being    [`Entrance::flush`]; given back by the
//!  |        |  still refers to          |  to read |  written         consumer with [`Outlet::release`]
//! ```
//!
//! What: the producer copies frames in (their tails lie in memory of the port that received them, which gets it back
//! soon), the consumer takes them out as a [`Batch`] whose tails lie in the lane. A frame keeps its offloads, so that a
//! segment of 64 KiB crosses in one piece.
//!
//! Invariants: frames come out in the order they went in, each once. Records lie in one piece; one that would cross the
//! end of the ring begins anew at its beginning, behind a mark. The chunks from `head` to `tail` are the consumer's, the
//! others the producer's; an index is published with release and read with acquire.
//!
//! Costs: one copy of the frame; two lines of indexes change sides once for a flush. No allocation after the lane is
//! made; its memory is touched only as far as frames come.

use crate::batch::{Anchor, Batch, FRAME, HEAD, Segment};
use crate::offload::Offload;
use crate::port::PortNumber;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets of a chunk: records begin at chunks.
const CHUNK: usize = 64;

#[repr(C, align(64))]
struct Chunk(UnsafeCell<MaybeUninit<[u8; CHUNK]>>);

/// An index on a cache line of its own.
#[repr(align(128))]
struct Line(AtomicUsize);

struct Shared {
    chunks: Box<[Chunk]>,
    /// First chunk that the consumer has not given back.
    head: Line,
    /// First chunk that is not published.
    tail: Line,
}

// SAFETY: a chunk is touched by the side that owns it only (see the invariants), and octets belong to no thread.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}

/// What stands before the octets of a frame.
#[derive(Clone, Copy)]
struct Record {
    /// Chunks of the whole record.
    chunks: u32,
    /// Octets of the frame; [`SKIP`] for a mark that leads to the beginning of the ring.
    length: u32,
    label: Label,
    from: PortNumber,
    offload: Offload,
}

const SKIP: u32 = u32::MAX;
const HEADER: usize = size_of::<Record>();
const _: () = assert!(HEADER <= CHUNK && align_of::<Record>() <= CHUNK);
/// Chunks of the largest record.
const LARGEST: usize = (HEADER + FRAME).div_ceil(CHUNK);

/// What travels beside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Label {
    /// The port that it is for.
    pub to: PortNumber,
    /// The queue of that port, where it has some.
    pub queue: u32,
    /// Limits of the port do not concern it.
    pub unlimited: bool,
}

/// The side that puts frames in.
pub struct Entrance {
    shared: Arc<Shared>,
    tail: usize,
    published: usize,
    head: usize,
}

/// The side that takes frames out.
pub struct Outlet {
    shared: Arc<Shared>,
    anchor: Anchor,
    /// First chunk that was not read.
    read: usize,
    /// First chunk that was not given back.
    head: usize,
    tail: usize,
}

impl std::fmt::Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrance").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("read", &self.read).finish_non_exhaustive()
    }
}

/// A lane of at least `octets` octets, and at least twice what the largest frame takes.
#[must_use]
pub fn lane(octets: usize) -> (Entrance, Outlet) {
    let chunks = octets.div_ceil(CHUNK).max(2 * LARGEST).next_power_of_two();
    // SAFETY: a chunk may be anything, initialised or not; left alone, memory is only taken when frames come.
    #[allow(unsafe_code)]
    let chunks = unsafe { Box::<[Chunk]>::new_uninit_slice(chunks).assume_init() };
    let shared =
        Arc::new(Shared { chunks, head: Line(AtomicUsize::new(0)), tail: Line(AtomicUsize::new(0)) });
    let anchor: Anchor = shared.clone();
    (
        Entrance { shared: shared.clone(), tail: 0, published: 0, head: 0 },
        Outlet { shared, anchor, read: 0, head: 0, tail: 0 },
    )
}

impl Shared {
    /// Where a chunk is; with all that follow it up to the end of the ring it is one piece of memory.
    fn at(&self, index: usize) -> *mut u8 {
        let first: *const Chunk = self.chunks.as_ptr();
        first.wrapping_add(index & (self.chunks.len() - 1)).cast_mut().cast()
    }

    /// Chunks from here to the end of the ring.
    fn left(&self, index: usize) -> usize {
        self.chunks.len() - (index & (self.chunks.len() - 1))
    }
}

impl Entrance {
    /// Copies a frame in; false when there is no room. It can be taken out after [`Entrance::flush`].
    #[inline]
    pub fn push(&mut self, batch: &Batch, index: usize, label: Label) -> bool {
        let length = batch.length(index);
        let chunks = (HEADER + length).div_ceil(CHUNK);
        let left = self.shared.left(self.tail);
        let skipped = if chunks > left { left } else { 0 };
        if length > FRAME || !self.has_room(skipped + chunks) {
            return false;
        }
        let record = Record {
            chunks: chunks as u32,
            length: length as u32,
            label,
            from: batch.port(index),
            offload: *batch.offload(index),
        };
        if skipped > 0 {
            // SAFETY: the chunk is ours (there is room), and a record fits into one.
            #[allow(unsafe_code)]
            unsafe {
                let mark = Record { chunks: skipped as u32, length: SKIP, ..record };
                self.shared.at(self.tail).cast::<Record>().write(mark);
            }
            self.tail = self.tail.wrapping_add(skipped);
        }
        let place = self.shared.at(self.tail);
        // SAFETY: all the record's chunks are ours, and lie in one piece because a record that would cross the end was
        // begun anew. They were not initialised; the slice is written before it is read, octet for octet.
        #[allow(unsafe_code)]
        unsafe {
            place.cast::<Record>().write(record);
            batch.copy_out(index, place.add(HEADER));
        }
        self.tail = self.tail.wrapping_add(chunks);
        true
    }

    fn has_room(&mut self, chunks: usize) -> bool {
        let room = self.shared.chunks.len();
        if room - self.tail.wrapping_sub(self.head) < chunks {
            self.head = self.shared.head.0.load(Ordering::Acquire);
        }
        room - self.tail.wrapping_sub(self.head) >= chunks
    }

    /// Publishes what was put in; true if there was anything.
    #[inline]
    pub fn flush(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.published = self.tail;
        self.shared.tail.0.store(self.tail, Ordering::Release);
        true
    }
}

impl Outlet {
    /// Adds the frames that wait to a batch, as far as it has room, with what is written beside them by their index.
    /// They refer to the lane until [`Outlet::release`].
    #[inline]
    pub fn receive(&mut self, batch: &mut Batch, labels: &mut [Label]) -> usize {
        let mut count = 0;
        let mut held = false;
        while let Some(label) = labels.get_mut(batch.len()) {
            if self.is_empty() {
                break;
            }
            let place = self.shared.at(self.read);
            // SAFETY: the chunk was published, and a record begins there.
            #[allow(unsafe_code)]
            let record = unsafe { place.cast::<Record>().read() };
            self.read = self.read.wrapping_add(record.chunks as usize);
            if record.length == SKIP {
                continue;
            }
            let length = record.length as usize;
            let head = length.min(HEAD);
            let Some(slot) = batch.slot() else { break };
            *label = record.label;
            let octets = place.wrapping_add(HEADER);
            // SAFETY: the producer wrote `length` octets behind the record; a slot has HEAD of them.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::copy_nonoverlapping(octets, slot.head.as_mut_ptr(), head);
            }
            if length == head {
                batch.commit(record.from, head, record.offload);
            } else {
                if !held {
                    batch.hold(&self.anchor);
                    held = true;
                }
                let tail = Segment { pointer: octets.wrapping_add(head), length: length - head };
                // SAFETY: the octets stay as they are until the chunks are given back, which `release` does when no
                // batch has the frame any more; the anchor keeps the memory.
                #[allow(unsafe_code)]
                unsafe {
                    batch.commit_with_tail(record.from, head, record.offload, [tail]);
                }
            }
            count += 1;
        }
        count
    }

    /// Whether no frame waits.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        if self.read == self.tail {
            self.tail = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.read == self.tail
    }

    /// Gives the room of the frames that were received back; no batch may have them any more.
    #[inline]
    pub fn release(&mut self) {
        if self.head != self.read {
            self.head = self.read;
            self.shared.head.0.store(self.head, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::BATCH;
    use crate::offload::Segmentation;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn frame(length: usize, number: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 7 + number) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]

        /// Beside a queue: what comes out is what went in, and what found no room is told.
        #[test]
        fn it_is_a_queue_of_frames(program in proptest::collection::vec(
            (prop_oneof![Just(0_usize), 0_usize..300, 1000_usize..2000, 60_000_usize..70_000], 0_u8..4), 0..60,
        )) {
            let (mut entrance, mut outlet) = lane(1);
            let (mut inward, mut outward) = (Batch::new(), Batch::new());
            let mut labels = [Label::default(); BATCH];
            let (mut oracle, mut flushed) = (VecDeque::new(), 0);
            for (number, (length, step)) in program.into_iter().enumerate() {
                match step {
                    0 => {
                        let count = outlet.receive(&mut outward, &mut labels);
                        prop_assert_eq!(count, flushed.min(BATCH));
                        for (index, label) in labels.iter().enumerate().take(count) {
                            let (octets, offload, to): (Vec<u8>, Offload, u32) = oracle.pop_front().unwrap();
                            prop_assert_eq!(outward.octets(index), octets);
                            prop_assert_eq!(outward.offload(index), &offload);
                            prop_assert_eq!(outward.port(index), to + 1);
                            prop_assert_eq!(*label, Label { to, queue: to / 3, unlimited: to % 2 == 1 });
                        }
                        flushed -= count;
                        outward.clear();
                        outlet.release();
                    }
                    1 => {
                        entrance.flush();
                        flushed = oracle.len();
                    }
                    _ => {
                        let (octets, to) = (frame(length, number), number as u32);
                        let offload = Offload {
                            segmentation: if length > 2000 { Segmentation::Tcp4 } else { Segmentation::None },
                            size: length as u16,
                            ..Offload::NONE
                        };
                        if !inward.push(to + 1, &octets, offload) {
                            prop_assert!(length > FRAME);
                            continue;
                        }
                        if entrance.push(&inward, 0, Label { to, queue: to / 3, unlimited: to % 2 == 1 }) {
                            oracle.push_back((octets, offload, to));
                        } else {
                            let waiting: usize = oracle.iter().map(|(octets, ..)| octets.len() + 2 * CHUNK).sum();
                            prop_assert!(waiting + 2 * length > FRAME);
                        }
                        inward.clear();
                    }
                }
            }
        }
    }

    #[test]
    fn threads_see_every_frame_in_order() {
        let count = if cfg!(miri) { 100 } else { 100_000 };
        let (mut entrance, mut outlet) = lane(1);
        let length = |number: usize| if number.is_multiple_of(50) { 40_000 } else { 16 + number % 700 };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut batch = Batch::new();
                for number in 0..count {
                    let mut octets = vec![number as u8; length(number)];
                    octets[..8].copy_from_slice(&number.to_ne_bytes());
                    assert!(batch.push(9, &octets, Offload::NONE));
                    while !entrance.push(&batch, 0, Label { to: number as u32, ..Label::default() }) {
                        entrance.flush();
                        std::thread::yield_now();
                    }
                    if number % 3 == 0 {
                        entrance.flush();
                    }
                    batch.clear();
                }
                entrance.flush();
            });
            let (mut batch, mut labels, mut number) = (Batch::new(), [Label::default(); BATCH], 0);
            while number < count {
                let came = outlet.receive(&mut batch, &mut labels);
                for (index, label) in labels.iter().enumerate().take(came) {
                    let octets = batch.octets(index);
                    assert_eq!(octets.len(), length(number));
                    assert_eq!(octets[..8], number.to_ne_bytes());
                    assert!(octets[8..].iter().all(|octet| *octet == number as u8));
                    assert_eq!(label.to, number as u32);
                    number += 1;
                }
                batch.clear();
                outlet.release();
                if came == 0 {
                    std::thread::yield_now();
                }
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
            let (mut entrance, mut outlet) = lane(1);
            let thread = loom::thread::spawn(move || {
                let mut batch = Batch::new();
                for number in 0..2_u8 {
                    assert!(batch.push(1, &[number; 60], Offload::NONE));
                    assert!(entrance.push(&batch, 0, Label { to: u32::from(number), ..Label::default() }));
                    assert!(entrance.flush());
                    batch.clear();
                }
            });
            let (mut batch, mut labels, mut number) = (Batch::new(), [Label::default(); 32], 0_u8);
            while number < 2 {
                for index in 0..outlet.receive(&mut batch, &mut labels) {
                    assert_eq!(batch.head(index), [number; 60]);
                    assert_eq!(labels[index].to, u32::from(number));
                    number += 1;
                }
                batch.clear();
                outlet.release();
                loom::thread::yield_now();
            }
            thread.join().unwrap();
        });
    }
}
