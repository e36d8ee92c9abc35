//! Plans for small networks, read line by line, and the time for a large one.

use super::*;
use netloom_compile::object::{
    BridgeOptions, Link, LinkKind, LinkRef, Mark, NextHop, Object, ObservedObject, Process, Route,
    RouteAction, Space, WireguardOptions,
};
use std::time::Instant;

fn space(name: &str) -> Space {
    if name == "host" { Space::Host } else { Space::Node(name.parse().unwrap()) }
}

fn link_key(at: &str, name: &str) -> Key {
    Key::Link { space: space(at), name: name.parse().unwrap() }
}

fn address_key(at: &str, link: &str, address: &str) -> Key {
    Key::Address { space: space(at), link: link.parse().unwrap(), address: address.parse().unwrap() }
}

fn route_key(at: &str, destination: &str) -> Key {
    Key::Route { space: space(at), table: 254, destination: destination.parse().unwrap(), metric: 0 }
}

fn via(device: &str, gateway: Option<&str>) -> Spec {
    let gateway = gateway.map(|gateway| gateway.parse().unwrap());
    let hops = vec![NextHop { gateway, device: Some(device.parse().unwrap()), weight: 1 }];
    Spec::Route(Route { action: RouteAction::Forward { hops }, source: None, mtu: None })
}

fn link(kind: LinkKind) -> Spec {
    Spec::Link(Box::new(Link::new(kind)))
}

fn port(kind: LinkKind, controller: &str) -> Spec {
    Spec::Link(Box::new(Link { controller: Some(controller.parse().unwrap()), ..Link::new(kind) }))
}

fn veth(at: &str, name: &str) -> LinkKind {
    LinkKind::Veth { peer: LinkRef { space: space(at), name: name.parse().unwrap() } }
}

fn bridge() -> LinkKind {
    LinkKind::Bridge(BridgeOptions::default())
}

fn desired(entries: Vec<(Key, Spec)>) -> Desired {
    let mut desired = Desired::new("lab".parse().unwrap());
    for (number, (key, spec)) in entries.into_iter().enumerate() {
        let origin = Origin { file: "lab.yaml".into(), line: number as u32 + 1, column: 1 };
        let owner = Owner { topology: "lab".parse().unwrap(), part: "part".into() };
        let object = Object { key: key.clone(), spec, owner, origin, reason: "is described".into() };
        desired.objects.insert(key, object);
    }
    desired
}

/// The system after the table was applied.
fn real(desired: &Desired) -> Observed {
    let entry = |(key, object): (&Key, &Object)| {
        let mark = if matches!(key, Key::Sysctl { .. }) { Mark::Unmarkable } else { Mark::Ours };
        (key.clone(), ObservedObject { spec: object.spec.clone(), mark })
    };
    Observed { objects: desired.objects.iter().map(entry).collect() }
}

/// A router `r` and a host `h` on a bridge of the host.
fn small() -> Vec<(Key, Spec)> {
    vec![
        (Key::Namespace { space: space("h") }, Spec::Namespace),
        (Key::Namespace { space: space("r") }, Spec::Namespace),
        (
            Key::Sysctl { space: space("r"), path: "net/ipv4/ip_forward".into() },
            Spec::Sysctl { value: "1".into() },
        ),
        (link_key("host", "br"), link(bridge())),
        (link_key("host", "h"), port(veth("h", "eth0"), "br")),
        (link_key("h", "eth0"), link(veth("host", "h"))),
        (link_key("host", "r"), port(veth("r", "eth0"), "br")),
        (link_key("r", "eth0"), link(veth("host", "r"))),
        (address_key("h", "eth0", "10.0.0.2/24"), Spec::Address),
        (address_key("r", "eth0", "10.0.0.1/24"), Spec::Address),
        (route_key("h", "0.0.0.0/0"), via("eth0", Some("10.0.0.1"))),
        (
            Key::Process { space: space("h"), name: "web".into() },
            Spec::Process(Process { command: vec!["true".into()], environment: [].into(), directory: None }),
        ),
    ]
}

fn plan(observed: &Observed, wanted: &Desired, last: Option<&Desired>) -> Plan {
    let plan = Plan::between(observed, wanted, &Memory::of(last)).unwrap();
    for step in &plan.steps {
        assert!(step.needs.iter().all(|need| *need < step.id), "{step:?} needs a later step");
    }
    plan
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.changes().map(|c| format!("{} {} {}: {}", c.sign(), c.key().kind(), c.key(), c.reason)).collect()
}

