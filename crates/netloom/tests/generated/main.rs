//! The promises of the program on the real kernel, over generated networks.
//!
//! - Applying twice changes nothing: not what `ip`, `tc`, `bridge` and `nft` show, and no interface number.
//! - Applying after any edit shows the same as applying the last description to an untouched host.
//! - Killed (SIGKILL) after any step of an apply, a change or a destroy, or at any moment of it, the next `apply`
//!   or `destroy` ends in the state that it names, and nothing is left over.
//!
//! What this kernel lacks is left out of the networks. `NETLOOM_SEED` chooses other networks, `NETLOOM_CASES`
//! multiplies their number (both default to 1), `NETLOOM_SHRINK` is for how many seconds a failure is made
//! smaller (60). Every test prints what it counted.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;
mod kills;
mod picture;
mod world;

use netloom_compile::object::Desired;
use netloom_control::apply::Applied;
use netloom_control::keep::Keep;
use netloom_kernel::capability;
use netloom_testkit::rig::{self, Rig};
use netloom_testkit::topologies::{Palette, Recipe, edits, features};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use world::{Checked, World, compile, fresh, macs, nodes, possible, settled, told};

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What the last line of a test tells.
#[derive(Debug, Default)]
pub struct Counts {
    networks: usize,
    nodes: usize,
    largest: usize,
    objects: usize,
    changes: usize,
    kills: BTreeMap<&'static str, usize>,
    recoveries: BTreeMap<&'static str, usize>,
    kinds: BTreeSet<String>,
}

impl Counts {
    pub fn network(&mut self, recipe: &Recipe, desired: &Desired) {
        self.networks += 1;
        self.nodes += nodes(desired);
        self.largest = self.largest.max(nodes(desired));
        self.objects += desired.objects.len();
        self.kinds.extend(features(&recipe.topology()));
    }

    pub fn applied(&mut self, applied: &Applied) {
        self.changes += applied.plan.changes().count();
    }

