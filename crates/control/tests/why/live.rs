//! Random networks and random damage: what `why` says, and what a probe finds.

use crate::damage::{Chance, KINDS, damage};
use netloom_compile::object::firewall::Protocol;
use netloom_compile::object::{Desired, Key, Space};
use netloom_compile::{Compiled, Context};
use netloom_control::apply::{self, Progress, Request};
use netloom_control::keep::Keep;
use netloom_control::probe::{Place, icmp, stream};
use netloom_control::store::{Store, Wait};
use netloom_control::switch::SwitchSocket;
use netloom_control::why::{Packet, Question, Report, Verdict, Wishes, explain, look};
use netloom_kernel::{Kernel, KernelConfig, capability, tc};
use netloom_testkit::rig::{self, Rig};
use netloom_testkit::topologies::{Palette, Recipe, recipe};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(900);

fn context() -> Context {
    let queueing = capability::capabilities().map(tc::support).unwrap_or_default();
    Context { queueing, ..Context::default() }
}

/// The recipe without the pieces that this kernel lacks something for.
fn possible(mut recipe: Recipe) -> Option<Compiled> {
    let capabilities = capability::capabilities().ok()?;
    for _ in 0..recipe.pieces.len() + 1 {
        if recipe.pieces.is_empty() {
            return None;
        }
        let compiled = crate::compiled("random.yaml", &recipe.text(), &context()).unwrap();
        let missing = capabilities.missing(&compiled.desired);
        if missing.is_empty() {
            return Some(compiled);
        }
        for one in &missing {
            let key = one.key.to_string();
            recipe.pieces.retain(|number, _| !key.contains(&format!("p{number}-")));
        }
    }
    None
}

/// What is asked, and how it was answered.
struct Case {
    question: Question,
    report: Report,
}

fn ask(
    kernel: &Kernel,
    socket: &SwitchSocket,
    desired: &Desired,
    chance: &mut Chance,
    count: usize,
) -> Vec<Case> {
    let mut ends: Vec<(Space, IpAddr)> = Vec::new();
    for key in desired.objects.keys() {
        if let Key::Address { space: space @ Space::Node(_), address, .. } = key {
            ends.push((space.clone(), address.addr()));
        }
    }
    let mut questions = Vec::new();
    // Neighbours are asked as often as strangers, who are mostly in another piece.
    for number in 0..count {
        let Some((from, own)) = chance.one(&ends).cloned() else { break };
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets()[..2].to_vec(),
            IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
        };
        let near: Vec<&(Space, IpAddr)> =
            ends.iter().filter(|(space, to)| *space != from && octets(*to) == octets(own)).collect();
        let to = if number % 4 != 0 { chance.one(&near).copied() } else { None };
        let Some((_, to)) = to.or_else(|| ends.get(chance.below(ends.len()))).cloned() else { break };
        let protocol = [Protocol::ICMP, Protocol::TCP, Protocol::UDP, Protocol::ICMP][chance.below(4)];
        let protocol = if to.is_ipv6() && protocol == Protocol::ICMP { Protocol::ICMPV6 } else { protocol };
        let unspecified = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        let mut packet = Packet::opening(protocol, unspecified.parse().unwrap(), to);
        packet.destination_port = match protocol {
            Protocol::TCP => Some(80),
            Protocol::UDP => Some(53),
            _ => None,
        };
        let (from_name, to_name) = (from.to_string(), to.to_string());
        questions.push(Question { from, from_name, to_name, packet, back: true, listens: false });
    }
    let scene = look(kernel, socket).unwrap();
    kernel.release();
    let explained = |question: Question| {
        let report = explain(&scene, Wishes(Some(desired)), &question);
        Case { question, report }
    };
    questions.into_iter().map(explained).collect()
}

/// Whether it arrived and how one knows, or why no probe could be made.
type Truth = Result<(bool, String), String>;

/// What really happens.
fn probe(rig: &Rig, desired: &Desired, case: &Case) -> Truth {
    let place = |space: &Space| match space {
        Space::Node(node) => Place::at(rig.netns_dir.join(format!("{}.{node}", desired.topology))),
        Space::Host => Place::here(),
    };
    let to = case.question.packet.destination;
    let owner = desired.objects.keys().find_map(|key| match key {
        Key::Address { space, address, .. } if address.addr() == to => Some(space.clone()),
        _ => None,
    });
    let at = owner.as_ref().map(&place);
    let from = place(&case.question.from);
    let outcome = match case.question.packet.destination_port {
        None => icmp::probe(&from, to, PATIENCE),
        Some(port) => {
            let kind = if port == 80 { stream::Kind::Tcp } else { stream::Kind::Udp };
            stream::probe(&from, at.as_ref().map(|at| (at, port)), kind, to, port, PATIENCE)
        }
    };
    outcome.map(|outcome| (outcome.reached, outcome.evidence)).map_err(|error| error.to_string())
}

