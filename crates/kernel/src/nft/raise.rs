//! From expressions back to a rule: the opposite of [`super::lower`].
//!
//! Whatever does not read as something that `lower` could have written becomes `Unknown`, which differs
//! from every desired rule. `raise . lower = canonical` is a property test.

use super::constants::{IP, IP6, base, cmp, ct, fib, meta, nat, numgen, reject, verdict};
use super::expression::{Expression, R0, Register, SetRef};
use super::lower::{address_layout, address_type, family_check, nfproto, state_bit, status_bit};
use super::set::{Content, octets_name};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_compile::object::Family;
use netloom_compile::object::firewall::{
    Action, AddressType, Addresses, Balance, CtState, CtStatus, FirewallRule, LimitPeriod, Log, Match,
    NatTarget, PortRange, PortSelector, Ports, Protocol, RejectWith,
};
use netloom_wire::Dscp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Tells what a named set holds, as far as it can be compared with.
pub(super) trait Sets {
    /// The family of a set of addresses.
    fn family(&self, name: &str) -> Option<Family>;
}

struct Reader<'a, S> {
    table: u8,
    sets: &'a S,
    rest: &'a [Expression],
    family: Option<Family>,
}

/// Reads the expressions of a rule in a table of family `table`. Name and origin are left out.
pub(super) fn raise(table: u8, sets: &impl Sets, expressions: &[Expression]) -> FirewallRule {
    // In a table of one family nobody asks for it.
    let family = match table {
        IP => Some(Family::V4),
        IP6 => Some(Family::V6),
        _ => None,
    };
    let mut reader = Reader { table, sets, rest: expressions, family };
    let mut rule = FirewallRule::new(Action::Continue);
    while let Some(condition) = reader.condition() {
        rule.matches.push(condition);
    }
    if let [Expression::Counter { .. }, rest @ ..] = reader.rest {
        rule.counter = true;
        reader.rest = rest;
    }
    if let [Expression::Log { prefix, group }, rest @ ..] = reader.rest {
        rule.log = Some(Log { prefix: prefix.as_str().into(), group: *group });
        reader.rest = rest;
    }
    rule.action = reader.action().unwrap_or_else(|| Action::Unknown(unknown(reader.rest).into()));
    rule.canonical()
}

/// The names of what is not understood.
fn unknown(expressions: &[Expression]) -> String {
    let names: Vec<&str> = expressions.iter().map(Expression::name).collect();
    format!("unknown expressions: {}", names.join(" "))
}

/// A comparison of the first register for being equal or not.
fn comparison(expression: &Expression) -> Option<(bool, &[u8])> {
    match expression {
        Expression::Compare { from: R0, operation: cmp::EQUAL, data } => Some((false, data)),
        Expression::Compare { from: R0, operation: cmp::NOT_EQUAL, data } => Some((true, data)),
        _ => None,
    }
}

fn word(octets: &[u8]) -> Option<u32> {
    octets.try_into().ok().map(u32::from_ne_bytes)
}

