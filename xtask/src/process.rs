//! Running a program so that its output is seen while it comes and can be read afterwards.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// How a program ended and what it said.
pub(crate) struct Finished {
    /// Whether it ended with status 0.
    pub(crate) success: bool,
    /// What it wrote to standard output, then what it wrote to standard error.
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
    let said: [Arc<Mutex<String>>; 2] = Default::default();
    let (ended, ends) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        pump(pipe, io::stdout(), &said[0], &ended);
    }
    if let Some(pipe) = child.stderr.take() {
        pump(pipe, io::stderr(), &said[1], &ended);
    }
    let success = child.wait().map_err(failed)?.success();
    // A process that it left behind may hold the pipes open for ever: what is there by now is all.
    for _ in &said {
        let _ = ends.recv_timeout(Duration::from_secs(2));
    }
    let text = said.iter().map(|part| part.lock().map(|text| text.clone()).unwrap_or_default()).collect();
    Ok(Finished { success, text })
}

/// Starts to copy `from` to `to` and to `said` by lines, and tells `ended` at the end; what is not UTF-8 is replaced.
fn pump(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    said: &Arc<Mutex<String>>,
    ended: &mpsc::Sender<()>,
) {
    let (said, ended) = (Arc::clone(said), ended.clone());
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = to.write_all(&line);
            let _ = to.flush();
            if let Ok(mut text) = said.lock() {
                text.push_str(&String::from_utf8_lossy(&line));
            }
            line.clear();
        }
        let _ = ended.send(());
    });
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
        // Programs begin what they say themselves with their name; more may follow from what they ran.
        let said = String::from_utf8_lossy(&done.stderr);
        let own = format!("{}:", Path::new(&name).file_name().unwrap_or_default().to_string_lossy());
        let last = said
            .lines()
            .rfind(|line| line.starts_with(&own))
            .or_else(|| said.lines().rfind(|line| !line.trim().is_empty()))
            .unwrap_or("it said nothing");
        Err(format!("{name} failed: {last}"))
    }
}

/// Whether this process runs as root.
#[must_use]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn both_outputs_and_the_status_are_kept() {
        let done = streamed(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap();
        assert!(!done.success);
        assert_eq!(done.text, "one\ntwo\n");
        assert!(streamed(&mut Command::new("/nonexistent/program")).is_err());
    }

    #[test]
    fn a_process_left_behind_does_not_hold_it_up() {
        let started = Instant::now();
        let done = streamed(Command::new("sh").args(["-c", "sleep 20 & echo $!"])).unwrap();
        assert!(started.elapsed() < Duration::from_secs(15));
        let _ = quiet(Command::new("kill").arg(done.text.trim()));
        assert!(quiet(Command::new("sh").args(["-c", "echo why >&2; false"])).unwrap_err().ends_with("why"));
    }
}
