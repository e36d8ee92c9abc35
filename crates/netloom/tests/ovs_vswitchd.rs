//! The program called `ovs-vswitchd` follows a database that another process serves: this program's, and the real
//! `ovsdb-server` where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod place;

use netloom_testkit::skip;
use place::{Place, alive, until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

fn real(name: &str) -> Option<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/usr/lib/openvswitch-switch"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}

/// The real database server and its client.
struct Real {
    place: Place,
    server: PathBuf,
    client: PathBuf,
}

impl Real {
    /// With an empty database; nothing where the tools are missing.
    fn start(name: &str) -> Option<Self> {
        let tools = ["ovsdb-server", "ovsdb-tool", "ovs-vsctl"].map(real);
        let ([Some(server), Some(tool), Some(client)], true) = (tools, Path::new(SCHEMA).exists()) else {
            skip!("Open vSwitch is not installed");
            return None;
        };
        let place = Place::new(name);
        let made = place.command(tool).args(["create", "conf.db", SCHEMA]).status().unwrap();
        assert!(made.success());
        let real = Self { place, server, client };
        real.serve();
        real.vsctl("--no-wait init");
        Some(real)
    }

    fn serve(&self) {
        let remote = format!("--remote=punix:{}", self.place.path.join("db.sock").display());
        let arguments = ["conf.db", &remote, "--detach", "--no-chdir", "--pidfile", "-vconsole:off"];
        assert!(self.place.command(&self.server).args(arguments).status().unwrap().success());
    }

    #[track_caller]
    fn vsctl(&self, words: &str) -> String {
        let output = self
            .place
            .command(&self.client)
            .arg("--timeout=20")
            .args(words.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

const BRIDGE: &str =
    "-- add-br br0 -- set bridge br0 datapath-type=dummy other-config:hwaddr=aa:55:aa:55:00:00";

#[test]
fn the_real_server_says_what_the_switch_is() {
    let Some(real) = Real::start("real") else { return };
    let place = &real.place;
    place.switch(&["--enable-dummy", "--disable-system"]);
    // The tool waits until the switch has done it.
    real.vsctl(&format!("{BRIDGE} -- add-port br0 p3 tag=5 -- set Interface p3 type=dummy ofport_request=7"));
    real.vsctl("add-port br0 p1 -- set Interface p1 type=dummy");
    assert_eq!(real.vsctl("get Interface p3 ofport"), "7");
    assert_eq!(real.vsctl("get Interface p1 ofport"), "1");
    assert_eq!(real.vsctl("get Interface br0 ofport"), "65534");
    assert_eq!(real.vsctl("get Interface p1 error link_state"), "[]\nup");
    assert!(real.vsctl("get Interface p1 mac_in_use").starts_with("\"aa:55:aa:55:"));
    assert_eq!(real.vsctl("get Bridge br0 datapath_id"), "\"0000aa55aa550000\"");
    assert!(real.vsctl("get Open_vSwitch . iface_types").contains("internal"));
    assert_eq!(real.vsctl("get Open_vSwitch . dpdk_initialized"), "false");
    let shown = "dummy@ovs-dummy: hit:0 missed:0\n  br0:\n    br0 65534/100: (dummy-internal)\n    p1 1/1: (dummy)\n    \
                 p3 7/3: (dummy)\n";
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), shown);
    // What can't be is said where it was asked for.
    real.vsctl("add-port br0 nowhere -- set Interface nowhere type=nothing");
    assert_eq!(real.vsctl("get Interface nowhere ofport"), "-1");
    assert!(real.vsctl("get Interface nowhere error").contains("could not open network device nowhere"));
    real.vsctl("del-port br0 nowhere");
    // A number that is asked for is given, whoever had it.
    real.vsctl("set Interface p3 ofport_request=1");
    assert_eq!(real.vsctl("get Interface p3 ofport"), "1");
    assert_ne!(real.vsctl("get Interface p1 ofport"), "1");
    real.vsctl("set Interface p3 ofport_request=7");
    until("counters are there", || real.vsctl("get Interface p1 statistics").contains("rx_packets=0"));
    // The server goes, changes meanwhile, and comes back: nothing is lost here, and what differs is done.
    let before = place.ask("dpif/show", &[]).unwrap();
    place.end("ovsdb-server");
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), before);
    real.serve();
    real.vsctl("--no-wait add-port br0 p9 -- set Interface p9 type=dummy -- del-port br0 p1");
    until("it is followed again", || real.vsctl("get Interface p9 ofport") != "[]");
    let after = place.ask("dpif/show", &[]).unwrap();
    assert!(after.contains("p9") && !after.contains("p1 ") && after.contains("p3 7/3"), "{after}");
    // The switch goes and comes back: it reads what it is.
    let ports = |name: &str| real.vsctl(&format!("get Interface {name} ofport"));
    let numbers = (ports("p3"), ports("p9"));
    place.end("ovs-vswitchd");
    real.vsctl("--no-wait set Port p3 tag=6");
    place.switch(&["--enable-dummy", "--disable-system"]);
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), after);
    assert_eq!((ports("p3"), ports("p9")), numbers);
    real.vsctl("del-br br0");
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), "");
    // Nothing was complained about but the one port.
    let log = std::fs::read_to_string(place.path.join("ovs-vswitchd.log")).unwrap();
    let bad: Vec<&str> =
        log.lines().filter(|line| line.contains("|WARN|") || line.contains("|ERR|")).collect();
    assert!(bad.len() == 1 && bad[0].contains("could not open network device nowhere"), "{bad:#?}");
}

