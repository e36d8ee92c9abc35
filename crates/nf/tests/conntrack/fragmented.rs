//! Packets in fragments: put together, tracked, taken apart.

use crate::basic::{A, B, commit};
use crate::packets::*;
use crate::translated::source;
use netloom_mem::{Batch, Offload};
use netloom_nf::conntrack::Tracker;
use netloom_nf::fragments::{
    Assembly, FragmentBounds, Fragments, TIMEOUT, Taken, copy_connection, mark_invalid,
};
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use netloom_wire::checksum::internet;
use proptest::prelude::*;

const SMALL: FragmentBounds =
    FragmentBounds { four: true, six: true, fragments: 100, octets: 100_000, least_four: 0, least_six: 0 };

/// A frame in fragments, cut at multiples of eight octets of what it carries.
pub(crate) fn cut(frame: &[u8], at: &[usize], identification: u32) -> Vec<Vec<u8>> {
    let six = frame[12] == 0x86;
    let header = if six { 54 } else { 34 };
    let carried = &frame[header..];
    let mut ends: Vec<usize> =
        at.iter().map(|at| at * 8).filter(|end| *end > 0 && *end < carried.len()).collect();
    ends.extend([0, carried.len()]);
    ends.sort_unstable();
    ends.dedup();
    ends.windows(2)
        .map(|pair| {
            let (start, end) = (pair[0], pair[1]);
            let more = end < carried.len();
            let mut part = frame[..header].to_vec();
            if six {
                part.extend([part[20], 0]);
                part.extend((start as u16 | u16::from(more)).to_be_bytes());
                part.extend(identification.to_be_bytes());
                part[20] = 44;
                part[18..20].copy_from_slice(&((end - start + 8) as u16).to_be_bytes());
            } else {
                part[16..18].copy_from_slice(&((end - start + 20) as u16).to_be_bytes());
                part[18..20].copy_from_slice(&(identification as u16).to_be_bytes());
                let bits = (start / 8) as u16 | if more { 0x2000 } else { 0 };
                part[20..22].copy_from_slice(&bits.to_be_bytes());
                part[24..26].fill(0);
                let checksum = internet(&part[14..34]);
                part[24..26].copy_from_slice(&checksum.to_be_bytes());
            }
            part.extend(&carried[start..end]);
            part
        })
        .collect()
}

fn take(fragments: &mut Fragments, frame: &[u8], now: u64) -> Taken {
    let mut batch = Batch::new();
    assert!(batch.push(1, frame, Offload::NONE));
    let mut key = Key::default();
    let layers = extract(batch.head(0), frame.len(), 1, &mut key);
    fragments.take(&mut batch, 0, &key, &layers, 0, now)
}

fn complete(taken: Taken) -> Box<Assembly> {
    match taken {
        Taken::Complete(assembly) => assembly,
        other => panic!("{other:?}"),
    }
}

