//! The flow of one packet as text: the headers that it has, and of what else is known about it what is not zero.

use super::super::Value;
use super::super::field::{FieldId, Prerequisite};
use super::super::matching::Match;
use super::match_print::{Fields, Inner};

/// A packet's fields, each whole or not there.
pub(super) struct Packet<'p> {
    /// What is known of the packet; what is not named is zero.
    pub fields: &'p Match,
    /// What no field names. Its masks are not looked at.
    pub inner: Inner,
    ethertype: u16,
    protocol: u8,
    later_fragment: bool,
    outer_tag: bool,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_NSH: u16 = 0x894f;
const BOTTOM_OF_STACK: u32 = 0x100;

impl<'p> Packet<'p> {
    /// A packet of these fields.
    pub(super) fn new(fields: &'p Match, inner: &Inner) -> Self {
        let number = |field| fields.get(field).map_or(0, |(value, _)| value.to_u64());
        let ethertype = fields.ether_type();
        let is_mpls = matches!(ethertype, 0x8847 | 0x8848);
        let bottom = number(FieldId::MPLS_BOS) != 0;
        let outer_tag = number(FieldId::VLAN_TCI) != 0;
        let [first, second] = inner.labels.map(|(entry, _)| entry);
        let shown = |there: bool, entry: u32| (entry, if is_mpls && there { u32::MAX } else { 0 });
        let shown_inner = Inner {
            vlan: (inner.vlan.0, if outer_tag { 0xffff } else { 0 }),
            labels: [shown(!bottom, first), shown(!bottom && first & BOTTOM_OF_STACK == 0, second)],
            tunnel_flags: (inner.tunnel_flags.0, 0),
        };
        let mut packet = Packet {
            fields,
            inner: shown_inner,
            ethertype,
            protocol: number(FieldId::IP_PROTO) as u8,
            later_fragment: number(FieldId::IP_FRAG) & 2 != 0,
            outer_tag,
        };
        if packet.is_tunnelled() {
            packet.inner.tunnel_flags.1 = 0x0f;
        }
        packet
    }

    fn number(&self, field: FieldId) -> u128 {
        self.fields.get(field).map_or(0, |(value, _)| value.to_u128())
    }

    fn is_tunnelled(&self) -> bool {
        self.number(FieldId::TUN_DST) != 0 || self.number(FieldId::TUN_IPV6_DST) != 0
    }

