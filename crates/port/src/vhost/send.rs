//! Frames to the guest: its receive ring, as a [`SendQueue`].
//!
//! ```text
//! send: top up what was looked at ─▶ header and frame into the guest's buffers, a used element each
//! flush: publish ─▶ look at the next buffers ─▶ interrupt, if wanted
//! ```
//!
//! Invariants:
//! - A frame is written only where the guest's buffers have room for all of it; else it is not taken (mergeable
//!   buffers: more may come) or dropped and counted (one chain that is too small).
//! - The guest sees no frame before `flush`. From the first `send` to `flush` the worker counts as busy with the ring.
//!
//! Costs: for each small frame one copy of fixed-size blocks; the virtio-net header is compared and written only where
//! it differs, since its line is otherwise shared with the guest's core.

use super::counters::{Broken, Drop as DropReason, QueueCounters};
use super::features::{self, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, GUEST_USO4, GUEST_USO6, MRG_RXBUF, has};
use super::handover::{Exchange, Setup, signal};
use super::moves::{copy, copy_small};
use super::packed::Packed;
use super::ring::{Ahead, DEPTH, Parts, Ring};
use super::split::Split;
use netloom_mem::{BATCH, Batch, FRAME, Offload, PortError, Segmentation, SendQueue};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A guest that agreed to these takes every frame as it is. Without GUEST_ECN the mark is left out.
const ALL_KINDS: u64 =
    1 << GUEST_CSUM | 1 << GUEST_TSO4 | 1 << GUEST_TSO6 | 1 << GUEST_USO4 | 1 << GUEST_USO6;

/// The queue by which a worker sends to the guest.
pub struct ToGuest {
    exchange: Arc<Exchange>,
    version: u64,
    state: State,
    entered: bool,
}

enum State {
    Idle,
    Split(Box<Sender<Split>>),
    Packed(Box<Sender<Packed>>),
}

impl std::fmt::Debug for ToGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToGuest").field("version", &self.version).finish_non_exhaustive()
    }
}

impl ToGuest {
    pub(super) const fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange, version: 0, state: State::Idle, entered: false }
    }

    /// What happened at this queue.
    #[must_use]
    pub fn counters(&self) -> &QueueCounters {
        &self.exchange.counters
    }

    /// Whether the guest has a started ring here. With several queue pairs a guest may use only the first ones.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    #[cold]
    fn change(&mut self) {
        let (version, setup) = self.exchange.take();
        self.version = version;
        self.exchange.counters.changes.add(1);
        let last = std::mem::replace(&mut self.state, State::Idle);
        let Some(setup) = setup else { return };
        let continued = match &last {
            State::Idle => false,
            State::Split(sender) => Arc::ptr_eq(&sender.setup.position, &setup.position),
            State::Packed(sender) => Arc::ptr_eq(&sender.setup.position, &setup.position),
        };
        if continued && self.exchange.counters.broken().is_some() {
            return;
        }
        self.exchange.counters.set_broken(None);
        self.state = if has(setup.features, features::RING_PACKED) {
            Sender::new(setup).map_or(State::Idle, |sender| State::Packed(Box::new(sender)))
        } else {
            Sender::new(setup).map_or(State::Idle, |sender| State::Split(Box::new(sender)))
        };
    }

    #[cold]
    fn stop(&mut self, broken: Broken) {
        let error = match &self.state {
            State::Idle => None,
            State::Split(sender) => sender.setup.error.as_ref(),
            State::Packed(sender) => sender.setup.error.as_ref(),
        };
        if let Some(error) = error {
            signal(error);
        }
        self.exchange.counters.set_broken(Some(broken));
        self.state = State::Idle;
    }

    #[inline(always)]
    fn enter(&mut self) {
        if !self.entered {
            self.entered = true;
            if self.exchange.enter(self.version) {
                self.change();
            }
        }
    }
}

impl SendQueue for ToGuest {
    #[inline]
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        self.enter();
        let counters = &self.exchange.counters;
        let (sent, fault) = match &mut self.state {
            State::Idle => {
                self.entered = false;
                self.exchange.leave();
                return Err(PortError::Gone);
            }
            State::Split(sender) => (sender.send(batch, frames, counters), sender.ring.fault()),
            State::Packed(sender) => (sender.send(batch, frames, counters), sender.ring.fault()),
        };
        if let (0, Some(broken)) = (sent, fault) {
            self.flush();
            self.stop(broken);
        }
        Ok(sent)
    }

    #[inline]
    fn flush(&mut self) {
        if !self.entered {
            return;
        }
        let interrupted = match &mut self.state {
            State::Idle => false,
            State::Split(sender) => sender.flush(),
            State::Packed(sender) => sender.flush(),
        };
        if interrupted {
            self.exchange.counters.interrupts.add(1);
        }
        self.entered = false;
        self.exchange.leave();
    }

    fn is_ready(&mut self) -> bool {
        self.enter();
        if matches!(self.state, State::Idle) {
            self.entered = false;
            self.exchange.leave();
            return false;
        }
        true
    }

    fn takes_offloads(&self) -> bool {
        let all = |features: u64| features & ALL_KINDS == ALL_KINDS;
        match &self.state {
            State::Idle => false,
            State::Split(sender) => all(sender.setup.features),
            State::Packed(sender) => all(sender.setup.features),
        }
    }

    fn takes(&self, offload: &Offload) -> bool {
        match &self.state {
            State::Idle => offload.is_complete(),
            State::Split(sender) => sender.takes(offload),
            State::Packed(sender) => sender.takes(offload),
        }
    }

    fn longest(&self) -> usize {
        FRAME
    }
}

