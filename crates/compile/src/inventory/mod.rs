//! Every interface that the description asks for, before any object is made.
//!
//! What: [`Inventory`] lists nodes, segments (networks) and devices (interfaces, ports, bridges) with
//! their names and namespaces. Later passes fill in addresses, tunnel ends, MAC addresses and MTUs; the
//! passes in `emit` then only read it.
//!
//! Invariants: each device is listed once under its final name; a device's `span` is the narrowest place
//! that asked for it; everything is ordered by name, so the same input gives the same inventory.

mod attach;
mod devices;
mod gather;
mod links;
mod uplink;
mod via;

use crate::compiled::{Context, ProblemKind};
use crate::names::Names;
use crate::object::{LinkRef, Space};
use crate::report::Report;
use ipnet::IpNet;
use netloom_model::scalar::InterfaceRef;
use netloom_model::source::Span;
use netloom_model::topology::{Interface, Link, LinkKind, Medium, Network, NetworkMode, Node, Topology};
use netloom_wire::{InterfaceName, MacAddr, NodeName, VlanId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use devices::Devices;
pub(crate) use links::word;
pub(crate) use uplink::announced;
pub(crate) use via::{Carrier, tree};

/// MTU of a cable when nobody says anything.
pub(crate) const DEFAULT_MTU: u32 = 1500;

/// All that was found.
pub(crate) struct Inventory<'a> {
    pub topology: &'a Topology,
    pub nodes: BTreeMap<NodeName, NodeFacts<'a>>,
    pub segments: BTreeMap<NodeName, Segment<'a>>,
    pub devices: Devices<'a>,
    pub cables: Vec<Cable<'a>>,
    pub names: Names,
    /// Every VLAN that anything in the file names: what must pass between switches.
    pub vlans: BTreeSet<VlanId>,
    /// Ends of links whose name in the kernel is not the one in the file: ports in the host's namespace.
    aliases: BTreeMap<InterfaceRef, LinkRef>,
}

/// An endpoint or a router.
pub(crate) struct NodeFacts<'a> {
    pub node: &'a Node,
    pub span: Span,
    pub router: bool,
    /// It is a virtual machine: nothing in it is ours.
    pub machine: bool,
    /// Who owns what the node has.
    pub part: Arc<str>,
}

impl NodeFacts<'_> {
    /// Whether it forwards packets.
    pub(crate) fn forwards(&self) -> bool {
        self.node.forwarding.unwrap_or(self.router)
    }
}

/// A network and where it is realized.
pub(crate) struct Segment<'a> {
    pub name: NodeName,
    pub network: &'a Network,
    pub span: Span,
    pub part: Arc<str>,
    /// Where a network with one switch has it.
    pub space: Space,
    /// Its bridges: one for a switch, one for each VTEP of an overlay (by node), none otherwise.
    pub bridges: BTreeMap<Space, LinkRef>,
    pub subnets: Vec<IpNet>,
    /// The gateways that its members use, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// The nodes' interfaces on it.
    pub members: BTreeSet<LinkRef>,
    /// The way out.
    pub exit: Exit,
    /// Whether its bridge keeps VLANs apart.
    pub filters_vlans: bool,
    /// Who carries its frames.
    pub carrier: Carrier,
}

impl Segment<'_> {
    /// Whether the gateway is the network's own.
    pub(crate) const fn owns_gateway(&self) -> bool {
        matches!(self.network.mode, NetworkMode::Nat | NetworkMode::Routed | NetworkMode::HostOnly)
    }

    /// Whether it forwards between its members and its uplink.
    pub(crate) fn forwards(&self) -> bool {
        matches!(self.network.mode, NetworkMode::Nat | NetworkMode::Routed) && !self.gateways.is_empty()
    }

    /// The bridge of a network with one switch.
    pub(crate) fn bridge(&self) -> Option<&LinkRef> {
        self.bridges.get(&self.space)
    }

    /// VLAN of ports that name none, in a network that keeps VLANs apart.
    pub(crate) fn default_vlan(&self) -> Option<VlanId> {
        let number = self.network.bridge.as_deref().and_then(|settings| settings.default_vlan);
        VlanId::try_from(u64::from(number.unwrap_or(1))).ok()
    }

    /// The subnet of an address.
    pub(crate) fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(&address))
    }

    /// The gateway of a family.
    pub(crate) fn gateway(&self, v4: bool) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == v4)
    }
}

