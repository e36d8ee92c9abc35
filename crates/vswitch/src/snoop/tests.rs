//! Snooping through a bridge: real messages in, programs and questions out.

use crate::bridge::{Bridge, BridgeOptions};
use crate::port::{Port, Vlan, VlanSet};
use crate::snoop::SnoopOptions;
use netloom_mem::PortNumber;
use netloom_nf::Action;
use netloom_table::Key;
use netloom_table::key::extract;
use netloom_wire::checksum::{PseudoHeader, internet};
use netloom_wire::header::{icmpv6, igmp, mld};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

const SECOND: u64 = 1_000_000_000;

fn bridge(querier: &[u16]) -> Bridge {
    let querier: VlanSet = querier.iter().copied().collect();
    let snooping = SnoopOptions { enabled: true, querier, ..SnoopOptions::default() };
    let mut bridge = Bridge::new(BridgeOptions { snooping, ..BridgeOptions::default() });
    for number in 1..=4 {
        bridge.add(Port { vlan: Vlan::Access(7), ..Port::new(number, format!("p{number}")) }).unwrap();
    }
    bridge.add(Port { vlan: Vlan::Trunk([7].into_iter().collect()), ..Port::new(5, "p5") }).unwrap();
    bridge
}

fn ip4(source: [u8; 4], to: Ipv4Addr, protocol: u8, message: &[u8]) -> Vec<u8> {
    let [_, b, c, d] = to.octets();
    let mut frame = vec![1, 0, 0x5e, b & 0x7f, c, d, 2, 0, 0, 0, 0, source[3], 8, 0];
    frame.extend([0x45, 0, 0, 20 + message.len() as u8, 0, 0, 0, 0, 1, protocol, 0, 0]);
    frame.extend(source);
    frame.extend(to.octets());
    let sum = internet(&frame[14..]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend(message);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn said(source: u8, to: Ipv4Addr, message: &igmp::Repr<'_>) -> Vec<u8> {
    let mut octets = vec![0; message.buffer_len()];
    message.emit(&mut octets).unwrap();
    ip4([10, 0, 0, source], to, 2, &octets)
}

fn data(to: Ipv4Addr) -> Vec<u8> {
    ip4([10, 0, 0, 99], to, 17, &[0; 8])
}

/// Where a frame goes, and whether the bridge hears it; what follows from that is done.
fn send(bridge: &mut Bridge, port: PortNumber, frame: &[u8], now: u64) -> (Vec<PortNumber>, usize) {
    let mut key = Key::default();
    extract(frame, frame.len(), port, &mut key);
    let decision = bridge.decide(&key, now);
    let actions = decision.program.actions();
    let mut out: Vec<PortNumber> = actions
        .iter()
        .filter_map(|action| if let Action::Output(port) = action { Some(*port) } else { None })
        .collect();
    out.sort_unstable();
    let mut asked = 0;
    if actions.contains(&Action::Brain) {
        asked = bridge.heard(port, frame, now).send.len();
    }
    (out, asked)
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

#[test]
fn members_and_routers_get_what_they_asked_for() {
    let mut bridge = bridge(&[]);
    // Nobody asks in this VLAN: everything goes everywhere, but a report to no port.
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 0).0, [2, 3, 4, 5]);
    let report = said(2, GROUP, &igmp::Repr::Report2 { group: GROUP });
    assert!(send(&mut bridge, 2, &report, 0).0.is_empty());
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 0).0, [2]);
    // A router behind port 4 asks.
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let question = igmp::Repr::Query2 { response_time: 100, group: Ipv4Addr::UNSPECIFIED };
    assert_eq!(send(&mut bridge, 4, &said(4, all, &question), 0).0, [1, 2, 3, 5]);
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 0).0, [2, 4]);
    assert_eq!(send(&mut bridge, 2, &report, SECOND).0, [4]);
    // As soon as listeners had time to answer, what nobody wants goes to the router only.
    let other = Ipv4Addr::new(239, 9, 9, 9);
    assert_eq!(send(&mut bridge, 1, &data(other), SECOND).0, [2, 3, 4, 5]);
    let effects = bridge.tick(11 * SECOND);
    assert!(!effects.changed.is_empty());
    assert_eq!(send(&mut bridge, 1, &data(other), 11 * SECOND).0, [4]);
    assert_eq!(send(&mut bridge, 1, &data(Ipv4Addr::new(224, 0, 0, 251)), 11 * SECOND).0, [2, 3, 4, 5]);
    // A member leaves; the router asks about the group, nobody answers.
    let leave = said(2, Ipv4Addr::new(224, 0, 0, 2), &igmp::Repr::Leave { group: GROUP });
    assert_eq!(send(&mut bridge, 2, &leave, 20 * SECOND), (vec![4], 0));
    let question = said(4, GROUP, &igmp::Repr::Query2 { response_time: 10, group: GROUP });
    send(&mut bridge, 4, &question, 20 * SECOND);
    bridge.tick(21 * SECOND);
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 21 * SECOND).0, [2, 4]);
    bridge.tick(22 * SECOND);
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 22 * SECOND).0, [4]);
    // The router is silent for too long.
    bridge.tick(300 * SECOND);
    assert_eq!(send(&mut bridge, 1, &data(GROUP), 300 * SECOND).0, [2, 3, 4, 5]);
    assert!(bridge.groups(0).is_empty() && bridge.router_ports().is_empty());
}

