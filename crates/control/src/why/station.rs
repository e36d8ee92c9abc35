//! Netloom's own switches: the same function that decides about a miss in the data path is asked here, without learning.

use super::change::Edit;
use super::link::{Block, Content, Edge, Frame, Spot};
use super::report::{Reason, Step};
use super::scene::{BehindPort, PortScene};
use super::walk::Walker;
use crate::switch::why::{bridge_of, dropped, outputs};
use crate::switch::{Reply, Request, ask};
use netloom_compile::object::{Key, LinkRef, Space};
use netloom_nf::Reason as Loss;
use netloom_table::Key as FlowKey;
use netloom_table::key::extract;
use netloom_vswitch::Bridge;
use std::net::IpAddr;

/// What a switch would do with a frame.
#[derive(Debug, Clone)]
pub(super) struct Considered {
    /// Ports by name, with the tags that the frame has there.
    outputs: Vec<(String, Vec<u16>)>,
    /// Why it is dropped.
    dropped: Option<String>,
    /// Flows that decided, with their cookies.
    deciders: Vec<String>,
    /// Table by table.
    trace: Vec<String>,
}

/// How many switches a frame may pass by cables between them in one step.
const SWITCHES: usize = 16;

impl Walker<'_> {
    /// What a switch does with a frame from one of its ports.
    pub(super) fn switched(
        &mut self,
        switch: &str,
        port: &str,
        tags: &[u16],
        frame: &Frame,
        depth: usize,
    ) -> Vec<Edge> {
        let Some(scene) = self.scene.switches.get(switch) else { return Vec::new() };
        let Some(entry) = scene.ports.get(port).cloned() else { return Vec::new() };
        if depth > SWITCHES {
            return Vec::new();
        }
        let place = self.place(switch, &entry.behind);
        let origin = self.origin_of(&entry.behind);
        let mut common = Vec::new();
        if !scene.running || !entry.up {
            let what = if scene.running {
                format!("port {port} of switch {switch} is not up")
            } else {
                format!("switch {switch} is not running")
            };
            common.push(Block {
                space: place.clone(),
                reason: Reason::LinkDown,
                sentence: what,
                origin: origin.clone(),
                edits: Vec::new(),
            });
        }
        let octets = octets(frame, tags);
        let Some(decision) = self.decision(switch, port, entry.number, &octets, tags) else {
            return Vec::new();
        };
        let outputs = &decision.outputs;
        let name = switch.split_once('.').map_or(switch, |(_, name)| name);
        let mut edges = Vec::new();
        let ports: Vec<(String, PortScene)> = self
            .scene
            .switches
            .get(switch)
            .map(|scene| scene.ports.iter().map(|(name, port)| (name.clone(), port.clone())).collect())
            .unwrap_or_default();
        // A switch that is only described has not heard anybody yet.
        let several = outputs.len() > 1 && self.scene.daemon.is_some();
        let by = decision.deciders.last().map_or_else(String::new, |decider| format!(" ({decider})"));
        for (other, to) in ports {
            if other == port {
                continue;
            }
            let out = outputs.iter().find(|(name, _)| *name == other);
            let mut blocks = common.clone();
            let tags = match out {
                Some((_, tags)) => tags.clone(),
                None => {
                    blocks.push(self.refusal(
                        switch,
                        (port, &entry),
                        (&other, &to),
                        &decision,
                        &place,
                        origin.clone(),
                    ));
                    Vec::new()
                }
            };
            if !to.up {
                blocks.push(Block {
                    space: place.clone(),
                    reason: Reason::LinkDown,
                    sentence: format!("port {other} of switch {switch} is not up"),
                    origin: self.origin_of(&to.behind),
                    edits: Vec::new(),
                });
            }
            let how = match (frame.destination, several) {
                (None, _) => ", as to all",
                (Some(_), true) => ", and to others: nobody knows where its destination is",
                (Some(_), false) => "",
            };
            let step = Step::new(
                &place,
                "switch",
                format!(
                    "switch {name} passes it from {} to {}{how}{by}",
                    self.port_words(port, &entry),
                    self.port_words(&other, &to)
                ),
            )
            .object(format!("switch {switch}"))
            .from(origin.clone())
            .comparing(decision.trace.clone());
            match &to.behind {
                BehindPort::Tap(at) | BehindPort::Machine(at) => {
                    let to = Spot { at: at.clone(), out: false, tags };
                    edges.push(Edge { to, step: Some(step), blocks });
                }
                BehindPort::Interface(at) => {
                    let to = Spot { at: at.clone(), out: true, tags };
                    edges.push(Edge { to, step: Some(step), blocks });
                }
                BehindPort::Patch(peer) => {
                    let next = self.scene.switches.iter().find(|(_, scene)| scene.ports.contains_key(peer));
                    let Some(next) = next.map(|(name, _)| name.clone()) else { continue };
                    if blocks.len() > 1 {
                        continue;
                    }
                    for mut edge in self.switched(&next, peer, &tags, frame, depth + 1) {
                        let mut all = blocks.clone();
                        all.append(&mut edge.blocks);
                        edge.blocks = all;
                        let mut first = step.clone();
                        first.inner.extend(edge.step.take());
                        edge.step = Some(first);
                        edges.push(edge);
                    }
                }
                BehindPort::Other => {}
            }
        }
        edges
    }

    /// The daemon decides, or in its place a bridge made of the options.
    fn decision(
        &mut self,
        switch: &str,
        port: &str,
        number: u32,
        octets: &[u8],
        tags: &[u16],
    ) -> Option<Considered> {
        if let Some(told) = self.told(port, octets) {
            return Some(told);
        }
        let mut key = FlowKey::default();
        let _ = extract(octets.get(..256).unwrap_or(octets), octets.len(), number, &mut key);
        let scene = self.scene.switches.get(switch)?;
        let bridge: &mut Bridge = match self.bridges.entry(switch.to_owned()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(bridge_of(scene)?),
        };
        let decision = bridge.consider(&key, 1);
        let name_of = |number: u32| {
            let port = scene.ports.iter().find(|(_, port)| port.number == number);
            port.map(|(name, _)| name.clone())
        };
        let found = outputs(&decision, tags);
        let outputs: Vec<(String, Vec<u16>)> =
            found.into_iter().filter_map(|(number, tags)| Some((name_of(number)?, tags))).collect();
        let dropped = dropped(&decision).filter(|reason| outputs.is_empty() && *reason != Loss::NoPorts);
        let dropped = dropped.map(|reason| reason.sentence().to_owned());
        Some(Considered { outputs, dropped, deciders: Vec::new(), trace: Vec::new() })
    }

    fn told(&mut self, port: &str, octets: &[u8]) -> Option<Considered> {
        let socket = self.scene.daemon.as_ref()?;
        let known = (port.to_owned(), octets.to_vec());
        if let Some(considered) = self.considered.get(&known) {
            return considered.clone();
        }
        let digits = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let reply = ask(socket, &Request::Consider { port: port.to_owned(), octets: digits });
        let considered = match reply {
            Ok(Reply::Considered { outputs, dropped, deciders, trace, .. }) => Some(Considered {
                outputs: outputs.into_iter().map(|out| (out.port, out.tags)).collect(),
                dropped: dropped.filter(|why| why != Loss::NoPorts.sentence()),
                deciders,
                trace: trace
                    .lines()
                    .map(str::trim_end)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }),
            _ => None,
        };
        self.considered.insert(known, considered.clone());
        considered
    }

    /// Why a frame does not leave by a port.
    fn refusal(
        &self,
        switch: &str,
        (from, entry): (&str, &PortScene),
        (to, exit): (&str, &PortScene),
        decision: &Considered,
        place: &Space,
        origin: Option<String>,
    ) -> Block {
        let vlans = |port: &PortScene| {
            let named = ["vlan", "native", "trunk"]
                .iter()
                .filter_map(|name| Some(format!("{name}={}", port.options.get(*name)?)));
            named.collect::<Vec<_>>().join(" ")
        };
        let (one, other) = (vlans(entry), vlans(exit));
        let isolated = |port: &PortScene| port.options.get("isolated").is_some_and(|value| value == "true");
        let named = (self.port_words(from, entry), self.port_words(to, exit));
        let (reason, sentence) = if isolated(entry) && isolated(exit) {
            (Reason::Isolated, format!("{} and {} of switch {switch} are both isolated", named.0, named.1))
        } else if let Some(loss) = &decision.dropped {
            (Reason::Switch, format!("switch {switch} drops it at {}: it {loss}", named.0))
        } else if let (Some(decider), true) = (decision.deciders.last(), decision.outputs.is_empty()) {
            (Reason::Switch, format!("switch {switch} drops it at {}: {decider} sends it nowhere", named.0))
        } else if one != other {
            (
                Reason::Vlan,
                format!(
                    "{} ({}) and {} ({}) of switch {switch} share no VLAN",
                    named.0,
                    words(&one),
                    named.1,
                    words(&other)
                ),
            )
        } else {
            (Reason::Elsewhere, format!("switch {switch} sends it elsewhere than to {}", named.1))
        };
        let edits = match reason {
            Reason::Isolated => [from, to].map(|port| self.option(switch, port, "isolated", "")).into(),
            Reason::Vlan => {
                let mut edits = Vec::new();
                for (port, like) in [(to, entry), (from, exit)] {
                    let own = like.options.get("vlan").or_else(|| like.options.get("native"));
                    edits.extend(own.map(|own| self.option(switch, port, "vlan", own)));
                }
                edits
            }
            Reason::Switch => ["mac", "ip"].map(|name| self.option(switch, from, name, "")).into(),
            _ => Vec::new(),
        };
        Block { space: place.clone(), reason, sentence, origin, edits }
    }

    fn option(&self, switch: &str, port: &str, name: &str, value: &str) -> Edit {
        let scene = self.scene.switches.get(switch).and_then(|scene| scene.ports.get(port));
        let at = scene.and_then(|port| port.behind.link().cloned());
        Edit::Option {
            switch: switch.to_owned(),
            port: port.to_owned(),
            at,
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn port_words(&self, name: &str, port: &PortScene) -> String {
        match &port.behind {
            BehindPort::Tap(at) | BehindPort::Interface(at) | BehindPort::Machine(at) => at.to_string(),
            BehindPort::Patch(peer) => format!("its cable to {peer}"),
            BehindPort::Other => format!("port {name}"),
        }
    }

    fn origin_of(&self, behind: &BehindPort) -> Option<String> {
        let at = behind.link()?;
        let key = Key::SwitchPort { space: at.space.clone(), link: at.name.clone() };
        self.wishes.origin(&key).or_else(|| self.wishes.link(&at.space, &at.name))
    }

    /// The namespace that stands for a switch.
    fn place(&self, switch: &str, behind: &BehindPort) -> Space {
        let network = switch.split_once('.').and_then(|(_, network)| network.parse().ok());
        network.map(Space::Node).or_else(|| behind.link().map(|at| at.space.clone())).unwrap_or(Space::Host)
    }
}

impl BehindPort {
    /// The interface behind the port.
    #[must_use]
    pub const fn link(&self) -> Option<&LinkRef> {
        match self {
            Self::Tap(at) | Self::Interface(at) | Self::Machine(at) => Some(at),
            Self::Patch(_) | Self::Other => None,
        }
    }
}

fn words(vlans: &str) -> &str {
    if vlans.is_empty() { "all VLANs" } else { vlans }
}

/// The frame as it would be on a cable, as far as switches look at it.
pub(super) fn octets(frame: &Frame, tags: &[u16]) -> Vec<u8> {
    let mut all = Vec::with_capacity(128);
    let group = match frame.packet().destination {
        IpAddr::V6(v6) if frame.destination.is_none() => {
            let [.., a, b, c] = v6.octets();
            [0x33, 0x33, 0xff, a, b, c]
        }
        _ => [0xff; 6],
    };
    all.extend(frame.destination.map_or(group, |mac| mac.octets()));
    all.extend(frame.source.octets());
    for tag in tags {
        all.extend([0x81, 0x00]);
        all.extend(tag.to_be_bytes());
    }
    let packet = frame.packet();
    match (&frame.content, packet.destination) {
        (Content::Arp { asked: IpAddr::V4(asked), .. }, _) => {
            all.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, if frame.destination.is_none() { 1 } else { 2 }]);
            all.extend(frame.source.octets());
            let own = match packet.source {
                IpAddr::V4(own) => own.octets(),
                IpAddr::V6(_) => [0; 4],
            };
            all.extend(own);
            all.extend([0; 6]);
            all.extend(asked.octets());
        }
        (Content::Arp { asked: IpAddr::V6(asked), .. }, _) => {
            let own = match packet.source {
                IpAddr::V6(own) => own.octets(),
                IpAddr::V4(_) => [0; 16],
            };
            // A neighbour solicitation (RFC 4861, section 4.3) without options.
            all.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
            all.extend(own);
            all.extend(asked.octets());
            all.extend([135, 0, 0, 0, 0, 0, 0, 0]);
            all.extend(asked.octets());
        }
        (Content::Ip(_), IpAddr::V4(destination)) => {
            let own = match packet.source {
                IpAddr::V4(own) => own.octets(),
                IpAddr::V6(_) => [0; 4],
            };
            let length = (packet.length as u16).to_be_bytes();
            all.extend([
                0x08,
                0x00,
                0x45,
                packet.dscp << 2,
                length[0],
                length[1],
                0,
                0,
                0x40,
                0,
                packet.hops,
                packet.protocol.0,
                0,
                0,
            ]);
            all.extend(own);
            all.extend(destination.octets());
            transport(packet, &mut all);
        }
        (Content::Ip(_), IpAddr::V6(destination)) => {
            let own = match packet.source {
                IpAddr::V6(own) => own.octets(),
                IpAddr::V4(_) => [0; 16],
            };
            let length = (packet.length.saturating_sub(40) as u16).to_be_bytes();
            all.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], packet.protocol.0, packet.hops]);
            all.extend(own);
            all.extend(destination.octets());
            transport(packet, &mut all);
        }
    }
    all.resize(all.len().max(14 + 4 * tags.len() + packet.length.min(1500) as usize), 0);
    all
}

fn transport(packet: &super::packet::Packet, all: &mut Vec<u8>) {
    if let Some((kind, code)) = packet.icmp {
        all.extend([kind, code, 0, 0, 0, 1, 0, 1]);
        return;
    }
    all.extend(packet.source_port.unwrap_or(0).to_be_bytes());
    all.extend(packet.destination_port.unwrap_or(0).to_be_bytes());
    if packet.protocol == netloom_compile::object::firewall::Protocol::TCP {
        let flags = if packet.answers { 0x12 } else { 0x02 };
        all.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        all.extend([0, 21, 0, 0]);
    }
}
