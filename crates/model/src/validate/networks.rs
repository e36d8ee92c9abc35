//! Networks: what each mode takes and needs.

use super::codes;
use super::context::{Check, HOST};
use super::segments::filters_vlans;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::scalar::{Gateway, TimeSpan};
use crate::source::Span;
use crate::topology::{BridgeSettings, Network, NetworkMode, Uplink};
use crate::validated;
use ipnet::IpNet;
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Whether a mode is realized by a switch with ports.
pub(super) fn is_switch(mode: NetworkMode) -> bool {
    !matches!(mode, NetworkMode::Macvlan | NetworkMode::Ipvlan)
}

/// The word of a mode in the file.
pub(super) fn word(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Nat => "nat",
        NetworkMode::HostOnly => "host-only",
        NetworkMode::Routed => "routed",
        NetworkMode::Overlay => "overlay",
        NetworkMode::Macvlan => "macvlan",
        NetworkMode::Ipvlan => "ipvlan",
    }
}

pub(super) fn check(check: &mut Check<'_>) {
    for (key, network) in &check.topology.networks {
        keys(check, key, network);
        subnets(check, key, network);
        gateways(check, key, network);
        uplink(check, key, network);
        if let Some(settings) = &network.bridge
            && is_switch(network.mode)
        {
            bridge(check, key, network, settings);
        }
        if let Some(medium) = &network.medium {
            super::media::port(check, medium, key.span, Some(network));
        }
        match network.mode {
            NetworkMode::Overlay => super::overlays::check(check, key, network),
            NetworkMode::Macvlan | NetworkMode::Ipvlan => parent(check, key, network),
            _ => {}
        }
    }
    uplink_cycles(check);
    super::overlays::identifiers(check);
}

/// Keys that go with some modes only, and keys that a mode can't do without.
fn keys(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let mode = network.mode;
    let whole = key.span;
    let overlay = mode == NetworkMode::Overlay;
    let on_parent = !is_switch(mode);
    let place = |span: Option<Span>, key: &str, check: &Check<'_>| {
        span.filter(|span| !span.is_empty()).unwrap_or_else(|| check.key_of(whole, key))
    };
    let bridge = network.bridge.as_ref().map(|b| b.span);
    let vteps = network.vteps.keys().next().map(|key| key.span);
    // (key, is it there, its place, does it go with the mode, where it belongs)
    let table: [(&str, bool, Option<Span>, bool, &str); 13] = [
        ("vni", network.vni.is_some(), network.vni.as_ref().map(|v| v.span), overlay, "overlay"),
        ("vteps", !network.vteps.is_empty(), vteps, overlay, "overlay"),
        ("group", network.group.is_some(), network.group.as_ref().map(|g| g.span), overlay, "overlay"),
        ("port", network.port.is_some(), None, overlay, "overlay"),
        ("encapsulation", network.encapsulation.is_some(), None, overlay, "overlay"),
        (
            "parent",
            network.parent.is_some(),
            network.parent.as_ref().map(|p| p.span),
            on_parent,
            "macvlan and ipvlan",
        ),
        ("macvlan", network.macvlan.is_some(), None, mode == NetworkMode::Macvlan, "macvlan"),
        ("ipvlan", network.ipvlan.is_some(), None, mode == NetworkMode::Ipvlan, "ipvlan"),
        ("ipvlan-flag", network.ipvlan_flag.is_some(), None, mode == NetworkMode::Ipvlan, "ipvlan"),
        (
            "via",
            network.via.is_some(),
            network.via.as_ref().map(|via| via.span),
            !on_parent && !overlay,
            "bridge, nat, host-only and routed",
        ),
        ("bridge", bridge.is_some(), bridge, !on_parent, "bridge, nat, host-only, routed and overlay"),
        ("isolated", network.isolated, None, !on_parent, "bridge, nat, host-only, routed and overlay"),
        ("medium", network.medium.is_some(), None, !on_parent, "bridge, nat, host-only, routed and overlay"),
    ];
    for (word_of_key, there, span, fits, belongs) in table {
        if there && !fits {
            check.error(
                codes::KEY_MISPLACED,
                place(span, word_of_key, check),
                format!("`{word_of_key}` does not go with mode {} of `{}`", word(mode), key.value),
                "belongs to another mode",
                format!("`{word_of_key}` goes with mode {belongs}"),
            );
        }
    }
    let missing = |check: &mut Check<'_>, name: &str, why: &str| {
        check.error(
            codes::KEY_MISSING,
            whole,
            format!("`{}` has mode {}, but no `{name}`", key.value, word(mode)),
            "something is missing here",
            why,
        );
    };
    if overlay && network.vni.is_none() {
        missing(check, "vni", "add `vni`, the number that tells its frames from those of other overlays");
    }
    if overlay && network.vteps.is_empty() {
        missing(
            check,
            "vteps",
            "add `vteps`: the nodes that carry it, each with its address in the underlay",
        );
    }
    if on_parent && network.parent.is_none() {
        missing(
            check,
            "parent",
            "add `parent`: the interface that the nodes' interfaces ride on, like host:eth0",
        );
    }
    if matches!(mode, NetworkMode::Nat | NetworkMode::Routed | NetworkMode::HostOnly)
        && network.subnet.is_empty()
    {
        missing(check, "subnet", "add `subnet`, like 10.0.0.0/24: the gateway takes its first address");
    }
}

