//! Running checks with probes.

use super::resolve::Addresses;
use super::{Check, Expectation, Over};
use crate::probe::{Outcome, Place, human, icmp, stream, throughput, trace};
use netloom_model::topology::Topology;
use netloom_wire::NodeName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// The check.
    #[serde(flatten)]
    pub check: Check,
    /// Whether it held.
    pub passed: bool,
    /// How one knows.
    pub evidence: String,
    /// How long it took.
    pub took: Duration,
}

/// How many checks run at once; most of their time they wait.
const AT_ONCE: usize = 8;

/// One lock for each port of each node: two probes can't both bring a listener for it.
type PortLocks = Mutex<BTreeMap<(NodeName, u16), Arc<Mutex<()>>>>;

/// Runs all checks; results come in the order of the checks, `done` is called as each ends.
pub fn run(
    checks: &[Check],
    topology: &Topology,
    addresses: &Addresses,
    place_of: &(dyn Fn(&NodeName) -> Place + Sync),
    done: &(dyn Fn(&CheckResult) + Sync),
) -> Vec<CheckResult> {
    let alone = |check: &&Check| matches!(check.expectation, Expectation::Bandwidth { .. });
    let results: Mutex<BTreeMap<usize, CheckResult>> = Mutex::new(BTreeMap::new());
    let locks: PortLocks = Mutex::new(BTreeMap::new());
    let execute = |index: usize| {
        let check = &checks[index];
        let lock = port_lock(check, &locks);
        let _held = lock.as_ref().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        let began = Instant::now();
        let (passed, evidence) = match judge(check, topology, addresses, place_of) {
            Ok(verdict) => verdict,
            Err(error) => (false, format!("could not be run: {error}")),
        };
        let result = CheckResult { check: check.clone(), passed, evidence, took: began.elapsed() };
        done(&result);
        results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
    };
    let queue: Mutex<Vec<usize>> =
        Mutex::new((0..checks.len()).rev().filter(|index| !alone(&&checks[*index])).collect());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(checks.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(index) = next else { return };
                    execute(index);
                }
            });
        }
    });
    for (index, _) in checks.iter().enumerate().filter(|(_, check)| alone(check)) {
        execute(index);
    }
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn port_lock(check: &Check, locks: &PortLocks) -> Option<Arc<Mutex<()>>> {
    let port = match check.expectation {
        Expectation::Reach { over } | Expectation::Blocked { over } => match over {
            Over::Icmp => return None,
            Over::Tcp { listen, .. } | Over::Udp { listen, .. } | Over::Http { listen, .. } => listen,
        },
        _ => return None,
    };
    let node = check.to.node.clone()?;
    Some(locks.lock().unwrap_or_else(PoisonError::into_inner).entry((node, port)).or_default().clone())
}

fn judge(
    check: &Check,
    topology: &Topology,
    addresses: &Addresses,
    place_of: &(dyn Fn(&NodeName) -> Place + Sync),
) -> io::Result<(bool, String)> {
    let from = place_of(&check.from);
    let Some(target) = check.to.address else {
        return Ok((false, "the target has no address to talk to".to_owned()));
    };
    match &check.expectation {
        Expectation::Reach { over } => {
            let outcome = reach(check, *over, &from, target, place_of)?;
            Ok((outcome.reached, outcome.evidence))
        }
        Expectation::Blocked { over } => {
            let outcome = reach(check, *over, &from, target, place_of)?;
            Ok((!outcome.reached, outcome.evidence))
        }
        Expectation::Bandwidth { rate, tolerance, duration, port } => {
            let Some(node) = &check.to.node else {
                return Ok((false, "bandwidth needs a node as target".to_owned()));
            };
            let measured = throughput::tcp(&from, &place_of(node), target, *port, *duration)?;
            let wanted = *rate as f64;
            let off = (measured.on_wire - wanted) / wanted;
            let evidence = format!("{} on the wire ({:+.1}%)", netloom_rate(measured.on_wire), off * 100.0);
            Ok((off.abs() <= *tolerance, evidence))
        }
        Expectation::Loss { at_most, count } => {
            let answered = throughput::loss(&from, target, *count, Duration::from_millis(500))?;
            let lost = count.saturating_sub(answered);
            let share = f64::from(lost) / f64::from((*count).max(1));
            Ok((share <= *at_most, format!("{lost} of {count} lost ({:.2}%)", share * 100.0)))
        }
        Expectation::Path { through } => path(check, topology, addresses, &from, target, through),
    }
}

