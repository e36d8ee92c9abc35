//! Running tests with probes.

use super::{Addresses, TestResult};
use crate::probe::{Outcome, Place, icmp, stream, throughput, trace};
use netloom_compile::object::Space;
use netloom_compile::{Check, ResolvedTest, Target, Waypoint};
use netloom_model::scalar::{PeerName, Protocol, Service};
use netloom_model::topology::Topology;
use netloom_wire::NodeName;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many tests run at once; most of their time they wait.
const AT_ONCE: usize = 8;

/// One lock for each port of each node: two probes can't both bring a listener for it.
type PortLocks = Mutex<BTreeMap<(NodeName, u16), Arc<Mutex<()>>>>;

/// What all probes of one run share.
struct Run<'a> {
    topology: &'a Topology,
    addresses: &'a Addresses,
    place_of: &'a (dyn Fn(&Space) -> Place + Sync),
}

/// Says why nobody answers in a virtual machine, if so.
pub type Absence<'a> = &'a (dyn Fn(&NodeName) -> Option<String> + Sync);

/// Runs all tests; results come in the order of the tests.
pub fn run(
    tests: &[ResolvedTest],
    topology: &Topology,
    addresses: &Addresses,
    place_of: &(dyn Fn(&Space) -> Place + Sync),
    absence: Absence<'_>,
) -> Vec<TestResult> {
    let run = Run { topology, addresses, place_of };
    let results: Mutex<BTreeMap<usize, TestResult>> = Mutex::new(BTreeMap::new());
    let locks: PortLocks = Mutex::new(BTreeMap::new());
    let execute = |index: usize| {
        let test = &tests[index];
        let lock = run.port_lock(test, &locks);
        let _held = lock.as_ref().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        let began = Instant::now();
        let absent = Some(target(test)).filter(|to| to.machine).and_then(|to| absence(to.node.as_ref()?));
        let skipped = absent.is_some();
        let (passed, evidence) = match absent.map_or_else(|| run.judge(test), |why| Ok((true, why))) {
            Ok(verdict) => verdict,
            Err(error) => (false, format!("could not be run: {error}")),
        };
        let result = TestResult { test: test.clone(), passed, skipped, evidence, took: began.elapsed() };
        results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
    };
    let is_alone =
        |index: &usize| matches!(tests[*index].check, Check::Bandwidth { .. } | Check::Loss { .. });
    let queue: Mutex<Vec<usize>> =
        Mutex::new((0..tests.len()).rev().filter(|index| !is_alone(index)).collect());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(tests.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(index) = next else { return };
                    execute(index);
                }
            });
        }
    });
    (0..tests.len()).filter(is_alone).for_each(execute);
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Whom a test talks to.
const fn target(test: &ResolvedTest) -> &Target {
    match &test.check {
        Check::Reach { to, .. }
        | Check::Bandwidth { to, .. }
        | Check::Loss { to, .. }
        | Check::Path { to, .. } => to,
    }
}

