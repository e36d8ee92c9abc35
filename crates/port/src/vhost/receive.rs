//! Frames from the guest: its transmit ring, as a [`ReceiveQueue`].
//!
//! ```text
//! receive: top up what was looked at ─▶ copy heads into the batch ─▶ look at the next ones
//! complete: give the chains back ─▶ publish ─▶ interrupt, if wanted
//! ```
//!
//! Invariants:
//! - A frame of up to [`HEAD`] octets is copied; of a larger one the head is copied and the rest stays in the guest's
//!   buffers until [`ReceiveQueue::complete`] gives them back.
//! - The guest's virtio-net header is read once, and not at all when it agreed to none of its uses.
//! - From `receive` to `complete` the worker counts as busy with the ring.
//!
//! Costs: see `split.rs`; for each small frame one copy of fixed-size blocks.

use super::counters::{Broken, Drop as DropReason, QueueCounters};
use super::features::{self, HOST_TSO4, HOST_TSO6, HOST_USO, has};
use super::handover::{Exchange, Setup, signal};
use super::moves::{copy, copy_small};
use super::packed::Packed;
use super::ring::{Ahead, Entry, Parts, Ring};
use super::split::Split;
use netloom_mem::{
    BATCH, Batch, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment, Segmentation,
    VIRTIO_HEADER, Wake,
};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Shortest frame: an Ethernet header.
const SHORTEST: usize = 14;

/// The queue from which a worker receives what the guest sends.
pub struct FromGuest {
    exchange: Arc<Exchange>,
    version: u64,
    port: PortNumber,
    state: State,
    armed: bool,
}

enum State {
    Idle,
    Split(Box<Receiver<Split>>),
    Packed(Box<Receiver<Packed>>),
}

impl std::fmt::Debug for FromGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FromGuest")
            .field("port", &self.port)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl FromGuest {
    pub(super) fn new(exchange: Arc<Exchange>, port: PortNumber) -> Self {
        Self { exchange, version: 0, port, state: State::Idle, armed: false }
    }

    /// What happened at this queue.
    #[must_use]
    pub fn counters(&self) -> &QueueCounters {
        &self.exchange.counters
    }

    /// Whether the guest has a started ring here.
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
        let same = |last: &Arc<Setup>| Arc::ptr_eq(&last.position, &setup.position);
        // A ring that the guest broke stays broken until it is started anew.
        let was_broken = self.exchange.counters.broken().is_some();
        self.state = if has(setup.features, features::RING_PACKED) {
            let continued = matches!(&last, State::Packed(receiver) if same(&receiver.setup));
            if !continued {
                self.exchange.counters.set_broken(None);
            } else if was_broken {
                return;
            }
            Receiver::new(setup).map_or(State::Idle, |receiver| State::Packed(Box::new(receiver)))
        } else {
            let continued = matches!(&last, State::Split(receiver) if same(&receiver.setup));
            if !continued {
                self.exchange.counters.set_broken(None);
            } else if was_broken {
                return;
            }
            Receiver::new(setup).map_or(State::Idle, |receiver| State::Split(Box::new(receiver)))
        };
        let armed = self.armed;
        match &mut self.state {
            State::Idle => {}
            State::Split(receiver) => receiver.ring.ask_for_kicks(&receiver.ahead, armed),
            State::Packed(receiver) => receiver.ring.ask_for_kicks(&receiver.ahead, armed),
        }
    }

    #[cold]
    fn stop(&mut self, broken: Broken) {
        let error = match &self.state {
            State::Idle => None,
            State::Split(receiver) => receiver.setup.error.as_ref(),
            State::Packed(receiver) => receiver.setup.error.as_ref(),
        };
        if let Some(error) = error {
            signal(error);
        }
        self.exchange.counters.set_broken(Some(broken));
        self.state = State::Idle;
    }
}