impl Drop for ToGuest {
    fn drop(&mut self) {
        self.flush();
        // Whoever waits for the worker need not wait for one that is gone.
        self.exchange.leave();
    }
}

struct Sender<R> {
    setup: Arc<Setup>,
    ring: R,
    ahead: Ahead,
    header: usize,
    mergeable: bool,
    parts: Parts,
}

/// What became of a frame.
enum Outcome {
    Sent,
    Dropped,
    NoRoom,
}

impl<R: Ring> Sender<R> {
    #[allow(unsafe_code)]
    fn new(setup: Arc<Setup>) -> Option<Self> {
        // SAFETY: the worker is busy with this setup whenever it calls the ring: `send` enters and `flush` leaves, and a
        // newer setup replaces the whole sender.
        let mut ring = unsafe { R::new(&setup, true) }?;
        let header = features::header_size(setup.features);
        let mergeable = has(setup.features, MRG_RXBUF);
        let ahead = Ahead::new();
        // Nobody waits for buffers: the guest need not kick when it gives some.
        ring.ask_for_kicks(&ahead, false);
        Some(Self { setup, ring, ahead, header, mergeable, parts: Parts::new() })
    }

    #[inline(always)]
    fn send(&mut self, batch: &Batch, frames: &[u8], counters: &QueueCounters) -> usize {
        if self.ahead.waiting() < frames.len() {
            self.top_up(frames.len(), true);
        }
        let (mut sent, mut dropped, mut octets) = (0, 0, 0);
        for &index in frames {
            let index = usize::from(index);
            let head = batch.head(index);
            let length = head.len();
            if self.ahead.waiting() == 0 {
                // A large frame took the buffers of several.
                self.top_up(frames.len() - sent, true);
                if self.ahead.waiting() == 0 {
                    break;
                }
            }
            let entry = self.ahead.peek(0);
            let total = length + self.header;
            if batch.tail(index).is_empty()
                && batch.offload(index).is_complete()
                && total <= entry.length as usize
            {
                self.ring.taken(&entry);
                // SAFETY: the buffer has `total` octets in one mapping: an entry that has a length is a plain one.
                #[allow(unsafe_code)]
                unsafe {
                    write_plain_header(entry.pointer, self.header);
                    copy_small(head.as_ptr(), entry.pointer.wrapping_add(self.header), length);
                }
                self.ahead.take(1);
                let entry = self.ahead.finish();
                self.ring.give_back(&entry, total as u32);
                octets += length;
            } else {
                match self.frame(batch, index, counters) {
                    Outcome::Sent => octets += batch.length(index),
                    Outcome::Dropped => dropped += 1,
                    Outcome::NoRoom => break,
                }
            }
            sent += 1;
        }
        counters.frames.add((sent - dropped) as u64);
        counters.octets.add(octets as u64);
        sent
    }

    /// Looks at buffers until `want` wait, or no more are to be had.
    #[inline]
    fn top_up(&mut self, want: usize, look: bool) {
        let waiting = self.ahead.waiting();
        if waiting < want && self.ring.fault().is_none() {
            self.ring.fetch::<true>(&mut self.ahead, want - waiting, look);
        }
    }

