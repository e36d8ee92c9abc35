//! The bridge against what IEEE 802.1Q and ovs-vswitchd.conf.db(5) say, and against the laws of megaflows.

use super::*;
use crate::guard::{Guard, Prefix};
use crate::port::{Vlan, VlanSet};
use netloom_nf::{Rate, Shape, Unit};
use netloom_table::key::extract;
use netloom_wire::header::stp::BridgeId;
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
    assert_eq!(first.program.actions(), [Output(2), Output(5), push.clone(), Output(4)]);
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
    use Shape::Drop;
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
    assert_eq!(between.program.shape(), Shape::Drop(Reason::Isolated));
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

fn station(last: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, last])
}

fn plain(ports: u32) -> Bridge {
    let mut bridge = Bridge::new(BridgeOptions::default());
    for number in 1..=ports {
        bridge.add(Port::new(number, format!("p{number}"))).unwrap();
    }
    bridge
}

/// The bridge with everything that looks at more of a packet, or sends it to more ports.
fn loaded() -> Bridge {
    let mut bridge = bridge();
    let change = |bridge: &mut Bridge, number: PortNumber, change: fn(&mut Port)| {
        let mut port = bridge.ports()[&number].clone();
        change(&mut port);
        bridge.set(port).unwrap();
    };
    change(&mut bridge, 1, |port| port.guard.macs = vec![station(1), station(2)]);
    change(&mut bridge, 2, |port| port.guard.addresses = vec![Prefix::V4 { address: 0, length: 7 }]);
    change(&mut bridge, 3, |port| {
        port.guard = Guard { router: false, dhcp_server: false, ..Guard::default() }
    });
    change(&mut bridge, 4, |port| port.guard.most = Some(2));
    change(&mut bridge, 5, |port| {
        port.storm = Some(Rate { unit: Unit::Packets, per_second: 1, burst: 1 });
    });
    bridge.add(Port { vlan: Vlan::Access(10), ..Port::new(7, "watch") }).unwrap();
    let mirror = Mirror { from: [2].into(), to: [1].into(), ..Mirror::new(Copies::Port(7)) };
    bridge.set_mirror("watch".to_owned(), Some(mirror));
    bridge
}

#[test]
fn pinned_addresses_are_nobody_elses_and_need_no_learning() {
    let mut bridge = plain(3);
    let guard = Guard { macs: vec![station(1)], promiscuous: false, ..Guard::default() };
    bridge.set(Port { guard, ..Port::new(1, "p1") }).unwrap();
    let spoofed = Shape::Drop(Reason::Spoofed);
    assert_eq!(bridge.decide(&packet(2, 1, 3, None), 0).program.shape(), spoofed);
    assert_eq!(bridge.decide(&packet(1, 2, 3, None), 0).program.shape(), spoofed);
    assert!(bridge.fdb.is_empty());
    // Nobody heard it yet, and it hears nothing of others.
    assert_eq!(bridge.decide(&packet(2, 2, 1, None), 0).program.actions(), [Action::Output(1)]);
    assert_eq!(bridge.decide(&packet(2, 2, 3, None), 0).program.actions(), [Action::Output(3)]);
    let broadcast = bridge.decide(&packet(2, 2, 255, None), 0);
    assert_eq!(broadcast.program.actions(), [Action::Output(1), Action::Output(3)]);
}

#[test]
fn one_station_too_many_is_dropped_until_there_is_room() {
    let mut bridge = plain(2);
    bridge.set(Port { guard: Guard { most: Some(1), ..Guard::default() }, ..Port::new(1, "p1") }).unwrap();
    assert_eq!(bridge.decide(&packet(1, 1, 9, None), 0).program.actions(), [Action::Output(2)]);
    let late = bridge.decide(&packet(1, 2, 9, None), 5);
    assert_eq!(late.program.shape(), Shape::Drop(Reason::TooManyStations));
    let gone = bridge.age(bridge.options.ageing + 3);
    assert!(late.rests.iter().any(|tag| gone.contains(tag)));
    let again = bridge.decide(&packet(1, 2, 9, None), bridge.options.ageing + 3);
    assert_eq!(again.program.actions(), [Action::Output(2)]);
}

