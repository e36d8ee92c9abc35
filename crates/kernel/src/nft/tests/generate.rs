//! Firewalls that have no fault, of every chain kind, match and action.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_compile::object::Family;
use netloom_compile::object::firewall::*;
use netloom_wire::{Dscp, InterfaceName};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

fn v4_net() -> impl Strategy<Value = Ipv4Net> {
    // Mostly around a few places, so that neighbours and overlaps occur.
    let address =
        prop_oneof![any::<u32>(), (0_u32..16).prop_map(|n| 0x0a00_0000 + n), Just(u32::MAX), Just(0)];
    (address, prop_oneof![Just(32_u8), 0..=32_u8])
        .prop_map(|(bits, length)| Ipv4Net::new(Ipv4Addr::from(bits), length).unwrap().trunc())
}

fn v6_net() -> impl Strategy<Value = Ipv6Net> {
    let address = prop_oneof![any::<u128>(), (0_u128..16).prop_map(|n| (0xfd << 120) + n), Just(u128::MAX)];
    (address, prop_oneof![Just(128_u8), 0..=128_u8])
        .prop_map(|(bits, length)| Ipv6Net::new(Ipv6Addr::from(bits), length).unwrap().trunc())
}

fn port_range() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        any::<u16>().prop_map(PortRange::from),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a, b)),
        Just(PortRange::new(65_000, 65_535)),
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    vec(port_range(), 1..5).prop_map(|list| list.into_iter().collect())
}

fn interface() -> impl Strategy<Value = InterfaceName> {
    "[a-z][a-z0-9.-]{0,14}".prop_map(|name| name.parse().unwrap())
}

fn interfaces() -> impl Strategy<Value = BTreeSet<InterfaceName>> {
    btree_set(interface(), 1..4)
}

fn label() -> impl Strategy<Value = Option<Arc<str>>> {
    option::of("[ -~é\\[\\]]{1,130}").prop_map(|text| text.map(Into::into))
}

fn addresses(family: Family, sets: bool) -> BoxedStrategy<Addresses> {
    let named = Just(Addresses::Set(if family == Family::V4 { "four" } else { "six" }.into()));
    let list = match family {
        Family::V4 => vec(v4_net(), 1..6).prop_map(|list| Addresses::V4(list.into_iter().collect())).boxed(),
        Family::V6 => vec(v6_net(), 1..6).prop_map(|list| Addresses::V6(list.into_iter().collect())).boxed(),
    };
    if sets { prop_oneof![4 => list, 1 => named].boxed() } else { list }
}

fn port_selector(sets: bool) -> BoxedStrategy<PortSelector> {
    let list = ports().prop_map(PortSelector::Of);
    let named = Just(PortSelector::Set("doors".into()));
    if sets { prop_oneof![4 => list, 1 => named].boxed() } else { list.boxed() }
}

/// A protocol match and what may follow it; whether ports are possible then.
fn transport(sets: bool) -> impl Strategy<Value = (Vec<Match>, bool)> {
    let with_ports =
        select(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP, Protocol::UDPLITE]);
    let ported = (
        btree_set(with_ports, 1..3),
        option::of((port_selector(sets), any::<bool>())),
        option::of((port_selector(sets), any::<bool>())),
    )
        .prop_map(|(protocols, source, destination)| {
            let mut list = vec![Match::Protocol { protocols, negated: false }];
            list.extend(source.map(|(ports, negated)| Match::SourcePort { ports, negated }));
            list.extend(destination.map(|(ports, negated)| Match::DestinationPort { ports, negated }));
            (list, true)
        });
    let icmp = (select(vec![Protocol::ICMP, Protocol::ICMPV6]), option::of(btree_set(any::<u8>(), 1..4)))
        .prop_map(|(protocol, types)| {
            let mut list = vec![Match::protocol(protocol)];
            list.extend(types.map(|types| Match::IcmpType { types }));
            (list, false)
        });
    let other = (btree_set(any::<u8>().prop_map(Protocol), 1..4), any::<bool>())
        .prop_map(|(protocols, negated)| (vec![Match::Protocol { protocols, negated }], false));
    prop_oneof![Just((Vec::new(), false)), ported, icmp, other]
}

