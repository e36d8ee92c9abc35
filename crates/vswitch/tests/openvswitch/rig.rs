//! Open vSwitch in a directory of its own, with ports that exist only in its memory.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What `ofproto/trace` says.
pub(crate) struct Trace {
    pub(crate) megaflow: String,
    pub(crate) actions: String,
    pub(crate) whole: String,
}

pub(crate) struct Rig {
    directory: PathBuf,
    children: Vec<Child>,
    control: UnixStream,
    /// Numbers of OpenFlow by those of the data path.
    pub(crate) ports: BTreeMap<u32, u16>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !ready() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn command(directory: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, directory);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = command(directory, program, arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Rig {
    /// Nothing, with the reason printed, where Open vSwitch is not installed.
    pub(crate) fn new() -> Option<Self> {
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        let found = Command::new("ovs-vswitchd")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success());
        if !found || !Path::new(schema).exists() {
            eprintln!("skipped: ovs-vswitchd is not installed");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("netloom-ovs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        run(&directory, "ovsdb-tool", &["create", &path("conf.db"), schema]).unwrap();
        let mut children = Vec::new();
        let remote = format!("--remote=punix:{}", path("db.sock"));
        let unixctl = format!("--unixctl={}", path("db.ctl"));
        let mut server =
            command(&directory, "ovsdb-server", &[&path("conf.db"), &remote, &unixctl, "-vconsole:off"]);
        children.push(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_for("db.sock", || directory.join("db.sock").exists());
        let database = format!("unix:{}", path("db.sock"));
        let unixctl = format!("--unixctl={}", path("switch.ctl"));
        let arguments =
            [database.as_str(), "--enable-dummy=override", "--disable-system", &unixctl, "-vconsole:off"];
        let mut switch = command(&directory, "ovs-vswitchd", &arguments);
        children.push(switch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_for("switch.ctl", || UnixStream::connect(directory.join("switch.ctl")).is_ok());
        let database = format!("--db={database}");
        let mut arguments: Vec<String> = [database.as_str(), "--", "init"].map(String::from).into();
        for word in "-- add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure protocols=[OpenFlow10,OpenFlow13]".split(' ') {
            arguments.push(word.into());
        }
        for port in 1..=super::generate::PORTS {
            let text =
                format!("-- add-port br0 p{port} -- set Interface p{port} type=dummy ofport_request={port}");
            arguments.extend(text.split(' ').map(String::from));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&directory, "ovs-vsctl", &arguments).unwrap();
        let control = UnixStream::connect(directory.join("switch.ctl")).unwrap();
        let mut rig = Self { directory, children, control, ports: BTreeMap::new() };
        // "    p1 1/3: (dummy)": OpenFlow's number, and the data path's.
        let show = rig.call("dpif/show", &[]);
        for line in show.lines() {
            let mut words = line.split_whitespace();
            if let (Some(_), Some(numbers)) = (words.next(), words.next())
                && let Some((own, path)) = numbers.trim_end_matches(':').split_once('/')
                && let (Ok(own), Ok(path)) = (own.parse(), path.parse())
            {
                rig.ports.insert(path, own);
            }
        }
        assert!(rig.ports.len() >= usize::from(super::generate::PORTS), "{show}");
        Some(rig)
    }

    fn call(&mut self, method: &str, parameters: &[&str]) -> String {
        let request = serde_json::json!({ "id": 0, "method": method, "params": parameters });
        self.control.write_all(request.to_string().as_bytes()).unwrap();
        let mut answers =
            serde_json::Deserializer::from_reader(&mut self.control).into_iter::<serde_json::Value>();
        let answer = answers.next().unwrap().unwrap();
        match answer["error"].as_str() {
            Some(error) => panic!("{method} {parameters:?}: {error}"),
            None => answer["result"].as_str().unwrap().to_owned(),
        }
    }

    /// Gives the bridge these flows and no other.
    pub(crate) fn flows(&mut self, lines: &[String], version: &str) -> Result<(), String> {
        let file = self.directory.join("flows");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").to_string_lossy());
        run(&self.directory, "ovs-ofctl", &["del-flows", &bridge])?;
        run(&self.directory, "ovs-ofctl", &["-O", version, "add-flows", &bridge, &file.to_string_lossy()])
            .map(drop)
    }

    /// Gives the bridge these groups and no other. Flows that use others go.
    pub(crate) fn groups(&mut self, lines: &[String]) -> Result<(), String> {
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").to_string_lossy());
        run(&self.directory, "ovs-ofctl", &["-O", "OpenFlow13", "del-groups", &bridge])?;
        if lines.is_empty() {
            return Ok(());
        }
        let file = self.directory.join("groups");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let words = ["-O", "OpenFlow13", "add-groups", &bridge, &file.to_string_lossy()];
        run(&self.directory, "ovs-ofctl", &words).map(drop)
    }

    /// A frame comes in by a port.
    pub(crate) fn receive(&mut self, port: u64, frame: &[u8]) {
        let digits: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
        self.call("netdev-dummy/receive", &[&format!("p{port}"), &digits]);
    }

    /// What flows and groups say that they counted by now.
    pub(crate) fn counted(&mut self, version: &str) -> (String, String) {
        self.call("revalidator/purge", &[]);
        let bridge = format!("unix:{}", self.directory.join("br0.mgmt").to_string_lossy());
        let ask = |what| run(&self.directory, "ovs-ofctl", &["-O", version, what, &bridge]).unwrap();
        let flows = ask("dump-flows");
        let groups = if version == "OpenFlow10" { String::new() } else { ask("dump-group-stats") };
        (flows, groups)
    }

    pub(crate) fn trace(&mut self, packet: &str) -> Trace {
        let whole = self.call("ofproto/trace", &["br0", packet]);
        let line = |name: &str| {
            let found = whole.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {whole}")).trim().to_owned()
        };
        Trace { megaflow: line("Megaflow:"), actions: line("Datapath actions:"), whole: whole.clone() }
    }
}
