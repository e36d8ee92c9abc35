//! Tunnels: what is sent into one is a packet of the namespace that holds it, and walks by itself.

use super::link::{Block, Edge, Frame, Spot};
use super::packet::Packet;
use super::report::{Reason, Step};
use super::walk::{Loss, Walker};
use netloom_compile::object::firewall::Protocol;
use netloom_compile::object::{LinkKind, LinkRef, Space};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the outside of a tunnel adds: the Ethernet header inside, UDP and its own.
const ADDED: u32 = 14 + 8 + 8;

/// The outside of a tunnel.
struct Outside {
    source: Option<IpAddr>,
    remote: IpAddr,
    protocol: Protocol,
    port: Option<u16>,
}

impl Walker<'_> {
    /// From a tunnel's interface to those of its other ends.
    pub(super) fn tunnel(&mut self, spot: &Spot, kind: &LinkKind, frame: &Frame) -> Vec<Edge> {
        let outsides = self.outsides(spot, kind, frame);
        let mut edges = Vec::new();
        for outside in outsides {
            if outside.remote.is_multicast() {
                edges.extend(self.group(spot, kind, outside.remote, frame));
                continue;
            }
            let unspecified: IpAddr = match outside.remote {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let mut packet =
                Packet::opening(outside.protocol, outside.source.unwrap_or(unspecified), outside.remote);
            packet.destination_port = outside.port;
            packet.length = frame.length() + ADDED + if outside.remote.is_ipv4() { 20 } else { 40 };
            packet.may_fragment = true;
            let leg = self.within_tunnel(&spot.at.space, packet);
            let at = &spot.at;
            let mut step = Step::new(
                &at.space,
                "tunnel",
                format!("{} {at} carries it to {}", kind.word(), outside.remote),
            )
            .object(format!("link {at}"))
            .from(self.wishes.link(&at.space, &at.name));
            match leg {
                Ok((space, steps)) => {
                    step.inner = steps;
                    for to in self.far_ends(&space, kind, outside.remote, frame) {
                        edges.push(Edge::free(
                            Spot { at: to, out: false, tags: spot.tags.clone() },
                            Some(step.clone()),
                        ));
                    }
                }
                Err(loss) => {
                    let loss = *loss;
                    let block = Block {
                        space: loss.space.clone(),
                        reason: loss.reason,
                        sentence: format!(
                            "what {} {at} sends to {} is lost: {}",
                            kind.word(),
                            outside.remote,
                            loss.sentence
                        ),
                        origin: loss.origin.clone(),
                        edits: loss.edits.clone(),
                    };
                    // As if it had arrived, so that what is behind it is found too.
                    let owners: BTreeSet<Space> =
                        self.scene.owners(outside.remote).map(|(space, _)| space.clone()).collect();
                    for space in owners {
                        for to in self.far_ends(&space, kind, outside.remote, frame) {
                            let to = Spot { at: to, out: false, tags: spot.tags.clone() };
                            edges.push(Edge { to, step: Some(step.clone()), blocks: vec![block.clone()] });
                        }
                    }
                }
            }
        }
        edges
    }

    /// The outer packets that a frame becomes.
    fn outsides(&self, spot: &Spot, kind: &LinkKind, frame: &Frame) -> Vec<Outside> {
        match kind {
            LinkKind::Vxlan(options) => {
                let entries = self
                    .scene
                    .space(&spot.at.space)
                    .map(|space| space.entries.as_slice())
                    .unwrap_or_default();
                let of = entries.iter().filter(|entry| entry.interface == spot.at.name);
                let remotes = |wanted: [u8; 6]| -> BTreeSet<IpAddr> {
                    let fits = |entry: &&netloom_kernel::picture::EntryPicture| {
                        entry.mac.octets() == wanted && (entry.fixed || wanted == [0; 6])
                    };
                    of.clone().filter(fits).filter_map(|entry| entry.remote).collect()
                };
                let mut to = frame.destination.map(|mac| remotes(mac.octets())).unwrap_or_default();
                if to.is_empty() {
                    to = remotes([0; 6]);
                    to.extend(options.remote);
                }
                let outside = |remote| Outside {
                    source: options.local,
                    remote,
                    protocol: Protocol::UDP,
                    port: Some(options.port),
                };
                to.into_iter().map(outside).collect()
            }
            LinkKind::Geneve(options) => vec![Outside {
                source: None,
                remote: options.remote,
                protocol: Protocol::UDP,
                port: Some(options.port),
            }],
            LinkKind::Gre(options) | LinkKind::Gretap(options) => vec![Outside {
                source: options.local,
                remote: options.remote,
                protocol: Protocol::GRE,
                port: None,
            }],
            LinkKind::Wireguard(options) => {
                let destination = frame.packet().destination;
                let fits = |net: &ipnet::IpNet| net.contains(&destination);
                let peer = options
                    .peers
                    .iter()
                    .filter_map(|peer| {
                        Some((
                            peer.allowed_ips
                                .iter()
                                .filter(|net| fits(net))
                                .map(ipnet::IpNet::prefix_len)
                                .max()?,
                            peer,
                        ))
                    })
                    .max_by_key(|(length, _)| *length);
                let endpoint = peer.and_then(|(_, peer)| peer.endpoint);
                let outside = |end: std::net::SocketAddr| Outside {
                    source: None,
                    remote: end.ip(),
                    protocol: Protocol::UDP,
                    port: Some(end.port()),
                };
                endpoint.map(outside).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The interfaces in a namespace that take such packets out of their tunnel.
    fn far_ends(&self, at: &Space, kind: &LinkKind, remote: IpAddr, frame: &Frame) -> Vec<LinkRef> {
        let Some(space) = self.scene.space(at) else { return Vec::new() };
        let fits = |other: &LinkKind| match (kind, other) {
            (LinkKind::Vxlan(own), LinkKind::Vxlan(far)) => own.vni == far.vni && own.port == far.port,
            (LinkKind::Geneve(own), LinkKind::Geneve(far)) => own.vni == far.vni && own.port == far.port,
            (LinkKind::Gre(own), LinkKind::Gre(far)) | (LinkKind::Gretap(own), LinkKind::Gretap(far)) => {
                own.key == far.key
                    && far.local.is_none_or(|local| local == remote)
                    && own.local.is_none_or(|local| far.remote == local)
            }
            (LinkKind::Wireguard(_), LinkKind::Wireguard(far)) => {
                let source = frame.packet().source;
                far.peers.iter().any(|peer| peer.allowed_ips.iter().any(|net| net.contains(&source)))
            }
            _ => false,
        };
        let ends = space.interfaces.iter().filter(|(_, interface)| fits(&interface.link.kind));
        ends.map(|(name, _)| LinkRef { space: at.clone(), name: name.clone() }).collect()
    }

    /// A VXLAN whose other ends have joined a group: over the interface that it names, as to all.
    fn group(&mut self, spot: &Spot, kind: &LinkKind, group: IpAddr, frame: &Frame) -> Vec<Edge> {
        let LinkKind::Vxlan(options) = kind else { return Vec::new() };
        let Some(device) = options.device.clone() else { return Vec::new() };
        let mut edges = Vec::new();
        let spaces: Vec<Space> =
            self.scene.picture.spaces.keys().filter(|space| **space != spot.at.space).cloned().collect();
        for space in spaces {
            for to in self.far_ends(&space, kind, group, frame) {
                let far = self.scene.interface(&to).and_then(|far| match &far.link.kind {
                    LinkKind::Vxlan(far) if far.remote == Some(group) => far.device.clone(),
                    _ => None,
                });
                let Some(far) = far else { continue };
                let from = Spot::outwards(LinkRef { space: spot.at.space.clone(), name: device.clone() });
                let goal = LinkRef { space: space.clone(), name: far };
                let outer = Frame { destination: None, ..frame.clone() };
                let Some(path) = self.cross(&from, &outer, &|at, _| *at == goal) else { continue };
                let at = &spot.at;
                let mut step =
                    Step::new(&at.space, "tunnel", format!("vxlan {at} carries it to the group {group}"))
                        .object(format!("link {at}"))
                        .from(self.wishes.link(&at.space, &at.name));
                step.inner = path.steps;
                let to = Spot { at: to, out: false, tags: spot.tags.clone() };
                edges.push(Edge { to, step: Some(step), blocks: path.blocks });
            }
        }
        edges
    }

    /// A tunnel's outer packet, walked by itself: the namespace where it arrives.
    fn within_tunnel(&mut self, from: &Space, packet: Packet) -> Result<(Space, Vec<Step>), Box<Loss>> {
        let key = (from.clone(), packet.destination, packet.length);
        if let Some(known) = self.tunnels.get(&key) {
            return known.clone();
        }
        if self.depth >= 3 {
            return Err(Box::new(Loss::new(
                from,
                Reason::Unknown,
                "tunnels lead into tunnels too often".to_owned(),
            )));
        }
        self.depth += 1;
        let kept = std::mem::take(&mut self.connections);
        let leg = self.send(from, packet);
        self.connections = kept;
        self.depth -= 1;
        let result = match leg.end {
            Ok(arrival) => Ok((arrival.space, leg.steps)),
            Err(loss) => Err(loss),
        };
        self.tunnels.insert(key, result.clone());
        result
    }
}
