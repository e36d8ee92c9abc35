//! Pictures of a network: one graph, placed once, drawn in several forms.
//!
//! What: [`Graph::of`] makes nodes and edges of an expanded topology; [`layout`] places them; `svg`,
//! `html`, `mermaid`, `dot`, `drawio` and `ascii` draw. The forms that place by themselves (Mermaid,
//! Graphviz) get the bare graph.
//!
//! Invariants: the same topology gives the same picture, byte for byte. Names come from the user and
//! are escaped by each form's rules.

mod ascii;
mod dot;
mod drawio;
mod html;
pub mod layout;
mod mermaid;
mod svg;

use netloom_model::scalar::AddressChoice;
use netloom_model::topology::{Duplex, Interface, LinkKind, Medium, NetworkMode, Topology, Uplink};
use std::collections::BTreeMap;

/// What a node of the picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The host.
    Host,
    /// A router.
    Router,
    /// A network.
    Network,
    /// An endpoint.
    Endpoint,
}

/// A node of the picture.
#[derive(Debug, Clone)]
pub struct GraphNode {
    /// Its name, unique.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// More lines: mode and subnets of a network, addresses of a node.
    pub detail: Vec<String>,
}

/// An edge of the picture.
#[derive(Debug, Clone)]
pub struct GraphEdge {
    /// Index of one node.
    pub a: usize,
    /// Index of the other.
    pub b: usize,
    /// Interface at `a`.
    pub label_a: String,
    /// Interface at `b`.
    pub label_b: String,
    /// What it is: `veth`, `wireguard`, `VTEP` ...; empty for a plain attachment.
    pub kind: String,
    /// Drawn dashed: it rides on others.
    pub tunnel: bool,
}

/// An edge as it stands in the layout.
struct Downward<'a> {
    edge: &'a GraphEdge,
    upper: usize,
    lower: usize,
    label_upper: &'a str,
    label_lower: &'a str,
    /// Both nodes stand side by side.
    level: bool,
}

/// A network as a graph.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Title.
    pub title: String,
    /// Nodes.
    pub nodes: Vec<GraphNode>,
    /// Edges.
    pub edges: Vec<GraphEdge>,
}

