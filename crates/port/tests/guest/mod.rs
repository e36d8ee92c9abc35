//! A guest in this process: memory in a memfd, a driver for split and packed rings, and a vhost-user front end.
//!
//! It is slow, plain, and follows the specification from the driver's side, so that it can be the oracle. Hostile tests
//! write into its memory behind its back ([`Memory::write`]).
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

pub mod driver;
pub mod front;
pub mod victim;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// Where the guest sees its memory.
pub const GUEST: u64 = 0x1_0000_0000;
/// Where the front end says it has it.
pub const USER: u64 = 0x7000_0000_0000;

/// The guest's memory. Offsets count from the start of the file.
pub struct Memory {
    pub file: OwnedFd,
    base: *mut u8,
    pub size: usize,
}

// SAFETY: a mapping belongs to the process, and tests use it like a device would.
#[allow(unsafe_code)]
unsafe impl Send for Memory {}
// SAFETY: as above; tests race on purpose, as guests do.
#[allow(unsafe_code)]
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(size: usize) -> Self {
        let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, size as u64).unwrap();
        Self::over(file, size)
    }

    /// Maps a file.
    pub fn over(file: OwnedFd, size: usize) -> Self {
        // SAFETY: the kernel chooses the address.
        #[allow(unsafe_code)]
        let base = unsafe {
            mmap(std::ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
                .unwrap()
        };
        Self { file, base: base.cast(), size }
    }

    pub fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.size), "{offset:#x} {length:#x}");
        self.base.wrapping_add(offset)
    }

    pub fn write(&self, offset: usize, octets: &[u8]) {
        let to = self.at(offset, octets.len());
        // SAFETY: inside the mapping, see `at`.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(octets.as_ptr(), to, octets.len());
        }
    }

    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let mut octets = vec![0; length];
        let from = self.at(offset, length);
        // SAFETY: inside the mapping, see `at`.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(from, octets.as_mut_ptr(), length);
        }
        octets
    }

    /// An aligned 16-bit field.
    pub fn u16(&self, offset: usize) -> &AtomicU16 {
        let at = self.at(offset, 2).cast::<AtomicU16>();
        assert!(at.is_aligned());
        // SAFETY: inside the mapping and aligned.
        #[allow(unsafe_code)]
        unsafe {
            &*at
        }
    }

    /// An aligned 64-bit field.
    pub fn u64(&self, offset: usize) -> &AtomicU64 {
        let at = self.at(offset, 8).cast::<AtomicU64>();
        assert!(at.is_aligned());
        // SAFETY: inside the mapping and aligned.
        #[allow(unsafe_code)]
        unsafe {
            &*at
        }
    }

    pub fn set(&self, offset: usize, value: u16) {
        self.u16(offset).store(value, Ordering::Release);
    }

    pub fn get(&self, offset: usize) -> u16 {
        self.u16(offset).load(Ordering::Acquire)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        #[allow(unsafe_code)]
        unsafe {
            munmap(self.base.cast(), self.size).unwrap();
        }
    }
}
