//! Groups that are run, each by itself, and what became of them.
//!
//! What: a group's script is the driver of the generated suite with the text of that group alone, in a directory of its own.
//! It has so many seconds; then it is ended, and it failed. Whatever a group started carries a variable in its environment
//! by which it is found and ended, wherever it went: daemons that left their session, too.
//!
//! Invariants: nothing that a group started is there when it has ended. A group of which nothing was heard failed.

use super::rig::{Group, Suite};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It did not end in time.
    Hung,
    /// It found that it could not be run here.
    Skipped,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Hung, Self::Skipped];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Skipped => "skipped",
        }
    }

    pub(super) const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Hung)
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

/// By which whatever a group started is found.
const MARK: &str = "NETLOOM_OVS_SUITE_GROUP";
/// How often it is looked whether a group has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How groups are run.
pub(super) struct Course<'a> {
    pub(super) suite: &'a Suite,
    /// Where each group has a directory.
    pub(super) work: &'a Path,
    /// Where the daemons are.
    pub(super) bin: &'a Path,
    /// Groups at the same time.
    pub(super) jobs: usize,
    /// How long a group may take.
    pub(super) limit: Duration,
}

impl Course<'_> {
    /// Runs groups, and prints those that fail as they do; `each` gets every result when it is there.
    pub(super) fn run(
        &self,
        groups: &[&Group],
        each: &(dyn Fn(u32, Outcome) + Sync),
    ) -> Result<Results, String> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Ok(Results::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = self.one(group);
                        let Ok(mut results) = results.lock() else { return };
                        match (&mut *results, outcome) {
                            (Ok(results), Ok(outcome)) => {
                                if outcome.is_bad() {
                                    let Group { number, file, line, title, .. } = group;
                                    println!("{number:5} {file}:{line} {title}: {}", outcome.name());
                                }
                                results.insert(group.number, outcome);
                                each(group.number, outcome);
                            }
                            (_, Err(error)) => *results = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        results.into_inner().unwrap_or_else(|_| Err("a group could not be run".to_owned()))
    }

    fn one(&self, group: &Group) -> Result<Outcome, String> {
        let directory = self.work.join(group.number.to_string());
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).map_err(failed)?;
        self.suite.configure(&directory).map_err(failed)?;
        let script = directory.join("testsuite");
        fs::write(&script, self.suite.script(group)).map_err(failed)?;
        let said = directory.join("said");
        let out = fs::File::create(&said).map_err(failed)?;
        let mark = format!("{}-{}", std::process::id(), group.number);
        let mut command = Command::new("/bin/bash");
        command.arg(&script).arg("-C").arg(&directory);
        command
            .arg(format!("AUTOTEST_PATH={}:{}", self.bin.display(), self.suite.tests.display()))
            .arg(group.number.to_string())
            .env(MARK, &mark)
            .current_dir(&self.suite.tests);
        // What is set for this program is not meant for those that it starts.
        for name in
            ["NETLOOM_RUN_DIR", "NETLOOM_STATE_DIR", "NETLOOM_ROOTLESS", "MAKEFLAGS", "RUST_BACKTRACE"]
        {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the suite can't be started: {error}"))?;
        let began = Instant::now();
        let mut hung = false;
        loop {
            match child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if began.elapsed() > self.limit => {
                    hung = true;
                    end_marked(&mark);
                    let _ = child.wait();
                    break;
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(failed(error)),
            }
        }
        end_marked(&mark);
        let text =
            fs::read(&said).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let heard = text.lines().filter_map(told).find(|(number, _)| *number == group.number);
        let outcome = match (hung, heard) {
            (true, _) => Outcome::Hung,
            (false, Some((_, outcome))) => outcome,
            (false, None) => Outcome::Failed,
        };
        if outcome.is_bad() {
            let _ = fs::remove_file(&script);
        } else {
            let _ = fs::remove_dir_all(&directory);
        }
        Ok(outcome)
    }
}

/// Processes whose environment has this mark.
fn marked(mark: &str) -> BTreeSet<u32> {
    let is = format!("{MARK}={mark}");
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|octet| *octet == 0).any(|variable| variable == is.as_bytes())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
}

/// Ends all processes of a group.
fn end_marked(mark: &str) {
    // What ends may start something first, but not for ever.
    for _ in 0..50 {
        let all = marked(mark);
        if all.is_empty() {
            return;
        }
        // Those that have ended meanwhile can't be ended.
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(all.iter().map(u32::to_string))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        std::thread::sleep(LOOK);
    }
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
        assert_eq!(remembered("12 hung"), Some((12, Outcome::Hung)));
        assert_eq!(remembered("x passed"), None);
    }

    /// A script that starts what leaves its session, and then hangs.
    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        let top = std::env::temp_dir().join(format!("netloom-suite-hang-{}", std::process::id()));
        let tests = top.join("tests");
        fs::create_dir_all(&tests).unwrap();
        fs::write(tests.join("atlocal.in"), "").unwrap();
        let suite = Suite::of(
            &top,
            b"setsid sleep 300 & echo $$ > \"$2/began\"; sleep 300\n#AT_START_1\n#AT_STOP_1\n#AT_START_2\n#AT_STOP_2\n",
        );
        let group =
            |number| Group { number, file: "x.at".into(), line: 1, title: "x".into(), needs_helper: false };
        let (work, bin) = (top.join("w"), top.join("bin"));
        let limit = Duration::from_millis(1500);
        let course = Course { suite: &suite, work: &work, bin: &bin, jobs: 2, limit };
        let results = course.run(&[&group(1), &group(2)], &|_, _| {}).unwrap();
        assert_eq!(results, [(1, Outcome::Hung), (2, Outcome::Hung)].into());
        for number in [1, 2] {
            assert!(work.join(format!("{number}/began")).exists(), "the script was started");
            assert!(marked(&format!("{}-{number}", std::process::id())).is_empty());
        }
        fs::remove_dir_all(&top).unwrap();
    }
}
