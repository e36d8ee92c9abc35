//! OVN, unmodified, with Netloom in the place of Open vSwitch: two hypervisors in namespaces, two logical switches and a
//! router, and what else OVN makes of flows.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../nodes/mod.rs"]
mod nodes;
mod place;

use netloom_testkit::rig;
use place::{Ovn, until};
use std::time::Duration;

#[test]
fn ovn_runs_two_hypervisors_over_netloom() {
    if !place::is_here() {
        return;
    }
    rig::isolated(|rig| {
        let mut ovn = Ovn::start(rig);
        ovn.four_machines();
        assert!(ovn.pings("a", "10.0.1.3"), "a router, on the same hypervisor");
        assert!(ovn.pings("d", "10.0.0.2"), "a router, on the other hypervisor");

        // Access lists: without state, with state.
        ovn.nb("acl-add sw0 to-lport 1001 'outport==\"b\" && icmp4' drop");
        assert!(!ovn.pings("a", "10.0.0.2"), "denied");
        assert!(ovn.pings("a", "10.0.1.3"), "not denied");
        ovn.nb("acl-del sw0");
        assert!(ovn.pings("a", "10.0.0.2"), "no longer denied");
        ovn.nb("acl-add sw0 to-lport 1001 'outport==\"a\" && ip4' drop \
                -- acl-add sw0 from-lport 1002 'inport==\"a\" && ip4' allow-related");
        assert!(ovn.pings("a", "10.0.0.2"), "what a begins is answered");
        assert!(!ovn.pings("b", "10.0.0.1"), "nobody else begins");
        ovn.nb("acl-del sw0");

        // A load balancer, over the router too.
        ovn.serve("b");
        ovn.serve("d");
        ovn.nb("lb-add lb0 10.0.0.100:80 10.0.0.2:8000,10.0.1.4:8000 tcp -- ls-lb-add sw0 lb0 -- lr-lb-add r0 lb0");
        let said = ovn.callers("a", "10.0.0.100:80", 16);
        let by = |name: &str| said.iter().filter(|said| said.starts_with(name)).count();
        assert!(by("b ") > 0 && by("d ") > 0 && by("b ") + by("d ") == said.len(), "{said:?}");

        // DHCP, answered by OVN's controller.
        let leased = ovn.lease("b");
        assert!(leased.as_deref().is_none_or(|leased| leased == "10.0.0.2"), "{leased:?}");
    });
}

/// A router on one hypervisor stands between the machines and another network, and translates.
#[test]
fn a_gateway_router_translates() {
    if !place::is_here() {
        return;
    }
    rig::isolated(|rig| {
        let mut ovn = Ovn::start(rig);
        ovn.four_machines();
        ovn.nb("ls-add join -- ls-add public -- lr-add gw -- set logical_router gw options:chassis=hv1");
        ovn.join("r0", "join", "00:00:00:00:fe:01", "100.64.0.1");
        ovn.join("gw", "join", "00:00:00:00:fe:02", "100.64.0.2");
        ovn.join("gw", "public", "00:00:00:00:fe:03", "172.16.0.254");
        ovn.nb("lr-route-add r0 0.0.0.0/0 100.64.0.2 -- lr-route-add gw 10.0.0.0/16 100.64.0.1");
        ovn.machine("e", "hv2", "public", 5, "172.16.0.100");
        ovn.nb("sync");
        for name in ["a", "b", "e"] {
            ovn.serve(name);
        }
        let call = |from, to: &str| ovn.callers(from, &format!("{to}:8000"), 1).remove(0);
        until("two routers", || ovn.pings("a", "172.16.0.100"));
        assert_eq!(call("a", "172.16.0.100"), "e 10.0.0.1");

        ovn.nb("lr-nat-add gw snat 172.16.0.254 10.0.0.0/24");
        assert!(ovn.pings("a", "172.16.0.100"), "who calls is translated");
        assert_eq!(call("a", "172.16.0.100"), "e 172.16.0.254");
        assert_eq!(call("b", "172.16.0.100"), "e 172.16.0.254");
        assert!(ovn.pings("c", "172.16.0.100"), "who is not meant goes as before");

        ovn.nb("lr-nat-add gw dnat 172.16.0.11 10.0.0.1");
        assert!(ovn.pings("e", "172.16.0.11"), "who is called is translated");
        assert_eq!(call("e", "172.16.0.11"), "a 172.16.0.100");

        ovn.nb("lr-nat-add gw dnat_and_snat 172.16.0.10 10.0.0.2");
        assert!(ovn.pings("e", "172.16.0.10"), "either way");
        assert_eq!(call("e", "172.16.0.10"), "b 172.16.0.100");
        assert_eq!(call("b", "172.16.0.100"), "e 172.16.0.10");
        assert_eq!(call("a", "172.16.0.100"), "e 172.16.0.254");
    });
}

