//! Every field that Open vSwitch 3.1 documents in ovs-fields(7): one table.
//!
//! A row is
//! `NAME = number, "name" "other name", octets bits maskability, format prerequisite access, in-1.0 in-1.1, [headers];`
//! and a header is `class field "name of NXM or OXM" first-version`, where 0 as version says that any version
//! may use it. Registers and tunnel metadata are rows made by number at the end.
//!
//! Invariants: numbers are in the order of OVS's own enumeration and have no gaps.

use super::header::{Class, Header};
use super::{Access, Field, FieldId, Format, Maskable, Prerequisite, Support};

/// How many fields there are.
pub(super) const COUNT: usize = 183;

const fn optional(name: &'static str) -> Option<&'static str> {
    if name.is_empty() { None } else { Some(name) }
}

macro_rules! fields {
    ($(
        $(#[$doc:meta])*
        $id:ident = $number:literal, $name:literal $other:literal, $octets:literal $bits:literal $maskable:ident,
            $format:ident $prerequisite:ident $access:ident, $v10:ident $v11:ident,
            [$( $class:ident $field:literal $header:literal $first:literal ),*];
    )*) => {
        impl FieldId {
            $( $(#[$doc])* pub const $id: Self = Self($number); )*
        }

        const fn named(mut table: [Field; COUNT]) -> [Field; COUNT] {
            $( table[$number] = Field {
                id: FieldId($number),
                name: $name,
                other_name: optional($other),
                octets: $octets,
                bits: $bits,
                maskable: Maskable::$maskable,
                format: Format::$format,
                prerequisite: Prerequisite::$prerequisite,
                access: Access::$access,
                v10: Support::$v10,
                v11: Support::$v11,
                headers: &[$( Header { class: Class::$class, field: $field, name: $header, first: $first } ),*],
            }; )*
            table
        }
    };
}

fields! {
    /// Hash that the data path computed over the packet; groups of type select use it.
    DP_HASH = 0, "dp_hash" "", 4 32 Bitwise, Hexadecimal Nothing ReadOnly, Absent Absent,
        [Nxm1 35 "NXM_NX_DP_HASH" 0, Nicira 0 "NXOXM_ET_DP_HASH" 0];
    /// Which visit of the tables this is; 0 for a packet that has just come in.
    RECIRC_ID = 1, "recirc_id" "", 4 32 Whole, Decimal Nothing ReadOnly, Absent Absent,
        [Nxm1 36 "NXM_NX_RECIRC_ID" 0];
    /// Name space and type of the outermost header (OpenFlow 1.5.1, 7.2.3.11).
    PACKET_TYPE = 2, "packet_type" "", 4 32 Whole, PacketType Nothing ReadOnly, Absent Absent,
        [Basic 44 "OXM_OF_PACKET_TYPE" 6];
    /// The conjunction all of whose dimensions matched.
    CONJ_ID = 3, "conj_id" "", 4 32 Whole, Decimal Nothing ReadOnly, Absent Absent,
        [Nxm1 37 "NXM_NX_CONJ_ID" 0];
    /// Key of the tunnel by which the packet came, in the low bits: VNI, GRE key.
    TUN_ID = 4, "tun_id" "tunnel_id", 8 64 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nxm1 16 "NXM_NX_TUN_ID" 0, Basic 38 "OXM_OF_TUNNEL_ID" 4];
    /// IPv4 source of the outer header.
    TUN_SRC = 5, "tun_src" "", 4 32 Bitwise, Ipv4 Nothing Writable, Absent Absent,
        [Nxm1 31 "NXM_NX_TUN_IPV4_SRC" 0];
    /// IPv4 destination of the outer header.
    TUN_DST = 6, "tun_dst" "", 4 32 Bitwise, Ipv4 Nothing Writable, Absent Absent,
        [Nxm1 32 "NXM_NX_TUN_IPV4_DST" 0];
    /// IPv6 source of the outer header.
    TUN_IPV6_SRC = 7, "tun_ipv6_src" "", 16 128 Bitwise, Ipv6 Nothing Writable, Absent Absent,
        [Nxm1 109 "NXM_NX_TUN_IPV6_SRC" 0];
    /// IPv6 destination of the outer header.
    TUN_IPV6_DST = 8, "tun_ipv6_dst" "", 16 128 Bitwise, Ipv6 Nothing Writable, Absent Absent,
        [Nxm1 110 "NXM_NX_TUN_IPV6_DST" 0];
    /// Flags of the tunnel: [`crate::openflow::field::flags::TUNNEL`].
    TUN_FLAGS = 9, "tun_flags" "", 2 1 Bitwise, TunnelFlags Nothing Writable, Absent Absent,
        [Nxm1 104 "NXM_NX_TUN_FLAGS" 0];
    /// Hop limit of the outer header; not for controllers.
    TUN_TTL = 10, "tun_ttl" "", 1 8 Whole, Decimal Nothing ReadOnly, Absent Absent,
        [];
    /// Type of service of the outer header; not for controllers.
    TUN_TOS = 11, "tun_tos" "", 1 8 Whole, Decimal Nothing ReadOnly, Absent Absent,
        [];
    /// Group of a VXLAN group policy.
    TUN_GBP_ID = 12, "tun_gbp_id" "", 2 16 Bitwise, Decimal Nothing Writable, Absent Absent,
        [Nxm1 38 "NXM_NX_TUN_GBP_ID" 0];
    /// Flags of a VXLAN group policy.
    TUN_GBP_FLAGS = 13, "tun_gbp_flags" "", 1 8 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nxm1 39 "NXM_NX_TUN_GBP_FLAGS" 0];
    /// Index of ERSPAN version 1.
    TUN_ERSPAN_IDX = 14, "tun_erspan_idx" "", 4 20 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nicira 11 "NXOXM_ET_ERSPAN_IDX" 0];
    /// Version of ERSPAN.
    TUN_ERSPAN_VER = 15, "tun_erspan_ver" "", 1 4 Bitwise, Decimal Nothing Writable, Absent Absent,
        [Nicira 12 "NXOXM_ET_ERSPAN_VER" 0];
    /// Direction of ERSPAN version 2.
    TUN_ERSPAN_DIR = 16, "tun_erspan_dir" "", 1 1 Bitwise, Decimal Nothing Writable, Absent Absent,
        [Nicira 13 "NXOXM_ET_ERSPAN_DIR" 0];
    /// Hardware identifier of ERSPAN version 2.
    TUN_ERSPAN_HWID = 17, "tun_erspan_hwid" "", 1 6 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nicira 14 "NXOXM_ET_ERSPAN_HWID" 0];
    /// Flags of a GTP-U header.
    TUN_GTPU_FLAGS = 18, "tun_gtpu_flags" "", 1 8 Bitwise, Hexadecimal Nothing ReadOnly, Absent Absent,
        [Nicira 15 "NXOXM_ET_GTPU_FLAGS" 0];
    /// Message type of a GTP-U header.
    TUN_GTPU_MSGTYPE = 19, "tun_gtpu_msgtype" "", 1 8 Bitwise, Decimal Nothing ReadOnly, Absent Absent,
        [Nicira 16 "NXOXM_ET_GTPU_MSGTYPE" 0];
    /// Passed from table to table (OpenFlow 1.1, 4.3).
    METADATA = 84, "metadata" "", 8 64 Bitwise, Hexadecimal Nothing Writable, Absent Bitwise,
        [Basic 2 "OXM_OF_METADATA" 3];
    /// Port by which the packet came, in 16 bits.
    IN_PORT = 85, "in_port" "", 2 16 Whole, Port16 Nothing Writable, Exact Exact,
        [Nxm0 0 "NXM_OF_IN_PORT" 0];
    /// Port by which the packet came, in 32 bits; the same as `in_port`.
    IN_PORT_OXM = 86, "in_port_oxm" "", 4 32 Whole, Port32 Nothing Writable, Absent Exact,
        [Basic 0 "OXM_OF_IN_PORT" 3];
    /// Port of the output action in the action set.
    ACTSET_OUTPUT = 87, "actset_output" "", 4 32 Whole, Port32 Nothing ReadOnly, Absent Absent,
        [Onf 43 "ONFOXM_ET_ACTSET_OUTPUT" 4, Basic 43 "OXM_OF_ACTSET_OUTPUT" 6];
    /// Priority of the packet in Linux; not for controllers.
    SKB_PRIORITY = 88, "skb_priority" "", 4 32 Whole, Hexadecimal Nothing ReadOnly, Absent Absent,
        [];
    /// Mark of the packet in Linux.
    PKT_MARK = 89, "pkt_mark" "", 4 32 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nxm1 33 "NXM_NX_PKT_MARK" 0];
    /// State of the connection: [`crate::openflow::field::flags::CT_STATE`].
    CT_STATE = 90, "ct_state" "", 4 32 Bitwise, CtState Nothing ReadOnly, Absent Absent,
        [Nxm1 105 "NXM_NX_CT_STATE" 0];
    /// Zone in which the connection was looked up.
    CT_ZONE = 91, "ct_zone" "", 2 16 Whole, Hexadecimal Nothing ReadOnly, Absent Absent,
        [Nxm1 106 "NXM_NX_CT_ZONE" 0];
    /// Mark of the connection.
    CT_MARK = 92, "ct_mark" "", 4 32 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nxm1 107 "NXM_NX_CT_MARK" 0];
    /// Labels of the connection.
    CT_LABEL = 93, "ct_label" "", 16 128 Bitwise, Hexadecimal Nothing Writable, Absent Absent,
        [Nxm1 108 "NXM_NX_CT_LABEL" 0];
    /// Protocol of the original direction.
    CT_NW_PROTO = 94, "ct_nw_proto" "", 1 8 Whole, Decimal Ct ReadOnly, Absent Absent,
        [Nxm1 119 "NXM_NX_CT_NW_PROTO" 0];
    /// IPv4 source of the original direction.
    CT_NW_SRC = 95, "ct_nw_src" "", 4 32 Bitwise, Ipv4 Ct ReadOnly, Absent Absent,
        [Nxm1 120 "NXM_NX_CT_NW_SRC" 0];
    /// IPv4 destination of the original direction.
    CT_NW_DST = 96, "ct_nw_dst" "", 4 32 Bitwise, Ipv4 Ct ReadOnly, Absent Absent,
        [Nxm1 121 "NXM_NX_CT_NW_DST" 0];
    /// IPv6 source of the original direction.
    CT_IPV6_SRC = 97, "ct_ipv6_src" "", 16 128 Bitwise, Ipv6 Ct ReadOnly, Absent Absent,
        [Nxm1 122 "NXM_NX_CT_IPV6_SRC" 0];
    /// IPv6 destination of the original direction.
    CT_IPV6_DST = 98, "ct_ipv6_dst" "", 16 128 Bitwise, Ipv6 Ct ReadOnly, Absent Absent,
        [Nxm1 123 "NXM_NX_CT_IPV6_DST" 0];
    /// Transport source of the original direction.
    CT_TP_SRC = 99, "ct_tp_src" "", 2 16 Bitwise, Decimal Ct ReadOnly, Absent Absent,
        [Nxm1 124 "NXM_NX_CT_TP_SRC" 0];
    /// Transport destination of the original direction.
    CT_TP_DST = 100, "ct_tp_dst" "", 2 16 Bitwise, Decimal Ct ReadOnly, Absent Absent,
        [Nxm1 125 "NXM_NX_CT_TP_DST" 0];
    /// Ethernet source.
    ETH_SRC = 129, "eth_src" "dl_src", 6 48 Bitwise, Ethernet Ethernet Writable, Exact Bitwise,
        [Nxm0 2 "NXM_OF_ETH_SRC" 0, Basic 4 "OXM_OF_ETH_SRC" 3];
    /// Ethernet destination.
    ETH_DST = 130, "eth_dst" "dl_dst", 6 48 Bitwise, Ethernet Ethernet Writable, Exact Bitwise,
        [Nxm0 1 "NXM_OF_ETH_DST" 0, Basic 3 "OXM_OF_ETH_DST" 3];
    /// EtherType behind the VLAN tags; 0x05ff for a frame of IEEE 802.3 without SNAP.
    ETH_TYPE = 131, "eth_type" "dl_type", 2 16 Whole, Hexadecimal Ethernet ReadOnly, Exact Exact,
        [Nxm0 3 "NXM_OF_ETH_TYPE" 0, Basic 5 "OXM_OF_ETH_TYPE" 3];
    /// Outer VLAN tag with the bit 0x1000 set where there is a tag.
    VLAN_TCI = 132, "vlan_tci" "", 2 16 Bitwise, Hexadecimal Ethernet Writable, Exact Exact,
        [Nxm0 4 "NXM_OF_VLAN_TCI" 0];
    /// VLAN identifier; 0xffff for no tag.
    DL_VLAN = 133, "dl_vlan" "", 2 12 Whole, Decimal Ethernet Writable, Exact Exact,
        [];
    /// VLAN identifier with the bit 0x1000 set where there is a tag.
    VLAN_VID = 134, "vlan_vid" "", 2 12 Bitwise, Decimal Ethernet Writable, Exact Exact,
        [Basic 6 "OXM_OF_VLAN_VID" 3];
    /// VLAN priority.
    DL_VLAN_PCP = 135, "dl_vlan_pcp" "", 1 3 Whole, Decimal Ethernet Writable, Exact Exact,
        [];
    /// VLAN priority; needs a tag.
    VLAN_PCP = 136, "vlan_pcp" "", 1 3 Whole, Decimal Vlan Writable, Exact Exact,
        [Basic 7 "OXM_OF_VLAN_PCP" 3];
    /// Outermost MPLS label.
    MPLS_LABEL = 137, "mpls_label" "", 4 20 Whole, Decimal Mpls Writable, Absent Exact,
        [Basic 34 "OXM_OF_MPLS_LABEL" 3];
    /// Traffic class of the outermost label.
    MPLS_TC = 138, "mpls_tc" "", 1 3 Whole, Decimal Mpls Writable, Absent Exact,
        [Basic 35 "OXM_OF_MPLS_TC" 3];
    /// Whether the outermost label is the last.
    MPLS_BOS = 139, "mpls_bos" "", 1 1 Whole, Decimal Mpls ReadOnly, Absent Absent,
        [Basic 36 "OXM_OF_MPLS_BOS" 4];
    /// Time to live of the outermost label.
    MPLS_TTL = 140, "mpls_ttl" "", 1 8 Whole, Decimal Mpls Writable, Absent Absent,
        [Nxm1 30 "NXM_NX_MPLS_TTL" 0];
    /// IPv4 source.
    IPV4_SRC = 141, "ip_src" "nw_src", 4 32 Bitwise, Ipv4 Ipv4 Writable, Prefix Bitwise,
        [Nxm0 7 "NXM_OF_IP_SRC" 0, Basic 11 "OXM_OF_IPV4_SRC" 3];
    /// IPv4 destination.
    IPV4_DST = 142, "ip_dst" "nw_dst", 4 32 Bitwise, Ipv4 Ipv4 Writable, Prefix Bitwise,
        [Nxm0 8 "NXM_OF_IP_DST" 0, Basic 12 "OXM_OF_IPV4_DST" 3];
    /// IPv6 source.
    IPV6_SRC = 143, "ipv6_src" "", 16 128 Bitwise, Ipv6 Ipv6 Writable, Absent Absent,
        [Nxm1 19 "NXM_NX_IPV6_SRC" 0, Basic 26 "OXM_OF_IPV6_SRC" 3];
    /// IPv6 destination.
    IPV6_DST = 144, "ipv6_dst" "", 16 128 Bitwise, Ipv6 Ipv6 Writable, Absent Absent,
        [Nxm1 20 "NXM_NX_IPV6_DST" 0, Basic 27 "OXM_OF_IPV6_DST" 3];
    /// IPv6 flow label.
    IPV6_LABEL = 145, "ipv6_label" "", 4 20 Bitwise, Hexadecimal Ipv6 Writable, Absent Absent,
        [Nxm1 27 "NXM_NX_IPV6_LABEL" 0, Basic 28 "OXM_OF_IPV6_FLABEL" 3];
    /// IP protocol, or the low octet of the ARP operation.
    IP_PROTO = 146, "nw_proto" "ip_proto", 1 8 Whole, Decimal Ip ReadOnly, Exact Exact,
        [Nxm0 6 "NXM_OF_IP_PROTO" 0, Basic 10 "OXM_OF_IP_PROTO" 3];
    /// Differentiated services in the upper six bits; the lower two are zero.
    IP_DSCP = 147, "nw_tos" "", 1 8 Whole, Decimal Ip Writable, Exact Exact,
        [Nxm0 5 "NXM_OF_IP_TOS" 0];
    /// Differentiated services in the lower six bits.
    IP_DSCP_SHIFTED = 148, "ip_dscp" "", 1 6 Whole, Decimal Ip Writable, Exact Exact,
        [Basic 8 "OXM_OF_IP_DSCP" 3];
    /// Explicit congestion notification.
    IP_ECN = 149, "nw_ecn" "ip_ecn", 1 2 Whole, Decimal Ip Writable, Absent Exact,
        [Nxm1 28 "NXM_NX_IP_ECN" 0, Basic 9 "OXM_OF_IP_ECN" 3];
    /// Time to live, or hop limit.
    IP_TTL = 150, "nw_ttl" "", 1 8 Whole, Decimal Ip Writable, Absent Absent,
        [Nxm1 29 "NXM_NX_IP_TTL" 0];
    /// Whether the packet is a fragment: [`crate::openflow::field::flags::FRAGMENT_ANY`].
    IP_FRAG = 151, "ip_frag" "nw_frag", 1 2 Bitwise, Fragment Ip ReadOnly, Absent Absent,
        [Nxm1 26 "NXM_NX_IP_FRAG" 0];
    /// ARP operation.
    ARP_OP = 152, "arp_op" "", 2 16 Whole, Decimal Arp Writable, Exact Exact,
        [Nxm0 15 "NXM_OF_ARP_OP" 0, Basic 21 "OXM_OF_ARP_OP" 3];
    /// IPv4 address of the sender.
    ARP_SPA = 153, "arp_spa" "", 4 32 Bitwise, Ipv4 Arp Writable, Prefix Bitwise,
        [Nxm0 16 "NXM_OF_ARP_SPA" 0, Basic 22 "OXM_OF_ARP_SPA" 3];
    /// IPv4 address of the target.
    ARP_TPA = 154, "arp_tpa" "", 4 32 Bitwise, Ipv4 Arp Writable, Prefix Bitwise,
        [Nxm0 17 "NXM_OF_ARP_TPA" 0, Basic 23 "OXM_OF_ARP_TPA" 3];
    /// Ethernet address of the sender.
    ARP_SHA = 155, "arp_sha" "", 6 48 Bitwise, Ethernet Arp Writable, Absent Absent,
        [Nxm1 17 "NXM_NX_ARP_SHA" 0, Basic 24 "OXM_OF_ARP_SHA" 3];
    /// Ethernet address of the target.
    ARP_THA = 156, "arp_tha" "", 6 48 Bitwise, Ethernet Arp Writable, Absent Absent,
        [Nxm1 18 "NXM_NX_ARP_THA" 0, Basic 25 "OXM_OF_ARP_THA" 3];
    /// TCP source port.
    TCP_SRC = 157, "tcp_src" "tp_src", 2 16 Bitwise, Decimal Tcp Writable, Exact Exact,
        [Nxm0 9 "NXM_OF_TCP_SRC" 0, Basic 13 "OXM_OF_TCP_SRC" 3];
    /// TCP destination port.
    TCP_DST = 158, "tcp_dst" "tp_dst", 2 16 Bitwise, Decimal Tcp Writable, Exact Exact,
        [Nxm0 10 "NXM_OF_TCP_DST" 0, Basic 14 "OXM_OF_TCP_DST" 3];
    /// TCP flags, NS included.
    TCP_FLAGS = 159, "tcp_flags" "", 2 12 Bitwise, TcpFlags Tcp ReadOnly, Absent Absent,
        [Nxm1 34 "NXM_NX_TCP_FLAGS" 0, Onf 42 "ONFOXM_ET_TCP_FLAGS" 4, Basic 42 "OXM_OF_TCP_FLAGS" 6];
    /// UDP source port.
    UDP_SRC = 160, "udp_src" "", 2 16 Bitwise, Decimal Udp Writable, Exact Exact,
        [Nxm0 11 "NXM_OF_UDP_SRC" 0, Basic 15 "OXM_OF_UDP_SRC" 3];
    /// UDP destination port.
    UDP_DST = 161, "udp_dst" "", 2 16 Bitwise, Decimal Udp Writable, Exact Exact,
        [Nxm0 12 "NXM_OF_UDP_DST" 0, Basic 16 "OXM_OF_UDP_DST" 3];
    /// SCTP source port.
    SCTP_SRC = 162, "sctp_src" "", 2 16 Bitwise, Decimal Sctp Writable, Absent Exact,
        [Basic 17 "OXM_OF_SCTP_SRC" 3];
    /// SCTP destination port.
    SCTP_DST = 163, "sctp_dst" "", 2 16 Bitwise, Decimal Sctp Writable, Absent Exact,
        [Basic 18 "OXM_OF_SCTP_DST" 3];
    /// ICMP type.
    ICMPV4_TYPE = 164, "icmp_type" "", 1 8 Whole, Decimal Icmp Writable, Exact Exact,
        [Nxm0 13 "NXM_OF_ICMP_TYPE" 0, Basic 19 "OXM_OF_ICMPV4_TYPE" 3];
    /// ICMP code.
    ICMPV4_CODE = 165, "icmp_code" "", 1 8 Whole, Decimal Icmp Writable, Exact Exact,
        [Nxm0 14 "NXM_OF_ICMP_CODE" 0, Basic 20 "OXM_OF_ICMPV4_CODE" 3];
    /// ICMPv6 type.
    ICMPV6_TYPE = 166, "icmpv6_type" "", 1 8 Whole, Decimal Icmpv6 Writable, Absent Absent,
        [Nxm1 21 "NXM_NX_ICMPV6_TYPE" 0, Basic 29 "OXM_OF_ICMPV6_TYPE" 3];
    /// ICMPv6 code.
    ICMPV6_CODE = 167, "icmpv6_code" "", 1 8 Whole, Decimal Icmpv6 Writable, Absent Absent,
        [Nxm1 22 "NXM_NX_ICMPV6_CODE" 0, Basic 30 "OXM_OF_ICMPV6_CODE" 3];
    /// Target of a neighbour solicitation or advertisement.
    ND_TARGET = 168, "nd_target" "", 16 128 Bitwise, Ipv6 Neighbour Writable, Absent Absent,
        [Nxm1 23 "NXM_NX_ND_TARGET" 0, Basic 31 "OXM_OF_IPV6_ND_TARGET" 3];
    /// Source link-layer address option.
    ND_SLL = 169, "nd_sll" "", 6 48 Bitwise, Ethernet Solicitation Writable, Absent Absent,
        [Nxm1 24 "NXM_NX_ND_SLL" 0, Basic 32 "OXM_OF_IPV6_ND_SLL" 3];
    /// Target link-layer address option.
    ND_TLL = 170, "nd_tll" "", 6 48 Bitwise, Ethernet Advertisement Writable, Absent Absent,
        [Nxm1 25 "NXM_NX_ND_TLL" 0, Basic 33 "OXM_OF_IPV6_ND_TLL" 3];
    /// Reserved word of a neighbour message.
    ND_RESERVED = 171, "nd_reserved" "", 4 32 Whole, Decimal Neighbour Writable, Absent Absent,
        [Ericsson 1 "ERICOXM_OF_ICMPV6_ND_RESERVED" 0];
    /// Type of the first option of a neighbour message.
    ND_OPTIONS_TYPE = 172, "nd_options_type" "", 1 8 Whole, Decimal Neighbour Writable, Absent Absent,
        [Ericsson 2 "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE" 0];
    /// Flags of the network service header.
    NSH_FLAGS = 173, "nsh_flags" "", 1 8 Bitwise, Decimal Nsh Writable, Absent Absent,
        [Nsh 1 "NXOXM_NSH_FLAGS" 0];
    /// Type of its metadata.
    NSH_MDTYPE = 174, "nsh_mdtype" "", 1 8 Whole, Decimal Nsh ReadOnly, Absent Absent,
        [Nsh 2 "NXOXM_NSH_MDTYPE" 0];
    /// Its next protocol.
    NSH_NP = 175, "nsh_np" "", 1 8 Whole, Decimal Nsh ReadOnly, Absent Absent,
        [Nsh 3 "NXOXM_NSH_NP" 0];
    /// Service path.
    NSH_SPI = 176, "nsh_spi" "nsp", 4 24 Whole, Hexadecimal Nsh Writable, Absent Absent,
        [Nsh 4 "NXOXM_NSH_SPI" 0];
    /// Service index.
    NSH_SI = 177, "nsh_si" "nsi", 1 8 Whole, Decimal Nsh Writable, Absent Absent,
        [Nsh 5 "NXOXM_NSH_SI" 0];
    /// First context header.
    NSH_C1 = 178, "nsh_c1" "nshc1", 4 32 Bitwise, Hexadecimal Nsh Writable, Absent Absent,
        [Nsh 6 "NXOXM_NSH_C1" 0];
    /// Second context header.
    NSH_C2 = 179, "nsh_c2" "nshc2", 4 32 Bitwise, Hexadecimal Nsh Writable, Absent Absent,
        [Nsh 7 "NXOXM_NSH_C2" 0];
    /// Third context header.
    NSH_C3 = 180, "nsh_c3" "nshc3", 4 32 Bitwise, Hexadecimal Nsh Writable, Absent Absent,
        [Nsh 8 "NXOXM_NSH_C3" 0];
    /// Fourth context header.
    NSH_C4 = 181, "nsh_c4" "nshc4", 4 32 Bitwise, Hexadecimal Nsh Writable, Absent Absent,
        [Nsh 9 "NXOXM_NSH_C4" 0];
    /// Its time to live.
    NSH_TTL = 182, "nsh_ttl" "", 1 8 Whole, Decimal Nsh Writable, Absent Absent,
        [Nsh 10 "NXOXM_NSH_TTL" 0];
}

