//! Queueing with the kinds that only a full kernel has: netem, prio, fq_codel, sfq, flower, police, ifb.
//! Run by `tools/vm/vmrun -- TEST-BINARY --ignored`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod queueing;

use netloom_compile::object::Family;
use netloom_compile::object::shaper::media::{Direction, PROFILES, to_shaper};
use netloom_compile::object::shaper::{
    BitRate, ClassId, Distribution, Filter, FilterKind, FqCodel, Htb, HtbClass, Ingress, Match, Netem,
    NetemReorder, PartsPerMillion, Peak, PortRange, Prio, Qdisc, Sfq, Shaper, Support, Tbf,
};
use netloom_kernel::tc;
use netloom_testkit::rig::isolated;
use netloom_wire::Dscp;
use queueing::{Pair, differences, eventually, has_tools, run, tc_json};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

fn id(text: &str) -> ClassId {
    text.parse().unwrap()
}

const fn milliseconds(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn netem() -> Netem {
    Netem {
        delay: milliseconds(40),
        jitter: milliseconds(5),
        delay_correlation: PartsPerMillion::percent(25),
        distribution: Distribution::Normal,
        loss: PartsPerMillion(12_345),
        loss_correlation: PartsPerMillion::percent(10),
        duplicate: PartsPerMillion(1),
        corrupt: PartsPerMillion::percent(2),
        reorder: Some(NetemReorder {
            share: PartsPerMillion::percent(5),
            correlation: PartsPerMillion::percent(50),
            gap: 3,
        }),
        rate: Some(BitRate::mbit(50_000)),
        limit: Some(2000),
        child: None,
    }
}

/// Applies each after the other, which changes in place where it can; each must read back.
fn through(pair: &mut Pair, filters: FilterKind, shapers: &[Shaper]) {
    let mut from: Option<Shaper> = None;
    for wanted in shapers {
        tc::apply(&mut pair.socket, pair.ifindex, from.as_ref(), wanted, filters).unwrap();
        pair.expect(wanted);
        from = pair.observe().map(|found| found.shaper);
    }
    tc::delete(&mut pair.socket, pair.ifindex).unwrap();
    assert_eq!(pair.observe(), None);
}

#[test]
#[ignore = "vm"]
fn a_full_kernel_has_everything() {
    isolated(|_| {
        let support = tc::support(netloom_kernel::capability::capabilities().unwrap());
        assert_eq!(support, Support::ALL);
    });
}

#[test]
#[ignore = "vm"]
fn every_discipline_reads_back() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let tbf = Tbf::new(BitRate::mbit(20), 1500, milliseconds(50));
        let peak = Some(Peak { rate: BitRate::mbit(40), burst: 2000 });
        let boxed = |qdisc: Qdisc| Some(Box::new(qdisc));
        let plain = Netem { delay: milliseconds(10), ..Netem::default() };
        let codel = FqCodel {
            limit: Some(500),
            flows: Some(64),
            quantum: Some(300),
            target: Some(milliseconds(7)),
            interval: Some(milliseconds(120)),
            ecn: Some(false),
            memory_limit: Some(1_000_000),
        };
        let sfq = Sfq { quantum: Some(3000), perturb: Some(10), limit: Some(100) };
        let leaves = BTreeMap::from([(0, Qdisc::Sfq(sfq.clone())), (2, Qdisc::Tbf(tbf.clone()))]);
        let other_leaves = BTreeMap::from([
            (0, Qdisc::Sfq(Sfq { limit: Some(90), ..sfq.clone() })),
            (1, Qdisc::FqCodel(codel.clone())),
        ]);
        let filter = Filter { when: Match { protocol: Some(1), ..Match::default() }, class: id("1") };
        let prio = Prio { bands: 4, leaves, filters: vec![filter], ..Prio::default() };
        let shapers = [
            Qdisc::Netem(Box::new(netem())),
            Qdisc::Netem(Box::new(plain.clone())),
            Qdisc::Netem(Box::new(Netem { child: boxed(Qdisc::Tbf(tbf.clone())), ..plain.clone() })),
            Qdisc::Netem(Box::new(Netem {
                delay: milliseconds(20),
                child: boxed(Qdisc::Tbf(Tbf { limit: 90_000, ..tbf.clone() })),
                ..Netem::default()
            })),
            Qdisc::Tbf(Tbf { peak, ..tbf.clone() }),
            Qdisc::Tbf(Tbf { child: boxed(Qdisc::Netem(Box::new(plain))), ..tbf.clone() }),
            Qdisc::Prio(prio.clone()),
            Qdisc::Prio(Prio { bands: 3, leaves: other_leaves, filters: Vec::new(), ..prio }),
            Qdisc::FqCodel(codel.clone()),
            Qdisc::FqCodel(FqCodel { target: Some(milliseconds(9)), ..codel.clone() }),
            Qdisc::FqCodel(FqCodel { flows: Some(128), ..codel }),
            Qdisc::FqCodel(FqCodel::default()),
            Qdisc::Sfq(sfq),
            Qdisc::Pfifo { limit: Some(77) },
            Qdisc::Pfifo { limit: None },
            Qdisc::Bfifo { limit: Some(77_000) },
        ];
        let shapers: Vec<Shaper> = shapers.into_iter().map(Shaper::egress).collect();
        for shaper in &shapers {
            assert_eq!(shaper.check(), Ok(()));
        }
        through(&mut pair, FilterKind::U32, &shapers);

        // What tc makes of it.
        tc::apply(&mut pair.socket, pair.ifindex, None, &shapers[0], FilterKind::U32).unwrap();
        let options = tc_json("qdisc show dev v0")[0]["options"].clone();
        assert_eq!(options["delay"]["delay"], 0.04, "{options}");
        assert_eq!(options["delay"]["jitter"], 0.005, "{options}");
        assert_eq!(options["rate"]["rate"], 6_250_000_000_u64, "{options}");
        assert_eq!(options["gap"], 3, "{options}");
        let loss = options["loss-random"]["loss"].as_f64().unwrap();
        assert!((loss - 0.012_345).abs() < 1e-6, "{options}");
    });
}

