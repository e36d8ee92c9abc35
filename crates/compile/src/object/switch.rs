//! Netloom's own switch and its ports, as objects: what stands for a bridge and its ports where the kernel's do not.
//!
//! What is behind a port ([`Behind`]) is an interface, another switch, or a virtual machine's socket. An interface is a
//! link of its own; a TAP interface has the port at the other side of its descriptor.

use super::{LinkRef, PortVlan};
use ipnet::IpNet;
use netloom_wire::{MacAddr, NodeName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Something carries its frames now. Wanted always; observed as false when the program that does it has died.
    pub running: bool,
    /// Its part in the spanning tree, if it has one.
    #[serde(default)]
    pub tree: Option<Tree>,
    /// How long learned addresses are kept, in milliseconds, if not as long as usual.
    #[serde(default)]
    pub ageing: Option<u64>,
    /// Groups go to their members only (IGMP and MLD).
    #[serde(default)]
    pub snooping: bool,
    /// VLANs in which it asks for members of groups itself; 0 is for frames that are in none.
    #[serde(default)]
    pub querier: BTreeSet<u16>,
}

/// A part in the spanning tree; what is absent is as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Smaller becomes the root: a multiple of 4096.
    pub priority: Option<u16>,
    /// Seconds between two messages.
    pub hello: Option<u32>,
    /// Seconds that a message is believed.
    pub max_age: Option<u32>,
    /// Seconds before a port forwards that nobody agreed to.
    pub forward_delay: Option<u32>,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on")?;
        if let Some(priority) = self.priority {
            write!(f, " priority {priority}")?;
        }
        for (name, seconds) in
            [("hello", self.hello), ("max-age", self.max_age), ("forward-delay", self.forward_delay)]
        {
            if let Some(seconds) = seconds {
                write!(f, " {name} {seconds}s")?;
            }
        }
        Ok(())
    }
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPort {
    /// The network whose switch it is a port of.
    pub network: NodeName,
    /// What is behind it.
    #[serde(default)]
    pub behind: Behind,
    /// It reaches only ports that are not isolated.
    pub isolated: bool,
    /// Its VLANs, if the switch keeps VLANs apart. At most one is for frames without a tag, in both directions.
    pub vlans: Option<BTreeSet<PortVlan>>,
    /// Its simulated link, as options of the port; empty without one.
    #[serde(default)]
    pub link: BTreeMap<String, String>,
    /// Its cost in the spanning tree, if not as usual.
    #[serde(default)]
    pub cost: Option<u32>,
    /// No bridge is expected behind it, so that it forwards at once in a spanning tree.
    #[serde(default)]
    pub edge: bool,
    /// Whose addresses frames from it may have, if not anybody's.
    #[serde(default)]
    pub pinned: Option<Pinned>,
    /// It holds its interface now. Wanted always.
    pub open: bool,
}

/// What is behind a port of a switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behind {
    /// The TAP interface of the same name.
    #[default]
    Tap,
    /// An interface of another kind, whose frames are taken and given as they pass it.
    Interface,
    /// A port of another of Netloom's own switches.
    Patch {
        /// That port.
        peer: LinkRef,
    },
    /// A virtual machine.
    Socket(Socket),
}

impl Behind {
    /// Whether an interface of a namespace is behind it.
    #[must_use]
    pub const fn is_link(&self) -> bool {
        matches!(self, Self::Tap | Self::Interface)
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap => f.write_str("tap"),
            Self::Interface => f.write_str("interface"),
            Self::Patch { peer } => write!(f, "patch to {peer}"),
            Self::Socket(socket) => {
                write!(f, "vhost-user {}", if socket.listens { "server" } else { "client" })?;
                write!(f, ", {} queues", socket.queues)?;
                if !socket.offloads {
                    f.write_str(", no offloads")?;
                }
                if let Some(path) = &socket.path {
                    write!(f, ", {path}")?;
                }
                for (name, id) in [("user", socket.user), ("group", socket.group)] {
                    if let Some(id) = id {
                        write!(f, ", {name} {id}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A vhost-user socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The switch listens; else the machine does.
    pub listens: bool,
    /// Its file, if not the one in the run directory that is named after the interface.
    pub path: Option<Arc<str>>,
    /// Pairs of queues.
    pub queues: u32,
    /// Whether checksums and segments may be left to the other side.
    pub offloads: bool,
    /// Number of the user who owns it.
    pub user: Option<u32>,
    /// Number of the group that may connect.
    pub group: Option<u32>,
}

/// Addresses that a port is held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Hardware address.
    pub mac: MacAddr,
    /// IP addresses; none leaves those open.
    pub addresses: BTreeSet<IpNet>,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mac)?;
        self.addresses.iter().try_for_each(|address| write!(f, " {}", address.addr()))
    }
}

impl SwitchPort {
    /// `delay-in=20ms loss-out=1%`, or `none`.
    #[must_use]
    pub fn link_in_words(&self) -> String {
        let words: Vec<String> = self.link.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(" ") }
    }

    /// `10 untagged, 20, 21`, or `not kept apart`.
    #[must_use]
    pub fn vlans_in_words(&self) -> String {
        let word = |vlan: &PortVlan| format!("{}{}", vlan.id, if vlan.pvid { " untagged" } else { "" });
        match &self.vlans {
            None => "not kept apart".to_owned(),
            Some(vlans) if vlans.is_empty() => "none".to_owned(),
            Some(vlans) => vlans.iter().map(word).collect::<Vec<_>>().join(", "),
        }
    }
}
