//! A batch of frames: the first octets in the batch's own memory, the rest where the port received it.
//!
//! ```text
//! slot:   | headroom 128 | head up to 256 | spare 192 |      tail: segments in somebody else's memory
//!                ^ start            ^ end                    (guest memory, a port's buffer)
//! ```
//!
//! What: headers are read and rewritten in the head, in place; the headroom lets encapsulation put octets
//! before them. A small frame lies in its head as a whole. What a large frame has beyond the head is copied
//! once, when it is sent, from where it was received.
//!
//! Invariants:
//! - Parsed octets are never read again from memory that another process can change: they are in the head.
//! - Tails stay mapped until the batch is cleared: the batch holds an [`Anchor`] of the memory they are in.
//!
//! Costs: about 18 KiB for each batch, which stays in the first-level cache because every turn uses the same.

use crate::offload::Offload;
use crate::port::PortNumber;
use std::any::Any;
use std::sync::Arc;

/// Most frames in a batch.
pub const BATCH: usize = 32;
/// Octets that can be put before a frame.
pub const HEADROOM: usize = 128;
/// Most octets of a frame that are received into the head.
pub const HEAD: usize = 256;
/// Longest frame, in octets.
pub const FRAME: usize = 65_536 + HEADROOM;
/// Room behind the head, for octets that are pulled up from the tail. The sum is an odd number of cache lines,
/// so that the slots do not fall upon the same sets.
const SPARE: usize = 192;
const SLOT: usize = HEADROOM + HEAD + SPARE;

/// Whatever keeps memory mapped as long as it is held.
pub type Anchor = Arc<dyn Any + Send + Sync>;

/// A part of a frame's tail.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// First octet. Another process may write there at any time: it may only be copied from.
    pub pointer: *const u8,
    /// Number of octets.
    pub length: usize,
}

#[repr(C, align(64))]
#[derive(Clone)]
struct Memory([u8; SLOT]);

#[derive(Debug, Clone, Copy)]
struct Frame {
    start: u16,
    end: u16,
    first: u16,
    segments: u16,
    tail: u32,
    port: PortNumber,
    offload: Offload,
}

const EMPTY: Frame =
    Frame { start: 0, end: 0, first: 0, segments: 0, tail: 0, port: 0, offload: Offload::NONE };

/// Up to [`BATCH`] frames.
pub struct Batch {
    memory: Box<[Memory]>,
    frames: [Frame; BATCH],
    count: usize,
    segments: Vec<Segment>,
    anchors: Vec<Anchor>,
    /// Tails of frames that were given as plain octets, by slot.
    copies: Vec<Box<[u8]>>,
}

