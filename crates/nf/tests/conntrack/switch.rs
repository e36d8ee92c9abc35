//! Open vSwitch as an oracle: its daemon with its data path in user space and dummy ports, which needs no privilege.
//!
//! A packet goes in through one port. What comes out of the other, to a capture file, is the packet after `ct()`, with the
//! state in the place of the Ethernet destination and the mark in that of the source.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running switch.
pub(crate) struct Switch {
    running: Running,
    control: UnixStream,
    /// Octets of the capture that were read.
    read: usize,
}

/// The processes and files of a switch: they end with it, also when it does not start.
struct Running {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

impl Switch {
    /// Starts one with such flows; `None`, with a printed reason, when it is not installed.
    pub(crate) fn start(name: &str, flows: &str) -> Option<Self> {
        if Command::new("ovs-vswitchd").arg("--version").stdout(Stdio::null()).status().is_err() {
            netloom_testkit::skip!("ovs-vswitchd is not installed");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("netloom-nf-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name).display().to_string();
        let (database, socket, control) = (path("conf.db"), path("db.sock"), path("v.ctl"));
        let run = |program: &str, arguments: &[&str]| {
            let output = command(program, &directory).args(arguments).output().unwrap();
            assert!(
                output.status.success(),
                "{program} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        run("ovsdb-tool", &["create", &database, "/usr/share/openvswitch/vswitch.ovsschema"]);
        let mut running = Running { directory: directory.clone(), children: Vec::new() };
        let remote = format!("--remote=punix:{socket}");
        let server = ["--unixctl", &path("db.ctl"), &remote, &database];
        running.children.push(command("ovsdb-server", &directory).args(server).spawn().unwrap());
        let database = format!("--db=unix:{socket}");
        wait_for("database", || Path::new(&socket).exists().then_some(()));
        run("ovs-vsctl", &[&database, "--no-wait", "init"]);
        let switch = ["--enable-dummy", "--disable-system", "--unixctl", &control, &format!("unix:{socket}")];
        running.children.push(command("ovs-vswitchd", &directory).args(switch).spawn().unwrap());
        let capture = format!("options:tx_pcap={}", path("out.pcap"));
        let mut arguments =
            vec![&*database, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"];
        arguments.extend(["fail-mode=secure", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1"]);
        arguments.extend(["type=dummy", "ofport_request=1", "--", "add-port", "br0", "p2", "--", "set"]);
        arguments.extend(["interface", "p2", "type=dummy", "ofport_request=2", &capture]);
        run("ovs-vsctl", &arguments);
        std::fs::write(directory.join("flows"), flows).unwrap();
        run("ovs-ofctl", &["add-flows", &format!("unix:{}", path("br0.mgmt")), &path("flows")]);
        let control = wait_for("control socket", || UnixStream::connect(&control).ok());
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut switch = Self { running, control, read: 24 };
        switch.ask("time/stop", &[]);
        Some(switch)
    }

    /// Asks what `ovs-appctl` asks.
    pub(crate) fn ask(&mut self, method: &str, parameters: &[&str]) -> String {
        self.try_ask(method, parameters).unwrap()
    }

    /// As [`Switch::ask`]; an error when the switch is gone.
    fn try_ask(&mut self, method: &str, parameters: &[&str]) -> std::io::Result<String> {
        let list: Vec<String> = parameters.iter().map(|text| format!("\"{text}\"")).collect();
        let request = format!("{{\"method\":\"{method}\",\"params\":[{}],\"id\":0}}", list.join(","));
        self.control.write_all(request.as_bytes())?;
        let (mut reply, mut depth, mut quoted, mut escaped) = (String::new(), 0, false, false);
        let mut octet = [0];
        let mut octets = Vec::new();
        loop {
            self.control.read_exact(&mut octet)?;
            octets.push(octet[0]);
            match octet[0] {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        reply.push_str(&String::from_utf8_lossy(&octets));
        assert!(reply.contains("\"error\":null"), "{method} {parameters:?}: {reply}");
        let start = reply.find("\"result\":\"").map(|at| at + 10).unwrap();
        let mut result = String::new();
        let mut rest = reply[start..].chars();
        loop {
            match rest.next() {
                Some('"') | None => return Ok(result),
                Some('\\') => match rest.next() {
                    Some('n') => result.push('\n'),
                    Some('t') => result.push('\t'),
                    other => result.extend(other),
                },
                Some(other) => result.push(other),
            }
        }
    }

    /// Sends a frame in, and gives what comes out; `None` when the switch died of it.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.receive(frame).ok()?;
        self.record()
    }

    /// Sends a frame in, and gives as many that come out.
    pub(crate) fn send_for(&mut self, frame: &[u8], count: usize) -> Vec<Vec<u8>> {
        self.receive(frame).unwrap();
        (0..count).map(|_| self.record().unwrap()).collect()
    }

    /// Whether everything that came out was read.
    pub(crate) fn nothing_more(&mut self) {
        self.ask("time/warp", &["10"]);
        let capture = std::fs::read(self.running.directory.join("out.pcap")).unwrap_or_default();
        assert_eq!(capture.len(), self.read);
    }

    fn receive(&mut self, frame: &[u8]) -> std::io::Result<String> {
        let hex: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
        self.try_ask("netdev-dummy/receive", &["p1", &hex])
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        let path = self.running.directory.join("out.pcap");
        let from = self.read;
        let record = wait_for("packet", || {
            if self.running.children.last_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                return Some(None);
            }
            let capture = std::fs::read(&path).unwrap_or_default();
            let header = capture.get(from..from + 16)?;
            let length = u32::from_ne_bytes(*header[8..].first_chunk()?) as usize;
            capture.get(from + 16..from + 16 + length).map(|record| Some(record.to_vec()))
        })?;
        self.read += 16 + record.len();
        Some(record)
    }

    /// Lets time pass, in milliseconds.
    pub(crate) fn warp(&mut self, milliseconds: u64) {
        self.ask("time/warp", &[&milliseconds.to_string(), &milliseconds.to_string()]);
    }

    /// The list of connections, sorted.
    pub(crate) fn connections(&mut self, arguments: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> =
            self.ask("dpctl/dump-conntrack", arguments).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(name, directory);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
    command
}
