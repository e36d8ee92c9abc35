//! Addresses: inside their subnet, usable, and nobody else's.

use super::codes;
use super::context::Check;
use super::segments::{Segment, Segments, network_of_port};
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::scalar::{AddressChoice, Gateway};
use crate::source::Span;
use crate::topology::{Interface, Network, Uplink};
use crate::validated;
use ipnet::IpNet;
use netloom_wire::{InterfaceName, MacAddr, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Largest subnet whose free addresses are counted; beyond it there is always room.
const COUNTED_BITS: u8 = 24;

pub(super) fn check(check: &mut Check<'_>, segments: &Segments<'_>) {
    for (name, _, _, node) in validated::nodes(check.topology) {
        for (key, interface) in &node.interfaces {
            choices(check, name, key, interface);
            gateway(check, name, key, interface);
        }
    }
    fixed(check);
    duplicates(check, segments);
    hardware(check, segments);
    allocator(check);
    overlaps(check);
}

/// `auto`, `none` and addresses without a length mean something only where there is a subnet.
fn choices(check: &mut Check<'_>, name: &NodeName, key: &Spanned<InterfaceName>, interface: &Interface) {
    let network = network_of_port(check, name, key).map(|(_, network)| network);
    for choice in interface.address.iter() {
        match choice.value {
            AddressChoice::None if interface.address.len() > 1 => check.error(
                codes::ADDRESS_CHOICE,
                choice.span,
                format!("`{name}:{}` has `none` and an address", key.value),
                "no address, but there are others",
                "remove `none`",
            ),
            AddressChoice::None => {}
            AddressChoice::Auto => {
                if network.is_none_or(|network| network.subnet.is_empty()) {
                    let (label, help) = match network {
                        Some(_) => (
                            "its network has no subnet",
                            "give the network a `subnet`, or write the address here",
                        ),
                        None => ("a link has no subnet", "write an address like 10.0.0.1/24"),
                    };
                    check.error(
                        codes::ADDRESS_CHOICE,
                        choice.span,
                        format!("nothing can choose an address for `{name}:{}`", key.value),
                        label,
                        help,
                    );
                }
            }
            AddressChoice::Bare(address) => {
                let subnets = network.map_or(&[][..], |network| &network.subnet[..]);
                if subnets.iter().any(|subnet| subnet.net().contains(&address)) {
                    continue;
                }
                match subnets.iter().find(|subnet| same_family(subnet.net(), address)) {
                    Some(subnet) => outside(check, choice.span, address, subnet),
                    None => check.error(
                        codes::ADDRESS_CHOICE,
                        choice.span,
                        format!("{address} has no prefix length, and no subnet gives one"),
                        "length is missing",
                        format!("write it like {address}/{}", if address.is_ipv4() { 24 } else { 64 }),
                    ),
                }
            }
            AddressChoice::Fixed(fixed) => {
                let subnets = network.map_or(&[][..], |network| &network.subnet[..]);
                let Some(subnet) = subnets.iter().find(|s| same_family(s.net(), fixed.net().addr())) else {
                    continue;
                };
                if !subnet.net().contains(&fixed.net().addr()) {
                    outside(check, choice.span, fixed.net().addr(), subnet);
                } else if subnet.net().prefix_len() != fixed.net().prefix_len() {
                    check.warning(
                        codes::PREFIX_LENGTH,
                        choice.span,
                        format!(
                            "{fixed} has another prefix length than the subnet {} of its network",
                            subnet.value
                        ),
                        "differs from the subnet",
                        format!("write {}/{}", fixed.net().addr(), subnet.net().prefix_len()),
                    );
                }
            }
        }
    }
}

/// An address that would fit, for a message.
fn like(net: IpNet) -> String {
    validated::first_address(net).map_or_else(String::new, |first| format!(", like {}", first.addr()))
}

fn outside(check: &mut Check<'_>, span: Span, address: IpAddr, subnet: &Spanned<crate::scalar::Prefix>) {
    let finding = Diagnostic::error(
        codes::ADDRESS_OUTSIDE,
        format!("{address} is outside of the subnet {}", subnet.value),
    )
    .at(span)
    .label("not in the subnet")
    .help(format!("choose an address of {}{}", subnet.value, like(subnet.net())))
    .related(subnet.span, "the subnet of the network");
    check.push(finding);
}

/// A gateway is another station on the same link.
fn gateway(check: &mut Check<'_>, name: &NodeName, key: &Spanned<InterfaceName>, interface: &Interface) {
    let Some(gateway) = &interface.gateway else { return };
    match gateway.value {
        Gateway::None => {}
        Gateway::Auto => {
            if network_of_port(check, name, key).is_none() {
                check.error(
                    codes::GATEWAY,
                    gateway.span,
                    format!("`{name}:{}` is on no network that could give a gateway", key.value),
                    "`auto` needs a network",
                    "write the address of the gateway",
                );
            }
        }
        Gateway::At(address) => {
            let addressing = check.addresses(name, key);
            if addressing.fixed.iter().any(|net| net.addr() == address) {
                check.error(
                    codes::GATEWAY,
                    gateway.span,
                    format!("`{name}:{}` can't be its own gateway", key.value),
                    "its own address",
                    "write the address of the router",
                );
            } else if !addressing.prefixes().any(|prefix| prefix.contains(&address)) {
                let prefixes: Vec<String> = addressing.prefixes().map(|prefix| prefix.to_string()).collect();
                let help = match prefixes.as_slice() {
                    [] => "give the interface an address first".to_owned(),
                    some => format!("the interface reaches {}", some.join(" and ")),
                };
                check.error(
                    codes::GATEWAY,
                    gateway.span,
                    format!("`{name}:{}` can't reach its gateway {address}", key.value),
                    "outside of the interface's prefixes",
                    help,
                );
            }
        }
    }
}

/// Fixed addresses can be those of a station.
fn fixed(check: &mut Check<'_>) {
    let mut wrong = Vec::new();
    for ((node, interface), addressing) in &check.addressing {
        for net in &addressing.fixed {
            if let Some(why) = unusable(net.value) {
                wrong.push((
                    format!("{} can't be the address of `{node}:{interface}`", net.value),
                    net.span,
                    why,
                ));
            }
            if net.addr().is_loopback() && interface.as_str() != "lo" {
                wrong.push((
                    format!("{} can't be the address of `{node}:{interface}`", net.value),
                    net.span,
                    "a loopback address",
                ));
            }
        }
    }
    for (message, span, label) in wrong {
        check.error(codes::UNUSABLE_ADDRESS, span, message, label, "choose another address of the prefix");
    }
}

/// Why an address can't be a station's: it stands for the whole prefix.
pub(super) fn unusable(net: IpNet) -> Option<&'static str> {
    match net {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            if net.addr() == net.network() {
                Some("this is the address of the network itself")
            } else if net.addr() == net.broadcast() {
                Some("this is the broadcast address of the prefix")
            } else {
                None
            }
        }
        IpNet::V6(net) if net.prefix_len() < 127 && net.addr() == net.network() => {
            Some("this is the anycast address of all routers (RFC 4291, 2.6.1)")
        }
        _ => None,
    }
}