/// Matches that need nothing before them. `device`: in a chain on a device.
fn condition(family: Family, device: bool) -> BoxedStrategy<Match> {
    let states =
        vec![CtState::Invalid, CtState::Established, CtState::Related, CtState::New, CtState::Untracked];
    let types =
        vec![AddressType::Unicast, AddressType::Local, AddressType::Broadcast, AddressType::Multicast];
    let statuses = vec![CtStatus::SeenReply, CtStatus::Assured, CtStatus::Snat, CtStatus::Dnat];
    let negated = any::<bool>;
    let plain = prop_oneof![
        (interfaces(), negated()).prop_map(|(names, negated)| Match::InputInterface { names, negated }),
        (interfaces(), negated()).prop_map(|(names, negated)| Match::OutputInterface { names, negated }),
        Just(Match::Family(family)),
        (addresses(family, !device), negated())
            .prop_map(|(addresses, negated)| Match::Source { addresses, negated }),
        (addresses(family, !device), negated())
            .prop_map(|(addresses, negated)| Match::Destination { addresses, negated }),
        (any::<u32>(), prop_oneof![Just(u32::MAX), any::<u32>()], negated())
            .prop_map(|(value, mask, negated)| Match::Mark { value, mask, negated }),
        (0_u64..64, negated()).prop_map(move |(dscp, negated)| Match::Dscp {
            family,
            dscp: Dscp::try_from(dscp).unwrap(),
            negated
        }),
        (1..=1_000_000_u64, select(LimitPeriod::ALL.to_vec()), 0..1000_u32, any::<bool>())
            .prop_map(|(rate, per, burst, over)| Match::Limit { rate, per, burst, over }),
    ];
    let tracked = prop_oneof![
        (btree_set(select(states), 1..4), negated())
            .prop_map(|(states, negated)| Match::CtState { states, negated }),
        (select(statuses), negated()).prop_map(|(status, negated)| Match::CtStatus { status, negated }),
        (select(types.clone()), negated())
            .prop_map(|(address, negated)| Match::SourceType { address, negated }),
        (select(types), negated()).prop_map(|(address, negated)| Match::DestinationType { address, negated }),
    ];
    if device { plain.boxed() } else { prop_oneof![plain, tracked].boxed() }
}

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())).boxed(),
        Family::V6 => any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())).boxed(),
    }
}

fn target(family: Family, with_ports: bool) -> impl Strategy<Value = NatTarget> {
    (ip(family), option::of(ip(family)), option::of(port_range())).prop_map(move |(a, b, ports)| {
        let (first, last) = match b {
            Some(b) => (a.min(b), a.max(b)),
            None => (a, a),
        };
        NatTarget { first, last, ports: ports.filter(|_| with_ports) }
    })
}

