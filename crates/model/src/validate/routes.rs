//! Routes and rules: they lead somewhere that the node reaches.

use super::addresses::vrf_of;
use super::codes;
use super::context::Check;
use super::links::one_family;
use super::segments::Segments;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Node, Route, Rule, Uplink};
use crate::validated::{self, own_gateways, route_destination};
use ipnet::IpNet;
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Table of the kernel's own addresses.
const LOCAL_TABLE: u32 = 255;
/// The table that everything looks into.
const MAIN_TABLE: u32 = 254;

pub(super) fn check(check: &mut Check<'_>, segments: &Segments<'_>) {
    let stations = stations(check, segments);
    for (name, _, _, node) in validated::nodes(check.topology) {
        if node.routes.is_empty() && node.rules.is_empty() {
            continue;
        }
        let ways = Ways::new(check, name);
        let mut seen: BTreeMap<(IpNet, Option<&InterfaceName>, u32, u32), Span> = BTreeMap::new();
        for route in &node.routes {
            let Some(to) = destination(check, route) else { continue };
            form(check, route);
            tables(check, name, node, route);
            for (via, dev) in hops(route) {
                hop(check, name, &ways, route, to, via, dev);
                if let Some(via) = via {
                    somebody(check, segments, &stations, name, &ways, via);
                }
            }
            if let Some(source) = &route.source {
                own_source(check, name, &ways, to, source);
            }
            let table = route.table.unwrap_or(MAIN_TABLE);
            let vrf = route.vrf.as_ref().map(|vrf| &vrf.value);
            let place = (to, vrf, table, route.metric.unwrap_or_default());
            if let Some(first) = seen.insert(place, route.to.span) {
                let finding =
                    Diagnostic::error(codes::DUPLICATE_ROUTE, format!("`{name}` has two routes to {to}"))
                        .at(route.to.span)
                        .label("again")
                        .help("give one a larger `metric`, or write both gateways under `nexthops` to share the traffic")
                        .related(first, "the first one");
                check.push(finding);
            }
        }
        rules(check, name, node);
    }
}

/// The addresses of a node with the interfaces that have them, for gateways to be found in.
struct Ways<'a> {
    prefixes: Vec<(&'a InterfaceName, IpNet)>,
    own: Vec<(&'a InterfaceName, IpAddr)>,
    waiting: Vec<IpNet>,
}

impl<'a> Ways<'a> {
    fn new(check: &Check<'a>, name: &NodeName) -> Self {
        let mut ways = Self { prefixes: Vec::new(), own: Vec::new(), waiting: Vec::new() };
        for (interface, addressing) in check.interfaces_of(name) {
            ways.prefixes.extend(addressing.prefixes().map(|prefix| (interface, prefix)));
            ways.own.extend(addressing.fixed.iter().map(|net| (interface, net.addr())));
            ways.waiting.extend(addressing.auto.iter().map(|subnet| subnet.net()));
        }
        ways
    }
}

fn destination(check: &mut Check<'_>, route: &Route) -> Option<IpNet> {
    match route_destination(route) {
        Ok(to) => Some(to),
        Err(message) => {
            check.error(
                codes::ROUTE_TO,
                route.to.span,
                message,
                "not a destination",
                "write a prefix like 10.0.0.0/24, or `default`",
            );
            None
        }
    }
}

type Hop<'r> = (Option<&'r Spanned<IpAddr>>, Option<&'r Spanned<InterfaceName>>);

fn hops(route: &Route) -> impl Iterator<Item = Hop<'_>> {
    let single =
        (route.via.is_some() || route.dev.is_some()).then_some((route.via.as_ref(), route.dev.as_ref()));
    single.into_iter().chain(route.nexthops.iter().map(|hop| (hop.via.as_ref(), hop.dev.as_ref())))
}

/// Exactly one of: a gateway or interface, several gateways, an action.
fn form(check: &mut Check<'_>, route: &Spanned<Route>) {
    let single = route.via.is_some() || route.dev.is_some();
    let count =
        usize::from(single) + usize::from(!route.nexthops.is_empty()) + usize::from(route.action.is_some());
    if count == 0 {
        check.error(
            codes::ROUTE_FORM,
            route.to.span,
            format!("the route to {} leads nowhere", route.to.value),
            "by which way?",
            "add `via`, `dev`, `nexthops` or `action`",
        );
    } else if count > 1 {
        check.error(
            codes::ROUTE_FORM,
            route.to.span,
            format!("the route to {} leads several ways at once", route.to.value),
            "more than one of `via`/`dev`, `nexthops` and `action`",
            "keep one of them; several gateways go under `nexthops`",
        );
    }
    for hop in &route.nexthops {
        if hop.via.is_none() && hop.dev.is_none() {
            check.error(
                codes::ROUTE_FORM,
                hop.span,
                "a next hop needs `via` or `dev`",
                "leads nowhere",
                "add the address of a gateway",
            );
        }
    }
}

