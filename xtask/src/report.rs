//! What the runners said, counted, and the table and closing line at the end.
//!
//! A test that reports a skip ends like one that passes, so the skips noted in the file that `NETLOOM_SKIPS`
//! names are taken off the passed ones.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// The outcome of one set of tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: usize,
    /// Tests that failed, and runners that ended badly without naming one.
    pub(crate) failed: usize,
    /// Names of failed tests, where the runner gave them, and what else went wrong.
    pub(crate) failures: Vec<String>,
    /// Tests that were not run, with the reason.
    pub(crate) skipped: BTreeMap<String, String>,
}

impl Tally {
    /// Reads the output of libtest or nextest.
    ///
    /// Both count in a summary line; failures are also named. `success` is the runner's status: without it
    /// at least one failure is counted, so that a crash cannot pass for a good run.
    #[must_use]
    pub(crate) fn read(output: &str, success: bool) -> Self {
        let mut tally = Self::default();
        for line in output.lines().map(str::trim) {
            if let Some(counts) = line.strip_prefix("test result: ").or_else(|| nextest_summary(line)) {
                for (number, what) in pairs(counts) {
                    match what {
                        "passed" => tally.passed += number,
                        "failed" | "timed" | "exec" => tally.failed += number,
                        _ => {}
                    }
                }
            } else if let Some(name) = failed_test(line)
                && !tally.failures.iter().any(|known| known == name)
            {
                tally.failures.push(name.to_owned());
            }
        }
        if !success && tally.failed == 0 {
            tally.failed = 1;
            tally
                .failures
                .push("the runner ended badly without naming a test: see its output above".to_owned());
        }
        tally
    }

    /// A set that could not be run at all.
    #[must_use]
    pub(crate) fn not_run(tests: impl IntoIterator<Item = String>, reason: &str) -> Self {
        let skipped = tests.into_iter().map(|test| (test, reason.to_owned())).collect();
        Self { skipped, ..Self::default() }
    }

    /// Takes the tests off the passed ones that noted a skip; `noted` holds lines of `SKIP <test>: <reason>`.
    pub(crate) fn note_skips(&mut self, noted: &str) {
        let before = self.skipped.len();
        for line in noted.lines() {
            if let Some((test, reason)) = line.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": ")) {
                self.skipped.entry(test.to_owned()).or_insert_with(|| reason.to_owned());
            }
        }
        self.passed = self.passed.saturating_sub(self.skipped.len() - before);
    }

    /// Adds the counts of another part of the same set.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }
}

/// The counts in nextest's `Summary [ 1.2s] 33 tests run: 32 passed (1 slow), 1 failed, 0 skipped`.
fn nextest_summary(line: &str) -> Option<&str> {
    line.strip_prefix("Summary [").and_then(|rest| rest.split_once(" run: ")).map(|(_, counts)| counts)
}

/// Every number with the word that follows it.
fn pairs(counts: &str) -> impl Iterator<Item = (usize, &str)> {
    let words: Vec<&str> =
        counts.split([' ', ';', ',', '(', ')', '.']).filter(|word| !word.is_empty()).collect();
    let pairs: Vec<_> = words.windows(2).filter_map(|pair| Some((pair[0].parse().ok()?, pair[1]))).collect();
    pairs.into_iter()
}

/// The name in libtest's `test NAME ... FAILED` or nextest's `FAIL [ 0.1s] NAME`.
fn failed_test(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("test ") {
        return rest.strip_suffix(" ... FAILED");
    }
    let rest = ["FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV [", "SIGKILL [", "ABORT [", "XFAIL ["]
        .iter()
        .find_map(|status| line.strip_prefix(status))?;
    rest.split_once(']').map(|(_, name)| name.trim())
}

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
    fn reads_libtest() {
        let output = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored, vm\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
            test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let tally = Tally::read(output, false);
        assert_eq!((tally.passed, tally.failed), (5, 1));
        assert_eq!(tally.failures, ["a::c"]);
    }

    #[test]
    fn reads_nextest() {
        let output = "        FAIL [   0.004s] (3/9) netloom-wire mac::tests::x\n     Summary [   0.059s] 9 tests run: \
            5 passed (2 slow, 1 flaky), 3 failed, 1 timed out, 7 skipped\n        FAIL [   0.004s] (3/9) netloom-wire mac::tests::x\n";
        let tally = Tally::read(output, false);
        assert_eq!((tally.passed, tally.failed), (5, 4));
        assert_eq!(tally.failures, ["(3/9) netloom-wire mac::tests::x"]);
    }

    #[test]
    fn a_bad_end_is_a_failure() {
        assert_eq!(Tally::read("test result: ok. 4 passed; 0 failed", true).failed, 0);
        assert_eq!(Tally::read("test result: ok. 4 passed; 0 failed", false).failed, 1);
        assert_eq!(Tally::read("", false).failures.len(), 1);
    }

    #[test]
    fn skips_are_not_passes() {
        let mut tally = Tally::read("test result: ok. 4 passed; 0 failed", true);
        tally.note_skips("SKIP k::a: no nft\nSKIP k::a: no nft\nSKIP k::b: no tc: at all\n");
        assert_eq!((tally.passed, tally.skipped.len()), (2, 2));
        assert_eq!(tally.skipped["k::b"], "no tc: at all");
    }

    #[test]
    fn the_closing_line_stands_alone() {
        let tally = Tally { passed: 3, ..Tally::not_run(["x".to_owned()], "no QEMU") };
        let text = closing(&[Section { name: "vm", tally, took: Duration::from_secs(2) }]);
        assert_eq!(text.lines().last(), Some("3 passed, 0 failed, 1 skipped"));
        assert!(text.contains("SKIP vm: x: no QEMU"), "{text}");
    }
}
