//! Routes, rules, neighbours and forwarding entries.

use netloom_wire::{InterfaceName, MacAddr};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A route. Destination, table and metric are in the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What happens to a packet that takes it.
    pub action: RouteAction,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// MTU of the path, if not that of the interface.
    pub mtu: Option<u32>,
}

/// What a route does (`RTN_*`, linux/rtnetlink.h).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum RouteAction {
    /// Forward by one of the next hops, sorted; several share by weight.
    Forward {
        /// At least one.
        hops: Vec<NextHop>,
    },
    /// Drop silently.
    Blackhole,
    /// Answer "unreachable".
    Unreachable,
    /// Answer "prohibited".
    Prohibit,
}

/// A next hop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextHop {
    /// Gateway; absent when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Interface; always present in desired routes.
    pub device: Option<InterfaceName>,
    /// Share among several, 1 to 256.
    pub weight: u16,
}

/// A policy-routing rule. Priority and family are in the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Source prefix.
    pub from: Option<ipnet::IpNet>,
    /// Destination prefix.
    pub to: Option<ipnet::IpNet>,
    /// Interface of arrival.
    pub input: Option<InterfaceName>,
    /// Interface of departure, for local sockets bound to it.
    pub output: Option<InterfaceName>,
    /// Firewall mark and mask.
    pub mark: Option<(u32, u32)>,
    /// What to do.
    pub action: RuleAction,
}

/// What a rule does (`FR_ACT_*`, linux/fib_rules.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleAction {
    /// Look the destination up in a table.
    Lookup(u32),
    /// Drop silently.
    Blackhole,
    /// Answer "unreachable".
    Unreachable,
    /// Answer "prohibited".
    Prohibit,
}

/// A permanent neighbour entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Hardware address.
    pub mac: MacAddr,
}

/// A static forwarding entry; all of it is in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// Permanent (never ages, never moves) rather than static.
    pub permanent: bool,
}
