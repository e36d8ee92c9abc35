//! The outer addresses of tunnels between two nodes.
//!
//! A pair of addresses fits if each node sends to the other's from its own: both in one subnet, or each
//! reached by the other's routes. Addresses of tunnels are not looked at, so that a tunnel never rides on
//! itself. IPv4 is preferred.

use crate::compiled::ProblemKind;
use crate::inventory::{Device, Inventory, Make};
use crate::object::{LinkRef, Space};
use crate::report::Report;
use crate::routing::source_towards;
use netloom_wire::NodeName;
use std::net::IpAddr;

/// Fills in the outer addresses of every [`Make::TunnelEnd`].
pub(crate) fn find_outer(inventory: &mut Inventory<'_>, report: &mut Report<'_>) {
    let ends: Vec<(LinkRef, LinkRef)> = inventory
        .devices
        .iter()
        .filter(|(_, device)| device.first)
        .filter_map(|(at, device)| match &device.make {
            Make::TunnelEnd { peer, .. } => Some((at.clone(), peer.clone())),
            _ => None,
        })
        .collect();
    for (first, second) in ends {
        let Some(device) = inventory.devices.get(&first) else { continue };
        let Some(link) = device.link() else { continue };
        let (Space::Node(node), Space::Node(other)) = (&first.space, &second.space) else { continue };
        let local = link.local.as_ref().map(|local| local.value);
        let remote = link.remote.as_ref().map(|remote| remote.value);
        let Some(outer) = pair(inventory, node, other, local, remote) else {
            let (node, other) = (node.clone(), other.clone());
            let interface = first.to_string();
            report.problem(device.span, ProblemKind::OuterAddress { node, other, interface });
            continue;
        };
        for (at, addresses) in [(&first, outer), (&second, (outer.1, outer.0))] {
            if let Some(device) = inventory.devices.get_mut(at)
                && let Make::TunnelEnd { outer, .. } = &mut device.make
            {
                *outer = Some(addresses);
            }
        }
    }
}

fn pair(
    inventory: &Inventory<'_>,
    node: &NodeName,
    other: &NodeName,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
) -> Option<(IpAddr, IpAddr)> {
    let fits = |wanted: Option<IpAddr>, address: IpAddr| wanted.is_none_or(|wanted| wanted == address);
    if let (Some(local), Some(remote)) = (local, remote) {
        return Some((local, remote));
    }
    if let Some(remote) = remote {
        return source_towards(inventory, node, remote, &is_underlay).map(|local| (local, remote));
    }
    let mut targets: Vec<IpAddr> = inventory
        .devices_in(&Space::Node(other.clone()))
        .filter(|(_, device)| is_underlay(device))
        .flat_map(|(_, device)| device.addresses.iter().map(ipnet::IpNet::addr))
        .collect();
    targets.sort_by_key(|target| !target.is_ipv4());
    targets.into_iter().find_map(|target| {
        let source = source_towards(inventory, node, target, &is_underlay)?;
        let back = source_towards(inventory, other, local.unwrap_or(source), &is_underlay)?;
        // With a fixed local address the other end must only know the way back.
        let source = local.unwrap_or(source);
        (fits(local, source) && back == target).then_some((source, target))
    })
}

/// Whether tunnels may ride on a device.
pub(crate) fn is_underlay(device: &Device<'_>) -> bool {
    !matches!(device.make, Make::TunnelEnd { .. })
        && !device.link().is_some_and(|link| {
            use netloom_model::topology::LinkKind::{Geneve, Gre, Gretap, Vxlan, Wireguard};
            matches!(link.kind, Geneve | Gre | Gretap | Vxlan | Wireguard)
        })
}
