//! Headers: one file each, with a zero-copy *view* and a *repr*.
//!
//! What:
//! - `View<T: AsRef<[u8]>>` reads (and, over `AsMut<[u8]>`, writes) a header where it lies. `new_checked` looks at
//!   the lengths once; afterwards accessors stay within the bytes. Nothing is copied and nothing is allocated.
//! - `Repr` is the header's meaning as a plain value: `parse(&view)`, `emit(&mut [u8])`, `buffer_len()`. What is
//!   variable and long (options, TLVs, records) stays borrowed.
//!
//! Invariants, each a property test for every header:
//! - `parse . emit = id` over every legal repr, and `emit . parse` changes nothing a second time;
//! - no input panics: not arbitrary bytes, nor cut or damaged packets, nor a view over too few bytes;
//! - `emit` refuses, with [`Malformed`], a value that does not fit its field.
//!
//! A view does not verify checksums on its own: the hot path trusts offloads. `verify_checksum` and `fill_checksum`
//! stand where a header has one. `emit` fills checksums that cover the header alone (IPv4, IGMP) and leaves
//! zero for those that cover a payload.
//!
//! Costs: a check is a few comparisons; an accessor is one load.
//!
//! Deliberately absent: reassembly, state, deciding which header comes next beyond what
//! [`crate::frame::Outline`] does for a whole frame.

pub(crate) mod field;

pub mod arp;
pub mod authentication;
pub mod bfd;
pub mod dhcp;
pub mod dhcpv6;
pub mod erspan;
pub mod ethernet;
pub mod geneve;
pub mod gre;
pub mod gtp_u;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_extension;
pub mod ipv6_fragment;
pub mod ipv6_options;
pub mod ipv6_routing;
pub mod lacp;
pub mod llc;
pub mod lldp;
pub mod marker;
pub mod mld;
pub mod mpls;
pub mod multicast_record;
pub mod nd;
pub mod nd_option;
pub mod nsh;
pub mod sctp;
pub mod snap;
pub mod stp;
pub mod tcp;
pub mod tlv;
pub mod udp;
pub mod vlan;
pub mod vxlan;
pub mod vxlan_gpe;

use std::fmt;

macro_rules! header_kinds {
    ($( $(#[$meta:meta])* $name:ident = $text:literal; )*) => {
        /// The headers that Netloom reads, for errors and counters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum HeaderKind {
            $( #[doc = $text] $name, )*
        }

        impl HeaderKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The name in the field's terms.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

header_kinds! {
    Ethernet = "Ethernet";
    Vlan = "VLAN tag";
    Llc = "LLC";
    Snap = "SNAP";
    Arp = "ARP";
    Ipv4 = "IPv4";
    Ipv6 = "IPv6";
    Ipv6Options = "IPv6 options";
    Ipv6Routing = "IPv6 routing header";
    Ipv6Fragment = "IPv6 fragment header";
    Authentication = "authentication header";
    Icmpv4 = "ICMP";
    Icmpv6 = "ICMPv6";
    Nd = "neighbour discovery";
    Tcp = "TCP";
    Udp = "UDP";
    Sctp = "SCTP";
    Igmp = "IGMP";
    Mld = "MLD";
    Mpls = "MPLS";
    Vxlan = "VXLAN";
    VxlanGpe = "VXLAN-GPE";
    Geneve = "Geneve";
    Gre = "GRE";
    Erspan = "ERSPAN";
    Nsh = "NSH";
    GtpU = "GTP-U";
    Stp = "STP";
    Lacp = "LACP";
    Marker = "link aggregation marker";
    Lldp = "LLDP";
    Bfd = "BFD";
    Dhcp = "DHCP";
    Dhcpv6 = "DHCPv6";
}

impl fmt::Display for HeaderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are not the header they were taken for, or why a repr cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There are too few bytes.
    #[error("{header} needs {needed} bytes, there are {available}")]
    Truncated {
        /// Which header.
        header: HeaderKind,
        /// Bytes that the header, or what it announces, takes.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// A field's value is not legal, or contradicts another's.
    #[error("{header}: {field} {value} is not legal")]
    Illegal {
        /// Which header.
        header: HeaderKind,
        /// Which field.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// More parts of a kind than are looked at.
    #[error("{header}: more than {limit} {parts}")]
    TooMany {
        /// Which header.
        header: HeaderKind,
        /// What there is too much of.
        parts: &'static str,
        /// How many are accepted.
        limit: usize,
    },
}

impl Malformed {
    /// The header that is malformed.
    #[must_use]
    pub const fn header(&self) -> HeaderKind {
        match self {
            Self::Truncated { header, .. } | Self::Illegal { header, .. } | Self::TooMany { header, .. } => {
                *header
            }
        }
    }
}

#[cold]
pub(crate) const fn truncated(header: HeaderKind, needed: usize, available: usize) -> Malformed {
    Malformed::Truncated { header, needed, available }
}

#[cold]
pub(crate) fn illegal(header: HeaderKind, field: &'static str, value: impl Into<u64>) -> Malformed {
    Malformed::Illegal { header, field, value: value.into() }
}

/// Checks that there are `needed` bytes.
#[inline]
pub(crate) const fn need(header: HeaderKind, bytes: &[u8], needed: usize) -> Result<(), Malformed> {
    if bytes.len() < needed { Err(truncated(header, needed, bytes.len())) } else { Ok(()) }
}

/// Checks that a value fits a field whose largest value is `most`.
#[inline]
pub(crate) fn fits(
    header: HeaderKind,
    field: &'static str,
    value: impl Into<u64>,
    most: u64,
) -> Result<(), Malformed> {
    let value = value.into();
    if value > most { Err(Malformed::Illegal { header, field, value }) } else { Ok(()) }
}

/// The first `length` bytes of a buffer that a header is written to, all zero.
#[inline]
pub(crate) fn blank(header: HeaderKind, buffer: &mut [u8], length: usize) -> Result<&mut [u8], Malformed> {
    let available = buffer.len();
    match buffer.get_mut(..length) {
        Some(bytes) => {
            bytes.fill(0);
            Ok(bytes)
        }
        None => Err(truncated(header, length, available)),
    }
}

/// `bytes[from..to]`, cut where the bytes end; never panics.
#[inline]
pub(crate) fn span(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(bytes.len());
    bytes.get(from..to).unwrap_or(&[])
}

/// `bytes[from..to]`, cut where the bytes end; never panics.
#[inline]
pub(crate) fn span_mut(bytes: &mut [u8], from: usize, to: usize) -> &mut [u8] {
    let to = to.min(bytes.len());
    bytes.get_mut(from..to).unwrap_or(&mut [])
}

/// Copies `source` to offset `at`, if it fits there; never panics.
#[inline]
pub(crate) fn put(bytes: &mut [u8], at: usize, source: &[u8]) {
    if let Some(target) = bytes.get_mut(at..at.saturating_add(source.len())) {
        target.copy_from_slice(source);
    }
}
