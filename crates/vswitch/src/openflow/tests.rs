//! Flows in the language of `ovs-ofctl`, and what becomes of packets.

use super::translate::{Credit, Request, Start, Translation, World, credit, translate};
use super::*;
use crate::decision::Decision;
use crate::port::Port;
use crate::{Bridge, BridgeOptions, Gate, MirrorCopy};
use netloom_nf::tunnel::{Encapsulation, Hop, Tunnels};
use netloom_nf::{Action as Step, Program};
use netloom_proto::openflow::OfError;
use netloom_proto::openflow::text::{Names, parse_actions, parse_flow, parse_packet};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

mod copies;
mod exports;
mod queues;
mod room;
mod tunnels;

pub(crate) use room::Room;

const SECOND: u64 = 1_000_000_000;

impl Room {
    /// Bridge 1 with ports 1 to 9, whose numbers in the data path are 101 to 109.
    pub(crate) fn new() -> Self {
        let mut room = Self { bridges: BTreeMap::new(), tunnels: Tunnels::default(), neighbours: Vec::new() };
        room.add_bridge(1);
        room
    }

    pub(crate) fn add_bridge(&mut self, number: BridgeNumber) {
        let options = PipelineOptions { name: format!("br{number}"), ..PipelineOptions::default() };
        let mut pipeline = Pipeline::new(number, options, 0);
        let mut bridge = Bridge::new(BridgeOptions::default());
        for port in 1..10 {
            let own = number * 100 + u32::from(port);
            pipeline.set_port(OfPortEntry::new(OfPort(port), own, format!("p{port}")));
            bridge.add(Port::new(own, format!("p{port}"))).unwrap();
        }
        self.bridges.insert(number, (pipeline, bridge));
    }

    pub(crate) fn tables(&mut self) -> &mut Pipeline {
        self.pipeline(1).unwrap()
    }

