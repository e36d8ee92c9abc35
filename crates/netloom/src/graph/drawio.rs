//! diagrams.net (mxGraph XML).

use super::layout::{self, HEIGHT};
use super::{Graph, Role, xml};
use std::fmt::Write;

pub(super) fn draw(graph: &Graph) -> String {
    let placed = layout::place(graph);
    let width = placed.box_width;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<mxfile host=\"netloom\"><diagram name=\"{}\"><mxGraphModel grid=\"1\" gridSize=\"10\"><root><mxCell id=\"0\"/><mxCell id=\"1\" parent=\"0\"/>",
        xml(&graph.title)
    );
    for (index, (node, (x, y))) in graph.nodes.iter().zip(&placed.at).enumerate() {
        let style = match node.role {
            Role::Host => "rounded=0;fillColor=#e6f5e6;strokeColor=#3f8f46;",
            Role::Router => "ellipse;fillColor=#fff1d6;strokeColor=#d18b14;",
            Role::Network => "rounded=1;fillColor=#dcefff;strokeColor=#2f80c9;",
            Role::Endpoint => "rounded=0;fillColor=#ffffff;strokeColor=#7d8b9b;",
        };
        // The label is HTML inside an XML attribute: escaped once for each.
        let label = xml(&format!("<b>{}</b><br>{}", xml(&node.name), xml(&node.detail)));
        let _ = writeln!(
            out,
            "<mxCell id=\"n{index}\" value=\"{label}\" style=\"{style}whiteSpace=wrap;html=1;\" vertex=\"1\" parent=\"1\"><mxGeometry x=\"{:.0}\" y=\"{:.0}\" width=\"{width:.0}\" height=\"{HEIGHT}\" as=\"geometry\"/></mxCell>",
            x - width / 2.0,
            y - HEIGHT / 2.0
        );
    }
    for (index, edge) in graph.edges.iter().enumerate() {
        let dashed = if edge.tunnel { "dashed=1;" } else { "" };
        let _ = writeln!(
            out,
            "<mxCell id=\"e{index}\" value=\"{}\" style=\"endArrow=none;html=1;{dashed}\" edge=\"1\" parent=\"1\" source=\"n{}\" target=\"n{}\"><mxGeometry relative=\"1\" as=\"geometry\"/></mxCell>",
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
