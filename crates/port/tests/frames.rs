//! Frames of all sizes and layouts go through a port and come out as they went in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::driver::CELL;
use guest::front::{
    EVENT_IDX, Guest, INDIRECT_DESC, MRG_RXBUF, OFFLOADS, Options, PACKED, PROTOCOL, VERSION_1,
};
use netloom_mem::{Batch, Offload, ReceiveQueue, Segmentation, SendQueue};
use proptest::prelude::*;

fn octets(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Frame {
    length: usize,
    /// Largest buffer of its chain.
    cut: usize,
    indirect: bool,
    seed: u64,
}

fn frame(longest: usize) -> impl Strategy<Value = Frame> {
    let length = prop_oneof![4 => 14..300_usize, 2 => 240..1600_usize, 1 => 1600..longest];
    let cut = prop_oneof![3 => Just(CELL - 3), 1 => Just(12_usize), 1 => Just(10_usize), 2 => 5..1500_usize];
    (length, cut, any::<bool>(), any::<u64>()).prop_map(|(length, cut, indirect, seed)| {
        // At most 20 buffers, and no more than a cell each.
        let cut = cut.max((length + 12).div_ceil(20)).min(CELL - 3);
        Frame { length, cut, indirect, seed }
    })
}

fn options() -> impl Strategy<Value = Options> {
    let features = prop_oneof![
        Just(VERSION_1 | MRG_RXBUF),
        Just(VERSION_1),
        Just(MRG_RXBUF),
        Just(0),
        Just(VERSION_1 | MRG_RXBUF | PACKED),
        Just(VERSION_1 | PACKED),
    ];
    (features, any::<bool>(), any::<bool>(), prop_oneof![Just(64_u16), Just(128), Just(256)]).prop_map(
        |(features, offloads, events, size)| {
            let mut features = features | INDIRECT_DESC | PROTOCOL;
            if offloads {
                features |= OFFLOADS;
            }
            if events {
                features |= EVENT_IDX;
            }
            Options { features, size, ..Options::plain() }
        },
    )
}

/// Gives receive buffers as far as there is room for them.
fn fill(guest: &mut Guest) {
    let mergeable = guest.options.features & MRG_RXBUF != 0;
    loop {
        // Without mergeable buffers each chain must hold the longest frame of the test.
        let given = if mergeable {
            let size = 60 + (guest.rings[0].outstanding() * 211) % 1800;
            guest.give(0, &[size], false)
        } else {
            guest.give(0, &[12, 1000, 2000, 2000], true)
        };
        if !given {
            return;
        }
    }
}

fn run(options: Options, frames: &[Frame]) {
    let mut guest = Guest::new(options);
    let mut batch = Batch::new();
    let mut to_send = frames.iter();
    let mut next = to_send.next();
    let (mut on_the_way, mut expected) = (0, frames.iter());
    let mut idle = 0;
    let all: Vec<u8> = (0..32).collect();
    fill(&mut guest);
    loop {
        while let Some(frame) = next {
            if !guest.transmit(0, &[], &octets(frame.seed, frame.length), frame.cut, frame.indirect) {
                break;
            }
            on_the_way += 1;
            next = to_send.next();
        }
        let mut pair = guest.pairs.pop().unwrap();
        let count = pair.from_guest.receive(&mut batch).unwrap();
        for index in 0..count {
            assert_eq!(batch.port(index), 7);
            assert!(batch.offload(index).is_complete());
        }
        let mut sent = 0;
        while sent < count {
            sent += pair.to_guest.send(&batch, &all[sent..count]).unwrap();
            pair.to_guest.flush();
            guest.pairs.push(pair);
            while let Some((header, got)) = guest.received(0) {
                let frame = expected.next().unwrap();
                assert_eq!(got, octets(frame.seed, frame.length), "{frame:?}");
                assert_eq!(header[..10], [0; 10]);
                on_the_way -= 1;
            }
            fill(&mut guest);
            pair = guest.pairs.pop().unwrap();
        }
        pair.from_guest.complete();
        guest.pairs.push(pair);
        batch.clear();
        guest.reclaim(0);
        if next.is_none() && on_the_way == 0 {
            break;
        }
        idle = if count == 0 { idle + 1 } else { 0 };
        assert!(idle < 1000, "{:?} {:?}", guest.port.from_guest(0), guest.port.to_guest(0));
    }
    assert!(expected.next().is_none());
    assert_eq!(guest.rings[1].outstanding(), 0);
    assert_eq!(guest.port.from_guest(0).unwrap().frames.get(), frames.len() as u64);
    assert_eq!(guest.port.to_guest(0).unwrap().frames.get(), frames.len() as u64);
    let octets: usize = frames.iter().map(|frame| frame.length).sum();
    assert_eq!(guest.port.to_guest(0).unwrap().octets.get(), octets as u64);
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in(
        options in options(),
        frames in proptest::collection::vec(frame(5000), 1..400),
    ) {
        run(options, &frames);
    }
}

#[test]
fn frames_of_64_kib_need_many_buffers() {
    for packed in [0, PACKED] {
        let features = VERSION_1 | MRG_RXBUF | INDIRECT_DESC | PROTOCOL | OFFLOADS | packed;
        let options = Options { features, size: 256, ..Options::plain() };
        let frames: Vec<_> = [65_000, 65_535, 14, 65_500, 257, 256]
            .iter()
            .map(|length| Frame { length: *length, cut: CELL - 3, indirect: false, seed: *length as u64 })
            .collect();
        run_large(options, &frames);
    }
}

/// As `run`, with buffers that are all large, so that 64 KiB need less than the most parts.
fn run_large(options: Options, frames: &[Frame]) {
    let mut guest = Guest::new(options);
    let mut batch = Batch::new();
    for frame in frames {
        while guest.give(0, &[1526], false) {}
        assert!(guest.transmit(0, &[], &octets(frame.seed, frame.length), frame.cut, frame.indirect));
        let pair = &mut guest.pairs[0];
        assert_eq!(pair.from_guest.receive(&mut batch).unwrap(), 1);
        assert_eq!(batch.length(0), frame.length);
        assert_eq!(pair.to_guest.send(&batch, &[0]).unwrap(), 1);
        pair.to_guest.flush();
        pair.from_guest.complete();
        batch.clear();
        let (_, got) = guest.received(0).unwrap();
        assert!(got == octets(frame.seed, frame.length));
        assert_eq!(guest.reclaim(0), 1);
    }
}

#[test]
fn offloads_travel_in_the_header() {
    for packed in [0, PACKED] {
        let features = VERSION_1 | MRG_RXBUF | PROTOCOL | OFFLOADS | packed;
        let mut guest = Guest::new(Options { features, ..Options::plain() });
        let offload = Offload {
            partial: true,
            start: 34,
            offset: 16,
            segmentation: Segmentation::Tcp4,
            size: 1448,
            headers: 66,
            ..Offload::NONE
        };
        let mut batch = Batch::new();
        while guest.give(0, &[2000], false) {}
        assert!(guest.transmit(0, &offload.header(), &octets(1, 3000), 1500, false));
        assert!(guest.transmit(0, &offload.header(), &octets(2, 40), 1500, false));
        // Claims that can't be, and a runt.
        assert!(guest.transmit(0, &[1, 0, 0, 0, 0, 0, 60, 0, 16, 0], &octets(3, 60), 1500, false));
        assert!(guest.transmit(0, &[0, 3, 0, 0, 1, 0], &octets(3, 60), 1500, false));
        assert!(guest.transmit(0, &[], &octets(3, 13), 1500, false));
        assert!(guest.transmit(0, &[2], &octets(4, 60), 1500, false));
        let pair = &mut guest.pairs[0];
        assert!(!pair.to_guest.takes_offloads());
        assert_eq!(pair.from_guest.receive(&mut batch).unwrap(), 2);
        assert_eq!(*batch.offload(0), offload);
        // The second one's checksum lies outside the frame; the last one's claim of being verified is not believed.
        assert_eq!((batch.length(1), *batch.offload(1)), (60, Offload::NONE));
        assert_eq!(pair.to_guest.send(&batch, &[0, 1]).unwrap(), 2);
        assert!(pair.to_guest.takes_offloads());
        pair.to_guest.flush();
        pair.from_guest.complete();
        batch.clear();
        let (header, got) = guest.received(0).unwrap();
        assert_eq!((&header[..10], got.len()), (&offload.header()[..], 3000));
        let counters = guest.port.from_guest(0).unwrap();
        assert_eq!(counters.dropped(netloom_port::vhost::Drop::Header), 3);
        assert_eq!(counters.dropped(netloom_port::vhost::Drop::Short), 1);
        assert_eq!(guest.reclaim(0), 6);
    }
}

#[test]
fn a_guest_without_offloads_gets_none() {
    let mut guest = Guest::new(Options::plain());
    let mut batch = Batch::new();
    while guest.give(0, &[1526], false) {}
    let open = Offload { partial: true, start: 34, offset: 16, ..Offload::NONE };
    assert!(batch.push(1, &octets(1, 60), open));
    assert!(batch.push(1, &octets(2, 60), Offload { verified: true, ..Offload::NONE }));
    let pair = &mut guest.pairs[0];
    assert_eq!(pair.to_guest.send(&batch, &[0, 1]).unwrap(), 2);
    assert!(!pair.to_guest.takes_offloads());
    pair.to_guest.flush();
    assert_eq!(guest.received(0), Some((vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], octets(2, 60))));
    assert_eq!(guest.received(0), None);
    assert_eq!(guest.port.to_guest(0).unwrap().dropped(netloom_port::vhost::Drop::Offload), 1);
}

