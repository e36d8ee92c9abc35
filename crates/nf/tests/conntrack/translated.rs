//! Address translation: both ways, errors that quote translated packets, collisions, exhaustion.

use crate::basic::{A, B, SECOND, commit, dump, look};
use crate::packets::*;
use netloom_nf::conntrack::{Connect, Nat, NatRange, Pattern, Refusal, Tracker, state};
use netloom_nf::{Reason, conntrack::CtVerdict};
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::IpAddr;

pub(crate) fn range(first: &str, last: &str, ports: Option<(u16, u16)>) -> NatRange {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    NatRange { addresses: Some((address(first), address(last))), ports, ..NatRange::default() }
}

pub(crate) fn source(first: &str, last: &str, ports: Option<(u16, u16)>) -> Connect {
    Connect { nat: Some(Nat::Source(range(first, last, ports))), ..commit() }
}

pub(crate) fn destination(first: &str, ports: Option<(u16, u16)>) -> Connect {
    Connect { nat: Some(Nat::Destination(range(first, first, ports))), ..commit() }
}

pub(crate) fn nat() -> Connect {
    Connect { nat: Some(Nat::Known), ..look() }
}

/// A packet that goes back the way a frame came.
fn answer(passed: &Passed) -> Packet {
    let text = passed.tuple();
    let (from, to) = text.split_once('>').unwrap();
    let end = |text: &str| -> (String, u16) {
        let (address, port) = text.rsplit_once(':').unwrap();
        (address.to_owned(), port.parse().unwrap())
    };
    let (from, to) = (end(from), end(to));
    udp((&to.0, to.1), (&from.0, from.1), b"answer")
}

#[test]
fn the_source_is_translated_there_and_back() {
    for workers in [1, 2, 8] {
        for (a, b, outside) in [(A, B, "192.0.2.7"), ("fd00::1", "fd00::2", "2001:db8::7")] {
            let tracker = Tracker::new(workers, 3, 0);
            let there =
                pass(&tracker, &udp((a, 5000), (b, 53), b"question"), &source(outside, outside, None), 0);
            assert_eq!(there.text(), "new|trk|snat");
            assert_eq!(there.tuple(), format!("{outside}:5000>{b}:53"));
            assert!(there.verdict.changed && is_right(&there.frame));
            let back = pass(&tracker, &answer(&there), &nat(), 0);
            assert_eq!(
                (back.text(), back.tuple()),
                ("est|rpl|trk|dnat".to_owned(), format!("{b}:53>{a}:5000"))
            );
            assert!(is_right(&back.frame));
            let there = pass(&tracker, &udp((a, 5000), (b, 53), b"question"), &nat(), 0);
            assert_eq!(
                (there.text(), there.tuple()),
                ("est|trk|snat".to_owned(), format!("{outside}:5000>{b}:53"))
            );
            // Without nat the state is known and nothing is rewritten.
            let plain = pass(&tracker, &answer(&there), &look(), 0);
            assert_eq!(plain.text(), "est|rpl|trk");
            assert_eq!(plain.frame, answer(&there).frame());
            assert_eq!(tracker.flush(&Pattern::default()), 1);
            assert_eq!(pass(&tracker, &answer(&there), &nat(), 0).text(), "new|trk");
        }
    }
}

#[test]
fn the_destination_is_translated_with_its_port() {
    for workers in [1, 8] {
        let tracker = Tracker::new(workers, 3, 0);
        let request = destination("10.9.9.9", Some((8080, 8080)));
        let there = pass(&tracker, &tcp((A, 5000), (B, 80), SYN, (1, 0)), &request, 0);
        assert_eq!(
            (there.text().as_str(), there.tuple().as_str()),
            ("new|trk|dnat", "10.0.0.1:5000>10.9.9.9:8080")
        );
        let back = pass(&tracker, &tcp(("10.9.9.9", 8080), (A, 5000), SYN | ACK, (7, 2)), &nat(), 0);
        assert_eq!(
            (back.text().as_str(), back.tuple().as_str()),
            ("est|rpl|trk|snat", "10.0.0.2:80>10.0.0.1:5000")
        );
        assert!(is_right(&there.frame) && is_right(&back.frame));
        assert_eq!(
            dump(&tracker, 0),
            [
                "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5000,dport=80),reply=(src=10.9.9.9,dst=10.0.0.1,sport=8080,dport=5000),protoinfo=(state=ESTABLISHED)"
            ]
        );
    }
}

