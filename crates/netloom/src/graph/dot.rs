//! Graphviz.

use super::{Graph, Role};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "graph \"{}\" {{\n  graph [overlap=false, splines=true]\n  node [fontname=\"Helvetica\", fontsize=11, style=filled]\n  edge [fontname=\"Helvetica\", fontsize=9, color=\"#93a1b1\"]",
        quote(&graph.title)
    );
    for node in &graph.nodes {
        let (shape, fill) = match node.role {
            Role::Host => ("component", "#e6f5e6"),
            Role::Router => ("ellipse", "#fff1d6"),
            Role::Network => ("hexagon", "#dcefff"),
            Role::Endpoint => ("box", "#ffffff"),
        };
        let label = if node.detail.is_empty() {
            quote(&node.name)
        } else {
            format!("{}\\n{}", quote(&node.name), quote(&node.detail))
        };
        let _ = writeln!(
            out,
            "  \"{}\" [shape={shape}, fillcolor=\"{fill}\", label=\"{label}\"]",
            quote(&node.name)
        );
    }
    for edge in &graph.edges {
        let style = if edge.tunnel { ", style=dashed" } else { "" };
        let _ = writeln!(
            out,
            "  \"{}\" -- \"{}\" [taillabel=\"{}\", headlabel=\"{}\", label=\"{}\"{style}]",
            quote(&graph.nodes[edge.a].name),
            quote(&graph.nodes[edge.b].name),
            quote(&edge.label_a),
            quote(&edge.label_b),
            quote(&edge.kind)
        );
    }
    out.push_str("}\n");
    out
}

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
