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
mod failure;
mod graph;
mod output;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let printer = output::Printer::new(&cli);
    let filter = tracing_subscriber::EnvFilter::try_from_env("NETLOOM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match commands::run(&cli, &printer) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print(&printer);
            ExitCode::FAILURE
        }
    }
}
