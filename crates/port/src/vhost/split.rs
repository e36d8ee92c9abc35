//! The split virtqueue (virtio 1.3, 2.7): descriptor table, available ring, used ring.
//!
//! Invariants:
//! - The available index is read when fewer chains are known than are wanted, and the used index is written once for
//!   a batch. Chains are given back in the order in which they came (`VIRTIO_F_IN_ORDER`).
//! - What the guest wrote is read once. A guest that breaks the rules stops its own ring ([`Broken`]).
//!
//! Costs: lines that pass between the cores are what counts. Elements of the used ring are written only where they
//! change: a guest that uses its descriptors in turn sees the same elements in each round, so the lines stay shared.

use super::counters::Broken;
use super::features::{EVENT_IDX, has};
use super::handover::Setup;
use super::memory::{GuestMemory, Window};
use super::moves::{full_barrier, prefetch, prefetch_to_write};
use super::ring::{Ahead, DESCRIPTOR, Entry, INDIRECT, NEXT, Parts, Raw, Ring, WRITE};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Flag in the available ring: no interrupts, please.
const NO_INTERRUPT: u16 = 1;
/// Flag in the used ring: no kicks, please.
const NO_NOTIFY: u16 = 1;
/// Octets before the elements of both rings: flags and index.
const RING_HEADER: usize = 4;
/// Octets of an element of the used ring.
const USED: usize = 8;

/// Octets of the three parts of a ring, with the event fields.
pub(super) const fn sizes(size: u16) -> (u64, u64, u64) {
    let size = size as u64;
    (16 * size, RING_HEADER as u64 + 2 * size + 2, RING_HEADER as u64 + USED as u64 * size + 2)
}

/// A started ring.
pub(super) struct Split {
    setup: Arc<Setup>,
    memory: *const GuestMemory,
    window: Window,
    descriptors: *const u8,
    available: *const u8,
    used: *mut u8,
    /// Size minus one.
    mask: u16,
    /// Next element of the available ring.
    next: u16,
    /// The available index as it was read last.
    known: u16,
    /// Next element of the used ring.
    give: u16,
    /// The used index that the guest has seen.
    published: u16,
    /// The used index before that.
    before: u16,
    /// The used index at which interrupts were considered last, if they were.
    considered: Option<u16>,
    event_index: bool,
    fault: Option<Broken>,
    /// Taken chains, for the marks of what is in flight.
    order: u64,
}

// SAFETY: the pointers lead into mappings that the setup keeps; they belong to no thread.
#[allow(unsafe_code)]
unsafe impl Send for Split {}

impl Split {
    /// An aligned 16-bit field that both sides access.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn field(&self, base: *const u8, offset: usize) -> &AtomicU16 {
        // SAFETY: callers pass one of the rings and the offset of a field in it; the session checked that the ring is
        // mapped with all of its fields and aligned to two octets at least.
        unsafe { &*base.add(offset).cast::<AtomicU16>() }
    }

    #[inline(always)]
    fn available_index(&self) -> u16 {
        u16::from_le(self.field(self.available, 2).load(Ordering::Acquire))
    }

    /// The head in an element of the available ring.
    #[inline(always)]
    fn head(&self, index: u16) -> u16 {
        let offset = RING_HEADER + 2 * usize::from(index & self.mask);
        u16::from_le(self.field(self.available, offset).load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn descriptor(&self, index: u16) -> *const u8 {
        self.descriptors.wrapping_add(DESCRIPTOR * usize::from(index & self.mask))
    }

    #[allow(unsafe_code)]
    #[inline(always)]
    fn memory(&self) -> &GuestMemory {
        // SAFETY: the setup holds the memory while the worker is busy with it, and only then rings are used.
        unsafe { &*self.memory }
    }

    /// An entry of a single buffer, or one that needs a closer look.
    #[inline(always)]
    fn entry<const WRITABLE: bool>(&mut self, head: u16, raw: Raw) -> Entry {
        let flags = (raw.rest >> 32) as u16;
        let length = raw.length();
        let complicated = Entry { pointer: std::ptr::null_mut(), length: 0, id: head, first: 0, count: 1 };
        let direction = if WRITABLE { WRITE } else { 0 };
        if flags & (NEXT | INDIRECT | WRITE) != direction || length == 0 {
            return complicated;
        }
        let pointer = match self.window.translate(raw.address, u64::from(length)) {
            Some(pointer) => pointer,
            None => {
                self.move_window(raw.address);
                match self.window.translate(raw.address, u64::from(length)) {
                    Some(pointer) => pointer,
                    None => return complicated,
                }
            }
        };
        if WRITABLE && self.setup.log.is_some() {
            return complicated;
        }
        Entry { pointer, length, ..complicated }
    }

    #[cold]
    fn move_window(&mut self, guest: u64) {
        if let Some(window) = self.memory().window(guest) {
            self.window = window;
        }
    }

    /// The parts of one descriptor, which is no table.
    fn buffer<const WRITABLE: bool>(&mut self, raw: Raw, parts: &mut Parts) -> Result<(), Broken> {
        let flags = (raw.rest >> 32) as u16;
        if (flags & WRITE != 0) != WRITABLE {
            return Err(Broken::Direction);
        }
        // SAFETY: as in `memory`; the borrow is apart from the window's.
        #[allow(unsafe_code)]
        let memory = unsafe { &*self.memory };
        parts.add(memory, &mut self.window, raw.address, u64::from(raw.length()))
    }

    /// A chain inside an indirect table.
    fn indirect<const WRITABLE: bool>(&mut self, table: Raw, parts: &mut Parts) -> Result<(), Broken> {
        let octets = table.length() as usize;
        let count = octets / DESCRIPTOR;
        if count == 0 || !octets.is_multiple_of(DESCRIPTOR) || count > usize::from(u16::MAX) + 1 {
            return Err(Broken::Indirect);
        }
        let mut index = 0_usize;
        for _ in 0..count {
            let guest = table.address.wrapping_add((index * DESCRIPTOR) as u64);
            let found =
                self.memory().window(guest).and_then(|window| window.translate(guest, DESCRIPTOR as u64));
            let pointer = found.ok_or(Broken::Indirect)?;
            let mut copy = [0_u64; 2];
            // SAFETY: 16 octets of the guest's memory; a table has no alignment, so it is copied, once.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::copy_nonoverlapping(pointer.cast_const(), copy.as_mut_ptr().cast(), DESCRIPTOR);
            }
            let raw = Raw { address: u64::from_le(copy[0]), rest: u64::from_le(copy[1]) };
            let flags = (raw.rest >> 32) as u16;
            if flags & INDIRECT != 0 {
                return Err(Broken::Indirect);
            }
            self.buffer::<WRITABLE>(raw, parts)?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            index = usize::from((raw.rest >> 48) as u16);
            if index >= count {
                return Err(Broken::Next);
            }
        }
        Err(Broken::Loop)
    }
}

