//! Everything that is no link: namespaces, addresses, routes, rules, neighbours, forwarding entries,
//! sysctls, queueing, packet filter, commands.
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::*;
use netloom_compile::object::firewall::Firewall;
use netloom_compile::object::shaper::{Qdisc, Shaper};
use netloom_compile::object::{
    Family, FdbEntry, Key, LinkKind, Mark, Neighbour, NextHop, Operation, Process, Route, RouteAction, Rule,
    RuleAction, Space, Spec, VxlanOptions,
};
use netloom_kernel::KernelError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A node with `eth0` and `eth1` that lead to the host.
fn node_with_links(bed: &Bed<'_>, name: &str) -> Space {
    bed.nodes(&[name]);
    let space = node(name);
    for link in ["eth0", "eth1"] {
        pair(bed, &at(&space, link), &at(&Space::Host, &format!("{name}-{link}")));
    }
    space
}

#[test]
fn namespaces_are_named_marked_and_gone() {
    bed(|bed| {
        let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        bed.nodes(&names);
        bed.nodes(&names);
        let observed = bed.observe(&[]);
        for name in &names {
            let key = Key::Namespace { space: node(name) };
            assert_eq!(observed.objects[&key].mark, Mark::Ours);
        }
        assert_eq!(observed.objects.len(), names.len(), "{observed:?}");
        let key = Key::Namespace { space: node("n3") };
        bed.create(&key, &Spec::Namespace);
        bed.delete(&key, &Spec::Namespace);
        assert!(!bed.rig.netns_dir.join("t.n3").exists());
    });
}

#[test]
fn a_namespace_of_somebody_else_is_left_alone() {
    bed(|bed| {
        let other = Bed::new(bed.rig, "other");
        other.nodes(&["x"]);
        // Somebody puts a foreign namespace under a name of ours.
        let (from, to) = (bed.rig.netns_dir.join("other.x"), bed.rig.netns_dir.join("t.x"));
        std::fs::write(&to, "").unwrap();
        rustix::mount::mount_bind(&from, &to).unwrap();
        let key = Key::Namespace { space: node("x") };
        assert_eq!(bed.observe(&[]).objects[&key].mark, Mark::Foreign);
        let created = bed.execute(&[Operation::Create { key, spec: Spec::Namespace }]);
        assert!(matches!(created, Err(KernelError::Occupied { .. })), "{created:?}");
        // A file with something in it is not the rest of a kill.
        std::fs::write(bed.rig.netns_dir.join("t.y"), "text").unwrap();
        let key = Key::Namespace { space: node("y") };
        let deleted = bed.execute(&[Operation::Delete { key, spec: Spec::Namespace }]);
        assert!(matches!(deleted, Err(KernelError::Occupied { .. })), "{deleted:?}");
        assert!(bed.rig.netns_dir.join("t.y").exists());
    });
}

#[test]
fn what_a_kill_leaves_of_a_namespace_is_used_or_cleaned() {
    bed(|bed| {
        for name in ["a", "b"] {
            std::fs::write(bed.rig.netns_dir.join(format!("t.{name}")), "").unwrap();
        }
        std::fs::write(bed.rig.netns_dir.join("other.a"), "").unwrap();
        assert!(bed.observe(&[]).objects.is_empty());
        bed.nodes(&["a"]);
        bed.is(&Key::Namespace { space: node("a") }, &Spec::Namespace);
        let cleaned = bed.kernel.namespaces().clean().unwrap();
        assert_eq!(cleaned, ["b".parse().unwrap()]);
        assert!(bed.rig.netns_dir.join("other.a").exists());
        bed.is(&Key::Namespace { space: node("a") }, &Spec::Namespace);
    });
}

#[test]
fn nothing_keeps_a_deleted_namespace_alive() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        bed.create(&address_key(&space, "eth0", "10.0.0.1/24"), &Spec::Address);
        bed.observe(&[]);
        bed.execute(&[Operation::Delete { key: Key::Namespace { space }, spec: Spec::Namespace }]).unwrap();
        // The host's end goes when the namespace really ends, which the kernel does in the background.
        let key = link_key(&Space::Host, "a-eth0");
        let began = Instant::now();
        while bed.find(&key, &link(veth(at(&node("a"), "eth0")))).is_some() {
            assert!(began.elapsed() < Duration::from_secs(10), "something holds the namespace");
            std::thread::sleep(Duration::from_millis(2));
        }
    });
}