fn reach(
    check: &Check,
    over: Over,
    from: &Place,
    target: IpAddr,
    place_of: &(dyn Fn(&NodeName) -> Place + Sync),
) -> io::Result<Outcome> {
    let (kind, port, listen) = match over {
        Over::Icmp => return icmp::probe(from, target, check.within),
        Over::Tcp { port, listen } => (stream::Kind::Tcp, port, listen),
        Over::Udp { port, listen } => (stream::Kind::Udp, port, listen),
        Over::Http { port, listen } => (stream::Kind::Http, port, listen),
    };
    let at = check.to.node.as_ref().map(place_of);
    stream::probe(from, at.as_ref().map(|at| (at, listen)), kind, target, port, check.within)
}

fn path(
    check: &Check,
    topology: &Topology,
    addresses: &Addresses,
    from: &Place,
    target: IpAddr,
    through: &[NodeName],
) -> io::Result<(bool, String)> {
    let began = Instant::now();
    loop {
        let hops = trace::route(from, target, Duration::from_millis(400))?;
        let arrived = hops.last().is_some_and(|hop| hop.address == Some(target));
        let mut names: Vec<String> = vec![check.from.to_string()];
        let mut last = Some(check.from.clone());
        for hop in &hops {
            let node = hop.address.and_then(|address| owner(addresses, address));
            if let (Some(a), Some(b)) = (&last, &node) {
                names.extend(common_network(topology, a, b).map(|network| network.to_string()));
            }
            names.push(match (&node, hop.address) {
                (Some(node), _) => node.to_string(),
                (None, Some(address)) => address.to_string(),
                (None, None) => "*".to_owned(),
            });
            last = node;
        }
        names.dedup();
        let mut rest = names.iter();
        let holds = arrived && through.iter().all(|wanted| rest.any(|name| name == wanted.as_str()));
        if holds || began.elapsed() > check.within {
            let text =
                if arrived { names.join(" > ") } else { format!("{} > (no answer)", names.join(" > ")) };
            return Ok((holds, format!("{text} in {}", human(began.elapsed()))));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn owner(addresses: &Addresses, address: IpAddr) -> Option<NodeName> {
    addresses
        .iter()
        .find(|(_, own)| own.iter().any(|(_, net)| net.addr() == address))
        .map(|(node, _)| node.clone())
}

/// The network that two nodes are both attached to.
fn common_network(topology: &Topology, a: &NodeName, b: &NodeName) -> Option<NodeName> {
    let networks = |name: &NodeName| {
        let node = topology.endpoints.iter().chain(&topology.routers).find(|(key, _)| key.value == *name);
        node.into_iter()
            .flat_map(|(_, node)| node.interfaces.values())
            .filter_map(|interface| interface.network.as_ref().map(|network| network.value.clone()))
            .collect::<Vec<_>>()
    };
    let theirs = networks(b);
    networks(a).into_iter().find(|network| theirs.contains(network))
}

/// A measured rate, rounded for people.
fn netloom_rate(bits: f64) -> String {
    match bits {
        b if b >= 1e9 => format!("{:.2} Gbit/s", b / 1e9),
        b if b >= 1e6 => format!("{:.2} Mbit/s", b / 1e6),
        b => format!("{:.1} kbit/s", b / 1e3),
    }
}
