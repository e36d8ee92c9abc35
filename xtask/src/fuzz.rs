//! Fuzzing every target for so much processor time, with what was found kept.
//!
//! ```text
//! fuzz/seeds/TARGET.tar.gz -> target/fuzz/TARGET/corpus -> the target for N minutes -> minimized -> fuzz/seeds/TARGET.tar.gz
//!                                                                             `-> a line of fuzz/RUNS.md
//! ```
//!
//! Targets that are named are fuzzed for so long; without names each is fuzzed for what it still lacks, so that a run that was
//! stopped is taken up by the next one. Time is the processor's, so that a busy machine does not shorten it. A finding stays in `target/fuzz/TARGET/findings`, and
//! the chore fails. Needs a nightly toolchain and `cargo-fuzz`; `tar` packs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the lines about targets are.
const RUNS: &str = "fuzz/RUNS.md";
const HEAD: &str = "# How long each target was fuzzed\n\nBy `cargo xtask fuzz`: minutes of processor time with \
                    AddressSanitizer, of all runs together, and what the last run\nleft. The inputs are in `seeds/`.\n\n\
                    | target | minutes | executions of the last run | inputs |\n|---|---|---|---|\n";
/// Minutes that a target may lack: what is written is rounded.
const ENOUGH: f64 = 0.1;
/// Clock ticks of a second in /proc (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What is asked for.
struct Wishes {
    jobs: usize,
    /// Targets, and how many minutes each gets.
    targets: Vec<(String, f64)>,
}

/// Carries out `cargo xtask fuzz`.
///
/// # Errors
/// What is missing, or a target that can't be run.
pub(crate) fn run(arguments: &[String]) -> Result<bool, String> {
    let top = crate::binaries::top();
    std::env::set_current_dir(&top).map_err(|error| format!("{}: {error}", top.display()))?;
    let wishes = wishes(arguments)?;
    let built = Command::new("cargo").args(["+nightly", "fuzz", "build"]).status();
    if !built.is_ok_and(|status| status.success()) {
        return Err(
            "the targets can't be built: `rustup toolchain install nightly` and `cargo install cargo-fuzz` \
                    bring what is needed"
                .to_owned(),
        );
    }
    let mut waiting = wishes.targets.into_iter();
    let mut running: Vec<Run> = Vec::new();
    let mut good = true;
    loop {
        while running.len() < wishes.jobs
            && let Some((target, minutes)) = waiting.next()
        {
            running.push(Run::start(target, minutes)?);
        }
        if running.is_empty() {
            return Ok(good);
        }
        std::thread::sleep(Duration::from_millis(500));
        let mut still = Vec::new();
        for mut run in running {
            if run.goes_on() {
                still.push(run);
            } else {
                good &= run.finish()?;
            }
        }
        running = still;
    }
}

fn wishes(arguments: &[String]) -> Result<Wishes, String> {
    let (mut minutes, mut jobs, mut named) = (10.0, 1, Vec::new());
    let known = targets()?;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value =
                arguments.next().and_then(|text| text.parse::<f64>().ok()).filter(|value| *value > 0.0);
            value.ok_or_else(|| format!("{argument} needs a number above 0"))
        };
        match argument.as_str() {
            "--minutes" => minutes = number()?,
            "--jobs" => jobs = (number()? as usize).max(1),
            target if known.iter().any(|known| known == target) => named.push(target.to_owned()),
            other => return Err(format!("there is no target `{other}`: {}", known.join(", "))),
        }
    }
    if !named.is_empty() {
        let targets = named.into_iter().map(|target| (target, minutes)).collect();
        return Ok(Wishes { jobs, targets });
    }
    let before = lines(&fs::read_to_string(RUNS).unwrap_or_default());
    let lacks = |target: String| {
        let had = before.get(&target).map_or(0.0, |(had, _)| *had);
        (had + ENOUGH < minutes).then_some((target, minutes - had))
    };
    Ok(Wishes { jobs, targets: known.into_iter().filter_map(lacks).collect() })
}

/// The names of all targets.
fn targets() -> Result<Vec<String>, String> {
    let files = fs::read_dir("fuzz/fuzz_targets").map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let stem = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(stem).collect();
    names.sort();
    Ok(names)
}

/// A target that runs.
struct Run {
    target: String,
    seconds: f64,
    place: PathBuf,
    child: Child,
    since: Instant,
    used: f64,
    told: bool,
}

