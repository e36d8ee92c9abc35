//! DPDK's functions, as `shim.c` shows them: plain numbers, and pointers that mean nothing here.
//!
//! Invariants: each function is safe to call from any thread for a port that is open, as long as one thread at a time uses
//! one queue; that is what [`super::queue`] and [`super::port`] keep.

use std::ffi::{c_char, c_int, c_uint};

/// `struct rte_mempool`.
#[repr(C)]
pub(super) struct Pool {
    _opaque: [u8; 0],
}

/// `struct rte_mbuf`.
#[repr(C)]
pub(super) struct Buffer {
    _opaque: [u8; 0],
}

/// A part of a frame.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) data: *mut u8,
    pub(super) next: *mut Buffer,
    pub(super) length: u32,
    /// Of the whole frame; in the first part only.
    pub(super) total: u32,
}

/// What a device counted since it was started.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames that came and found no descriptor.
    pub missed: u64,
    /// Frames that came damaged.
    pub receive_errors: u64,
    /// Frames that could not be sent.
    pub send_errors: u64,
    /// Frames that came and found no buffer.
    pub no_buffer: u64,
}

#[allow(unsafe_code, reason = "foreign functions")]
unsafe extern "C" {
    pub(super) fn netloom_dpdk_error() -> c_int;
    pub(super) fn netloom_dpdk_words(error: c_int) -> *const c_char;
    pub(super) fn netloom_dpdk_start(count: c_int, words: *mut *mut c_char) -> c_int;
    pub(super) fn netloom_dpdk_register() -> c_int;
    pub(super) fn netloom_dpdk_unregister();
    pub(super) fn netloom_dpdk_pool(name: *const c_char, count: c_uint, room: u16) -> *mut Pool;
    pub(super) fn netloom_dpdk_pool_free(pool: *mut Pool);
    pub(super) fn netloom_dpdk_probe(words: *const c_char, port: *mut u16) -> c_int;
    pub(super) fn netloom_dpdk_configure(
        port: u16,
        queues: u16,
        descriptors: *mut u16,
        pool: *mut Pool,
    ) -> c_int;
    pub(super) fn netloom_dpdk_segments(port: u16) -> u16;
    pub(super) fn netloom_dpdk_is_up(port: u16) -> c_int;
    pub(super) fn netloom_dpdk_driver(port: u16, into: *mut c_char, size: c_uint) -> c_int;
    pub(super) fn netloom_dpdk_statistics(port: u16, told: *mut Statistics) -> c_int;
    pub(super) fn netloom_dpdk_close(port: u16);
    pub(super) fn netloom_dpdk_receive(port: u16, queue: u16, into: *mut *mut Buffer, count: u16) -> u16;
    pub(super) fn netloom_dpdk_send(port: u16, queue: u16, from: *mut *mut Buffer, count: u16) -> u16;
    pub(super) fn netloom_dpdk_look(buffer: *mut Buffer, part: *mut Part);
    pub(super) fn netloom_dpdk_free(buffers: *mut *mut Buffer, count: c_uint);
    pub(super) fn netloom_dpdk_buffer(pool: *mut Pool, octets: u32, most: u16) -> *mut Buffer;
}

/// What an error number of DPDK's means.
pub(super) fn words(error: i32) -> String {
    // SAFETY: the function gives a string that ends with a zero and stays until this thread asks again.
    #[allow(unsafe_code)]
    unsafe {
        std::ffi::CStr::from_ptr(netloom_dpdk_words(error.abs())).to_string_lossy().into_owned()
    }
}
