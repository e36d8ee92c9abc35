//! Links that are watched, with Open vSwitch at the other end of the cable: BFD and connectivity fault management.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::peer::OpenVSwitch;
use daemon::{Daemon, until};
use netloom_testkit::rig::{self, Rig};

/// A cable between a switch of ours (`na`) and a bridge of Open vSwitch (`nb`); nothing where that is impossible.
fn with_peer(body: impl FnOnce(&Daemon<'_>, &OpenVSwitch) + Send) {
    rig::isolated(move |rig: &Rig| {
        let ip = |words: &str| {
            let words: Vec<&str> = words.split_whitespace().collect();
            rig.run("ip", &words).is_some_and(|done| done.status.success())
        };
        if !ip("link add na type veth peer name nb") {
            netloom_testkit::skip!("no ip, or no veth");
            return;
        }
        assert!(ip("link set na up") && ip("link set nb up"));
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.try_ask("switch add br0").unwrap();
        if daemon.try_ask("port add br0 na type=afpacket dev=na").is_err() {
            netloom_testkit::skip!("this user can't open packet sockets");
            return;
        }
        let Some(peer) = OpenVSwitch::start(rig.state_dir.join("peer")) else {
            netloom_testkit::skip!("no openvswitch-switch");
            return;
        };
        assert!(peer.set("add-br ovs0 -- set bridge ovs0 datapath_type=netdev -- add-port ovs0 nb"));
        body(&daemon, &peer);
    });
}

/// What our side says of its only watched link.
fn ours(daemon: &Daemon<'_>, command: &str) -> String {
    daemon.try_ask(&format!("ovs-appctl {command} na")).unwrap_or_default()
}

#[test]
fn bfd_with_open_vswitch() {
    with_peer(|daemon, peer| {
        daemon.try_ask("port set na bfd=true bfd-min-tx=100 bfd-min-rx=100").unwrap();
        assert!(peer.set("set Interface nb bfd:enable=true bfd:min_rx=100 bfd:min_tx=200 bfd:mult=5"));
        let theirs = || peer.tell("bfd/show nb").unwrap_or_default();
        let up = |text: &str| {
            text.contains("Forwarding: true")
                && text.contains("Local Session State: up")
                && text.contains("Remote Session State: up")
                && text.contains("Local Flags: none")
        };
        until("both are up", || up(&ours(daemon, "bfd/show")) && up(&theirs()));
        let text = ours(daemon, "bfd/show");
        assert!(
            text.contains("RX Interval: Approx 200ms") && text.contains("TX Interval: Approx 100ms"),
            "{text}"
        );
        assert!(text.contains("Remote Detect Multiplier: 5"), "{text}");
        assert!(theirs().contains("Remote Minimum TX Interval: 100ms"));
        // Intervals change while it is up, and nobody takes the link away.
        daemon.try_ask("port set na bfd-min-tx=50 bfd-min-rx=300").unwrap();
        until("the other end knows", || {
            theirs().contains("Remote Minimum RX Interval: 300ms") && up(&theirs())
        });
        assert!(up(&ours(daemon, "bfd/show")));
        daemon.try_ask("port set na bfd-path-down=true").unwrap();
        until("what is behind us is told", || theirs().contains("Remote Diagnostic: Concatenated Path Down"));
        daemon.try_ask("port set na bfd-path-down=").unwrap();
        until("and taken back", || up(&theirs()));
        // Who stands still is not there any more.
        peer.hold(true);
        until("the silence is noticed", || {
            let text = ours(daemon, "bfd/show");
            text.contains("Forwarding: false")
                && text.contains("Local Diagnostic: Control Detection Time Expired")
        });
        peer.hold(false);
        until("it is up again", || up(&ours(daemon, "bfd/show")) && up(&theirs()));
    });
}

#[test]
fn faults_with_open_vswitch() {
    with_peer(|daemon, peer| {
        for (own, other) in [
            ("cfm=1 cfm-interval=100", "cfm_mpid=2 other_config:cfm_interval=100"),
            ("cfm-extended=true", "other_config:cfm_extended=true"),
        ] {
            // The peer first: it goes on treating messages as it did when the first of their kind came.
            assert!(peer.set(&format!("set Interface nb {other}")));
            daemon.try_ask(&format!("port set na {own}")).unwrap();
            let theirs = || peer.tell("cfm/show nb").unwrap_or_default();
            let sound = |text: &str, remote: &str| {
                !text.contains("fault:") && text.contains(remote) && text.contains("average health: 100")
            };
            until("both hear each other", || {
                sound(&ours(daemon, "cfm/show"), "Remote MPID 2") && sound(&theirs(), "Remote MPID 1")
            });
            peer.hold(true);
            until("the silence is a fault", || ours(daemon, "cfm/show").contains("fault: recv"));
            peer.hold(false);
            until("it is sound again", || sound(&ours(daemon, "cfm/show"), "Remote MPID 2"));
        }
        daemon.try_ask("port set na cfm-opstate=down").unwrap();
        until("the other end is told", || {
            peer.tell("cfm/show nb").is_some_and(|text| text.contains("remote_opstate: down"))
        });
    });
}