impl Ring for Split {
    #[allow(unsafe_code)]
    unsafe fn new(setup: &Arc<Setup>, _writable: bool) -> Option<Self> {
        // SAFETY: as the caller promises.
        let (memory, _) = unsafe { setup.memory() }?;
        let memory: *const GuestMemory = &raw const **memory;
        let position = setup.position.load(Ordering::Acquire) as u16;
        let mut ring = Self {
            setup: setup.clone(),
            memory,
            window: Window::EMPTY,
            descriptors: setup.addresses.descriptors,
            available: setup.addresses.driver,
            used: setup.addresses.device,
            mask: setup.size - 1,
            next: position,
            known: position,
            give: position,
            published: position,
            before: position,
            considered: None,
            event_index: has(setup.features, EVENT_IDX),
            fault: None,
            order: 0,
        };
        // Chains come back in order, so the used index says where an interrupted predecessor was.
        let used = u16::from_le(ring.field(ring.used, 2).load(Ordering::Acquire));
        if let Some(region) = &setup.inflight {
            ring.order = region.begin(used) as u64;
        }
        if used != position && position.wrapping_sub(used) <= setup.size {
            (ring.next, ring.known, ring.give, ring.published) = (used, used, used, used);
            setup.position.store(u32::from(used), Ordering::Release);
        }
        Some(ring)
    }

    #[inline(always)]
    fn fetch<const WRITABLE: bool>(&mut self, ahead: &mut Ahead, want: usize, look: bool) {
        let want = want.min(ahead.room());
        let mut available = usize::from(self.known.wrapping_sub(self.next));
        if look && available < want && self.fault.is_none() {
            self.known = self.available_index();
            available = usize::from(self.known.wrapping_sub(self.next));
            if available > usize::from(self.mask) + 1 {
                self.known = self.next;
                self.fault = Some(Broken::Index);
                return;
            }
        }
        let count = want.min(available);
        if count == 0 {
            return;
        }
        // Indexes are kept in registers: beside each other in memory, a store to one would hold up loads of the other.
        let (mut next, mask) = (self.next, self.mask);
        for _ in 0..count {
            let head = self.head(next);
            if head > mask {
                self.known = next;
                self.fault = Some(Broken::Head);
                break;
            }
            // SAFETY: the head is inside the table, which is mapped and aligned.
            #[allow(unsafe_code)]
            let raw = unsafe { Raw::read(self.descriptor(head)) };
            let entry = self.entry::<WRITABLE>(head, raw);
            if WRITABLE {
                // The header and the frame that follows it.
                prefetch(entry.pointer);
                prefetch_to_write(entry.pointer.wrapping_add(12));
                prefetch_to_write(entry.pointer.wrapping_add(75));
            } else {
                prefetch(entry.pointer.wrapping_add(12));
                prefetch(entry.pointer.wrapping_add(75));
            }
            ahead.push(entry);
            next = next.wrapping_add(1);
        }
        self.next = next;
        // What is likely to be looked at next.
        let more = usize::from(self.known.wrapping_sub(self.next)).min(32);
        for index in (0..more as u16).step_by(4) {
            prefetch(self.descriptor(self.head(self.next.wrapping_add(index))));
        }
    }