    fn is_ip(&self) -> bool {
        matches!(self.ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
    }

    /// Whether the field is shown though it may be zero.
    fn has(&self, field: FieldId) -> bool {
        const KEY: u8 = 8;
        let ethernet = self.fields.meets(Prerequisite::Ethernet);
        match field {
            FieldId::CONJ_ID | FieldId::ACTSET_OUTPUT => false,
            FieldId::PACKET_TYPE => true,
            FieldId::TUN_ID => {
                self.number(field) != 0 || self.is_tunnelled() && self.inner.tunnel_flags.0 & KEY != 0
            }
            FieldId::TUN_SRC
            | FieldId::TUN_DST
            | FieldId::TUN_IPV6_SRC
            | FieldId::TUN_IPV6_DST
            | FieldId::TUN_FLAGS
            | FieldId::TUN_TTL
            | FieldId::TUN_TOS
            | FieldId::TUN_GBP_ID
            | FieldId::TUN_GBP_FLAGS
            | FieldId::TUN_ERSPAN_IDX
            | FieldId::TUN_ERSPAN_VER
            | FieldId::TUN_ERSPAN_DIR
            | FieldId::TUN_ERSPAN_HWID
            | FieldId::TUN_GTPU_FLAGS
            | FieldId::TUN_GTPU_MSGTYPE => self.is_tunnelled(),
            FieldId::CT_NW_PROTO
            | FieldId::CT_NW_SRC
            | FieldId::CT_NW_DST
            | FieldId::CT_IPV6_SRC
            | FieldId::CT_IPV6_DST
            | FieldId::CT_TP_SRC
            | FieldId::CT_TP_DST => self.has_original(field),
            field if field.as_tun_metadata().is_some() => self.fields.get(field).is_some(),
            field if field.is_pipeline() => self.number(field) != 0,
            FieldId::ETH_SRC | FieldId::ETH_DST | FieldId::ETH_TYPE | FieldId::VLAN_TCI => ethernet,
            FieldId::ARP_SHA | FieldId::ARP_THA | FieldId::ND_TARGET => {
                self.fields.meets(Prerequisite::Arp) && field != FieldId::ND_TARGET
                    || self.fields.meets(Prerequisite::Neighbour)
            }
            FieldId::IPV4_SRC | FieldId::IPV4_DST => {
                self.ethertype == ETHERTYPE_IPV4 || self.fields.meets(Prerequisite::Arp)
            }
            FieldId::IP_PROTO => self.is_ip() || self.fields.meets(Prerequisite::Arp) || self.is_service(),
            // Behind a network service header these are zero, and are shown.
            FieldId::IP_DSCP | FieldId::IP_ECN | FieldId::IP_TTL | FieldId::IP_FRAG => {
                self.is_ip() || self.is_service()
            }
            FieldId::TCP_SRC | FieldId::TCP_DST => self.has_transport(),
            FieldId::TCP_FLAGS => self.is_ip() && self.protocol == 6 && !self.later_fragment,
            FieldId::ND_RESERVED | FieldId::ND_OPTIONS_TYPE => false,
            field if field.get().prerequisite == Prerequisite::Nsh => self.is_service(),
            field => self.fields.meets(field.get().prerequisite) && is_home(field),
        }
    }

    /// Whether it is a frame with a network service header.
    fn is_service(&self) -> bool {
        self.ethertype == ETHERTYPE_NSH && self.fields.meets(Prerequisite::Ethernet)
    }

    fn has_transport(&self) -> bool {
        self.is_ip() && !self.later_fragment && matches!(self.protocol, 1 | 2 | 6 | 17 | 58 | 132)
    }

    /// Whether the addresses and ports of the connection's original direction are shown.
    fn has_original(&self, field: FieldId) -> bool {
        let family = match field {
            FieldId::CT_NW_SRC | FieldId::CT_NW_DST => self.ethertype == ETHERTYPE_IPV4,
            FieldId::CT_IPV6_SRC | FieldId::CT_IPV6_DST => {
                self.ethertype == ETHERTYPE_IPV6 && !self.fields.meets(Prerequisite::Neighbour)
            }
            _ => self.is_ip(),
        };
        family && self.fields.meets(Prerequisite::Ct) && self.number(FieldId::CT_NW_PROTO) != 0
    }
}

/// Whether the printer asks for the field by this name.
fn is_home(field: FieldId) -> bool {
    !matches!(
        field,
        FieldId::ARP_OP
            | FieldId::ARP_SPA
            | FieldId::ARP_TPA
            | FieldId::ND_SLL
            | FieldId::ND_TLL
            | FieldId::UDP_SRC
            | FieldId::UDP_DST
            | FieldId::SCTP_SRC
            | FieldId::SCTP_DST
            | FieldId::ICMPV4_TYPE
            | FieldId::ICMPV4_CODE
            | FieldId::ICMPV6_TYPE
            | FieldId::ICMPV6_CODE
    )
}

impl Fields for Packet<'_> {
    fn get(&self, field: FieldId) -> Option<(Value, Value)> {
        if !self.has(field) {
            return None;
        }
        let known = self.fields.get(field);
        if field.get().is_variable() {
            return known;
        }
        let octets = usize::from(field.get().octets);
        Some((known.map_or_else(|| Value::zero(octets), |(value, _)| value), field.get().ones()))
    }

    fn inner(&self) -> &Inner {
        debug_assert!(self.outer_tag || self.inner.vlan.1 == 0);
        &self.inner
    }
}
