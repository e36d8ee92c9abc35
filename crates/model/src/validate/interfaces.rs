//! Interfaces: each belongs to exactly one network or link, and its settings fit that.

use super::codes;
use super::context::{Check, HOST, list};
use super::segments::network_of_port;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Interface, NetworkMode, Node};
use crate::validated::{self, Attachment, Thing, link_ends};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;

/// Names that the kernel gives to devices of its own in every namespace, or that its sysctl tree uses.
const TAKEN: [&str; 15] = [
    "all",
    "default",
    "tunl0",
    "gre0",
    "gretap0",
    "erspan0",
    "sit0",
    "ip6tnl0",
    "ip6gre0",
    "ip6gretap0",
    "ip6erspan0",
    "ip_vti0",
    "ip6_vti0",
    "bonding_masters",
    "ip6_vti",
];

pub(super) fn check(check: &mut Check<'_>) {
    usage(check);
    for (name, span, _, node) in validated::nodes(check.topology) {
        if check.index.node(name).is_none_or(|entry| entry.interfaces.is_empty()) {
            check.warning(
                codes::NO_INTERFACE,
                span,
                format!("`{name}` has no interface"),
                "nothing reaches this node",
                "give it `networks:`, `interfaces:` or a link",
            );
        }
        for (key, interface) in &node.interfaces {
            settings(check, name, node, key, interface);
        }
    }
}