#[test]
fn ports_that_are_taken_are_not_given_twice() {
    for workers in [1, 8] {
        let tracker = Tracker::new(workers, 3, 0);
        let request = source("192.0.2.7", "192.0.2.7", Some((4000, 4009)));
        let mut given = HashSet::new();
        for port in 1..=10 {
            let passed = pass(&tracker, &udp((A, port), (B, 53), b""), &request, 0);
            assert!(given.insert(passed.tuple()), "{}", passed.tuple());
            assert_eq!(pass(&tracker, &answer(&passed), &nat(), 0).tuple(), format!("{B}:53>{A}:{port}"));
        }
        let passed = pass(&tracker, &udp((A, 11), (B, 53), b""), &request, 0);
        assert_eq!(passed.verdict.refused, Some(Refusal::NatExhausted));
        assert_eq!(passed.verdict.refused.and_then(Refusal::reason), Some(Reason::NatExhausted));
        assert_eq!((passed.text().as_str(), tracker.connections()), ("new|trk", 10));
        // Another server is another matter.
        assert_eq!(pass(&tracker, &udp((A, 11), (B, 54), b""), &request, 0).text(), "new|trk|snat");
        // And when one of them is gone there is room.
        for turn in 0..2000 {
            tracker.sweep(100 * SECOND + turn, 100);
        }
        assert_eq!(
            pass(&tracker, &udp((A, 11), (B, 53), b""), &request, 100 * SECOND).text(),
            "new|trk|snat"
        );
    }
}

#[test]
fn without_ports_of_its_own_a_collision_takes_the_next_of_its_class() {
    let tracker = Tracker::new(1, 3, 0);
    let request = source("192.0.2.7", "192.0.2.7", None);
    let tuple = |from: &str, port| pass(&tracker, &udp((from, port), (B, 53), b""), &request, 0).tuple();
    assert_eq!(tuple(A, 5000), "192.0.2.7:5000>10.0.0.2:53");
    assert_eq!(tuple("10.0.0.3", 5000), "192.0.2.7:5001>10.0.0.2:53");
    assert_eq!(tuple(A, 511), "192.0.2.7:511>10.0.0.2:53");
    assert_eq!(tuple("10.0.0.3", 511), "192.0.2.7:1>10.0.0.2:53");
    assert_eq!(tuple(A, 520), "192.0.2.7:520>10.0.0.2:53");
    assert_eq!(tuple("10.0.0.3", 520), "192.0.2.7:600>10.0.0.2:53");
}

#[test]
fn ranges_are_used_and_persistent_clients_keep_their_address() {
    let tracker = Tracker::new(1, 3, 0);
    let spread = range("192.0.2.0", "192.0.2.15", None);
    let addresses = |persistent, ports: std::ops::Range<u16>| -> HashSet<String> {
        let nat = Some(Nat::Source(NatRange { persistent, ..spread }));
        let request = Connect { nat, ..commit() };
        ports
            .map(|port| {
                let passed = pass(&tracker, &udp((A, port), (B, 53), b""), &request, 0);
                passed.tuple().split(':').next().unwrap().to_owned()
            })
            .collect()
    };
    assert!(addresses(false, 2000..2200).len() >= 15);
    assert_eq!(addresses(true, 3000..3100).len(), 1);
    let random =
        Nat::Source(NatRange { random: true, ..range("192.0.2.99", "192.0.2.99", Some((10_000, 60_000))) });
    let request = Connect { nat: Some(random), ..commit() };
    let ports: HashSet<String> =
        (1..200).map(|port| pass(&tracker, &udp((A, port), (B, 53), b""), &request, 0).tuple()).collect();
    assert!(ports.len() == 199);
}

