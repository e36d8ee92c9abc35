//! Who has which address.
//!
//! Order of claims in a subnet: what the user fixed, gateways, what was chosen before, then the first
//! free addresses in the natural order of names (`web-2` before `web-10`).

use crate::allocations::{Allocations, Pool};
use crate::compiled::{Context, ProblemKind};
use crate::hash::{natural, stable};
use crate::inventory::{Device, Exit, Inventory};
use crate::object::{LinkRef, Space};
use crate::report::Report;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_model::scalar::{AddressChoice, InterfaceRef};
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Subnets towards the host come from here: shared address space (RFC 6598), which neither homes nor
/// offices use, and the far end of it, which providers use least.
const TRANSIT_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 127, 0, 0), 16);

/// Fills in [`Device::addresses`], and says what was chosen.
pub(crate) fn assign(
    inventory: &mut Inventory<'_>,
    context: &Context,
    report: &mut Report<'_>,
) -> Allocations {
    let mut chosen = Allocations::default();
    let automatic = fixed(inventory, report);
    let mut wishes: BTreeMap<NodeName, Vec<LinkRef>> = BTreeMap::new();
    for (segment, at) in automatic {
        wishes.entry(segment).or_default().push(at);
    }
    for (network, mut interfaces) in wishes {
        interfaces.sort_by(|a, b| {
            natural(node(a), node(b)).then_with(|| natural(a.name.as_str(), b.name.as_str()))
        });
        let Some(segment) = inventory.segments.get(&network) else { continue };
        let subnets = segment.subnets.clone();
        for subnet in subnets {
            choose(inventory, &network, subnet, &interfaces, &context.allocations, &mut chosen, report);
        }
    }
    transits(inventory, context, &mut chosen, report);
    chosen
}

/// Gives every device the addresses that the user wrote, and lists those that want one of the network's.
fn fixed(inventory: &mut Inventory<'_>, report: &mut Report<'_>) -> Vec<(NodeName, LinkRef)> {
    let mut automatic = Vec::new();
    let Inventory { devices, segments, .. } = inventory;
    let vrfs: BTreeSet<LinkRef> =
        devices.iter().filter(|(_, device)| device.is_vrf()).map(|(at, _)| at.clone()).collect();
    for (at, device) in devices.iter_mut() {
        let segment = device.segment.as_ref().and_then(|name| segments.get(name));
        let subnets: &[IpNet] = segment.map_or(&[], |segment| &segment.subnets);
        let choices = device.settings.map_or(&[][..], |settings| &settings.address.0);
        // The end of a link to a network's port has an address only if it asks for one.
        let mut wants = choices.is_empty() && !subnets.is_empty() && device.link().is_none();
        for choice in choices {
            match choice.value {
                AddressChoice::Auto => wants = true,
                AddressChoice::None => {}
                AddressChoice::Fixed(address) => device.addresses.push(address.net()),
                AddressChoice::Bare(address) => {
                    match subnets.iter().find(|subnet| subnet.contains(&address)) {
                        Some(subnet) => device.addresses.extend(IpNet::new(address, subnet.prefix_len())),
                        None => report.problem(
                            choice.span,
                            ProblemKind::NoPrefix { interface: at.to_string(), address },
                        ),
                    }
                }
            }
        }
        device.addresses.extend(addresses_of_link(device));
        // A port of a bridge or bond has no addresses of its own; a member of a VRF has.
        let enslaved = device.controller.as_ref().is_some_and(|controller| {
            !vrfs.contains(&LinkRef { space: at.space.clone(), name: controller.clone() })
        });
        if wants
            && !enslaved
            && let Some(segment) = segment
        {
            automatic.push((segment.name.clone(), at.clone()));
        }
    }
    for segment in segments.values().filter(|segment| segment.owns_gateway()) {
        let Some(bridge) = segment.bridge().and_then(|at| devices.get_mut(at)) else { continue };
        for gateway in &segment.gateways {
            if let Some(subnet) = segment.subnet_of(*gateway) {
                bridge.addresses.extend(IpNet::new(*gateway, subnet.prefix_len()));
            }
        }
    }
    for device in devices.values_mut() {
        let mut seen = BTreeSet::new();
        device.addresses.retain(|address| seen.insert(*address));
    }
    automatic
}

