//! A switch with a bridge `br0` of dummy ports, Netloom's or Open vSwitch's, in a directory of its own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whose switch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Netloom,
    OpenVswitch,
}

/// The switch.
pub struct Place {
    path: PathBuf,
    whose: Whose,
}

#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program is installed; says so if not.
pub fn has(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        netloom_testkit::skip!("no {program}");
    }
    found
}

impl Place {
    /// One with the ports `p1`, `p2` and `p3`, without flows.
    pub fn new(whose: Whose) -> Self {
        let place = Self::empty(whose);
        place.bridge();
        until("the bridge has a socket", || place.path.join("br0.mgmt").exists());
        assert_eq!(place.ofctl(&["del-flows", "br0"]), "");
        place
    }

    /// One without a bridge.
    pub fn empty(whose: Whose) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("nl-ofctl-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let place = Self { path, whose };
        place.start();
        place
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(name, &self.path);
        }
        for name in ["NETLOOM_RUN_DIR", "NETLOOM_STATE_DIR", "NETLOOM_ROOTLESS", "NETLOOM_DAEMON_ROLE"] {
            command.env_remove(name);
        }
        command.env("OVS_SYSLOG_METHOD", "null").current_dir(&self.path).stdin(Stdio::null());
        command
    }

    fn done(&self, mut command: Command) -> Output {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        output
    }

    /// One of Open vSwitch's daemons, its own or this program under its name.
    fn daemon(&self, name: &str, words: &[&str]) {
        let mut command = match self.whose {
            Whose::Netloom => self.command(env!("CARGO_BIN_EXE_netloom")),
            Whose::OpenVswitch => self.command(name),
        };
        command.arg0(name).args(words);
        command.args(["--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off"]);
        self.done(command);
    }

    fn start(&self) {
        let (database, socket) =
            (self.path.join("conf.db"), format!("unix:{}", self.path.join("db.sock").display()));
        let database = database.to_str().unwrap();
        self.run("ovsdb-tool", &["create", database, "/usr/share/openvswitch/vswitch.ovsschema"]);
        self.daemon("ovsdb-server", &[database, &format!("--remote=p{socket}")]);
        let client = format!("--db={socket}");
        self.run("ovs-vsctl", &[&client, "--no-wait", "init"]);
        self.daemon("ovs-vswitchd", &[&socket, "--enable-dummy=override", "--disable-system"]);
    }

    fn run(&self, program: &str, words: &[&str]) {
        let mut command = self.command(program);
        command.args(words);
        self.done(command);
    }

    fn bridge(&self) {
        let client = format!("--db=unix:{}", self.path.join("db.sock").display());
        let mut words =
            vec![client.as_str(), "--timeout=20", "--", "add-br", "br0", "--", "set", "bridge", "br0"];
        words.extend(["datapath-type=dummy", "fail-mode=secure"]);
        let ports: Vec<[String; 2]> =
            (1..4).map(|number| [format!("p{number}"), format!("ofport_request={number}")]).collect();
        for [name, number] in &ports {
            words.extend([
                "--",
                "add-port",
                "br0",
                name,
                "--",
                "set",
                "Interface",
                name,
                "type=dummy",
                number,
            ]);
        }
        self.run("ovs-vsctl", &words);
    }

    pub fn pid(&self, program: &str) -> Option<i32> {
        std::fs::read_to_string(self.path.join(format!("{program}.pid"))).ok()?.trim().parse().ok()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn target(&self) -> String {
        format!("unix:{}", self.path.join("br0.mgmt").display())
    }

    fn tool(&self, words: &[&str]) -> Command {
        let target = self.target();
        let mut command = self.command("ovs-ofctl");
        let words = words.iter().map(|word| if *word == "br0" { target.as_str() } else { word });
        command.arg("--timeout=30").args(words);
        command
    }

    /// What `ovs-ofctl` says, with what it complains about.
    pub fn ofctl(&self, words: &[&str]) -> String {
        let output = self.tool(words).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        text
    }

    /// What `ovs-vsctl` says, with what it complains about.
    pub fn vsctl(&self, words: &[&str]) -> String {
        let mut command = self.command("ovs-vsctl");
        command.arg(format!("--db=unix:{}", self.path.join("db.sock").display()));
        let output = command.arg("--timeout=20").args(words).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The tool, left running, with what it says in a file.
    pub fn leave(&self, words: &[&str], into: &str) -> Tool {
        let file = std::fs::File::create(self.path.join(into)).unwrap();
        let child = self.tool(words).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Tool { child, path: self.path.join(into) }
    }

    /// What the switch's control socket answers.
    pub fn appctl(&self, words: &[&str]) -> String {
        let socket = self.path.join(format!("ovs-vswitchd.{}.ctl", self.pid("ovs-vswitchd").unwrap()));
        let mut command = self.command("ovs-appctl");
        command.arg("-t").arg(socket).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub const fn whose(&self) -> Whose {
        self.whose
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

/// A tool that runs until this is gone.
pub struct Tool {
    child: Child,
    path: PathBuf,
}

impl Tool {
    /// What it said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