fn tables(check: &mut Check<'_>, name: &NodeName, node: &Node, route: &Spanned<Route>) {
    if let Some(vrf) = &route.vrf {
        if let Some(table) = route.table {
            check.error(
                codes::ROUTE_TABLE,
                vrf.span,
                format!("the route to {} has a VRF and table {table}", route.to.value),
                "the VRF has a table of its own",
                "keep one of `vrf` and `table`",
            );
        }
        let links =
            check.topology.links.iter().filter(|item| item.value.kind == crate::topology::LinkKind::Vrf);
        let mut devices = links.filter_map(|item| item.value.on.as_ref());
        let known = node.vrfs.contains_key(vrf)
            || devices.any(|on| on.value.node == *name && on.value.interface == vrf.value);
        if !known {
            let help = super::context::suggest(vrf.as_str(), node.vrfs.keys().map(|key| key.as_str()));
            let help = help.map_or_else(
                || "define it under `vrfs`".to_owned(),
                |similar| format!("did you mean `{similar}`?"),
            );
            check.error(
                codes::UNKNOWN_INTERFACE,
                vrf.span,
                format!("`{name}` has no VRF `{}`", vrf.value),
                "no such VRF",
                help,
            );
        }
    }
    if let Some(table @ (0 | LOCAL_TABLE)) = route.table {
        let span = check.key(route.span, "table");
        check.error(
            codes::ROUTE_TABLE,
            span,
            format!("table {table} can't take routes"),
            "the kernel's own table",
            "choose another number, or leave `table` away for the main table",
        );
    }
}

fn hop(
    check: &mut Check<'_>,
    name: &NodeName,
    ways: &Ways<'_>,
    route: &Route,
    to: IpNet,
    via: Option<&Spanned<IpAddr>>,
    dev: Option<&Spanned<InterfaceName>>,
) {
    let dev_known = dev.is_none_or(|dev| check.interface(name, dev, dev.span));
    if let (Some(dev), Some(vrf)) = (dev, &route.vrf)
        && dev_known
        && check.topology.links.iter().all(|item| item.value.kind != crate::topology::LinkKind::Vrf)
        && vrf_of(check, name, dev) != Some(&vrf.value)
    {
        check.error(
            codes::ROUTE_TABLE,
            dev.span,
            format!("`{name}:{}` is not in VRF `{}`", dev.value, vrf.value),
            "not an interface of the VRF",
            "list it under the VRF's `interfaces`, or correct the route",
        );
    }
    let Some(via) = via else { return };
    if !one_family(via.value, to.addr()) {
        check.error(
            codes::FAMILY,
            via.span,
            format!("gateway {} and destination {to} are of different families", via.value),
            "another family than the destination",
            "write one route for each family",
        );
        return;
    }
    if ways.own.iter().any(|(_, own)| *own == via.value) {
        check.error(
            codes::ROUTE_VIA,
            via.span,
            format!("gateway {} is `{name}` itself", via.value),
            "its own address",
            "write the address of the next router",
        );
        return;
    }
    if matches!(via.value, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        if dev.is_none() {
            check.error(
                codes::ROUTE_VIA,
                via.span,
                format!("{} is on every link", via.value),
                "by which interface?",
                "add `dev`",
            );
        }
        return;
    }
    let mut through = ways.prefixes.iter().filter(|(_, prefix)| prefix.contains(&via.value));
    match dev {
        _ if !dev_known => {}
        Some(dev) if !through.any(|(interface, _)| **interface == dev.value) => check.error(
            codes::ROUTE_VIA,
            via.span,
            format!("`{name}` does not reach {} by `{}`", via.value, dev.value),
            "in none of the interface's prefixes",
            reachable(ways, Some(&dev.value)),
        ),
        None if through.next().is_none() => check.error(
            codes::ROUTE_VIA,
            via.span,
            format!("`{name}` does not reach gateway {}", via.value),
            "in none of its prefixes",
            reachable(ways, None),
        ),
        _ => {}
    }
}

