//! The switch daemon as a user meets it: real TAP interfaces, real frames, the commands, and a daemon that is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, PATIENCE, sockets, until};
use netloom_mem::{Batch, Offload, ReceiveQueue};
use netloom_port::packet::PacketSocket;
use netloom_port::pcap::Replay;
use netloom_testkit::rig;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long nothing must come before it counts as nothing.
const SILENCE: Duration = Duration::from_millis(150);

fn frame(destination: u8, source: u8, tag: Option<u16>, octets: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 1, destination, 2, 0, 0, 0, 1, source];
    if destination == 255 {
        frame[..6].fill(255);
    }
    if let Some(tag) = tag {
        frame.extend([0x81, 0, (tag >> 8) as u8, tag as u8]);
    }
    // An experimental EtherType, and a payload that tells the frame from the host's own.
    frame.extend([0x88, 0xb5]);
    frame.extend((0..octets).map(|octet| octet as u8));
    frame
}

/// Sends a frame into one interface and checks what comes out of each.
fn check(sockets: &mut [PacketSocket], from: usize, sent: &[u8], wanted: &[Option<Vec<u8>>]) {
    let mut batch = Batch::new();
    assert!(batch.push(1, sent, Offload::NONE));
    assert_eq!(sockets[from].send.send(&batch, &[0]).unwrap(), 1);
    sockets[from].send.flush();
    let mut came: Vec<Vec<Vec<u8>>> = vec![Vec::new(); sockets.len()];
    let began = Instant::now();
    let mut last = Instant::now();
    loop {
        for (socket, came) in sockets.iter_mut().zip(&mut came) {
            batch.clear();
            for index in 0..socket.receive.receive(&mut batch).unwrap() {
                let octets = batch.octets(index);
                // The host announces itself on its interfaces: that is not ours.
                if octets.starts_with(&sent[..12]) {
                    came.push(octets);
                    last = Instant::now();
                }
            }
        }
        let all = wanted.iter().zip(&came).all(|(wanted, came)| wanted.is_none() || !came.is_empty());
        if all && last.elapsed() > SILENCE {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "not everything came: {came:x?}");
    }
    for (index, (wanted, came)) in wanted.iter().zip(&came).enumerate() {
        let wanted: Vec<Vec<u8>> = wanted.iter().cloned().collect();
        assert_eq!(*came, wanted, "interface {index}");
    }
}

