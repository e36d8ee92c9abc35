//! Which packets a flow is for.

use netloom_mem::PortNumber;
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How much is said.
pub(crate) struct Style<'a> {
    /// Also what does not matter, with an empty mask.
    pub(crate) verbose: bool,
    /// How a port is called.
    pub(crate) port: &'a dyn Fn(PortNumber) -> String,
}

/// How a part is written.
#[derive(Clone, Copy)]
enum How {
    Decimal,
    Hex,
    Ipv4,
    Mac,
    TcpFlags,
}

/// A field, or some bits of one: name, field, shift, bits, how.
type Part = (&'static str, Field, u32, u32, How);

const fn whole(name: &'static str, field: Field, how: How) -> Part {
    (name, field, 0, field.bits(), how)
}

const ETH: &[Part] = &[whole("src", Field::ETH_SRC, How::Mac), whole("dst", Field::ETH_DST, How::Mac)];
const VLAN: &[Part] =
    &[("vid", Field::VLAN_TCI, 0, 12, How::Decimal), ("pcp", Field::VLAN_TCI, 13, 3, How::Decimal)];
const INNER: &[Part] =
    &[("vid", Field::INNER_TCI, 0, 12, How::Decimal), ("pcp", Field::INNER_TCI, 13, 3, How::Decimal)];
const IPV4: &[Part] = &[
    whole("src", Field::IP4_SRC, How::Ipv4),
    whole("dst", Field::IP4_DST, How::Ipv4),
    whole("proto", Field::IP_PROTO, How::Decimal),
    whole("tos", Field::IP_TOS, How::Hex),
    whole("ttl", Field::IP_TTL, How::Decimal),
];
const IPV6: &[Part] = &[
    ("label", Field::IP6_LABEL, 0, 20, How::Hex),
    whole("proto", Field::IP_PROTO, How::Decimal),
    whole("tclass", Field::IP_TOS, How::Hex),
    whole("hlimit", Field::IP_TTL, How::Decimal),
];
const PORTS: &[Part] =
    &[whole("src", Field::TP_SRC, How::Decimal), whole("dst", Field::TP_DST, How::Decimal)];
const ICMP: &[Part] =
    &[whole("type", Field::TP_SRC, How::Decimal), whole("code", Field::TP_DST, How::Decimal)];
const ARP: &[Part] = &[
    whole("sip", Field::IP4_SRC, How::Ipv4),
    whole("tip", Field::IP4_DST, How::Ipv4),
    whole("op", Field::IP_PROTO, How::Decimal),
    whole("sha", Field::ARP_SHA, How::Mac),
    whole("tha", Field::ARP_THA, How::Mac),
];
const ND: &[Part] = &[whole("sll", Field::ARP_SHA, How::Mac), whole("tll", Field::ARP_THA, How::Mac)];
const FLAGS: &[Part] = &[("", Field::TCP_FLAGS, 0, 12, How::TcpFlags)];
const MPLS: &[Part] = &[
    ("label", Field::MPLS_OUTER, 12, 20, How::Decimal),
    ("tc", Field::MPLS_OUTER, 9, 3, How::Decimal),
    ("ttl", Field::MPLS_OUTER, 0, 8, How::Decimal),
    ("bos", Field::MPLS_OUTER, 8, 1, How::Decimal),
];
const CT_TUPLE: &[Part] = &[
    whole("src", Field::CT_SRC, How::Ipv4),
    whole("dst", Field::CT_DST, How::Ipv4),
    whole("proto", Field::CT_PROTO, How::Decimal),
    whole("tp_src", Field::CT_TP_SRC, How::Decimal),
    whole("tp_dst", Field::CT_TP_DST, How::Decimal),
];

fn mac(number: u64) -> MacAddr {
    let [_, _, octets @ ..] = number.to_be_bytes();
    MacAddr::new(octets)
}

/// Names of TCP's flags, from the least significant bit.
pub(super) const TCP_FLAGS: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
/// Names of `ct_state`'s bits.
pub(super) const CT_STATE: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];

fn flags(names: &[&str], value: u64, mask: u64, whole: bool) -> String {
    let bits = |signed: bool| -> Vec<String> {
        let all = names.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
        all.filter(|(bit, _)| signed || value >> bit & 1 == 1)
            .map(|(bit, name)| match signed {
                true => format!("{}{name}", if value >> bit & 1 == 1 { '+' } else { '-' }),
                false => (*name).to_owned(),
            })
            .collect()
    };
    match whole {
        true if value == 0 => "0".to_owned(),
        true => bits(false).join("|"),
        false => bits(true).concat(),
    }
}

