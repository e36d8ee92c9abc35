//! Queueing with the kinds that even a small kernel has: htb, tbf, u32, ingress, mirred.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod queueing;

use netloom_compile::object::Family;
use netloom_compile::object::shaper::{
    BitRate, ClassId, Filter, FilterKind, Htb, HtbClass, Ingress, Match, PortRange, Qdisc, Shaper, Tbf,
};
use netloom_kernel::tc::{self, TcError};
use netloom_testkit::rig::isolated;
use netloom_wire::Dscp;
use queueing::{Pair, differences, eventually, expect_rates, has_tools, rates, run, tc_json};
use std::collections::BTreeMap;
use std::time::Duration;

fn id(text: &str) -> ClassId {
    text.parse().unwrap()
}

fn to_port(port: u16) -> Match {
    Match { destination_ports: Some(PortRange::one(port)), ..Match::default() }
}

/// 10 Mbit/s split 6/3/1 with ceilings 10/8/5, default 30; ports 5010 and 5020 choose the classes 10 and 20.
fn tree() -> Htb {
    let mut classes = BTreeMap::new();
    classes.insert(id("1"), HtbClass::new(BitRate::mbit(10), BitRate::mbit(10), 1500));
    for (name, rate, ceil) in [("10", 6, 10), ("20", 3, 8), ("30", 1, 5)] {
        let class = HtbClass {
            parent: Some(id("1")),
            ..HtbClass::new(BitRate::mbit(rate), BitRate::mbit(ceil), 1500)
        };
        classes.insert(id(name), class);
    }
    let filters =
        [(5010, "10"), (5020, "20")].map(|(port, class)| Filter { when: to_port(port), class: id(class) });
    Htb { default: Some(id("30")), r2q: None, classes, filters: filters.to_vec() }
}

fn shaper(htb: Htb) -> Shaper {
    Shaper::egress(Qdisc::Htb(htb))
}

#[test]
fn a_tree_is_made_and_tc_agrees() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        assert_eq!(pair.observe(), None, "a new link has only the kernel's default");
        let wanted = shaper(tree());
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        pair.expect(&wanted);

        let qdiscs = tc_json("qdisc show dev v0");
        assert_eq!(qdiscs[0]["kind"], "htb", "{qdiscs:?}");
        assert_eq!(qdiscs[0]["handle"], "4e4c:");
        assert_eq!(qdiscs[0]["options"]["default"], "0x30");
        // iproute2 prints classes as JSON only in part, so the words are compared.
        let classes = run("tc class show dev v0");
        for line in [
            "class htb 4e4c:1 root rate 10Mbit ceil 10Mbit",
            "class htb 4e4c:10 parent 4e4c:1 prio 0 rate 6Mbit ceil 10Mbit",
            "class htb 4e4c:20 parent 4e4c:1 prio 0 rate 3Mbit ceil 8Mbit",
            "class htb 4e4c:30 parent 4e4c:1 prio 0 rate 1Mbit ceil 5Mbit",
        ] {
            assert!(classes.contains(line), "{line} is not in {classes}");
        }
        // iproute2 6.1 writes no valid JSON for linked tables.
        let filters = run("tc filter show dev v0");
        let to = |class: &str| filters.matches(&format!("flowid {class} ")).count();
        // One node in a linked table for IPv4; TCP and UDP behind the fixed header for IPv6.
        assert_eq!((to("4e4c:10"), to("4e4c:20"), to("4e4c:30")), (3, 3, 0), "{filters}");
        assert_eq!(filters.matches("offset 0f00>>6 at 0  eat").count(), 4, "{filters}");

        // Nothing to do is nothing done; taking it away leaves the kernel's default.
        tc::apply(&mut pair.socket, pair.ifindex, Some(&wanted), &wanted, FilterKind::U32).unwrap();
        pair.expect(&wanted);
        tc::delete(&mut pair.socket, pair.ifindex).unwrap();
        assert_eq!(pair.observe(), None);
        assert_eq!(tc_json("qdisc show dev v0")[0]["kind"], "noqueue");
        tc::delete(&mut pair.socket, pair.ifindex).unwrap();
    });
}

