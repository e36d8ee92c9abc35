//! Where each field lies in the key.

/// A field of the key, of at most 64 bits. A longer one (IPv6 addresses, the conntrack label) is two fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    word: u8,
    shift: u8,
    bits: u8,
    name: &'static str,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// The word of the key.
    #[inline]
    #[must_use]
    pub const fn word(self) -> usize {
        self.word as usize
    }

    /// How far its least significant bit is shifted in the word.
    #[inline]
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift as u32
    }

    /// Its number of bits.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits as u32
    }

    /// As many ones as it has bits.
    #[inline]
    #[must_use]
    pub const fn ones(self) -> u64 {
        if self.bits == 64 { u64::MAX } else { (1 << self.bits) - 1 }
    }

    /// Its name, as `ovs-fields(7)` has it where it is there.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $word:literal, $shift:literal, $bits:literal, $name:literal;)*) => {
        impl Field {
            $($(#[$doc])* pub const $field: Self = Self { word: $word, shift: $shift, bits: $bits, name: $name };)*
            /// All fields.
            pub const ALL: &[Self] = &[$(Self::$field),*];
        }
    };
}

fields! {
    /// Port through which the packet came.
    IN_PORT = 0, 32, 32, "in_port";
    /// Which pass through the tables this is.
    RECIRCULATION = 0, 0, 32, "recirc_id";
    /// Ethernet destination.
    ETH_DST = 1, 16, 48, "eth_dst";
    /// EtherType behind all VLAN tags; a frame with an LLC header has 0x05ff, as in OpenFlow.
    ETH_TYPE = 1, 0, 16, "eth_type";
    /// Ethernet source.
    ETH_SRC = 2, 16, 48, "eth_src";
    /// IP protocol behind all extension headers; opcode of ARP.
    IP_PROTO = 2, 8, 8, "ip_proto";
    /// 1: a fragment; 3: one that is not the first.
    IP_FRAG = 2, 0, 8, "ip_frag";
    /// EtherType of the outer VLAN tag, 0 without.
    VLAN_TPID = 3, 48, 16, "vlan_tpid";
    /// Priority (3), drop eligibility (1), VLAN (12) of the outer tag.
    VLAN_TCI = 3, 32, 16, "vlan_tci";
    /// EtherType of the second VLAN tag, 0 without.
    INNER_TPID = 3, 16, 16, "inner_vlan_tpid";
    /// The second tag.
    INNER_TCI = 3, 0, 16, "inner_vlan_tci";
    /// IPv4 source; sender of ARP.
    IP4_SRC = 4, 32, 32, "ip_src";
    /// IPv4 destination; target of ARP.
    IP4_DST = 4, 0, 32, "ip_dst";
    /// Source port of TCP, UDP and SCTP; type of ICMP and ICMPv6.
    TP_SRC = 5, 48, 16, "tp_src";
    /// Destination port; code of ICMP and ICMPv6.
    TP_DST = 5, 32, 16, "tp_dst";
    /// The twelve flags of TCP.
    TCP_FLAGS = 5, 16, 16, "tcp_flags";
    /// DSCP and ECN.
    IP_TOS = 5, 8, 8, "ip_tos";
    /// Time to live, hop limit.
    IP_TTL = 5, 0, 8, "ip_ttl";
    /// State of the connection: as many bits as there are names for, and four more.
    CT_STATE = 6, 32, 12, "ct_state";
    /// Its zone.
    CT_ZONE = 6, 16, 16, "ct_zone";
    /// Protocol of its original tuple.
    CT_PROTO = 6, 8, 8, "ct_nw_proto";
    /// Its mark.
    CT_MARK = 7, 32, 32, "ct_mark";
    /// The packet's mark.
    PKT_MARK = 7, 0, 32, "pkt_mark";
    /// IPv6 source.
    IP6_SRC_HIGH = 8, 0, 64, "ipv6_src";
    /// Its lower half.
    IP6_SRC_LOW = 9, 0, 64, "ipv6_src_low";
    /// IPv6 destination.
    IP6_DST_HIGH = 10, 0, 64, "ipv6_dst";
    /// Its lower half.
    IP6_DST_LOW = 11, 0, 64, "ipv6_dst_low";
    /// Flow label.
    IP6_LABEL = 12, 32, 32, "ipv6_label";
    /// Which extension headers there are.
    IP6_EXTENSIONS = 12, 16, 16, "ipv6_exthdr";
    /// Key or VNI of the tunnel through which the packet came.
    TUN_ID = 13, 0, 64, "tun_id";
    /// IPv4 source of the outer header.
    TUN_SRC = 14, 32, 32, "tun_src";
    /// IPv4 destination of the outer header.
    TUN_DST = 14, 0, 32, "tun_dst";
    /// Flags of the tunnel: 1 for a control packet (`oam`); 2, 4 and 8 for what the outer headers had or shall have:
    /// no fragmentation, a checksum, a key.
    TUN_FLAGS = 15, 48, 8, "tun_flags";
    /// Type of service of the outer header.
    TUN_TOS = 15, 40, 8, "tun_tos";
    /// Time to live of the outer header.
    TUN_TTL = 15, 32, 8, "tun_ttl";
    /// VXLAN group.
    TUN_GBP_ID = 15, 16, 16, "tun_gbp_id";
    /// VXLAN group flags.
    TUN_GBP_FLAGS = 15, 8, 8, "tun_gbp_flags";
    /// ERSPAN version: 1 for type II, 2 for type III.
    TUN_ERSPAN_VER = 15, 4, 4, "tun_erspan_ver";
    /// ERSPAN direction: 1 for frames that left.
    TUN_ERSPAN_DIR = 15, 0, 1, "tun_erspan_dir";
    /// Index of ERSPAN type II.
    TUN_ERSPAN_IDX = 6, 44, 20, "tun_erspan_idx";
    /// Engine of ERSPAN type III.
    TUN_ERSPAN_HWID = 15, 56, 6, "tun_erspan_hwid";
    /// IPv6 source of the outer header.
    TUN6_SRC_HIGH = 16, 0, 64, "tun_ipv6_src";
    /// Its lower half.
    TUN6_SRC_LOW = 17, 0, 64, "tun_ipv6_src_low";
    /// IPv6 destination of the outer header.
    TUN6_DST_HIGH = 18, 0, 64, "tun_ipv6_dst";
    /// Its lower half.
    TUN6_DST_LOW = 19, 0, 64, "tun_ipv6_dst_low";
    /// Sender of ARP; source link-layer address of ND.
    ARP_SHA = 20, 16, 48, "arp_sha";
    /// Target of ARP; target link-layer address of ND.
    ARP_THA = 21, 16, 48, "arp_tha";
    /// Target of ND.
    ND_TARGET_HIGH = 22, 0, 64, "nd_target";
    /// Its lower half.
    ND_TARGET_LOW = 23, 0, 64, "nd_target_low";
    /// Outer MPLS label, traffic class, bottom of stack and TTL.
    MPLS_OUTER = 24, 32, 32, "mpls";
    /// The second.
    MPLS_SECOND = 24, 0, 32, "mpls2";
    /// The third.
    MPLS_THIRD = 25, 32, 32, "mpls3";
    /// Reserved bits of the ND option.
    ND_RESERVED = 25, 0, 32, "nd_reserved";
    /// NSH path identifier and index.
    NSH_PATH = 26, 32, 32, "nsh_path";
    /// NSH flags.
    NSH_FLAGS = 26, 24, 8, "nsh_flags";
    /// NSH time to live.
    NSH_TTL = 26, 16, 8, "nsh_ttl";
    /// NSH metadata type.
    NSH_MDTYPE = 26, 8, 8, "nsh_mdtype";
    /// NSH next protocol.
    NSH_NP = 26, 0, 8, "nsh_np";
    /// NSH context headers 1 and 2.
    NSH_C12 = 27, 0, 64, "nsh_c1";
    /// NSH context headers 3 and 4.
    NSH_C34 = 28, 0, 64, "nsh_c3";
    /// Upper half of the connection's label.
    CT_LABEL_HIGH = 29, 0, 64, "ct_label";
    /// Its lower half.
    CT_LABEL_LOW = 30, 0, 64, "ct_label_low";
    /// OpenFlow metadata.
    METADATA = 31, 0, 64, "metadata";
    /// Registers 0 and 1 (`xreg0`).
    XREG0 = 32, 0, 64, "xreg0";
    /// Registers 2 and 3.
    XREG1 = 33, 0, 64, "xreg1";
    /// Registers 4 and 5.
    XREG2 = 34, 0, 64, "xreg2";
    /// Registers 6 and 7.
    XREG3 = 35, 0, 64, "xreg3";
    /// Registers 8 and 9.
    XREG4 = 36, 0, 64, "xreg4";
    /// Registers 10 and 11.
    XREG5 = 37, 0, 64, "xreg5";
    /// Registers 12 and 13.
    XREG6 = 38, 0, 64, "xreg6";
    /// Registers 14 and 15.
    XREG7 = 39, 0, 64, "xreg7";
    /// IPv4 source of the connection's original tuple.
    CT_SRC = 40, 32, 32, "ct_nw_src";
    /// IPv4 destination of the original tuple.
    CT_DST = 40, 0, 32, "ct_nw_dst";
    /// Source port of the original tuple.
    CT_TP_SRC = 41, 48, 16, "ct_tp_src";
    /// Destination port of the original tuple.
    CT_TP_DST = 41, 32, 16, "ct_tp_dst";
    /// Which mapped Geneve options the packet has: a bit for each four octets of their space, set at an option's first.
    TUN_OPTIONS = 41, 0, 32, "tun_metadata_present";
    /// IPv6 source of the original tuple.
    CT6_SRC_HIGH = 42, 0, 64, "ct_ipv6_src";
    /// Its lower half.
    CT6_SRC_LOW = 43, 0, 64, "ct_ipv6_src_low";
    /// IPv6 destination of the original tuple.
    CT6_DST_HIGH = 44, 0, 64, "ct_ipv6_dst";
    /// Its lower half.
    CT6_DST_LOW = 45, 0, 64, "ct_ipv6_dst_low";
    /// Name space and type of a packet that does not begin with Ethernet.
    PACKET_TYPE = 46, 32, 32, "packet_type";
    /// Hash that a select group or a bond computed.
    DP_HASH = 46, 0, 32, "dp_hash";
    /// Number of the conjunction by which a rule is sought.
    CONJ_ID = 47, 32, 32, "conj_id";
    /// Port to which the action set sends.
    ACTSET_OUTPUT = 47, 0, 32, "actset_output";
    /// Mapped Geneve options, octets 0 to 7.
    TUN_SPACE_0 = 48, 0, 64, "tun_metadata_space0";
    /// Mapped Geneve options, octets 8 to 15.
    TUN_SPACE_1 = 49, 0, 64, "tun_metadata_space1";
    /// Mapped Geneve options, octets 16 to 23.
    TUN_SPACE_2 = 50, 0, 64, "tun_metadata_space2";
    /// Mapped Geneve options, octets 24 to 31.
    TUN_SPACE_3 = 51, 0, 64, "tun_metadata_space3";
    /// Mapped Geneve options, octets 32 to 39.
    TUN_SPACE_4 = 52, 0, 64, "tun_metadata_space4";
    /// Mapped Geneve options, octets 40 to 47.
    TUN_SPACE_5 = 53, 0, 64, "tun_metadata_space5";
    /// Mapped Geneve options, octets 48 to 55.
    TUN_SPACE_6 = 54, 0, 64, "tun_metadata_space6";
    /// Mapped Geneve options, octets 56 to 63.
    TUN_SPACE_7 = 55, 0, 64, "tun_metadata_space7";
    /// Mapped Geneve options, octets 64 to 71.
    TUN_SPACE_8 = 56, 0, 64, "tun_metadata_space8";
    /// Mapped Geneve options, octets 72 to 79.
    TUN_SPACE_9 = 57, 0, 64, "tun_metadata_space9";
    /// Mapped Geneve options, octets 80 to 87.
    TUN_SPACE_10 = 58, 0, 64, "tun_metadata_space10";
    /// Mapped Geneve options, octets 88 to 95.
    TUN_SPACE_11 = 59, 0, 64, "tun_metadata_space11";
    /// Mapped Geneve options, octets 96 to 103.
    TUN_SPACE_12 = 60, 0, 64, "tun_metadata_space12";
    /// Mapped Geneve options, octets 104 to 111.
    TUN_SPACE_13 = 61, 0, 64, "tun_metadata_space13";
    /// Mapped Geneve options, octets 112 to 119.
    TUN_SPACE_14 = 62, 0, 64, "tun_metadata_space14";
    /// Mapped Geneve options, octets 120 to 127.
    TUN_SPACE_15 = 63, 0, 64, "tun_metadata_space15";
}