// SAFETY: the pointers in `segments` lead into memory that `anchors` or `copies` keep alive, wherever the batch
// goes; nothing in it belongs to a thread.
#[allow(unsafe_code)]
unsafe impl Send for Batch {}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("frames", &&self.frames[..self.count]).finish_non_exhaustive()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the head of the next frame is written.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The head; what is beyond the frame's length has no meaning.
    pub head: &'a mut [u8; HEAD],
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            memory: vec![Memory([0; SLOT]); BATCH].into(),
            frames: [EMPTY; BATCH],
            count: 0,
            segments: Vec::with_capacity(BATCH * 4),
            anchors: Vec::new(),
            copies: Vec::new(),
        }
    }

    /// How many frames there are.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many frames still fit.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> usize {
        BATCH - self.count
    }

    /// Forgets all frames. Memory of tails stays anchored until [`Batch::release`].
    #[inline]
    pub fn clear(&mut self) {
        self.count = 0;
        self.segments.clear();
    }

    /// Lets go of the memory in which tails were, if there is no frame. A worker calls it now and then, so that
    /// the memory of a guest that is gone does not stay mapped.
    pub fn release(&mut self) {
        if self.count == 0 {
            self.anchors.clear();
        }
    }

    /// Keeps memory mapped until the batch is [released](Batch::release).
    #[inline]
    pub fn hold(&mut self, anchor: &Anchor) {
        if !self.anchors.iter().any(|held| Arc::ptr_eq(held, anchor)) {
            self.anchors.push(anchor.clone());
        }
    }

    /// Where the next frame's head goes, if there is room.
    #[inline]
    pub fn slot(&mut self) -> Option<Slot<'_>> {
        let memory = self.memory.get_mut(self.count)?;
        let head = memory.0.get_mut(HEADROOM..HEADROOM + HEAD)?;
        Some(Slot { head: head.first_chunk_mut()? })
    }

    /// Adds the frame whose first `length` octets were written to the [slot](Batch::slot).
    #[inline]
    pub fn commit(&mut self, port: PortNumber, length: usize, offload: Offload) {
        let Some(frame) = self.frames.get_mut(self.count) else { return };
        let length = length.min(HEAD);
        *frame = Frame {
            start: HEADROOM as u16,
            end: (HEADROOM + length) as u16,
            first: 0,
            segments: 0,
            tail: 0,
            port,
            offload,
        };
        self.count += 1;
    }

    /// Adds the frame whose first `length` octets were written to the slot and whose other octets are in `tail`.
    ///
    /// # Safety
    /// The segments must be readable for as long as an anchor that was given to [`Batch::hold`] lives.
    #[allow(unsafe_code)]
    #[inline]
    pub unsafe fn commit_with_tail(
        &mut self,
        port: PortNumber,
        length: usize,
        offload: Offload,
        tail: impl IntoIterator<Item = Segment>,
    ) {
        if self.count == BATCH {
            return;
        }
        let first = self.segments.len();
        self.segments.extend(tail);
        let segments = self.segments.get(first..).unwrap_or_default();
        let total: usize = segments.iter().map(|segment| segment.length).sum();
        let (Ok(first), Ok(count)) = (u16::try_from(first), u16::try_from(segments.len())) else {
            return self.segments.truncate(first);
        };
        if total > FRAME {
            return self.segments.truncate(usize::from(first));
        }
        self.commit(port, length, offload);
        if let Some(frame) = self.frames.get_mut(self.count - 1) {
            (frame.first, frame.segments, frame.tail) = (first, count, total as u32);
        }
    }

    /// Adds a copy of a frame; false when the batch is full or the frame too long. For ports that are not in
    /// a hurry, for tests and for frames that come from a queue.
    pub fn push(&mut self, port: PortNumber, octets: &[u8], offload: Offload) -> bool {
        let head = octets.len().min(HEAD);
        let index = self.count;
        let (Some(slot), true) = (self.slot(), octets.len() <= FRAME) else { return false };
        let (first, rest) = octets.split_at(head);
        for (to, from) in slot.head.iter_mut().zip(first) {
            *to = *from;
        }
        if rest.is_empty() {
            self.commit(port, head, offload);
            return true;
        }
        while self.copies.len() <= index {
            self.copies.push(Box::default());
        }
        let Some(copy) = self.copies.get_mut(index) else { return false };
        if copy.len() < rest.len() {
            *copy = vec![0; rest.len().next_power_of_two()].into();
        }
        copy[..rest.len()].copy_from_slice(rest);
        let segment = Segment { pointer: copy.as_ptr(), length: rest.len() };
        // SAFETY: the copy belongs to this slot of this batch and is written again only by the next `push`
        // into the slot, which comes after a `clear`.
        #[allow(unsafe_code)]
        unsafe {
            self.commit_with_tail(port, head, offload, [segment]);
        }
        true
    }

    #[inline]
    fn frame(&self, index: usize) -> &Frame {
        debug_assert!(index < self.count);
        &self.frames[index & (BATCH - 1)]
    }

    #[inline]
    fn frame_mut(&mut self, index: usize) -> &mut Frame {
        debug_assert!(index < self.count);
        &mut self.frames[index & (BATCH - 1)]
    }

    /// The frame's first octets: all of it, or at least [`HEAD`] of what was received.
    #[inline]
    #[must_use]
    pub fn head(&self, index: usize) -> &[u8] {
        let frame = self.frame(index);
        self.memory[index & (BATCH - 1)]
            .0
            .get(usize::from(frame.start)..usize::from(frame.end))
            .unwrap_or_default()
    }

    /// The same, to be rewritten.
    #[inline]
    pub fn head_mut(&mut self, index: usize) -> &mut [u8] {
        let (start, end) = (self.frame(index).start, self.frame(index).end);
        self.memory[index & (BATCH - 1)].0.get_mut(usize::from(start)..usize::from(end)).unwrap_or_default()
    }

    /// The parts of the frame that follow the head.
    #[inline]
    #[must_use]
    pub fn tail(&self, index: usize) -> &[Segment] {
        let frame = self.frame(index);
        let first = usize::from(frame.first);
        self.segments.get(first..first + usize::from(frame.segments)).unwrap_or_default()
    }

    /// Octets of the whole frame.
    #[inline]
    #[must_use]
    pub fn length(&self, index: usize) -> usize {
        let frame = self.frame(index);
        usize::from(frame.end - frame.start) + frame.tail as usize
    }

    /// Where the frame came in.
    #[inline]
    #[must_use]
    pub fn port(&self, index: usize) -> PortNumber {
        self.frame(index).port
    }

    /// Its offloads.
    #[inline]
    #[must_use]
    pub fn offload(&self, index: usize) -> &Offload {
        &self.frame(index).offload
    }

    /// Its offloads, to be changed.
    #[inline]
    pub fn offload_mut(&mut self, index: usize) -> &mut Offload {
        &mut self.frame_mut(index).offload
    }

    /// Puts `count` octets before the frame and gives the whole head; `None` without enough headroom.
    /// Offsets of offloads move along.
    #[inline]
    pub fn grow(&mut self, index: usize, count: usize) -> Option<&mut [u8]> {
        let frame = self.frame_mut(index);
        frame.start = frame.start.checked_sub(u16::try_from(count).ok()?)?;
        frame.offload.shift(count as i32);
        Some(self.head_mut(index))
    }

    /// Takes `count` octets from the front; false when the head has fewer.
    #[inline]
    pub fn shrink(&mut self, index: usize, count: usize) -> bool {
        let frame = self.frame_mut(index);
        if usize::from(frame.end - frame.start) < count {
            return false;
        }
        frame.start += count as u16;
        frame.offload.shift(-(count as i32));
        true
    }

    /// Takes octets from the end, so that the frame has at most `length` (padding behind a short packet).
    pub fn truncate(&mut self, index: usize, length: usize) {
        let frame = *self.frame(index);
        let head = usize::from(frame.end - frame.start);
        let mut left = length.saturating_sub(head);
        let (first, mut kept, mut tail) = (usize::from(frame.first), 0, 0);
        for segment in self.segments.iter_mut().skip(first).take(usize::from(frame.segments)) {
            if left == 0 {
                break;
            }
            segment.length = segment.length.min(left);
            left -= segment.length;
            tail += segment.length;
            kept += 1;
        }
        let frame = self.frame_mut(index);
        frame.end = frame.start + head.min(length) as u16;
        (frame.segments, frame.tail) = (kept, tail as u32);
    }

    /// Makes the first `count` octets of the frame lie in the head, if the frame and the slot have them.
    pub fn pull(&mut self, index: usize, count: usize) -> bool {
        let frame = *self.frame(index);
        let head = usize::from(frame.end - frame.start);
        if head >= count {
            return true;
        }
        let missing = count - head;
        let room = SLOT - usize::from(frame.end);
        if missing > room || missing > frame.tail as usize {
            return false;
        }
        let mut at = usize::from(frame.end);
        let mut left = missing;
        let (mut first, mut segments) = (frame.first, frame.segments);
        while left > 0 {
            let Some(segment) = self.segments.get_mut(usize::from(first)) else { return false };
            let part = segment.length.min(left);
            let Some(to) = self.memory[index & (BATCH - 1)].0.get_mut(at..at + part) else { return false };
            copy(segment.pointer, to);
            // The pointer stays inside its segment, or becomes its end.
            *segment = Segment { pointer: segment.pointer.wrapping_add(part), length: segment.length - part };
            if segment.length == 0 {
                first += 1;
                segments -= 1;
            }
            (at, left) = (at + part, left - part);
        }
        let frame = self.frame_mut(index);
        (frame.first, frame.segments, frame.tail) = (first, segments, frame.tail - missing as u32);
        frame.end = at as u16;
        true
    }

    /// Copies the frame from its octet `from` on, as far as `into` has room, and gives the number of octets.
    pub fn copy(&self, index: usize, from: usize, into: &mut [u8]) -> usize {
        let head = self.head(index);
        let mut skip = from;
        let mut at = 0;
        if let Some(part) = head.get(skip..) {
            let count = part.len().min(into.len());
            into[..count].copy_from_slice(&part[..count]);
            (at, skip) = (count, 0);
        } else {
            skip -= head.len();
        }
        for segment in self.tail(index) {
            let passed = segment.length.min(skip);
            skip -= passed;
            let count = (segment.length - passed).min(into.len() - at);
            if let Some(to) = into.get_mut(at..at + count) {
                copy(segment.pointer.wrapping_add(passed), to);
            }
            at += count;
        }
        at
    }

    /// Copies the whole frame to memory that need not be initialised.
    ///
    /// # Safety
    /// [`Batch::length`] octets are writable there, and not part of the batch.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn copy_out(&self, index: usize, into: *mut u8) {
        let head = self.head(index);
        // SAFETY: as the caller promises for the target; the head is ours, and segments are readable while the batch has
        // the frame (`commit_with_tail`).
        unsafe {
            std::ptr::copy_nonoverlapping(head.as_ptr(), into, head.len());
            let mut at = head.len();
            for segment in self.tail(index) {
                std::ptr::copy_nonoverlapping(segment.pointer, into.add(at), segment.length);
                at += segment.length;
            }
        }
    }

    /// The whole frame as plain octets, for those who keep it.
    #[must_use]
    pub fn octets(&self, index: usize) -> Vec<u8> {
        let mut octets = vec![0; self.length(index)];
        let count = self.copy(index, 0, &mut octets);
        octets.truncate(count);
        octets
    }
}

