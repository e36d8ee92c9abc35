//! TAP interfaces: an interface of this host whose other end is a port.
//!
//! What: made (or taken over, if it is persistent) with the virtio-net header and all offloads, so that the kernel hands
//! over segments of 64 KiB with open checksums and takes such segments.

use crate::descriptor::queues;
use netloom_mem::{PortNumber, ReceiveQueue, SendQueue};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::sync::Arc;

/// A TAP interface, opened.
pub struct Tap {
    /// Its name.
    pub name: String,
    /// One for each queue.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// At least one way out for each that was asked for.
    pub send: Vec<Box<dyn SendQueue>>,
    /// Which offloads the kernel took.
    pub offloads: bool,
    /// Tells whether the interface is still there.
    pub presence: Presence,
    /// Its queues' descriptors, for another process that goes on with them.
    pub descriptors: Vec<Arc<OwnedFd>>,
}

/// Tells whether the interface behind a descriptor is still there.
#[derive(Debug)]
pub struct Presence(OwnedFd);

impl Presence {
    /// Whether it is there. Somebody may have removed the interface.
    #[must_use]
    pub fn holds(&self) -> bool {
        let mut request = InterfaceRequest { name: [0; 16], flags: 0, rest: [0; 22] };
        // SAFETY: TUNGETIFF writes one `struct ifreq` of 40 octets, which `request` is.
        #[allow(unsafe_code)]
        let result = unsafe { libc::ioctl(raw(&self.0), TUNGETIFF as _, &raw mut request) };
        result == 0
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tap {} with {} queues", self.name, self.receive.len())
    }
}

// linux/if_tun.h
const TUNSETIFF: u64 = 0x4004_54ca;
const TUNGETIFF: u64 = 0x8004_54d2;
const TUNSETOFFLOAD: u64 = 0x4004_54d0;
const IFF_TAP: u16 = 2;
const IFF_MULTI_QUEUE: u16 = 0x100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const TUN_F_CSUM: u32 = 1;
const TUN_F_TSO4: u32 = 2;
const TUN_F_TSO6: u32 = 4;
const TUN_F_TSO_ECN: u32 = 8;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;

/// `struct ifreq`: name, flags, the rest of the union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Opens the TAP interface `name` (made if it is not there) with so many queues, and ways out for so many threads.
///
/// # Errors
/// Without `/dev/net/tun` or the right to use it, or when the name belongs to another kind of interface.
pub fn open_tap(port: PortNumber, name: &str, count: usize, senders: usize) -> io::Result<Tap> {
    let mut queues = Vec::new();
    let mut given = name.to_owned();
    for _ in 0..count.max(1) {
        let (descriptor, name) = open(name, count > 1)?;
        let offloads = offload(&descriptor);
        given = name;
        queues.push((descriptor, offloads));
    }
    let offloads = queues.iter().all(|(_, offloads)| *offloads);
    adopt_tap(port, given, queues.into_iter().map(|(descriptor, _)| descriptor).collect(), offloads, senders)
}

/// Goes on with the queues of a TAP interface that another process opened.
///
/// # Errors
/// When there is none, or descriptors are short.
pub fn adopt_tap(
    port: PortNumber,
    name: String,
    descriptors: Vec<OwnedFd>,
    offloads: bool,
    senders: usize,
) -> io::Result<Tap> {
    let first = descriptors.first().ok_or_else(|| io::Error::other("no queue"))?;
    let presence = Presence(first.try_clone()?);
    let mut tap =
        Tap { name, receive: Vec::new(), send: Vec::new(), offloads, presence, descriptors: Vec::new() };
    let mut ways = Vec::new();
    for descriptor in descriptors {
        let descriptor = Arc::new(descriptor);
        let (receive, send) = queues(descriptor.clone(), port, offloads, false)?;
        tap.descriptors.push(descriptor);
        tap.receive.push(Box::new(receive));
        ways.push(send);
    }
    // Who has no queue of its own shares one: that costs nothing but the kernel's own locks.
    let count = senders.max(ways.len());
    let ways = ways.iter().cycle().take(count);
    tap.send.extend(ways.map(|send| -> Box<dyn SendQueue> { Box::new(send.clone()) }));
    Ok(tap)
}

fn open(name: &str, several: bool) -> io::Result<(OwnedFd, String)> {
    if name.len() > 15 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` has more than 15 octets")));
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let descriptor = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | if several { IFF_MULTI_QUEUE } else { 0 },
        rest: [0; 22],
    };
    for (place, octet) in request.name.iter_mut().zip(name.bytes()) {
        *place = octet;
    }
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq` of 40 octets, which `request` is.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(raw(&descriptor), TUNSETIFF as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let end = request.name.iter().position(|octet| *octet == 0).unwrap_or(16);
    Ok((descriptor, String::from_utf8_lossy(&request.name[..end]).into_owned()))
}

/// Asks for as many offloads as the kernel has; false if it has none.
fn offload(descriptor: &OwnedFd) -> bool {
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    [tcp | TUN_F_USO4 | TUN_F_USO6, tcp].into_iter().any(|wanted| {
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        #[allow(unsafe_code)]
        let result = unsafe { libc::ioctl(raw(descriptor), TUNSETOFFLOAD as _, libc::c_ulong::from(wanted)) };
        result == 0
    })
}

fn raw(descriptor: &OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    descriptor.as_fd().as_raw_fd()
}