#[test]
fn addresses_of_both_families() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        let all = [
            "10.0.0.1/24",
            "10.0.0.2/24",
            "10.0.0.3/24",
            "192.0.2.7/32",
            "fd00::1/64",
            "fd00::2/64",
            "fe80::77/64",
        ];
        for address in all {
            bed.create(&address_key(&space, "eth0", address), &Spec::Address);
        }
        if let Some(text) = bed.tool(&space, "ip", &["-j", "address", "show", "dev", "eth0"]) {
            let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
            for address in all {
                let (local, length) = address.split_once('/').unwrap();
                let found =
                    seen[0]["addr_info"].as_array().unwrap().iter().find(|info| info["local"] == local);
                let found = found.unwrap_or_else(|| panic!("{address} in {seen}"));
                assert_eq!(found["prefixlen"].to_string(), length);
                assert_ne!(found["tentative"], true, "{address} can be used at once");
            }
        }
        // The first of a subnet goes without the others.
        bed.delete(&address_key(&space, "eth0", "10.0.0.1/24"), &Spec::Address);
        for address in &all[1..] {
            bed.is(&address_key(&space, "eth0", address), &Spec::Address);
        }
        // Taking the link down takes none away.
        let (key, peer) = (link_key(&space, "eth0"), at(&Space::Host, "a-eth0"));
        let down = link_with(veth(peer.clone()), |link| link.up = false);
        bed.change(&key, &link(veth(peer.clone())), &down);
        bed.change(&key, &down, &link(veth(peer)));
        for address in &all[1..6] {
            bed.is(&address_key(&space, "eth0", address), &Spec::Address);
        }
        // One set by hand is seen as foreign; ours in its place would be refused.
        if bed.tool(&space, "ip", &["address", "add", "10.9.9.9/24", "dev", "eth1"]).is_some() {
            let key = address_key(&space, "eth1", "10.9.9.9/24");
            assert_eq!(bed.find(&key, &Spec::Address).unwrap().mark, Mark::Foreign);
            let error = bed.execute(&[Operation::Create { key, spec: Spec::Address }]).unwrap_err();
            assert!(matches!(error, KernelError::Occupied { .. }), "{error}");
        }
    });
}

#[test]
fn addresses_on_the_hosts_interfaces() {
    bed(|bed| {
        let other = Bed::new(bed.rig, "other");
        if bed.tool(&Space::Host, "ip", &["link", "add", "nic0", "type", "bridge"]).is_none() {
            return netloom_testkit::skip!("ip is not installed");
        }
        bed.put(&link_key(&Space::Host, "br0"), &link(bridge()));
        other.put(&link_key(&Space::Host, "br1"), &link(bridge()));
        let address = |link: &str, text: &str| address_key(&Space::Host, link, text);
        bed.create(&address("br0", "10.0.0.1/24"), &Spec::Address);
        bed.create(&address("nic0", "10.0.1.1/24"), &Spec::Address);
        other.create(&address("br1", "10.0.2.1/24"), &Spec::Address);
        bed.tool(&Space::Host, "ip", &["address", "add", "10.0.3.1/24", "dev", "nic0"]);
        let seen = bed.observe(&[]).objects;
        assert_eq!(seen[&address("br0", "10.0.0.1/24")].mark, Mark::Ours);
        assert_eq!(seen[&address("nic0", "10.0.1.1/24")].mark, Mark::Unmarkable);
        assert!(!seen.contains_key(&address("nic0", "10.0.3.1/24")), "set by hand");
        assert_ne!(seen.get(&address("br1", "10.0.2.1/24")).map(|found| found.mark), Some(Mark::Ours));
    });
}

fn hop(gateway: Option<&str>, device: &str, weight: u16) -> NextHop {
    NextHop {
        gateway: gateway.map(|text| text.parse().unwrap()),
        device: Some(device.parse().unwrap()),
        weight,
    }
}

fn forward(hops: Vec<NextHop>) -> Spec {
    Spec::Route(Route { action: RouteAction::Forward { hops }, source: None, mtu: None })
}

