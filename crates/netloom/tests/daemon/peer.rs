//! Open vSwitch at the other end.

use super::until;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Open vSwitch with files of its own; it ends with this.
pub struct OpenVSwitch {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl OpenVSwitch {
    fn command(directory: &Path, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, directory);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it; `None` where it is not installed.
    pub fn start(directory: PathBuf) -> Option<Self> {
        let (program, schema) =
            ("/usr/lib/openvswitch-switch/ovs-vswitchd", "/usr/share/openvswitch/vswitch.ovsschema");
        if !Path::new(program).exists() || !Path::new(schema).exists() {
            return None;
        }
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("conf.db");
        let made = Self::command(&directory, "ovsdb-tool").arg("create").arg(&file).arg(schema).status();
        assert!(made.unwrap().success());
        let socket = format!("unix:{}", directory.join("db.sock").display());
        let database = Self::command(&directory, "ovsdb-server")
            .arg(&file)
            .arg(format!("--remote=p{socket}"))
            .spawn()
            .unwrap();
        let mut this = Self { directory, children: vec![database] };
        until("the database answers", || this.set("--no-wait init"));
        let control = this.directory.join("ctl");
        let switch = Self::command(&this.directory, program)
            .arg(&socket)
            .arg(format!("--unixctl={}", control.display()))
            .spawn()
            .unwrap();
        this.children.push(switch);
        until("it answers", || this.tell("version").is_some());
        Some(this)
    }

    /// Changes its database; whether that could be done.
    pub fn set(&self, words: &str) -> bool {
        let socket = format!("--db=unix:{}", self.directory.join("db.sock").display());
        let mut command = Self::command(&self.directory, "ovs-vsctl");
        command.arg(socket).arg("--timeout=10").args(words.split_whitespace()).status().unwrap().success()
    }

    /// What it answers to a command; none if it refuses.
    pub fn tell(&self, words: &str) -> Option<String> {
        let mut command = Self::command(&self.directory, "ovs-appctl");
        command.arg("-t").arg(self.directory.join("ctl")).args(words.split_whitespace());
        let output = command.stdout(Stdio::piped()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Has its switch stand still, or go on.
    pub fn hold(&self, still: bool) {
        let switch = self.children.last().unwrap();
        let signal = if still { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(switch), signal).unwrap();
    }
}
