//! Mermaid flowcharts.

use super::{Graph, Role};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let mut out = format!("---\ntitle: \"{}\"\n---\nflowchart TB\n", quote(&graph.title));
    for (index, node) in graph.nodes.iter().enumerate() {
        let lines: Vec<String> =
            [&node.name].into_iter().chain(&node.detail).map(|line| quote(line)).collect();
        let text = lines.join("<br/>");
        let (open, close, class) = match node.role {
            Role::Host => ("[[\"", "\"]]", "host"),
            Role::Router => ("(\"", "\")", "router"),
            Role::Network => ("(\"", "\")", "network"),
            Role::Endpoint => ("[\"", "\"]", "endpoint"),
        };
        let _ = writeln!(out, "  n{index}{open}{text}{close}:::{class}");
    }
    for down in graph.downwards() {
        let words: Vec<&str> = [down.label_upper, &down.edge.kind, down.label_lower]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let line = if down.edge.tunnel { "-.-" } else { "---" };
        if words.is_empty() {
            let _ = writeln!(out, "  n{} {line} n{}", down.upper, down.lower);
        } else {
            let words = quote(&words.join(" · "));
            let _ = writeln!(out, "  n{} {line}|\"{words}\"| n{}", down.upper, down.lower);
        }
    }
    out.push_str(
        "  classDef host fill:#e6f5e6,stroke:#3f8f46,color:#1d2733
  classDef router fill:#fff1d6,stroke:#d18b14,color:#1d2733
  classDef network fill:#dcefff,stroke:#2f80c9,color:#1d2733
  classDef endpoint fill:#ffffff,stroke:#7d8b9b,color:#1d2733\n",
    );
    out
}

/// Mermaid has entity codes instead of escapes.
fn quote(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
