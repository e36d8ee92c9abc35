//! One AF_XDP socket: its options, its rings, and the system calls that wake the kernel's side.
//!
//! Invariants: the rings' mappings live as long as the socket ([`Socket`] is shared by the two queues that use it and by
//! the port), and so does the memory that they name chunks of.

use super::ring::Place;
use super::umem::Umem;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// `XDP_MAX_TX_SKB_BUDGET` (linux/if_xdp.h, since 6.17): frames that one system call may send.
const MOST_AT_ONCE: i32 = 9;
/// How many we ask for.
const BUDGET: u32 = 256;
/// Octets that may be on their way out.
const SEND_BUFFER: i32 = 32 << 20;

/// A descriptor of a part of a frame (`struct xdp_desc`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) options: u32,
}

/// The frame goes on in the next descriptor (`XDP_PKT_CONTD`).
pub(super) const CONTINUED: u32 = 1;

/// What the kernel counts at a socket (`struct xdp_statistics`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Frames that came and were lost for other reasons than a full ring (too long, for one).
    pub dropped: u64,
    /// Frames that were lost because the receive ring was full.
    pub ring_full: u64,
    /// Times that there was no chunk to receive into.
    pub fill_ring_empty: u64,
    /// Chunks of ours that the kernel refused to receive into.
    pub invalid_fill: u64,
    /// Descriptors of ours that the kernel refused to send.
    pub invalid_send: u64,
    /// Times that the kernel looked for something to send and found nothing.
    pub send_ring_empty: u64,
}

impl std::ops::AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.ring_full += other.ring_full;
        self.fill_ring_empty += other.fill_ring_empty;
        self.invalid_fill += other.invalid_fill;
        self.invalid_send += other.invalid_send;
        self.send_ring_empty += other.send_ring_empty;
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value lives during the call and has the size that is told.
    #[allow(unsafe_code)]
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size)
    })
}

/// Reads an option into a value that any octets are valid for; gives how many octets the kernel wrote.
fn get<T: Copy>(socket: &OwnedFd, name: i32, value: &mut T) -> io::Result<usize> {
    let mut size = size_of::<T>() as libc::socklen_t;
    let pointer = std::ptr::from_mut(value).cast();
    // SAFETY: the value lives during the call and has the size that is told; callers pass structures of integers.
    #[allow(unsafe_code)]
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, name, pointer, &raw mut size) })?;
    Ok(size as usize)
}

/// A ring's mapping.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is read or written through it but by the rings' owners.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `Socket::map`, and the rings in it live no longer than the socket.
        #[allow(unsafe_code)]
        let done = unsafe { munmap(self.base.as_ptr().cast(), self.length) };
        debug_assert!(done.is_ok());
    }
}

/// How a socket is bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) interface: u32,
    pub(super) queue: u32,
    pub(super) zero_copy: bool,
    pub(super) fragments: bool,
}

/// A socket, before its queues are made.
#[derive(Debug)]
pub(super) struct Socket {
    // Dropped in this order: the kernel lets go of the rings and the memory before they are unmapped.
    descriptor: OwnedFd,
    mappings: Vec<Mapping>,
    pub(super) umem: Arc<Umem>,
    /// Frames wait for the kernel to be told once more.
    pub(super) unsent: AtomicBool,
    /// The interface is gone for good.
    pub(super) gone: AtomicBool,
}

/// The rings of a socket.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) fill: Place<u64>,
    pub(super) completion: Place<u64>,
    pub(super) receive: Place<Descriptor>,
    pub(super) send: Place<Descriptor>,
}

