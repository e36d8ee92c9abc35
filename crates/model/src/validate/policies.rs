//! Policies, firewalls and forwards.

use super::codes;
use super::context::Check;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::scalar::{Flow, PeerName, Protocol, Service};
use crate::source::Span;
use crate::topology::{Forward, NetworkMode};
use crate::validated::{self, Thing};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) fn check(check: &mut Check<'_>) {
    if let Some(policies) = &check.topology.policies {
        for rule in &policies.rules {
            let flow = one_stance(check, rule.span, &rule.allow, &rule.deny, &rule.reject);
            if let Some(flow) = flow {
                flow_peers(check, flow);
            }
            services(check, &rule.services);
        }
    }
    for (name, _, _, node) in validated::nodes(check.topology) {
        let Some(firewall) = &node.firewall else { continue };
        for rule in &firewall.rules {
            let flow = one_stance(check, rule.span, &rule.allow, &rule.deny, &rule.reject);
            if let Some(flow) = flow {
                flow_peers(check, flow);
            }
            for interface in rule.input.iter().chain(&rule.output) {
                check.interface(name, interface, interface.span);
            }
            services(check, &rule.services);
        }
    }
    forwards(check);
}

/// The flow of a rule, which has exactly one stance.
fn one_stance<'r>(
    check: &mut Check<'_>,
    rule: Span,
    allow: &'r Option<Spanned<Flow>>,
    deny: &'r Option<Spanned<Flow>>,
    reject: &'r Option<Spanned<Flow>>,
) -> Option<&'r Spanned<Flow>> {
    let mut flows = [allow, deny, reject].into_iter().flatten();
    let first = flows.next();
    if first.is_none() {
        check.error(
            codes::RULE_STANCE,
            rule,
            "this rule does nothing",
            "no `allow`, `deny` or `reject`",
            "write it like `allow: client -> web`",
        );
    } else if let Some(second) = flows.next() {
        check.error(
            codes::RULE_STANCE,
            second.span,
            "this rule says two things at once",
            "one of them is too much",
            "write two rules: the first one that fits decides",
        );
    }
    first
}

fn flow_peers(check: &mut Check<'_>, flow: &Spanned<Flow>) {
    for side in [&flow.from, &flow.to] {
        for (place, peer) in side.iter().enumerate() {
            if !check.peer(peer, flow.span) {
                continue;
            }
            if side[..place].contains(peer) {
                check.warning(
                    codes::LISTED_TWICE,
                    flow.span,
                    format!("`{peer}` is named twice on one side of the flow"),
                    "again",
                    "remove one",
                );
            } else if *peer == PeerName::Any && side.len() > 1 {
                check.warning(
                    codes::USELESS_KEY,
                    flow.span,
                    "`any` stands beside other names",
                    "`any` is everybody already",
                    "write `any` alone, or remove it",
                );
            }
        }
    }
}

fn services(check: &mut Check<'_>, services: &[Spanned<Service>]) {
    for (place, service) in services.iter().enumerate() {
        if services[..place].contains(service) {
            check.warning(
                codes::LISTED_TWICE,
                service.span,
                format!("service {} is listed twice", service.value),
                "again",
                "remove one",
            );
        }
    }
}

type Place<'a> = (&'a NodeName, Option<&'a InterfaceName>, Option<IpAddr>);

fn forwards(check: &mut Check<'_>) {
    let mut seen: BTreeMap<Place<'_>, Vec<(&Forward, Span)>> = BTreeMap::new();
    for item in &check.topology.forwards {
        let forward = &item.value;
        let on_node = place_of(check, item);
        if let Some(input) = &forward.input {
            if on_node {
                check.interface(&forward.on, input, input.span);
            } else if check.index.thing(&forward.on).is_some() {
                check.error(
                    codes::FORWARD,
                    input.span,
                    format!("`input` can't be said for network `{}`", forward.on.value),
                    "its gateway is made by Netloom",
                    "remove `input`",
                );
            }
        }
        form(check, item);
        target(check, item);
        let place = (
            &forward.on.value,
            forward.input.as_ref().map(|i| &i.value),
            forward.address.as_ref().map(|a| a.value),
        );
        let others = seen.entry(place).or_default();
        let clash = others.iter().find(|(other, _)| meet(forward.service.as_ref(), other.service.as_ref()));
        match clash {
            None => others.push((forward, item.span)),
            Some((_, first)) => {
                let finding = Diagnostic::error(
                    codes::DUPLICATE_FORWARD,
                    format!("`{}` forwards this twice", forward.on.value),
                )
                .at(forward.service.as_ref().map_or(item.span, |service| service.span))
                .label("taken")
                .help("choose another port, or another `address`")
                .related(*first, "forwarded here first");
                check.push(finding);
            }
        }
    }
}