/// The way out of a network. `inner` is in the network's namespace, `outer` in the host's.
pub(crate) enum Exit {
    None,
    Host { inner: LinkRef, outer: LinkRef },
    Network { network: NodeName, inner: LinkRef },
}

/// An interface of any kind in any namespace.
pub(crate) struct Device<'a> {
    pub make: Make<'a>,
    pub part: Arc<str>,
    pub span: Span,
    pub reason: Arc<str>,
    /// What the user said of it under `interfaces`.
    pub settings: Option<&'a Interface>,
    /// Whether it is the first end of a two-ended link.
    pub first: bool,
    /// The network it attaches its node to.
    pub segment: Option<NodeName>,
    /// The port of a network's bridge that it is.
    pub port: Option<Port<'a>>,
    pub controller: Option<InterfaceName>,
    pub addresses: Vec<IpNet>,
    pub mac: Option<MacAddr>,
    pub mtu: Option<u32>,
}

impl<'a> Device<'a> {
    fn new(make: Make<'a>, part: Arc<str>, span: Span, reason: impl Into<Arc<str>>) -> Self {
        Self {
            make,
            part,
            span,
            reason: reason.into(),
            settings: None,
            first: true,
            segment: None,
            port: None,
            controller: None,
            addresses: Vec::new(),
            mac: None,
            mtu: None,
        }
    }

    /// Whether it is a VRF.
    pub(crate) fn is_vrf(&self) -> bool {
        matches!(self.make, Make::Vrf { .. }) || self.link().is_some_and(|link| link.kind == LinkKind::Vrf)
    }

    /// The description of the link it is made by, if by one under `links`.
    pub(crate) const fn link(&self) -> Option<&'a Link> {
        match self.make {
            Make::Cable { link, .. } | Make::Port { link, .. } => link,
            Make::Single { link } | Make::TunnelEnd { link, .. } => Some(link),
            _ => None,
        }
    }

    /// The other end of a cable.
    pub(crate) const fn peer(&self) -> Option<&LinkRef> {
        match &self.make {
            Make::Cable { peer, .. } | Make::TunnelEnd { peer, .. } => Some(peer),
            _ => None,
        }
    }
}