#[test]
#[ignore = "vm"]
fn leaves_change_without_their_classes() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let with = |leaf: Option<Qdisc>| {
            let mut class = HtbClass::new(BitRate::mbit(10), BitRate::mbit(10), 1500);
            class.leaf = leaf.map(Box::new);
            let classes = BTreeMap::from([(id("10"), class)]);
            Shaper::egress(Qdisc::Htb(Htb { default: Some(id("10")), classes, ..Htb::default() }))
        };
        let bucket = Tbf::new(BitRate::mbit(5), 1500, milliseconds(50));
        let delayed = Netem { delay: milliseconds(1), ..Netem::default() };
        let nested = Netem { child: Some(Box::new(Qdisc::Tbf(bucket.clone()))), ..delayed.clone() };
        through(
            &mut pair,
            FilterKind::U32,
            &[
                with(None),
                with(Some(Qdisc::FqCodel(FqCodel::default()))),
                with(Some(Qdisc::Netem(Box::new(delayed)))),
                with(Some(Qdisc::Netem(Box::new(nested)))),
                with(Some(Qdisc::Tbf(bucket))),
                with(None),
            ],
        );
    });
}

fn many_matches() -> Vec<Match> {
    let dscp = Some(Dscp::try_from(46).unwrap());
    let ports = |low, high| Some(PortRange { low, high });
    vec![
        Match { source: Some("10.1.2.0/23".parse().unwrap()), ..Match::default() },
        Match {
            source: Some("fd00:1:2::/45".parse().unwrap()),
            destination: Some("fd09::7/128".parse().unwrap()),
            ..Match::default()
        },
        Match { dscp, ..Match::default() },
        Match { family: Some(Family::V6), dscp, protocol: Some(58), ..Match::default() },
        Match {
            protocol: Some(6),
            source_ports: ports(1024, 65535),
            destination_ports: ports(80, 80),
            destination: Some("10.0.0.0/8".parse().unwrap()),
            dscp,
            ..Match::default()
        },
        Match { destination_ports: ports(5000, 5010), ..Match::default() },
        Match { protocol: Some(132), source_ports: ports(7, 7), ..Match::default() },
        Match { mark: Some((0x10, 0xf0)), ..Match::default() },
        Match {
            mark: Some((0x10, 0xf0)),
            protocol: Some(17),
            destination_ports: ports(53, 53),
            ..Match::default()
        },
        Match { family: Some(Family::V4), ..Match::default() },
        Match::default(),
    ]
}

