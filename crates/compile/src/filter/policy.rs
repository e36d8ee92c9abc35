//! Policies: who may talk to whom, enforced in the namespace of every node that they concern.
//!
//! A packet must pass at both ends: where it begins, by what it leaves for; where it ends, by whom it is
//! from. So a node behind a NAT, which looks like its neighbours from outside, is still told apart.

use super::rules::{Wanted, established, last, loopback, neighbour_discovery, services};
use super::side::{Everybody, Meant, Side};
use super::{Filters, Place, tunnels};
use crate::inventory::Inventory;
use crate::object::Space;
use crate::object::firewall::{FirewallRule, Match};
use crate::report::{Report, first_span};
use crate::table::Wish;
use ipnet::IpNet;
use netloom_model::document::Spanned;
use netloom_model::scalar::{Flow, Service};
use netloom_model::topology::{Forward, PolicyRule, Stance};

pub(super) fn add(inventory: &Inventory<'_>, filters: &mut Filters, report: &mut Report<'_>) {
    let Some(policies) = &inventory.topology.policies else { return };
    let everybody = Everybody::new(inventory);
    let default_origin = report.origin(policies.default.span).to_string();
    let rules: Vec<Rule<'_>> = policies.rules.iter().filter_map(|rule| Rule::new(rule, report)).collect();
    if rules.iter().any(|rule| rule.wanted.log) {
        let text = "log lines of packet filters appear in the kernel's log only where net.netfilter.nf_log_all_netns is 1";
        report.information(policies.default.span, text);
    }
    // What does not depend on the node is found once: a thousand nodes share it.
    let sources: Vec<Side> = rules.iter().map(|rule| everybody.sources(&rule.flow.from)).collect();
    let targets: Vec<Vec<Destination>> = rules.iter().map(|rule| targets(&everybody, rule)).collect();
    let meant: Vec<(Meant, Meant)> =
        rules.iter().map(|rule| (everybody.meant(&rule.flow.from), everybody.meant(&rule.flow.to))).collect();
    note_machines(inventory, report);
    for (name, facts) in inventory.nodes.iter().filter(|(_, facts)| !facts.machine) {
        let mut input: Vec<FirewallRule> = Vec::new();
        let mut output: Vec<FirewallRule> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let (Some(from), Some(targets), Some((meant_from, meant_to))) =
                (sources.get(index), targets.get(index), meant.get(index))
            else {
                continue;
            };
            if let Some(to) = everybody.meaning(meant_to, name) {
                input.extend(rule.wanted.rules(from, &to));
            }
            if let Some(from) = everybody.meaning(meant_from, name) {
                for (to, services) in targets {
                    output.extend(match services {
                        Some(services) => rule.wanted.with_services(&from, to, services),
                        None => rule.wanted.rules(&from, to),
                    });
                }
            }
        }
        let stance = policies.default.value;
        if stance == Stance::Allow && input.is_empty() && output.is_empty() {
            continue;
        }
        let space = Space::Node(name.clone());
        let wish = Wish::new(facts.part.clone(), first_span(&[policies.default.span, facts.span]));
        let filter = filters.space(&space, &wish, "enforces who may talk to whom");
        for (place, rules) in [(Place::PolicyInput, input), (Place::PolicyOutput, output)] {
            let arriving = place == Place::PolicyInput;
            if stance == Stance::Allow && rules.is_empty() {
                continue;
            }
            filter.add(place, [established()]);
            filter.add(place, loopback(arriving));
            filter.add(place, [neighbour_discovery()]);
            filter.add(place, tunnels::accept(inventory, &space, arriving));
            filter.add(place, rules);
            filter.add(place, last(stance, "no policy speaks of it", &default_origin));
        }
    }
}

