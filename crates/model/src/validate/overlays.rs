//! Overlays: VTEPs at addresses of their nodes, groups, and identifiers that a node can tell apart.

use super::codes;
use super::context::Check;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Encapsulation, LinkKind, Network, NetworkMode};
use crate::validated::{self, Thing};
use netloom_wire::{NodeName, Vni};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) fn check(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let geneve = network.encapsulation == Some(Encapsulation::Geneve);
    let family = network.vteps.values().next().map(|address| address.is_ipv6());
    for (node, address) in &network.vteps {
        if Some(address.is_ipv6()) != family {
            check.error(
                codes::FAMILY,
                address.span,
                format!("the VTEPs of `{}` have addresses of both families", key.value),
                "another family than the first VTEP",
                "give all of them IPv4 or all of them IPv6 addresses",
            );
        }
        if check.node(&node.value, node.span).is_none() {
            continue;
        }
        let own = check.interfaces_of(&node.value).flat_map(|(_, addressing)| &addressing.fixed);
        let own: Vec<IpAddr> = own.map(|net| net.addr()).collect();
        if own.contains(&address.value) {
            continue;
        }
        let waits = check.interfaces_of(&node.value).any(|(_, addressing)| {
            addressing.auto.iter().any(|subnet| subnet.net().contains(&address.value))
        });
        let help = if waits {
            format!(
                "`{}` gets an address by choice of the network: write `address: {}` at its interface",
                node.value, address.value
            )
        } else if own.is_empty() {
            format!("give an interface of `{}` this address", node.value)
        } else {
            let own: Vec<String> = own.iter().map(IpAddr::to_string).collect();
            format!("`{}` has {}", node.value, own.join(", "))
        };
        check.error(
            codes::NOT_OWN_ADDRESS,
            address.span,
            format!("{} is not an address of `{}`", address.value, node.value),
            "the tunnel can't begin there",
            help,
        );
    }
    if let Some(group) = &network.group {
        if geneve {
            check.error(
                codes::KEY_MISPLACED,
                group.span,
                format!("Geneve overlay `{}` can't use a multicast group", key.value),
                "only VXLAN can",
                "remove `group`: each VTEP then sends to all others",
            );
        } else if !group.is_multicast() {
            check.error(
                codes::NOT_MULTICAST,
                group.span,
                format!("{} is not a multicast address", group.value),
                "not a group",
                "choose one like 239.1.1.1 or ff05::100",
            );
        } else if family.is_some_and(|v6| v6 != group.is_ipv6()) {
            check.error(
                codes::FAMILY,
                group.span,
                format!("group {} and the VTEPs of `{}` are of different families", group.value, key.value),
                "another family than the VTEPs",
                "choose a group like 239.1.1.1 for IPv4 VTEPs, or like ff05::100 for IPv6",
            );
        }
    }
}

/// Two overlays with the same VNI and UDP port can't end in one node.
pub(super) fn identifiers(check: &mut Check<'_>) {
    let mut seen: BTreeMap<(&NodeName, Vni, u16, bool), (String, Span)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, network) in &check.topology.networks {
        let Some(vni) = network.vni.as_ref().filter(|_| network.mode == NetworkMode::Overlay) else {
            continue;
        };
        let geneve = network.encapsulation == Some(Encapsulation::Geneve);
        let port = network.port.unwrap_or(if geneve { 6081 } else { 4789 });
        for node in network.vteps.keys() {
            let place = (&node.value, vni.value, port, geneve);
            match seen.get(&place) {
                None => {
                    seen.insert(place, (format!("overlay `{}`", key.value), vni.span));
                }
                Some((other, span)) => {
                    findings.push((vni.span, vni.value, node, port, other.clone(), *span));
                    break;
                }
            }
        }
    }
    for item in &check.topology.links {
        let link = &item.value;
        let (geneve, default) = match link.kind {
            LinkKind::Vxlan => (false, 4789),
            LinkKind::Geneve => (true, 6081),
            _ => continue,
        };
        let Some(vni) = &link.vni else { continue };
        for (_, node, _) in validated::link_ends(link) {
            // Geneve links to different places may share a VNI in one node; VXLAN links may not.
            if geneve || !matches!(check.index.thing(node), Some((Thing::Endpoint | Thing::Router, _))) {
                continue;
            }
            let place = (node, vni.value, link.port.unwrap_or(default), geneve);
            match seen.get(&place) {
                None => {
                    seen.insert(place, ("another link".to_owned(), vni.span));
                }
                Some((other, span)) => {
                    let key = check.topology.endpoints.get_key_value(node.as_str());
                    let key = key.or_else(|| check.topology.routers.get_key_value(node.as_str()));
                    if let Some((key, _)) = key {
                        findings.push((vni.span, vni.value, key, place.2, other.clone(), *span));
                    }
                }
            }
        }
    }
    for (span, vni, node, port, other, other_span) in findings {
        let finding = Diagnostic::error(
            codes::DUPLICATE_VNI,
            format!("VNI {vni} on port {port} is used twice at `{}`", node.value),
        )
        .at(span)
        .label("used again")
        .help("choose another `vni` or `port`: a node can't tell their frames apart")
        .related(other_span, format!("{other} uses it"));
        check.push(finding);
    }
}
