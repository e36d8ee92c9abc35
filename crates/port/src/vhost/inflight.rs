//! Which chains were taken and not given back, in memory that outlives this process.
//!
//! What: the front end keeps the region (vhost-user, "Inflight I/O tracking") and hands it to the next back end, so
//! that chains that were lost with the last one are done again. Rings here are served strictly in order, so what was
//! lost is always what lies between the used index and the last taken chain: the next back end starts at the used
//! index. The marks are kept all the same, because the next back end may be another program.
//!
//!
//! Of packed rings only the used position is kept (`used_idx` and its wrap counter, each twice), which is what the ring
//! itself does not hold; the states of single descriptors stay empty.
//!
//! Costs: two stores for each chain of a split ring, four for each batch of a packed one, only when the front end asked
//! for it.

use super::memory::{Mapping, MemoryError};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};

/// Octets of a queue's header and of each descriptor's state (`QueueRegionSplit`, `DescStateSplit`).
const HEADER: usize = 16;
const STATE: usize = 16;
/// Regions begin on cache lines.
const ALIGN: usize = 64;

/// The same of packed rings (`QueueRegionPacked`, `DescStatePacked`).
const PACKED_HEADER: usize = 32;
const PACKED_STATE: usize = 32;

/// Octets of one queue's region.
pub(super) const fn region_size(queue_size: u16, packed: bool) -> usize {
    let (header, state) = if packed { (PACKED_HEADER, PACKED_STATE) } else { (HEADER, STATE) };
    (header + state * queue_size as usize).next_multiple_of(ALIGN)
}

/// The memory of all queues of a session.
#[derive(Debug)]
pub(super) struct Inflight {
    _mapping: Mapping,
    start: *mut u8,
    size: usize,
    pub(super) queues: u16,
    pub(super) queue_size: u16,
    /// For a successor: the file, and where in it the region begins.
    pub(super) file: OwnedFd,
    pub(super) offset: u64,
}

// SAFETY: the pointer leads into the mapping, and every access is atomic.
#[allow(unsafe_code)]
unsafe impl Send for Inflight {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Inflight {}

impl Inflight {
    pub(super) fn new(
        file: OwnedFd,
        offset: u64,
        size: u64,
        queues: u16,
        queue_size: u16,
    ) -> Result<Self, MemoryError> {
        let (mapping, start) = Mapping::new(&file, offset, size)?;
        let size = usize::try_from(size).unwrap_or(0);
        Ok(Self { _mapping: mapping, start, size, queues, queue_size, file, offset })
    }

    /// Octets of all regions.
    pub(super) const fn size(&self) -> u64 {
        self.size as u64
    }

    /// The region of a queue of `size` descriptors, if there is one.
    pub(super) fn region(self: &Arc<Self>, queue: usize, size: u16, packed: bool) -> Option<Region> {
        if queue >= usize::from(self.queues) || size > self.queue_size {
            return None;
        }
        let octets = region_size(self.queue_size, packed);
        let offset = queue.checked_mul(octets)?;
        if offset.checked_add(octets)? > self.size {
            return None;
        }
        let start = self.start.wrapping_add(offset);
        // The header's counters are 64 bits wide.
        if !start.cast::<AtomicU64>().is_aligned() {
            return None;
        }
        Some(Region { _memory: self.clone(), start, size })
    }
}

/// One queue's region.
#[derive(Debug, Clone)]
pub(super) struct Region {
    _memory: Arc<Inflight>,
    start: *mut u8,
    size: u16,
}

// SAFETY: as for `Inflight`.
#[allow(unsafe_code)]
unsafe impl Send for Region {}
// SAFETY: as for `Inflight`.
#[allow(unsafe_code)]
unsafe impl Sync for Region {}

impl Region {
    /// An atomic at an offset.
    ///
    /// # Safety
    /// `T` is an atomic integer that lies within the region at its own alignment.
    #[allow(unsafe_code)]
    unsafe fn at<T>(&self, offset: usize) -> &T {
        // SAFETY: as the caller promises; the region is mapped as long as `self` lives.
        unsafe { &*self.start.add(offset).cast::<T>() }
    }

    #[allow(unsafe_code)]
    fn version(&self) -> &AtomicU16 {
        // SAFETY: u64 features, u16 version, u16 number, u16 last head, u16 used index.
        unsafe { self.at(8) }
    }

