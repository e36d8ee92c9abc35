//! Netloom: Linux networks from one file.
//!
//! What: the one program. `cli` says what can be asked, `commands` has one module per command, `output`
//! prints, `graph` draws. Everything else is in the crates below: `control` above all.
//!
//! Invariant: namespaces of the user are joined before any thread starts (see `control::realm`), so
//! `main` does that first, before the command runs.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "a program exports nothing; `pub` here says what other modules use")]

mod cli;
mod commands;
mod doors;
mod failure;
mod graph;
mod log;
mod output;
mod personality;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    allow_open_files();
    if let Some(code) = personality::run(std::env::args_os()) {
        return code;
    }
    let cli = cli::Cli::parse();
    let printer = output::Printer::new(&cli);
    log::begin();
    match commands::run(&cli, &printer) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print(&printer);
            ExitCode::FAILURE
        }
    }
}

/// A socket into each of a thousand namespaces needs more open files than the usual 1024.
fn allow_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    /// Enough for everything, few enough for children that go through all numbers.
    const FILES: u64 = 16_384;
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES, |most| most.min(FILES));
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        // Without it sockets are only opened anew more often.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
