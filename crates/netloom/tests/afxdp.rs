//! AF_XDP ports of the switch daemon: namespaces talk through them by ping, UDP and TCP, and nothing stays on an interface
//! when a port or the daemon ends, however it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;
mod nodes;

use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};
use nodes::{inside, ip, ip_in, namespace, node, node_of_queues, talk};
use std::path::Path;

fn has_program(rig: &Rig, name: &str) -> bool {
    let shown = rig.run("ip", &["-d", "link", "show", name]).unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains(name), "{text}");
    text.contains("prog/xdp")
}

#[test]
fn namespaces_talk_and_nothing_stays_behind() {
    rig::isolated(|rig| {
        if !ip(rig, "-V") || !node(rig, "a", "na", "10.3.0.1") || !node(rig, "b", "nb", "10.3.0.2") {
            netloom_testkit::skip!("no ip, or no veth pairs between namespaces");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if let Err(complaint) = daemon.try_ask("port add br0 p0 type=afxdp dev=na") {
            // Without the right to load programs the way out is named.
            assert!(complaint.contains("CAP_BPF") && complaint.contains("afpacket"), "{complaint}");
            netloom_testkit::skip!("{complaint}");
            return;
        }
        for (wrong, why) in [
            ("p1 type=afxdp", "`dev` is missing"),
            ("p1 type=afxdp dev=nx", "no interface `nx`"),
            ("p1 type=afxdp dev=nb mode=fast", "auto, zero-copy, copy or generic"),
            ("p1 type=afxdp dev=nb queues=9", "9 queues"),
            ("p1 type=afxdp dev=nb queues=0", "from 1 to 64"),
            ("p1 type=afxdp dev=nb descriptors=100", "power of two"),
            ("p1 type=afxdp dev=nb colour=red", "no option `colour`"),
            ("p1 type=afxdp dev=na", "another XDP program"),
            ("p1 type=afxdp dev=nb mode=zero-copy", "zero-copy: queue 0"),
        ] {
            let complaint = daemon.try_ask(&format!("port add br0 {wrong}")).unwrap_err();
            assert!(complaint.contains(why), "{wrong}: {complaint}");
        }
        assert!(has_program(rig, "na") && !has_program(rig, "nb"));
        daemon.try_ask("port add br0 p1 type=afxdp dev=nb queues=1 mode=copy").unwrap();
        let port = daemon.port("p0");
        assert_eq!((&port["state"], &port["details"]["mode"]), (&"up".into(), &"copy".into()), "{port}");
        assert!(port["details"]["better-modes"].as_str().unwrap().starts_with("zero-copy: "), "{port}");
        // Checksums are left open by the senders and completed on the way out.
        talk(rig, "a", "b", "10.3.0.2");
        talk(rig, "b", "a", "10.3.0.1");
        let port = daemon.port("p0");
        assert!(port["received"].as_u64() > Some(500) && port["sent"].as_u64() > Some(500), "{port}");
        assert!(port["details"]["open-checksums"].is_string(), "{port}");
        assert!(port["details"]["invalid"].is_null() && port["details"]["unsendable"].is_null(), "{port}");
        // The other end goes down and comes back.
        assert!(ip_in(rig, "b", "link set eth0 down"));
        until("the port is down", || daemon.port("p1")["state"] == "nb is down");
        assert!(ip_in(rig, "b", "link set eth0 up"));
        until("the port is up", || daemon.port("p1")["state"] == "up");
        talk(rig, "a", "b", "10.3.0.2");

        // A closed port leaves no program, and can be opened again at once.
        daemon.try_ask("port del p1").unwrap();
        assert!(!has_program(rig, "nb"));
        daemon.try_ask("port add br0 p1 type=afxdp dev=nb mode=generic").unwrap();
        assert_eq!(daemon.port("p1")["details"]["mode"], "generic");
        assert!(daemon.port("p1")["details"]["vlan-tags"].is_string());
        // Nobody keeps the sender from handing over uncut segments in this mode, but its user.
        assert!(daemon.port("p1")["details"]["large-segments"].as_str().unwrap().contains("gso_max_segs 1"));
        assert!(ip_in(rig, "b", "link set eth0 gso_max_segs 1"));
        talk(rig, "a", "b", "10.3.0.2");

        // Killed: nothing stays. Started again: everything is there.
        drop(daemon);
        until("no program is left", || !has_program(rig, "na") && !has_program(rig, "nb"));
        let daemon = Daemon::start(&directory);
        assert!(has_program(rig, "na") && has_program(rig, "nb"));
        talk(rig, "b", "a", "10.3.0.1");
        // An interface that is gone is noticed.
        assert!(ip(rig, "link del nb"));
        until("the port is gone", || daemon.port("p1")["state"].as_str().unwrap().starts_with("gone"));
        daemon.try_ask("switch stop").unwrap();
        until("the daemon has ended", || !directory.join("switch.sock").exists());
        until("no program is left", || !has_program(rig, "na"));
    });
}

#[test]
fn open_checksums_travel_to_a_tap() {
    rig::isolated(|rig| {
        if !ip(rig, "-V") || !node(rig, "a", "na", "10.3.0.1") || !Path::new("/dev/net/tun").exists() {
            netloom_testkit::skip!("no ip, no /dev/net/tun, or no veth pairs between namespaces");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if let Err(complaint) = daemon.try_ask("port add br0 p0 type=afxdp dev=na") {
            netloom_testkit::skip!("{complaint}");
            return;
        }
        let path = namespace(rig, "b").unwrap();
        daemon.try_ask("port add br0 nt0 type=tap").unwrap();
        assert!(ip(rig, &format!("link set nt0 netns {path} name eth0")));
        assert!(inside(rig, "b", "10.3.0.2"));
        // The TAP interface sends large segments, which are cut for the other port.
        talk(rig, "a", "b", "10.3.0.2");
        talk(rig, "b", "a", "10.3.0.1");
    });
}

#[test]
fn packet_sockets_with_rings_carry_a_stream() {
    rig::isolated(|rig| {
        if !ip(rig, "-V") || !node(rig, "a", "na", "10.3.0.1") || !node(rig, "b", "nb", "10.3.0.2") {
            netloom_testkit::skip!("no ip, or no veth pairs between namespaces");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if let Err(complaint) = daemon.try_ask("port add br0 p0 type=afpacket dev=na ring=true") {
            netloom_testkit::skip!("{complaint}");
            return;
        }
        let complaint = daemon.try_ask("port add br0 p1 type=afpacket dev=nb queues=2").unwrap_err();
        assert!(complaint.contains("needs `ring=true`"), "{complaint}");
        daemon.try_ask("port add br0 p1 type=afpacket dev=nb ring=true queues=2").unwrap();
        talk(rig, "a", "b", "10.3.0.2");
        talk(rig, "b", "a", "10.3.0.1");
    });
}

#[test]
fn two_workers_have_a_queue_each() {
    rig::isolated(|rig| {
        if !ip(rig, "-V")
            || !node_of_queues(rig, "a", "na", "10.3.0.1", 2)
            || !node_of_queues(rig, "b", "nb", "10.3.0.2", 2)
        {
            netloom_testkit::skip!("no ip, or no veth pairs between namespaces");
            return;
        }
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            netloom_testkit::skip!("one processor");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_with(&directory, &["--cores", "0,1"]);
        daemon.try_ask("switch add br0").unwrap();
        for (port, device) in [("p0", "na"), ("p1", "nb")] {
            if let Err(complaint) = daemon.try_ask(&format!("port add br0 {port} type=afxdp dev={device}")) {
                netloom_testkit::skip!("{complaint}");
                return;
            }
        }
        // Streams choose their queues by their ports: some turns bring both.
        let used = || {
            let port = daemon.port("p0");
            let queues = port["queues"].as_array().unwrap().clone();
            assert_eq!(queues.len(), 2, "{port}");
            queues.iter().all(|queue| queue["packets"].as_u64() > Some(0))
        };
        until("both queues were used", || {
            talk(rig, "a", "b", "10.3.0.2");
            used()
        });
        talk(rig, "b", "a", "10.3.0.1");
        let port = daemon.port("p1");
        assert_eq!(
            (&port["unsent"], &port["details"]["invalid"]),
            (&0.into(), &serde_json::Value::Null),
            "{port}"
        );
    });
}
