//! The program called `ovs-vswitchd` and `ovsdb-server`, asked by the real `ovs-appctl` where it is installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod place;

use netloom_control::unixctl::ask;
use netloom_testkit::skip;
use place::{PATIENCE, Place, alive, until};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const ARP: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),\
    arp(sip=192.168.0.1,tip=192.168.0.2,op=1,sha=50:54:00:00:00:05,tha=00:00:00:00:00:00)";

#[test]
fn packets_at_dummy_ports_and_time_that_is_put_forward() {
    let place = Place::new("dummy");
    place.switch(&["--enable-dummy", "--disable-system"]);
    place.netloom(&["switch", "add", "br0", "datapath-type=dummy"]);
    place.netloom(&["port", "add", "br0", "p1", "type=dummy"]);
    place.netloom(&["port", "add", "br0", "p2", "type=dummy", "tx_pcap=p2.pcap"]);
    place.netloom(&["port", "add", "br0", "br0", "type=dummy-internal"]);
    assert_eq!(
        place.ask("dpif/show", &[]).unwrap(),
        "dummy@ovs-dummy: hit:0 missed:0\n  br0:\n    br0 65534/3: (dummy-internal)\n    p1 1/1: (dummy)\n    \
         p2 2/2: (dummy)\n"
    );
    assert_eq!(place.ask("time/stop", &[]).unwrap(), "");
    assert_eq!(place.ask("netdev-dummy/receive", &["p1", ARP]).unwrap(), "");
    // The answer comes when the packet has gone its way.
    assert_eq!(std::fs::metadata(place.path.join("p2.pcap")).unwrap().len(), 24 + 16 + 42);
    let table =
        |age: &str| format!(" port  VLAN  MAC                Age\n    1     0  50:54:00:00:00:05  {age}\n");
    assert_eq!(place.ask("fdb/show", &["br0"]).unwrap(), table("  0"));
    assert_eq!(place.ask("time/warp", &["5000", "1000"]).unwrap(), "warped\n");
    assert_eq!(place.ask("fdb/show", &["br0"]).unwrap(), table("  5"));
    let flows = place.ask("dpif/dump-flows", &["br0"]).unwrap();
    assert!(flows.starts_with("recirc_id(0),in_port(1),") && flows.contains("actions:2,3"), "{flows}");
    // Nobody was heard for longer than five minutes.
    assert_eq!(place.ask("time/warp", &["301000", "10000"]).unwrap(), "warped\n");
    assert_eq!(place.ask("fdb/show", &["br0"]).unwrap(), " port  VLAN  MAC                Age\n");
    assert!(place.ask("fdb/stats-show", &["br0"]).unwrap().contains("expired MAC entries     : 1\n"));
    for (command, arguments, error) in [
        ("netdev-dummy/receive", vec!["p9", ARP], "no such dummy netdev\n"),
        ("netdev-dummy/receive", vec!["p1", "zz"], "syntax error at zz\n"),
        ("time/warp", vec!["x"], "invalid MSECS\n"),
        ("fdb/show", vec!["br9"], "no such bridge\n"),
        ("fdb/del", vec!["br0", "0", "50:54:00:00:00:05"], "could not find static mac entry\n"),
    ] {
        assert_eq!(place.ask(command, &arguments), Err(error.to_owned()), "{command}");
    }
    let pid = place.pid("ovs-vswitchd").unwrap();
    assert_eq!(place.ask("exit", &[]).unwrap(), "");
    until("it ends", || !alive(pid));
    let left: Vec<_> =
        std::fs::read_dir(&place.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let is_ours = |name: &&std::ffi::OsString| {
        let name = name.to_string_lossy();
        !["conf.db", ".conf.db", "db.sock", "ovsdb-server"].iter().any(|other| name.starts_with(other))
    };
    let ours: Vec<_> = left.iter().filter(is_ours).collect();
    assert_eq!(ours.len(), 2, "log and pcap: {left:?}");
}

#[test]
fn a_daemon_as_others_expect_it() {
    let place = Place::new("daemon");
    place.switch(&["-vfile:dbg"]);
    let pid = place.pid("ovs-vswitchd").unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "ovs-vswitchd\n");
    let second = place.called("ovs-vswitchd", &["--detach", "--pidfile", "--unixctl=other"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(said.contains(&format!("ovs-vswitchd.pid: already running as pid {pid}, aborting")), "{said}");
    // What it logs is as it was set.
    assert_eq!(place.ask("vlog/set", &["unixctl:file:err", "PATTERN:file:%p|%m"]).unwrap(), "");
    let list = place.ask("vlog/list", &[]).unwrap();
    assert!(list.contains("\nunixctl            OFF       INFO        ERR\n"), "{list}");
    let log = place.path.join("ovs-vswitchd.log");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().next().unwrap().contains("Z|00001|vlog|INFO|opened log file "), "{text}");
    assert!(text.contains("|unixctl|DBG|received request vlog/set[\"unixctl:file:err\""), "{text}");
    std::fs::rename(&log, place.path.join("old")).unwrap();
    assert_eq!(place.ask("vlog/reopen", &[]).unwrap(), "");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("INFO|opened log file {}\n", log.display()));
    assert_eq!(place.ask("vlog/set", &["x"]), Err("no destination, level, or module \"x\"\n".to_owned()));
}

