//! `import ovs`: a real Open vSwitch becomes a file, and the file becomes the same switch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use common::Netloom;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Open vSwitch's daemons in a directory of their own, with ports that nothing is behind.
struct Ovs {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Ovs {
    fn start() -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("netloom-import-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut ovs = Self { directory, children: Vec::new() };
        let file = ovs.path("conf.db");
        let made = ovs.command("ovsdb-tool").args(["create", &file, SCHEMA]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return None;
        }
        let control = ovs.path("ovsdb.ctl");
        let remote = format!("--remote=punix:{}", ovs.path("db.sock"));
        ovs.begin("ovsdb-server", &[&file, &remote, &format!("--unixctl={control}"), "--no-chdir"])?;
        let control = ovs.path("vswitchd.ctl");
        let database = format!("unix:{}", ovs.path("db.sock"));
        until("the database answers", || Path::new(&ovs.path("db.sock")).exists());
        ovs.vsctl(&["--no-wait", "init"]);
        let unixctl = format!("--unixctl={control}");
        ovs.begin(
            "ovs-vswitchd",
            &[&database, "--enable-dummy=override", "--disable-system", &unixctl, "--no-chdir"],
        )?;
        Some(ovs)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(name, &self.directory);
        }
        command.stdin(Stdio::null());
        command
    }

