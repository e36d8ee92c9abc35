//! A queue pair of a DPDK device, as a [`ReceiveQueue`] and a [`SendQueue`].
//!
//! Invariants: a buffer is ours from the moment the driver gives it until it is freed or given to be sent, once. Buffers of
//! a batch are freed when it is done; what is beyond the heads stays in them until then.
//!
//! Costs: one copy of small frames each way, and no system call by itself; a worker must poll, since few of the virtual
//! devices can wake it.

use super::environment::register;
use super::port::Device;
use super::sys;
use netloom_mem::{
    Anchor, BATCH, Batch, Counter, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment,
    SendQueue, Wake,
};
use std::sync::Arc;

/// Shortest frame: an Ethernet header.
const SHORTEST: usize = 14;

/// What happens at a queue pair.
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Frames received and dropped because they were shorter than an Ethernet header or longer than any frame.
    pub unfit: Counter,
    /// Frames that were too long or too short to be sent.
    pub unsendable: Counter,
    /// Times that there was no buffer for a frame to be sent.
    pub no_buffer: Counter,
}

/// Buffers that are ours.
struct Buffers {
    list: [*mut sys::Buffer; BATCH],
    count: usize,
}

// SAFETY: buffers belong to a pool that threads share; a list of them belongs to its owner.
#[allow(unsafe_code)]
unsafe impl Send for Buffers {}

impl Buffers {
    const NONE: Self = Self { list: [std::ptr::null_mut(); BATCH], count: 0 };

    fn free(&mut self) {
        if self.count > 0 {
            // SAFETY: the first `count` buffers are ours, and are not used after this.
            #[allow(unsafe_code)]
            unsafe {
                sys::netloom_dpdk_free(self.list.as_mut_ptr(), self.count as u32);
            }
            self.count = 0;
        }
    }
}

/// The queue from which a worker receives what comes in at one queue of a device.
pub struct FromDevice {
    device: Arc<Device>,
    anchor: Anchor,
    queue: u16,
    port: PortNumber,
    buffers: Buffers,
    parts: Vec<(usize, u32)>,
    counters: Arc<QueueCounters>,
}

impl std::fmt::Debug for FromDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FromDevice")
            .field("port", &self.port)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl FromDevice {
    pub(super) fn new(
        device: Arc<Device>,
        queue: u16,
        port: PortNumber,
        counters: Arc<QueueCounters>,
    ) -> Self {
        let anchor: Anchor = device.memory.clone();
        Self { device, anchor, queue, port, buffers: Buffers::NONE, parts: Vec::new(), counters }
    }

    /// Puts a frame into the batch.
    fn frame(&mut self, buffer: *mut sys::Buffer, batch: &mut Batch) {
        self.parts.clear();
        let mut part = sys::Part { data: std::ptr::null_mut(), next: buffer, length: 0, total: 0 };
        let mut total = 0_usize;
        while !part.next.is_null() {
            // SAFETY: the buffer is one of the driver's chain, which is ours until it is freed.
            #[allow(unsafe_code)]
            unsafe {
                sys::netloom_dpdk_look(part.next, &raw mut part);
            }
            total = total.saturating_add(part.length as usize);
            self.parts.push((part.data as usize, part.length));
        }
        if !(SHORTEST..=FRAME).contains(&total) {
            return self.counters.unfit.add(1);
        }
        let Some(slot) = batch.slot() else { return };
        let (mut at, mut first) = (0, 0);
        for (address, length) in &mut self.parts {
            let octets = (*length as usize).min(HEAD - at);
            // SAFETY: the part has so many octets, and the head has room for them behind `at`.
            #[allow(unsafe_code)]
            unsafe {
                let from = *address as *const u8;
                from.copy_to_nonoverlapping(slot.head.as_mut_ptr().add(at), octets);
            }
            at += octets;
            (*address, *length) = (*address + octets, *length - octets as u32);
            if *length > 0 {
                break;
            }
            first += 1;
        }
        if at == total {
            return batch.commit(self.port, at, Offload::NONE);
        }
        batch.hold(&self.anchor);
        let tail =
            self.parts.get(first..).unwrap_or_default().iter().map(|(address, length)| Segment {
                pointer: *address as *const u8,
                length: *length as usize,
            });
        // SAFETY: the parts are in buffers of the pool, whose memory the anchor keeps.
        #[allow(unsafe_code)]
        unsafe {
            batch.commit_with_tail(self.port, at, Offload::NONE, tail);
        }
    }
}