fn reachable(ways: &Ways<'_>, dev: Option<&InterfaceName>) -> String {
    let here = ways.prefixes.iter().filter(|(interface, _)| dev.is_none_or(|dev| dev == *interface));
    let texts: BTreeSet<String> = here.map(|(interface, prefix)| format!("{prefix} ({interface})")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    match texts.as_slice() {
        [] => "it has no address there: give it one first".to_owned(),
        some => format!("it reaches {}", super::context::list(some)),
    }
}

/// Addresses that are known to be somebody's, by segment, and the segments where some are not known yet.
struct Stations {
    known: BTreeSet<(super::segments::Segment, IpAddr)>,
    choosing: BTreeMap<super::segments::Segment, Vec<IpNet>>,
}

fn stations(check: &Check<'_>, segments: &Segments<'_>) -> Stations {
    let mut stations = Stations { known: BTreeSet::new(), choosing: BTreeMap::new() };
    for ((node, interface), addressing) in &check.addressing {
        let Some(segment) = segments.of(node, interface) else { continue };
        stations.known.extend(addressing.fixed.iter().map(|net| (segment, net.addr())));
        let choosing = addressing.auto.iter().map(|subnet| subnet.net());
        stations.choosing.entry(segment).or_default().extend(choosing);
    }
    for (key, network) in &check.topology.networks {
        if let Some(segment) = segments.of_network(key, network) {
            stations.known.extend(own_gateways(network).iter().map(|gateway| (segment, gateway.addr())));
        }
    }
    // A mapped address is answered for by whoever maps it.
    for forward in &check.topology.forwards {
        let Some(address) = forward.address.as_ref().map(|address| address.value) else { continue };
        let at_node =
            check.interfaces_of(&forward.on).map(|(interface, _)| segments.of(&forward.on, interface));
        stations.known.extend(at_node.flatten().map(|segment| (segment, address)));
        let network = check.topology.networks.get(&forward.on);
        let uplink = network.and_then(|network| network.uplink.as_ref()).map(|uplink| &uplink.value);
        if let Some(Uplink::Network(name)) = uplink
            && let Some(above) = check.topology.networks.get(name.as_str())
        {
            stations.known.extend(segments.of_network(name, above).map(|segment| (segment, address)));
        }
    }
    stations
}

/// A gateway that nobody has is probably a slip.
fn somebody(
    check: &mut Check<'_>,
    segments: &Segments<'_>,
    stations: &Stations,
    name: &NodeName,
    ways: &Ways<'_>,
    via: &Spanned<IpAddr>,
) {
    let through = ways.prefixes.iter().filter(|(_, prefix)| prefix.contains(&via.value));
    let through: Vec<_> = through.filter_map(|(interface, _)| segments.of(name, interface)).collect();
    let maybe = |segment: &super::segments::Segment| {
        segments.is_open(*segment)
            || stations.known.contains(&(*segment, via.value))
            || stations
                .choosing
                .get(segment)
                .is_some_and(|nets| nets.iter().any(|net| net.contains(&via.value)))
    };
    if !through.is_empty() && !through.iter().any(maybe) && !ways.own.iter().any(|(_, own)| *own == via.value)
    {
        check.warning(
            codes::NOBODY_THERE,
            via.span,
            format!("nobody on the link has the gateway address {}", via.value),
            "nobody answers there",
            "give a router this address, or correct the gateway",
        );
    }
}

fn own_source(check: &mut Check<'_>, name: &NodeName, ways: &Ways<'_>, to: IpNet, source: &Spanned<IpAddr>) {
    if !one_family(source.value, to.addr()) {
        check.error(
            codes::FAMILY,
            source.span,
            format!("source {} and destination {to} are of different families", source.value),
            "another family than the destination",
            "write an address of the family of the destination",
        );
    } else if !ways.own.iter().any(|(_, own)| *own == source.value) {
        let waits = ways.waiting.iter().any(|net| net.contains(&source.value));
        check.error(
            codes::NOT_OWN_ADDRESS,
            source.span,
            format!("{} is not an address of `{name}`", source.value),
            "not its own",
            if waits {
                format!("write `address: {}` at the interface that shall have it", source.value)
            } else {
                "name an address of the node, or remove `source`".to_owned()
            },
        );
    }
}

fn rules(check: &mut Check<'_>, name: &NodeName, node: &Node) {
    let mut tables: BTreeSet<u32> = node.routes.iter().filter_map(|route| route.table).collect();
    tables.extend(node.vrfs.values().map(|vrf| vrf.table.value));
    tables.extend(check.topology.links.iter().filter_map(|item| item.value.table.map(|table| table.value)));
    tables.extend([MAIN_TABLE, MAIN_TABLE - 1, LOCAL_TABLE]);
    let mut priorities: BTreeMap<u32, Span> = BTreeMap::new();
    for rule in &node.rules {
        rule_form(check, rule);
        if let (Some(from), Some(to)) = (&rule.from, &rule.to)
            && from.net().addr().is_ipv4() != to.net().addr().is_ipv4()
        {
            check.error(
                codes::FAMILY,
                to.span,
                format!("{} and {} are of different families", from.value, to.value),
                "another family than `from`",
                "write one rule for each family",
            );
        }
        if let Some(input) = &rule.input {
            check.interface(name, input, input.span);
        }
        if let Some(table) = &rule.table
            && !tables.contains(&table.value)
        {
            check.warning(
                codes::EMPTY_TABLE,
                table.span,
                format!("table {} of `{name}` has no route", table.value),
                "nothing will be found there",
                format!("add routes with `table: {}`", table.value),
            );
        }
        if let Some(priority) = &rule.priority
            && let Some(first) = priorities.insert(priority.value, priority.span)
        {
            let finding = Diagnostic::warning(
                codes::RULE_PRIORITY,
                format!("two rules of `{name}` have priority {}", priority.value),
            )
            .at(priority.span)
            .label("which is first?")
            .help("give each rule a priority of its own")
            .related(first, "the other one");
            check.push(finding);
        }
    }
}

fn rule_form(check: &mut Check<'_>, rule: &Spanned<Rule>) {
    let (label, help) = match (&rule.table, rule.action) {
        (Some(_), Some(_)) => ("a table and an action", "keep one of `table` and `action`"),
        (None, None) => ("no table and no action", "add `table`, or `action` to drop or refuse"),
        _ => return,
    };
    check.error(codes::RULE_FORM, rule.span, "a rule looks into a table or has an action", label, help);
}
