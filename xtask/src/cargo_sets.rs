//! The sets that cargo or nextest runs by itself: the ordinary tests and the documentation's.

use crate::binaries::{self, Built};
use crate::process;
use crate::tally::Tally;
use std::path::Path;

/// Every test that is not marked `#[ignore]`, by nextest where it is installed.
pub(crate) fn ordinary(built: &Built, skips: &Path) -> Result<Tally, String> {
    let mut command = binaries::cargo();
    if process::quiet(binaries::cargo().args(["nextest", "--version"])).is_ok() {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
    } else {
        command.args(["test", "--workspace", "--tests", "--no-fail-fast"]);
    }
    let done = process::streamed(command.env("NETLOOM_SKIPS", skips))?;
    let mut tally = Tally::read(&done.text, done.success);
    for binary in built.tests.iter().filter(|binary| !binary.target.starts_with("vm_")) {
        let name = |test| format!("{}::{test}", binary.target);
        tally
            .add(Tally::not_run(binary.ignored()?.into_iter().map(name), "marked #[ignore]: run it by hand"));
    }
    Ok(tally)
}

/// The examples in the documentation of the libraries.
pub(crate) fn doc() -> Result<Tally, String> {
    let done = process::streamed(binaries::cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]))?;
    Ok(Tally::read(&done.text, done.success))
}
