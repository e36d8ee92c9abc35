//! The packed virtqueue (virtio 1.3, 2.8): one ring of descriptors that both sides write, told apart by two flags whose
//! meaning turns around with each round.
//!
//! Invariants:
//! - A descriptor's flags are read first (acquire), the rest once after that. How many descriptors a chain has is
//!   decided when it is looked at; its parts are read later, and no more than that many.
//! - Chains are given back in order. Of a batch the first one's flags are written last: the guest looks at them first.
//!
//! Costs: the guest's lines are read ahead only while the ring is known to be well filled, because looking at
//! a descriptor that the guest is about to write takes its line away.

use super::counters::Broken;
use super::features::{EVENT_IDX, has};
use super::handover::Setup;
use super::memory::{GuestMemory, Window};
use super::moves::{full_barrier, prefetch, prefetch_to_write};
use super::ring::{Ahead, DESCRIPTOR, Entry, INDIRECT, NEXT, Parts, Raw, Ring, WRITE};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Values of the flags in both event suppression structures.
const EVENTS_ENABLE: u16 = 0;
const EVENTS_DISABLE: u16 = 1;
const EVENTS_DESCRIPTOR: u16 = 2;

/// Octets of an event suppression structure: position and flags.
pub(super) const EVENTS: u64 = 4;

/// A place in the ring, and the round's wrap counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    index: u16,
    wrap: bool,
}

impl Place {
    #[inline(always)]
    const fn advance(&mut self, count: u16, size: u16) {
        // Sizes are at most 32768 and counts at most the size.
        let next = self.index as u32 + count as u32;
        if next >= size as u32 {
            self.index = (next - size as u32) as u16;
            self.wrap = !self.wrap;
        } else {
            self.index = next as u16;
        }
    }

    const fn to_bits(self) -> u16 {
        self.index | (self.wrap as u16) << 15
    }

    const fn of(bits: u16) -> Self {
        Self { index: bits & 0x7fff, wrap: bits >> 15 != 0 }
    }
}

/// A started ring.
pub(super) struct Packed {
    setup: Arc<Setup>,
    memory: *const GuestMemory,
    window: Window,
    descriptors: *mut u8,
    driver: *const u8,
    device: *const u8,
    size: u16,
    /// Direction of the buffers, for the flags of what is given back.
    writable: bool,
    /// Next descriptor to be looked at.
    next: Place,
    /// Where the next used descriptor is written.
    give: Place,
    /// What was given back and is not published: where it begins, and what its first descriptor will say.
    held: Option<(Place, u64)>,
    /// Where what was published last begins.
    before: u16,
    considered: bool,
    /// The last look found all that was wanted.
    filled: bool,
    event_index: bool,
    fault: Option<Broken>,
}

// SAFETY: the pointers lead into mappings that the setup keeps; they belong to no thread.
#[allow(unsafe_code)]
unsafe impl Send for Packed {}

impl Packed {
    #[inline(always)]
    fn descriptor(&self, index: u16) -> *mut u8 {
        debug_assert!(index < self.size);
        self.descriptors.wrapping_add(DESCRIPTOR * usize::from(index))
    }