#[test]
fn every_match_is_read_back() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let mut htb = tree();
        let dscp = Some(Dscp::try_from(46).unwrap());
        let ports = |low, high| Some(PortRange { low, high });
        let matches = [
            Match { source: Some("10.1.2.0/23".parse().unwrap()), ..Match::default() },
            Match {
                source: Some("fd00:1:2::/45".parse().unwrap()),
                destination: Some("fd09::7/128".parse().unwrap()),
                ..Match::default()
            },
            Match { dscp, ..Match::default() },
            Match { family: Some(Family::V6), dscp, ..Match::default() },
            Match { protocol: Some(1), ..Match::default() },
            Match {
                protocol: Some(6),
                source_ports: ports(1024, 65535),
                destination_ports: ports(80, 90),
                destination: Some("10.0.0.0/8".parse().unwrap()),
                dscp,
                ..Match::default()
            },
            Match { destination_ports: ports(1, 65534), ..Match::default() },
            Match { family: Some(Family::V4), ..Match::default() },
            Match::default(),
        ];
        htb.filters = matches.into_iter().map(|when| Filter { when, class: id("10") }).collect();
        let wanted = shaper(htb);
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        let found = pair.observe().unwrap();
        assert_eq!(differences(&found.shaper, &wanted), Vec::<String>::new());
        let Some(Qdisc::Htb(htb)) = found.shaper.root else { panic!("{:?}", found.shaper) };
        assert_eq!(htb.filters.len(), 9);
        tc::delete(&mut pair.socket, pair.ifindex).unwrap();
    });
}

#[test]
fn numbers_change_in_place() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let from = shaper(tree());
        tc::apply(&mut pair.socket, pair.ifindex, None, &from, FilterKind::U32).unwrap();
        rates(&pair, &[5010], Duration::ZERO, Duration::from_millis(200));
        let sent = |pair: &mut Pair, class: u32| {
            let all = tc::statistics(&mut pair.socket, pair.ifindex).unwrap();
            all.into_iter().find(|one| one.is_class && one.handle == class).unwrap().counters
        };
        let before = sent(&mut pair, 0x4e4c_0010);
        assert!(before.packets > 10 && before.octets > 10_000, "{before:?}");

        // Another rate, another class, another filter and one class less: no class that stays is made anew.
        let mut htb = tree();
        htb.classes.get_mut(&id("10")).unwrap().rate = BitRate::mbit(5);
        htb.classes.remove(&id("20"));
        let forty =
            HtbClass { parent: Some(id("1")), ..HtbClass::new(BitRate::mbit(2), BitRate::mbit(4), 1500) };
        htb.classes.insert(id("40"), forty);
        htb.filters[1] = Filter { when: to_port(5040), class: id("40") };
        let to = shaper(htb);
        tc::apply(&mut pair.socket, pair.ifindex, Some(&from), &to, FilterKind::U32).unwrap();
        pair.expect(&to);
        let after = sent(&mut pair, 0x4e4c_0010);
        assert!(after.octets >= before.octets && after.packets >= before.packets, "{before:?} {after:?}");

        // Another default cannot be changed in place: the tree is made anew.
        let mut htb = tree();
        htb.default = None;
        let anew = shaper(htb);
        tc::apply(&mut pair.socket, pair.ifindex, Some(&to), &anew, FilterKind::U32).unwrap();
        pair.expect(&anew);
        assert_eq!(sent(&mut pair, 0x4e4c_0010).octets, 0);

        // Another kind as well, and its limits in place.
        let mut tbf = Tbf::new(BitRate::mbit(8), 1500, Duration::from_millis(50));
        let bucket = Shaper::egress(Qdisc::Tbf(tbf.clone()));
        tc::apply(&mut pair.socket, pair.ifindex, Some(&anew), &bucket, FilterKind::U32).unwrap();
        pair.expect(&bucket);
        tbf.rate = BitRate::mbit(50_000);
        tbf.burst = 30_000_000;
        tbf.limit = 40_000_000;
        let wide = Shaper::egress(Qdisc::Tbf(tbf));
        tc::apply(&mut pair.socket, pair.ifindex, Some(&bucket), &wide, FilterKind::U32).unwrap();
        pair.expect(&wide);
        assert!(run("tc qdisc show dev v0").contains("rate 50Gbit"), "64-bit rates");
    });
}

#[test]
fn changes_by_hand_are_found_and_put_right() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let wanted = shaper(tree());
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        let hands: [(&str, &[&str]); 5] = [
            (
                "tc class change dev v0 parent 4e4c:1 classid 4e4c:10 htb rate 4mbit ceil 10mbit burst 5000 cburst 5000 quantum 75000",
                &["class 10 rate 4 Mbit/s -> 6 Mbit/s"],
            ),
            (
                "tc class add dev v0 parent 4e4c:1 classid 4e4c:50 htb rate 1mbit",
                &["class 50 1 Mbit/s -> none"],
            ),
            (
                "tc filter add dev v0 parent 4e4c: protocol ip prio 900 u32 match u8 7 0xff at 8 flowid 4e4c:10",
                &["unknown part filters of priority 899 and 900 -> none"],
            ),
            ("tc filter del dev v0 parent 4e4c: protocol ip prio 3", &["filter 2 ", "filter 2"]),
            (
                "tc qdisc add dev v0 parent 4e4c:30 handle 30: tbf rate 1mbit burst 5000 limit 9000",
                &["class 30 leaf discipline tbf -> none"],
            ),
        ];
        for (command, expected) in hands {
            run(command);
            let found = pair.observe().unwrap();
            assert!(found.ours);
            let seen = differences(&found.shaper, &wanted);
            assert!(seen.iter().any(|difference| difference.starts_with(expected[0])), "{command}: {seen:?}");
            tc::apply(&mut pair.socket, pair.ifindex, Some(&found.shaper), &wanted, FilterKind::U32).unwrap();
            pair.expect(&wanted);
        }
        run("tc qdisc del dev v0 root");
        assert_eq!(pair.observe(), None);
    });
}