fn half(octets: &[u8]) -> Option<u16> {
    octets.try_into().ok().map(u16::from_be_bytes)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// The length of a network mask; `None` when its ones are not all at the beginning.
fn prefix_length(mask: &[u8]) -> Option<u8> {
    let ones: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let total: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let leading = mask.iter().take_while(|octet| **octet == 0xff).count() as u32 * 8;
    let contiguous = leading + mask.get(leading as usize / 8).map_or(0, |octet| octet.leading_ones());
    if ones == total && contiguous == total { u8::try_from(total).ok() } else { None }
}

impl<'a, S: Sets> Reader<'a, S> {
    /// Reads one match, or nothing and leaves the rest for the action.
    fn condition(&mut self) -> Option<Match> {
        let (load, rest) = self.rest.split_first()?;
        let (condition, used) = match load {
            Expression::Meta { key, to: R0 } => self.meta(*key, rest)?,
            Expression::Payload { base: base::NETWORK, offset, length, to: R0 } => {
                self.network(*offset, *length, rest)?
            }
            Expression::Payload { base: base::TRANSPORT, offset, length, to: R0 } => {
                transport(*offset, *length, rest)?
            }
            Expression::Ct { key, to: R0 } => (connection(*key, rest)?, 2),
            Expression::Fib { result: fib::ADDRESS_TYPE, flags, to: R0 } => (routed(*flags, rest)?, 1),
            Expression::Limit { rate, seconds, burst, over } => {
                let per = LimitPeriod::ALL.into_iter().find(|period| period.seconds() == *seconds)?;
                (Match::Limit { rate: *rate, per, burst: *burst, over: *over }, 0)
            }
            _ => return None,
        };
        self.rest = rest.get(used..)?;
        Some(condition)
    }

    fn meta(&mut self, key: u32, rest: &[Expression]) -> Option<(Match, usize)> {
        if matches!(key, meta::NFPROTO | meta::PROTOCOL) {
            let (false, data) = comparison(rest.first()?)? else { return None };
            let family = [Family::V4, Family::V6]
                .into_iter()
                .find(|family| family_check(self.table, *family) == (key, data.to_vec()))?;
            // A second, other family would be a rule that never matches.
            if self.family.replace(family).is_some_and(|before| before != family) {
                return None;
            }
            return Some((Match::Family(family), 1));
        }
        match key {
            meta::INPUT_NAME | meta::OUTPUT_NAME => {
                let (names, negated) = match rest.first()? {
                    Expression::Lookup {
                        from: R0,
                        set: SetRef::Anonymous(Content::Interfaces(names)),
                        negated,
                        to: None,
                    } => (names.clone(), *negated),
                    other => {
                        let (negated, data) = comparison(other)?;
                        (BTreeSet::from([octets_name(data)?]), negated)
                    }
                };
                let condition = if key == meta::INPUT_NAME {
                    Match::InputInterface { names, negated }
                } else {
                    Match::OutputInterface { names, negated }
                };
                Some((condition, 1))
            }
            meta::L4PROTO => {
                let (octets, negated) = octets(rest.first()?)?;
                let protocols = octets.into_iter().map(Protocol).collect();
                Some((Match::Protocol { protocols, negated }, 1))
            }
            meta::MARK => match rest {
                [Expression::Bitwise { from: R0, to: R0, mask, xor }, test, ..] if word(xor) == Some(0) => {
                    let (negated, data) = comparison(test)?;
                    Some((Match::Mark { value: word(data)?, mask: word(mask)?, negated }, 2))
                }
                [test, ..] => {
                    let (negated, data) = comparison(test)?;
                    Some((Match::Mark { value: word(data)?, mask: u32::MAX, negated }, 1))
                }
                [] => None,
            },
            _ => None,
        }
    }

    /// Fields of the IP header; what they mean depends on the family that was checked before.
    fn network(&self, offset: u32, length: u32, rest: &[Expression]) -> Option<(Match, usize)> {
        let family = self.family?;
        let (source_at, destination_at, address_length) = address_layout(family);
        if length == address_length && (offset == source_at || offset == destination_at) {
            let (addresses, negated, used) = self.addresses(family, rest)?;
            let condition = if offset == source_at {
                Match::Source { addresses, negated }
            } else {
                Match::Destination { addresses, negated }
            };
            return Some((condition, used));
        }
        let [Expression::Bitwise { from: R0, to: R0, mask, xor }, test, ..] = rest else { return None };
        let (negated, data) = comparison(test)?;
        let code = match (family, offset, length, mask.as_slice(), xor.as_slice(), data) {
            (Family::V4, 1, 1, [0xfc], [0], [value]) if value & 3 == 0 => value >> 2,
            (Family::V6, 0, 2, [0x0f, 0xc0], [0, 0], _) => {
                let value = half(data)?;
                if value & !0x0fc0 != 0 {
                    return None;
                }
                (value >> 6) as u8
            }
            _ => return None,
        };
        let dscp = Dscp::try_from(u64::from(code)).ok()?;
        Some((Match::Dscp { family, dscp, negated }, 2))
    }

    fn addresses(&self, family: Family, rest: &[Expression]) -> Option<(Addresses, bool, usize)> {
        if let [Expression::Lookup { from: R0, set, negated, to: None }, ..] = rest {
            let addresses = match (set, family) {
                (SetRef::Named(name), _) if self.sets.family(name) == Some(family) => {
                    Addresses::Set(name.as_str().into())
                }
                (SetRef::Anonymous(Content::V4(list)), Family::V4) => Addresses::V4(list.clone()),
                (SetRef::Anonymous(Content::V6(list)), Family::V6) => Addresses::V6(list.clone()),
                _ => return None,
            };
            return Some((addresses, *negated, 1));
        }
        let (length, test, used) = match rest {
            [Expression::Bitwise { from: R0, to: R0, mask, xor }, test, ..]
                if xor.iter().all(|octet| *octet == 0) =>
            {
                (Some(prefix_length(mask)?), test, 2)
            }
            [test, ..] => (None, test, 1),
            [] => return None,
        };
        let (negated, data) = comparison(test)?;
        let addresses = match (ip(data)?, family) {
            (IpAddr::V4(address), Family::V4) => {
                let net = Ipv4Net::new(address, length.unwrap_or(32)).ok()?;
                if net.trunc() != net {
                    return None;
                }
                Addresses::V4([net].into_iter().collect())
            }
            (IpAddr::V6(address), Family::V6) => {
                let net = Ipv6Net::new(address, length.unwrap_or(128)).ok()?;
                if net.trunc() != net {
                    return None;
                }
                Addresses::V6([net].into_iter().collect())
            }
            _ => return None,
        };
        Some((addresses, negated, used))
    }

    /// What is left, all of it, as an action.
    fn action(&mut self) -> Option<Action> {
        let rest = self.rest;
        Some(match rest {
            [] => Action::Continue,
            [Expression::Verdict { code, chain }] => match (*code, chain) {
                (verdict::ACCEPT, None) => Action::Accept,
                (verdict::DROP, None) => Action::Drop,
                (verdict::RETURN, None) => Action::Return,
                (verdict::JUMP, Some(chain)) => Action::Jump(chain.as_str().into()),
                (verdict::GOTO, Some(chain)) => Action::Goto(chain.as_str().into()),
                _ => return None,
            },
            [Expression::Reject { kind, code }] => Action::Reject(match (*kind, *code) {
                (reject::RESET, _) => RejectWith::TcpReset,
                (reject::ICMPX, reject::NO_ROUTE) => RejectWith::NoRoute,
                (reject::ICMPX, reject::PORT) => RejectWith::PortUnreachable,
                (reject::ICMPX, reject::HOST) => RejectWith::HostUnreachable,
                (reject::ICMPX, reject::PROHIBITED) => RejectWith::AdminProhibited,
                _ => return None,
            }),
            [Expression::Notrack] => Action::Notrack,
            [Expression::Immediate { to: R0, data }, Expression::MetaSet { key: meta::MARK, from: R0 }] => {
                Action::SetMark { value: word(data)?, mask: u32::MAX }
            }
            [
                Expression::Meta { key: meta::MARK, to: R0 },
                Expression::Bitwise { from: R0, to: R0, mask, xor },
                Expression::MetaSet { key: meta::MARK, from: R0 },
            ] => {
                let (value, mask) = (word(xor)?, !word(mask)?);
                if value & !mask != 0 {
                    return None;
                }
                Action::SetMark { value, mask }
            }
            _ => return self.translation(),
        })
    }

    /// Immediate values in registers, and what uses them.
    fn translation(&self) -> Option<Action> {
        let mut rest = self.rest;
        let mut registers: BTreeMap<Register, &[u8]> = BTreeMap::new();
        while let [Expression::Immediate { to, data }, next @ ..] = rest {
            registers.insert(*to, data);
            rest = next;
        }
        let ports = |pair: Option<(Register, Register)>| -> Option<Option<PortRange>> {
            let Some((low, high)) = pair else { return Some(None) };
            let (low, high) = (half(registers.get(&low)?)?, half(registers.get(&high)?)?);
            if low <= high { Some(Some(PortRange::new(low, high))) } else { None }
        };
        // The kernel adds these two by itself.
        let flags_of = |flags: u32| flags & !(nat::MAP_ADDRESSES | nat::PORTS_GIVEN);
        match rest {
            [Expression::Masquerade { flags, ports: pair }] => {
                let random = match flags_of(*flags) {
                    0 => false,
                    nat::RANDOM_FULLY => true,
                    _ => return None,
                };
                Some(Action::Masquerade { ports: ports(*pair)?, random })
            }
            [Expression::Redirect { flags, ports: pair }] if flags_of(*flags) == 0 => {
                Some(Action::Redirect { ports: ports(*pair)? })
            }
            [Expression::Nat { kind, family, addresses: (low, high), ports: pair, flags }]
                if !registers.is_empty() =>
            {
                let (first, last) = (ip(registers.get(low)?)?, ip(registers.get(high)?)?);
                let to = NatTarget { first, last, ports: ports(*pair)? };
                self.check_family(*family, &[first, last])?;
                nat_action(*kind, flags_of(*flags), to)
            }
            _ if registers.is_empty() => self.spread(rest),
            _ => None,
        }
    }

    /// The family of a translation must be the one that was checked before.
    fn check_family(&self, family: u32, addresses: &[IpAddr]) -> Option<()> {
        let checked = self.family?;
        let fits = u32::from(nfproto(checked)) == family
            && addresses.iter().all(|address| Family::of(address) == checked);
        fits.then_some(())
    }

    fn spread(&self, rest: &[Expression]) -> Option<Action> {
        let (by, modulus, rest) = match rest {
            [Expression::Numgen { kind: numgen::INCREMENTAL, modulus, to: R0 }, rest @ ..] => {
                (Balance::RoundRobin, *modulus, rest)
            }
            [Expression::Numgen { kind: numgen::RANDOM, modulus, to: R0 }, rest @ ..] => {
                (Balance::Random, *modulus, rest)
            }
            [
                Expression::Payload { base: base::NETWORK, offset, length, to: R0 },
                Expression::Hash { from: R0, length: hashed, modulus, to: R0 },
                rest @ ..,
            ] if length == hashed => {
                let (source_at, _, address_length) = address_layout(self.family?);
                if (*offset, *length) != (source_at, address_length) {
                    return None;
                }
                (Balance::Source, *modulus, rest)
            }
            _ => return None,
        };
        let [
            Expression::Lookup {
                from: R0,
                set: SetRef::Anonymous(Content::Targets(targets)),
                negated: false,
                to: Some(R0),
            },
            Expression::Nat { kind: nat::DESTINATION, family, addresses: (R0, R0), ports, flags },
        ] = rest
        else {
            return None;
        };
        let addresses: Vec<IpAddr> = targets.iter().map(|(address, _)| *address).collect();
        self.check_family(*family, &addresses)?;
        let (_, _, length) = address_layout(self.family?);
        let expected = targets.first()?.1.map(|_| (length / 4, length / 4));
        let plain = flags & !(nat::MAP_ADDRESSES | nat::PORTS_GIVEN) == 0;
        if *ports == expected && plain && modulus as usize == targets.len() {
            Some(Action::Spread { by, to: targets.clone() })
        } else {
            None
        }
    }
}

fn nat_action(kind: u32, flags: u32, to: NatTarget) -> Option<Action> {
    if flags == nat::NETMAP {
        let prefix = covering(to.first, to.last)?;
        return match (kind, to.ports) {
            (nat::SOURCE, None) => Some(Action::SnatPrefix(prefix)),
            (nat::DESTINATION, None) => Some(Action::DnatPrefix(prefix)),
            _ => None,
        };
    }
    match kind {
        nat::SOURCE if flags & !(nat::RANDOM_FULLY | nat::PERSISTENT) == 0 => Some(Action::Snat {
            to,
            random: flags & nat::RANDOM_FULLY != 0,
            persistent: flags & nat::PERSISTENT != 0,
        }),
        nat::DESTINATION if flags == 0 => Some(Action::Dnat { to }),
        _ => None,
    }
}

/// The prefix that is exactly the range from `first` to `last`.
fn covering(first: IpAddr, last: IpAddr) -> Option<IpNet> {
    let length = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => return None,
    };
    let net = IpNet::new(first, u8::try_from(length).ok()?).ok()?;
    if net.network() == first && net.broadcast() == last { Some(net) } else { None }
}