/// A router of all hypervisors with a port to a network of the world, which one of them holds.
#[test]
fn a_distributed_gateway_and_what_else_ovn_does() {
    if !place::is_here() {
        return;
    }
    rig::isolated(|rig| {
        let mut ovn = Ovn::start(rig);
        ovn.four_machines();
        ovn.ip("link add x1 netns @hv1 type veth peer name x2 netns @hv2");
        nodes::namespace(rig, "out").unwrap();
        ovn.ip("link add o1 netns @hv1 type veth peer name eth0 netns @out");
        ovn.ip("hv1: link set o1 up");
        ovn.ip("out: link set eth0 up");
        ovn.ip("out: addr add 172.16.1.100/24 dev eth0");
        for (hypervisor, end) in [("hv1", "x1"), ("hv2", "x2")] {
            ovn.ip(&format!("{hypervisor}: link set {end} up"));
            ovn.vsctl(hypervisor, &format!("add-br br-ex -- add-port br-ex {end}"));
            ovn.vsctl(hypervisor, "set open . external-ids:ovn-bridge-mappings=world:br-ex");
        }
        ovn.vsctl("hv1", "add-port br-ex o1");
        ovn.nb("ls-add ext -- lsp-add ext ln -- lsp-set-type ln localnet -- lsp-set-addresses ln unknown \
                -- lsp-set-options ln network_name=world");
        ovn.join("r0", "ext", "00:00:00:00:fd:01", "172.16.1.254");
        ovn.nb("lrp-set-gateway-chassis r0-ext hv1 20");
        for name in ["b", "d", "out"] {
            ovn.serve(name);
        }
        let call = |from, to: &str| ovn.callers(from, &format!("{to}:8000"), 1).remove(0);
        until("the world reaches the router", || ovn.pings("out", "172.16.1.254"));
        ovn.nb("lr-nat-add r0 snat 172.16.1.254 10.0.0.0/24");
        assert_eq!(call("a", "172.16.1.100"), "out 172.16.1.254");
        assert_eq!(call("b", "172.16.1.100"), "out 172.16.1.254", "over the tunnel to who holds the port");
        ovn.nb("lr-nat-add r0 dnat_and_snat 172.16.1.20 10.0.0.2");
        assert_eq!(call("out", "172.16.1.20"), "b 172.16.1.100");
        // Where the machine is, not where the port is held.
        ovn.nb("lr-nat-add r0 dnat_and_snat 172.16.1.21 10.0.1.4 d 00:00:00:00:fd:21");
        assert_eq!(call("out", "172.16.1.21"), "d 172.16.1.100");
        assert_eq!(call("d", "172.16.1.100"), "out 172.16.1.21");

        // Packets that are too long for the world (`check_pkt_larger`).
        ovn.nb("set logical_router_port r0-ext options:gateway_mtu=1000");
        let words = ["-M", "do", "-c", "1", "-W", "2", "-s", "1200", "172.16.1.100"];
        let said = rig.run_in("a", "ping", &words).unwrap();
        let said = [said.stdout, said.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains("mtu = 1000"), "{}", String::from_utf8_lossy(&said));

        // Groups of ports, sets of addresses.
        ovn.nb("pg-add web a b -- create Address_Set name=friends addresses=10.0.1.3");
        ovn.nb("--type=port-group acl-add web to-lport 1002 'outport==@web && ip4.src==$friends' allow \
                -- --type=port-group acl-add web to-lport 1001 'outport==@web && ip4.src==10.0.1.0/24' drop");
        assert!(ovn.pings("c", "10.0.0.1") && !ovn.pings("d", "10.0.0.1") && !ovn.pings("d", "10.0.0.2"));
        ovn.nb("--type=port-group acl-del web");

        // What is denied is noted.
        ovn.nb(
            "--log --name=secret --severity=alert acl-add sw0 to-lport 1001 'outport==\"b\" && icmp4' drop",
        );
        assert!(!ovn.pings("a", "10.0.0.2"));
        until("it is noted", || ovn.noted().contains("name=\"secret\", verdict=drop, severity=alert"));
        ovn.nb("acl-del sw0");

        // A policy of routes.
        ovn.nb("lr-policy-add r0 100 'ip4.src==10.0.1.3 && ip4.dst==10.0.0.1' drop");
        assert!(!ovn.pings("c", "10.0.0.1") && ovn.pings("c", "10.0.0.2"));
        ovn.nb("lr-policy-del r0");

        // Rates, by a meter: 50 kB are far more than 100 kbit/s carry in half a second.
        ovn.nb("qos-add sw0 from-lport 1001 'inport==\"a\" && ip4' rate=100 burst=20 dscp=10");
        let words = ["-c", "50", "-i", "0.01", "-s", "1000", "-W", "1", "10.0.0.2"];
        let said = String::from_utf8(rig.run_in("a", "ping", &words).unwrap().stdout).unwrap();
        let received = said.split(", ").find_map(|part| part.strip_suffix(" received")).unwrap().to_owned();
        assert!((1..40).contains(&received.parse::<u32>().unwrap()), "{said}");
        ovn.nb("qos-del sw0");

        // Names, answered by OVN's controller.
        let row = ovn.ask("create DNS 'records={\"b.example\"=\"10.0.0.2\"}'");
        ovn.nb(&format!("set Logical_Switch sw0 dns_records={}", row.trim()));
        let question =
            [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01b\x07example\0\0\x01\0\x01"].concat();
        let answer = rig.within("a", || {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket.send_to(&question, "10.0.0.254:53").unwrap();
            let mut answer = [0; 512];
            socket.recv(&mut answer).map(|length| answer[..length].to_vec()).unwrap()
        });
        assert!(answer.ends_with(&[10, 0, 0, 2]), "{answer:?}");

        // IPv6: addresses by advertisements of the router, which the controller sends.
        ovn.nb("set Logical_Router_Port r0-sw0 ipv6_ra_configs:address_mode=slaac \
                ipv6_ra_configs:send_periodic=true ipv6_ra_configs:min_interval=3 ipv6_ra_configs:max_interval=4 \
                'networks=10.0.0.254/24,\"fd00:0:0:1::1/64\"'");
        for (name, number) in [("a", 1), ("b", 2)] {
            let addresses = format!("02:00:00:00:00:0{number} 10.0.0.{number} fd00:0:0:1:0:ff:fe00:{number}");
            ovn.nb(&format!("lsp-set-addresses {name} '{addresses}'"));
        }
        let has_address = |name| {
            let shown = rig.run_in(name, "ip", &["-6", "addr", "show", "dev", "eth0"]).unwrap();
            String::from_utf8_lossy(&shown.stdout).contains("fd00:0:0:1:0:ff:fe00:")
                || String::from_utf8_lossy(&shown.stdout).contains("fd00::1:0:ff:fe00:")
        };
        until("addresses are advertised", || has_address("a") && has_address("b"));
        until("they work", || ovn.pings("a", "fd00:0:0:1:0:ff:fe00:2") && ovn.pings("a", "fd00:0:0:1::1"));
    });
}
