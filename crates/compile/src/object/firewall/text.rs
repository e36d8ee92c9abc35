//! Rules as short text in the manner of nft(8), for plans and error messages.

use super::super::Family;
use super::{
    Action, AddressType, Addresses, Balance, CtState, CtStatus, FirewallRule, Hook, HookPoint, Match,
};
use super::{ChainKind, LimitPeriod, NatTarget, Policy, PortRange, PortSelector, RejectWith};
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

/// `a`, or `{ a, b }`; long lists end in their number.
fn list<T: Display>(f: &mut Formatter<'_>, mut items: impl ExactSizeIterator<Item = T>) -> fmt::Result {
    let count = items.len();
    if count == 1 {
        return items.try_for_each(|item| write!(f, "{item}"));
    }
    f.write_str("{ ")?;
    for (index, item) in items.take(8).enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    if count > 8 {
        write!(f, ", ... {count} in all")?;
    }
    f.write_str(" }")
}

const fn not(negated: bool) -> &'static str {
    if negated { "!= " } else { "" }
}

impl Display for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(networks) => list(f, networks.as_slice().iter().map(|net| host_or_net((*net).into()))),
            Self::V6(networks) => list(f, networks.as_slice().iter().map(|net| host_or_net((*net).into()))),
            Self::Set(name) => write!(f, "@{name}"),
        }
    }
}

fn host_or_net(net: ipnet::IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

impl Display for PortSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(ports) => list(f, ports.as_slice().iter()),
            Self::Set(name) => write!(f, "@{name}"),
        }
    }
}

impl Addresses {
    fn keyword(&self) -> &'static str {
        match self.family() {
            Some(family) => keyword(family),
            None => "ip",
        }
    }
}

const fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputInterface { names, negated } => {
                write!(f, "iifname {}", not(*negated))?;
                list(f, names.iter())
            }
            Self::OutputInterface { names, negated } => {
                write!(f, "oifname {}", not(*negated))?;
                list(f, names.iter())
            }
            Self::Family(Family::V4) => f.write_str("meta nfproto ipv4"),
            Self::Family(Family::V6) => f.write_str("meta nfproto ipv6"),
            Self::Source { addresses, negated } => {
                write!(f, "{} saddr {}{addresses}", addresses.keyword(), not(*negated))
            }
            Self::Destination { addresses, negated } => {
                write!(f, "{} daddr {}{addresses}", addresses.keyword(), not(*negated))
            }
            Self::Protocol { protocols, negated } => {
                write!(f, "meta l4proto {}", not(*negated))?;
                list(f, protocols.iter())
            }
            Self::SourcePort { ports, negated } => write!(f, "sport {}{ports}", not(*negated)),
            Self::DestinationPort { ports, negated } => write!(f, "dport {}{ports}", not(*negated)),
            Self::IcmpType { types } => {
                f.write_str("icmp type ")?;
                list(f, types.iter())
            }
            Self::CtState { states, negated } => {
                write!(f, "ct state {}", not(*negated))?;
                for (index, state) in states.iter().enumerate() {
                    write!(f, "{}{state}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::CtStatus { status, negated } => write!(f, "ct status {}{status}", not(*negated)),
            Self::Mark { value, mask: u32::MAX, negated } => {
                write!(f, "meta mark {}{value:#x}", not(*negated))
            }
            Self::Mark { value, mask, negated } => {
                write!(f, "meta mark and {mask:#x} {}{value:#x}", not(*negated))
            }
            Self::Dscp { family, dscp, negated } => {
                write!(f, "{} dscp {}{dscp}", keyword(*family), not(*negated))
            }
            Self::SourceType { address, negated } => write!(f, "fib saddr type {}{address}", not(*negated)),
            Self::DestinationType { address, negated } => {
                write!(f, "fib daddr type {}{address}", not(*negated))
            }
            Self::Limit { rate, per, burst, over } => {
                let over = if *over { "over " } else { "" };
                write!(f, "limit rate {over}{rate}/{per} burst {burst} packets")
            }
            Self::Unknown(what) => write!(f, "<{what}>"),
        }
    }
}