    fn begin(&mut self, program: &str, arguments: &[&str]) -> Option<()> {
        let child =
            self.command(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        self.children.push(child);
        Some(())
    }

    #[track_caller]
    fn vsctl(&self, arguments: &[&str]) -> String {
        vsctl(&self.directory, arguments)
    }
}

#[track_caller]
fn vsctl(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("ovs-vsctl");
    command.arg("--timeout=20").arg(format!("--db=unix:{}", directory.join("db.sock").display()));
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a port says of VLANs; a list that is said beside an access port means nothing.
fn vlans(directory: &Path, port: &str) -> (String, String, String) {
    let get = |column: &str| vsctl(directory, &["get", "Port", port, column]);
    let (tag, trunks, mode) = (get("tag"), get("trunks"), get("vlan_mode"));
    let mode = match (mode.as_str(), tag.as_str()) {
        ("[]", "[]") => "trunk".to_owned(),
        ("[]", _) => "access".to_owned(),
        _ => mode,
    };
    (tag, trunks, mode)
}

#[test]
fn an_open_vswitch_becomes_a_file_and_the_file_the_same_switch() {
    const NAME: &str = "an_open_vswitch_becomes_a_file_and_the_file_the_same_switch";
    let Some(ovs) = Ovs::start() else {
        netloom_testkit::skip::report(NAME, "Open vSwitch is not installed");
        return;
    };
    let database = format!("unix:{}", ovs.path("db.sock"));
    ovs.vsctl(&[
        "add-br",
        "br0",
        "--",
        "set",
        "Bridge",
        "br0",
        "rstp_enable=true",
        "other_config:rstp-priority=4096",
        "other_config:mac-aging-time=120",
        "fail_mode=secure",
        "mcast_snooping_enable=true",
        "--",
        "add-br",
        "br1",
        "--",
        "add-port",
        "br0",
        "acc",
        "tag=10",
        "--",
        "add-port",
        "br0",
        "tr",
        "trunks=10,20,21,22",
        "--",
        "add-port",
        "br0",
        "nat",
        "tag=30",
        "trunks=10",
        "vlan_mode=native-untagged",
        "--",
        "add-port",
        "br0",
        "tunnelled",
        "tag=5",
        "vlan_mode=dot1q-tunnel",
        "--",
        "add-port",
        "br0",
        "iso",
        "tag=20",
        "--",
        "set",
        "Port",
        "iso",
        "protected=true",
        "--",
        "add-port",
        "br0",
        "vx0",
        "--",
        "set",
        "Interface",
        "vx0",
        "type=vxlan",
        "options:remote_ip=192.0.2.9",
        "options:key=77",
        "--",
        "add-bond",
        "br0",
        "bond0",
        "m0",
        "m1",
        "bond_mode=balance-slb",
        "--",
        "add-port",
        "br1",
        "plain",
        "--",
        "set",
        "Interface",
        "plain",
        "mtu_request=1400",
        "--",
        "add-port",
        "br1",
        "to-br2",
        "--",
        "set",
        "Interface",
        "to-br2",
        "type=patch",
        "options:peer=to-br1",
        "--",
        "add-br",
        "br2",
        "--",
        "add-port",
        "br2",
        "to-br1",
        "--",
        "set",
        "Interface",
        "to-br1",
        "type=patch",
        "options:peer=to-br2",
        "--",
        "--id=@p",
        "get",
        "Port",
        "acc",
        "--",
        "--id=@m",
        "create",
        "Mirror",
        "name=m",
        "select_all=true",
        "output_port=@p",
        "--",
        "set",
        "Bridge",
        "br0",
        "mirrors=@m",
    ]);
    let flow = "cookie=0x7,table=0,priority=9,tcp,in_port=acc,tp_dst=80,actions=mod_vlan_vid:20,output:tr";
    let added = ovs
        .command("ovs-ofctl")
        .args(["add-flow", &format!("unix:{}", ovs.path("br1.mgmt")), "priority=3,actions=drop"])
        .output();
    assert!(added.unwrap().status.success());
    let added = ovs
        .command("ovs-ofctl")
        .args(["--names", "add-flow", &format!("unix:{}", ovs.path("br0.mgmt")), flow])
        .output();
    assert!(added.unwrap().status.success());

    let netloom = Netloom::rootless("import-ovs");
    let file = netloom.file("host.yaml", "");
    let flows = netloom.file("flows", "");
    std::fs::remove_file(&flows).unwrap();
    netloom
        .run(&["import", "ovs", "--db", &database, "--name", "again", "--to", &file, "--flows-dir", &flows])
        .expect(0);
    let text = std::fs::read_to_string(&file).unwrap();
    netloom.run(&["validate", &file]).expect(0);
    // A file of the database says the same, but for flows.
    let peeked = netloom.run(&["import", "ovs", "--db", &ovs.path("conf.db"), "--name", "again"]).expect(0);
    let before = |text: &str| text.split("\n# Flows of").next().unwrap().to_owned();
    assert_eq!(before(&peeked), before(&text));
    assert!(peeked.contains("# Flows of br0: not known"), "{peeked}");

    // What the language has no word for is there by name, with its reason.
    for named in [
        "# Port vx0",
        "options:remote_ip=192.0.2.9",
        "# Port bond0",
        "of m0, m1",
        "bond_mode=balance-slb",
        "# Bridge br0 fail_mode = secure",
        "# Mirror m select_all = true",
        "# Port tunnelled",
        "# Port br0",
    ] {
        assert!(text.contains(named), "{named}\n{text}");
    }
    let own = std::fs::read_to_string(Path::new(&flows).join("br0.flows")).unwrap().replace('"', "");
    let flow = own
        .lines()
        .find(|line| line.starts_with("cookie=0x7,table=0,priority=9,"))
        .unwrap_or_else(|| panic!("{own}"));
    assert!(flow.contains("tcp,in_port=again.acc.acc,tp_dst=80 actions="), "{own}");
    assert!(flow.ends_with("output:again.tr.tr"), "{own}");

    if !netloom.is_possible(NAME) {
        return;
    }
    netloom.run(&["apply", "--no-tests", "--no-daemon", &file]).expect(0);
    let place = Path::new(&file).parent().unwrap().join("run/switch");
    let mut bridges: Vec<String> = vsctl(&place, &["list-br"]).lines().map(str::to_owned).collect();
    bridges.sort();
    assert_eq!(bridges, ["again.br0", "again.br1", "again.br2"]);
    for port in ["acc", "tr", "nat", "iso"] {
        assert_eq!(
            vlans(&ovs.directory, port),
            vlans(&place, &format!("again.{port}.{port}")),
            "{port}\n{text}"
        );
    }
    assert_eq!(vsctl(&place, &["get", "Port", "again.iso.iso", "protected"]), "true");
    assert_eq!(vlans(&place, "again.plain.plain"), ("[]".to_owned(), "[]".to_owned(), "trunk".to_owned()));
    for column in
        ["rstp_enable", "mcast_snooping_enable", "other_config:rstp-priority", "other_config:mac-aging-time"]
    {
        assert_eq!(
            vsctl(&ovs.directory, &["get", "Bridge", "br0", column]),
            vsctl(&place, &["get", "Bridge", "again.br0", column])
        );
    }
    // The cable between two bridges is one again.
    let ports = vsctl(&place, &["list-ports", "again.br1"]);
    let cable = ports.lines().find(|port| port.contains("to-br2")).unwrap_or_else(|| panic!("{ports}"));
    assert_eq!(vsctl(&place, &["get", "Interface", cable, "type"]), "patch");
    // The command that stands in the comment says the rest.
    let command =
        text.lines().find_map(|line| line.strip_prefix("#   ovs-vsctl add-port again.br0 vx0")).unwrap();
    let words: Vec<&str> =
        ["add-port", "again.br0", "vx0"].into_iter().chain(command.split_whitespace()).collect();
    vsctl(&place, &words);
    for column in ["type", "options"] {
        assert_eq!(
            vsctl(&ovs.directory, &["get", "Interface", "vx0", column]),
            vsctl(&place, &["get", "Interface", "vx0", column])
        );
    }
    // So do the flows beside the file, by the names that ports have now.
    let br0 = Path::new(&flows).join("br0.flows").display().to_string();
    netloom.run(&["flow", "replace", "again.br0", &br0]).expect(0);
    let listed = netloom.run(&["flow", "list", "again.br0"]).expect(0);
    assert!(listed.contains("0x7") && listed.contains("again.acc.acc"), "{listed}");
    vsctl(&place, &["del-port", "vx0"]);
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
