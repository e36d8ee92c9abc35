//! Mirrors, packets from nowhere, and what is undone behind copies.

use super::*;
use crate::{Copies, Mirror, NOBODY, Vlan};
use netloom_proto::openflow::Action;

fn mirrored(mirror: Mirror) -> Room {
    let mut room = Room::new();
    let (_, bridge) = room.bridges.get_mut(&1).unwrap();
    bridge.set_mirror("m".to_owned(), Some(mirror));
    room
}

/// The packet of a program's only recirculation, as it comes back.
fn back(program: &Program, packet: &str) -> Key {
    let number = program.actions().iter().find_map(|step| match step {
        Step::Recirculate(number) => Some(*number),
        _ => None,
    });
    let mut key = key(packet);
    key.set(Field::RECIRCULATION, u64::from(number.unwrap()));
    key
}

#[test]
fn mirrors_copy_what_tables_send_and_once() {
    let all = Mirror { all: true, ..Mirror::new(Copies::Port(103)) };
    let mut room = mirrored(all.clone());
    room.flows(
        "in_port=1 actions=output:2,output:4
         in_port=2 actions=mod_vlan_vid:17,output:1
         in_port=5 actions=output:2,debug_recirc,output:4
         in_port=6 actions=drop",
    );
    // As it came, before anything else.
    assert_eq!(room.way("in_port=1"), "3,2,4");
    assert_eq!(room.way("in_port=2"), "3,push_vlan(17),1");
    assert_eq!(room.way("in_port=6"), "3");
    // What comes in where copies go out is nobody's.
    assert_eq!(room.way("in_port=3"), "drop");
    let first = room.send("in_port=5");
    assert_eq!(text(&first.program), "3,2,recirc");
    let second = room.ask(&back(&first.program, "in_port=5"), true);
    assert_eq!(text(&second.program), "4");

    let (_, bridge) = room.bridges.get_mut(&1).unwrap();
    bridge.set_mirror("m".to_owned(), Some(Mirror { most: Some(100), ..all }));
    assert_eq!(room.way("in_port=1"), "Truncate(100),3,2,4");
}

#[test]
fn mirrors_select_by_port_and_vlan() {
    let mut room = mirrored(Mirror { to: [102].into(), ..Mirror::new(Copies::Port(103)) });
    room.flows("in_port=1 actions=output:2\nin_port=2 actions=output:1");
    assert_eq!(room.way("in_port=1"), "2,3");
    assert_eq!(room.way("in_port=2"), "1");
    let mut vlans = crate::VlanSet::default();
    vlans.add(11);
    let mut room = mirrored(Mirror { all: true, vlans: Some(vlans), ..Mirror::new(Copies::Port(103)) });
    room.flows("in_port=1 actions=output:2");
    assert_eq!(room.way("in_port=1"), "2");
    assert_eq!(room.way("in_port=1,dl_vlan=10"), "2");
    let answer = room.send("in_port=1,dl_vlan=11");
    assert_eq!(text(&answer.program), "3,2");
    assert_eq!(answer.mask.get(Field::VLAN_TCI) & 0xfff, 0xfff);
    // Into a VLAN: to all who carry it, with its tag.
    let mut room = mirrored(Mirror { all: true, ..Mirror::new(Copies::Vlan(12)) });
    let (_, bridge) = room.bridges.get_mut(&1).unwrap();
    for port in 103..110 {
        bridge.set(Port { vlan: Vlan::Access(9), ..Port::new(port, format!("p{}", port - 100)) }).unwrap();
    }
    room.flows("in_port=1 actions=output:2");
    assert_eq!(room.way("in_port=1"), "push_vlan(12),1,2,pop_vlan,2");
}

#[test]
fn the_ordinary_switch_of_tables_mirrors_too() {
    let mut room = mirrored(Mirror { from: [101].into(), ..Mirror::new(Copies::Port(109)) });
    room.flows("in_port=1 actions=NORMAL\nin_port=2 actions=NORMAL");
    assert_eq!(room.way("in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"), "9,2,3,4,5,6,7,8");
    assert_eq!(room.way("in_port=2,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01"), "1");
}