fn route_key(space: &Space, destination: &str, table: u32, metric: u32) -> Key {
    Key::Route { space: space.clone(), table, destination: destination.parse().unwrap(), metric }
}

#[test]
fn routes_of_both_families() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        for address in ["10.0.0.1/24", "fd00::1/64"] {
            bed.put(&address_key(&space, "eth0", address), &Spec::Address);
        }
        for address in ["10.0.1.1/24", "fd01::1/64"] {
            bed.put(&address_key(&space, "eth1", address), &Spec::Address);
        }
        let one = |gateway| forward(vec![hop(Some(gateway), "eth0", 1)]);
        let cases = [
            (route_key(&space, "0.0.0.0/0", 254, 0), one("10.0.0.254"), one("10.0.0.253")),
            (route_key(&space, "::/0", 254, 1024), one("fd00::fe"), one("fd00::fd")),
            (
                route_key(&space, "10.7.0.0/16", 254, 50),
                forward(vec![hop(Some("10.0.0.9"), "eth0", 3), hop(Some("10.0.1.9"), "eth1", 1)]),
                forward(vec![hop(Some("10.0.0.9"), "eth0", 1), hop(Some("10.0.1.9"), "eth1", 256)]),
            ),
            (
                route_key(&space, "fd07::/64", 254, 50),
                forward(vec![hop(Some("fd00::9"), "eth0", 3), hop(Some("fd01::9"), "eth1", 1)]),
                forward(vec![hop(Some("fd00::9"), "eth0", 1), hop(Some("fd01::8"), "eth1", 9)]),
            ),
            (
                route_key(&space, "10.8.0.0/16", 1000, 0),
                forward(vec![hop(None, "eth0", 1)]),
                Spec::Route(Route {
                    action: RouteAction::Forward { hops: vec![hop(Some("10.0.0.9"), "eth0", 1)] },
                    source: Some("10.0.0.1".parse().unwrap()),
                    mtu: Some(1400),
                }),
            ),
            (
                // An IPv4 destination over an IPv6 gateway.
                route_key(&space, "10.9.0.0/16", 254, 0),
                one("fd00::9"),
                one("10.0.0.9"),
            ),
        ];
        for (key, first, second) in &cases {
            bed.create(key, first);
            bed.change(key, first, second);
            bed.change(key, second, first);
        }
        let actions = [RouteAction::Blackhole, RouteAction::Unreachable, RouteAction::Prohibit];
        for (index, action) in actions.into_iter().enumerate() {
            for destination in [format!("10.10.{index}.0/24"), format!("fd10:{index}::/64")] {
                let spec = Spec::Route(Route { action: action.clone(), source: None, mtu: None });
                let metric = if destination.contains("::") { 1024 } else { 0 };
                let key = route_key(&space, &destination, 254, metric);
                bed.create(&key, &spec);
                bed.delete(&key, &spec);
            }
        }
        for (key, first, _) in &cases {
            bed.delete(key, first);
        }
    });
}

#[test]
fn a_foreign_route_is_safe() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        bed.put(&address_key(&space, "eth0", "10.0.0.1/24"), &Spec::Address);
        if bed.tool(&space, "ip", &["route", "add", "10.5.0.0/16", "via", "10.0.0.2"]).is_none() {
            return netloom_testkit::skip!("ip is not installed");
        }
        let key = route_key(&space, "10.5.0.0/16", 254, 0);
        let spec = forward(vec![hop(Some("10.0.0.9"), "eth0", 1)]);
        assert_eq!(bed.find(&key, &spec).unwrap().mark, Mark::Foreign);
        let created = bed.execute(&[Operation::Create { key: key.clone(), spec: spec.clone() }]);
        assert!(matches!(created, Err(KernelError::Occupied { .. })), "{created:?}");
        bed.execute(&[Operation::Delete { key: key.clone(), spec }]).unwrap();
        let theirs = forward(vec![hop(Some("10.0.0.2"), "eth0", 1)]);
        assert_eq!(bed.find(&key, &theirs).unwrap().spec, theirs);
    });
}