#[test]
fn without_a_router_the_bridge_asks() {
    let mut bridge = bridge(&[7]);
    let first = bridge.tick(0);
    // IGMP and MLD through five ports, with a tag on the trunk.
    assert_eq!(first.send.len(), 10);
    for (port, frame) in &first.send {
        let mut key = Key::default();
        let layers = extract(frame, frame.len(), *port, &mut key);
        assert!(!layers.short && (frame[12] == 0x81) == (*port == 5));
        let v6 = frame.windows(2).any(|two| two == [0x86, 0xdd]);
        let transport = usize::from(layers.transport);
        if v6 {
            let network = usize::from(layers.network);
            let address = |at: usize| Ipv6Addr::from(*frame[at..].first_chunk::<16>().unwrap());
            let header = PseudoHeader::v6(address(network + 8), address(network + 24));
            assert!(icmpv6::View::new_checked(&frame[transport..]).unwrap().verify_checksum(&header));
            let question = mld::View::new_checked(&frame[transport..]).unwrap();
            assert!(matches!(
                mld::Repr::parse(&question).unwrap(),
                mld::Repr::Query2 { response_code: 10_000, .. }
            ));
        } else {
            let question = igmp::View::new_checked(&frame[transport..transport + 12]).unwrap();
            assert!(question.verify_checksum());
            assert!(matches!(
                igmp::Repr::parse(&question).unwrap(),
                igmp::Repr::Query3 { response_code: 100, interval_code: 125, .. }
            ));
            let network = usize::from(layers.network);
            assert_eq!(internet(&frame[network..transport]), 0);
        }
    }
    assert!(bridge.tick(SECOND).send.is_empty());
    assert_eq!(bridge.tick(32 * SECOND).send.len(), 10);
    assert!(bridge.tick(150 * SECOND).send.is_empty());
    assert_eq!(bridge.tick(157 * SECOND).send.len(), 10);
    // Somebody leaves: asked at once and once more, through that port only.
    let report = said(2, GROUP, &igmp::Repr::Report2 { group: GROUP });
    send(&mut bridge, 2, &report, 160 * SECOND);
    let leave = said(2, Ipv4Addr::new(224, 0, 0, 2), &igmp::Repr::Leave { group: GROUP });
    assert_eq!(send(&mut bridge, 2, &leave, 160 * SECOND).1, 1);
    let again = bridge.tick(161 * SECOND);
    assert!(again.send.len() == 1 && again.send[0].0 == 2);
    assert_eq!(bridge.groups(161 * SECOND).len(), 1);
    bridge.tick(162 * SECOND);
    assert!(bridge.groups(162 * SECOND).is_empty());
    // A router comes up: the bridge asks about IPv4 no more until it is silent.
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let question = igmp::Repr::Query2 { response_time: 100, group: Ipv4Addr::UNSPECIFIED };
    send(&mut bridge, 4, &said(4, all, &question), 200 * SECOND);
    assert_eq!(bridge.tick(300 * SECOND).send.len(), 5);
    assert_eq!(bridge.tick(456 * SECOND).send.len(), 10);
}