fn number(how: How, value: u64, mask: u64, ones: u64, verbose: bool) -> Option<String> {
    if mask == 0 && !verbose {
        return None;
    }
    let exact = mask == ones;
    Some(match how {
        How::Decimal if exact => value.to_string(),
        How::Decimal if mask == 0 => format!("{value}/0"),
        How::Decimal => format!("{value}/{mask:#x}"),
        How::Hex if exact => hex(value),
        How::Hex => format!("{}/{}", hex(value), hex(mask)),
        How::Mac if exact => mac(value).to_string(),
        How::Mac => format!("{}/{}", mac(value), mac(mask)),
        How::Ipv4 if exact => Ipv4Addr::from(value as u32).to_string(),
        How::Ipv4 => format!("{}/{}", Ipv4Addr::from(value as u32), Ipv4Addr::from(mask as u32)),
        How::TcpFlags => flags(&TCP_FLAGS, value, mask, exact),
    })
}

fn hex(value: u64) -> String {
    if value == 0 { "0".to_owned() } else { format!("{value:#x}") }
}

struct Printer<'a> {
    key: &'a Key,
    mask: &'a Mask,
    verbose: bool,
    words: Vec<String>,
}

impl Printer<'_> {
    fn parts(&self, parts: &[Part]) -> Vec<String> {
        let part = |(name, field, shift, bits, how): &Part| {
            let ones = if *bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            let (value, mask) = (self.key.get(*field) >> shift & ones, self.mask.get(*field) >> shift & ones);
            let text = number(*how, value, mask, ones, self.verbose)?;
            Some(if name.is_empty() { text } else { format!("{name}={text}") })
        };
        parts.iter().filter_map(part).collect()
    }

    fn group(&mut self, name: &str, parts: &[Part], more: &[String]) {
        let mut all = self.parts(parts);
        all.extend_from_slice(more);
        if !all.is_empty() {
            self.words.push(format!("{name}({})", all.join(",")));
        }
    }

    /// A field on its own.
    fn single(&mut self, name: &str, field: Field, how: How) {
        let mask = self.mask.get(field);
        if let Some(text) = number(how, self.key.get(field), mask, field.ones(), self.verbose) {
            self.words.push(format!("{name}({text})"));
        }
    }

    fn ipv6(&self, name: &str, high: Field, low: Field) -> Option<String> {
        let of = |get: &dyn Fn(Field) -> u64| u128::from(get(high)) << 64 | u128::from(get(low));
        let (value, mask) = (of(&|field| self.key.get(field)), of(&|field| self.mask.get(field)));
        let address = Ipv6Addr::from(value);
        match mask {
            0 if !self.verbose => None,
            u128::MAX => Some(format!("{name}={address}")),
            _ => Some(format!("{name}={address}/{}", Ipv6Addr::from(mask))),
        }
    }

    fn metadata(&mut self, style: &Style<'_>) {
        self.single("skb_mark", Field::PKT_MARK, How::Hex);
        let (state, mask) = (self.key.get(Field::CT_STATE), self.mask.get(Field::CT_STATE));
        if mask & 0xff != 0 {
            self.words.push(format!("ct_state({})", flags(&CT_STATE, state, mask, false)));
        } else if self.verbose {
            self.words.push("ct_state(0/0)".to_owned());
        }
        self.single("ct_zone", Field::CT_ZONE, How::Hex);
        self.single("ct_mark", Field::CT_MARK, How::Hex);
        let label = |get: &dyn Fn(Field) -> u64| {
            u128::from(get(Field::CT_LABEL_HIGH)) << 64 | u128::from(get(Field::CT_LABEL_LOW))
        };
        let (value, mask) = (label(&|field| self.key.get(field)), label(&|field| self.mask.get(field)));
        match mask {
            0 if self.verbose => self.words.push("ct_label(0/0)".to_owned()),
            0 => {}
            u128::MAX => self.words.push(format!("ct_label({value:#x})")),
            _ => self.words.push(format!("ct_label({value:#x}/{mask:#x})")),
        }
        if CT_TUPLE.iter().any(|(_, field, ..)| self.mask.get(*field) != 0) {
            self.group("ct_tuple4", CT_TUPLE, &[]);
        }
        self.words.push(format!("recirc_id({})", hex(self.key.get(Field::RECIRCULATION))));
        self.single("dp_hash", Field::DP_HASH, How::Hex);
        if self.mask.get(Field::TUN_DST) != 0 || self.mask.get(Field::TUN_ID) != 0 {
            self.tunnel();
        }
        self.words.push(format!("in_port({})", (style.port)(self.key.get(Field::IN_PORT) as PortNumber)));
        self.words.push("packet_type(ns=0,id=0)".to_owned());
    }

    fn tunnel(&mut self) {
        const TUNNEL: &[Part] = &[
            whole("tun_id", Field::TUN_ID, How::Hex),
            whole("src", Field::TUN_SRC, How::Ipv4),
            whole("dst", Field::TUN_DST, How::Ipv4),
            whole("tos", Field::TUN_TOS, How::Hex),
            whole("ttl", Field::TUN_TTL, How::Decimal),
        ];
        self.group("tunnel", TUNNEL, &[]);
    }

    /// The network layer and what is in it.
    fn network(&mut self) {
        let ether_type = self.key.get(Field::ETH_TYPE);
        let protocol = self.key.get(Field::IP_PROTO);
        let matters = |field: Field| self.mask.get(field) != 0;
        let inside = [Field::TP_SRC, Field::TP_DST, Field::TCP_FLAGS].iter().any(|field| matters(*field));
        let frag = match self.key.get(Field::IP_FRAG) {
            0 => "frag=no",
            1 => "frag=first",
            _ => "frag=later",
        };
        match ether_type {
            0x0800 => self.group("ipv4", IPV4, &[frag.to_owned()]),
            0x86dd => {
                let mut more = vec![
                    self.ipv6("src", Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW),
                    self.ipv6("dst", Field::IP6_DST_HIGH, Field::IP6_DST_LOW),
                ];
                more.extend(self.parts(IPV6).into_iter().map(Some));
                more.push(Some(frag.to_owned()));
                let all: Vec<String> = more.into_iter().flatten().collect();
                self.words.push(format!("ipv6({})", all.join(",")));
            }
            0x0806 | 0x8035 => return self.group("arp", ARP, &[]),
            0x8847 | 0x8848 => return self.group("mpls", MPLS, &[]),
            _ => return,
        }
        if frag == "frag=later" || !(inside || self.verbose) {
            return;
        }
        match (ether_type, protocol) {
            (_, 6) => {
                self.group("tcp", PORTS, &[]);
                self.group("tcp_flags", FLAGS, &[]);
            }
            (_, 17) => self.group("udp", PORTS, &[]),
            (_, 132) => self.group("sctp", PORTS, &[]),
            (0x0800, 1) => self.group("icmp", ICMP, &[]),
            (0x86dd, 58) => {
                self.group("icmpv6", ICMP, &[]);
                let target = self.ipv6("target", Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW);
                if self.mask.get(Field::ND_TARGET_LOW) != 0
                    && matches!(self.key.get(Field::TP_SRC), 135 | 136)
                {
                    let mut all: Vec<String> = target.into_iter().collect();
                    all.extend(self.parts(ND));
                    self.words.push(format!("nd({})", all.join(",")));
                }
            }
            _ => {}
        }
    }
}