#[test]
fn an_error_about_a_translated_packet_is_related_and_translated_inside() {
    for workers in [1, 8] {
        for (a, b, outside, router, kind) in
            [(A, B, "192.0.2.7", "10.5.5.5", 3), ("fd00::1", "fd00::2", "2001:db8::7", "fd00::5", 1)]
        {
            for tcp_too in [false, true] {
                let tracker = Tracker::new(workers, 3, 0);
                let request = source(outside, outside, Some((7777, 7777)));
                let packet = if tcp_too {
                    tcp_full((a, 5000), (b, 80), SYN, (9, 0), 1000, &[], b"")
                } else {
                    udp((a, 5000), (b, 80), b"a question")
                };
                let there = pass(&tracker, &packet, &request, 0);
                assert_eq!(there.tuple(), format!("{outside}:7777>{b}:80"));
                // A router on the way says that it is unreachable, and quotes what it saw.
                let quoted = &there.frame[14..];
                let error = icmp(router, outside, kind, 3, [0; 4], quoted);
                let back = pass(&tracker, &error, &nat(), 0);
                assert_eq!(back.text(), "rel|rpl|trk|dnat");
                assert!(is_right(&back.frame));
                // What the client gets quotes what the client sent.
                let header = if a.contains(':') { 14 + 40 + 8 } else { 14 + 20 + 8 };
                assert_eq!(back.frame[header..], packet.frame()[14..]);
                let target: IpAddr = a.parse().unwrap();
                let expected = icmp(router, &target.to_string(), kind, 3, [0; 4], &packet.frame()[14..]);
                assert_eq!(back.frame, expected.frame());
                // Without nat it is only known.
                assert_eq!(pass(&tracker, &error, &look(), 0).text(), "rel|rpl|trk");
                // About something else it is nothing.
                let other = icmp(router, outside, kind, 3, [0; 4], &udp((outside, 1), (b, 2), b"").ip());
                assert_eq!(pass(&tracker, &other, &nat(), 0).text(), "inv|trk");
                let foreign = icmp(router, a, kind, 3, [0; 4], quoted);
                assert_eq!(pass(&tracker, &foreign, &nat(), 0).text(), "inv|trk");
            }
        }
    }
}

#[test]
fn an_error_from_the_client_is_translated_outwards() {
    let tracker = Tracker::new(1, 3, 0);
    let request = source("192.0.2.7", "192.0.2.7", Some((7777, 7777)));
    pass(&tracker, &udp((A, 5000), (B, 80), b"question"), &request, 0);
    let back = pass(&tracker, &udp((B, 80), ("192.0.2.7", 7777), b"answer"), &nat(), 0);
    let error = icmp(A, B, 3, 3, [0; 4], &back.frame[14..]);
    let out = pass(&tracker, &error, &nat(), 0);
    assert_eq!(out.text(), "rel|trk|snat");
    let seen = udp((B, 80), ("192.0.2.7", 7777), b"answer").ip();
    assert_eq!(out.frame, icmp("192.0.2.7", B, 3, 3, [0; 4], &seen).frame());
}

#[test]
fn a_packet_is_translated_once() {
    let tracker = Tracker::new(1, 3, 0);
    let request = source("192.0.2.7", "192.0.2.7", None);
    let there = pass(&tracker, &udp((A, 5000), (B, 53), b""), &request, 0);
    let twice = again(&tracker, there.clone(), &nat(), 0);
    assert_eq!((twice.tuple(), twice.text()), (there.tuple(), "new|trk|snat".to_owned()));
    assert_eq!(
        twice.verdict,
        CtVerdict { state: state::NEW | state::TRACKED | state::SOURCE_NAT, ..CtVerdict::default() }
    );
    // Through another zone it is another packet.
    let other = again(&tracker, twice, &Connect { zone: 4, ..commit() }, 0);
    assert_eq!(other.text(), "new|trk");
    assert!(dump(&tracker, 0).iter().any(|line| line.starts_with("udp,orig=(src=192.0.2.7,")));
}

