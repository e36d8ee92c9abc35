//! The project's chores, as `cargo xtask CHORE`. Development only: unlike the product it may call programs.
//!
//! `test` is the one that matters: it installs the peers the tests need where it can, runs every set of tests
//! and ends with one line that counts them. Deliberately absent: what cargo itself does in one command.

#![forbid(unsafe_code)]

mod binaries;
mod cargo_sets;
mod fuzz;
mod ovs_suite;
mod peers;
mod process;
mod report;
mod rootless;
mod soundness;
mod suite;
mod tally;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [--no-install] [SET...]   run the tests; SET is ordinary, doc, rootless or vm (default: all)
cargo xtask peers                          install the programs that the tests use, where possible
cargo xtask ovs-suite [--reference] [--ladder] [--again] [--write] [--jobs N] [--limit SECONDS] [--program FILE]
                      [FILE|NUMBER...]     run Open vSwitch's own tests against netloom, or against its own daemons
cargo xtask fuzz [--minutes N] [--jobs N] [TARGET...]
                                           fuzz targets for so much processor time (default: 10 minutes; all get what they lack)
cargo xtask soundness [CHECK...]           crates with unsafe code under Miri, loom and sanitizers";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first().map(|(chore, rest)| (chore.as_str(), rest)) {
        Some(("test", rest)) => suite::run(rest),
        Some(("fuzz", rest)) => fuzz::run(rest),
        Some(("soundness", rest)) => soundness::run(rest),
        Some(("ovs-suite", rest)) => ovs_suite::run(rest),
        Some(("peers", [])) => {
            peers::install();
            Ok(true)
        }
        _ => Err(format!("usage:\n{USAGE}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
