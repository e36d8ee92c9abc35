//! The one module with unsafe code: system calls that no safe wrapper covers.
//!
//! What: making a network namespace for the calling thread, TUN/TAP ioctls, packets with their stamps, and what faults do. Each block says why it is
//! sound.
#![allow(unsafe_code)]

use rustix::ioctl::{IntegerSetter, Opcode, Setter};
use rustix::thread::UnshareFlags;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Gives the calling thread a new, empty network namespace. Other threads stay where they are.
pub(crate) fn unshare_network() -> rustix::io::Result<()> {
    // SAFETY: only CLONE_FILES makes `unshare` unsafe (descriptors of other threads); it is not asked for.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Has faults end the process at once. The language's runtime catches them to find out whether a stack overflowed, and
/// lets a signal pass that somebody else sent.
pub(crate) fn end_by_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of this process; no handler of ours is replaced by it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

// linux/if_tun.h: _IOW('T', 202..206, int)
const TUNSETIFF: Opcode = 0x4004_54ca;
const TUNSETPERSIST: Opcode = 0x4004_54cb;
const TUNSETOWNER: Opcode = 0x4004_54cc;
const TUNSETGROUP: Opcode = 0x4004_54ce;

/// `struct ifreq` as TUNSETIFF reads it: a name, flags, and the rest of the union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

// The kernel copies sizeof(struct ifreq) octets, so ours may not be shorter.
const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

/// Attaches the descriptor of `/dev/net/tun` to an interface, which is made if it does not exist.
pub(crate) fn tun_attach(tun: impl AsFd, name: &str, flags: u16) -> rustix::io::Result<()> {
    let mut request = InterfaceRequest { name: [0; 16], flags, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes one struct ifreq, whose size and layout `request` has (asserted above).
    unsafe { rustix::ioctl::ioctl(tun, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }
}

/// Lets the attached interface outlive the descriptor, or not.
pub(crate) fn tun_persist(tun: impl AsFd, on: bool) -> rustix::io::Result<()> {
    // SAFETY: TUNSETPERSIST takes an integer as its argument and reads no memory.
    unsafe { rustix::ioctl::ioctl(tun, IntegerSetter::<TUNSETPERSIST>::new_usize(usize::from(on))) }
}

/// The user who may attach to the interface; `u32::MAX` for nobody in particular.
pub(crate) fn tun_owner(tun: impl AsFd, user: u32) -> rustix::io::Result<()> {
    // SAFETY: TUNSETOWNER takes an integer as its argument and reads no memory.
    unsafe { rustix::ioctl::ioctl(tun, IntegerSetter::<TUNSETOWNER>::new_usize(user as usize)) }
}

/// The group that may attach to the interface; `u32::MAX` for none in particular.
pub(crate) fn tun_group(tun: impl AsFd, group: u32) -> rustix::io::Result<()> {
    // SAFETY: TUNSETGROUP takes an integer as its argument and reads no memory.
    unsafe { rustix::ioctl::ioctl(tun, IntegerSetter::<TUNSETGROUP>::new_usize(group as usize)) }
}

/// A packet as a packet socket gives it.
pub(crate) struct Received {
    /// Number of the interface.
    pub(crate) index: u32,
    /// `PACKET_HOST`, `PACKET_OUTGOING` ...
    pub(crate) kind: u8,
    /// EtherType.
    pub(crate) protocol: u16,
    /// Octets of all of it.
    pub(crate) length: usize,
    /// Nanoseconds since 1970; zero without a stamp.
    pub(crate) time: u64,
}

/// Has every packet of a socket come with the kernel's time.
pub(crate) fn stamp_packets(socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one `int`, which lives during the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done < 0 { Err(last_error()) } else { Ok(()) }
}

fn last_error() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

/// Receives from a packet socket, without waiting.
pub(crate) fn receive_packet(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> rustix::io::Result<Received> {
    // Room for one stamp, aligned as the kernel writes its headers.
    let mut control = [0_u64; 16];
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: both are plain numbers and pointers of C, for which zeros are a value.
    let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: `message` points at an address, one piece of memory and a control buffer with their lengths; all of them live
    // during the call and nobody else uses them.
    let length =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
    let Ok(length) = usize::try_from(length) else { return Err(last_error()) };
    let mut time = 0;
    // SAFETY: the kernel has filled `message`; CMSG_FIRSTHDR looks at its lengths and gives null or a header within `control`.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: the header is null or lies within `control`, which is aligned for it; a stamp's header is followed by a timespec
    // within the length that it states, which is read without asking for alignment.
    unsafe {
        if let Some(found) = header.as_ref()
            && (found.cmsg_level, found.cmsg_type) == (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)
            && found.cmsg_len >= libc::CMSG_LEN(size_of::<libc::timespec>() as u32) as usize
        {
            let stamp = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
            time = (stamp.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(stamp.tv_nsec as u64);
        }
    }
    Ok(Received {
        index: from.sll_ifindex as u32,
        kind: from.sll_pkttype,
        protocol: u16::from_be(from.sll_protocol),
        length,
        time,
    })
}

/// Packets that a packet socket had no room for since the last question (`PACKET_STATISTICS`).
pub(crate) fn packets_missed(socket: BorrowedFd<'_>) -> rustix::io::Result<u32> {
    const PACKET_STATISTICS: libc::c_int = 6;
    // `struct tpacket_stats`: packets, drops.
    let mut told = [0_u32; 2];
    let mut size = size_of_val(&told) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `told`, which lives during the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            told.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if done < 0 { Err(last_error()) } else { Ok(told[1]) }
}