#[test]
fn policy_rules() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        let empty = Rule {
            from: None,
            to: None,
            input: None,
            output: None,
            mark: None,
            action: RuleAction::Lookup(100),
        };
        let rules = [
            (Family::V4, Rule { from: Some("10.0.0.0/24".parse().unwrap()), ..empty.clone() }),
            (
                Family::V4,
                Rule {
                    to: Some("10.1.0.0/16".parse().unwrap()),
                    input: Some("eth0".parse().unwrap()),
                    mark: Some((7, 0xff)),
                    action: RuleAction::Lookup(70_000),
                    ..empty.clone()
                },
            ),
            (Family::V4, Rule { action: RuleAction::Prohibit, mark: Some((9, u32::MAX)), ..empty.clone() }),
            (Family::V6, Rule { from: Some("fd00::/64".parse().unwrap()), ..empty.clone() }),
            (
                Family::V6,
                Rule {
                    output: Some("eth1".parse().unwrap()),
                    action: RuleAction::Unreachable,
                    ..empty.clone()
                },
            ),
            (Family::V6, Rule { action: RuleAction::Blackhole, ..empty }),
        ];
        for (priority, (family, rule)) in (1000..).zip(&rules) {
            let key = Key::Rule { space: space.clone(), priority, family: *family };
            bed.create(&key, &Spec::Rule(rule.clone()));
        }
        let seen = bed.observe(&[]);
        let count = seen.objects.keys().filter(|key| matches!(key, Key::Rule { .. })).count();
        assert_eq!(count, rules.len(), "the kernel's own rules are no objects");
        for (priority, (family, rule)) in (1000..).zip(&rules) {
            let key = Key::Rule { space: space.clone(), priority, family: *family };
            bed.delete(&key, &Spec::Rule(rule.clone()));
        }
    });
}

#[test]
fn permanent_neighbours() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        for address in ["10.0.0.9", "fd00::9"] {
            let key = Key::Neighbour {
                space: space.clone(),
                link: "eth0".parse().unwrap(),
                address: address.parse().unwrap(),
            };
            let with = |mac: &str| Spec::Neighbour(Neighbour { mac: mac.parse().unwrap() });
            bed.create(&key, &with("02:00:00:00:00:01"));
            bed.change(&key, &with("02:00:00:00:00:01"), &with("02:00:00:00:00:02"));
            bed.delete(&key, &with("02:00:00:00:00:02"));
        }
    });
}

#[test]
fn forwarding_entries_of_ports_and_tunnels() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let space = node("a");
        bed.put(&link_key(&space, "br0"), &link(bridge()));
        let port = link_with(veth(at(&space, "x0")), |link| link.controller = Some("br0".parse().unwrap()));
        bed.put(&link_key(&space, "p0"), &port);
        let vxlan = LinkKind::Vxlan(VxlanOptions {
            vni: 5.try_into().unwrap(),
            local: None,
            remote: Some("10.0.1.2".parse().unwrap()),
            device: None,
            port: 4789,
            learning: false,
            ttl: None,
        });
        bed.put(&link_key(&space, "vx0"), &link(vxlan));
        // Neither the ports' own addresses nor the tunnel's default remote are anybody's wish.
        let entries = |bed: &Bed<'_>| {
            bed.observe(&[])
                .objects
                .into_keys()
                .filter(|key| matches!(key, Key::FdbEntry { .. }))
                .collect::<Vec<_>>()
        };
        assert_eq!(entries(bed), []);
        let entry = |link: &str, mac: &str, remote: Option<&str>| Key::FdbEntry {
            space: space.clone(),
            link: link.parse().unwrap(),
            mac: mac.parse().unwrap(),
            vlan: None,
            remote: remote.map(|text| text.parse().unwrap()),
        };
        let kept = Spec::FdbEntry(FdbEntry { permanent: true });
        let fixed = Spec::FdbEntry(FdbEntry { permanent: false });
        let keys = [
            entry("p0", "02:00:00:00:00:11", None),
            entry("vx0", "02:00:00:00:00:12", Some("10.0.1.3")),
            entry("vx0", "00:00:00:00:00:00", Some("10.0.1.4")),
            entry("vx0", "00:00:00:00:00:00", Some("10.0.1.5")),
        ];
        for key in &keys {
            bed.create(key, &fixed);
        }
        bed.change(&keys[0], &fixed, &kept);
        bed.change(&keys[1], &fixed, &kept);
        assert_eq!(entries(bed).len(), keys.len());
        for key in &keys {
            bed.delete(key, &fixed);
        }
    });
}