/// Every interface is made by exactly one thing.
fn usage(check: &mut Check<'_>) {
    let mut makers: BTreeMap<(&NodeName, &InterfaceName), (Span, &'static str)> = BTreeMap::new();
    let topology = check.topology;
    let mut claims: Vec<(&NodeName, &InterfaceName, Span, &'static str)> = Vec::new();
    for (name, span, kind, node) in validated::nodes(topology) {
        // Where two nodes have one name, the name is wrong and not the interfaces.
        if check.index.node(name).is_none_or(|entry| entry.kind != kind || entry.span != span) {
            continue;
        }
        for (key, interface) in &node.interfaces {
            if interface.network.is_some() {
                claims.push((name, &key.value, key.span, "a port of a network"));
            }
        }
        for key in node.vrfs.keys() {
            claims.push((name, &key.value, key.span, "the device of a VRF"));
        }
    }
    for item in &topology.links {
        for (_, node, interface) in link_ends(&item.value) {
            let span = check.word(check.link_span(item), &format!("{node}:{interface}"));
            claims.push((node, interface, span, "an end of a link"));
        }
    }
    for (node, interface, span, what) in claims {
        if TAKEN.contains(&interface.as_str()) {
            check.error(
                codes::RESERVED_INTERFACE,
                span,
                format!("`{interface}` can't be the name of an interface"),
                "the kernel uses this name itself",
                "choose another name, like eth0",
            );
        }
        if interface.as_str() == "lo" {
            check.error(
                codes::RESERVED_INTERFACE,
                span,
                format!("`lo` of `{node}` can't be {what}"),
                "every node has this interface already",
                "choose another name, like eth0",
            );
            continue;
        }
        match makers.get(&(node, interface)) {
            None => {
                makers.insert((node, interface), (span, what));
            }
            Some((first, first_what)) => {
                let finding = Diagnostic::error(
                    codes::INTERFACE_USED_TWICE,
                    format!("`{node}:{interface}` is {first_what} and {what}"),
                )
                .at(span)
                .label("used again here")
                .help("an interface has one cable: give the second one another name")
                .related(*first, "first used here");
                check.push(finding);
            }
        }
    }
}

fn settings(
    check: &mut Check<'_>,
    name: &NodeName,
    node: &Node,
    key: &Spanned<InterfaceName>,
    interface: &Interface,
) {
    let network = interface.network.as_ref().and_then(|network| check.network(network, network.span));
    let attachment = check.index.attachment(name, key);
    if attachment.is_none() {
        check.error(
            codes::LOOSE_INTERFACE,
            key.span,
            format!("`{name}:{}` belongs to no network and no link", key.value),
            "nothing makes this interface",
            format!("give it `network:`, or name `{name}:{}` under `links:`", key.value),
        );
        return;
    }
    if let Some(mac) = &interface.mac {
        if !mac.is_unicast() {
            check.error(
                codes::BAD_MAC,
                mac.span,
                format!("{} can't be the address of an interface", mac.value),
                "a group address or zero",
                "the second digit must be even: 02:00:00:00:00:01 is a good beginning",
            );
        }
        if network.is_some_and(|network| network.mode == NetworkMode::Ipvlan) {
            check.error(
                codes::KEY_MISPLACED,
                mac.span,
                "an ipvlan interface can't have a hardware address of its own",
                "it shares its parent's",
                "remove `mac`, or use `mode: macvlan`",
            );
        }
    }
    if matches!(attachment, Some(Attachment::Loopback | Attachment::Vrf)) {
        only_addresses(check, key, interface);
    }
    vlans(check, name, key, interface);
    if interface.isolated.is_some() || interface.stp_cost.is_some() {
        let word = if interface.isolated.is_some() { "isolated" } else { "stp-cost" };
        let port = network_of_port(check, name, key);
        if port.is_none_or(|(_, network)| !super::networks::is_switch(network.mode)) {
            let span = check.key_of(key.span, word);
            check.error(
                codes::KEY_MISPLACED,
                span,
                format!("`{word}` of `{name}:{}` is for ports of a switch", key.value),
                "this interface is not one",
                "it goes with `network:` and a network of mode bridge, nat, host-only, routed or overlay",
            );
        }
    }
    if let Some(medium) = &interface.medium {
        if network.is_none() {
            let span = check.key_of(key.span, "medium");
            check.error(
                codes::KEY_MISPLACED,
                span,
                format!("`medium` of `{name}:{}` is for the cable to a network", key.value),
                "this interface has no such cable",
                "write `medium` at the link",
            );
        } else {
            super::media::port(check, medium, key.span, network);
        }
    }
    overlay_carrier(check, name, node, interface);
}

fn only_addresses(check: &mut Check<'_>, key: &Spanned<InterfaceName>, interface: &Interface) {
    let plain = Interface { address: interface.address.clone(), ..Interface::default() };
    if *interface != plain {
        check.error(
            codes::KEY_MISPLACED,
            key.span,
            format!("`{}` takes addresses and nothing else", key.value),
            "more than `address` is said here",
            "keep only `address`",
        );
    }
}

fn vlans(check: &mut Check<'_>, name: &NodeName, key: &Spanned<InterfaceName>, interface: &Interface) {
    let first = [
        interface.vlan.as_ref().map(|vlan| ("vlan", vlan.span)),
        interface.trunk.first().map(|range| ("trunk", range.span)),
        interface.native.as_ref().map(|vlan| ("native", vlan.span)),
    ];
    let Some((word, span)) = first.into_iter().flatten().next() else { return };
    let Some((_, network)) = network_of_port(check, name, key) else {
        check.error(
            codes::KEY_MISPLACED,
            span,
            format!("`{word}` of `{name}:{}` is for ports of a switch", key.value),
            "this interface is not one",
            "for a VLAN of an interface write a link of kind vlan, with `parent` and `id`",
        );
        return;
    };
    if !super::networks::is_switch(network.mode) {
        check.error(
            codes::KEY_MISPLACED,
            span,
            format!("`{word}` of `{name}:{}` needs a network with a switch", key.value),
            "macvlan and ipvlan have none",
            "use `mode: bridge`",
        );
        return;
    }
    if let Some(bridge) = &network.bridge
        && bridge.vlan_filtering == Some(false)
    {
        check.error(
            codes::VLAN_CONFLICT,
            span,
            format!("`{name}:{}` names VLANs, but its network does not filter them", key.value),
            "has no effect without filtering",
            "remove `vlan-filtering: false` from the network",
        );
    }
    if let Some(vlan) = &interface.vlan {
        if let Some(other) = interface.trunk.first() {
            let finding = Diagnostic::error(
                codes::VLAN_CONFLICT,
                format!("`{name}:{}` is an access port and a trunk at once", key.value),
            )
            .at(vlan.span)
            .label("access port of one VLAN")
            .help("write `vlan` for one VLAN without tags, or `trunk` (with `native`) for several with tags")
            .related(other.span, "trunk with tags");
            check.push(finding);
        } else if interface.native.is_some() {
            check.error(
                codes::VLAN_CONFLICT,
                vlan.span,
                format!("`{name}:{}` has `vlan` and `native`", key.value),
                "an access port has one VLAN only",
                "`native` goes with `trunk`",
            );
        }
        return;
    }
    let Some(native) = &interface.native else { return };
    if interface.trunk.is_empty() {
        check.error(
            codes::VLAN_CONFLICT,
            native.span,
            format!("`{name}:{}` has `native`, but no `trunk`", key.value),
            "the VLAN of untagged frames on a trunk",
            "add `trunk`, or write `vlan` for an access port",
        );
    } else if !interface.trunk.iter().any(|range| (range.low()..=range.high()).contains(&native.value)) {
        let ranges: Vec<String> = interface.trunk.iter().map(|range| range.to_string()).collect();
        let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
        check.error(
            codes::VLAN_CONFLICT,
            native.span,
            format!("native VLAN {} of `{name}:{}` is not on its trunk", native.value, key.value),
            "not among the VLANs of the trunk",
            format!("the trunk has {}: add {}", list(&ranges), native.value),
        );
    }
}

/// A port of an overlay network needs a VTEP: one of the nodes that carry the network.
fn overlay_carrier(check: &mut Check<'_>, name: &NodeName, node: &Node, interface: &Interface) {
    let Some(wanted) = &interface.network else { return };
    let Some(network) = check.topology.networks.get(wanted) else { return };
    if network.mode != NetworkMode::Overlay || network.vteps.is_empty() {
        return;
    }
    if validated::carrier(network, node, name).is_some() {
        return;
    }
    let vteps = super::names::names_list(network.vteps.keys().map(|key| &key.value));
    match &node.at {
        None => check.error(
            codes::NO_CARRIER,
            wanted.span,
            format!("nothing says where `{name}` plugs into overlay `{}`", wanted.value),
            "this network is carried by several nodes",
            format!("add `at:` to `{name}` with one of {vteps}"),
        ),
        // An unknown node is told once, where `at` is checked.
        Some(at) if matches!(check.index.thing(at), Some((Thing::Endpoint | Thing::Router, _))) => check
            .error(
                codes::NO_CARRIER,
                at.span,
                format!("`{}` does not carry overlay `{}`", at.value, wanted.value),
                "not one of its VTEPs",
                format!("the network is carried by {vteps}"),
            ),
        Some(_) => {}
    }
}

/// `at` of every node: another node, which exists, and which is of use.
pub(super) fn check_at(check: &mut Check<'_>, name: &NodeName, node: &Node) {
    let Some(at) = &node.at else { return };
    if at.as_str() == HOST {
        check.error(
            codes::UNKNOWN_NAME,
            at.span,
            format!("`{name}` can't be at the host: VTEPs are nodes of this file"),
            "not a node",
            "name the node that carries the overlay",
        );
        return;
    }
    if check.node(at, at.span).is_none() {
        return;
    }
    if at.value == *name {
        check.error(
            codes::NO_CARRIER,
            at.span,
            format!("`{name}` can't be at itself"),
            "the same node",
            "remove `at`: a VTEP node plugs into its own overlay",
        );
        return;
    }
    let overlay = node.interfaces.values().any(|interface| {
        let network = interface.network.as_ref().and_then(|name| check.topology.networks.get(name));
        network.is_some_and(|network| network.mode == NetworkMode::Overlay)
    });
    if !overlay {
        check.warning(
            codes::USELESS_KEY,
            at.span,
            format!("`at` of `{name}` has no effect"),
            "it is on no overlay network",
            "remove `at`, or attach the node to an overlay",
        );
    }
}
