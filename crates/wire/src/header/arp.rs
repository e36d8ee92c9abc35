//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! Deliberately absent: other hardware and protocol types; they are malformed here.

use super::field::view;
use super::{HeaderKind, Malformed, blank, illegal};
use crate::header::field::Field;
use crate::number::named;
use crate::{EtherType, MacAddr};
use std::net::Ipv4Addr;

/// Length of the packet in bytes.
pub const PACKET_LEN: usize = 28;

named! {
    /// What the packet asks or says (RFC 826; RFC 5494 section 2).
    Operation(u16) {
        /// Who has the target address?
        REQUEST = 1, "request";
        /// The sender has it.
        REPLY = 2, "reply";
    }
}

view! {
    /// An ARP packet.
    Arp, 28 bytes, check;
    /// What the packet asks or says.
    operation / set_operation: Operation [6];
    /// MAC address of the sender.
    sender_mac / set_sender_mac: MacAddr [8];
    /// IPv4 address of the sender; unspecified in a probe (RFC 5227 section 1.1).
    sender_ip / set_sender_ip: Ipv4Addr [14];
    /// MAC address of the target; means nothing in a request.
    target_mac / set_target_mac: MacAddr [18];
    /// IPv4 address of the target.
    target_ip / set_target_ip: Ipv4Addr [24];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let hardware = u16::read(bytes, 0);
    if hardware != 1 {
        return Err(illegal(HeaderKind::Arp, "hardware type", hardware));
    }
    let protocol = EtherType::read(bytes, 2);
    if protocol != EtherType::IPV4 {
        return Err(illegal(HeaderKind::Arp, "protocol type", protocol.0));
    }
    let lengths = u16::read(bytes, 4);
    if lengths != 0x0604 {
        return Err(illegal(HeaderKind::Arp, "address lengths", lengths));
    }
    Ok(())
}

/// The meaning of an ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// What the packet asks or says.
    pub operation: Operation,
    /// MAC address of the sender.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender.
    pub sender_ip: Ipv4Addr,
    /// MAC address of the target.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: Ipv4Addr,
}

impl Repr {
    /// Reads a packet.
    ///
    /// # Errors
    /// None: every operation is kept.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            operation: view.operation(),
            sender_mac: view.sender_mac(),
            sender_ip: view.sender_ip(),
            target_mac: view.target_mac(),
            target_ip: view.target_ip(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        PACKET_LEN
    }

    /// Writes the packet to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let bytes = blank(HeaderKind::Arp, buffer, PACKET_LEN)?;
        [0, 1, 8, 0, 6, 4].write(bytes, 0);
        let mut view = View::new_unchecked(bytes);
        view.set_operation(self.operation);
        view.set_sender_mac(self.sender_mac);
        view.set_sender_ip(self.sender_ip);
        view.set_target_mac(self.target_mac);
        view.set_target_ip(self.target_ip);
        Ok(PACKET_LEN)
    }
}
