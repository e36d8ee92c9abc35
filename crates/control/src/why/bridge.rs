//! The kernel's bridges: VLANs, isolation, spanning tree, forwarding entries.

use super::change::Edit;
use super::link::{Block, Edge, Frame, Spot};
use super::report::{Reason, Step};
use super::walk::Walker;
use netloom_compile::object::{BridgePort, LinkKind, LinkRef, PortVlan, Space};
use netloom_kernel::picture::InterfacePicture;
use netloom_wire::{InterfaceName, VlanId};

impl Walker<'_> {
    /// What a bridge does with a frame from one of its ports, or from its own namespace.
    pub(super) fn bridged(
        &self,
        at: &Space,
        bridge: &InterfaceName,
        from: Option<&InterfaceName>,
        tags: Vec<u16>,
        frame: &Frame,
    ) -> Vec<Edge> {
        let Some(space) = self.scene.space(at) else { return Vec::new() };
        let Some(own) = space.interfaces.get(bridge) else { return Vec::new() };
        let LinkKind::Bridge(options) = &own.link.kind else { return Vec::new() };
        let here = |name: &InterfaceName| LinkRef { space: at.clone(), name: name.clone() };
        let origin = self.wishes.link(at, bridge);
        let mut common = Vec::new();
        if !own.link.up {
            common.push(Block {
                space: at.clone(),
                reason: Reason::LinkDown,
                sentence: format!("bridge {} is down", here(bridge)),
                origin: origin.clone(),
                edits: vec![Edit::LinkUp { at: here(bridge) }],
            });
        }
        let default = BridgePort::default();
        let entry = from.and_then(|name| space.interfaces.get(name));
        let entry_port = entry.and_then(|port| port.link.port.as_ref()).unwrap_or(&default);
        if let (Some(from), Some(port)) = (from, entry)
            && port.link.up
            && !port.forwarding_state
        {
            common.push(self.closed(at, from));
        }
        let came = from.map_or_else(|| "its own namespace".to_owned(), |name| format!("port {name}"));
        let mut vlan = None;
        let mut inner = tags;
        if options.vlan_filtering {
            let members = if from.is_some() { &entry_port.vlans } else { &options.vlans };
            let pvid = members.iter().find(|vlan| vlan.pvid).map(|vlan| vlan.id.get());
            let tagged = (!inner.is_empty()).then(|| inner.remove(0));
            let belongs = tagged.or(pvid);
            let name = from.unwrap_or(bridge);
            match belongs {
                Some(id) if members.iter().any(|vlan| vlan.id.get() == id) => {}
                Some(id) => common.push(self.not_in(at, name, id, true)),
                None => common.push(Block {
                    space: at.clone(),
                    reason: Reason::Vlan,
                    sentence: format!("{came} of bridge {bridge} has no VLAN for frames without a tag"),
                    origin: self.wishes.link(at, name),
                    edits: self.pvids(at, bridge, name),
                }),
            }
            vlan = belongs;
        }
        let known = frame.destination.and_then(|mac| {
            let fits = |entry: &&netloom_kernel::picture::EntryPicture| {
                let port = space.interfaces.get(&entry.interface);
                entry.remote.is_none() && entry.mac == mac && (vlan.is_none() || entry.vlan.is_none() || entry.vlan == vlan)
                    && (entry.interface == *bridge || port.is_some_and(|port| port.link.controller.as_ref() == Some(bridge)))
                    // The kernel's own entries are for the bridge itself.
                    && space.interfaces.get(&entry.interface).and_then(|i| i.link.mac) != Some(mac)
                    && (entry.fixed || self.trusts_learned)
            };
            space.entries.iter().find(fits)
        });
        let words = |to: &str, vlan: Option<u16>| {
            let within = vlan
                .filter(|_| options.vlan_filtering)
                .map(|id| format!(" in VLAN {id}"))
                .unwrap_or_default();
            let how = match (known, frame.destination) {
                (Some(entry), _) if entry.fixed => ": its place is fixed there",
                (Some(_), _) => ": it was heard there",
                (None, Some(_)) => "",
                (None, None) => ", as to all",
            };
            format!("bridge {bridge} passes it from {came} to {to}{within}{how}")
        };
        let step = |to: &str| {
            Step::new(at, "bridge", words(to, vlan))
                .object(format!("link {}", here(bridge)))
                .from(origin.clone())
        };
        let mut edges = Vec::new();
        for (name, port) in &space.interfaces {
            if port.link.controller.as_ref() != Some(bridge) || from == Some(name) && !entry_port.hairpin {
                continue;
            }
            let mut blocks = common.clone();
            let leaving = port.link.port.as_ref().unwrap_or(&default);
            if port.link.up && !port.forwarding_state {
                blocks.push(self.closed(at, name));
            }
            if entry_port.isolated && leaving.isolated && from.is_some() {
                blocks.push(Block {
                    space: at.clone(),
                    reason: Reason::Isolated,
                    sentence: format!("{came} and port {name} of bridge {bridge} are both isolated"),
                    origin: self.wishes.link(at, name),
                    edits: vec![Edit::Isolated { at: here(name), isolated: false }],
                });
            }
            if let Some(entry) = known
                && entry.interface != *name
            {
                blocks.push(Block {
                    space: at.clone(),
                    reason: Reason::Elsewhere,
                    sentence: format!(
                        "bridge {bridge} holds {} to be behind port {}",
                        entry.mac, entry.interface
                    ),
                    origin: None,
                    edits: vec![Edit::ForgetStation { at: here(&entry.interface), mac: entry.mac }],
                });
            } else if known.is_none() && frame.destination.is_some() && leaving.flood == Some(false) {
                blocks.push(Block {
                    space: at.clone(),
                    reason: Reason::Elsewhere,
                    sentence: format!("port {name} of bridge {bridge} takes nothing for unknown stations"),
                    origin: self.wishes.link(at, name),
                    edits: Vec::new(),
                });
            }
            if let Some(mtu) = port.link.mtu.filter(|mtu| frame.length() > *mtu) {
                blocks.push(self.too_long(&here(name), mtu, frame));
            }
            let mut tags = inner.clone();
            if options.vlan_filtering
                && let Some(id) = vlan
            {
                match leaving.vlans.iter().find(|member| member.id.get() == id) {
                    Some(member) if member.untagged => {}
                    Some(_) => tags.insert(0, id),
                    None => blocks.push(self.not_in(at, name, id, false)),
                }
            }
            let to = Spot { at: here(name), out: true, tags };
            edges.push(Edge { to, step: Some(step(&format!("port {name}"))), blocks });
        }
        if from.is_some() {
            edges.extend(self.to_bridge_itself(&here(bridge), own, vlan, &inner, &common, step("itself")));
        }
        edges
    }

    fn to_bridge_itself(
        &self,
        at: &LinkRef,
        own: &InterfacePicture,
        vlan: Option<u16>,
        inner: &[u16],
        common: &[Block],
        step: Step,
    ) -> Option<Edge> {
        let LinkKind::Bridge(options) = &own.link.kind else { return None };
        let (mut tags, mut blocks) = (inner.to_vec(), common.to_vec());
        if let (true, Some(id)) = (options.vlan_filtering, vlan) {
            match options.vlans.iter().find(|member| member.id.get() == id) {
                Some(member) if member.untagged => {}
                Some(_) => tags.insert(0, id),
                None => blocks.push(self.not_in(&at.space, &at.name, id, false)),
            }
        }
        Some(Edge { to: Spot { at: at.clone(), out: false, tags }, step: Some(step), blocks })
    }

    fn closed(&self, at: &Space, port: &InterfaceName) -> Block {
        let space = self.scene.space(at);
        let controller = space.and_then(|space| space.interfaces.get(port)?.link.controller.as_ref());
        let bridge = controller.and_then(|name| space?.interfaces.get(name));
        let tree = bridge.is_some_and(|bridge| matches!(&bridge.link.kind, LinkKind::Bridge(o) if o.stp));
        let here = LinkRef { space: at.clone(), name: port.clone() };
        let (reason, sentence) = if tree {
            (Reason::SpanningTree, format!("the spanning tree keeps port {here} closed"))
        } else {
            (
                Reason::LinkDown,
                format!(
                    "port {here} forwards nothing yet: its link has only just come up, or is not connected"
                ),
            )
        };
        Block { space: at.clone(), reason, sentence, origin: self.wishes.link(at, port), edits: Vec::new() }
    }

    fn not_in(&self, at: &Space, port: &InterfaceName, id: u16, entering: bool) -> Block {
        let here = LinkRef { space: at.clone(), name: port.clone() };
        let space = self.scene.space(at);
        let picture = space.and_then(|space| space.interfaces.get(port));
        let vlans = picture.and_then(|i| i.link.port.as_ref()).map(|port| &port.vlans);
        let carried: Vec<String> = vlans.into_iter().flatten().map(|vlan| vlan.id.to_string()).collect();
        let carried = if carried.is_empty() { "none".to_owned() } else { carried.join(", ") };
        let mut edits = Vec::new();
        if let Ok(vlan) = VlanId::try_from(u64::from(id)) {
            // A port with an untagged VLAN of its own is in the wrong one; a trunk lacks one.
            let access = vlans.is_some_and(|vlans| vlans.iter().any(|vlan| vlan.pvid));
            edits.push(Edit::PortVlan {
                at: here.clone(),
                vlan: PortVlan { id: vlan, pvid: access && !entering, untagged: access && !entering },
            });
        }
        if !entering {
            let bridge = picture.and_then(|i| i.link.controller.as_ref());
            let own = vlans.into_iter().flatten().find(|vlan| vlan.pvid);
            // Or it is the sender's port that is in the wrong one.
            if let (Some(own), Some(bridge), Some(space)) = (own, bridge, space) {
                for (name, other) in &space.interfaces {
                    let there = other.link.controller.as_ref() == Some(bridge) && name != port;
                    let wrong =
                        other.link.port.as_ref().is_some_and(|port| {
                            port.vlans.iter().any(|vlan| vlan.pvid && vlan.id.get() == id)
                        });
                    if there && wrong {
                        edits.push(Edit::PortVlan {
                            at: LinkRef { space: at.clone(), name: name.clone() },
                            vlan: *own,
                        });
                    }
                }
            }
        }
        edits.truncate(8);
        let from = if entering { "arrives in" } else { "is in" };
        Block {
            space: at.clone(),
            reason: Reason::Vlan,
            sentence: format!(
                "the frame {from} VLAN {id}, which port {here} does not carry (it carries {carried})"
            ),
            origin: self.wishes.link(at, port),
            edits,
        }
    }

    /// The VLANs that other ports have for untagged frames.
    fn pvids(&self, at: &Space, bridge: &InterfaceName, port: &InterfaceName) -> Vec<Edit> {
        let Some(space) = self.scene.space(at) else { return Vec::new() };
        let others = space
            .interfaces
            .iter()
            .filter(|(name, other)| other.link.controller.as_ref() == Some(bridge) && *name != port);
        let mut vlans: Vec<PortVlan> = others
            .filter_map(|(_, other)| other.link.port.as_ref()?.vlans.iter().find(|vlan| vlan.pvid).copied())
            .collect();
        vlans.sort();
        vlans.dedup();
        let at = LinkRef { space: at.clone(), name: port.clone() };
        vlans.into_iter().take(4).map(|vlan| Edit::PortVlan { at: at.clone(), vlan }).collect()
    }
}
