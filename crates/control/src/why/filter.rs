//! A packet at a hook: chains by priority, rules in order, what each says.
//!
//! Invariants: a rule is passed over only if one of its conditions surely fails. A condition that can't be read leaves a
//! doubt where the rule could have stopped the packet. Limits are taken as not reached.

use super::packet::{Packet, Tracked};
use super::routing;
use netloom_compile::object::Family;
use netloom_compile::object::firewall::{
    Action, Addresses, Chain, ChainKind, CtState, CtStatus, FirewallRule, Hook, HookPoint, Match, NatTarget,
    Policy, PortSelector, Protocol, RejectWith, SetElements,
};
use netloom_kernel::picture::{FilterPicture, SpacePicture};
use netloom_wire::InterfaceName;
use std::net::IpAddr;

/// How deep chains may lead to one another (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

/// Where a packet is, as filters see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) space: &'a SpacePicture,
    pub(super) point: &'a HookPoint,
    pub(super) input: Option<&'a InterfaceName>,
    pub(super) output: Option<&'a InterfaceName>,
}

/// Which rule: numbers of filter, chain and rule. Without a rule it is the chain's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) filter: usize,
    pub(super) chain: usize,
    pub(super) rule: Option<usize>,
}

/// A rule that decided.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) place: Place,
    /// Table and chain.
    pub(super) chain: String,
    pub(super) text: String,
    pub(super) name: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) ours: bool,
}

/// How a translation changes a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Translation {
    Source(IpAddr, Option<u16>),
    Destination(IpAddr, Option<u16>),
}

/// What a hook does with a packet.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// Dropped, by this rule; the second says how the sender is told.
    pub(super) stopped: Option<(Decided, Option<RejectWith>)>,
    /// The last rule of each chain that let it pass by name.
    pub(super) passed: Vec<Decided>,
    /// Translated, by this rule; others were as good where the choice is by chance.
    pub(super) translated: Option<(Decided, Translation, Vec<Translation>)>,
    /// What can't be told.
    pub(super) doubts: Vec<String>,
    /// How many rules were looked at.
    pub(super) looked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// How a chain ended.
enum End {
    /// Nothing decided.
    Fell,
    /// Let pass.
    Accepted(Decided),
    Stopped(Decided, Option<RejectWith>),
    Translated(Decided, Vec<Translation>),
}

/// Whether a filter's family sees a packet.
fn sees(filter: &FilterPicture, family: Family) -> bool {
    match filter.family.as_str() {
        "ip" => family == Family::V4,
        "ip6" => family == Family::V6,
        _ => true,
    }
}

/// Takes a packet through all chains of a hook.
pub(super) fn judge(at: &At<'_>, packet: &mut Packet) -> Outcome {
    let mut outcome = Outcome::default();
    let mut chains: Vec<(i32, usize, usize, &Hook)> = Vec::new();
    for (number, filter) in at.space.filters.iter().enumerate() {
        if !sees(filter, packet.family()) || filter.firewall.dormant {
            continue;
        }
        for (index, chain) in filter.firewall.chains.iter().enumerate() {
            match &chain.hook {
                Some(hook) if hook.point == *at.point => chains.push((hook.priority, number, index, hook)),
                // A chain whose hook could not be read begins with a rule that says so.
                None if matches!(chain.rules.first(), Some(FirewallRule { action: Action::Unknown(what), .. }) if what.contains("hook")) =>
                {
                    outcome.doubts.push(format!(
                        "chain {} {} {} sits at a hook that I can't read",
                        filter.family, filter.name, chain.name
                    ));
                }
                _ => {}
            }
        }
    }
    chains.sort_by_key(|(priority, ..)| *priority);
    for (_, number, index, hook) in chains {
        let Some(filter) = at.space.filters.get(number) else { continue };
        let Some(chain) = filter.firewall.chains.get(index) else { continue };
        let translates = hook.kind == ChainKind::Nat;
        // Only the first packet of a connection is asked about; one translation of a kind is enough.
        if translates && (packet.tracked != Tracked::New || outcome.translated.is_some()) {
            continue;
        }
        let mut walk = Walk { at, filter, number, outcome: &mut outcome };
        match walk.chain(chain, index, packet, 0) {
            End::Accepted(decided) => outcome.passed.push(decided),
            End::Stopped(decided, how) => {
                outcome.stopped = Some((decided, how));
                return outcome;
            }
            End::Translated(decided, mut targets) if !targets.is_empty() => {
                let first = targets.remove(0);
                outcome.translated = Some((decided, first, targets));
            }
            End::Translated(decided, _) => outcome.passed.push(decided),
            End::Fell if hook.policy == Policy::Drop => {
                let place = Place { filter: number, chain: index, rule: None };
                let decided = Decided {
                    place,
                    chain: format!("{} {} {}", filter.family, filter.name, chain.name),
                    text: "policy drop".to_owned(),
                    name: None,
                    origin: None,
                    ours: filter.ours,
                };
                outcome.stopped = Some((decided, None));
                return outcome;
            }
            End::Fell => {}
        }
    }
    outcome
}

