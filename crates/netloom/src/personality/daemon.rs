//! A daemon as those of Open vSwitch are: it leaves the terminal, its parent returns when it is ready, a monitor starts it
//! again when it crashes, and a pid file that it holds locked says who it is.
//!
//! This program starts itself for each part; a variable in the environment says which one it is. Whoever waits reads its
//! standard output, on which a daemon says that it is ready.

use super::arguments::Called;
use rustix::fs::FlockOperation;
use rustix::process::{Flock, FlockType};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Which part a process is.
pub const ROLE: &str = "NETLOOM_DAEMON_ROLE";
/// Where a daemon keeps what it was told, for the one that a monitor starts in its place.
pub const MEMORY: &str = "NETLOOM_DAEMON_MEMORY";
/// What a daemon says when it is ready.
const READY: &[u8] = b"ready\n";
/// Signals after which a monitor starts its daemon again: those of crashes (ABRT, ALRM, BUS, FPE, ILL, PIPE, SEGV, XCPU,
/// XFSZ).
const CRASHES: [i32; 9] = [6, 14, 7, 8, 4, 13, 11, 24, 25];
/// Daemons that crash more often than this are started more slowly.
const AGAIN: Duration = Duration::from_secs(10);

/// Leaves the terminal as the command line says it. Gives the status with which this process ends; none for the process
/// that is the daemon itself.
///
/// # Errors
/// When a process can't be started, or there is no such user.
pub fn leave(called: &Called) -> Result<Option<u8>, String> {
    let role = std::env::var(ROLE).unwrap_or_default();
    match (role.as_str(), called.detach, called.monitor) {
        ("daemon" | "alone", ..) => {
            begin(called)?;
            Ok(None)
        }
        ("", true, monitor) => {
            let mut child = again(called, if monitor { "monitor" } else { "daemon" }, None)?;
            if wait_until_ready(&mut child) {
                return Ok(Some(0));
            }
            let status = child.wait().map_err(|error| error.to_string())?;
            Ok(Some(code(status)))
        }
        ("monitor", ..) | (_, false, true) => monitor(called, role == "monitor").map(Some),
        _ => {
            if called.user.is_some() {
                // Another user's from the beginning.
                let error = this(called, "alone")?.exec();
                return Err(format!("can't become another user's process: {error}"));
            }
            begin(called)?;
            Ok(None)
        }
    }
}

/// The process is the daemon from here on.
fn begin(called: &Called) -> Result<(), String> {
    // A monitor sees a crash, also one that somebody pretends.
    netloom_kernel::process::end_by_faults();
    if let Ok(name) = std::ffi::CString::new(called.program) {
        // As `ps` shows it.
        let _ = rustix::thread::set_name(&name);
    }
    if called.detach {
        // Already the first of its session, under a monitor that is: then it stays in that one.
        let _ = rustix::process::setsid();
    }
    if called.lock_memory
        && let Err(error) =
            rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT | rustix::mm::MlockAllFlags::FUTURE)
    {
        eprintln!("{}: mlockall failed: {error}", called.program);
    }
    Ok(())
}

/// Starts this program again with the same arguments, in another role.
fn again(called: &Called, role: &str, memory: Option<&Path>) -> Result<Child, String> {
    let mut command = this(called, role)?;
    command.envs(memory.map(|path| (MEMORY, path)));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| format!("fork failed: {error}"))
}

fn this(called: &Called, role: &str) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg0(called.program).args(&called.all).env(ROLE, role);
    if let Some(user) = &called.user
        && role != "monitor"
    {
        let (user, group) = user_of(user)?;
        command.gid(group).uid(user);
    }
    Ok(command)
}

