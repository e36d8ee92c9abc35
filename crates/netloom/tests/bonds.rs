//! Bonds as a user meets them: two switches with two cables between them, one of which is cut; and the changes that are
//! told meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::flows::exchange;
use daemon::{Daemon, sockets, until};
use netloom_testkit::rig;
use std::path::Path;

#[test]
fn two_switches_agree_and_a_cut_cable_is_left() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let ip = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            rig.run("ip", &words).unwrap().status.success()
        };
        for number in 1..=2 {
            assert!(ip(&format!("link add na{number} type veth peer name nb{number}")));
            assert!(ip(&format!("link set na{number} up")) && ip(&format!("link set nb{number} up")));
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_two(&directory);
        let ask = |words: &str| daemon.ask(&words.split_whitespace().collect::<Vec<_>>());
        ask("switch add br0").unwrap();
        ask("switch add br1").unwrap();
        if ask("port add br0 ns0 type=tap").is_none() {
            netloom_testkit::skip!("this user can't make TAP interfaces");
            return;
        }
        ask("port add br1 ns1 type=tap").unwrap();
        for (switch, port) in [("br0", "na1"), ("br0", "na2"), ("br1", "nb1"), ("br1", "nb2")] {
            ask(&format!("port add {switch} {port} type=afpacket dev={port}")).unwrap();
        }
        for wrong in [
            "bond add br0 bond0 members=na1,nb1",
            "bond add br0 bond0 members=na9",
            "bond add br0 bond0 mode=lacp",
            "bond add br0 bond0 members=na1 delay=5ms",
            "bond set na1 mode=balance",
            "bond del na1",
            "bond show bond0",
        ] {
            assert_eq!(ask(wrong), None, "{wrong}");
        }
        let watcher = daemon.spawn(&["switch", "watch", "-o", "json"]);
        // A first change shows that it watches.
        until("somebody watches", || {
            ask("switch set br1 ageing=301s").unwrap();
            watcher.lines().iter().any(|line| line.contains("ageing=301s"))
        });
        ask("bond add br0 bond0 members=na1,na2 lacp-rate=fast").unwrap();
        assert_eq!(ask("bond add br0 other members=na1"), None, "it is in a bond");
        ask("bond add br1 bond1 members=nb1,nb2 lacp-rate=fast").unwrap();
        let members = |name: &str| {
            let text = ask(&format!("bond show {name} -o json")).unwrap();
            let bond: serde_json::Value = serde_json::from_str(&text).unwrap();
            let members = bond["members"].as_array().unwrap().iter();
            members.map(|member| member["work"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        until("both cables are used", || {
            members("bond0") == ["works"; 2] && members("bond1") == ["works"; 2]
        });
        // Each thing is listed, shown, and told as JSON; what is not there is told with what is.
        let shown = ask("bond show bond0").unwrap();
        assert!(shown.contains("bond0 of br0: lacp, up") && shown.contains("synchronized"), "{shown}");
        let shown = ask("switch show br0").unwrap();
        assert!(shown.contains("switch      br0") && shown.contains("port        bond0"), "{shown}");
        assert_eq!(daemon.json(&["switch", "show", "br1", "-o", "json"])["options"]["ageing"], "301s");
        assert_eq!(daemon.json(&["bond", "list", "br1", "-o", "json"])[0]["name"], "bond1");
        for (wrong, help) in [
            ("switch show br9", "switches: br0, br1"),
            ("bond show bond9", "bonds: bond0, bond1"),
            ("bond list br9", "br9"),
            ("port show p9", "ports: bond0, bond1, na1"),
            ("mirror show br0 m", "mirrors: there is none"),
            ("mirror list br9", "switches: br0, br1"),
            ("fdb show br0 02:00:00:00:09:09", "netloom fdb show br0"),
            ("fdb show br0 02:00", "02:00"),
            ("switch watch br9", "br9"),
        ] {
            let told = daemon.try_ask(wrong).unwrap_err();
            assert!(told.contains(help), "{wrong}: {told}");
        }
        let mut sockets = sockets(rig, &["ns0", "ns1"]);
        let sent = |port: &str| daemon.port(port)["sent"].as_u64().unwrap();
        // Workers know of a member at the next tick after it works.
        until("each cable has its part of the flows", || {
            exchange(&mut sockets, false, 0..100);
            exchange(&mut sockets, true, 0..100);
            ["na1", "na2", "nb1", "nb2"].into_iter().all(|port| sent(port) > 40)
        });
        assert!(sent("bond0") >= sent("na1") + sent("na2") - 10);
        assert!(ask("fdb show br0").unwrap().lines().any(|line| line.starts_with("bond0 ")));
        let station = daemon.json(&["fdb", "show", "br0", "02:00:00:00:08:02", "-o", "json"]);
        assert_eq!((station[0]["port"].as_str(), station[1].as_str()), (Some("bond0"), None));

        assert!(ip("link set na1 down"));
        until("the cable is left", || {
            members("bond0") == ["down", "works"] && members("bond1")[1] == "works"
        });
        until("the other side leaves it", || members("bond1")[0] != "works");
        exchange(&mut sockets, false, 200..300);
        exchange(&mut sockets, true, 200..300);
        assert!(ip("link set na1 up"));
        until("it is used again", || members("bond0") == ["works"; 2] && members("bond1") == ["works"; 2]);
        exchange(&mut sockets, false, 300..400);

        // What was told.
        let events = watcher.lines();
        let told = |kind: &str, subject: &str, change: &str| {
            let found = events.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let mut found = found.filter(|event| event["kind"] == kind && event["subject"] == subject);
            found.any(|event| event["change"] == change)
        };
        for (kind, subject, change) in [
            ("port", "bond0", "added"),
            ("bond", "bond0", "up"),
            ("bond", "bond0/na1", "works"),
            ("bond", "bond0/na1", "down"),
            ("port", "na1", "down"),
            ("port", "na1", "up"),
            ("fdb", "02:00:00:00:08:01", "learned"),
            ("fdb", "02:00:00:00:08:02", "learned"),
        ] {
            assert!(told(kind, subject, change), "{kind} {subject} {change}: {events:#?}");
        }
        assert!(!told("fdb", "02:00:00:00:08:02", "moved"), "a station stays behind the bond");

        // As one works and the other waits; with other options, without adding it anew.
        ask("bond set bond0 mode=active-backup lacp-rate= primary=na2").unwrap();
        ask("bond set bond1 mode=active-backup lacp-rate= primary=nb2").unwrap();
        until("one works", || {
            members("bond0") == ["waits", "works"] && members("bond1") == ["waits", "works"]
        });
        assert!(ask("bond show bond0").unwrap().contains("bond0 of br0: active-backup, up"));
        exchange(&mut sockets, false, 400..500);
        assert!(ip("link set na2 down"));
        until("the other takes over", || {
            members("bond0") == ["works", "down"] && members("bond1") == ["works", "down"]
        });
        exchange(&mut sockets, false, 500..600);
        assert!(ip("link set na2 up"));
        let moved = daemon.spawn(&["fdb", "watch", "br0", "-o", "json"]);
        until("somebody watches", || {
            ask("fdb add br0 02:00:00:00:07:01 ns0").unwrap();
            ask("fdb del br0 02:00:00:00:07:01").unwrap();
            moved.lines().len() >= 2
        });
        // The bond comes back with a daemon that was killed.
        drop(daemon);
        let daemon = Daemon::start_two(&directory);
        let list = daemon.ask(&["bond", "list"]).unwrap();
        assert!(list.contains("bond0") && list.contains("active-backup") && list.contains("na1"), "{list}");
        daemon.ask(&["bond", "del", "bond0"]).unwrap();
        assert!(!daemon.ask(&["port", "list"]).unwrap().contains("bond0"));
    });
}
