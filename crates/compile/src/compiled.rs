//! What goes into a compilation and what comes out of it.

use crate::allocations::Allocations;
use crate::expectation::ResolvedTest;
use crate::inventory::{Inventory, Make};
use crate::object::shaper::Support;
use crate::object::{Desired, Key, LinkKind, LinkRef, Origin, Space};
use crate::routing::implied_gateways;
use crate::table::Table;
use ipnet::IpNet;
use netloom_wire::{MacAddr, NodeName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// What a compilation depends on beside the description.
#[derive(Clone)]
pub struct Context {
    /// What the last compilation of this topology chose; empty the first time.
    pub allocations: Allocations,
    /// The secret that WireGuard keys are made from; one for each topology, kept by the caller.
    pub seed: [u8; 32],
    /// Prefixes in use elsewhere on this host, which new subnets towards the host must not touch.
    pub reserved: Vec<IpNet>,
    /// The queueing that the kernel at hand has: what a medium asks for beyond it becomes a [`Note`].
    /// (What `qos` asks for is always wanted.)
    pub queueing: Support,
    /// The bridges that the kernel at hand has.
    pub bridging: Bridging,
}

/// What the kernel's bridges can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bridging {
    /// There are bridges.
    pub bridges: bool,
    /// They keep VLANs apart (`CONFIG_BRIDGE_VLAN_FILTERING`).
    pub vlans: bool,
}

impl Bridging {
    /// All of it.
    pub const ALL: Self = Self { bridges: true, vlans: true };
}

impl Default for Context {
    /// Nothing chosen before, a seed of zeros, a kernel with everything.
    fn default() -> Self {
        Self {
            allocations: Allocations::default(),
            seed: [0; 32],
            reserved: Vec::new(),
            queueing: Support::ALL,
            bridging: Bridging::ALL,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("allocations", &self.allocations)
            .field("seed", &"(hidden)")
            .field("reserved", &self.reserved)
            .field("queueing", &self.queueing)
            .field("bridging", &self.bridging)
            .finish()
    }
}

/// The result of a compilation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// Every object that shall exist.
    pub desired: Desired,
    /// What was chosen: to be stored with the generation and given to the next compilation.
    pub allocations: Allocations,
    /// What the user should know: what can't be realized and why, and what touches the host.
    pub notes: Vec<Note>,
    /// Every interface, sorted by [`InterfaceFacts::at`].
    pub interfaces: Vec<InterfaceFacts>,
    /// The tests of the file, one for each pair that must be looked at.
    pub tests: Vec<ResolvedTest>,
}

impl Compiled {
    /// The facts of one interface.
    #[must_use]
    pub fn interface(&self, at: &LinkRef) -> Option<&InterfaceFacts> {
        let found = self.interfaces.binary_search_by(|facts| facts.at.cmp(at)).ok()?;
        self.interfaces.get(found)
    }

    /// The interfaces of one namespace.
    pub fn interfaces_of<'a>(&'a self, space: &'a Space) -> impl Iterator<Item = &'a InterfaceFacts> {
        let start = self.interfaces.partition_point(|facts| facts.at.space < *space);
        self.interfaces[start..].iter().take_while(move |facts| facts.at.space == *space)
    }
}

/// What an interface of a virtual machine is.
const VHOST_USER: &str = "vhost-user";

/// What `inspect`, `graph` and tests want to know of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFacts {
    /// Where it is.
    pub at: LinkRef,
    /// What it is, as the kernel calls it.
    pub kind: String,
    /// The network it attaches its node to, or whose bridge it is a port of.
    pub network: Option<NodeName>,
    /// The other end of a virtual cable.
    pub peer: Option<LinkRef>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its hardware address, if Netloom chose it or the user did.
    pub mac: Option<MacAddr>,
    /// Its MTU, if Netloom sets it.
    pub mtu: Option<u32>,
    /// Of a virtual machine's interface: the gateways of its default routes.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
}

impl InterfaceFacts {
    /// Whether it is inside a virtual machine.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.kind == VHOST_USER
    }
}

/// Something that the user should know and that does not stop the compilation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// Where the user asked for it.
    pub origin: Origin,
    /// A sentence.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Information,
    /// Something the user wrote has less effect than it says, or an effect outside the topology.
    Warning,
}

/// Why a description can't become objects: every reason that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One reason, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.kind)
    }
}

