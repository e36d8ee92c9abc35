//! The dirty log: which pages of the guest's memory were written while it moves to another machine.
//!
//! Invariants: a bit is set after the octets it stands for were written, so the front end that takes the bit sees
//! them. Pages beyond the log are not logged (the front end sizes the log for all its memory).
//!
//! Costs: an atomic operation for each written page, only while a migration runs.

use super::memory::{Mapping, MemoryError};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};

/// Octets that one bit stands for (`VHOST_LOG_PAGE`).
const PAGE: u64 = 4096;

/// A log in memory that the front end shares.
#[derive(Debug)]
pub(super) struct DirtyLog {
    _mapping: Mapping,
    bits: *const AtomicU8,
    octets: u64,
    /// For a successor: the file, and where in it the log begins.
    pub(super) file: OwnedFd,
    pub(super) offset: u64,
}

// SAFETY: the pointer leads into the mapping, and every access is atomic.
#[allow(unsafe_code)]
unsafe impl Send for DirtyLog {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for DirtyLog {}

impl DirtyLog {
    pub(super) fn new(file: OwnedFd, offset: u64, size: u64) -> Result<Self, MemoryError> {
        let (mapping, start) = Mapping::new(&file, offset, size)?;
        Ok(Self { _mapping: mapping, bits: start.cast_const().cast(), octets: size, file, offset })
    }

    /// Octets of the log.
    pub(super) const fn size(&self) -> u64 {
        self.octets
    }

    /// Says that a range of guest addresses was written.
    #[cold]
    pub(super) fn mark(&self, guest: u64, length: u64) {
        if length == 0 {
            return;
        }
        let last = guest.saturating_add(length - 1) / PAGE;
        for page in guest / PAGE..=last {
            if page / 8 >= self.octets {
                return;
            }
            // SAFETY: the octet lies within the log, and an atomic octet has no alignment.
            #[allow(unsafe_code)]
            let octet = unsafe { &*self.bits.add((page / 8) as usize) };
            octet.fetch_or(1 << (page % 8), Ordering::Release);
        }
    }
}
