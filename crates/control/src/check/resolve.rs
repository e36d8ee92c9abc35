//! From the file's tests to checks between two nodes.

use super::{Check, Expectation, Over, Target};
use ipnet::IpNet;
use netloom_compile::object::{Desired, Key, Space};
use netloom_model::scalar::{Flow, PeerName, Protocol, Service};
use netloom_model::topology::{Test, Topology};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Addresses of every node by interface, in the order of the interfaces' names.
pub type Addresses = BTreeMap<NodeName, Vec<(InterfaceName, IpNet)>>;

/// The addresses that a desired table gives to nodes.
#[must_use]
pub fn addresses(desired: &Desired) -> Addresses {
    let mut all = Addresses::new();
    for key in desired.objects.keys() {
        if let Key::Address { space: Space::Node(node), link, address } = key {
            all.entry(node.clone()).or_default().push((link.clone(), *address));
        }
    }
    all
}

/// The checks of all tests of a topology. `line_of` gives the line of a span.
#[must_use]
pub fn resolve(
    topology: &Topology,
    desired: &Desired,
    line_of: &dyn Fn(netloom_model::source::Span) -> u32,
) -> Vec<Check> {
    let addresses = addresses(desired);
    let mut checks = Vec::new();
    for test in &topology.tests {
        let line = line_of(test.span);
        let Some((verb, flow)) = verb(test) else { continue };
        for from in members(topology, &flow.from) {
            for (to, prefix) in targets(topology, &flow.to) {
                if to.as_ref() == Some(&from) {
                    continue;
                }
                let address = test.address.as_ref().map(|address| address.value).or(prefix).or_else(|| {
                    let mine = addresses.get(&from).map_or(&[][..], Vec::as_slice);
                    let theirs = to.as_ref().and_then(|to| addresses.get(to)).map_or(&[][..], Vec::as_slice);
                    choose(mine, theirs, test.ipv6)
                });
                let target = Target { node: to, address };
                for expectation in expectations(topology, test, verb, &target) {
                    checks.push(Check {
                        name: name(test, &from, &target, &expectation),
                        line,
                        from: from.clone(),
                        to: target.clone(),
                        within: within(test, verb),
                        expectation,
                    });
                }
            }
        }
    }
    checks
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Reach,
    Blocked,
    Bandwidth,
    Loss,
    Path,
}

fn verb(test: &Test) -> Option<(Verb, &Flow)> {
    [
        (Verb::Reach, &test.reach),
        (Verb::Blocked, &test.blocked),
        (Verb::Bandwidth, &test.bandwidth),
        (Verb::Loss, &test.loss),
        (Verb::Path, &test.path),
    ]
    .into_iter()
    .find_map(|(verb, flow)| flow.as_ref().map(|flow| (verb, &flow.value)))
}

fn within(test: &Test, verb: Verb) -> Duration {
    // Something that is blocked takes all of its time, so it gets less.
    let default = if verb == Verb::Blocked { Duration::from_millis(1200) } else { Duration::from_secs(5) };
    test.within.as_ref().map_or(default, |span| span.duration())
}

/// Nodes behind names; groups are opened, a network stands for the nodes attached to it.
fn members(topology: &Topology, peers: &[PeerName]) -> BTreeSet<NodeName> {
    targets(topology, peers).into_iter().filter_map(|(node, _)| node).collect()
}

fn targets(topology: &Topology, peers: &[PeerName]) -> Vec<(Option<NodeName>, Option<IpAddr>)> {
    let mut all = Vec::new();
    for peer in peers {
        match peer {
            PeerName::Name(name) => {
                let mut nodes = BTreeSet::new();
                open(topology, name, 0, &mut nodes);
                all.extend(nodes.into_iter().map(|node| (Some(node), None)));
            }
            PeerName::Prefix(prefix) => all.push((None, Some(prefix.net().addr()))),
            PeerName::Any => {}
        }
    }
    all
}

fn open(topology: &Topology, name: &NodeName, depth: usize, nodes: &mut BTreeSet<NodeName>) {
    if let Some(group) = topology.groups.iter().find(|(group, _)| group.value == *name)
        && depth < 16
    {
        for member in group.1 {
            open(topology, &member.value, depth + 1, nodes);
        }
    } else {
        nodes.insert(name.clone());
    }
}