/// Which packets a flow is for.
pub(crate) fn flow(key: &Key, mask: &Mask, style: &Style<'_>) -> String {
    let mut printer = Printer { key, mask, verbose: style.verbose, words: Vec::new() };
    if style.verbose {
        printer.words.push("skb_priority(0/0)".to_owned());
    }
    printer.metadata(style);
    printer.group("eth", ETH, &[]);
    let mut depth = 0;
    for (tpid, parts) in [(Field::VLAN_TPID, VLAN), (Field::INNER_TPID, INNER)] {
        let tag = key.get(tpid);
        if tag == 0 {
            break;
        }
        let matters = parts.iter().any(|(_, field, ..)| mask.get(*field) != 0) || mask.get(tpid) != 0;
        if !matters && !style.verbose {
            break;
        }
        depth += 1;
        printer.words.push(format!("eth_type({tag:#06x})"));
        printer.group("vlan", parts, &[]);
        printer.words.push("encap(".to_owned());
    }
    if mask.get(Field::ETH_TYPE) != 0 {
        printer.words.push(format!("eth_type({:#06x})", key.get(Field::ETH_TYPE)));
    }
    printer.network();
    let text = printer.words.join(",").replace("encap(,", "encap(");
    format!("{text}{}", ")".repeat(depth))
}