/// A frame without what differs between a packet and the same put together.
fn plain(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12] == 8 {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

proptest! {
    #[test]
    fn whatever_the_order_the_packet_is_whole_again_and_its_fragments_are_as_they_came(
        six: bool, payload in proptest::collection::vec(any::<u8>(), 0..3000), at in proptest::collection::vec(1_usize..380, 1..8),
        order in any::<u64>(), again in proptest::collection::vec(any::<proptest::sample::Index>(), 0..3),
    ) {
        let (a, b) = if six { ("fd00::1", "fd00::2") } else { (A, B) };
        let frame = udp((a, 5), (b, 53), &payload).frame();
        let parts = cut(&frame, &at, 77);
        prop_assume!(parts.len() > 1);
        let mut fragments = Fragments::new(SMALL);
        let mut places: Vec<usize> = (0..parts.len()).collect();
        places.sort_by_key(|place| (*place as u64 + 1).wrapping_mul(order | 1).rotate_left(17));
        let (last, first) = places.split_last().unwrap();
        for place in first {
            prop_assert!(matches!(take(&mut fragments, &parts[*place], 0), Taken::Held));
        }
        for index in again {
            // Twice the same overlaps itself.
            let place = *index.get(first);
            prop_assert!(matches!(take(&mut fragments, &parts[place], 0), Taken::Invalid));
        }
        prop_assert_eq!(fragments.held().0, first.len());
        let assembly = complete(take(&mut fragments, &parts[*last], 0));
        prop_assert_eq!(plain(assembly.frame()), plain(&frame));
        prop_assert!(is_right(assembly.frame()));
        prop_assert_eq!(assembly.parts(assembly.frame()), parts.clone());
        prop_assert_eq!(fragments.held(), (0, 0));
        prop_assert!(fragments.expire(u64::MAX).is_empty());
        // Through a translation and together again it is the translated packet.
        let tracker = Tracker::new(1, 1, 0);
        let outside = if six { "2001:db8::7" } else { "192.0.2.7" };
        let passed = pass_frame(&tracker, assembly.frame(), &source(outside, outside, None), 0);
        prop_assert_eq!(passed.text(), "new|trk|snat");
        let mut once_more = Fragments::new(SMALL);
        let translated = assembly.parts(&passed.frame);
        let (last, first) = translated.split_last().unwrap();
        for part in first {
            prop_assert!(matches!(take(&mut once_more, part, 0), Taken::Held));
        }
        let whole = complete(take(&mut once_more, last, 0));
        prop_assert!(is_right(whole.frame()));
        prop_assert_eq!(plain(whole.frame()), plain(&passed.frame));
        let mut key = Key::default();
        extract(&translated[0], translated[0].len(), 1, &mut key);
        copy_connection(&passed.key, &mut key);
        prop_assert_eq!(key.get(Field::CT_STATE), passed.get(Field::CT_STATE));
        prop_assert_eq!(key.get(Field::CT_TP_DST), 53);
    }

    #[test]
    fn any_octets_are_taken_without_harm_and_memory_is_bounded(
        frames in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..120), any::<u16>(), 0_u8..4), 0..60),
    ) {
        let bounds = FragmentBounds { fragments: 10, octets: 2000, ..SMALL };
        let mut fragments = Fragments::new(bounds);
        for (index, (six, payload, bits, id)) in frames.into_iter().enumerate() {
            let (a, b) = if six { ("fd00::1", "fd00::2") } else { (A, B) };
            let frame = udp((a, 5), (b, 53), &payload).frame();
            let mut part = cut(&frame, &[1], u32::from(id)).remove(0);
            if six {
                part[56..58].copy_from_slice(&bits.to_be_bytes());
            } else {
                part[20..22].copy_from_slice(&(bits & 0x3fff).to_be_bytes());
                part[24..26].fill(0);
                let checksum = internet(&part[14..34]);
                part[24..26].copy_from_slice(&checksum.to_be_bytes());
            }
            if let Taken::Complete(assembly) = take(&mut fragments, &part, index as u64) {
                prop_assert!(assembly.parts(assembly.frame()).len() == assembly.count());
            }
            let (held, octets) = fragments.held();
            prop_assert!(held <= 10 && octets <= 2000);
        }
        let mut turns = 0;
        while !fragments.is_empty() {
            prop_assert!(!fragments.expire(1000 + TIMEOUT).is_empty());
            turns += 1;
        }
        prop_assert!(turns <= 10);
    }
}

#[test]
fn fragments_that_wait_too_long_come_out_invalid() {
    let mut fragments = Fragments::new(FragmentBounds::default());
    let frame = udp((A, 5), (B, 53), &[7; 3000]).frame();
    let parts = cut(&frame, &[150, 300], 9);
    assert!(matches!(take(&mut fragments, &frame, 0), Taken::Whole));
    assert!(matches!(take(&mut fragments, &parts[1], 5), Taken::Held));
    assert!(matches!(take(&mut fragments, &parts[0], 7), Taken::Held));
    assert!(fragments.expire(TIMEOUT + 4).is_empty());
    assert_eq!(fragments.expire(TIMEOUT + 5), [parts[0].clone(), parts[1].clone()]);
    assert!(fragments.is_empty());
    // Late, the last one begins anew.
    assert!(matches!(take(&mut fragments, &parts[2], TIMEOUT + 9), Taken::Held));
    let small = cut(&udp((A, 5), (B, 53), &[7; 500]).frame(), &[10], 10);
    assert!(matches!(take(&mut fragments, &small[0], 0), Taken::Invalid));
    assert!(matches!(take(&mut fragments, &small[1], 0), Taken::Held));
    let [four, _] = fragments.counts();
    assert_eq!((four.accepted, four.expired, four.small, four.completed), (4, 2, 1, 0));
    let mut key = Key::default();
    mark_invalid(&mut key, 3);
    assert_eq!((key.get(Field::CT_STATE), key.get(Field::CT_ZONE)), (0x30, 3));
}

#[test]
fn a_fragment_by_itself_is_invalid() {
    let tracker = Tracker::new(1, 1, 0);
    let parts = cut(&udp((A, 5), (B, 53), &[7; 3000]).frame(), &[150], 9);
    for part in parts {
        assert_eq!(pass_frame(&tracker, &part, &commit(), 0).text(), "inv|trk");
    }
}
