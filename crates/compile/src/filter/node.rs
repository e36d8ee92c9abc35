//! The firewall and the masquerading that a node itself has.

use super::policy::name;
use super::rules::{Wanted, established, last, loopback, mapped, neighbour_discovery};
use super::side::Everybody;
use super::{Filters, Place, tunnels};
use crate::inventory::{Inventory, Make, NodeFacts};
use crate::object::Space;
use crate::object::firewall::{Action, Addresses, FirewallRule, Match, Policy};
use crate::report::{Report, first_span};
use crate::table::Wish;
use netloom_model::document::Spanned;
use netloom_model::scalar::Flow;
use netloom_model::source::Span;
use netloom_model::topology::{self, Stance};
use netloom_wire::NodeName;

pub(super) fn add(inventory: &Inventory<'_>, filters: &mut Filters, report: &mut Report<'_>) {
    let everybody = Everybody::new(inventory);
    for (node, facts) in &inventory.nodes {
        if let Some(firewall) = &facts.node.firewall {
            add_firewall(&everybody, node, facts, firewall, filters, report);
        }
        for masquerade in &facts.node.masquerade {
            add_masquerade(inventory, node, facts, masquerade, filters, report);
        }
    }
}

fn verb(rule: &topology::FirewallRule) -> Option<(Stance, &Spanned<Flow>)> {
    [(Stance::Allow, &rule.allow), (Stance::Deny, &rule.deny), (Stance::Reject, &rule.reject)]
        .into_iter()
        .find_map(|(stance, flow)| flow.as_ref().map(|flow| (stance, flow)))
}

const fn policy(stance: Stance) -> Policy {
    match stance {
        Stance::Allow => Policy::Accept,
        Stance::Deny | Stance::Reject => Policy::Drop,
    }
}

fn add_firewall(
    everybody: &Everybody<'_, '_>,
    node: &NodeName,
    facts: &NodeFacts<'_>,
    firewall: &Spanned<topology::Firewall>,
    filters: &mut Filters,
    report: &Report<'_>,
) {
    let space = Space::Node(node.clone());
    let span = first_span(&[firewall.span, firewall.default.span, facts.span]);
    let filter = filters.space(&space, &Wish::new(facts.part.clone(), span), "is the node's firewall");
    let mut forwarded: Vec<FirewallRule> = Vec::new();
    let mut received: Vec<FirewallRule> = Vec::new();
    for item in &firewall.rules {
        let rule: &topology::FirewallRule = item;
        let Some((stance, flow)) = verb(rule) else { continue };
        let mut wanted = Wanted {
            stance,
            services: &rule.services,
            log: rule.log,
            name: name(stance, flow),
            origin: report.origin(first_span(&[flow.span, item.span])).to_string(),
            conditions: rule.input.iter().map(|input| Match::input(input.value.clone())).collect(),
        };
        let from = everybody.sources(&flow.from);
        if rule.output.is_none()
            && let Some(to) = everybody.meaning(&everybody.meant(&flow.to), node)
        {
            received.extend(wanted.rules(&from, &to));
        }
        wanted.conditions.extend(rule.output.iter().map(|output| Match::output(output.value.clone())));
        forwarded.extend(wanted.rules(&from, &everybody.destinations(&flow.to)));
    }
    let origin = |span: Span| report.origin(first_span(&[span, firewall.span, facts.span])).to_string();
    let default = &firewall.default;
    filter.add(Place::Forward, [established(), mapped()]);
    filter.add(Place::Forward, bridged(everybody.inventory, &space));
    filter.add(Place::Forward, forwarded);
    filter.add(
        Place::Forward,
        last(default.value, "no rule of the firewall speaks of it", &origin(default.span)),
    );
    filter.set_policy(Place::Forward, policy(default.value));

    let input = firewall.input.as_ref().map_or(Stance::Allow, |input| input.value);
    let refuses = |rule: &FirewallRule| rule.action != Action::Accept;
    if input == Stance::Allow && !received.iter().any(refuses) {
        return;
    }
    let input_span = firewall.input.as_ref().map_or(default.span, |input| input.span);
    filter.add(Place::Input, [established()]);
    filter.add(Place::Input, loopback(true));
    filter.add(Place::Input, [neighbour_discovery()]);
    filter.add(Place::Input, tunnels::accept(everybody.inventory, &space, true));
    filter.add(Place::Input, received);
    filter.add(Place::Input, last(input, "no rule of the firewall speaks of it", &origin(input_span)));
    filter.set_policy(Place::Input, policy(input));
}

/// Where the kernel's br_netfilter is loaded, frames that a bridge of the node only switches pass here
/// too. They are not the node's to judge.
fn bridged(inventory: &Inventory<'_>, space: &Space) -> Vec<FirewallRule> {
    inventory
        .devices_in(space)
        .filter(|(_, device)| matches!(device.make, Make::Bridge { .. }))
        .map(|(at, _)| {
            FirewallRule::new(Action::Accept)
                .when(Match::input(at.name.clone()))
                .when(Match::output(at.name.clone()))
                .named("only switched here")
        })
        .collect()
}

fn add_masquerade(
    inventory: &Inventory<'_>,
    node: &NodeName,
    facts: &NodeFacts<'_>,
    item: &Spanned<topology::Masquerade>,
    filters: &mut Filters,
    report: &mut Report<'_>,
) {
    let space = Space::Node(node.clone());
    let span = first_span(&[item.out.span, item.span, facts.span]);
    let out = &item.out.value;
    let device = inventory.devices_in(&space).find(|(at, _)| at.name == *out).map(|(_, device)| device);
    let has =
        |v4: bool| device.is_some_and(|device| device.addresses.iter().any(|own| own.addr().is_ipv4() == v4));
    let limits: Vec<Option<Addresses>> = if item.from.is_empty() {
        vec![None]
    } else {
        Addresses::by_family(item.from.iter().map(|prefix| prefix.net())).map(Some).collect()
    };
    let origin = report.origin(span);
    let wish = Wish::new(facts.part.clone(), span);
    let filter = filters.space(&space, &wish, "hides sources behind the node's address");
    for limit in limits {
        // A family without an address on the interface has nothing to hide behind: the kernel would drop.
        let families = match limit.as_ref().and_then(Addresses::family) {
            Some(family) => vec![family],
            None => [(true, crate::object::Family::V4), (false, crate::object::Family::V6)]
                .into_iter()
                .filter(|(v4, _)| has(*v4))
                .map(|(_, family)| family)
                .collect(),
        };
        for family in families {
            let mut rule = FirewallRule::new(Action::Masquerade { ports: None, random: false })
                .when(Match::output(out.clone()));
            rule.matches.push(match &limit {
                Some(limit) => Match::source(limit.clone()),
                None => Match::Family(family),
            });
            filter
                .add(Place::SourceNat, [rule.counted().named(&format!("masquerade by {out}")).from(&origin)]);
        }
    }
}
