//! Numbers that name what comes next in a packet: EtherTypes and IP protocols.
//!
//! What: newtypes over the plain number, every value of which is legal on a wire, with a constant for each
//! that Netloom knows. Unknown numbers travel through unharmed.
//!
//! Deliberately absent: tables of names for numbers that nothing here uses.

/// Declares an open set of numbers: a newtype, named values, and a text form.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $name:ident($inner:ty) {
            $( $(#[$value_meta:meta])* $constant:ident = $value:expr, $text:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            $( $(#[$value_meta])* pub const $constant: Self = Self($value); )*

            /// The name of the number, if it is one of the constants.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                $( if self.0 == Self::$constant.0 { return Some($text); } )*
                None
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }

        impl $crate::header::field::Field for $name {
            #[inline(always)]
            fn read(bytes: &[u8], at: usize) -> Self {
                Self(<$inner as $crate::header::field::Field>::read(bytes, at))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8], at: usize) {
                $crate::header::field::Field::write(self.0, bytes, at);
            }
        }
    };
}

pub(crate) use named;

named! {
    /// What an Ethernet frame carries (IEEE 802 Numbers of IANA). Values below 1536 are lengths
    /// (IEEE 802.3-2022, 3.2.6): [`EtherType::is_length`].
    EtherType(u16) {
        /// IPv4 (RFC 894).
        IPV4 = 0x0800, "IPv4";
        /// ARP (RFC 826).
        ARP = 0x0806, "ARP";
        /// Transparent Ethernet bridging: an Ethernet frame inside GRE or Geneve (RFC 1701, RFC 8926 section 3.4).
        TRANSPARENT_ETHERNET = 0x6558, "Ethernet";
        /// ERSPAN type III over GRE (draft-foschiano-erspan-03 section 4.3).
        ERSPAN_III = 0x22eb, "ERSPAN III";
        /// ERSPAN type I and II over GRE (draft-foschiano-erspan-03 section 4.1 and 4.2).
        ERSPAN = 0x88be, "ERSPAN";
        /// 802.1Q customer tag (IEEE 802.1Q-2022, table 9-1).
        VLAN = 0x8100, "802.1Q";
        /// 802.1ad service tag (IEEE 802.1Q-2022, table 9-1).
        SERVICE_VLAN = 0x88a8, "802.1ad";
        /// Service tag of equipment older than 802.1ad.
        OLD_SERVICE_VLAN = 0x9100, "QinQ";
        /// IPv6 (RFC 2464).
        IPV6 = 0x86dd, "IPv6";
        /// Slow protocols: LACP and markers (IEEE 802.3-2022, annex 57A).
        SLOW_PROTOCOLS = 0x8809, "slow protocols";
        /// MPLS with a unicast or downstream-assigned label (RFC 5332 section 3).
        MPLS = 0x8847, "MPLS";
        /// MPLS with an upstream-assigned label (RFC 5332 section 3).
        MPLS_UPSTREAM = 0x8848, "MPLS upstream";
        /// 802.1X port authentication (IEEE 802.1X-2020, table 11-2).
        EAPOL = 0x888e, "802.1X";
        /// LLDP (IEEE 802.1AB-2016, 8.3).
        LLDP = 0x88cc, "LLDP";
        /// Network Service Header (RFC 8300 section 9.5).
        NSH = 0x894f, "NSH";
    }
}

impl EtherType {
    /// The smallest value that is a type (IEEE 802.3-2022, 3.2.6).
    pub const FIRST: Self = Self(0x0600);

    /// Whether the field holds the length of an LLC frame in bytes and not a type.
    #[inline]
    #[must_use]
    pub const fn is_length(self) -> bool {
        self.0 < Self::FIRST.0
    }

    /// Whether a VLAN tag follows: 802.1Q, 802.1ad or the older service tag.
    #[inline]
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        matches!(self, Self::VLAN | Self::SERVICE_VLAN | Self::OLD_SERVICE_VLAN)
    }

    /// Whether an MPLS label stack follows.
    #[inline]
    #[must_use]
    pub const fn is_mpls(self) -> bool {
        matches!(self, Self::MPLS | Self::MPLS_UPSTREAM)
    }
}

