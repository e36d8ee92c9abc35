//! The file's own tests: each says one thing that can be tried.

use super::codes;
use super::context::Check;
use crate::document::Spanned;
use crate::scalar::{Flow, Protocol};
use crate::source::Span;
use crate::topology::{NetworkMode, Test};
use crate::validated::{self, Peers};
use netloom_wire::NodeName;
use std::collections::BTreeSet;

/// The verbs with the keys that go with them, beyond those of every test.
const VERBS: [(&str, &[&str], &[&str]); 5] = [
    ("reach", &["over", "address"], &[]),
    ("blocked", &["over", "address"], &[]),
    ("bandwidth", &["over", "address", "rate", "tolerance", "duration"], &["rate"]),
    ("loss", &["address", "at-most", "count"], &["at-most"]),
    ("path", &["address", "through"], &["through"]),
];

pub(super) fn check(check: &mut Check<'_>) {
    for item in &check.topology.tests {
        let test = &item.value;
        let flows = [&test.reach, &test.blocked, &test.bandwidth, &test.loss, &test.path].map(Option::as_ref);
        let given: Vec<(usize, &Spanned<Flow>)> =
            flows.iter().enumerate().filter_map(|(verb, flow)| Some((verb, (*flow)?))).collect();
        match given.as_slice() {
            [] => check.error(
                codes::TEST_VERB,
                item.span,
                "this test tries nothing",
                "no `reach`, `blocked`, `bandwidth`, `loss` or `path`",
                "write it like `reach: client -> web`",
            ),
            [(verb, flow)] => {
                keys(check, item, *verb, flow.span);
                peers(check, test, flow);
                services(check, test, *verb);
            }
            [_, (_, second), ..] => check.error(
                codes::TEST_VERB,
                second.span,
                "this test tries two things at once",
                "one of them is too much",
                "write two tests",
            ),
        }
        for name in test.through.iter() {
            through(check, name);
        }
    }
}

/// A node, or a network whose gateway answers for it.
fn through(check: &mut Check<'_>, name: &Spanned<NodeName>) {
    match check.topology.networks.get(name) {
        None => {
            check.node(name, name.span);
        }
        Some(network) if !matches!(network.mode, NetworkMode::Nat | NetworkMode::Routed) => check.error(
            codes::TEST_PEER,
            name.span,
            format!("no path shows network `{}`: its switch has no address", name.value),
            "leaves no trace",
            "name routers, or networks of mode nat or routed",
        ),
        Some(_) => {}
    }
}

fn keys(check: &mut Check<'_>, item: &Spanned<Test>, verb: usize, flow: Span) {
    let test = &item.value;
    let Some((word, allowed, required)) = VERBS.get(verb) else { return };
    let present: [(&str, bool, Option<Span>); 8] = [
        ("over", !test.over.is_empty(), test.over.first().map(|value| value.span)),
        ("address", test.address.is_some(), test.address.as_ref().map(|value| value.span)),
        ("rate", test.rate.is_some(), test.rate.as_ref().map(|value| value.span)),
        ("tolerance", test.tolerance.is_some(), test.tolerance.as_ref().map(|value| value.span)),
        ("duration", test.duration.is_some(), test.duration.as_ref().map(|value| value.span)),
        ("at-most", test.at_most.is_some(), test.at_most.as_ref().map(|value| value.span)),
        ("count", test.count.is_some(), None),
        ("through", !test.through.is_empty(), test.through.first().map(|value| value.span)),
    ];
    for (key, there, span) in present {
        if there && !allowed.contains(&key) {
            let verbs = VERBS.iter().filter(|(_, allowed, _)| allowed.contains(&key));
            let verbs: Vec<&str> = verbs.map(|(word, _, _)| *word).collect();
            let place = span.filter(|span| !span.is_empty()).unwrap_or_else(|| check.key(item.span, key));
            check.error(
                codes::TEST_KEYS,
                place,
                format!("`{key}` does not go with `{word}`"),
                "belongs to another kind of test",
                format!("`{key}` goes with {}", super::context::list(&verbs)),
            );
        }
        if !there && required.contains(&key) {
            check.error(
                codes::TEST_KEYS,
                flow,
                format!("a test of {word} needs `{key}`"),
                "something is missing here",
                format!("add `{key}`"),
            );
        }
    }
}

/// A flow is tried from every node of its left side to every node or address of its right side.
fn peers(check: &mut Check<'_>, test: &Test, flow: &Spanned<Flow>) {
    for peer in flow.from.iter().chain(&flow.to) {
        if !check.peer(peer, flow.span) {
            return;
        }
    }
    let from = validated::peers(check.topology, check.index, &flow.from);
    let to = validated::peers(check.topology, check.index, &flow.to);
    if from.any || to.any {
        let span = check.word(flow.span, "any");
        check.error(
            codes::TEST_PEER,
            span,
            "a test needs names: `any` can't be tried",
            "who?",
            "name nodes, groups or networks of this file",
        );
        return;
    }
    if let Some(prefix) = from.prefixes.first() {
        let mut span = check.word(flow.span, &prefix.to_string());
        if span == flow.span {
            span = check.word(flow.span, &prefix.net().addr().to_string());
        }
        check.error(
            codes::TEST_PEER,
            span,
            format!("a test begins at a node, not at {prefix}"),
            "nobody sends from there",
            "name a node of this file",
        );
        return;
    }
    if let Some(prefix) = to.prefixes.iter().find(|p| p.net().prefix_len() != p.net().max_prefix_len()) {
        let span = check.word(flow.span, &prefix.to_string());
        check.error(
            codes::TEST_PEER,
            span,
            format!("a test ends at one address, not at all of {prefix}"),
            "which of them?",
            "write one address, like 10.0.0.1",
        );
        return;
    }
    families(check, test, flow, &from, &to);
}