struct Walk<'a, 'b> {
    at: &'b At<'a>,
    filter: &'a FilterPicture,
    number: usize,
    outcome: &'b mut Outcome,
}

impl<'a> Walk<'a, '_> {
    fn decided(&self, chain: &Chain, index: usize, number: usize, rule: &FirewallRule) -> Decided {
        Decided {
            place: Place { filter: self.number, chain: index, rule: Some(number) },
            chain: format!("{} {} {}", self.filter.family, self.filter.name, chain.name),
            text: rule.to_string(),
            name: rule.name.as_deref().map(str::to_owned),
            origin: rule.origin.as_deref().map(str::to_owned),
            ours: self.filter.ours,
        }
    }

    fn find(&self, name: &str) -> Option<(usize, &'a Chain)> {
        self.filter.firewall.chains.iter().enumerate().find(|(_, chain)| &*chain.name == name)
    }

    fn chain(&mut self, chain: &'a Chain, index: usize, packet: &mut Packet, depth: usize) -> End {
        if depth > DEPTH {
            return End::Fell;
        }
        for (number, rule) in chain.rules.iter().enumerate() {
            self.outcome.looked += 1;
            let truth = self.holds(rule, packet);
            let place = || format!("{} {} {}", self.filter.family, self.filter.name, chain.name);
            if truth == Truth::No {
                continue;
            }
            if truth == Truth::Unknown || matches!(rule.action, Action::Unknown(_)) {
                if !matches!(rule.action, Action::Continue | Action::Accept | Action::SetMark { .. }) {
                    self.outcome.doubts.push(format!(
                        "rule {} of {} can't be read whole: {rule}",
                        number + 1,
                        place()
                    ));
                } else if rule.action == Action::Accept {
                    self.outcome.doubts.push(format!(
                        "rule {} of {} may let it pass: {rule}",
                        number + 1,
                        place()
                    ));
                }
                continue;
            }
            let decided = self.decided(chain, index, number, rule);
            match &rule.action {
                Action::Continue | Action::Unknown(_) => {}
                Action::Accept => return End::Accepted(decided),
                Action::Drop => return End::Stopped(decided, None),
                Action::Reject(how) => return End::Stopped(decided, Some(*how)),
                Action::Return => return End::Fell,
                Action::SetMark { value, mask } => packet.mark = packet.mark & !mask | value & mask,
                Action::Notrack => packet.tracked = Tracked::Untracked,
                Action::Jump(name) | Action::Goto(name) => {
                    let Some((to, next)) = self.find(name) else { continue };
                    let end = self.chain(next, to, packet, depth + 1);
                    match end {
                        End::Fell if matches!(rule.action, Action::Goto(_)) => return End::Fell,
                        End::Fell => {}
                        end => return end,
                    }
                }
                action => {
                    let targets = self.translations(action, packet);
                    return End::Translated(decided, targets);
                }
            }
        }
        End::Fell
    }

    fn translations(&self, action: &Action, packet: &Packet) -> Vec<Translation> {
        let port = |target: &NatTarget| target.ports.map(|ports| ports.first());
        match action {
            Action::Masquerade { .. } => {
                let route = self.at.output.and_then(|name| self.at.space.interfaces.get(name));
                let same = |net: &&ipnet::IpNet| net.addr().is_ipv4() == packet.destination.is_ipv4();
                let own = route.and_then(|interface| {
                    let global = |net: &&ipnet::IpNet| !matches!(net.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
                    interface.addresses.iter().filter(same).find(global)
                });
                own.map(|own| Translation::Source(own.addr(), None)).into_iter().collect()
            }
            Action::Snat { to, .. } => vec![Translation::Source(to.first, port(to))],
            Action::Dnat { to } => vec![Translation::Destination(to.first, port(to))],
            Action::Spread { to, .. } => {
                to.iter().map(|(address, port)| Translation::Destination(*address, *port)).collect()
            }
            Action::SnatPrefix(net) => vec![Translation::Source(within(*net, packet.source), None)],
            Action::DnatPrefix(net) => vec![Translation::Destination(within(*net, packet.destination), None)],
            Action::Redirect { ports } => {
                let own = self.at.input.and_then(|name| self.at.space.interfaces.get(name));
                let own = own.and_then(|interface| {
                    interface
                        .addresses
                        .iter()
                        .find(|net| net.addr().is_ipv4() == packet.destination.is_ipv4())
                });
                let local: IpAddr = match packet.destination {
                    IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                };
                let to = own.map_or(local, ipnet::IpNet::addr);
                vec![Translation::Destination(to, ports.map(|ports| ports.first()))]
            }
            _ => Vec::new(),
        }
    }

    fn holds(&self, rule: &FirewallRule, packet: &Packet) -> Truth {
        let mut truth = Truth::Yes;
        for condition in &rule.matches {
            match self.condition(condition, packet) {
                Truth::No => return Truth::No,
                Truth::Unknown => truth = Truth::Unknown,
                Truth::Yes => {}
            }
        }
        truth
    }

    fn condition(&self, condition: &Match, packet: &Packet) -> Truth {
        let turned = |truth: Truth, negated: bool| match (truth, negated) {
            (Truth::Yes, true) => Truth::No,
            (Truth::No, true) => Truth::Yes,
            (truth, _) => truth,
        };
        let named =
            |names: &std::collections::BTreeSet<InterfaceName>, of: Option<&InterfaceName>, negated: bool| {
                Truth::from(of.is_some_and(|of| names.contains(of)) != negated)
            };
        match condition {
            Match::InputInterface { names, negated } => named(names, self.at.input, *negated),
            Match::OutputInterface { names, negated } => named(names, self.at.output, *negated),
            Match::Family(family) => Truth::from(packet.family() == *family),
            Match::Source { addresses, negated } => self.address(addresses, packet.source, *negated),
            Match::Destination { addresses, negated } => {
                self.address(addresses, packet.destination, *negated)
            }
            Match::Protocol { protocols, negated } => {
                Truth::from(protocols.contains(&packet.protocol) != *negated)
            }
            Match::SourcePort { ports, negated } => turned(self.port(ports, packet.source_port), *negated),
            Match::DestinationPort { ports, negated } => {
                turned(self.port(ports, packet.destination_port), *negated)
            }
            Match::IcmpType { types } => {
                Truth::from(packet.icmp.is_some_and(|(kind, _)| types.contains(&kind)))
            }
            Match::CtState { states, negated } => {
                let state = match packet.tracked {
                    Tracked::New => CtState::New,
                    Tracked::Established => CtState::Established,
                    Tracked::Invalid => CtState::Invalid,
                    Tracked::Untracked => CtState::Untracked,
                };
                Truth::from(states.contains(&state) != *negated)
            }
            Match::CtStatus { status, negated } => {
                let has = match status {
                    CtStatus::Dnat => packet.mapped,
                    CtStatus::Snat => packet.masked,
                    CtStatus::SeenReply | CtStatus::Assured => packet.tracked == Tracked::Established,
                };
                Truth::from(has != *negated)
            }
            Match::Mark { value, mask, negated } => {
                Truth::from((packet.mark & mask == value & mask) != *negated)
            }
            Match::Dscp { family, dscp, negated } => {
                let same = packet.family() == *family;
                Truth::from(same && (packet.dscp == dscp.get()) != *negated)
            }
            Match::SourceType { address, negated } => {
                Truth::from((routing::address_type(self.at.space, packet.source) == *address) != *negated)
            }
            Match::DestinationType { address, negated } => Truth::from(
                (routing::address_type(self.at.space, packet.destination) == *address) != *negated,
            ),
            Match::Limit { over, .. } => Truth::from(!over),
            Match::Unknown(_) => Truth::Unknown,
        }
    }

    /// A set of one family never holds for the other, negated or not: the family is asked first.
    fn address(&self, addresses: &Addresses, address: IpAddr, negated: bool) -> Truth {
        let content = match addresses {
            Addresses::V4(list) => match address {
                IpAddr::V4(v4) => Some(list.as_slice().iter().any(|net| net.contains(&v4))),
                IpAddr::V6(_) => None,
            },
            Addresses::V6(list) => match address {
                IpAddr::V6(v6) => Some(list.as_slice().iter().any(|net| net.contains(&v6))),
                IpAddr::V4(_) => None,
            },
            Addresses::Set(name) => {
                match (self.filter.firewall.set(name).map(|set| &set.elements), address) {
                    (Some(SetElements::V4(list)), IpAddr::V4(v4)) => {
                        Some(list.as_slice().iter().any(|net| net.contains(&v4)))
                    }
                    (Some(SetElements::V6(list)), IpAddr::V6(v6)) => {
                        Some(list.as_slice().iter().any(|net| net.contains(&v6)))
                    }
                    (Some(SetElements::V4(_) | SetElements::V6(_)), _) => None,
                    _ => return Truth::Unknown,
                }
            }
        };
        content.map_or(Truth::No, |inside| Truth::from(inside != negated))
    }

    fn port(&self, selector: &PortSelector, port: Option<u16>) -> Truth {
        let Some(port) = port else { return Truth::No };
        let ports = match selector {
            PortSelector::Of(ports) => ports,
            PortSelector::Set(name) => match self.filter.firewall.set(name).map(|set| &set.elements) {
                Some(SetElements::Ports(ports)) => ports,
                _ => return Truth::Unknown,
            },
        };
        Truth::from(ports.as_slice().iter().any(|range| range.first() <= port && port <= range.last()))
    }
}

