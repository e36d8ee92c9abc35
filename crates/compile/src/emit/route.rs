//! Routes and policy-routing rules of nodes.

use super::segment::MAIN;
use crate::compiled::ProblemKind;
use crate::inventory::{Inventory, NodeFacts};
use crate::object::{Family, Key, LinkRef, NextHop, Route, RouteAction, Rule, RuleAction, Space, Spec};
use crate::report::{Report, first_span};
use crate::routing::{default_route, destination, device_towards, implied_gateways};
use crate::table::{Table, Wish};
use ipnet::IpNet;
use netloom_model::source::Span;
use netloom_model::topology;
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Metric of IPv6 routes for which the user names none (`IP6_RT_PRIO_USER`).
const METRIC_V6: u32 = 1024;
/// Where the priorities of rules begin.
const FIRST_RULE: u32 = 1000;
/// Metric that no other route of a VRF can have to stand behind
/// (Documentation/networking/vrf.rst recommends this value).
const METRIC_LAST: u32 = 4_278_198_272;

pub(super) fn emit(inventory: &Inventory<'_>, table: &mut Table, report: &mut Report<'_>) {
    for (name, facts) in inventory.nodes.iter().filter(|(_, facts)| !facts.machine) {
        let node = NodeRoutes {
            inventory,
            name,
            space: Space::Node(name.clone()),
            facts,
            vrfs: vrfs(inventory, name),
        };
        for route in &facts.node.routes {
            let span = first_span(&[route.to.span, route.span, facts.span]);
            node.static_route(route, span, table, report);
        }
        node.gateways(table, report);
        node.ends_of_vrfs(table, report);
        node.rules(table, report);
    }
}

/// The VRFs of a node with their tables.
fn vrfs(inventory: &Inventory<'_>, name: &NodeName) -> BTreeMap<InterfaceName, (u32, Span)> {
    inventory
        .devices_in(&Space::Node(name.clone()))
        .filter_map(|(at, device)| {
            let table = match &device.make {
                crate::inventory::Make::Vrf { table } => *table,
                _ => device.link().filter(|_| device.is_vrf())?.table.as_ref()?.value,
            };
            Some((at.name.clone(), (table, device.span)))
        })
        .collect()
}

struct NodeRoutes<'b, 'a> {
    inventory: &'b Inventory<'a>,
    name: &'b NodeName,
    space: Space,
    facts: &'b NodeFacts<'a>,
    vrfs: BTreeMap<InterfaceName, (u32, Span)>,
}

impl NodeRoutes<'_, '_> {
    fn wish(&self, span: Span) -> Wish {
        Wish::new(self.facts.part.clone(), span)
    }

    fn key(&self, table: u32, destination: IpNet, metric: Option<u32>) -> Key {
        let usual = if destination.addr().is_ipv4() { 0 } else { METRIC_V6 };
        // The kernel takes an IPv6 metric of 0 for "the usual one".
        let metric = metric.filter(|metric| *metric > 0 || usual == 0).unwrap_or(usual);
        Key::Route { space: self.space.clone(), table, destination, metric }
    }

    fn static_route(&self, route: &topology::Route, span: Span, table: &mut Table, report: &mut Report<'_>) {
        let Some(destination) = destination(route) else {
            report.problem(span, ProblemKind::Destination { text: route.to.value.clone() });
            return;
        };
        let vrf = route.vrf.as_ref().map(|vrf| &vrf.value);
        let number = match vrf {
            Some(vrf) => match self.vrfs.get(vrf) {
                Some((number, _)) => *number,
                None => {
                    let name = format!("{}:{vrf}", self.name);
                    report.problem(span, ProblemKind::Unknown { what: "VRF", name });
                    return;
                }
            },
            None => route.table.unwrap_or(MAIN),
        };
        let action = match route.action {
            Some(topology::RouteAction::Blackhole) => RouteAction::Blackhole,
            Some(topology::RouteAction::Unreachable) => RouteAction::Unreachable,
            Some(topology::RouteAction::Prohibit) => RouteAction::Prohibit,
            None => {
                let mut hops: Vec<NextHop> = Vec::new();
                let single = topology::NextHop { via: route.via, dev: route.dev.clone(), weight: None };
                let given = route.via.is_some() || route.dev.is_some();
                let listed = route.nexthops.iter().map(|hop| &hop.value);
                for hop in given.then_some(&single).into_iter().chain(listed) {
                    match self.next_hop(hop, vrf) {
                        Ok(hop) => hops.push(hop),
                        Err(gateway) => {
                            let problem = ProblemKind::Gateway { node: self.name.clone(), gateway };
                            report.problem(span, problem);
                            return;
                        }
                    }
                }
                if hops.is_empty() {
                    let interface = format!("a route of {}", self.name);
                    report.problem(span, ProblemKind::Lacking { interface, kind: "route", field: "via" });
                    return;
                }
                hops.sort();
                if let [only] = hops.as_mut_slice() {
                    only.weight = 1;
                }
                RouteAction::Forward { hops }
            }
        };
        let source = route.source.as_ref().map(|source| source.value);
        let reason = match &action {
            RouteAction::Forward { hops } if hops.len() > 1 => {
                format!("shares traffic among {} ways", hops.len())
            }
            RouteAction::Forward { .. } => "was given by the user".to_owned(),
            _ => "refuses what the user wants refused".to_owned(),
        };
        let spec = Spec::Route(Route { action, source, mtu: None });
        table.want(self.key(number, destination, route.metric), spec, &self.wish(span), reason, report);
    }

