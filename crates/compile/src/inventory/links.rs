//! Devices that `links` asks for.

use super::{Cable, Device, Inventory, Make, Port, PortRole};
use crate::compiled::ProblemKind;
use crate::object::LinkRef;
use crate::report::{Report, first_span};
use netloom_model::document::Spanned;
use netloom_model::scalar::InterfaceRef;
use netloom_model::source::Span;
use netloom_model::topology::{Interface, Link, LinkKind, NetworkMode};
use std::sync::Arc;

/// The word of a kind as the user writes it.
pub(crate) const fn word(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Veth => "veth",
        LinkKind::Tap => "tap",
        LinkKind::Tun => "tun",
        LinkKind::Macvlan => "macvlan",
        LinkKind::Ipvlan => "ipvlan",
        LinkKind::Vlan => "vlan",
        LinkKind::Vxlan => "vxlan",
        LinkKind::Geneve => "geneve",
        LinkKind::Gre => "gre",
        LinkKind::Gretap => "gretap",
        LinkKind::Wireguard => "wireguard",
        LinkKind::Dummy => "dummy",
        LinkKind::Bond => "bond",
        LinkKind::Vrf => "vrf",
        LinkKind::Ifb => "ifb",
    }
}

impl<'a> Inventory<'a> {
    pub(super) fn make_links(&mut self, report: &mut Report<'_>) {
        let topology = self.topology;
        for item in &topology.links {
            let link: &'a Link = item;
            match (&link.link, &link.on) {
                (Some(ends), _) => {
                    let span = first_span(&[ends.span, item.span]);
                    let part: Arc<str> = format!("link {}", ends.value).into();
                    let first = self.end(link, &ends.a, Some(&ends.b), span, &part, report);
                    let second = self.end(link, &ends.b, Some(&ends.a), span, &part, report);
                    if let (Some(a), Some(b), LinkKind::Veth) = (first, second, link.kind) {
                        let medium = link.medium.as_ref().or(self.topology.defaults.medium.as_ref());
                        self.cables.push(Cable { a, b, medium, part, span });
                    }
                }
                (None, Some(on)) => {
                    let span = first_span(&[on.span, item.span]);
                    let part: Arc<str> = format!("{} {}", word(link.kind), on.value).into();
                    self.end(link, on, None, span, &part, report);
                }
                (None, None) => {
                    let lacking = ProblemKind::Lacking {
                        interface: "a link".to_owned(),
                        kind: word(link.kind),
                        field: if two_ended(link.kind) { "link" } else { "on" },
                    };
                    report.problem(item.span, lacking);
                }
            }
        }
    }

    /// Lists one end of a link: an interface of a node, or a port of a network.
    fn end(
        &mut self,
        link: &'a Link,
        end: &InterfaceRef,
        other: Option<&InterfaceRef>,
        span: Span,
        part: &Arc<str>,
        report: &mut Report<'_>,
    ) -> Option<LinkRef> {
        let known = self.nodes.contains_key(&end.node)
            || self.segments.contains_key(&end.node)
            || end.node.as_str() == "host";
        if !known {
            let name = end.node.to_string();
            report.problem(span, ProblemKind::Unknown { what: "node or network", name });
            return None;
        }
        let at = self.at(end);
        let beyond = other.filter(|other| link.kind == LinkKind::Veth && self.on_switch(&other.node));
        if link.kind == LinkKind::Veth && self.on_switch(&end.node) && beyond.is_none() {
            // The interface at the other end is the port itself.
            return None;
        }
        let make = match (link.kind, other) {
            (LinkKind::Veth, Some(other)) if let Some(beyond) = beyond => {
                let network = beyond.node.clone();
                if self.on_switch(&end.node) {
                    Make::Patch { network: end.node.clone(), peer: self.at(other), link }
                } else {
                    let trunk = self.segments.contains_key(&end.node);
                    let role = if trunk { PortRole::Trunk } else { PortRole::Member };
                    Make::Port { network, role, link: Some(link) }
                }
            }
            (LinkKind::Veth, Some(other)) => Make::Cable { peer: self.at(other), link: Some(link) },
            (kind, Some(other)) if two_ended(kind) => {
                Make::TunnelEnd { link, peer: self.at(other), outer: None }
            }
            (LinkKind::Veth, None) => {
                let interface = end.to_string();
                report.problem(span, ProblemKind::Lacking { interface, kind: "veth", field: "link" });
                return None;
            }
            (_, None) => Make::Single { link },
            (kind, Some(_)) => {
                let interface = end.to_string();
                report.problem(span, ProblemKind::Lacking { interface, kind: word(kind), field: "on" });
                return None;
            }
        };
        let reason = match other {
            Some(other) if link.kind == LinkKind::Veth => format!("is linked with {other}"),
            Some(other) => format!("is a {} tunnel to {other}", word(link.kind)),
            None => reason_of(link),
        };
        let mut device = Device::new(make, part.clone(), span, reason);
        device.first = link.link.as_ref().is_none_or(|ends| ends.a == *end);
        device.settings = self.interface(end);
        if let Some(place) = self.settings_span(end) {
            device.span = first_span(&[span, place]);
        }
        if self.segments.contains_key(&end.node) {
            let role = match other {
                Some(other) if self.segments.contains_key(&other.node) => PortRole::Trunk,
                _ => PortRole::Member,
            };
            let settings = other.and_then(|other| self.interface(other));
            device.port = Some(Port { network: end.node.clone(), settings, role });
            self.refuse_switchless(end, span, report)?;
        }
        let over =
            matches!(link.kind, LinkKind::Veth | LinkKind::Gretap | LinkKind::Vxlan | LinkKind::Geneve);
        if let Some(other) = other
            && over
            && self.nodes.contains_key(&end.node)
            && let Some(segment) = self.segments.get_mut(&other.node)
        {
            device.segment = Some(other.node.clone());
            segment.members.insert(at.clone());
        }
        let is_interface = !matches!(device.make, Make::Patch { .. });
        self.add(at.clone(), device, report);
        is_interface.then_some(at)
    }