    fn print(&self, name: &str) {
        let changes =
            if self.changes == 0 { String::new() } else { format!(", {} changes made", self.changes) };
        println!(
            "generated, {name}: {} networks with {} nodes (the largest {}), {} objects{changes}",
            self.networks, self.nodes, self.largest, self.objects
        );
        if !self.kills.is_empty() {
            let all = |counts: &BTreeMap<&str, usize>| {
                let text: Vec<String> =
                    counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
                format!("{} ({})", counts.values().sum::<usize>(), text.join(", "))
            };
            println!("generated, {name}: {} kills, {} recoveries", all(&self.kills), all(&self.recoveries));
        }
        println!(
            "generated, {name}: {}",
            self.kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
    }
}

/// What the host has before: nothing of it may change.
pub fn prepare(rig: &Rig) {
    for (program, arguments) in [
        ("ip", &["link", "set", "lo", "up"][..]),
        ("ip", &["link", "add", "docker0", "type", "bridge"]),
        ("nft", &["add table inet foreign"]),
        ("nft", &["add chain inet foreign input { type filter hook input priority 0; }"]),
    ] {
        let output = rig.run(program, arguments).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Whether the tools that look are there; reports the skip if not.
fn can_look(rig: &Rig) -> bool {
    let tools = [("ip", "-V"), ("bridge", "-V"), ("tc", "-V"), ("nft", "-v")];
    let missing = tools.iter().find(|(program, version)| rig.run(program, &[version]).is_none());
    if let Some((program, _)) = missing {
        netloom_testkit::skip!("{program} is not installed");
    }
    missing.is_none()
}

fn palette() -> Palette {
    let media = capability::capabilities().is_ok_and(|all| all.has("queueing disciplines", "netem"));
    Palette { media, ..Palette::every() }
}

/// Runs `check` on `cases` networks and what edits make of them, in a rig of its own each.
///
/// `stream` keeps the tests' networks apart. A failure is made smaller before it is told.
pub fn run(
    stream: u8,
    cases: u32,
    versions: impl Strategy<Value = Vec<Recipe>>,
    check: impl Fn(&World<'_>, &[Recipe]) -> Checked + Sync,
) {
    let mut seed = [stream; 32];
    seed[..4].copy_from_slice(&number("NETLOOM_SEED", 1).to_le_bytes());
    let config = Config {
        cases: cases * number("NETLOOM_CASES", 1),
        max_shrink_iters: 40,
        max_shrink_time: 1000 * number("NETLOOM_SHRINK", 60),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let result = runner.run(&versions, |versions| {
        let mut result = Err("no namespaces of its own".to_owned());
        rig::isolated(|rig| {
            let world = World::new(rig);
            prepare(rig);
            // What is left of an edit that this kernel can't do is no edit.
            let mut possible: Vec<Recipe> = versions.iter().filter_map(possible).collect();
            possible.dedup();
            result = if possible.is_empty() { Ok(()) } else { check(&world, &possible) };
            if let Err(error) = &mut result {
                for (number, recipe) in possible.iter().enumerate() {
                    error.push_str(&format!("\n--- version {number}\n{}", recipe.text()));
                }
            }
        });
        result.map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        // Without the recipe: the files are in the reason.
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(TestError::Abort(reason)) => panic!("no networks: {reason}"),
    }
}

/// Applies, applies again, edits, compares with a fresh apply, and takes down.
fn life(counts: &Mutex<Counts>, world: &World<'_>, versions: &[Recipe]) -> Checked {
    let host = settled(world.rig, &BTreeSet::new()).picture;
    let mut keep = Keep::default();
    for (number, recipe) in versions.iter().enumerate() {
        let desired = compile(&recipe.text(), &mut keep)?;
        counts.lock().unwrap().network(recipe, &desired);
        let first = world.apply(&desired, &keep).map_err(told(&format!("version {number}")))?;
        counts.lock().unwrap().applied(&first);
        let macs = macs(&desired);
        let before = settled(world.rig, &macs);
        let again = world.apply(&desired, &keep).map_err(told("applied again"))?;
        if !again.plan.is_empty() {
            return Err(format!("version {number} applied again changes:\n{}", again.plan));
        }
        let numbers = world.shows(&macs, &before.picture).map_err(told("after applying again"))?;
        if numbers != before.numbers {
            return Err("applying again made something anew".to_owned());
        }
        if number > 0 {
            let expected = fresh(&desired, &keep).map_err(told("a fresh apply"))?;
            let shown = world.shows(&macs, &expected).map(|_| ());
            shown.map_err(|text| {
                format!("version {number} by an edit is not what a fresh apply shows:\n{text}")
            })?;
        }
    }
    counts.lock().unwrap().applied(&world.destroy()?);
    world.nothing_left(&host)
}

#[test]
fn applied_twice_and_edited() {
    rig::isolated(|rig| {
        if !can_look(rig) {
            return;
        }
        let counts = Mutex::default();
        run(1, 10, edits(palette(), 4, 1), |world, versions| life(&counts, world, versions));
        counts.into_inner().unwrap().print("applied twice and edited");
    });
}

/// Networks that all have so much of what `count` counts.
fn sized(
    pieces: usize,
    changes: usize,
    range: std::ops::Range<usize>,
    count: fn(&Desired) -> usize,
) -> impl Strategy<Value = Vec<Recipe>> {
    edits(palette(), pieces, changes).prop_filter("of another size", move |versions| {
        versions.iter().all(|recipe| {
            let desired =
                possible(recipe).and_then(|recipe| compile(&recipe.text(), &mut Keep::default()).ok());
            desired.is_some_and(|desired| range.contains(&count(&desired)))
        })
    })
}

#[test]
fn hundreds_of_nodes_applied_twice_and_edited() {
    rig::isolated(|rig| {
        if !can_look(rig) {
            return;
        }
        let counts = Mutex::default();
        run(2, 1, sized(40, 1, 200..400, nodes), |world, versions| life(&counts, world, versions));
        counts.into_inner().unwrap().print("hundreds of nodes applied twice and edited");
    });
}

#[test]
fn killed_after_every_step() {
    rig::isolated(|rig| {
        if !can_look(rig) {
            return;
        }
        let counts = Mutex::default();
        let every = kills::Plan { steps: usize::MAX, moments: 8 };
        run(3, 2, sized(2, 1, 20..60, |desired| desired.objects.len()), |world, versions| {
            kills::check(&counts, world, versions, every)
        });
        counts.into_inner().unwrap().print("killed after every step");
    });
}

#[test]
fn hundreds_of_nodes_killed_after_some_steps() {
    rig::isolated(|rig| {
        if !can_look(rig) {
            return;
        }
        let counts = Mutex::default();
        let some = kills::Plan { steps: 4, moments: 1 };
        run(4, 1, sized(40, 1, 150..300, nodes), |world, versions| {
            kills::check(&counts, world, versions, some)
        });
        counts.into_inner().unwrap().print("hundreds of nodes killed after some steps");
    });
}
