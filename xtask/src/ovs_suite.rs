//! `cargo xtask ovs-suite`: Open vSwitch's own test suite, run against this program in the place of `ovs-vswitchd` and
//! `ovsdb-server`, and against those themselves for comparison.
//!
//! ```text
//! Debian's openvswitch-source ──▶ unpacked once in the directory for temporary files ──▶ its generated `tests/testsuite`
//! PATH of the tests: links to netloom (or the real daemons), then the real tools (ovs-vsctl, ovs-ofctl, ovs-appctl, ...)
//! ```
//!
//! What: [`rig`] unpacks and prepares, [`outcome`] runs groups and reads what became of each, [`classes`] says why they
//! failed. Only groups count that need no helper that was compiled for the suite. The results of each side are kept beside
//! the unpacked sources, so that a ladder can be printed for what was run at different times.

mod classes;
mod outcome;
mod rig;

use outcome::{Outcome, Results};
use rig::{Group, Rig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What can be said on the command line.
#[derive(Debug, Default)]
struct Wishes {
    /// Run against Open vSwitch's own daemons.
    reference: bool,
    /// Run nothing: print the ladder of what was run before.
    ladder: bool,
    /// Groups at the same time.
    jobs: usize,
    /// The program in the place of the daemons.
    program: Option<PathBuf>,
    /// Files, or numbers of groups.
    chosen: Vec<String>,
}

fn wishes(arguments: &[String]) -> Result<Wishes, String> {
    let mut wishes = Wishes { jobs: 2, ..Wishes::default() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--reference" => wishes.reference = true,
            "--ladder" => wishes.ladder = true,
            "--jobs" => wishes.jobs = value()?.parse().map_err(|_| "--jobs needs a number")?,
            "--program" => wishes.program = Some(value()?.into()),
            option if option.starts_with('-') => {
                return Err(format!(
                    "unknown option {option}: there are --reference, --ladder, --jobs N, --program FILE"
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
    let runnable: Vec<&Group> = chosen.iter().copied().filter(|group| !group.needs_helper).collect();
    let side = if wishes.reference { "reference" } else { "netloom" };
    if !wishes.ladder {
        let program = match (wishes.reference, wishes.program) {
            (true, _) => None,
            (false, Some(program)) => Some(program),
            (false, None) => Some(rig::built_program()?),
        };
        println!("{} of {} groups need no compiled helper; {side}:", runnable.len(), chosen.len());
        let results = rig.run(side, program.as_deref(), &runnable, wishes.jobs)?;
        rig.keep(side, &results)?;
    }
    let (here, there) = (rig.kept("netloom"), rig.kept("reference"));
    print_ladder(&chosen, &here, &there);
    if wishes.reference {
        return Ok(true);
    }
    let failed: Vec<&Group> =
        runnable.iter().copied().filter(|group| here.get(&group.number) == Some(&Outcome::Failed)).collect();
    let classes = rig.classes(side, &failed);
    for (class, numbers) in &classes {
        let some: Vec<String> = numbers.iter().take(12).map(u32::to_string).collect();
        let more = if numbers.len() > some.len() { ", ..." } else { "" };
        println!("{:5}  {class}: {}{more}", numbers.len(), some.join(", "));
    }
    Ok(failed.iter().all(|group| there.get(&group.number) != Some(&Outcome::Passed)))
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
fn print_ladder(groups: &[&Group], here: &Results, there: &Results) {
    #[derive(Default)]
    struct Rung {
        runnable: usize,
        helper: usize,
        here: usize,
        there: usize,
        failed: usize,
        lost: usize,
    }
    let mut rungs: BTreeMap<&str, Rung> = BTreeMap::new();
    for group in groups {
        let rung = rungs.entry(group.file.as_str()).or_default();
        if group.needs_helper {
            rung.helper += 1;
            continue;
        }
        let is = |results: &Results, outcome| usize::from(results.get(&group.number) == Some(&outcome));
        rung.runnable += 1;
        rung.here += is(here, Outcome::Passed);
        rung.there += is(there, Outcome::Passed);
        rung.failed += is(here, Outcome::Failed);
        rung.lost += is(here, Outcome::Failed) * is(there, Outcome::Passed);
    }
    println!(
        "\n{:<28} {:>6} {:>8} {:>6} {:>7} {:>6}",
        "file", "groups", "netloom", "OVS", "failed", "helper"
    );
    let mut total = Rung::default();
    for (file, rung) in &rungs {
        let Rung { runnable, helper, here, there, failed, lost } = rung;
        println!("{file:<28} {runnable:>6} {here:>8} {there:>6} {failed:>7} {helper:>6}");
        total.runnable += runnable;
        total.helper += helper;
        total.here += here;
        total.there += there;
        total.failed += failed;
        total.lost += lost;
    }
    let Rung { runnable, helper, here, there, failed, lost } = total;
    println!("{:<28} {runnable:>6} {here:>8} {there:>6} {failed:>7} {helper:>6}", "all");
    if there > 0 {
        println!("of what Open vSwitch passes {:.1} % pass; {lost} fail", here as f64 / there as f64 * 100.0);
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
        let results = rig.run(&side, None, &[group], 1).unwrap();
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