/// An address is somebody's: once in a node, once in a segment.
fn duplicates(check: &mut Check<'_>, segments: &Segments<'_>) {
    let mut in_node: BTreeMap<(&NodeName, Option<&InterfaceName>, IpAddr), (String, Span)> = BTreeMap::new();
    let mut in_segment: BTreeMap<(Segment, IpAddr), (String, Span)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, network) in &check.topology.networks {
        for gateway in validated::own_gateways(network) {
            if let Some(segment) = segments.of_network(key, network) {
                let who = format!("the gateway of `{}`", key.value);
                in_segment.insert((segment, gateway.addr()), (who, gateway.span));
            }
        }
    }
    for ((node, interface), addressing) in &check.addressing {
        let vrf = vrf_of(check, node, interface);
        for net in &addressing.fixed {
            let who = format!("`{node}:{interface}`");
            if let Some((other, span)) = in_node.get(&(*node, vrf, net.addr())) {
                findings.push((net.span, net.addr(), who, other.clone(), *span));
                continue;
            }
            in_node.insert((*node, vrf, net.addr()), (who.clone(), net.span));
            if interface.as_str() == "lo" {
                continue;
            }
            let Some(segment) = segments.of(node, interface) else { continue };
            match in_segment.get(&(segment, net.addr())) {
                Some((other, span)) => findings.push((net.span, net.addr(), who, other.clone(), *span)),
                None => {
                    in_segment.insert((segment, net.addr()), (who, net.span));
                }
            }
        }
    }
    for (span, address, who, other, other_span) in findings {
        // One place for both: replicas, which are told elsewhere.
        if span == other_span && !span.is_empty() {
            continue;
        }
        let finding = Diagnostic::error(
            codes::DUPLICATE_ADDRESS,
            format!("{who} and {other} have the same address {address}"),
        )
        .at(span)
        .label("taken")
        .help("give one of them another address")
        .related(other_span, format!("{other} has it here"));
        check.push(finding);
    }
}

