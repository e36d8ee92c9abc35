//! One rule: what it looks at and what it does.

use super::super::Family;
use super::values::{Addresses, PortRange, Ports, Protocol};
use ipnet::IpNet;
use netloom_wire::{Dscp, InterfaceName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// One rule: if all matches hold, it counts, logs and acts, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallRule {
    /// What must hold; an empty list holds for every packet. Looked at in order, so put
    /// [`Match::Limit`] last.
    pub matches: Vec<Match>,
    /// Count packets and bytes.
    pub counter: bool,
    /// Write a line about the packet.
    pub log: Option<Log>,
    /// What happens to the packet.
    pub action: Action,
    /// The rule in the user's words, like `web to db`; at most 80 bytes are kept.
    pub name: Option<Arc<str>>,
    /// Where the user asked for it, `file:line:column`; the last 120 bytes are kept. Never compared.
    pub origin: Option<Arc<str>>,
}

impl FirewallRule {
    /// A rule for every packet.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self { matches: Vec::new(), counter: false, log: None, action, name: None, origin: None }
    }

    /// The same, if `condition` holds as well.
    #[must_use]
    pub fn when(mut self, condition: Match) -> Self {
        self.matches.push(condition);
        self
    }

    /// The same, counting.
    #[must_use]
    pub const fn counted(mut self) -> Self {
        self.counter = true;
        self
    }

    /// The same, with a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same, with the place that asked for it.
    #[must_use]
    pub fn from(mut self, origin: &impl std::fmt::Display) -> Self {
        self.origin = Some(origin.to_string().into());
        self
    }

    /// The address families that matches and action ask for by themselves; sets are not looked up.
    pub(super) fn implied_families(&self) -> impl Iterator<Item = Family> {
        self.matches.iter().filter_map(Match::implied_family).chain(self.action.implied_family())
    }

    /// The one form in which equal rules are equal values.
    ///
    /// A match of the address family goes where another match or the action asks for that family
    /// anyway; bits outside a mask are cleared; labels are shortened and cleaned to what the kernel
    /// can keep (256 bytes in all).
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut rule = self.clone();
        let needs_set = rule.matches.iter().any(Match::implies_family_by_set);
        let implied: BTreeSet<Family> = self.implied_families().collect();
        let mut seen = BTreeSet::new();
        rule.matches.retain(|condition| match condition {
            // The set's own family check makes this one superfluous: the two must agree or nothing matches.
            Match::Family(family) => !needs_set && !implied.contains(family) && seen.insert(*family),
            _ => true,
        });
        for condition in &mut rule.matches {
            match condition {
                Match::Mark { value, mask, .. } => *value &= *mask,
                Match::Limit { burst, .. } if *burst == 0 => *burst = 5,
                _ => {}
            }
        }
        if let Action::SetMark { value, mask } = &mut rule.action {
            *value &= *mask;
        }
        if let Some(log) = &mut rule.log {
            log.prefix = label(&log.prefix, 120, false);
        }
        rule.name = rule.name.map(|name| label(&name, 80, false)).filter(|name| !name.is_empty());
        rule.origin = rule.origin.map(|origin| label(&origin, 120, true)).filter(|origin| !origin.is_empty());
        rule
    }
}

/// At most `limit` bytes of a text, the end or the beginning, without what would break a quoted string.
fn label(text: &str, limit: usize, keep_end: bool) -> Arc<str> {
    let mut clean: String =
        text.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect::<String>();
    if keep_end {
        while clean.len() > limit {
            clean.remove(0);
        }
    } else {
        while clean.len() > limit {
            clean.pop();
        }
    }
    clean.into()
}

