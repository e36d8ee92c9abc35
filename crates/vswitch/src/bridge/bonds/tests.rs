//! Bonds between two bridges: cables of the test, time that it moves.

use super::*;
use crate::bridge::{BridgeOptions, TreeSettings};
use crate::port::{Port, Vlan};
use netloom_nf::{Action, HashBy, Reason, Shape};
use netloom_table::Key;
use netloom_table::key::extract;

const TENTH: u64 = 100_000_000;
const SECOND: u64 = 10 * TENTH;
/// The bond's number, and those of its members.
const BOND: PortNumber = 10;
const MEMBERS: [PortNumber; 2] = [2, 3];

/// Two bridges; the members of their bonds are connected one to one.
struct Pair {
    bridges: [Bridge; 2],
    cut: [bool; 2],
    now: u64,
    /// What workers would know: the members that send.
    told: [Vec<PortNumber>; 2],
    sent: Vec<(usize, PortNumber, Vec<u8>)>,
}

impl Pair {
    fn new(options: &BondOptions, tree: bool) -> Self {
        let bridges = [1, 2].map(|last| {
            let tree = tree.then(TreeSettings::default);
            let address = MacAddr::new([2, 0, 0, 0, 0, last]);
            let mut bridge =
                Bridge::new(BridgeOptions { address, lldp: true, tree, ..BridgeOptions::default() });
            for number in [1, 2, 3] {
                bridge.add(Port::new(number, format!("p{number}"))).unwrap();
            }
            bridge.add(Port::new(BOND, "bond")).unwrap();
            bridge.set_bond(BOND, Some((options.clone(), MEMBERS.to_vec())), 0);
            bridge
        });
        let mut pair = Self { bridges, cut: [false; 2], now: 0, told: Default::default(), sent: Vec::new() };
        for side in 0..2 {
            for member in MEMBERS {
                let effects = pair.bridges[side].link(member, true);
                pair.take(side, effects);
            }
        }
        pair
    }