/// The VRF that an interface of a node belongs to.
pub(super) fn vrf_of<'a>(
    check: &Check<'a>,
    node: &NodeName,
    interface: &InterfaceName,
) -> Option<&'a InterfaceName> {
    let (_, node) = validated::node(check.topology, node)?;
    let mut vrfs = node.vrfs.iter();
    let found = vrfs.find(|(_, vrf)| vrf.interfaces.iter().any(|member| member.value == *interface));
    found.map(|(device, _)| &device.value)
}

/// Hardware addresses differ within a segment.
fn hardware(check: &mut Check<'_>, segments: &Segments<'_>) {
    let mut seen: BTreeMap<(Segment, MacAddr), (&NodeName, &InterfaceName, Span)> = BTreeMap::new();
    for (name, _, _, node) in validated::nodes(check.topology) {
        for (key, interface) in &node.interfaces {
            let Some(mac) = &interface.mac else { continue };
            let Some(segment) = segments.of(name, key) else { continue };
            match seen.get(&(segment, mac.value)) {
                None => {
                    seen.insert((segment, mac.value), (name, &key.value, mac.span));
                }
                // One place for both: replicas, which are told elsewhere.
                Some((_, _, span)) if *span == mac.span && !span.is_empty() => {}
                Some((other, other_interface, span)) => {
                    let finding = Diagnostic::error(
                        codes::DUPLICATE_MAC,
                        format!(
                            "`{name}:{}` and `{other}:{other_interface}` have the same hardware address {}",
                            key.value, mac.value
                        ),
                    )
                    .at(mac.span)
                    .label("taken")
                    .help("give one of them another address, or none: Netloom makes one from the names")
                    .related(*span, "used here");
                    check.push(finding);
                }
            }
        }
    }
}