/// A comparison with one octet or several.
fn octets(expression: &Expression) -> Option<(BTreeSet<u8>, bool)> {
    match expression {
        Expression::Lookup {
            from: R0,
            set: SetRef::Anonymous(Content::Octets(_, octets)),
            negated,
            to: None,
        } => Some((octets.clone(), *negated)),
        other => match comparison(other)? {
            (negated, [octet]) => Some((BTreeSet::from([*octet]), negated)),
            _ => None,
        },
    }
}

fn transport(offset: u32, length: u32, rest: &[Expression]) -> Option<(Match, usize)> {
    if (offset, length) == (0, 1) {
        let (types, false) = octets(rest.first()?)? else { return None };
        return Some((Match::IcmpType { types }, 1));
    }
    if length != 2 || (offset != 0 && offset != 2) {
        return None;
    }
    let (ports, negated) = match rest.first()? {
        Expression::Lookup { from: R0, set, negated, to: None } => match set {
            SetRef::Named(name) => (PortSelector::Set(name.as_str().into()), *negated),
            SetRef::Anonymous(Content::Ports(ports)) => (PortSelector::Of(ports.clone()), *negated),
            SetRef::Anonymous(_) => return None,
        },
        Expression::Range { from: R0, negated, low, high } => {
            let (low, high) = (half(low)?, half(high)?);
            if low > high {
                return None;
            }
            (PortSelector::Of(PortRange::new(low, high).into()), *negated)
        }
        other => {
            let (negated, data) = comparison(other)?;
            (PortSelector::Of(Ports::from(half(data)?)), negated)
        }
    };
    let condition = if offset == 0 {
        Match::SourcePort { ports, negated }
    } else {
        Match::DestinationPort { ports, negated }
    };
    Some((condition, 1))
}