#[test]
#[ignore = "vm"]
fn matches_read_back_from_both_classifiers() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let class = HtbClass::new(BitRate::mbit(10), BitRate::mbit(10), 1500);
        let filters: Vec<Filter> =
            many_matches().into_iter().map(|when| Filter { when, class: id("10") }).collect();
        let classes = BTreeMap::from([(id("10"), class)]);
        let all = Shaper::egress(Qdisc::Htb(Htb { filters, classes, ..Htb::default() }));
        assert_eq!(all.check(), Ok(()));
        for kind in [FilterKind::Flower, FilterKind::U32] {
            tc::apply(&mut pair.socket, pair.ifindex, None, &all, kind).unwrap();
            pair.expect(&all);
            let text = run("tc filter show dev v0");
            assert_eq!(text.contains("flower"), kind == FilterKind::Flower, "{text}");
            // The other classifier says the same, so there is nothing to change.
            let found = pair.observe().unwrap().shaper;
            assert_eq!(differences(&found, &all), Vec::<String>::new());
        }
        run("tc filter add dev v0 parent 4e4c: protocol ip prio 901 flower ip_ttl 3 classid 4e4c:10");
        let found = pair.observe().unwrap().shaper;
        assert_eq!(found.unrecognized, ["filters of priority 901 and 902"]);
    });
}

/// Sends packets to a port and wants them in a class, whichever classifier finds it.
#[test]
#[ignore = "vm"]
fn both_classifiers_choose_the_same_class() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let class = || HtbClass::new(BitRate::mbit(100), BitRate::mbit(100), 1500);
        let ports = |low, high| Some(PortRange { low, high });
        let filters = [
            (Match { destination_ports: ports(5003, 5017), ..Match::default() }, "10"),
            (Match { dscp: Some(Dscp::try_from(46).unwrap()), ..Match::default() }, "20"),
            (Match { mark: Some((7, 7)), ..Match::default() }, "40"),
        ];
        let tree = Shaper::egress(Qdisc::Htb(Htb {
            default: Some(id("30")),
            classes: ["10", "20", "30", "40"].map(|name| (id(name), class())).into(),
            filters: filters.map(|(when, class)| Filter { when, class: id(class) }).to_vec(),
            r2q: None,
        }));
        run("nft add table inet marks");
        run("nft add chain inet marks out { type filter hook output priority 0 ; }");
        run("nft add rule inet marks out udp dport 6015 meta mark set 15");
        for kind in [FilterKind::Flower, FilterKind::U32] {
            tc::apply(&mut pair.socket, pair.ifindex, None, &tree, kind).unwrap();
            // Packets to port 6015 have the mark 15.
            for (from, to, dscp, class) in [
                ("10.9.0.1:0", "10.9.0.2:5002", 0, 0x30),
                ("10.9.0.1:0", "10.9.0.2:5003", 0, 0x10),
                ("10.9.0.1:0", "10.9.0.2:5017", 46, 0x10),
                ("10.9.0.1:0", "10.9.0.2:6015", 46, 0x20),
                ("10.9.0.1:0", "10.9.0.2:6015", 1, 0x40),
                ("[fd09::1]:0", "[fd09::2]:5010", 0, 0x10),
                ("[fd09::1]:0", "[fd09::2]:5018", 46, 0x20),
                ("[fd09::1]:0", "[fd09::2]:5018", 1, 0x30),
                ("[fd09::1]:0", "[fd09::2]:6015", 1, 0x40),
            ] {
                let socket = UdpSocket::bind(from).unwrap();
                if from.starts_with('[') {
                    rustix::net::sockopt::set_ipv6_tclass(&socket, dscp << 2).unwrap();
                } else {
                    rustix::net::sockopt::set_ip_tos(&socket, (dscp << 2) as u8).unwrap();
                }
                let sent = |pair: &mut Pair| {
                    let all = tc::statistics(&mut pair.socket, pair.ifindex).unwrap();
                    let class = all.iter().find(|one| one.is_class && one.handle == 0x4e4c_0000 | class);
                    class.unwrap().counters.packets
                };
                let before = sent(&mut pair);
                for _ in 0..5 {
                    socket.send_to(&[0; 64], to).unwrap();
                }
                assert!(eventually(|| sent(&mut pair) >= before + 5), "{kind:?} {to} dscp {dscp}");
            }
        }
    });
}

