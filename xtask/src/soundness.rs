//! The crates with unsafe code under what can see a fault of memory or of order: Miri, loom, AddressSanitizer, ThreadSanitizer.
//!
//! What: each check is one run of cargo with its own flags and its own directory below `target/soundness`, whose log stays
//! there; one line each says how many tests passed and how long it took. A check that finds no test fails, too.
//!
//! Needs a nightly toolchain with `miri` and `rust-src`. Absent: what Miri can't do (system calls beyond plain files, memory
//! that two mappings share): those parts of `port` have loom, the sanitizers and `cargo xtask fuzz`.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A run of cargo.
struct Check {
    name: &'static str,
    flags: (&'static str, &'static str),
    arguments: &'static [&'static str],
}

const TARGET: &str = "x86_64-unknown-linux-gnu";

const CHECKS: &[Check] = &[
    Check {
        name: "miri-mem",
        flags: ("MIRIFLAGS", "-Zmiri-disable-isolation"),
        arguments: &["+nightly", "miri", "test", "-p", "netloom-mem"],
    },
    Check {
        name: "miri-port",
        flags: ("MIRIFLAGS", "-Zmiri-disable-isolation"),
        arguments: &[
            "+nightly",
            "miri",
            "test",
            "-p",
            "netloom-port",
            "--lib",
            "--",
            "vhost::gate",
            "xdp::",
            "memory",
            "patch",
        ],
    },
    Check {
        name: "loom-mem",
        flags: ("RUSTFLAGS", "--cfg loom"),
        arguments: &["test", "-p", "netloom-mem", "--release"],
    },
    Check {
        name: "loom-port",
        flags: ("RUSTFLAGS", "--cfg loom"),
        arguments: &["test", "-p", "netloom-port", "--lib", "--release", "--", "model::"],
    },
    Check {
        name: "address",
        flags: ("RUSTFLAGS", "-Zsanitizer=address"),
        arguments: &[
            "+nightly",
            "test",
            "-Zbuild-std",
            "--target",
            TARGET,
            "-p",
            "netloom-port",
            "-p",
            "netloom-mem",
            "--lib",
            "--tests",
        ],
    },
    Check {
        name: "thread",
        flags: ("RUSTFLAGS", "-Zsanitizer=thread"),
        arguments: &[
            "+nightly",
            "test",
            "-Zbuild-std",
            "--target",
            TARGET,
            "-p",
            "netloom-mem",
            "-p",
            "netloom-datapath",
            "--lib",
            "--test",
            "crew",
        ],
    },
];

/// Carries out `cargo xtask soundness`: the checks that are named, or all.
///
/// # Errors
/// A check that there is not, or a log that can't be written.
pub(crate) fn run(arguments: &[String]) -> Result<bool, String> {
    let top = crate::binaries::top();
    let names = || CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().join(", ");
    if let Some(other) = arguments.iter().find(|name| CHECKS.iter().all(|check| check.name != **name)) {
        return Err(format!("there is no check `{other}`: {}", names()));
    }
    let mut good = true;
    for check in CHECKS {
        if arguments.is_empty() || arguments.iter().any(|name| name == check.name) {
            good &= check.run(&top)?;
        }
    }
    Ok(good)
}

impl Check {
    fn run(&self, top: &Path) -> Result<bool, String> {
        let place = top.join("target/soundness");
        let path = place.join(format!("{}.log", self.name));
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(&place).map_err(failed)?;
        let log = File::create(&path).map_err(failed)?;
        let since = Instant::now();
        let (variable, value) = self.flags;
        let status = Command::new("cargo")
            .args(self.arguments)
            .current_dir(top)
            .env(variable, value)
            .env("CARGO_TARGET_DIR", place.join(self.name))
            // Under Miri a case takes as long as a thousand without it.
            .env("PROPTEST_CASES", if variable == "MIRIFLAGS" { "4" } else { "256" })
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        let passed = passed(&std::fs::read_to_string(&path).map_err(failed)?);
        let good = status.success() && passed > 0;
        let word = if good { "good" } else { "FAILED" };
        let minutes = since.elapsed().as_secs_f64() / 60.0;
        println!("{}: {word}, {passed} passed in {minutes:.1} min ({})", self.name, path.display());
        Ok(good)
    }
}

/// How many tests passed, by the lines of their runner.
fn passed(log: &str) -> usize {
    let of = |line: &str| line.split("result: ").nth(1)?.split(' ').nth(1)?.parse::<usize>().ok();
    log.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_of_all_programs_are_counted() {
        let log =
            "test result: ok. 3 passed; 0 failed; 1 ignored\n\ntest result: FAILED. 4 passed; 1 failed;\n";
        assert_eq!(super::passed(log), 7);
        assert_eq!(super::passed("error: nothing"), 0);
    }
}
