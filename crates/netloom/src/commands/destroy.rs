//! `destroy`: take the network down and leave nothing behind.

use super::apply::{Show, failure};
use super::session;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::apply;
use netloom_control::realm::Realm;
use netloom_control::store::{Store, Wait};
use netloom_wire::NodeName;
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    topology: String,
    removed: usize,
}

/// When nothing is up there is nothing to do.
///
/// # Errors
/// When standard output can't be written.
pub fn nothing(printer: &Printer) -> Result<u8, Failure> {
    if printer.is_machine() {
        printer.machine(&Vec::<Report>::new())?;
    } else {
        put("nothing to do: it is not up\n")?;
    }
    Ok(0)
}

/// Takes topologies down.
///
/// # Errors
/// What could not be taken down; the others were.
pub fn run(realm: &Realm, printer: &Printer, names: &[String]) -> Result<u8, Failure> {
    if names.is_empty() {
        return nothing(printer);
    }
    let mut failed = None;
    let mut reports = Vec::new();
    for name in names {
        match one(realm, printer, name) {
            Ok(report) => {
                if !printer.is_machine() {
                    put(&format!(
                        "{} `{name}`: {} objects removed, nothing is left\n",
                        printer.paint(Tone::Good, "destroyed"),
                        report.removed
                    ))?;
                }
                reports.push(report);
            }
            Err(error) => failed = Some(error),
        }
    }
    if printer.is_machine() {
        printer.machine(&reports)?;
    }
    failed.map_or(Ok(0), Err)
}

fn one(realm: &Realm, printer: &Printer, name: &str) -> Result<Report, Failure> {
    let topology: NodeName = name.parse().map_err(Failure::new)?;
    let store = Store::open(&realm.state_dir, &topology, Wait::Yes).map_err(Failure::new)?;
    // What goes is told in one line at the end; the plan is there for those who ask with `plan --destroy`.
    let show = Show::new(printer, false);
    let applied =
        apply::destroy(&session::machine(realm, &topology)?, store, &|progress| show.progress(progress))
            .map_err(failure)?;
    let counts = applied.plan.counts();
    Ok(Report { topology: name.to_owned(), removed: counts.remove + counts.taken })
}
