//! The end of a run: skips and failures by name, a table, and the closing line.

use crate::tally::Tally;
use std::fmt::Write;
use std::time::Duration;

/// One set of tests that was run or not.
pub(crate) struct Section {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Its outcome.
    pub(crate) tally: Tally,
    /// How long it took.
    pub(crate) took: Duration,
}

/// The end of a run: failures and skips by name, a line for each set, and the closing line.
#[must_use]
pub(crate) fn closing(sections: &[Section]) -> String {
    let mut text = String::from("\n");
    for section in sections {
        for (test, reason) in &section.tally.skipped {
            let _ = writeln!(text, "SKIP {}: {test}: {reason}", section.name);
        }
    }
    for section in sections {
        for failure in &section.tally.failures {
            let _ = writeln!(text, "FAIL {}: {failure}", section.name);
        }
    }
    let _ = writeln!(text, "\n{:<10}{:>8}{:>8}{:>8}{:>10}", "set", "passed", "failed", "skipped", "seconds");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for Section { name, tally, took } in sections {
        let not_run = tally.skipped.len();
        let seconds = took.as_secs_f64();
        let _ = writeln!(text, "{name:<10}{:>8}{:>8}{not_run:>8}{seconds:>10.1}", tally.passed, tally.failed);
        passed += tally.passed;
        failed += tally.failed;
        skipped += not_run;
    }
    let _ = write!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_stands_alone() {
        let tally = Tally { passed: 3, ..Tally::not_run(["x".to_owned()], "no QEMU") };
        let text = closing(&[Section { name: "vm", tally, took: Duration::from_secs(2) }]);
        assert_eq!(text.lines().last(), Some("3 passed, 0 failed, 1 skipped"));
        assert!(text.contains("SKIP vm: x: no QEMU"), "{text}");
    }
}