    /// The flags of a descriptor.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn flags(&self, index: u16) -> u16 {
        // SAFETY: places are always inside the ring, which is mapped and aligned.
        let flags = unsafe { &*self.descriptor(index).add(14).cast::<AtomicU16>() };
        u16::from_le(flags.load(Ordering::Acquire))
    }

    /// The rest of a descriptor.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn raw(&self, index: u16) -> Raw {
        // SAFETY: places are always inside the ring, which is mapped and aligned.
        unsafe { Raw::read(self.descriptor(index)) }
    }

    /// Length, identifier and flags of a descriptor, as one value.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn rest(&self, index: u16) -> &AtomicU64 {
        // SAFETY: places are always inside the ring, which is mapped and aligned.
        unsafe { &*self.descriptor(index).add(8).cast::<AtomicU64>() }
    }

    /// A field of an event suppression structure.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn event(&self, base: *const u8, offset: usize) -> &AtomicU16 {
        // SAFETY: both structures are mapped and aligned to four octets.
        unsafe { &*base.add(offset).cast::<AtomicU16>() }
    }

    #[allow(unsafe_code)]
    #[inline(always)]
    fn memory<'a>(&self) -> &'a GuestMemory {
        // SAFETY: the setup holds the memory while the worker is busy with it, and only then rings are used.
        unsafe { &*self.memory }
    }

    #[inline(always)]
    fn translate(&mut self, guest: u64, length: u64) -> Option<*mut u8> {
        if let Some(pointer) = self.window.translate(guest, length) {
            return Some(pointer);
        }
        self.window = self.memory().window(guest)?;
        self.window.translate(guest, length)
    }

    #[inline(always)]
    fn is_available(&self, place: Place) -> Option<u16> {
        let flags = self.flags(place.index);
        ((flags & AVAILABLE != 0) == place.wrap && (flags & USED != 0) != place.wrap).then_some(flags)
    }

    /// The chain at `next`, or `None` when it breaks the rules.
    #[inline(always)]
    fn entry<const WRITABLE: bool>(&mut self, flags: u16) -> Result<Entry, Broken> {
        let raw = self.raw(self.next.index);
        let id = (raw.rest >> 32) as u16;
        let length = raw.length();
        let first = self.next.index;
        let complicated = Entry { pointer: std::ptr::null_mut(), length: 0, id, first, count: 1 };
        let direction = if WRITABLE { WRITE } else { 0 };
        if flags & (NEXT | INDIRECT | WRITE) == direction && length != 0 {
            return Ok(match self.translate(raw.address, u64::from(length)) {
                Some(pointer) if !WRITABLE || self.setup.log.is_none() => {
                    Entry { pointer, length, ..complicated }
                }
                _ => complicated,
            });
        }
        if flags & NEXT == 0 {
            return Ok(complicated);
        }
        // The last descriptor has the identifier.
        let mut place = self.next;
        for count in 2..=self.size {
            place.advance(1, self.size);
            let rest = u64::from_le(self.rest(place.index).load(Ordering::Acquire));
            if (rest >> 48) as u16 & NEXT == 0 {
                return Ok(Entry { id: (rest >> 32) as u16, count, ..complicated });
            }
        }
        Err(Broken::Loop)
    }

    fn buffer<const WRITABLE: bool>(&mut self, raw: Raw, parts: &mut Parts) -> Result<(), Broken> {
        let flags = (raw.rest >> 48) as u16;
        if (flags & WRITE != 0) != WRITABLE {
            return Err(Broken::Direction);
        }
        parts.add(self.memory(), &mut self.window, raw.address, u64::from(raw.length()))
    }

    /// All descriptors of an indirect table, in order.
    fn indirect<const WRITABLE: bool>(&mut self, table: Raw, parts: &mut Parts) -> Result<(), Broken> {
        let octets = table.length() as usize;
        let count = octets / DESCRIPTOR;
        if count == 0 || !octets.is_multiple_of(DESCRIPTOR) || count > usize::from(u16::MAX) + 1 {
            return Err(Broken::Indirect);
        }
        for index in 0..count {
            let guest = table.address.wrapping_add((index * DESCRIPTOR) as u64);
            let pointer = self.translate(guest, DESCRIPTOR as u64).ok_or(Broken::Indirect)?;
            let mut copy = [0_u64; 2];
            // SAFETY: 16 octets of the guest's memory; a table has no alignment, so it is copied, once.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::copy_nonoverlapping(pointer.cast_const(), copy.as_mut_ptr().cast(), DESCRIPTOR);
            }
            let raw = Raw { address: u64::from_le(copy[0]), rest: u64::from_le(copy[1]) };
            if (raw.rest >> 48) as u16 & INDIRECT != 0 {
                return Err(Broken::Indirect);
            }
            self.buffer::<WRITABLE>(raw, parts)?;
        }
        Ok(())
    }
}

impl Ring for Packed {
    #[allow(unsafe_code)]
    unsafe fn new(setup: &Arc<Setup>, writable: bool) -> Option<Self> {
        // SAFETY: as the caller promises.
        let (memory, _) = unsafe { setup.memory() }?;
        let memory: *const GuestMemory = &raw const **memory;
        let place = Place::of(setup.position.load(Ordering::Acquire) as u16);
        if place.index >= setup.size {
            return None;
        }
        let mut ring = Self {
            setup: setup.clone(),
            memory,
            window: Window::EMPTY,
            descriptors: setup.addresses.descriptors,
            driver: setup.addresses.driver,
            device: setup.addresses.device,
            size: setup.size,
            writable,
            next: place,
            give: place,
            held: None,
            before: 0,
            considered: false,
            filled: false,
            event_index: has(setup.features, EVENT_IDX),
            fault: None,
        };
        if let Some(region) = &setup.inflight {
            let given = |position| {
                let place = Place::of(position);
                let flags = if place.index < ring.size { ring.flags(place.index) } else { 0 };
                (flags & AVAILABLE != 0) == place.wrap && (flags & USED != 0) == place.wrap
            };
            let position = region.begin_packed(place.to_bits(), given);
            let place = Place::of(position);
            if place.index >= setup.size {
                return None;
            }
            (ring.next, ring.give) = (place, place);
            setup.position.store(u32::from(position) | u32::from(position) << 16, Ordering::Release);
        }
        Some(ring)
    }

