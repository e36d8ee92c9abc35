//! Numbers of the nf_tables interface (linux/netfilter/nf_tables.h, nfnetlink.h, nf_conntrack_common.h).

/// Families (`NFPROTO_*`, linux/netfilter.h).
pub(super) const INET: u8 = 1;
pub(super) const IPV4: u8 = 2;
pub(super) const NETDEV: u8 = 5;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`: tables of others.
pub(super) const IP: u8 = 2;
/// See [`IP`].
pub(super) const IP6: u8 = 10;
pub(super) const IPV6: u8 = 10;

/// `NFNL_SUBSYS_NFTABLES` in the upper octet of a message type.
pub(super) const SUBSYSTEM: u16 = 10 << 8;
pub(super) const BATCH_BEGIN: u16 = 16;
pub(super) const BATCH_END: u16 = 17;

/// `enum nf_tables_msg_types`.
pub(super) mod message {
    pub(in super::super) const NEW_TABLE: u16 = 0;
    pub(in super::super) const GET_TABLE: u16 = 1;
    pub(in super::super) const DELETE_TABLE: u16 = 2;
    pub(in super::super) const NEW_CHAIN: u16 = 3;
    pub(in super::super) const GET_CHAIN: u16 = 4;
    pub(in super::super) const NEW_RULE: u16 = 6;
    pub(in super::super) const GET_RULE: u16 = 7;
    pub(in super::super) const NEW_SET: u16 = 9;
    pub(in super::super) const GET_SET: u16 = 10;
    pub(in super::super) const NEW_SET_ELEMENTS: u16 = 12;
    pub(in super::super) const GET_SET_ELEMENTS: u16 = 13;
    pub(in super::super) const GET_GENERATION: u16 = 16;
}

/// `NFTA_TABLE_*`.
pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const FLAGS: u16 = 2;
    pub(in super::super) const DORMANT: u32 = 1;
    pub(in super::super) const OWNER: u32 = 2;
}

/// `NFTA_CHAIN_*`, `NFTA_HOOK_*`.
pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const TYPE: u16 = 7;
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    pub(in super::super) const HOOK_DEVICE: u16 = 3;
    pub(in super::super) const HOOK_DEVICES: u16 = 4;
    pub(in super::super) const DROP: u32 = 0;
    pub(in super::super) const ACCEPT: u32 = 1;
}

/// `NFTA_RULE_*`, and the userdata that nft(8) and we put into rules.
pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const USERDATA: u16 = 7;
    /// `NFTNL_UDATA_RULE_COMMENT`: text with a terminating zero, shown by `nft list`.
    pub(in super::super) const COMMENT: u8 = 0;
    /// Ours: how many octets of the comment are the rule's name. nft(8) skips types it does not know.
    pub(in super::super) const NAME_LENGTH: u8 = 0x4e;
    /// `NFT_RULE_MAXEXPRS` (net/netfilter/nf_tables_api.c).
    pub(in super::super) const MOST_EXPRESSIONS: usize = 128;
}

/// `NFTA_SET_*`, `NFTA_SET_ELEM_*`, `NFTA_SET_ELEM_LIST_*`.
pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LENGTH: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LENGTH: u16 = 7;
    pub(in super::super) const DESCRIPTION: u16 = 9;
    pub(in super::super) const DESCRIPTION_SIZE: u16 = 1;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const USERDATA: u16 = 13;

    pub(in super::super) const ANONYMOUS: u32 = 1;
    pub(in super::super) const CONSTANT: u32 = 2;
    pub(in super::super) const INTERVAL: u32 = 4;
    pub(in super::super) const MAP: u32 = 8;

    pub(in super::super) const ELEMENT_KEY: u16 = 1;
    pub(in super::super) const ELEMENT_DATA: u16 = 2;
    pub(in super::super) const ELEMENT_FLAGS: u16 = 3;
    pub(in super::super) const ELEMENT_KEY_END: u16 = 10;
    pub(in super::super) const INTERVAL_END: u32 = 1;

    pub(in super::super) const LIST_TABLE: u16 = 1;
    pub(in super::super) const LIST_SET: u16 = 2;
    pub(in super::super) const LIST_ELEMENTS: u16 = 3;
    pub(in super::super) const LIST_SET_ID: u16 = 4;
}

/// `NFTA_LIST_ELEM`.
pub(super) const LIST_ELEMENT: u16 = 1;
/// `NFTA_DATA_*`, `NFTA_VERDICT_*`.
pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;
/// `NFTA_EXPR_*`.
pub(super) const EXPRESSION_NAME: u16 = 1;
pub(super) const EXPRESSION_DATA: u16 = 2;

/// Verdicts (`NF_*`, `enum nft_verdicts`).
pub(super) mod verdict {
    pub(in super::super) const DROP: i32 = 0;
    pub(in super::super) const ACCEPT: i32 = 1;
    pub(in super::super) const JUMP: i32 = -3;
    pub(in super::super) const GOTO: i32 = -4;
    pub(in super::super) const RETURN: i32 = -5;
}

/// `enum nft_meta_keys`.
pub(super) mod meta {
    pub(in super::super) const PROTOCOL: u32 = 1;
    pub(in super::super) const MARK: u32 = 3;
    pub(in super::super) const INPUT_NAME: u32 = 6;
    pub(in super::super) const OUTPUT_NAME: u32 = 7;
    pub(in super::super) const TRACE: u32 = 12;
    pub(in super::super) const NFPROTO: u32 = 15;
    pub(in super::super) const L4PROTO: u32 = 16;
}

/// `enum nft_ct_keys` and bits of `enum ip_conntrack_status`.
pub(super) mod ct {
    pub(in super::super) const STATE: u32 = 0;
    pub(in super::super) const STATUS: u32 = 2;
    pub(in super::super) const SEEN_REPLY: u32 = 1 << 1;
    pub(in super::super) const ASSURED: u32 = 1 << 2;
    pub(in super::super) const SNAT: u32 = 1 << 4;
    pub(in super::super) const DNAT: u32 = 1 << 5;
}

/// `enum nft_cmp_ops`.
pub(super) mod cmp {
    pub(in super::super) const EQUAL: u32 = 0;
    pub(in super::super) const NOT_EQUAL: u32 = 1;
}

/// `enum nft_payload_bases`.
pub(super) mod base {
    pub(in super::super) const NETWORK: u32 = 1;
    pub(in super::super) const TRANSPORT: u32 = 2;
}

/// `NF_NAT_RANGE_*` (linux/netfilter/nf_nat.h) and `enum nft_nat_types`.
pub(super) mod nat {
    pub(in super::super) const SOURCE: u32 = 0;
    pub(in super::super) const DESTINATION: u32 = 1;
    pub(in super::super) const MAP_ADDRESSES: u32 = 1;
    pub(in super::super) const PORTS_GIVEN: u32 = 2;
    pub(in super::super) const PERSISTENT: u32 = 8;
    pub(in super::super) const RANDOM_FULLY: u32 = 16;
    pub(in super::super) const NETMAP: u32 = 64;
}

/// `enum nft_reject_types`, `enum nft_reject_inet_code`.
pub(super) mod reject {
    pub(in super::super) const RESET: u32 = 1;
    pub(in super::super) const ICMPX: u32 = 2;
    pub(in super::super) const NO_ROUTE: u8 = 0;
    pub(in super::super) const PORT: u8 = 1;
    pub(in super::super) const HOST: u8 = 2;
    pub(in super::super) const PROHIBITED: u8 = 3;
}

/// `enum nft_fib_result`, `enum nft_fib_flags`, and `RTN_*` of linux/rtnetlink.h.
pub(super) mod fib {
    pub(in super::super) const ADDRESS_TYPE: u32 = 3;
    pub(in super::super) const BY_SOURCE: u32 = 1;
    pub(in super::super) const BY_DESTINATION: u32 = 2;
    pub(in super::super) const UNICAST: u32 = 1;
    pub(in super::super) const LOCAL: u32 = 2;
    pub(in super::super) const BROADCAST: u32 = 3;
    pub(in super::super) const MULTICAST: u32 = 5;
}

/// `enum nft_ng_types`.
pub(super) mod numgen {
    pub(in super::super) const INCREMENTAL: u32 = 0;
    pub(in super::super) const RANDOM: u32 = 1;
}

/// Data types as nft(8) numbers them (its datatype.h): the kernel only keeps them, for listings.
pub(super) mod data_type {
    pub(in super::super) const INTEGER: u32 = 4;
    pub(in super::super) const IPV4: u32 = 7;
    pub(in super::super) const IPV6: u32 = 8;
    pub(in super::super) const PROTOCOL: u32 = 12;
    pub(in super::super) const PORT: u32 = 13;
    pub(in super::super) const ICMP_TYPE: u32 = 14;
    pub(in super::super) const ICMPV6_TYPE: u32 = 29;
    pub(in super::super) const INTERFACE_NAME: u32 = 41;
    /// A concatenation has six bits per part.
    pub(in super::super) const BITS: u32 = 6;
}
