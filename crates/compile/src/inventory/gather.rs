//! Nodes, segments with their bridges, VRFs, and who is whose port.

use super::{Carrier, Device, Exit, Inventory, Make, NodeFacts, Port, PortRole, Segment};
use crate::allocations::first_host;
use crate::compiled::ProblemKind;
use crate::object::{LinkRef, Space};
use crate::report::Report;
use ipnet::IpNet;
use netloom_model::scalar::{Gateway, InterfaceRef};
use netloom_model::source::Span;
use netloom_model::topology::{LinkKind, Network, NetworkMode, Uplink};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Most ports of a kernel bridge (`BR_MAX_PORTS - 1`, net/bridge/br_private.h).
const MOST_PORTS: usize = 1023;

impl Inventory<'_> {
    pub(super) fn list_nodes(&mut self) {
        let topology = self.topology;
        let lists = [(&topology.endpoints, false), (&topology.routers, true)];
        for (nodes, router) in lists {
            for (name, node) in nodes {
                let word = match (router, node.is_machine()) {
                    (true, _) => "router",
                    (false, false) => "endpoint",
                    (false, true) => "virtual machine",
                };
                let part = format!("{word} {}", name.value).into();
                let machine = node.is_machine();
                let facts = NodeFacts { node, span: name.span, router, machine, part };
                self.nodes.insert(name.value.clone(), facts);
            }
        }
    }

    pub(super) fn list_segments(&mut self) {
        let topology = self.topology;
        for (name, network) in &topology.networks {
            let space = match (&network.mode, network.uplink.as_deref()) {
                (NetworkMode::Bridge, Some(Uplink::Interface(interface))) => self.space_of(&interface.node),
                _ => Space::Node(name.value.clone()),
            };
            let subnets: Vec<IpNet> = network.subnet.iter().map(|subnet| subnet.net()).collect();
            let segment = Segment {
                name: name.value.clone(),
                network,
                span: name.span,
                part: format!("network {}", name.value).into(),
                space,
                bridges: BTreeMap::new(),
                gateways: gateways(network, &subnets),
                subnets,
                members: BTreeSet::new(),
                exit: Exit::None,
                filters_vlans: false,
                carrier: Carrier::Kernel { why: None },
            };
            self.segments.insert(name.value.clone(), segment);
        }
    }

    /// Takes every name that the user chose, before any name is made.
    pub(super) fn claim_names(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, node) in topology.endpoints.iter().chain(&topology.routers) {
            let space = Space::Node(name.value.clone());
            for interface in node.interfaces.keys().chain(node.vrfs.keys()) {
                self.names.claim(&LinkRef { space: space.clone(), name: interface.value.clone() });
            }
        }
        let mut ends: BTreeMap<&InterfaceRef, Span> = BTreeMap::new();
        for link in &topology.links {
            if let Some(two) = &link.link {
                ends.extend([(&two.a, two.span), (&two.b, two.span)]);
            }
            ends.extend(link.on.as_ref().map(|on| (&on.value, on.span)));
        }
        for (end, span) in ends {
            let at = self.at(end);
            let port_in_host = at.space == Space::Host && self.segments.contains_key(&end.node);
            if port_in_host {
                let identity = [end.node.as_str(), end.interface.as_str(), "port"];
                let derived = self.derive(&at.space, end.interface.as_str(), &identity, span, report);
                if let Some(made) = derived {
                    self.aliases.insert(end.clone(), made);
                }
            } else {
                self.names.claim(&at);
            }
        }
    }

    pub(super) fn make_bridges(&mut self, report: &mut Report<'_>) {
        let segments: Vec<NodeName> = self.segments.keys().cloned().collect();
        for name in segments {
            let Some(segment) = self.segments.get(&name) else { continue };
            let (span, part) = (segment.span, segment.part.clone());
            let spaces: Vec<(Space, Span)> = match segment.network.mode {
                NetworkMode::Macvlan | NetworkMode::Ipvlan => Vec::new(),
                NetworkMode::Overlay => {
                    let vteps = segment.network.vteps.keys();
                    vteps.map(|node| (self.space_of(&node.value), node.span)).collect()
                }
                _ => vec![(segment.space.clone(), span)],
            };
            let overlay = segment.network.mode == NetworkMode::Overlay;
            for (space, place) in spaces {
                let own = space == Space::Node(name.clone());
                let wanted = if own && name.as_str().len() > 15 { "br0" } else { name.as_str() };
                let identity = [name.as_str(), "bridge"];
                let Some(at) = self.derive(&space, wanted, &identity, span, report) else { continue };
                let carrier = self.segments.get(&name).map(|segment| &segment.carrier);
                let reason = if let Some(Carrier::Switch { .. }) = carrier {
                    format!("is network {name}'s own interface on its switch")
                } else if let Some(Carrier::Kernel { why: Some(why) }) = carrier {
                    format!("switches the frames of network {name} in the kernel, {why}")
                } else if overlay {
                    format!("switches the frames of overlay {name} at {space}")
                } else {
                    format!("switches the frames of network {name}")
                };
                let make = Make::Bridge { network: name.clone() };
                self.add(at.clone(), Device::new(make, part.clone(), place, reason), report);
                if let Some(segment) = self.segments.get_mut(&name) {
                    segment.bridges.insert(space, at);
                }
            }
        }
    }

    pub(super) fn make_vrfs(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, node) in topology.endpoints.iter().chain(&topology.routers) {
            let Some(part) = self.nodes.get(&name.value).map(|node| node.part.clone()) else { continue };
            for (device, vrf) in &node.vrfs {
                let at = LinkRef { space: Space::Node(name.value.clone()), name: device.value.clone() };
                let make = Make::Vrf { table: vrf.table.value };
                let reason = format!("gives interfaces of {} routing table {}", name.value, vrf.table.value);
                self.add(at, Device::new(make, part.clone(), device.span, reason), report);
            }
        }
    }

    /// Puts the uplink interfaces of bridge networks into their bridges, and lists the host's interfaces
    /// that are used.
    pub(super) fn use_uplink_interfaces(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, network) in &topology.networks {
            let part = format!("network {}", name.value);
            if let Some(parent) = &network.parent {
                let reason = format!("carries the interfaces of network {}", name.value);
                self.use_existing(&parent.value, parent.span, &part, &reason, report);
            }
            let Some(uplink) = &network.uplink else { continue };
            let Uplink::Interface(interface) = &uplink.value else { continue };
            let reason = format!("is the uplink of network {}", name.value);
            let Some(at) = self.use_existing(interface, uplink.span, &part, &reason, report) else {
                continue;
            };
            if let Some(device) = self.devices.get_mut(&at) {
                let segment = device.segment.take();
                device.port =
                    Some(Port { network: name.value.clone(), settings: None, role: PortRole::Uplink });
                if let Some(other) = segment.and_then(|other| self.segments.get_mut(&other)) {
                    other.members.remove(&at);
                }
            }
        }
    }

    /// The interface that a reference names, which must be made by something or be the host's.
    fn use_existing(
        &mut self,
        interface: &InterfaceRef,
        span: Span,
        part: &str,
        reason: &str,
        report: &mut Report<'_>,
    ) -> Option<LinkRef> {
        let at = self.at(interface);
        if !self.devices.contains_key(&at) {
            if at.space != Space::Host {
                let name = interface.to_string();
                report.problem(span, ProblemKind::Unknown { what: "interface", name });
                return None;
            }
            let device = Device::new(Make::Existing, part.into(), span, reason);
            self.devices.add(at.clone(), device);
        }
        Some(at)
    }

    /// Decides which bridge, bond or VRF each device belongs to.
    pub(super) fn set_controllers(&mut self) {
        let bridges: Vec<(LinkRef, InterfaceName)> = self
            .devices
            .iter()
            .filter_map(|(at, device)| {
                let segment = self.segments.get(&device.port.as_ref()?.network)?;
                // A port of Netloom's own switch stays by itself.
                if segment.carrier.is_switch() {
                    return None;
                }
                Some((at.clone(), segment.bridges.get(&at.space)?.name.clone()))
            })
            .collect();
        for (port, bridge) in bridges {
            self.control(&port, &bridge);
        }
        let topology = self.topology;
        for link in &topology.links {
            let (Some(on), LinkKind::Bond | LinkKind::Vrf) = (&link.on, link.kind) else { continue };
            let controller = self.at(on);
            for member in &link.members {
                let at = LinkRef { space: controller.space.clone(), name: member.value.clone() };
                self.control(&at, &controller.name);
                if link.kind == LinkKind::Bond {
                    self.move_segment(&at, &controller);
                }
            }
        }
        for (name, node) in topology.endpoints.iter().chain(&topology.routers) {
            let space = Space::Node(name.value.clone());
            for (vrf, settings) in &node.vrfs {
                for member in &settings.interfaces {
                    let at = LinkRef { space: space.clone(), name: member.value.clone() };
                    self.control(&at, &vrf.value);
                }
            }
        }
    }

    fn control(&mut self, at: &LinkRef, controller: &InterfaceName) {
        if let Some(device) = self.devices.get_mut(at) {
            device.controller = Some(controller.clone());
        }
    }

    /// A bond takes the place of its ports in their network.
    fn move_segment(&mut self, member: &LinkRef, bond: &LinkRef) {
        let Some(device) = self.devices.get_mut(member) else { return };
        device.port = None;
        let Some(segment) = device.segment.take() else { return };
        if let Some(found) = self.segments.get_mut(&segment) {
            found.members.remove(member);
            found.members.insert(bond.clone());
        }
        if let Some(device) = self.devices.get_mut(bond) {
            device.segment.get_or_insert(segment);
        }
    }

    /// A bridge keeps VLANs apart when it is told to, or when anything names a VLAN.
    pub(super) fn find_vlans(&mut self) {
        let mut filtering: BTreeSet<NodeName> = BTreeSet::new();
        for device in self.devices.values() {
            let (network, settings) = match (&device.port, &device.make) {
                (Some(port), _) => (&port.network, port.settings),
                (None, Make::Port { network, .. } | Make::Socket { network }) => (network, device.settings),
                _ => continue,
            };
            let Some(settings) = settings else { continue };
            let named = settings.vlan.iter().chain(&settings.native).map(|vlan| vlan.value);
            let named: Vec<_> = named.chain(settings.trunk.iter().flat_map(|range| range.iter())).collect();
            if !named.is_empty() {
                filtering.insert(network.clone());
                self.vlans.extend(named);
            }
        }
        for segment in self.segments.values_mut() {
            let settings = segment.network.bridge.as_deref();
            let named = settings.is_some_and(|bridge| {
                bridge.gateway_vlan.is_some()
                    || !bridge.uplink_trunk.is_empty()
                    || bridge.default_vlan.is_some()
            });
            let found = named || filtering.contains(&segment.name);
            segment.filters_vlans = settings.and_then(|bridge| bridge.vlan_filtering).unwrap_or(found);
            if segment.filters_vlans {
                self.vlans.extend(segment.default_vlan());
            }
            if let Some(settings) = settings {
                self.vlans.extend(settings.gateway_vlan.as_ref().map(|vlan| vlan.value));
                self.vlans.extend(settings.uplink_trunk.iter().flat_map(|range| range.iter()));
            }
        }
    }

    pub(super) fn count_ports(&self, report: &mut Report<'_>) {
        let mut ports: BTreeMap<(&NodeName, &Space), usize> = BTreeMap::new();
        for (at, device) in self.devices.iter() {
            if let Some(port) = &device.port
                && !self.on_switch(&port.network)
            {
                *ports.entry((&port.network, &at.space)).or_default() += 1;
            }
        }
        for ((network, _), ports) in ports {
            if ports > MOST_PORTS {
                let span = self.segments.get(network).map(|segment| segment.span).unwrap_or_default();
                report.problem(span, ProblemKind::Ports { network: network.clone(), ports });
            }
        }
    }
}

/// The gateways of a network by its mode, at most one of each family.
fn gateways(network: &Network, subnets: &[IpNet]) -> Vec<IpAddr> {
    let own = matches!(network.mode, NetworkMode::Nat | NetworkMode::Routed | NetworkMode::HostOnly);
    if network.gateway.iter().any(|gateway| gateway.value == Gateway::None) {
        return Vec::new();
    }
    let named: Vec<IpAddr> = network
        .gateway
        .iter()
        .filter_map(|gateway| match gateway.value {
            Gateway::At(address) => Some(address),
            _ => None,
        })
        .collect();
    let mut gateways = named.clone();
    if own {
        let unnamed =
            subnets.iter().filter(|subnet| !named.iter().any(|a| a.is_ipv4() == subnet.addr().is_ipv4()));
        gateways.extend(unnamed.filter_map(|subnet| first_host(*subnet)));
    }
    gateways.sort_by_key(|gateway| !gateway.is_ipv4());
    gateways.dedup_by_key(|gateway| gateway.is_ipv4());
    gateways
}
