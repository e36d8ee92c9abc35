//! Scalable vector graphics. One style sheet inside, light and dark by the viewer's preference.

use super::layout::{self, Placed};
use super::{Graph, Role, xml};
use std::fmt::Write;

/// Room at the sides of title and legend, above the picture, and below it.
const SIDE: f64 = 20.0;
const HEAD: f64 = 24.0;
const FOOT: f64 = 30.0;

pub(super) const STYLE: &str = "
.canvas{fill:#fbfcfd}
.title{font:600 16px system-ui,'DejaVu Sans',sans-serif;fill:#1d2733}
.edge{stroke:#8391a1;stroke-width:1.5;fill:none;stroke-linejoin:round}
.edge.tunnel{stroke:#8057c8;stroke-dasharray:6 4}
.box{stroke-width:1.4}
.endpoint .box{fill:#ffffff;stroke:#7d8b9b}
.router .box{fill:#fff1d6;stroke:#d18b14}
.network .box{fill:#dcefff;stroke:#2f80c9}
.host .box{fill:#e6f5e6;stroke:#3f8f46}
.name{font:600 13px system-ui,'DejaVu Sans',sans-serif;fill:#1d2733;text-anchor:middle}
.detail{font:11px ui-monospace,'DejaVu Sans Mono',monospace;fill:#55626f;text-anchor:middle}
.legend{font:11px system-ui,'DejaVu Sans',sans-serif;fill:#55626f}
.port{font:10px ui-monospace,'DejaVu Sans Mono',monospace;fill:#55626f;text-anchor:middle;paint-order:stroke;stroke:#fbfcfd;stroke-width:4px;stroke-linejoin:round}
.kind{font:italic 10px system-ui,'DejaVu Sans',sans-serif;fill:#8057c8;text-anchor:middle;paint-order:stroke;stroke:#fbfcfd;stroke-width:4px;stroke-linejoin:round}
@media (prefers-color-scheme: dark){
.canvas{fill:#151b22}.title,.name{fill:#e8edf2}.detail,.legend{fill:#a9b6c3}.edge{stroke:#6d7d8e}.edge.tunnel{stroke:#a78be6}
.endpoint .box{fill:#202933;stroke:#8494a5}.router .box{fill:#3c2f14;stroke:#d9a03c}
.network .box{fill:#152f47;stroke:#4f9fe0}.host .box{fill:#1b3320;stroke:#5cb465}
.port,.kind{stroke:#151b22}.port{fill:#9fb0c0}.kind{fill:#b79cf0}}
";

pub(super) fn draw(graph: &Graph) -> String {
    let placed = layout::place(graph);
    let legend = legend(graph);
    let width = placed.width.max(legend.width + 2.0 * SIDE).max(300.0);
    let height = placed.height + HEAD + FOOT;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class=\"canvas\" width=\"100%\" height=\"100%\"/>\n<text class=\"title\" x=\"{SIDE}\" y=\"30\">{}</text>\n<g transform=\"translate({:.1} {HEAD})\">",
        xml(&graph.title),
        xml(&graph.title),
        (width - placed.width) / 2.0
    );
    edges(graph, &placed, &mut out);
    nodes(graph, &placed, &mut out);
    let _ = writeln!(out, "</g>\n<g transform=\"translate({SIDE} {:.1})\">", height - FOOT);
    out.push_str(&legend.text);
    out.push_str("</g>\n</svg>\n");
    out
}

/// What the shapes and lines of this picture mean.
struct Legend {
    text: String,
    width: f64,
}

fn legend(graph: &Graph) -> Legend {
    let mut legend = Legend { text: String::new(), width: 0.0 };
    let has = |role: Role| graph.nodes.iter().any(|node| node.role == role);
    let roles = [Role::Host, Role::Router, Role::Network, Role::Endpoint];
    for role in roles.into_iter().filter(|role| has(*role)) {
        let (class, radius) = shape(role, 14.0);
        let x = legend.width;
        let _ = writeln!(
            legend.text,
            "<g class=\"{class}\"><rect class=\"box\" x=\"{x:.1}\" y=\"0\" width=\"24\" height=\"14\" rx=\"{radius}\"/></g><text class=\"legend\" x=\"{:.1}\" y=\"11\">{class}</text>",
            x + 31.0
        );
        legend.width += 31.0 + class.len() as f64 * 6.6 + 20.0;
    }
    let lines = [(false, "edge", "link"), (true, "edge tunnel", "tunnel or virtual link")];
    for (tunnel, class, text) in lines {
        if graph.edges.iter().any(|edge| edge.tunnel == tunnel) {
            let x = legend.width;
            let _ = writeln!(
                legend.text,
                "<path class=\"{class}\" d=\"M{x:.1} 7h26\"/><text class=\"legend\" x=\"{:.1}\" y=\"11\">{text}</text>",
                x + 33.0
            );
            legend.width += 33.0 + text.len() as f64 * 6.6 + 20.0;
        }
    }
    legend.width = (legend.width - 20.0).max(0.0);
    legend
}

/// Class and corner radius of a role's box.
fn shape(role: Role, height: f64) -> (&'static str, f64) {
    match role {
        Role::Host => ("host", 2.0),
        Role::Router => ("router", height / 2.0),
        Role::Network => ("network", height / 5.0),
        Role::Endpoint => ("endpoint", 3.0),
    }
}

fn edges(graph: &Graph, placed: &Placed, out: &mut String) {
    for (edge, route) in graph.edges.iter().zip(&placed.routes) {
        let class = if edge.tunnel { "edge tunnel" } else { "edge" };
        let mut path = String::new();
        for (index, (x, y)) in route.points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
        }
        let end = |node: usize, label: &str| {
            let name = &graph.nodes[node].name;
            if label.is_empty() { name.clone() } else { format!("{name}:{label}") }
        };
        let (a, b) = (end(edge.a, &edge.label_a), end(edge.b, &edge.label_b));
        let kind = if edge.kind.is_empty() { String::new() } else { format!(" ({})", edge.kind) };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>",
            xml(&format!("{a} -- {b}{kind}"))
        );
    }
    for (edge, route) in graph.edges.iter().zip(&placed.routes) {
        let texts = [
            ("port", &edge.label_a, route.label_a),
            ("port", &edge.label_b, route.label_b),
            ("kind", &edge.kind, route.kind),
        ];
        for (class, text, at) in texts {
            if let Some((x, y)) = at.filter(|_| !text.is_empty()) {
                let _ = writeln!(
                    out,
                    "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                    y + 3.5,
                    xml(text)
                );
            }
        }
    }
}

fn nodes(graph: &Graph, placed: &Placed, out: &mut String) {
    for (node, place) in graph.nodes.iter().zip(&placed.boxes) {
        // Tall boxes keep the corners of low ones.
        let (class, radius) = shape(node.role, place.height.min(46.0));
        let (x, width, height) = (place.x, place.width, place.height);
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><title>{} {}</title><rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\"/>",
            xml(&node.name),
            xml(&node.detail.join(" ")),
            place.left(),
            place.top()
        );
        let lines = node.detail.len() as f64;
        let mut y = place.y + 4.5 - lines * 7.0 - if lines > 0.0 { 0.5 } else { 0.0 };
        let name = xml(&cut(&node.name, layout::LETTERS.0));
        let _ = writeln!(out, "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
        y += 1.0;
        for line in &node.detail {
            y += 14.0;
            let line = xml(&cut(line, layout::LETTERS.1));
            let _ = writeln!(out, "<text class=\"detail\" x=\"{x:.1}\" y=\"{y:.1}\">{line}</text>");
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