impl FieldId {
    /// The first of 64 fields of tunnel metadata.
    pub const TUN_METADATA0: Self = Self(20);
    /// The first of 16 registers of 32 bits.
    pub const REG0: Self = Self(101);
    /// The last of 64 fields of tunnel metadata.
    pub(crate) const LAST_TUN_METADATA: Self = Self(83);
    /// The last of 16 registers of 32 bits.
    pub(crate) const LAST_REG: Self = Self(116);
    /// The first of 8 registers of 64 bits, each two of the small ones.
    pub const XREG0: Self = Self(117);
    /// The first of 4 registers of 128 bits, each four of the small ones.
    pub const XXREG0: Self = Self(125);
}

/// Rows that differ by a number only: their base, the template, and where their codes begin.
macro_rules! numbered {
    ($table:ident, $base:expr, $name:literal $header:literal $class:ident $code:literal $first:literal,
        $octets:literal $bits:literal, [$($number:literal)*]) => {
        $( $table[$base.0 as usize + $number] = Field {
            id: FieldId($base.0 + $number),
            name: concat!($name, $number),
            other_name: None,
            octets: $octets,
            bits: $bits,
            maskable: Maskable::Bitwise,
            format: Format::Hexadecimal,
            prerequisite: Prerequisite::Nothing,
            access: Access::Writable,
            v10: Support::Absent,
            v11: Support::Absent,
            headers: &[Header {
                class: Class::$class,
                field: $code + $number,
                name: concat!($header, $number),
                first: $first,
            }],
        }; )*
    };
}

