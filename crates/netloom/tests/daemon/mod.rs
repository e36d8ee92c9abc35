//! A switch daemon of a test's own, and the host's side of its TAP interfaces.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, and not every test uses all of them"
)]

use netloom_port::packet::{PacketSocket, open_packet};
use netloom_testkit::rig::Rig;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long is waited for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon, which ends with the test.
pub struct Daemon<'a> {
    directory: &'a Path,
    child: Child,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Daemon<'a> {
    /// Starts one and waits until it answers.
    pub fn start(directory: &'a Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", directory.to_str().unwrap(), "switchd"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { directory, child };
        until("the daemon answers", || daemon.ask(&["switch", "list"]).is_some());
        daemon
    }

    /// What a command prints; `None` if it fails.
    pub fn ask(&self, words: &[&str]) -> Option<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", self.directory.to_str().unwrap()])
            .args(words)
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

/// Waits for a state.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what} does not come true");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The host's side of the TAP interfaces.
pub fn sockets(rig: &Rig, names: &[&str]) -> Vec<PacketSocket> {
    let open = |name: &&str| {
        let done = rig.run("ip", &["link", "set", name, "up"]).unwrap();
        assert!(done.status.success(), "{done:?}");
        let index = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
        // In a user namespace /sys is the host's: the kernel is asked another way.
        let index = index.ok().map_or_else(
            || {
                let shown = rig.run("ip", &["-o", "link", "show", name]).unwrap();
                String::from_utf8(shown.stdout).unwrap().split(':').next().unwrap().trim().to_owned()
            },
            |text| text.trim().to_owned(),
        );
        open_packet(1, index.parse().unwrap()).unwrap()
    };
    names.iter().map(open).collect()
}