/// The address of the other that is best to talk to: one in a common subnet, else the first.
#[must_use]
pub fn choose(
    mine: &[(InterfaceName, IpNet)],
    theirs: &[(InterfaceName, IpNet)],
    ipv6: bool,
) -> Option<IpAddr> {
    let candidates: Vec<&IpNet> =
        theirs.iter().map(|(_, net)| net).filter(|net| net.addr().is_ipv6() == ipv6).collect();
    candidates
        .iter()
        .find(|net| mine.iter().any(|(_, own)| own.trunc() == net.trunc()))
        .or_else(|| candidates.first())
        .map(|net| net.addr())
}

fn expectations(topology: &Topology, test: &Test, verb: Verb, target: &Target) -> Vec<Expectation> {
    let over = || -> Vec<Over> {
        if test.over.is_empty() {
            return vec![Over::Icmp];
        }
        test.over.iter().map(|service| over(topology, test, &service.value, target)).collect()
    };
    match verb {
        Verb::Reach => over().into_iter().map(|over| Expectation::Reach { over }).collect(),
        Verb::Blocked => over().into_iter().map(|over| Expectation::Blocked { over }).collect(),
        Verb::Bandwidth => vec![Expectation::Bandwidth {
            rate: test.rate.as_ref().map_or(0, |rate| rate.bits_per_second()),
            tolerance: test.tolerance.as_ref().map_or(0.1, |share| share.fraction()),
            duration: test.duration.as_ref().map_or(Duration::from_secs(2), |span| span.duration()),
            port: test.over.iter().find_map(|service| service.ports).map_or(0, |(port, _)| port),
        }],
        Verb::Loss => vec![Expectation::Loss {
            at_most: test.at_most.as_ref().map_or(0.0, |share| share.fraction()),
            count: test.count.unwrap_or(100),
        }],
        Verb::Path => {
            vec![Expectation::Path { through: test.through.iter().map(|name| name.value.clone()).collect() }]
        }
    }
}

fn over(topology: &Topology, test: &Test, service: &Service, target: &Target) -> Over {
    let port = service.ports.map_or(80, |(port, _)| port);
    // Behind a mapping the node listens on another port than the one that is talked to.
    let mapped = topology.forwards.iter().find_map(|forward| {
        let same_port = forward.service.as_ref().is_some_and(|service| service.ports == Some((port, port)));
        let same_node =
            matches!((&forward.to.value, &target.node), (PeerName::Name(to), Some(node)) if to == node);
        (test.address.is_some() && same_port && same_node).then_some(forward.port).flatten()
    });
    let listen = mapped.unwrap_or(port);
    match service.protocol {
        Protocol::Icmp => Over::Icmp,
        Protocol::Udp => Over::Udp { port, listen },
        Protocol::Http => Over::Http { port, listen },
        Protocol::Tcp | Protocol::Sctp => Over::Tcp { port, listen },
    }
}

fn name(test: &Test, from: &NodeName, target: &Target, expectation: &Expectation) -> String {
    let to = match (&target.node, &target.address, &test.address) {
        (Some(node), Some(_), Some(address)) => format!("{node} at {}", address.value),
        (Some(node), _, _) => node.to_string(),
        (None, Some(address), _) => address.to_string(),
        (None, None, _) => "?".to_owned(),
    };
    let what = match expectation {
        Expectation::Reach { over } => format!("{from} reaches {to} over {over}"),
        Expectation::Blocked { over } => format!("{from} does not reach {to} over {over}"),
        Expectation::Bandwidth { rate, .. } => {
            format!("{from} to {to} carries {}", netloom_model::scalar::Rate::from_bits_per_second(*rate))
        }
        Expectation::Loss { at_most, .. } => format!("{from} to {to} loses at most {:.2}%", at_most * 100.0),
        Expectation::Path { through } => {
            let names: Vec<&str> = through.iter().map(NodeName::as_str).collect();
            format!("{from} to {to} leads through {}", names.join(", "))
        }
    };
    match &test.name {
        Some(name) => format!("{name}: {what}"),
        None => what,
    }
}