    fn chain<const WRITABLE: bool>(&mut self, entry: &Entry, parts: &mut Parts) -> Result<(), Broken> {
        let mut index = entry.id;
        for _ in 0..=self.mask {
            // SAFETY: the index is inside the table.
            #[allow(unsafe_code)]
            let raw = unsafe { Raw::read(self.descriptor(index)) };
            let flags = (raw.rest >> 32) as u16;
            if flags & INDIRECT != 0 {
                // A table ends its chain: the two flags together are forbidden.
                return if flags & NEXT == 0 {
                    self.indirect::<WRITABLE>(raw, parts)
                } else {
                    Err(Broken::Indirect)
                };
            }
            self.buffer::<WRITABLE>(raw, parts)?;
            if flags & NEXT == 0 {
                return Ok(());
            }
            index = (raw.rest >> 48) as u16;
            if index > self.mask {
                return Err(Broken::Next);
            }
        }
        Err(Broken::Loop)
    }

    #[inline(always)]
    fn taken(&mut self, entry: &Entry) {
        if let Some(region) = &self.setup.inflight {
            self.order += 1;
            region.taken(entry.id, self.order);
        }
    }

    #[inline(always)]
    fn give_back(&mut self, entry: &Entry, written: u32) {
        let offset = RING_HEADER + USED * usize::from(self.give & self.mask);
        let value = (u64::from(entry.id) | u64::from(written) << 32).to_le();
        let place = self.used.wrapping_add(offset).cast::<u64>();
        // SAFETY: the element is inside the used ring, which is mapped. It may be aligned to four octets only; the
        // guest does not look at it before the index says so.
        #[allow(unsafe_code)]
        unsafe {
            if place.read_unaligned() != value {
                place.write_unaligned(value);
            }
        }
        self.give = self.give.wrapping_add(1);
        if let Some(region) = &self.setup.inflight {
            // One at a time, so that the next back end knows exactly what was given back.
            region.giving(entry.id);
            self.field(self.used, 2).store(self.give.to_le(), Ordering::Release);
            region.given(entry.id, self.give);
        }
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        if self.give == self.published {
            return false;
        }
        self.field(self.used, 2).store(self.give.to_le(), Ordering::Release);
        if let (Some(log), Some(guest)) = (&self.setup.log, self.setup.addresses.logged) {
            log.mark(guest, RING_HEADER as u64);
            let mut at = self.published;
            while at != self.give {
                log.mark(guest + (RING_HEADER + USED * usize::from(at & self.mask)) as u64, USED as u64);
                at = at.wrapping_add(1);
            }
        }
        self.before = std::mem::replace(&mut self.published, self.give);
        true
    }

    #[inline(always)]
    fn wants_interrupt(&mut self) -> bool {
        if self.setup.call.is_none() {
            return false;
        }
        full_barrier();
        if self.event_index {
            let offset = RING_HEADER + 2 * (usize::from(self.mask) + 1);
            let event = u16::from_le(self.field(self.available, offset).load(Ordering::Relaxed));
            let since = self.considered.replace(self.give);
            // vring_need_event: the event lies between what was published before and now.
            since.is_none_or(|_| {
                self.give.wrapping_sub(event).wrapping_sub(1) < self.give.wrapping_sub(self.before)
            })
        } else {
            u16::from_le(self.field(self.available, 0).load(Ordering::Relaxed)) & NO_INTERRUPT == 0
        }
    }

    fn ask_for_kicks(&mut self, ahead: &Ahead, wanted: bool) {
        if self.event_index {
            if wanted {
                let offset = RING_HEADER + USED * (usize::from(self.mask) + 1);
                let _ = ahead;
                self.field(self.used, offset).store(self.next.to_le(), Ordering::Relaxed);
            }
        } else {
            let flags = if wanted { 0 } else { NO_NOTIFY };
            self.field(self.used, 0).store(flags.to_le(), Ordering::Relaxed);
        }
        if let (Some(log), Some(guest)) = (&self.setup.log, self.setup.addresses.logged) {
            log.mark(guest, 2);
            log.mark(guest + (RING_HEADER + USED * (usize::from(self.mask) + 1)) as u64, 2);
        }
        full_barrier();
    }

    fn fault(&self) -> Option<Broken> {
        self.fault
    }

    fn set_fault(&mut self, broken: Broken) {
        self.fault = Some(broken);
    }

    #[inline(always)]
    fn position(&self, ahead: &Ahead) -> u32 {
        u32::from(self.next.wrapping_sub(ahead.waiting() as u16))
    }
}
