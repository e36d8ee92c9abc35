//! The memory that the kernel puts frames into and takes them from (UMEM), and who has which chunk of it.
//!
//! What: one mapping for all queues of a port, in chunks of one size. Each queue has a range of chunks to receive into
//! and one to send from, of its own, so that no two threads share a list of free chunks. Huge pages are taken when there
//! are some: the kernel's side then needs fewer translations.
//!
//! Invariants: a chunk is either with the kernel or with us ([`Chunks`]). What the kernel names is believed only if it is
//! a chunk of the queue that is with the kernel, and a range inside that chunk.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::io;
use std::ptr::NonNull;

/// Octets of a huge page.
const HUGE: usize = 2 << 20;

/// The memory.
#[derive(Debug)]
pub(super) struct Umem {
    base: NonNull<u8>,
    /// Octets that are mapped.
    length: usize,
    /// Octets of a chunk; a power of two.
    chunk: u32,
    huge: bool,
}

// SAFETY: a mapping belongs to the process; all accesses go through raw pointers into chunks that one side owns.
#[allow(unsafe_code)]
unsafe impl Send for Umem {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Umem {}

impl Umem {
    /// Maps so many chunks of so many octets.
    ///
    /// # Errors
    /// Without memory.
    pub(super) fn new(chunks: usize, chunk: u32) -> io::Result<Self> {
        debug_assert!(chunk.is_power_of_two());
        let wanted =
            chunks.checked_mul(chunk as usize).and_then(|octets| octets.checked_next_multiple_of(HUGE));
        let length = wanted.ok_or(io::ErrorKind::OutOfMemory)?;
        let map = |more: MapFlags| {
            let (access, flags) =
                (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
            // SAFETY: the kernel chooses the address, so nothing that is mapped already is touched.
            #[allow(unsafe_code)]
            unsafe {
                mmap_anonymous(std::ptr::null_mut(), length, access, flags | more)
            }
        };
        let (base, huge) = match map(MapFlags::HUGETLB | MapFlags::HUGE_2MB) {
            Ok(base) => (base, true),
            Err(_) => (map(MapFlags::empty())?, false),
        };
        if !huge {
            // SAFETY: the range was just mapped. The advice changes no contents; a kernel without large pages refuses.
            #[allow(unsafe_code)]
            let _ = unsafe { madvise(base, length, Advice::LinuxHugepage) };
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length, chunk, huge })
    }

    /// Where it begins, and its octets.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.base.as_ptr() as u64, self.length as u64)
    }

    /// Octets of a chunk.
    pub(super) fn chunk(&self) -> u32 {
        self.chunk
    }

    /// Whether huge pages back it.
    pub(super) fn is_huge(&self) -> bool {
        self.huge
    }

    /// Where a range of it is, if it has all of it.
    #[inline]
    pub(super) fn at(&self, address: u64, length: u32) -> Option<*mut u8> {
        let offset = usize::try_from(address).ok()?;
        let inside = offset.checked_add(length as usize)? <= self.length;
        inside.then(|| self.base.as_ptr().wrapping_add(offset))
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, and whoever has pointers into it holds the `Umem`.
        #[allow(unsafe_code)]
        let done = unsafe { munmap(self.base.as_ptr().cast(), self.length) };
        debug_assert!(done.is_ok());
    }
}

/// A range of chunks, and for each whether the kernel has it.
#[derive(Debug)]
pub(super) struct Chunks {
    /// Number of the first chunk.
    first: u64,
    /// Octets of a chunk as a power of two.
    shift: u32,
    lent: Box<[bool]>,
}

impl Chunks {
    /// `count` chunks of `chunk` octets (a power of two) from the chunk `first` on, all ours.
    pub(super) fn new(first: u64, count: u32, chunk: u32) -> Self {
        Self { first, shift: chunk.trailing_zeros(), lent: vec![false; count as usize].into() }
    }

    /// The addresses of all chunks.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, shift, count) = (self.first, self.shift, self.lent.len() as u64);
        (first..first + count).map(move |chunk| chunk << shift)
    }

    fn place(&mut self, address: u64) -> Option<&mut bool> {
        let index = (address >> self.shift).checked_sub(self.first)?;
        self.lent.get_mut(usize::try_from(index).ok()?)
    }

    /// Notes that the kernel gets a chunk.
    #[inline]
    pub(super) fn lend(&mut self, address: u64) {
        if let Some(lent) = self.place(address) {
            *lent = true;
        }
    }

    /// Takes the chunk back that an address of the kernel's is in, and gives the chunk's address; `None` when the kernel
    /// does not have such a chunk of ours.
    #[inline]
    pub(super) fn take(&mut self, address: u64) -> Option<u64> {
        let shift = self.shift;
        let lent = self.place(address).filter(|lent| **lent)?;
        *lent = false;
        Some(address >> shift << shift)
    }

    /// Whether a range of so many octets from an address on is in one chunk.
    #[inline]
    pub(super) fn holds(&self, address: u64, length: u32) -> bool {
        let chunk = 1_u64 << self.shift;
        (address & (chunk - 1)) + u64::from(length) <= chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Whatever addresses the kernel names: only chunks that it has come back, each once.
        #[test]
        fn only_lent_chunks_come_back(
            first in 0_u64..50,
            count in 1_u32..20,
            steps in proptest::collection::vec((any::<bool>(), prop_oneof![0_u64..200_000, any::<u64>()]), 0..200),
        ) {
            let mut chunks = Chunks::new(first, count, 2048);
            let mut lent = BTreeSet::new();
            for (lend, address) in steps {
                let number = address / 2048;
                let ours = (first..first + u64::from(count)).contains(&number);
                if lend {
                    chunks.lend(address);
                    if ours {
                        lent.insert(number);
                    }
                } else {
                    let back = chunks.take(address);
                    prop_assert_eq!(back, lent.remove(&number).then_some(number * 2048));
                }
            }
        }

        #[test]
        fn ranges_stay_in_a_chunk(address in any::<u64>(), length in any::<u32>()) {
            let chunks = Chunks::new(0, 4, 4096);
            let inside = (0..u64::from(length)).take(5000).all(|octet| {
                address.wrapping_add(octet) / 4096 == address / 4096
            });
            prop_assert_eq!(chunks.holds(address, length), inside || length == 0);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "no huge pages there")]
    fn the_memory_has_what_was_asked_for_and_no_more() {
        let umem = Umem::new(10, 2048).unwrap();
        let (_, length) = umem.range();
        assert_eq!(length, HUGE as u64);
        let last = umem.at(length - 1, 1).unwrap();
        // SAFETY: the octet is inside the mapping.
        #[allow(unsafe_code)]
        unsafe {
            last.write_volatile(7);
            assert_eq!(last.read_volatile(), 7);
        }
        assert!(umem.at(length, 1).is_none() && umem.at(length - 1, 2).is_none());
        assert!(umem.at(u64::MAX, u32::MAX).is_none() && umem.at(length, 0).is_some());
        let chunks = Chunks::new(3, 2, 2048);
        assert_eq!(chunks.addresses().collect::<Vec<_>>(), [6144, 8192]);
    }
}
