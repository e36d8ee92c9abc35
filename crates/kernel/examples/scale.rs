//! Measures making, looking at and deleting a large network, beside `ip -batch` for the same one.
//!
//! `cargo run --release -p netloom-kernel --example scale -- [NODES] [LINKS]`: a ring of NODES with
//! further links up to LINKS (default 200 and 200), each end with an address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement may just end")]

use netloom_compile::object::{
    Comparison, Desired, Key, Link, LinkKind, LinkRef, Object, Operation, Origin, Owner, Space, Spec, compare,
};
use netloom_kernel::{Kernel, KernelConfig};
use netloom_testkit::rig::{Rig, isolated};
use std::fmt::Write;
use std::time::Instant;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let nodes = numbers.next().unwrap_or(200);
    let links = numbers.next().unwrap_or(nodes);
    isolated(|rig| by_netloom(rig, nodes, links));
    isolated(|rig| by_ip(rig, nodes, links));
}

/// Link `number` joins these nodes.
fn ends(number: usize, nodes: usize) -> [usize; 2] {
    let from = number % nodes;
    [from, (from + 1 + number / nodes) % nodes]
}

fn address(number: usize, side: usize) -> String {
    format!("10.{}.{}.{}/31", number >> 15, (number >> 7) & 255, (number & 127) * 2 + side)
}

fn by_netloom(rig: &Rig, nodes: usize, links: usize) {
    let owner = Owner { topology: "t".parse().unwrap(), part: "scale".into() };
    let mut desired = Desired::new(owner.topology.clone());
    let mut add = |key: Key, spec: Spec| {
        let origin = Origin { file: "scale".into(), line: 1, column: 1 };
        let object = Object { key: key.clone(), spec, owner: owner.clone(), origin, reason: "".into() };
        desired.objects.insert(key, object);
    };
    let space = |node: usize| Space::Node(format!("n{node}").parse().unwrap());
    for node in 0..nodes {
        add(Key::Namespace { space: space(node) }, Spec::Namespace);
    }
    for number in 0..links {
        let places = ends(number, nodes).map(&space);
        let refs: Vec<LinkRef> = places
            .iter()
            .enumerate()
            .map(|(side, space)| LinkRef {
                space: space.clone(),
                name: format!("e{number}-{side}").parse().unwrap(),
            })
            .collect();
        for side in 0..2 {
            let link = Link::new(LinkKind::Veth { peer: refs[1 - side].clone() });
            add(Key::link(&refs[side]), Spec::Link(Box::new(link)));
            let (space, link) = (refs[side].space.clone(), refs[side].name.clone());
            add(Key::Address { space, link, address: address(number, side).parse().unwrap() }, Spec::Address);
        }
    }
    let config = KernelConfig {
        netns_dir: rig.netns_dir.clone(),
        log_dir: rig.log_dir.clone(),
        topology: owner.topology.clone(),
    };
    let kernel = Kernel::new(config).unwrap();
    let began = Instant::now();
    let mut last = 0.0;
    let mut lap = |what: &str| {
        let now = began.elapsed().as_secs_f64();
        println!("netloom {what:<12} {:8.3} s", now - last);
        last = now;
    };
    let creates = |kind: &str| {
        let of_kind = desired.objects.values().filter(|object| object.key.kind() == kind);
        let operation =
            |object: &Object| Operation::Create { key: object.key.clone(), spec: object.spec.clone() };
        of_kind.map(operation).collect::<Vec<_>>()
    };
    kernel.execute(&owner, &creates("namespace")).unwrap();
    lap("namespaces");
    // As control does: both ends of a veth in one call.
    let all = creates("link");
    let by_key: std::collections::HashMap<_, _> =
        all.iter().map(|operation| (operation.key().clone(), operation)).collect();
    for operation in &all {
        if let Operation::Create { key, spec: Spec::Link(link) } = operation
            && let LinkKind::Veth { peer } = &link.kind
            && *key < Key::link(peer)
        {
            kernel.execute(&owner, &[operation.clone(), by_key[&Key::link(peer)].clone()]).unwrap();
        }
    }
    lap("links");
    for operation in creates("address") {
        kernel.execute(&owner, &[operation]).unwrap();
    }
    lap("addresses");
    for _ in 0..3 {
        let observed = kernel.observe(&desired).unwrap();
        lap("observe");
        for (key, object) in &desired.objects {
            let found = observed.objects.get(key).unwrap_or_else(|| panic!("{key} is missing"));
            assert_eq!(compare(&found.spec, &object.spec), Comparison::Same, "{key}");
        }
        lap("compare");
    }
    let operations: Vec<_> = creates("namespace").iter().map(Operation::inverse).collect();
    kernel.execute(&owner, &operations).unwrap();
    lap("delete");
}

fn by_ip(rig: &Rig, nodes: usize, links: usize) {
    let mut batch = String::new();
    for node in 0..nodes {
        writeln!(batch, "netns add scale{node}").unwrap();
    }
    for number in 0..links {
        let [a, b] = ends(number, nodes);
        writeln!(batch, "link add e{number}-0 netns scale{a} type veth peer name e{number}-1 netns scale{b}")
            .unwrap();
    }
    // `ip -batch` works in one namespace: the rest needs one batch for each.
    let mut inside = vec![String::from("link set lo up\n"); nodes];
    for number in 0..links {
        for (side, node) in ends(number, nodes).into_iter().enumerate() {
            writeln!(inside[node], "link set e{number}-{side} up").unwrap();
            writeln!(inside[node], "address add {} dev e{number}-{side}", address(number, side)).unwrap();
        }
    }
    // A private /run/netns, so that nothing of the host's is in it.
    std::fs::create_dir_all("/run/netns").unwrap();
    rustix::mount::mount("rig", "/run/netns", "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let file = rig.state_dir.join("batch");
    let began = Instant::now();
    std::fs::write(&file, &batch).unwrap();
    let Some(output) = rig.run("ip", &["-batch", file.to_str().unwrap()]) else { return println!("no ip") };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (node, text) in inside.iter().enumerate() {
        std::fs::write(&file, text).unwrap();
        let name = format!("scale{node}");
        let output = rig.run("ip", &["-n", &name, "-batch", file.to_str().unwrap()]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    println!("ip      up           {:8.3} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let text: String = (0..nodes).map(|node| format!("netns del scale{node}\n")).collect();
    std::fs::write(&file, text).unwrap();
    rig.run("ip", &["-batch", file.to_str().unwrap()]).unwrap();
    println!("ip      delete       {:8.3} s", began.elapsed().as_secs_f64());
}