fn subnets(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let mut first: [Option<Span>; 2] = [None, None];
    for subnet in network.subnet.iter() {
        let net = subnet.net();
        let family = usize::from(net.addr().is_ipv6());
        if let Some(span) = first[family] {
            let finding = Diagnostic::error(
                codes::SUBNET,
                format!("`{}` has two IPv{} subnets", key.value, if family == 0 { 4 } else { 6 }),
            )
            .at(subnet.span)
            .label("one too many")
            .help("make a second network, or take one subnet that holds both")
            .related(span, "the first one");
            check.push(finding);
        }
        first[family] = first[family].or(Some(subnet.span));
        let address = net.addr();
        let why = if net.prefix_len() == 0 {
            Some("this is the whole address space")
        } else if address.is_loopback() {
            Some("these are loopback addresses")
        } else if address.is_multicast() {
            Some("these are multicast addresses")
        } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240) {
            Some("these addresses are reserved")
        } else if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            Some("every IPv6 interface makes link-local addresses itself")
        } else {
            None
        };
        if let Some(why) = why {
            check.error(
                codes::SUBNET,
                subnet.span,
                format!("{} can't be the subnet of `{}`", subnet.value, key.value),
                why,
                "use private addresses, like 10.0.0.0/24, 192.168.1.0/24 or fd00::/64",
            );
        }
    }
}

fn gateways(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let mut seen: BTreeMap<bool, Span> = BTreeMap::new();
    for gateway in network.gateway.iter() {
        let Gateway::At(address) = gateway.value else {
            if network.gateway.len() > 1 {
                check.error(
                    codes::GATEWAY,
                    gateway.span,
                    format!("`{}` stands among the gateways of `{}`", gateway.value, key.value),
                    "it can only stand alone",
                    "write one address for IPv4 and one for IPv6, or one word",
                );
            }
            continue;
        };
        if let Some(first) = seen.insert(address.is_ipv6(), gateway.span) {
            let finding =
                Diagnostic::error(codes::GATEWAY, format!("`{}` has two gateways of one family", key.value))
                    .at(gateway.span)
                    .label("one too many")
                    .help("keep one: nodes take one default route for IPv4 and one for IPv6")
                    .related(first, "the first one");
            check.push(finding);
        }
        let subnet = network.subnet.iter().find(|subnet| subnet.net().contains(&address));
        match subnet {
            None => check.error(
                codes::GATEWAY,
                gateway.span,
                format!("gateway {address} is outside of the subnet of `{}`", key.value),
                "not in the subnet",
                match network.subnet.first() {
                    Some(subnet) => format!("the subnet is {}", subnet.value),
                    None => "give the network a `subnet` that holds it".to_owned(),
                },
            ),
            Some(subnet) => {
                let net = IpNet::new(address, subnet.net().prefix_len()).ok();
                if let Some(why) = net.and_then(super::addresses::unusable) {
                    check.error(
                        codes::UNUSABLE_ADDRESS,
                        gateway.span,
                        format!("{address} can't be the gateway of `{}`", key.value),
                        why,
                        "choose another address of the subnet",
                    );
                } else if network.mode == NetworkMode::Bridge && network.uplink.is_none() {
                    somebody_has(check, key, gateway.span, address);
                }
            }
        }
    }
}