#[test]
fn a_fresh_network_is_made_from_the_ground_up() {
    let wanted = desired(small());
    let plan = plan(&Observed::default(), &wanted, None);
    assert_eq!(plan.counts(), Counts { add: 12, ..Counts::default() });
    insta::assert_snapshot!(plan.to_string(), @r"
+ namespace h                   new: is described  lab.yaml:1
+ namespace r                   new: is described  lab.yaml:2
+ sysctl r net/ipv4/ip_forward  new: is described  lab.yaml:3
+ link host:br                  new: is described  lab.yaml:4
+ link host:h                   new: is described  lab.yaml:5
+ link h:eth0                   new: is described  lab.yaml:6
+ link host:r                   new: is described  lab.yaml:7
+ link r:eth0                   new: is described  lab.yaml:8
+ address h:eth0 10.0.0.2/24    new: is described  lab.yaml:9
+ address r:eth0 10.0.0.1/24    new: is described  lab.yaml:10
+ route h default               new: is described  lab.yaml:11
+ process h web                 new: is described  lab.yaml:12
12 to make, 0 to change, 0 to remove
");
}

#[test]
fn what_stands_needs_nothing() {
    let wanted = desired(small());
    assert!(plan(&real(&wanted), &wanted, Some(&wanted)).is_empty());
}

#[test]
fn all_of_it_goes_with_its_namespaces() {
    let last = desired(small());
    let plan = plan(&real(&last), &desired(Vec::new()), Some(&last));
    insta::assert_snapshot!(lines(&plan).join("\n"), @r"
- process h web: no longer described
- link host:br: no longer described
- link host:h: no longer described
- link h:eth0: no longer described
- link host:r: no longer described
- link r:eth0: no longer described
- namespace h: no longer described
- namespace r: no longer described
");
    // Both far ends, their addresses, and the route.
    assert_eq!(plan.counts().taken, 3);
}

#[test]
fn a_bridge_made_anew_takes_its_ports_back() {
    let last = desired(small());
    let mut observed = real(&last);
    observed.objects.remove(&link_key("host", "br"));
    for name in ["h", "r"] {
        let object = observed.objects.get_mut(&link_key("host", name)).unwrap();
        let Spec::Link(link) = &mut object.spec else { panic!() };
        link.controller = None;
    }
    let plan = plan(&observed, &last, Some(&last));
    assert!(plan.has_drift());
    insta::assert_snapshot!(lines(&plan).join("\n"), @r"
+ link host:br: removed by hand
~ link host:h: changed by hand: controller none -> br
~ link host:r: changed by hand: controller none -> br
");
}

#[test]
fn a_new_address_renews_the_route_that_it_carries() {
    let last = desired(small());
    let mut entries = small();
    entries.retain(|(key, _)| *key != address_key("h", "eth0", "10.0.0.2/24"));
    entries.push((address_key("h", "eth0", "10.0.0.9/24"), Spec::Address));
    let plan = plan(&real(&last), &desired(entries), Some(&last));
    insta::assert_snapshot!(lines(&plan).join("\n"), @r"
- route h default: lost with address h:eth0 10.0.0.2/24
- address h:eth0 10.0.0.2/24: no longer described
+ address h:eth0 10.0.0.9/24: new: is described
+ route h default: lost with address h:eth0 10.0.0.2/24
");
}

#[test]
fn strangers_are_an_error_and_all_are_named() {
    let wanted = desired(small());
    let mut observed = Observed::default();
    for key in [link_key("host", "br"), link_key("host", "r")] {
        let spec = wanted.objects[&key].spec.clone();
        observed.objects.insert(key, ObservedObject { spec, mark: Mark::Foreign });
    }
    let error = Plan::between(&observed, &wanted, &Memory::default()).unwrap_err();
    insta::assert_snapshot!(error, @r"link host:br (lab.yaml:4:1), link host:r (lab.yaml:7:1) exist and were not made by this topology; remove each of them, or choose another name");
    // But an interrupted run that was making them may have left them without a mark.
    let begun = observed.objects.keys().cloned().collect();
    let memory = Memory { begun, interrupted: vec![&wanted], ..Memory::default() };
    assert!(Plan::between(&observed, &wanted, &memory).is_ok());
}

#[test]
fn a_sysctl_goes_back_to_its_first_value() {
    let key = Key::Sysctl { space: Space::Host, path: "net/ipv4/ip_forward".into() };
    let value = |value: &str| Spec::Sysctl { value: value.into() };
    let wanted = desired(vec![(key.clone(), value("1"))]);
    let mut observed = real(&wanted);
    observed.objects.get_mut(&key).unwrap().spec = value("0");
    let first = plan(&observed, &wanted, None);
    assert_eq!(first.remembers, [(key.clone(), value("0"))]);
    let originals = Originals(first.remembers.into_iter().collect());
    let memory = Memory { originals: Some(&originals), ..Memory::of(Some(&wanted)) };
    let back = Plan::between(&real(&wanted), &desired(Vec::new()), &memory).unwrap();
    assert_eq!(lines(&back), ["~ sysctl host net/ipv4/ip_forward: no longer described: value 1 -> 0"]);
    // What nobody remembers is left alone.
    assert!(plan(&real(&wanted), &desired(Vec::new()), None).is_empty());
}

#[test]
fn an_mtu_that_is_no_longer_described_becomes_the_usual_one() {
    let key = link_key("host", "d");
    let with = |mtu| Spec::Link(Box::new(Link { mtu, ..Link::new(LinkKind::Dummy) }));
    let last = desired(vec![(key.clone(), with(Some(9000)))]);
    let wanted = desired(vec![(key, with(None))]);
    let plan = plan(&real(&last), &wanted, Some(&last));
    assert_eq!(lines(&plan), ["~ link host:d: mtu 9000 -> default"]);
}

#[test]
fn a_circle_is_named() {
    let wanted = desired(vec![
        (link_key("host", "a"), port(bridge(), "b")),
        (link_key("host", "b"), port(bridge(), "a")),
    ]);
    let error = Plan::between(&Observed::default(), &wanted, &Memory::default()).unwrap_err();
    assert!(error.to_string().contains("host:a") && error.to_string().contains("host:b"), "{error}");
}

/// Two ends that greet each other at the same moment both fail, and their kernel timers may keep them in step.
#[test]
fn tunnels_rise_one_by_one_when_what_carries_them_stands() {
    let tunnel = |key: u8| {
        link(LinkKind::Wireguard(WireguardOptions {
            private_key: [key; 32],
            listen_port: Some(51820),
            mark: None,
            peers: Vec::new(),
        }))
    };
    let mut entries = small();
    for (at, key) in [("h", 1), ("r", 2)] {
        entries.push((link_key(at, "wg0"), tunnel(key)));
        entries.push((address_key(at, "wg0", &format!("10.9.0.{key}/24")), Spec::Address));
    }
    entries.push((route_key("r", "10.8.0.0/16"), via("wg0", None)));
    let plan = plan(&Observed::default(), &desired(entries), None);
    let step =
        |key: &Key| plan.steps.iter().find(|step| step.changes.iter().any(|c| c.key() == key)).unwrap();
    // All that a step waits for, directly or not.
    let waits_for = |of: &Step, for_whom: &Step| {
        let mut reached = of.needs.clone();
        let mut at = 0;
        while at < reached.len() {
            let next = reached[at];
            reached.extend(plan.steps.iter().filter(|s| s.id == next).flat_map(|s| s.needs.clone()));
            at += 1;
        }
        reached.contains(&for_whom.id)
    };
    let (first, second) = (step(&link_key("h", "wg0")), step(&link_key("r", "wg0")));
    assert!(waits_for(second, first) != waits_for(first, second));
    for below in [
        link_key("host", "h"),
        link_key("r", "eth0"),
        address_key("h", "eth0", "10.0.0.2/24"),
        address_key("r", "eth0", "10.0.0.1/24"),
    ] {
        assert!(waits_for(first, step(&below)) && waits_for(second, step(&below)), "{below}");
    }
    assert!(waits_for(step(&route_key("r", "10.8.0.0/16")), second));
}

/// 1,000 nodes on one bridge, 10,000 link ends, 10,000 addresses, 10,000 routes.
fn large() -> Vec<(Key, Spec)> {
    let mut entries = vec![(link_key("host", "br"), link(bridge()))];
    for node in 0..1000 {
        let name = format!("n{node}");
        entries.push((Key::Namespace { space: space(&name) }, Spec::Namespace));
        for number in 0..5 {
            let (far, near) = (format!("p{node}.{number}"), format!("eth{number}"));
            entries.push((link_key("host", &far), port(veth(&name, &near), "br")));
            entries.push((link_key(&name, &near), link(veth("host", &far))));
            for half in 0..2 {
                let network = format!("10.{}.{}", node / 250 * 10 + number * 2 + half, node % 250);
                entries.push((address_key(&name, &near, &format!("{network}.2/24")), Spec::Address));
                let destination = format!("172.{}.{}.0/24", number * 2 + half, node % 250);
                entries.push((route_key(&name, &destination), via(&near, Some(&format!("{network}.1")))));
            }
        }
    }
    entries
}

#[test]
fn a_large_network_is_planned_in_no_time() {
    let wanted = desired(large());
    assert!(wanted.objects.len() > 30_000);
    let observed = real(&wanted);
    let none = desired(Vec::new());
    let mut slowest = 0.0_f64;
    for (what, observed, desired, last) in [
        ("up", &Observed::default(), &wanted, None),
        ("nothing", &observed, &wanted, Some(&wanted)),
        ("down", &observed, &none, Some(&wanted)),
    ] {
        let start = Instant::now();
        let plan = plan(observed, desired, last);
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}: {} steps, {} in {seconds:.3} s", plan.steps.len(), plan.counts());
        slowest = slowest.max(seconds);
    }
    // Generous, for a debug build on a busy machine: only what is not linear takes longer.
    assert!(slowest < 15.0, "{slowest} s");
}
