//! What the runners said, counted.
//!
//! A test that reports a skip ends like one that passes, so the skips noted in the file that `NETLOOM_SKIPS`
//! names are taken off the passed ones.

use std::collections::BTreeMap;

/// The outcome of one set of tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: usize,
    /// Tests that failed or never came to their end, and runners that ended badly without naming a test.
    pub(crate) failed: usize,
    /// Names of failed tests, where the runner gave them, and what else went wrong.
    pub(crate) failures: Vec<String>,
    /// Tests that were not run, with the reason.
    pub(crate) skipped: BTreeMap<String, String>,
}

impl Tally {
    /// Reads the output of libtest or nextest.
    ///
    /// `success` is the runner's status: without it at least one failure is counted, so that a crash cannot
    /// pass for a good run.
    #[must_use]
    pub(crate) fn read(output: &str, success: bool) -> Self {
        // Nextest repeats what failed tests said, which looks like libtest's own lines.
        let nextest = output.lines().any(|line| nextest_summary(line).is_some());
        let mut tally = if nextest { Self::of_nextest(output) } else { Self::of_libtest(output) };
        if !success && tally.failed == 0 {
            tally.failed = 1;
            tally
                .failures
                .push("the runner ended badly without naming a test: see its output above".to_owned());
        }
        tally
    }