/// State or status: bits that are cut out and compared with zero.
fn connection(key: u32, rest: &[Expression]) -> Option<Match> {
    let [Expression::Bitwise { from: R0, to: R0, mask, xor }, test, ..] = rest else { return None };
    let ((unequal, data), bits) = (comparison(test)?, word(mask)?);
    if word(xor) != Some(0) || word(data) != Some(0) {
        return None;
    }
    let negated = !unequal;
    match key {
        ct::STATE => {
            let all =
                [CtState::Invalid, CtState::Established, CtState::Related, CtState::New, CtState::Untracked];
            let states: BTreeSet<CtState> =
                all.into_iter().filter(|state| bits & state_bit(*state) != 0).collect();
            let known: u32 = states.iter().map(|state| state_bit(*state)).sum();
            (known == bits).then_some(Match::CtState { states, negated })
        }
        ct::STATUS => {
            let all = [CtStatus::SeenReply, CtStatus::Assured, CtStatus::Snat, CtStatus::Dnat];
            let status = all.into_iter().find(|status| status_bit(*status) == bits)?;
            Some(Match::CtStatus { status, negated })
        }
        _ => None,
    }
}

fn routed(flags: u32, rest: &[Expression]) -> Option<Match> {
    let (negated, data) = comparison(rest.first()?)?;
    let value = word(data)?;
    let all = [AddressType::Unicast, AddressType::Local, AddressType::Broadcast, AddressType::Multicast];
    let address = all.into_iter().find(|address| address_type(*address) == value)?;
    match flags {
        fib::BY_SOURCE => Some(Match::SourceType { address, negated }),
        fib::BY_DESTINATION => Some(Match::DestinationType { address, negated }),
        _ => None,
    }
}
