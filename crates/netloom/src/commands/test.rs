//! `test`: the tests of a file on the running network, as a table.

use super::running::Running;
use super::{session, vm};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_compile::object::Space;
use netloom_control::check::{self, TestResult};
use netloom_control::probe::{Place, human};
use netloom_control::realm::Realm;
use netloom_wire::NodeName;

/// Runs the tests, prints the table, and returns whether all passed.
///
/// # Errors
/// When the output can't be written.
pub fn run(realm: &Realm, printer: &Printer, running: &Running) -> Result<bool, Failure> {
    let topology = running.loaded.model.validated.topology();
    let tests = &running.compiled.tests;
    if tests.is_empty() {
        if printer.is_machine() {
            printer.machine(&Vec::<TestResult>::new())?;
        } else {
            put("no tests in the file\n")?;
        }
        return Ok(true);
    }
    let addresses = check::addresses(&running.compiled);
    let place = |space: &Space| match space {
        Space::Host => Place::here(),
        Space::Node(node) => Place::at(realm.netns_dir.join(format!("{}.{node}", running.name))),
    };
    let machines = &session::machine(realm, &running.name)?;
    let absence = |node: &NodeName| vm::absence(machines, node);
    let results = check::run(tests, topology, &addresses, &place, &absence);
    let skipped = results.iter().filter(|result| result.skipped).count();
    let failed = results.iter().filter(|result| !result.passed).count();
    if printer.is_machine() {
        printer.machine(&results)?;
        return Ok(failed == 0);
    }
    let mut table = printer.table(&["", "test", "evidence", "took", "line"]);
    for result in &results {
        let (tone, word) = match result {
            TestResult { skipped: true, .. } => (Tone::Warn, "left out"),
            TestResult { passed: true, .. } => (Tone::Good, "ok"),
            TestResult { .. } => (Tone::Bad, "FAILED"),
        };
        let origin = &result.test.origin;
        table.add_row([
            printer.cell(tone, word),
            printer.cell(Tone::Plain, &result.test.name),
            printer.cell(if result.passed { Tone::Dim } else { Tone::Bad }, &result.evidence),
            printer.cell(Tone::Dim, human(result.took)),
            printer.cell(Tone::Dim, format!("{}:{}", origin.file, origin.line)),
        ]);
    }
    printer.print_table(&table)?;
    let mut summary = format!("{} of {} tests passed", results.len() - failed - skipped, results.len());
    if skipped > 0 {
        summary.push_str(&format!(", {skipped} left out: `netloom test` runs them when their machines run"));
    }
    put(&format!("{}\n", printer.paint(if failed == 0 { Tone::Good } else { Tone::Bad }, &summary)))?;
    Ok(failed == 0)
}
