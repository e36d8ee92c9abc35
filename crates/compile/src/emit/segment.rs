//! Networks: their namespaces, what lets them forward, their ways out, and the flooding of overlays.

use crate::inventory::{Carrier, Exit, Inventory, Make, PortRole, Segment, announced};
use crate::object::{FdbEntry, Key, LinkRef, NextHop, Route, RouteAction, Space, Spec};
use crate::report::Report;
use crate::routing::default_route;
use crate::table::{Table, Wish};
use ipnet::IpNet;
use netloom_model::topology::{Encapsulation, NetworkMode};
use netloom_wire::MacAddr;
use std::net::IpAddr;

/// Number of the main routing table (`RT_TABLE_MAIN`).
pub(super) const MAIN: u32 = 254;

pub(super) fn emit(inventory: &Inventory<'_>, table: &mut Table, report: &mut Report<'_>) {
    for segment in inventory.segments.values() {
        let wish = Wish::new(segment.part.clone(), segment.span);
        namespace(inventory, segment, &wish, table, report);
        exit(inventory, segment, &wish, table, report);
        if segment.network.mode == NetworkMode::Overlay {
            floods(inventory, segment, &wish, table, report);
        }
        notes(inventory, segment, report);
    }
}

/// A network with a switch of its own lives in a namespace of its own: firewalls, udev and network
/// managers of the host don't meddle with it, and it works the same without root.
fn namespace(
    inventory: &Inventory<'_>,
    segment: &Segment<'_>,
    wish: &Wish,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    let space = Space::Node(segment.name.clone());
    if segment.space != space || segment.bridge().is_none() {
        return;
    }
    let reason = format!("holds the switch of {}", segment.part);
    table.want(Key::Namespace { space: space.clone() }, Spec::Namespace, wish, reason, report);
    if let Carrier::Switch { why } = &segment.carrier {
        let reason = format!("switches the frames of network {} in user space, {why}", segment.name);
        let key = Key::Switch { space: space.clone() };
        let switch = super::bridge::switch(inventory, segment, report);
        table.want(key, Spec::Switch(switch), wish, reason, report);
    }
    let v6 = segment.owns_gateway() && segment.gateway(false).is_some();
    if segment.forwards() {
        let reason = "lets the network's gateway forward packets";
        table.sysctl(&space, "net/ipv4/ip_forward", "1", wish, reason, report);
        if v6 {
            table.sysctl(&space, "net/ipv6/conf/all/forwarding", "1", wish, reason, report);
        }
        for scope in ["all", "default"] {
            let path = format!("net/ipv4/conf/{scope}/rp_filter");
            table.sysctl(&space, &path, "0", wish, "lets packets come and go by different ways", report);
        }
    } else {
        table.sysctl(&space, "net/ipv4/ip_forward", "0", wish, "keeps the network closed", report);
    }
    if !v6 {
        // Else every port would get a link-local address and speak for itself on the network.
        let reason = "keeps the switch's own interfaces silent";
        table.sysctl(&space, "net/ipv6/conf/all/disable_ipv6", "1", wish, reason, report);
    }
}

fn hop(gateway: IpAddr, at: &LinkRef) -> Spec {
    let hop = NextHop { gateway: Some(gateway), device: Some(at.name.clone()), weight: 1 };
    Spec::Route(Route { action: RouteAction::Forward { hops: vec![hop] }, source: None, mtu: None })
}

fn route(space: &Space, destination: IpNet) -> Key {
    let metric = if destination.addr().is_ipv4() { 0 } else { 1024 };
    Key::Route { space: space.clone(), table: MAIN, destination, metric }
}

/// The address of a device in a family.
fn address(inventory: &Inventory<'_>, at: &LinkRef, v4: bool) -> Option<IpNet> {
    let device = inventory.devices.get(at)?;
    device.addresses.iter().copied().find(|address| address.addr().is_ipv4() == v4)
}

fn exit(
    inventory: &Inventory<'_>,
    segment: &Segment<'_>,
    wish: &Wish,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    let routed = segment.network.mode == NetworkMode::Routed;
    let announced: Vec<IpNet> =
        announced(inventory, &segment.name).into_iter().map(|(subnet, _)| subnet).collect();
    match &segment.exit {
        Exit::None => {}
        Exit::Host { inner, outer } => {
            let sysctls = [(true, "net/ipv4/ip_forward"), (false, "net/ipv6/conf/all/forwarding")];
            for (v4, path) in sysctls {
                if segment.gateway(v4).is_none() {
                    continue;
                }
                let reason = format!("lets the host forward packets of network {}", segment.name);
                table.sysctl(&Space::Host, path, "1", wish, &reason, report);
                let effect = if v4 { "" } else { ", which also makes it ignore router advertisements" };
                report.information(
                    segment.span,
                    format!(
                        "network {} leaves by the host, so the host must forward packets{effect}",
                        segment.name
                    ),
                );
            }
            for gateway in &segment.gateways {
                let v4 = gateway.is_ipv4();
                let (Some(host), Some(own)) = (address(inventory, outer, v4), address(inventory, inner, v4))
                else {
                    continue;
                };
                let reason = "is the way out to the host";
                table.want(
                    route(&inner.space, default_route(v4)),
                    hop(host.addr(), inner),
                    wish,
                    reason,
                    report,
                );
                for subnet in announced.iter().filter(|subnet| routed && subnet.addr().is_ipv4() == v4) {
                    let reason = format!("leads back to network {}", segment.name);
                    table.want(route(&Space::Host, *subnet), hop(own.addr(), outer), wish, reason, report);
                }
            }
        }
        Exit::Network { network, inner, .. } => {
            let Some(above) = inventory.segments.get(network) else { return };
            for gateway in &above.gateways {
                if segment.gateway(gateway.is_ipv4()).is_some() {
                    let reason = format!("is the way out by network {network}");
                    let key = route(&inner.space, default_route(gateway.is_ipv4()));
                    table.want(key, hop(*gateway, inner), wish, reason, report);
                }
            }
            if routed {
                way_back(inventory, segment, above, inner, &announced, wish, table, report);
            }
        }
    }
}

