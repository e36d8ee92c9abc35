//! From a rule to expressions.
//!
//! Each match loads one value into the first register and compares it, so a rule reads as a list of
//! pairs and [`super::raise`] can undo it. Only the address family is checked once for all matches that
//! need it. Values of packets are in network order, what the kernel computes (marks, states, types) is
//! in host order.

use super::constants::{INET, IPV4, IPV6, base, cmp, ct, data_type, fib, meta, nat, numgen, reject, verdict};
use super::expression::{Expression, R0, Register, SetRef};
use super::set::{Content, name_octets};
use ipnet::IpNet;
use netloom_compile::object::Family;
use netloom_compile::object::firewall::{
    Action, AddressType, Addresses, Balance, CtState, CtStatus, Firewall, FirewallRule, Match, NatTarget,
    PortRange, PortSelector, Protocol, RejectWith, SetElements,
};
use netloom_wire::InterfaceName;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Registers of a translation: two addresses of up to 16 octets, two ports.
const ADDRESS_LOW: Register = 0;
const ADDRESS_HIGH: Register = 4;
const PORT_LOW: Register = 8;
const PORT_HIGH: Register = 12;

/// The bit of a connection state in the kernel (`NF_CT_STATE_BIT`).
pub(super) const fn state_bit(state: CtState) -> u32 {
    match state {
        CtState::Invalid => 1,
        CtState::Established => 2,
        CtState::Related => 4,
        CtState::New => 8,
        CtState::Untracked => 64,
    }
}

pub(super) const fn status_bit(status: CtStatus) -> u32 {
    match status {
        CtStatus::SeenReply => ct::SEEN_REPLY,
        CtStatus::Assured => ct::ASSURED,
        CtStatus::Snat => ct::SNAT,
        CtStatus::Dnat => ct::DNAT,
    }
}

pub(super) const fn address_type(address: AddressType) -> u32 {
    match address {
        AddressType::Unicast => fib::UNICAST,
        AddressType::Local => fib::LOCAL,
        AddressType::Broadcast => fib::BROADCAST,
        AddressType::Multicast => fib::MULTICAST,
    }
}

pub(super) const fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => IPV4,
        Family::V6 => IPV6,
    }
}

/// Where the addresses lie in the header: offsets of source and destination, length.
pub(super) const fn address_layout(family: Family) -> (u32, u32, u32) {
    match family {
        Family::V4 => (12, 16, 4),
        Family::V6 => (8, 24, 16),
    }
}

/// The family check of a table: what is loaded and what it must be.
pub(super) fn family_check(table: u8, family: Family) -> (u32, Vec<u8>) {
    if table == INET {
        (meta::NFPROTO, vec![nfproto(family)])
    } else {
        let ethertype: u16 = if family == Family::V4 { libc::ETH_P_IP } else { libc::ETH_P_IPV6 } as u16;
        (meta::PROTOCOL, ethertype.to_be_bytes().to_vec())
    }
}

/// The network mask of a prefix length in a field of `octets` octets.
fn mask(octets: usize, prefix: u8) -> Vec<u8> {
    (0..octets)
        .map(|index| {
            let bits = usize::from(prefix).saturating_sub(8 * index).min(8);
            !(0xff_u16 >> bits) as u8
        })
        .collect()
}

fn ip_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Writes one rule.
struct Writer<'a> {
    table: u8,
    firewall: &'a Firewall,
    expressions: Vec<Expression>,
    family: Option<Family>,
    icmp_type: u32,
}

/// The expressions of `rule`, which must be canonical and without faults, in a table of family `table`.
pub(super) fn lower(table: u8, firewall: &Firewall, rule: &FirewallRule) -> Vec<Expression> {
    let mut writer =
        Writer { table, firewall, expressions: Vec::new(), family: None, icmp_type: data_type::ICMP_TYPE };
    for condition in &rule.matches {
        writer.condition(condition);
    }
    writer.before_action(&rule.action);
    if rule.counter {
        writer.put(Expression::Counter { packets: 0, bytes: 0 });
    }
    if let Some(log) = &rule.log {
        writer.put(Expression::Log { prefix: log.prefix.to_string(), group: log.group });
    }
    writer.action(&rule.action);
    writer.expressions
}

