//! `cargo xtask ovs-suite`: Open vSwitch's own test suite, run against this program in the place of `ovs-vswitchd` and
//! `ovsdb-server`, and against those themselves for comparison.
//!
//! ```text
//! Debian's openvswitch-source ──▶ unpacked once in the directory for temporary files ──▶ its generated `tests/testsuite`
//! PATH of the tests: links to netloom (or the real daemons), then the real tools (ovs-vsctl, ovs-ofctl, ovs-appctl, ...)
//! results ──▶ --write ──▶ docs/ovs-suite/{netloom,openvswitch}.txt and the tables of docs/ovs-suite.md
//! ```
//!
//! What: [`rig`] unpacks and prepares, [`outcome`] runs groups and reads what became of each, [`classes`] says why they
//! failed, [`figures`] counts. Only groups count that need no helper that was compiled for the suite. The results of each
//! side are kept beside the unpacked sources, so that a ladder can be printed for what was run at different times; those of
//! Open vSwitch are in the repository, too.

mod classes;
mod figures;
mod keys;
mod outcome;
mod rig;

use figures::Ladder;
#[cfg(test)]
use outcome::Outcome;
use rig::{Group, Rig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where figures and tables are kept, in the repository.
const KEPT: [(&str, &str, &str); 2] = [
    (
        "netloom",
        "docs/ovs-suite/netloom.txt",
        "Groups of Open vSwitch's test suite (3.1.0) that Netloom passes: cargo xtask ovs-suite --write",
    ),
    (
        "reference",
        "docs/ovs-suite/openvswitch.txt",
        "Groups of its own test suite that Open vSwitch 3.1.0 passes in the same rig: cargo xtask ovs-suite --reference --write",
    ),
];
const PAGE: &str = "docs/ovs-suite.md";

/// What can be said on the command line.
#[derive(Debug)]
struct Wishes {
    /// Run against Open vSwitch's own daemons.
    reference: bool,
    /// Run nothing: print the ladder of what was run before.
    ladder: bool,
    /// Run what failed before only.
    again: bool,
    /// Write the figures into the repository.
    write: bool,
    /// Groups at the same time.
    jobs: usize,
    /// Seconds that a group may take.
    limit: u64,
    /// The program in the place of the daemons.
    program: Option<PathBuf>,
    /// Files, or numbers of groups.
    chosen: Vec<String>,
}

fn wishes(arguments: &[String]) -> Result<Wishes, String> {
    let mut wishes = Wishes {
        reference: false,
        ladder: false,
        again: false,
        write: false,
        jobs: 2,
        limit: 120,
        program: None,
        chosen: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--reference" => wishes.reference = true,
            "--ladder" => wishes.ladder = true,
            "--again" => wishes.again = true,
            "--write" => wishes.write = true,
            "--jobs" => wishes.jobs = value()?.parse().map_err(|_| "--jobs needs a number")?,
            "--limit" => wishes.limit = value()?.parse().map_err(|_| "--limit needs a number of seconds")?,
            "--program" => wishes.program = Some(value()?.into()),
            option if option.starts_with('-') => {
                return Err(format!(
                    "unknown option {option}: there are --reference, --ladder, --again, --write, --jobs N, \
                     --limit SECONDS, --program FILE"
                ));
            }
            chosen => wishes.chosen.push(chosen.to_owned()),
        }
    }
    Ok(wishes)
}

/// Runs what `arguments` name: files (`vlog.at`, `vlog`) or numbers of groups, all without any; true when nothing failed
/// that Open vSwitch passes, as far as that is known.
pub(crate) fn run(arguments: &[String]) -> Result<bool, String> {
    let wishes = wishes(arguments)?;
    let rig =
        Rig::unpack()?.ok_or("Debian's package openvswitch-source is not installed: cargo xtask peers")?;
    let groups = rig.groups()?;
    let chosen: Vec<&Group> = groups.iter().filter(|group| is_chosen(group, &wishes.chosen)).collect();
    if chosen.is_empty() {
        let files: BTreeSet<&str> = groups.iter().map(|group| group.file.as_str()).collect();
        let files: Vec<&str> = files.into_iter().collect();
        return Err(format!("there is no such group; files: {}", files.join(" ")));
    }
    let side = if wishes.reference { "reference" } else { "netloom" };
    let before = rig.kept(side);
    let failed_before = |group: &&Group| before.get(&group.number).is_none_or(|outcome| outcome.is_bad());
    let runnable: Vec<&Group> = chosen
        .iter()
        .copied()
        .filter(|group| !group.needs_helper && (!wishes.again || failed_before(group)))
        .collect();
    if !wishes.ladder {
        let program = match (wishes.reference, wishes.program) {
            (true, _) => None,
            (false, Some(program)) => Some(program),
            (false, None) => Some(rig::built_program()?),
        };
        println!("{} of {} groups; {side}:", runnable.len(), chosen.len());
        rig.run(side, program.as_deref(), &runnable, (wishes.jobs, Duration::from_secs(wishes.limit)))?;
    }
    let all: Vec<&Group> = groups.iter().collect();
    let (here, there) = (rig.kept("netloom"), figures::ladder(&all, &rig.kept("reference")));
    let there = if there.is_empty() { kept("reference") } else { there };
    print_ladder(&chosen, &figures::ladder(&chosen, &here), &there);
    let failed: Vec<&Group> = chosen
        .iter()
        .copied()
        .filter(|group| {
            !group.needs_helper && here.get(&group.number).is_some_and(|outcome| outcome.is_bad())
        })
        .collect();
    let classes = rig.classes("netloom", &failed, &here);
    if !wishes.reference {
        print_classes(&classes);
    }
    if wishes.write {
        write(side, &all, &rig, &there)?;
    }
    let also_there = |group: &&Group| {
        there
            .get(&group.file)
            .is_some_and(|rung| rung.failed.contains(&group.number) || rung.hung.contains(&group.number))
    };
    Ok(wishes.reference || failed.iter().all(also_there))
}

