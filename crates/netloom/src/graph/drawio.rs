//! diagrams.net (mxGraph XML).

use super::layout;
use super::{Graph, Role, xml};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let placed = layout::place(graph);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<mxfile host=\"netloom\"><diagram name=\"{}\"><mxGraphModel grid=\"1\" gridSize=\"10\"><root><mxCell id=\"0\"/><mxCell id=\"1\" parent=\"0\"/>",
        xml(&graph.title)
    );
    for (index, (node, place)) in graph.nodes.iter().zip(&placed.boxes).enumerate() {
        let style = match node.role {
            Role::Host => "rounded=0;fillColor=#e6f5e6;strokeColor=#3f8f46;",
            Role::Router => "ellipse;fillColor=#fff1d6;strokeColor=#d18b14;",
            Role::Network => "rounded=1;fillColor=#dcefff;strokeColor=#2f80c9;",
            Role::Endpoint => "rounded=0;fillColor=#ffffff;strokeColor=#7d8b9b;",
        };
        // The label is HTML inside an XML attribute: escaped once for each.
        let lines = node
            .detail
            .iter()
            .map(|line| format!("<br><font style=\"font-size: 10px\">{}</font>", xml(line)));
        let label = xml(&format!("<b>{}</b>{}", xml(&node.name), lines.collect::<String>()));
        let _ = writeln!(
            out,
            "<mxCell id=\"n{index}\" value=\"{label}\" style=\"{style}whiteSpace=wrap;html=1;\" vertex=\"1\" parent=\"1\"><mxGeometry x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" as=\"geometry\"/></mxCell>",
            place.left(),
            place.top(),
            place.width,
            place.height
        );
    }
    for (index, (edge, route)) in graph.edges.iter().zip(&placed.routes).enumerate() {
        let mut style = String::from("endArrow=none;html=1;rounded=0;");
        if edge.tunnel {
            style.push_str("dashed=1;");
        }
        for (end, point, node) in
            [("exit", route.points.first(), edge.a), ("entry", route.points.last(), edge.b)]
        {
            if let Some((x, y)) = point {
                let place = &placed.boxes[node];
                let (x, y) = ((x - place.left()) / place.width, (y - place.top()) / place.height);
                let _ = write!(style, "{end}X={x:.3};{end}Y={y:.3};{end}Dx=0;{end}Dy=0;");
            }
        }
        let bends = route.points.get(1..route.points.len().saturating_sub(1)).unwrap_or_default();
        let bends: String =
            bends.iter().map(|(x, y)| format!("<mxPoint x=\"{x:.0}\" y=\"{y:.0}\"/>")).collect();
        let _ = writeln!(
            out,
            "<mxCell id=\"e{index}\" value=\"{}\" style=\"{style}\" edge=\"1\" parent=\"1\" source=\"n{}\" target=\"n{}\"><mxGeometry relative=\"1\" as=\"geometry\"><Array as=\"points\">{bends}</Array></mxGeometry></mxCell>",
            xml(&edge.kind),
            edge.a,
            edge.b
        );
        for (side, text, x) in [("a", &edge.label_a, -0.7), ("b", &edge.label_b, 0.7)] {
            if !text.is_empty() {
                let _ = writeln!(
                    out,
                    "<mxCell id=\"e{index}{side}\" value=\"{}\" style=\"edgeLabel;html=1;fontSize=9;\" vertex=\"1\" connectable=\"0\" parent=\"e{index}\"><mxGeometry x=\"{x}\" relative=\"1\" as=\"geometry\"/></mxCell>",
                    xml(text)
                );
            }
        }
    }
    out.push_str("</root></mxGraphModel></diagram></mxfile>\n");
    out
}
