//! NAT networks: what leaves them, what may come back, and what the host does for those behind it.

use super::rules::{established, hosts, mapped};
use super::{Filters, Place};
use crate::inventory::{Exit, Inventory, Segment, announced};
use crate::object::firewall::{Action, Addresses, FirewallRule, Match, Policy};
use crate::object::{LinkRef, Space};
use crate::report::Report;
use crate::table::Wish;
use netloom_model::topology::NetworkMode;
use std::collections::BTreeSet;

pub(super) fn add(inventory: &Inventory<'_>, filters: &mut Filters, report: &mut Report<'_>) {
    for segment in inventory.segments.values() {
        let isolated = segment.network.isolated && segment.forwards();
        match segment.network.mode {
            NetworkMode::Nat if segment.forwards() => {
                translate(inventory, segment, filters, report);
                guard(segment, filters, report);
            }
            NetworkMode::Routed if isolated => keep_apart(segment, filters, report),
            _ => {}
        }
    }
}

fn masquerade() -> FirewallRule {
    FirewallRule::new(Action::Masquerade { ports: None, random: false }).counted()
}

/// Rewrites sources on the way out, and once more on the host.
fn translate(inventory: &Inventory<'_>, segment: &Segment<'_>, filters: &mut Filters, report: &Report<'_>) {
    let (inner, outer) = match &segment.exit {
        Exit::None => return,
        Exit::Host { inner, outer } => (inner, Some(outer)),
        Exit::Network { inner, .. } => (inner, None),
    };
    let origin = report.origin(segment.span);
    let wish = Wish::new(segment.part.clone(), segment.span);
    let filter = filters.space(&segment.space, &wish, "rewrites sources on the way out");
    let subnets = announced(inventory, &segment.name).into_iter().map(|(subnet, _)| subnet);
    for addresses in Addresses::by_family(subnets) {
        let rule = masquerade().when(Match::output(inner.name.clone())).when(Match::source(addresses));
        filter.add(Place::SourceNat, [rule.named(&format!("NAT of {}", segment.name)).from(&origin)]);
    }
    let (Some(outer), Some(inside)) = (outer, inventory.devices.get(inner)) else { return };
    let part = format!("topology {}", inventory.topology.name.value);
    let wish = Wish::new(part, segment.span);
    let filter = filters.space(&Space::Host, &wish, "rewrites sources of networks that leave by the host");
    for addresses in Addresses::by_family(hosts(inside.addresses.iter().copied())) {
        let elsewhere = Match::OutputInterface { names: BTreeSet::from([outer.name.clone()]), negated: true };
        let rule = masquerade().when(elsewhere).when(Match::source(addresses));
        filter.add(Place::SourceNat, [rule.named(&format!("NAT of {}", segment.name)).from(&origin)]);
    }
}

/// Lets nothing in but answers and what a mapping brings.
fn guard(segment: &Segment<'_>, filters: &mut Filters, report: &Report<'_>) {
    let Some(bridge) = segment.bridge() else { return };
    let origin = report.origin(segment.span);
    let wish = Wish::new(segment.part.clone(), segment.span);
    let filter = filters.space(&segment.space, &wish, "keeps the network closed from outside");
    filter.add(Place::Forward, [established(), mapped()]);
    if segment.network.isolated {
        filter.add(Place::Forward, [between_members(segment, bridge, &origin.to_string())]);
    }
    let inside = FirewallRule::new(Action::Accept).when(Match::input(bridge.name.clone()));
    filter.add(Place::Forward, [inside.counted().named("from inside").from(&origin)]);
    let outside = FirewallRule::new(Action::Drop).counted().named("from outside, not by a mapping");
    filter.add(Place::Forward, [outside.from(&origin)]);
    filter.set_policy(Place::Forward, Policy::Drop);
}

/// Members of an isolated network must not reach each other by way of the gateway either.
fn keep_apart(segment: &Segment<'_>, filters: &mut Filters, report: &Report<'_>) {
    let Some(bridge) = segment.bridge() else { return };
    let origin = report.origin(segment.span).to_string();
    let wish = Wish::new(segment.part.clone(), segment.span);
    let filter = filters.space(&segment.space, &wish, "keeps members apart");
    filter.add(Place::Forward, [between_members(segment, bridge, &origin)]);
}

fn between_members(segment: &Segment<'_>, bridge: &LinkRef, origin: &str) -> FirewallRule {
    FirewallRule::new(Action::Drop)
        .when(Match::input(bridge.name.clone()))
        .when(Match::output(bridge.name.clone()))
        .counted()
        .named(&format!("members of {} are isolated", segment.name))
        .from(&origin)
}