    fn of_nextest(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            if let Some(counts) = nextest_summary(line) {
                tally.passed += count(counts, "passed");
                tally.failed +=
                    ["failed", "timed", "exec"].iter().map(|what| count(counts, what)).sum::<usize>();
            } else if let Some(name) = nextest_failure(line)
                && !tally.failures.iter().any(|known| known == name)
            {
                tally.failures.push(name.to_owned());
            }
        }
        tally
    }

    fn of_libtest(output: &str) -> Self {
        let mut tally = Self::default();
        let mut binary: Option<Binary> = None;
        for line in output.lines() {
            // What a failed test said is told again after the list, and may itself come from a test binary.
            let repeating = binary.as_ref().is_some_and(|binary| binary.repeats);
            if let Some(rest) = line.strip_prefix("running ").filter(|_| !repeating) {
                tally.end_unfinished(binary.take());
                let announced = count(rest, "test") + count(rest, "tests");
                binary = Some(Binary { announced, ..Binary::default() });
            } else if let Some(counts) = line.strip_prefix("test result: ") {
                let [passed, failed, ignored, measured] =
                    ["passed", "failed", "ignored", "measured"].map(|what| count(counts, what));
                if binary.take_if(|binary| binary.announced == passed + failed + ignored + measured).is_some()
                {
                    tally.passed += passed;
                    tally.failed += failed;
                }
            } else if let Some(binary) = binary.as_mut().filter(|_| !repeating) {
                binary.repeats = line == "failures:";
                let told = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "));
                match told {
                    Some((_, "ok")) => binary.passed += 1,
                    Some((name, "FAILED")) => tally.failures.push(name.to_owned()),
                    Some((_, outcome)) if outcome.starts_with("ignored") => binary.ignored += 1,
                    _ => {}
                }
            }
        }
        tally.end_unfinished(binary);
        tally
    }

    /// Counts a binary that died before it could: what had not ended well by then has failed.
    fn end_unfinished(&mut self, binary: Option<Binary>) {
        if let Some(Binary { announced, passed, ignored, .. }) = binary {
            self.passed += passed;
            let lost = announced.saturating_sub(passed + ignored).max(1);
            self.failed += lost;
            self.failures.push(format!("a test binary died: {lost} of its tests failed or did not end"));
        }
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

/// A libtest binary whose output is being read.
#[derive(Default)]
struct Binary {
    announced: usize,
    passed: usize,
    ignored: usize,
    /// Whether it has come to the list of what failed tests said.
    repeats: bool,
}

/// The counts in nextest's `     Summary [ 1.2s] 33 tests run: 32 passed (1 slow), 1 failed, 0 skipped`.
fn nextest_summary(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("Summary [")?.split_once(" run: ").map(|(_, counts)| counts)
}

/// The test in nextest's `        FAIL [ 0.1s] (3/9) BINARY TEST`.
fn nextest_failure(line: &str) -> Option<&str> {
    let (status, rest) = line.trim_start().split_once(" [")?;
    let (seconds, name) = rest.split_once("s] ")?;
    let bad = ["FAIL", "TIMEOUT", "XFAIL", "ABORT"].contains(&status) || status.starts_with("SIG");
    let timed = seconds.trim_start_matches(['>', ' ']).parse::<f64>().is_ok();
    // The place in the run changes between the two times that a failure is told.
    let name = name.trim_start();
    let name = name.strip_prefix('(').and_then(|rest| rest.split_once(") ")).map_or(name, |(_, name)| name);
    (bad && timed).then_some(name)
}

/// The number before the word `what`, 0 where there is none.
fn count(counts: &str, what: &str) -> usize {
    let words: Vec<&str> =
        counts.split([' ', ';', ',', '(', ')', '.']).filter(|word| !word.is_empty()).collect();
    let found = words.windows(2).find(|pair| pair[1] == what);
    found.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "running 4 tests\ntest result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";

    #[test]
    fn reads_libtest() {
        let output = "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored, vm\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
            running 4 tests\n\
            test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let tally = Tally::read(output, false);
        assert_eq!((tally.passed, tally.failed), (5, 1));
        assert_eq!(tally.failures, ["a::c"]);
    }

    #[test]
    fn what_a_failed_test_said_is_not_counted() {
        let inner = "running 1 test\ntest a::c ... FAILED\n\nfailures:\n\n\
            test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 8 filtered out; finished in 0.00s\n";
        let output = format!(
            "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\nfailures:\n\n---- a::c stdout ----\n{inner}\n\
             failures:\n    a::c\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        );
        let tally = Tally::read(&output, false);
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(tally.failures, ["a::c"]);
    }

    #[test]
    fn reads_nextest() {
        let output = "\
            running 1 test\ntest mac::tests::x ... FAILED\n    test result: FAILED. 0 passed; 1 failed; 0 ignored\n\
            \x20       FAIL [   0.004s] (3/9) netloom-wire mac::tests::x\n\
            \x20  Summary [   0.059s] 9 tests run: 5 passed (2 slow, 1 flaky), 3 failed, 1 timed out, 7 skipped\n\
            \x20       FAIL [   0.004s] (4/9) netloom-wire mac::tests::x\n\
            \x20    SIGABRT [   1.004s] (5/9) netloom-wire y\n\
            \x20    TIMEOUT [> 60.000s] (5/9) netloom-wire z\n";
        let tally = Tally::read(output, false);
        assert_eq!((tally.passed, tally.failed), (5, 4));
        assert_eq!(tally.failures, ["netloom-wire mac::tests::x", "netloom-wire y", "netloom-wire z"]);
    }

    #[test]
    fn a_binary_that_dies_fails_what_it_did_not_end() {
        let died = "running 5 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ignored\nAborted\n";
        let tally = Tally::read(died, false);
        assert_eq!((tally.passed, tally.failed), (1, 3));
        let then = format!("{died}running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed\n");
        let tally = Tally::read(&then, false);
        assert_eq!((tally.passed, tally.failed), (2, 3));
    }

    #[test]
    fn a_bad_end_is_a_failure() {
        assert_eq!(Tally::read(GOOD, true).failed, 0);
        assert_eq!(Tally::read(GOOD, false).failed, 1);
        assert_eq!(Tally::read("", false).failures.len(), 1);
    }

    #[test]
    fn skips_are_not_passes() {
        let mut tally = Tally::read(GOOD, true);
        tally.note_skips("SKIP k::a: no nft\nSKIP k::a: no nft\nSKIP k::b: no tc: at all\n");
        assert_eq!((tally.passed, tally.skipped.len()), (2, 2));
        assert_eq!(tally.skipped["k::b"], "no tc: at all");
    }
}
