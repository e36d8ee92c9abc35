//! Tunnel ports of a switch daemon against the kernel's own tunnels.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};

fn ip(rig: &Rig, words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    rig.run("ip", &words).is_some_and(|done| done.status.success())
}

fn ip_in(rig: &Rig, name: &str, words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    rig.run_in(name, "ip", &words).is_some_and(|done| done.status.success())
}

/// One end of each tunnel is a port of the switch, the other a device of the kernel in a namespace.
#[test]
fn packets_go_through_tunnels_to_the_kernel_and_back() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        if !daemon.attach(rig, &[("a", "192.0.2.2/24")], &[]) {
            return;
        }
        if rig.run("ping", &["-V"]).is_none() {
            netloom_testkit::skip!("no ping");
            return;
        }
        // The underlay's own interface, and the overlay's.
        daemon.try_ask("port add br0 br0 type=internal").unwrap();
        daemon.try_ask("switch add br1").unwrap();
        daemon.try_ask("port add br1 br1 type=internal").unwrap();
        assert!(ip(rig, "addr add 192.0.2.1/24 dev br0") && ip(rig, "link set br0 up"));
        assert!(ip(rig, "addr add 10.9.0.1/24 dev br1") && ip(rig, "link set br1 mtu 1400 up"));
        let kinds = [
            ("vxlan key=7", "vxlan id 7 remote 192.0.2.1 local 192.0.2.2 dstport 4789"),
            ("geneve key=8", "geneve id 8 remote 192.0.2.1 dstport 6081"),
            ("gre key=9", "gretap remote 192.0.2.1 local 192.0.2.2 key 9"),
        ];
        let mut tried = 0;
        for (kind, device) in kinds {
            if !ip_in(rig, "a", &format!("link add t0 type {device}")) {
                println!("this kernel makes no {kind}");
                continue;
            }
            assert!(ip_in(rig, "a", "addr add 10.9.0.2/24 dev t0"));
            assert!(ip_in(rig, "a", "link set t0 mtu 1400 up"));
            daemon.try_ask(&format!("port add br1 tun type={kind} remote_ip=192.0.2.2")).unwrap();
            // The neighbour is found out first.
            let ping = || rig.run_in("a", "ping", &["-c", "1", "-W", "1", "10.9.0.1"]).unwrap();
            until("an answer comes back", || ping().status.success());
            let many =
                rig.run_in("a", "ping", &["-c", "20", "-i", "0.02", "-s", "1300", "10.9.0.1"]).unwrap();
            assert!(many.status.success(), "{kind}: {}", String::from_utf8_lossy(&many.stdout));
            let port = daemon.port("tun");
            assert!(port["received"].as_u64().unwrap() >= 21, "{port:#}");
            assert!(port["sent"].as_u64().unwrap() >= 21, "{port:#}");
            daemon.try_ask("port del tun").unwrap();
            assert!(ip_in(rig, "a", "link del t0"));
            tried += 1;
        }
        if tried == 0 {
            netloom_testkit::skip!("the kernel makes no tunnels");
        }
    });
}
