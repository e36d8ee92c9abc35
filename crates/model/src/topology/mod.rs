//! The language: what a user may write, one type for each section of the file.
//!
//! What: [`Topology`] and its parts, each deserialised from a spanned document and described by one
//! JSON Schema generated from the same types. One section of the file is one module here.
//!
//! Invariants: a type here says what can be *written*; what is *meaningful* (names that exist,
//! addresses that do not collide) is `validate`'s business. Names, references and list items carry
//! their span, so that every object made from them can tell its line.
//!
//! Deliberately absent: how anything is realized. A network says what it does, not which bridge does it.

mod generate;
mod link;
mod machine;
mod network;
mod node;
mod policy;
mod qos;
mod short;
mod test;

pub use generate::{Fabric, Generator, GeneratorKind};
pub use link::{Duplex, Link, LinkKind, Medium};
pub use machine::{Machine, Socket, SocketMode};
pub use network::{
    BridgeSettings, Encapsulation, IpvlanFlag, IpvlanMode, MacvlanMode, Network, NetworkMode, Uplink, Via,
};
pub use node::{Command, Interface, Masquerade, NextHop, Node, Route, RouteAction, Rule, SysctlValue, Vrf};
pub use policy::{Firewall, FirewallRule, Forward, Policies, PolicyRule, Stance};
pub use qos::{Bandwidth, BandwidthSide, ClassMatch, Htb, HtbClass, Qos, Tbf};
pub use short::{FromShort, OneOrMany, Short};
pub use test::Test;

use crate::document::Spanned;
use netloom_wire::NodeName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the language that this program speaks.
pub const VERSION: u64 = 1;

/// A network described in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "Netloom topology")]
pub struct Topology {
    /// Version of the language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub netloom: Spanned<u64>,
    /// Name of the topology; everything made from this file carries it.
    pub name: Spanned<NodeName>,
    /// What this network is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Variables: `${name}` in any text of the file takes the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, SysctlValue>,
    /// What nodes, interfaces, links and networks have unless they say otherwise.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// Names for several nodes at once, for policies and tests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub groups: BTreeMap<Spanned<NodeName>, Vec<Spanned<NodeName>>>,
    /// Nodes that use the network: each has a network namespace of its own, or is a virtual machine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub endpoints: BTreeMap<Spanned<NodeName>, Node>,
    /// Nodes that forward packets between their interfaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub routers: BTreeMap<Spanned<NodeName>, Node>,
    /// Segments that nodes attach to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub networks: BTreeMap<Spanned<NodeName>, Network>,
    /// Links between two interfaces, and interfaces that stand on others (VLAN, tunnels, bonds ...).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Spanned<Short<Link>>>,
    /// Who may talk to whom, enforced at every endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Policies>,
    /// Port mappings and address mappings at a router or a NAT network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<Spanned<Forward>>,
    /// Shaping of interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qos: Vec<Spanned<Qos>>,
    /// Whole topologies from a few numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generate: Vec<Spanned<Generator>>,
    /// What must be true of the running network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Spanned<Test>>,
}

/// What parts have unless they say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Defaults {
    /// MTU of every link and network that names none. 1500 if this is absent too.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<Spanned<u32>>,
    /// Sysctls of every node, below `/proc/sys`, with dots or slashes.
    pub sysctls: BTreeMap<Spanned<String>, SysctlValue>,
    /// Medium of every link that names none.
    pub medium: Option<Medium>,
    /// Offloads of every interface by ethtool feature name.
    pub offloads: BTreeMap<String, bool>,
    /// Who carries the frames of every network that has one switch and says nothing else.
    pub via: Option<Spanned<Via>>,
}

impl Defaults {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