const fn with_numbers(mut table: [Field; COUNT]) -> [Field; COUNT] {
    numbered!(table, FieldId::TUN_METADATA0, "tun_metadata" "NXM_NX_TUN_METADATA" Nxm1 40 0, 124 992, [
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    ]);
    numbered!(table, FieldId::REG0, "reg" "NXM_NX_REG" Nxm1 0 0, 4 32, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
    numbered!(table, FieldId::XREG0, "xreg" "OXM_OF_PKT_REG" PacketRegs 0 4, 8 64, [0 1 2 3 4 5 6 7]);
    numbered!(table, FieldId::XXREG0, "xxreg" "NXM_NX_XXREG" Nxm1 111 0, 16 128, [0 1 2 3]);
    table
}

const NO_FIELD: Field = Field {
    id: FieldId(u8::MAX),
    name: "",
    other_name: None,
    octets: 0,
    bits: 0,
    maskable: Maskable::Whole,
    format: Format::Decimal,
    prerequisite: Prerequisite::Nothing,
    access: Access::ReadOnly,
    v10: Support::Absent,
    v11: Support::Absent,
    headers: &[],
};

/// The table as a constant, for what is computed from it before the program runs.
pub(super) const FIELDS_FOR_INDEX: [Field; COUNT] = with_numbers(named([NO_FIELD; COUNT]));

/// The table, by number.
pub(super) static FIELDS: [Field; COUNT] = FIELDS_FOR_INDEX;