/// Copies from a segment.
#[inline]
fn copy(from: *const u8, to: &mut [u8]) {
    // SAFETY: callers pass a pointer into a segment with at least `to.len()` octets left, which the contract of
    // `commit_with_tail` keeps readable while a frame refers to it; `to` is memory of our own. Another process
    // may write the source meanwhile: then the copy is torn, and nothing depends on its contents.
    #[allow(unsafe_code)]
    unsafe {
        std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Change {
        Grow(Vec<u8>),
        Shrink(usize),
        Truncate(usize),
        Pull(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80).prop_map(Change::Grow),
            (0_usize..80).prop_map(Change::Shrink),
            (0_usize..3000).prop_map(Change::Truncate),
            (0_usize..500).prop_map(Change::Pull),
        ]
    }

    proptest! {
        #[test]
        fn a_frame_is_what_a_vector_would_be(
            octets in proptest::collection::vec(any::<u8>(), 0..3000),
            cuts in proptest::collection::vec(1_usize..700, 0..5),
            changes in proptest::collection::vec(change(), 0..12),
        ) {
            let mut batch = Batch::new();
            // The tail in pieces, in memory that the test keeps.
            let head = octets.len().min(HEAD);
            let mut rest = &octets[head..];
            let mut pieces: Vec<Box<[u8]>> = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                if !piece.is_empty() {
                    pieces.push(piece.into());
                }
                rest = after;
            }
            if !rest.is_empty() {
                pieces.push(rest.into());
            }
            batch.slot().unwrap().head[..head].copy_from_slice(&octets[..head]);
            let tail: Vec<Segment> =
                pieces.iter().map(|piece| Segment { pointer: piece.as_ptr(), length: piece.len() }).collect();
            // SAFETY: the pieces live until the end of the test.
            #[allow(unsafe_code)]
            unsafe { batch.commit_with_tail(7, head, Offload::NONE, tail) };
            let mut oracle = octets;
            for change in changes {
                match change {
                    Change::Grow(before) => {
                        if let Some(head) = batch.grow(0, before.len()) {
                            head[..before.len()].copy_from_slice(&before);
                            oracle.splice(0..0, before);
                        }
                    }
                    Change::Shrink(count) => {
                        if batch.shrink(0, count) {
                            oracle.drain(..count);
                        }
                    }
                    Change::Truncate(length) => {
                        batch.truncate(0, length);
                        oracle.truncate(length);
                    }
                    Change::Pull(count) => {
                        if batch.pull(0, count) {
                            prop_assert!(batch.head(0).len() >= count);
                        } else {
                            prop_assert!(oracle.len() < count || count > 100);
                        }
                    }
                }
                prop_assert_eq!(batch.length(0), oracle.len());
                prop_assert_eq!(&batch.octets(0), &oracle);
                prop_assert!(oracle.starts_with(batch.head(0)));
                let middle = oracle.len() / 2;
                let mut part = vec![0; oracle.len() - middle];
                prop_assert_eq!(batch.copy(0, middle, &mut part), part.len());
                prop_assert_eq!(&part[..], &oracle[middle..]);
            }
        }

        #[test]
        fn what_is_pushed_comes_out(frames in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..2000), 0..40,
        )) {
            let mut batch = Batch::new();
            for round in 0..2 {
                for (index, frame) in frames.iter().enumerate() {
                    prop_assert_eq!(batch.push(round, frame, Offload::NONE), index < BATCH);
                }
                prop_assert_eq!(batch.len(), frames.len().min(BATCH));
                for (index, frame) in frames.iter().enumerate().take(batch.len()) {
                    prop_assert_eq!(&batch.octets(index), frame);
                    prop_assert_eq!(batch.port(index), round);
                }
                batch.clear();
            }
        }
    }

    #[test]
    fn anchors_are_held_until_released() {
        let anchor: Anchor = Arc::new(1);
        let mut batch = Batch::new();
        batch.hold(&anchor);
        batch.hold(&anchor);
        assert_eq!(Arc::strong_count(&anchor), 2);
        assert!(batch.push(1, &[0; 60], Offload::NONE));
        batch.release();
        assert_eq!(Arc::strong_count(&anchor), 2);
        batch.clear();
        batch.release();
        assert_eq!(Arc::strong_count(&anchor), 1);
    }
}
