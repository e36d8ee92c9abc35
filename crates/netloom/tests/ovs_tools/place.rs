//! Open vSwitch's own daemons in a directory of their own, and programs that are run against them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whose programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Real,
    Ours,
}

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// A directory with daemons, which end with it.
pub(crate) struct Place {
    directory: PathBuf,
    daemons: Vec<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether Open vSwitch's programs are there; if not, the reason is printed.
pub(crate) fn has(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(missing) = missing {
        netloom_testkit::skip!("no {missing}");
    }
    missing.is_none()
}

impl Place {
    /// A directory without daemons.
    pub(crate) fn bare() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nl-tools-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, daemons: Vec::new() }
    }

    /// A database server with an empty database of a switch.
    pub(crate) fn with_database() -> Self {
        let mut place = Self::bare();
        let file = place.path("conf.db");
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        let made = Command::new("ovsdb-tool").args(["create", &file, schema]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let (remote, control) =
            (format!("--remote=punix:{}", place.path("db.sock")), place.path("ovsdb.ctl"));
        place.start("ovsdb-server", &[&file, &remote, &format!("--unixctl={control}")], "db.sock");
        place
    }

    /// The same with a switch that knows dummy ports only.
    pub(crate) fn with_switch() -> Self {
        let mut place = Self::with_database();
        assert_eq!(place.run(Whose::Real, "ovs-vsctl", &["--no-wait", "init"], None).status, Some(0));
        let (database, control) = (format!("unix:{}", place.path("db.sock")), place.path("switch.ctl"));
        let control = format!("--unixctl={control}");
        place.start(
            "ovs-vswitchd",
            &["--enable-dummy", "--disable-system", &control, &database],
            "switch.ctl",
        );
        place
    }

    fn start(&mut self, program: &str, words: &[&str], until: &str) {
        let daemon = self.command(program).args(words).stderr(Stdio::null()).spawn().unwrap();
        self.daemons.push(daemon);
        let begin = Instant::now();
        while !Path::new(&self.path(until)).exists() {
            assert!(begin.elapsed() < PATIENCE, "{program} does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        for name in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(name, self.directory.as_path());
        }
        command
    }

    /// Runs Netloom with words of its own.
    pub(crate) fn netloom(&self, words: &[&str], input: Option<&str>) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_netloom"));
        command.arg("--run").arg(self.directory.as_path()).args(words);
        self.finish(command, input)
    }

    /// Runs a program of Open vSwitch, or what Netloom has in its place.
    pub(crate) fn run(&self, whose: Whose, program: &str, words: &[&str], input: Option<&str>) -> Said {
        let mut command = match whose {
            Whose::Real => self.command(program),
            Whose::Ours => {
                let mut command = self.command(env!("CARGO_BIN_EXE_netloom"));
                command.arg(program);
                command
            }
        };
        command.args(words);
        self.finish(command, input)
    }

    fn finish(&self, mut command: Command, input: Option<&str>) -> Said {
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // Who does not want it has ended by then.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().unwrap();
        let text = |octets: &[u8]| {
            String::from_utf8_lossy(octets).replace(&self.directory.display().to_string(), "DIRECTORY")
        };
        Said {
            status: output.status.code(),
            output: text(&output.stdout),
            errors: undated(&text(&output.stderr)),
        }
    }
}

/// Lines of a log without their time and number.
fn undated(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("Z|") {
        Some((date, rest)) if date.starts_with("20") => rest.split_once('|').map_or(rest, |(_, rest)| rest),
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}
