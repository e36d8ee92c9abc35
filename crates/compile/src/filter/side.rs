//! One side of a rule as addresses, and how a node is seen by others.

use crate::inventory::{Exit, Inventory};
use crate::object::Family;
use crate::object::Space;
use crate::object::firewall::Addresses;
use crate::peers::{attached, nodes};
use crate::routing::device_towards;
use ipnet::IpNet;
use netloom_model::scalar::PeerName;
use netloom_model::topology::NetworkMode;
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};

/// Sources or destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    /// Everybody.
    Any,
    /// These addresses; if there is none, the rule fits nothing.
    Of(Vec<IpNet>),
}

impl Side {
    pub(super) const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// What a rule of one family compares with: `None` if it can fit nothing, `Some(None)` for everybody.
    pub(super) fn of_family(&self, family: Family) -> Option<Option<Addresses>> {
        match self {
            Self::Any => Some(None),
            Self::Of(list) => {
                let list = list.iter().copied().filter(|net| Family::of(&net.addr()) == family);
                Addresses::by_family(list).next().map(Some)
            }
        }
    }

    fn add(&mut self, nets: impl IntoIterator<Item = IpNet>) {
        if let Self::Of(list) = self {
            list.extend(nets);
        }
    }
}

/// Everybody's addresses, found once.
pub(super) struct Everybody<'b, 'a> {
    pub inventory: &'b Inventory<'a>,
    own: BTreeMap<&'b NodeName, Vec<IpNet>>,
    seen_as: BTreeMap<&'b NodeName, Vec<IpNet>>,
}

impl<'b, 'a> Everybody<'b, 'a> {
    pub(super) fn new(inventory: &'b Inventory<'a>) -> Self {
        let own: BTreeMap<&NodeName, Vec<IpNet>> = inventory
            .nodes
            .keys()
            .map(|name| {
                (name, inventory.addresses_of(name).map(|(_, net)| IpNet::from(net.addr())).collect())
            })
            .collect();
        let seen_as = seen_as(inventory, &own);
        Self { inventory, own, seen_as }
    }

    /// The addresses of a node.
    pub(super) fn own(&self, node: &NodeName) -> &[IpNet] {
        self.own.get(node).map_or(&[], Vec::as_slice)
    }

    /// Where packets of these peers come from: their addresses, and those that a NAT on their way gives
    /// them. (Behind a NAT one looks like the other; each is held back at its own door.)
    pub(super) fn sources(&self, peers: &[PeerName]) -> Side {
        self.side(peers, true)
    }

    /// Where packets to these peers go.
    pub(super) fn destinations(&self, peers: &[PeerName]) -> Side {
        self.side(peers, false)
    }

    fn side(&self, peers: &[PeerName], as_sources: bool) -> Side {
        if peers.contains(&PeerName::Any) {
            return Side::Any;
        }
        let mut side = Side::Of(Vec::new());
        for peer in peers {
            if let PeerName::Prefix(prefix) = peer {
                side.add([prefix.net()]);
                continue;
            }
            let subnets = self.subnets(peer).unwrap_or_default();
            side.add(subnets.iter().copied());
            for node in nodes(self.inventory, peer) {
                // Who is meant by a network is meant by the addresses in its subnets.
                if subnets.is_empty() {
                    side.add(self.own(&node).iter().copied());
                }
                if as_sources && let Some(others) = self.seen_as.get(&node) {
                    side.add(others.iter().copied());
                }
            }
        }
        side
    }

    /// The subnets of a network that a peer names.
    fn subnets(&self, peer: &PeerName) -> Option<&'b [IpNet]> {
        let PeerName::Name(name) = peer else { return None };
        self.inventory.segments.get(name).map(|segment| segment.subnets.as_slice())
    }

    /// Whom peers mean, found once for all nodes.
    pub(super) fn meant(&self, peers: &[PeerName]) -> Meant {
        let mut meant = Meant { any: false, nodes: BTreeSet::new(), nets: Vec::new() };
        for peer in peers {
            match peer {
                PeerName::Any => meant.any = true,
                PeerName::Prefix(prefix) => meant.nets.push(prefix.net()),
                PeerName::Name(name) => match self.subnets(peer) {
                    Some([]) => meant.nodes.extend(attached(self.inventory, name)),
                    Some(subnets) => meant.nets.extend(subnets.iter().copied()),
                    None => meant.nodes.extend(nodes(self.inventory, peer)),
                },
            }
        }
        meant
    }

    /// Whether and how peers mean a node itself: by name or as everybody (`Any`), by the subnet of a
    /// network or a prefix that one of its addresses is in (`Of`), or not at all (`None`).
    pub(super) fn meaning(&self, meant: &Meant, node: &NodeName) -> Option<Side> {
        if meant.any || meant.nodes.contains(node) {
            return Some(Side::Any);
        }
        let own = self.own(node);
        let nets: Vec<IpNet> = meant
            .nets
            .iter()
            .filter(|net| own.iter().any(|address| net.contains(&address.addr())))
            .copied()
            .collect();
        (!nets.is_empty()).then_some(Side::Of(nets))
    }
}