#[test]
fn start_errors_and_restarts() {
    let place = Place::new("start");
    let server = |arguments: &[&str]| place.called("ovsdb-server", arguments);
    let failed = server(&["--detach", "--no-chdir", "--pidfile", "--unixctl=nonexistent/unixctl", "--no-db"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("could not initialize control socket"));
    assert!(place.pid("ovsdb-server").is_none());
    let version = server(&["--version"]);
    assert_eq!(version.stdout, b"ovsdb-server (Open vSwitch) 3.1.0\n");
    let started = server(&["--detach", "--no-chdir", "--pidfile", "--monitor", "--no-db"]);
    assert!(started.status.success(), "{started:?}");
    let first = place.pid("ovsdb-server").unwrap();
    let kill = |pid: i32, signal| {
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    };
    kill(first, rustix::process::Signal::ABORT);
    until("it is started again", || place.pid("ovsdb-server").is_some_and(|pid| pid != first));
    let second = place.pid("ovsdb-server").unwrap();
    until("it answers", || {
        let socket = place.path.join(format!("ovsdb-server.{second}.ctl"));
        ask(&socket, "version", &[], PATIENCE).is_ok_and(|answer| answer.is_ok())
    });
    kill(second, rustix::process::Signal::TERM);
    until("both end", || !alive(second) && place.pid("ovsdb-server").is_none());
    // A command's end is the server's, and its status, too.
    assert_eq!(server(&["--no-db", "--run", "exit 7"]).status.code(), Some(7));
}

/// What a daemon answers to `list-commands`: usage by name.
fn commands(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (name, usage) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        (name.to_owned(), usage.trim().to_owned())
    };
    text.lines().skip(1).map(line).collect()
}

#[test]
fn the_real_client_hears_what_the_real_daemon_says() {
    let real = |name: &str| {
        let places = ["/usr/bin", "/usr/sbin", "/usr/lib/openvswitch-switch"];
        places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
    };
    let tools = ["ovs-appctl", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"].map(real);
    let schema = Path::new("/usr/share/openvswitch/vswitch.ovsschema");
    let ([Some(client), Some(daemon), Some(server), Some(tool), Some(settings)], true) =
        (tools, schema.exists())
    else {
        skip!("Open vSwitch is not installed");
        return;
    };
    let (ours, theirs) = (Place::new("ours"), Place::new("theirs"));
    ours.switch(&["--enable-dummy", "--disable-system"]);
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(theirs.command(tool).arg("create").arg("conf.db").arg(schema));
    let remote = format!("--remote=punix:{}", theirs.path.join("db.sock").display());
    run(theirs.command(server).args([
        "conf.db",
        &remote,
        "--detach",
        "--no-chdir",
        "--pidfile",
        "-vconsole:off",
    ]));
    run(theirs.command(settings).args(["--no-wait", "init"]));
    run(theirs.command(daemon).args([
        "--enable-dummy",
        "--disable-system",
        "--disable-system-route",
        "--detach",
        "--no-chdir",
        "--pidfile",
        "-vconsole:off",
    ]));
    let asked = |place: &Place, arguments: &[&str]| {
        let output = place.command(&client).args(arguments).output().unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let [own, real] = [&ours, &theirs].map(|place| commands(&asked(place, &["list-commands"]).1));
    assert!(own.len() > 50, "{own:?}");
    for (name, usage) in &own {
        if let Some(expected) = real.get(name) {
            assert_eq!(usage, expected, "{name}");
        } else {
            // The real one has this command once there is a bridge.
            assert_eq!(name, "ofproto/list-tunnels", "the real one has no such command");
        }
    }
    let mut others = Vec::new();
    for arguments in [
        vec!["version"],
        vec!["bogus"],
        vec!["fdb/show"],
        vec!["fdb/show", "a", "b"],
        vec!["fdb/show", "br9"],
        vec!["fdb/flush"],
        vec!["mdb/show", "br9"],
        vec!["list-commands", "x"],
        vec!["bond/list"],
        vec!["bond/show"],
        vec!["bond/show", "nope"],
        vec!["bond/hash", "00:00:00:00:00:01", "5", "7"],
        vec!["bond/hash", "x"],
        vec!["lacp/show"],
        vec!["lacp/show", "nope"],
        vec!["rstp/show", "nope"],
        vec!["stp/show", "nope"],
        vec!["bfd/show", "nope"],
        vec!["cfm/show", "nope"],
        vec!["qos/show", "nope"],
        vec!["dpif/show"],
        vec!["dpif/dump-flows", "nope"],
        vec!["dpctl/dump-dps"],
        vec!["upcall/show"],
        vec!["ofproto/list"],
        vec!["netdev-dummy/conn-state", "px"],
        vec!["netdev-dummy/set-admin-state", "px", "up"],
        vec!["netdev-dummy/receive", "px", "00"],
        vec!["time/warp"],
        vec!["time/warp", "x"],
        vec!["time/stop"],
        vec!["coverage/read-counter", "nope"],
        vec!["vlog/set", "foo:bar"],
        vec!["vlog/set", "PATTERN:x:y"],
        vec!["vlog/disable-rate-limit", "xx"],
        vec!["vlog/list-pattern"],
        vec!["exit", "a", "b"],
    ] {
        let (own, real) = (asked(&ours, &arguments), asked(&theirs, &arguments));
        if own != real {
            others.push(format!("{arguments:?}: {own:?}, the real one {real:?}"));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(asked(&theirs, &["exit"]).0, Some(0));
}