/// The gateway of a plain switch is the address of a node on it.
fn somebody_has(check: &mut Check<'_>, key: &Spanned<NodeName>, span: Span, address: IpAddr) {
    let mut ports = check.index.ports(key).iter();
    // What is behind a link to another switch or the host is not looked at.
    let known = ports.all(|port| match &port.node {
        None => false,
        Some(node) => !check.addresses(node, &port.interface).fixed.iter().any(|net| net.addr() == address),
    });
    if known {
        check.warning(
            codes::NOBODY_THERE,
            span,
            format!("no node on `{}` has its gateway address {address}", key.value),
            "nobody answers there",
            format!("give a router on `{}` the address {address}, or remove `gateway`", key.value),
        );
    }
}

fn uplink(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let Some(uplink) = &network.uplink else { return };
    let mode = network.mode;
    let way_out = matches!(mode, NetworkMode::Nat | NetworkMode::Routed);
    let (fits, help) = match &uplink.value {
        Uplink::None => (true, ""),
        Uplink::Interface(_) => (
            mode == NetworkMode::Bridge,
            "an interface goes with mode bridge; nat and routed take `host`, `none` or a network",
        ),
        Uplink::Host | Uplink::Network(_) => (
            way_out,
            "`host` and networks go with nat and routed; mode bridge takes an interface like host:eth0",
        ),
    };
    if !fits {
        check.error(
            codes::KEY_MISPLACED,
            uplink.span,
            format!("uplink `{}` does not go with mode {} of `{}`", uplink.value, word(mode), key.value),
            "not for this mode",
            help,
        );
        return;
    }
    match &uplink.value {
        Uplink::Network(name) => {
            if *name == key.value {
                check.error(
                    codes::UPLINK_CYCLE,
                    uplink.span,
                    format!("`{name}` can't be its own uplink"),
                    "the same network",
                    "name another network, or `host`",
                );
                return;
            }
            let Some(above) = check.network(name, uplink.span) else { return };
            if !is_switch(above.mode) || above.mode == NetworkMode::Overlay || above.subnet.is_empty() {
                check.error(
                    codes::KEY_MISPLACED,
                    uplink.span,
                    format!("`{name}` can't be the uplink of `{}`", key.value),
                    "the gateway finds no address there",
                    "an uplink is a network of mode bridge, nat, host-only or routed with a subnet",
                );
            }
        }
        Uplink::Interface(interface) if interface.node.as_str() != HOST => check.error(
            codes::KEY_MISPLACED,
            uplink.span,
            format!("the uplink of `{}` can only be an interface of the host", key.value),
            "an interface of a node",
            "to connect a node use `network:` in its interface, or a link",
        ),
        _ => {}
    }
}

fn uplink_cycles(check: &mut Check<'_>) {
    let networks = &check.topology.networks;
    let above = |name: &NodeName| match networks.get(name.as_str())?.uplink.as_ref()?.value {
        Uplink::Network(ref name) => Some(name.clone()),
        _ => None,
    };
    let mut done: BTreeSet<NodeName> = BTreeSet::new();
    let mut findings = Vec::new();
    for (key, network) in networks {
        let mut path: Vec<NodeName> = Vec::new();
        let mut at = Some(key.value.clone());
        while let Some(name) = at {
            if let Some(begin) = path.iter().position(|seen| *seen == name) {
                if path.len() - begin > 1 {
                    let span = network.uplink.as_ref().map_or(key.span, |uplink| uplink.span);
                    findings.push((span, super::names::names_list(&path[begin..])));
                }
                break;
            }
            if !done.insert(name.clone()) {
                break;
            }
            at = above(&name);
            path.push(name);
        }
    }
    for (span, circle) in findings {
        check.error(
            codes::UPLINK_CYCLE,
            span,
            "the uplinks of some networks form a circle",
            "leads back here",
            format!("the circle is {circle}: let one of them end at `host` or `none`"),
        );
    }
}