fn prefix(family: Family) -> BoxedStrategy<IpNet> {
    match family {
        Family::V4 => v4_net().prop_map(IpNet::from).boxed(),
        Family::V6 => v6_net().prop_map(IpNet::from).boxed(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Filter,
    Source,
    Destination,
    Device,
}

fn action(place: Place, family: Family, with_ports: bool, tcp: bool) -> BoxedStrategy<Action> {
    let range = move || option::of(port_range()).prop_map(move |ports| ports.filter(|_| with_ports));
    let simple = prop_oneof![
        Just(Action::Continue),
        Just(Action::Accept),
        Just(Action::Drop),
        Just(Action::Return),
        (any::<u32>(), prop_oneof![Just(u32::MAX), any::<u32>()])
            .prop_map(|(value, mask)| Action::SetMark { value, mask }),
    ];
    match place {
        Place::Device => simple.boxed(),
        Place::Filter => {
            let mut reasons = vec![
                RejectWith::NoRoute,
                RejectWith::PortUnreachable,
                RejectWith::HostUnreachable,
                RejectWith::AdminProhibited,
            ];
            if tcp {
                reasons.push(RejectWith::TcpReset);
            }
            prop_oneof![
                simple,
                select(reasons).prop_map(Action::Reject),
                Just(Action::Jump("leaf".into())),
                Just(Action::Goto("leaf".into())),
            ]
            .boxed()
        }
        Place::Source => prop_oneof![
            (range(), any::<bool>()).prop_map(|(ports, random)| Action::Masquerade { ports, random }),
            (target(family, with_ports), any::<bool>(), any::<bool>())
                .prop_map(|(to, random, persistent)| Action::Snat { to, random, persistent }),
            prefix(family).prop_map(Action::SnatPrefix),
        ]
        .boxed(),
        Place::Destination => prop_oneof![
            target(family, with_ports).prop_map(|to| Action::Dnat { to }),
            prefix(family).prop_map(Action::DnatPrefix),
            range().prop_map(|ports| Action::Redirect { ports }),
            (
                select(vec![Balance::RoundRobin, Balance::Random, Balance::Source]),
                vec((ip(family), any::<u16>()), 2..6),
                any::<bool>()
            )
                .prop_map(move |(by, list, ports)| {
                    let ports = ports && with_ports;
                    let to =
                        list.into_iter().map(|(address, port)| (address, ports.then_some(port))).collect();
                    Action::Spread { by, to }
                }),
        ]
        .boxed(),
    }
}

fn rule(place: Place) -> impl Strategy<Value = FirewallRule> {
    let device = place == Place::Device;
    let family = select(vec![Family::V4, Family::V6]);
    (family, transport(!device)).prop_flat_map(move |(family, (transport, with_ports))| {
        let tcp = transport.first() == Some(&Match::protocol(Protocol::TCP));
        (
            vec(condition(family, device), 0..4),
            any::<Index>(),
            action(place, family, with_ports, tcp),
            any::<bool>(),
            option::weighted(0.1, "[ -!#-~]{0,130}"),
            label(),
            label(),
        )
            .prop_map(move |(mut matches, at, action, counter, log, name, origin)| {
                let at = at.index(matches.len() + 1);
                matches.splice(at..at, transport.clone());
                let log = log.filter(|_| !device).map(|prefix| Log { prefix: prefix.into(), group: None });
                FirewallRule { matches, counter, log, action, name, origin }
            })
    })
}

fn chain(name: &'static str, hook: Option<Hook>, place: Place) -> impl Strategy<Value = Chain> {
    vec(rule(place), 0..5).prop_map(move |rules| Chain { name: name.into(), hook: hook.clone(), rules })
}

fn base(name: &'static str, point: HookPoint, kind: ChainKind, place: Place) -> impl Strategy<Value = Chain> {
    (any::<bool>(), -99..99_i32).prop_flat_map(move |(drop, priority)| {
        // The kernel takes no dropping nat chains.
        let policy = if drop && kind != ChainKind::Nat { Policy::Drop } else { Policy::Accept };
        chain(name, Some(Hook { point: point.clone(), kind, priority, policy }), place)
    })
}

/// A whole firewall. Its devices exist in every namespace.
pub(super) fn firewall() -> impl Strategy<Value = Firewall> {
    let device: InterfaceName = "lo".parse().unwrap();
    let chains = (
        base("in", HookPoint::Input, ChainKind::Filter, Place::Filter),
        base("forward", HookPoint::Forward, ChainKind::Filter, Place::Filter),
        base("marks", HookPoint::Output, ChainKind::Route, Place::Filter),
        base("source", HookPoint::Postrouting, ChainKind::Nat, Place::Source),
        base("destination", HookPoint::Prerouting, ChainKind::Nat, Place::Destination),
        option::of(base("wire", HookPoint::Ingress { device }, ChainKind::Filter, Place::Device)),
        vec(rule(Place::Filter), 0..3),
    );
    let sets =
        (vec(v4_net(), 0..8), vec(v6_net(), 0..8), vec(port_range(), 0..8), btree_set(interface(), 0..3));
    (chains, sets).prop_map(|((a, b, c, d, e, f, mut leaf), (four, six, doors, names))| {
        for rule in &mut leaf {
            if let Action::Jump(_) | Action::Goto(_) = rule.action {
                rule.action = Action::Drop;
            }
        }
        let leaf = Chain { name: "leaf".into(), hook: None, rules: leaf };
        let mut chains = vec![a, b, c, d, e, leaf];
        chains.extend(f);
        let set = |name: &str, elements| Set { name: name.into(), elements };
        let sets = vec![
            set("four", SetElements::V4(four.into_iter().collect())),
            set("six", SetElements::V6(six.into_iter().collect())),
            set("doors", SetElements::Ports(doors.into_iter().collect())),
            set("links", SetElements::Interfaces(names)),
        ];
        Firewall { chains, sets, dormant: false }
    })
}

#[test]
fn generated_firewalls_have_no_fault_and_all_parts() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRng, TestRunner};
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let firewall = firewall().new_tree(&mut runner).unwrap().current();
        assert_eq!(firewall.check(), [], "{firewall:#?}");
        for rule in firewall.chains.iter().flat_map(|chain| &chain.rules) {
            let word = |debug: String| debug.split(['(', ' ']).next().unwrap().to_owned();
            seen.extend(rule.matches.iter().map(|part| word(format!("{part:?}"))));
            seen.insert(word(format!("{:?}", rule.action)));
        }
    }
    // 17 matches and 17 actions that can be desired, less the actions and matches that share a name.
    let all = [
        "InputInterface",
        "OutputInterface",
        "Family",
        "Source",
        "Destination",
        "Protocol",
        "SourcePort",
        "DestinationPort",
        "IcmpType",
        "CtState",
        "CtStatus",
        "Mark",
        "Dscp",
        "SourceType",
        "DestinationType",
        "Limit",
        "Continue",
        "Accept",
        "Drop",
        "Reject",
        "Jump",
        "Goto",
        "Return",
        "Masquerade",
        "Snat",
        "Dnat",
        "Spread",
        "SnatPrefix",
        "DnatPrefix",
        "Redirect",
        "SetMark",
    ];
    for part in all {
        assert!(seen.contains(part), "{part} was never generated");
    }
}
