//! Open vSwitch's data path in user space as a peer: dummy ports, no privileges.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The daemons in a folder of their own.
pub(crate) struct Ovs {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/lib/openvswitch-switch"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}

impl Ovs {
    /// Starts the daemons with one bridge `br0` and so many ports `p1`, ...; why not, if the machine lacks something.
    pub(crate) fn start(ports: u32) -> Result<Self, String> {
        let schema = Path::new("/usr/share/openvswitch/vswitch.ovsschema");
        if !schema.exists() || find("ovs-vswitchd").is_none() || find("ovsdb-server").is_none() {
            return Err("Open vSwitch is not installed".to_owned());
        }
        let folder = std::env::temp_dir().join(format!("actions-ovs-{}-{ports}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut ovs = Self { folder, daemons: Vec::new() };
        ovs.run("ovsdb-tool", &["create", "conf.db", schema.to_str().unwrap_or_default()])?;
        ovs.daemon("ovsdb-server", &["--remote=punix:db.sock", "--unixctl=db.ctl", "conf.db"])?;
        ovs.wait(|ovs| ovs.folder.join("db.sock").exists())?;
        ovs.run("ovs-vsctl", &["--db=unix:db.sock", "--no-wait", "init"])?;
        let daemon = ["--enable-dummy", "--disable-system", "--unixctl=vswitchd.ctl", "unix:db.sock"];
        ovs.daemon("ovs-vswitchd", &daemon)?;
        let mut add = vec!["--db=unix:db.sock".to_owned(), "add-br".to_owned(), "br0".to_owned()];
        let set = "-- set Open_vSwitch . other_config:vlan-limit=2 -- set bridge br0 datapath-type=dummy fail-mode=secure protocols=OpenFlow10,OpenFlow13,OpenFlow15";
        add.extend(set.split(' ').map(str::to_owned));
        for port in 1..=ports {
            let words = format!(
                "-- add-port br0 p{port} -- set interface p{port} type=dummy ofport_request={port} \
                 options:tx_pcap={}/p{port}.pcap",
                ovs.folder.display()
            );
            add.extend(words.split_whitespace().map(str::to_owned));
        }
        let words: Vec<&str> = add.iter().map(String::as_str).collect();
        ovs.run("ovs-vsctl", &words)?;
        Ok(ovs)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
        command.current_dir(&self.folder).stdin(Stdio::null());
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.folder);
        }
        command
    }

    fn daemon(&mut self, program: &str, words: &[&str]) -> Result<(), String> {
        let mut command = self.command(program);
        let log = std::fs::File::create(self.folder.join(format!("{program}.out")))
            .map_err(|error| error.to_string())?;
        command.args(words).stdout(Stdio::null()).stderr(log);
        self.daemons.push(command.spawn().map_err(|error| error.to_string())?);
        Ok(())
    }

    fn wait(&self, ready: impl Fn(&Self) -> bool) -> Result<(), String> {
        let began = Instant::now();
        while !ready(self) {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("Open vSwitch does not start".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Runs one of the tools and gives what it prints.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(words).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words: String = words.join(" ").chars().take(200).collect();
        Err(format!("{program} {words}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Makes these the flows of the bridge.
    pub(crate) fn flows(&self, flows: &[String]) -> Result<(), String> {
        let file = self.folder.join("flows.txt");
        std::fs::write(&file, flows.join("\n")).map_err(|error| error.to_string())?;
        let socket = format!("unix:{}/br0.mgmt", self.folder.display());
        let file = file.to_string_lossy().into_owned();
        self.run("ovs-ofctl", &["-O", "OpenFlow15", "replace-flows", &socket, &file]).map(drop)
    }

    /// Has frames come in by `p1`.
    pub(crate) fn receive(&self, frames: &[Vec<u8>]) -> Result<(), String> {
        let control = self.folder.join("vswitchd.ctl").to_string_lossy().into_owned();
        for frames in frames.chunks(64) {
            let hex = frames.iter().map(|frame| frame.iter().map(|octet| format!("{octet:02x}")).collect());
            let words: Vec<String> = ["-t", &control, "netdev-dummy/receive", "p1"]
                .map(str::to_owned)
                .into_iter()
                .chain(hex)
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.run("ovs-appctl", &words)?;
        }
        Ok(())
    }

    /// What has left by a port since the beginning; waits until there are so many frames, or none come any more.
    pub(crate) fn sent(&self, port: u32, wanted: usize) -> Result<Vec<Vec<u8>>, String> {
        let file = self.folder.join(format!("p{port}.pcap"));
        let began = Instant::now();
        loop {
            let frames = read(&std::fs::read(&file).map_err(|error| error.to_string())?);
            if frames.len() >= wanted || began.elapsed() > Duration::from_secs(5) {
                return Ok(frames);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The frames of a capture file of this machine's byte order.
fn read(octets: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), octets.get(24..).unwrap_or_default());
    while let Some(header) = rest.first_chunk::<16>() {
        let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some(frame) = rest.get(16..16 + length) else { break };
        frames.push(frame.to_vec());
        rest = &rest[16 + length..];
    }
    frames
}
