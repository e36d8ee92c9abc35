//! Packet sockets: all frames of an existing interface, with its offloads.
//!
//! Two ways to receive: one system call for each frame ([`open_packet`]), or blocks of frames in shared memory
//! ([`open_rings`]), over several sockets if wanted.
//!
//! What: an `AF_PACKET` socket with the virtio-net header (`PACKET_VNET_HDR`), so that segments of 64 KiB travel whole.
//! Frames that this host sends out of the interface are not ours to switch and are left out.

use crate::descriptor::{DescriptorReceive, DescriptorSend, queues, sender};
use crate::packet_ring::PacketRing;
use netloom_mem::{PortNumber, ReceiveQueue, SendQueue};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::io;
use std::sync::Arc;

const PACKET_AUXDATA: i32 = 8;
const PACKET_VERSION: i32 = 10;
const PACKET_VNET_HDR: i32 = 15;
const PACKET_FANOUT: i32 = 18;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const PACKET_QDISC_BYPASS: i32 = 20;
const TPACKET_V3: i32 = 2;

/// Both ends of an interface.
pub struct PacketSocket {
    /// Where its frames come from.
    pub receive: Box<dyn ReceiveQueue>,
    /// Where frames go.
    pub send: Box<dyn SendQueue>,
    /// The same for other threads.
    pub others: Vec<Box<dyn SendQueue>>,
    /// The socket, for another process that goes on with it.
    pub descriptor: Arc<OwnedFd>,
}

impl std::fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("packet socket")
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn option(socket: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the option's value is one `int`, which lives during the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setsockopt(socket, libc::SOL_PACKET, name, (&raw const value).cast(), size) };
    check(result).map(drop)
}

/// Opens the interface with this index.
///
/// # Errors
/// Without the right to (`CAP_NET_RAW`), or when there is no such interface.
pub fn open_packet(port: PortNumber, index: u32) -> io::Result<PacketSocket> {
    open_packet_for(port, index, 1)
}

/// The same, with ways out for so many threads.
///
/// # Errors
/// As [`open_packet`].
pub fn open_packet_for(port: PortNumber, index: u32, threads: usize) -> io::Result<PacketSocket> {
    adopt_packet(port, open(index)?, threads)
}

/// Goes on with a socket that another process opened by [`open_packet`].
///
/// # Errors
/// Without memory.
pub fn adopt_packet(port: PortNumber, socket: OwnedFd, threads: usize) -> io::Result<PacketSocket> {
    let descriptor = Arc::new(socket);
    let (receive, send): (DescriptorReceive, DescriptorSend) = queues(descriptor.clone(), port, true, true)?;
    let others = vec![send.clone(); threads.saturating_sub(1)];
    let others = others.into_iter().map(|send| -> Box<dyn SendQueue> { Box::new(send) }).collect();
    Ok(PacketSocket { receive: Box::new(receive), send: Box::new(send), others, descriptor })
}

/// Several sockets of one interface, each with a receive ring.
pub struct PacketRings {
    /// Where its frames come from; the kernel spreads flows over them.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// Where frames go.
    pub send: Vec<Box<dyn SendQueue>>,
}

impl std::fmt::Debug for PacketRings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} packet sockets with rings", self.receive.len())
    }
}

/// Most sockets of one interface.
pub const RINGS: usize = 64;

/// Opens the interface with this index by `queues` sockets (1 to [`RINGS`]) with receive rings of 4 MiB each
/// (`TPACKET_V3`): cheaper for each frame than [`open_packet`], but a lonely frame waits for a millisecond or more.
///
/// # Errors
/// As [`open_packet`], or when the kernel has no such rings or groups.
pub fn open_rings(port: PortNumber, index: u32, queues: usize) -> io::Result<PacketRings> {
    let mut rings = PacketRings { receive: Vec::new(), send: Vec::new() };
    let mut group: Option<u16> = None;
    for _ in 0..queues.clamp(1, RINGS) {
        let socket = Arc::new(socket()?);
        option(socket.as_raw_fd(), PACKET_VERSION, TPACKET_V3)?;
        prepare(&socket, index)?;
        let ring = PacketRing::new(socket.clone(), port)?;
        bind(&socket, index)?;
        if queues > 1 {
            let number = join_group(&socket, group)?;
            group = Some(number);
        }
        rings.receive.push(Box::new(ring));
        rings.send.push(Box::new(sender(socket, true)));
    }
    Ok(rings)
}

/// Puts a bound socket into a group over which the kernel spreads flows: a given one, or a new one. Gives its number.
fn join_group(socket: &OwnedFd, group: Option<u16>) -> io::Result<u16> {
    const HASH: i32 = 0;
    const UNIQUE: i32 = 0x2000;
    let Some(number) = group else {
        option(socket.as_raw_fd(), PACKET_FANOUT, (HASH | UNIQUE) << 16)?;
        let (mut told, mut size) = (0_i32, size_of::<i32>() as libc::socklen_t);
        let (pointer, level) = ((&raw mut told).cast(), libc::SOL_PACKET);
        // SAFETY: the option's value is one `int`, which lives during the call.
        #[allow(unsafe_code)]
        let done =
            unsafe { libc::getsockopt(socket.as_raw_fd(), level, PACKET_FANOUT, pointer, &raw mut size) };
        return check(done).map(|_| told as u16);
    };
    option(socket.as_raw_fd(), PACKET_FANOUT, i32::from(number) | HASH << 16)?;
    Ok(number)
}

fn open(index: u32) -> io::Result<OwnedFd> {
    let owned = socket()?;
    option(owned.as_raw_fd(), PACKET_AUXDATA, 1)?;
    prepare(&owned, index)?;
    bind(&owned, index)?;
    Ok(owned)
}

/// What all sockets that receive are told before they are bound.
fn prepare(owned: &OwnedFd, index: u32) -> io::Result<()> {
    let socket = owned.as_raw_fd();
    option(socket, PACKET_VNET_HDR, 1)?;
    option(socket, PACKET_IGNORE_OUTGOING, 1)?;
    // Saves a queue; older kernels and odd devices do without.
    let _ = option(socket, PACKET_QDISC_BYPASS, 1);
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(owned, 8 << 20);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(owned, 8 << 20);
    join(socket, index)
}

fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is a `struct sockaddr_ll`, which lives during the call.
    #[allow(unsafe_code)]
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) }).map(drop)
}

/// Has the interface take frames for all addresses as long as the socket lives.
fn join(socket: i32, index: u32) -> io::Result<()> {
    let promiscuous = libc::packet_mreq {
        mr_ifindex: index as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let size = size_of::<libc::packet_mreq>() as libc::socklen_t;
    // SAFETY: the option's value is a `struct packet_mreq`, which lives during the call.
    #[allow(unsafe_code)]
    check(unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const promiscuous).cast(),
            size,
        )
    })
    .map(drop)
}

/// A socket that receives nothing and only has an interface take frames for all addresses.
pub(crate) fn promiscuous(index: u32) -> io::Result<OwnedFd> {
    let socket = socket()?;
    join(socket.as_raw_fd(), index)?;
    Ok(socket)
}

/// A packet socket. Without a protocol it receives nothing until it is bound.
fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is involved.
    #[allow(unsafe_code)]
    let socket = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor was just made and is nobody else's.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}
