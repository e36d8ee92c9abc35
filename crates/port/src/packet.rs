//! Packet sockets: all frames of an existing interface, with its offloads.
//!
//! What: an `AF_PACKET` socket with the virtio-net header (`PACKET_VNET_HDR`), so that segments of 64 KiB travel whole.
//! Frames that this host sends out of the interface are not ours to switch and are left out.

use crate::descriptor::{DescriptorReceive, DescriptorSend, queues};
use netloom_mem::{PortNumber, ReceiveQueue, SendQueue};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::io;

const PACKET_AUXDATA: i32 = 8;
const PACKET_VNET_HDR: i32 = 15;
const PACKET_IGNORE_OUTGOING: i32 = 23;
const PACKET_QDISC_BYPASS: i32 = 20;

/// Both ends of an interface.
pub struct PacketSocket {
    /// Where its frames come from.
    pub receive: Box<dyn ReceiveQueue>,
    /// Where frames go.
    pub send: Box<dyn SendQueue>,
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
    let (receive, send): (DescriptorReceive, DescriptorSend) = queues(open(index)?, port, true, true);
    Ok(PacketSocket { receive: Box::new(receive), send: Box::new(send) })
}

fn open(index: u32) -> io::Result<OwnedFd> {
    let owned = socket()?;
    let socket = owned.as_raw_fd();
    option(socket, PACKET_VNET_HDR, 1)?;
    option(socket, PACKET_IGNORE_OUTGOING, 1)?;
    option(socket, PACKET_AUXDATA, 1)?;
    // Saves a queue; older kernels and odd devices do without.
    let _ = option(socket, PACKET_QDISC_BYPASS, 1);
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&owned, 8 << 20);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&owned, 8 << 20);
    join(socket, index)?;
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
    check(unsafe { libc::bind(socket, (&raw const address).cast(), size) })?;
    Ok(owned)
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