/// The addresses that a link names, in the order of its ends; further ones go on in turn.
fn addresses_of_link(device: &Device<'_>) -> Vec<IpNet> {
    let Some(link) = device.link() else { return Vec::new() };
    if device.port.is_some() {
        return Vec::new();
    }
    let (skip, step) = if link.link.is_some() { (usize::from(!device.first), 2) } else { (0, 1) };
    link.addresses.iter().skip(skip).step_by(step).map(|address| address.net()).collect()
}

/// Hands out the addresses of one subnet.
fn choose(
    inventory: &mut Inventory<'_>,
    network: &NodeName,
    subnet: IpNet,
    interfaces: &[LinkRef],
    before: &Allocations,
    chosen: &mut Allocations,
    report: &mut Report<'_>,
) {
    let mut pool = Pool::new(subnet);
    if let Some(segment) = inventory.segments.get(network) {
        segment.gateways.iter().for_each(|gateway| pool.exclude(*gateway));
        let members = segment.members.iter().filter_map(|at| inventory.devices.get(at));
        for address in members.flat_map(|device| &device.addresses) {
            pool.exclude(address.addr());
        }
    }
    // `[10.0.0.5, auto]` asks for an address of the other subnet only.
    let fixed = |at: &LinkRef| {
        let device = inventory.devices.get(at);
        device.is_some_and(|device| device.addresses.iter().any(|own| subnet.contains(&own.addr())))
    };
    let named: Vec<(&LinkRef, Option<InterfaceRef>)> =
        interfaces.iter().filter(|at| !fixed(at)).map(|at| (at, reference(at))).collect();
    let mut given: BTreeMap<&LinkRef, IpAddr> = BTreeMap::new();
    for (at, name) in &named {
        let kept = name.as_ref().and_then(|name| before.address(network, name, &subnet));
        if let Some(address) = kept
            && pool.take(address)
        {
            given.insert(at, address);
        }
    }
    for (at, name) in named {
        let Some(address) = given.get(at).copied().or_else(|| pool.choose()) else {
            let span = inventory.devices.get(at).map(|device| device.span).unwrap_or_default();
            let (network, interface) = (network.clone(), at.to_string());
            report.problem(span, ProblemKind::Exhausted { network, subnet, interface });
            continue;
        };
        if let Some(device) = inventory.devices.get_mut(at) {
            device.addresses.extend(IpNet::new(address, subnet.prefix_len()));
        }
        if let Some(name) = name {
            chosen.remember(network, name, address);
        }
    }
}

fn node(at: &LinkRef) -> &str {
    match &at.space {
        Space::Node(node) => node.as_str(),
        Space::Host => "",
    }
}

fn reference(at: &LinkRef) -> Option<InterfaceRef> {
    match &at.space {
        Space::Node(node) => Some(InterfaceRef { node: node.clone(), interface: at.name.clone() }),
        Space::Host => None,
    }
}

