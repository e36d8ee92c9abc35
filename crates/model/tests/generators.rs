//! Generated topologies: as many nodes and links as the formulas say, all connected, every pair of hosts routed by
//! shortest paths without circles, and what `generate/paths.rs` promises about a failed link.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part")]
mod support;

use netloom_model::topology::Topology;
use proptest::prelude::*;
use support::{Fabric, generated, loaded, pieces};

struct Counts {
    inner: usize,
    cables: usize,
    hosts: usize,
}

/// Checks the numbers and that all hangs together.
fn counted(item: &str, wanted: &Counts) -> Topology {
    let topology = generated(item).validated.topology().clone();
    let switches = topology.routers.is_empty();
    let inner = if switches { topology.networks.len() } else { topology.routers.len() };
    assert_eq!(inner, wanted.inner, "{item}: inner nodes");
    assert_eq!(topology.endpoints.len(), wanted.hosts, "{item}: hosts");
    let cables = if switches { wanted.cables } else { wanted.cables + wanted.hosts };
    assert_eq!(topology.links.len(), cables, "{item}: links");
    assert_eq!(pieces(&topology), 1, "{item}: pieces");
    if switches {
        let looped = wanted.cables >= wanted.inner;
        let stp = |network: &netloom_model::topology::Network| network.bridge.as_ref().is_some_and(|b| b.stp);
        assert!(topology.networks.values().all(|network| stp(network) == looped), "{item}: spanning tree");
    }
    topology
}

/// Every host reaches every address without circles, and every other host by shortest paths only.
fn routed(topology: &Topology) -> Fabric {
    let fabric = Fabric::new(topology);
    for from in topology.endpoints.keys() {
        for to in fabric.addresses() {
            fabric.paths(from.as_str(), to, None).unwrap();
        }
        for to in topology.endpoints.keys() {
            let paths = fabric.paths(from.as_str(), fabric.address(to.as_str()), None).unwrap();
            let lengths: std::collections::BTreeSet<usize> = paths.iter().map(Vec::len).collect();
            assert_eq!(lengths.len(), 1, "{from} -> {to}: paths of different lengths {paths:?}");
        }
    }
    fabric
}

/// Every pair of hosts is routed whichever link between routers has failed. Tells how many cases were tried.
fn survives(topology: &Topology) -> usize {
    let fabric = routed(topology);
    let mut cases = 0;
    for failed in &fabric.inner_links {
        for from in topology.endpoints.keys() {
            for to in topology.endpoints.keys().filter(|to| *to != from) {
                let path = fabric.paths(from.as_str(), fabric.address(to.as_str()), Some(*failed));
                path.unwrap_or_else(|why| panic!("{from} -> {to} without link {failed}: {why}"));
                cases += 1;
            }
        }
    }
    cases
}

#[test]
fn leaf_spine() {
    for (spines, leaves, hosts) in [(2, 2, 1), (2, 4, 2), (3, 5, 1), (4, 3, 1)] {
        let item = format!("{{ kind: leaf-spine, spines: {spines}, leaves: {leaves}, hosts: {hosts} }}");
        let wanted = Counts { inner: spines + leaves, cables: spines * leaves, hosts: leaves * hosts };
        let topology = counted(&item, &wanted);
        let fabric = routed(&topology);
        let last = format!("host-{}", leaves * hosts);
        let paths = fabric.paths("host-1", fabric.address(&last), None).unwrap();
        assert_eq!(paths.len(), spines, "one path by each spine");
        println!("leaf-spine {spines}x{leaves}: {} cases with a failed link", survives(&topology));
    }
}

#[test]
fn fat_tree() {
    for k in [2usize, 4, 6] {
        let item = format!("{{ kind: fat-tree, k: {k} }}");
        let wanted = Counts { inner: 5 * k * k / 4, cables: k * k * k / 2, hosts: k * k * k / 4 };
        let topology = counted(&item, &wanted);
        for role in [("core-", k * k / 4), ("aggregation-", k * k / 2), ("edge-", k * k / 2)] {
            let found = topology.routers.keys().filter(|key| key.as_str().starts_with(role.0)).count();
            assert_eq!(found, role.1, "{}", role.0);
        }
        let fabric = Fabric::new(&topology);
        let last = format!("host-{}", k * k * k / 4);
        let paths = fabric.paths("host-1", fabric.address(&last), None).unwrap();
        assert_eq!(paths.len(), k * k / 4, "(k/2)^2 equal paths between pods");
    }
    let topology = generated("{ kind: fat-tree, k: 4 }").validated.topology().clone();
    println!("fat-tree 4: {} cases with a failed link", survives(&topology));
}

#[test]
fn three_tier() {
    let wanted = Counts { inner: 2 + 3 + 4, cables: 2 * 3 + 3 * 4, hosts: 8 };
    let topology = counted("{ kind: three-tier, core: 2, aggregation: 3, access: 4, hosts: 2 }", &wanted);
    println!("three-tier: {} cases with a failed link", survives(&topology));
    println!(
        "three-tier: {} cases with a failed link",
        survives(generated("{ kind: three-tier, core: 2, aggregation: 2, access: 2 }").validated.topology())
    );
}