#[test]
fn packets_of_controllers_are_switched_and_come_back() {
    let mut room = Room::new();
    room.flows("actions=NORMAL\ntable=1,ip actions=ct(commit),NORMAL\ntable=2,ip actions=ct(table=1)");
    let mut packet = key("in_port=1,ip,dl_src=02:00:00:00:00:01");
    packet.set(Field::IN_PORT, u64::from(NOBODY));
    let everywhere = "1,2,3,4,5,6,7,8,9";
    assert_eq!(text(&room.ask(&packet, false).program), everywhere);
    let (actions, _) = parse_actions("resubmit(,2)", &Names::default()).unwrap();
    let request = Request {
        bridge: 1,
        key: &packet,
        in_port: Some(OfPort::CONTROLLER),
        start: Start::Actions(actions.into()),
        effects: true,
        trace: false,
        now: 0,
    };
    let first = translate(&mut room, &request);
    let mut again = back(&first.program, "in_port=1,ip,dl_src=02:00:00:00:00:01");
    again.set(Field::IN_PORT, u64::from(NOBODY));
    let second = room.ask(&again, true);
    assert!(text(&second.program).ends_with(everywhere), "{}", text(&second.program));
    // Nobody is learned where nobody is.
    let (_, bridge) = room.bridges.get_mut(&1).unwrap();
    assert!(bridge.fdb.is_empty());
}

#[test]
fn numbers_of_states_tell_their_bridge() {
    for bridge in 1..4096 {
        let mut room = Room::default();
        if bridge % 64 != 1 {
            continue;
        }
        room.add_bridge(bridge);
        let (flow, _) = parse_flow("ip actions=ct(table=1)", None, &Names::default()).unwrap();
        room.pipeline(bridge).unwrap().flow_mod(&FlowMod::from(&flow), 0).unwrap();
        let mut packet = key("in_port=1,ip");
        packet.set(Field::IN_PORT, u64::from(bridge * 100 + 1));
        let request = Request {
            bridge,
            key: &packet,
            in_port: None,
            start: Start::Tables,
            effects: false,
            trace: false,
            now: 0,
        };
        let program = translate(&mut room, &request).program;
        let number = back(&program, "in_port=1,ip").get(Field::RECIRCULATION) as u32;
        assert_eq!(bridge_of_state(number), bridge);
        assert!(bridge > 1 || number == 1, "the first number is 1, as in Open vSwitch");
    }
}

#[test]
fn what_can_be_undone_needs_no_copy() {
    let mut room = Room::new();
    room.add_bridge(2);
    for (bridge, other) in [(1, 2), (2, 1)] {
        let pipeline = room.pipeline(bridge).unwrap();
        let mut entry = pipeline.port(OfPort(9)).unwrap().clone();
        entry.form = PortForm::Patch { bridge: other, port: OfPort(9) };
        pipeline.set_port(entry);
    }
    let mut peer = |text: &str| {
        let (flow, _) = parse_flow(text, None, &Names::default()).unwrap();
        room.pipeline(2).unwrap().flow_mod(&FlowMod::from(&flow), 0).unwrap();
    };
    peer("in_port=9,udp actions=mod_nw_ttl:5,output:4");
    peer("in_port=9,tcp actions=push_mpls:0x8847,output:4");
    room.flows("in_port=1,ip actions=output:9,output:2\nin_port=2,ip actions=output:9");
    let packet = |port, kind| format!("in_port={port},{kind},nw_ttl=9");
    assert_eq!(room.way(&packet(1, "udp")), "set(ip_ttl=0x5),4,set(ip_ttl=0x9),2");
    // Headers that were pushed are not taken off again: a copy has them.
    let copied = room.send(&packet(1, "tcp"));
    let [Step::Clone(copy), Step::Output(102)] = copied.program.actions() else {
        panic!("{:?}", copied.program.actions());
    };
    assert!(matches!(copy.actions(), [Step::PushMpls { .. }, Step::Output(204)]));
    // Nothing comes behind it.
    let last = room.send(&packet(2, "tcp"));
    assert!(matches!(last.program.actions(), [Step::PushMpls { .. }, Step::Output(204)]));
}