impl ReceiveQueue for FromDevice {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.complete();
        register();
        let room = batch.room().min(BATCH) as u16;
        let (port, list) = (self.device.port, self.buffers.list.as_mut_ptr());
        // SAFETY: the list has room for so many, and this queue of the device is used by us alone.
        #[allow(unsafe_code)]
        let count = unsafe { sys::netloom_dpdk_receive(port, self.queue, list, room) };
        self.buffers.count = usize::from(count).min(BATCH);
        for index in 0..self.buffers.count {
            self.frame(self.buffers.list[index], batch);
        }
        Ok(batch.len())
    }

    fn complete(&mut self) {
        self.buffers.free();
    }

    fn wake(&mut self, _wanted: bool) -> Wake<'_> {
        Wake::Poll
    }
}

impl Drop for FromDevice {
    fn drop(&mut self) {
        self.buffers.free();
    }
}

/// The queue by which a worker sends out of one queue of a device.
#[derive(Debug)]
pub struct ToDevice {
    device: Arc<Device>,
    queue: u16,
    counters: Arc<QueueCounters>,
}

impl ToDevice {
    pub(super) fn new(device: Arc<Device>, queue: u16, counters: Arc<QueueCounters>) -> Self {
        Self { device, queue, counters }
    }

    /// A copy of a frame in buffers; none when there are too few, or it has too many parts.
    fn copy(&self, batch: &Batch, index: usize, length: usize) -> Option<*mut sys::Buffer> {
        // SAFETY: the pool lives as long as the device.
        #[allow(unsafe_code)]
        let first =
            unsafe { sys::netloom_dpdk_buffer(self.device.pool(), length as u32, self.device.segments) };
        if first.is_null() {
            return None;
        }
        let mut part = sys::Part { data: std::ptr::null_mut(), next: first, length: 0, total: 0 };
        let mut from = 0;
        while !part.next.is_null() {
            // SAFETY: the buffer is one of the chain that was just made, and nobody else's; it has so many octets.
            #[allow(unsafe_code)]
            let room = unsafe {
                sys::netloom_dpdk_look(part.next, &raw mut part);
                std::slice::from_raw_parts_mut(part.data, part.length as usize)
            };
            from += batch.copy(index, from, room);
        }
        Some(first)
    }
}

impl SendQueue for ToDevice {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        register();
        let longest = self.longest();
        let mut buffers = Buffers::NONE;
        // For each buffer how many of the frames are done when it has gone.
        let (mut done, mut after) = (0, [0; BATCH]);
        for index in frames.iter().take(BATCH) {
            let index = usize::from(*index);
            let length = batch.length(index);
            done += 1;
            if !(SHORTEST..=longest).contains(&length) {
                self.counters.unsendable.add(1);
                continue;
            }
            let Some(buffer) = self.copy(batch, index, length) else {
                self.counters.no_buffer.add(1);
                done -= 1;
                break;
            };
            buffers.list[buffers.count] = buffer;
            after[buffers.count] = done;
            buffers.count += 1;
        }
        if buffers.count == 0 {
            return Ok(done);
        }
        let (port, list) = (self.device.port, buffers.list.as_mut_ptr());
        // SAFETY: the first `count` buffers are ours, and this queue of the device is used by us alone. Those that were
        // taken are the driver's from here on.
        #[allow(unsafe_code)]
        let taken = unsafe { sys::netloom_dpdk_send(port, self.queue, list, buffers.count as u16) };
        let taken = usize::from(taken).min(buffers.count);
        if taken == buffers.count {
            return Ok(done);
        }
        buffers.list.copy_within(taken..buffers.count, 0);
        buffers.count -= taken;
        buffers.free();
        Ok(after[taken] - 1)
    }

    fn longest(&self) -> usize {
        self.device.longest()
    }
}
