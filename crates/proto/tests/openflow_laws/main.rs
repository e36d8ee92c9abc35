//! Laws of matches and actions over octets at random and over generated ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod laws;

use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::field::WireHeader;
use netloom_proto::openflow::matching::{Match, Rules};
use netloom_proto::openflow::{FieldId, Value, Version};
use proptest::prelude::*;
use proptest::sample::select;

fn field() -> impl Strategy<Value = FieldId> {
    (0..FieldId::COUNT).prop_map(|at| FieldId::all().nth(at).unwrap())
}

/// What a match can need: EtherTypes, protocols, types of neighbour messages, states of connections.
fn foundation() -> impl Strategy<Value = Vec<(FieldId, u128)>> {
    let network = select(vec![0x800u128, 0x86dd, 0x806, 0x8035, 0x8847, 0x8848, 0x894f, 0x88cc]);
    let protocol = select(vec![1u128, 2, 6, 17, 47, 58, 132]);
    (network, protocol, select(vec![8u128, 135, 136]), any::<bool>(), any::<bool>()).prop_map(
        |(network, protocol, kind, packet_type, tracked)| {
            let mut fields = vec![(FieldId::ETH_TYPE, network)];
            if packet_type {
                fields = vec![(FieldId::PACKET_TYPE, 1 << 16 | network)];
            }
            if tracked {
                fields.push((FieldId::CT_STATE, 0x22));
            }
            fields.push((FieldId::IP_PROTO, protocol));
            fields.push((if protocol == 1 { FieldId::ICMPV4_TYPE } else { FieldId::ICMPV6_TYPE }, kind));
            fields.push((FieldId::ICMPV6_CODE, 0));
            fields
        },
    )
}

/// A match of what it says is there, and of fields at random that it may name.
fn a_match() -> impl Strategy<Value = Match> {
    let one =
        (field(), proptest::collection::vec(any::<u8>(), 124), proptest::collection::vec(any::<u8>(), 124));
    (foundation(), any::<bool>(), proptest::collection::vec((one, any::<bool>(), 1usize..20), 0..20))
        .prop_map(|(foundation, founded, entries)| {
            let mut made = Match::any();
            for (field, number) in foundation.into_iter().filter(|_| founded) {
                if made.allows(field) {
                    made.set_number(field, number);
                }
            }
            for ((field, value, mask), exact, octets) in entries {
                let row = field.get();
                let octets = if row.is_variable() { octets } else { usize::from(row.octets) };
                let ones = if row.is_variable() { Value::ones(octets) } else { row.ones() };
                let mask = if exact { ones } else { Value::from_octets(&mask[..octets]).unwrap() };
                let value = Value::from_octets(&value[..octets]).unwrap().and(&mask);
                let says = row.is_legal(&value) && row.is_legal_mask(&mask) && made.allows(field);
                // What has no name on the wire, and what would take the ground away under other fields.
                let fits = !row.headers.is_empty()
                    && made.is_wild(field)
                    && !matches!(field, FieldId::PACKET_TYPE | FieldId::ETH_TYPE | FieldId::IP_FRAG);
                if says && fits {
                    made.set_masked(field, &value, &mask);
                }
            }
            made
        })
}

/// Octets that look like actions: headers that exist, lengths that fit, and fields where fields may be.
fn like_actions() -> impl Strategy<Value = Vec<u8>> {
    let header = field().prop_map(|field| {
        let octets = usize::from(field.get().octets);
        let mut out = Writer::new();
        if let Some(header) = WireHeader::of(field, Some(Version::V13), false, octets) {
            header.put(&mut out);
        }
        out.finish()
    });
    let piece = prop_oneof![
        3 => proptest::collection::vec(select(vec![0u8, 0, 0, 0, 1, 2, 4, 8, 16]), 2),
        1 => proptest::collection::vec(any::<u8>(), 2),
        1 => header,
    ];
    let body = proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat());
    let action = (0u16..60, prop_oneof![Just(true), Just(false)], body).prop_map(|(number, nicira, body)| {
        let mut out = Writer::new();
        out.u16(if nicira { 0xffff } else { number % 32 });
        out.u16(0);
        if nicira {
            out.u32(netloom_proto::openflow::NICIRA);
            out.u16(number);
        }
        out.bytes(&body);
        out.pad(0, 8);
        out.patch_length(0, 2);
        out.finish()
    });
    proptest::collection::vec(action, 0..5).prop_map(|actions| actions.concat())
}

