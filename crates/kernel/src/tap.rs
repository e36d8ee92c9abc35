//! Listening in a namespace: copies of the network packets of all its interfaces, as `tcpdump -i any` gets them.
//!
//! What: [`Tap`] is a packet socket (`AF_PACKET`, `SOCK_DGRAM`: from the network header on, whatever the link is) that is
//! bound to no interface. Each packet comes with its interface, its direction and the kernel's time.
//!
//! Invariants: listening changes nothing; the socket is all there is, and ends with its process. Who reads too slowly
//! misses packets, which the kernel counts. As an ordinary user it works in namespaces of one's own user namespace.
//!
//! Costs: while a tap is open the kernel hands it a reference to every packet of the namespace; what is read is copied once.

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::sys;
use netloom_compile::object::Space;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// `ETH_P_ALL` (linux/if_ether.h).
const EVERYTHING: u16 = 3;
/// Octets that the kernel keeps for a slow reader.
const ROOM: usize = 8 << 20;
/// `PACKET_HOST`, `PACKET_OUTGOING` (linux/if_packet.h).
const HOST: u8 = 0;
const OUTGOING: u8 = 4;
/// Most names of interfaces that are remembered; they are asked for anew after that.
const NAMES: usize = 1024;

/// A packet that passed an interface; its octets are in the caller's buffer, from the network header on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// The interface.
    pub interface: String,
    /// It was sent there; else it came in.
    pub outgoing: bool,
    /// It came in for this namespace's own hardware address.
    pub ours: bool,
    /// EtherType.
    pub protocol: u16,
    /// Octets in the buffer.
    pub captured: usize,
    /// Octets of all of it.
    pub length: usize,
    /// Nanoseconds since 1970.
    pub time: u64,
}

/// A tap of one namespace.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    names: BTreeMap<u32, String>,
    missed: u64,
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tap {
    /// In the namespace of the calling thread.
    fn open() -> rustix::io::Result<Self> {
        let protocol = NonZeroU32::new(u32::from(EVERYTHING.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
        sys::stamp_packets(socket.as_fd())?;
        // A smaller buffer only misses more, and that is counted.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, ROOM);
        Ok(Self { socket, names: BTreeMap::new(), missed: 0 })
    }

    /// The next packet that waits; none if none does. What does not fit into the buffer is cut off.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn read(&mut self, buffer: &mut [u8]) -> rustix::io::Result<Option<Tapped>> {
        let received = loop {
            match sys::receive_packet(self.socket.as_fd(), buffer) {
                Ok(received) => break received,
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                // An interface went down meanwhile; the others go on.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::NETDOWN) => {}
                Err(errno) => return Err(errno),
            }
        };
        if self.names.len() > NAMES {
            self.names.clear();
        }
        let socket = &self.socket;
        let interface = self.names.entry(received.index).or_insert_with(|| {
            let name = rustix::net::netdevice::index_to_name(socket, received.index);
            name.unwrap_or_else(|_| format!("interface {}", received.index))
        });
        Ok(Some(Tapped {
            interface: interface.clone(),
            outgoing: received.kind == OUTGOING,
            ours: received.kind == HOST,
            protocol: received.protocol,
            captured: received.length.min(buffer.len()),
            length: received.length,
            time: received.time,
        }))
    }

    /// Packets that were missed since the tap was opened.
    pub fn missed(&mut self) -> u64 {
        // The kernel's count begins anew with each look.
        self.missed += u64::from(sys::packets_missed(self.socket.as_fd()).unwrap_or(0));
        self.missed
    }
}

impl Kernel {
    /// Listens in a namespace; `None` if there is none.
    ///
    /// # Errors
    /// Without the right to (`CAP_NET_RAW` in the namespace).
    pub fn tap(&self, space: &Space) -> Result<Option<Tap>, KernelError> {
        self.with_namespace(space, |namespace| {
            namespace.run(Tap::open)?.map_err(|error| KernelError::io("opening", "a packet socket", error))
        })
    }
}