/// Whether the forward is on a node; says so if it is on nothing that could forward.
fn place_of(check: &mut Check<'_>, item: &Spanned<Forward>) -> bool {
    let on = &item.on;
    match check.index.thing(on) {
        Some((Thing::Router, _)) => return true,
        Some((Thing::Endpoint, _)) => {
            let forwards =
                validated::node(check.topology, on).is_some_and(|(_, node)| node.forwarding == Some(true));
            if !forwards {
                check.error(
                    codes::FORWARD,
                    on.span,
                    format!("endpoint `{}` forwards nothing", on.value),
                    "not a router",
                    "name a router, or a network of mode nat or routed",
                );
            }
            return true;
        }
        Some((Thing::Network, _)) => {
            let mode = check.topology.networks.get(on).map(|network| network.mode).unwrap_or_default();
            if !matches!(mode, NetworkMode::Nat | NetworkMode::Routed) {
                check.error(
                    codes::FORWARD,
                    on.span,
                    format!(
                        "network `{}` of mode {} has no gateway that could forward",
                        on.value,
                        super::networks::word(mode)
                    ),
                    "nothing forwards here",
                    "name a router, or a network of mode nat or routed",
                );
            }
        }
        _ => check.wrong_name(on, on.span, "a router or network", |thing| {
            matches!(thing, Thing::Router | Thing::Network)
        }),
    }
    false
}

fn form(check: &mut Check<'_>, item: &Spanned<Forward>) {
    let forward = &item.value;
    match (&forward.service, &forward.address) {
        (None, None) => check.error(
            codes::FORWARD,
            item.span,
            "this forward names no service and no address",
            "what is forwarded?",
            "add `service`, like tcp/8080, or `address` to map a whole address",
        ),
        (None, Some(_)) if forward.port.is_some() => check.error(
            codes::FORWARD,
            item.span,
            "a whole address is mapped, with all its ports",
            "`port` without `service`",
            "add `service`, or remove `port`",
        ),
        (Some(service), _) => {
            let range = service.ports.is_some_and(|(low, high)| low != high);
            if forward.port.is_some() && (range || service.ports.is_none()) {
                check.error(
                    codes::FORWARD,
                    service.span,
                    format!("{} can't be mapped to one port", service.value),
                    "more than one port",
                    "remove `port`: each port is then mapped to itself",
                );
            }
            if service.protocol == Protocol::Http && service.ports.is_none() {
                check.error(
                    codes::FORWARD,
                    service.span,
                    "http alone names no port",
                    "which port?",
                    "write tcp/80 or http/80",
                );
            }
        }
        _ => {}
    }
}

fn target(check: &mut Check<'_>, item: &Spanned<Forward>) {
    let to = &item.to;
    let address_family = item.address.as_ref().map(|address| address.is_ipv6());
    match &to.value {
        PeerName::Any => check.error(
            codes::FORWARD,
            to.span,
            "a forward leads to one node, not to `any`",
            "not one node",
            "name a node or an address",
        ),
        PeerName::Prefix(prefix) => {
            let net = prefix.net();
            if net.prefix_len() != net.max_prefix_len() {
                check.error(
                    codes::FORWARD,
                    to.span,
                    format!("a forward leads to one address, not to {prefix}"),
                    "several addresses",
                    "write one address, like 10.0.0.2",
                );
            } else if address_family.is_some_and(|v6| v6 != net.addr().is_ipv6()) {
                check.error(
                    codes::FAMILY,
                    to.span,
                    format!("{} and the mapped address are of different families", net.addr()),
                    "another family than `address`",
                    "map IPv4 to IPv4 and IPv6 to IPv6",
                );
            }
        }
        PeerName::Name(name) => {
            let Some(_) = check.node(name, to.span) else { return };
            if *name == item.on.value {
                check.error(
                    codes::FORWARD,
                    to.span,
                    format!("`{name}` forwards to itself"),
                    "the same node",
                    "name the node behind it",
                );
                return;
            }
            let wanted = address_family.unwrap_or(false);
            let mut has = check.interfaces_of(name);
            let fits = has.any(|(_, addressing)| {
                addressing.has_family(wanted) || (address_family.is_none() && !addressing.is_empty())
            });
            drop(has);
            if !fits {
                check.error(
                    codes::FORWARD,
                    to.span,
                    format!("`{name}` has no address to forward to"),
                    "no address of the family",
                    format!("give `{name}` an IPv{} address", if wanted { 6 } else { 4 }),
                );
            }
        }
    }
}

/// Whether two services have a port in common; none means all.
fn meet(a: Option<&Spanned<Service>>, b: Option<&Spanned<Service>>) -> bool {
    // A whole address and single services of it can stand together: the service is looked at first.
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    let protocol = |service: &Service| match service.protocol {
        Protocol::Http => Protocol::Tcp,
        other => other,
    };
    let ports = |service: &Service| service.ports.unwrap_or((0, u16::MAX));
    let ((low, high), (other_low, other_high)) = (ports(a), ports(b));
    protocol(a) == protocol(b) && low <= other_high && other_low <= high
}
