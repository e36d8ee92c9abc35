//! Which object: namespaces, and what is unique inside one.

use ipnet::IpNet;
use netloom_wire::{InterfaceName, MacAddr, NodeName, VlanId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A network namespace as the description sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The namespace Netloom itself runs in: the host's as root, the user's own one without root.
    Host,
    /// The namespace of a node; its system-wide name is `TOPOLOGY.NODE`.
    Node(NodeName),
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Node(name) => write!(f, "{name}"),
        }
    }
}

/// An interface in a space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkRef {
    /// The namespace.
    pub space: Space,
    /// The interface.
    pub name: InterfaceName,
}

impl fmt::Display for LinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.space, self.name)
    }
}

/// Address family of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Names one object. The order of the variants is the order in which kinds are usually made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Key {
    /// A network namespace.
    Namespace {
        /// Which.
        space: Space,
    },
    /// A value below `/proc/sys`.
    Sysctl {
        /// Namespace.
        space: Space,
        /// Path with `/`, like `net/ipv4/ip_forward` (an interface name may contain a dot).
        path: Arc<str>,
    },
    /// Netloom's packet-filter table.
    Firewall {
        /// Namespace.
        space: Space,
    },
    /// An interface.
    Link {
        /// Namespace.
        space: Space,
        /// Name.
        name: InterfaceName,
    },
    /// Netloom's own switch, which stands for the bridge of a network.
    Switch {
        /// The network's namespace.
        space: Space,
    },
    /// The port of a switch that is behind a TAP interface.
    SwitchPort {
        /// Namespace of the interface.
        space: Space,
        /// The interface.
        link: InterfaceName,
    },
    /// An address with its prefix length; host bits are kept.
    Address {
        /// Namespace.
        space: Space,
        /// Interface.
        link: InterfaceName,
        /// Address and prefix length.
        address: IpNet,
    },
    /// A permanent neighbour entry.
    Neighbour {
        /// Namespace.
        space: Space,
        /// Interface.
        link: InterfaceName,
        /// Protocol address.
        address: IpAddr,
    },
    /// A static forwarding entry.
    FdbEntry {
        /// Namespace.
        space: Space,
        /// Bridge port, or VXLAN/Geneve device.
        link: InterfaceName,
        /// Destination MAC; all zero stands for flooding on a VXLAN device.
        mac: MacAddr,
        /// VLAN, for a bridge that filters VLANs.
        vlan: Option<VlanId>,
        /// Remote VTEP; present on a VXLAN device's own table, absent in the bridge's.
        remote: Option<IpAddr>,
    },
    /// A route.
    Route {
        /// Namespace.
        space: Space,
        /// Routing table number; 254 is main.
        table: u32,
        /// Destination; `0.0.0.0/0` or `::/0` is default. No host bits.
        destination: IpNet,
        /// Metric (priority); smaller wins. IPv6 routes have 1024 when the user names none.
        metric: u32,
    },
    /// A policy-routing rule.
    Rule {
        /// Namespace.
        space: Space,
        /// Priority; smaller is looked at first.
        priority: u32,
        /// Address family.
        family: Family,
    },
    /// Queueing of an interface.
    Shaper {
        /// Namespace.
        space: Space,
        /// Interface.
        link: InterfaceName,
    },
    /// A command.
    Process {
        /// Namespace.
        space: Space,
        /// Name, unique in the node.
        name: Arc<str>,
    },
}

impl Key {
    /// The namespace the object is in (for a namespace: itself).
    #[must_use]
    pub const fn space(&self) -> &Space {
        match self {
            Self::Namespace { space }
            | Self::Sysctl { space, .. }
            | Self::Firewall { space }
            | Self::Link { space, .. }
            | Self::Switch { space }
            | Self::SwitchPort { space, .. }
            | Self::Address { space, .. }
            | Self::Neighbour { space, .. }
            | Self::FdbEntry { space, .. }
            | Self::Route { space, .. }
            | Self::Rule { space, .. }
            | Self::Shaper { space, .. }
            | Self::Process { space, .. } => space,
        }
    }

    /// The kind as a word for tables.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => "namespace",
            Self::Sysctl { .. } => "sysctl",
            Self::Firewall { .. } => "firewall",
            Self::Link { .. } => "link",
            Self::Switch { .. } => "switch",
            Self::SwitchPort { .. } => "switch port",
            Self::Address { .. } => "address",
            Self::Neighbour { .. } => "neighbour",
            Self::FdbEntry { .. } => "fdb entry",
            Self::Route { .. } => "route",
            Self::Rule { .. } => "rule",
            Self::Shaper { .. } => "shaper",
            Self::Process { .. } => "process",
        }
    }

    /// The link key of an interface.
    #[must_use]
    pub fn link(at: &LinkRef) -> Self {
        Self::Link { space: at.space.clone(), name: at.name.clone() }
    }
}

/// `web:eth0 10.0.0.2/24`: the object in the words of plans and events, without its kind.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { space } | Self::Firewall { space } | Self::Switch { space } => {
                write!(f, "{space}")
            }
            Self::Sysctl { space, path } => write!(f, "{space} {path}"),
            Self::Link { space, name } => write!(f, "{space}:{name}"),
            Self::Address { space, link, address } => write!(f, "{space}:{link} {address}"),
            Self::Neighbour { space, link, address } => write!(f, "{space}:{link} {address}"),
            Self::FdbEntry { space, link, mac, vlan, remote } => {
                write!(f, "{space}:{link} {mac}")?;
                if let Some(vlan) = vlan {
                    write!(f, " vlan {vlan}")?;
                }
                if let Some(remote) = remote {
                    write!(f, " to {remote}")?;
                }
                Ok(())
            }
            Self::Route { space, table, destination, metric } => {
                write!(f, "{space} ")?;
                if destination.prefix_len() == 0 {
                    write!(f, "default{}", if destination.addr().is_ipv4() { "" } else { " (IPv6)" })?;
                } else {
                    write!(f, "{destination}")?;
                }
                if *table != 254 {
                    write!(f, " table {table}")?;
                }
                if *metric != 0 && *metric != 1024 {
                    write!(f, " metric {metric}")?;
                }
                Ok(())
            }
            Self::Rule { space, priority, family } => {
                write!(f, "{space} {priority}{}", if *family == Family::V6 { " (IPv6)" } else { "" })
            }
            Self::Shaper { space, link } | Self::SwitchPort { space, link } => write!(f, "{space}:{link}"),
            Self::Process { space, name } => write!(f, "{space} {name}"),
        }
    }
}
