//! Parts that rules are made of.

use crate::object::Family;
use crate::object::firewall::{
    Action, CtState, CtStatus, FirewallRule, Log, Match, PortRange, Ports, Protocol, RejectWith,
};
use ipnet::IpNet;
use netloom_model::document::Spanned;
use netloom_model::scalar::{self, Service};
use netloom_model::topology::Stance;
use netloom_wire::InterfaceName;
use std::collections::{BTreeMap, BTreeSet};

use super::side::Side;

/// ICMPv6 without which IPv6 does not work on a link: neighbour discovery (RFC 4861) and the reports of
/// multicast listeners that switches look at (RFC 2710, RFC 3810).
const LINK_ICMPV6: [u8; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];

/// Answers to what was allowed always pass.
pub(super) fn established() -> FirewallRule {
    FirewallRule::new(Action::Accept)
        .when(Match::state([CtState::Established, CtState::Related]))
        .named("answers to what was allowed")
}

/// What a namespace says to itself always passes.
pub(super) fn loopback(input: bool) -> Option<FirewallRule> {
    let lo: InterfaceName = "lo".parse().ok()?;
    let condition = if input { Match::input(lo) } else { Match::output(lo) };
    Some(FirewallRule::new(Action::Accept).when(condition).named("to itself"))
}

/// Neighbour discovery always passes.
pub(super) fn neighbour_discovery() -> FirewallRule {
    FirewallRule::new(Action::Accept)
        .when(Match::protocol(Protocol::ICMPV6))
        .when(Match::IcmpType { types: LINK_ICMPV6.into_iter().collect() })
        .named("neighbour discovery")
}

/// What came by a port mapping passes: the mapping is the permission.
pub(super) fn mapped() -> FirewallRule {
    FirewallRule::new(Action::Accept)
        .when(Match::CtStatus { status: CtStatus::Dnat, negated: false })
        .named("came by a mapping")
}

/// Services as alternatives, one for each protocol: a protocol match and perhaps ports.
/// No service at all stands for everything: one alternative without a condition.
pub(super) fn services<'s>(services: impl IntoIterator<Item = &'s Service>) -> Vec<Vec<Match>> {
    let mut ports: BTreeMap<Protocol, Option<Vec<PortRange>>> = BTreeMap::new();
    let mut icmp = false;
    let mut any = true;
    for service in services {
        any = false;
        let Some(protocol) = protocol(service) else {
            icmp = true;
            continue;
        };
        let entry = ports.entry(protocol).or_insert_with(|| Some(Vec::new()));
        match (ports_of(service), entry) {
            (Some(range), Some(list)) => list.push(range),
            (Some(_), None) => {}
            (None, entry) => *entry = None,
        }
    }
    if any {
        return vec![Vec::new()];
    }
    let mut alternatives = Vec::new();
    if icmp {
        let protocols = BTreeSet::from([Protocol::ICMP, Protocol::ICMPV6]);
        alternatives.push(vec![Match::Protocol { protocols, negated: false }]);
    }
    for (protocol, ranges) in ports {
        let mut matches = vec![Match::protocol(protocol)];
        matches.extend(ranges.map(|ranges| Match::port(ranges.into_iter().collect::<Ports>())));
        alternatives.push(matches);
    }
    alternatives
}

/// The transport protocol of a service; `None` for ICMP, which has one for each address family.
pub(super) const fn protocol(service: &Service) -> Option<Protocol> {
    match service.protocol {
        scalar::Protocol::Icmp => None,
        scalar::Protocol::Tcp | scalar::Protocol::Http => Some(Protocol::TCP),
        scalar::Protocol::Udp => Some(Protocol::UDP),
        scalar::Protocol::Sctp => Some(Protocol::SCTP),
    }
}

/// The ports of a service; HTTP without a port is on 80.
pub(super) fn ports_of(service: &Service) -> Option<PortRange> {
    match (service.ports, service.protocol) {
        (Some((low, high)), _) => Some(PortRange::new(low, high)),
        (None, scalar::Protocol::Http) => Some(PortRange::from(80)),
        (None, _) => None,
    }
}

/// What a rule does with what it fits, as one or two rules: a refused TCP connection gets a reset.
pub(super) fn verdicts(stance: Stance, rule: &FirewallRule) -> Vec<FirewallRule> {
    let with = |action: Action| FirewallRule { action, ..rule.clone() };
    match stance {
        Stance::Allow => vec![with(Action::Accept)],
        Stance::Deny => vec![with(Action::Drop)],
        Stance::Reject => {
            let others = with(Action::Reject(RejectWith::AdminProhibited));
            let carried = rule.matches.iter().find_map(|condition| match condition {
                Match::Protocol { protocols, negated: false } => Some(protocols.contains(&Protocol::TCP)),
                _ => None,
            });
            let reset = with(Action::Reject(RejectWith::TcpReset));
            match carried {
                Some(true) => vec![reset],
                Some(false) => vec![others],
                None => vec![reset.when(Match::protocol(Protocol::TCP)), others],
            }
        }
    }
}

/// A rule in the user's words, before its verdict.
pub(super) struct Wanted<'w> {
    pub stance: Stance,
    pub services: &'w [Spanned<Service>],
    pub log: bool,
    pub name: String,
    pub origin: String,
    /// Conditions that hold for all alternatives, like interfaces.
    pub conditions: Vec<Match>,
}

impl Wanted<'_> {
    /// The rules for packets from `from` to `to`.
    pub(super) fn rules(&self, from: &Side, to: &Side) -> Vec<FirewallRule> {
        let services = services(self.services.iter().map(|service| &service.value));
        self.with_services(from, to, &services)
    }

    /// The same with services of its own.
    pub(super) fn with_services(&self, from: &Side, to: &Side, services: &[Vec<Match>]) -> Vec<FirewallRule> {
        let mut rules = Vec::new();
        for (from, to) in pairs(from, to) {
            for service in services {
                let mut rule =
                    FirewallRule::new(Action::Accept).counted().named(&self.name).from(&self.origin);
                rule.matches.extend(self.conditions.iter().cloned());
                rule.matches.extend(from.clone().map(Match::source));
                rule.matches.extend(to.clone().map(Match::destination));
                rule.matches.extend(service.iter().cloned());
                if self.log {
                    rule.log = Some(Log { prefix: format!("netloom {}: ", self.name).into(), group: None });
                }
                rules.extend(verdicts(self.stance, &rule));
            }
        }
        rules
    }
}

type Addresses = crate::object::firewall::Addresses;

/// Sources and destinations that one rule can have: of one family each.
fn pairs(from: &Side, to: &Side) -> Vec<(Option<Addresses>, Option<Addresses>)> {
    if from.is_any() && to.is_any() {
        return vec![(None, None)];
    }
    [Family::V4, Family::V6]
        .into_iter()
        .filter_map(|family| Some((from.of_family(family)?, to.of_family(family)?)))
        .collect()
}

/// The last rule of a chain: what happens to what no rule spoke of.
pub(super) fn last(stance: Stance, name: &str, origin: &str) -> Vec<FirewallRule> {
    if stance == Stance::Allow {
        return Vec::new();
    }
    verdicts(stance, &FirewallRule::new(Action::Drop).counted().named(name).from(&origin))
}

/// Prefixes of one address each.
pub(super) fn hosts(addresses: impl IntoIterator<Item = IpNet>) -> Vec<IpNet> {
    addresses.into_iter().map(|address| IpNet::from(address.addr())).collect()
}