#[test]
fn offloads_are_taken_by_their_kinds() {
    // Checksums and TCP, no UDP: what Linux guests under QEMU agree to.
    let features = VERSION_1 | MRG_RXBUF | PROTOCOL | OFFLOADS & ((1 << 54) - 1);
    let mut guest = Guest::new(Options { features, ..Options::plain() });
    let mut batch = Batch::new();
    while guest.give(0, &[2000], false) {}
    let open = Offload { partial: true, start: 34, offset: 6, ..Offload::NONE };
    let tcp = Offload { segmentation: Segmentation::Tcp6, size: 1000, ..open };
    let udp = Offload { segmentation: Segmentation::Udp, size: 1000, ..open };
    let queue = &guest.pairs[0].to_guest;
    // Nothing is known of the guest before the first turn.
    assert!(!queue.takes(&open) && queue.takes(&Offload::NONE));
    for offload in [Offload::NONE, open, tcp, udp] {
        assert!(batch.push(1, &octets(1, 3000), offload));
    }
    let queue = &mut guest.pairs[0].to_guest;
    assert_eq!(queue.send(&batch, &[0, 1, 2, 3]).unwrap(), 4);
    queue.flush();
    assert!(!queue.takes_offloads());
    let taken = [Offload::NONE, open, tcp, udp].map(|offload| queue.takes(&offload));
    assert_eq!(taken, [true, true, true, false]);
    assert_eq!(std::iter::from_fn(|| guest.received(0)).count(), 3);
    assert_eq!(guest.port.to_guest(0).unwrap().dropped(netloom_port::vhost::Drop::Offload), 1);
}

