//! Netloom's packet-filter table of a namespace, in the terms of the field.
//!
//! What: one [`Firewall`] is all that Netloom filters and translates in a namespace. Linux realizes it
//! as one nf_tables table of family `inet`, plus one of family `netdev` for chains that sit on a device
//! ([`HookPoint::Ingress`], [`HookPoint::Egress`]). The language is closed: whatever is written in it
//! can be put into the kernel, read back and compared, so nothing changed by hand stays unseen.
//!
//! Invariants:
//! - Collections of addresses and ports are canonical: sorted, without overlap, neighbours merged.
//! - [`FirewallRule::canonical`] gives the one form in which equal rules are equal values; what is
//!   observed is always in that form.
//! - Chains and sets are told apart by name; their order means nothing. The order of rules does.
//! - A rule's `origin` is a label, not behaviour: it is shown by `nft list` but never compared, since
//!   otherwise a line added at the top of a file would change every rule below it.
//!
//! Deliberately absent: packet parsing, expressions and registers (crate `kernel`), maps and stateful
//! objects, anything that only bridges or flow tables need.

mod check;
mod compare;
mod rule;
mod text;
mod values;

pub use check::{FirewallFault, FirewallProblem};
pub use rule::{
    Action, AddressType, Balance, CtState, CtStatus, FirewallRule, LimitPeriod, Log, Match, NatTarget,
    PortSelector, RejectWith,
};
pub use values::{Addresses, Network, Networks, PortRange, Ports, Protocol};

use netloom_wire::InterfaceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The complete table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Chains; names are unique.
    pub chains: Vec<Chain>,
    /// Named sets that rules of `inet` chains may refer to; names are unique.
    pub sets: Vec<Set>,
    /// Observed only: somebody switched the table off (`flags dormant`). Never desired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dormant: bool,
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Name, an nft identifier: a letter, then up to 63 of `a-z A-Z 0-9 _ - . /`.
    pub name: Arc<str>,
    /// Where packets enter it; a chain without hook is only entered by [`Action::Jump`] and
    /// [`Action::Goto`] from `inet` chains.
    pub hook: Option<Hook>,
    /// Rules, looked at in this order.
    pub rules: Vec<FirewallRule>,
}

impl Chain {
    /// A chain that packets enter at `point`.
    #[must_use]
    pub fn base(name: &str, point: HookPoint, kind: ChainKind, priority: i32, policy: Policy) -> Self {
        let hook = Hook { point, kind, priority, policy };
        Self { name: name.into(), hook: Some(hook), rules: Vec::new() }
    }

    /// A chain that only other chains lead to.
    #[must_use]
    pub fn regular(name: &str) -> Self {
        Self { name: name.into(), hook: None, rules: Vec::new() }
    }

    /// The same chain with `rule` at its end.
    #[must_use]
    pub fn rule(mut self, rule: FirewallRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Whether the chain sits on a device, and so belongs into the `netdev` table.
    #[must_use]
    pub fn on_device(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.point.device().is_some())
    }
}

/// Where and how packets enter a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The place in the packet's path.
    pub point: HookPoint,
    /// What the chain may do.
    pub kind: ChainKind,
    /// Smaller is earlier. Of use: -300 raw, -150 mangle, -100 destination NAT, 0 filter, 100 source NAT.
    pub priority: i32,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
}

/// Places in a packet's path (`NF_INET_*`, `NF_NETDEV_*`, linux/netfilter.h).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// Just arrived, before routing.
    Prerouting,
    /// For this namespace itself.
    Input,
    /// Routed through this namespace.
    Forward,
    /// Made in this namespace.
    Output,
    /// About to leave, after routing.
    Postrouting,
    /// Arriving on a device, before anything else has looked at the frame (also bridged and non-IP ones).
    Ingress {
        /// The device.
        device: InterfaceName,
    },
    /// Leaving through a device.
    Egress {
        /// The device.
        device: InterfaceName,
    },
}

impl HookPoint {
    /// The device of a device hook.
    #[must_use]
    pub const fn device(&self) -> Option<&InterfaceName> {
        match self {
            Self::Ingress { device } | Self::Egress { device } => Some(device),
            _ => None,
        }
    }
}

/// What a chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses; sees only the first packet of each connection.
    Nat,
    /// Change the mark of outgoing packets and have them routed again; at [`HookPoint::Output`] only.
    Route,
}

/// What happens at the end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Let the packet pass.
    Accept,
    /// Drop it.
    Drop,
}

/// A named set: kept apart from the rules, so that large groups cost one look-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Name, of the same form as a chain's.
    pub name: Arc<str>,
    /// Type and content.
    pub elements: SetElements,
}

/// Type and content of a named set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetElements {
    /// IPv4 prefixes.
    V4(Networks<ipnet::Ipv4Net>),
    /// IPv6 prefixes.
    V6(Networks<ipnet::Ipv6Net>),
    /// Ports and ranges of them.
    Ports(Ports),
    /// Interface names.
    Interfaces(BTreeSet<InterfaceName>),
    /// Observed only: a set that Netloom cannot have made.
    Unknown(Arc<str>),
}

impl Firewall {
    /// The chain called `name`.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| &*chain.name == name)
    }

    /// The set called `name`.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| &*set.name == name)
    }

    /// The devices that chains sit on: they must exist before the table can be made.
    pub fn devices(&self) -> impl Iterator<Item = &InterfaceName> {
        self.chains.iter().filter_map(|chain| chain.hook.as_ref()).filter_map(|hook| hook.point.device())
    }

    /// The same table with every rule in its one form ([`FirewallRule::canonical`]).
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut table = self.clone();
        for chain in &mut table.chains {
            for rule in &mut chain.rules {
                *rule = rule.canonical();
            }
        }
        table
    }
}