    pub(crate) fn try_flow(&mut self, text: &str) -> Result<(), OfError> {
        let (flow, _) =
            parse_flow(text, None, &Names::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        self.tables().flow_mod(&FlowMod::from(&flow), 0).map_err(|failure| failure.error)
    }

    pub(crate) fn flows(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.try_flow(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    pub(crate) fn ask(&mut self, key: &Key, effects: bool) -> Translation {
        let now = self.tables().now;
        let request =
            Request { bridge: 1, key, in_port: None, start: Start::Tables, effects, trace: true, now };
        translate(self, &request)
    }

    fn send(&mut self, packet: &str) -> Translation {
        self.ask(&key(packet), true)
    }

    /// What becomes of a packet, in short.
    fn way(&mut self, packet: &str) -> String {
        let translation = self.send(packet);
        text(&translation.program)
    }
}

/// The key of a packet in the data path's form.
pub(crate) fn key(packet: &str) -> Key {
    let matching =
        parse_packet(packet, &Names::default()).unwrap_or_else(|error| panic!("{packet}: {error:?}"));
    let (mut key, _) = field::to_key(&matching, &TlvMap::default()).unwrap();
    let port = key.get(Field::IN_PORT);
    key.set(Field::IN_PORT, port + 100);
    if key.get(Field::VLAN_TCI) & 0x1000 != 0 {
        key.set(Field::VLAN_TPID, 0x8100);
        key.set(Field::VLAN_TCI, key.get(Field::VLAN_TCI) & !0x1000);
    }
    key
}

fn text(program: &Program) -> String {
    let steps: Vec<String> = program.actions().iter().map(step).collect();
    if steps.is_empty() { "drop".into() } else { steps.join(",") }
}

fn step(step: &Step) -> String {
    match step {
        Step::Output(port) => format!("{}", port % 100),
        Step::PushVlan { tci, .. } => format!("push_vlan({tci})"),
        Step::PopVlan => "pop_vlan".into(),
        Step::SetVlan(tci) => format!("set_vlan({tci})"),
        Step::Set(rewrite) => {
            let writes: Vec<String> =
                rewrite.writes().map(|write| format!("{}={:#x}", write.field.name(), write.value)).collect();
            format!("set({})", writes.join(","))
        }
        Step::Clone(program) => format!("clone({})", text(program)),
        Step::Punt(punt) => format!("controller(reason={},id={})", punt.reason, punt.controller),
        Step::Recirculate(_) => "recirc".into(),
        Step::Connect(connect) => {
            format!("ct({}zone={})", if connect.commit { "commit," } else { "" }, connect.zone)
        }
        Step::Branch(branch) => {
            format!("longer({}:{}|{})", branch.length, text(&branch.longer), text(&branch.otherwise))
        }
        Step::Hash(_) => "hash".into(),
        Step::Police(meter) => format!("meter({meter})"),
        other => format!("{other:?}"),
    }
}

#[test]
fn tables_resubmits_and_the_mask() {
    let mut room = Room::new();
    room.flows(
        "table=0,in_port=1,tcp actions=load:7->NXM_NX_REG0[],resubmit(,1),output:2
         table=0,priority=1 actions=drop
         table=1,reg0=7,tcp,tp_dst=80 actions=output:3
         table=1,reg0=8 actions=output:4",
    );
    let web = room.send("in_port=1,tcp,nw_src=1.2.3.4,tp_dst=80");
    assert_eq!(text(&web.program), "3,2");
    assert_eq!(web.mask.get(Field::TP_DST), 0xffff);
    assert_eq!((web.mask.get(Field::IP4_SRC), web.mask.get(Field::XREG0)), (0, 0));
    assert_eq!(web.credit.flows.len(), 2);
    assert_eq!(room.way("in_port=1,tcp,tp_dst=81"), "2");
    assert_eq!(room.way("in_port=2,tcp,tp_dst=80"), "drop");
    // Nothing comes back through the port it came by, unless that is said.
    room.flows("in_port=5 actions=output:5,output:in_port,output:6");
    assert_eq!(room.way("in_port=5"), "5,6");
}

#[test]
fn fields_are_written_when_the_packet_leaves() {
    let mut room = Room::new();
    room.flows(
        "in_port=1,ip actions=mod_nw_src:9.9.9.9,output:2,mod_nw_src:1.1.1.1,output:3
         in_port=2 actions=mod_vlan_vid:5,output:1,strip_vlan,output:3
         in_port=3 actions=strip_vlan,output:1
         in_port=4,ip actions=dec_ttl,output:1
         in_port=5,ip actions=clone(mod_nw_dst:4.4.4.4,output:1),output:2
         in_port=6,ip actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],output:1
         in_port=7,ip actions=push:NXM_OF_IP_SRC[],push:NXM_OF_IP_DST[],pop:NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[],output:1",
    );
    assert_eq!(room.way("in_port=1,ip,nw_src=1.1.1.1"), "set(ip_src=0x9090909),2,set(ip_src=0x1010101),3");
    assert_eq!(room.way("in_port=2"), "push_vlan(5),1,pop_vlan,3");
    assert_eq!(room.way("in_port=2,vlan_tci=0x1007"), "set_vlan(5),1,pop_vlan,3");
    assert_eq!(room.way("in_port=3,vlan_tci=0x1007"), "pop_vlan,1");
    assert_eq!(room.way("in_port=3"), "1");
    assert_eq!(room.way("in_port=4,ip,nw_ttl=5"), "set(ip_ttl=0x4),1");
    assert_eq!(room.way("in_port=4,ip,nw_ttl=1"), "controller(reason=2,id=0)");
    assert_eq!(room.way("in_port=5,ip,nw_dst=5.5.5.5"), "set(ip_dst=0x4040404),1,set(ip_dst=0x5050505),2");
    assert_eq!(room.way("in_port=6,ip,nw_src=3.3.3.3"), "set(ip_dst=0x3030303),1");
    assert_eq!(
        room.way("in_port=7,ip,nw_src=3.3.3.3,nw_dst=4.4.4.4"),
        "set(ip_src=0x4040404,ip_dst=0x3030303),1"
    );
}

#[test]
fn instructions_and_the_action_set() {
    let mut room = Room::new();
    room.flows(
        "table=0,ip actions=write_actions(output:2,dec_ttl),write_metadata:5,goto_table:1
         table=1,metadata=5,in_port=1 actions=write_actions(output:3)
         table=1,metadata=5,in_port=2 actions=clear_actions
         table=1,metadata=5,in_port=3 actions=output:9,goto_table:2",
    );
    assert_eq!(room.way("in_port=1,ip,nw_ttl=9"), "set(ip_ttl=0x8),3");
    assert_eq!(room.way("in_port=2,ip,nw_ttl=9"), "drop");
    assert_eq!(room.way("in_port=3,ip,nw_ttl=9"), "9,set(ip_ttl=0x8),2");
    let back = FlowMod {
        table: Some(3),
        actions: [netloom_proto::openflow::Action::GotoTable(3)].into(),
        ..FlowMod::new(Command::Add)
    };
    assert_eq!(room.tables().flow_mod(&back, 0).unwrap_err().error, OfError::OFPBIC_BAD_TABLE_ID);
}

#[test]
fn loops_end() {
    let mut room = Room::new();
    room.flows("actions=resubmit(,0)");
    let deep = room.send("in_port=1");
    assert_eq!(deep.problem, Some(translate::Problem::TooDeep));
    assert_eq!(text(&deep.program), "drop");
    // 2 to the power of 13 look-ups, none deeper than the last.
    for table in 0..14 {
        room.flows(&format!("table={table} actions=resubmit(,{0}),resubmit(,{0})", table + 1));
    }
    assert_eq!(room.send("in_port=1").problem, Some(translate::Problem::TooManyResubmits));
}

#[test]
fn groups_of_all_kinds() {
    let mut room = Room::new();
    let bucket =
        |id, actions: &str| Bucket::new(id, parse_actions(actions, &Names::default()).unwrap().0.into());
    let group = |number, kind, buckets: Vec<Bucket>| GroupMod {
        command: GroupCommand::Add,
        number,
        kind,
        selection: Selection::default(),
        buckets,
        bucket: group::ALL_BUCKETS,
    };
    assert_eq!(room.try_flow("actions=group:1"), Err(OfError::OFPBAC_BAD_OUT_GROUP));
    let all = group(
        1,
        GroupKind::All,
        vec![bucket(0, "output:1"), bucket(1, "mod_vlan_vid:9,output:2"), bucket(2, "output:3")],
    );
    room.tables().group_mod(&all, 0).unwrap();
    assert_eq!(room.tables().group_mod(&all, 0).unwrap_err().error, OfError::OFPGMFC_GROUP_EXISTS);
    let mut first = bucket(0, "output:4");
    first.watch_port = OfPort(4);
    let mut second = bucket(1, "output:5");
    second.watch_port = OfPort(5);
    room.tables().group_mod(&group(2, GroupKind::FastFailover, vec![first, second]), 0).unwrap();
    let select = (0..8).map(|port| bucket(port, &format!("output:{}", port + 1))).collect();
    room.tables().group_mod(&group(3, GroupKind::Select, select), 0).unwrap();
    room.tables().group_mod(&group(4, GroupKind::Indirect, vec![bucket(0, "group:2")]), 0).unwrap();
    room.flows("in_port=7,actions=group:1,output:8\nin_port=8,actions=group:4\nin_port=9,actions=group:3");
    assert_eq!(room.way("in_port=7"), "1,push_vlan(9),2,pop_vlan,3,8");
    assert_eq!(room.way("in_port=8"), "4");
    let mut down = room.tables().port(OfPort(4)).unwrap().clone();
    down.live = false;
    room.tables().set_port(down);
    assert_eq!(room.way("in_port=8"), "5");
    // The data path hashes, and the same hash has the same way.
    assert_eq!(room.way("in_port=9"), "hash,recirc");
    let first = room.send("in_port=9");
    let Step::Recirculate(number) = first.program.actions()[1] else { panic!() };
    let mut ways = std::collections::BTreeSet::new();
    for hash in 1..200_u64 {
        let mut back = key("in_port=9");
        back.set(Field::RECIRCULATION, u64::from(number));
        back.set(Field::DP_HASH, hash.wrapping_mul(0x9e37_79b1) & 0xffff_ffff);
        let way = text(&room.ask(&back, true).program);
        assert_eq!(way, text(&room.ask(&back, true).program));
        ways.insert(way);
    }
    assert!(ways.len() >= 7, "{ways:?}");
    // With the group go its flows.
    let gone = GroupMod { command: GroupCommand::Delete, ..group(1, GroupKind::All, vec![]) };
    room.tables().group_mod(&gone, 0).unwrap();
    assert_eq!(room.way("in_port=7"), "drop");
}

#[test]
fn what_a_bucket_resubmits_to_writes_the_action_set() {
    let mut room = Room::new();
    let actions = parse_actions("resubmit(,1)", &Names::default()).unwrap().0;
    let group = GroupMod {
        command: GroupCommand::Add,
        number: 1,
        kind: GroupKind::All,
        selection: Selection::default(),
        buckets: vec![Bucket::new(0, actions.into())],
        bucket: group::ALL_BUCKETS,
    };
    room.tables().group_mod(&group, 0).unwrap();
    room.flows(
        "table=0 actions=group:1,output:2
         table=1 actions=mod_dl_dst:00:00:00:00:00:09,write_actions(output:3)",
    );
    // The packet is as it was, the set is not.
    assert_eq!(room.way("in_port=1"), "2,3");
}

#[test]
fn a_bundle_is_whole_or_not_at_all() {
    let mut room = Room::new();
    room.flows("priority=5,in_port=1 actions=output:2\npriority=5,in_port=2 actions=output:1");
    let flow =
        |text: &str| Change::Flow(FlowMod::from(&parse_flow(text, None, &Names::default()).unwrap().0));
    let good = [
        flow("delete in_port=1"),
        flow("add priority=5,in_port=1 actions=output:3"),
        flow("modify in_port=2 actions=output:4"),
        flow("add in_port=3 actions=output:5"),
        flow("delete_strict priority=32768,in_port=3"),
    ];
    let mut bad = good.to_vec();
    bad.push(flow("add actions=group:99"));
    let before = room.tables().select(&FlowFilter::default()).unwrap();
    let failure = room.tables().apply(&bad, 1).unwrap_err();
    assert_eq!((failure.index, failure.error), (5, OfError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(room.tables().select(&FlowFilter::default()).unwrap(), before);
    assert_eq!(room.way("in_port=1"), "2");
    assert_eq!(room.tables().table_counts(0).flows, 2);
    room.tables().apply(&good, 2).unwrap();
    assert_eq!(
        (room.way("in_port=1"), room.way("in_port=2"), room.way("in_port=3")),
        ("3".into(), "4".into(), "drop".into())
    );
    assert_eq!(room.tables().table_counts(0).flows, 2);
}

#[test]
fn flows_end_by_time_and_are_told() {
    let mut room = Room::new();
    room.flows(
        "in_port=1,idle_timeout=10,send_flow_rem,cookie=7 actions=output:2
         in_port=2,hard_timeout=5,send_flow_rem actions=output:1
         in_port=3,hard_timeout=5 actions=output:1",
    );
    let first = room.send("in_port=1").credit;
    assert!(room.tables().take_changed().contains(&table_tag(1, 0)));
    room.tables().tick(4 * SECOND);
    assert!(room.tables().take_events().is_empty());
    credit(&mut room, &first, 3, 180, 6 * SECOND);
    room.tables().tick(11 * SECOND);
    let told = |events: Vec<Event>| -> Vec<(u64, Removal, u64)> {
        let removed = events.into_iter().filter_map(|event| match event {
            Event::Removed(removed) => {
                Some((removed.flow.flow.cookie, removed.reason, removed.flow.flow.packets))
            }
            _ => None,
        });
        removed.collect()
    };
    assert_eq!(told(room.tables().take_events()), [(0, Removal::HardTimeout, 0)]);
    assert_eq!(room.tables().table_counts(0).flows, 1);
    room.tables().tick(17 * SECOND);
    assert_eq!(told(room.tables().take_events()), [(7, Removal::IdleTimeout, 3)]);
    // Counts that come late go to the flow that took the place.
    room.flows("in_port=4,cookie=1 actions=output:1");
    let late = room.send("in_port=4").credit;
    let (replacing, _) = parse_flow("modify in_port=4 actions=output:2", None, &Names::default()).unwrap();
    room.tables().flow_mod(&FlowMod::from(&replacing), 18 * SECOND).unwrap();
    credit(&mut room, &late, 5, 500, 18 * SECOND);
    let id = room.tables().select(&FlowFilter::default()).unwrap()[0];
    assert_eq!(room.tables().flow(id).map(|flow| (flow.packets, flow.cookie)), Some((5, 1)));
}

#[test]
fn requests_mean_what_they_say() {
    let mut room = Room::new();
    room.flows(
        "cookie=1,priority=9,tcp,tp_dst=80 actions=output:1
         cookie=2,priority=9,tcp,tp_dst=81 actions=output:2
         cookie=2,priority=8,ip actions=output:2
         cookie=3,table=3,udp actions=output:3",
    );
    assert_eq!(
        room.try_flow("check_overlap,priority=9,tcp,nw_src=1.1.1.1 actions=drop"),
        Err(OfError::OFPFMFC_OVERLAP)
    );
    let count = |room: &mut Room| room.tables().select(&FlowFilter::default()).unwrap().len();
    room.flows("delete cookie=2/-1,out_port=3");
    assert_eq!(count(&mut room), 4);
    room.flows("delete cookie=2/-1,tcp");
    assert_eq!(count(&mut room), 3);
    room.flows("delete_strict priority=7,ip\ndelete table=3,tcp");
    assert_eq!(count(&mut room), 3);
    room.flows("delete_strict priority=8,ip");
    assert_eq!(count(&mut room), 2);
    let settings = TableSettings { limit: Some(2), ..TableSettings::default() };
    room.tables().set_table(0, settings.clone());
    room.flows("in_port=1,idle_timeout=9,importance=3 actions=output:3");
    assert_eq!(room.try_flow("in_port=2 actions=drop"), Err(OfError::OFPFMFC_TABLE_FULL));
    room.tables().set_table(0, TableSettings { overflow: Overflow::Evict, ..settings });
    room.flows("in_port=2 actions=drop");
    assert_eq!(room.way("in_port=1"), "drop");
    assert_eq!(room.tables().table_counts(0).flows, 2);
    room.flows("delete");
    assert_eq!(count(&mut room), 0);
}

#[test]
fn what_packets_teach() {
    let mut room = Room::new();
    room.flows(
        "table=0,priority=1 actions=learn(table=10,idle_timeout=60,cookie=9,delete_learned,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,10)
         table=10,priority=0 actions=flood",
    );
    assert_eq!(room.way("in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"), "2,3,4,5,6,7,8,9");
    assert_eq!(room.way("in_port=2,dl_src=00:00:00:00:00:02,dl_dst=00:00:00:00:00:01"), "1");
    assert_eq!(room.way("in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"), "2");
    assert_eq!(room.tables().table_counts(10).flows, 3);
    let told = format!("{:?}", room.send("in_port=3,dl_src=00:00:00:00:00:03").trace);
    let lesson = "table=10 vlan_tci=0x0000/0x0fff,dl_dst=00:00:00:00:00:03 priority=32768 cookie=0x9 idle=60 actions=output:3";
    assert!(told.contains(lesson), "{told}");
    assert_eq!(room.tables().table_counts(10).flows, 4);
    // Learning the same again changes nothing that answers rest on.
    room.tables().take_changed();
    room.way("in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02");
    assert!(room.tables().take_changed().is_empty());
    // With the teacher goes what was taught.
    room.flows("delete table=0");
    assert_eq!(room.tables().table_counts(10).flows, 1);
}

#[test]
fn connections_are_asked_about_and_the_packet_comes_back() {
    let mut room = Room::new();
    room.flows(
        "table=0,ip,ct_state=-trk actions=load:5->NXM_NX_REG3[],ct(table=1,zone=7),output:9
         table=1,reg3=5,ip,ct_state=+trk+new actions=ct(commit,zone=7,exec(load:3->NXM_NX_CT_MARK[])),output:2
         table=1,reg3=5,ip,ct_state=+trk+est,ct_mark=3 actions=output:3",
    );
    let first = room.send("in_port=1,ip");
    assert_eq!(text(&first.program), "ct(zone=7),recirc,9");
    let Step::Recirculate(number) = first.program.actions()[1] else { panic!() };
    let mut back = key("in_port=1,ip");
    back.set(Field::RECIRCULATION, u64::from(number));
    back.set(Field::CT_STATE, 0x21);
    let new = room.ask(&back, true);
    assert_eq!(text(&new.program), "ct(commit,zone=7),2");
    let Step::Connect(connect) = &new.program.actions()[0] else { panic!() };
    assert_eq!(connect.mark, Some((3, u32::MAX)));
    back.set(Field::CT_STATE, 0x22);
    back.set(Field::CT_MARK, 3);
    assert_eq!(text(&room.ask(&back, true).program), "3");
    // A state that nobody needs is forgotten.
    room.tables().tick(100 * SECOND);
    assert_eq!(room.ask(&back, true).problem, Some(translate::Problem::NoState));
}

#[test]
fn cables_to_other_bridges() {
    let mut room = Room::new();
    room.add_bridge(2);
    let patch = |bridge, port| PortForm::Patch { bridge, port: OfPort(port) };
    let set = |room: &mut Room, bridge, port: u16, form| {
        let pipeline = room.pipeline(bridge).unwrap();
        let mut entry = pipeline.port(OfPort(port)).unwrap().clone();
        entry.form = form;
        pipeline.set_port(entry);
    };
    set(&mut room, 1, 9, patch(2, 9));
    set(&mut room, 2, 9, patch(1, 9));
    room.flows("in_port=1 actions=load:5->NXM_NX_REG0[],mod_vlan_vid:3,output:9,output:2");
    let peer = room.pipeline(2).unwrap();
    let (flow, _) =
        parse_flow("in_port=9,reg0=0,dl_vlan=3 actions=strip_vlan,output:4", None, &Names::default())
            .unwrap();
    peer.flow_mod(&FlowMod::from(&flow), 0).unwrap();
    let answer = room.send("in_port=1");
    assert_eq!(text(&answer.program), "4,push_vlan(3),2");
    assert_eq!(answer.program.actions()[0], Step::Output(204));
    assert!(answer.rests.contains(&table_tag(2, 0)));
    assert_eq!(answer.credit.flows.iter().map(|(bridge, ..)| *bridge).collect::<Vec<_>>(), [1, 2]);
}

/// What a program writes into the key of a packet.
fn written(program: &Program, mut key: Key) -> Key {
    for step in program.actions() {
        if let Step::Set(rewrite) = step {
            for write in rewrite.writes() {
                key.set(write.field, key.get(write.field) & !write.mask | write.value);
            }
        }
    }
    key
}

#[test]
fn a_tunnel_says_nothing_of_the_one_that_the_packet_came_by() {
    let mut room = Room::new();
    for (number, local_by_flow) in [(8, true), (9, false)] {
        let mut entry = room.tables().port(OfPort(number)).unwrap().clone();
        let remote = Some("10.9.9.9".parse().unwrap());
        entry.form =
            PortForm::Tunnel(port::TunnelForm { remote, local_by_flow, ..port::TunnelForm::default() });
        room.tables().set_port(entry);
    }
    room.flows(
        "in_port=1 actions=set_field:7->tun_id,output:9
         in_port=2 actions=set_field:10.0.0.7->tun_src,output:8",
    );
    let came = |port: u16, source: u64, target: u64| {
        let mut key = key(&format!("in_port={port}"));
        let fields = [(Field::TUN_SRC, source), (Field::TUN_DST, target), (Field::TUN_FLAGS, 0xf)];
        for (field, value) in fields.into_iter().chain([(Field::TUN_TTL, 63), (Field::TUN_TOS, 4)]) {
            key.set(field, value);
        }
        key
    };
    for (port, local) in [(1, 0), (2, 0x0a00_0007)] {
        // The second packet takes the way that was found for the first: nobody looked at the ends.
        let found = room.ask(&came(port, 0x0a00_0002, 0x0a00_0001), true);
        assert_eq!(found.mask.get(Field::TUN_DST), 0);
        for other in [came(port, 0x0a00_0002, 0x0a00_0001), came(port, 0xc0a8_0102, 0xc0a8_0101)] {
            let key = written(&found.program, other);
            assert_eq!(key.get(Field::TUN_SRC), local);
            assert_eq!(key.get(Field::TUN_DST), 0x0a09_0909);
            // The port's own; of the flags only that of control packets is a flow's to set.
            let own = [Field::TUN_TTL, Field::TUN_TOS, Field::TUN_FLAGS].map(|field| key.get(field));
            assert_eq!(own, [0, 0, 1]);
        }
    }
}

#[test]
fn a_connection_that_is_not_there_is_not_forgotten() {
    let mut room = Room::new();
    room.flows("actions=ct_clear,output:2");
    assert_eq!(room.way("in_port=1,ip"), "2");
}

#[test]
fn the_ordinary_switch() {
    let mut room = Room::new();
    room.flows("actions=NORMAL");
    assert_eq!(room.way("in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"), "2,3,4,5,6,7,8,9");
    let back = "in_port=2,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01";
    assert_eq!(room.way(back), "1");
    // Who only asks teaches nothing.
    room.ask(&key("in_port=5,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:09"), false);
    assert_eq!(room.way(back), "1");
}

#[test]
fn the_rest_of_a_list_both_ways() {
    let mut room = Room::new();
    room.flows(
        "in_port=1 actions=check_pkt_larger(1500)->NXM_NX_REG0[0],resubmit(,1)
         table=1,reg0=1 actions=output:2
         table=1,reg0=0 actions=output:3",
    );
    assert_eq!(room.way("in_port=1"), "longer(1500:2|3)");
}

#[test]
fn conjunctions() {
    let mut room = Room::new();
    room.flows(
        "ip,nw_src=1.1.1.1 actions=conjunction(5,1/2)
         ip,nw_src=1.1.1.2 actions=conjunction(5,1/2)
         ip,nw_dst=2.2.2.2 actions=conjunction(5,2/2)
         conj_id=5,ip actions=output:7
         priority=1,ip actions=output:8",
    );
    assert_eq!(room.way("in_port=1,ip,nw_src=1.1.1.2,nw_dst=2.2.2.2"), "7");
    assert_eq!(room.way("in_port=1,ip,nw_src=1.1.1.3,nw_dst=2.2.2.2"), "8");
}

#[test]
fn a_controller_resumes() {
    let mut room = Room::new();
    room.flows("in_port=1,ip actions=load:1->NXM_NX_REG1[],controller(pause),mod_nw_ttl:3,resubmit(,4)\ntable=4,reg1=1 actions=output:6");
    let stopped = room.send("in_port=1,ip,nw_ttl=9");
    assert_eq!(text(&stopped.program), "controller(reason=1,id=0)");
    let Step::Punt(punt) = &stopped.program.actions()[0] else { panic!() };
    let state = room.tables().frozen_state(punt.state).unwrap();
    let packet = key("in_port=1,ip,nw_ttl=9");
    let request = Request {
        bridge: 1,
        key: &packet,
        in_port: None,
        start: Start::Resume(state),
        effects: true,
        trace: false,
        now: 0,
    };
    let resumed = translate(&mut room, &request);
    assert_eq!(text(&resumed.program), "set(ip_ttl=0x3),6");
    let _: Credit = resumed.credit;
}

#[test]
fn labels_are_taken_and_what_is_under_them_is_seen_later() {
    let mut room = Room::new();
    room.flows("in_port=1,mpls actions=pop_mpls:0x0800,resubmit(,1)\nin_port=2,ip actions=push_mpls:0x8847,set_field:9->mpls_label,output:3\ntable=1,ip,nw_dst=1.2.3.4 actions=output:5");
    let popped = room.send("in_port=1,mpls,mpls_label=3,mpls_bos=1");
    assert_eq!(text(&popped.program), "PopMpls { ethertype: 2048 },recirc");
    let Step::Recirculate(number) = popped.program.actions()[1] else { panic!() };
    let mut back = key("in_port=1,ip,nw_dst=1.2.3.4");
    back.set(Field::RECIRCULATION, u64::from(number));
    assert_eq!(text(&room.ask(&back, true).program), "5");
    assert!(room.way("in_port=2,ip,nw_ttl=7").starts_with("PushMpls"));
    let _ = Mask::default();
}
