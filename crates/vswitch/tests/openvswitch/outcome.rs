//! What a program does to a packet: which copies leave, by which port, and what they look like. Programs of ours and texts
//! of Open vSwitch come to the same form.

use netloom_nf::{Action as Step, Program};
use netloom_table::{Field, Key};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A copy that left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Out {
    /// The port, by OpenFlow's number; none for the controllers.
    pub(crate) port: Option<u16>,
    /// Octets at most.
    pub(crate) most: Option<u32>,
    /// The fields that are not zero.
    pub(crate) fields: BTreeMap<&'static str, u64>,
    /// It is not as it came.
    pub(crate) changed: bool,
    /// A step that this test does not know.
    pub(crate) stray: Option<String>,
}

struct Machine {
    first: Key,
    key: Key,
    most: Option<u32>,
    out: Vec<Out>,
}

impl Machine {
    fn new(key: &Key) -> Self {
        Self { first: key.clone(), key: key.clone(), most: None, out: Vec::new() }
    }

    fn leave(&mut self, port: Option<u16>) {
        let hidden = [Field::IN_PORT, Field::RECIRCULATION];
        let fields = Field::ALL
            .iter()
            .filter(|field| !hidden.contains(field) && self.key.get(**field) != 0)
            .map(|field| (field.name(), self.key.get(*field)))
            .collect();
        let changed = Field::ALL.iter().any(|field| self.key.get(*field) != self.first.get(*field));
        self.out.push(Out { port, most: self.most.take(), fields, changed, stray: None });
    }

    fn stray(&mut self, text: String) {
        self.out.push(Out {
            port: None,
            most: None,
            fields: BTreeMap::new(),
            changed: false,
            stray: Some(text),
        });
    }

    fn push(&mut self, tpid: u64, tci: u64) {
        let word = Field::VLAN_TPID.word();
        self.key.set_word(word, self.key.word(word) >> 32 | (tpid << 16 | tci) << 32);
    }

    fn pop(&mut self) {
        let word = Field::VLAN_TPID.word();
        self.key.set_word(word, self.key.word(word) << 32);
    }

    fn run(&mut self, program: &Program) {
        for step in program.actions() {
            match step {
                Step::Output(port) => self.leave(Some(*port as u16)),
                Step::PushVlan { tpid, tci } => self.push(u64::from(*tpid), u64::from(*tci)),
                Step::PopVlan => self.pop(),
                Step::SetVlan(tci) => self.key.set(Field::VLAN_TCI, u64::from(*tci)),
                Step::Set(rewrite) => {
                    for write in rewrite.writes() {
                        let value = self.key.get(write.field) & !write.mask | write.value & write.mask;
                        self.key.set(write.field, value);
                    }
                }
                Step::Truncate(most) => self.most = Some(*most),
                Step::Punt(_) => self.leave(None),
                Step::Clone(program) => {
                    let before = self.key.clone();
                    self.run(program);
                    self.key = before;
                }
                other => self.stray(format!("{other:?}")),
            }
        }
    }

    fn run_text(&mut self, text: &str, ports: &BTreeMap<u32, u16>) {
        for (name, inside) in pieces(text) {
            if let Ok(number) = name.parse::<u32>() {
                self.leave(Some(ports[&number]));
                continue;
            }
            match name {
                "drop" => {}
                "pop_vlan" => self.pop(),
                "push_vlan" => {
                    let fields = fields(inside);
                    let get = |name: &str| {
                        fields.iter().find(|(key, ..)| *key == name).map_or(0, |(_, value, _)| number(value))
                    };
                    let tpid = if inside.contains("tpid") { get("tpid") } else { 0x8100 };
                    self.push(tpid, get("pcp") << 13 | get("vid"));
                }
                "trunc" => self.most = inside.parse().ok(),
                "userspace" => self.leave(None),
                "clone" => {
                    let before = self.key.clone();
                    self.run_text(inside, ports);
                    self.key = before;
                }
                "set" => {
                    for (header, inside) in pieces(inside) {
                        self.set(header, inside);
                    }
                }
                other => self.stray(format!("{other}({inside})")),
            }
        }
    }