impl Socket {
    /// A socket with its four rings of `size` entries, not bound yet. The first socket of a memory registers it.
    ///
    /// # Errors
    /// Without the right to (`CAP_NET_RAW`), or without memory.
    pub(super) fn new(umem: Arc<Umem>, size: u32, first: bool) -> io::Result<(Self, Rings)> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is involved.
        #[allow(unsafe_code)]
        let descriptor = unsafe { libc::socket(libc::AF_XDP, kind, 0) };
        check(descriptor)?;
        // SAFETY: the descriptor was just made and is nobody else's.
        #[allow(unsafe_code)]
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        if first {
            let (addr, len) = umem.range();
            let region = libc::xdp_umem_reg {
                addr,
                len,
                chunk_size: umem.chunk(),
                headroom: 0,
                flags: 0,
                tx_metadata_len: 0,
            };
            set(&descriptor, libc::SOL_XDP, libc::XDP_UMEM_REG, &region)?;
        }
        for ring in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            set(&descriptor, libc::SOL_XDP, ring, &size)?;
        }
        // Both are for speed: older kernels and those without the right do with less.
        let _ = set(&descriptor, libc::SOL_XDP, MOST_AT_ONCE, &BUDGET.min(size));
        let _ = set(&descriptor, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER)
            .or_else(|_| set(&descriptor, libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER));
        let mut socket = Self {
            descriptor,
            mappings: Vec::new(),
            umem,
            unsent: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        };
        let none = libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
        let mut offsets = libc::xdp_mmap_offsets { rx: none, tx: none, fr: none, cr: none };
        if get(&socket.descriptor, libc::XDP_MMAP_OFFSETS, &mut offsets)? != size_of_val(&offsets) {
            // Before 5.4 there were no flags.
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.4"));
        }
        let rings = Rings {
            fill: socket.map(libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, size)?,
            completion: socket.map(libc::XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, size)?,
            receive: socket.map(libc::XDP_PGOFF_RX_RING as u64, &offsets.rx, size)?,
            send: socket.map(libc::XDP_PGOFF_TX_RING as u64, &offsets.tx, size)?,
        };
        Ok((socket, rings))
    }

    /// A socket that is none, for queues whose rings a test has.
    #[cfg(test)]
    pub(super) fn none(umem: Arc<Umem>) -> Self {
        let descriptor = std::fs::File::open("/dev/null").expect("a file that is always there").into();
        let (unsent, gone) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { descriptor, mappings: Vec::new(), umem, unsent, gone }
    }

    /// Maps a ring and finds its parts.
    fn map<T: Copy>(&mut self, at: u64, offsets: &libc::xdp_ring_offset, size: u32) -> io::Result<Place<T>> {
        let strange =
            || io::Error::new(io::ErrorKind::InvalidData, "the kernel describes its rings strangely");
        let entries = (size as usize).checked_mul(size_of::<T>()).ok_or_else(strange)?;
        let offset = |offset: u64, octets: usize| {
            let offset = usize::try_from(offset).ok()?;
            offset.is_multiple_of(4).then_some((offset, offset.checked_add(octets)?))
        };
        let parts =
            [(offsets.producer, 4), (offsets.consumer, 4), (offsets.flags, 4), (offsets.desc, entries)];
        let mut places = [0; 4];
        let mut length = 0;
        for (place, (part, octets)) in places.iter_mut().zip(parts) {
            let (start, end) = offset(part, octets).ok_or_else(strange)?;
            (*place, length) = (start, length.max(end));
        }
        if !places[3].is_multiple_of(align_of::<T>()) {
            return Err(strange());
        }
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is touched.
        #[allow(unsafe_code)]
        let base = unsafe { mmap(std::ptr::null_mut(), length, access, flags, &self.descriptor, at)? };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        self.mappings.push(Mapping { base, length });
        let at = |offset: usize| base.as_ptr().wrapping_add(offset);
        let word = |offset: usize| at(offset).cast::<AtomicU32>().cast();
        let [producer, consumer, flags, entries] = places;
        // SAFETY: all parts are inside the mapping (its length was computed from them) and aligned (checked above; the
        // mapping begins with a page). The mapping lives as long as the socket, which whoever uses the ring holds. Only
        // the kernel is at the other side, and any octets are valid entries.
        #[allow(unsafe_code)]
        unsafe { Place::new(word(producer), word(consumer), word(flags), at(entries).cast(), size) }
            .ok_or_else(strange)
    }

    /// Binds the socket to a queue. `with`: the first socket of the memory, whose way to copy is then ours too.
    ///
    /// # Errors
    /// When the driver can't do what is asked for, or somebody else has the queue.
    pub(super) fn bind(&self, binding: Binding, with: Option<&Self>) -> io::Result<()> {
        let flags = match with {
            Some(_) => libc::XDP_SHARED_UMEM,
            None => {
                let copy = if binding.zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY };
                copy | libc::XDP_USE_NEED_WAKEUP | if binding.fragments { libc::XDP_USE_SG } else { 0 }
            }
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: binding.interface,
            sxdp_queue_id: binding.queue,
            sxdp_shared_umem_fd: with.map_or(0, |first| first.descriptor.as_raw_fd() as u32),
        };
        let size = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a `struct sockaddr_xdp`, which lives during the call.
        #[allow(unsafe_code)]
        check(unsafe { libc::bind(self.descriptor.as_raw_fd(), (&raw const address).cast(), size) })
    }

    /// Whether the driver uses the memory itself, as the kernel says it.
    pub(super) fn is_zero_copy(&self) -> bool {
        let mut options = libc::xdp_options { flags: 0 };
        get(&self.descriptor, libc::XDP_OPTIONS, &mut options).is_ok()
            && options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0
    }

    /// What the kernel counted.
    pub(super) fn statistics(&self) -> Statistics {
        let mut told = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        // A kernel before 5.9 tells the first three only; the others stay zero.
        let _ = get(&self.descriptor, libc::XDP_STATISTICS, &mut told);
        Statistics {
            dropped: told.rx_dropped,
            ring_full: told.rx_ring_full,
            fill_ring_empty: told.rx_fill_ring_empty_descs,
            invalid_fill: told.rx_invalid_descs,
            invalid_send: told.tx_invalid_descs,
            send_ring_empty: told.tx_ring_empty_descs,
        }
    }

    /// Has the kernel send what is in the ring, as much as one call does.
    pub(super) fn wake_to_send(&self) -> io::Result<()> {
        // SAFETY: nothing is read: there are no octets to send.
        #[allow(unsafe_code)]
        let sent = unsafe {
            libc::sendto(
                self.descriptor.as_raw_fd(),
                std::ptr::null(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null(),
                0,
            )
        };
        if sent < 0 { Err(self.note(io::Error::last_os_error())) } else { Ok(()) }
    }

    /// Has the driver look for chunks to receive into.
    pub(super) fn wake_to_receive(&self) {
        // SAFETY: nothing is written: there is no room for octets.
        #[allow(unsafe_code)]
        let came = unsafe {
            libc::recvfrom(
                self.descriptor.as_raw_fd(),
                std::ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if came < 0 {
            self.note(io::Error::last_os_error());
        }
    }

    /// Remembers that the kernel says that the socket is bound to nothing any more.
    fn note(&self, error: io::Error) -> io::Error {
        if error.raw_os_error() == Some(libc::ENXIO) {
            self.gone.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
