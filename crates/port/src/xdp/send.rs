//! Frames to the interface: the send ring, as a [`SendQueue`].
//!
//! Invariants: a chunk that the kernel has is not written; it comes back by the completion ring, and only a chunk that
//! the kernel really has does. The ring has as many entries as there are chunks, so that who has a chunk has an entry.
//!
//! Costs: one copy of each frame. A driver that copies needs a system call for up to 32 frames (256 since Linux 6.17); one
//! that does not is told once when it sleeps.

use super::counters::QueueCounters;
use super::receive::{SHORTEST, is_temporary};
use super::ring::{Consumer, Producer};
use super::socket::{CONTINUED, Descriptor, Socket};
use super::umem::Chunks;
use crate::vhost::moves::copy_small;
use netloom_mem::{Batch, HEAD, PortError, SendQueue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Calls in a row that may bring nothing forward.
const PATIENCE: u32 = 2;
/// Most parts of a frame that a kernel takes from a driver that copies.
pub(super) const PARTS: u32 = 16;

/// The queue by which a worker sends out of one queue of an interface.
pub struct ToInterface {
    socket: Arc<Socket>,
    ring: Producer<Descriptor>,
    completion: Consumer<u64>,
    chunks: Chunks,
    /// Chunks that are ours, the last one used on top: it is still in the cache.
    free: Vec<u64>,
    /// Longest frame, in octets with its Ethernet header.
    longest: Arc<AtomicU32>,
    zero_copy: bool,
    dirty: bool,
    counters: Arc<QueueCounters>,
}

impl std::fmt::Debug for ToInterface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToInterface").field("free", &self.free.len()).finish_non_exhaustive()
    }
}

impl ToInterface {
    pub(super) fn new(
        socket: Arc<Socket>,
        rings: (Producer<Descriptor>, Consumer<u64>),
        chunks: Chunks,
        longest: Arc<AtomicU32>,
        zero_copy: bool,
        counters: Arc<QueueCounters>,
    ) -> Self {
        let (ring, completion) = rings;
        let free = chunks.addresses().collect();
        Self { socket, ring, completion, chunks, free, longest, zero_copy, dirty: false, counters }
    }

    /// Takes back the chunks that have gone.
    #[inline]
    fn reap(&mut self) {
        let count = self.completion.available(u32::MAX);
        for ahead in 0..count {
            let Some(address) = self.completion.peek(ahead) else { break };
            match self.chunks.take(address) {
                Some(chunk) => self.free.push(chunk),
                None => self.counters.invalid_completions.add(1),
            }
        }
        if count > 0 {
            self.completion.take(count);
        }
    }

    /// Copies a frame into chunks and puts them in the ring; false without enough of them.
    #[inline]
    fn put(&mut self, batch: &Batch, index: usize, length: usize) -> bool {
        let size = self.socket.umem.chunk() as usize;
        let parts = length.div_ceil(size);
        if parts > self.free.len() || self.ring.room(parts as u32) < parts as u32 {
            return false;
        }
        let mut from = 0;
        while from < length {
            let octets = (length - from).min(size);
            // Checked above, and all chunks are inside the memory.
            let Some(address) = self.free.pop() else { return false };
            let Some(pointer) = self.socket.umem.at(address, octets as u32) else { return false };
            let head = batch.head(index);
            if head.len() == length && length <= HEAD {
                // SAFETY: the head has `length` octets, and so has the chunk, which is ours.
                #[allow(unsafe_code)]
                unsafe {
                    copy_small(head.as_ptr(), pointer, length);
                }
            } else {
                // SAFETY: the octets are inside a chunk that is ours: nobody else reads or writes it now.
                #[allow(unsafe_code)]
                let room = unsafe { std::slice::from_raw_parts_mut(pointer, octets) };
                batch.copy(index, from, room);
            }
            from += octets;
            let options = if from < length { CONTINUED } else { 0 };
            self.chunks.lend(address);
            self.ring.push(Descriptor { address, length: octets as u32, options });
        }
        true
    }

    /// Sends what was put in so far, for its chunks; whether there are some now.
    #[cold]
    fn make_room(&mut self) -> bool {
        self.dirty = true;
        self.flush();
        self.reap();
        !self.free.is_empty()
    }

    /// Has the kernel send what is in the ring.
    fn wake(&mut self) {
        let (mut stalled, mut waiting) = (0, self.ring.waiting());
        while waiting > 0 {
            self.counters.wakeups.add(1);
            let done = self.socket.wake_to_send();
            let left = self.ring.waiting();
            match done {
                // A driver of its own goes on by itself.
                Ok(()) if self.zero_copy => break,
                Ok(()) => {}
                Err(error) if is_temporary(&error) => {}
                // The interface is down or gone: frames wait in the ring until it is full.
                Err(_) => break,
            }
            stalled = if left < waiting { 0 } else { stalled + 1 };
            waiting = left;
            if stalled >= PATIENCE && waiting > 0 {
                self.counters.stalls.add(1);
                // Whoever receives from this interface tries again.
                self.socket.unsent.store(true, Ordering::Relaxed);
                break;
            }
        }
    }
}

impl SendQueue for ToInterface {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        self.reap();
        let longest = self.longest.load(Ordering::Relaxed) as usize;
        let mut done = 0;
        for index in frames {
            let index = usize::from(*index);
            let length = batch.length(index);
            if !(SHORTEST..=longest).contains(&length) {
                self.counters.unsendable.add(1);
            } else if self.put(batch, index, length) || self.make_room() && self.put(batch, index, length) {
                self.counters.sent.add(1);
            } else {
                break;
            }
            done += 1;
        }
        self.dirty |= done > 0;
        Ok(done)
    }

    fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        self.ring.publish();
        if self.ring.wants_wakeup() {
            self.wake();
        }
    }

    fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed) as usize
    }
}
