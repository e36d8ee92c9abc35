//! Text for a terminal: every inner node with what hangs on it, as a tree of plain lines.

use super::{Graph, GraphNode, Role};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = format!("{}\n", graph.title);
    let mut order: Vec<usize> =
        (0..graph.nodes.len()).filter(|node| graph.nodes[*node].role != Role::Endpoint).collect();
    order.sort_by_key(|node| match graph.nodes[*node].role {
        Role::Host => 0,
        Role::Network => 1,
        Role::Router => 2,
        Role::Endpoint => 3,
    });
    // Endpoints that are linked only to endpoints would be shown nowhere else.
    order.extend((0..graph.nodes.len()).filter(|node| {
        graph.nodes[*node].role == Role::Endpoint
            && graph
                .edges
                .iter()
                .filter(|e| e.a == *node || e.b == *node)
                .all(|e| graph.nodes[e.a].role == Role::Endpoint && graph.nodes[e.b].role == Role::Endpoint)
    }));
    for node in order {
        let this = &graph.nodes[node];
        let _ = writeln!(out, "\n{} {}{}", mark(this.role), this.name, suffix(&this.detail));
        let edges: Vec<_> = graph.edges.iter().filter(|edge| edge.a == node || edge.b == node).collect();
        for (index, edge) in edges.iter().enumerate() {
            let (other, near, far) = if edge.a == node {
                (edge.b, &edge.label_a, &edge.label_b)
            } else {
                (edge.a, &edge.label_b, &edge.label_a)
            };
            let branch = if index + 1 == edges.len() { "└" } else { "├" };
            let line = if edge.tunnel { "╌╌" } else { "──" };
            let near = if near.is_empty() { String::new() } else { format!(" {near} {line}") };
            let far_name = far.as_str();
            let far = if far.is_empty() { String::new() } else { format!("{far} ") };
            let kind = if edge.kind.is_empty() { String::new() } else { format!("({}) ", edge.kind) };
            let other = &graph.nodes[other];
            let detail = at(other, far_name);
            let _ = writeln!(
                out,
                "  {branch}{line}{near} {kind}{far}{} {}{}",
                mark(other.role),
                other.name,
                suffix(&detail)
            );
        }
    }
    out
}

const fn mark(role: Role) -> char {
    match role {
        Role::Host => '▣',
        Role::Router => '◎',
        Role::Network => '⬢',
        Role::Endpoint => '□',
    }
}

/// What is known of the interface that the line leads to, or else of the node.
fn at(node: &GraphNode, interface: &str) -> Vec<String> {
    let of_it = |line: &&String| line.split_once(' ').is_some_and(|(name, _)| name == interface);
    let own: Vec<String> = node.detail.iter().filter(of_it).cloned().collect();
    if own.is_empty() {
        return node.detail.clone();
    }
    own.iter().filter_map(|line| line.split_once(' ').map(|(_, address)| address.to_owned())).collect()
}

fn suffix(detail: &[String]) -> String {
    if detail.is_empty() { String::new() } else { format!("  {}", detail.join(", ")) }
}
