//! The laws, over octets by chance; and several threads at once.

use crate::basic::{SECOND, commit, look};
use crate::laws;
use crate::packets::*;
use crate::translated::{nat, source};
use netloom_nf::conntrack::{Pattern, Tracker, state};
use proptest::prelude::*;

/// Beginnings of frames, so that chance gets further than the first header.
fn framed() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        (1_u16..4, 1_u16..4, any::<u8>(), any::<u32>()).prop_map(|(from, to, flags, number)| {
            tcp(("10.0.0.1", from), ("10.0.0.2", to), flags, (number & 3, number >> 30)).frame()
        }),
        (1_u16..4, 1_u16..4)
            .prop_map(|(from, to)| udp(("10.0.0.2", from), ("10.0.0.1", to), b"PORT 1,2").frame()),
        (any::<bool>(), 1_u16..3).prop_map(|(reply, id)| echo("fd00::1", "fd00::2", reply, id).frame()),
        proptest::collection::vec(any::<u8>(), 0..100),
    ];
    (any::<u8>(), any::<u8>(), frame, any::<(u8, u8)>()).prop_map(
        |(kind, mended, mut frame, (at, change))| {
            if let Some(octet) = frame.get_mut(usize::from(at)) {
                *octet ^= change;
            }
            [vec![kind, mended, frame.len() as u8], frame].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_packets(setup: u8, frames in proptest::collection::vec(framed(), 0..60)) {
        laws::conntrack(&[vec![setup], frames.concat()].concat());
    }

    #[test]
    fn any_messages(setup: u8, messages in proptest::collection::vec((any::<u8>(), "[0-9,.:|() a-zA-Z]{0,40}"), 0..12)) {
        let mut octets = vec![setup];
        for (direction, message) in messages {
            octets.extend([direction, message.len() as u8]);
            octets.extend(message.as_bytes());
        }
        laws::ftp(&octets);
    }

    #[test]
    fn any_fragments(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        laws::fragments(&octets);
    }

    #[test]
    fn any_octets(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        laws::conntrack(&octets);
        laws::ftp(&octets);
    }
}

/// Workers that get both directions of the same connections, translated across shards, and one that flushes and lists.
#[test]
fn several_threads_at_once() {
    let tracker = Tracker::new(4, 11, 0);
    let request = source("192.0.2.1", "192.0.2.9", Some((2000, 60_000)));
    std::thread::scope(|scope| {
        for worker in 0..4_u16 {
            let (tracker, request) = (&tracker, &request);
            scope.spawn(move || {
                for round in 0..600_u16 {
                    let port = 1000 + round % 50;
                    let there = pass(
                        tracker,
                        &udp(("10.0.0.1", port), ("10.0.0.2", 53), b""),
                        request,
                        u64::from(round),
                    );
                    assert!(there.verdict.state & (state::NEW | state::ESTABLISHED) != 0);
                    if there.verdict.state & state::SOURCE_NAT != 0 {
                        let text = there.tuple();
                        let (from, _) = text.split_once('>').unwrap();
                        let (address, number) = from.rsplit_once(':').unwrap();
                        let back = udp(("10.0.0.2", 53), (address, number.parse().unwrap()), b"");
                        let back = pass(tracker, &back, &nat(), u64::from(round));
                        // Unless it was flushed in between, it is the same one.
                        if back.verdict.state & state::DESTINATION_NAT != 0 {
                            assert_eq!(back.tuple(), format!("10.0.0.2:53>10.0.0.1:{port}"));
                        }
                    }
                    let plain = udp(("10.0.0.3", port + worker), ("10.0.0.4", 53), b"");
                    pass(tracker, &plain, &commit(), u64::from(round));
                    tracker.sweep(u64::from(round), 10);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..30 {
                assert!(tracker.dump(None, 0).all(|entry| entry.to_string().contains(",orig=(")));
                tracker.flush(&Pattern { zone: Some(0), ..Pattern::default() });
                tracker.set_limit(Some(0), Some(1000));
                std::thread::yield_now();
                tracker.set_limit(Some(0), None);
            }
        });
    });
    let left = tracker.dump(None, 0).count();
    assert_eq!(left as u32, tracker.connections());
    assert_eq!(tracker.flush(&Pattern::default()), left);
    assert_eq!(tracker.connections(), 0);
    // Nothing of the translated ones stands in the way of new ones.
    for port in 1000..1050 {
        let begun = pass(&tracker, &udp(("10.0.0.1", port), ("10.0.0.2", 53), b""), &request, SECOND);
        assert_eq!(begun.text(), "new|trk|snat");
        assert_eq!(
            pass(&tracker, &udp(("10.0.0.1", port), ("10.0.0.2", 53), b""), &look(), SECOND).text(),
            "new|trk"
        );
    }
}

/// What a connection takes, timers included.
#[test]
fn a_connection_takes_at_most_192_octets() {
    let tracker = Tracker::new(1, 3, 0);
    let count = 150_000_u32;
    let mut frame = udp(("10.0.0.1", 1), ("10.0.0.2", 53), b"").frame();
    tracker.check_checksums(false);
    for number in 0..count {
        frame[26..30].copy_from_slice(&(0x0a00_0000 + number).to_be_bytes());
        // The header's checksum would be wrong; nobody looks.
        assert_eq!(pass_frame(&tracker, &frame, &commit(), 0).text(), "new|trk");
    }
    let census = tracker.census();
    assert_eq!(census.connections, count);
    let each = census.octets as f64 / f64::from(count) + 32.0;
    println!("{each:.1} octets for each connection, its timer included");
    assert!(each <= 192.0, "{each}");
}
