//! Devices that attach nodes to networks, and the tunnels that make an overlay one.

use super::{Cable, Device, Inventory, Make, Port, PortRole};
use crate::compiled::ProblemKind;
use crate::object::{LinkRef, Space};
use crate::report::{Report, first_span};
use netloom_model::document::Spanned;
use netloom_model::source::Span;
use netloom_model::topology::{Encapsulation, Interface, NetworkMode, Node};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

impl<'a> Inventory<'a> {
    pub(super) fn attach_interfaces(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, node) in topology.endpoints.iter().chain(&topology.routers) {
            // The first interface on a network gives its port the node's name, so that a second one
            // later does not rename it.
            let mut seen: BTreeSet<&NodeName> = BTreeSet::new();
            for (interface, settings) in &node.interfaces {
                let first = settings.network.as_deref().is_none_or(|network| seen.insert(network));
                self.attach(name, node, interface, settings, first, report);
            }
        }
    }

    fn attach(
        &mut self,
        node_name: &Spanned<NodeName>,
        node: &'a Node,
        interface: &Spanned<InterfaceName>,
        settings: &'a Interface,
        first: bool,
        report: &mut Report<'_>,
    ) {
        let at = LinkRef { space: Space::Node(node_name.value.clone()), name: interface.value.clone() };
        let network_span = settings.network.as_ref().map(|network| network.span).unwrap_or_default();
        let span = first_span(&[interface.span, network_span, node_name.span]);
        let Some(part) = self.nodes.get(&node_name.value).map(|node| node.part.clone()) else { return };
        if let Some(device) = self.devices.get_mut(&at) {
            device.settings = Some(settings);
            if let Some(network) = &settings.network
                && device.segment.as_ref() != Some(&network.value)
            {
                let network = network.value.clone();
                let why = "a link makes this interface already";
                report.problem(span, ProblemKind::Attachment { interface: at.to_string(), network, why });
            }
            return;
        }
        let Some(network) = settings.network.as_ref().map(|network| &network.value) else {
            if at.name.as_str() == "lo" {
                let reason = format!("carries addresses of {}", node_name.value);
                let mut device = Device::new(Make::Existing, part, span, reason);
                device.settings = Some(settings);
                self.add(at, device, report);
            } else {
                report.problem(span, ProblemKind::Unmade { interface: at.to_string() });
            }
            return;
        };
        let Some(segment) = self.segments.get_mut(network) else {
            report.problem(span, ProblemKind::Unknown { what: "network", name: network.to_string() });
            return;
        };
        segment.members.insert(at.clone());
        let network = segment.name.clone();
        let network_medium = segment.network.medium.as_ref();
        let refused =
            |why| ProblemKind::Attachment { interface: at.to_string(), network: network.clone(), why };
        let port_space = match segment.network.mode {
            NetworkMode::Macvlan | NetworkMode::Ipvlan => None,
            NetworkMode::Overlay => {
                let own = Space::Node(node.at.as_deref().unwrap_or(&node_name.value).clone());
                let only = segment.bridges.keys().next().filter(|_| segment.bridges.len() == 1);
                let carrier = match &node.at {
                    _ if segment.bridges.contains_key(&own) => Some(own),
                    None => only.cloned(),
                    Some(_) => None,
                };
                if carrier.is_none() {
                    let why = "the node named by `at` (or itself) is none of the network's VTEPs";
                    report.problem(span, refused(why));
                    return;
                }
                carrier
            }
            _ => Some(segment.space.clone()),
        };
        let reason: Arc<str> = format!("attaches {} to network {network}", node_name.value).into();
        let Some(port_space) = port_space else {
            let Some(parent) = segment.network.parent.as_ref().map(|parent| parent.value.clone()) else {
                let kind = if segment.network.mode == NetworkMode::Macvlan { "macvlan" } else { "ipvlan" };
                let interface = format!("network {network}");
                report.problem(span, ProblemKind::Lacking { interface, kind, field: "parent" });
                return;
            };
            let make = Make::Rider { network: network.clone(), parent: self.at(&parent) };
            let mut device = Device::new(make, part, span, reason);
            (device.settings, device.segment) = (Some(settings), Some(network));
            self.add(at, device, report);
            return;
        };
        if segment.carrier.is_switch() {
            let make = if node.is_machine() {
                Make::Socket { network: network.clone() }
            } else {
                Make::Port { network: network.clone(), role: PortRole::Member, link: None }
            };
            let mut device = Device::new(make, part, span, reason);
            (device.settings, device.segment) = (Some(settings), Some(network));
            self.add(at, device, report);
            return;
        }
        let wanted = if first {
            node_name.value.to_string()
        } else {
            format!("{}.{}", node_name.value, interface.value)
        };
        let identity = [node_name.value.as_str(), interface.value.as_str()];
        let Some(port) = self.derive(&port_space, &wanted, &identity, span, report) else { return };
        let mut device =
            Device::new(Make::Cable { peer: port.clone(), link: None }, part.clone(), span, reason);
        (device.settings, device.segment) = (Some(settings), Some(network.clone()));
        self.add(at.clone(), device, report);
        let reason = format!("is the port of {} in network {network}", node_name.value);
        let mut device =
            Device::new(Make::Cable { peer: at.clone(), link: None }, part.clone(), span, reason);
        device.port = Some(Port { network, settings: Some(settings), role: PortRole::Member });
        self.add(port.clone(), device, report);
        let medium = settings.medium.as_ref().or(network_medium).or(self.topology.defaults.medium.as_ref());
        self.cables.push(Cable { a: at, b: port, medium, part, span });
    }

    /// The tunnels between the VTEPs of each overlay.
    pub(super) fn make_tunnels_of_overlays(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, network) in &topology.networks {
            if network.mode != NetworkMode::Overlay {
                continue;
            }
            let Some(vni) = network.vni.as_ref().map(|vni| vni.value) else {
                let interface = format!("network {}", name.value);
                report.problem(name.span, ProblemKind::Lacking { interface, kind: "overlay", field: "vni" });
                continue;
            };
            for (node, vtep) in &network.vteps {
                let local = vtep.value;
                let span = first_span(&[node.span, vtep.span]);
                if network.encapsulation.unwrap_or_default() == Encapsulation::Vxlan {
                    let make = Make::OverlayVxlan { network: name.value.clone(), vtep: local };
                    let reason =
                        format!("carries network {} from {} to the other VTEPs", name.value, node.value);
                    self.tunnel(
                        &name.value,
                        &node.value,
                        &format!("vx{vni}"),
                        "",
                        make,
                        &reason,
                        span,
                        report,
                    );
                    continue;
                }
                for (other, remote) in &network.vteps {
                    if other.value == node.value {
                        continue;
                    }
                    let remote: IpAddr = remote.value;
                    let make = Make::OverlayGeneve { network: name.value.clone(), remote };
                    let reason =
                        format!("carries network {} from {} to {}", name.value, node.value, other.value);
                    let wanted = format!("gnv{vni}.{}", other.value);
                    let to = other.value.as_str();
                    self.tunnel(&name.value, &node.value, &wanted, to, make, &reason, span, report);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site's loop body, kept readable")]
    fn tunnel(
        &mut self,
        network: &NodeName,
        node: &NodeName,
        wanted: &str,
        to: &str,
        make: Make<'a>,
        reason: &str,
        span: Span,
        report: &mut Report<'_>,
    ) {
        let space = Space::Node(node.clone());
        let identity = [network.as_str(), node.as_str(), to, "tunnel"];
        let Some(at) = self.derive(&space, wanted, &identity, span, report) else { return };
        let part: Arc<str> = format!("network {network}").into();
        let mut device = Device::new(make, part, span, reason);
        device.port = Some(Port { network: network.clone(), settings: None, role: PortRole::Tunnel });
        self.add(at, device, report);
    }
}
