//! What split and packed rings have in common: chains that were looked at ahead of time, and their parts.
//!
//! ```text
//!   given back ──── taken (in a batch) ──── looked at (translated, prefetched) ──── available
//!        done             taken                     fetched                          known
//! ```
//!
//! What: a ring's descriptors are read, translated and prefetched one batch before their buffers are touched, so that
//! the lines that come from the guest's core are on their way while the last batch is dealt with.
//!
//! Invariants: each descriptor is read once, into an [`Entry`] or [`Parts`], and only what was read is checked and used.

use super::counters::Broken;
use super::handover::Setup;
use super::memory::{GuestMemory, Window};
use std::sync::Arc;

/// Most chains between `done` and `fetched`. A power of two.
pub(super) const DEPTH: usize = 128;
/// Most parts of one frame: 64 KiB in pages, each in two regions, and some more.
pub(super) const PARTS: usize = 64;

/// A chain that the guest made available.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The one buffer, or null when it is not that simple: then [`Ring::chain`] says what there is.
    pub(super) pointer: *mut u8,
    /// Octets of the one buffer.
    pub(super) length: u32,
    /// The name by which it is given back.
    pub(super) id: u16,
    /// Where its first descriptor is (packed rings).
    pub(super) first: u16,
    /// How many descriptors of the ring it takes (packed rings).
    pub(super) count: u16,
}

// SAFETY: the pointer leads into a mapping, which belongs to the process; the ring's owner alone uses it.
#[allow(unsafe_code)]
unsafe impl Send for Entry {}

impl Entry {
    const EMPTY: Self = Self { pointer: std::ptr::null_mut(), length: 0, id: 0, first: 0, count: 0 };
}

/// The chains between `done` and `fetched`.
#[derive(Debug)]
pub(super) struct Ahead {
    entries: [Entry; DEPTH],
    done: usize,
    taken: usize,
    fetched: usize,
}

impl Ahead {
    pub(super) const fn new() -> Self {
        Self { entries: [Entry::EMPTY; DEPTH], done: 0, taken: 0, fetched: 0 }
    }

    /// Chains that wait to be taken.
    #[inline(always)]
    pub(super) const fn waiting(&self) -> usize {
        self.fetched.wrapping_sub(self.taken)
    }

    /// Chains that were taken and not given back.
    #[inline(always)]
    pub(super) const fn outstanding(&self) -> usize {
        self.taken.wrapping_sub(self.done)
    }

    /// How many may be looked at.
    #[inline(always)]
    pub(super) const fn room(&self) -> usize {
        DEPTH - self.fetched.wrapping_sub(self.done)
    }

    /// Adds one; the caller has checked that there is room.
    #[inline(always)]
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries[self.fetched & (DEPTH - 1)] = entry;
        self.fetched = self.fetched.wrapping_add(1);
    }

    /// The `index`th waiting one.
    #[inline(always)]
    pub(super) const fn peek(&self, index: usize) -> Entry {
        self.entries[self.taken.wrapping_add(index) & (DEPTH - 1)]
    }

    /// Takes `count` that wait.
    #[inline(always)]
    pub(super) const fn take(&mut self, count: usize) {
        self.taken = self.taken.wrapping_add(count);
    }

    /// The oldest that was taken, which is done now; the caller has checked that there is one.
    #[inline(always)]
    pub(super) const fn finish(&mut self) -> Entry {
        let entry = self.entries[self.done & (DEPTH - 1)];
        self.done = self.done.wrapping_add(1);
        entry
    }
}

/// A part of a buffer, inside one mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) pointer: *mut u8,
    pub(super) length: usize,
    /// Guest address, for the dirty log.
    pub(super) guest: u64,
}

// SAFETY: as for `Entry`.
#[allow(unsafe_code)]
unsafe impl Send for Part {}

/// The parts of a chain or of several.
#[derive(Debug)]
pub(super) struct Parts {
    list: [Part; PARTS],
    count: usize,
    total: usize,
}

impl Parts {
    pub(super) const fn new() -> Self {
        Self {
            list: [Part { pointer: std::ptr::null_mut(), length: 0, guest: 0 }; PARTS],
            count: 0,
            total: 0,
        }
    }

    pub(super) const fn clear(&mut self) {
        (self.count, self.total) = (0, 0);
    }

