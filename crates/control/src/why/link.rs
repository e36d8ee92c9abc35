//! Frames between interfaces: cables, bridges, VLANs, riders, bonds, tunnels and switches.
//!
//! ```text
//! Spot (interface, inwards or outwards, tags) --edge--> Spot ...   every edge may be blocked, and says by what
//! ```
//!
//! What: the way with the fewest blocks from an interface to one that satisfies a goal. Without blocks the frame gets
//! there; else the first block is why it does not, and all of them together are what would have to change.
//!
//! Costs: every interface that a flood could reach is looked at once for each list of tags.

use super::change::Edit;
use super::packet::Packet;
use super::report::{Reason, Step};
use super::walk::Walker;
use netloom_compile::object::firewall::HookPoint;
use netloom_compile::object::{BondMode, IpvlanFlag, Key, LinkKind, LinkRef, MacvlanMode, Space};
use netloom_kernel::picture::InterfacePicture;
use netloom_wire::{InterfaceName, MacAddr};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Most spots that one search looks at.
const MOST: usize = 200_000;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) source: MacAddr,
    /// None for all.
    pub(super) destination: Option<MacAddr>,
    pub(super) content: Content,
}

/// What a frame carries.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A question for, or an answer with, an address; the packet is the one that needs it.
    Arp { asked: std::net::IpAddr, packet: Packet },
    /// A packet.
    Ip(Packet),
}

impl Frame {
    pub(super) const fn packet(&self) -> &Packet {
        match &self.content {
            Content::Arp { packet, .. } | Content::Ip(packet) => packet,
        }
    }

    /// Octets of what it carries.
    pub(super) const fn length(&self) -> u32 {
        match &self.content {
            Content::Arp { .. } => 28,
            Content::Ip(packet) => packet.length,
        }
    }

    const fn what(&self) -> &'static str {
        match self.content {
            Content::Arp { .. } => "the question for its address",
            Content::Ip(_) => "it",
        }
    }
}

/// Where a frame is: at an interface, on its way in or out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub(super) at: LinkRef,
    pub(super) out: bool,
    pub(super) tags: Vec<u16>,
}

impl Spot {
    pub(super) const fn outwards(at: LinkRef) -> Self {
        Self { at, out: true, tags: Vec::new() }
    }
}

/// What stands in a frame's way.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) space: Space,
    pub(super) reason: Reason,
    pub(super) sentence: String,
    pub(super) origin: Option<String>,
    pub(super) edits: Vec<Edit>,
}

/// A way on.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) to: Spot,
    pub(super) step: Option<Step>,
    pub(super) blocks: Vec<Block>,
}

impl Edge {
    pub(super) const fn free(to: Spot, step: Option<Step>) -> Self {
        Self { to, step, blocks: Vec::new() }
    }
}

/// A way that was found.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) arrived: LinkRef,
    pub(super) steps: Vec<Step>,
    pub(super) blocks: Vec<Block>,
}

