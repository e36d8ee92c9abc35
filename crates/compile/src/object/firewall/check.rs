//! What a table must obey so that the kernel takes it and every rule can match.

use super::super::Family;
use super::{Action, Addresses, Chain, ChainKind, Firewall, FirewallRule, HookPoint, Match, PortSelector};
use super::{Networks, Protocol, RejectWith, SetElements};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Something in a table that cannot work, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct FirewallFault {
    /// Chain, number of the rule from 1, its name and origin; or the set.
    pub place: String,
    /// What is wrong.
    pub problem: FirewallProblem,
}

/// Why a table cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirewallProblem {
    /// Not an nft identifier.
    #[error("`{0}` is not a name: a letter, then up to 63 letters, digits, `_`, `-`, `.` or `/`")]
    Name(Arc<str>),
    /// Two chains or sets of one name.
    #[error("the name is used twice")]
    Duplicate,
    /// An empty list would never match, and the kernel refuses it.
    #[error("`{0}` has an empty list")]
    Empty(&'static str),
    /// No such chain, or one that cannot be jumped to.
    #[error("there is no chain `{0}` without a hook to go to")]
    Chain(Arc<str>),
    /// A chain leads back to itself.
    #[error("chain `{0}` leads back to itself")]
    Loop(Arc<str>),
    /// No such set, or one of another type.
    #[error("there is no set `{0}` of the type that is compared")]
    Set(Arc<str>),
    /// Two parts of a rule ask for different address families.
    #[error("it asks for IPv4 and for IPv6, so it can never match")]
    Families,
    /// A port without a protocol.
    #[error("ports need a match of tcp, udp, sctp, dccp or udplite before them")]
    PortsWithoutProtocol,
    /// An ICMP type without a protocol.
    #[error("an ICMP type needs a match of either icmp or icmpv6 before it")]
    IcmpWithoutProtocol,
    /// A TCP reset for something else.
    #[error("a TCP reset needs a match of exactly tcp before it")]
    ResetWithoutTcp,
    /// Address ranges must go upwards and be of one family.
    #[error("{first} to {last} is not a range of addresses")]
    Range {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
    /// Targets of a spread differ in family or in having a port, or are too few or too many.
    #[error("a spread needs 2 to 1000 targets of one family, all with or all without a port")]
    Targets,
    /// A prefix with host bits.
    #[error("{0} has bits set behind its prefix")]
    HostBits(ipnet::IpNet),
    /// A rate of nothing.
    #[error("a rate must be at least 1")]
    Rate,
    /// An action in a chain that cannot have it.
    #[error("`{action}` is not possible in {place}")]
    Action {
        /// The action.
        action: String,
        /// The kind of chain.
        place: &'static str,
    },
    /// A chain kind at a hook that cannot have it.
    #[error("a {kind} chain is not possible at {point}")]
    Hook {
        /// The kind.
        kind: ChainKind,
        /// The hook.
        point: HookPoint,
    },
    /// Chains on a device come before connection tracking and routing, and stand alone.
    #[error("`{0}` is not possible in a chain on a device")]
    OnDevice(String),
    /// Only observation yields this.
    #[error("`{0}` was found in the kernel but is not part of the language")]
    Unknown(String),
}

/// Sets by what they may be compared with.
#[derive(PartialEq, Eq, Clone, Copy)]
enum SetType {
    Address(Family),
    Port,
    Other,
}

struct Checker<'a> {
    sets: BTreeMap<&'a str, SetType>,
    chains: BTreeMap<&'a str, &'a Chain>,
    faults: Vec<FirewallFault>,
}

impl Firewall {
    /// Everything that cannot work. An empty list means that the kernel will take the table, as far as
    /// that can be told without it (devices, and what this kernel lacks, are left).
    #[must_use]
    pub fn check(&self) -> Vec<FirewallFault> {
        let sets = self.sets.iter().map(|set| (&*set.name, SetType::of(&set.elements))).collect();
        let chains = self.chains.iter().map(|chain| (&*chain.name, chain)).collect();
        let mut checker = Checker { sets, chains, faults: Vec::new() };
        checker.names("chain", self.chains.iter().map(|chain| &chain.name));
        checker.names("set", self.sets.iter().map(|set| &set.name));
        for set in &self.sets {
            if let SetElements::Unknown(what) = &set.elements {
                checker.fault(&format!("set {}", set.name), FirewallProblem::Unknown(what.to_string()));
            }
        }
        for chain in &self.chains {
            checker.chain(chain);
        }
        checker.faults
    }
}

