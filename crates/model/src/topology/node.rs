//! Nodes: endpoints and routers, their interfaces, routes, rules, VRFs and commands.

use super::{Firewall, Machine, Medium, OneOrMany, Socket};
use crate::document::Spanned;
use crate::scalar::{AddressChoice, Gateway, Prefix, VlanRange};
use netloom_wire::{InterfaceName, MacAddr, NodeName, VlanId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A network namespace with interfaces. An endpoint uses the network, a router forwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Node {
    /// What it is, for people.
    pub description: Option<String>,
    /// What it is made of: a network namespace if absent.
    pub kind: Option<Spanned<Machine>>,
    /// Make that many of it: NAME-1, NAME-2 ..., and a group NAME of them all.
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<Spanned<u32>>,
    /// Short form of `interfaces`: the networks of eth0, eth1 ..., with addresses of their choice.
    pub networks: OneOrMany<Spanned<NodeName>>,
    /// Interfaces by name.
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "interface-name" })))]
    pub interfaces: BTreeMap<Spanned<InterfaceName>, Interface>,
    /// The node whose namespace carries this node's ports of overlay networks (its hypervisor).
    pub at: Option<Spanned<NodeName>>,
    /// Whether packets are forwarded between interfaces; routers do, endpoints don't.
    pub forwarding: Option<bool>,
    /// Static routes.
    pub routes: Vec<Spanned<Route>>,
    /// Policy-routing rules.
    pub rules: Vec<Spanned<Rule>>,
    /// VRFs by device name.
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "interface-name" })))]
    pub vrfs: BTreeMap<Spanned<InterfaceName>, Vrf>,
    /// Packet filter of what is forwarded and of what the node itself receives.
    pub firewall: Option<Spanned<Firewall>>,
    /// Rewriting the source address of what leaves by an interface to that interface's address.
    pub masquerade: Vec<Spanned<Masquerade>>,
    /// Sysctls below `/proc/sys`, with dots or slashes, like net.ipv4.ip_forward.
    pub sysctls: BTreeMap<Spanned<String>, SysctlValue>,
    /// Commands that run in the namespace as long as it is up.
    pub run: Vec<Spanned<Command>>,
}

/// An interface of a node: a port of a network, or the layer-3 side of a link declared under `links`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Interface {
    /// The network it attaches to.
    pub network: Option<Spanned<NodeName>>,
    /// Its addresses; `auto` if it attaches to a network with a subnet and nothing is said.
    pub address: OneOrMany<Spanned<AddressChoice>>,
    /// Default route by this interface: `auto` takes the network's gateway if there is one.
    pub gateway: Option<Spanned<Gateway>>,
    /// Hardware address; made from the names if absent.
    #[schemars(with = "Option<MacAddr>")]
    pub mac: Option<Spanned<MacAddr>>,
    /// MTU in bytes; the network's or link's if absent.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<Spanned<u32>>,
    /// Access port: the one VLAN it belongs to, untagged.
    pub vlan: Option<Spanned<VlanId>>,
    /// Trunk port: VLANs that pass tagged.
    pub trunk: OneOrMany<Spanned<VlanRange>>,
    /// VLAN of untagged frames on a trunk port.
    pub native: Option<Spanned<VlanId>>,
    /// Isolated ports of a network do not reach each other, only ports that are not isolated.
    pub isolated: Option<bool>,
    /// STP path cost of its port.
    pub stp_cost: Option<u32>,
    /// Medium of the cable to the network.
    pub medium: Option<Medium>,
    /// Offloads by ethtool feature name, like tx-checksum-ip-generic or tx-tcp-segmentation.
    pub offloads: BTreeMap<String, bool>,
    /// Number of combined queues; of a virtual machine's network card: pairs of queues.
    #[schemars(range(min = 1, max = 256))]
    pub queues: Option<u32>,
    /// Administrative state; up if absent.
    pub up: Option<bool>,
    /// kind vm: the vhost-user socket between the machine and the switch.
    pub socket: Option<Spanned<Socket>>,
    /// The switch takes frames from its own MAC and IP addresses only, and lets nobody else use them.
    pub pinned: Option<bool>,
}

impl Node {
    /// Whether it is a virtual machine.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.value == Machine::Vm)
    }
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// Destination prefix, or `default` (IPv4 unless the gateway is IPv6).
    #[schemars(with = "String")]
    pub to: Spanned<String>,
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Spanned<IpAddr>>,
    /// Interface; found from the gateway if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<Spanned<InterfaceName>>,
    /// Several gateways that share the traffic (ECMP).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nexthops: Vec<Spanned<NextHop>>,
    /// A route that drops or refuses instead of forwarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RouteAction>,
    /// Metric; smaller wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Routing table; main (254) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// VRF whose table it is put into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Spanned<InterfaceName>>,
    /// Preferred source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Spanned<IpAddr>>,
}

/// One gateway of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NextHop {
    /// Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Spanned<IpAddr>>,
    /// Interface; found from the gateway if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<Spanned<InterfaceName>>,
    /// Share, 1 to 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub weight: Option<u16>,
}

/// What a route or rule does instead of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteAction {
    /// Drop silently.
    Blackhole,
    /// Answer "unreachable".
    Unreachable,
    /// Answer "prohibited".
    Prohibit,
}

/// A policy-routing rule: which packets look into which table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Rule {
    /// Priority; smaller is looked at first. From 1000 on in file order if absent.
    #[schemars(range(min = 1, max = 32765))]
    pub priority: Option<Spanned<u32>>,
    /// Source prefix.
    pub from: Option<Spanned<Prefix>>,
    /// Destination prefix.
    pub to: Option<Spanned<Prefix>>,
    /// Interface of arrival.
    pub input: Option<Spanned<InterfaceName>>,
    /// Firewall mark.
    pub mark: Option<u32>,
    /// The table to look into.
    pub table: Option<Spanned<u32>>,
    /// Drop or refuse instead.
    pub action: Option<RouteAction>,
}

/// A VRF: interfaces with a routing table of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vrf {
    /// Number of its table.
    #[schemars(range(min = 1, max = 4_294_967_295u32))]
    pub table: Spanned<u32>,
    /// Its interfaces.
    pub interfaces: Vec<Spanned<InterfaceName>>,
}

/// Source rewriting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Masquerade {
    /// Interface by which the packets leave.
    pub out: Spanned<InterfaceName>,
    /// Only packets from these prefixes; all if absent.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub from: OneOrMany<Spanned<Prefix>>,
}

/// A value: number, text or truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SysctlValue {
    /// true is 1, false is 0.
    Bool(bool),
    /// A number.
    Number(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// Text as the kernel takes it, like "4096 65536 134217728".
    Text(String),
}

impl std::fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{}", u8::from(*truth)),
            Self::Number(number) => write!(f, "{number}"),
            Self::Fraction(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A command that runs in a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// Its name, unique in the node; the program's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Spanned<NodeName>>,
    /// Program and arguments; no shell is involved.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}