impl Walker<'_> {
    /// The way with the fewest blocks to an interface that takes the frame for itself and satisfies `goal`.
    pub(super) fn cross(
        &mut self,
        from: &Spot,
        frame: &Frame,
        goal: &dyn Fn(&LinkRef, &InterfacePicture) -> bool,
    ) -> Option<Path> {
        let mut best: BTreeMap<Spot, usize> = BTreeMap::from([(from.clone(), 0)]);
        let mut came: BTreeMap<Spot, (Spot, Option<Step>, Vec<Block>)> = BTreeMap::new();
        let mut queue = BinaryHeap::from([Reverse((0_usize, 0_usize, from.clone()))]);
        while let Some(Reverse((cost, length, spot))) = queue.pop() {
            if best.get(&spot).is_some_and(|known| *known < cost) || best.len() > MOST {
                continue;
            }
            if !spot.out
                && self.takes(&spot)
                && self.scene.interface(&spot.at).is_some_and(|i| goal(&spot.at, i))
            {
                return Some(trail(&came, spot));
            }
            for edge in self.edges(&spot, frame) {
                let price = cost + edge.blocks.len();
                if best.get(&edge.to).is_none_or(|known| price < *known) {
                    best.insert(edge.to.clone(), price);
                    came.insert(edge.to.clone(), (spot.clone(), edge.step, edge.blocks));
                    queue.push(Reverse((price, length + 1, edge.to)));
                }
            }
        }
        None
    }

    /// Whether a namespace's own network layer sees what comes in here.
    fn takes(&self, spot: &Spot) -> bool {
        let Some(space) = self.scene.space(&spot.at.space) else { return false };
        let Some(interface) = space.interfaces.get(&spot.at.name) else { return false };
        let controller = interface.link.controller.as_ref().and_then(|name| space.interfaces.get(name));
        let is_port =
            controller.is_some_and(|c| matches!(c.link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_)));
        spot.tags.is_empty() && !is_port
    }

    fn edges(&mut self, spot: &Spot, frame: &Frame) -> Vec<Edge> {
        let Some(interface) = self.scene.interface(&spot.at).cloned() else { return Vec::new() };
        let mut edges = if spot.out {
            self.outwards(spot, &interface, frame)
        } else {
            self.inwards(spot, &interface, frame)
        };
        // What stands at the way out is met by every edge, what stands at a way in by the edges that lead there.
        let leaving = if spot.out { self.blocks_at(spot, frame) } else { Vec::new() };
        for edge in &mut edges {
            edge.blocks.splice(0..0, leaving.iter().cloned());
            if !edge.to.out {
                edge.blocks.extend(self.blocks_at(&edge.to, frame));
            }
        }
        edges
    }

    fn blocks_at(&self, spot: &Spot, frame: &Frame) -> Vec<Block> {
        let Some(interface) = self.scene.interface(&spot.at) else { return Vec::new() };
        self.down(spot, interface).into_iter().chain(self.filtered(spot, frame)).collect()
    }

    /// An interface that is down passes nothing.
    fn down(&self, spot: &Spot, interface: &InterfacePicture) -> Option<Block> {
        let at = &spot.at;
        if !interface.link.up {
            return Some(Block {
                space: at.space.clone(),
                reason: Reason::LinkDown,
                sentence: format!("interface {at} is down"),
                origin: self.wishes.link(&at.space, &at.name),
                edits: vec![Edit::LinkUp { at: at.clone() }],
            });
        }
        let far = match &interface.link.kind {
            LinkKind::Veth { peer } => self.scene.interface(peer).is_some_and(|peer| !peer.link.up),
            _ => false,
        };
        // A cable whose other end is down is told there.
        (spot.out && !interface.carrier && !far && has_carrier(&interface.link.kind)).then(|| Block {
            space: at.space.clone(),
            reason: Reason::LinkDown,
            sentence: format!("interface {at} has no carrier: nothing is connected to it"),
            origin: self.wishes.link(&at.space, &at.name),
            edits: Vec::new(),
        })
    }

    /// Filters on the device itself.
    fn filtered(&self, spot: &Spot, frame: &Frame) -> Option<Block> {
        let device = spot.at.name.clone();
        let point = if spot.out { HookPoint::Egress { device } } else { HookPoint::Ingress { device } };
        let space = self.scene.space(&spot.at.space)?;
        if !space.filters.iter().any(|filter| {
            filter.firewall.chains.iter().any(|c| c.hook.as_ref().is_some_and(|h| h.point == point))
        }) {
            return None;
        }
        let at = super::filter::At { space, point: &point, input: Some(&spot.at.name), output: None };
        let mut packet = frame.packet().clone();
        let (decided, _) = super::filter::judge(&at, &mut packet).stopped?;
        let edits = vec![Edit::Accept {
            space: spot.at.space.clone(),
            place: decided.place,
            rule: super::filter::allowing(frame.packet()),
        }];
        let way = if spot.out { "leaving by" } else { "arriving at" };
        Some(Block {
            space: spot.at.space.clone(),
            reason: Reason::Filtered,
            sentence: format!(
                "a filter at the device drops what is {way} {}: {}",
                spot.at,
                super::hooks::rule_words(&decided)
            ),
            origin: decided
                .origin
                .clone()
                .or_else(|| self.wishes.origin(&Key::Firewall { space: spot.at.space.clone() })),
            edits,
        })
    }

    fn outwards(&mut self, spot: &Spot, interface: &InterfacePicture, frame: &Frame) -> Vec<Edge> {
        let at = &spot.at;
        let inside = |name: &InterfaceName| LinkRef { space: at.space.clone(), name: name.clone() };
        match &interface.link.kind {
            LinkKind::Veth { peer } => self.cable(spot, peer, frame),
            LinkKind::Bridge(_) => self.bridged(&at.space, &at.name, None, spot.tags.clone(), frame),
            LinkKind::Vlan { parent, id, .. } => {
                let mut tags = vec![id.get()];
                tags.extend(&spot.tags);
                vec![Edge::free(Spot { at: inside(parent), out: true, tags }, None)]
            }
            LinkKind::Macvlan { parent, mode, .. } => self.leaving_rider(spot, parent, *mode, frame),
            LinkKind::Ipvlan { parent, flag, .. } => {
                let mode =
                    if *flag == IpvlanFlag::Bridge { MacvlanMode::Bridge } else { MacvlanMode::Private };
                self.leaving_rider(spot, parent, mode, frame)
            }
            LinkKind::Bond(options) => {
                let Some(space) = self.scene.space(&at.space) else { return Vec::new() };
                let members = space
                    .interfaces
                    .iter()
                    .filter(|(_, member)| member.link.controller.as_ref() == Some(&at.name));
                let mut members: Vec<&InterfaceName> = members
                    .filter(|(_, member)| member.link.up && member.carrier)
                    .map(|(name, _)| name)
                    .collect();
                if options.mode == BondMode::ActiveBackup {
                    let primary = options.primary.as_ref().filter(|name| members.contains(name));
                    members = primary.or(members.first().copied()).into_iter().collect();
                }
                let to = |name: &InterfaceName| Spot { at: inside(name), out: true, tags: spot.tags.clone() };
                members.into_iter().map(|name| Edge::free(to(name), None)).collect()
            }
            LinkKind::Vxlan(_)
            | LinkKind::Geneve(_)
            | LinkKind::Gre(_)
            | LinkKind::Gretap(_)
            | LinkKind::Wireguard(_) => self.tunnel(spot, &interface.link.kind, frame),
            LinkKind::Tap(_) | LinkKind::Tun(_) | LinkKind::Existing => match self.scene.port_at(at) {
                Some((switch, port)) => {
                    let (switch, port) = (switch.to_owned(), port.to_owned());
                    self.switched(&switch, &port, &spot.tags, frame, 0)
                }
                None => Vec::new(),
            },
            LinkKind::Dummy | LinkKind::Ifb | LinkKind::Vrf { .. } => Vec::new(),
        }
    }

    fn inwards(&mut self, spot: &Spot, interface: &InterfacePicture, frame: &Frame) -> Vec<Edge> {
        let at = spot.at.clone();
        let mut edges = Vec::new();
        if let Some((switch, port)) = self.scene.port_at(&at)
            && matches!(
                self.scene.switches.get(switch).and_then(|s| s.ports.get(port)).map(|p| &p.behind),
                Some(super::scene::BehindPort::Interface(_))
            )
        {
            let (switch, port) = (switch.to_owned(), port.to_owned());
            return self.switched(&switch, &port, &spot.tags, frame, 0);
        }
        let Some(space) = self.scene.space(&at.space) else { return edges };
        if let Some((tag, rest)) = spot.tags.split_first() {
            // An interface of the VLAN comes before a bridge.
            let of = space.interfaces.iter().find(|(_, rider)| {
                matches!(&rider.link.kind, LinkKind::Vlan { parent, id, .. } if *parent == at.name && id.get() == *tag)
            });
            if let Some((name, _)) = of {
                let to = LinkRef { space: at.space.clone(), name: name.clone() };
                return vec![Edge::free(Spot { at: to, out: false, tags: rest.to_vec() }, None)];
            }
        }
        match interface
            .link
            .controller
            .as_ref()
            .and_then(|name| Some((name.clone(), space.interfaces.get(name)?)))
        {
            Some((name, controller)) if matches!(controller.link.kind, LinkKind::Bridge(_)) => {
                edges.extend(self.bridged(&at.space, &name, Some(&at.name), spot.tags.clone(), frame));
                return edges;
            }
            Some((name, controller)) if matches!(controller.link.kind, LinkKind::Bond(_)) => {
                let to = LinkRef { space: at.space.clone(), name };
                edges.push(Edge::free(Spot { at: to, out: false, tags: spot.tags.clone() }, None));
                return edges;
            }
            _ => {}
        }
        edges.extend(self.to_riders(spot, frame, None));
        if let (Some(tag), true) = (spot.tags.first(), edges.is_empty()) {
            let block = Block {
                space: at.space.clone(),
                reason: Reason::Vlan,
                sentence: format!(
                    "it arrives at {at} with the tag of VLAN {tag}, and nobody there takes that"
                ),
                origin: self.wishes.link(&at.space, &at.name),
                edits: Vec::new(),
            };
            edges.push(Edge {
                to: Spot { at, out: false, tags: Vec::new() },
                step: None,
                blocks: vec![block],
            });
        }
        edges
    }

    fn cable(&self, spot: &Spot, peer: &LinkRef, frame: &Frame) -> Vec<Edge> {
        let at = &spot.at;
        let mut blocks = Vec::new();
        if let Some(far) = self.scene.interface(peer)
            && let Some(mtu) = far.link.mtu.filter(|mtu| frame.length() > mtu + 4)
        {
            blocks.push(self.too_long(peer, mtu, frame));
        }
        let quiet = self.is_port(at) || self.is_port(peer);
        let text = format!("the cable {at} - {peer} carries {}", frame.what());
        let step = Step::new(&at.space, "cable", text)
            .object(format!("link {at}"))
            .from(self.wishes.link(&at.space, &at.name))
            .quiet(quiet);
        vec![Edge {
            to: Spot { at: peer.clone(), out: false, tags: spot.tags.clone() },
            step: Some(step),
            blocks,
        }]
    }

    fn is_port(&self, at: &LinkRef) -> bool {
        self.scene.interface(at).is_some_and(|interface| interface.link.port.is_some())
    }

    pub(super) fn too_long(&self, at: &LinkRef, mtu: u32, frame: &Frame) -> Block {
        Block {
            space: at.space.clone(),
            reason: Reason::TooLong,
            sentence: format!("{at} takes {mtu} octets, and the packet has {}", frame.length()),
            origin: self.wishes.link(&at.space, &at.name),
            edits: vec![Edit::Mtu { at: at.clone(), mtu: frame.length() }],
        }
    }

    /// From an interface that rides on another.
    fn leaving_rider(&self, spot: &Spot, parent: &LinkRef, mode: MacvlanMode, frame: &Frame) -> Vec<Edge> {
        let mut edges =
            vec![Edge::free(Spot { at: parent.clone(), out: true, tags: spot.tags.clone() }, None)];
        if mode == MacvlanMode::Bridge {
            let lower = Spot { at: parent.clone(), out: false, tags: spot.tags.clone() };
            edges.extend(self.to_riders(&lower, frame, Some(&spot.at)));
        }
        edges
    }

    /// To the interfaces that ride on this one.
    fn to_riders(&self, spot: &Spot, frame: &Frame, but: Option<&LinkRef>) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (space, picture) in &self.scene.picture.spaces {
            for (name, interface) in &picture.interfaces {
                let parent = match &interface.link.kind {
                    LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => parent,
                    _ => continue,
                };
                let to = LinkRef { space: space.clone(), name: name.clone() };
                if *parent != spot.at || but == Some(&to) {
                    continue;
                }
                // An ipvlan shares its parent's address; a macvlan takes what is for its own.
                let is_macvlan = matches!(interface.link.kind, LinkKind::Macvlan { .. });
                if is_macvlan && frame.destination.is_some_and(|mac| interface.link.mac != Some(mac)) {
                    continue;
                }
                if but.is_some()
                    && matches!(&interface.link.kind, LinkKind::Macvlan { mode, .. } if *mode != MacvlanMode::Bridge)
                {
                    continue;
                }
                if let LinkKind::Macvlan { mode: MacvlanMode::Source, sources, .. } = &interface.link.kind
                    && !sources.contains(&frame.source)
                {
                    continue;
                }
                edges.push(Edge::free(Spot { at: to, out: false, tags: spot.tags.clone() }, None));
            }
        }
        edges
    }
}

/// Kinds for which a missing carrier means that nothing leaves.
const fn has_carrier(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Veth { .. } | LinkKind::Tap(_) | LinkKind::Tun(_) | LinkKind::Existing)
}

/// The way back from a spot to where the search began.
fn trail(came: &BTreeMap<Spot, (Spot, Option<Step>, Vec<Block>)>, end: Spot) -> Path {
    let arrived = end.at.clone();
    let (mut steps, mut blocks, mut spot) = (Vec::new(), Vec::new(), end);
    while let Some((before, step, stopped)) = came.get(&spot) {
        steps.extend(step.clone());
        blocks.extend(stopped.iter().rev().cloned());
        spot = before.clone();
    }
    steps.reverse();
    blocks.reverse();
    Path { arrived, steps, blocks }
}