/// Every subnet has room for those who wait for an address.
fn allocator(check: &mut Check<'_>) {
    let mut below: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for network in check.topology.networks.values() {
        if let Some(Uplink::Network(name)) = network.uplink.as_ref().map(|uplink| &uplink.value) {
            *below.entry(name).or_default() += 1;
        }
    }
    for (key, network) in &check.topology.networks {
        for subnet in network.subnet.iter() {
            let net = subnet.net();
            let bits = net.max_prefix_len() - net.prefix_len();
            if bits > COUNTED_BITS {
                continue;
            }
            let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
            let gateways = validated::gateways(network);
            taken.extend(gateways.iter().map(|gateway| gateway.addr()).filter(|a| net.contains(a)));
            let mut waiting = 0u64;
            for port in check.index.ports(key) {
                let Some(node) = &port.node else { continue };
                let addressing = check.addresses(node, &port.interface);
                taken.extend(addressing.fixed.iter().map(|fixed| fixed.addr()).filter(|a| net.contains(a)));
                waiting += u64::from(addressing.auto.iter().any(|auto| auto.value == subnet.value));
            }
            // A nat or routed network whose uplink this is takes an address here for its gateway.
            waiting += below.get(&key.value).copied().unwrap_or_default();
            let whole = 1u64 << bits;
            let reserved = match net {
                IpNet::V4(_) if bits >= 2 => 2,
                IpNet::V6(_) if bits >= 2 => 1,
                _ => 0,
            };
            let free = whole.saturating_sub(reserved).saturating_sub(taken.len() as u64);
            if waiting > free {
                let span = subnet.span;
                check.error(
                    codes::SUBNET_FULL,
                    span,
                    format!(
                        "subnet {} of `{}` has room for {free} more, but {waiting} wait for an address",
                        subnet.value, key.value
                    ),
                    "too small",
                    "take a larger subnet, or attach fewer nodes",
                );
            }
        }
    }
}

/// Subnets of networks that one node joins are different, or routing between them is a guess.
fn overlaps(check: &mut Check<'_>) {
    let mut told: BTreeSet<(&NodeName, &NodeName)> = BTreeSet::new();
    let mut findings = Vec::new();
    for (name, _, _, node) in validated::nodes(check.topology) {
        let mut joined: Vec<(&Spanned<NodeName>, &Network, Option<&InterfaceName>)> = Vec::new();
        for (key, interface) in &node.interfaces {
            let Some(wanted) = &interface.network else { continue };
            let Some((network_key, network)) = check.topology.networks.get_key_value(wanted) else {
                continue;
            };
            if joined.iter().any(|(other, _, _)| other.value == network_key.value) {
                continue;
            }
            let vrf = vrf_of(check, name, key);
            for (other_key, other, other_vrf) in &joined {
                if *other_vrf == vrf && told.insert((&other_key.value, &network_key.value)) {
                    findings.extend(overlap(network, other).map(|(a, b)| {
                        (a, b, &network_key.value, &other_key.value, format!("`{name}` is on both"))
                    }));
                }
            }
            joined.push((network_key, network, vrf));
        }
    }
    for (key, network) in &check.topology.networks {
        if let Some(Uplink::Network(above)) = network.uplink.as_ref().map(|uplink| &uplink.value)
            && let Some((above_key, above)) = check.topology.networks.get_key_value(above.as_str())
            && above_key.value != key.value
        {
            findings.extend(overlap(network, above).map(|(a, b)| {
                (a, b, &key.value, &above_key.value, format!("`{}` is the uplink", above_key.value))
            }));
        }
    }
    for (a, b, network, other, why) in findings {
        let finding = Diagnostic::warning(
            codes::SUBNETS_OVERLAP,
            format!("the subnets {} of `{network}` and {} of `{other}` overlap", a.value, b.value),
        )
        .at(a.span)
        .label(why)
        .help("choose subnets without common addresses")
        .related(b.span, "the other subnet");
        check.push(finding);
    }
}

fn overlap<'n>(
    network: &'n Network,
    other: &'n Network,
) -> impl Iterator<Item = (&'n Spanned<crate::scalar::Prefix>, &'n Spanned<crate::scalar::Prefix>)> {
    network.subnet.iter().flat_map(move |a| {
        let hits = other.subnet.iter().filter(move |b| overlapping(a.net(), b.net()));
        hits.map(move |b| (a, b))
    })
}

pub(super) fn overlapping(a: IpNet, b: IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn same_family(net: IpNet, address: IpAddr) -> bool {
    net.addr().is_ipv4() == address.is_ipv4()
}