    /// The next hop with its device, which is looked for where the gateway is.
    fn next_hop(&self, hop: &topology::NextHop, vrf: Option<&InterfaceName>) -> Result<NextHop, IpAddr> {
        let gateway = hop.via.as_ref().map(|via| via.value);
        let device = match (&hop.dev, gateway) {
            (Some(device), _) => Some(device.value.clone()),
            (None, Some(gateway)) => {
                let (at, _) = device_towards(self.inventory, &self.space, vrf, gateway).ok_or(gateway)?;
                Some(at.name.clone())
            }
            (None, None) => None,
        };
        Ok(NextHop { gateway, device, weight: hop.weight.unwrap_or(1) })
    }

    /// Default routes by the gateways of networks: the first one of each family and table counts.
    fn gateways(&self, table: &mut Table, report: &mut Report<'_>) {
        let mut taken: BTreeMap<(u32, bool), &LinkRef> = BTreeMap::new();
        let implied = implied_gateways(self.inventory, &self.space);
        for way in &implied {
            let device = self.inventory.devices.get(way.at);
            let controller = device.and_then(|device| device.controller.as_ref());
            let number = controller.and_then(|name| self.vrfs.get(name)).map_or(MAIN, |(number, _)| *number);
            let v4 = way.gateway.is_ipv4();
            if let Some(first) = taken.get(&(number, v4)) {
                let text = format!(
                    "{} already has a default route by {}, so {} gives none: write `gateway: none` there, or `gateway: auto` where the default route shall lead",
                    self.name, first.name, way.at.name
                );
                report.information(way.span, text);
                continue;
            }
            taken.insert((number, v4), way.at);
            let hop = NextHop { gateway: Some(way.gateway), device: Some(way.at.name.clone()), weight: 1 };
            let action = RouteAction::Forward { hops: vec![hop] };
            let spec = Spec::Route(Route { action, source: None, mtu: None });
            let segment = device.and_then(|device| device.segment.as_ref());
            let reason = match segment {
                Some(network) => format!("is the gateway of network {network}"),
                None => "is the gateway that the user named".to_owned(),
            };
            // A default route that the user wrote under `routes` stands in the table already and stays.
            let key = self.key(number, default_route(v4), None);
            table.want_by_default(key, spec, &self.wish(way.span), reason, report);
        }
    }

    /// What a VRF has no route for must not be looked up in the main table.
    fn ends_of_vrfs(&self, table: &mut Table, report: &mut Report<'_>) {
        for (vrf, (number, span)) in &self.vrfs {
            let v6 = self.inventory.devices_in(&self.space).any(|(_, device)| {
                device.controller.as_ref() == Some(vrf)
                    && device.addresses.iter().any(|address| address.addr().is_ipv6())
            });
            let families: &[bool] = if v6 { &[true, false] } else { &[true] };
            for v4 in families {
                let key = self.key(*number, default_route(*v4), Some(METRIC_LAST));
                let spec = Spec::Route(Route { action: RouteAction::Unreachable, source: None, mtu: None });
                let reason = format!("keeps packets of VRF {vrf} out of the main table");
                table.want_by_default(key, spec, &self.wish(*span), reason, report);
            }
        }
    }

    fn rules(&self, table: &mut Table, report: &mut Report<'_>) {
        // With its first VRF the kernel puts a rule of its own at 1000.
        let first = FIRST_RULE + u32::from(!self.vrfs.is_empty());
        let mut taken: BTreeSet<u32> = self
            .facts
            .node
            .rules
            .iter()
            .filter_map(|rule| rule.priority.as_ref())
            .map(|given| given.value)
            .collect();
        for (index, rule) in self.facts.node.rules.iter().enumerate() {
            let given = [&rule.from, &rule.to].into_iter().flatten().map(|prefix| prefix.span);
            let spans: Vec<Span> = std::iter::once(rule.span).chain(given).chain([self.facts.span]).collect();
            let span = first_span(&spans);
            let priority = rule.priority.as_ref().map(|given| given.value).unwrap_or_else(|| {
                let mut free = first.saturating_add(u32::try_from(index).unwrap_or(0));
                while !taken.insert(free) {
                    free += 1;
                }
                free
            });
            let action = match (&rule.table, rule.action) {
                (_, Some(topology::RouteAction::Blackhole)) => RuleAction::Blackhole,
                (_, Some(topology::RouteAction::Unreachable)) => RuleAction::Unreachable,
                (_, Some(topology::RouteAction::Prohibit)) => RuleAction::Prohibit,
                (Some(number), None) => RuleAction::Lookup(number.value),
                (None, None) => {
                    let interface = format!("a rule of {}", self.name);
                    report.problem(span, ProblemKind::Lacking { interface, kind: "rule", field: "table" });
                    continue;
                }
            };
            let prefixes = [&rule.from, &rule.to].into_iter().flatten();
            let named: BTreeSet<Family> = prefixes.map(|prefix| Family::of(&prefix.net().addr())).collect();
            let families = if named.is_empty() { BTreeSet::from([Family::V4, Family::V6]) } else { named };
            for family in families {
                let spec = Spec::Rule(Rule {
                    from: rule.from.as_ref().map(|prefix| prefix.net()),
                    to: rule.to.as_ref().map(|prefix| prefix.net()),
                    input: rule.input.as_ref().map(|name| name.value.clone()),
                    output: None,
                    mark: rule.mark.map(|mark| (mark, u32::MAX)),
                    action,
                });
                let key = Key::Rule { space: self.space.clone(), priority, family };
                table.want(key, spec, &self.wish(span), "was given by the user", report);
            }
        }
    }
}