    /// Adds a buffer that was translated already.
    pub(super) fn add_plain(&mut self, pointer: *mut u8, length: usize) -> Result<(), Broken> {
        let place = self.list.get_mut(self.count).ok_or(Broken::Parts)?;
        *place = Part { pointer, length, guest: 0 };
        self.count += 1;
        self.total += length;
        Ok(())
    }

    pub(super) fn list(&self) -> &[Part] {
        self.list.get(..self.count).unwrap_or_default()
    }

    /// Octets of all parts.
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    /// Adds a range of guest memory, cut where it goes from one region to the next.
    pub(super) fn add(
        &mut self,
        memory: &GuestMemory,
        window: &mut Window,
        mut guest: u64,
        mut length: u64,
    ) -> Result<(), Broken> {
        while length > 0 {
            let (pointer, reach) = match window.reach(guest) {
                Some(found) => found,
                None => {
                    *window = memory.window(guest).ok_or(Broken::Address)?;
                    window.reach(guest).ok_or(Broken::Address)?
                }
            };
            let here = length.min(reach);
            let place = self.list.get_mut(self.count).ok_or(Broken::Parts)?;
            *place = Part { pointer, length: here as usize, guest };
            self.count += 1;
            self.total += here as usize;
            length -= here;
            // No region ends at the end of the address space, so this does not wrap.
            guest += here;
        }
        Ok(())
    }
}

/// Descriptor flags (virtio 1.3, 2.7.5 and 2.8.1).
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

/// Octets of a descriptor, in every layout.
pub(super) const DESCRIPTOR: usize = 16;

/// A descriptor as it was read: address, and length, flags and next (or id and flags) behind each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub(super) address: u64,
    pub(super) rest: u64,
}

impl Raw {
    /// Reads a descriptor, once.
    ///
    /// # Safety
    /// `at` is readable for 16 octets and aligned to eight.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn read(at: *const u8) -> Self {
        // SAFETY: as the caller promises. Volatile: the other side may write meanwhile, and no second read may be made
        // of what was checked.
        unsafe {
            let at = at.cast::<u64>();
            Self {
                address: u64::from_le(std::ptr::read_volatile(at)),
                rest: u64::from_le(std::ptr::read_volatile(at.add(1))),
            }
        }
    }

    /// Octets of the buffer.
    #[inline(always)]
    pub(super) const fn length(self) -> u32 {
        self.rest as u32
    }
}

/// A ring as the queues use it.
pub(super) trait Ring: Sized {
    /// A ring at the place where the setup says. `writable` tells the direction of its buffers.
    ///
    /// # Safety
    /// As [`Ring`]'s other methods: the caller is the worker, busy with this setup, at each call.
    #[allow(unsafe_code)]
    unsafe fn new(setup: &Arc<Setup>, writable: bool) -> Option<Self>;

    /// Looks at up to `want` more chains. `look` allows to ask the guest how far it is; otherwise only what is known
    /// to be available is looked at.
    fn fetch<const WRITABLE: bool>(&mut self, ahead: &mut Ahead, want: usize, look: bool);

    /// The parts of a chain, added to `parts`.
    ///
    /// # Errors
    /// When the chain breaks the rules.
    fn chain<const WRITABLE: bool>(&mut self, entry: &Entry, parts: &mut Parts) -> Result<(), Broken>;

    /// Notes that a chain was taken.
    fn taken(&mut self, entry: &Entry);

    /// Gives a chain back, of which `written` octets were written. Not visible before [`Ring::publish`].
    fn give_back(&mut self, entry: &Entry, written: u32);

    /// Makes visible what was given back; false when that is nothing.
    fn publish(&mut self) -> bool;

    /// Whether the guest wants to be interrupted for what was published last. It waits until all stores are seen, so
    /// it is best asked a little later.
    fn wants_interrupt(&mut self) -> bool;

    /// Asks for kicks, or not. A full barrier follows.
    fn ask_for_kicks(&mut self, ahead: &Ahead, wanted: bool);

    /// What broke the ring, if something did.
    fn fault(&self) -> Option<Broken>;

    /// Breaks it.
    fn set_fault(&mut self, broken: Broken);

    /// Where the ring is: the first chain that was not taken, as [`Setup::position`] holds it.
    fn position(&self, ahead: &Ahead) -> u32;
}