#[test]
fn frames_go_where_the_vlans_say_and_the_daemon_comes_back_as_it_was() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.ask(&["switch", "add", "br0"]).unwrap();
        let names = ["nt1", "nt2", "nt3", "nt4"];
        for (name, vlan) in names.iter().zip(["vlan=10", "vlan=10", "vlan=20", "trunk=10,20"]) {
            if daemon.ask(&["port", "add", "br0", name, "type=tap", vlan]).is_none() {
                netloom_testkit::skip!("this user can't make TAP interfaces");
                return;
            }
        }
        // What is wrong is refused and changes nothing.
        for wrong in [
            &["switch", "add", "br0"][..],
            &["port", "add", "br0", "nt1", "type=tap"],
            &["port", "add", "br1", "x", "type=tap"],
            &["port", "add", "br0", "x", "type=wire"],
            &["port", "add", "br0", "x", "type=tap", "vlan=5000"],
            &["port", "add", "br0", "x", "type=tap", "colour=red"],
            &["port", "set", "nt1", "type=afpacket"],
            &["port", "del", "nt9"],
        ] {
            assert_eq!(daemon.ask(wrong), None, "{wrong:?}");
        }
        let vlans = |sockets: &mut [PacketSocket], octets: usize| {
            let (plain, tagged) = (frame(255, 1, None, octets), frame(255, 1, Some(10), octets));
            check(sockets, 0, &plain, &[None, Some(plain.clone()), None, Some(tagged)]);
            let (plain, tagged) = (frame(1, 3, None, octets), frame(1, 3, Some(10), octets));
            check(sockets, 3, &tagged, &[Some(plain), None, None, None]);
            // A station of VLAN 20 with the same address is another one.
            let (plain, tagged) = (frame(1, 5, None, octets), frame(1, 5, Some(20), octets));
            check(sockets, 2, &plain, &[None, None, None, Some(tagged)]);
        };
        let mut sockets_before = sockets(rig, &names);
        vlans(&mut sockets_before, 46);
        vlans(&mut sockets_before, 1400);
        let stations = daemon.ask(&["fdb", "show", "br0"]).unwrap();
        assert!(stations.contains("02:00:00:00:01:01") && stations.contains("nt1"), "{stations}");
        let flows = daemon.ask(&["flows"]).unwrap();
        assert!(flows.contains("eth_dst=02:00:00:00:01:01"), "{flows}");
        // A port that records sees what is flooded in its VLAN.
        let record = rig.state_dir.join("frames.pcap");
        let option = format!("record={}", record.to_str().unwrap());
        daemon.ask(&["port", "add", "br0", "nt5", "type=pcap", &option, "vlan=20"]).unwrap();
        let (plain, tagged) = (frame(255, 9, None, 80), frame(255, 9, Some(20), 80));
        check(&mut sockets_before, 2, &plain, &[None, None, None, Some(tagged)]);
        let mut recorded = Batch::new();
        Replay::open(1, &record, false).unwrap().receive(&mut recorded).unwrap();
        let frames: Vec<Vec<u8>> = (0..recorded.len()).map(|index| recorded.octets(index)).collect();
        assert!(frames.contains(&plain), "{frames:x?}");
        daemon.ask(&["port", "del", "nt5"]).unwrap();
        // A change of a port counts from the next frame on.
        daemon.ask(&["port", "set", "nt2", "vlan=20"]).unwrap();
        let (plain, tagged) = (frame(255, 7, None, 60), frame(255, 7, Some(10), 60));
        check(&mut sockets_before, 0, &plain, &[None, None, None, Some(tagged)]);
        daemon.ask(&["port", "set", "nt2", "vlan=10"]).unwrap();
        let ports = daemon.ask(&["port", "list", "-o", "json"]).unwrap();
        let ports: serde_json::Value = serde_json::from_str(&ports).unwrap();
        assert!(ports.as_array().unwrap().iter().all(|port| port["state"] == "up"), "{ports}");
        assert!(ports[0]["received"].as_u64() > Some(0), "{ports}");
        drop(sockets_before);

        // Killed, and started again: everything is there as it was.
        drop(daemon);
        let daemon = Daemon::start(&directory);
        let mut sockets_after = sockets(rig, &names);
        vlans(&mut sockets_after, 100);
        // Two daemons can't have one directory.
        let second = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .args(["--run", directory.to_str().unwrap(), "switchd"])
            .output()
            .unwrap();
        assert!(!second.status.success());
        daemon.ask(&["switch", "del", "br0"]).unwrap();
        assert_eq!(daemon.ask(&["port", "list"]).unwrap().lines().count(), 1);
        drop(sockets_after);
        daemon.ask(&["switch", "stop"]).unwrap();
        until("the socket is gone", || !directory.join("switch.sock").exists());
    });
}

#[test]
fn pinned_senders_storms_and_mirrors() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.ask(&["switch", "add", "br0", "ageing=60s"]).unwrap();
        let names = ["nu1", "nu2", "nu3"];
        for name in names {
            if daemon.ask(&["port", "add", "br0", name, "type=tap"]).is_none() {
                netloom_testkit::skip!("this user can't make TAP interfaces");
                return;
            }
        }
        let mut sockets = sockets(rig, &names);
        let (own, forged) = (frame(255, 1, None, 60), frame(255, 2, None, 60));
        check(&mut sockets, 0, &own, &[None, Some(own.clone()), Some(own.clone())]);
        daemon.ask(&["port", "set", "nu1", "mac=02:00:00:00:01:01"]).unwrap();
        check(&mut sockets, 0, &own, &[None, Some(own.clone()), Some(own.clone())]);
        check(&mut sockets, 0, &forged, &[None, None, None]);
        // Nobody else sends from a pinned address.
        check(&mut sockets, 1, &own, &[None, None, None]);
        daemon.ask(&["mirror", "add", "br0", "watch", "from=nu1", "output=nu3"]).unwrap();
        for wrong in
            [&["mirror", "add", "br0", "m", "from=nu9", "output=nu3"][..], &["mirror", "del", "br0", "m"]]
        {
            assert_eq!(daemon.ask(wrong), None, "{wrong:?}");
        }
        check(&mut sockets, 0, &own, &[None, Some(own.clone()), Some(own.clone())]);
        let other = frame(255, 7, None, 60);
        check(&mut sockets, 1, &other, &[Some(other.clone()), None, None]);
        daemon.ask(&["port", "set", "nu1", "storm=1pps", "storm-burst=1"]).unwrap();
        check(&mut sockets, 0, &own, &[None, Some(own.clone()), Some(own.clone())]);
        check(&mut sockets, 0, &own, &[None, None, None]);
        let ports = daemon.ask(&["port", "list", "-o", "json"]).unwrap();
        let ports: serde_json::Value = serde_json::from_str(&ports).unwrap();
        assert!(ports[0]["dropped"]["spoofed"].as_u64() >= Some(1), "{ports}");
        assert!(ports[0]["dropped"]["storm"].as_u64() >= Some(1), "{ports}");
        assert!(ports[1]["dropped"]["spoofed"].as_u64() >= Some(1), "{ports}");
    });
}