impl ReceiveQueue for FromGuest {
    #[inline]
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.complete();
        if self.exchange.enter(self.version) {
            self.change();
        }
        let (port, counters) = (self.port, &self.exchange.counters);
        let taken = match &mut self.state {
            State::Idle => Ok(0),
            State::Split(receiver) => receiver.receive(batch, port, counters),
            State::Packed(receiver) => receiver.receive(batch, port, counters),
        };
        match taken {
            // Chains were taken, even if all their frames were dropped.
            Ok(count) if count > 0 => {
                if batch.is_empty() {
                    self.complete();
                }
            }
            Ok(_) => self.exchange.leave(),
            Err(broken) => {
                self.stop(broken);
                self.exchange.leave();
            }
        }
        Ok(batch.len())
    }

    #[inline]
    fn complete(&mut self) {
        let interrupted = match &mut self.state {
            State::Idle => return,
            State::Split(receiver) => receiver.complete(),
            State::Packed(receiver) => receiver.complete(),
        };
        let Some(interrupted) = interrupted else { return };
        if interrupted {
            self.exchange.counters.interrupts.add(1);
        }
        self.exchange.leave();
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.complete();
        if self.exchange.enter(self.version) {
            self.change();
        }
        let waiting = match &mut self.state {
            State::Idle => false,
            State::Split(receiver) => receiver.wake(wanted),
            State::Packed(receiver) => receiver.wake(wanted),
        };
        self.exchange.leave();
        if !wanted {
            self.exchange.clear();
        } else if waiting {
            return Wake::Poll;
        }
        Wake::Readable(self.exchange.poll.as_fd())
    }
}

impl Drop for FromGuest {
    fn drop(&mut self) {
        self.complete();
        // Whoever waits for the worker need not wait for one that is gone.
        self.exchange.leave();
    }
}

struct Receiver<R> {
    setup: Arc<Setup>,
    ring: R,
    ahead: Ahead,
    header: usize,
    /// Whether the header can say anything.
    parse: bool,
    parts: Parts,
}

impl<R: Ring> Receiver<R> {
    #[allow(unsafe_code)]
    fn new(setup: Arc<Setup>) -> Option<Self> {
        // SAFETY: the worker is busy with this setup whenever it calls the ring: `receive` enters and `complete`
        // leaves, and a newer setup replaces the whole receiver.
        let ring = unsafe { R::new(&setup, false) }?;
        let header = features::header_size(setup.features);
        let parse = setup.features & features::FROM_GUEST != 0;
        Some(Self { setup, ring, ahead: Ahead::new(), header, parse, parts: Parts::new() })
    }

    /// Asks for kicks, or not; true if chains wait already, which came before that and did not kick.
    fn wake(&mut self, wanted: bool) -> bool {
        self.ring.ask_for_kicks(&self.ahead, wanted);
        if wanted && self.ahead.waiting() == 0 && self.ring.fault().is_none() {
            self.ring.fetch::<false>(&mut self.ahead, BATCH, true);
        }
        // A broken ring is found by the next look.
        self.ahead.waiting() > 0 || self.ring.fault().is_some()
    }

    /// Takes chains, and gives how many.
    #[inline(always)]
    fn receive(
        &mut self,
        batch: &mut Batch,
        port: PortNumber,
        counters: &QueueCounters,
    ) -> Result<usize, Broken> {
        if let Some(broken) = self.ring.fault() {
            return Err(broken);
        }
        let room = batch.room();
        let waiting = self.ahead.waiting();
        if waiting < room {
            self.ring.fetch::<false>(&mut self.ahead, room - waiting, true);
        }
        let mut count = self.ahead.waiting().min(room);
        if count == 0 {
            return Ok(0);
        }
        let before = batch.len();
        let mut octets = 0;
        for index in 0..count {
            let entry = self.ahead.peek(index);
            self.ring.taken(&entry);
            let length = (entry.length as usize).wrapping_sub(self.header);
            if !self.parse && length.wrapping_sub(SHORTEST) <= HEAD - SHORTEST {
                // The pointer is not null, since a complicated entry has no length.
                let Some(slot) = batch.slot() else { break };
                // SAFETY: the buffer has `header + length` octets in one mapping, and a slot has HEAD.
                #[allow(unsafe_code)]
                unsafe {
                    copy_small(entry.pointer.wrapping_add(self.header), slot.head.as_mut_ptr(), length);
                }
                batch.commit(port, length, Offload::NONE);
                octets += length;
            } else {
                let Some(length) = self.frame(&entry, batch, port, counters) else {
                    // The chains from here on are lost with the ring.
                    count = index;
                    break;
                };
                octets += length;
            }
        }
        self.ahead.take(count);
        if self.ring.fault().is_none() {
            let waiting = self.ahead.waiting();
            self.ring.fetch::<false>(&mut self.ahead, BATCH.saturating_sub(waiting), false);
        }
        counters.frames.add((batch.len() - before) as u64);
        counters.octets.add(octets as u64);
        Ok(count)
    }