impl Run<'_> {
    fn port_lock(&self, test: &ResolvedTest, locks: &PortLocks) -> Option<Arc<Mutex<()>>> {
        let Check::Reach { to, service, .. } = &test.check else { return None };
        let node = to.node.clone()?;
        let (_, listen) = self.ports(to, *service)?;
        Some(locks.lock().unwrap_or_else(PoisonError::into_inner).entry((node, listen)).or_default().clone())
    }

    fn judge(&self, test: &ResolvedTest) -> io::Result<(bool, String)> {
        match &test.check {
            Check::Reach { from, to, service, reachable } => {
                let outcome = self.reach(from, to, *service, test.within)?;
                Ok((outcome.reached == *reachable, outcome.evidence))
            }
            Check::Bandwidth { from, to, service, rate, tolerance, duration } => {
                let Some(node) = &to.node else {
                    return Ok((false, "bandwidth needs a node as target".to_owned()));
                };
                let at = (self.place_of)(&Space::Node(node.clone()));
                let port = service.ports.map_or(0, |(port, _)| port);
                let place = (self.place_of)(from);
                let (wanted, allowed) = (*rate as f64, f64::from(*tolerance) / 1e6);
                let mut evidence = String::new();
                for again in ["", ", second try", ", third try"] {
                    let measured = match service.protocol {
                        Protocol::Udp => throughput::udp(&place, &at, to.address, port, *rate, *duration)?,
                        _ => throughput::tcp(&place, &at, to.address, port, *duration)?,
                    };
                    let off = (measured.on_wire - wanted) / wanted;
                    evidence =
                        format!("{} on the wire ({:+.1}%{again})", rate_text(measured.on_wire), off * 100.0);
                    // A busy machine makes a network look slower, never faster: only that is worth another try.
                    if off >= -allowed {
                        return Ok((off <= allowed, evidence));
                    }
                }
                Ok((false, evidence))
            }
            Check::Loss { from, to, at_most, count } => {
                let place = (self.place_of)(from);
                // A network that is still coming up (spanning tree, first ARP) loses packets for another reason.
                let ready = icmp::probe(&place, to.address, test.within)?;
                if !ready.reached {
                    return Ok((false, ready.evidence));
                }
                let answered = throughput::loss(&place, to.address, *count, Duration::from_millis(500))?;
                let lost = count.saturating_sub(answered);
                let share = f64::from(lost) / f64::from((*count).max(1));
                let evidence = format!("{lost} of {count} lost ({:.2}%)", share * 100.0);
                Ok((share <= f64::from(*at_most) / 1e6, evidence))
            }
            Check::Path { from, to, through } => self.path(from, to, through, test.within),
        }
    }

    /// The port that is talked to, and the port that listens: behind a mapping they may differ.
    fn ports(&self, to: &Target, service: Service) -> Option<(u16, u16)> {
        let port = match service.protocol {
            Protocol::Icmp => return None,
            _ => service.ports.map_or(80, |(port, _)| port),
        };
        let own = to.node.as_ref().and_then(|node| self.addresses.get(node));
        let is_own = own.is_some_and(|own| own.iter().any(|(_, net)| net.addr() == to.address));
        let mapped = self.topology.forwards.iter().find_map(|forward| {
            let same_port =
                forward.service.as_ref().is_some_and(|service| service.ports == Some((port, port)));
            let same_node = match (&forward.to.value, &to.node) {
                (PeerName::Name(name), Some(node)) => name == node,
                (PeerName::Prefix(prefix), _) => {
                    own.is_some_and(|own| own.iter().any(|(_, net)| prefix.net().contains(&net.addr())))
                }
                _ => false,
            };
            (!is_own && same_port && same_node).then_some(forward.port).flatten()
        });
        Some((port, mapped.unwrap_or(port)))
    }

    fn reach(&self, from: &Space, to: &Target, service: Service, within: Duration) -> io::Result<Outcome> {
        let place = (self.place_of)(from);
        let kind = match service.protocol {
            Protocol::Icmp => return icmp::probe(&place, to.address, within),
            Protocol::Udp => stream::Kind::Udp,
            Protocol::Http => stream::Kind::Http,
            Protocol::Tcp | Protocol::Sctp => stream::Kind::Tcp,
        };
        let (port, listen) = self.ports(to, service).unwrap_or((80, 80));
        // Nothing can be brought into a virtual machine.
        let ours = to.node.as_ref().filter(|_| !to.machine);
        let at = ours.map(|node| (self.place_of)(&Space::Node(node.clone())));
        stream::probe(&place, at.as_ref().map(|at| (at, listen)), kind, to.address, port, within)
    }

    fn path(
        &self,
        from: &Space,
        to: &Target,
        through: &[Waypoint],
        within: Duration,
    ) -> io::Result<(bool, String)> {
        let place = (self.place_of)(from);
        let began = Instant::now();
        loop {
            let hops = trace::route(&place, to.address, Duration::from_millis(400))?;
            let arrived = hops.last().is_some_and(|hop| hop.address == Some(to.address));
            let mut rest = hops.iter().filter_map(|hop| hop.address);
            let holds = arrived
                && through.iter().all(|waypoint| rest.any(|address| waypoint.addresses.contains(&address)));
            if holds || began.elapsed() > within {
                let mut names = vec![from.to_string()];
                names.extend(hops.iter().map(|hop| match hop.address {
                    Some(address) => {
                        self.owner(address).map_or_else(|| address.to_string(), |node| node.to_string())
                    }
                    None => "*".to_owned(),
                }));
                let end = if arrived { "" } else { " > (no answer)" };
                return Ok((holds, format!("{}{end}", names.join(" > "))));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        let has = |own: &[(netloom_wire::InterfaceName, ipnet::IpNet)]| {
            own.iter().any(|(_, net)| net.addr() == address)
        };
        self.addresses.iter().find(|(_, own)| has(own)).map(|(node, _)| node)
    }
}

/// A measured rate, rounded for people.
fn rate_text(bits: f64) -> String {
    match bits {
        b if b >= 1e9 => format!("{:.2} Gbit/s", b / 1e9),
        b if b >= 1e6 => format!("{:.2} Mbit/s", b / 1e6),
        b => format!("{:.1} kbit/s", b / 1e3),
    }
}
