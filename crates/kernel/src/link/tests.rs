//! Our requests as another implementation reads them.

use super::{Settings, Surroundings, configure, create, delete};
use crate::netlink::Messages;
use crate::{address, neighbour, route};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::NeighbourAttribute;
use netlink_packet_route::route::{RouteAttribute, RouteProtocol, RouteType};
use netloom_compile::object::{
    BridgeOptions, Link, LinkKind, LinkRef, Neighbour, NextHop, Route, RouteAction, Space, VxlanOptions,
};

fn read(messages: &Messages, index: usize) -> RouteNetlinkMessage {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(messages.get(index).unwrap()).unwrap();
    match message.payload {
        NetlinkPayload::InnerMessage(inner) => inner,
        other => panic!("{other:?}"),
    }
}

fn new_link(link: &Link, around: Surroundings) -> LinkMessage {
    let mut messages = Messages::new();
    create(&mut messages, &"eth0".parse().unwrap(), link, around);
    match read(&messages, 0) {
        RouteNetlinkMessage::NewLink(message) => message,
        other => panic!("{other:?}"),
    }
}

fn info(message: &LinkMessage) -> &[LinkInfo] {
    let info = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => Some(info),
        _ => None,
    });
    info.unwrap()
}

#[test]
fn a_veth_names_both_namespaces() {
    let peer = LinkRef { space: Space::Host, name: "far".parse().unwrap() };
    let mut link = Link::new(LinkKind::Veth { peer });
    link.mtu = Some(1400);
    link.mac = Some("02:00:00:00:00:01".parse().unwrap());
    let around =
        Surroundings { group: 7, peer_namespace: Some(5), controller: Some(9), ..Surroundings::default() };
    let message = new_link(&link, around);
    for attribute in [
        LinkAttribute::IfName("eth0".to_owned()),
        LinkAttribute::Group(7),
        LinkAttribute::Mtu(1400),
        LinkAttribute::Controller(9),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
    ] {
        assert!(message.attributes.contains(&attribute), "{attribute:?} in {message:?}");
    }
    assert!(info(&message).contains(&LinkInfo::Kind(InfoKind::Veth)));
    let text = format!("{:?}", info(&message));
    for part in ["IfName(\"far\")", "NetNsFd(5)", "Group(7)"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn bridge_and_vxlan_options() {
    let options = BridgeOptions {
        stp: true,
        priority: Some(4096),
        ageing_time: Some(100),
        vlan_filtering: true,
        default_pvid: Some(0),
        ..BridgeOptions::default()
    };
    let message = new_link(&Link::new(LinkKind::Bridge(options)), Surroundings::default());
    let Some(LinkInfo::Data(InfoData::Bridge(data))) = info(&message).last() else { panic!("{message:?}") };
    for option in [
        InfoBridge::Priority(4096),
        InfoBridge::AgeingTime(100),
        InfoBridge::VlanFiltering(true),
        InfoBridge::VlanDefaultPvid(0),
    ] {
        assert!(data.contains(&option), "{option:?} in {data:?}");
    }
    let options = VxlanOptions {
        vni: 100.try_into().unwrap(),
        local: Some("10.0.0.1".parse().unwrap()),
        remote: Some("fd00::2".parse().unwrap()),
        device: Some("u0".parse().unwrap()),
        port: 4789,
        learning: false,
        ttl: Some(3),
    };
    let around = Surroundings { lower: Some(8), ..Surroundings::default() };
    let message = new_link(&Link::new(LinkKind::Vxlan(options)), around);
    let Some(LinkInfo::Data(InfoData::Vxlan(data))) = info(&message).last() else { panic!("{message:?}") };
    for option in [
        InfoVxlan::Id(100),
        InfoVxlan::Port(4789),
        InfoVxlan::Learning(false),
        InfoVxlan::Ttl(3),
        InfoVxlan::Link(8),
        InfoVxlan::Local("10.0.0.1".parse().unwrap()),
        InfoVxlan::Group6("fd00::2".parse().unwrap()),
    ] {
        assert!(data.contains(&option), "{option:?} in {data:?}");
    }
}

#[test]
fn settings_and_deletions() {
    let mut messages = Messages::new();
    let name = "eth0".parse().unwrap();
    configure(&mut messages, &name, Settings::default());
    assert!(messages.is_empty(), "nothing to set, nothing to send");
    let settings =
        Settings { alias: Some("mine"), controller: Some(0), up: Some(false), ..Settings::default() };
    configure(&mut messages, &name, settings);
    delete(&mut messages, &name);
    let RouteNetlinkMessage::SetLink(message) = read(&messages, 0) else { panic!() };
    assert!(message.attributes.contains(&LinkAttribute::IfAlias("mine".to_owned())));
    assert!(message.attributes.contains(&LinkAttribute::Controller(0)));
    assert_eq!(message.header.change_mask.bits(), 1);
    assert!(matches!(read(&messages, 1), RouteNetlinkMessage::DelLink(_)));
}

#[test]
fn addresses_routes_and_neighbours() {
    let mut messages = Messages::new();
    address::create(&mut messages, 3, &"fd00::1/64".parse().unwrap());
    let place = route::Place { table: 1000, destination: "10.0.0.0/8".parse().unwrap(), metric: 5 };
    let hop = |gateway: &str, weight| NextHop {
        gateway: Some(gateway.parse().unwrap()),
        device: Some("eth0".parse().unwrap()),
        weight,
    };
    let forward = Route {
        action: RouteAction::Forward { hops: vec![hop("10.0.0.1", 1), hop("10.0.0.2", 256)] },
        source: Some("10.1.1.1".parse().unwrap()),
        mtu: Some(1300),
    };
    route::create(&mut messages, &place, &forward, false, |_| 3);
    let mac = "02:00:00:00:00:01".parse().unwrap();
    neighbour::create(&mut messages, 3, "10.0.0.9".parse().unwrap(), Neighbour { mac }, false);
    let RouteNetlinkMessage::NewAddress(message) = read(&messages, 0) else { panic!() };
    assert_eq!((message.header.index, message.header.prefix_len), (3, 64));
    assert!(message.attributes.contains(&AddressAttribute::Local("fd00::1".parse().unwrap())));
    let RouteNetlinkMessage::NewRoute(message) = read(&messages, 1) else { panic!() };
    assert_eq!(message.header.kind, RouteType::Unicast);
    assert_eq!(message.header.protocol, RouteProtocol::Other(0x4e));
    assert!(message.attributes.contains(&RouteAttribute::Table(1000)));
    assert!(message.attributes.contains(&RouteAttribute::Priority(5)));
    let hops = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let hops: Vec<_> = hops.unwrap().iter().map(|hop| (hop.hops, hop.interface_index)).collect();
    assert_eq!(hops, [(0, 3), (255, 3)]);
    let RouteNetlinkMessage::NewNeighbour(message) = read(&messages, 2) else { panic!() };
    assert!(message.attributes.contains(&NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1])));
}
