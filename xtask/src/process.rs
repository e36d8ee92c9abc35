//! Running a program so that its output is seen while it comes and can be read afterwards.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

/// How a program ended and what it said.
pub(crate) struct Finished {
    /// Whether it ended with status 0.
    pub(crate) success: bool,
    /// Standard output and standard error, a line at a time, in about the order they came.
    pub(crate) text: String,
}

/// Runs `command` without standard input; both its outputs are passed on and kept.
///
/// # Errors
/// The program's name and the system's reason when it cannot be started.
pub(crate) fn streamed(command: &mut Command) -> Result<Finished, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("{name} could not be run: {error}");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let pumps = [
        child.stdout.take().map(|pipe| thread::spawn(move || pump(pipe, io::stdout()))),
        child.stderr.take().map(|pipe| thread::spawn(move || pump(pipe, io::stderr()))),
    ];
    let success = child.wait().map_err(failed)?.success();
    let text = pumps.into_iter().flatten().filter_map(|pump| pump.join().ok()).collect();
    Ok(Finished { success, text })
}

/// Copies `from` to `to` by lines and returns it; what is not UTF-8 is replaced.
fn pump(from: impl Read, mut to: impl Write) -> String {
    let mut text = String::new();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while let Ok(length) = from.read_until(b'\n', &mut line) {
        if length == 0 {
            break;
        }
        let _ = to.write_all(&line);
        let _ = to.flush();
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    text
}

/// What a program printed on standard output, or why there is nothing.
///
/// # Errors
/// The program's name with the system's reason or its own last line on standard error.
pub(crate) fn quiet(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name} could not be run: {error}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&done.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(format!("{name} failed: {last}"))
    }
}

/// Whether this process runs as root.
#[must_use]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