/// A line about a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Text in front of it; at most 120 bytes are kept.
    pub prefix: Arc<str>,
    /// The netlink log group that gets the packet; without it the kernel's log gets the line.
    pub group: Option<u16>,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It arrived on one of these interfaces (or on none of them).
    InputInterface {
        /// Exact names, at least one.
        names: BTreeSet<InterfaceName>,
        /// None of them.
        negated: bool,
    },
    /// It leaves through one of these interfaces (or through none of them).
    OutputInterface {
        /// Exact names, at least one.
        names: BTreeSet<InterfaceName>,
        /// None of them.
        negated: bool,
    },
    /// It is of this address family.
    Family(Family),
    /// It comes from one of these addresses; implies their family.
    Source {
        /// Addresses, at least one.
        addresses: Addresses,
        /// None of them.
        negated: bool,
    },
    /// It goes to one of these addresses; implies their family.
    Destination {
        /// Addresses, at least one.
        addresses: Addresses,
        /// None of them.
        negated: bool,
    },
    /// It carries one of these transport protocols (or none of them).
    Protocol {
        /// Protocols, at least one.
        protocols: BTreeSet<Protocol>,
        /// None of them.
        negated: bool,
    },
    /// Its source port. A `Protocol` match that leaves only protocols with ports must come before.
    SourcePort {
        /// Ports.
        ports: PortSelector,
        /// None of them.
        negated: bool,
    },
    /// Its destination port. A `Protocol` match that leaves only protocols with ports must come before.
    DestinationPort {
        /// Ports.
        ports: PortSelector,
        /// None of them.
        negated: bool,
    },
    /// Its ICMP or ICMPv6 type (IANA). A `Protocol` match of exactly one of the two must come before.
    IcmpType {
        /// Types, at least one.
        types: BTreeSet<u8>,
    },
    /// Its connection is in one of these states (or in none of them).
    CtState {
        /// States, at least one.
        states: BTreeSet<CtState>,
        /// None of them.
        negated: bool,
    },
    /// Its connection has this property (or not).
    CtStatus {
        /// The property.
        status: CtStatus,
        /// It does not have it.
        negated: bool,
    },
    /// Its mark, where the mask has ones.
    Mark {
        /// The value.
        value: u32,
        /// The bits that are compared.
        mask: u32,
        /// The mark is another one.
        negated: bool,
    },
    /// Its DiffServ code point; implies the family.
    Dscp {
        /// The family: the field lies elsewhere in each.
        family: Family,
        /// The code point.
        dscp: Dscp,
        /// Another one.
        negated: bool,
    },
    /// The type of its source address by the routing table.
    SourceType {
        /// The type.
        address: AddressType,
        /// Another one.
        negated: bool,
    },
    /// The type of its destination address by the routing table.
    DestinationType {
        /// The type.
        address: AddressType,
        /// Another one.
        negated: bool,
    },
    /// It is within a rate of packets (or beyond it): a token bucket of the rule.
    Limit {
        /// Packets per period, at least 1.
        rate: u64,
        /// The period.
        per: LimitPeriod,
        /// How many may come at once; 0 means 5.
        burst: u32,
        /// Match what is beyond the rate instead.
        over: bool,
    },
    /// Observed only: something Netloom cannot have written.
    Unknown(Arc<str>),
}

impl Match {
    /// It arrived on this interface.
    #[must_use]
    pub fn input(name: InterfaceName) -> Self {
        Self::InputInterface { names: BTreeSet::from([name]), negated: false }
    }

    /// It leaves through this interface.
    #[must_use]
    pub fn output(name: InterfaceName) -> Self {
        Self::OutputInterface { names: BTreeSet::from([name]), negated: false }
    }

    /// It comes from these addresses.
    #[must_use]
    pub fn source(addresses: impl Into<Addresses>) -> Self {
        Self::Source { addresses: addresses.into(), negated: false }
    }

    /// It goes to these addresses.
    #[must_use]
    pub fn destination(addresses: impl Into<Addresses>) -> Self {
        Self::Destination { addresses: addresses.into(), negated: false }
    }

    /// It carries this protocol.
    #[must_use]
    pub fn protocol(protocol: Protocol) -> Self {
        Self::Protocol { protocols: BTreeSet::from([protocol]), negated: false }
    }

    /// It goes to these ports.
    #[must_use]
    pub fn port(ports: impl Into<Ports>) -> Self {
        Self::DestinationPort { ports: PortSelector::Of(ports.into()), negated: false }
    }

    /// Its connection is in one of these states.
    #[must_use]
    pub fn state(states: impl IntoIterator<Item = CtState>) -> Self {
        Self::CtState { states: states.into_iter().collect(), negated: false }
    }

    const fn implied_family(&self) -> Option<Family> {
        match self {
            Self::Source { addresses, .. } | Self::Destination { addresses, .. } => addresses.family(),
            Self::Dscp { family, .. } => Some(*family),
            _ => None,
        }
    }

    const fn implies_family_by_set(&self) -> bool {
        matches!(
            self,
            Self::Source { addresses: Addresses::Set(_), .. }
                | Self::Destination { addresses: Addresses::Set(_), .. }
        )
    }
}

/// What a port is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortSelector {
    /// Any of these, at least one.
    Of(Ports),
    /// Any element of the named set.
    Set(Arc<str>),
}

