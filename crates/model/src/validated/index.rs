//! Who is called what, and which interface belongs where.

use crate::source::Span;
use crate::topology::{Link, Topology};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A node that uses the network.
    Endpoint,
    /// A node that forwards.
    Router,
    /// A segment.
    Network,
    /// Several nodes.
    Group,
}

impl Thing {
    /// With its article, for sentences.
    #[must_use]
    pub const fn with_article(self) -> &'static str {
        match self {
            Self::Endpoint => "an endpoint",
            Self::Router => "a router",
            Self::Network => "a network",
            Self::Group => "a group",
        }
    }
}

/// Which section a node stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// It uses the network.
    Endpoint,
    /// It forwards.
    Router,
}

/// Which end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The first of `link`.
    A,
    /// The second of `link`.
    B,
    /// The one of `on`.
    On,
}

/// What makes an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// It is a port of this network.
    Network(NodeName),
    /// It is an end of the link at this place of `links`.
    Link {
        /// Place in `links`, from 0.
        index: usize,
        /// Which end.
        end: End,
    },
    /// It is the device of a VRF of the node's `vrfs`.
    Vrf,
    /// It is `lo`, which every node has.
    Loopback,
}

/// A port of a network's switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The node at the other side of the cable; `None` if another network or the host is there.
    pub node: Option<NodeName>,
    /// The interface at the other side of the cable.
    pub interface: InterfaceName,
    /// The link that makes it, by its place in `links`; `None` for a port made by `network:`.
    pub link: Option<usize>,
    /// Where it is written.
    pub span: Span,
}

/// A node's place and interfaces.
#[derive(Debug, Clone)]
pub struct NodeEntry {
    /// Endpoint or router.
    pub kind: NodeKind,
    /// Where its name is written.
    pub span: Span,
    /// What makes each of its interfaces.
    pub interfaces: BTreeMap<InterfaceName, Attachment>,
}

/// Names, attachments and ports of a topology. Where names clash (an error), the first one counts.
#[derive(Debug, Clone, Default)]
pub struct Index {
    things: BTreeMap<NodeName, (Thing, Span)>,
    nodes: BTreeMap<NodeName, NodeEntry>,
    ports: BTreeMap<NodeName, Vec<Port>>,
}

impl Index {
    /// Builds the index of an expanded topology, which may still have errors.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        let mut index = Self::default();
        for (name, span, kind, node) in super::nodes(topology) {
            let thing = if kind == NodeKind::Endpoint { Thing::Endpoint } else { Thing::Router };
            index.things.entry(name.clone()).or_insert((thing, span));
            if index.nodes.contains_key(name) {
                continue;
            }
            let mut interfaces = BTreeMap::new();
            for (key, interface) in &node.interfaces {
                if let Some(network) = &interface.network {
                    interfaces.insert(key.value.clone(), Attachment::Network(network.value.clone()));
                    index.ports.entry(network.value.clone()).or_default().push(Port {
                        node: Some(name.clone()),
                        interface: key.value.clone(),
                        link: None,
                        span: key.span,
                    });
                } else if key.as_str() == "lo" {
                    interfaces.insert(key.value.clone(), Attachment::Loopback);
                }
            }
            for device in node.vrfs.keys() {
                interfaces.entry(device.value.clone()).or_insert(Attachment::Vrf);
            }
            index.nodes.insert(name.clone(), NodeEntry { kind, span, interfaces });
        }
        for key in topology.networks.keys() {
            index.things.entry(key.value.clone()).or_insert((Thing::Network, key.span));
        }
        for key in topology.groups.keys() {
            index.things.entry(key.value.clone()).or_insert((Thing::Group, key.span));
        }
        for (number, item) in topology.links.iter().enumerate() {
            index.add_link(number, &item.value, item.span);
        }
        for ports in index.ports.values_mut() {
            ports.sort_by(|a, b| (&a.node, &a.interface).cmp(&(&b.node, &b.interface)));
        }
        index
    }

    fn add_link(&mut self, number: usize, link: &Link, span: Span) {
        let ends = link_ends(link);
        for (place, (end, node, interface)) in ends.iter().enumerate() {
            if let Some(entry) = self.nodes.get_mut(*node) {
                let attachment = Attachment::Link { index: number, end: *end };
                entry.interfaces.entry((*interface).clone()).or_insert(attachment);
            } else if matches!(self.things.get(*node), Some((Thing::Network, _)))
                && let Some((_, other, other_interface)) = ends.get(1 - place)
            {
                let port = Port {
                    node: self.nodes.contains_key(*other).then(|| (*other).clone()),
                    interface: (*other_interface).clone(),
                    link: Some(number),
                    span,
                };
                self.ports.entry((*node).clone()).or_default().push(port);
            }
        }
    }

    /// What a name stands for, and where it is defined.
    #[must_use]
    pub fn thing(&self, name: &NodeName) -> Option<(Thing, Span)> {
        self.things.get(name).copied()
    }

    /// All names with what they stand for.
    pub fn things(&self) -> impl Iterator<Item = (&NodeName, Thing)> {
        self.things.iter().map(|(name, (thing, _))| (name, *thing))
    }

    /// A node's entry.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&NodeEntry> {
        self.nodes.get(name)
    }

    /// What makes an interface of a node.
    #[must_use]
    pub fn attachment(&self, node: &NodeName, interface: &InterfaceName) -> Option<&Attachment> {
        self.nodes.get(node)?.interfaces.get(interface)
    }

    /// The ports of a network; those towards other networks and the host first.
    #[must_use]
    pub fn ports(&self, network: &NodeName) -> &[Port] {
        self.ports.get(network).map_or(&[], Vec::as_slice)
    }
}

/// The ends of a link with their nodes and interfaces: two for `link`, one for `on`.
#[must_use]
pub(crate) fn link_ends(link: &Link) -> Vec<(End, &NodeName, &InterfaceName)> {
    let mut ends = Vec::with_capacity(2);
    if let Some(pair) = &link.link {
        ends.push((End::A, &pair.value.a.node, &pair.value.a.interface));
        ends.push((End::B, &pair.value.b.node, &pair.value.b.interface));
    }
    if let Some(on) = &link.on {
        ends.push((End::On, &on.value.node, &on.value.interface));
    }
    ends
}