/// The actions above, within an instruction.
fn like_instructions() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec((0u16..8, like_actions()), 0..4).prop_map(|instructions| {
        let mut out = Writer::new();
        for (number, body) in instructions {
            let start = out.len();
            out.u16(number);
            out.u16(0);
            out.zeros(4);
            match number {
                2 => out.zeros(16),
                3 | 4 => out.bytes(&body),
                _ => {}
            }
            out.patch_length(start, start + 2);
        }
        out.finish()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn matches_are_read_as_they_were_written(made in a_match()) {
        let mut out = Writer::new();
        let length = made.put_nxm(Some((5, 7)), &mut out);
        let octets = out.finish();
        let rules = Rules { cookie: true, ..Rules::STRICT };
        let (read, cookie) = Match::take_nxm(&mut Reader::new(&octets), length, rules).unwrap();
        let said = lasting(&made, true);
        prop_assert_eq!(lasting(&read, true), said);
        prop_assert_eq!(cookie, Some((5, 7)));
        for version in [Version::V12, Version::V13, Version::V14, Version::V15] {
            let mut out = Writer::new();
            made.put_oxm(version, &mut out);
            let octets = out.finish();
            let read = Match::take_oxm(&mut Reader::new(&octets), Rules::STRICT).unwrap();
            prop_assert_eq!(lasting(&read, false), lasting(&made, false), "in {}", version);
        }
    }

    #[test]
    fn the_order_of_fields_does_not_matter(made in a_match()) {
        let mut backwards = Match::any();
        for entry in made.homes().iter().rev() {
            backwards.set_masked(entry.field, &entry.value, &entry.mask);
        }
        for entry in made.homes() {
            let (value, mask) = made.get(entry.field).unwrap();
            prop_assert_eq!((&value, &mask), (&entry.value, &entry.mask));
        }
        prop_assert_eq!(backwards, made);
    }

    #[test]
    fn what_is_cleared_is_wild(made in a_match(), field in field()) {
        let mut cleared = made.clone();
        cleared.clear(field);
        prop_assert!(cleared.is_wild(field));
        for entry in made.homes() {
            let touches = made.get(field).is_some() && cleared.get(entry.field) != made.get(entry.field);
            prop_assert!(touches || cleared.get(entry.field) == made.get(entry.field));
        }
    }

    #[test]
    fn laws_hold_over_octets_at_random(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        laws::matching(&octets);
        laws::actions(&octets);
    }

    #[test]
    fn laws_hold_over_what_looks_like_actions(octets in like_actions()) {
        laws::actions(&octets);
    }

    #[test]
    fn laws_hold_over_what_looks_like_instructions(octets in like_instructions()) {
        laws::actions(&octets);
    }

    #[test]
    fn laws_hold_over_fixed_matches(octets in proptest::collection::vec(any::<u8>(), 88), old: bool) {
        let mut octets = octets;
        octets[..4].copy_from_slice(if old { &[0, 0x38, 0x20, 0xff] } else { &[0, 0, 0, 88] });
        prop_assert!(laws::matching(&octets));
    }
}

/// What a match says that the wire keeps: ports of a connection whose protocol is not known are not written, nor is
/// by OXM the priority of a tag that is not there.
fn lasting(of: &Match, nxm: bool) -> Match {
    let mut kept = of.clone();
    if of.exact(FieldId::CT_NW_PROTO).is_none_or(|protocol| protocol == 0) {
        kept.clear(FieldId::CT_NW_PROTO);
        kept.clear(FieldId::CT_TP_SRC);
        kept.clear(FieldId::CT_TP_DST);
    }
    if let Some((value, mask)) = of.get(FieldId::VLAN_TCI)
        && !nxm
        && value.to_u64() & 0x1fff == 0
    {
        let vid = Value::from_number(mask.to_u128() & 0x1fff, 2);
        kept.set_masked(FieldId::VLAN_TCI, &Value::zero(2), &vid);
    }
    kept
}

#[test]
fn octets_that_look_like_actions_are_accepted_often_enough() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted =
        (0..500).filter(|_| laws::actions(&like_actions().new_tree(&mut runner).unwrap().current())).count();
    assert!(accepted > 100, "{accepted} of 500");
}

#[test]
fn regressions_of_fuzzing_hold() {
    let octets = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    // The structure of 1.1 has no protocol of IPv6.
    laws::matching(&octets("0001 0015 8000 0a02 86dd 8000 1401 06 8000 1c02 01bb 000000"));
    // A mask of no octets is none of ones.
    laws::actions(&octets("ffff 0010 0000 2320 0021 0001 5700 0000"));
    // What is learned has bits, or it is read as the end of the list.
    laws::actions(&octets(
        "ffff0048000023200010000a001400050000000000000009000003000003000c040000000802000000000802 \
         000000300000040600000000020600001010000000020001000000000000000800010000",
    ));
}

#[test]
fn no_tag_fits_into_old_matches_however_it_is_said() {
    let mut untagged = Match::any();
    untagged.set_masked(FieldId::VLAN_VID, &Value::zero(2), &Value::ones(2));
    assert!(untagged.fits_v10() && untagged.fits_v11());
    let mut register = untagged.clone();
    register.set_number(FieldId::REG0, 1);
    assert!(!register.fits_v10() && !register.fits_v11());
    let mut any_tag = Match::any();
    any_tag.set_masked(FieldId::VLAN_TCI, &Value::from_number(0x1000, 2), &Value::from_number(0x1000, 2));
    assert!(!any_tag.fits_v10() && any_tag.fits_v11());
}

#[test]
fn actions_within_actions_without_end_are_refused() {
    use netloom_proto::openflow::action::{Context, take_actions};
    let mut octets = Vec::new();
    for _ in 0..4000 {
        let length = (octets.len() + 16) as u16;
        let header = [[0xff, 0xff], length.to_be_bytes(), [0, 0], [0x23, 0x20], [0, 42]].concat();
        octets = [header, vec![0; 6], octets].concat();
    }
    let read = take_actions(&mut Reader::new(&octets), octets.len(), &Context::new(Version::V13));
    assert_eq!(read, Err(netloom_proto::openflow::OfError::OFPBAC_TOO_MANY));
}