#[test]
fn a_full_ring_takes_what_fits_and_a_small_chain_drops() {
    for features in [VERSION_1 | MRG_RXBUF | PROTOCOL, VERSION_1 | PROTOCOL] {
        for packed in [0, PACKED] {
            let mut guest = Guest::new(Options { features: features | packed, ..Options::plain() });
            let mergeable = features & MRG_RXBUF != 0;
            assert!(
                guest.give(0, &[100], false) && guest.give(0, &[100], false) && guest.give(0, &[100], false)
            );
            let mut batch = Batch::new();
            assert!(batch.push(1, &octets(1, 60), Offload::NONE));
            assert!(batch.push(1, &octets(2, 400), Offload::NONE));
            assert!(batch.push(1, &octets(3, 60), Offload::NONE));
            let pair = &mut guest.pairs[0];
            let sent = pair.to_guest.send(&batch, &[0, 1, 2]).unwrap();
            pair.to_guest.flush();
            assert_eq!(guest.received(0).unwrap().1, octets(1, 60));
            let counters = guest.port.to_guest(0).unwrap();
            if mergeable {
                // Three more buffers would have been needed: nothing of the second frame was written.
                assert_eq!((sent, guest.received(0)), (1, None));
                assert!((0..8).all(|_| guest.give(0, &[100], false)));
                let pair = &mut guest.pairs[0];
                assert_eq!(pair.to_guest.send(&batch, &[1, 2]).unwrap(), 2);
                pair.to_guest.flush();
                assert_eq!(guest.received(0).unwrap().1, octets(2, 400));
            } else {
                assert_eq!((sent, counters.dropped(netloom_port::vhost::Drop::Long)), (3, 1));
            }
            assert_eq!(guest.received(0).unwrap().1, octets(3, 60));
        }
    }
}
