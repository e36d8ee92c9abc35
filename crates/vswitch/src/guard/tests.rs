//! The guard over packets as they come on the wire.

use super::*;
use netloom_nf::Reason::{ForeignAddress, ForgedNeighbour, Malformed, RogueRouter, RogueServer, Spoofed};
use netloom_table::key::extract;
use proptest::prelude::*;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn guard() -> Guard {
    Guard {
        macs: vec![MacAddr::new(OWN)],
        addresses: vec![
            Prefix::V4 { address: 0x0a00_0005, length: 32 },
            Prefix::V4 { address: 0x0a01_0000, length: 16 },
            Prefix::V6 { address: 0xfd00 << 112, length: 64 },
        ],
        dhcp_server: false,
        router: false,
        ..Guard::default()
    }
}

fn frame(source: [u8; 6], kind: u16, rest: &[&[u8]]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source);
    frame.extend(kind.to_be_bytes());
    rest.iter().for_each(|part| frame.extend(*part));
    frame
}

fn ip4(source: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(source);
    header.extend([255; 4]);
    frame(OWN, 0x800, &[&header, payload])
}

fn ip6(source: u128, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next, 255];
    header.extend(source.to_be_bytes());
    header.extend([0xff; 16]);
    frame(OWN, 0x86dd, &[&header, payload])
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut udp = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    udp.extend([0, 8, 0, 0]);
    udp
}

fn neighbour(kind: u8, target: u128, option: u8, mac: [u8; 6]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.to_be_bytes());
    message.extend([option, 1]);
    message.extend(mac);
    message
}

fn judge(guard: &Guard, frame: &[u8]) -> Result<(), Reason> {
    let (mut key, mut mask) = (Key::default(), Mask::default());
    extract(frame, frame.len(), 1, &mut key);
    guard.check(&key, &mut mask)
}

