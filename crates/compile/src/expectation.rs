//! The file's tests made concrete: one for each pair of nodes, with the address to talk to.
//!
//! Groups, networks and lists are taken apart, so that a runner needs no knowledge of the description.

use crate::compiled::ProblemKind;
use crate::inventory::Inventory;
use crate::object::{Origin, Space};
use crate::peers::nodes;
use crate::report::{Report, first_span};
use crate::routing::source_towards;
use netloom_model::document::Spanned;
use netloom_model::scalar::{Flow, PeerName, Protocol, Service};
use netloom_model::source::Span;
use netloom_model::topology::Test;
use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// How long a test tries, unless it says otherwise.
const WITHIN: Duration = Duration::from_secs(10);
/// The same where nothing shall be reached: such a test always takes all of its time.
const WITHIN_BLOCKED: Duration = Duration::from_millis(1200);
/// How long throughput is measured, unless the test says otherwise.
const DURATION: Duration = Duration::from_secs(2);
/// Tolerance of throughput in parts per million, unless the test says otherwise.
const TOLERANCE: u32 = 100_000;
/// Packets of a loss test, unless it says otherwise.
const COUNT: u32 = 100;
/// Most pairs of one test: `any -> any` over a thousand nodes would take days.
const MOST_PAIRS: usize = 10_000;

/// One thing that must be true of the running network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedTest {
    /// What it shows, for people; unique enough to find the line.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// How long to try before it counts as failed.
    pub within: Duration,
    /// What to look at.
    pub check: Check,
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "kebab-case")]
pub enum Check {
    /// Whether a service can be reached. The runner starts a listener at the target if nobody listens.
    Reach {
        /// Where the packets begin.
        from: Space,
        /// Where they go.
        to: Target,
        /// By which service.
        service: Service,
        /// Whether it must be reached, or must not.
        reachable: bool,
    },
    /// Throughput.
    Bandwidth {
        /// The sender.
        from: Space,
        /// The receiver.
        to: Target,
        /// By TCP or UDP, and which ports if the test names any.
        service: Service,
        /// What is expected, in bits a second.
        rate: u64,
        /// How far it may be off, in parts per million of the rate.
        tolerance: u32,
        /// How long to measure.
        duration: Duration,
    },
    /// Lost packets.
    Loss {
        /// The sender.
        from: Space,
        /// Who answers.
        to: Target,
        /// The most that may be lost, in parts per million.
        at_most: u32,
        /// How many packets are sent.
        count: u32,
    },
    /// The nodes on the way, in order; others may be between them.
    Path {
        /// Where the packets begin.
        from: Space,
        /// Where they go.
        to: Target,
        /// What must be passed, in this order.
        through: Vec<Waypoint>,
    },
}

/// Who is talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The node that is meant; absent for an address of nobody in the file.
    pub node: Option<NodeName>,
    /// The address to talk to; it may be another one than the node's own, where a router maps it.
    pub address: IpAddr,
    /// The node is a virtual machine: it answers for itself, if it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
}

/// A node on a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waypoint {
    /// The node, or the network whose gateway it is.
    pub node: NodeName,
    /// Any of its addresses may answer for it.
    pub addresses: Vec<IpAddr>,
}

/// Takes the tests of the file apart.
pub(crate) fn resolve(inventory: &Inventory<'_>, report: &mut Report<'_>) -> Vec<ResolvedTest> {
    let mut resolved = Vec::new();
    for item in &inventory.topology.tests {
        let test: &Test = item;
        let flows = [&test.reach, &test.blocked, &test.bandwidth, &test.loss, &test.path];
        for flow in flows.into_iter().flatten() {
            let span = first_span(&[flow.span, item.span]);
            let scene = Scene { inventory, test, flow, span };
            for (from, to) in scene.pairs(report) {
                for (words, check) in scene.checks(&from, &to, report) {
                    let name = match &test.name {
                        Some(name) => format!("{name}: {words}"),
                        None => words,
                    };
                    let default = if test.blocked.is_some() { WITHIN_BLOCKED } else { WITHIN };
                    let within = test.within.as_ref().map_or(default, |within| within.duration());
                    resolved.push(ResolvedTest { name, origin: report.origin(span), within, check });
                }
            }
        }
    }
    resolved
}

struct Scene<'b, 'a> {
    inventory: &'b Inventory<'a>,
    test: &'b Test,
    flow: &'b Spanned<Flow>,
    span: Span,
}

