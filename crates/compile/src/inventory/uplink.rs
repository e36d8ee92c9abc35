//! The ways out of NAT and routed networks.

use super::{Cable, Device, Exit, Inventory, Make, Port, PortRole};
use crate::compiled::ProblemKind;
use crate::object::{LinkRef, Space};
use crate::report::{Report, first_span};
use ipnet::IpNet;
use netloom_model::source::Span;
use netloom_model::topology::{NetworkMode, Uplink};
use netloom_wire::NodeName;
use std::collections::BTreeSet;

impl Inventory<'_> {
    pub(super) fn make_uplinks(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for (name, network) in &topology.networks {
            let uplink = match (&network.uplink, network.mode) {
                (Some(uplink), NetworkMode::Nat | NetworkMode::Routed) => uplink.value.clone(),
                (None, NetworkMode::Nat) => Uplink::Host,
                _ => continue,
            };
            let written = network.uplink.as_ref().map(|uplink| uplink.span).unwrap_or_default();
            let span = first_span(&[written, name.span]);
            let Some(segment) = self.segments.get(&name.value) else { continue };
            if uplink == Uplink::None {
                continue;
            }
            if !segment.forwards() {
                let text = format!(
                    "network {} has no gateway, so nothing leaves it by its uplink: give it a subnet and a gateway",
                    name.value
                );
                report.warning(span, text);
                continue;
            }
            let refused = |why| ProblemKind::Attachment {
                interface: format!("network {}", name.value),
                network: name.value.clone(),
                why,
            };
            let (outer_space, other) = match &uplink {
                Uplink::Host => (Space::Host, None),
                Uplink::Network(other) => match self.segments.get(other) {
                    Some(found) if found.bridge().is_some() => (found.space.clone(), Some(other.clone())),
                    _ => {
                        report.problem(span, refused("the network named by `uplink` has no switch"));
                        continue;
                    }
                },
                Uplink::None | Uplink::Interface(_) => {
                    report.problem(span, refused("its uplink must be host, another network or none"));
                    continue;
                }
            };
            let (space, part) = (segment.space.clone(), segment.part.clone());
            let identity = [name.value.as_str(), "uplink"];
            if let Some(above) = other.as_ref().filter(|other| self.on_switch(other)) {
                let above = above.clone();
                self.plug_into_switch(&name.value, &above, span, report);
                continue;
            }
            let Some(inner) = self.derive(&space, "uplink0", &identity, span, report) else { continue };
            let Some(outer) = self.derive(&outer_space, name.value.as_str(), &identity, span, report) else {
                continue;
            };
            let to = other.as_ref().map_or("the host".to_owned(), |other| format!("network {other}"));
            let reason = format!("leads from network {} to {to}", name.value);
            let cable = |peer: &LinkRef| Make::Cable { peer: peer.clone(), link: None };
            let mut inside = Device::new(cable(&outer), part.clone(), span, reason.clone());
            let mut outside = Device::new(cable(&inner), part.clone(), span, reason);
            let exit = match other {
                None => Exit::Host { inner: inner.clone(), outer: outer.clone() },
                Some(network) => {
                    inside.segment = Some(network.clone());
                    outside.port =
                        Some(Port { network: network.clone(), settings: None, role: PortRole::Downstream });
                    if let Some(found) = self.segments.get_mut(&network) {
                        found.members.insert(inner.clone());
                    }
                    Exit::Network { network, inner: inner.clone() }
                }
            };
            self.add(inner.clone(), inside, report);
            self.add(outer.clone(), outside, report);
            self.cables.push(Cable { a: inner, b: outer, medium: None, part, span });
            if let Some(segment) = self.segments.get_mut(&name.value) {
                segment.exit = exit;
            }
        }
    }
}

impl Inventory<'_> {
    /// The way out of a network by another one that Netloom's own switch carries: one interface, which is a port there.
    fn plug_into_switch(&mut self, name: &NodeName, above: &NodeName, span: Span, report: &mut Report<'_>) {
        let Some((space, part)) =
            self.segments.get(name).map(|segment| (segment.space.clone(), segment.part.clone()))
        else {
            return;
        };
        let identity = [name.as_str(), "uplink"];
        let Some(inner) = self.derive(&space, "uplink0", &identity, span, report) else { return };
        let make = Make::Port { network: above.clone(), role: PortRole::Downstream, link: None };
        let mut device =
            Device::new(make, part, span, format!("leads from network {name} to network {above}"));
        device.segment = Some(above.clone());
        if let Some(found) = self.segments.get_mut(above) {
            found.members.insert(inner.clone());
        }
        self.add(inner.clone(), device, report);
        if let Some(segment) = self.segments.get_mut(name) {
            segment.exit = Exit::Network { network: above.clone(), inner };
        }
    }
}

/// The subnets that are reached through a network: its own, and those of routed networks below it,
/// each with the interface of the network through which it is reached (none for its own).
pub(crate) fn announced<'b>(
    inventory: &'b Inventory<'_>,
    network: &'b NodeName,
) -> Vec<(IpNet, Option<&'b LinkRef>)> {
    let mut seen = BTreeSet::from([network]);
    let mut found: Vec<(IpNet, Option<&LinkRef>)> = Vec::new();
    if let Some(segment) = inventory.segments.get(network) {
        found.extend(segment.subnets.iter().map(|subnet| (*subnet, None)));
    }
    let mut below: Vec<(&NodeName, Option<&LinkRef>)> = vec![(network, None)];
    while let Some((above, way)) = below.pop() {
        for segment in inventory.segments.values() {
            let Exit::Network { network: uplink, inner, .. } = &segment.exit else { continue };
            if uplink != above || segment.network.mode != NetworkMode::Routed || !seen.insert(&segment.name) {
                continue;
            }
            let way = way.or(Some(inner));
            found.extend(segment.subnets.iter().map(|subnet| (*subnet, way)));
            below.push((&segment.name, way));
        }
    }
    found
}
