//! What the tools that ask a daemon share: how they end, where daemons listen, what they say.

use netloom_control::unixctl::vlog::{Level, Log};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a tool ends early.
#[derive(Debug)]
pub struct Stop {
    /// What is said, behind the tool's name; nothing if it was said already.
    pub message: Option<String>,
    /// Its status.
    pub code: u8,
}

impl Stop {
    /// Ends without a word.
    pub const fn silent(code: u8) -> Self {
        Self { message: None, code }
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self { message: Some(message), code: 1 }
    }
}

impl From<&str> for Stop {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// What becomes of a tool's work.
pub type Done<T = ()> = Result<T, Stop>;

/// Where the tool was told that its daemon is.
#[derive(Debug, Clone)]
pub struct Place {
    /// As which program it was called.
    pub program: &'static str,
    /// The run directory.
    pub run: PathBuf,
}

/// Prints on standard output. Nobody may be reading.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Prints on standard error.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// The system's words for an error.
pub fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "End of file".to_owned();
    }
    if error.kind() == io::ErrorKind::TimedOut || error.kind() == io::ErrorKind::WouldBlock {
        return "Connection timed out".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Begins the log of a tool, which is silent but for warnings.
pub fn begin_log(program: &str, verbose: &[Option<String>]) -> Done<Arc<Log>> {
    let log = Log::new(program);
    if let Ok(method) = std::env::var("OVS_SYSLOG_METHOD") {
        let _ = log.set_syslog(&method);
    }
    let _ = log.set("syslog:off");
    for spec in verbose {
        match spec {
            Some(spec) => log.set(spec).map_err(|error| format!("processing \"{spec}\": {error}"))?,
            None => log.set_all(),
        }
    }
    Ok(Arc::new(log))
}

/// Says something in the log, on the terminal too.
pub fn warn(log: &Log, module: &'static str, message: &str) {
    log.write(module, Level::Warning, message);
}

/// Ends the whole process when so many seconds have passed, as the alarm clock of the tools does.
pub fn limit(seconds: u64, log: &Arc<Log>) {
    if seconds == 0 {
        return;
    }
    let log = Arc::clone(log);
    // A thread that only sleeps: the tools do nothing that would have to be undone.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        warn(&log, "fatal_signal", "terminating with signal 14 (Alarm clock)");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::ALARM);
        std::process::exit(142);
    });
}
