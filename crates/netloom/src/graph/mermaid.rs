//! Mermaid flowcharts.

use super::{Graph, Role};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = String::from("flowchart TB\n");
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut text = quote(&node.name);
        if !node.detail.is_empty() {
            text.push_str("<br/>");
            text.push_str(&quote(&node.detail));
        }
        let (open, close) = match node.role {
            Role::Host => ("[[\"", "\"]]"),
            Role::Router => ("([\"", "\"])"),
            Role::Network => ("{{\"", "\"}}"),
            Role::Endpoint => ("[\"", "\"]"),
        };
        let _ = writeln!(out, "  n{index}{open}{text}{close}");
    }
    for edge in &graph.edges {
        let words: Vec<&str> = [edge.label_a.as_str(), &edge.kind, &edge.label_b]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let line = if edge.tunnel { "-.-" } else { "---" };
        if words.is_empty() {
            let _ = writeln!(out, "  n{} {line} n{}", edge.a, edge.b);
        } else {
            let _ = writeln!(out, "  n{} {line}|\"{}\"| n{}", edge.a, quote(&words.join(" ")), edge.b);
        }
    }
    out
}

/// Mermaid has entity codes instead of escapes.
fn quote(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