/// Implements `Display` of an enum by a table of words.
macro_rules! words {
    ($($type:ident { $($variant:ident => $word:literal,)+ })+) => {$(
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    )+};
}

words! {
    CtState {
        Invalid => "invalid", Established => "established", Related => "related", New => "new",
        Untracked => "untracked",
    }
    CtStatus { SeenReply => "seen-reply", Assured => "assured", Snat => "snat", Dnat => "dnat", }
    AddressType { Unicast => "unicast", Local => "local", Broadcast => "broadcast", Multicast => "multicast", }
    LimitPeriod { Second => "second", Minute => "minute", Hour => "hour", Day => "day", Week => "week", }
    Policy { Accept => "accept", Drop => "drop", }
    ChainKind { Filter => "filter", Nat => "nat", Route => "route", }
    RejectWith {
        TcpReset => "tcp reset", NoRoute => "icmpx no-route", PortUnreachable => "icmpx port-unreachable",
        HostUnreachable => "icmpx host-unreachable", AdminProhibited => "icmpx admin-prohibited",
    }
}

fn socket(address: &IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| std::net::SocketAddr::new(*address, port).to_string())
}

impl Display for NatTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let brackets = self.ports.is_some() && self.first.is_ipv6();
        let one = |address: &IpAddr| if brackets { format!("[{address}]") } else { address.to_string() };
        f.write_str(&one(&self.first))?;
        if self.last != self.first {
            write!(f, "-{}", one(&self.last))?;
        }
        self.ports.map_or(Ok(()), |ports| write!(f, ":{ports}"))
    }
}

fn to_ports(ports: Option<PortRange>) -> String {
    ports.map_or_else(String::new, |ports| format!(" to :{ports}"))
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("continue"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Reject(with) => write!(f, "reject with {with}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
            Self::Masquerade { ports, random } => {
                let random = if *random { " fully-random" } else { "" };
                write!(f, "masquerade{}{random}", to_ports(*ports))
            }
            Self::Snat { to, random, persistent } => {
                write!(f, "snat to {to}")?;
                f.write_str(if *random { " fully-random" } else { "" })?;
                f.write_str(if *persistent { " persistent" } else { "" })
            }
            Self::Dnat { to } => write!(f, "dnat to {to}"),
            Self::Spread { by, to } => {
                let by = match by {
                    Balance::RoundRobin => "in turn",
                    Balance::Random => "at random",
                    Balance::Source => "by source",
                };
                write!(f, "dnat {by} to ")?;
                list(f, to.iter().map(|(address, port)| socket(address, *port)))
            }
            Self::SnatPrefix(prefix) => write!(f, "snat prefix to {prefix}"),
            Self::DnatPrefix(prefix) => write!(f, "dnat prefix to {prefix}"),
            Self::Redirect { ports } => write!(f, "redirect{}", to_ports(*ports)),
            Self::SetMark { value, mask: u32::MAX } => write!(f, "meta mark set {value:#x}"),
            Self::SetMark { value, mask } => write!(f, "meta mark set bits {mask:#x} to {value:#x}"),
            Self::Notrack => f.write_str("notrack"),
            Self::Unknown(what) => write!(f, "<{what}>"),
        }
    }
}

impl Display for FirewallRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        if self.counter {
            f.write_str("counter ")?;
        }
        if let Some(log) = &self.log {
            write!(f, "log prefix \"{}\" ", log.prefix)?;
            if let Some(group) = log.group {
                write!(f, "group {group} ")?;
            }
        }
        write!(f, "{}", self.action)
    }
}

impl Display for HookPoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prerouting => f.write_str("prerouting"),
            Self::Input => f.write_str("input"),
            Self::Forward => f.write_str("forward"),
            Self::Output => f.write_str("output"),
            Self::Postrouting => f.write_str("postrouting"),
            Self::Ingress { device } => write!(f, "ingress of {device}"),
            Self::Egress { device } => write!(f, "egress of {device}"),
        }
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, priority {}, policy {}", self.kind, self.point, self.priority, self.policy)
    }
}