impl Scene<'_, '_> {
    fn pairs(&self, report: &mut Report<'_>) -> Vec<(NodeName, Target)> {
        let mut pairs: Vec<(NodeName, Target)> = Vec::new();
        let mut seen = HashSet::new();
        // Nothing of ours is in a virtual machine that could send.
        let is_ours = |name: &NodeName| self.inventory.nodes.get(name).is_none_or(|facts| !facts.machine);
        let senders: BTreeSet<NodeName> =
            self.flow.from.iter().flat_map(|peer| nodes(self.inventory, peer)).filter(is_ours).collect();
        'all: for from in senders {
            for peer in &self.flow.to {
                for to in self.targets(&from, peer, report) {
                    if !seen.insert((from.clone(), to.node.clone(), to.address)) {
                        continue;
                    }
                    if pairs.len() == MOST_PAIRS {
                        let text = format!(
                            "this test speaks of more than {MOST_PAIRS} pairs; only the first {MOST_PAIRS} are looked at"
                        );
                        report.warning(self.span, text);
                        break 'all;
                    }
                    pairs.push((from.clone(), to));
                }
            }
        }
        if pairs.is_empty() {
            let name = format!("pair of nodes for `{}`", self.flow.value);
            report.problem(self.span, ProblemKind::Unknown { what: "different", name });
        }
        pairs
    }

    fn targets(&self, from: &NodeName, peer: &PeerName, report: &mut Report<'_>) -> Vec<Target> {
        let found = nodes(self.inventory, peer);
        if let (PeerName::Prefix(prefix), true) = (peer, found.is_empty()) {
            // An address of nobody in the file, like one on the Internet.
            let address = self.test.address.as_ref().map_or(prefix.net().addr(), |address| address.value);
            return vec![Target { node: None, address, machine: false }];
        }
        let is_ours = |name: &NodeName| self.inventory.nodes.get(name).is_none_or(|facts| !facts.machine);
        let mut targets = Vec::new();
        for node in found.into_iter().filter(|node| node != from) {
            let within = match peer {
                PeerName::Prefix(prefix) => Some(prefix.net()),
                _ => None,
            };
            let given = self.test.address.as_ref().map(|address| address.value);
            match given.or_else(|| address(self.inventory, from, &node, !self.test.ipv6, within)) {
                Some(address) => {
                    let machine = !is_ours(&node);
                    targets.push(Target { node: Some(node), address, machine });
                }
                None => {
                    let family = if self.test.ipv6 { "IPv6 address" } else { "IPv4 address" };
                    let name = format!("of {node} to talk to");
                    report.problem(self.span, ProblemKind::Unknown { what: family, name });
                }
            }
        }
        targets
    }

    fn checks(&self, from: &NodeName, to: &Target, report: &mut Report<'_>) -> Vec<(String, Check)> {
        let space = Space::Node(from.clone());
        let target = match &to.node {
            Some(node) if self.test.address.is_some() => format!("{node} at {}", to.address),
            Some(node) => node.to_string(),
            None => to.address.to_string(),
        };
        let test = self.test;
        let services = |default: Protocol| {
            let mut services: Vec<Service> = test.over.iter().map(|service| service.value).collect();
            if services.is_empty() {
                services.push(Service { protocol: default, ports: None });
            }
            services
        };
        if test.reach.is_some() || test.blocked.is_some() {
            let reachable = test.reach.is_some();
            let verb = if reachable { "reaches" } else { "does not reach" };
            let check = |service: Service| {
                let words = format!("{from} {verb} {target} over {service}");
                (words, Check::Reach { from: space.clone(), to: to.clone(), service, reachable })
            };
            return services(Protocol::Icmp).into_iter().map(check).collect();
        }
        if test.bandwidth.is_some() {
            let Some(rate) = &test.rate else {
                let interface = "a bandwidth test".to_owned();
                report.problem(self.span, ProblemKind::Lacking { interface, kind: "it", field: "rate" });
                return Vec::new();
            };
            let tolerance = test.tolerance.as_ref().map_or(TOLERANCE, |share| share.parts_per_million());
            let duration = test.duration.as_ref().map_or(DURATION, |duration| duration.duration());
            let check = |service: Service| {
                let words = format!("{from} sends {} to {target} over {service}", rate.value);
                let rate = rate.bits_per_second();
                let to = to.clone();
                (words, Check::Bandwidth { from: space.clone(), to, service, rate, tolerance, duration })
            };
            return services(Protocol::Tcp).into_iter().map(check).collect();
        }
        if test.loss.is_some() {
            let at_most = test.at_most.as_ref().map_or(0, |share| share.parts_per_million());
            let share = netloom_model::scalar::Percent::from_parts_per_million(at_most);
            let words = format!("{from} loses at most {share} to {target}");
            let count = test.count.unwrap_or(COUNT);
            return vec![(words, Check::Loss { from: space, to: to.clone(), at_most, count })];
        }
        let names: Vec<String> = test.through.iter().map(|name| name.to_string()).collect();
        let words = format!("{from} reaches {target} through {}", names.join(", "));
        let waypoint = |name: &Spanned<NodeName>| {
            let addresses = self.inventory.devices_in(&Space::Node(name.value.clone()));
            let addresses = addresses.flat_map(|(_, device)| &device.addresses).map(ipnet::IpNet::addr);
            Waypoint { node: name.value.clone(), addresses: addresses.collect() }
        };
        let through: Vec<Waypoint> = test.through.iter().map(waypoint).collect();
        for point in through.iter().filter(|point| point.addresses.is_empty()) {
            let name = format!("of {} to see on the way", point.node);
            report.problem(self.span, ProblemKind::Unknown { what: "address", name });
        }
        vec![(words, Check::Path { from: space, to: to.clone(), through })]
    }
}

/// The address of `to` that `from` should talk to: one in a subnet they share, else one it has a way to,
/// else any.
fn address(
    inventory: &Inventory<'_>,
    from: &NodeName,
    to: &NodeName,
    v4: bool,
    within: Option<ipnet::IpNet>,
) -> Option<IpAddr> {
    let candidates: Vec<IpAddr> = inventory
        .addresses_of(to)
        .map(|(_, address)| address.addr())
        .filter(|address| within.map_or(address.is_ipv4() == v4, |net| net.contains(address)))
        .collect();
    let beside = |candidate: &&IpAddr| {
        inventory.addresses_of(from).any(|(_, own)| own.contains(*candidate) && own.addr() != **candidate)
    };
    let reached = |candidate: &&IpAddr| source_towards(inventory, from, **candidate, &|_| true).is_some();
    candidates
        .iter()
        .find(beside)
        .or_else(|| candidates.iter().find(reached))
        .or_else(|| candidates.first())
        .copied()
}
