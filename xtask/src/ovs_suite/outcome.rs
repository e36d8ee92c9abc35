//! Groups that are run, and what became of them.

use super::rig::Group;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It found that it could not be run here.
    Skipped,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Skipped];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of each group that was run.
pub(crate) type Results = BTreeMap<u32, Outcome>;

/// A line of remembered results.
pub(super) fn remembered(line: &str) -> Option<(u32, Outcome)> {
    let (number, name) = line.split_once(' ')?;
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name)?;
    Some((number.parse().ok()?, outcome))
}

/// A line that the suite prints: `  1: title   ok`.
fn told(line: &str) -> Option<(u32, Outcome)> {
    let (number, rest) = line.split_once(':')?;
    let number = number.trim().parse().ok()?;
    let rest = rest.trim_end();
    let last = rest.rsplit("  ").next().unwrap_or(rest).trim();
    let outcome = match last {
        "ok" => Outcome::Passed,
        last if last.starts_with("skipped") => Outcome::Skipped,
        last if last.starts_with("expected failure") => Outcome::Passed,
        last if last.starts_with("FAILED") || last.starts_with("UNEXPECTED") => Outcome::Failed,
        _ if rest.ends_with(" ok") => Outcome::Passed,
        _ if rest.contains(" FAILED (") => Outcome::Failed,
        _ if rest.contains(" skipped (") => Outcome::Skipped,
        _ => return None,
    };
    Some((number, outcome))
}

/// Most groups of one run of the suite, so that what it prints stays short enough to be watched.
const PART: usize = 400;

/// Runs groups, and prints those that fail as they do.
pub(super) fn run(
    tests: &Path,
    work: &Path,
    bin: &Path,
    groups: &[&Group],
    jobs: usize,
) -> Result<Results, String> {
    let mut results = Results::new();
    for part in groups.chunks(PART) {
        let numbers: Vec<String> = part.iter().map(|group| group.number.to_string()).collect();
        let mut command = Command::new("/bin/bash");
        command.arg(tests.join("testsuite")).arg("-C").arg(work).arg(format!("--jobs={}", jobs.max(1)));
        command
            .arg(format!("AUTOTEST_PATH={}:{}", bin.display(), tests.display()))
            .args(&numbers)
            .current_dir(tests);
        // What is set for this program is not meant for those that it starts.
        for name in ["NETLOOM_RUN_DIR", "NETLOOM_STATE_DIR", "NETLOOM_ROOTLESS", "MAKEFLAGS"] {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the suite can't be started: {error}"))?;
        if let Some(out) = child.stdout.take() {
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some((number, outcome)) = told(&line) {
                    if outcome == Outcome::Failed {
                        println!("{}", line.trim_end());
                    }
                    results.insert(number, outcome);
                }
            }
        }
        child.wait().map_err(|error| format!("the suite: {error}"))?;
    }
    // A group of which nothing was heard did not pass.
    for group in groups {
        results.entry(group.number).or_insert(Outcome::Failed);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_suite() {
        for (line, outcome) in [
            ("  1: appctl-bashcomp - basic verification            ok", Some((1, Outcome::Passed))),
            (
                "700: large integers: that overflow to reals          FAILED (json.at:189)",
                Some((700, Outcome::Failed)),
            ),
            (
                " 32: a title that is as long as the line is wide and longer FAILED (x.at:1)",
                Some((32, Outcome::Failed)),
            ),
            (
                "  5: daemon --service                               skipped (daemon.at:214)",
                Some((5, Outcome::Skipped)),
            ),
            (
                "  6: xfail                                  expected failure (x.at:3)",
                Some((6, Outcome::Passed)),
            ),
            ("## Test results. ##", None),
            ("completion", None),
        ] {
            assert_eq!(told(line), outcome, "{line}");
        }
        assert_eq!(remembered("12 passed"), Some((12, Outcome::Passed)));
        assert_eq!(remembered("x passed"), None);
    }
}