    fn take(&mut self, side: usize, effects: Effects) {
        for (number, members) in effects.bonds {
            assert_eq!(number, BOND);
            self.told[side] = members;
        }
        for (port, frame) in effects.send {
            assert_ne!(port, BOND, "frames leave by members");
            self.sent.push((side, port, frame.clone()));
            if MEMBERS.contains(&port) && !self.cut[port as usize - 2] {
                let answers = self.bridges[1 - side].heard(port, &frame, self.now);
                assert!(
                    answers.bonds.is_empty() && answers.send.is_empty(),
                    "one thread tells, in its order"
                );
                self.take(1 - side, answers);
                if let Some(late) = self.bridges[1 - side].late() {
                    self.take(1 - side, late);
                }
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now += TENTH;
            for side in 0..2 {
                let effects = self.bridges[side].tick(self.now);
                self.take(side, effects);
            }
        }
    }

    fn cut(&mut self, member: PortNumber, cut: bool) {
        self.cut[member as usize - 2] = cut;
        for side in 0..2 {
            let effects = self.bridges[side].link(member, !cut);
            self.take(side, effects);
        }
    }

    fn decide(&mut self, side: usize, port: PortNumber, to: u8, from: u8) -> crate::Decision {
        let mut frame = vec![2, 0, 0, 0, 1, to, 2, 0, 0, 0, 1, from, 8, 0];
        if to == 255 {
            frame[..6].fill(255);
        }
        frame.resize(60, 0);
        let mut key = Key::default();
        extract(&frame, 60, port, &mut key);
        self.bridges[side].decide(&key, self.now)
    }
}

#[test]
fn stations_are_behind_the_bond_whatever_member_their_frames_take() {
    let mut pair = Pair::new(&BondOptions { fast: true, ..BondOptions::default() }, false);
    // Before the protocol has agreed nothing passes.
    assert_eq!(pair.decide(0, 2, 255, 9).program.shape(), Shape::Drop(Reason::MemberInactive));
    pair.run(5);
    assert_eq!(pair.told, [MEMBERS.to_vec(), MEMBERS.to_vec()]);
    let flooded = pair.decide(0, 1, 255, 8);
    assert_eq!(flooded.program.shape(), Shape::Output(BOND), "not to the members");
    let first = pair.decide(0, 2, 8, 9);
    assert_eq!(first.program.shape(), Shape::Output(1));
    let second = pair.decide(0, 3, 8, 9);
    assert!(second.program.shape() == Shape::Output(1) && second.changed.is_empty(), "it has not moved");
    assert_eq!(pair.decide(0, 1, 9, 8).program.shape(), Shape::Output(BOND));
    // What comes through one member does not leave by the other.
    assert_eq!(pair.decide(0, 3, 9, 7).program.shape(), Shape::Drop(Reason::SamePort));
    assert!(!pair.decide(0, 3, 255, 7).program.actions().contains(&Action::Output(BOND)));
    // Neighbours are known for each cable.
    pair.run(35);
    assert!(MEMBERS.iter().all(|member| pair.bridges[0].neighbours(*member).len() == 1));
    assert!(pair.bridges[0].neighbours(BOND).is_empty());
}

#[test]
fn a_cable_that_is_cut_is_left_and_taken_again() {
    let mut pair = Pair::new(&BondOptions { fast: true, ..BondOptions::default() }, true);
    pair.run(40);
    assert_eq!(pair.told, [MEMBERS.to_vec(), MEMBERS.to_vec()]);
    assert!(pair.bridges[0].tree_state(BOND).unwrap().forwarding);
    assert_eq!(pair.bridges[0].tree_state(2), None);
    let rests = pair.decide(0, 2, 255, 9).rests;
    pair.cut(2, true);
    assert_eq!(pair.told, [vec![3], vec![3]]);
    assert!(rests.contains(&member_tag(2)));
    assert_eq!(pair.decide(0, 2, 255, 9).program.shape(), Shape::Drop(Reason::MemberInactive));
    assert!(pair.bridges[0].tree_state(BOND).unwrap().forwarding, "the tree does not notice");
    pair.cut(2, false);
    pair.run(5);
    assert_eq!(pair.told, [MEMBERS.to_vec(), MEMBERS.to_vec()]);
    // A member that leaves does not disturb the others, and one that joins neither.
    for members in [vec![3], MEMBERS.to_vec()] {
        let options = pair.bridges[0].bonds().next().unwrap().1.options().clone();
        let effects = pair.bridges[0].set_bond(BOND, Some((options, members.clone())), pair.now);
        pair.take(0, effects);
        assert!(pair.told[0].contains(&3), "{:?}", pair.told);
        if members.contains(&2) {
            let effects = pair.bridges[0].link(2, true);
            pair.take(0, effects);
        } else {
            assert_eq!(pair.bridges[0].bond_of(2), None);
        }
        pair.run(6);
        assert_eq!(pair.told[0], members);
    }
    // One way only: the cable is there, but what one side says does not come through.
    pair.cut = [true, false];
    pair.run(10);
    assert_eq!(pair.told, [vec![3], vec![3]]);
    pair.cut(3, true);
    assert!(pair.told.iter().all(Vec::is_empty));
    assert!(!pair.bridges[0].tree_state(BOND).unwrap().forwarding);
    // Fewer than the least number is none at all.
    let options = BondOptions { fast: true, least: 2, ..BondOptions::default() };
    let mut pair = Pair::new(&options, false);
    pair.run(5);
    assert_eq!(pair.told[0].len(), 2);
    pair.cut(3, true);
    assert!(pair.told[0].is_empty());
}

#[test]
fn one_member_works_and_another_takes_over_and_says_who_is_there() {
    let options = BondOptions { mode: Mode::ActiveBackup, ..BondOptions::default() };
    let mut pair = Pair::new(&options, false);
    pair.bridges[0]
        .set(Port { vlan: Vlan::NativeUntagged(5, crate::VlanSet::all()), ..Port::new(BOND, "bond") })
        .unwrap();
    pair.bridges[0].set(Port { vlan: Vlan::Access(7), ..Port::new(1, "p1") }).unwrap();
    pair.run(1);
    assert_eq!(pair.told[0], [2]);
    pair.decide(0, 1, 255, 8);
    assert_eq!(pair.decide(0, 3, 255, 9).program.shape(), Shape::Drop(Reason::MemberInactive));
    pair.sent.clear();
    pair.cut(2, true);
    assert_eq!(pair.told[0], [3]);
    let (_, port, frame) =
        pair.sent.iter().find(|(side, _, frame)| *side == 0 && frame[..6] == [255; 6]).unwrap();
    assert_eq!((*port, &frame[6..18]), (3, &[2, 0, 0, 0, 1, 8, 0x81, 0, 0, 7, 0x80, 0x35][..]));
    // It stays when the first comes back, unless that is preferred.
    pair.cut(2, false);
    assert_eq!(pair.told[0], [3]);
    let preferred = BondOptions { primary: Some(2), ..options };
    let effects = pair.bridges[0].set_bond(BOND, Some((preferred, MEMBERS.to_vec())), pair.now);
    pair.take(0, effects);
    assert_eq!(pair.told[0], [2]);
    // Members that are freed are ports of their own again.
    let effects = pair.bridges[0].set_bond(BOND, None, pair.now);
    pair.take(0, effects);
    pair.bridges[0].remove(BOND);
    assert_eq!(pair.decide(0, 2, 255, 9).program.shape(), Shape::Output(3));
}

#[test]
fn members_wait_for_their_delay_and_one_works_while_nobody_speaks() {
    let options = BondOptions { mode: Mode::Balance, up_delay: 3 * SECOND, ..BondOptions::default() };
    let mut pair = Pair::new(&options, false);
    pair.run(2);
    assert!(pair.told[0].is_empty());
    pair.run(2);
    assert_eq!(pair.told[0], MEMBERS);
    // With fallback, until the other side speaks.
    let options = BondOptions { fallback: true, fast: true, ..BondOptions::default() };
    let mut pair = Pair::new(&options, false);
    pair.cut = [true, true];
    pair.run(10);
    assert_eq!(pair.told[0], [2]);
    assert_eq!(pair.decide(0, 1, 255, 8).program.shape(), Shape::Output(BOND));
    pair.cut = [false, false];
    pair.run(40);
    assert_eq!(pair.told[0], MEMBERS);
}

#[test]
fn a_marker_is_answered() {
    let mut pair = Pair::new(&BondOptions::default(), false);
    let marker = netloom_wire::header::marker::Repr {
        version: 1,
        is_response: false,
        port: 7,
        system: MacAddr::new([2, 0, 0, 0, 0, 9]),
        transaction: 5,
    };
    let mut frame = vec![1, 0x80, 0xc2, 0, 0, 2, 2, 0, 0, 0, 0, 9, 0x88, 9];
    frame.resize(14 + 110, 0);
    marker.emit(&mut frame[14..]).unwrap();
    pair.bridges[0].heard(2, &frame, 0);
    let effects = pair.bridges[0].late().unwrap();
    let (port, answer) = &effects.send[0];
    let view = netloom_wire::header::marker::View::new_checked(&answer[14..]).unwrap();
    let said = netloom_wire::header::marker::Repr::parse(&view).unwrap();
    assert_eq!((*port, said), (2, netloom_wire::header::marker::Repr { is_response: true, ..marker }));
    // Answers are not answered, and what is no unit is nothing.
    pair.bridges[0].heard(2, answer, 0);
    assert!(!pair.bridges[0].is_late());
    for length in 0..frame.len() {
        pair.bridges[0].heard(2, &frame[..length], 0);
    }
    while pair.bridges[0].late().is_some() {}
    pair.bridges[0].heard(1, &frame, 0);
    assert!(!pair.bridges[0].is_late(), "it is no member");
}

#[test]
fn what_comes_back_from_a_switch_without_bonds_is_lost() {
    let mut bridge = Bridge::new(BridgeOptions::default());
    for number in [1, 2, 3] {
        bridge.add(Port::new(number, format!("p{number}"))).unwrap();
    }
    bridge.add(Port::new(BOND, "bond")).unwrap();
    let options = BondOptions { mode: Mode::BalanceSlb, hash: HashBy::Source, ..BondOptions::default() };
    bridge.set_bond(BOND, Some((options, MEMBERS.to_vec())), 0);
    for member in MEMBERS {
        bridge.link(member, true);
    }
    let mut now = SECOND;
    let ask = |bridge: &mut Bridge, now: u64, port: PortNumber, to: u64, from: u64, kind: u64| {
        let mut key = Key::default();
        for (field, value) in [
            (Field::IN_PORT, port.into()),
            (Field::ETH_DST, to),
            (Field::ETH_SRC, from),
            (Field::ETH_TYPE, kind),
        ] {
            key.set(field, value);
        }
        bridge.decide(&key, now)
    };
    let (here, there, all) = (0x0200_0000_0001, 0x0200_0000_0002, BROADCAST);
    // A question to all leaves by the bond, and the other switch sends it back by the other cable.
    assert_eq!(ask(&mut bridge, now, 1, all, here, ARP).program.shape(), Shape::Output(BOND));
    let taken: Vec<Shape> =
        MEMBERS.map(|member| ask(&mut bridge, now, member, all, here, ARP).program.shape()).into();
    assert_eq!(taken, [Shape::Drop(Reason::Echo), Shape::Drop(Reason::MemberInactive)]);
    // What others send to all comes by both cables and counts once, what they send to one counts by either.
    for (member, wanted) in MEMBERS.into_iter().zip([Shape::Output(1), Shape::Drop(Reason::MemberInactive)]) {
        assert_eq!(ask(&mut bridge, now, member, all, there, 0x0800).program.shape(), wanted);
        assert_eq!(ask(&mut bridge, now, member, here, there, 0x0800).program.shape(), Shape::Output(1));
    }
    // The second cable takes what is for all when the first is cut; flows that rest on that are taken back.
    let rests = ask(&mut bridge, now, 3, all, there, 0x0800).rests;
    let effects = bridge.link(2, false);
    assert!(effects.changed.iter().any(|tag| rests.contains(tag)));
    assert_eq!(ask(&mut bridge, now, 3, all, there, 0x0800).program.shape(), Shape::Output(1));
    // The other switch hears of the stations here, each by the member that carries it now.
    assert!(effects.send.iter().any(|(port, frame)| *port == 3 && frame[6..12] == [2, 0, 0, 0, 0, 1]));
    assert!(effects.send.iter().all(|(port, _)| *port == 3));

    // A station that moves there is believed when it says so, unless it was heard here just now.
    let said = ask(&mut bridge, now, 3, all, here, ARP);
    assert_eq!((said.program.shape(), said.keep), (Shape::Drop(Reason::Echo), false));
    let other = ask(&mut bridge, now, 3, there, here, 0x0800);
    assert_eq!((other.program.shape(), other.keep), (Shape::Drop(Reason::Echo), true));
    now += SILENCE;
    assert_eq!(ask(&mut bridge, now, 3, there, here, 0x0800).program.shape(), Shape::Drop(Reason::Echo));
    let said = ask(&mut bridge, now, 3, all, here, ARP);
    assert_eq!(said.program.shape(), Shape::Output(1));
    assert!(other.rests.iter().any(|tag| said.changed.contains(tag)), "flows that lost its frames end");
    assert_eq!(ask(&mut bridge, now, 3, 0x0200_0000_0003, here, 0x0800).program.shape(), Shape::Output(1));
}
