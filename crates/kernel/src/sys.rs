//! The one module with unsafe code: system calls that no safe wrapper covers.
//!
//! What: making a network namespace for the calling thread, TUN/TAP ioctls, and what faults do. Each block says why it is
//! sound.
#![allow(unsafe_code)]

use rustix::ioctl::{IntegerSetter, Opcode, Setter};
use rustix::thread::UnshareFlags;
use std::os::fd::AsFd;

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