impl Graph {
    /// The graph of an expanded topology. `addresses` gives the addresses that are known by node and
    /// interface (allocated ones too, when the network runs).
    #[must_use]
    pub fn of(topology: &Topology, addresses: &BTreeMap<(String, String), Vec<String>>) -> Self {
        let mut graph = Self { title: topology.name.to_string(), ..Self::default() };
        let mut index = BTreeMap::new();
        let nodes = topology.routers.iter().map(|entry| (entry, Role::Router));
        let endpoints = topology.endpoints.iter().map(|entry| (entry, Role::Endpoint));
        for (name, network) in &topology.networks {
            let subnets: Vec<String> = network.subnet.iter().map(|prefix| prefix.to_string()).collect();
            let mode = match network.mode {
                NetworkMode::Bridge => "bridge",
                NetworkMode::Nat => "nat",
                NetworkMode::HostOnly => "host-only",
                NetworkMode::Routed => "routed",
                NetworkMode::Overlay => "overlay",
                NetworkMode::Macvlan => "macvlan",
                NetworkMode::Ipvlan => "ipvlan",
            };
            let vni = network.vni.as_ref().map(|vni| format!(", VNI {}", vni.value));
            let mut detail = vec![format!("{mode}{}", vni.unwrap_or_default())];
            detail.extend(subnets);
            graph.add(&mut index, name.as_str(), Role::Network, few(detail));
        }
        for ((name, node), role) in nodes.chain(endpoints) {
            let of = |interface: &str, settings: &Interface| match addresses
                .get(&(name.to_string(), interface.to_owned()))
            {
                Some(known) => known.clone(),
                None => settings.address.iter().filter_map(|choice| written(&choice.value)).collect(),
            };
            let mut all: Vec<(&str, Vec<String>)> = node
                .interfaces
                .iter()
                .map(|(interface, settings)| (interface.as_str(), of(interface.as_str(), settings)))
                .collect();
            // Links make interfaces of their own.
            let own = (name.to_string(), String::new())..;
            let linked = addresses.range(own).take_while(|((node, _), _)| *node == name.as_str());
            all.extend(
                linked
                    .filter(|((_, interface), _)| {
                        !node.interfaces.keys().any(|own| own.as_str() == interface)
                    })
                    .map(|((_, interface), known)| (interface.as_str(), known.clone())),
            );
            all.retain(|(_, texts)| !texts.is_empty());
            // With one interface its name at the line says enough.
            let detail = match all.as_slice() {
                [(_, texts)] => texts.clone(),
                _ => all
                    .iter()
                    .flat_map(|(interface, texts)| {
                        texts.iter().map(move |text| format!("{interface} {text}"))
                    })
                    .collect(),
            };
            let word = node.is_machine().then(|| "virtual machine".to_owned());
            let detail = word.into_iter().chain(detail).collect();
            graph.add(&mut index, name.as_str(), role, few(detail));
        }
        for (name, node) in topology.routers.iter().chain(&topology.endpoints) {
            for (interface, settings) in &node.interfaces {
                if let Some(network) = &settings.network {
                    let label = match (&settings.vlan, settings.trunk.is_empty()) {
                        (Some(vlan), _) => format!("VLAN {}", vlan.value),
                        (None, false) => "trunk".to_owned(),
                        (None, true) => String::new(),
                    };
                    graph.connect(
                        &mut index,
                        (name.as_str(), interface.as_str()),
                        (network.as_str(), ""),
                        &label,
                        false,
                    );
                }
            }
        }
        for link in &topology.links {
            let kind = serde_json::to_value(link.kind)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default();
            if let Some(ends) = &link.link {
                let tunnel = !matches!(link.kind, LinkKind::Veth);
                let label = match &link.medium {
                    _ if tunnel => kind,
                    Some(medium) => properties(medium),
                    None => String::new(),
                };
                graph.connect(
                    &mut index,
                    (ends.a.node.as_str(), ends.a.interface.as_str()),
                    (ends.b.node.as_str(), ends.b.interface.as_str()),
                    &label,
                    tunnel,
                );
            }
        }
        for (name, network) in &topology.networks {
            for vtep in network.vteps.keys() {
                graph.connect(&mut index, (vtep.as_str(), ""), (name.as_str(), ""), "VTEP", true);
            }
            match network.uplink.as_ref().map(|uplink| &uplink.value) {
                Some(Uplink::Network(other)) => {
                    graph.connect(
                        &mut index,
                        (name.as_str(), "uplink0"),
                        (other.as_str(), ""),
                        "uplink",
                        false,
                    );
                }
                Some(Uplink::Interface(at)) => {
                    graph.connect(
                        &mut index,
                        (name.as_str(), ""),
                        (at.node.as_str(), at.interface.as_str()),
                        "uplink",
                        false,
                    );
                }
                Some(Uplink::Host) => {
                    graph.connect(&mut index, (name.as_str(), "uplink0"), ("host", ""), "uplink", false);
                }
                None if network.mode == NetworkMode::Nat => {
                    graph.connect(&mut index, (name.as_str(), "uplink0"), ("host", ""), "uplink", false);
                }
                Some(Uplink::None) | None => {}
            }
            if let Some(parent) = &network.parent {
                graph.connect(
                    &mut index,
                    (name.as_str(), ""),
                    (parent.node.as_str(), parent.interface.as_str()),
                    "parent",
                    false,
                );
            }
        }
        graph
    }

    fn add(
        &mut self,
        index: &mut BTreeMap<String, usize>,
        name: &str,
        role: Role,
        detail: Vec<String>,
    ) -> usize {
        *index.entry(name.to_owned()).or_insert_with(|| {
            self.nodes.push(GraphNode { name: name.to_owned(), role, detail });
            self.nodes.len() - 1
        })
    }

    fn connect(
        &mut self,
        index: &mut BTreeMap<String, usize>,
        (a, label_a): (&str, &str),
        (b, label_b): (&str, &str),
        kind: &str,
        tunnel: bool,
    ) {
        // Only the host can be missing: every other name was validated.
        let a = self.add(index, a, Role::Host, Vec::new());
        let b = self.add(index, b, Role::Host, Vec::new());
        self.edges.push(GraphEdge {
            a,
            b,
            label_a: label_a.to_owned(),
            label_b: label_b.to_owned(),
            kind: kind.to_owned(),
            tunnel,
        });
    }

    /// The edges from the upper to the lower node of our own layout, for forms that place by themselves but
    /// take the first node of an edge for the upper one.
    fn downwards(&self) -> impl Iterator<Item = Downward<'_>> {
        let placed = layout::place(self);
        self.edges.iter().map(move |edge| {
            let (a, b) = (placed.boxes[edge.a].top(), placed.boxes[edge.b].top());
            let (upper, lower, label_upper, label_lower) = if b < a {
                (edge.b, edge.a, edge.label_b.as_str(), edge.label_a.as_str())
            } else {
                (edge.a, edge.b, edge.label_a.as_str(), edge.label_b.as_str())
            };
            Downward { edge, upper, lower, label_upper, label_lower, level: (a - b).abs() < 1.0 }
        })
    }

    /// Draws the graph in one of the forms.
    #[must_use]
    pub fn draw(&self, format: crate::cli::GraphFormat) -> String {
        use crate::cli::GraphFormat;
        match format {
            GraphFormat::Ascii => ascii::draw(self),
            GraphFormat::Svg => svg::draw(self),
            GraphFormat::Html => html::draw(self),
            GraphFormat::Mermaid => mermaid::draw(self),
            GraphFormat::Dot => dot::draw(self),
            GraphFormat::Drawio => drawio::draw(self),
        }
    }
}

