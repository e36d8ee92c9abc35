//! Scalable vector graphics. One style sheet inside, light and dark by the viewer's preference.

use super::layout::{self, HEIGHT, Placed};
use super::{Graph, Role, xml};
use std::fmt::Write;

/// Above this many edges interface names are left out: they would cover each other.
const LABELLED_EDGES: usize = 40;

pub(super) const STYLE: &str = "
.canvas{fill:#fbfcfd}
.title{font:600 16px system-ui,'DejaVu Sans',sans-serif;fill:#1d2733}
.edge{stroke:#93a1b1;stroke-width:1.6;fill:none}
.edge.tunnel{stroke:#8057c8;stroke-dasharray:6 4}
.box{stroke-width:1.4}
.endpoint .box{fill:#ffffff;stroke:#7d8b9b}
.router .box{fill:#fff1d6;stroke:#d18b14}
.network .box{fill:#dcefff;stroke:#2f80c9}
.host .box{fill:#e6f5e6;stroke:#3f8f46}
.name{font:600 13px system-ui,'DejaVu Sans',sans-serif;fill:#1d2733;text-anchor:middle}
.detail{font:11px ui-monospace,'DejaVu Sans Mono',monospace;fill:#55626f;text-anchor:middle}
.port{font:10px ui-monospace,'DejaVu Sans Mono',monospace;fill:#66727e;text-anchor:middle;paint-order:stroke;stroke:#fbfcfd;stroke-width:3px}
.kind{font:italic 10px system-ui,'DejaVu Sans',sans-serif;fill:#8057c8;text-anchor:middle;paint-order:stroke;stroke:#fbfcfd;stroke-width:3px}
@media (prefers-color-scheme: dark){
.canvas{fill:#151b22}.title,.name{fill:#e8edf2}.detail{fill:#a9b6c3}.edge{stroke:#5d6c7c}
.endpoint .box{fill:#202933;stroke:#8494a5}.router .box{fill:#3c2f14;stroke:#d9a03c}
.network .box{fill:#152f47;stroke:#4f9fe0}.host .box{fill:#1b3320;stroke:#5cb465}
.port,.kind{stroke:#151b22}.port{fill:#9fb0c0}.kind{fill:#b79cf0}}
";

pub(super) fn draw(graph: &Graph) -> String {
    let placed = layout::place(graph);
    let mut out = String::new();
    let (width, height) = (placed.width.max(320.0), placed.height + 30.0);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class=\"canvas\" width=\"100%\" height=\"100%\"/>\n<text class=\"title\" x=\"16\" y=\"26\">{}</text>\n<g transform=\"translate(0 24)\">",
        xml(&graph.title),
        xml(&graph.title)
    );
    edges(graph, &placed, &mut out);
    nodes(graph, &placed, &mut out);
    out.push_str("</g>\n</svg>\n");
    out
}

fn edges(graph: &Graph, placed: &Placed, out: &mut String) {
    for edge in &graph.edges {
        let ((x1, y1), (x2, y2)) = (placed.at[edge.a], placed.at[edge.b]);
        let class = if edge.tunnel { "edge tunnel" } else { "edge" };
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }
    if graph.edges.len() > LABELLED_EDGES {
        return;
    }
    for edge in &graph.edges {
        let (a, b) = (placed.at[edge.a], placed.at[edge.b]);
        for (text, from, to) in [(&edge.label_a, a, b), (&edge.label_b, b, a)] {
            if !text.is_empty() {
                let (x, y) = border(from, to, 15.0, placed.box_width);
                let _ = writeln!(
                    out,
                    "<text class=\"port\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                    y + 3.0,
                    xml(text)
                );
            }
        }
        if !edge.kind.is_empty() {
            let (x, y) = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
            let _ =
                writeln!(out, "<text class=\"kind\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", xml(&edge.kind));
        }
    }
}

/// The point a little outside of the box at `from`, on the way to `to`.
fn border(from: (f64, f64), to: (f64, f64), beyond: f64, box_width: f64) -> (f64, f64) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let reach = (box_width / 2.0 / ux.abs().max(1e-6)).min(HEIGHT / 2.0 / uy.abs().max(1e-6));
    // Sideways a name needs more room than downwards.
    let beyond = beyond + 14.0 * ux.abs();
    (from.0 + ux * (reach + beyond), from.1 + uy * (reach + beyond))
}

fn nodes(graph: &Graph, placed: &Placed, out: &mut String) {
    for (node, (x, y)) in graph.nodes.iter().zip(&placed.at) {
        let (class, radius) = match node.role {
            Role::Host => ("host", 4.0),
            Role::Router => ("router", HEIGHT / 2.0),
            Role::Network => ("network", 10.0),
            Role::Endpoint => ("endpoint", 4.0),
        };
        let width = placed.box_width;
        let (left, top) = (x - width / 2.0, y - HEIGHT / 2.0);
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><title>{} {}</title><rect class=\"box\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"{radius}\"/>",
            xml(&node.name),
            xml(&node.detail)
        );
        let name_y = if node.detail.is_empty() { y + 4.5 } else { y - 3.0 };
        let _ = writeln!(
            out,
            "<text class=\"name\" x=\"{x:.1}\" y=\"{name_y:.1}\">{}</text>",
            xml(&cut(&node.name, 23))
        );
        if !node.detail.is_empty() {
            let _ = writeln!(
                out,
                "<text class=\"detail\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 14.0,
                xml(&cut(&node.detail, 27))
            );
        }
        out.push_str("</g>\n");
    }
}

/// Cuts text that would not fit into a box; the whole is in the tool tip.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}