fn families(check: &mut Check<'_>, test: &Test, flow: &Spanned<Flow>, from: &Peers, to: &Peers) {
    let sources = validated::nodes_of(check.topology, check.index, &flow.from);
    let targets = validated::nodes_of(check.topology, check.index, &flow.to);
    for (side, nodes, peers) in [("begins", &sources, from), ("ends", &targets, to)] {
        if nodes.is_empty() && peers.prefixes.is_empty() {
            check.error(
                codes::TEST_PEER,
                flow.span,
                format!("there is no node at which this test {side}"),
                "nobody is meant",
                "name nodes, or groups and networks that have some",
            );
            return;
        }
    }
    let pairs = sources.iter().any(|from| targets.iter().any(|to| from != to));
    if !pairs && to.prefixes.is_empty() {
        check.error(
            codes::TEST_PEER,
            flow.span,
            "this test begins and ends at the same node",
            "nothing to try",
            "name two nodes",
        );
        return;
    }
    if machines(check, test, flow, &sources, &targets) {
        return;
    }
    let given = test.address.as_ref().map(|address| address.is_ipv6());
    if let (Some(v6), Some(address)) = (given, &test.address)
        && v6 != test.ipv6
    {
        check.error(
            codes::TEST_PEER,
            address.span,
            format!("{} is not of the family that this test uses", address.value),
            if v6 { "IPv6" } else { "IPv4" },
            if v6 { "add `ipv6: true`" } else { "remove `ipv6: true`" },
        );
        return;
    }
    let wanted = if test.ipv6 { 6 } else { 4 };
    let no_target = if test.address.is_some() { BTreeSet::new() } else { targets };
    for name in sources.iter().chain(&no_target) {
        let has = |v6: bool| check.interfaces_of(name).any(|(_, addressing)| addressing.has_family(v6));
        if has(test.ipv6) {
            continue;
        }
        let help = if has(!test.ipv6) {
            if test.ipv6 { "remove `ipv6: true`" } else { "add `ipv6: true`" }
        } else {
            "attach it to a network with a subnet, or write an `address`"
        };
        let span = check.word(flow.span, name.as_str());
        check.error(
            codes::TEST_PEER,
            span,
            format!("`{name}` has no IPv{wanted} address for this test"),
            "no address of the family",
            help,
        );
    }
    for prefix in &to.prefixes {
        if prefix.net().addr().is_ipv6() != test.ipv6 {
            let span = check.word(flow.span, &prefix.net().addr().to_string());
            check.error(
                codes::TEST_PEER,
                span,
                format!("{} is not of the family that this test uses", prefix.net().addr()),
                if test.ipv6 { "IPv4" } else { "IPv6" },
                if test.ipv6 { "remove `ipv6: true`" } else { "add `ipv6: true`" },
            );
        }
    }
}

/// Says that nothing of Netloom's is inside a virtual machine, where a test needs it there.
fn machines(
    check: &mut Check<'_>,
    test: &Test,
    flow: &Spanned<Flow>,
    sources: &BTreeSet<NodeName>,
    targets: &BTreeSet<NodeName>,
) -> bool {
    let topology = check.topology;
    let is_machine =
        |name: &&NodeName| validated::node(topology, name).is_some_and(|(_, node)| node.is_machine());
    // Of a group the others are tried.
    let senders = sources.iter().find(is_machine).filter(|_| sources.iter().all(|name| is_machine(&name)));
    let receiver = targets.iter().find(is_machine).filter(|_| test.bandwidth.is_some());
    let Some(name) = senders.or(receiver) else { return false };
    let (what, help) = if senders.is_some() {
        ("begin", "turn the test round: a node of this system can reach the machine")
    } else {
        ("measure throughput", "measure between nodes of this system")
    };
    check.error(
        codes::TEST_PEER,
        check.word(flow.span, name.as_str()),
        format!("no test can {what} in virtual machine `{name}`"),
        "nothing of Netloom's runs inside",
        help,
    );
    true
}

fn services(check: &mut Check<'_>, test: &Test, verb: usize) {
    let bandwidth = VERBS.get(verb).is_some_and(|(word, _, _)| *word == "bandwidth");
    for service in test.over.iter() {
        if bandwidth && !matches!(service.protocol, Protocol::Tcp | Protocol::Udp) {
            check.error(
                codes::TEST_SERVICE,
                service.span,
                format!("throughput can't be measured over {}", service.value),
                "only tcp and udp carry a stream",
                "write tcp or udp",
            );
        } else if let Some((low, high)) = service.ports
            && low != high
        {
            check.error(
                codes::TEST_SERVICE,
                service.span,
                format!("a test tries one port, not {low} to {high}"),
                "several ports",
                format!(
                    "write one port, like {}",
                    service.value.to_string().replace(&format!("-{high}"), "")
                ),
            );
        } else if !bandwidth
            && service.ports.is_none()
            && matches!(service.protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp)
        {
            check.error(
                codes::TEST_SERVICE,
                service.span,
                format!("{} alone names no port", service.value),
                "which port?",
                format!("write one, like {}/80", service.value),
            );
        }
    }
    if bandwidth && let Some(second) = test.over.get(1) {
        check.error(
            codes::TEST_SERVICE,
            second.span,
            "throughput is measured over one protocol",
            "one too many",
            "write two tests",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_verb_needs_goes_with_it() {
        for (_, allowed, required) in VERBS {
            assert!(required.iter().all(|key| allowed.contains(key)));
        }
    }
}