/// Whom the peers on one side of a flow mean.
pub(super) struct Meant {
    any: bool,
    nodes: BTreeSet<NodeName>,
    nets: Vec<IpNet>,
}

/// The addresses that NATs give to nodes: those of the uplink of a NAT network they are on, of the NAT
/// networks above it, and of routers beside them that masquerade.
fn seen_as<'b>(
    inventory: &'b Inventory<'_>,
    own: &BTreeMap<&'b NodeName, Vec<IpNet>>,
) -> BTreeMap<&'b NodeName, Vec<IpNet>> {
    let mut found: BTreeMap<&NodeName, BTreeSet<IpNet>> = BTreeMap::new();
    let networks: BTreeMap<&NodeName, BTreeSet<IpNet>> =
        inventory.segments.keys().map(|name| (name, uplink_addresses(inventory, name))).collect();
    let routers: Vec<(BTreeSet<&NodeName>, Vec<IpNet>, Vec<IpNet>)> = masquerading(inventory);
    let mapped = mapped(inventory);
    for (node, addresses) in own {
        let entry = found.entry(node).or_default();
        let space = Space::Node((*node).clone());
        for forward in &inventory.topology.forwards {
            let to = matches!(&forward.to.value, PeerName::Name(name) if name == *node);
            if let (true, None, Some(address)) = (to, &forward.service, &forward.address) {
                entry.insert(IpNet::from(address.value));
            }
        }
        for (_, device) in inventory.devices_in(&space) {
            for address in &device.addresses {
                let beside = mapped.iter().filter(|router| router.contains(&address.addr()));
                entry.extend(beside.map(|router| IpNet::from(router.addr())));
            }
            let Some(segment) = &device.segment else { continue };
            entry.extend(networks.get(segment).into_iter().flatten().copied());
            for (inside, only, outside) in &routers {
                let meant = only.is_empty()
                    || addresses.iter().any(|own| only.iter().any(|net| net.contains(&own.addr())));
                if inside.contains(segment) && meant {
                    entry.extend(outside.iter().copied());
                }
            }
        }
        // An address of a family that the node does not speak can't be its.
        entry.retain(|seen| addresses.iter().any(|own| own.addr().is_ipv4() == seen.addr().is_ipv4()));
        for own in addresses {
            entry.remove(own);
        }
    }
    found
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(node, addresses)| (node, addresses.into_iter().collect()))
        .collect()
}

/// The addresses, with their subnets, by which routers send neighbours of a target to its mapped address.
fn mapped(inventory: &Inventory<'_>) -> Vec<IpNet> {
    let mut found = Vec::new();
    for forward in inventory.topology.forwards.iter().filter(|forward| forward.input.is_none()) {
        let space = inventory.space_of(&forward.on.value);
        let targets = super::forward::targets(inventory, forward);
        let ways = targets.iter().filter_map(|target| device_towards(inventory, &space, None, *target));
        found.extend(ways.map(|(_, own)| own));
    }
    found
}

/// The addresses of the NATs between a network and the outermost network above it.
fn uplink_addresses(inventory: &Inventory<'_>, network: &NodeName) -> BTreeSet<IpNet> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut name = network;
    while seen.insert(name) {
        let Some(segment) = inventory.segments.get(name) else { break };
        let Exit::Network { network, inner } = &segment.exit else { break };
        if segment.network.mode == NetworkMode::Nat
            && let Some(device) = inventory.devices.get(inner)
        {
            found.extend(device.addresses.iter().map(|address| IpNet::from(address.addr())));
        }
        name = network;
    }
    found
}

/// For each masquerade of a router: the networks on its other interfaces, the prefixes it is limited to,
/// and the addresses it gives.
fn masquerading<'b>(inventory: &'b Inventory<'_>) -> Vec<(BTreeSet<&'b NodeName>, Vec<IpNet>, Vec<IpNet>)> {
    let mut found = Vec::new();
    for (name, facts) in &inventory.nodes {
        let space = Space::Node(name.clone());
        for masquerade in &facts.node.masquerade {
            let others = inventory.devices_in(&space).filter(|(at, _)| at.name != masquerade.out.value);
            let inside: BTreeSet<&NodeName> =
                others.filter_map(|(_, device)| device.segment.as_ref()).collect();
            let out = inventory.devices_in(&space).find(|(at, _)| at.name == masquerade.out.value);
            let outside = out.map(|(_, device)| device.addresses.as_slice()).unwrap_or_default();
            let outside = outside.iter().map(|address| IpNet::from(address.addr())).collect();
            let only = masquerade.from.iter().map(|prefix| prefix.net()).collect();
            found.push((inside, only, outside));
        }
    }
    found
}
