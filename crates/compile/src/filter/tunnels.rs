//! What tunnels of the topology itself need from filters: their outer packets must pass, or the overlay
//! would be cut by policies that speak of what is inside.

use crate::emit::{GENEVE_PORT, VXLAN_PORT};
use crate::inventory::{Device, Inventory, Make};
use crate::object::Space;
use crate::object::firewall::{Action, Addresses, FirewallRule, Match, Protocol};
use ipnet::IpNet;
use netloom_model::topology::LinkKind;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What distinguishes one kind of outer packet.
type Carrier = (Protocol, Option<u16>);

/// Rules that let the outer packets of a namespace's tunnels in, or out.
pub(super) fn accept(inventory: &Inventory<'_>, space: &Space, input: bool) -> Vec<FirewallRule> {
    let mut carriers: BTreeMap<Carrier, BTreeSet<IpAddr>> = BTreeMap::new();
    for (_, device) in inventory.devices_in(space) {
        for (carrier, remotes) in outer(inventory, device, input) {
            carriers.entry(carrier).or_default().extend(remotes);
        }
    }
    let mut rules = Vec::new();
    for ((protocol, port), remotes) in carriers {
        for addresses in Addresses::by_family(remotes.into_iter().map(IpNet::from)) {
            let ends = if input { Match::source(addresses) } else { Match::destination(addresses) };
            let mut rule = FirewallRule::new(Action::Accept).when(ends).when(Match::protocol(protocol));
            if let Some(port) = port {
                rule = rule.when(Match::port(port));
            }
            rules.push(rule.named("outer packets of the topology's own tunnels"));
        }
    }
    rules
}

fn outer(inventory: &Inventory<'_>, device: &Device<'_>, input: bool) -> Vec<(Carrier, Vec<IpAddr>)> {
    let overlay = |network, usual: u16| {
        let network = inventory.segments.get(network).map(|segment| segment.network);
        let network = network?;
        let carrier = (Protocol::UDP, Some(network.port.unwrap_or(usual)));
        let mut remotes: Vec<IpAddr> = network.vteps.values().map(|vtep| vtep.value).collect();
        remotes.extend(network.group.iter().filter(|_| !input).map(|group| group.value));
        Some((carrier, remotes))
    };
    match &device.make {
        Make::OverlayVxlan { network, .. } => overlay(network, VXLAN_PORT).into_iter().collect(),
        Make::OverlayGeneve { network, .. } => overlay(network, GENEVE_PORT).into_iter().collect(),
        Make::TunnelEnd { link, outer: Some((_, remote)), .. } => {
            vec![(carrier(link.kind, link.port), vec![*remote])]
        }
        Make::Single { link } => {
            let remotes = link.remote.iter().chain(link.group.iter().filter(|_| !input));
            let remotes: Vec<IpAddr> = remotes.map(|remote| remote.value).collect();
            match link.kind {
                LinkKind::Vxlan | LinkKind::Geneve | LinkKind::Gre | LinkKind::Gretap => {
                    vec![(carrier(link.kind, link.port), remotes)]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

const fn carrier(kind: LinkKind, port: Option<u16>) -> Carrier {
    match (kind, port) {
        (LinkKind::Gre | LinkKind::Gretap, _) => (Protocol::GRE, None),
        (LinkKind::Vxlan, None) => (Protocol::UDP, Some(VXLAN_PORT)),
        (LinkKind::Geneve, None) => (Protocol::UDP, Some(GENEVE_PORT)),
        // WireGuard's ends may listen on different ports: any UDP from the other end is its business.
        (_, port) => (Protocol::UDP, port),
    }
}