    #[inline(always)]
    fn fetch<const WRITABLE: bool>(&mut self, ahead: &mut Ahead, want: usize, look: bool) {
        if !(look || self.filled) || self.fault.is_some() {
            return;
        }
        let want = want.min(ahead.room());
        let mut found = 0;
        while found < want {
            let Some(flags) = self.is_available(self.next) else { break };
            match self.entry::<WRITABLE>(flags) {
                Ok(entry) => {
                    if WRITABLE {
                        prefetch(entry.pointer);
                        prefetch_to_write(entry.pointer.wrapping_add(12));
                        prefetch_to_write(entry.pointer.wrapping_add(75));
                    } else {
                        prefetch(entry.pointer.wrapping_add(12));
                        prefetch(entry.pointer.wrapping_add(75));
                    }
                    ahead.push(entry);
                    self.next.advance(entry.count, self.size);
                    found += 1;
                }
                Err(broken) => {
                    self.fault = Some(broken);
                    break;
                }
            }
        }
        self.filled = found == want;
        if self.filled && usize::from(self.next.index) + 32 <= usize::from(self.size) {
            // Eight lines hold the next 32 descriptors.
            for line in 0..8 {
                prefetch(self.descriptor(self.next.index + 4 * line));
            }
        }
    }

    fn chain<const WRITABLE: bool>(&mut self, entry: &Entry, parts: &mut Parts) -> Result<(), Broken> {
        let mut place = Place { index: entry.first, wrap: false };
        for index in 0..entry.count {
            let raw = self.raw(place.index);
            if (raw.rest >> 48) as u16 & INDIRECT != 0 {
                // A table ends its chain.
                return if index + 1 == entry.count {
                    self.indirect::<WRITABLE>(raw, parts)
                } else {
                    Err(Broken::Indirect)
                };
            }
            self.buffer::<WRITABLE>(raw, parts)?;
            place.advance(1, self.size);
        }
        Ok(())
    }

    #[inline(always)]
    fn taken(&mut self, _entry: &Entry) {}

    #[inline(always)]
    fn give_back(&mut self, entry: &Entry, written: u32) {
        let mut flags = if self.give.wrap { AVAILABLE | USED } else { 0 };
        if self.writable && written > 0 {
            flags |= WRITE;
        }
        let rest = u64::from(written) | u64::from(entry.id) << 32 | u64::from(flags) << 48;
        if self.held.is_none() {
            self.held = Some((self.give, rest));
        } else {
            self.rest(self.give.index).store(rest.to_le(), Ordering::Release);
        }
        self.give.advance(entry.count, self.size);
    }

    #[inline(always)]
    fn publish(&mut self) -> bool {
        let Some((first, rest)) = self.held.take() else { return false };
        let position = self.give.to_bits();
        if let Some(region) = &self.setup.inflight {
            region.moving(position);
        }
        self.rest(first.index).store(rest.to_le(), Ordering::Release);
        if let Some(region) = &self.setup.inflight {
            region.moved(position);
        }
        if let (Some(log), Some(guest)) = (&self.setup.log, self.setup.addresses.logged) {
            let mut place = first;
            while place.index != self.give.index {
                log.mark(guest + (DESCRIPTOR * usize::from(place.index)) as u64, DESCRIPTOR as u64);
                place.advance(1, self.size);
            }
        }
        self.before = first.index;
        true
    }

    #[inline(always)]
    fn wants_interrupt(&mut self) -> bool {
        if self.setup.call.is_none() {
            return false;
        }
        full_barrier();
        let flags = u16::from_le(self.event(self.driver, 2).load(Ordering::Relaxed));
        let considered = std::mem::replace(&mut self.considered, true);
        match flags {
            EVENTS_DISABLE => false,
            EVENTS_DESCRIPTOR if self.event_index && considered => {
                let event = Place::of(u16::from_le(self.event(self.driver, 0).load(Ordering::Relaxed)));
                let (new, size) = (self.give.index, self.size);
                let mut old = self.before;
                if new <= old {
                    old = old.wrapping_sub(size);
                }
                let mut at = event.index;
                if event.wrap != self.give.wrap {
                    at = at.wrapping_sub(size);
                }
                new.wrapping_sub(at).wrapping_sub(1) < new.wrapping_sub(old)
            }
            _ => true,
        }
    }

    fn ask_for_kicks(&mut self, _ahead: &Ahead, wanted: bool) {
        let flags = if !wanted {
            EVENTS_DISABLE
        } else if self.event_index {
            self.event(self.device, 0).store(self.next.to_bits().to_le(), Ordering::Relaxed);
            EVENTS_DESCRIPTOR
        } else {
            EVENTS_ENABLE
        };
        self.event(self.device, 2).store(flags.to_le(), Ordering::Release);
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
        let place = if ahead.waiting() == 0 {
            self.next
        } else {
            let entry = ahead.peek(0);
            // The ring may have turned between the first waiting chain and `next`.
            Place { index: entry.first, wrap: self.next.wrap == (entry.first < self.next.index) }
        };
        u32::from(place.to_bits()) | u32::from(place.to_bits()) << 16
    }
}