/// States of a connection (`enum ip_conntrack_info`, linux/netfilter/nf_conntrack_common.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CtState {
    /// Belongs to no connection, like a stray answer.
    Invalid,
    /// Belongs to a connection that was answered.
    Established,
    /// Opens a connection that another one announced, or is an ICMP error about one.
    Related,
    /// Opens a connection.
    New,
    /// Exempt from tracking.
    Untracked,
}

/// Properties of a connection (`enum ip_conntrack_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CtStatus {
    /// Both sides have spoken.
    SeenReply,
    /// Worth keeping when the table is full.
    Assured,
    /// Its source is translated.
    Snat,
    /// Its destination is translated: it came by a port mapping.
    Dnat,
}

/// Types of an address by the routing table (`RTN_*`, linux/rtnetlink.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressType {
    /// Reached through a gateway or on a link.
    Unicast,
    /// An address of this namespace.
    Local,
    /// A broadcast address.
    Broadcast,
    /// A multicast group.
    Multicast,
}

/// Periods of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitPeriod {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
    /// 604,800 s.
    Week,
}

impl LimitPeriod {
    /// All periods.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week];

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: the next rule looks at it (the rule only counts or logs).
    Continue,
    /// Let it pass this chain's hook.
    Accept,
    /// Drop it silently.
    Drop,
    /// Drop it and tell the sender.
    Reject(RejectWith),
    /// Go through another chain and come back.
    Jump(Arc<str>),
    /// Go through another chain, and not come back to this one.
    Goto(Arc<str>),
    /// Go back to where this chain was jumped from; in a base chain, to its policy.
    Return,
    /// Translate the source to the address of the interface it leaves through.
    Masquerade {
        /// Source ports to use.
        ports: Option<PortRange>,
        /// Choose ports at random (`fully-random`).
        random: bool,
    },
    /// Translate the source.
    Snat {
        /// New source.
        to: NatTarget,
        /// Choose ports at random (`fully-random`).
        random: bool,
        /// Give a client the same address for each of its connections.
        persistent: bool,
    },
    /// Translate the destination.
    Dnat {
        /// New destination.
        to: NatTarget,
    },
    /// Translate the destination to one of several: a small load balancer.
    Spread {
        /// How the target is chosen.
        by: Balance,
        /// Targets (address, port) of one family, at least two, all with or all without a port; name
        /// one twice to give it twice the share.
        to: Vec<(IpAddr, Option<u16>)>,
    },
    /// Translate the source one to one into this prefix, keeping the host bits.
    SnatPrefix(IpNet),
    /// Translate the destination one to one into this prefix, keeping the host bits.
    DnatPrefix(IpNet),
    /// Translate the destination to this namespace itself.
    Redirect {
        /// New destination ports.
        ports: Option<PortRange>,
    },
    /// Set bits of the mark; the next rule looks at the packet.
    SetMark {
        /// New value of these bits.
        value: u32,
        /// Which bits are set.
        mask: u32,
    },
    /// Exempt from connection tracking; the next rule looks at the packet.
    Notrack,
    /// Observed only: something Netloom cannot have written.
    Unknown(Arc<str>),
}

impl Action {
    pub(super) fn implied_family(&self) -> Option<Family> {
        match self {
            Self::Snat { to, .. } | Self::Dnat { to } => Some(Family::of(&to.first)),
            Self::Spread { to, .. } => to.first().map(|(address, _)| Family::of(address)),
            Self::SnatPrefix(prefix) | Self::DnatPrefix(prefix) => Some(Family::of(&prefix.addr())),
            _ => None,
        }
    }
}

/// Addresses and ports that a translation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatTarget {
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family; equal to the first for a single one.
    pub last: IpAddr,
    /// Ports, if they change. The packet's protocol must have ports.
    pub ports: Option<PortRange>,
}

impl NatTarget {
    /// A single address; the port stays.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        Self { first: address, last: address, ports: None }
    }

    /// A single address and port.
    #[must_use]
    pub const fn socket(address: std::net::SocketAddr) -> Self {
        let port = address.port();
        Self { first: address.ip(), last: address.ip(), ports: Some(PortRange::new(port, port)) }
    }
}

/// How one of several targets is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// At random.
    Random,
    /// By the source address: a client always gets the same target.
    Source,
}

/// How a sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectWith {
    /// A TCP reset: "connection refused". A `Protocol` match of TCP must come before.
    TcpReset,
    /// ICMP or ICMPv6 "no route".
    NoRoute,
    /// ICMP or ICMPv6 "port unreachable".
    PortUnreachable,
    /// ICMP "host unreachable", ICMPv6 "address unreachable".
    HostUnreachable,
    /// ICMP or ICMPv6 "administratively prohibited".
    AdminProhibited,
}