#[test]
fn a_spanning_tree_with_the_kernels_bridge_and_between_two_switches() {
    rig::isolated(|rig| {
        if rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no ip");
            return;
        }
        let ip = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            rig.run("ip", &words).unwrap().status.success()
        };
        // The kernel's bridge speaks the old protocol and has the better name: it becomes the root.
        if !ip("link add kb0 type bridge stp_state 1 priority 4096") {
            netloom_testkit::skip!("this kernel has no bridge");
            return;
        }
        for number in 1..=4 {
            assert!(ip(&format!("link add na{number} type veth peer name nb{number}")));
            assert!(ip(&format!("link set na{number} up")) && ip(&format!("link set nb{number} up")));
        }
        assert!(ip("link set nb1 master kb0") && ip("link set nb2 master kb0") && ip("link set kb0 up"));
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.ask(&["switch", "add", "br0", "rstp=true", "priority=8192", "hello=1", "lldp=true"]).unwrap();
        daemon.ask(&["switch", "add", "br1", "rstp=true", "lldp=true"]).unwrap();
        for (switch, port) in
            [("br0", "na1"), ("br0", "na2"), ("br0", "na3"), ("br0", "na4"), ("br1", "nb3"), ("br1", "nb4")]
        {
            let device = format!("dev={port}");
            if daemon.ask(&["port", "add", switch, port, "type=afpacket", &device]).is_none() {
                netloom_testkit::skip!("this user can't open packet sockets");
                return;
            }
        }
        let roles = || {
            let text = daemon.ask(&["port", "list", "-o", "json"]).unwrap();
            let ports: serde_json::Value = serde_json::from_str(&text).unwrap();
            let role = |name: &str| {
                let port = ports.as_array().unwrap().iter().find(|port| port["name"] == name).expect(&text);
                port["tree"].as_str().unwrap().to_owned()
            };
            ["na1", "na2", "na3", "na4", "nb3", "nb4"].map(role)
        };
        until("the tree stands", || {
            let [one, two, three, four, root, other] = roles();
            one.starts_with("root")
                && two == "alternate, discarding"
                && three == "designated"
                && four.starts_with("designated")
                && root == "root"
                && other == "alternate, discarding"
        });
        let switches = daemon.ask(&["switch", "list", "-o", "json"]).unwrap();
        let switches: serde_json::Value = serde_json::from_str(&switches).unwrap();
        let root = |index: usize| switches[index]["root"].as_str().unwrap().to_owned();
        assert!(root(0).starts_with("4096/") && root(0).ends_with("cost 2000"), "{switches}");
        assert!(root(1).starts_with("4096/") && root(1).ends_with("cost 4000"), "{switches}");
        until("the neighbours know each other", || {
            let ports = daemon.ask(&["port", "list", "-o", "json"]).unwrap();
            let ports: serde_json::Value = serde_json::from_str(&ports).unwrap();
            let named = |name: &str, other: &str| {
                let port = ports.as_array().unwrap().iter().find(|port| port["name"] == name).unwrap();
                port["neighbours"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|known| known.as_str().unwrap().ends_with(other))
            };
            named("na3", " nb3") && named("nb4", " na4")
        });
        assert!(daemon.ask(&["port", "list", "-o", "wide"]).unwrap().contains(" nb3"));
        // A cable is cut: the other takes over.
        assert!(ip("link set nb3 down") && ip("link set na3 down"));
        until("the other cable takes over", || roles()[5] == "root");
    });
}