/// The address with the host bits of `address` in a prefix.
fn within(net: ipnet::IpNet, address: IpAddr) -> IpAddr {
    match (net, address) {
        (ipnet::IpNet::V4(net), IpAddr::V4(v4)) => {
            let mask = net.netmask().to_bits();
            std::net::Ipv4Addr::from_bits(net.addr().to_bits() & mask | v4.to_bits() & !mask).into()
        }
        (ipnet::IpNet::V6(net), IpAddr::V6(v6)) => {
            let mask = net.netmask().to_bits();
            std::net::Ipv6Addr::from_bits(net.addr().to_bits() & mask | v6.to_bits() & !mask).into()
        }
        _ => address,
    }
}

/// A rule that lets exactly such packets pass.
pub(super) fn allowing(packet: &Packet) -> FirewallRule {
    let mut rule = FirewallRule::new(Action::Accept).when(Match::destination(packet.destination));
    if !packet.source.is_unspecified() {
        rule = rule.when(Match::source(packet.source));
    }
    rule = rule.when(Match::protocol(packet.protocol));
    let answered = packet.answers.then_some(packet.source_port).flatten();
    match (packet.destination_port, answered) {
        (_, Some(port)) => {
            let ports = PortSelector::Of(port.into());
            rule.matches.push(Match::SourcePort { ports, negated: false });
        }
        (Some(port), None) => rule.matches.push(Match::port(port)),
        (None, None) => {}
    }
    rule
}

/// What a way of refusing tells the sender.
pub(super) const fn told(how: RejectWith) -> &'static str {
    match how {
        RejectWith::TcpReset => "a TCP reset: connection refused",
        RejectWith::NoRoute => "no route",
        RejectWith::PortUnreachable => "port unreachable",
        RejectWith::HostUnreachable => "host unreachable",
        RejectWith::AdminProhibited => "administratively prohibited",
    }
}

/// Whether a protocol's packet that answers nothing known is invalid rather than new.
pub(super) const fn is_stray(packet: &Packet) -> bool {
    packet.answers && (matches!(packet.protocol, Protocol::TCP | Protocol::SCTP) || packet.icmp.is_some())
}