    #[allow(unsafe_code)]
    fn number(&self) -> &AtomicU16 {
        // SAFETY: as above.
        unsafe { self.at(10) }
    }

    #[allow(unsafe_code)]
    fn last_head(&self) -> &AtomicU16 {
        // SAFETY: as above.
        unsafe { self.at(12) }
    }

    #[allow(unsafe_code)]
    fn used(&self) -> &AtomicU16 {
        // SAFETY: as above.
        unsafe { self.at(14) }
    }

    /// The used position of a packed ring: index, its old value, wrap counter, its old value.
    #[allow(unsafe_code)]
    fn places(&self) -> (&AtomicU16, &AtomicU16, &AtomicU8, &AtomicU8) {
        // SAFETY: behind two more 16-bit fields. Only called for regions of packed rings, which are larger.
        unsafe { (self.at(16), self.at(18), self.at(20), self.at(21)) }
    }

    #[allow(unsafe_code)]
    fn mark(&self, head: u16) -> &AtomicU8 {
        // SAFETY: the index is bounded by the number of states that the region has.
        unsafe { self.at(HEADER + STATE * usize::from(head.min(self.size - 1))) }
    }

    #[allow(unsafe_code)]
    fn counter(&self, head: u16) -> &AtomicU64 {
        // SAFETY: as above; states and counters are aligned to eight octets.
        unsafe { self.at(HEADER + STATE * usize::from(head.min(self.size - 1)) + 8) }
    }

    /// Begins with a ring whose used index is `used`: clears marks of chains that were given back already. Gives how
    /// many are left.
    pub(super) fn begin(&self, used: u16) -> usize {
        if self.version().load(Ordering::Acquire) == 0 {
            self.number().store(self.size, Ordering::Relaxed);
            self.used().store(used, Ordering::Relaxed);
            self.version().store(1, Ordering::Release);
        }
        // The last process died between publishing and clearing.
        if self.used().load(Ordering::Acquire) != used {
            self.mark(self.last_head().load(Ordering::Relaxed)).store(0, Ordering::Relaxed);
            self.used().store(used, Ordering::Release);
        }
        (0..self.size).filter(|head| self.mark(*head).load(Ordering::Relaxed) == 1).count()
    }

    /// A chain was taken; `order` counts taken chains.
    pub(super) fn taken(&self, head: u16, order: u64) {
        self.counter(head).store(order, Ordering::Relaxed);
        self.mark(head).store(1, Ordering::Release);
    }

    /// A chain is about to be given back.
    pub(super) fn giving(&self, head: u16) {
        self.last_head().store(head, Ordering::Release);
    }

    /// It was given back; the used index is `used` now.
    pub(super) fn given(&self, head: u16, used: u16) {
        self.mark(head).store(0, Ordering::Release);
        self.used().store(used, Ordering::Release);
    }

    /// Begins with a packed ring at a position (index, and the wrap counter in bit 15), or where the last back end was.
    /// `given` tells whether the chain at a position was given back.
    pub(super) fn begin_packed(&self, position: u16, given: impl Fn(u16) -> bool) -> u16 {
        let (index, old_index, wrap, old_wrap) = self.places();
        if self.version().load(Ordering::Acquire) == 0 {
            self.number().store(self.size, Ordering::Relaxed);
            self.moving(position);
            self.moved(position);
            self.version().store(1, Ordering::Release);
            return position;
        }
        let place = |index: &AtomicU16, wrap: &AtomicU8| {
            (index.load(Ordering::Acquire) & 0x7fff) | u16::from(wrap.load(Ordering::Acquire) & 1) << 15
        };
        let (new, old) = (place(index, wrap), place(old_index, old_wrap));
        // The last process died while it published: it had, if the first chain of the batch is given back.
        let place = if new == old || given(old) { new } else { old };
        self.moving(place);
        self.moved(place);
        place
    }

    /// A batch is about to be published, after which the used position is this.
    pub(super) fn moving(&self, position: u16) {
        let (index, _, wrap, _) = self.places();
        index.store(position & 0x7fff, Ordering::Release);
        wrap.store((position >> 15) as u8, Ordering::Release);
    }

    /// It was published.
    pub(super) fn moved(&self, position: u16) {
        let (_, index, _, wrap) = self.places();
        index.store(position & 0x7fff, Ordering::Release);
        wrap.store((position >> 15) as u8, Ordering::Release);
    }
}
