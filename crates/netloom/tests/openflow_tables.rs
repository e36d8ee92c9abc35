//! Open vSwitch's own `ovs-ofctl` puts flows into a switch daemon's tables, and packets of namespaces follow them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};
use std::path::{Path, PathBuf};
use std::process::Command;

const NODES: [(&str, &str); 2] = [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")];

/// `ovs-ofctl` on `br0` of the daemon of a directory.
struct Ofctl(PathBuf);

impl Ofctl {
    fn run(&self, command: &str, argument: &str) -> Result<String, String> {
        let mut tool = Command::new("ovs-ofctl");
        tool.args(["--timeout=10", "-O", "OpenFlow10,OpenFlow13,OpenFlow15", command]);
        tool.arg(format!("unix:{}", self.0.join("br0.mgmt").display()));
        if !argument.is_empty() {
            tool.arg(argument);
        }
        let output = tool.output().map_err(|error| error.to_string())?;
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    #[track_caller]
    fn ask(&self, command: &str, argument: &str) -> String {
        self.run(command, argument).unwrap_or_else(|error| panic!("ovs-ofctl {command} {argument}: {error}"))
    }

    /// A number behind a name in the line of the flow with a cookie; none without such a flow.
    fn number(&self, cookie: u64, name: &str) -> Option<u64> {
        let flows = self.ask("dump-flows", "");
        let line = flows.lines().find(|line| line.contains(&format!("cookie={cookie:#x},")))?;
        let (_, rest) = line.split_once(&format!("{name}="))?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    }
}

/// Pings from `a` to `b`: how many of so many came back.
fn ping(rig: &Rig, count: u32) -> Option<u32> {
    let count = count.to_string();
    let done = rig.run_in("a", "ping", &["-c", &count, "-i", "0.05", "-W", "1", "10.0.0.2"])?;
    let text = String::from_utf8(done.stdout).unwrap();
    Some(text.split(" received").next()?.rsplit(' ').next()?.parse().unwrap())
}

fn with_tables(body: impl FnOnce(&Rig, &Path, &Daemon<'_>, &Ofctl) + Send) {
    rig::isolated(move |rig| {
        if Command::new("ovs-ofctl").arg("--version").output().is_err() {
            netloom_testkit::skip!("no ovs-ofctl");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        if rig.run("ping", &["-V"]).is_none() {
            netloom_testkit::skip!("no ping");
            return;
        }
        let ofctl = Ofctl(directory.clone());
        if !directory.join("br0.mgmt").exists() {
            netloom_testkit::skip!("the daemon serves no OpenFlow");
            return;
        }
        body(rig, &directory, &daemon, &ofctl);
    });
}

#[test]
fn packets_follow_flows_and_are_counted() {
    with_tables(|rig, _, _, ofctl| {
        assert_eq!(ping(rig, 3), Some(3));
        ofctl.ask("add-flow", "cookie=7,priority=9,icmp,in_port=1,actions=drop");
        assert_eq!(ping(rig, 4), Some(0));
        assert_eq!((ofctl.number(7, "n_packets"), ofctl.number(7, "n_bytes")), (Some(4), Some(4 * 98)));
        ofctl.ask("del-flows", "icmp");
        assert_eq!(ping(rig, 3), Some(3));
        // Flows alone, without the ordinary switch.
        ofctl.ask("del-flows", "");
        assert_eq!(ping(rig, 2), Some(0));
        ofctl.ask("add-flow", "cookie=1,in_port=1,actions=output:2");
        ofctl.ask("add-flow", "cookie=2,in_port=2,actions=output:1");
        assert_eq!(ping(rig, 5), Some(5));
        assert!(ofctl.number(1, "n_packets").unwrap() >= 5);
    });
}

#[test]
fn flows_end_by_themselves() {
    with_tables(|rig, _, _, ofctl| {
        ofctl.ask("add-flow", "cookie=7,priority=9,idle_timeout=1,icmp,in_port=1,actions=output:2");
        // As long as packets come it stays.
        assert_eq!(ping(rig, 30), Some(30));
        assert_eq!(ofctl.number(7, "n_packets"), Some(30));
        until("it is gone", || ofctl.number(7, "n_packets").is_none());
        ofctl.ask("add-flow", "cookie=8,priority=9,hard_timeout=1,arp,actions=NORMAL");
        until("it is gone, too", || ofctl.number(8, "n_packets").is_none());
    });
}

#[test]
fn groups_meters_and_connections() {
    with_tables(|rig, _, _, ofctl| {
        let in_13 = |command: &str, argument: &str| {
            let tool = Command::new("ovs-ofctl")
                .args(["--timeout=10", "-O", "OpenFlow15", command])
                .arg(format!("unix:{}", ofctl.0.join("br0.mgmt").display()))
                .arg(argument)
                .output()
                .unwrap();
            assert!(tool.status.success(), "{command} {argument}: {}", String::from_utf8_lossy(&tool.stderr));
        };
        in_13("add-group", "group_id=1,type=select,bucket=bucket_id:0,output:2,bucket=bucket_id:1,output:2");
        ofctl.ask("add-flow", "cookie=1,priority=9,icmp,in_port=1,actions=group:1");
        assert_eq!(ping(rig, 5), Some(5));
        in_13("add-meter", "meter=1,pktps,burst,bands=type=drop rate=1 burst_size=2");
        let limited = |rate: &str| {
            let tool = Command::new("ovs-ofctl")
                .args(["--timeout=10", "-O", "OpenFlow13", "add-flow"])
                .arg(format!("unix:{}", ofctl.0.join("br0.mgmt").display()))
                .arg(rate)
                .output()
                .unwrap();
            assert!(tool.status.success(), "{rate}: {}", String::from_utf8_lossy(&tool.stderr));
        };
        limited("cookie=1,priority=9,icmp,in_port=1,actions=meter:1,output:2");
        let passed = ping(rig, 20).unwrap();
        assert!((2..=4).contains(&passed), "{passed}");
        // Only `a` may begin.
        ofctl.ask("del-flows", "");
        for flow in [
            "priority=10,arp,actions=NORMAL",
            "priority=9,icmp,actions=ct(table=1)",
            "cookie=3,table=1,ct_state=+trk+new,icmp,in_port=1,actions=ct(commit),output:2",
            "cookie=4,table=1,ct_state=+trk+est,icmp,actions=NORMAL",
        ] {
            ofctl.ask("add-flow", flow);
        }
        let back = rig.run_in("b", "ping", &["-c", "2", "-i", "0.05", "-W", "1", "10.0.0.1"]).unwrap();
        assert!(!back.status.success());
        assert_eq!(ping(rig, 5), Some(5));
        assert_eq!(ofctl.number(3, "n_packets"), Some(1));
        assert_eq!(ofctl.number(4, "n_packets"), Some(9));
    });
}

#[test]
fn tables_cross_an_upgrade() {
    with_tables(|rig, directory, daemon, ofctl| {
        let _last = Last(directory);
        ofctl.ask("del-flows", "");
        ofctl.ask("add-flow", "cookie=1,in_port=1,actions=resubmit(,5)");
        ofctl.ask("add-flow", "cookie=2,table=5,in_port=1,actions=output:2");
        ofctl.ask("add-flow", "cookie=3,in_port=2,actions=output:1");
        assert_eq!(ping(rig, 5), Some(5));
        let before: Vec<Option<u64>> = (1..=3).map(|cookie| ofctl.number(cookie, "n_packets")).collect();
        let age = ofctl.number(1, "duration").unwrap();
        daemon.try_ask("switch upgrade").unwrap();
        until("the successor serves OpenFlow", || ofctl.run("dump-flows", "").is_ok());
        let after: Vec<Option<u64>> = (1..=3).map(|cookie| ofctl.number(cookie, "n_packets")).collect();
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after && after.is_some()));
        assert!(ofctl.number(1, "duration").unwrap() >= age);
        assert_eq!(ping(rig, 5), Some(5));
        assert!(ofctl.number(2, "n_packets") >= after[1].map(|packets| packets + 5));
    });
}

/// Whatever daemon is there at the end.
struct Last<'a>(&'a Path);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        let wanted = self.0.to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let own = pid == std::process::id() as i32;
            if !own && line.contains(&wanted) && line.contains("switchd") {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
