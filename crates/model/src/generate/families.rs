//! The families of shapes: which numbers each takes, how much it makes, and its graph.

use super::shape::Shape;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Fabric, Generator, GeneratorKind};
use crate::validate::codes;

/// The numbers of a generator with their places.
fn numbers(generator: &Generator) -> [(&'static str, Option<Spanned<u32>>); 10] {
    [
        ("nodes", generator.nodes),
        ("hosts", generator.hosts),
        ("degree", generator.degree),
        ("depth", generator.depth),
        ("fanout", generator.fanout),
        ("spines", generator.spines),
        ("leaves", generator.leaves),
        ("core", generator.core),
        ("aggregation", generator.aggregation),
        ("access", generator.access),
    ]
}

/// The word of a kind, what it needs, and whether `hosts` may be chosen.
fn rules(kind: GeneratorKind) -> (&'static str, &'static [&'static str], bool) {
    match kind {
        GeneratorKind::Linear => ("linear", &["nodes"], true),
        GeneratorKind::Star => ("star", &["nodes"], false),
        GeneratorKind::Ring => ("ring", &["nodes"], true),
        GeneratorKind::Mesh => ("mesh", &["nodes"], true),
        GeneratorKind::PartialMesh => ("partial-mesh", &["nodes", "degree"], true),
        GeneratorKind::Tree => ("tree", &["depth", "fanout"], true),
        GeneratorKind::ThreeTier => ("three-tier", &["core", "aggregation", "access"], true),
        GeneratorKind::LeafSpine => ("leaf-spine", &["spines", "leaves"], true),
        GeneratorKind::FatTree => ("fat-tree", &["k"], false),
    }
}

/// Tells what is wrong with the numbers.
pub(super) fn check(generator: &Generator, span: Span, out: &mut Diagnostics) {
    let kind = generator.kind.value;
    let (word, needed, hosts) = rules(kind);
    let mut given: Vec<(&str, Option<Spanned<u32>>)> = numbers(generator).to_vec();
    given.push(("k", generator.k));
    for (name, value) in &given {
        let allowed = needed.contains(name) || (*name == "hosts" && hosts);
        match value {
            Some(value) if !allowed => out.push(
                Diagnostic::error(codes::KEY_MISPLACED, format!("`{name}` does not go with a {word}"))
                    .at(value.span)
                    .label("belongs to another shape")
                    .help(format!("a {word} takes {}", takes(needed, hosts))),
            ),
            None if needed.contains(name) => out.push(
                Diagnostic::error(codes::KEY_MISSING, format!("a {word} needs `{name}`"))
                    .at(generator.kind.span)
                    .label("something is missing here")
                    .help(format!("add `{name}`: a {word} takes {}", takes(needed, hosts))),
            ),
            Some(value) if value.value == 0 && *name != "hosts" => out.push(
                Diagnostic::error(codes::GENERATOR, format!("`{name}` can't be 0"))
                    .at(value.span)
                    .label("nothing")
                    .help("write 1 or more"),
            ),
            _ => {}
        }
    }
    let mut wrong = |value: Option<Spanned<u32>>, message: String, help: &str| {
        let span = value.map_or(span, |value| value.span);
        out.push(Diagnostic::error(codes::GENERATOR, message).at(span).label("can't be built").help(help));
    };
    let number = |value: Option<Spanned<u32>>| value.map_or(0, |value| value.value);
    let (nodes, degree, k) = (number(generator.nodes), number(generator.degree), number(generator.k));
    match kind {
        GeneratorKind::Ring if (1..3).contains(&nodes) => {
            wrong(generator.nodes, format!("a ring of {nodes} is no ring"), "take 3 nodes or more");
        }
        GeneratorKind::PartialMesh if nodes > 0 && degree > 0 => {
            if degree >= nodes {
                wrong(
                    generator.degree,
                    format!("{nodes} nodes have no {degree} neighbours each"),
                    "take a `degree` below `nodes`",
                );
            } else if u64::from(nodes) * u64::from(degree) % 2 == 1 {
                wrong(
                    generator.degree,
                    format!("{nodes} nodes can't have {degree} neighbours each: a cable has two ends"),
                    "make one of the numbers even",
                );
            } else if degree == 1 && nodes > 2 {
                wrong(
                    generator.degree,
                    "with one neighbour each the nodes form pairs".to_owned(),
                    "take 2 or more",
                );
            }
        }
        GeneratorKind::FatTree if k % 2 == 1 => {
            wrong(
                generator.k,
                format!("a fat tree of {k} is no tree: half of the ports lead up"),
                "take an even `k`",
            );
        }
        _ => {}
    }
}

fn takes(needed: &[&str], hosts: bool) -> String {
    let names = needed.iter().map(|name| format!("`{name}`"));
    let names: Vec<String> = names.chain(hosts.then(|| "`hosts`".to_owned())).collect();
    names.join(", ")
}

/// At least as many as the nodes, networks and links that come out. Saturates.
pub(super) fn estimate(generator: &Generator) -> u64 {
    let number = |value: Option<Spanned<u32>>| value.map_or(0u64, |value| u64::from(value.value));
    let hosts = generator.hosts.map_or(1, |hosts| u64::from(hosts.value));
    let nodes = number(generator.nodes);
    let (inner, cables, hosts) = match generator.kind.value {
        GeneratorKind::Linear | GeneratorKind::Ring => (nodes, nodes, nodes.saturating_mul(hosts)),
        GeneratorKind::Star => (1, 0, nodes),
        GeneratorKind::Mesh => (nodes, nodes.saturating_mul(nodes) / 2, nodes.saturating_mul(hosts)),
        GeneratorKind::PartialMesh => {
            (nodes, nodes.saturating_mul(number(generator.degree)) / 2, nodes.saturating_mul(hosts))
        }
        GeneratorKind::Tree => {
            let fanout = number(generator.fanout);
            let mut level = 1u64;
            let mut inner = 1u64;
            for _ in 1..number(generator.depth).min(64) {
                level = level.saturating_mul(fanout);
                inner = inner.saturating_add(level);
            }
            (inner, inner, level.saturating_mul(hosts))
        }
        GeneratorKind::ThreeTier => {
            let (core, aggregation, access) =
                (number(generator.core), number(generator.aggregation), number(generator.access));
            let cables = core.saturating_mul(aggregation).saturating_add(aggregation.saturating_mul(access));
            (core + aggregation + access, cables, access.saturating_mul(hosts))
        }
        GeneratorKind::LeafSpine => {
            let (spines, leaves) = (number(generator.spines), number(generator.leaves));
            (spines + leaves, spines.saturating_mul(leaves), leaves.saturating_mul(hosts))
        }
        GeneratorKind::FatTree => {
            let k = number(generator.k);
            let cubed = k.saturating_mul(k).saturating_mul(k);
            (5 * k.saturating_mul(k) / 4, cubed / 2, cubed / 4)
        }
    };
    // A host of routers needs a link as well.
    let cable_of_host = if generator.fabric == Some(Fabric::Switches) { 1 } else { 2 };
    inner.saturating_add(cables).saturating_add(hosts.saturating_mul(cable_of_host))
}

/// The graph of checked numbers.
pub(super) fn shape(generator: &Generator) -> Shape {
    let number = |value: Option<Spanned<u32>>| value.map_or(0usize, |value| value.value as usize);
    let each = generator.hosts.map_or(1, |hosts| hosts.value as usize);
    let nodes = number(generator.nodes);
    let kind = generator.kind.value;
    let switches = match generator.fabric {
        Some(fabric) => fabric == Fabric::Switches,
        None => matches!(
            kind,
            GeneratorKind::Linear | GeneratorKind::Star | GeneratorKind::Ring | GeneratorKind::Tree
        ),
    };
    let plain = if switches { "switch" } else { "router" };
    let mut shape = Shape::default();
    match kind {
        GeneratorKind::Linear => {
            let all = shape.add(plain, plain, nodes);
            shape.cables.extend((1..nodes).map(|at| (at - 1, at)));
            shape.hosts_at(all, each);
        }
        GeneratorKind::Star => {
            let centre = shape.add(plain, plain, 1);
            shape.hosts_at(centre, nodes);
        }
        GeneratorKind::Ring => {
            let all = shape.add(plain, plain, nodes);
            shape.cables.extend((0..nodes).map(|at| (at, (at + 1) % nodes)));
            shape.hosts_at(all, each);
            shape.ring = true;
        }
        GeneratorKind::Mesh => {
            let all = shape.add(plain, plain, nodes);
            shape.cables.extend((0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))));
            shape.hosts_at(all, each);
        }
        GeneratorKind::PartialMesh => {
            // A circulant graph: the same distances around the circle at every node.
            let degree = number(generator.degree);
            let all = shape.add(plain, plain, nodes);
            for distance in 1..=degree / 2 {
                shape.cables.extend((0..nodes).map(|at| (at, (at + distance) % nodes)));
            }
            if degree % 2 == 1 {
                shape.cables.extend((0..nodes / 2).map(|at| (at, at + nodes / 2)));
            }
            shape.hosts_at(all, each);
            shape.ring = degree == 2;
        }
        GeneratorKind::Tree => {
            tree(&mut shape, plain, number(generator.depth), number(generator.fanout), each)
        }
        GeneratorKind::ThreeTier => {
            let core = shape.add("core", "core", number(generator.core));
            let aggregation = shape.add("aggregation", "agg", number(generator.aggregation));
            let access = shape.add("access", "access", number(generator.access));
            full(&mut shape, core, aggregation.clone());
            full(&mut shape, aggregation, access.clone());
            shape.hosts_at(access, each);
        }
        GeneratorKind::LeafSpine => {
            let spines = shape.add("spine", "spine", number(generator.spines));
            let leaves = shape.add("leaf", "leaf", number(generator.leaves));
            full(&mut shape, spines, leaves.clone());
            shape.hosts_at(leaves, each);
        }
        GeneratorKind::FatTree => fat_tree(&mut shape, number(generator.k)),
    }
    shape
}