#[test]
fn open_checksums_stay_open() {
    use netloom_mem::{Batch, Offload};
    use netloom_nf::conntrack::{Passing, Tracked};
    use netloom_table::{Key, key::extract};
    use netloom_wire::{IpProtocol, checksum::PseudoHeader};
    let tracker = Tracker::new(1, 3, 0);
    let mut frame = tcp_full((A, 5000), (B, 80), SYN, (9, 0), 1000, &[], b"payload").frame();
    let pseudo = |source: &str, destination: &str| {
        PseudoHeader::v4(source.parse().unwrap(), destination.parse().unwrap()).sum(IpProtocol(6), 27).fold()
    };
    frame[50..52].copy_from_slice(&pseudo(A, B).to_be_bytes());
    let mut batch = Batch::new();
    assert!(batch.push(1, &frame, Offload { partial: true, start: 34, offset: 16, ..Offload::NONE }));
    let (mut key, mut tracked) = (Key::default(), Tracked::default());
    let layers = extract(&frame, frame.len(), 1, &mut key);
    let verdict = CtVerdict::default();
    let mut packet = Passing { index: 0, key: &mut key, layers, tracked: &mut tracked, verdict };
    let request = source("192.0.2.7", "192.0.2.7", Some((99, 99)));
    let verdict = tracker.turn().process(&mut batch, &mut packet, &request, 0);
    assert_eq!(state_text(verdict.state), "new|trk|snat");
    assert_eq!(batch.octets(0)[50..52], pseudo("192.0.2.7", B).to_be_bytes());
    netloom_nf::complete_checksum(&mut batch, 0);
    assert!(is_right(&batch.octets(0)));
}

proptest! {
    /// Whatever is translated one way and answered comes back as if nothing had been translated; all checksums are right.
    #[test]
    fn there_and_back_is_nothing(
        workers in prop_oneof![Just(1_usize), Just(4)], six: bool, of_source: bool, datagram: bool, ports: Option<(u16, u16)>,
        from in 1_u16.., to in 1_u16.., low in 1_u8..250, spread in 0_u8..5, payload in proptest::collection::vec(any::<u8>(), 0..300), seed: u64,
    ) {
        let tracker = Tracker::new(workers, seed, 0);
        let (a, b) = if six { ("fd00::a:1", "fd00::b:2") } else { (A, B) };
        let outside = |last: u8| if six { format!("2001:db8::{last:x}") } else { format!("192.0.2.{last}") };
        let ports = ports.map(|(first, last)| (first.min(last).max(1), last.max(first).max(1)));
        let range = range(&outside(low), &outside(low + spread), ports);
        let nat_of = if of_source { Nat::Source(range) } else { Nat::Destination(range) };
        let request = Connect { nat: Some(nat_of), ..commit() };
        let make = |from: (&str, u16), to: (&str, u16), flags, numbers| {
            if datagram { udp(from, to, &payload) } else { tcp_full(from, to, flags, numbers, 60_000, &[], &payload) }
        };
        let packet = make((a, from), (b, to), SYN, (100, 0));
        let there = pass(&tracker, &packet, &request, 0);
        prop_assert!(is_right(&there.frame));
        let expected = if of_source { "new|trk|snat" } else { "new|trk|dnat" };
        prop_assert_eq!(there.text(), expected);
        let target = answer(&there);
        let text = there.tuple();
        let (seen_from, seen_to) = text.split_once('>').unwrap();
        let split = |text: &str| text.rsplit_once(':').map(|(address, port)| (address.to_owned(), port.parse::<u16>().unwrap())).unwrap();
        let (seen_from, seen_to) = (split(seen_from), split(seen_to));
        prop_assert_eq!(target.source.to_string(), seen_to.0.clone());
        let numbers = (500, 101 + payload.len() as u32);
        let reply = make((&seen_to.0, seen_to.1), (&seen_from.0, seen_from.1), SYN | ACK, numbers);
        let back = pass(&tracker, &reply, &nat(), 0);
        // To the client it looks as if its own server had answered.
        prop_assert_eq!(back.frame, make((b, to), (a, from), SYN | ACK, numbers).frame());
        prop_assert_eq!(tracker.connections(), 1);
        prop_assert_eq!(tracker.flush(&Pattern::default()), 1);
        prop_assert_eq!(tracker.connections(), 0);
    }
}
