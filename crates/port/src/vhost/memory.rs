//! The guest's memory: the regions that the front end handed over, mapped, and the translation of addresses.
//!
//! What: a region has three addresses: where the guest sees it (descriptors use these), where the front end has it
//! (ring addresses use these), and where it is mapped here.
//!
//! Invariants:
//! - A range that [`GuestMemory`] gives out lies inside one mapping and stays mapped as long as the table lives.
//! - Only shared file mappings whose file is long enough are accepted. A front end that shortens the file later
//!   makes accesses fault; `fault.rs` turns that into zeroes.
//!
//! Costs: the last region is remembered by its user ([`Window`]), so a translation is two comparisons.

use super::fault;
use rustix::fs::fstat;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

/// Most regions of one guest; front ends keep memory in few pieces, hotplug adds some.
pub(super) const REGIONS: usize = 64;

/// Smallest page of any machine.
const PAGE: u64 = 4096;

/// Why memory was refused.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A region is empty or wraps around.
    #[error("memory region at {guest:#x} of {size:#x} octets is empty or wraps around")]
    Range {
        /// Guest address.
        guest: u64,
        /// Octets.
        size: u64,
    },
    /// The file behind a region is shorter than the region.
    #[error("memory region of {size:#x} octets at {offset:#x} of its file, which has only {file:#x}")]
    File {
        /// Octets.
        size: u64,
        /// Where in the file.
        offset: u64,
        /// Octets of the file.
        file: u64,
    },
    /// Two regions overlap.
    #[error("memory region at {guest:#x} overlaps another one")]
    Overlap {
        /// Guest address.
        guest: u64,
    },
    /// There are too many regions.
    #[error("more than {REGIONS} memory regions")]
    Many,
    /// Mapping failed.
    #[error("mapping guest memory: {0}")]
    Map(#[from] rustix::io::Errno),
}

/// A piece of a file, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process; all accesses go through raw pointers.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `size` octets of a file from `offset` on; gives the mapping and where the range begins.
    pub(super) fn new(file: &OwnedFd, offset: u64, size: u64) -> Result<(Self, *mut u8), MemoryError> {
        let status = fstat(file.as_fd())?;
        let octets = u64::try_from(status.st_size).unwrap_or(0);
        let end = offset.checked_add(size);
        if size == 0 || end.is_none_or(|end| end > octets) {
            return Err(MemoryError::File { size, offset, file: octets });
        }
        // Files in memory are mapped in whole pages of theirs, large or small: that is their block size.
        let page = u64::try_from(status.st_blksize).unwrap_or(0);
        let page = if page.is_power_of_two() { page.max(PAGE) } else { PAGE };
        let first = offset & !(page - 1);
        let too_large = || MemoryError::File { size, offset, file: octets };
        let length =
            (offset - first).checked_add(size).and_then(|length| length.checked_next_multiple_of(page));
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(too_large)?;
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is touched.
        #[allow(unsafe_code)]
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                file,
                first,
            )?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(rustix::io::Errno::NOMEM)?;
        fault::guard(base.as_ptr() as usize, length);
        let start = base.as_ptr().wrapping_add((offset - first) as usize);
        Ok((Self { base, length }, start))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        fault::forget(self.base.as_ptr() as usize);
        // SAFETY: the range was mapped by `new`, and whoever has pointers into it holds the mapping.
        #[allow(unsafe_code)]
        let done = unsafe { munmap(self.base.as_ptr().cast(), self.length) };
        debug_assert!(done.is_ok());
    }
}

/// What a front end says about a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct RegionAddress {
    pub(super) guest: u64,
    pub(super) size: u64,
    pub(super) user: u64,
    pub(super) offset: u64,
}

#[derive(Debug, Clone)]
struct Region {
    address: RegionAddress,
    host: *mut u8,
    /// Held, not used: it keeps `host` valid.
    _mapping: Arc<Mapping>,
    /// For a successor.
    file: Arc<OwnedFd>,
}

/// All memory of a guest.
#[derive(Debug, Default, Clone)]
pub(super) struct GuestMemory {
    regions: Vec<Region>,
}

// SAFETY: the pointers lead into mappings, which belong to the process.
#[allow(unsafe_code)]
unsafe impl Send for GuestMemory {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for GuestMemory {}

/// The region of the last translation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    start: u64,
    size: u64,
    host: *mut u8,
}

impl Window {
    /// No region.
    pub(super) const EMPTY: Self = Self { start: 0, size: 0, host: std::ptr::null_mut() };

    /// Where a range of guest addresses is, if the region has all of it.
    #[inline(always)]
    pub(super) fn translate(&self, guest: u64, length: u64) -> Option<*mut u8> {
        let offset = guest.wrapping_sub(self.start);
        // The first comparison also refuses what is below the start, since the difference wraps.
        (offset < self.size && length <= self.size - offset).then(|| self.host.wrapping_add(offset as usize))
    }

    /// How many octets from a guest address on are in the region, and where.
    #[inline]
    pub(super) fn reach(&self, guest: u64) -> Option<(*mut u8, u64)> {
        let offset = guest.wrapping_sub(self.start);
        (offset < self.size).then(|| (self.host.wrapping_add(offset as usize), self.size - offset))
    }
}

impl GuestMemory {
    /// Adds a region.
    pub(super) fn add(&mut self, address: RegionAddress, file: OwnedFd) -> Result<(), MemoryError> {
        let RegionAddress { guest, size, user, offset } = address;
        if size == 0 || guest.checked_add(size).is_none() || user.checked_add(size).is_none() {
            return Err(MemoryError::Range { guest, size });
        }
        if self.regions.len() == REGIONS {
            return Err(MemoryError::Many);
        }
        let overlaps = |other: &Region| {
            guest < other.address.guest + other.address.size && other.address.guest < guest + size
        };
        if self.regions.iter().any(overlaps) {
            return Err(MemoryError::Overlap { guest });
        }
        let (mapping, host) = Mapping::new(&file, offset, size)?;
        self.regions.push(Region { address, host, _mapping: Arc::new(mapping), file: Arc::new(file) });
        Ok(())
    }

    /// Takes the region away that has these addresses; false when there is none.
    pub(super) fn remove(&mut self, address: RegionAddress) -> bool {
        let same = |region: &Region| {
            let known = region.address;
            (known.guest, known.size, known.user) == (address.guest, address.size, address.user)
        };
        let before = self.regions.len();
        self.regions.retain(|region| !same(region));
        self.regions.len() < before
    }

    /// The regions, with the files that they are of.
    pub(super) fn files(&self) -> impl Iterator<Item = (RegionAddress, &OwnedFd)> {
        self.regions.iter().map(|region| (region.address, &*region.file))
    }

    /// How many octets there are.
    pub(super) fn size(&self) -> u64 {
        self.regions.iter().map(|region| region.address.size).fold(0, u64::saturating_add)
    }

    /// The region that a guest address is in.
    pub(super) fn window(&self, guest: u64) -> Option<Window> {
        let inside = |region: &&Region| guest.wrapping_sub(region.address.guest) < region.address.size;
        self.regions.iter().find(inside).map(|region| Window {
            start: region.address.guest,
            size: region.address.size,
            host: region.host,
        })
    }

    /// Where a range of the front end's addresses is, if one region has all of it.
    pub(super) fn user(&self, user: u64, length: u64) -> Option<*mut u8> {
        self.regions.iter().find_map(|region| {
            let window = Window { start: region.address.user, size: region.address.size, host: region.host };
            window.translate(user, length)
        })
    }
}
