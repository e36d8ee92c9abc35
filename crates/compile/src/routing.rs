//! Which way packets leave a node: connected subnets, static routes, gateways of networks.
//!
//! What: the small part of a routing table that compilation itself must know, to find the device of a
//! gateway, the outer addresses of a tunnel and the address that a test should use.

use crate::inventory::{Device, Inventory};
use crate::object::{LinkRef, Space};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_model::scalar::Gateway;
use netloom_model::source::Span;
use netloom_model::topology::{NetworkMode, Route};
use netloom_wire::{InterfaceName, NodeName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A default route that an interface brings with its network.
pub(crate) struct ImpliedGateway<'b> {
    pub at: &'b LinkRef,
    pub gateway: IpAddr,
    pub span: Span,
    /// The user named it at the interface, rather than the network having one.
    pub named: bool,
}

/// The gateways that the interfaces of a node name or inherit, in the order in which they count: those
/// that the user named first.
pub(crate) fn implied_gateways<'b>(inventory: &'b Inventory<'_>, space: &Space) -> Vec<ImpliedGateway<'b>> {
    let mut found = Vec::new();
    for (at, device) in inventory.devices_in(space) {
        let choice = device.settings.and_then(|settings| settings.gateway.as_ref());
        let span = choice.map_or(device.span, |choice| choice.span);
        let span = if span.start < span.end { span } else { device.span };
        match choice.map(|choice| choice.value) {
            Some(Gateway::None) => {}
            Some(Gateway::At(gateway)) => found.push(ImpliedGateway { at, gateway, span, named: true }),
            auto => {
                let named = auto.is_some();
                let segment = device.segment.as_ref().and_then(|name| inventory.segments.get(name));
                // A network without a way out takes the default route only where the user says so.
                let closed = segment.is_some_and(|found| found.network.mode == NetworkMode::HostOnly);
                let gateways = segment.filter(|_| named || !closed).map(|segment| &segment.gateways);
                for gateway in gateways.into_iter().flatten() {
                    if usable(inventory, space, device, *gateway) {
                        found.push(ImpliedGateway { at, gateway: *gateway, span, named });
                    }
                }
            }
        }
    }
    found.sort_by_key(|gateway| !gateway.named);
    found
}

/// A network's gateway serves an interface that has an address beside it and is not itself the gateway.
fn usable(inventory: &Inventory<'_>, space: &Space, device: &Device<'_>, gateway: IpAddr) -> bool {
    let beside = device.addresses.iter().any(|address| address.contains(&gateway));
    let own = inventory
        .devices_in(space)
        .any(|(_, device)| device.addresses.iter().any(|address| address.addr() == gateway));
    beside && !own
}

/// The interface of a namespace whose subnet contains an address, within a VRF if one is named.
pub(crate) fn device_towards<'b>(
    inventory: &'b Inventory<'_>,
    space: &Space,
    vrf: Option<&InterfaceName>,
    address: IpAddr,
) -> Option<(&'b LinkRef, IpNet)> {
    let reaches = |(at, device): (&'b LinkRef, &'b Device<'_>)| {
        let same = vrf.is_none() || device.controller.as_ref() == vrf || vrf == Some(&at.name);
        let subnets = device.addresses.iter().filter(|own| own.contains(&address) && own.addr() != address);
        subnets.max_by_key(|own| own.prefix_len()).filter(|_| same).map(|own| (at, *own))
    };
    inventory.devices_in(space).filter_map(reaches).max_by_key(|(_, own)| own.prefix_len())
}

/// The destination of a static route; `default` has the family of its gateway.
pub(crate) fn destination(route: &Route) -> Option<IpNet> {
    if route.to.value != "default" {
        return match route.to.value.parse::<IpNet>() {
            Ok(net) => Some(net.trunc()),
            Err(_) => route.to.value.parse::<IpAddr>().ok().map(IpNet::from),
        };
    }
    let gateway = route.via.iter().chain(route.nexthops.iter().filter_map(|hop| hop.via.as_ref()));
    let v6 = gateway.map(|gateway| gateway.value).chain(route.source.as_ref().map(|source| source.value));
    Some(default_route(v6.into_iter().all(|address| address.is_ipv4())))
}

/// `0.0.0.0/0` or `::/0`.
pub(crate) fn default_route(v4: bool) -> IpNet {
    if v4 {
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))
    } else {
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0))
    }
}

/// The address that a node would send from towards `target`, looking at interfaces for which `through`
/// holds: of a connected subnet, else of the subnet of the next gateway. `None` if there is no way.
pub(crate) fn source_towards(
    inventory: &Inventory<'_>,
    node: &NodeName,
    target: IpAddr,
    through: &dyn Fn(&Device<'_>) -> bool,
) -> Option<IpAddr> {
    let space = Space::Node(node.clone());
    let beside = |address: IpAddr| {
        inventory
            .devices_in(&space)
            .filter(|(_, device)| through(device))
            .flat_map(|(_, device)| &device.addresses)
            .filter(|own| own.contains(&address) && own.addr() != address)
            .max_by_key(|own| own.prefix_len())
            .map(IpNet::addr)
    };
    if let Some(source) = beside(target) {
        return Some(source);
    }
    let facts = inventory.nodes.get(node)?;
    let plain = facts.node.routes.iter().filter(|route| {
        route.action.is_none() && route.vrf.is_none() && matches!(route.table, None | Some(254))
    });
    let mut ways: Vec<(u8, IpAddr)> = Vec::new();
    for route in plain {
        let Some(net) = destination(route).filter(|net| net.contains(&target)) else { continue };
        let gateways = route.via.iter().chain(route.nexthops.iter().filter_map(|hop| hop.via.as_ref()));
        ways.extend(gateways.map(|gateway| (net.prefix_len(), gateway.value)));
    }
    for implied in implied_gateways(inventory, &space) {
        if implied.gateway.is_ipv4() == target.is_ipv4() {
            ways.push((0, implied.gateway));
        }
    }
    // The longest prefix wins; among equals the first one written.
    ways.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    ways.into_iter().find_map(|(_, gateway)| beside(gateway))
}
