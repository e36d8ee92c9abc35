//! Packets that leave by tunnels: their headers, and the tables of the bridge on the way.

use super::*;
use crate::openflow::port::TunnelForm;
use netloom_nf::Shape;
use netloom_nf::tunnel::{Chosen, Outward, TunnelKind, TunnelPort};

/// Bridge 1 with a tunnel at port 9, and bridge 2, whose own interface is its port 1.
fn room() -> Room {
    let mut room = Room::new();
    room.add_bridge(2);
    let form = TunnelForm { remote: Some("192.0.2.9".parse().unwrap()), ..TunnelForm::default() };
    for (bridge, port, form) in [(1, 9, PortForm::Tunnel(form)), (2, 1, PortForm::Internal)] {
        let pipeline = room.pipeline(bridge).unwrap();
        let mut entry = pipeline.port(OfPort(port)).unwrap().clone();
        entry.form = form;
        pipeline.set_port(entry);
        pipeline.set_terminates(true);
    }
    let tunnel = TunnelPort {
        remote: Chosen::Fixed("192.0.2.9".parse().unwrap()),
        key_out: Chosen::Flow,
        tos: Outward::Inherit(0),
        ..TunnelPort::new(TunnelKind::Vxlan(4789))
    };
    let hop = Hop {
        port: 0,
        own: Some(201),
        to_mac: MacAddr::new([2, 0, 0, 0, 0, 9]),
        from_mac: MacAddr::new([2, 0, 0, 0, 0, 1]),
        tag: None,
        from: "192.0.2.1".parse().unwrap(),
    };
    room.tunnels = Tunnels::new([(109, tunnel)], [("192.0.2.9".parse().unwrap(), hop)]);
    room
}

fn underlay(room: &mut Room, flows: &str) {
    for line in flows.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (flow, _) = parse_flow(line, None, &Names::default()).unwrap();
        room.pipeline(2).unwrap().flow_mod(&FlowMod::from(&flow), 0).unwrap();
    }
}

#[test]
fn the_tables_on_the_way_see_the_headers() {
    let mut room = room();
    room.flows("in_port=1 actions=set_field:7->tun_id,output:9");
    underlay(
        &mut room,
        "priority=9,in_port=1,udp,nw_src=192.0.2.1,nw_dst=192.0.2.9,tp_dst=4789,dl_dst=02:00:00:00:00:09 actions=output:4
         priority=1 actions=drop",
    );
    let answer = room.send("in_port=1,tcp,nw_ttl=9,tp_dst=80");
    let [Step::Encapsulate(headers), Step::Output(204)] = answer.program.actions() else {
        panic!("{:?}", answer.program)
    };
    assert_eq!(answer.program.shape(), Shape::Tunnel(204));
    assert_eq!((headers.tunnel(), headers.by()), (109, 201));
    assert!(headers.example(60).ends_with(&[8, 0, 0, 0, 0, 0, 7, 0]), "{headers:?}");
    // What the tables on the way looked at is nothing of the packet's own.
    assert_eq!([Field::TP_DST, Field::IP4_DST, Field::ETH_DST].map(|field| answer.mask.get(field)), [0; 3]);
    assert!(answer.rests.contains(&table_tag(2, 0)));
    let credit = &answer.credit.flows;
    assert_eq!(
        credit.iter().map(|(bridge, _, longer)| (*bridge, *longer)).collect::<Vec<_>>(),
        [(1, 0), (2, 50)]
    );
    // Type of service is the packet's, so that it was looked at.
    assert_ne!(answer.mask.get(Field::IP_TOS), 0);
    let steps = translate::print_trace(&answer.trace, &Names::default());
    assert!(steps.contains("tunneling to 192.0.2.9 via br2"), "{steps}");
}

#[test]
fn a_tag_on_the_way_is_the_bridges_and_what_it_drops_is_lost() {
    let mut room = room();
    room.flows("in_port=1 actions=output:9,output:2");
    underlay(&mut room, "in_port=1 actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:4,output:5");
    let answer = room.send("in_port=1");
    let [Step::Clone(copy), Step::Output(102)] = answer.program.actions() else {
        panic!("{:?}", answer.program)
    };
    let [Step::Encapsulate(_), Step::PushVlan { tci: 5, .. }, Step::Output(204), Step::Output(205)] =
        copy.actions()
    else {
        panic!("{copy:?}")
    };
    underlay(&mut room, "in_port=1 actions=drop");
    assert_eq!(text(&room.send("in_port=1").program), "2");
    // Nobody knows the way: the port's number stays, and the packet is lost where it would leave.
    room.tunnels = Tunnels::default();
    assert!(room.send("in_port=1").program.actions().contains(&Step::Output(109)));
}

#[test]
fn a_tunnel_in_itself_ends() {
    let mut room = room();
    room.flows("in_port=1 actions=output:9");
    let mut entry = room.pipeline(2).unwrap().port(OfPort(9)).unwrap().clone();
    entry.form =
        PortForm::Tunnel(TunnelForm { remote: Some("192.0.2.9".parse().unwrap()), ..TunnelForm::default() });
    entry.port = 109;
    room.pipeline(2).unwrap().set_port(entry);
    underlay(&mut room, "in_port=1 actions=output:9");
    assert!(room.send("in_port=1").problem.is_some());
}

#[test]
fn who_answers_the_system_is_known() {
    let mut room = room();
    let mut entry = room.pipeline(1).unwrap().port(OfPort(8)).unwrap().clone();
    entry.form = PortForm::Internal;
    room.pipeline(1).unwrap().set_port(entry);
    room.flows("actions=output:8");
    room.send("in_port=1,arp,arp_op=1,arp_spa=192.0.2.7,arp_sha=02:00:00:00:00:07");
    assert_eq!(room.neighbours, []);
    let answer = "in_port=1,arp,arp_op=2,arp_spa=192.0.2.7,arp_sha=02:00:00:00:00:07";
    room.ask(&key(answer), false);
    assert_eq!(room.neighbours, [], "who only asks teaches nothing");
    let mask = room.send(answer).mask;
    assert!([Field::IP4_SRC, Field::ARP_SHA].iter().all(|field| mask.get(*field) == field.ones()));
    room.send("in_port=1,icmp6,icmpv6_type=136,icmpv6_code=0,nd_target=fd00::7,nd_tll=02:00:00:00:00:08");
    let mac = |last| MacAddr::new([2, 0, 0, 0, 0, last]);
    assert_eq!(
        room.neighbours,
        [(108, "192.0.2.7".parse().unwrap(), mac(7)), (108, "fd00::7".parse().unwrap(), mac(8))]
    );
}
