//! Whom a peer of a flow stands for.

use crate::inventory::Inventory;
use netloom_model::document::Spanned;
use netloom_model::scalar::PeerName;
use netloom_wire::NodeName;
use std::collections::BTreeSet;

/// The nodes that a peer stands for, in the order of names.
///
/// A group stands for its members, a network for the nodes attached to it, a prefix for the nodes that
/// have an address in it, and `any` for every endpoint.
pub(crate) fn nodes(inventory: &Inventory<'_>, peer: &PeerName) -> BTreeSet<NodeName> {
    match peer {
        PeerName::Any => {
            let endpoints = inventory.nodes.iter().filter(|(_, facts)| !facts.router);
            endpoints.map(|(name, _)| name.clone()).collect()
        }
        PeerName::Name(name) => {
            let mut found = BTreeSet::new();
            expand(inventory, name, &mut BTreeSet::new(), &mut found);
            found
        }
        PeerName::Prefix(prefix) => {
            let holds = |name: &NodeName| {
                inventory.addresses_of(name).any(|(_, address)| prefix.net().contains(&address.addr()))
            };
            inventory.nodes.keys().filter(|name| holds(name)).cloned().collect()
        }
    }
}

fn expand<'b>(
    inventory: &'b Inventory<'_>,
    name: &'b NodeName,
    seen: &mut BTreeSet<&'b NodeName>,
    found: &mut BTreeSet<NodeName>,
) {
    if !seen.insert(name) {
        return;
    }
    if inventory.nodes.contains_key(name) {
        found.insert(name.clone());
    }
    if let Some(members) = inventory.topology.groups.get(&Spanned::from(name.clone())) {
        for member in members {
            expand(inventory, &member.value, seen, found);
        }
    }
    for node in attached(inventory, name) {
        found.insert(node);
    }
}

/// The nodes with an interface on a network; none if it is no network.
pub(crate) fn attached(inventory: &Inventory<'_>, network: &NodeName) -> BTreeSet<NodeName> {
    let members = inventory.segments.get(network).map(|segment| &segment.members).into_iter().flatten();
    members
        .filter_map(|at| match &at.space {
            crate::object::Space::Node(name) if inventory.nodes.contains_key(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}