#[test]
fn what_is_not_ours_stays() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        run("tc qdisc add dev v0 root handle 7: tbf rate 1mbit burst 5000 limit 9000");
        let found = pair.observe().unwrap();
        assert!(!found.ours);
        assert_eq!(found.shaper.root.as_ref().map(Qdisc::kind), Some("tbf"));
        let wanted = shaper(tree());
        let refused = tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap_err();
        assert_eq!(refused, TcError::Foreign { ifindex: pair.ifindex, kind: "tbf".to_owned() });
        tc::delete(&mut pair.socket, pair.ifindex).unwrap();
        assert_eq!(tc_json("qdisc show dev v0")[0]["handle"], "7:");
        run("tc qdisc del dev v0 root");

        let redirect = Ingress::Redirect { device: "v0".parse().unwrap() };
        let arriving = Shaper { ingress: Some(redirect), ..Shaper::default() };
        // A tree of ours of which nobody knows any more (after a crash) is replaced.
        let mut other = tree();
        other.classes.get_mut(&id("20")).unwrap().ceil = BitRate::mbit(9);
        tc::apply(&mut pair.socket, pair.ifindex, None, &shaper(other), FilterKind::U32).unwrap();
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        pair.expect(&wanted);
        tc::apply(&mut pair.socket, pair.ifindex, None, &arriving, FilterKind::U32).unwrap();
        pair.expect(&arriving);
    });
}

#[test]
fn a_refused_tree_leaves_nothing() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let support = tc::support(netloom_kernel::capability::capabilities().unwrap());
        assert!(support.htb && support.u32 && support.ingress && support.mirred, "{support:?}");
        if support.flower {
            netloom_testkit::skip!("this kernel has the kinds that the test wants to be refused");
            return;
        }
        let wanted = shaper(tree());
        let refused =
            tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::Flower).unwrap_err();
        assert!(refused.to_string().contains("adding the filter `port 5010` to class 10"), "{refused}");
        assert_eq!(pair.observe(), None);
        assert_eq!(tc_json("qdisc show dev v0")[0]["kind"], "noqueue");
        let police = Ingress::Police { rate: BitRate::mbit(1), burst: 10_000 };
        let police = Shaper { ingress: Some(police), ..Shaper::default() };
        assert_eq!(police.missing(&support).len(), 1);
        assert!(tc::apply(&mut pair.socket, pair.ifindex, None, &police, FilterKind::U32).is_err());
        assert_eq!(pair.observe(), None);
        assert_eq!(tc_json("qdisc show dev v0").len(), 1);
    });
}

#[test]
fn arriving_packets_are_redirected() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        // What arrives at v0 leaves by w0, and so arrives at w1 in the same namespace.
        run("ip link add w0 type veth peer name w1");
        run("ip addr add 10.9.1.1/24 dev w1");
        run("ip link set w0 up");
        run("ip link set w1 up");
        let wanted = Shaper {
            ingress: Some(Ingress::Redirect { device: "w0".parse().unwrap() }),
            ..Shaper::default()
        };
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        pair.expect(&wanted);
        let filters = tc_json("filter show dev v0 ingress");
        let action =
            filters.iter().find_map(|filter| filter["options"]["actions"].get(0)).expect("an action");
        assert_eq!((&action["kind"], &action["to_dev"]), (&"mirred".into(), &"w0".into()), "{action:?}");
        let arrived = || -> u64 {
            let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            let line = text.lines().find(|line| line.trim_start().starts_with("w1:")).unwrap().to_owned();
            line.split_whitespace().nth(2).unwrap().parse().unwrap()
        };
        let before = arrived();
        pair.peer.run(|| {
            let socket = std::net::UdpSocket::bind("10.9.0.2:0").unwrap();
            run("ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev v1");
            for _ in 0..50 {
                socket.send_to(&[0; 100], "10.9.0.1:9").unwrap();
            }
        });
        assert!(eventually(|| arrived() >= before + 50), "{} {before}", arrived());

        // Egress beside it, then only egress.
        let both = Shaper { ingress: wanted.ingress.clone(), ..shaper(tree()) };
        tc::apply(&mut pair.socket, pair.ifindex, Some(&wanted), &both, FilterKind::U32).unwrap();
        pair.expect(&both);
        tc::apply(&mut pair.socket, pair.ifindex, Some(&both), &shaper(tree()), FilterKind::U32).unwrap();
        pair.expect(&shaper(tree()));
        assert_eq!(tc_json("qdisc show dev v0").len(), 1);
        // With a filter of another program beside it, only ours goes.
        tc::apply(&mut pair.socket, pair.ifindex, Some(&shaper(tree())), &both, FilterKind::U32).unwrap();
        run(
            "tc filter add dev v0 ingress protocol ip prio 5 u32 match u32 0 0 action mirred egress redirect dev w0",
        );
        tc::delete(&mut pair.socket, pair.ifindex).unwrap();
        assert_eq!(pair.observe(), None);
        assert!(run("tc filter show dev v0 ingress").contains("pref 5 "));
        let lost = Shaper {
            ingress: Some(Ingress::Redirect { device: "nowhere".parse().unwrap() }),
            ..Shaper::default()
        };
        let refused = tc::apply(&mut pair.socket, pair.ifindex, None, &lost, FilterKind::U32).unwrap_err();
        assert_eq!(refused, TcError::NoDevice("nowhere".to_owned()));
    });
}