impl SetType {
    const fn of(elements: &SetElements) -> Self {
        match elements {
            SetElements::V4(_) => Self::Address(Family::V4),
            SetElements::V6(_) => Self::Address(Family::V6),
            SetElements::Ports(_) => Self::Port,
            SetElements::Interfaces(_) | SetElements::Unknown(_) => Self::Other,
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'))
}

impl<'a> Checker<'a> {
    fn fault(&mut self, place: &impl fmt::Display, problem: FirewallProblem) {
        self.faults.push(FirewallFault { place: place.to_string(), problem });
    }

    fn names(&mut self, kind: &str, names: impl Iterator<Item = &'a Arc<str>>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !is_identifier(name) {
                self.fault(&kind, FirewallProblem::Name(name.clone()));
            }
            if !seen.insert(name) {
                self.fault(&format_args!("{kind} {name}"), FirewallProblem::Duplicate);
            }
        }
    }

    fn chain(&mut self, chain: &'a Chain) {
        let place = format!("chain {}", chain.name);
        if let Some(hook) = &chain.hook {
            let possible = match hook.kind {
                ChainKind::Filter => true,
                ChainKind::Route => hook.point == HookPoint::Output,
                ChainKind::Nat => hook.point.device().is_none() && hook.point != HookPoint::Forward,
            };
            if !possible {
                let (kind, point) = (hook.kind, hook.point.clone());
                self.fault(&place, FirewallProblem::Hook { kind, point });
            }
        } else if self.leads_to(chain, &chain.name) {
            self.fault(&place, FirewallProblem::Loop(chain.name.clone()));
        }
        for (index, rule) in chain.rules.iter().enumerate() {
            let problems = self.rule(chain, rule);
            for problem in problems {
                self.fault(&rule.place(&chain.name, index), problem);
            }
        }
    }

    /// Whether `goal` can be reached from `from` by at least one jump.
    fn leads_to(&self, from: &'a Chain, goal: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut queue = vec![from];
        while let Some(chain) = queue.pop() {
            for rule in &chain.rules {
                if let Action::Jump(name) | Action::Goto(name) = &rule.action
                    && let Some(next) = self.chains.get(&**name)
                {
                    if **name == *goal {
                        return true;
                    }
                    if seen.insert(&**name) {
                        queue.push(next);
                    }
                }
            }
        }
        false
    }

    fn rule(&self, chain: &Chain, rule: &FirewallRule) -> Vec<FirewallProblem> {
        let mut problems = Vec::new();
        let mut families: BTreeSet<Family> = rule.implied_families().collect();
        // The protocols that are still possible, once a match has narrowed them.
        let mut protocols: Option<BTreeSet<Protocol>> = None;
        for condition in &rule.matches {
            self.condition(condition, &mut families, &mut protocols, &mut problems);
            if chain.on_device() && !possible_on_device(condition) {
                problems.push(FirewallProblem::OnDevice(condition.to_string()));
            }
        }
        if families.len() > 1 {
            problems.push(FirewallProblem::Families);
        }
        self.action(chain, rule, protocols.as_ref(), &mut problems);
        problems
    }

    fn condition(
        &self,
        condition: &Match,
        families: &mut BTreeSet<Family>,
        protocols: &mut Option<BTreeSet<Protocol>>,
        problems: &mut Vec<FirewallProblem>,
    ) {
        let with_ports = |protocols: &Option<BTreeSet<Protocol>>| {
            protocols.as_ref().is_some_and(|set| set.iter().all(|protocol| protocol.has_ports()))
        };
        match condition {
            Match::InputInterface { names, .. } if names.is_empty() => {
                problems.push(FirewallProblem::Empty("iifname"));
            }
            Match::OutputInterface { names, .. } if names.is_empty() => {
                problems.push(FirewallProblem::Empty("oifname"));
            }
            Match::Family(family) => {
                families.insert(*family);
            }
            Match::Source { addresses, .. } | Match::Destination { addresses, .. } => match addresses {
                Addresses::V4(list) => empty(list, problems),
                Addresses::V6(list) => empty(list, problems),
                Addresses::Set(name) => match self.sets.get(&**name) {
                    Some(SetType::Address(family)) => {
                        families.insert(*family);
                    }
                    _ => problems.push(FirewallProblem::Set(name.clone())),
                },
            },
            Match::Protocol { protocols: list, .. } if list.is_empty() => {
                problems.push(FirewallProblem::Empty("l4proto"));
            }
            Match::Protocol { protocols: list, negated: false } => *protocols = Some(list.clone()),
            Match::SourcePort { ports, .. } | Match::DestinationPort { ports, .. } => {
                if !with_ports(protocols) {
                    problems.push(FirewallProblem::PortsWithoutProtocol);
                }
                match ports {
                    PortSelector::Of(ports) if ports.is_empty() => {
                        problems.push(FirewallProblem::Empty("port"));
                    }
                    PortSelector::Set(name) if self.sets.get(&**name) != Some(&SetType::Port) => {
                        problems.push(FirewallProblem::Set(name.clone()));
                    }
                    _ => {}
                }
            }
            Match::IcmpType { types } => {
                let one = protocols.as_ref().filter(|set| set.len() == 1).and_then(BTreeSet::first);
                if !matches!(one, Some(&Protocol::ICMP | &Protocol::ICMPV6)) {
                    problems.push(FirewallProblem::IcmpWithoutProtocol);
                }
                if types.is_empty() {
                    problems.push(FirewallProblem::Empty("icmp type"));
                }
            }
            Match::CtState { states, .. } if states.is_empty() => {
                problems.push(FirewallProblem::Empty("ct state"));
            }
            Match::Limit { rate: 0, .. } => problems.push(FirewallProblem::Rate),
            Match::Unknown(what) => problems.push(FirewallProblem::Unknown(what.to_string())),
            _ => {}
        }
    }