#[test]
fn what_may_pass_and_what_not() {
    let arp = |sender: [u8; 6], ip: [u8; 4]| {
        frame(OWN, 0x806, &[&[0, 1, 8, 0, 6, 4, 0, 2], &sender, &ip, &OTHER, &[10, 0, 0, 1]])
    };
    let (mine, theirs) = ((0xfd00 << 112) | 5_u128, (0xfd01 << 112) | 5_u128);
    let cases: &[(Vec<u8>, Result<(), Reason>)] = &[
        (ip4([10, 0, 0, 5], 6, &[]), Ok(())),
        (ip4([10, 1, 77, 5], 6, &[]), Ok(())),
        (ip4([10, 0, 0, 6], 6, &[]), Err(ForeignAddress)),
        (ip4([0; 4], 17, &udp(68, 67)), Ok(())),
        (ip4([0; 4], 17, &udp(69, 67)), Err(ForeignAddress)),
        (ip4([0; 4], 2, &[0x22, 0, 0, 0]), Ok(())),
        (ip4([10, 0, 0, 5], 17, &udp(67, 5)), Err(RogueServer)),
        (ip4([10, 0, 0, 5], 17, &udp(5, 68)), Err(RogueServer)),
        (ip4([10, 0, 0, 5], 17, &udp(5, 53)), Ok(())),
        (frame(OTHER, 0x9999, &[]), Err(Spoofed)),
        (frame(OWN, 0x9999, &[]), Ok(())),
        (arp(OWN, [10, 0, 0, 5]), Ok(())),
        (arp(OWN, [0; 4]), Ok(())),
        (arp(OTHER, [10, 0, 0, 5]), Err(ForgedNeighbour)),
        (arp(OWN, [10, 0, 0, 1]), Err(ForgedNeighbour)),
        (frame(OWN, 0x806, &[&[0, 6, 8, 0, 6, 4, 0, 2]]), Err(ForgedNeighbour)),
        (ip6(mine, 6, &[]), Ok(())),
        (ip6(theirs, 6, &[]), Err(ForeignAddress)),
        (ip6(0, 58, &neighbour(135, theirs, 14, OWN)), Ok(())),
        (ip6(0, 58, &[128, 0, 0, 0]), Err(ForeignAddress)),
        (ip6(mine, 58, &neighbour(136, mine, 2, OWN)), Ok(())),
        (ip6(mine, 58, &neighbour(136, theirs, 2, OWN)), Err(ForgedNeighbour)),
        (ip6(mine, 58, &neighbour(136, mine, 2, OTHER)), Err(ForgedNeighbour)),
        (ip6(mine, 58, &neighbour(135, theirs, 1, OTHER)), Err(ForgedNeighbour)),
        (ip6(mine, 58, &[134, 0, 0, 0]), Err(RogueRouter)),
        (ip6(mine, 58, &[137, 0, 0, 0]), Err(RogueRouter)),
        (ip6(mine, 17, &udp(547, 9)), Err(RogueServer)),
        (ip6(mine, 17, &udp(9, 546)), Err(RogueServer)),
        (ip6(mine, 17, &udp(546, 547)), Ok(())),
        // An advertisement behind a fragment header, whole or with the type in a later part (RFC 7113).
        (ip6(mine, 44, &[58, 0, 0, 1, 0, 0, 0, 1, 134, 0, 0, 0]), Err(Malformed)),
        (ip6(mine, 44, &[60, 0, 0, 1, 0, 0, 0, 1]), Err(Malformed)),
        (ip6(mine, 44, &[58, 0, 0, 1, 0, 0, 0, 1]), Err(Malformed)),
        // A destination option in front.
        (ip6(mine, 60, &[58, 0, 1, 4, 0, 0, 0, 0, 134, 0, 0, 0]), Err(RogueRouter)),
        (frame(OWN, 0x8100, &[&[0, 1, 0x81, 0, 0, 1, 0x81, 0, 0, 1, 8, 0]]), Err(Malformed)),
    ];
    let guard = guard();
    for (index, (frame, verdict)) in cases.iter().enumerate() {
        assert_eq!(judge(&guard, frame), *verdict, "case {index}");
        assert_eq!(judge(&Guard::default(), frame), Ok(()), "case {index} unguarded");
    }
    let tolerant = Guard { forged: true, addresses: Vec::new(), ..guard };
    assert_eq!(judge(&tolerant, &frame(OTHER, 0x800, &[])), Ok(()));
    assert!(tolerant.owns(0x0200_0000_0001) && !tolerant.owns(0x0200_0000_0009));
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let address = prop_oneof![Just([10, 0, 0, 5]), Just([10, 1, 9, 9]), Just([0; 4]), any::<[u8; 4]>()];
    let long = prop_oneof![Just(0), Just((0xfd00 << 112) | 5_u128), Just(0xfe80 << 112)];
    let kind = prop_oneof![Just(133_u8), Just(134), Just(135), Just(136), Just(143), any::<u8>()];
    let port = || prop_oneof![Just(67_u16), Just(68), Just(546), Just(547), any::<u16>()];
    let mac = prop_oneof![Just(OWN), Just(OTHER)];
    prop_oneof![
        (address.clone(), any::<u8>()).prop_map(|(source, protocol)| ip4(source, protocol, &[0; 20])),
        (address, port(), port()).prop_map(|(source, from, to)| ip4(source, 17, &udp(from, to))),
        (long.clone(), port(), port()).prop_map(|(source, from, to)| ip6(source, 17, &udp(from, to))),
        (long.clone(), long, kind, 0..4_u8, mac).prop_map(|(source, target, kind, option, mac)| ip6(
            source,
            58,
            &neighbour(kind, target, option, mac)
        )),
    ]
}

proptest! {
    /// Whatever was not looked at may be anything.
    #[test]
    fn the_mask_covers_what_was_looked_at(
        frame in packet(), pins in any::<bool>(), pinned in any::<bool>(), flips in proptest::collection::vec(0_usize..1600, 1..60),
    ) {
        let mut guard = guard();
        if !pins { guard.macs.clear(); }
        if !pinned { guard.addresses.clear(); }
        let (mut key, mut mask) = (Key::default(), Mask::default());
        extract(&frame, frame.len(), 1, &mut key);
        let verdict = guard.check(&key, &mut mask);
        let mut other = key.clone();
        for flip in flips {
            let (word, bit) = (flip / 64, 1_u64 << (flip % 64));
            if mask.words()[word] & bit == 0 {
                other.set_word(word, other.word(word) ^ bit);
            }
        }
        let mut again = Mask::default();
        prop_assert_eq!(guard.check(&other, &mut again), verdict);
        prop_assert_eq!(again, mask);
    }
}