/// Tells the gateway of the network above where a routed network is.
#[expect(clippy::too_many_arguments, reason = "all of it is what a route is made of")]
fn way_back(
    inventory: &Inventory<'_>,
    segment: &Segment<'_>,
    above: &Segment<'_>,
    inner: &LinkRef,
    announced: &[IpNet],
    wish: &Wish,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    for subnet in announced {
        let v4 = subnet.addr().is_ipv4();
        let Some(own) = address(inventory, inner, v4) else { continue };
        let Some(gateway) = above.gateway(v4) else {
            let text = format!(
                "network {} has no gateway, so its nodes need a route to {subnet} via {}",
                above.name,
                own.addr()
            );
            report.warning(segment.span, text);
            continue;
        };
        let reason = format!("leads back to network {}", segment.name);
        if above.owns_gateway() {
            if let Some(bridge) = above.bridge() {
                table.want(route(&bridge.space, *subnet), hop(own.addr(), bridge), wish, reason, report);
            }
            continue;
        }
        // The gateway is a node's interface in the network above, if it is in this file at all.
        let holder = above.members.iter().find(|at| {
            let device = inventory.devices.get(at);
            device.is_some_and(|device| device.addresses.iter().any(|address| address.addr() == gateway))
        });
        match holder {
            Some(at) => {
                let spec = hop(own.addr(), at);
                table.want_by_default(route(&at.space, *subnet), spec, wish, reason, report);
            }
            None => report.warning(
                segment.span,
                format!(
                    "the gateway {gateway} of network {} needs a route to {subnet} via {}",
                    above.name,
                    own.addr()
                ),
            ),
        }
    }
}

/// Head-end replication: what a VXLAN device can't place goes to every other VTEP.
fn floods(
    inventory: &Inventory<'_>,
    segment: &Segment<'_>,
    wish: &Wish,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    if segment.network.group.is_some() || segment.network.encapsulation == Some(Encapsulation::Geneve) {
        return;
    }
    for (at, device) in inventory.devices.iter() {
        let Make::OverlayVxlan { network, vtep } = &device.make else { continue };
        if *network != segment.name {
            continue;
        }
        for (node, remote) in &segment.network.vteps {
            if remote.value == *vtep {
                continue;
            }
            let key = Key::FdbEntry {
                space: at.space.clone(),
                link: at.name.clone(),
                mac: MacAddr::new([0; 6]),
                vlan: None,
                remote: Some(remote.value),
            };
            let reason = format!("sends what has no known place to VTEP {}", node.value);
            table.want(key, Spec::FdbEntry(FdbEntry { permanent: true }), wish, reason, report);
        }
    }
}

fn notes(inventory: &Inventory<'_>, segment: &Segment<'_>, report: &mut Report<'_>) {
    let overlay = segment.network.mode == NetworkMode::Overlay;
    let geneve = segment.network.encapsulation == Some(Encapsulation::Geneve);
    if overlay && segment.network.isolated {
        let text = if geneve {
            format!(
                "members of network {} are cut off from other VTEPs, since isolated ports don't reach Geneve tunnels",
                segment.name
            )
        } else {
            format!(
                "members of network {} are isolated at each VTEP, not from members at other VTEPs",
                segment.name
            )
        };
        report.warning(segment.span, text);
    }
    if overlay && geneve && segment.network.group.is_some() {
        let text =
            format!("network {} needs no multicast group: Geneve has a tunnel to each VTEP", segment.name);
        report.warning(segment.span, text);
    }
    let has_v6 = segment.subnets.iter().any(|subnet| subnet.addr().is_ipv6());
    let bridge = segment.bridges.values().next().and_then(|at| inventory.devices.get(at));
    if has_v6 && let Some(mtu) = bridge.and_then(|bridge| bridge.mtu).filter(|mtu| *mtu < 1280) {
        let text = format!(
            "network {} has an MTU of {mtu}, but IPv6 needs 1280 (RFC 8200 section 5): the kernel will refuse its addresses",
            segment.name
        );
        report.warning(segment.span, text);
    }
    let tunnels = inventory.devices.values().filter(|device| {
        device.port.as_ref().is_some_and(|port| port.role == PortRole::Tunnel && port.network == segment.name)
    });
    if overlay && segment.network.vteps.len() < 2 && tunnels.count() > 0 {
        report.warning(
            segment.span,
            format!("network {} has only one VTEP, so it leads nowhere", segment.name),
        );
    }
}
