//! Frames from the interface: the receive ring, as a [`ReceiveQueue`].
//!
//! Invariants:
//! - Of each frame up to [`HEAD`] octets are copied; the rest stays in its chunks until [`ReceiveQueue::complete`] gives
//!   them back to the kernel.
//! - A descriptor counts only if the kernel had the chunk that it names, and stays inside it. What does not is counted and
//!   its frame dropped; its chunk, if it is one of ours, goes back.
//!
//! Costs: no system call while the driver needs none; for each small frame one copy of fixed-size blocks.

use super::checksum;
use super::counters::QueueCounters;
use super::program::TAG;
use super::ring::{Consumer, Producer};
use super::socket::{CONTINUED, Descriptor, Socket};
use super::umem::Chunks;
use crate::descriptor::put_back;
use crate::vhost::moves::copy_small;
use netloom_mem::{
    Anchor, BATCH, Batch, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment, Wake,
};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Shortest frame: an Ethernet header.
pub(super) const SHORTEST: usize = 14;
/// Most parts of a frame. The kernel makes at most 18 of them.
const MOST_PARTS: u32 = 64;

/// What is to be done to frames that come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Treatment {
    /// The program tells tags.
    pub(super) tags: bool,
    /// Senders may leave checksums open.
    pub(super) checksums: bool,
}

/// The queue from which a worker receives what comes in at one queue of an interface.
pub struct FromInterface {
    socket: Arc<Socket>,
    anchor: Anchor,
    port: PortNumber,
    ring: Consumer<Descriptor>,
    fill: Producer<u64>,
    chunks: Chunks,
    /// Chunks that go back when the batch is done.
    returned: Vec<u64>,
    /// Addresses and octets of the parts of one frame.
    parts: Vec<(u64, usize)>,
    treatment: Treatment,
    counters: Arc<QueueCounters>,
}

impl std::fmt::Debug for FromInterface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FromInterface").field("port", &self.port).finish_non_exhaustive()
    }
}

impl FromInterface {
    /// Lends all chunks to the kernel.
    pub(super) fn new(
        socket: Arc<Socket>,
        port: PortNumber,
        rings: (Consumer<Descriptor>, Producer<u64>),
        chunks: Chunks,
        treatment: Treatment,
        counters: Arc<QueueCounters>,
    ) -> Self {
        let anchor: Anchor = socket.umem.clone();
        let (ring, fill) = rings;
        let returned = chunks.addresses().collect();
        let parts = Vec::with_capacity(MOST_PARTS as usize);
        let mut queue =
            Self { socket, anchor, port, ring, fill, chunks, returned, parts, treatment, counters };
        queue.give_back();
        queue
    }

    /// Gives chunks back to the kernel.
    #[inline]
    fn give_back(&mut self) {
        while let Some(address) = self.returned.pop() {
            if !self.fill.push(address) {
                // There is room for every chunk; a kernel that says otherwise gets it later.
                self.returned.push(address);
                break;
            }
            self.chunks.lend(address);
        }
        self.fill.publish();
        if self.fill.wants_wakeup() {
            self.socket.wake_to_receive();
        }
    }

    /// How many descriptors the frame has that begins `used` places ahead; `None` when its end has not come yet.
    #[inline]
    fn extent(&self, used: u32, available: u32) -> Option<u32> {
        for count in 1..=MOST_PARTS {
            let last = self.ring.peek(used + count - 1)?;
            if last.options & CONTINUED == 0 {
                return Some(count);
            }
            if used + count >= available {
                return None;
            }
        }
        Some(MOST_PARTS)
    }

    /// Takes a descriptor's chunk, and gives how many octets of the frame are in it.
    #[inline]
    fn part(&mut self, descriptor: Descriptor) -> Option<usize> {
        let Descriptor { address, length, .. } = descriptor;
        let Some(chunk) = self.chunks.take(address) else {
            self.counters.invalid.add(1);
            return None;
        };
        self.returned.push(chunk);
        if length == 0 || !self.chunks.holds(address, length) {
            self.counters.invalid.add(1);
            return None;
        }
        Some(length as usize)
    }