/// What can't be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// A subnet has no address left.
    #[error("network {network} has no free address in {subnet} for {interface}: give it a larger subnet")]
    Exhausted {
        /// The network.
        network: NodeName,
        /// Its subnet.
        subnet: IpNet,
        /// Who wants an address.
        interface: String,
    },
    /// An address without a prefix length lies in no subnet of its network.
    #[error("{address} of {interface} needs a prefix length, since no subnet of its network contains it")]
    NoPrefix {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// No subnet towards the host is left.
    #[error("no subnet is left in {pool} for the way from network {network} to the host")]
    NoTransit {
        /// The network.
        network: NodeName,
        /// Where such subnets come from.
        pool: IpNet,
    },
    /// The ends of a tunnel don't know how to reach each other.
    #[error(
        "no address of {node} reaches an address of {other} for tunnel {interface}: give `local` and `remote`"
    )]
    OuterAddress {
        /// The first end.
        node: NodeName,
        /// The second end.
        other: NodeName,
        /// The tunnel.
        interface: String,
    },
    /// A one-ended tunnel does not say where it leads.
    #[error("tunnel {interface} says not where it leads: give `remote`")]
    NoRemote {
        /// The tunnel.
        interface: String,
    },
    /// A kind of link lacks a part that it needs.
    #[error("{interface}: {kind} needs `{field}`")]
    Lacking {
        /// The interface.
        interface: String,
        /// Its kind.
        kind: &'static str,
        /// The missing key.
        field: &'static str,
    },
    /// A word that is none of those known here.
    #[error("{interface}: `{word}` is no {what}; known are {known}")]
    Word {
        /// The interface.
        interface: String,
        /// The word.
        word: String,
        /// What it should be.
        what: &'static str,
        /// What is known.
        known: String,
    },
    /// No name is left for an interface.
    #[error("no name is left in {space} for {wanted}")]
    Name {
        /// The namespace.
        space: String,
        /// The name that was wanted.
        wanted: String,
    },
    /// Two parts of the file make the same thing.
    #[error("{what} is made twice, differently")]
    Twice {
        /// The object.
        what: String,
    },
    /// A gateway is in no subnet of the node's interfaces.
    #[error("{node} has no interface in a subnet with gateway {gateway}: name it with `dev`")]
    Gateway {
        /// The node.
        node: NodeName,
        /// The gateway.
        gateway: IpAddr,
    },
    /// A text that can't be read as a prefix.
    #[error("`{text}` is no destination: write a prefix or `default`")]
    Destination {
        /// The text.
        text: String,
    },
    /// An interface under `interfaces` that nothing makes.
    #[error("{interface} is neither attached to a network nor made by a link")]
    Unmade {
        /// The interface.
        interface: String,
    },
    /// A name that nothing has.
    #[error("there is no {what} {name}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A network can't be attached to like this.
    #[error("{interface} can't attach to {network}: {why}")]
    Attachment {
        /// The interface.
        interface: String,
        /// The network.
        network: NodeName,
        /// The reason.
        why: &'static str,
    },
    /// Netloom's own switch can't stand for the kernel's bridge here.
    #[error("network {network} can't be `via: switch`: {why}")]
    Via {
        /// The network.
        network: NodeName,
        /// What stands against it.
        why: String,
    },
    /// The kernel's bridge can't stand for Netloom's own switch here.
    #[error("network {network} can't be `via: kernel`: {need}, which takes Netloom's own switch")]
    ViaKernel {
        /// The network.
        network: NodeName,
        /// What needs the switch.
        need: String,
    },
    /// The kernel's bridge has at most 1,023 ports (`BR_MAX_PORTS`, net/bridge/br_private.h).
    #[error("network {network} has {ports} ports, but a bridge has at most 1023: split it")]
    Ports {
        /// The network.
        network: NodeName,
        /// How many.
        ports: usize,
    },
    /// A rule or shaper that the kernel would refuse.
    #[error("{what}: {why}")]
    Refused {
        /// The object.
        what: String,
        /// The reason.
        why: String,
    },
}

/// The facts of every interface that is wanted.
pub(crate) fn facts(inventory: &Inventory<'_>, table: &Table) -> Vec<InterfaceFacts> {
    inventory
        .devices
        .iter()
        .filter_map(|(at, device)| {
            if let Make::Socket { network } = &device.make {
                let implied = implied_gateways(inventory, &at.space);
                return Some(InterfaceFacts {
                    at: at.clone(),
                    kind: VHOST_USER.to_owned(),
                    network: Some(network.clone()),
                    peer: None,
                    addresses: device.addresses.clone(),
                    mac: device.mac,
                    mtu: device.mtu,
                    gateways: implied.iter().filter(|way| way.at == at).map(|way| way.gateway).collect(),
                });
            }
            let link = table.link(&Key::link(at))?;
            let peer = match &link.kind {
                LinkKind::Veth { peer } => Some(peer.clone()),
                _ => None,
            };
            let port = device.port.as_ref().map(|port| port.network.clone());
            let bridge = match &device.make {
                Make::Bridge { network } => Some(network.clone()),
                _ => None,
            };
            Some(InterfaceFacts {
                at: at.clone(),
                kind: link.kind.word().to_owned(),
                network: device.segment.clone().or(port).or(bridge),
                peer,
                addresses: device.addresses.clone(),
                mac: link.mac,
                mtu: link.mtu,
                gateways: Vec::new(),
            })
        })
        .collect()
}
