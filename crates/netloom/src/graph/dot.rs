//! Graphviz.

use super::{Graph, Role};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "graph \"{}\" {{\n  graph [nodesep=0.45, ranksep=0.75, splines=true, label=\"{}\", labelloc=t, fontname=\"Helvetica\"]\n  node [fontname=\"Helvetica\", fontsize=11, shape=box, style=filled, margin=\"0.16,0.08\"]\n  edge [fontname=\"Helvetica\", fontsize=9, color=\"#8391a1\", fontcolor=\"#55626f\", labeldistance=1.6]",
        quote(&graph.title),
        quote(&graph.title)
    );
    for node in &graph.nodes {
        let (style, stroke, fill) = match node.role {
            Role::Host => ("filled", "#3f8f46", "#e6f5e6"),
            Role::Router => ("filled,rounded", "#d18b14", "#fff1d6"),
            Role::Network => ("filled,rounded", "#2f80c9", "#dcefff"),
            Role::Endpoint => ("filled", "#7d8b9b", "#ffffff"),
        };
        let lines: Vec<String> =
            [&node.name].into_iter().chain(&node.detail).map(|line| quote(line)).collect();
        let _ = writeln!(
            out,
            "  \"{}\" [style=\"{style}\", color=\"{stroke}\", fillcolor=\"{fill}\", label=\"{}\"]",
            quote(&node.name),
            lines.join("\\n")
        );
    }
    for down in graph.downwards() {
        let style = if down.edge.tunnel { ", style=dashed, color=\"#8057c8\"" } else { "" };
        // Graphviz keeps room for the one name in the middle, not for those at the ends.
        let names = if down.level {
            let words = [down.label_upper, &down.edge.kind, down.label_lower];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            format!("label=\"{}\", constraint=false", quote(&words.join(" - ")))
        } else {
            format!(
                "taillabel=\"{}\", headlabel=\"{}\", label=\"{}\"",
                quote(down.label_upper),
                quote(down.label_lower),
                quote(&down.edge.kind)
            )
        };
        let _ = writeln!(
            out,
            "  \"{}\" -- \"{}\" [{names}{style}]",
            quote(&graph.nodes[down.upper].name),
            quote(&graph.nodes[down.lower].name)
        );
    }
    out.push_str("}\n");
    out
}

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
