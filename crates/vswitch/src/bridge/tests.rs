//! The bridge against what IEEE 802.1Q and ovs-vswitchd.conf.db(5) say, and against the laws of megaflows.

use super::*;
use crate::port::VlanSet;
use proptest::prelude::*;

fn packet(port: PortNumber, source: u8, destination: u8, tag: Option<u16>) -> Key {
    let mut key = Key::default();
    let address = |last: u8| if last == 255 { 0xffff_ffff_ffff } else { 0x0200_0000_0000 + u64::from(last) };
    key.set(Field::IN_PORT, u64::from(port));
    key.set(Field::ETH_SRC, address(source));
    key.set(Field::ETH_DST, address(destination));
    if let Some(tag) = tag {
        key.set(Field::VLAN_TPID, 0x8100);
        key.set(Field::VLAN_TCI, u64::from(tag));
    }
    key
}

fn bridge() -> Bridge {
    let mut bridge = Bridge::new(BridgeOptions::default());
    let vlans = [
        Vlan::Access(10),
        Vlan::Access(10),
        Vlan::Access(20),
        Vlan::Trunk([10, 20].into_iter().collect()),
        Vlan::NativeUntagged(10, VlanSet::from_iter([20])),
        Vlan::Tunnel { vlan: 20, customers: VlanSet::all() },
    ];
    for (number, vlan) in (1..).zip(vlans) {
        bridge.add(Port { vlan, ..Port::new(number, format!("p{number}")) }).unwrap();
    }
    bridge
}

#[test]
fn unknown_goes_everywhere_in_its_vlan_and_known_to_one_port() {
    use Action::{Output, PopVlan, PushVlan};
    let mut bridge = bridge();
    let push = PushVlan { tpid: 0x8100, tci: 10 };
    let first = bridge.decide(&packet(1, 1, 2, None), 0);
    assert_eq!(first.program.actions(), [Output(2), Output(5), push, Output(4)]);
    assert_eq!(first.changed.len(), 1);
    // The answer, from a trunk.
    let answer = bridge.decide(&packet(4, 2, 1, Some(10)), 0);
    assert_eq!(answer.program.actions(), [PopVlan, Output(1)]);
    // The station that was unknown is known now: what was decided before is taken back.
    assert!(answer.changed.iter().all(|tag| first.rests.contains(tag)));
    assert_eq!(bridge.decide(&packet(1, 1, 2, None), 0).program.actions(), [push, Output(4)]);
    // The same address in another VLAN is another station.
    let other = bridge.decide(&packet(3, 9, 2, None), 0);
    assert_eq!(
        other.program.actions(),
        [Output(6), PushVlan { tpid: 0x8100, tci: 20 }, Output(4), Output(5)]
    );
}

#[test]
fn what_is_dropped() {
    let mut bridge = bridge();
    let why = |bridge: &mut Bridge, key: &Key| bridge.decide(key, 0).program.shape();
    use netloom_nf::Shape::Drop;
    assert_eq!(why(&mut bridge, &packet(9, 1, 2, None)), Drop(Reason::PortGone));
    assert_eq!(why(&mut bridge, &packet(1, 1, 2, Some(10))), Drop(Reason::Tagged));
    assert_eq!(why(&mut bridge, &packet(4, 1, 2, Some(30))), Drop(Reason::VlanNotAllowed));
    assert_eq!(why(&mut bridge, &packet(4, 1, 2, None)), Drop(Reason::VlanNotAllowed));
    bridge.decide(&packet(1, 7, 255, None), 0);
    assert_eq!(why(&mut bridge, &packet(1, 8, 7, None)), Drop(Reason::SamePort));
    let mut reserved = packet(1, 1, 2, None);
    reserved.set(Field::ETH_DST, 0x0180_c200_000e);
    assert_eq!(why(&mut bridge, &reserved), Drop(Reason::Reserved));
}

#[test]
fn isolated_ports_talk_to_others_only() {
    let mut bridge = Bridge::new(BridgeOptions::default());
    for number in 1..=3 {
        bridge.add(Port { isolated: number < 3, ..Port::new(number, format!("p{number}")) }).unwrap();
    }
    assert_eq!(bridge.decide(&packet(1, 1, 255, None), 0).program.actions(), [Action::Output(3)]);
    bridge.decide(&packet(2, 2, 255, None), 0);
    let between = bridge.decide(&packet(1, 1, 2, None), 0);
    assert_eq!(between.program.shape(), netloom_nf::Shape::Drop(Reason::Isolated));
    assert_eq!(bridge.decide(&packet(3, 3, 2, None), 0).program.actions(), [Action::Output(2)]);
}

#[test]
fn stations_are_forgotten_after_a_while_unless_flows_carry_packets() {
    let mut bridge = bridge();
    let ageing = bridge.options.ageing;
    let sender = bridge.decide(&packet(1, 1, 255, None), 0).sender;
    bridge.refresh(sender, 1, ageing);
    assert!(bridge.fdb.age(ageing + 1).is_empty());
    assert_eq!(bridge.fdb.age(2 * ageing + 1), [sender]);
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    port: PortNumber,
    source: u8,
    destination: u8,
    tag: Option<u16>,
}

fn frame() -> impl Strategy<Value = Frame> {
    let tag = prop_oneof![Just(None), prop_oneof![Just(0_u16), Just(10), Just(20), Just(30)].prop_map(Some)];
    (1..8_u32, 1..6_u8, prop_oneof![1..6_u8, Just(255)], tag)
        .prop_map(|(port, source, destination, tag)| Frame { port, source, destination, tag })
}

proptest! {
    /// Sound: a packet that is equal under the mask is decided alike, as long as nothing the decision rests on changes.
    #[test]
    fn the_mask_covers_what_was_looked_at(before in proptest::collection::vec(frame(), 0..20), this in frame(), flips in proptest::collection::vec(0_usize..512, 1..40)) {
        let mut bridge = bridge();
        for frame in before {
            bridge.decide(&packet(frame.port, frame.source, frame.destination, frame.tag), 1);
        }
        let key = packet(this.port, this.source, this.destination, this.tag);
        bridge.decide(&key, 1);
        let decision = bridge.decide(&key, 1);
        prop_assert!(decision.changed.is_empty());
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

    /// A cache that takes back what rests on changed stations answers as the bridge would.
    #[test]
    fn flows_that_are_kept_stay_right(frames in proptest::collection::vec(frame(), 1..80)) {
        let (mut cached, mut plain) = (bridge(), bridge());
        let mut flows: Vec<(Key, Decision)> = Vec::new();
        for frame in frames {
            let key = packet(frame.port, frame.source, frame.destination, frame.tag);
            let wanted = plain.decide(&key, 1).program;
            let known = flows.iter().find(|(known, decision)| key.matches(known, &decision.mask));
            let program = match known {
                Some((_, decision)) => decision.program.clone(),
                None => {
                    let decision = cached.decide(&key, 1);
                    flows.retain(|(_, old)| !old.rests.iter().any(|tag| decision.changed.contains(tag)));
                    let program = decision.program.clone();
                    flows.push((key, decision));
                    program
                }
            };
            prop_assert_eq!(program, wanted);
        }
        prop_assert_eq!(cached.fdb.list(), plain.fdb.list());
    }
}