proptest! {
    /// Hostile messages never panic, and never make more entries than there may be.
    #[test]
    fn anything_may_come(message in proptest::collection::vec(any::<u8>(), 0..80), six in any::<bool>(), now in 0..500_u64) {
        let (mut bridge, mut message) = (bridge(&[7]), message);
        // With a checksum that lets most of them through to the tables.
        if message.len() > 4 {
            message[0] = [0x11, 0x12, 0x16, 0x17, 0x22][usize::from(message[0] % 5)];
            message[2..4].fill(0);
            let sum = internet(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let mut frame = ip4([10, 0, 0, 1], GROUP, 2, &message);
        if six {
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
            frame[14] = 0x60;
        }
        bridge.heard(1, &frame, now * SECOND);
        bridge.heard(9, &frame, now * SECOND);
        bridge.tick(now * SECOND);
        prop_assert!(bridge.groups(0).len() <= 16);
    }

    /// A packet that is equal under the mask goes where the first went.
    #[test]
    fn the_mask_covers_what_was_looked_at(kind in 0..6_usize, flips in proptest::collection::vec(0_usize..1600, 1..60)) {
        let mut bridge = bridge(&[]);
        send(&mut bridge, 2, &said(2, GROUP, &igmp::Repr::Report2 { group: GROUP }), 0);
        let mut long = vec![0x33, 0x33, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 1];
        long.extend([0xff; 32]);
        long.extend([131; 24]);
        let frame = match kind {
            0 => data(GROUP),
            1 => data(Ipv4Addr::new(224, 0, 0, 9)),
            2 => said(3, GROUP, &igmp::Repr::Leave { group: GROUP }),
            3 => said(3, GROUP, &igmp::Repr::Query1 { group: GROUP }),
            4 => ip4([1; 4], GROUP, 103, &[]),
            _ => long,
        };
        let mut key = Key::default();
        extract(&frame, frame.len(), 1, &mut key);
        bridge.decide(&key, 1);
        let decision = bridge.decide(&key, 1);
        let mut other = key.clone();
        for flip in flips {
            let (word, bit) = (flip / 64, 1_u64 << (flip % 64));
            if decision.mask.words()[word] & bit == 0 {
                other.set_word(word, other.word(word) ^ bit);
            }
        }
        let same = bridge.decide(&other, 1);
        prop_assert_eq!(same.program, decision.program);
        prop_assert_eq!(same.mask, decision.mask);
    }

    /// Against a list of who joined and left when, with fast leave.
    #[test]
    fn members_are_those_who_joined(
        steps in proptest::collection::vec((0..4_u8, 1..5_u32, 0..3_u8, 0..120_u64), 1..60),
    ) {
        let mut bridge = bridge(&[]);
        for number in 1..=4 {
            bridge.set(Port { fast_leave: true, ..bridge.ports()[&number].clone() }).unwrap();
        }
        let (mut now, mut list) = (0, Vec::<(u8, u32, u64)>::new());
        for (what, port, group, wait) in steps {
            let address = Ipv4Addr::new(239, 0, 0, group);
            match what {
                0 | 1 => {
                    send(&mut bridge, port, &said(port as u8, address, &igmp::Repr::Report2 { group: address }), now);
                    list.retain(|(known, member, _)| (*known, *member) != (group, port));
                    list.push((group, port, now + 260 * SECOND));
                }
                2 => {
                    send(&mut bridge, port, &said(port as u8, address, &igmp::Repr::Leave { group: address }), now);
                    list.retain(|(known, member, _)| (*known, *member) != (group, port));
                }
                _ => now += wait * SECOND,
            }
            bridge.tick(now);
            list.retain(|(.., until)| *until > now);
            for group in 0..3 {
                let wanted: BTreeSet<u32> =
                    list.iter().filter(|(known, ..)| *known == group).map(|(_, port, _)| *port).collect();
                let (out, _) = send(&mut bridge, 5, &data(Ipv4Addr::new(239, 0, 0, group)), now);
                // Port 5 is a trunk and its frames have a tag: an untagged one is refused there.
                prop_assert!(out.is_empty());
                let (out, _) = send(&mut bridge, 4, &data(Ipv4Addr::new(239, 0, 0, group)), now);
                let wanted: Vec<u32> = match wanted.is_empty() {
                    true => vec![1, 2, 3, 5],
                    false => wanted.into_iter().filter(|port| *port != 4).collect(),
                };
                prop_assert_eq!(out, wanted);
            }
        }
    }
}
