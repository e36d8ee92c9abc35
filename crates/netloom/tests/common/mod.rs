//! Running the program in a place of its own, and looking at what it leaves.
#![allow(dead_code, reason = "not every test binary uses all of it")]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "shared by several test binaries")]

use netloom_testkit::rig::Rig;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program with directories of its own.
pub struct Netloom {
    directory: PathBuf,
    netns_dir: Option<PathBuf>,
    rootless: bool,
}

/// What a run of the program gave.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The output, after the exit status was found to be `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self.out
    }
}

impl Netloom {
    /// In the namespaces of a rig, as if they were the host's.
    pub fn on_host(rig: &Rig) -> Self {
        Self { directory: rig.state_dir.clone(), netns_dir: Some(rig.netns_dir.clone()), rootless: false }
    }

    /// Without root, whoever runs the test.
    pub fn rootless(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("netloom-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, netns_dir: None, rootless: true }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(netloom_testkit::program(env!("CARGO_BIN_EXE_netloom")));
        command
            .args(arguments)
            .env("NETLOOM_RUN_DIR", self.directory.join("run"))
            .env("NETLOOM_STATE_DIR", self.directory.join("state"))
            .env("NETLOOM_ROOTLESS", if self.rootless { "true" } else { "false" })
            .env("NO_COLOR", "1")
            .stdin(std::process::Stdio::null());
        match &self.netns_dir {
            Some(directory) => command.env("NETLOOM_NETNS_DIR", directory).env("NETLOOM_NO_DAEMON", "true"),
            None => command.env_remove("NETLOOM_NETNS_DIR"),
        };
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Self::ran(self.command(arguments).output().unwrap())
    }

    /// The same, killing itself after `steps` executed steps.
    pub fn run_crashing(&self, arguments: &[&str], steps: usize) -> Ran {
        Self::ran(self.command(arguments).env("NETLOOM_CRASH_AFTER", steps.to_string()).output().unwrap())
    }

    fn ran(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A file in this place.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Whether user namespaces can be had; reports the skip if not.
    pub fn is_possible(&self, test: &str) -> bool {
        let ran = self.run(&["doctor", "-o", "json"]);
        let possible = !ran.out.contains("\"impossible\"");
        if !possible {
            netloom_testkit::skip::report(test, "this system forbids user namespaces");
        }
        possible
    }

    /// The daemon of the realm's own switch, if one runs.
    pub fn switch_daemon(&self) -> Option<u32> {
        let needle =
            format!("--run\0{}\0switchd\0", self.directory.join("run/switch").display()).into_bytes();
        std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let found = command.windows(needle.len()).any(|window| window == needle);
            found.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
        })
    }

    /// The daemon that holds the namespaces of an ordinary user.
    pub fn holder(&self) -> Option<u32> {
        std::fs::read_to_string(self.directory.join("run/daemon.lock")).ok()?.trim().parse().ok()
    }

    /// Whether the state directory remembers nothing and no daemon runs.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let state: Vec<_> = std::fs::read_dir(self.directory.join("state"))
            .map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())).collect())
            .unwrap_or_default();
        assert!(state.is_empty(), "remembered: {state:?}");
        if let Some(directory) = &self.netns_dir {
            let names: Vec<_> = std::fs::read_dir(directory)
                .unwrap()
                .filter_map(|entry| entry.ok().map(|e| e.file_name()))
                .collect();
            assert!(names.is_empty(), "namespaces: {names:?}");
        }
        assert!(!self.directory.join("run/switch").exists(), "the switch's directory is left");
        assert!(!self.directory.join("run/vm").exists(), "sockets of virtual machines are left");
        // The last that it does is to remove its directory; after that its memory is taken from it.
        let began = std::time::Instant::now();
        while self.switch_daemon().is_some() {
            assert!(began.elapsed().as_secs() < 5, "the switch still runs");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let realm = self.netns_dir.clone().unwrap_or_else(|| self.directory.join("run/netns"));
        assert!(processes_of(&realm).is_empty(), "processes: {:?}", processes_of(&realm));
        if self.rootless {
            let text = std::fs::read_to_string(self.directory.join("run/daemon.lock")).unwrap_or_default();
            // One that has ended and waits for its parent has no command line any more.
            let alive = text.trim().parse::<u32>().is_ok_and(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
            });
            assert!(!alive, "the daemon {text} still runs");
        }
    }
}

impl Drop for Netloom {
    fn drop(&mut self) {
        // A failed test must not leave its network up.
        let _ = self.command(&["destroy", "--all"]).output();
        if self.rootless {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Processes that carry the mark of a realm.
pub fn processes_of(realm: &Path) -> Vec<String> {
    let needle = format!("NETLOOM_REALM={}\0", realm.display()).into_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|environment| environment.windows(needle.len()).any(|window| window == needle))
        })
        .map(|entry| std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default())
        .collect()
}

/// The example files, sorted; those for a full kernel are elsewhere.
pub fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(netloom_testkit::project_file("examples"))
        .unwrap()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}
