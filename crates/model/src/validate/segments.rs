//! Which interfaces hear each other: layer-2 segments as sets of interfaces and networks.

use super::context::Check;
use crate::topology::{LinkKind, Network, Uplink};
use crate::validated::{Attachment, End, link_ends};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};

/// A thing that can be part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Network(&'a NodeName),
    Interface(&'a NodeName, &'a InterfaceName),
}

/// A broadcast domain: a set of joined parts, and the VLAN in it (0 where VLANs are not kept apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Segment {
    root: usize,
    vlan: u16,
}

/// All segments of a topology.
pub(super) struct Segments<'a> {
    numbers: BTreeMap<Part<'a>, usize>,
    parents: Vec<usize>,
    vlans: BTreeMap<(&'a NodeName, &'a InterfaceName), u16>,
    open: Vec<bool>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(check: &Check<'a>) -> Self {
        let mut segments =
            Self { numbers: BTreeMap::new(), parents: Vec::new(), vlans: BTreeMap::new(), open: Vec::new() };
        let topology = check.topology;
        for (key, network) in &topology.networks {
            let number = segments.number(Part::Network(&key.value));
            if matches!(network.uplink.as_ref().map(|u| &u.value), Some(Uplink::Interface(_))) {
                segments.open[number] = true;
            }
            if let Some(parent) = &network.parent {
                segments.join(
                    Part::Network(&key.value),
                    Part::Interface(&parent.value.node, &parent.value.interface),
                );
                if parent.node.as_str() == super::context::HOST {
                    segments.open[number] = true;
                }
            }
        }
        for (node, interface) in check.addressing.keys() {
            segments.number(Part::Interface(node, interface));
            if let Some(Attachment::Network(network)) = check.index.attachment(node, interface)
                && let Some((network, _)) = topology.networks.get_key_value(network.as_str())
            {
                segments.join(Part::Interface(node, interface), Part::Network(&network.value));
            }
        }
        for item in &topology.links {
            segments.add_link(check, &item.value);
        }
        for number in 0..segments.parents.len() {
            segments.find(number);
        }
        segments.assign_vlans(check);
        segments
    }

    fn add_link(&mut self, check: &Check<'a>, link: &'a crate::topology::Link) {
        let part = |node: &'a NodeName, interface: &'a InterfaceName| match check
            .topology
            .networks
            .get_key_value(node.as_str())
        {
            Some((network, _)) if check.index.node(node).is_none() => Part::Network(&network.value),
            _ => Part::Interface(node, interface),
        };
        let ends = link_ends(link);
        if let [(End::A, a, a_interface), (End::B, b, b_interface)] = ends.as_slice() {
            self.join(part(a, a_interface), part(b, b_interface));
        }
        if let [(End::On, node, interface)] = ends.as_slice() {
            let on = Part::Interface(node, interface);
            match link.kind {
                LinkKind::Macvlan | LinkKind::Ipvlan | LinkKind::Vlan => {
                    if let Some(parent) = &link.parent {
                        self.join(on, Part::Interface(node, &parent.value));
                    }
                }
                LinkKind::Bond => {
                    for member in &link.members {
                        self.join(on, Part::Interface(node, &member.value));
                    }
                }
                _ => {}
            }
        }
    }

    /// Untagged VLAN of ports of filtering switches, and of VLAN interfaces.
    fn assign_vlans(&mut self, check: &Check<'a>) {
        let networks = check.topology.networks.iter();
        let filtering: BTreeSet<&NodeName> = networks
            .filter(|(key, network)| filters_vlans(check, key, network))
            .map(|(key, _)| &key.value)
            .collect();
        for (name, _, _, node) in crate::validated::nodes(check.topology) {
            for (key, interface) in &node.interfaces {
                let Some((network_name, network)) = network_of_port(check, name, key) else { continue };
                if !filtering.contains(network_name) {
                    continue;
                }
                let default = network.bridge.as_ref().and_then(|bridge| bridge.default_vlan).unwrap_or(1);
                let vlan = interface.vlan.as_ref().or(interface.native.as_ref());
                let vlan = vlan.map_or(default, |vlan| vlan.get());
                if vlan != 1 {
                    self.vlans.insert((name, &key.value), vlan);
                }
            }
        }
        for item in &check.topology.links {
            if let (LinkKind::Vlan, Some(on), Some(id)) = (item.kind, &item.value.0.on, &item.id) {
                self.vlans.insert((&on.value.node, &on.value.interface), id.get());
            }
        }
    }

    fn number(&mut self, part: Part<'a>) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(part).or_insert(next);
        if number == next {
            self.parents.push(next);
            self.open.push(false);
        }
        number
    }

    /// The root of a set, after which the way to it is short.
    fn find(&mut self, number: usize) -> usize {
        let mut root = number;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        let mut at = number;
        while self.parents[at] != root {
            at = std::mem::replace(&mut self.parents[at], root);
        }
        root
    }

    fn join(&mut self, a: Part<'a>, b: Part<'a>) {
        let (a, b) = (self.number(a), self.number(b));
        let (a, b) = (self.find(a), self.find(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parents[high] = low;
        self.open[low] |= self.open[high];
    }

    /// The segment of an interface.
    pub(super) fn of(&self, node: &NodeName, interface: &InterfaceName) -> Option<Segment> {
        let number = *self.numbers.get(&Part::Interface(node, interface))?;
        let vlan = self.vlans.get(&(node, interface)).copied().unwrap_or(1);
        Some(Segment { root: self.parents[number], vlan })
    }

    /// The segment of a network's own gateway.
    pub(super) fn of_network(&self, name: &NodeName, network: &Network) -> Option<Segment> {
        let number = *self.numbers.get(&Part::Network(name))?;
        let vlan = network.bridge.as_ref().and_then(|bridge| bridge.gateway_vlan.as_ref());
        Some(Segment { root: self.parents[number], vlan: vlan.map_or(1, |vlan| vlan.get()) })
    }

    /// Whether there may be stations on it that this file does not name.
    pub(super) fn is_open(&self, segment: Segment) -> bool {
        self.open.get(segment.root).copied().unwrap_or(true)
    }
}

/// The network whose switch an interface is plugged into, by `network:` or by a link.
pub(super) fn network_of_port<'a>(
    check: &Check<'a>,
    node: &NodeName,
    interface: &InterfaceName,
) -> Option<(&'a NodeName, &'a Network)> {
    crate::validated::segment_of(check.topology, check.index, node, interface)
}

/// Whether a network keeps VLANs apart: it says so, or one of its ports names a VLAN.
pub(super) fn filters_vlans(check: &Check<'_>, name: &NodeName, network: &Network) -> bool {
    if let Some(bridge) = &network.bridge {
        if let Some(filtering) = bridge.vlan_filtering {
            return filtering;
        }
        if bridge.gateway_vlan.is_some() || !bridge.uplink_trunk.is_empty() {
            return true;
        }
    }
    check.index.ports(name).iter().any(|port| {
        let node = port.node.as_ref().and_then(|node| crate::validated::node(check.topology, node));
        let interface = node.and_then(|(_, node)| node.interfaces.get(port.interface.as_str()));
        interface.is_some_and(|interface| {
            interface.vlan.is_some() || !interface.trunk.is_empty() || interface.native.is_some()
        })
    })
}