    /// Any frame. Gives its octets, 0 when it was dropped, `None` when the ring is broken.
    fn frame(
        &mut self,
        entry: &Entry,
        batch: &mut Batch,
        port: PortNumber,
        counters: &QueueCounters,
    ) -> Option<usize> {
        let drop_one = |reason| {
            counters.drop_one(reason);
            Some(0)
        };
        let plain = !entry.pointer.is_null();
        let total = if plain {
            entry.length as usize
        } else {
            self.parts.clear();
            if let Err(broken) = self.ring.chain::<false>(entry, &mut self.parts) {
                self.ring.set_fault(broken);
                return None;
            }
            self.parts.total()
        };
        let Some(length) = total.checked_sub(self.header).filter(|length| *length >= SHORTEST) else {
            return drop_one(DropReason::Short);
        };
        if length > FRAME {
            return drop_one(DropReason::Long);
        }
        let mut header = [0; VIRTIO_HEADER];
        if self.parse {
            self.gather(entry, 0, &mut header);
        }
        let Some(offload) = self.offload(&header, length) else { return drop_one(DropReason::Header) };
        let head = length.min(HEAD);
        let slot = batch.slot()?;
        if plain {
            // SAFETY: the buffer has `header + length` octets in one mapping, and a slot has HEAD.
            #[allow(unsafe_code)]
            unsafe {
                copy(entry.pointer.wrapping_add(self.header), slot.head.as_mut_ptr(), head);
            }
        } else {
            self.gather(entry, self.header, &mut slot.head[..head]);
        }
        if head == length {
            batch.commit(port, length, offload);
            return Some(length);
        }
        let skip = self.header + head;
        // SAFETY: the worker is busy with this setup.
        #[allow(unsafe_code)]
        let (_, anchor) = (unsafe { self.setup.memory() })?;
        batch.hold(anchor);
        if plain {
            let tail = Segment { pointer: entry.pointer.wrapping_add(skip), length: length - head };
            // SAFETY: the segment is inside the buffer, whose mapping the anchor keeps.
            #[allow(unsafe_code)]
            unsafe {
                batch.commit_with_tail(port, head, offload, [tail]);
            }
        } else {
            let mut skip = skip;
            let tail = self.parts.list().iter().filter_map(|part| {
                let passed = part.length.min(skip);
                skip -= passed;
                let left = part.length - passed;
                (left > 0).then(|| Segment { pointer: part.pointer.wrapping_add(passed), length: left })
            });
            // SAFETY: the segments are inside the parts, whose mapping the anchor keeps.
            #[allow(unsafe_code)]
            unsafe {
                batch.commit_with_tail(port, head, offload, tail);
            }
        }
        Some(length)
    }

    /// Copies from the chain, beginning at its octet `from`. The caller has checked that there is enough.
    fn gather(&self, entry: &Entry, from: usize, into: &mut [u8]) {
        let whole = [super::ring::Part { pointer: entry.pointer, length: entry.length as usize, guest: 0 }];
        let parts = if entry.pointer.is_null() { self.parts.list() } else { &whole };
        let (mut skip, mut at) = (from, 0);
        for part in parts {
            let passed = part.length.min(skip);
            skip -= passed;
            let count = (part.length - passed).min(into.len() - at);
            // SAFETY: the source is inside the part, the target inside the slice.
            #[allow(unsafe_code)]
            unsafe {
                copy(part.pointer.wrapping_add(passed), into.as_mut_ptr().wrapping_add(at), count);
            }
            at += count;
        }
    }

    /// What the header says, as far as the guest agreed to say it.
    #[inline]
    fn offload(&self, header: &[u8; VIRTIO_HEADER], length: usize) -> Option<Offload> {
        let mut offload = Offload::read(header, length)?;
        let agreed = match offload.segmentation {
            Segmentation::None => true,
            Segmentation::Tcp4 => has(self.setup.features, HOST_TSO4),
            Segmentation::Tcp6 => has(self.setup.features, HOST_TSO6),
            Segmentation::Udp => has(self.setup.features, HOST_USO),
        };
        // What one guest says about its own checksums is nothing that another may rely on.
        offload.verified = false;
        agreed.then_some(offload)
    }

    /// Gives taken chains back; `None` when there are none, else whether the guest was interrupted.
    #[inline(always)]
    fn complete(&mut self) -> Option<bool> {
        let outstanding = self.ahead.outstanding();
        if outstanding == 0 {
            return None;
        }
        for _ in 0..outstanding {
            let entry = self.ahead.finish();
            self.ring.give_back(&entry, 0);
        }
        self.ring.publish();
        self.setup.position.store(self.ring.position(&self.ahead), Ordering::Relaxed);
        let wanted = self.ring.wants_interrupt();
        if let (true, Some(call)) = (wanted, &self.setup.call) {
            signal(call);
            return Some(true);
        }
        Some(false)
    }
}
