//! A topology that means something: what `validate` has found right, with lookups for its readers.
//!
//! What: [`Validated`] holds the expanded [`Topology`] (no generators, replicas or short forms left), the
//! source it came from, and an [`Index`] of names, attachments and ports.
//!
//! Invariants: only [`crate::validate::validate`] makes one, so every name in it is known, every interface
//! has exactly one attachment and every reference leads somewhere. Lookups cost a search in a tree.
//!
//! Deliberately absent: chosen addresses. What an interface asks for is told by [`Validated::addressing`]; the
//! allocator belongs to the compiler.

mod addressing;
mod index;

pub(crate) use addressing::of_interface as addressing_of;
pub use addressing::{Addressing, first_address, gateways, own_gateways};
pub(crate) use index::link_ends;
pub use index::{Attachment, End, Index, NodeEntry, NodeKind, Port, Thing};

use crate::scalar::{PeerName, Prefix};
use crate::source::{Location, SourceFile, Span};
use crate::topology::{Interface, Link, Network, Node, Route, Topology};
use ipnet::IpNet;
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// An expanded topology without errors.
#[derive(Debug, Clone)]
pub struct Validated {
    topology: Topology,
    source: SourceFile,
    index: Index,
}

/// Whom a side of a flow speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// Everybody.
    pub any: bool,
    /// Endpoints and routers, by name or by a group.
    pub nodes: BTreeSet<NodeName>,
    /// Networks: whoever has an address in their subnets.
    pub networks: BTreeSet<NodeName>,
    /// Addresses.
    pub prefixes: BTreeSet<Prefix>,
}

impl Validated {
    pub(crate) fn new(topology: Topology, source: SourceFile, index: Index) -> Self {
        Self { topology, source, index }
    }

    /// The expanded topology.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The file it was written in.
    #[must_use]
    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// Names, attachments and ports.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// File, line and column of a span.
    #[must_use]
    pub fn origin(&self, span: Span) -> Location {
        self.source.locate(span)
    }

    /// An endpoint or router.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<(NodeKind, &Node)> {
        node(&self.topology, name)
    }

    /// All endpoints and routers, by kind and then by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, NodeKind, &Node)> {
        nodes(&self.topology).map(|(name, _, kind, node)| (name, kind, node))
    }

    /// A network.
    #[must_use]
    pub fn network(&self, name: &NodeName) -> Option<&Network> {
        self.topology.networks.get(name.as_str())
    }

    /// The link with this place in the file.
    #[must_use]
    pub fn link(&self, index: usize) -> Option<&Link> {
        self.topology.links.get(index).map(|link| &link.value.0)
    }

    /// What is said about an interface in its node; `None` for an interface that only a link names.
    #[must_use]
    pub fn interface(&self, node: &NodeName, interface: &InterfaceName) -> Option<&Interface> {
        let (_, node) = self.node(node)?;
        node.interfaces.get(interface.as_str())
    }

    /// The network or link that an interface of a node belongs to.
    #[must_use]
    pub fn attachment(&self, node: &NodeName, interface: &InterfaceName) -> Option<&Attachment> {
        self.index.attachment(node, interface)
    }

    /// The network whose switch or parent an interface is plugged into, by `network:` or by a link.
    #[must_use]
    pub fn segment_of(&self, node: &NodeName, interface: &InterfaceName) -> Option<(&NodeName, &Network)> {
        segment_of(&self.topology, &self.index, node, interface)
    }

    /// The ports of a network, in the order of nodes and interfaces.
    #[must_use]
    pub fn ports(&self, network: &NodeName) -> &[Port] {
        self.index.ports(network)
    }

    /// The nodes of a group, through groups in it; empty if there is no such group.
    #[must_use]
    pub fn members(&self, group: &NodeName) -> BTreeSet<NodeName> {
        members(&self.topology, group)
    }

    /// Whom some peers are.
    #[must_use]
    pub fn peers(&self, names: &[PeerName]) -> Peers {
        peers(&self.topology, &self.index, names)
    }

    /// The nodes that some peers stand for in a test: nodes, members of groups, and nodes on networks.
    #[must_use]
    pub fn nodes_of(&self, names: &[PeerName]) -> BTreeSet<NodeName> {
        nodes_of(&self.topology, &self.index, names)
    }

    /// The fixed addresses of an interface and the subnets in which it waits for one.
    #[must_use]
    pub fn addressing(&self, node: &NodeName, interface: &InterfaceName) -> Addressing {
        addressing_of(&self.topology, &self.index, node, interface)
    }

    /// The node that carries a node's ports of an overlay network: itself, if it is a VTEP; else the one
    /// that `at` names; else the only VTEP.
    #[must_use]
    pub fn carrier(&self, network: &NodeName, node: &NodeName) -> Option<NodeName> {
        carrier(self.network(network)?, self.node(node)?.1, node)
    }

    /// Where a route leads.
    #[must_use]
    pub fn destination(&self, route: &Route) -> Option<IpNet> {
        route_destination(route).ok()
    }
}