/// What makes a device.
pub(crate) enum Make<'a> {
    /// It is there anyway.
    Existing,
    /// One end of a virtual cable.
    Cable { peer: LinkRef, link: Option<&'a Link> },
    /// The bridge of a network, or the TAP interface through which its namespace is on Netloom's own switch.
    Bridge { network: NodeName },
    /// A TAP interface, which is a port of Netloom's own switch; with the link that asks for it, if one does.
    Port { network: NodeName, role: PortRole, link: Option<&'a Link> },
    /// An interface of a virtual machine, behind a socket of Netloom's own switch. It is nothing here.
    Socket { network: NodeName },
    /// A port of Netloom's own switch that leads to another one of its switches. It is no interface.
    Patch { network: NodeName, peer: LinkRef, link: &'a Link },
    /// A member of a macvlan or ipvlan network.
    Rider { network: NodeName, parent: LinkRef },
    /// The VXLAN device of an overlay at one of its VTEPs.
    OverlayVxlan { network: NodeName, vtep: IpAddr },
    /// A Geneve device of an overlay, from one VTEP to another.
    OverlayGeneve { network: NodeName, remote: IpAddr },
    /// A one-ended link.
    Single { link: &'a Link },
    /// One end of a tunnel between two nodes; `outer` is found after addresses are known.
    TunnelEnd { link: &'a Link, peer: LinkRef, outer: Option<(IpAddr, IpAddr)> },
    /// A VRF of a node.
    Vrf { table: u32 },
}

/// A port of a network's bridge.
pub(crate) struct Port<'a> {
    pub network: NodeName,
    /// What the user said of the interface at the other end of the cable.
    pub settings: Option<&'a Interface>,
    pub role: PortRole,
}

/// What is behind a port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortRole {
    /// A node.
    Member,
    /// Another network's bridge.
    Trunk,
    /// The interface that is the network's uplink.
    Uplink,
    /// A tunnel of an overlay.
    Tunnel,
    /// A network that has this one as its uplink.
    Downstream,
}

/// A virtual cable with what it is made of; `a` is the end that a simplex cable carries frames from.
pub(crate) struct Cable<'a> {
    pub a: LinkRef,
    pub b: LinkRef,
    pub medium: Option<&'a Medium>,
    pub part: Arc<str>,
    pub span: Span,
}

impl<'a> Inventory<'a> {
    /// Finds everything that `topology` asks for, down to addresses, names and MTUs.
    pub(crate) fn gather(topology: &'a Topology, context: &Context, report: &mut Report<'_>) -> Self {
        let mut inventory = Self {
            topology,
            nodes: BTreeMap::new(),
            segments: BTreeMap::new(),
            devices: Devices::default(),
            cables: Vec::new(),
            names: Names::new(topology.name.value.clone()),
            vlans: BTreeSet::new(),
            aliases: BTreeMap::new(),
        };
        inventory.list_nodes();
        inventory.list_segments();
        inventory.choose_carriers(context, report);
        inventory.claim_names(report);
        inventory.make_bridges(report);
        inventory.make_links(report);
        inventory.make_vrfs(report);
        inventory.attach_interfaces(report);
        inventory.make_tunnels_of_overlays(report);
        inventory.make_uplinks(report);
        inventory.use_uplink_interfaces(report);
        inventory.devices.sort();
        inventory.set_controllers();
        inventory.find_vlans();
        inventory.count_ports(report);
        inventory
    }

    /// The namespace of a node's, or a network's, end of a link.
    pub(crate) fn space_of(&self, name: &NodeName) -> Space {
        if let Some(segment) = self.segments.get(name) {
            return segment.space.clone();
        }
        if name.as_str() == "host" && !self.nodes.contains_key(name) {
            return Space::Host;
        }
        Space::Node(name.clone())
    }

    /// The interface that a reference names.
    pub(crate) fn at(&self, reference: &InterfaceRef) -> LinkRef {
        self.aliases.get(reference).cloned().unwrap_or_else(|| LinkRef {
            space: self.space_of(&reference.node),
            name: reference.interface.clone(),
        })
    }

    /// The node of a namespace.
    pub(crate) fn node_in(&self, space: &Space) -> Option<&NodeFacts<'a>> {
        match space {
            Space::Node(name) => self.nodes.get(name),
            Space::Host => None,
        }
    }

    /// The devices of a namespace, by name.
    pub(crate) fn devices_in<'b>(
        &'b self,
        space: &Space,
    ) -> impl Iterator<Item = (&'b LinkRef, &'b Device<'a>)> + use<'a, 'b> {
        self.devices.of_space(space)
    }

    /// All addresses of a node, in the order of its interfaces.
    pub(crate) fn addresses_of<'b>(
        &'b self,
        node: &NodeName,
    ) -> impl Iterator<Item = (&'b LinkRef, IpNet)> + use<'a, 'b> {
        self.devices_in(&Space::Node(node.clone()))
            .flat_map(|(at, device)| device.addresses.iter().map(move |address| (at, *address)))
    }

    fn add(&mut self, at: LinkRef, device: Device<'a>, report: &mut Report<'_>) {
        if self.devices.contains_key(&at) {
            report.problem(device.span, ProblemKind::Twice { what: format!("interface {at}") });
        } else {
            self.devices.add(at, device);
        }
    }

    /// Takes a made name, or says that none is left.
    fn derive(
        &mut self,
        space: &Space,
        wanted: &str,
        identity: &[&str],
        span: Span,
        report: &mut Report<'_>,
    ) -> Option<LinkRef> {
        let at = self.names.derive(space, wanted, identity);
        if at.is_none() {
            report.problem(span, ProblemKind::Name { space: space.to_string(), wanted: wanted.to_owned() });
        }
        at
    }
}
