//! `cargo xtask test`: peers, build, every set of tests, and the closing line.

use crate::report::Section;
use crate::tally::Tally;
use crate::{binaries, cargo_sets, peers, report, rootless, vm};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The emulated machine's set is first because a test of the ordinary set boots the kernel that it fetches.
const SETS: [&str; 4] = ["vm", "ordinary", "doc", "rootless"];

/// Runs the sets that `arguments` names, or all; true when nothing failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool, String> {
    let (options, named): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|a| a.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| **option != "--no-install") {
        return Err(format!("unknown option {unknown}: there is only --no-install"));
    }
    if let Some(unknown) = named.iter().find(|set| !SETS.contains(set)) {
        return Err(format!("unknown set {unknown}: there are {}", SETS.join(", ")));
    }
    if options.is_empty() {
        peers::install();
    }
    let scratch = binaries::top().join("target/xtask").join(std::process::id().to_string());
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let sections = run_sets(&named, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    println!("{}", report::closing(&sections));
    Ok(sections.iter().all(|section| section.tally.failed == 0))
}

fn run_sets(named: &[&str], scratch: &Path) -> Vec<Section> {
    let started = Instant::now();
    let built = match binaries::build() {
        Ok(built) => built,
        Err(message) => {
            let tally = Tally { failed: 1, failures: vec![message], ..Tally::default() };
            return vec![Section { name: "build", tally, took: started.elapsed() }];
        }
    };
    let mut sections = Vec::new();
    for name in SETS.into_iter().filter(|set| named.is_empty() || named.contains(set)) {
        println!("\n== {name}");
        let started = Instant::now();
        let skips = scratch.join(format!("skips-{name}"));
        let outcome = match name {
            "ordinary" => cargo_sets::ordinary(&built, &skips).map(Some),
            "doc" => cargo_sets::doc().map(Some),
            "rootless" => rootless::run(&built, &skips),
            _ => vm::run(&built, scratch, &skips).map(Some),
        };
        let mut tally = match outcome {
            Ok(Some(tally)) => tally,
            Ok(None) => {
                println!(
                    "nothing to add: the ordinary tests ran as an ordinary user, or there are none of these"
                );
                continue;
            }
            Err(message) => Tally { failed: 1, failures: vec![message], ..Tally::default() },
        };
        tally.note_skips(&fs::read_to_string(&skips).unwrap_or_default());
        sections.push(Section { name, tally, took: started.elapsed() });
    }
    sections
}