/// See [`Validated::node`].
pub(crate) fn node<'a>(topology: &'a Topology, name: &NodeName) -> Option<(NodeKind, &'a Node)> {
    let endpoint = topology.endpoints.get(name.as_str()).map(|node| (NodeKind::Endpoint, node));
    endpoint.or_else(|| topology.routers.get(name.as_str()).map(|node| (NodeKind::Router, node)))
}

/// All endpoints and routers with the spans of their names.
pub(crate) fn nodes(topology: &Topology) -> impl Iterator<Item = (&NodeName, Span, NodeKind, &Node)> {
    let endpoints = topology.endpoints.iter().map(|(key, node)| (key, NodeKind::Endpoint, node));
    let routers = topology.routers.iter().map(|(key, node)| (key, NodeKind::Router, node));
    endpoints.chain(routers).map(|(key, kind, node)| (&key.value, key.span, kind, node))
}

/// See [`Validated::segment_of`].
pub(crate) fn segment_of<'a>(
    topology: &'a Topology,
    index: &Index,
    node: &NodeName,
    interface: &InterfaceName,
) -> Option<(&'a NodeName, &'a Network)> {
    let find = |name: &NodeName| {
        let found = topology.networks.get_key_value(name.as_str())?;
        Some((&found.0.value, found.1))
    };
    match index.attachment(node, interface)? {
        Attachment::Network(name) => find(name),
        Attachment::Link { index: number, end } => {
            let pair = topology.links.get(*number)?.link.as_ref()?;
            let other = if *end == End::A { &pair.value.b.node } else { &pair.value.a.node };
            find(other).filter(|_| index.node(other).is_none())
        }
        Attachment::Vrf | Attachment::Loopback => None,
    }
}

/// See [`Validated::members`].
pub(crate) fn members(topology: &Topology, group: &NodeName) -> BTreeSet<NodeName> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![group.clone()];
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(names) = topology.groups.get(name.as_str()) {
            waiting.extend(names.iter().map(|name| name.value.clone()));
        } else if node(topology, &name).is_some() {
            found.insert(name);
        }
    }
    found
}

/// See [`Validated::peers`].
pub(crate) fn peers(topology: &Topology, index: &Index, names: &[PeerName]) -> Peers {
    let mut peers = Peers::default();
    for name in names {
        match name {
            PeerName::Any => peers.any = true,
            PeerName::Prefix(prefix) => {
                peers.prefixes.insert(*prefix);
            }
            PeerName::Name(name) => match index.thing(name) {
                Some((Thing::Endpoint | Thing::Router, _)) => {
                    peers.nodes.insert(name.clone());
                }
                Some((Thing::Network, _)) => {
                    peers.networks.insert(name.clone());
                }
                Some((Thing::Group, _)) => peers.nodes.extend(members(topology, name)),
                None => {}
            },
        }
    }
    peers
}

/// See [`Validated::nodes_of`].
pub(crate) fn nodes_of(topology: &Topology, index: &Index, names: &[PeerName]) -> BTreeSet<NodeName> {
    let peers = peers(topology, index, names);
    let on_networks = peers.networks.iter().flat_map(|network| index.ports(network));
    let on_networks: BTreeSet<NodeName> = on_networks.filter_map(|port| port.node.clone()).collect();
    peers.nodes.into_iter().chain(on_networks).collect()
}

/// See [`Validated::carrier`].
pub(crate) fn carrier(network: &Network, node: &Node, name: &NodeName) -> Option<NodeName> {
    let vtep = |name: &NodeName| network.vteps.contains_key(name.as_str()).then(|| name.clone());
    let only = || match network.vteps.len() {
        1 => network.vteps.keys().next().map(|name| name.value.clone()),
        _ => None,
    };
    match &node.at {
        Some(at) => vtep(at),
        None => vtep(name).or_else(only),
    }
}

/// The prefix that a route's `to` means: `default` takes the family of the gateways, IPv4 if there is none.
///
/// # Errors
/// What is wrong with the text.
pub fn route_destination(route: &Route) -> Result<IpNet, String> {
    if route.to.as_str() == "default" {
        let mut gateways =
            route.via.iter().chain(route.nexthops.iter().filter_map(|hop| hop.value.via.as_ref()));
        let v6 = match gateways.next() {
            Some(gateway) => gateway.is_ipv6(),
            None => route.source.as_ref().is_some_and(|source| source.is_ipv6()),
        };
        let any: IpAddr =
            if v6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
        return IpNet::new(any, 0).map_err(|error| error.to_string());
    }
    route.to.parse::<Prefix>().map(Prefix::net).map_err(|error| error.to_string())
}