#[test]
fn a_label_that_was_just_pushed_is_pushed_as_it_is_to_be() {
    let mut room = Room::new();
    room.flows("in_port=1,ip actions=push_mpls:0x8847,set_field:10->mpls_label,output:2");
    let program = room.send("in_port=1,ip,nw_ttl=64").program;
    let [Step::PushMpls { entry, .. }, Step::Output(102)] = program.actions() else {
        panic!("{:?}", program.actions());
    };
    assert_eq!((entry >> 12, entry & 0xff, entry >> 8 & 1), (10, 64, 1));
}

#[test]
fn a_table_miss_flow_says_so() {
    let mut room = Room::new();
    room.flows("priority=0 actions=CONTROLLER:65535\npriority=0,ip actions=CONTROLLER:65535");
    let reason = |translation: Translation| match translation.program.actions() {
        [Step::Punt(punt)] => punt.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(room.send("in_port=1,arp")), translate::REASON_MISS_FLOW);
    let mut room = Room::new();
    room.flows("priority=0,ip actions=CONTROLLER:65535");
    assert_eq!(reason(room.send("in_port=1,ip")), 1);
}

#[test]
fn a_group_looks_at_as_many_bits_of_the_hash_as_it_has_values() {
    let mut room = Room::new();
    let bucket = |id, port| Bucket {
        weight: 1,
        ..Bucket::new(id, std::sync::Arc::new([Action::Output { port: OfPort(port), max_len: 0 }]))
    };
    let request = GroupMod {
        command: GroupCommand::Add,
        number: 7,
        kind: GroupKind::Select,
        selection: Selection::default(),
        buckets: vec![bucket(0, 5), bucket(1, 6)],
        bucket: group::ALL_BUCKETS,
    };
    room.tables().group_mod(&request, 0).unwrap();
    room.flows("in_port=1 actions=group:7");
    let first = room.send("in_port=1,ip");
    let mut counts = BTreeMap::new();
    for hash in 1..=16_u64 {
        let mut again = back(&first.program, "in_port=1,ip");
        again.set(Field::DP_HASH, 0x1230 + hash);
        let answer = room.ask(&again, false);
        assert_eq!(answer.mask.get(Field::DP_HASH), 0xf);
        *counts.entry(text(&answer.program)).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("5".to_owned(), 8), ("6".to_owned(), 8)]));
    // The bucket that does not live leaves its values to the other.
    let mut entry = room.tables().port(OfPort(6)).unwrap().clone();
    entry.live = false;
    room.tables().set_port(entry);
    let request = GroupMod {
        command: GroupCommand::Modify,
        buckets: vec![bucket(0, 5), Bucket { watch_port: OfPort(6), ..bucket(1, 6) }],
        ..request
    };
    room.tables().group_mod(&request, 0).unwrap();
    for hash in 1..=16_u64 {
        let mut again = back(&first.program, "in_port=1,ip");
        again.set(Field::DP_HASH, hash);
        assert_eq!(text(&room.ask(&again, false).program), "5");
    }
}

#[test]
fn a_table_that_may_have_fewer_flows_loses_those_that_end_first() {
    let mut room = Room::new();
    for (port, seconds) in [(1, 30), (2, 10), (3, 20)] {
        room.flows(&format!("idle_timeout={seconds},in_port={port} actions=drop"));
    }
    room.flows("in_port=4 actions=drop");
    let settings = TableSettings { limit: Some(2), overflow: Overflow::Evict, ..TableSettings::default() };
    room.tables().set_table(0, settings);
    assert_eq!(room.tables().table_counts(0).flows, 2);
    // One without a timeout stays, and the one that would have lasted longest.
    let flows = room.tables().select(&FlowFilter::default()).unwrap();
    let mut ports: Vec<u128> = flows
        .into_iter()
        .filter_map(|id| room.tables().view(id)?.matching.get(netloom_proto::openflow::FieldId::IN_PORT))
        .map(|(value, _)| value.to_u128())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 4]);
}

#[test]
fn a_flow_that_ceases_to_send_to_a_port_is_told_with_what_it_did() {
    let mut room = Room::new();
    room.tables().set_monitored(true);
    room.flows("in_port=1 actions=output:2");
    room.flows("in_port=1 actions=output:3");
    let before: Vec<bool> = room
        .tables()
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Flow { before, .. } => {
                Some(before.is_some_and(|actions| Flow::actions_send_to(&actions, OfPort(2))))
            }
            _ => None,
        })
        .collect();
    assert_eq!(before, [false, true]);
}