#[test]
fn sysctls_go_back_to_what_they_were() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        for (path, value, other) in [
            ("net/ipv4/ip_forward", "1", "0"),
            ("net/ipv4/conf/eth0/rp_filter", "2", "1"),
            ("net/ipv6/conf/all/forwarding", "1", "0"),
            ("net/ipv4/ip_local_port_range", "20000 30000", "1024 2048"),
        ] {
            let key = Key::Sysctl { space: space.clone(), path: path.into() };
            let (one, two) = (Spec::Sysctl { value: value.into() }, Spec::Sysctl { value: other.into() });
            let before = bed.find(&key, &one).unwrap().spec;
            bed.create(&key, &one);
            bed.change(&key, &one, &two);
            bed.change(&key, &two, &one);
            bed.execute(&[Operation::Delete { key: key.clone(), spec: one.clone() }]).unwrap();
            assert_eq!(bed.find(&key, &one).unwrap().spec, before, "{path}");
        }
        let bad = Operation::Create {
            key: Key::Sysctl { space: space.clone(), path: "net/../kernel/hostname".into() },
            spec: Spec::Sysctl { value: "x".into() },
        };
        assert!(bed.execute(&[bad]).is_err());
    });
}

#[test]
fn queueing_and_packet_filter() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        let key = Key::Shaper { space: space.clone(), link: "eth0".parse().unwrap() };
        let fifo = |limit| {
            Spec::Shaper(Box::new(Shaper { root: Some(Qdisc::Pfifo { limit }), ..Shaper::default() }))
        };
        bed.create(&key, &fifo(Some(100)));
        bed.change(&key, &fifo(Some(100)), &fifo(Some(200)));
        bed.delete(&key, &fifo(Some(200)));
        for space in [space, Space::Host] {
            let key = Key::Firewall { space };
            let spec = Spec::Firewall(Box::<Firewall>::default());
            if let Err(error) = bed.execute(&[Operation::Create { key: key.clone(), spec: spec.clone() }]) {
                return netloom_testkit::skip!("{error}");
            }
            bed.create(&key, &spec);
            bed.delete(&key, &spec);
        }
    });
}

#[test]
fn commands_run_and_end() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let key = Key::Process { space: node("a"), name: "sleeper".into() };
        let process = |seconds: &str| {
            Spec::Process(Process {
                command: vec!["sleep".to_owned(), seconds.to_owned()],
                environment: BTreeMap::new(),
                directory: None,
            })
        };
        bed.create(&key, &process("1000"));
        assert!(bed.observe(&[]).objects.contains_key(&key));
        let missing = Operation::Create {
            key: Key::Process { space: node("b"), name: "x".into() },
            spec: process("1"),
        };
        assert!(matches!(bed.execute(&[missing]), Err(KernelError::Absent { .. })));
        bed.delete(&key, &process("1000"));
    });
}

#[test]
fn a_topology_that_is_gone_can_be_deleted_again() {
    bed(|bed| {
        let space = node_with_links(bed, "a");
        let address = address_key(&space, "eth0", "10.0.0.1/24");
        bed.put(&address, &Spec::Address);
        let namespace =
            Operation::Delete { key: Key::Namespace { space: space.clone() }, spec: Spec::Namespace };
        bed.execute(std::slice::from_ref(&namespace)).unwrap();
        let route = forward(vec![hop(Some("10.0.0.9"), "eth0", 1)]);
        let all = [
            Operation::Delete { key: address.clone(), spec: Spec::Address },
            Operation::Delete { key: route_key(&space, "0.0.0.0/0", 254, 0), spec: route },
            Operation::Delete { key: link_key(&space, "eth0"), spec: link(veth(at(&Space::Host, "a-eth0"))) },
            Operation::Delete {
                key: Key::Firewall { space: space.clone() },
                spec: Spec::Firewall(Box::default()),
            },
            Operation::Delete {
                key: Key::Sysctl { space: space.clone(), path: "net/ipv4/ip_forward".into() },
                spec: Spec::Sysctl { value: "1".into() },
            },
            namespace,
        ];
        bed.execute(&all).unwrap();
        let error = bed.execute(&[Operation::Create { key: address, spec: Spec::Address }]).unwrap_err();
        assert!(matches!(error, KernelError::Absent { .. }), "{error}");
    });
}