fn bridge(
    check: &mut Check<'_>,
    key: &Spanned<NodeName>,
    network: &Network,
    settings: &Spanned<BridgeSettings>,
) {
    let times: [(&str, &Option<Spanned<TimeSpan>>, u64, u64); 3] = [
        ("forward-delay", &settings.forward_delay, 2, 30),
        ("hello-time", &settings.hello_time, 1, 10),
        ("max-age", &settings.max_age, 6, 40),
    ];
    for (name, value, low, high) in times {
        let Some(time) = value else { continue };
        let seconds = time.duration();
        if seconds < std::time::Duration::from_secs(low) || seconds > std::time::Duration::from_secs(high) {
            check.error(
                codes::OUT_OF_RANGE,
                time.span,
                format!("`{name}` {} of `{}` is outside {low}s to {high}s", time.value, key.value),
                "the kernel refuses this",
                format!("choose {low}s to {high}s (IEEE 802.1D-2004, table 17-1)"),
            );
        } else if !settings.stp {
            check.warning(
                codes::USELESS_KEY,
                time.span,
                format!("`{name}` of `{}` has no effect without spanning tree", key.value),
                "spanning tree is off",
                "add `stp: true`",
            );
        }
    }
    if let Some(priority) = settings.priority
        && priority % 4096 != 0
    {
        check.warning(
            codes::OUT_OF_RANGE_WARNING,
            check.key(settings.span, "priority"),
            format!("bridge priority {priority} is not a multiple of 4096"),
            "other switches may refuse it",
            format!("write {} (IEEE 802.1D-2004, 9.2.5)", priority / 4096 * 4096),
        );
    }
    let off = settings.vlan_filtering == Some(false);
    let filters = filters_vlans(check, &key.value, network);
    if let Some(vlan) = &settings.gateway_vlan {
        if off {
            vlan_conflict(check, vlan.span, "gateway-vlan", key);
        }
        if validated::own_gateways(network).is_empty() {
            check.error(
                codes::KEY_MISPLACED,
                vlan.span,
                format!("`{}` has no gateway that could be in a VLAN", key.value),
                "nothing to put into the VLAN",
                "`gateway-vlan` goes with modes nat, routed and host-only",
            );
        }
    }
    if let Some(range) = settings.uplink_trunk.first() {
        if off {
            vlan_conflict(check, range.span, "uplink-trunk", key);
        }
        if !matches!(network.uplink.as_ref().map(|uplink| &uplink.value), Some(Uplink::Interface(_))) {
            check.error(
                codes::KEY_MISPLACED,
                range.span,
                format!("`{}` has no uplink interface that could be a trunk", key.value),
                "no such port",
                "add `uplink: host:eth0`, or remove `uplink-trunk`",
            );
        }
    }
    if settings.default_vlan.is_some() && !filters {
        let span = check.key(settings.span, "default-vlan");
        check.warning(
            codes::USELESS_KEY,
            span,
            format!("`default-vlan` of `{}` has no effect", key.value),
            "the network filters no VLANs",
            "add `vlan-filtering: true`, or name a VLAN at a port",
        );
    }
    if settings.multicast_querier == Some(true) && settings.multicast_snooping == Some(false) {
        let span = check.key(settings.span, "multicast-querier");
        check.warning(
            codes::USELESS_KEY,
            span,
            format!("`multicast-querier` of `{}` has no effect without snooping", key.value),
            "snooping is off",
            "remove `multicast-snooping: false`",
        );
    }
}

fn vlan_conflict(check: &mut Check<'_>, span: Span, name: &str, key: &Spanned<NodeName>) {
    check.error(
        codes::VLAN_CONFLICT,
        span,
        format!("`{name}` of `{}` has no effect without VLAN filtering", key.value),
        "VLANs are not filtered",
        "remove `vlan-filtering: false`",
    );
}

fn parent(check: &mut Check<'_>, key: &Spanned<NodeName>, network: &Network) {
    let Some(parent) = &network.parent else { return };
    if parent.node.as_str() == HOST {
        return;
    }
    let span = parent.span;
    if check.node(&parent.node, span).is_none() || !check.interface(&parent.node, &parent.interface, span) {
        return;
    }
    let attached = check.index.attachment(&parent.node, &parent.interface);
    if matches!(attached, Some(validated::Attachment::Network(name)) if *name == key.value) {
        check.error(
            codes::PARENT_CYCLE,
            span,
            format!("the parent of `{}` is one of its own ports", key.value),
            "rides on itself",
            "name an interface that another network or link makes",
        );
    } else if matches!(attached, Some(validated::Attachment::Loopback | validated::Attachment::Vrf)) {
        check.error(
            codes::KEY_MISPLACED,
            span,
            format!("`{}` can't be the parent of `{}`", parent.value, key.value),
            "carries no Ethernet frames",
            "name an interface with a cable",
        );
    }
}
