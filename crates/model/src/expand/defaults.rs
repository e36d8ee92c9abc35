//! `defaults`: written out at every part that says nothing else.

use crate::document::Spanned;
use crate::topology::{LinkKind, Network, NetworkMode, Node, Topology};
use crate::validate::sysctl_path;
use crate::validated::link_ends;
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn apply(topology: &mut Topology) {
    let defaults = topology.defaults.clone();
    if defaults.is_empty() {
        return;
    }
    let mut linked: BTreeMap<NodeName, Vec<Spanned<InterfaceName>>> = BTreeMap::new();
    for item in &topology.links {
        for (_, node, interface) in link_ends(&item.value) {
            linked.entry(node.clone()).or_default().push(Spanned::new(interface.clone(), item.span));
        }
    }
    for (name, node) in topology.endpoints.iter_mut().chain(topology.routers.iter_mut()) {
        // A virtual machine sees to both itself.
        if node.is_machine() {
            continue;
        }
        sysctls(node, &defaults.sysctls);
        if defaults.offloads.is_empty() {
            continue;
        }
        // Interfaces that only a link names have nothing to be written at.
        for interface in linked.get(&name.value).into_iter().flatten() {
            if !node.vrfs.contains_key(interface) {
                node.interfaces.entry(interface.clone()).or_default();
            }
        }
        for interface in node.interfaces.iter_mut().filter(|(key, _)| key.as_str() != "lo") {
            for (feature, on) in &defaults.offloads {
                interface.1.offloads.entry(feature.clone()).or_insert(*on);
            }
        }
    }
    let sized: BTreeSet<NodeName> = topology
        .networks
        .iter()
        .filter(|(_, network)| network.mtu.is_some())
        .map(|(key, _)| key.value.clone())
        .collect();
    for network in topology.networks.values_mut() {
        if plain(network) && network.mtu.is_none() {
            network.mtu = defaults.mtu;
        }
        if plain(network) && network.via.is_none() {
            network.via = defaults.via;
        }
    }
    for item in &mut topology.links {
        let to_sized = link_ends(&item.value).iter().any(|(_, node, _)| sized.contains(*node));
        let link = &mut item.value.0;
        let plain = matches!(
            link.kind,
            LinkKind::Veth | LinkKind::Tap | LinkKind::Tun | LinkKind::Dummy | LinkKind::Ifb
        );
        if plain && link.mtu.is_none() && !to_sized {
            link.mtu = defaults.mtu;
        }
        if link.kind == LinkKind::Veth && link.medium.is_none() {
            link.medium.clone_from(&defaults.medium);
        }
    }
}

/// Whether a network's MTU does not follow from what carries it.
const fn plain(network: &Network) -> bool {
    matches!(
        network.mode,
        NetworkMode::Bridge | NetworkMode::Nat | NetworkMode::HostOnly | NetworkMode::Routed
    )
}

/// One sysctl has many spellings.
fn sysctls(node: &mut Node, defaults: &BTreeMap<Spanned<String>, crate::topology::SysctlValue>) {
    let own: BTreeSet<Vec<String>> = node.sysctls.keys().map(|key| sysctl_path(key)).collect();
    for (key, value) in defaults {
        if !own.contains(&sysctl_path(key)) {
            node.sysctls.insert(key.clone(), value.clone());
        }
    }
}