impl Writer<'_> {
    fn put(&mut self, expression: Expression) {
        self.expressions.push(expression);
    }

    fn compare(&mut self, negated: bool, data: Vec<u8>) {
        let operation = if negated { cmp::NOT_EQUAL } else { cmp::EQUAL };
        self.put(Expression::Compare { from: R0, operation, data });
    }

    fn masked(&mut self, mask: Vec<u8>) {
        let xor = vec![0; mask.len()];
        self.put(Expression::Bitwise { from: R0, to: R0, mask, xor });
    }

    fn lookup(&mut self, negated: bool, set: SetRef) {
        self.put(Expression::Lookup { from: R0, set, negated, to: None });
    }

    fn need_family(&mut self, family: Family) {
        if self.family.replace(family) != Some(family) {
            let (key, data) = family_check(self.table, family);
            self.put(Expression::Meta { key, to: R0 });
            self.compare(false, data);
        }
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) {
        self.put(Expression::Payload { base, offset, length, to: R0 });
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::InputInterface { names, negated } => self.names(meta::INPUT_NAME, names, *negated),
            Match::OutputInterface { names, negated } => self.names(meta::OUTPUT_NAME, names, *negated),
            Match::Family(family) => self.need_family(*family),
            Match::Source { addresses, negated } => self.addresses(true, addresses, *negated),
            Match::Destination { addresses, negated } => self.addresses(false, addresses, *negated),
            Match::Protocol { protocols, negated } => {
                if protocols.contains(&Protocol::ICMPV6) {
                    self.icmp_type = data_type::ICMPV6_TYPE;
                }
                self.put(Expression::Meta { key: meta::L4PROTO, to: R0 });
                self.octets(data_type::PROTOCOL, protocols.iter().map(|protocol| protocol.0), *negated);
            }
            Match::SourcePort { ports, negated } => self.ports(0, ports, *negated),
            Match::DestinationPort { ports, negated } => self.ports(2, ports, *negated),
            Match::IcmpType { types } => {
                self.load(base::TRANSPORT, 0, 1);
                self.octets(self.icmp_type, types.iter().copied(), false);
            }
            Match::CtState { states, negated } => {
                let bits: u32 = states.iter().map(|state| state_bit(*state)).sum();
                self.put(Expression::Ct { key: ct::STATE, to: R0 });
                self.masked(bits.to_ne_bytes().to_vec());
                self.compare(!negated, vec![0; 4]);
            }
            Match::CtStatus { status, negated } => {
                self.put(Expression::Ct { key: ct::STATUS, to: R0 });
                self.masked(status_bit(*status).to_ne_bytes().to_vec());
                self.compare(!negated, vec![0; 4]);
            }
            Match::Mark { value, mask, negated } => {
                self.put(Expression::Meta { key: meta::MARK, to: R0 });
                if *mask != u32::MAX {
                    self.masked(mask.to_ne_bytes().to_vec());
                }
                self.compare(*negated, value.to_ne_bytes().to_vec());
            }
            Match::Dscp { family, dscp, negated } => {
                self.need_family(*family);
                let code = u16::from(dscp.get());
                if *family == Family::V4 {
                    self.load(base::NETWORK, 1, 1);
                    self.masked(vec![0xfc]);
                    self.compare(*negated, vec![(code << 2) as u8]);
                } else {
                    self.load(base::NETWORK, 0, 2);
                    self.masked(vec![0x0f, 0xc0]);
                    self.compare(*negated, (code << 6).to_be_bytes().to_vec());
                }
            }
            Match::SourceType { address, negated } => self.address_type(fib::BY_SOURCE, *address, *negated),
            Match::DestinationType { address, negated } => {
                self.address_type(fib::BY_DESTINATION, *address, *negated);
            }
            Match::Limit { rate, per, burst, over } => {
                let (rate, seconds, burst, over) = (*rate, per.seconds(), *burst, *over);
                self.put(Expression::Limit { rate, seconds, burst, over });
            }
            Match::Unknown(what) => self.put(Expression::Other(what.to_string())),
        }
    }

    fn names(&mut self, key: u32, names: &BTreeSet<InterfaceName>, negated: bool) {
        self.put(Expression::Meta { key, to: R0 });
        match names.first() {
            Some(name) if names.len() == 1 => self.compare(negated, name_octets(name)),
            _ => self.lookup(negated, SetRef::Anonymous(Content::Interfaces(names.clone()))),
        }
    }

    fn octets(&mut self, kind: u32, octets: impl Iterator<Item = u8>, negated: bool) {
        let octets: BTreeSet<u8> = octets.collect();
        match octets.first() {
            Some(octet) if octets.len() == 1 => self.compare(negated, vec![*octet]),
            _ => self.lookup(negated, SetRef::Anonymous(Content::Octets(kind, octets))),
        }
    }

    fn addresses(&mut self, source: bool, addresses: &Addresses, negated: bool) {
        let family = match addresses {
            Addresses::Set(name) => match self.firewall.set(name).map(|set| &set.elements) {
                Some(SetElements::V6(_)) => Family::V6,
                _ => Family::V4,
            },
            Addresses::V4(_) => Family::V4,
            Addresses::V6(_) => Family::V6,
        };
        self.need_family(family);
        let (source_at, destination_at, length) = address_layout(family);
        self.load(base::NETWORK, if source { source_at } else { destination_at }, length);
        match addresses {
            Addresses::Set(name) => self.lookup(negated, SetRef::Named(name.to_string())),
            Addresses::V4(list) => match list.as_slice() {
                [one] => self.prefix((*one).into(), negated),
                _ => self.lookup(negated, SetRef::Anonymous(Content::V4(list.clone()))),
            },
            Addresses::V6(list) => match list.as_slice() {
                [one] => self.prefix((*one).into(), negated),
                _ => self.lookup(negated, SetRef::Anonymous(Content::V6(list.clone()))),
            },
        }
    }

    fn prefix(&mut self, prefix: IpNet, negated: bool) {
        let octets = ip_octets(prefix.network());
        if prefix.prefix_len() < prefix.max_prefix_len() {
            self.masked(mask(octets.len(), prefix.prefix_len()));
        }
        self.compare(negated, octets);
    }

    fn ports(&mut self, offset: u32, ports: &PortSelector, negated: bool) {
        self.load(base::TRANSPORT, offset, 2);
        match ports {
            PortSelector::Set(name) => self.lookup(negated, SetRef::Named(name.to_string())),
            PortSelector::Of(list) => match list.as_slice() {
                [one] if one.first() == one.last() => {
                    self.compare(negated, one.first().to_be_bytes().to_vec())
                }
                [one] => {
                    let (low, high) = (one.first().to_be_bytes().to_vec(), one.last().to_be_bytes().to_vec());
                    self.put(Expression::Range { from: R0, negated, low, high });
                }
                _ => self.lookup(negated, SetRef::Anonymous(Content::Ports(list.clone()))),
            },
        }
    }

    fn address_type(&mut self, flags: u32, address: AddressType, negated: bool) {
        self.put(Expression::Fib { result: fib::ADDRESS_TYPE, flags, to: R0 });
        self.compare(negated, address_type(address).to_ne_bytes().to_vec());
    }

    /// A translation is of one family, so packets of the other one must not come to it.
    fn before_action(&mut self, action: &Action) {
        match action {
            Action::Snat { to, .. } | Action::Dnat { to } => self.need_family(Family::of(&to.first)),
            Action::SnatPrefix(prefix) | Action::DnatPrefix(prefix) => {
                self.need_family(Family::of(&prefix.addr()));
            }
            Action::Spread { to, .. } => {
                if let Some((address, _)) = to.first() {
                    self.need_family(Family::of(address));
                }
            }
            _ => {}
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Continue => {}
            Action::Accept => self.verdict(verdict::ACCEPT, None),
            Action::Drop => self.verdict(verdict::DROP, None),
            Action::Return => self.verdict(verdict::RETURN, None),
            Action::Jump(chain) => self.verdict(verdict::JUMP, Some(chain.to_string())),
            Action::Goto(chain) => self.verdict(verdict::GOTO, Some(chain.to_string())),
            Action::Reject(with) => {
                let (kind, code) = match with {
                    RejectWith::TcpReset => (reject::RESET, 0),
                    RejectWith::NoRoute => (reject::ICMPX, reject::NO_ROUTE),
                    RejectWith::PortUnreachable => (reject::ICMPX, reject::PORT),
                    RejectWith::HostUnreachable => (reject::ICMPX, reject::HOST),
                    RejectWith::AdminProhibited => (reject::ICMPX, reject::PROHIBITED),
                };
                self.put(Expression::Reject { kind, code });
            }
            Action::Masquerade { ports, random } => {
                let flags = if *random { nat::RANDOM_FULLY } else { 0 };
                let ports = self.load_ports(*ports);
                self.put(Expression::Masquerade { flags, ports });
            }
            Action::Redirect { ports } => {
                let ports = self.load_ports(*ports);
                self.put(Expression::Redirect { flags: 0, ports });
            }
            Action::Snat { to, random, persistent } => {
                let random = if *random { nat::RANDOM_FULLY } else { 0 };
                let persistent = if *persistent { nat::PERSISTENT } else { 0 };
                self.translate(nat::SOURCE, to, random | persistent);
            }
            Action::Dnat { to } => self.translate(nat::DESTINATION, to, 0),
            Action::SnatPrefix(prefix) => self.translate_prefix(nat::SOURCE, *prefix),
            Action::DnatPrefix(prefix) => self.translate_prefix(nat::DESTINATION, *prefix),
            Action::Spread { by, to } => self.spread(*by, to),
            Action::SetMark { value, mask: u32::MAX } => {
                self.put(Expression::Immediate { to: R0, data: value.to_ne_bytes().to_vec() });
                self.put(Expression::MetaSet { key: meta::MARK, from: R0 });
            }
            Action::SetMark { value, mask } => {
                let (mask, xor) = ((!mask).to_ne_bytes().to_vec(), value.to_ne_bytes().to_vec());
                self.put(Expression::Meta { key: meta::MARK, to: R0 });
                self.put(Expression::Bitwise { from: R0, to: R0, mask, xor });
                self.put(Expression::MetaSet { key: meta::MARK, from: R0 });
            }
            Action::Notrack => self.put(Expression::Notrack),
            Action::Unknown(what) => self.put(Expression::Other(what.to_string())),
        }
    }

    fn verdict(&mut self, code: i32, chain: Option<String>) {
        self.put(Expression::Verdict { code, chain });
    }

    fn load_ports(&mut self, ports: Option<PortRange>) -> Option<(Register, Register)> {
        let ports = ports?;
        self.put(Expression::Immediate { to: PORT_LOW, data: ports.first().to_be_bytes().to_vec() });
        if ports.first() == ports.last() {
            return Some((PORT_LOW, PORT_LOW));
        }
        self.put(Expression::Immediate { to: PORT_HIGH, data: ports.last().to_be_bytes().to_vec() });
        Some((PORT_LOW, PORT_HIGH))
    }

    fn load_address(&mut self, to: Register, address: IpAddr) {
        self.put(Expression::Immediate { to, data: ip_octets(address) });
    }

    fn translate(&mut self, kind: u32, to: &NatTarget, flags: u32) {
        self.load_address(ADDRESS_LOW, to.first);
        let mut addresses = (ADDRESS_LOW, ADDRESS_LOW);
        if to.last != to.first {
            self.load_address(ADDRESS_HIGH, to.last);
            addresses.1 = ADDRESS_HIGH;
        }
        let ports = self.load_ports(to.ports);
        let family = u32::from(nfproto(Family::of(&to.first)));
        self.put(Expression::Nat { kind, family, addresses, ports, flags });
    }

    fn translate_prefix(&mut self, kind: u32, prefix: IpNet) {
        self.load_address(ADDRESS_LOW, prefix.network());
        self.load_address(ADDRESS_HIGH, prefix.broadcast());
        let family = u32::from(nfproto(Family::of(&prefix.addr())));
        let addresses = (ADDRESS_LOW, ADDRESS_HIGH);
        self.put(Expression::Nat { kind, family, addresses, ports: None, flags: nat::NETMAP });
    }

    fn spread(&mut self, by: Balance, to: &[(IpAddr, Option<u16>)]) {
        let Some((address, port)) = to.first() else { return };
        let family = Family::of(address);
        let modulus = to.len() as u32;
        let (source_at, _, length) = address_layout(family);
        match by {
            Balance::RoundRobin => {
                self.put(Expression::Numgen { kind: numgen::INCREMENTAL, modulus, to: R0 })
            }
            Balance::Random => self.put(Expression::Numgen { kind: numgen::RANDOM, modulus, to: R0 }),
            Balance::Source => {
                self.load(base::NETWORK, source_at, length);
                self.put(Expression::Hash { from: R0, length, modulus, to: R0 });
            }
        }
        let set = SetRef::Anonymous(Content::Targets(to.to_vec()));
        self.put(Expression::Lookup { from: R0, set, negated: false, to: Some(ADDRESS_LOW) });
        // In the map's data the port follows the address.
        let ports = port.map(|_| (length / 4, length / 4));
        let family = u32::from(nfproto(family));
        let addresses = (ADDRESS_LOW, ADDRESS_LOW);
        self.put(Expression::Nat { kind: nat::DESTINATION, family, addresses, ports, flags: 0 });
    }
}
