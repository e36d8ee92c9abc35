//! What single connections look like, protocol by protocol.

use crate::packets::*;
use netloom_nf::conntrack::{Connect, Detail, Nat, NatRange, Pattern, Refusal, Tracker, clear};
use netloom_table::Field;

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const A: &str = "10.0.0.1";
pub(crate) const B: &str = "10.0.0.2";

pub(crate) fn look() -> Connect {
    Connect::default()
}

pub(crate) fn commit() -> Connect {
    Connect { commit: true, ..Connect::default() }
}

pub(crate) fn dump(tracker: &Tracker, now: u64) -> Vec<String> {
    let mut lines: Vec<String> = tracker.dump(None, now).map(|entry| entry.to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn a_tcp_connection_from_its_first_packet_to_its_last() {
    for workers in [1, 4] {
        let tracker = Tracker::new(workers, 7, 0);
        let (a, b) = ((A, 1000), (B, 80));
        let state = |packet: &Packet, request: &Connect, now| pass(&tracker, packet, request, now).text();
        assert_eq!(state(&tcp(a, b, SYN, (100, 0)), &look(), 0), "new|trk");
        assert_eq!(dump(&tracker, 0), [""; 0]);
        assert_eq!(state(&tcp(a, b, SYN, (100, 0)), &commit(), 0), "new|trk");
        assert_eq!(
            dump(&tracker, 0),
            [
                "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),protoinfo=(state=SYN_SENT)"
            ]
        );
        assert_eq!(state(&tcp(b, a, SYN | ACK, (500, 101)), &look(), 1), "est|rpl|trk");
        assert_eq!(state(&tcp(a, b, ACK, (101, 501)), &look(), 2), "est|trk");
        assert!(dump(&tracker, 2)[0].ends_with("protoinfo=(state=ESTABLISHED)"));
        assert_eq!(tracker.dump(None, 2).next().unwrap().seconds, 86_400);
        // Far outside of the window.
        assert_eq!(state(&tcp_full(a, b, ACK, (900_000, 501), 1000, &[], b"x"), &look(), 3), "inv|trk");
        assert_eq!(state(&tcp(b, a, FIN | ACK, (501, 101)), &look(), 4), "est|rpl|trk");
        assert_eq!(state(&tcp(a, b, FIN | ACK, (101, 502)), &look(), 5), "est|trk");
        assert_eq!(state(&tcp(b, a, ACK, (502, 102)), &look(), 6), "est|rpl|trk");
        assert!(dump(&tracker, 6)[0].ends_with("protoinfo=(state=TIME_WAIT)"), "{:?}", dump(&tracker, 6));
        assert_eq!(
            tracker.dump(None, 6).next().unwrap().text(Detail { more: true, statistics: true }),
            "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=1000),id=0,status=0,timeout=30,protoinfo=(state_orig=FIN_WAIT_2,state_reply=FIN_WAIT_2,flags_orig=0,flags_reply=0)"
        );
        // Anew with the same numbers.
        assert_eq!(state(&tcp(a, b, SYN, (9000, 0)), &commit(), 7), "new|trk");
        assert_eq!((tracker.connections(), dump(&tracker, 7).len()), (1, 1));
        assert_eq!(state(&tcp(b, a, RST | ACK, (0, 9001)), &look(), 8), "est|rpl|trk");
        for turn in 0..1000 {
            tracker.sweep(40 * SECOND + turn, 100);
        }
        assert_eq!((tracker.connections(), dump(&tracker, 0).len()), (0, 0));
    }
}

/// Tunnels and connections share words of the key.
#[test]
fn what_tunnels_say_stays() {
    let said = [(Field::TUN_OPTIONS, 0x8000_0001), (Field::TUN_ERSPAN_IDX, 0xf_1234)];
    // One that begins a connection, and one that is invalid.
    for flags in [SYN, SYN | ACK] {
        let tracker = Tracker::new(1, 7, 0);
        let mut passed = pass(&tracker, &tcp((A, 1), (B, 2), flags, (5, 5)), &look(), 0);
        for (field, value) in said {
            passed.key.set(field, value);
        }
        for request in [commit(), look()] {
            passed = again(&tracker, passed, &request, 1);
            assert!(said.iter().all(|(field, value)| passed.key.get(*field) == *value));
            assert_ne!(passed.key.get(Field::CT_STATE), 0);
        }
        clear(&mut passed.key, &mut passed.tracked);
        assert!(said.iter().all(|(field, value)| passed.key.get(*field) == *value));
        assert_eq!(passed.key.get(Field::CT_STATE), 0);
    }
}

#[test]
fn segments_that_may_not_begin_a_connection() {
    let tracker = Tracker::new(1, 7, 0);
    for (flags, text) in [
        (SYN | ACK, "inv|trk"),
        (FIN, "inv|trk"),
        (SYN | RST, "inv|trk"),
        (0, "inv|trk"),
        (ACK, "new|trk"),
        (RST, "new|trk"),
        (FIN | ACK, "new|trk"),
    ] {
        assert_eq!(
            pass(&tracker, &tcp((A, 1), (B, 2), flags, (5, 5)), &look(), 0).text(),
            text,
            "{flags:#x}"
        );
    }
}

#[test]
fn udp_and_icmp_are_established_when_answered() {
    for (a, b) in [(A, B), ("fd00::1", "fd00::2")] {
        let tracker = Tracker::new(1, 7, 0);
        let there = udp((a, 5), (b, 53), b"question");
        let back = udp((b, 53), (a, 5), b"answer");
        let text = |packet: &Packet, request: &Connect| pass(&tracker, packet, request, 5).text();
        assert_eq!(text(&there, &commit()), "new|trk");
        assert_eq!(text(&there, &look()), "new|trk");
        assert_eq!(text(&back, &look()), "est|rpl|trk");
        assert_eq!(text(&there, &look()), "est|trk");
        assert_eq!(text(&echo(b, a, true, 77), &commit()), "inv|trk");
        assert_eq!(text(&echo(a, b, false, 77), &commit()), "new|trk");
        assert_eq!(text(&echo(a, b, false, 77), &look()), "new|trk");
        assert_eq!(text(&echo(b, a, true, 78), &look()), "inv|trk");
        assert_eq!(text(&echo(b, a, true, 77), &look()), "est|rpl|trk");
        assert_eq!(text(&echo(a, b, false, 77), &look()), "est|trk");
        assert_eq!(tracker.connections(), 2);
    }
}

#[test]
fn other_protocols_are_told_apart_by_addresses() {
    let tracker = Tracker::new(1, 7, 0);
    let packet = |source: &str, destination: &str| Packet {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 47,
        rest: vec![0, 0, 8, 0],
        checksum: None,
    };
    assert_eq!(pass(&tracker, &packet(A, B), &commit(), 0).text(), "new|trk");
    assert_eq!(pass(&tracker, &packet(B, A), &look(), 0).text(), "est|rpl|trk");
    assert_eq!(
        dump(&tracker, 0),
        [
            "47,orig=(src=10.0.0.1,dst=10.0.0.2,sport=0,dport=0),reply=(src=10.0.0.2,dst=10.0.0.1,sport=0,dport=0)"
        ]
    );
}

#[test]
fn what_a_packet_key_shows() {
    let tracker = Tracker::new(1, 7, 0);
    let request = Connect {
        zone: 9,
        commit: true,
        mark: Some((0x1234, 0xffff)),
        label: Some((5 << 64 | 6, u128::MAX)),
        ..Connect::default()
    };
    pass(&tracker, &udp((A, 5), (B, 53), b"x"), &request, 0);
    let mut back = pass(&tracker, &udp((B, 53), (A, 5), b"x"), &Connect { zone: 9, ..look() }, 0);
    let expected = [
        (Field::CT_ZONE, 9),
        (Field::CT_MARK, 0x1234),
        (Field::CT_LABEL_HIGH, 5),
        (Field::CT_LABEL_LOW, 6),
        (Field::CT_PROTO, 17),
        (Field::CT_SRC, 0x0a00_0001),
        (Field::CT_DST, 0x0a00_0002),
        (Field::CT_TP_SRC, 5),
        (Field::CT_TP_DST, 53),
    ];
    for (field, value) in expected {
        assert_eq!(back.get(field), value, "{field:?}");
    }
    // Another zone has no such connection, and starts from nothing.
    let other = again(&tracker, back.clone(), &Connect { zone: 8, ..look() }, 0);
    assert_eq!((other.text().as_str(), other.get(Field::CT_MARK)), ("new|trk", 0));
    // A mask leaves the other bits.
    let request = Connect { mark: Some((0xff00_0000, 0xff00_0000)), ..request };
    let marked = pass(&tracker, &udp((A, 5), (B, 53), b"x"), &request, 0);
    assert_eq!(marked.get(Field::CT_MARK), 0xff00_1234);
    clear(&mut back.key, &mut back.tracked);
    for field in Field::ALL.iter().filter(|field| field.name().starts_with("ct_")) {
        assert_eq!(back.get(*field), 0);
    }
}

#[test]
fn wrong_checksums_and_headers_that_lie_are_invalid() {
    let tracker = Tracker::new(1, 7, 0);
    let frame = udp((A, 5), (B, 53), b"payload!").frame();
    for at in 14..frame.len() {
        let mut broken = frame.clone();
        broken[at] ^= 0x20;
        assert_eq!(pass_frame(&tracker, &broken, &commit(), 0).text(), "inv|trk", "octet {at}");
    }
    assert_eq!(tracker.connections(), 0);
    tracker.check_checksums(false);
    let mut broken = frame;
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(pass_frame(&tracker, &broken, &commit(), 0).text(), "new|trk");
}

#[test]
fn force_turns_a_connection_round() {
    let tracker = Tracker::new(1, 7, 0);
    pass(&tracker, &udp((A, 5), (B, 53), b""), &commit(), 0);
    let back = udp((B, 53), (A, 5), b"");
    let force = Connect { commit: true, force: true, ..Connect::default() };
    assert_eq!(pass(&tracker, &back, &force, 0).text(), "new|trk");
    assert!(dump(&tracker, 0)[0].starts_with("udp,orig=(src=10.0.0.2"));
    assert_eq!(tracker.connections(), 1);
}

#[test]
fn a_second_way_through_the_same_zone_counts_once() {
    let tracker = Tracker::new(1, 7, 0);
    let there = pass(&tracker, &udp((A, 5), (B, 53), b""), &commit(), 0);
    let there = again(&tracker, there, &look(), 0);
    assert_eq!(there.text(), "new|trk");
    // Seen once only: a single packet lives for 60 seconds, as several do.
    assert_eq!(pass(&tracker, &udp((B, 53), (A, 5), b""), &look(), 0).text(), "est|rpl|trk");
}

#[test]
fn limits() {
    for workers in [1, 3] {
        let tracker = Tracker::new(workers, 7, 0);
        tracker.set_limit(None, Some(3));
        tracker.set_limit(Some(5), Some(1));
        let begin = |port: u16, zone: u16| {
            let request = Connect { zone, ..commit() };
            pass(&tracker, &udp((A, port), (B, 53), b""), &request, 0).verdict.refused
        };
        assert_eq!((begin(1, 5), begin(2, 5)), (None, Some(Refusal::ZoneLimit)));
        assert_eq!((1..=4).map(|port| begin(port, 0)).filter(Option::is_some).count(), 1);
        let limits: Vec<_> =
            tracker.zone_limits().iter().map(|limit| (limit.zone, limit.limit, limit.count)).collect();
        assert_eq!(limits, [(None, 3, 3), (Some(5), 1, 1)]);
        assert_eq!(tracker.flush(&Pattern { zone: Some(5), ..Pattern::default() }), 1);
        assert_eq!(begin(2, 5), None);
        tracker.set_limit(None, None);
        tracker.set_most(4);
        assert_eq!(begin(9, 0), Some(Refusal::Full));
        assert_eq!(tracker.flush(&Pattern::default()), 4);
        assert_eq!((tracker.connections(), tracker.zone_limits()[0].count), (0, 0));
    }
}

#[test]
fn flushing_by_parts_of_tuples() {
    let tracker = Tracker::new(1, 7, 0);
    for (address, port) in [("10.0.0.1", 1), ("10.0.0.1", 2), ("10.0.0.3", 1)] {
        pass(&tracker, &udp((address, port), (B, 53), b""), &commit(), 0);
        pass(&tracker, &tcp((address, port), (B, 53), SYN, (1, 0)), &commit(), 0);
    }
    let flush = |original: &str, reply: &str| {
        let mut pattern = Pattern::default();
        pattern.add(original, false)?;
        pattern.add(reply, true)?;
        Ok::<usize, String>(tracker.flush(&pattern))
    };
    assert_eq!(flush("ct_nw_src=10.0.0.1,ct_nw_proto=17,ct_tp_src=2", ""), Ok(1));
    assert_eq!(flush("ct_nw_src=10.0.0.9", ""), Ok(0));
    assert_eq!(flush("", "ct_nw_dst=10.0.0.3,ct_nw_proto=6"), Ok(1));
    assert_eq!(flush("ct_tp_src=2", ""), Err("port is set without protocol".to_owned()));
    assert_eq!(flush("ct_nw_src", ""), Err("field ct_nw_src missing value".to_owned()));
    assert_eq!(flush("ct_nw_src=10.0.0.1", ""), Ok(3));
    assert_eq!(tracker.connections(), 1);
}

#[test]
fn timeouts_follow_the_policy() {
    let tracker = Tracker::new(1, 7, 0);
    let mut policy = netloom_nf::conntrack::Policy::default();
    assert!(policy.set("udp_first", 3) && policy.set("tcp_unack", 9) && !policy.set("nothing", 1));
    tracker.set_policy(4, Some(policy));
    let request = Connect { timeout: Some(4), ..commit() };
    let packet = udp((A, 5), (B, 53), b"");
    pass(&tracker, &packet, &request, 0);
    assert_eq!(tracker.dump(None, 0).next().unwrap().seconds, 3);
    assert_eq!(pass(&tracker, &udp((B, 53), (A, 5), b""), &look(), 3 * SECOND - 1).text(), "est|rpl|trk");
    // From now on the usual 30 seconds of an answered one.
    assert_eq!(pass(&tracker, &packet, &look(), 33 * SECOND - 2).text(), "est|trk");
    assert_eq!(pass(&tracker, &packet, &look(), 63 * SECOND).text(), "new|trk");
    assert_eq!(tracker.connections(), 0);
}

#[test]
fn all_zero_translation_and_a_range_of_one() {
    let tracker = Tracker::new(1, 7, 0);
    let nat = Nat::Source(NatRange {
        addresses: Some(("0.0.0.0".parse().unwrap(), "0.0.0.0".parse().unwrap())),
        ..NatRange::default()
    });
    let request = Connect { nat: Some(nat), ..commit() };
    let passed = pass(&tracker, &udp((A, 5000), (B, 53), b""), &request, 0);
    assert_eq!(
        (passed.text().as_str(), passed.tuple().as_str()),
        ("new|trk|snat", "10.0.0.1:5000>10.0.0.2:53")
    );
}

#[test]
fn sctp_has_ports_when_asked_to() {
    let packet = |from: (&str, u16), to: (&str, u16)| {
        let mut rest = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
        rest.extend([0; 12]);
        let (source, destination) = (from.0.parse().unwrap(), to.0.parse().unwrap());
        Packet { source, destination, protocol: 132, rest, checksum: None }
    };
    for (ports, other) in [(false, "est|rpl|trk"), (true, "new|trk")] {
        let tracker = Tracker::new(1, 7, 0);
        tracker.use_sctp_ports(ports);
        assert_eq!(pass(&tracker, &packet((A, 1), (B, 2)), &commit(), 0).text(), "new|trk");
        assert_eq!(pass(&tracker, &packet((B, 9), (A, 8)), &look(), 0).text(), other);
        assert_eq!(pass(&tracker, &packet((B, 2), (A, 1)), &look(), 0).text(), "est|rpl|trk");
    }
}

#[test]
fn headers_between_ip_and_transport_and_octets_beyond_the_head() {
    let tracker = Tracker::new(1, 7, 0);
    // Hop-by-hop options and destination options in front of a datagram.
    let plain = udp(("fd00::1", 5), ("fd00::2", 53), b"payload").frame();
    let mut frame = plain[..54].to_vec();
    frame[20] = 0;
    frame.extend([60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]);
    frame.extend(&plain[54..]);
    let length = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    assert_eq!(pass_frame(&tracker, &frame, &commit(), 0).text(), "new|trk");
    assert_eq!(pass(&tracker, &udp(("fd00::2", 53), ("fd00::1", 5), b""), &look(), 0).text(), "est|rpl|trk");
    // IPv4 options.
    let plain = udp((A, 5), (B, 53), b"payload").frame();
    let mut frame = plain[..34].to_vec();
    frame[14] = 0x46;
    frame[17] += 4;
    frame.extend([1, 1, 1, 0]);
    frame[24..26].fill(0);
    let checksum = netloom_wire::checksum::internet(&frame[14..38]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(&plain[34..]);
    assert_eq!(pass_frame(&tracker, &frame, &commit(), 0).text(), "new|trk");
    assert_eq!(pass(&tracker, &udp((B, 53), (A, 5), b""), &look(), 0).text(), "est|rpl|trk");
    // What does not fit into a batch's head is summed where it lies; padding is not.
    for size in [300, 1400, 2047, 2049, 40_000] {
        let mut frame =
            tcp_full((A, size as u16), (B, 80), ACK, (1, 1), 1000, &[], &vec![0x5a; size]).frame();
        frame.extend([7; 5]);
        assert_eq!(pass_frame(&tracker, &frame, &look(), 0).text(), "new|trk", "{size}");
        let last = frame.len() - 6;
        frame[last] ^= 1;
        assert_eq!(pass_frame(&tracker, &frame, &look(), 0).text(), "inv|trk", "{size}");
    }
}
