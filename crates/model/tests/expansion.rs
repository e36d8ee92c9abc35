//! Short forms, replicas and defaults written out; and what a validated topology tells its readers.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part")]
mod support;

use netloom_model::topology::SysctlValue;
use netloom_model::validated::{Attachment, End, NodeKind, Validated};
use netloom_wire::{InterfaceName, NodeName};
use support::loaded;

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn interface(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn valid(body: &str) -> Validated {
    loaded(&format!("netloom: 1\nname: t\n{body}")).validated
}

fn addresses(topology: &Validated, node: &str, at: &str) -> (Vec<String>, Vec<String>) {
    let found = topology.addressing(&name(node), &interface(at));
    let fixed = found.fixed.iter().map(|net| net.value.to_string()).collect();
    (fixed, found.auto.iter().map(|subnet| subnet.value.to_string()).collect())
}

#[test]
fn short_forms_and_replicas() {
    let topology = valid(
        "networks: { lan: { subnet: 10.0.0.0/24 }, dmz: { subnet: 10.1.0.0/24 } }
endpoints:
  web: { replicas: 3, networks: [lan, dmz] }
  db: { networks: lan }
groups: { all: [web, db] }
",
    );
    let names: Vec<String> = topology.nodes().map(|(name, _, _)| name.to_string()).collect();
    assert_eq!(names, ["db", "web-1", "web-2", "web-3"]);
    let (kind, web) = topology.node(&name("web-2")).unwrap();
    assert_eq!(kind, NodeKind::Endpoint);
    assert!(web.replicas.is_none() && web.networks.is_empty());
    let networks = web
        .interfaces
        .iter()
        .map(|(key, interface)| (key.to_string(), interface.network.as_ref().unwrap().to_string()));
    let networks: Vec<(String, String)> = networks.collect();
    assert_eq!(networks, [("eth0".into(), "lan".into()), ("eth1".into(), "dmz".into())]);
    let members: Vec<String> = topology.members(&name("all")).iter().map(NodeName::to_string).collect();
    assert_eq!(members, ["db", "web-1", "web-2", "web-3"]);
    let (_, span) = topology.index().thing(&name("web-3")).unwrap();
    assert_eq!(topology.origin(span).to_string(), "test.yaml:5:3");
}

#[test]
fn defaults_give_way_to_what_is_said() {
    let topology = valid(
        "defaults:
  mtu: 9000
  sysctls: { net.ipv4.ip_forward: 1, net.ipv4.tcp_sack: 0 }
  offloads: { tx-checksum-ip-generic: false }
  medium: { rate: 1gbit }
networks:
  lan: { subnet: 10.0.0.0/24 }
  small: { subnet: 10.1.0.0/24, mtu: 1400 }
  over: { mode: overlay, vni: 1, vteps: { a: 10.0.0.1 } }
endpoints:
  a:
    interfaces: { eth0: { network: lan, address: 10.0.0.1, offloads: { tx-checksum-ip-generic: true } } }
    sysctls: { net/ipv4/ip_forward: 0 }
  b: {}
links:
  - a:x -- b:x
  - { link: \"small:p -- b:y\", medium: { rate: 1mbit } }
  - { link: \"a:v -- b:v\", kind: vxlan, vni: 5, local: 10.0.0.1, remote: 10.9.0.2 }
  - { on: \"b:t\", kind: tap, mtu: 1500, addresses: [10.9.0.2/24] }
",
    );
    let mtu = |network: &str| topology.network(&name(network)).unwrap().mtu.map(|mtu| mtu.value);
    assert_eq!((mtu("lan"), mtu("small"), mtu("over")), (Some(9000), Some(1400), None));
    let links: Vec<Option<u32>> =
        (0..4).map(|number| topology.link(number).unwrap().mtu.map(|mtu| mtu.value)).collect();
    assert_eq!(
        links,
        [Some(9000), None, None, Some(1500)],
        "tunnels and ports of sized networks follow these"
    );
    let media: Vec<bool> = (0..4).map(|number| topology.link(number).unwrap().medium.is_some()).collect();
    assert_eq!(media, [true, true, false, false], "cables have a medium");
    let (_, a) = topology.node(&name("a")).unwrap();
    assert_eq!(a.sysctls.len(), 2, "one name in two spellings is one sysctl");
    assert_eq!(a.sysctls.get("net/ipv4/ip_forward"), Some(&SysctlValue::Number(0)));
    let offload = |node: &str, at: &str| topology.interface(&name(node), &interface(at)).unwrap().offloads["tx-checksum-ip-generic"];
    assert!(offload("a", "eth0") && !offload("a", "x") && !offload("b", "t"));
}

#[test]
fn who_is_plugged_in_where() {
    let topology = valid(
        "networks:
  lan: { mode: nat, subnet: [10.0.0.0/24, \"fd00::/64\"], uplink: none }
  wan: { subnet: 10.1.0.0/24 }
  over: { mode: overlay, vni: 1, subnet: 10.2.0.0/24, vteps: { v1: 10.1.0.1, v2: 10.1.0.2 } }
endpoints:
  a: { interfaces: { eth0: { network: lan, address: [10.0.0.7, auto] }, lo: { address: 10.9.0.1/32 } } }
  b: { interfaces: { eth0: { address: auto } } }
  v1: { interfaces: { eth0: { network: wan, address: 10.1.0.1 }, eth1: { network: over } } }
  v2: { interfaces: { eth0: { network: wan, address: 10.1.0.2 } } }
  z: { at: v2, networks: over }
links:
  - lan:port -- b:eth0
  - { link: \"a:p -- b:p\", addresses: [10.8.0.1/30, 10.8.0.2/30, \"fd08::1/64\", \"fd08::2/64\"] }
",
    );
    assert_eq!(addresses(&topology, "a", "eth0"), (vec!["10.0.0.7/24".into()], vec!["fd00::/64".into()]));
    assert_eq!(addresses(&topology, "a", "lo"), (vec!["10.9.0.1/32".into()], vec![]));
    assert_eq!(addresses(&topology, "b", "eth0").1, ["10.0.0.0/24", "fd00::/64"]);
    assert_eq!(addresses(&topology, "b", "p").0, ["10.8.0.2/30", "fd08::2/64"]);
    let link = topology.attachment(&name("b"), &interface("eth0"));
    assert_eq!(link, Some(&Attachment::Link { index: 0, end: End::B }));
    assert_eq!(topology.attachment(&name("a"), &interface("lo")), Some(&Attachment::Loopback));
    assert_eq!(topology.segment_of(&name("b"), &interface("eth0")).unwrap().0, &name("lan"));
    let ports: Vec<_> =
        topology.ports(&name("lan")).iter().map(|port| (port.node.clone(), port.link)).collect();
    assert_eq!(ports, [(Some(name("a")), None), (Some(name("b")), Some(0))]);
    let carrier =
        |node: &str| topology.carrier(&name("over"), &name(node)).map(|carrier| carrier.to_string());
    assert_eq!((carrier("v1"), carrier("z"), carrier("a")), (Some("v1".into()), Some("v2".into()), None));
    let peers =
        topology.peers(&["lan".parse().unwrap(), "z".parse().unwrap(), "10.7.0.0/16".parse().unwrap()]);
    assert_eq!((peers.networks.len(), peers.nodes.len(), peers.prefixes.len(), peers.any), (1, 1, 1, false));
    let nodes: Vec<String> =
        topology.nodes_of(&["lan".parse().unwrap()]).iter().map(NodeName::to_string).collect();
    assert_eq!(nodes, ["a", "b"]);
}

#[test]
fn the_schema_says_which_it_is() {
    let schema = netloom_model::load::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Netloom topology");
    assert_eq!(schema["additionalProperties"], false);
}