impl Run {
    fn start(target: String, minutes: f64) -> Result<Self, String> {
        let place = Path::new("target/fuzz").join(&target);
        let failed = |error: std::io::Error| format!("{target}: {error}");
        for name in ["corpus", "findings"] {
            fs::create_dir_all(place.join(name)).map_err(failed)?;
        }
        let seeds = seeds(&target);
        if seeds.exists() {
            tar(&["-xzf", &text(&seeds), "-C", &text(&place.join("corpus"))])?;
        }
        let log = File::create(place.join("log")).map_err(failed)?;
        let findings = format!("-artifact_prefix={}/", place.join("findings").display());
        let child = Command::new(program(&target)?)
            .arg(place.join("corpus"))
            .args([
                &findings,
                "-print_final_stats=1",
                "-rss_limit_mb=2048",
                "-timeout=300",
                "-report_slow_units=3600",
            ])
            // Time is the processor's: this is only the end of a run that gets none.
            .arg(format!("-max_total_time={}", (minutes * 60.0 * 40.0) as u64))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        println!("{target}: begins");
        let (since, seconds) = (Instant::now(), minutes * 60.0);
        Ok(Self { target, seconds, place, child, since, used: 0.0, told: false })
    }

    /// Looks how far it is; false when it has ended. After its time it is told to end.
    fn goes_on(&mut self) -> bool {
        if let Some(used) = used(self.child.id()) {
            self.used = used;
        }
        if self.used >= self.seconds && !self.told {
            self.told = true;
            // libFuzzer says what it did when it is interrupted.
            let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        }
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Keeps what it left; false when it found something.
    fn finish(mut self) -> Result<bool, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.target);
        let _ = self.child.wait();
        let log = fs::read_to_string(self.place.join("log")).unwrap_or_default();
        let found = fs::read_dir(self.place.join("findings")).map_err(failed)?.count();
        let small = self.place.join("small");
        let _ = fs::remove_dir_all(&small);
        fs::create_dir_all(&small).map_err(failed)?;
        let merged = Command::new(program(&self.target)?)
            .arg("-merge=1")
            .args([&small, &self.place.join("corpus")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let inputs = fs::read_dir(&small).map_err(failed)?.count();
        if merged.is_ok_and(|status| status.success()) && inputs > 0 {
            fs::create_dir_all("fuzz/seeds").map_err(failed)?;
            let seeds = text(&seeds(&self.target));
            let same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
            tar(&[&same[..], &["-czf", &seeds, "-C", &text(&small), "."]].concat())?;
        }
        let executions = executions(&log);
        note(&self.target, self.used / 60.0, executions, inputs)?;
        println!(
            "{}: {:.1} minutes of processor time in {:.1}, {executions} executions, {inputs} inputs, {found} findings",
            self.target,
            self.used / 60.0,
            self.since.elapsed().as_secs_f64() / 60.0,
        );
        Ok(found == 0 && self.told)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn seeds(target: &str) -> PathBuf {
    PathBuf::from(format!("fuzz/seeds/{target}.tar.gz"))
}

/// The built target.
fn program(target: &str) -> Result<PathBuf, String> {
    let built = fs::read_dir("fuzz/target").map_err(|error| format!("fuzz/target: {error}"))?;
    let mut programs = built.flatten().map(|triple| triple.path().join("release").join(target));
    programs.find(|path| path.is_file()).ok_or_else(|| format!("{target} was not built"))
}

fn tar(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("tar").args(arguments).status();
    if done.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(format!("tar {} failed", arguments.join(" ")))
    }
}

/// Seconds of processor time that a process has used.
fn used(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS)
}

/// How often the target was called, by what libFuzzer wrote last.
fn executions(log: &str) -> u64 {
    let stated = log.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let seen = || log.lines().rev().find_map(|line| line.strip_prefix('#')?.split_whitespace().next());
    stated.map(str::trim).or_else(seen).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Writes the line of a target.
fn note(target: &str, minutes: f64, executions: u64, inputs: usize) -> Result<(), String> {
    let mut lines = lines(&fs::read_to_string(RUNS).unwrap_or_default());
    let before = lines.get(target).map_or(0.0, |(minutes, _)| *minutes);
    lines.insert(target.to_owned(), (before + minutes, format!("{executions} | {inputs}")));
    let row = |(target, (minutes, rest)): (&String, &(f64, String))| {
        format!("| {target} | {minutes:.1} | {rest} |\n")
    };
    let text: String = lines.iter().map(row).collect();
    fs::write(RUNS, format!("{HEAD}{text}")).map_err(|error| format!("{RUNS}: {error}"))
}

/// The lines that are there: minutes, and the rest.
fn lines(text: &str) -> BTreeMap<String, (f64, String)> {
    let line = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [target, minutes, rest @ ..] = &cells[..] else { return None };
        Some(((*target).to_owned(), (minutes.parse().ok()?, rest.join(" | "))))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_about_targets_is_read_again() {
        let text = format!("{HEAD}| arp | 10.1 | 23 | 4 |\n| vlan | 0.5 | 7 | 1 |\n");
        let lines = lines(&text);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines["arp"], (10.1, "23 | 4".to_owned()));
    }

    #[test]
    fn executions_are_found_in_both_kinds_of_logs() {
        assert_eq!(executions("#8\tpulse\nstat::number_of_executed_units: 99\nstat::x: 1\n"), 99);
        assert_eq!(executions("#8\tpulse\n#16\tpulse  cov: 2\nSUMMARY: stopped\n"), 16);
        assert_eq!(executions(""), 0);
    }
}