fn kept(side: &str) -> Ladder {
    let path =
        KEPT.iter().find(|(name, ..)| *name == side).map(|(_, path, _)| crate::binaries::top().join(path));
    figures::read(&path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default())
}

/// Writes the figures of a side, and the page, into the repository.
fn write(side: &str, groups: &[&Group], rig: &Rig, there: &Ladder) -> Result<(), String> {
    let top = crate::binaries::top();
    let put = |path: &Path, text: String| {
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    let here = rig.kept("netloom");
    let ladder = figures::ladder(groups, &here);
    for (name, path, about) in KEPT.iter().filter(|(name, ..)| *name == side) {
        let ladder = if *name == "netloom" { &ladder } else { there };
        put(&top.join(path), figures::print(about, ladder))?;
    }
    let failed: Vec<&Group> = groups
        .iter()
        .copied()
        .filter(|group| {
            !group.needs_helper && here.get(&group.number).is_some_and(|outcome| outcome.is_bad())
        })
        .collect();
    let page = std::fs::read_to_string(top.join(PAGE)).unwrap_or_default();
    let rows = figures::rows(groups, &ladder, there);
    let classes = rig.classes("netloom", &failed, &here);
    put(&top.join(PAGE), figures::page(&page, &rows, figures::share(&ladder, there), &classes))
}

fn is_chosen(group: &Group, chosen: &[String]) -> bool {
    let is = |word: &String| {
        word.parse() == Ok(group.number)
            || *word == group.file
            || group.file.strip_suffix(".at") == Some(word)
    };
    chosen.is_empty() || chosen.iter().any(is)
}

/// Prints how many groups of each file pass.
fn print_ladder(groups: &[&Group], here: &Ladder, there: &Ladder) {
    println!(
        "\n{:<26} {:>6} | {:>7} {:>6} {:>6} | {:>7} {:>6} {:>6}",
        "file", "groups", "netloom", "failed", "skip", "OVS", "failed", "skip"
    );
    for [file, count, a, b, c, d, e, f] in figures::rows(groups, here, there) {
        println!("{file:<26} {count:>6} | {a:>7} {b:>6} {c:>6} | {d:>7} {e:>6} {f:>6}");
    }
    if let Some(share) = figures::share(here, there) {
        println!("of what Open vSwitch passes (in all files) {share:.1} % pass");
    }
}

fn print_classes(classes: &BTreeMap<String, Vec<u32>>) {
    let mut sorted: Vec<_> = classes.iter().collect();
    sorted.sort_by_key(|(_, numbers)| std::cmp::Reverse(numbers.len()));
    for (class, numbers) in sorted {
        let some: Vec<String> = numbers.iter().take(12).map(u32::to_string).collect();
        let more = if numbers.len() > some.len() { ", ..." } else { "" };
        println!("{:5}  {class}: {}{more}", numbers.len(), some.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rig alone, on one small group, with the daemons of Open vSwitch: what runs the suite is not broken.
    #[test]
    fn the_rig_runs_a_group() {
        let Some(rig) = Rig::unpack().unwrap() else {
            skip("openvswitch-source is not installed");
            return;
        };
        if !std::path::Path::new("/usr/bin/ovs-ofctl").exists() {
            skip("ovs-ofctl is not installed");
            return;
        }
        let groups = rig.groups().unwrap();
        assert!(groups.len() > 2000, "{}", groups.len());
        assert!(groups.iter().filter(|group| group.needs_helper).count() > 300);
        let group = groups.iter().find(|group| group.file == "ofp-util.at" && !group.needs_helper).unwrap();
        let side = format!("test-{}", std::process::id());
        let results = rig.run(&side, None, &[group], (1, Duration::from_secs(60))).unwrap();
        rig.forget(&side);
        assert_eq!(results.get(&group.number), Some(&Outcome::Passed));
    }

    fn skip(reason: &str) {
        println!("skipped: {reason}");
        if let Some(file) = std::env::var_os("NETLOOM_SKIPS") {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
            writeln!(file, "SKIP ovs_suite::tests::the_rig_runs_a_group: {reason}").unwrap();
        }
    }
}
