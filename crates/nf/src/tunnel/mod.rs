//! Tunnels: headers put before packets in one go, and taken again.
//!
//! ```text
//! Ethernet [VLAN] | IPv4 or IPv6 | UDP  | VXLAN [GBP] or VXLAN-GPE or Geneve [options]  | the packet
//!                                | GRE [checksum] [key] [sequence] | [ERSPAN II or III] |
//! ```
//!
//! Deliberately absent: routes and neighbours (whoever makes an [`Encapsulation`] gives the next hop as a value),
//! fragments.

mod decapsulation;
mod encapsulation;
mod options;
mod ports;

pub use decapsulation::{TunnelKind, decapsulate};
pub use encapsulation::{Encapsulation, EncapsulationError};
pub use options::{MappedOption, OPTIONS, OptionError, OptionMap, SPACE, write_space};
pub use ports::{Chosen, Hop, NoWay, Outward, TunnelPort, Tunnels};

use netloom_wire::MacAddr;
use std::net::IpAddr;

/// The outer headers of a tunnelled packet, up to IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outer {
    /// MAC address of the next hop.
    pub to_mac: MacAddr,
    /// Ours.
    pub from_mac: MacAddr,
    /// Tag control information on the way; none without a tag.
    pub tag: Option<u16>,
    /// The other end of the tunnel. Both addresses are of one family.
    pub to: IpAddr,
    /// Our end.
    pub from: IpAddr,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// IPv4 routers may not fragment it.
    pub dont_fragment: bool,
    /// IPv6 flow label.
    pub label: u32,
}

/// What stands between the outer IP header and the packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shim {
    /// VXLAN (RFC 7348).
    Vxlan {
        /// UDP port of the other end: 4789, as a rule.
        port: u16,
        /// Network identifier. Legal values: 0 to 2^24-1.
        vni: u32,
        /// Group-based policy (draft-smith-vxlan-group-policy-05): group, and flags as in `tun_gbp_flags`.
        gbp: Option<(u16, u8)>,
        /// The UDP checksum is computed.
        checksum: bool,
    },
    /// VXLAN with a protocol number (draft-ietf-nvo3-vxlan-gpe-12).
    VxlanGpe {
        /// UDP port of the other end: 4790, as a rule.
        port: u16,
        /// Network identifier. Legal values: 0 to 2^24-1.
        vni: u32,
        /// What is inside: 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS.
        next: u8,
        /// The UDP checksum is computed.
        checksum: bool,
    },
    /// Geneve (RFC 8926).
    Geneve {
        /// UDP port of the other end: 6081, as a rule.
        port: u16,
        /// Network identifier. Legal values: 0 to 2^24-1.
        vni: u32,
        /// EtherType of what is inside: 0x6558 for Ethernet.
        protocol: u16,
        /// A control packet.
        control: bool,
        /// Options, as they stand in the header; at most 252 octets.
        options: Box<[u8]>,
        /// The UDP checksum is computed.
        checksum: bool,
    },
    /// GRE (RFC 2784, RFC 2890).
    Gre {
        /// EtherType of what is inside: 0x6558 for Ethernet.
        protocol: u16,
        /// Key.
        key: Option<u32>,
        /// Packets are numbered.
        sequence: bool,
        /// The checksum is computed.
        checksum: bool,
    },
    /// ERSPAN type II (draft-foschiano-erspan-03).
    ErspanII {
        /// Session. Legal values: 0 to 1023.
        session: u16,
        /// Index. Legal values: 0 to 2^20-1.
        index: u32,
    },
    /// ERSPAN type III.
    ErspanIII {
        /// Session. Legal values: 0 to 1023.
        session: u16,
        /// Engine. Legal values: 0 to 63.
        hardware: u8,
        /// Of frames that leave.
        egress: bool,
    },
}

/// Bit of `tun_flags`: a control packet (flag O of Geneve).
pub const FLAG_CONTROL: u64 = 1;
/// Bit of `tun_flags`: the outer packet may not be fragmented.
pub const FLAG_DONT_FRAGMENT: u64 = 2;
/// Bit of `tun_flags`: there is a checksum.
pub const FLAG_CHECKSUM: u64 = 4;
/// Bit of `tun_flags`: there is a key.
pub const FLAG_KEY: u64 = 8;

/// Whether a Geneve option is critical: who does not know it drops the packet.
fn has_critical(options: &[u8]) -> bool {
    let mut rest = options;
    while let Some(&[_, _, kind, size]) = rest.first_chunk() {
        if kind & 0x80 != 0 {
            return true;
        }
        rest = rest.get(4 + usize::from(size & 31) * 4..).unwrap_or_default();
    }
    false
}