#[derive(Default)]
struct Count {
    agreed: usize,
    lost: usize,
    unsure: usize,
    proposed: usize,
    /// Right when asked again: a tree or a neighbour had changed between the look and the probe.
    moved: usize,
    reasons: BTreeMap<String, usize>,
    damages: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Asks and probes, and asks those again about which it was wrong; `after` is what was damaged.
fn compare(
    rig: &Rig,
    kernel: &Kernel,
    desired: &Desired,
    cases: Vec<Case>,
    after: &[String],
    count: &mut Count,
) {
    let mut wrong = judge(rig, desired, cases, after, count);
    for _ in 0..2 {
        if wrong.is_empty() {
            return;
        }
        let scene = look(kernel, &SwitchSocket::within(&rig.state_dir.join("no-switch"))).unwrap();
        kernel.release();
        let again = wrong.into_iter().map(|(case, _): (Case, String)| {
            let report = explain(&scene, Wishes(Some(desired)), &case.question);
            Case { report, ..case }
        });
        let again: Vec<Case> = again.collect();
        let asked = again.len();
        wrong = judge(rig, desired, again, after, count);
        count.moved += asked - wrong.len();
    }
    count.wrong.extend(wrong.into_iter().map(|(_, text)| text));
}

/// Asks and probes; those about which it was wrong.
fn judge(
    rig: &Rig,
    desired: &Desired,
    cases: Vec<Case>,
    after: &[String],
    count: &mut Count,
) -> Vec<(Case, String)> {
    let mut wrong = Vec::new();
    let found: Mutex<Vec<(Case, Truth)>> = Mutex::default();
    let locks: [Mutex<()>; 2] = Default::default();
    std::thread::scope(|scope| {
        for case in cases {
            let (found, locks) = (&found, &locks);
            scope.spawn(move || {
                // Two probes can't bring a listener for the same port.
                let lock = match case.question.packet.destination_port {
                    Some(80) => Some(&locks[0]),
                    Some(_) => Some(&locks[1]),
                    None => None,
                };
                let _held = lock.map(|lock| lock.lock().unwrap());
                let truth = probe(rig, desired, &case);
                found.lock().unwrap().push((case, truth));
            });
        }
    });
    for (case, truth) in found.into_inner().unwrap() {
        let (reached, evidence) = match truth {
            Ok(truth) => truth,
            Err(error) => panic!("a probe could not be made: {error}"),
        };
        if case.report.verdict == Verdict::Unsure {
            count.unsure += 1;
            continue;
        }
        if case.report.passes() == reached {
            count.agreed += 1;
            if let Some(reason) = case.report.reason {
                count.lost += 1;
                count.proposed += usize::from(!case.report.changes.is_empty());
                *count.reasons.entry(format!("{reason:?}")).or_default() += 1;
            }
        } else {
            let text = case.report.text();
            wrong.push((case, format!("after {after:?} the probe said {reached} ({evidence}):\n{text}")));
        }
    }
    wrong
}

fn network(seed: u64, count: &mut Count) {
    let mut runner = {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_le_bytes());
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &octets))
    };
    let recipe = recipe(Palette::common(), 4).new_tree(&mut runner).unwrap().current();
    let Some(compiled) = possible(recipe) else { return };
    let desired = compiled.desired;
    let counted = Mutex::new(count);
    rig::isolated(|rig| {
        let mut guard = counted.lock().unwrap();
        let count = &mut **guard;
        let config = KernelConfig {
            netns_dir: rig.netns_dir.clone(),
            log_dir: rig.log_dir.clone(),
            topology: desired.topology.clone(),
        };
        let kernel = Kernel::new(config).unwrap();
        let state = rig.state_dir.join("state");
        let store = || Store::open(&state, kernel.topology(), Wait::No).unwrap();
        let request = Request {
            desired: desired.clone(),
            file: "random.yaml".into(),
            text: String::new(),
            variables: BTreeMap::new(),
            note: "apply".into(),
            now: 1,
            confirm_within: None,
        };
        apply::apply(&kernel, &store(), &request, &Keep::default(), &|_: Progress<'_>| {}).unwrap();
        kernel.release();
        let socket = SwitchSocket::within(&rig.state_dir.join("no-switch"));
        let mut chance = Chance(seed);
        let cases = ask(&kernel, &socket, &desired, &mut chance, 10);
        compare(rig, &kernel, &desired, cases, &[], count);
        let mut done = Vec::new();
        for _ in 0..3 {
            let kind = KINDS[chance.below(KINDS.len())];
            let Some(what) = damage(rig, &desired, kind, &mut chance) else { continue };
            *count.damages.entry(kind.to_owned()).or_default() += 1;
            done.push(what);
            let cases = ask(&kernel, &socket, &desired, &mut chance, 10);
            compare(rig, &kernel, &desired, cases, &done, count);
        }
        apply::destroy(&kernel, store(), &|_: Progress<'_>| {}).unwrap();
        kernel.release();
    });
}

#[test]
fn why_and_probes_agree_on_random_networks_with_random_damage() {
    let multiple: u64 = std::env::var("NETLOOM_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let first: u64 = std::env::var("NETLOOM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut count = Count::default();
    for seed in first..first + 8 * multiple {
        network(seed, &mut count);
    }
    println!(
        "why and probes: {} agreed ({} of them lost packets, {} with a way out; {} when asked again), {} unsure, {} disagreed",
        count.agreed,
        count.lost,
        count.proposed,
        count.moved,
        count.unsure,
        count.wrong.len()
    );
    println!("reasons: {:?}\ndamages: {:?}", count.reasons, count.damages);
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
    // As an ordinary user without namespaces the rig has skipped all of it.
    assert!(count.agreed == 0 || count.agreed > 60 && count.lost > 10, "too few cases to mean anything");
}