named! {
    /// What an IP packet carries, and the next-header value of IPv6 (IANA, Assigned Internet Protocol Numbers).
    IpProtocol(u8) {
        /// IPv6 hop-by-hop options (RFC 8200 section 4.3).
        HOP_BY_HOP = 0, "hop-by-hop options";
        /// ICMP (RFC 792).
        ICMP = 1, "ICMP";
        /// IGMP (RFC 3376).
        IGMP = 2, "IGMP";
        /// IPv4 inside IP (RFC 2003).
        IPV4 = 4, "IPv4";
        /// TCP (RFC 9293).
        TCP = 6, "TCP";
        /// UDP (RFC 768).
        UDP = 17, "UDP";
        /// IPv6 inside IP (RFC 2473).
        IPV6 = 41, "IPv6";
        /// IPv6 routing header (RFC 8200 section 4.4).
        ROUTING = 43, "routing header";
        /// IPv6 fragment header (RFC 8200 section 4.5).
        FRAGMENT = 44, "fragment header";
        /// GRE (RFC 2784).
        GRE = 47, "GRE";
        /// Encapsulating security payload (RFC 4303).
        ESP = 50, "ESP";
        /// Authentication header (RFC 4302).
        AUTHENTICATION = 51, "authentication header";
        /// ICMPv6 (RFC 4443).
        ICMPV6 = 58, "ICMPv6";
        /// Nothing follows (RFC 8200 section 4.7).
        NONE = 59, "no next header";
        /// IPv6 destination options (RFC 8200 section 4.6).
        DESTINATION_OPTIONS = 60, "destination options";
        /// OSPF (RFC 2328).
        OSPF = 89, "OSPF";
        /// VRRP (RFC 9568).
        VRRP = 112, "VRRP";
        /// SCTP (RFC 9260).
        SCTP = 132, "SCTP";
        /// MPLS inside IP (RFC 4023).
        MPLS = 137, "MPLS";
        /// Ethernet inside IPv6 segment routing (RFC 8986 section 9.1).
        ETHERNET = 143, "Ethernet";
    }
}

impl IpProtocol {
    /// Whether the value names an IPv6 extension header that [`crate::header::ipv6_extension`] walks over.
    #[inline]
    #[must_use]
    pub const fn is_extension(self) -> bool {
        matches!(
            self,
            Self::HOP_BY_HOP
                | Self::ROUTING
                | Self::FRAGMENT
                | Self::AUTHENTICATION
                | Self::DESTINATION_OPTIONS
        )
    }
}

/// UDP destination ports by which a tunnel or protocol is known (IANA, Service Name and Port Number Registry).
pub mod udp_port {
    /// DHCP server (RFC 2131 section 4.1).
    pub const DHCP_SERVER: u16 = 67;
    /// DHCP client (RFC 2131 section 4.1).
    pub const DHCP_CLIENT: u16 = 68;
    /// DHCPv6 client (RFC 8415 section 7.2).
    pub const DHCPV6_CLIENT: u16 = 546;
    /// DHCPv6 server and relay (RFC 8415 section 7.2).
    pub const DHCPV6_SERVER: u16 = 547;
    /// GTP-U (3GPP TS 29.281, 4.4.2).
    pub const GTP_U: u16 = 2152;
    /// BFD control, one hop (RFC 5881 section 4).
    pub const BFD_CONTROL: u16 = 3784;
    /// BFD echo, one hop (RFC 5881 section 4).
    pub const BFD_ECHO: u16 = 3785;
    /// BFD control, several hops (RFC 5883 section 5).
    pub const BFD_MULTIHOP: u16 = 4784;
    /// VXLAN (RFC 7348 section 5).
    pub const VXLAN: u16 = 4789;
    /// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe-13 section 3.1).
    pub const VXLAN_GPE: u16 = 4790;
    /// Geneve (RFC 8926 section 3.3).
    pub const GENEVE: u16 = 6081;
    /// MPLS over UDP (RFC 7510 section 3).
    pub const MPLS: u16 = 6635;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_have_names_and_others_stay_numbers() {
        assert_eq!(EtherType::IPV6.to_string(), "IPv6");
        assert_eq!(EtherType(0x1234).to_string(), "0x1234");
        assert_eq!(IpProtocol::SCTP.to_string(), "SCTP");
        assert!(EtherType(1500).is_length() && !EtherType(1536).is_length());
    }
}