fn full(shape: &mut Shape, upper: std::ops::Range<usize>, lower: std::ops::Range<usize>) {
    shape.cables.extend(upper.flat_map(|above| lower.clone().map(move |below| (above, below))));
}

fn tree(shape: &mut Shape, plain: &'static str, depth: usize, fanout: usize, each: usize) {
    let mut sizes = vec![1usize];
    for level in 1..depth {
        sizes.push(sizes[level - 1].saturating_mul(fanout));
    }
    shape.add(plain, plain, sizes.iter().sum());
    let mut first = 0;
    for pair in sizes.windows(2) {
        let next = first + pair[0];
        shape.cables.extend((0..pair[1]).map(|child| (first + child / fanout, next + child)));
        first = next;
    }
    let last = sizes.last().copied().unwrap_or_default();
    shape.hosts_at(first..first + last, each);
}

/// Core node (i, j) is linked to aggregation node i of every pod; in a pod every aggregation node is linked
/// to every edge node.
fn fat_tree(shape: &mut Shape, k: usize) {
    let half = k / 2;
    let core = shape.add("core", "core", half * half);
    let aggregation = shape.add("aggregation", "agg", k * half);
    let edge = shape.add("edge", "edge", k * half);
    for pod in 0..k {
        let in_pod = pod * half..(pod + 1) * half;
        for (group, place) in in_pod.clone().enumerate() {
            let above =
                (0..half).map(|member| (core.start + group * half + member, aggregation.start + place));
            shape.cables.extend(above);
        }
        let aggregations = aggregation.start + in_pod.start..aggregation.start + in_pod.end;
        full(shape, aggregations, edge.start + in_pod.start..edge.start + in_pod.end);
    }
    shape.hosts_at(edge, half);
}
