//! A picture of the live system: everything that decides about a packet, in plain values.
//!
//! What: [`Picture`] is what `netloom why` walks through: of every namespace of a topology, and of the host's, the
//! interfaces, addresses, routes, rules, neighbours, forwarding entries, packet filters, listeners and parameters that
//! are there now, whoever made them. `Kernel::picture` takes it; tests write it down or derive it from a description.
//!
//! Invariants: nothing is left out because it is the kernel's own or somebody else's; what could not be read is said in
//! [`SpacePicture::unread`] instead of being taken for absent.
//!
//! Deliberately absent: counters, queueing, connections that are tracked now; secret keys of WireGuard (they are zero).

use ipnet::IpNet;
use netloom_compile::object::{Family, Firewall, Link, NextHop, Rule, RuleAction, Space};
use netloom_wire::{InterfaceName, MacAddr, NodeName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What there is of a topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The topology.
    pub topology: NodeName,
    /// Its namespaces, and the host's.
    pub spaces: BTreeMap<Space, SpacePicture>,
}

/// What there is in one namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpacePicture {
    /// Interfaces by name.
    pub interfaces: BTreeMap<InterfaceName, InterfacePicture>,
    /// Routes of all tables, the kernel's own included.
    pub routes: Vec<RoutePicture>,
    /// Policy-routing rules of both families, in the order of their priorities.
    pub rules: Vec<RulePicture>,
    /// Neighbours, permanent and learned.
    pub neighbours: Vec<NeighbourPicture>,
    /// Forwarding entries of bridges and tunnels, fixed and learned.
    pub entries: Vec<EntryPicture>,
    /// Packet-filter tables.
    pub filters: Vec<FilterPicture>,
    /// Who listens.
    pub listeners: Vec<Listener>,
    /// Parameters below `/proc/sys` that matter, by path.
    pub settings: BTreeMap<String, String>,
    /// What is there and could not be read, in words.
    pub unread: Vec<String>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfacePicture {
    /// How it is.
    pub link: Link,
    /// Whether it has a carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Its addresses, with the link-local one.
    pub addresses: Vec<IpNet>,
    /// As a port of a bridge: whether the spanning tree lets frames pass (state `forwarding`).
    pub forwarding_state: bool,
    /// Whether IPv4 packets that arrive here are forwarded.
    pub forwards_v4: bool,
    /// Whether IPv6 packets that arrive here are forwarded.
    pub forwards_v6: bool,
    /// `rp_filter` as it works: the larger of the interface's and that of all. 0 off, 1 strict, 2 loose.
    pub reverse_path: u8,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutePicture {
    /// Routing table number; 254 is main, 255 local.
    pub table: u32,
    /// Destination.
    pub destination: IpNet,
    /// Metric.
    pub metric: u32,
    /// What it does.
    pub action: RouteDoes,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// MTU of the path.
    pub mtu: Option<u32>,
    /// Whether the kernel made it by itself.
    pub automatic: bool,
}

/// What a route does (`RTN_*`, linux/rtnetlink.h).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteDoes {
    /// Sends on, by one of the hops that are alive.
    Forward(Vec<NextHop>),
    /// It is an address of the namespace's own, on this interface.
    Local(Option<InterfaceName>),
    /// It is a broadcast or anycast address.
    Broadcast,
    /// It is a multicast group.
    Multicast,
    /// Drops silently.
    Blackhole,
    /// Answers "unreachable".
    Unreachable,
    /// Answers "prohibited".
    Prohibit,
    /// Ends the look-up in this table.
    Throw,
}

/// A policy-routing rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulePicture {
    /// Priority.
    pub priority: u32,
    /// Family.
    pub family: Family,
    /// What it says.
    pub rule: Rule,
    /// It looks into the table of the VRF that the packet belongs to (`l3mdev`).
    pub vrf: bool,
    /// What it asks beside that and could not be read.
    pub odd: Option<String>,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighbourPicture {
    /// Interface.
    pub interface: InterfaceName,
    /// Protocol address.
    pub address: IpAddr,
    /// Hardware address, if it is known.
    pub mac: Option<MacAddr>,
    /// It was set and is never asked for again.
    pub permanent: bool,
}

/// A forwarding entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryPicture {
    /// Port of a bridge, or tunnel device.
    pub interface: InterfaceName,
    /// Station; all zero stands for what has no known place.
    pub mac: MacAddr,
    /// VLAN.
    pub vlan: Option<u16>,
    /// Remote end of a tunnel.
    pub remote: Option<IpAddr>,
    /// It was set; else it was learned.
    pub fixed: bool,
}

/// A packet-filter table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterPicture {
    /// Family as nft(8) prints it: `inet`, `ip`, `ip6`, `netdev`.
    pub family: String,
    /// Name.
    pub name: String,
    /// Netloom's own.
    pub ours: bool,
    /// Its chains and sets. What could not be read is `Unknown` there.
    pub firewall: Firewall,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// IP protocol: 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// Its address; unspecified for all.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl SpacePicture {
    /// A parameter that is switched on.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.settings.get(path).is_some_and(|value| value != "0")
    }
}

/// The rules of a namespace that nobody touched, by family (`fib_default_rules_init`).
#[must_use]
pub fn default_rules() -> Vec<RulePicture> {
    let rule = |priority, family, table| RulePicture {
        priority,
        family,
        rule: Rule {
            from: None,
            to: None,
            input: None,
            output: None,
            mark: None,
            action: RuleAction::Lookup(table),
        },
        vrf: false,
        odd: None,
    };
    vec![
        rule(0, Family::V4, 255),
        rule(0, Family::V6, 255),
        rule(32_766, Family::V4, 254),
        rule(32_766, Family::V6, 254),
        rule(32_767, Family::V4, 253),
    ]
}