#[test]
fn rings_meshes_and_lines_of_routers() {
    for nodes in [3usize, 4, 5, 8] {
        let item = format!("{{ kind: ring, fabric: routers, nodes: {nodes} }}");
        let topology = counted(&item, &Counts { inner: nodes, cables: nodes, hosts: nodes });
        println!("ring {nodes}: {} cases with a failed link", survives(&topology));
        let item = format!("{{ kind: mesh, nodes: {nodes} }}");
        let topology =
            counted(&item, &Counts { inner: nodes, cables: nodes * (nodes - 1) / 2, hosts: nodes });
        println!("mesh {nodes}: {} cases with a failed link", survives(&topology));
        let item = format!("{{ kind: linear, fabric: routers, nodes: {nodes} }}");
        routed(&counted(&item, &Counts { inner: nodes, cables: nodes - 1, hosts: nodes }));
    }
    let tree = counted(
        "{ kind: tree, fabric: routers, depth: 3, fanout: 3, hosts: 2 }",
        &Counts { inner: 1 + 3 + 9, cables: 12, hosts: 18 },
    );
    routed(&tree);
    routed(&counted("{ kind: star, fabric: routers, nodes: 5 }", &Counts { inner: 1, cables: 0, hosts: 5 }));
}

#[test]
fn other_subnets() {
    // Just enough: 4 leaves with 2 hosts, 2 spines with 4 cables: 6 blocks of 8 addresses are 48, so a /26.
    let item = "{ kind: leaf-spine, spines: 2, leaves: 4, hosts: 2, subnet: 192.168.7.0/26 }";
    survives(generated(item).validated.topology());
    let item = "{ kind: leaf-spine, spines: 2, leaves: 3, subnet: \"fd00:1::/48\" }";
    survives(generated(item).validated.topology());
    let item = "{ kind: fat-tree, k: 4, subnet: \"fd00:1::/120\" }";
    routed(generated(item).validated.topology());
}

#[test]
fn several_generators_and_more_at_them() {
    let text = "netloom: 1
name: t
generate:
  - { kind: leaf-spine, spines: 2, leaves: 2, prefix: a-, subnet: 10.1.0.0/16 }
  - { kind: linear, nodes: 2, prefix: b- }
endpoints:
  probe: {}
links:
  - { link: \"probe:eth0 -- a-leaf-1:probe\", addresses: [172.16.0.1/31, 172.16.0.0/31] }
groups:
  all: [a-hosts, b-hosts]
tests:
  - reach: a-hosts -> a-hosts
";
    let loaded = loaded(text);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(loaded.validated.source(), false));
    assert_eq!(loaded.validated.members(&"all".parse().unwrap()).len(), 4);
    let spine = "a-spine-1".parse().unwrap();
    let (_, span) = loaded.validated.index().thing(&spine).unwrap();
    assert_eq!(loaded.validated.origin(span).line, 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_numbers_give_a_connected_network(nodes in 1usize..40, hosts in 0usize..4, routers: bool) {
        let fabric = if routers { "routers" } else { "switches" };
        let item = format!("{{ kind: linear, fabric: {fabric}, nodes: {nodes}, hosts: {hosts} }}");
        counted(&item, &Counts { inner: nodes, cables: nodes - 1, hosts: nodes * hosts });
        if nodes >= 3 {
            let item = format!("{{ kind: ring, fabric: {fabric}, nodes: {nodes}, hosts: {hosts} }}");
            counted(&item, &Counts { inner: nodes, cables: nodes, hosts: nodes * hosts });
        }
        let item = format!("{{ kind: star, fabric: {fabric}, nodes: {nodes} }}");
        counted(&item, &Counts { inner: 1, cables: 0, hosts: nodes });
        let small = nodes.min(12);
        let item = format!("{{ kind: mesh, fabric: {fabric}, nodes: {small}, hosts: {hosts} }}");
        counted(&item, &Counts { inner: small, cables: small * (small - 1) / 2, hosts: small * hosts });
    }

    #[test]
    fn trees(depth in 1u32..5, fanout in 1usize..4, hosts in 0usize..3, routers: bool) {
        let fabric = if routers { "routers" } else { "switches" };
        let item = format!("{{ kind: tree, fabric: {fabric}, depth: {depth}, fanout: {fanout}, hosts: {hosts} }}");
        let inner: usize = (0..depth).map(|level| fanout.pow(level)).sum();
        let edge = fanout.pow(depth - 1);
        counted(&item, &Counts { inner, cables: inner - 1, hosts: edge * hosts });
    }

    #[test]
    fn partial_meshes(nodes in 3usize..16, degree in 2usize..8) {
        prop_assume!(degree < nodes && nodes * degree % 2 == 0);
        let item = format!("{{ kind: partial-mesh, nodes: {nodes}, degree: {degree} }}");
        let topology = counted(&item, &Counts { inner: nodes, cables: nodes * degree / 2, hosts: nodes });
        for router in topology.routers.keys() {
            let ends = topology.links.iter().filter_map(|item| item.link.as_ref());
            let own = ends.filter(|ends| ends.a.node == router.value || ends.b.node == router.value).count();
            prop_assert_eq!(own, degree + 1);
        }
        routed(&topology);
    }
}