#[test]
fn a_mirror_copies_what_comes_and_goes_and_its_port_takes_nothing_else() {
    let mut bridge = plain(4);
    let mirror = Mirror { from: [1].into(), to: [2].into(), ..Mirror::new(Copies::Port(4)) };
    bridge.set_mirror("m".to_owned(), Some(mirror.clone()));
    let outputs = |bridge: &mut Bridge, key: &Key| bridge.decide(key, 0).program.actions().to_vec();
    use Action::{Lose, Output, PopVlan, PushVlan};
    assert_eq!(outputs(&mut bridge, &packet(1, 1, 9, None)), [Output(2), Output(3), Output(4)]);
    assert_eq!(outputs(&mut bridge, &packet(2, 2, 1, None)), [Output(1)]);
    assert_eq!(outputs(&mut bridge, &packet(3, 3, 2, None)), [Output(2), Output(4)]);
    // What is dropped is copied too, and counted.
    assert_eq!(outputs(&mut bridge, &packet(1, 8, 1, None)), [Output(4), Lose(Reason::SamePort)]);
    let from_there = bridge.decide(&packet(4, 7, 1, None), 0).program.shape();
    assert_eq!(from_there, Shape::Drop(Reason::MirrorOutput));
    // Into a VLAN, from another one only.
    let mirror = Mirror { all: true, output: Copies::Vlan(99), ..mirror };
    bridge.options.flooded.add(99);
    bridge.set(Port { vlan: Vlan::Access(99), ..Port::new(4, "p4") }).unwrap();
    bridge.set_mirror("m".to_owned(), Some(mirror));
    let tag = |tci| PushVlan { tpid: 0x8100, tci };
    assert_eq!(
        outputs(&mut bridge, &packet(3, 3, 2, Some(5))),
        [Output(1), Output(2), PopVlan, Output(4), tag(99), Output(1), Output(2)]
    );
    assert_eq!(outputs(&mut bridge, &packet(3, 3, 2, Some(99))), [Output(1), Output(2), PopVlan, Output(4)]);
    assert_eq!(bridge.fdb.find(99, station(3), 0), None);
}

#[test]
fn token_buckets_are_asked_first() {
    let mut bridge = plain(2);
    let rate = Some(Rate { unit: Unit::Packets, per_second: 10, burst: 10 });
    bridge.set(Port { rate, storm: rate, ..Port::new(1, "p1") }).unwrap();
    let port = bridge.ports()[&1].clone();
    let (all, storm) =
        (Action::Meter(port.meter(MeterKind::Rate)), Action::Meter(port.meter(MeterKind::Storm)));
    assert_eq!(
        bridge.decide(&packet(1, 1, 2, None), 0).program.actions(),
        [all.clone(), storm, Action::Output(2)]
    );
    bridge.decide(&packet(2, 2, 1, None), 0);
    assert_eq!(bridge.decide(&packet(1, 1, 2, None), 0).program.actions(), [all.clone(), Action::Output(2)]);
    // By octets and by packets.
    bridge.set(Port { rate, packet_rate: rate, ..Port::new(1, "p1") }).unwrap();
    let packets = Action::Meter(port.meter(MeterKind::Packets));
    assert_eq!(bridge.decide(&packet(1, 1, 2, None), 0).program.actions(), [all, packets, Action::Output(2)]);
}

