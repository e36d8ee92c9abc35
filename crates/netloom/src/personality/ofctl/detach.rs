//! `--detach` of a tool that goes on listening: the one that was called waits until the other has begun, and ends.
//!
//! The other process is this program again with the same words. It writes to its standard input when it has begun, since
//! its standard output is the user's until then and its standard error stays so.

use super::super::client::{Done, Stop, words};
use super::super::daemon::PidFile;
use super::options::Options;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const ROLE: &str = "NETLOOM_TOOL_DETACHED";

/// A tool that has begun.
pub struct Begun {
    detached: bool,
    no_chdir: bool,
    _pid_file: Option<PidFile>,
}

/// Goes into the background if the command line says so. Gives nothing in the process that was called: it ends.
///
/// # Errors
/// When the other process ends before it has begun, with its status.
pub fn begin(options: &Options) -> Done<Option<Begun>> {
    let detached = std::env::var_os(ROLE).is_some();
    if options.detach && !detached {
        let failed = |error: &io::Error| Stop::from(format!("fork failed ({})", words(error)));
        let (mut read, write) = io::pipe().map_err(|error| failed(&error))?;
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        command.arg0(options.place.program).args(&options.all);
        command.env(ROLE, "1").env("OVS_RUNDIR", &options.place.run).stdin(Stdio::from(write));
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        drop(command);
        let mut one = [0];
        if matches!(read.read(&mut one), Ok(1)) {
            return Ok(None);
        }
        let status = child.wait().map_err(|error| failed(&error))?;
        return Err(Stop::silent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
    }
    let pid_file = match &options.pid_file {
        Some(path) => Some(PidFile::make(path, options.overwrite_pid_file)?),
        None => None,
    };
    Ok(Some(Begun { detached, no_chdir: options.no_chdir, _pid_file: pid_file }))
}

impl Begun {
    /// Says that the tool has begun, and leaves the terminal but for standard error.
    ///
    /// # Errors
    /// When the terminal can't be left.
    pub fn complete(&self) -> io::Result<()> {
        if !self.detached {
            return Ok(());
        }
        let _ = rustix::process::setsid();
        // Who does not wait any more does not read.
        let _ = rustix::io::write(rustix::stdio::stdin(), &[1]);
        let nothing = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        rustix::stdio::dup2_stdout(&nothing)?;
        if !self.no_chdir {
            std::env::set_current_dir("/")?;
        }
        Ok(())
    }
}