    /// The tag that the program left before the frame.
    #[inline]
    fn tag(&self, address: u64) -> Option<[u8; 4]> {
        if !self.treatment.tags {
            return None;
        }
        let before = address.checked_sub(u64::from(TAG))?;
        if !self.chunks.holds(before, TAG + 1) {
            return None;
        }
        let pointer = self.socket.umem.at(before, TAG)?;
        // SAFETY: the four octets are inside the memory, in the chunk of a frame that is ours.
        #[allow(unsafe_code)]
        let [high, low, value @ ..] = unsafe { pointer.cast::<[u8; 4]>().read() };
        if [high, low] == [0, 0] {
            return None;
        }
        let [first, second] = u16::from_ne_bytes(value).to_be_bytes();
        Some([high, low, first, second])
    }

    /// Puts a frame of `count` descriptors into the batch.
    #[inline]
    fn frame(&mut self, used: u32, count: u32, batch: &mut Batch) {
        self.parts.clear();
        let (mut total, mut tag, mut intact) = (0, None, true);
        for ahead in used..used + count {
            let Some(descriptor) = self.ring.peek(ahead) else { return };
            match self.part(descriptor) {
                Some(length) => {
                    if ahead == used {
                        tag = self.tag(descriptor.address);
                    }
                    total += length;
                    self.parts.push((descriptor.address, length));
                }
                None => intact = false,
            }
        }
        if !intact {
            return;
        }
        if !(SHORTEST..=FRAME).contains(&total) {
            return self.counters.unfit.add(1);
        }
        if count > 1 {
            self.counters.joined.add(1);
        }
        let index = batch.len();
        let Some(slot) = batch.slot() else { return };
        // Copies the head together, and leaves in `parts` what is beyond it.
        let (mut at, mut first) = (0, 0);
        for (address, length) in &mut self.parts {
            let octets = (*length).min(HEAD - at);
            let Some(pointer) = self.socket.umem.at(*address, octets as u32) else { return };
            // SAFETY: so many octets are in the memory from there on (`at`), and the head has room for them behind `at`.
            #[allow(unsafe_code)]
            unsafe {
                copy_small(pointer, slot.head.as_mut_ptr().add(at), octets);
            }
            at += octets;
            (*address, *length) = (*address + octets as u64, *length - octets);
            if *length > 0 {
                break;
            }
            first += 1;
        }
        let mut offload = Offload::NONE;
        if self.treatment.checksums
            && let Some((start, offset)) = checksum::open(&slot.head[..at], total)
        {
            offload = Offload { partial: true, start, offset, ..Offload::NONE };
            self.counters.open_checksums.add(1);
        }
        if at == total {
            batch.commit(self.port, at, offload);
        } else {
            batch.hold(&self.anchor);
            let umem = &self.socket.umem;
            let tail = self.parts.get(first..).unwrap_or_default().iter().filter_map(|(address, length)| {
                Some(Segment { pointer: umem.at(*address, *length as u32)?, length: *length })
            });
            // SAFETY: the parts are inside the memory (`at`), which the anchor keeps mapped.
            #[allow(unsafe_code)]
            unsafe {
                batch.commit_with_tail(self.port, at, offload, tail);
            }
        }
        if let Some(tag) = tag {
            put_back(batch, index, tag);
        }
    }
}

impl ReceiveQueue for FromInterface {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.complete();
        if self.socket.unsent.load(Ordering::Relaxed) {
            // What the kernel would not send before, it may take now.
            let again = self.socket.wake_to_send().is_err_and(|error| is_temporary(&error));
            self.socket.unsent.store(again, Ordering::Relaxed);
        }
        let available = self.ring.available(BATCH as u32);
        let (mut used, before) = (0, batch.len());
        while used < available && batch.room() > 0 {
            let Some(count) = self.extent(used, available) else { break };
            self.frame(used, count, batch);
            used += count;
        }
        if used > 0 {
            self.ring.take(used);
            self.counters.received.add((batch.len() - before) as u64);
        }
        Ok(batch.len())
    }

    #[inline]
    fn complete(&mut self) {
        if !self.returned.is_empty() {
            self.give_back();
        }
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        if wanted {
            self.complete();
            // Also tells whether the interface is still there.
            self.socket.wake_to_receive();
        }
        if self.socket.gone.load(Ordering::Relaxed) {
            Wake::Never
        } else if self.socket.unsent.load(Ordering::Relaxed) {
            Wake::Poll
        } else {
            Wake::Readable(self.socket.as_fd())
        }
    }
}

/// Whether the kernel says "not now".
pub(super) fn is_temporary(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENOMEM | libc::EINTR)
    )
}
