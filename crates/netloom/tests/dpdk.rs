//! Ports of type dpdk: refused with a word in programs that are built without, and else a virtual device in a switch.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;
mod nodes;

use daemon::Daemon;
use netloom_testkit::rig;
use nodes::{inside, ip, namespace, node, talk};

#[test]
fn a_device_of_dpdk_in_a_switch_or_a_word_why_not() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if !cfg!(feature = "dpdk") {
            let complaint = daemon.try_ask("port add br0 d0 type=dpdk args=net_null0").unwrap_err();
            assert!(complaint.contains("--features dpdk") && complaint.contains("type=afxdp"), "{complaint}");
            netloom_testkit::skip!("built without the feature dpdk; that it says so was seen");
            return;
        }
        if !ip(rig, "-V") || !node(rig, "a", "na", "10.3.0.1") {
            netloom_testkit::skip!("no ip, or no veth pairs between namespaces");
            return;
        }
        for (wrong, why) in [
            ("d0 type=dpdk", "`args` is missing"),
            ("d0 type=dpdk args=net_no_such0", "finds no device `net_no_such0`"),
            ("d0 type=dpdk args=net_null0 queues=0", "from 1 to 64"),
        ] {
            let complaint = daemon.try_ask(&format!("port add br0 {wrong}")).unwrap_err();
            assert!(complaint.contains(why), "{wrong}: {complaint}");
        }
        if let Err(complaint) = daemon.try_ask("port add br0 d0 type=dpdk args=net_tap0,iface=nxt") {
            netloom_testkit::skip!("{complaint}");
            return;
        }
        assert_eq!(daemon.port("d0")["details"]["driver"], "net_tap");
        daemon.try_ask("port add br0 p0 type=afpacket dev=na").unwrap();
        let path = namespace(rig, "b").unwrap();
        assert!(ip(rig, &format!("link set nxt netns {path} name eth0")));
        assert!(inside(rig, "b", "10.3.0.2"));
        // The other side's large segments are cut for DPDK, whose driver takes none.
        talk(rig, "a", "b", "10.3.0.2");
        talk(rig, "b", "a", "10.3.0.1");
        daemon.try_ask("port del d0").unwrap();
        daemon.try_ask("port add br0 d0 type=dpdk args=net_null0").unwrap();
    });
}
