//! Bonds with somebody else at the other end: Open vSwitch, with its data path in user space.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::flows::exchange;
use daemon::peer::OpenVSwitch;
use daemon::{Daemon, sockets, until};
use netloom_mem::{Batch, Offload};
use netloom_port::packet::PacketSocket;
use netloom_testkit::rig::{self, Rig};
use std::collections::BTreeSet;
use std::path::Path;

/// Two cables, a station on a switch of ours, and one on a bridge of Open vSwitch; nothing where that is impossible.
fn with_peer(body: impl FnOnce(&Rig, &Daemon<'_>, &OpenVSwitch) + Send) {
    rig::isolated(move |rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        for number in 1..=2 {
            ip(rig, &format!("link add na{number} type veth peer name nb{number}"));
            ip(rig, &format!("link set na{number} up"));
            ip(rig, &format!("link set nb{number} up"));
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_two(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if daemon.try_ask("port add br0 ns0 type=tap").is_err() {
            netloom_testkit::skip!("this user can't make TAP interfaces");
            return;
        }
        let Some(peer) = OpenVSwitch::start(rig.state_dir.join("peer")) else {
            netloom_testkit::skip!("no openvswitch-switch");
            return;
        };
        for port in ["na1", "na2"] {
            daemon.try_ask(&format!("port add br0 {port} type=afpacket dev={port}")).unwrap();
        }
        assert!(peer.set("add-br ovs0 -- set bridge ovs0 datapath_type=netdev"));
        body(rig, &daemon, &peer);
    });
}

#[track_caller]
fn ip(rig: &Rig, words: &str) {
    let words: Vec<&str> = words.split_whitespace().collect();
    let done = rig.run("ip", &words).unwrap();
    assert!(done.status.success(), "{words:?}: {done:?}");
}

/// What the members of `bond0` do.
fn members(daemon: &Daemon<'_>) -> Vec<String> {
    let bond = daemon.json(&["bond", "show", "bond0", "-o", "json"]);
    let members = bond["members"].as_array().unwrap().iter();
    members.map(|member| member["work"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lacp_with_open_vswitch() {
    with_peer(|rig, daemon, peer| {
        let ask = |words: &str| daemon.try_ask(words).unwrap();
        assert!(peer.set(
            "add-bond ovs0 bond0 nb1 nb2 lacp=active bond_mode=balance-tcp other_config:lacp-time=fast"
        ));
        ask("switch set br0 address=02:00:00:00:0b:01");
        ask("bond add br0 bond0 members=na1,na2 lacp-rate=fast");
        until("both cables are used", || members(daemon) == ["works"; 2]);
        // The peer knows us, and uses both as well.
        let both = |text: &str| {
            text.matches("current attached").count() == 2
                && text.matches("partner sys_id: 02:00:00:00:0b:01").count() == 2
                && text
                    .matches(
                        "partner state: activity timeout aggregation synchronized collecting distributing",
                    )
                    .count()
                    == 2
        };
        until("the peer agrees", || peer.tell("lacp/show").is_some_and(|text| both(&text)));
        let uses_both = || peer.tell("bond/show").is_some_and(|text| text.matches(": enabled").count() == 2);
        until("the peer uses both", uses_both);
        let mut sockets = sockets(rig, &["ns0", "ovs0"]);
        let sent = |port: &str| daemon.port(port)["sent"].as_u64().unwrap();
        // Workers know of a member at the next tick after it works.
        until("each cable has its part of the flows", || {
            exchange(&mut sockets, false, 0..100);
            exchange(&mut sockets, true, 0..100);
            sent("na1") > 40 && sent("na2") > 40
        });

        // A cable that is silent at our end only.
        ip(rig, "link set nb2 down");
        until("the cable is left", || members(daemon) == ["works", "down"]);
        exchange(&mut sockets, false, 100..200);
        exchange(&mut sockets, true, 100..200);
        ip(rig, "link set nb2 up");
        until("it is used again", || {
            members(daemon) == ["works"; 2] && peer.tell("lacp/show").is_some_and(|text| both(&text))
        });
        until("the peer uses both again", uses_both);
        exchange(&mut sockets, true, 200..300);

        // Who speaks only when spoken to is spoken to.
        ask("bond set bond0 lacp-active=false");
        until("they agree again", || members(daemon) == ["works"; 2]);
        until("the peer sees that", || {
            peer.tell("lacp/show").is_some_and(|text| {
                text.matches("partner state: timeout aggregation synchronized collecting distributing")
                    .count()
                    == 2
            })
        });
        until("the peer goes on using both", uses_both);
        exchange(&mut sockets, false, 300..400);
        // Nobody speaks: nobody works, unless that is asked for.
        assert!(peer.set("set port bond0 lacp=off bond_mode=active-backup"));
        until("the silence is noticed", || members(daemon) == ["waits"; 2]);
        ask("bond set bond0 fallback=true");
        until("one works all the same", || {
            let mut now = members(daemon);
            now.sort();
            now == ["waits", "works"]
        });
    });
}

#[test]
fn one_at_a_time_to_a_switch_that_knows_of_no_bond() {
    with_peer(|rig, daemon, peer| {
        let ask = |words: &str| daemon.try_ask(words).unwrap();
        // Before the second cable closes a circle.
        ask("bond add br0 bond0 members=na1,na2 mode=active-backup primary=na1");
        assert!(peer.set("add-port ovs0 nb1 -- add-port ovs0 nb2"));
        until("one works", || members(daemon) == ["works", "waits"]);
        let mut sockets = sockets(rig, &["ns0", "ovs0"]);
        exchange(&mut sockets, false, 0..100);
        exchange(&mut sockets, true, 0..100);
        let behind = |mac: &str| {
            let table = peer.tell("fdb/show ovs0").unwrap();
            let line = table.lines().find(|line| line.contains(mac)).unwrap_or_else(|| panic!("{table}"));
            line.split_whitespace().next().unwrap().to_owned()
        };
        let before = behind("02:00:00:00:08:01");
        ip(rig, "link set na1 down");
        until("the other takes over", || members(daemon) == ["down", "works"]);
        // The peer has heard of it: what comes back takes the new way, though our station says nothing first.
        until("the peer knows", || behind("02:00:00:00:08:01") != before);
        exchange(&mut sockets, true, 100..200);
        exchange(&mut sockets, false, 100..200);
        ip(rig, "link set na1 up");
        until("the preferred one is back", || members(daemon) == ["works", "waits"]);
        exchange(&mut sockets, false, 200..300);
        exchange(&mut sockets, true, 200..300);
    });
}

#[test]
fn each_sender_by_a_cable_of_its_own_to_a_switch_that_knows_of_no_bond() {
    with_peer(|rig, daemon, peer| {
        let ask = |words: &str| daemon.try_ask(words).unwrap();
        ask("bond add br0 bond0 members=na1,na2 mode=balance-slb primary=na1");
        assert!(peer.set("add-port ovs0 nb1 -- add-port ovs0 nb2"));
        until("both work", || members(daemon) == ["works"; 2]);
        let mut sockets = sockets(rig, &["ns0", "ovs0"]);
        // Nothing comes twice and nothing goes round, though the peer knows nobody at first, and sends to both.
        for begin in [0, 100] {
            exchange(&mut sockets, false, begin..begin + 100);
            exchange(&mut sockets, true, begin..begin + 100);
        }
        let stations: Vec<[u8; 6]> = (0..32).map(|last| [2, 0, 0, 0, 9, last]).collect();
        for station in &stations {
            all(&mut sockets[0], *station);
        }
        let came = |socket: &mut PacketSocket| {
            let (mut from, mut batch) = (Vec::new(), Batch::new());
            while socket.receive.receive(&mut batch).unwrap() > 0 {
                from.extend((0..batch.len()).map(|index| batch.octets(index)[6..12].to_vec()));
                batch.clear();
            }
            from.retain(|from| from.starts_with(&[2, 0, 0, 0, 9]));
            from
        };
        let mut there = Vec::new();
        until("all are heard there", || {
            there.extend(came(&mut sockets[1]));
            there.len() >= stations.len()
        });
        there.sort();
        assert_eq!(there, stations, "each once");
        assert_eq!(came(&mut sockets[0]), Vec::<Vec<u8>>::new(), "nobody hears itself come back");
        let table = peer.tell("fdb/show ovs0").unwrap();
        let ports: BTreeSet<&str> = table
            .lines()
            .filter(|line| line.contains("02:00:00:00:09:"))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(ports.len(), 2, "both cables have senders: {table}");
        let here = ask("fdb show br0");
        let moved = here.lines().any(|line| line.contains("02:00:00:00:09:") && line.starts_with("bond0"));
        assert!(!moved, "{here}");
        // Without the cable that has the groups.
        ip(rig, "link set na1 down");
        until("the other goes on alone", || members(daemon) == ["down", "works"]);
        exchange(&mut sockets, false, 200..300);
        all(&mut sockets[1], [2, 0, 0, 0, 9, 99]);
        until("groups come by it", || came(&mut sockets[0]) == [[2, 0, 0, 0, 9, 99]]);
        exchange(&mut sockets, true, 200..300);
    });
}

/// Sends a frame to all.
fn all(socket: &mut PacketSocket, from: [u8; 6]) {
    let mut frame = vec![0xff; 6];
    frame.extend(from);
    frame.extend([0x88, 0xb5]);
    frame.resize(60, 0);
    let mut batch = Batch::new();
    assert!(batch.push(1, &frame, Offload::NONE));
    assert_eq!(socket.send.send(&batch, &[0]).unwrap(), 1);
    socket.send.flush();
}