/// A packet between a machine and a namespace is judged in the namespace; there is no such place between two machines.
fn note_machines(inventory: &Inventory<'_>, report: &mut Report<'_>) {
    let machines: Vec<_> = inventory.nodes.iter().filter(|(_, facts)| facts.machine).collect();
    let Some((first, facts)) = machines.first() else { return };
    let text = if machines.len() > 1 {
        "policies are enforced in namespaces: not between virtual machines, nor between them and what is outside"
            .to_owned()
    } else {
        format!(
            "policies are enforced in namespaces: not between virtual machine {first} and what is outside"
        )
    };
    report.warning(facts.span, text);
}

/// Where packets go, and by which services if not by those that the rule names.
type Destination = (Side, Option<Vec<Vec<Match>>>);

/// One rule of the policies.
struct Rule<'p> {
    flow: &'p Flow,
    wanted: Wanted<'p>,
}

impl<'p> Rule<'p> {
    fn new(item: &'p Spanned<PolicyRule>, report: &Report<'_>) -> Option<Self> {
        let rule: &PolicyRule = item;
        let (stance, flow) =
            [(Stance::Allow, &rule.allow), (Stance::Deny, &rule.deny), (Stance::Reject, &rule.reject)]
                .into_iter()
                .find_map(|(stance, flow)| flow.as_ref().map(|flow| (stance, flow)))?;
        let wanted = Wanted {
            stance,
            services: &rule.services,
            log: rule.log,
            name: name(stance, flow),
            origin: report.origin(first_span(&[flow.span, item.span])).to_string(),
            conditions: Vec::new(),
        };
        Some(Self { flow, wanted })
    }
}

/// `allow web -> db`.
pub(super) fn name(stance: Stance, flow: &Flow) -> String {
    let verb = match stance {
        Stance::Allow => "allow",
        Stance::Deny => "deny",
        Stance::Reject => "reject",
    };
    format!("{verb} {flow}")
}

/// Where packets to the targets of a rule go: to their own addresses, and to those that are mapped to
/// them, with the services that the mapping has outside.
fn targets(everybody: &Everybody<'_, '_>, rule: &Rule<'_>) -> Vec<Destination> {
    let own = everybody.destinations(&rule.flow.to);
    let mut targets = vec![(own.clone(), None)];
    if own.is_any() {
        return targets;
    }
    for forward in &everybody.inventory.topology.forwards {
        let inside = super::forward::targets(everybody.inventory, forward);
        let meant = matches!(&own, Side::Of(list) if inside.iter().any(|address| {
            list.iter().any(|net| net.contains(address))
        }));
        let services: Vec<Service> = rule.wanted.services.iter().map(|service| service.value).collect();
        if meant && let Some(outside) = outside_services(forward, &services) {
            let addresses = outside_addresses(everybody, forward);
            targets.push((Side::Of(addresses), Some(outside)));
        }
    }
    targets
}

/// The addresses at which a mapping is reached.
fn outside_addresses(everybody: &Everybody<'_, '_>, forward: &Forward) -> Vec<IpNet> {
    match &forward.address {
        Some(address) => vec![IpNet::from(address.value)],
        None => super::forward::own_addresses(everybody.inventory, &forward.on.value),
    }
}

/// The services by which a mapping is reached, if it leads to one of `allowed` (or to anything, if empty).
fn outside_services(forward: &Forward, allowed: &[Service]) -> Option<Vec<Vec<Match>>> {
    let Some(outside) = &forward.service else {
        // A 1:1 mapping keeps services as they are.
        return Some(services(allowed));
    };
    let port = forward.port.or(outside.ports.map(|(low, _)| low));
    let fits = |service: &Service| {
        let same = super::rules::protocol(service) == super::rules::protocol(outside);
        let inside = match (super::rules::ports_of(service), port) {
            (Some(range), Some(port)) => range.first() <= port && port <= range.last(),
            (None, _) => true,
            (Some(_), None) => false,
        };
        same && inside
    };
    (allowed.is_empty() || allowed.iter().any(fits)).then(|| services([&outside.value]))
}