/// A switch in the foreground.
struct Second(Child);

impl Second {
    fn start(place: &Place) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = place.command(env!("CARGO_BIN_EXE_netloom"));
        let arguments = [
            "--enable-dummy",
            "--unixctl=second.ctl",
            "--log-file=second.log",
            "-vconsole:off",
            "--pidfile=second.pid",
        ];
        Self(command.arg0("ovs-vswitchd").args(arguments).spawn().unwrap())
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_of_two_is_the_switch() {
    let place = Place::new("two");
    place.switch(&["--enable-dummy"]);
    place.netloom(&["switch", "add", "br0", "datapath-type=dummy"]);
    place.netloom(&["port", "add", "br0", "p4", "type=dummy"]);
    let second = Second::start(&place);
    let log = || std::fs::read_to_string(place.path.join("second.log")).unwrap_or_default();
    until("the second stands aside", || log().contains("|ERR|another ovs-vswitchd process is running"));
    assert!(!log().contains("added interface"));
    place.end("ovs-vswitchd");
    until("the second is the switch", || log().contains("bridge br0: added interface p4 on port 1"));
    drop(second);
}

#[test]
fn what_was_kept_in_another_process_comes_back() {
    let place = Place::new("kept");
    // The first remote has nobody.
    let remotes = format!("unix:nobody.sock,unix:{}", place.path.join("db.sock").display());
    place.switch(&["--enable-dummy", &remotes]);
    place.netloom(&["switch", "add", "br0", "ageing=1m"]);
    place.netloom(&["port", "add", "br0", "p1", "type=dummy", "vlan=7"]);
    let before = place.ask("dpif/show", &[]).unwrap();
    assert!(before.contains("p1 1/1: (dummy)"), "{before}");
    // Killed: nothing but the database knows.
    let pid = place.pid("ovs-vswitchd").unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("it ends", || !alive(pid));
    place.switch(&["--enable-dummy", &remotes]);
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), before);
    // Without the server nothing can be kept, and that is said.
    place.end("ovsdb-server");
    until("it is known", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netloom"));
        let directory = place.path.join(format!(".netloom.{}", place.pid("ovs-vswitchd").unwrap()));
        let output = command.arg("--run").arg(directory).args(["switch", "add", "br1"]).output().unwrap();
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("database")
    });
    assert_eq!(place.ask("dpif/show", &[]).unwrap(), before);
}
