//! What a flow matches, as text: the order of the terms and the form of each are those of Open vSwitch, so that dumps can
//! be compared line by line.

use super::super::field::FieldId;
use super::super::{OfPort, Value};
use super::names::Names;
use super::{address, flags, number, value};
use std::fmt::Write;

/// Where the printer finds what is matched: a field's value and mask, or nothing where no bit of it counts.
pub(super) trait Fields {
    /// The value and the mask of a field.
    fn get(&self, field: FieldId) -> Option<(Value, Value)>;
    /// Whether anything may be said about the homes from one to another: what is not there need not be asked for one by one.
    fn may_name(&self, _from: FieldId, _to: FieldId) -> bool {
        true
    }
    /// Headers that no field names: further VLAN tags and MPLS entries as value and mask.
    fn inner(&self) -> &Inner {
        const NONE: Inner = Inner { vlan: (0, 0), labels: [(0, 0); 2], tunnel_flags: (0, 0) };
        &NONE
    }
}

/// What a packet has that no field of OpenFlow names, each as value and mask; printed in traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inner {
    /// The tag control word of the second VLAN tag.
    pub vlan: (u16, u16),
    /// The second and third label stack entries.
    pub labels: [(u32, u32); 2],
    /// The bits of the tunnel's flags that flows cannot match: 2 do not fragment, 4 checksum, 8 key.
    pub tunnel_flags: (u8, u8),
}

const DEFAULT_PRIORITY: u16 = 0x8000;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_NSH: u16 = 0x894f;

/// A printer that has the terms written so far.
struct Terms<'m> {
    fields: &'m dyn Fields,
    names: &'m Names,
    out: &'m mut String,
}

/// Prints a match. `priority` is named unless it is the default.
pub(super) fn print(fields: &dyn Fields, priority: u16, names: &Names) -> String {
    let mut out = String::new();
    put(&mut out, fields, priority, names);
    out
}

/// Appends what [`print`] prints.
pub(super) fn put(out: &mut String, fields: &dyn Fields, priority: u16, names: &Names) {
    let start = out.len();
    let mut terms = Terms { fields, names, out };
    if priority != DEFAULT_PRIORITY {
        terms.decimal_term("priority", priority);
    }
    terms.pipeline();
    let kind = terms.kind();
    if fields.may_name(FieldId::REG0, FieldId::LAST_REG) {
        terms.registers();
    }
    if fields.may_name(FieldId::TUN_ID, FieldId::LAST_TUN_METADATA) || fields.inner().tunnel_flags.1 != 0 {
        terms.tunnel();
    }
    terms.hex(FieldId::METADATA, "metadata");
    if let Some((port, _)) = fields.get(FieldId::IN_PORT) {
        terms.out.push_str("in_port=");
        names.put_port(terms.out, OfPort(port.to_u64() as u16));
        terms.out.push(',');
    }
    terms.ethernet(&kind);
    terms.network(&kind);
    terms.transport(&kind);
    if terms.out.len() > start {
        terms.out.pop();
    }
}

/// What the words for protocols were found to say.
struct Kind {
    /// The EtherType, also that of a packet without Ethernet header; 0 if none is matched.
    ethertype: u16,
    /// The IP protocol or ARP operation if it is matched.
    protocol: Option<u8>,
    /// Whether a word already said the EtherType, and the protocol.
    type_said: bool,
    protocol_said: bool,
}

impl Kind {
    fn is_arp(&self) -> bool {
        matches!(self.ethertype, ETHERTYPE_ARP | ETHERTYPE_RARP)
    }
}

