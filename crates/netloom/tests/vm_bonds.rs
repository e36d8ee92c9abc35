//! Bonds with Linux's own driver at the other end, in the emulated machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::flows::exchange;
use daemon::{Daemon, sockets, until};
use netloom_testkit::rig;

/// `ad_actor_oper_port_state` of a port at work: activity, short timeout, aggregation, in step, collecting, distributing.
const AT_WORK: u64 = 0x3f;

#[test]
#[ignore = "vm"]
fn bonds_of_linux() {
    rig::isolated(|rig| {
        let run = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            let done = rig.run("ip", &words).unwrap();
            assert!(done.status.success(), "{words:?}: {done:?}");
            done.stdout
        };
        for number in 1..=2 {
            run(&format!("link add na{number} type veth peer name nb{number}"));
            run(&format!("link set na{number} up"));
        }
        run("link add lb0 type bond mode 802.3ad lacp_rate fast miimon 50 xmit_hash_policy layer3+4");
        for number in 1..=2 {
            run(&format!("link set nb{number} master lb0"));
        }
        run("link set lb0 up");
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_two(&directory);
        let ask = |words: &str| daemon.try_ask(words).unwrap();
        ask("switch add br0 address=02:00:00:00:0b:02");
        ask("port add br0 ns0 type=tap");
        for port in ["na1", "na2"] {
            ask(&format!("port add br0 {port} type=afpacket dev={port}"));
        }
        ask("bond add br0 bond0 members=na1,na2 lacp-rate=fast");
        let members = || {
            let bond = daemon.json(&["bond", "show", "bond0", "-o", "json"]);
            let members = bond["members"].as_array().unwrap().iter();
            members.map(|member| member["work"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let link = |name: &str| -> serde_json::Value {
            serde_json::from_slice(&run(&format!("-d -j link show {name}"))).unwrap()
        };
        let at_work = |name: &str| {
            let link = link(name);
            let data = &link[0]["linkinfo"]["info_slave_data"];
            let state = |which: &str| data[format!("ad_{which}_oper_port_state")].as_u64();
            [state("actor"), state("partner")] == [Some(AT_WORK); 2]
        };
        until("both cables are used", || members() == ["works"; 2] && at_work("nb1") && at_work("nb2"));
        let agreed = link("lb0")[0]["linkinfo"]["info_data"]["ad_info"].clone();
        assert_eq!((&agreed["partner_mac"], &agreed["num_ports"]), (&"02:00:00:00:0b:02".into(), &2.into()));
        let mut sockets = sockets(rig, &["ns0", "lb0"]);
        // Workers know of a member at the next tick after it works.
        until("each cable has its part of the flows", || {
            exchange(&mut sockets, false, 0..100);
            exchange(&mut sockets, true, 0..100);
            let counts = |port: &str, what: &str| daemon.port(port)[what].as_u64().unwrap() > 40;
            ["na1", "na2"].into_iter().all(|port| counts(port, "sent") && counts(port, "received"))
        });
        run("link set nb1 down");
        until("the cable is left", || members() == ["down", "works"]);
        exchange(&mut sockets, false, 100..200);
        exchange(&mut sockets, true, 100..200);
        run("link set nb1 up");
        until("it is used again", || members() == ["works"; 2] && at_work("nb1") && at_work("nb2"));
        exchange(&mut sockets, true, 200..300);

        // Without a protocol.
        run("link set lb0 down");
        for number in 1..=2 {
            run(&format!("link set nb{number} nomaster"));
        }
        drop(sockets);
        run("link del lb0");
        run("link add lb0 type bond mode balance-xor miimon 50 xmit_hash_policy layer3+4");
        for number in 1..=2 {
            run(&format!("link set nb{number} down"));
            run(&format!("link set nb{number} master lb0"));
        }
        run("link set lb0 up");
        ask("bond set bond0 mode=balance lacp-rate=");
        until("both cables are used", || members() == ["works"; 2]);
        let mut sockets = daemon::sockets(rig, &["ns0", "lb0"]);
        exchange(&mut sockets, false, 0..100);
        exchange(&mut sockets, true, 0..100);
    });
}
