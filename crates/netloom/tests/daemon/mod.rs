//! A switch daemon of a test's own, and the host's side of its TAP interfaces.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, and not every test uses all of them"
)]

pub mod flows;
pub mod peer;

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
        Self::start_with(directory, &[])
    }

    /// The same with two workers, where there are two processors.
    pub fn start_two(directory: &'a Path) -> Self {
        let two = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        Self::start_with(directory, if two { &["--cores", "0,1"] } else { &[] })
    }

    /// The same with options.
    pub fn start_with(directory: &'a Path, options: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", directory.to_str().unwrap(), "switchd"])
            .args(options)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { directory, child };
        until("the daemon answers", || daemon.ask(&["switch", "list"]).is_some());
        daemon
    }

    /// What a command prints; its complaint if it fails.
    pub fn try_ask(&self, words: &str) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", self.directory.to_str().unwrap()])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// A port as the list tells it.
    pub fn port(&self, name: &str) -> serde_json::Value {
        let text = self.try_ask("port list -o json").unwrap();
        let ports: serde_json::Value = serde_json::from_str(&text).unwrap();
        ports.as_array().unwrap().iter().find(|port| port["name"] == name).unwrap().clone()
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

    /// The same as JSON.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let text = self.ask(words).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Makes namespaces with an interface `eth0` each, which are ports of the switch `br0`; false when this user can't.
    pub fn attach(&self, rig: &Rig, namespaces: &[(&str, &str)], options: &[&str]) -> bool {
        self.ask(&["switch", "add", "br0"]).unwrap();
        self.plug(rig, "br0", namespaces, options)
    }

    /// The same at a switch that is there.
    pub fn plug(&self, rig: &Rig, switch: &str, namespaces: &[(&str, &str)], options: &[&str]) -> bool {
        for (name, address) in namespaces {
            let path = rig.netns_dir.join(name);
            if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
                netloom_testkit::skip!("no /dev/net/tun or no ip");
                return false;
            }
            if !mount_namespace(&path) {
                netloom_testkit::skip!("no namespace can be made");
                return false;
            }
            let space = format!("netns={}", path.display());
            let mut words = vec!["port", "add", switch, name, "type=tap", "dev=eth0", &space];
            words.extend(options);
            if self.ask(&words).is_none() {
                netloom_testkit::skip!("this user can't make TAP interfaces");
                return false;
            }
            for words in [
                &["link", "set", "lo", "up"][..],
                &["addr", "add", address, "dev", "eth0"],
                &["link", "set", "eth0", "up"],
            ] {
                let done = rig.run_in(name, "ip", words).unwrap();
                assert!(done.status.success(), "{done:?}");
            }
        }
        true
    }
}

/// A network namespace with a name: mounted, so that it stays when the thread that made it ends.
fn mount_namespace(path: &Path) -> bool {
    std::fs::File::create(path).unwrap();
    let make = || {
        #[allow(deprecated, reason = "the replacement is unsafe only for unsharing file descriptors")]
        rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path)
    };
    std::thread::scope(|scope| scope.spawn(make).join().unwrap()).is_ok()
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

/// A command that goes on, with the lines that it has printed so far. It ends with this.
pub struct Running {
    child: Child,
    lines: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Running {
    /// What it has printed.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon<'_> {
    /// Starts a command that goes on.
    pub fn spawn(&self, words: &[&str]) -> Running {
        use std::io::BufRead;
        let mut child = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", self.directory.to_str().unwrap()])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (read, output) = (lines.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(output).lines().map_while(Result::ok) {
                read.lock().unwrap().push(line);
            }
        });
        Running { child, lines }
    }
}