    fn action(
        &self,
        chain: &Chain,
        rule: &FirewallRule,
        protocols: Option<&BTreeSet<Protocol>>,
        problems: &mut Vec<FirewallProblem>,
    ) {
        let nat_at: &[HookPoint] = match &rule.action {
            Action::Masquerade { .. } => &[HookPoint::Postrouting],
            Action::Snat { .. } | Action::SnatPrefix(_) => &[HookPoint::Postrouting, HookPoint::Input],
            Action::Dnat { .. } | Action::DnatPrefix(_) | Action::Spread { .. } | Action::Redirect { .. } => {
                &[HookPoint::Prerouting, HookPoint::Output]
            }
            _ => &[],
        };
        if let (false, Some(hook)) = (nat_at.is_empty(), &chain.hook)
            && (hook.kind != ChainKind::Nat || !nat_at.contains(&hook.point))
        {
            let place = "this chain: translation of the source belongs into a nat chain at postrouting \
                         (or input), of the destination at prerouting (or output)";
            problems.push(FirewallProblem::Action { action: rule.action.to_string(), place });
        }
        match &rule.action {
            Action::Jump(name) | Action::Goto(name)
                if self.chains.get(&**name).is_none_or(|target| target.hook.is_some()) =>
            {
                problems.push(FirewallProblem::Chain(name.clone()));
            }
            Action::Reject(RejectWith::TcpReset) if protocols != Some(&BTreeSet::from([Protocol::TCP])) => {
                problems.push(FirewallProblem::ResetWithoutTcp);
            }
            Action::Reject(_) if chain.hook.as_ref().is_some_and(|hook| hook.kind == ChainKind::Nat) => {
                let action = rule.action.to_string();
                problems.push(FirewallProblem::Action { action, place: "a nat chain" });
            }
            Action::Snat { to, .. } | Action::Dnat { to }
                if to.first.is_ipv4() != to.last.is_ipv4() || to.first > to.last =>
            {
                problems.push(FirewallProblem::Range { first: to.first, last: to.last });
            }
            Action::Spread { to, .. } => {
                let alike = |(address, port): &(IpAddr, Option<u16>)| (address.is_ipv4(), port.is_some());
                let kinds: BTreeSet<_> = to.iter().map(alike).collect();
                if !(2..=1000).contains(&to.len()) || kinds.len() != 1 {
                    problems.push(FirewallProblem::Targets);
                }
            }
            Action::SnatPrefix(prefix) | Action::DnatPrefix(prefix) if prefix.trunc() != *prefix => {
                problems.push(FirewallProblem::HostBits(*prefix));
            }
            Action::Unknown(what) => problems.push(FirewallProblem::Unknown(what.to_string())),
            _ => {}
        }
        let translates_ports = match &rule.action {
            Action::Masquerade { ports, .. } | Action::Redirect { ports } => ports.is_some(),
            Action::Snat { to, .. } | Action::Dnat { to } => to.ports.is_some(),
            Action::Spread { to, .. } => to.iter().any(|(_, port)| port.is_some()),
            _ => false,
        };
        if translates_ports && !protocols.is_some_and(|set| set.iter().all(|protocol| protocol.has_ports())) {
            problems.push(FirewallProblem::PortsWithoutProtocol);
        }
        if chain.on_device() {
            match rule.action {
                Action::Continue
                | Action::Accept
                | Action::Drop
                | Action::Return
                | Action::SetMark { .. } => {}
                _ => problems.push(FirewallProblem::OnDevice(rule.action.to_string())),
            }
        }
    }
}

fn empty<N: super::Network>(list: &Networks<N>, problems: &mut Vec<FirewallProblem>) {
    if list.is_empty() {
        problems.push(FirewallProblem::Empty("addresses"));
    }
}