#[test]
fn two_bridges_with_two_links_make_a_tree_and_pass_frames_one_way() {
    let mut bridges: Vec<Bridge> = (1..=2)
        .map(|number| {
            let options = BridgeOptions {
                address: station(number),
                tree: Some(TreeSettings::default()),
                ..BridgeOptions::default()
            };
            let mut bridge = Bridge::new(options);
            for port in 1..=3 {
                bridge.add(Port::new(port, format!("p{port}"))).unwrap();
            }
            bridge
        })
        .collect();
    let mut flying: Vec<(usize, PortNumber, Vec<u8>)> = Vec::new();
    let take = |flying: &mut Vec<_>, bridge: usize, effects: Effects| {
        let cables = effects.send.into_iter().filter(|(port, _)| *port < 3);
        flying.extend(cables.map(|(port, frame)| (1 - bridge, port, frame)));
    };
    for (index, bridge) in bridges.iter_mut().enumerate() {
        for port in 1..=3 {
            take(&mut flying, index, bridge.link(port, true));
        }
    }
    for second in 1..=10 {
        while let Some((to, port, frame)) = (!flying.is_empty()).then(|| flying.remove(0)) {
            // A unit reaches the bridge through the decision, also where nothing else passes.
            let mut key = Key::default();
            extract(&frame, frame.len(), port, &mut key);
            let actions = bridges[to].decide(&key, 0).program.actions().to_vec();
            assert!(actions.ends_with(&[Action::Brain]) && actions.len() == 2, "{actions:?}");
            take(&mut flying, to, bridges[to].heard(port, &frame, 0));
        }
        for (index, bridge) in bridges.iter_mut().enumerate() {
            take(&mut flying, index, bridge.tick(second * 1_000_000_000));
        }
    }
    assert_eq!(bridges[1].root(), Some((BridgeId { priority: 0x8000, address: station(1) }, 2000)));
    // The first is the root and sends everywhere; the second has closed one of the two cables.
    let out = bridges[0].decide(&packet(3, 9, 255, None), 0).program;
    assert_eq!(out.actions(), [Action::Output(1), Action::Output(2)]);
    let out = bridges[1].decide(&packet(3, 9, 255, None), 0).program;
    assert_eq!(out.actions(), [Action::Output(1)]);
    let blocked = bridges[1].decide(&packet(2, 9, 255, None), 0).program.shape();
    assert_eq!(blocked, Shape::Drop(Reason::PortBlocked));
    assert_eq!(bridges[1].fdb.list().len(), 1);
    // The cable is cut: the other takes over without a second passing, and stations are looked for anew.
    let effects = bridges[1].link(1, false);
    assert!(effects.changed_all);
    assert_eq!(bridges[1].decide(&packet(3, 9, 255, None), 0).program.actions(), [Action::Output(2)]);
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
    fn the_mask_covers_what_was_looked_at(before in proptest::collection::vec(frame(), 0..20), this in frame(), flips in proptest::collection::vec(0_usize..512, 1..40), full in any::<bool>()) {
        let mut bridge = if full { loaded() } else { bridge() };
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
    fn flows_that_are_kept_stay_right(frames in proptest::collection::vec(frame(), 1..80), full in any::<bool>()) {
        let make = if full { loaded } else { bridge };
        let (mut cached, mut plain) = (make(), make());
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

proptest! {
    /// What a bridge has learned goes on in another one, which then decides the same and learns no more than the first.
    #[test]
    fn a_successor_decides_as_its_predecessor(
        packets in proptest::collection::vec((1_u32..7, 0_u8..6, 0_u8..6, proptest::option::of(prop_oneof![Just(10_u16), Just(20)])), 0..40),
        fixed in 0_u8..6,
    ) {
        let options = BridgeOptions { ageing: 100, lldp: true, ..BridgeOptions::default() };
        let mut bridge = bridge();
        bridge.set_options(options.clone());
        bridge.fdb.fix(10, MacAddr::new([2, 0, 0, 0, 0, fixed]), 2, 0);
        for (now, (port, source, destination, tag)) in packets.iter().enumerate() {
            bridge.decide(&packet(*port, *source, *destination, *tag), now as u64 * 5);
        }
        let now = packets.len() as u64 * 5;
        bridge.tick(now);
        let text = serde_json::to_string(&bridge.state()).unwrap();
        let mut next = self::bridge();
        next.set_options(options);
        next.restore(serde_json::from_str(&text).unwrap());
        prop_assert_eq!(bridge.fdb.list(), next.fdb.list());
        for (port, source, destination, tag) in packets {
            let packet = packet(port, source, destination, tag);
            prop_assert_eq!(bridge.decide(&packet, now), next.decide(&packet, now));
        }
        let [mut one, mut other] = [bridge.tick(now + 200), next.tick(now + 200)];
        one.changed.sort_unstable();
        other.changed.sort_unstable();
        prop_assert_eq!(one, other);
    }
}

#[test]
fn a_tree_goes_on_in_a_successor() {
    let settings = TreeSettings { priority: 4096, ..TreeSettings::default() };
    let make = || {
        let mut bridge = bridge();
        bridge.set_options(BridgeOptions { tree: Some(settings), ..BridgeOptions::default() });
        bridge
    };
    let mut bridge = make();
    (1..4).for_each(|port| drop(bridge.link(port, true)));
    // Ports that hear nobody forward after a while.
    (1..60).for_each(|second| drop(bridge.tick(second * 1_000_000_000)));
    let states: Vec<_> = (1..7).map(|port| bridge.tree_state(port)).collect();
    assert!(states[0].is_some_and(|state| state.forwarding));
    let text = serde_json::to_string(&bridge.state()).unwrap();
    let mut next = make();
    next.restore(serde_json::from_str(&text).unwrap());
    (1..4).for_each(|port| drop(next.link(port, true)));
    assert_eq!((1..7).map(|port| next.tree_state(port)).collect::<Vec<_>>(), states);
    assert_eq!(next.tick(60_500_000_000), bridge.tick(60_500_000_000));
}

#[test]
fn a_bond_goes_on_in_a_successor() {
    use crate::bond::{BondOptions, Mode};
    for mode in [Mode::ActiveBackup, Mode::Lacp, Mode::Balance, Mode::BalanceSlb] {
        let make = || {
            let mut bridge = bridge();
            bridge.add(Port::new(40, "bond")).unwrap();
            let options = BondOptions { mode, fallback: true, ..BondOptions::default() };
            let _ = bridge.set_bond(40, Some((options, vec![1, 2])), 0);
            bridge
        };
        let mut bridge = make();
        // The second one works, since it was there first.
        let _ = (bridge.link(2, true), bridge.tick(5_000_000_000), bridge.link(1, true));
        let _ = bridge.tick(10_000_000_000);
        let text = serde_json::to_string(&bridge.state()).unwrap();
        let mut next = make();
        next.restore(serde_json::from_str(&text).unwrap());
        let told = |bridge: &Bridge| {
            let (_, bond) = bridge.bonds().next().unwrap();
            (bond.senders().to_vec(), bond.state(1), bond.state(2))
        };
        assert_eq!(told(&next), told(&bridge), "{mode:?}");
        assert!(told(&bridge).0.contains(&2), "{mode:?}");
        for second in 11..40 {
            assert_eq!(next.tick(second * 1_000_000_000), bridge.tick(second * 1_000_000_000), "{mode:?}");
        }
    }
}
