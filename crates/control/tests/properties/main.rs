//! The promises of the configuration path, over random networks and a simulated kernel.
//!
//! - Applying twice changes nothing.
//! - Applying after any edit ends where a fresh apply of the last description would.
//! - After a crash at any operation, the next `apply` or `destroy` ends exactly in the state it names, and
//!   after a `destroy` nothing is left over and everything of others is as it was.
//! - A step that fails leaves the state from before.
//!
//! `NETLOOM_CASES` multiplies the number of networks (default 1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod generate;
mod kernel;
mod link;

use generate::{Recipe, network};
use kernel::{Faults, Kernel, Quirks, Remains, State};
use netloom_compile::object::{Desired, Key, Spec};
use netloom_control::apply::{self, Applied, ApplyError, Progress, Request};
use netloom_control::heal;
use netloom_control::keep::Keep;
use netloom_control::store::{Store, Wait};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

type Checked = Result<(), TestCaseError>;

/// Files below a directory, but for the lock.
pub fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(at) = queue.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                queue.push(path);
            } else if path.file_name().is_some_and(|name| name != "lock") {
                let relative = path.strip_prefix(directory).unwrap().to_owned();
                found.push((relative, fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// A simulated kernel and a store in a directory of its own.
struct Rig {
    kernel: Kernel,
    directory: PathBuf,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

static RIGS: AtomicUsize = AtomicUsize::new(0);

impl Rig {
    fn new(state: State) -> Self {
        // In memory where there is such a directory: what is tested is the order of writes, not the disk.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let number = RIGS.fetch_add(1, Ordering::Relaxed);
        let directory = base.join(format!("netloom-properties-{}-{number}", std::process::id()));
        Self { kernel: Kernel::new(state), directory }
    }

    fn after(remains: &Remains) -> Self {
        let rig = Self::new(remains.state.clone());
        for (path, content) in &remains.files {
            let path = rig.directory.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        rig
    }

    fn store(&self) -> Store {
        Store::open(&self.directory, &self.kernel.topology, Wait::No).unwrap()
    }

    fn apply(&self, desired: &Desired) -> Result<Applied, ApplyError> {
        let request = Request {
            desired: desired.clone(),
            file: "lab.yaml".into(),
            text: format!("{} objects", desired.objects.len()),
            variables: BTreeMap::new(),
            note: "apply".into(),
            now: 1,
            confirm_within: None,
        };
        apply::apply(&self.kernel, &self.store(), &request, &Keep::default(), &|_: Progress<'_>| {})
    }

    fn destroy(&self) -> Result<Applied, ApplyError> {
        apply::destroy(&self.kernel, self.store(), &|_: Progress<'_>| {})
    }

    fn go(&self, aim: Aim<'_>) -> Result<Applied, ApplyError> {
        match aim {
            Aim::Network(desired) => self.apply(desired),
            Aim::Nothing => self.destroy(),
        }
    }

    fn faults(&self, faults: Faults) {
        *self.kernel.faults.lock().unwrap() = Faults { directory: self.directory.clone(), ..faults };
    }
}

/// What a command is to end in.
#[derive(Clone, Copy)]
enum Aim<'a> {
    Network(&'a Desired),
    Nothing,
}

impl Aim<'_> {
    fn desired(&self) -> Desired {
        match self {
            Self::Network(desired) => (*desired).clone(),
            Self::Nothing => Desired::new("lab".parse().unwrap()),
        }
    }
}

fn ok<T>(what: &str, result: Result<T, ApplyError>) -> Result<T, TestCaseError> {
    result.map_err(|error| TestCaseError::fail(format!("{what}: {error}")))
}

fn same(what: &str, found: &BTreeMap<Key, Spec>, expected: &BTreeMap<Key, Spec>) -> Checked {
    if found == expected {
        return Ok(());
    }
    let mut lines = Vec::new();
    for (key, spec) in expected {
        match found.get(key) {
            None => lines.push(format!("missing {} {key}: {spec:?}", key.kind())),
            Some(other) if other != spec => {
                lines.push(format!("{} {key}:\n  found    {other:?}\n  expected {spec:?}", key.kind()));
            }
            Some(_) => {}
        }
    }
    for (key, spec) in found.iter().filter(|(key, _)| !expected.contains_key(*key)) {
        lines.push(format!("left over {} {key}: {spec:?}", key.kind()));
    }
    Err(TestCaseError::fail(format!("{what}:\n{}", lines.join("\n"))))
}

/// The state that an aim names, reached from an untouched host.
fn fresh(quirks: Quirks, aim: Aim<'_>) -> Result<BTreeMap<Key, Spec>, TestCaseError> {
    let rig = Rig::new(State::host(quirks));
    if let Aim::Network(desired) = aim {
        ok("a fresh apply", rig.apply(desired))?;
    }
    Ok(rig.kernel.table(&aim.desired()))
}

fn quirks() -> impl Strategy<Value = Quirks> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(promote_secondaries, keep_ipv6, partial_routes)| Quirks {
            promote_secondaries,
            keep_ipv6,
            partial_routes,
        },
    )
}

fn recipes(nodes: std::ops::Range<usize>) -> impl Strategy<Value = (Recipe, Recipe, Quirks)> {
    let rates = prop_oneof![Just(2_u64), Just(10), Just(40), Just(100)];
    (any::<u64>(), nodes, any::<u64>(), rates, quirks()).prop_map(|(seed, nodes, edit, rate, quirks)| {
        let before = Recipe { seed, nodes, edit: None };
        (before, Recipe { edit: Some((edit, rate)), ..before }, quirks)
    })
}

fn run(
    name: &str,
    cases: u32,
    nodes: std::ops::Range<usize>,
    check: impl Fn(Recipe, Recipe, Quirks) -> Checked,
) {
    let factor = std::env::var("NETLOOM_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let config = Config { cases: cases * factor, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&recipes(nodes), |(before, after, quirks)| check(before, after, quirks));
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}

/// Counts for the last line of a test.
#[derive(Default)]
struct Counts {
    networks: AtomicUsize,
    objects: AtomicUsize,
    steps: AtomicUsize,
    crashes: AtomicUsize,
    recoveries: AtomicUsize,
}

impl Counts {
    fn add(slot: &AtomicUsize, number: usize) {
        slot.fetch_add(number, Ordering::Relaxed);
    }

    fn applied(&self, applied: &Applied) {
        Self::add(&self.steps, applied.plan.steps.len());
    }

    fn print(&self, name: &str) {
        let of = |slot: &AtomicUsize| slot.load(Ordering::Relaxed);
        println!(
            "{name}: {} networks, {} objects, {} steps, {} crash points, {} recoveries",
            of(&self.networks),
            of(&self.objects),
            of(&self.steps),
            of(&self.crashes),
            of(&self.recoveries),
        );
    }
}

/// Applies, applies again, edits, and takes down.
fn life(counts: &Counts, before: Recipe, after: Recipe, quirks: Quirks) -> Checked {
    let (a, b) = (network(before), network(after));
    Counts::add(&counts.networks, 2);
    Counts::add(&counts.objects, a.objects.len() + b.objects.len());
    let rig = Rig::new(State::host(quirks));
    counts.applied(&ok("apply", rig.apply(&a))?);
    let first = rig.kernel.table(&a);
    let again = ok("apply again", rig.apply(&a))?;
    prop_assert!(again.plan.is_empty(), "a second apply changes:\n{}", again.plan);
    same("a second apply", &rig.kernel.table(&a), &first)?;
    counts.applied(&ok("apply the edit", rig.apply(&b))?);
    let edited = rig.kernel.table(&b);
    same("an edit against a fresh apply", &edited, &fresh(quirks, Aim::Network(&b))?)?;
    let again = ok("apply the edit again", rig.apply(&b))?;
    prop_assert!(again.plan.is_empty(), "a second apply of the edit changes:\n{}", again.plan);
    counts.applied(&ok("destroy", rig.destroy())?);
    same("after destroy", &rig.kernel.table(&Aim::Nothing.desired()), &fresh(quirks, Aim::Nothing)?)?;
    prop_assert!(files(&rig.directory).is_empty(), "destroy leaves files");
    Ok(())
}

#[test]
fn an_edit_ends_where_a_fresh_apply_would() {
    let counts = Counts::default();
    run("small networks", 300, 1..6, |a, b, quirks| life(&counts, a, b, quirks));
    run("large networks", 4, 100..300, |a, b, quirks| life(&counts, a, b, quirks));
    counts.print("applied twice, edited, taken down");
}

/// Loses the last records of completion, which need not be on the disk at a crash.
fn forget_completions(remains: &mut Remains) {
    for (path, content) in &mut remains.files {
        if path.ends_with("journal.jsonl") {
            let text = String::from_utf8(content.clone()).unwrap();
            let mut lines: Vec<&str> = text.lines().collect();
            while lines.last().is_some_and(|line| line.contains("\"record\":\"done\"")) {
                lines.pop();
            }
            *content = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        }
    }
}

/// Crashes at chosen operations of the way from `base` to `aim`, and recovers to each of `aims`.
fn crashes(
    counts: &Counts,
    base: &Remains,
    aim: Aim<'_>,
    aims: &[(Aim<'_>, &BTreeMap<Key, Spec>)],
    chosen: impl Fn(usize) -> bool + Send + 'static,
) -> Checked {
    let rig = Rig::after(base);
    rig.faults(Faults { crash_at: Some(Box::new(chosen)), ..Faults::default() });
    counts.applied(&ok("the way that crashes", rig.go(aim))?);
    let remains = std::mem::take(&mut rig.kernel.faults.lock().unwrap().remains);
    Counts::add(&counts.crashes, remains.len());
    for (number, mut remains) in remains.into_iter().enumerate() {
        if number % 3 == 0 {
            forget_completions(&mut remains);
        }
        for (turn, (aim, expected)) in aims.iter().enumerate() {
            let what = format!("to aim {turn} after a crash {}", remains.place);
            let mut rig = Rig::after(&remains);
            // Now and then the recovery crashes too.
            if (number + turn) % 4 == 0 {
                let at = number % 7;
                rig.faults(Faults { crash_at: Some(Box::new(move |n| n == at)), ..Faults::default() });
                let other = aims[(turn + 1) % aims.len()].0;
                ok(&format!("{what}, the other way"), rig.go(other))?;
                let second = std::mem::take(&mut rig.kernel.faults.lock().unwrap().remains);
                if let Some(second) = second.get(number % 3) {
                    rig = Rig::after(second);
                }
            }
            Counts::add(&counts.recoveries, 1);
            ok(&what, rig.go(*aim))?;
            same(&what, &rig.kernel.table(&aim.desired()), expected)?;
            if let Aim::Nothing = aim {
                prop_assert!(files(&rig.directory).is_empty(), "{what}: destroy leaves files");
            } else {
                ok(&format!("{what}, then destroy"), rig.destroy())?;
                let nothing = fresh(rig.kernel.take_state().quirks, Aim::Nothing)?;
                same(&format!("{what}, then destroy"), &rig.kernel.table(&Aim::Nothing.desired()), &nothing)?;
            }
        }
    }
    Ok(())
}

fn recover(counts: &Counts, before: Recipe, after: Recipe, quirks: Quirks, one_in: usize) -> Checked {
    let (a, b) = (network(before), network(after));
    Counts::add(&counts.networks, 2);
    Counts::add(&counts.objects, a.objects.len() + b.objects.len());
    let host = State::host(quirks);
    let untouched = Remains { state: host.clone(), files: Vec::new(), place: String::new() };
    let rig = Rig::new(host);
    ok("apply", rig.apply(&a))?;
    let standing =
        Remains { state: rig.kernel.take_state(), files: files(&rig.directory), place: String::new() };
    let (named_a, named_b) = (fresh(quirks, Aim::Network(&a))?, fresh(quirks, Aim::Network(&b))?);
    let nothing = fresh(quirks, Aim::Nothing)?;
    let aims = [(Aim::Network(&a), &named_a), (Aim::Network(&b), &named_b), (Aim::Nothing, &nothing)];
    let chosen = move |number: usize| one_in == 1 || (number * 2_654_435_761).is_multiple_of(one_in);
    crashes(counts, &untouched, Aim::Network(&a), &aims, chosen)?;
    crashes(counts, &standing, Aim::Network(&b), &aims, chosen)?;
    crashes(counts, &standing, Aim::Nothing, &aims, chosen)
}

#[test]
fn a_crash_anywhere_is_recovered_from() {
    let counts = Counts::default();
    run("every operation of small networks", 8, 1..4, |a, b, quirks| recover(&counts, a, b, quirks, 1));
    run("some operations of large networks", 1, 60..80, |a, b, quirks| recover(&counts, a, b, quirks, 499));
    counts.print("crashed and recovered");
}

/// Fails at every operation of an edit, once each.
fn undo(counts: &Counts, before: Recipe, after: Recipe, quirks: Quirks, one_in: usize) -> Checked {
    let (a, b) = (network(before), network(after));
    Counts::add(&counts.networks, 2);
    Counts::add(&counts.objects, a.objects.len() + b.objects.len());
    let rig = Rig::new(State::host(quirks));
    ok("apply", rig.apply(&a))?;
    let standing =
        Remains { state: rig.kernel.take_state(), files: files(&rig.directory), place: String::new() };
    let exactly = |kernel: &Kernel| {
        let state = kernel.take_state();
        let specs = state.objects.iter().map(|(key, entry)| (key.clone(), entry.spec.clone()));
        let values =
            state.sysctls.iter().map(|(key, value)| (key.clone(), Spec::Sysctl { value: value.clone() }));
        specs.chain(values).collect::<BTreeMap<Key, Spec>>()
    };
    let expected = exactly(&rig.kernel);
    for number in (0..).step_by(one_in) {
        let rig = Rig::after(&standing);
        rig.faults(Faults { fail_at: Some(number), ..Faults::default() });
        match rig.apply(&b) {
            Ok(applied) => {
                counts.applied(&applied);
                prop_assert!(rig.kernel.faults.lock().unwrap().count <= number, "a failure was ignored");
                return Ok(());
            }
            Err(ApplyError::Step { cause, left }) => {
                prop_assert!(
                    left.is_empty(),
                    "operation {number} failed ({cause}), not taken back: {left:?}"
                );
                same(&format!("undo of operation {number}: {cause}"), &exactly(&rig.kernel), &expected)?;
                Counts::add(&counts.recoveries, 1);
            }
            Err(error) => return Err(TestCaseError::fail(format!("operation {number}: {error}"))),
        }
        let again = ok("apply after undo", rig.apply(&b))?;
        counts.applied(&again);
        same("apply after undo", &rig.kernel.table(&b), &fresh(quirks, Aim::Network(&b))?)?;
    }
    Ok(())
}

#[test]
fn a_failure_anywhere_is_taken_back() {
    let counts = Counts::default();
    run("every operation of small networks", 24, 1..4, |a, b, quirks| undo(&counts, a, b, quirks, 1));
    run("some operations of large networks", 1, 40..60, |a, b, quirks| undo(&counts, a, b, quirks, 97));
    counts.print("failed and taken back");
}

/// Removes objects by hand; healing puts everything back.
#[test]
fn what_is_removed_by_hand_is_put_back() {
    let counts = Counts::default();
    run("healing", 150, 1..5, |before, _, quirks| {
        let a = network(before);
        Counts::add(&counts.networks, 1);
        Counts::add(&counts.objects, a.objects.len());
        let rig = Rig::new(State::host(quirks));
        ok("apply", rig.apply(&a))?;
        let expected = rig.kernel.table(&a);
        let removable: Vec<Key> = {
            let state = rig.kernel.state.lock().unwrap();
            state.objects.iter().filter(|(_, entry)| entry.marked).map(|(key, _)| key.clone()).collect()
        };
        for (number, key) in removable.iter().enumerate() {
            if (number as u64).wrapping_mul(before.seed | 1).is_multiple_of(7) {
                let mut state = rig.kernel.state.lock().unwrap();
                // A namespace with processes can not be removed by hand either.
                let _ = state.delete(key);
                state.finish_cleanup();
            }
        }
        let events = ok("heal", heal::heal(&rig.kernel, &rig.store(), 1))?;
        same("heal", &rig.kernel.table(&a), &expected)?;
        Counts::add(&counts.recoveries, events.len());
        let events = ok("heal again", heal::heal(&rig.kernel, &rig.store(), 1))?;
        prop_assert!(events.is_empty(), "healing twice: {events:?}");
        Ok(())
    });
    counts.print("healed");
}

#[test]
#[ignore = "for a recipe from a failure: NETLOOM_RECIPE='seed nodes edit rate promote keep partial'"]
fn one_recipe() {
    let text = std::env::var("NETLOOM_RECIPE").unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|part| part.parse().unwrap()).collect();
    let before = Recipe { seed: numbers[0], nodes: numbers[1] as usize, edit: None };
    let after = Recipe { edit: Some((numbers[2], numbers[3])), ..before };
    let [promote_secondaries, keep_ipv6, partial_routes] = [4, 5, 6].map(|at| numbers[at] == 1);
    let quirks = Quirks { promote_secondaries, keep_ipv6, partial_routes };
    let rig = Rig::new(State::host(quirks));
    for (name, recipe) in [("a", before), ("b", after)] {
        let desired = network(recipe);
        let memory = rig.store();
        let plan = apply::plan(&rig.kernel, &memory, &desired);
        drop(memory);
        match plan {
            Ok(plan) => println!("--- {name}\n{plan}"),
            Err(error) => println!("--- {name}: {error}"),
        }
        if let Err(error) = rig.apply(&desired) {
            println!("{error}");
        }
    }
    if std::env::var("NETLOOM_PLAN_ONLY").is_ok() {
        return;
    }
    let counts = Counts::default();
    println!("{:?}", life(&counts, before, after, quirks));
    println!("{:?}", recover(&counts, before, after, quirks, 1));
    println!("{:?}", undo(&counts, before, after, quirks, 1));
}
