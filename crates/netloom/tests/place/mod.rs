//! The program called `ovs-vswitchd` and `ovsdb-server`, in a run directory of its own.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, and not every test uses all of them"
)]

use netloom_control::ovsdb::DatabaseFile;
use netloom_control::unixctl::ask;
use netloom_proto::ovsdb::{OPEN_VSWITCH, Schema};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A run directory, and what was started in it.
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(name, &self.path);
        }
        for name in ["NETLOOM_RUN_DIR", "NETLOOM_STATE_DIR", "NETLOOM_ROOTLESS", "NETLOOM_DAEMON_ROLE"] {
            command.env_remove(name);
        }
        command.env("OVS_SYSLOG_METHOD", "null").current_dir(&self.path);
        command
    }

    /// This program under another name.
    pub fn called(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_netloom")).arg0(name).args(arguments).output().unwrap()
    }

    /// A database server, with an empty database.
    pub fn database(&self) {
        let file = self.path.join("conf.db");
        if !file.exists() {
            DatabaseFile::create(&file, &Schema::parse(OPEN_VSWITCH).unwrap()).unwrap();
        }
        let remote = format!("--remote=punix:{}", self.path.join("db.sock").display());
        let arguments = ["conf.db", &remote, "--detach", "--no-chdir", "--pidfile", "-vconsole:off"];
        let output = self.called("ovsdb-server", &arguments);
        assert!(output.status.success(), "{output:?}");
    }

    /// A switch, and a database server if there is none.
    pub fn switch(&self, arguments: &[&str]) {
        if !self.pid("ovsdb-server").is_some_and(alive) {
            self.database();
        }
        let output = self.called(
            "ovs-vswitchd",
            &[&["--detach", "--no-chdir", "--pidfile", "--log-file"], arguments].concat(),
        );
        assert!(output.status.success(), "{output:?}");
    }

    pub fn pid(&self, program: &str) -> Option<i32> {
        std::fs::read_to_string(self.path.join(format!("{program}.pid"))).ok()?.trim().parse().ok()
    }

    pub fn socket(&self, program: &str) -> PathBuf {
        self.path.join(format!("{program}.{}.ctl", self.pid(program).unwrap()))
    }

    /// Ends a program and waits until it has ended.
    pub fn end(&self, program: &str) {
        let pid = self.pid(program).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        until("it ends", || !alive(pid));
    }

    /// What the switch answers.
    pub fn ask(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        ask(&self.socket("ovs-vswitchd"), command, arguments, PATIENCE).unwrap()
    }

    /// As a user of the switch's own commands.
    pub fn netloom(&self, arguments: &[&str]) {
        let directory = self.path.join(format!(".netloom.{}", self.pid("ovs-vswitchd").unwrap()));
        let output = self
            .command(env!("CARGO_BIN_EXE_netloom"))
            .arg("--run")
            .arg(directory)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for program in ["ovs-vswitchd", "ovsdb-server"] {
            // One that is there no more, or was never, can't be ended.
            if let Some(pid) = self.pid(program).and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn alive(pid: i32) -> bool {
    // One that has ended and was not waited for is there all the same.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}