    /// A port needs a bridge to be a port of.
    fn refuse_switchless(&self, end: &InterfaceRef, span: Span, report: &mut Report<'_>) -> Option<()> {
        let segment = self.segments.get(&end.node)?;
        let why = match segment.network.mode {
            NetworkMode::Macvlan | NetworkMode::Ipvlan => "it has no switch, only a parent interface",
            NetworkMode::Overlay => {
                "it has a switch at each VTEP: name the network under `interfaces` instead"
            }
            _ => return Some(()),
        };
        let network = end.node.clone();
        report.problem(span, ProblemKind::Attachment { interface: end.to_string(), network, why });
        None
    }

    fn interface(&self, end: &InterfaceRef) -> Option<&'a Interface> {
        let node = self.nodes.get(&end.node)?.node;
        node.interfaces.get(&Spanned::from(end.interface.clone()))
    }

    fn settings_span(&self, end: &InterfaceRef) -> Option<Span> {
        let node = self.nodes.get(&end.node)?.node;
        let key = Spanned::from(end.interface.clone());
        node.interfaces.get_key_value(&key).map(|(name, _)| name.span)
    }
}

/// Kinds that may have two ends under `link`.
const fn two_ended(kind: LinkKind) -> bool {
    matches!(
        kind,
        LinkKind::Veth
            | LinkKind::Vxlan
            | LinkKind::Geneve
            | LinkKind::Gre
            | LinkKind::Gretap
            | LinkKind::Wireguard
    )
}

fn reason_of(link: &Link) -> String {
    let parent = link.parent.as_ref().map(|parent| parent.to_string()).unwrap_or_default();
    match link.kind {
        LinkKind::Vlan => match &link.id {
            Some(id) => format!("is VLAN {} of {parent}", id.value),
            None => format!("is a VLAN of {parent}"),
        },
        LinkKind::Macvlan | LinkKind::Ipvlan => format!("is a {} of {parent}", word(link.kind)),
        LinkKind::Bond => {
            let members: Vec<String> = link.members.iter().map(|member| member.to_string()).collect();
            format!("bonds {}", members.join(" and "))
        }
        LinkKind::Tap | LinkKind::Tun => format!("is a {} for a program", word(link.kind)),
        LinkKind::Vrf => "is a routing table of its own".to_owned(),
        LinkKind::Dummy => "carries addresses and leads nowhere".to_owned(),
        LinkKind::Ifb => "takes what arrives elsewhere, to be shaped".to_owned(),
        kind => match &link.remote {
            Some(remote) => format!("is a {} tunnel to {}", word(kind), remote.value),
            None => format!("is a {} tunnel", word(kind)),
        },
    }
}