/// Most lines of details in a box.
const LINES: usize = 6;

/// The lines, or the first of them and how many more there are.
fn few(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES {
        let more = lines.len() - (LINES - 1);
        lines.truncate(LINES - 1);
        lines.push(format!("+{more} more"));
    }
    lines
}

/// What a medium is, in a few words.
fn properties(medium: &Medium) -> String {
    let mut words = Vec::new();
    words.extend(medium.profile.as_ref().map(|profile| profile.value.clone()));
    words.extend(medium.rate.as_ref().map(|rate| rate.value.to_string()));
    words.extend(medium.delay.as_ref().map(|delay| delay.value.to_string()));
    words.extend(medium.loss.as_ref().map(|loss| format!("{} loss", loss.value)));
    words.extend(medium.duplex.as_ref().and_then(|duplex| match duplex.value {
        Duplex::Full => None,
        Duplex::Half => Some("half duplex".to_owned()),
        Duplex::Simplex => Some("one way".to_owned()),
    }));
    words.join(", ")
}

/// An address as the file says it, if it says one.
fn written(choice: &AddressChoice) -> Option<String> {
    match choice {
        AddressChoice::Fixed(address) => Some(address.to_string()),
        AddressChoice::Bare(address) => Some(address.to_string()),
        _ => None,
    }
}

/// Escapes text for XML and HTML.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::GraphFormat;
    use netloom_model::document::Format;
    use netloom_model::load;
    use netloom_model::source::SourceFile;

    fn graph(text: &str) -> Graph {
        let source = SourceFile::new("test.yaml", text);
        let loaded = load::load(&source, Format::Yaml, &BTreeMap::new())
            .unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(&source, false)));
        Graph::of(loaded.validated.topology(), &BTreeMap::new())
    }

    /// No two boxes cover each other, and in rows no line runs through a box.
    fn assert_clean(name: &str, graph: &Graph, placed: &layout::Placed) {
        for (index, a) in placed.boxes.iter().enumerate() {
            assert!(!placed.boxes[..index].iter().any(|b| a.overlaps(b)), "{name}: {a:?} is covered");
        }
        for (edge, route) in graph.edges.iter().zip(&placed.routes) {
            assert!(route.points.len() > 1, "{name}: an edge without a line");
            for pair in route.points.windows(2) {
                for step in 1..50 {
                    let share = f64::from(step) / 50.0;
                    let x = pair[0].0 + (pair[1].0 - pair[0].0) * share;
                    let y = pair[0].1 + (pair[1].1 - pair[0].1) * share;
                    let inside = |place: &layout::Rect| {
                        (x - place.x).abs() < place.width / 2.0 - 2.0
                            && (y - place.y).abs() < place.height / 2.0 - 2.0
                    };
                    let hit = placed.boxes.iter().position(inside);
                    assert!(
                        hit.is_none(),
                        "{name}: the line {} -- {} runs through {}",
                        graph.nodes[edge.a].name,
                        graph.nodes[edge.b].name,
                        hit.map_or("", |hit| graph.nodes[hit].name.as_str())
                    );
                }
            }
        }
    }

    #[test]
    fn every_example_is_drawn_in_every_form_and_always_the_same() {
        let mut count = 0;
        for entry in std::fs::read_dir(netloom_testkit::project_file("examples")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let (first, second) = (graph(&text), graph(&text));
            for format in [
                GraphFormat::Ascii,
                GraphFormat::Svg,
                GraphFormat::Html,
                GraphFormat::Mermaid,
                GraphFormat::Dot,
                GraphFormat::Drawio,
            ] {
                let picture = first.draw(format);
                assert_eq!(picture, second.draw(format), "{} {format:?}", path.display());
                for node in &first.nodes {
                    assert!(
                        picture.contains(&node.name),
                        "{} {format:?} lacks {}",
                        path.display(),
                        node.name
                    );
                }
            }
            let placed = layout::place(&first);
            assert_clean(&path.display().to_string(), &first, &placed);
            count += 1;
        }
        assert!(count > 20);
    }

    #[test]
    fn a_large_network_is_placed_quickly() {
        let mut text = String::from(
            "netloom: 1\nname: large\nnetworks:\n  hub: { mode: bridge, subnet: 10.0.0.0/16 }\nendpoints:\n",
        );
        for index in 0..1000 {
            text.push_str(&format!("  h{index}: {{ networks: hub }}\n"));
        }
        let graph = graph(&text);
        let placed = layout::place(&graph);
        // A grid under the switch, not one endless row.
        assert!(placed.width < placed.height * 4.0, "{} x {}", placed.width, placed.height);
        assert_clean("large", &graph, &placed);
    }
}