    /// Any frame, into as many buffers as it needs.
    fn frame(&mut self, batch: &Batch, index: usize, counters: &QueueCounters) -> Outcome {
        let drop_one = |reason| {
            counters.drop_one(reason);
            Outcome::Dropped
        };
        let offload = batch.offload(index);
        if !self.takes(offload) {
            return drop_one(DropReason::Offload);
        }
        let length = batch.length(index);
        let total = length + self.header;
        if length > FRAME {
            return drop_one(DropReason::Long);
        }
        self.parts.clear();
        let mut ends = [0_u32; DEPTH];
        let mut count = 0;
        while self.parts.total() < total {
            if count == self.ahead.waiting() {
                self.top_up(count + 1, true);
                if count == self.ahead.waiting() {
                    return Outcome::NoRoom;
                }
            }
            let entry = self.ahead.peek(count);
            let found = if entry.pointer.is_null() {
                self.ring.chain::<true>(&entry, &mut self.parts)
            } else {
                self.parts.add_plain(entry.pointer, entry.length as usize)
            };
            if let Err(broken) = found {
                self.ring.set_fault(broken);
                return Outcome::NoRoom;
            }
            let Some(end) = ends.get_mut(count) else { return drop_one(DropReason::Long) };
            *end = self.parts.total() as u32;
            count += 1;
            if !self.mergeable && self.parts.total() < total {
                return drop_one(DropReason::Long);
            }
        }
        let mut header = [0; 12];
        header[..10].copy_from_slice(&self.offload_header(offload));
        if self.header == 12 {
            header[10..].copy_from_slice(&(count as u16).to_le_bytes());
        }
        let mut writer = Writer { parts: &self.parts, part: 0, at: 0, log: self.setup.log.as_deref() };
        let head = batch.head(index);
        // SAFETY: the header and the head are ours; the segments are readable as long as the batch has the frame. The
        // parts have room for all of it.
        #[allow(unsafe_code)]
        unsafe {
            writer.write(header.as_ptr(), self.header);
            writer.write(head.as_ptr(), head.len());
            for segment in batch.tail(index) {
                writer.write(segment.pointer, segment.length);
            }
        }
        let mut before = 0;
        for end in ends.iter().take(count) {
            let entry = self.ahead.peek(0);
            self.ring.taken(&entry);
            self.ahead.take(1);
            let entry = self.ahead.finish();
            let written = (*end).min(total as u32) - before;
            self.ring.give_back(&entry, written);
            before = *end;
        }
        Outcome::Sent
    }

    /// Whether the guest agreed to take such a frame.
    fn takes(&self, offload: &Offload) -> bool {
        let agreed = |bit| has(self.setup.features, bit);
        (!offload.partial || agreed(GUEST_CSUM))
            && match offload.segmentation {
                Segmentation::None => true,
                Segmentation::Tcp4 => agreed(GUEST_TSO4),
                Segmentation::Tcp6 => agreed(GUEST_TSO6),
                Segmentation::Udp => agreed(GUEST_USO4) && agreed(GUEST_USO6),
            }
    }

    fn offload_header(&self, offload: &Offload) -> [u8; 10] {
        let mut offload = *offload;
        offload.verified &= has(self.setup.features, GUEST_CSUM);
        offload.ecn &= has(self.setup.features, features::GUEST_ECN);
        offload.header()
    }

    /// True when the guest was interrupted.
    #[inline(always)]
    fn flush(&mut self) -> bool {
        if !self.ring.publish() {
            return false;
        }
        // The frames' lines travel to memory while the next buffers are looked at; only then the barrier is cheap.
        self.top_up(BATCH, false);
        self.setup.position.store(self.ring.position(&self.ahead), Ordering::Relaxed);
        let wanted = self.ring.wants_interrupt();
        if let (true, Some(call)) = (wanted, &self.setup.call) {
            signal(call);
        }
        wanted
    }
}

/// Writes the header of a frame that is one packet with complete checksums, in one buffer.
///
/// # Safety
/// The buffer is writable for `size` octets, which are 10 or 12.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn write_plain_header(buffer: *mut u8, size: usize) {
    /// Writes what differs.
    #[inline(always)]
    unsafe fn put<T: Copy + PartialEq>(at: *mut T, value: T) {
        // SAFETY: as the caller promises; the guest may write meanwhile, which harms only itself.
        unsafe {
            if at.read_unaligned() != value {
                at.write_unaligned(value);
            }
        }
    }
    // SAFETY: eight octets and two or four more lie within the header.
    unsafe {
        put(buffer.cast::<u64>(), 0);
        if size == 12 {
            // Zero, and one buffer; devices of version 1 say so even when buffers are not mergeable.
            put(buffer.add(8).cast::<u32>(), (1_u32 << 16).to_le());
        } else {
            put(buffer.add(8).cast::<u16>(), 0);
        }
    }
}

/// Fills parts, one after the other.
struct Writer<'a> {
    parts: &'a Parts,
    part: usize,
    at: usize,
    log: Option<&'a super::log::DirtyLog>,
}

impl Writer<'_> {
    /// # Safety
    /// The source is readable for `length` octets.
    #[allow(unsafe_code)]
    unsafe fn write(&mut self, mut from: *const u8, mut length: usize) {
        while length > 0 {
            let Some(part) = self.parts.list().get(self.part) else { return };
            let count = (part.length - self.at).min(length);
            // SAFETY: the target is inside the part; the source as the caller promises.
            unsafe { copy(from, part.pointer.wrapping_add(self.at), count) };
            if let Some(log) = self.log {
                log.mark(part.guest + self.at as u64, count as u64);
            }
            from = from.wrapping_add(count);
            length -= count;
            self.at += count;
            if self.at == part.length {
                (self.part, self.at) = (self.part + 1, 0);
            }
        }
    }
}