    fn set(&mut self, header: &str, inside: &str) {
        if header == "skb_mark" {
            let (value, mask) =
                inside.split_once('/').map_or((inside, u64::MAX), |(value, mask)| (value, number(mask)));
            let value = self.key.get(Field::PKT_MARK) & !mask | number(value) & mask;
            self.key.set(Field::PKT_MARK, value);
            return;
        }
        for (name, value, mask) in fields(inside) {
            let whole = |text: Option<&str>| text.map_or(u64::MAX, number);
            let field = match (header, name) {
                ("eth", "src") => Field::ETH_SRC,
                ("eth", "dst") => Field::ETH_DST,
                ("ipv4", "src") | ("arp", "sip") => Field::IP4_SRC,
                ("ipv4", "dst") | ("arp", "tip") => Field::IP4_DST,
                ("ipv4", "tos") | ("ipv6", "tclass") => Field::IP_TOS,
                ("ipv4", "ttl") | ("ipv6", "hlimit") => Field::IP_TTL,
                ("tcp" | "udp" | "sctp", "src") => Field::TP_SRC,
                ("tcp" | "udp" | "sctp", "dst") => Field::TP_DST,
                ("arp", "op") => Field::IP_PROTO,
                ("arp", "sha") => Field::ARP_SHA,
                ("arp", "tha") => Field::ARP_THA,
                ("ipv6", "src" | "dst") => {
                    let fields = if name == "src" {
                        [Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW]
                    } else {
                        [Field::IP6_DST_HIGH, Field::IP6_DST_LOW]
                    };
                    let six = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
                    let (value, mask) = (six(value), mask.map_or(u128::MAX, six));
                    for (field, shift) in fields.into_iter().zip([64, 0]) {
                        let (value, mask) = ((value >> shift) as u64, (mask >> shift) as u64);
                        self.key.set(field, self.key.get(field) & !mask | value & mask);
                    }
                    continue;
                }
                // The protocol is named, not set.
                ("ipv4" | "ipv6", "proto" | "frag" | "label") => continue,
                other => {
                    self.stray(format!("{other:?}={value}"));
                    continue;
                }
            };
            let mask = whole(mask);
            self.key.set(field, self.key.get(field) & !mask | number(value) & mask);
        }
    }
}

/// What a program does.
pub(crate) fn of_program(key: &Key, program: &Program) -> Vec<Out> {
    let mut machine = Machine::new(key);
    machine.run(program);
    sorted(machine.out)
}

/// Copies in an order of their own: Open vSwitch floods in that of a hash table.
fn sorted(mut out: Vec<Out>) -> Vec<Out> {
    out.sort();
    out
}

/// What actions do that Open vSwitch wrote.
pub(crate) fn of_text(key: &Key, text: &str, ports: &BTreeMap<u32, u16>) -> Vec<Out> {
    let mut machine = Machine::new(key);
    machine.run_text(text, ports);
    sorted(machine.out)
}

/// The parts of a list, each with what it has in parentheses.
fn pieces(text: &str) -> Vec<(&str, &str)> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    let split = |part: &'_ str| -> Option<(usize, usize)> { Some((part.find('(')?, part.rfind(')')?)) };
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| split(part).map_or((part, ""), |(open, close)| (&part[..open], &part[open + 1..close])))
        .collect()
}

/// `a=b/c` of a list.
fn fields(text: &str) -> Vec<(&str, &str, Option<&str>)> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| match value.split_once('/') {
            Some((value, mask)) => (name, value, Some(mask)),
            None => (name, value, None),
        })
        .collect()
}

/// A number, an Ethernet address or an IPv4 address.
fn number(text: &str) -> u64 {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).unwrap();
    }
    if text.contains(':') {
        return text.split(':').fold(0, |all, part| all << 8 | u64::from_str_radix(part, 16).unwrap());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return u64::from(address.to_bits());
    }
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}