#[test]
#[ignore = "vm"]
fn arriving_packets_are_policed_and_redirected() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let police = |rate, burst| Shaper {
            ingress: Some(Ingress::Police { rate: BitRate::mbit(rate), burst }),
            ..Shaper::default()
        };
        run("ip link add ifb7 type ifb");
        let redirect = Shaper {
            ingress: Some(Ingress::Redirect { device: "ifb7".parse().unwrap() }),
            ..Shaper::default()
        };
        through(
            &mut pair,
            FilterKind::U32,
            &[police(1, 10_000), police(50_000, 60_000_000), redirect, police(2, 20_000)],
        );

        // The bucket of 20,000 octets lets 16 packets of 1,242 octets through; at 8 kbit/s no more come soon.
        let slow = Shaper {
            ingress: Some(Ingress::Police { rate: BitRate(8000), burst: 20_000 }),
            ..Shaper::default()
        };
        let receiver = UdpSocket::bind("10.9.0.1:5000").unwrap();
        receiver.set_read_timeout(Some(milliseconds(300))).unwrap();
        let send = |count: usize| {
            pair.peer.run(move || {
                let socket = UdpSocket::bind("10.9.0.2:0").unwrap();
                for _ in 0..count {
                    socket.send_to(&[0; queueing::PAYLOAD], "10.9.0.1:5000").unwrap();
                }
            });
        };
        let count = || (0..).take_while(|_| receiver.recv(&mut [0; 2048]).is_ok()).count();
        send(50);
        assert_eq!(count(), 50, "without a policer");
        tc::apply(&mut pair.socket, pair.ifindex, None, &slow, FilterKind::U32).unwrap();
        send(50);
        let admitted = count();
        assert!((14..=17).contains(&admitted), "{admitted}");
    });
}

#[test]
#[ignore = "vm"]
fn media_delay_what_they_carry() {
    isolated(|rig| {
        if !has_tools(rig) {
            return;
        }
        let mut pair = Pair::new();
        let mut previous: Option<Shaper> = None;
        for medium in PROFILES {
            let real = to_shaper(medium, 20, Direction::Down, 1500, &Support::ALL).unwrap();
            let shaper = real.shaper.unwrap();
            tc::apply(&mut pair.socket, pair.ifindex, previous.as_ref(), &shaper, FilterKind::Flower)
                .unwrap();
            pair.expect(&shaper);
            previous = Some(shaper);
        }
        // Delay as it is felt: half of a round trip is delayed.
        let slow =
            Shaper::egress(Qdisc::Netem(Box::new(Netem { delay: milliseconds(120), ..Netem::default() })));
        tc::apply(&mut pair.socket, pair.ifindex, previous.as_ref(), &slow, FilterKind::Flower).unwrap();
        let receiver = pair.peer.run(|| UdpSocket::bind("10.9.0.2:5000").unwrap());
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sender = UdpSocket::bind("10.9.0.1:0").unwrap();
        for round in 0..4 {
            let begin = Instant::now();
            sender.send_to(&[0; 64], "10.9.0.2:5000").unwrap();
            receiver.recv(&mut [0; 64]).unwrap();
            // The first also waits for the neighbour's address.
            let waited = begin.elapsed();
            assert!(waited >= milliseconds(119) && (round == 0 || waited < milliseconds(240)), "{waited:?}");
        }
    });
}
