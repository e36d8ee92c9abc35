//! Networks: segments that nodes attach to, by mode.

use super::{Medium, OneOrMany};
use crate::document::Spanned;
use crate::scalar::{Gateway, InterfaceRef, Prefix, TimeSpan, VlanRange};
use netloom_wire::{NodeName, VlanId, Vni};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A segment. What each mode does: see `NetworkMode`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Network {
    /// What it is, for people.
    pub description: Option<String>,
    /// What it does.
    pub mode: NetworkMode,
    /// Its subnets, at most one IPv4 and one IPv6; interfaces get their addresses here.
    pub subnet: OneOrMany<Spanned<Prefix>>,
    /// The gateway that attached nodes use. `auto`: for nat, routed and host-only the first address of
    /// the subnet, which the network itself then has; otherwise none.
    pub gateway: OneOrMany<Spanned<Gateway>>,
    /// Where traffic leaves the network. bridge: an interface to put into the bridge (`host:eth0`).
    /// nat and routed: `host`, another network, or `none`. Default: `host` for nat, `none` otherwise.
    pub uplink: Option<Spanned<Uplink>>,
    /// MTU of every interface; computed from the encapsulation if absent.
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<Spanned<u32>>,
    /// Settings of the bridge.
    pub bridge: Option<Spanned<BridgeSettings>>,
    /// Who carries its frames; `auto` if absent.
    pub via: Option<Spanned<Via>>,
    /// Medium of every cable to it.
    pub medium: Option<Medium>,
    /// Ports do not reach each other, only the gateway and uplink.
    pub isolated: bool,
    /// overlay: network identifier.
    pub vni: Option<Spanned<Vni>>,
    /// overlay: the nodes that carry it, each with the address of its tunnel endpoint (VTEP).
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub vteps: BTreeMap<Spanned<NodeName>, Spanned<IpAddr>>,
    /// overlay: multicast group for unknown destinations; without it each VTEP sends to all others.
    pub group: Option<Spanned<IpAddr>>,
    /// overlay: UDP port; 4789 for VXLAN, 6081 for Geneve.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// overlay: encapsulation.
    pub encapsulation: Option<Encapsulation>,
    /// macvlan, ipvlan: the interface that the nodes' interfaces ride on.
    pub parent: Option<Spanned<InterfaceRef>>,
    /// macvlan: mode; bridge if absent.
    pub macvlan: Option<MacvlanMode>,
    /// ipvlan: mode; l2 if absent.
    pub ipvlan: Option<IpvlanMode>,
    /// ipvlan: who reaches whom; bridge if absent.
    pub ipvlan_flag: Option<IpvlanFlag>,
}

/// What a network does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// A switch. Nothing but its ports, and an uplink interface if one is named.
    #[default]
    Bridge,
    /// A switch with a gateway that rewrites sources to the uplink's address; nothing comes in but by `forwards`.
    Nat,
    /// A switch with a gateway address, and no way out.
    HostOnly,
    /// A switch with a gateway that forwards without rewriting.
    Routed,
    /// A switch that spans nodes (hosts) by tunnels between their VTEPs.
    Overlay,
    /// Interfaces with MAC addresses of their own on one parent interface.
    Macvlan,
    /// Interfaces that share the MAC address of one parent interface.
    Ipvlan,
}

/// Who carries the frames of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A bridge of the Linux kernel.
    Kernel,
    /// Netloom's own switch, in user space.
    Switch,
    /// The kernel, unless it lacks what the network needs and the switch has it. `plan` says which one and why.
    #[default]
    Auto,
}

/// Where traffic leaves a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Uplink {
    /// Nowhere.
    None,
    /// The host's own network.
    Host,
    /// Another network of the file.
    Network(NodeName),
    /// An interface, put into the bridge.
    Interface(InterfaceRef),
}

impl std::str::FromStr for Uplink {
    type Err = crate::scalar::ScalarError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ if text.contains(':') => text.parse().map(Self::Interface),
            _ => text
                .parse()
                .map(Self::Network)
                .map_err(|error| crate::scalar::ScalarError(format!("{error}"))),
        }
    }
}

impl std::fmt::Display for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Network(name) => write!(f, "{name}"),
            Self::Interface(interface) => write!(f, "{interface}"),
        }
    }
}

crate::scalar::text_scalar!(Uplink, "uplink", "none, host, another network, or an interface like host:eth0");

/// Settings of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BridgeSettings {
    /// Spanning tree.
    pub stp: bool,
    /// Bridge priority for STP; smaller becomes root. A multiple of 4096 by the standard.
    pub priority: Option<u16>,
    /// STP forward delay, 2s to 30s.
    pub forward_delay: Option<Spanned<TimeSpan>>,
    /// STP hello time, 1s to 10s.
    pub hello_time: Option<Spanned<TimeSpan>>,
    /// STP maximum age, 6s to 40s.
    pub max_age: Option<Spanned<TimeSpan>>,
    /// How long learned addresses are kept; 0s forgets at once (a hub).
    pub ageing: Option<Spanned<TimeSpan>>,
    /// Keep VLANs apart by port membership. On when any port names a VLAN.
    pub vlan_filtering: Option<bool>,
    /// VLAN of ports that name none; 1 if absent, 0 for none.
    #[schemars(range(min = 0, max = 4094))]
    pub default_vlan: Option<u16>,
    /// VLAN of the gateway, in a network that filters VLANs.
    pub gateway_vlan: Option<Spanned<VlanId>>,
    /// VLANs of the uplink interface, tagged.
    pub uplink_trunk: OneOrMany<Spanned<VlanRange>>,
    /// IGMP and MLD snooping.
    pub multicast_snooping: Option<bool>,
    /// IGMP and MLD querier.
    pub multicast_querier: Option<bool>,
}

/// How an overlay's frames travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Encapsulation {
    #[default]
    Vxlan,
    Geneve,
}

/// macvlan modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MacvlanMode {
    /// Interfaces reach the outside but not each other.
    Private,
    /// Everything goes out; a reflective switch sends it back.
    Vepa,
    /// Interfaces reach each other directly.
    #[default]
    Bridge,
    /// One interface takes the parent over.
    Passthru,
    /// Only listed source addresses are accepted.
    Source,
}

/// ipvlan modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

/// Who reaches whom on an ipvlan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum IpvlanFlag {
    #[default]
    Bridge,
    Private,
    Vepa,
}