/// Subnets between networks and the host.
fn transits(
    inventory: &mut Inventory<'_>,
    context: &Context,
    chosen: &mut Allocations,
    report: &mut Report<'_>,
) {
    let uplinks: Vec<(NodeName, LinkRef, LinkRef)> = inventory
        .segments
        .values()
        .filter_map(|segment| match &segment.exit {
            Exit::Host { inner, outer } => Some((segment.name.clone(), inner.clone(), outer.clone())),
            _ => None,
        })
        .collect();
    if uplinks.is_empty() {
        return;
    }
    let mut used: Vec<IpNet> = inventory
        .devices
        .values()
        .flat_map(|device| device.addresses.iter().map(IpNet::trunc))
        .chain(inventory.segments.values().flat_map(|segment| segment.subnets.iter().copied()))
        .collect();
    used.sort_unstable();
    used.dedup();
    // The v4 space around ours is small; only what touches it can collide.
    let topology = inventory.topology.name.to_string();
    let (v4, v6) = (transit_v4(), transit_v6(&topology));
    used.retain(|net| overlap(net, &v4) || overlap(net, &v6));
    let mut taken = used.clone();
    let keep = |network: &NodeName, is_v4: bool, taken: &mut Vec<IpNet>| {
        let kept = context.allocations.transits.get(network)?;
        let kept = kept.iter().copied().find(|net| net.addr().is_ipv4() == is_v4)?;
        let free = !taken.iter().any(|other| overlap(other, &kept));
        free.then(|| taken.push(kept)).map(|()| kept)
    };
    let mut subnets: BTreeMap<(&NodeName, bool), IpNet> = BTreeMap::new();
    for (network, ..) in &uplinks {
        for is_v4 in [true, false] {
            if let Some(kept) = keep(network, is_v4, &mut taken) {
                subnets.insert((network, is_v4), kept);
            }
        }
    }
    taken.extend(context.reserved.iter().copied());
    for (network, inner, outer) in &uplinks {
        let families: Vec<bool> = inventory
            .segments
            .get(network)
            .map(|segment| segment.gateways.iter().map(IpAddr::is_ipv4).collect())
            .unwrap_or_default();
        let span = inventory.devices.get(inner).map(|device| device.span).unwrap_or_default();
        for is_v4 in families {
            let pool = if is_v4 { v4 } else { v6 };
            let found = subnets.get(&(network, is_v4)).copied().or_else(|| {
                let seed = stable(&[&topology, network.as_str(), "transit"]);
                let free = candidates(pool, seed).find(|net| !taken.iter().any(|other| overlap(other, net)));
                free.inspect(|net| taken.push(*net))
            });
            let Some(net) = found else {
                report.problem(span, ProblemKind::NoTransit { network: network.clone(), pool });
                continue;
            };
            chosen.transits.entry(network.clone()).or_default().insert(net);
            for (at, host) in [(outer, 1), (inner, 2)] {
                if let (Some(device), Some(address)) = (inventory.devices.get_mut(at), nth(net, host)) {
                    device.addresses.push(address);
                }
            }
        }
    }
}

fn transit_v4() -> IpNet {
    let (base, length) = TRANSIT_V4;
    Ipv4Net::new_assert(base, length).into()
}

/// A unique local /48 (RFC 4193) of the topology.
fn transit_v6(topology: &str) -> IpNet {
    let identifier = u128::from(stable(&[topology, "unique local"]) >> 24);
    let base = Ipv6Addr::from_bits((0xfd << 120) | (identifier << 80));
    Ipv6Net::new_assert(base, 48).into()
}

/// The small subnets of a pool, beginning with the one that the hash names.
fn candidates(pool: IpNet, hash: u64) -> impl Iterator<Item = IpNet> {
    const COUNT: u64 = 1 << 14;
    (0..COUNT).filter_map(move |step| {
        let index = hash.wrapping_add(step) % COUNT;
        match pool {
            IpNet::V4(pool) => {
                let bits = pool.network().to_bits() | (u32::try_from(index).ok()? << 2);
                Ipv4Net::new(Ipv4Addr::from_bits(bits), 30).ok().map(IpNet::V4)
            }
            IpNet::V6(pool) => {
                let bits = pool.network().to_bits() | (u128::from(index) << 64);
                Ipv6Net::new(Ipv6Addr::from_bits(bits), 126).ok().map(IpNet::V6)
            }
        }
    })
}

fn nth(net: IpNet, host: u8) -> Option<IpNet> {
    let address: IpAddr = match net {
        IpNet::V4(net) => Ipv4Addr::from_bits(net.network().to_bits() | u32::from(host)).into(),
        IpNet::V6(net) => Ipv6Addr::from_bits(net.network().to_bits() | u128::from(host)).into(),
    };
    IpNet::new(address, net.prefix_len()).ok()
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
