//! `test`: the tests of a file on the running network, as a table.

use super::running::Running;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_compile::object::Space;
use netloom_control::check::{self, TestResult};
use netloom_control::probe::{Place, human};
use netloom_control::realm::Realm;

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
    let addresses = check::addresses(&running.compiled.desired);
    let place = |space: &Space| match space {
        Space::Host => Place::here(),
        Space::Node(node) => Place::at(realm.netns_dir.join(format!("{}.{node}", running.name))),
    };
    let results = check::run(tests, topology, &addresses, &place);
    let failed = results.iter().filter(|result| !result.passed).count();
    if printer.is_machine() {
        printer.machine(&results)?;
        return Ok(failed == 0);
    }
    let mut table = printer.table(&["", "test", "evidence", "took", "line"]);
    for result in &results {
        let (tone, word) = if result.passed { (Tone::Good, "ok") } else { (Tone::Bad, "FAILED") };
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
    let summary = format!("{} of {} tests passed", results.len() - failed, results.len());
    put(&format!("{}\n", printer.paint(if failed == 0 { Tone::Good } else { Tone::Bad }, &summary)))?;
    Ok(failed == 0)
}