/// Device chains stand alone (no sets), and come before connection tracking and routing.
const fn possible_on_device(condition: &Match) -> bool {
    !matches!(
        condition,
        Match::CtState { .. }
            | Match::CtStatus { .. }
            | Match::SourceType { .. }
            | Match::DestinationType { .. }
            | Match::Source { addresses: Addresses::Set(_), .. }
            | Match::Destination { addresses: Addresses::Set(_), .. }
            | Match::SourcePort { ports: PortSelector::Set(_), .. }
            | Match::DestinationPort { ports: PortSelector::Set(_), .. }
    )
}

impl FirewallRule {
    /// The rule's place in words: `chain forward, rule 3 "web to db" (shop.yaml:12:3)`.
    #[must_use]
    pub fn place(&self, chain: &str, index: usize) -> String {
        let mut place = format!("chain {chain}, rule {}", index + 1);
        if let Some(name) = &self.name {
            place.push_str(&format!(" \"{name}\""));
        }
        if let Some(origin) = &self.origin {
            place.push_str(&format!(" ({origin})"));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::FirewallProblem as Problem;

    fn problems(firewall: &Firewall) -> Vec<Problem> {
        firewall.check().into_iter().map(|fault| fault.problem).collect()
    }

    fn forward(rule: FirewallRule) -> Firewall {
        let chain = Chain::base("forward", HookPoint::Forward, ChainKind::Filter, 0, Policy::Drop).rule(rule);
        Firewall { chains: vec![chain], ..Firewall::default() }
    }

    #[test]
    fn an_ordinary_table_has_no_fault() {
        let web = FirewallRule::new(Action::Accept)
            .when(Match::source("10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()))
            .when(Match::protocol(Protocol::TCP))
            .when(Match::port(80));
        assert_eq!(problems(&forward(web)), []);
    }

    #[test]
    fn what_cannot_work_is_named_with_its_place() {
        let accept = || FirewallRule::new(Action::Accept);
        let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
        let cases = [
            (accept().when(Match::port(80)), Problem::PortsWithoutProtocol),
            (
                accept().when(Match::protocol(Protocol::ICMP)).when(Match::port(80)),
                Problem::PortsWithoutProtocol,
            ),
            (
                accept().when(Match::source(net("10.0.0.0/8"))).when(Match::destination(net("fd00::/8"))),
                Problem::Families,
            ),
            (accept().when(Match::source(Addresses::Set("x".into()))), Problem::Set("x".into())),
            (FirewallRule::new(Action::Jump("x".into())), Problem::Chain("x".into())),
            (FirewallRule::new(Action::Jump("forward".into())), Problem::Chain("forward".into())),
            (FirewallRule::new(Action::Reject(RejectWith::TcpReset)), Problem::ResetWithoutTcp),
            (accept().when(Match::state([])), Problem::Empty("ct state")),
        ];
        for (rule, problem) in cases {
            let faults = forward(rule.named("r").from(&"x.yaml:1:2")).check();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].problem, problem);
            assert_eq!(faults[0].place, "chain forward, rule 1 \"r\" (x.yaml:1:2)");
        }
    }

    #[test]
    fn loops_and_doubles_are_found() {
        let jump = |name: &str| FirewallRule::new(Action::Jump(name.into()));
        let chains = vec![
            Chain::regular("a").rule(jump("b")),
            Chain::regular("b").rule(jump("a")),
            Chain::regular("c").rule(jump("a")),
            Chain::regular("c"),
            Chain::regular("4"),
        ];
        let found = problems(&Firewall { chains, ..Firewall::default() });
        assert_eq!(
            found,
            [
                Problem::Duplicate,
                Problem::Name("4".into()),
                Problem::Loop("a".into()),
                Problem::Loop("b".into())
            ]
        );
    }

    #[test]
    fn chains_on_a_device_stand_alone() {
        let device = "eth0".parse().unwrap();
        let state = FirewallRule::new(Action::Drop).when(Match::state([CtState::New]));
        let chain = Chain::base("in", HookPoint::Ingress { device }, ChainKind::Filter, 0, Policy::Accept)
            .rule(state);
        let table = Firewall { chains: vec![chain], ..Firewall::default() };
        assert_eq!(problems(&table), [Problem::OnDevice("ct state new".into())]);
    }

    #[test]
    fn collections_are_canonical() {
        let nets =
            |list: &[&str]| list.iter().map(|n| n.parse().unwrap()).collect::<Networks<ipnet::Ipv4Net>>();
        assert_eq!(nets(&["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7/32"]), nets(&["10.0.0.9/24"]));
        let ports = |list: &[&str]| list.iter().map(|p| p.parse().unwrap()).collect::<Ports>();
        assert_eq!(ports(&["81", "80", "1-79", "65535"]), ports(&["65535", "1-81"]));
        let rule = FirewallRule::new(Action::Accept)
            .when(Match::Family(crate::object::Family::V4))
            .when(Match::source("10.0.0.0/8".parse::<ipnet::IpNet>().unwrap()));
        assert_eq!(rule.canonical().matches.len(), 1);
    }
}