impl Terms<'_> {
    fn begin(&mut self, name: &str) {
        self.out.push_str(name);
        self.out.push('=');
    }

    fn term(&mut self, name: &str, value: impl AsRef<str>) {
        self.begin(name);
        self.out.push_str(value.as_ref());
        self.out.push(',');
    }

    fn decimal_term(&mut self, name: &str, value: impl Into<u64>) {
        self.begin(name);
        number::put_decimal(self.out, value);
        self.out.push(',');
    }

    fn word(&mut self, word: &str) {
        self.out.push_str(word);
        self.out.push(',');
    }

    /// The first of several fields that lie at the same place.
    fn first(&self, fields: &[FieldId]) -> Option<(Value, Value)> {
        fields.iter().find_map(|field| self.fields.get(*field))
    }

    fn number(&self, field: FieldId) -> Option<u64> {
        self.fields.get(field).map(|(value, _)| value.to_u64())
    }

    /// A number in hexadecimal, 0 without prefix.
    fn hex(&mut self, field: FieldId, name: &str) {
        if let Some((value, mask)) = self.fields.get(field) {
            self.begin(name);
            number::put_alt_hex(self.out, value.to_u64());
            if !value::covers(field.get(), &mask) {
                self.out.push('/');
                number::put_alt_hex(self.out, mask.to_u64());
            }
            self.out.push(',');
        }
    }

    /// A number in decimal, with a mask both in hexadecimal.
    fn decimal(&mut self, found: Option<(Value, Value)>, name: &str) {
        if let Some((value, mask)) = found {
            let number = value.to_u64();
            let text = match (mask.is_all_ones(), value.len()) {
                (true, _) => return self.decimal_term(name, number),
                (false, 1) => format!("{number:#04x}/{:#04x}", mask.to_u64()),
                (false, 4) => format!("{number:#010x}/{:#010x}", mask.to_u64()),
                (false, _) => format!("{number:#x}/{:#x}", mask.to_u64()),
            };
            self.term(name, text);
        }
    }

    fn decimal_of(&mut self, field: FieldId) {
        self.decimal(self.fields.get(field), field.name());
    }

    /// A number in decimal whose mask is never named.
    fn plain(&mut self, field: FieldId, name: &str) {
        if let Some(number) = self.number(field) {
            self.decimal_term(name, number);
        }
    }

    fn ethernet_address(&mut self, found: Option<(Value, Value)>, name: &str) {
        if let Some((value, mask)) = found {
            self.term(name, address::print_ethernet(value::array(&value), value::array(&mask)));
        }
    }

    fn ipv4(&mut self, found: Option<(Value, Value)>, name: &str) {
        if let Some((value, mask)) = found {
            self.begin(name);
            address::put_ipv4(self.out, value::array(&value), value::array(&mask));
            self.out.push(',');
        }
    }

    fn ipv6(&mut self, field: FieldId, name: &str) {
        if let Some((value, mask)) = self.fields.get(field) {
            self.term(name, address::print_ipv6(value::array(&value), value::array(&mask)));
        }
    }

    fn ipv4_of(&mut self, field: FieldId) {
        self.ipv4(self.fields.get(field), field.name());
    }

    /// Marks, connection and what else comes before the words for protocols.
    fn pipeline(&mut self) {
        self.hex(FieldId::PKT_MARK, "pkt_mark");
        self.hex(FieldId::RECIRC_ID, "recirc_id");
        self.hex(FieldId::DP_HASH, "dp_hash");
        self.plain(FieldId::CONJ_ID, "conj_id");
        if let Some(number) = self.number(FieldId::SKB_PRIORITY) {
            self.term("skb_priority", number::alt_hex(number));
        }
        if let Some(number) = self.number(FieldId::ACTSET_OUTPUT) {
            let port = OfPort::from_wide(number as u32).unwrap_or(OfPort::NONE);
            self.term("actset_output", self.names.print_port(port));
        }
        if self.fields.may_name(FieldId::CT_STATE, FieldId::CT_TP_DST) {
            self.connection();
        }
    }

    /// What is known of the connection.
    fn connection(&mut self) {
        if let Some((state, mask)) = self.fields.get(FieldId::CT_STATE) {
            self.term(
                "ct_state",
                flags::CT_STATE.print_masked(state.to_u64() as u32, mask.to_u64() as u32 & 0xff, 0xff),
            );
        }
        self.decimal_of(FieldId::CT_ZONE);
        self.hex(FieldId::CT_MARK, "ct_mark");
        if let Some((label, mask)) = self.fields.get(FieldId::CT_LABEL) {
            let mut text = number::hex(label.octets());
            if !mask.is_all_ones() {
                let _ = write!(text, "/{}", number::hex(mask.octets()));
            }
            self.term("ct_label", text);
        }
        self.ipv4_of(FieldId::CT_NW_SRC);
        self.ipv6(FieldId::CT_IPV6_SRC, "ct_ipv6_src");
        self.ipv4_of(FieldId::CT_NW_DST);
        self.ipv6(FieldId::CT_IPV6_DST, "ct_ipv6_dst");
        if self.number(FieldId::CT_NW_PROTO).is_some() {
            self.plain(FieldId::CT_NW_PROTO, "ct_nw_proto");
            self.decimal_of(FieldId::CT_TP_SRC);
            self.decimal_of(FieldId::CT_TP_DST);
        }
    }

    /// The words for protocols, and the packet type before them.
    fn kind(&mut self) -> Kind {
        let matched = self.number(FieldId::ETH_TYPE);
        let mut ethertype = matched.unwrap_or(0) as u16;
        if let Some((packet_type, mask)) = self.fields.get(FieldId::PACKET_TYPE) {
            let (number, mask) = (packet_type.to_u64() as u32, mask.to_u64() as u32);
            if number != 0 || mask != u32::MAX || self.number(FieldId::RECIRC_ID).is_some() {
                self.word(&value::print_packet_type(number, mask));
            }
            if number >> 16 == 1 {
                ethertype = number as u16;
            }
        }
        let protocol =
            self.first(&[FieldId::IP_PROTO, FieldId::ARP_OP]).map(|(value, _)| value.to_u64() as u8);
        let mut kind = Kind { ethertype, protocol, type_said: false, protocol_said: false };
        if matched.is_none() {
            return kind;
        }
        let (word, protocol_said) = match (ethertype, protocol) {
            (ETHERTYPE_IPV4, Some(1)) => ("icmp", true),
            (ETHERTYPE_IPV4, Some(6)) => ("tcp", true),
            (ETHERTYPE_IPV4, Some(17)) => ("udp", true),
            (ETHERTYPE_IPV4, Some(132)) => ("sctp", true),
            (ETHERTYPE_IPV4, _) => ("ip", false),
            (ETHERTYPE_IPV6, Some(58)) => ("icmp6", true),
            (ETHERTYPE_IPV6, Some(6)) => ("tcp6", true),
            (ETHERTYPE_IPV6, Some(17)) => ("udp6", true),
            (ETHERTYPE_IPV6, Some(132)) => ("sctp6", true),
            (ETHERTYPE_IPV6, _) => ("ipv6", false),
            (ETHERTYPE_ARP, _) => ("arp", false),
            (ETHERTYPE_RARP, _) => ("rarp", false),
            (ETHERTYPE_MPLS, _) => ("mpls", false),
            (ETHERTYPE_MPLS_MULTICAST, _) => ("mplsm", false),
            _ => return kind,
        };
        self.word(word);
        kind.type_said = true;
        kind.protocol_said = protocol_said;
        kind
    }

    fn registers(&mut self) {
        for field in (0..16).filter_map(FieldId::reg) {
            self.hex(field, field.name());
        }
    }

    fn tunnel(&mut self) {
        self.hex(FieldId::TUN_ID, "tun_id");
        self.ipv4_of(FieldId::TUN_SRC);
        self.ipv4_of(FieldId::TUN_DST);
        self.ipv6(FieldId::TUN_IPV6_SRC, "tun_ipv6_src");
        self.ipv6(FieldId::TUN_IPV6_DST, "tun_ipv6_dst");
        self.decimal_of(FieldId::TUN_GBP_ID);
        self.unmasked_hex(FieldId::TUN_GBP_FLAGS, "tun_gbp_flags");
        if let Some(number) = self.number(FieldId::TUN_TOS) {
            self.term("tun_tos", format!("{number:x}"));
        }
        self.plain(FieldId::TUN_TTL, "tun_ttl");
        let erspan = self.number(FieldId::TUN_ERSPAN_VER);
        self.plain(FieldId::TUN_ERSPAN_VER, "tun_erspan_ver");
        if erspan == Some(1) {
            self.unmasked_hex(FieldId::TUN_ERSPAN_IDX, "tun_erspan_idx");
        }
        if erspan == Some(2) {
            self.plain(FieldId::TUN_ERSPAN_DIR, "tun_erspan_dir");
            self.unmasked_hex(FieldId::TUN_ERSPAN_HWID, "tun_erspan_hwid");
        }
        self.unmasked_hex(FieldId::TUN_GTPU_FLAGS, "gtpu_flags");
        self.plain(FieldId::TUN_GTPU_MSGTYPE, "gtpu_msgtype");
        let (mut bits, mut mask) = self.fields.inner().tunnel_flags;
        if let Some((flags, matched)) = self.fields.get(FieldId::TUN_FLAGS) {
            bits |= flags.to_u64() as u8 & 1;
            mask |= matched.to_u64() as u8 & 1;
        }
        if mask & 0xf != 0 {
            self.term("tun_flags", flags::TUNNEL.print_masked(bits.into(), u32::from(mask) & 0xf, 0xf));
        }
        for (field, index) in (0..64).filter_map(|index| FieldId::tun_metadata(index).zip(Some(index))) {
            if let Some((value, mask)) = self.fields.get(field) {
                let name = format!("tun_metadata{index}");
                if mask.is_zero() {
                    self.word(&name);
                } else {
                    let mut text = number::hex(value.octets());
                    if !mask.is_all_ones() {
                        let _ = write!(text, "/{}", number::hex(mask.octets()));
                    }
                    self.term(&name, text);
                }
            }
        }
    }

    fn unmasked_hex(&mut self, field: FieldId, name: &str) {
        if let Some(number) = self.number(field) {
            self.term(name, number::alt_hex(number));
        }
    }

    fn ethernet(&mut self, kind: &Kind) {
        let outer =
            self.fields.get(FieldId::VLAN_TCI).map(|(tci, mask)| (tci.to_u64() as u16, mask.to_u64() as u16));
        if let Some(outer) = outer {
            self.vlan("", outer);
            if self.fields.inner().vlan.1 != 0 {
                self.vlan("1", self.fields.inner().vlan);
            }
        }
        self.ethernet_address(self.fields.get(FieldId::ETH_SRC), "dl_src");
        self.ethernet_address(self.fields.get(FieldId::ETH_DST), "dl_dst");
        if !kind.type_said && self.number(FieldId::ETH_TYPE).is_some() {
            self.term("dl_type", format!("{:#06x}", kind.ethertype));
        }
    }

    fn vlan(&mut self, index: &str, (tci, mask): (u16, u16)) {
        let (identifier, priority) = (mask & 0x0fff, mask & 0xe000);
        let tagged = mask & tci & 0x1000 != 0;
        let whole =
            matches!(identifier, 0 | 0x0fff) && matches!(priority, 0 | 0xe000) && identifier | priority != 0;
        if tagged && whole {
            if identifier != 0 {
                self.term(&format!("dl_vlan{index}"), (tci & 0x0fff).to_string());
            }
            if priority != 0 {
                self.term(&format!("dl_vlan_pcp{index}"), (tci >> 13).to_string());
            }
        } else if mask == 0xffff {
            self.term(&format!("vlan_tci{index}"), format!("{tci:#06x}"));
        } else {
            self.term(&format!("vlan_tci{index}"), format!("{tci:#06x}/{mask:#06x}"));
        }
    }

    fn network(&mut self, kind: &Kind) {
        let source = self.first(&[FieldId::IPV4_SRC, FieldId::ARP_SPA]);
        let target = self.first(&[FieldId::IPV4_DST, FieldId::ARP_TPA]);
        match kind.ethertype {
            ETHERTYPE_IPV6 => {
                self.ipv6(FieldId::IPV6_SRC, "ipv6_src");
                self.ipv6(FieldId::IPV6_DST, "ipv6_dst");
                if let Some((label, mask)) = self.fields.get(FieldId::IPV6_LABEL) {
                    let (label, mask) = (label.to_u64(), mask.to_u64());
                    let text = match mask & 0xfffff {
                        0xfffff => format!("{label:#07x}"),
                        _ => format!("{label:#07x}/{mask:#07x}"),
                    };
                    self.term("ipv6_label", text);
                }
            }
            _ if kind.is_arp() => {
                self.ipv4(source, "arp_spa");
                self.ipv4(target, "arp_tpa");
            }
            ETHERTYPE_NSH => self.service(),
            _ => {
                self.ipv4(source, "nw_src");
                self.ipv4(target, "nw_dst");
            }
        }
        if let (Some(protocol), false) = (kind.protocol, kind.protocol_said) {
            self.term(if kind.is_arp() { "arp_op" } else { "nw_proto" }, protocol.to_string());
        }
        if kind.is_arp() {
            self.ethernet_address(self.first(&[FieldId::ARP_SHA, FieldId::ND_SLL]), "arp_sha");
            self.ethernet_address(self.first(&[FieldId::ARP_THA, FieldId::ND_TLL]), "arp_tha");
        }
        self.plain(FieldId::IP_DSCP, "nw_tos");
        self.plain(FieldId::IP_ECN, "nw_ecn");
        self.plain(FieldId::IP_TTL, "nw_ttl");
        self.plain(FieldId::MPLS_LABEL, "mpls_label");
        self.plain(FieldId::MPLS_TC, "mpls_tc");
        self.plain(FieldId::MPLS_TTL, "mpls_ttl");
        self.plain(FieldId::MPLS_BOS, "mpls_bos");
        let labels = self.fields.inner().labels;
        for ((entry, mask), name) in labels.into_iter().zip(["mpls_lse1", "mpls_lse2"]) {
            if mask != 0 {
                self.decimal(
                    Some((Value::from_number(entry.into(), 4), Value::from_number(mask.into(), 4))),
                    name,
                );
            }
        }
        if let Some((bits, mask)) = self.fields.get(FieldId::IP_FRAG) {
            self.term("nw_frag", flags::print_fragment(bits.to_u64() as u8, mask.to_u64() as u8));
        }
    }

    fn service(&mut self) {
        for field in [FieldId::NSH_FLAGS, FieldId::NSH_TTL, FieldId::NSH_MDTYPE, FieldId::NSH_NP] {
            self.decimal_of(field);
        }
        self.hex(FieldId::NSH_SPI, "nsh_spi");
        self.decimal_of(FieldId::NSH_SI);
        if self.number(FieldId::NSH_MDTYPE) == Some(1) {
            for field in [FieldId::NSH_C1, FieldId::NSH_C2, FieldId::NSH_C3, FieldId::NSH_C4] {
                if let Some((value, mask)) = self.fields.get(field) {
                    let mut text = format!("{:#x}", value.to_u64());
                    if !mask.is_all_ones() {
                        let _ = write!(text, "/{:#x}", mask.to_u64());
                    }
                    self.term(field.name(), text);
                }
            }
        }
    }

    fn transport(&mut self, kind: &Kind) {
        let ports = [
            FieldId::TCP_SRC,
            FieldId::UDP_SRC,
            FieldId::SCTP_SRC,
            FieldId::ICMPV4_TYPE,
            FieldId::ICMPV6_TYPE,
        ];
        let source = self.first(&ports);
        let ports = [
            FieldId::TCP_DST,
            FieldId::UDP_DST,
            FieldId::SCTP_DST,
            FieldId::ICMPV4_CODE,
            FieldId::ICMPV6_CODE,
        ];
        let target = self.first(&ports);
        match (kind.ethertype, kind.protocol) {
            (ETHERTYPE_IPV4, Some(1)) => {
                self.decimal(source, "icmp_type");
                self.decimal(target, "icmp_code");
            }
            (ETHERTYPE_IPV6, Some(58)) => {
                self.decimal(source, "icmp_type");
                self.decimal(target, "icmp_code");
                self.ipv6(FieldId::ND_TARGET, "nd_target");
                self.ethernet_address(self.first(&[FieldId::ND_SLL, FieldId::ARP_SHA]), "nd_sll");
                self.ethernet_address(self.first(&[FieldId::ND_TLL, FieldId::ARP_THA]), "nd_tll");
                self.decimal_of(FieldId::ND_RESERVED);
                self.decimal_of(FieldId::ND_OPTIONS_TYPE);
            }
            _ => {
                self.decimal(source, "tp_src");
                self.decimal(target, "tp_dst");
            }
        }
        if let (ETHERTYPE_IPV4 | ETHERTYPE_IPV6, Some(6)) = (kind.ethertype, kind.protocol)
            && let Some((bits, mask)) = self.fields.get(FieldId::TCP_FLAGS)
        {
            self.term(
                "tcp_flags",
                flags::TCP.print_masked(bits.to_u64() as u32 & 0xfff, mask.to_u64() as u32 & 0xfff, 0xfff),
            );
        }
    }
}
