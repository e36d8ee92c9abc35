//! Open vSwitch's own `ovs-vsctl` on a switch daemon: its database is the configuration, whoever changes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `ovs-vsctl` on the daemon of a directory.
struct Vsctl(PathBuf);

impl Vsctl {
    fn run(&self, words: &str) -> Result<String, String> {
        let output = Command::new("ovs-vsctl")
            .arg(format!("--db=unix:{}", self.0.join("db.sock").display()))
            .arg("--timeout=10")
            .args(words.split_whitespace())
            .output()
            .map_err(|error| error.to_string())?;
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn ask(&self, words: &str) -> String {
        self.run(words).unwrap_or_else(|error| panic!("ovs-vsctl {words}: {error}"))
    }
}

/// A daemon with a database; nothing where the tools or the rights are missing.
fn with_daemon(body: impl FnOnce(&Rig, &Path, Daemon<'_>, &Vsctl) + Send) {
    rig::isolated(move |rig| {
        if Command::new("ovs-vsctl").arg("--version").output().is_err() {
            netloom_testkit::skip!("no ovs-vsctl");
            return;
        }
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        let vsctl = Vsctl(directory.clone());
        body(rig, &directory, daemon, &vsctl);
    });
}

fn options(daemon: &Daemon<'_>, port: &str) -> Value {
    let text = daemon.try_ask("-o json port list").unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let found = list.as_array().unwrap().iter().find(|known| known["name"] == port);
    found.unwrap_or_else(|| panic!("no port {port} in {text}"))["options"].clone()
}

#[test]
fn bridges_and_ports_by_ovs_vsctl() {
    with_daemon(|_, _, daemon, vsctl| {
        vsctl.ask("add-br br0");
        assert_eq!(vsctl.ask("list-br"), "br0");
        // With `add-port` the tool waits until the switch has taken it.
        vsctl.ask("add-port br0 p1 tag=10 -- set Interface p1 type=tap");
        if vsctl.ask("get Interface p1 ofport") == "-1" {
            netloom_testkit::skip!(
                "this user can't make TAP interfaces: {}",
                vsctl.ask("get Interface p1 error")
            );
            return;
        }
        vsctl
            .ask("add-port br0 p2 -- set Interface p2 type=tap ofport_request=7 -- set Port p2 trunks=1,2,3");
        assert_eq!(vsctl.ask("list-ports br0"), "p1\np2");
        assert_eq!(
            (vsctl.ask("get Interface p1 ofport"), vsctl.ask("get Interface p2 ofport")),
            ("1".into(), "7".into())
        );
        assert_eq!(vsctl.ask("get Interface br0 ofport"), "65534");
        assert_eq!(options(&daemon, "p1")["vlan"], "10");
        assert_eq!(options(&daemon, "p2")["trunk"], "1-3");
        // A change is carried out.
        vsctl.ask("set Port p1 tag=20 -- set Bridge br0 other_config:mac-aging-time=77 rstp_enable=true");
        assert_eq!(options(&daemon, "p1")["vlan"], "20");
        let switches: Value = serde_json::from_str(&daemon.try_ask("-o json switch list").unwrap()).unwrap();
        assert_eq!(switches[0]["options"]["ageing"], "77s");
        assert_eq!(switches[0]["options"]["rstp"], "true");
        // What can't be is said where it was asked for.
        vsctl.ask("add-port br0 nowhere");
        assert_eq!(vsctl.ask("get Interface nowhere ofport"), "-1");
        assert!(vsctl.ask("get Interface nowhere error").contains("there is no interface `nowhere`"));
        let mirror = "--id=@p get Port p1 -- --id=@m create Mirror name=m select_all=true output_port=@p \
                      -- set Bridge br0 mirrors=@m";
        vsctl.ask(&format!("-- {mirror}"));
        assert!(daemon.try_ask("mirror list").unwrap().contains("p1"));
        vsctl.ask("del-port br0 nowhere -- clear Bridge br0 mirrors");
        assert!(!daemon.try_ask("mirror list").unwrap().contains("p1"));
        until("frames are counted", || {
            vsctl
                .run("get Interface p1 statistics:rx_packets")
                .is_ok_and(|count| count.parse::<u64>().is_ok())
        });
        vsctl.ask("del-br br0");
        assert_eq!(daemon.try_ask("-o json port list").unwrap().trim(), "[]");
    });
}

#[test]
fn what_netloom_makes_is_in_the_database_and_stays_there() {
    with_daemon(|_, directory, daemon, vsctl| {
        daemon.try_ask("switch add sw1 ageing=2m topology=lab").unwrap();
        if daemon.try_ask("port add sw1 t1 type=tap vlan=5 delay=10ms rate=10mbit").is_err() {
            netloom_testkit::skip!("this user can't make TAP interfaces");
            return;
        }
        daemon.try_ask("port add sw1 t2 type=tap").unwrap();
        assert_eq!(vsctl.ask("get Bridge sw1 other_config:mac-aging-time"), "\"120\"");
        assert_eq!(vsctl.ask("get Bridge sw1 external_ids:netloom-topology"), "lab");
        assert_eq!(
            (vsctl.ask("get Port t1 tag"), vsctl.ask("get Interface t1 type")),
            ("5".into(), "tap".into())
        );
        assert_eq!(vsctl.ask("get Interface t1 ingress_policing_rate"), "10000");
        until("the number is there", || vsctl.ask("get Interface t1 ofport") == "1");
        // Each side sees what the other changes, and nothing else is lost by it.
        vsctl.ask("set Port t1 external_ids:mine=yes tag=6");
        assert_eq!(options(&daemon, "t1")["vlan"], "6");
        daemon.try_ask("port set t1 vlan=7 delay=").unwrap();
        assert_eq!(
            (vsctl.ask("get Port t1 tag"), vsctl.ask("get Port t1 external_ids")),
            ("7".into(), "{mine=yes}".into())
        );
        assert_eq!(options(&daemon, "t1")["rate"], "10mbit");
        let before = (options(&daemon, "t1"), daemon.try_ask("-o json switch list").unwrap());
        // A killed daemon's successor reads it all there.
        drop(daemon);
        let daemon = Daemon::start(directory);
        assert_eq!((options(&daemon, "t1"), daemon.try_ask("-o json switch list").unwrap()), before);
        assert_eq!(vsctl.ask("get Interface t1 ofport"), "1");
        // A successor that takes over serves it too.
        daemon.try_ask("switch upgrade").unwrap();
        until("the successor serves the database", || {
            vsctl.run("get Port t1 tag").is_ok_and(|tag| tag == "7")
        });
        vsctl.ask("set Port t1 tag=8");
        assert_eq!(options(&daemon, "t1")["vlan"], "8");
        daemon.try_ask("port del t2").unwrap();
        assert_eq!(vsctl.ask("list-ports sw1"), "t1");
        daemon.try_ask("switch stop").unwrap();
    });
}

/// What a `show` says, without the number of the database, in an order of its own.
fn lines(text: &str) -> Vec<String> {
    let named = text.lines().filter(|line| line.starts_with(' '));
    let mut lines: Vec<String> = named.map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

#[test]
fn add_br_add_port_and_show_by_all_who_can() {
    with_daemon(|_, _, daemon, vsctl| {
        daemon.try_ask("sw add-br br0").unwrap();
        daemon.try_ask("ovs-vsctl add-br br1 -- set Bridge br1 other_config:mac-aging-time=77").unwrap();
        vsctl.ask("add-br br2");
        assert_eq!(vsctl.ask("list-br"), "br0\nbr1\nbr2");
        if daemon.try_ask("sw add-port br0 t0 type=tap vlan=5").is_err() {
            netloom_testkit::skip!("this user can't make TAP interfaces");
            return;
        }
        daemon.try_ask("ovs-vsctl add-port br1 t1 tag=6 -- set Interface t1 type=tap").unwrap();
        vsctl.ask("add-port br2 t2 tag=7 -- set Interface t2 type=tap");
        let ours = daemon.try_ask("ovs-vsctl show").unwrap();
        assert_eq!(lines(&ours), lines(&vsctl.ask("show")));
        for line in ["    Bridge br1", "        Port t1", "            tag: 6", "                type: tap"] {
            assert!(lines(&ours).contains(&line.to_owned()), "no `{line}` in {ours}");
        }
        let shown = daemon.try_ask("sw show").unwrap();
        for (switch, port, vlan) in
            [("br0", "t0", "vlan=5"), ("br1", "t1", "vlan=6"), ("br2", "t2", "vlan=7")]
        {
            let mut after = shown.lines().skip_while(|line| !line.starts_with(&format!("switch {switch}")));
            assert!(
                after.any(|line| line.contains(&format!("port {port} ")) && line.contains(vlan)),
                "{shown}"
            );
        }
        // Flows, by the tools that are in the program.
        daemon.try_ask("flow add br0 priority=5,tcp,actions=drop table=1,actions=NORMAL").unwrap();
        let flows = daemon.try_ask("ovs-ofctl -O OpenFlow13 --no-stats --sort dump-flows br0").unwrap();
        assert!(flows.contains("priority=5,tcp actions=drop"), "{flows}");
        let listed: Value =
            serde_json::from_str(&daemon.try_ask("-o json flow list br0 tcp").unwrap()).unwrap();
        assert_eq!((&listed[0]["priority"], &listed[0]["actions"]), (&5.into(), &"drop".into()));
        let trace = daemon.try_ask("flow trace br0 in_port=t0,tcp").unwrap();
        assert!(trace.contains("Datapath actions: drop"), "{trace}");
        assert!(daemon.try_ask("ovs-appctl version").unwrap().contains("Open vSwitch"));
        daemon.try_ask("sw del-port t0").unwrap();
        daemon.try_ask("ovs-vsctl del-port t1 -- del-br br1").unwrap();
        daemon.try_ask("sw del-br br0").unwrap();
        assert_eq!((vsctl.ask("list-br"), vsctl.ask("list-ports br2")), ("br2".into(), "t2".into()));
    });
}

#[test]
fn ovs_appctl_finds_the_switch_and_its_database() {
    with_daemon(|_, directory, daemon, _| {
        let appctl = |words: &[&str]| {
            let mut command = Command::new("ovs-appctl");
            let output = command.env("OVS_RUNDIR", directory).arg("-T10").args(words).output().unwrap();
            let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
            if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
        };
        daemon.try_ask("switch add br0").unwrap();
        let alias = directory.join("db.ctl");
        let asks = || {
            until("ovs-appctl finds the switch", || {
                appctl(&["dpif/show"]).is_ok_and(|shown| shown.contains("br0"))
            });
            for target in ["ovsdb-server", alias.to_str().unwrap()] {
                until("ovs-appctl finds the database", || {
                    appctl(&["-t", target, "ovsdb-server/list-dbs"])
                        .is_ok_and(|all| all.contains("Open_vSwitch"))
                });
            }
        };
        asks();
        assert!(appctl(&["-t", "ovsdb-server", "exit"]).is_err());
        daemon.try_ask("switch upgrade").unwrap();
        asks();
        // What a killed one left is no hindrance.
        drop(daemon);
        let daemon = Daemon::start(directory);
        asks();
        daemon.try_ask("switch stop").unwrap();
        until("only the database is left", || {
            let left = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
            left.filter(|name| name != "conf.db" && name != ".conf.db.~lock~").count() == 0
        });
    });
}
