//! `test`: the tests of a file on the running network, as a table.

use super::running::Running;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::check::{self, CheckResult, resolve};
use netloom_control::probe::{Place, human};
use netloom_control::realm::Realm;

/// Runs the tests, prints the table, and returns whether all passed.
///
/// # Errors
/// When the output can't be written.
pub fn run(realm: &Realm, printer: &Printer, running: &Running) -> Result<bool, Failure> {
    let validated = &running.loaded.model.validated;
    let source = &running.loaded.source;
    let checks = resolve::resolve(validated.topology(), &running.desired, &|span| source.locate(span).line);
    if checks.is_empty() {
        if printer.is_machine() {
            printer.machine(&Vec::<CheckResult>::new())?;
        } else {
            put("no tests in the file\n")?;
        }
        return Ok(true);
    }
    let addresses = resolve::addresses(&running.desired);
    let place = |node: &netloom_wire::NodeName| Place::at(realm.netns_dir.join(format!("{}.{node}", running.name)));
    let results = check::run(&checks, validated.topology(), &addresses, &place, &|_| {});
    let failed = results.iter().filter(|result| !result.passed).count();
    if printer.is_machine() {
        printer.machine(&results)?;
        return Ok(failed == 0);
    }
    let mut table = printer.table(&["", "test", "evidence", "took", "line"]);
    for result in &results {
        let (tone, word) = if result.passed { (Tone::Good, "ok") } else { (Tone::Bad, "FAILED") };
        table.add_row([
            printer.cell(tone, word),
            printer.cell(Tone::Plain, &result.check.name),
            printer.cell(if result.passed { Tone::Dim } else { Tone::Bad }, &result.evidence),
            printer.cell(Tone::Dim, human(result.took)),
            printer.cell(Tone::Dim, format!("{}:{}", source.name(), result.check.line)),
        ]);
    }
    printer.print_table(&table)?;
    let summary = format!("{} of {} tests passed", results.len() - failed, results.len());
    put(&format!("{}\n", printer.paint(if failed == 0 { Tone::Good } else { Tone::Bad }, &summary)))?;
    Ok(failed == 0)
}