/// The numbers of `USER[:GROUP]`, or of `:GROUP`.
fn user_of(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let find = |file: &str, name: &str| -> Option<Vec<String>> {
        let lines = std::fs::read_to_string(file).ok()?;
        let mut lines = lines.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        lines.find(|fields| fields.first().is_some_and(|field| field == name))
    };
    let number = |fields: &[String], at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok());
    let (uid, own) = match user {
        "" => (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
        user => {
            let entry = find("/etc/passwd", user).unwrap_or_default();
            number(&entry, 2).zip(number(&entry, 3)).ok_or_else(|| format!("failed to find user {user}"))?
        }
    };
    let gid = match group {
        "" => own,
        group => find("/etc/group", group)
            .and_then(|entry| number(&entry, 2))
            .ok_or_else(|| format!("failed to find group {group}"))?,
    };
    Ok((uid, gid))
}

/// Whether a daemon said that it is ready, before it ended.
fn wait_until_ready(child: &mut Child) -> bool {
    let mut said = [0; READY.len()];
    child.stdout.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok()) && said == READY
}

/// The status of a process that ends as another one did.
fn code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// What is taken away with the monitor.
struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Starts the daemon, and again when it crashes.
fn monitor(called: &Called, detached: bool) -> Result<u8, String> {
    if let Ok(name) = std::ffi::CString::new("monitor") {
        let _ = rustix::thread::set_name(&name);
    }
    if detached {
        let _ = rustix::process::setsid();
    }
    let mut said = false;
    let mut restarted: Option<Instant> = None;
    let memory = Memory(std::env::temp_dir().join(format!("netloom-daemon-{}", std::process::id())));
    loop {
        let mut child = again(called, "daemon", Some(&memory.0))?;
        if wait_until_ready(&mut child) && !said {
            said = true;
            if detached {
                ready();
                let _ = close_standard(called);
            }
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        if !status.signal().is_some_and(|signal| CRASHES.contains(&signal)) {
            return Ok(code(status));
        }
        if let Some(rest) = restarted.and_then(|before| AGAIN.checked_sub(before.elapsed())) {
            std::thread::sleep(rest);
        }
        restarted = Some(Instant::now());
    }
}

/// Says that this process does its work from now on, to whoever waits for that.
fn ready() {
    let mut out = io::stdout();
    // Who does not wait does not read.
    let _ = out.write_all(READY).and_then(|()| out.flush());
}

/// Says that the daemon is ready, and leaves the terminal and its directory if the command line says so. The log should not
/// go to the console from then on.
///
/// # Errors
/// When the terminal can't be left.
pub fn complete(called: &Called) -> io::Result<()> {
    if std::env::var_os(ROLE).is_some_and(|role| role == "daemon") {
        ready();
    }
    if called.detach {
        close_standard(called)?;
    }
    Ok(())
}

/// Leaves terminal and directory.
fn close_standard(called: &Called) -> io::Result<()> {
    let nothing = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    if !called.no_chdir {
        std::env::set_current_dir("/")?;
    }
    Ok(())
}

/// A pid file, held locked as long as the process lives and taken away at the end.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Makes it.
    ///
    /// # Errors
    /// When another process has it, or it can't be written.
    pub fn make(path: &Path, overwrite: bool) -> Result<Self, String> {
        let failed = |what: &str, error: io::Error| format!("{}: {what} ({error})", path.display());
        if !overwrite && let Some(pid) = holder(path) {
            return Err(format!("{}: already running as pid {pid}, aborting", path.display()));
        }
        let beside = path.with_extension(format!("pid.tmp{}", std::process::id()));
        let make = || -> io::Result<File> {
            let mut file = File::create(&beside)?;
            rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
            writeln!(file, "{}", std::process::id())?;
            std::fs::rename(&beside, path)?;
            Ok(file)
        };
        let file = make().map_err(|error| {
            let _ = std::fs::remove_file(&beside);
            failed("create failed", error)
        })?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A successor has put its own there.
        let number = |of: io::Result<std::fs::Metadata>| of.ok().map(|of| (of.dev(), of.ino()));
        if number(self.file.metadata()) == number(std::fs::metadata(&self.path)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The process that holds a pid file locked.
fn holder(path: &Path) -> Option<i32> {
    let file = File::open(path).ok()?;
    let asked = Flock::from(FlockType::WriteLock);
    let found = rustix::process::fcntl_getlk(&file, &asked).ok()??;
    found.pid.map(|pid| pid.as_raw_nonzero().get())
}