#[test]
fn classes_get_their_shares() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        tc::apply(&mut pair.socket, pair.ifindex, None, &shaper(tree()), FilterKind::U32).unwrap();
        // All at once: what is guaranteed. Port 5030 goes to the default.
        let all = [(5010, 6e6), (5020, 3e6), (5030, 1e6)];
        expect_rates(&pair, &all, 0.05, Duration::from_millis(2500));
        // Alone: up to the ceiling.
        for flow in [(5010, 10e6), (5020, 8e6), (5030, 5e6)] {
            expect_rates(&pair, &[flow], 0.05, Duration::from_millis(1200));
        }
    });
}

#[test]
fn a_bucket_holds_its_rate() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let wanted = Shaper::egress(Qdisc::Tbf(Tbf::new(BitRate::mbit(20), 1500, Duration::from_millis(50))));
        tc::apply(&mut pair.socket, pair.ifindex, None, &wanted, FilterKind::U32).unwrap();
        expect_rates(&pair, &[(5010, 20e6)], 0.05, Duration::from_millis(1200));
    });
}

/// Ports behind an IP header with options are found all the same; what lies at their place in later
/// fragments is not taken for them.
#[test]
fn header_length_is_respected() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        tc::apply(&mut pair.socket, pair.ifindex, None, &shaper(tree()), FilterKind::U32).unwrap();
        let sent = |pair: &mut Pair, class: u32| {
            let all = tc::statistics(&mut pair.socket, pair.ifindex).unwrap();
            all.into_iter()
                .find(|one| one.is_class && one.handle == 0x4e4c_0000 | class)
                .unwrap()
                .counters
                .packets
        };
        for (options, fragment, port, class) in [
            (0, 0, 5010, 0x10),
            (2, 0, 5010, 0x10),
            (10, 0, 5010, 0x10),
            (2, 0, 5020, 0x20),
            (2, 0, 9, 0x30),
            (0, 185, 5010, 0x30),
        ] {
            let before = sent(&mut pair, class);
            for _ in 0..10 {
                send_raw(&udp_packet(options, fragment, port));
            }
            // The first packets wait for the neighbour's address.
            assert!(
                eventually(|| sent(&mut pair, class) >= before + 10),
                "{options} words of options, fragment {fragment}, port {port}: {before} {}",
                sent(&mut pair, class)
            );
        }
        let before = sent(&mut pair, 0x20);
        let socket = std::net::UdpSocket::bind("[fd09::1]:0").unwrap();
        for _ in 0..10 {
            socket.send_to(&[0; 64], "[fd09::2]:5020").unwrap();
        }
        assert!(eventually(|| sent(&mut pair, 0x20) >= before + 10), "IPv6");
    });
}

/// An IPv4 packet from 10.9.0.1 to 10.9.0.2 with so many words of no-operation options and the fragment
/// offset in words of 8 octets. The kernel fills in length, identification and checksum.
fn udp_packet(options: u8, fragment: u16, port: u16) -> Vec<u8> {
    let mut packet = vec![0x45 + options, 0, 0, 0, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
    packet.extend(std::iter::repeat_n(1, usize::from(options) * 4));
    packet.extend(4000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(72u16.to_be_bytes());
    packet.extend([0; 66]);
    packet
}

fn send_raw(packet: &[u8]) {
    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
    let to: std::net::SocketAddr = "10.9.0.2:0".parse().unwrap();
    assert_eq!(sendto(&raw, packet, SendFlags::empty(), &to).unwrap(), packet.len());
}
