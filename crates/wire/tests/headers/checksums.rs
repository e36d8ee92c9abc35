//! Checksums of transport headers: filled ones are right, and stay right when a translation mends them.

use crate::strategies::{v4, v6};
use netloom_wire::checksum::{Delta, PseudoHeader};
use netloom_wire::header::{gre, icmpv4, icmpv6, sctp, tcp, udp};
use proptest::collection::vec;
use proptest::prelude::*;

/// A segment of TCP or a datagram of UDP: a plain header and a payload.
fn segment(is_tcp: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; if is_tcp { 20 } else { 8 }];
    bytes.extend(payload);
    if is_tcp {
        bytes[12] = 0x50;
    } else {
        let length = bytes.len() as u16;
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

fn fill(is_tcp: bool, bytes: &mut [u8], pseudo_header: &PseudoHeader) {
    if is_tcp {
        tcp::View::new_checked(bytes).unwrap().fill_checksum(pseudo_header);
    } else {
        udp::View::new_checked(bytes).unwrap().fill_checksum(pseudo_header);
    }
}

fn is_right(is_tcp: bool, bytes: &[u8], pseudo_header: &PseudoHeader) -> bool {
    if is_tcp {
        tcp::View::new_checked(bytes).unwrap().verify_checksum(pseudo_header)
    } else {
        let view = udp::View::new_checked(bytes).unwrap();
        view.checksum() != 0 && view.verify_checksum(pseudo_header)
    }
}

/// Replaces the source port and mends the checksum.
fn translate(is_tcp: bool, bytes: &mut [u8], delta: Delta, port: u16) {
    if is_tcp {
        let mut view = tcp::View::new_checked(bytes).unwrap();
        view.update_checksum(delta.word(view.source_port(), port));
        view.set_source_port(port);
    } else {
        let mut view = udp::View::new_checked(bytes).unwrap();
        view.update_checksum(delta.word(view.source_port(), port));
        view.set_source_port(port);
    }
}

proptest! {
    #[test]
    fn a_translation_mends_the_checksum(
        is_tcp: bool, payload in vec(any::<u8>(), 0..60), damage: u8,
        from in v4(), to in v4(), new in v4(), from6 in v6(), to6 in v6(), new6 in v6(), port: u16,
    ) {
        let mut bytes = segment(is_tcp, &payload);
        fill(is_tcp, &mut bytes, &PseudoHeader::v4(from, to));
        prop_assert!(is_right(is_tcp, &bytes, &PseudoHeader::v4(from, to)));
        translate(is_tcp, &mut bytes, Delta::NONE.ipv4(from, new), port);
        prop_assert!(is_right(is_tcp, &bytes, &PseudoHeader::v4(new, to)));

        fill(is_tcp, &mut bytes, &PseudoHeader::v6(from6, to6));
        translate(is_tcp, &mut bytes, Delta::NONE.ipv6(from6, new6), port.wrapping_add(1));
        prop_assert!(is_right(is_tcp, &bytes, &PseudoHeader::v6(new6, to6)));

        // One changed byte never goes unseen.
        let last = bytes.len() - 1;
        prop_assume!(damage != 0 && !payload.is_empty());
        bytes[last] ^= damage;
        prop_assert!(!is_right(is_tcp, &bytes, &PseudoHeader::v6(new6, to6)));
    }

    #[test]
    fn filled_checksums_are_right(payload in vec(any::<u8>(), 12..80), from in v6(), to in v6()) {
        let mut bytes = payload.clone();
        icmpv4::View::new_checked(&mut bytes[..]).unwrap().fill_checksum();
        prop_assert!(icmpv4::View::new_checked(&bytes[..]).unwrap().verify_checksum());

        let pseudo_header = PseudoHeader::v6(from, to);
        icmpv6::View::new_checked(&mut bytes[..]).unwrap().fill_checksum(&pseudo_header);
        prop_assert!(icmpv6::View::new_checked(&bytes[..]).unwrap().verify_checksum(&pseudo_header));

        sctp::View::new_checked(&mut bytes[..]).unwrap().fill_checksum();
        prop_assert!(sctp::View::new_checked(&bytes[..]).unwrap().verify_checksum());

        bytes[..2].copy_from_slice(&[0x80, 0]);
        gre::View::new_checked(&mut bytes[..]).unwrap().fill_checksum();
        prop_assert!(gre::View::new_checked(&bytes[..]).unwrap().verify_checksum());
    }
}

#[test]
fn a_datagram_without_a_checksum_keeps_none() {
    let mut bytes = segment(false, b"x");
    translate(false, &mut bytes, Delta::NONE, 7);
    assert_eq!(udp::View::new_checked(&bytes[..]).unwrap().checksum(), 0);
    let anywhere = PseudoHeader::v4([1, 2, 3, 4].into(), [5, 6, 7, 8].into());
    assert!(udp::View::new_checked(&bytes[..]).unwrap().verify_checksum(&anywhere));
}
