//! Who carries the frames of each network: a bridge of the kernel, or Netloom's own switch.
//!
//! Invariants: what the user says counts; `auto` takes the kernel unless it lacks something and the switch has it, or
//! the network needs what only the switch has ([`Inventory::need`]). What the switch lacks is listed in one place,
//! [`Inventory::obstacle`], and nothing is left out silently.

use super::Inventory;
use crate::compiled::{Bridging, Context, ProblemKind};
use crate::object::{Space, Tree};
use crate::report::{Report, first_span};
use netloom_model::document::Spanned;
use netloom_model::scalar::{InterfaceRef, TimeSpan};
use netloom_model::topology::{
    BridgeSettings, Duplex, Interface, Link, LinkKind, Medium, Network, NetworkMode, Node, Via,
};
use netloom_wire::{InterfaceName, NodeName};

/// Who carries the frames of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A bridge of the kernel; with the reason, if the user left it open.
    Kernel { why: Option<&'static str> },
    /// Netloom's own switch, and why.
    Switch { why: String },
}

impl Carrier {
    /// Whether it is Netloom's own switch.
    pub(crate) const fn is_switch(&self) -> bool {
        matches!(self, Self::Switch { .. })
    }
}

impl<'a> Inventory<'a> {
    /// Decides for each network.
    pub(super) fn choose_carriers(&mut self, context: &Context, report: &mut Report<'_>) {
        let (topology, bridging, queueing) = (self.topology, context.bridging, &context.queueing);
        for (name, network) in &topology.networks {
            let said = network.via.as_ref().map(|via| via.value);
            let span = first_span(&[network.via.as_ref().map(|via| via.span).unwrap_or_default(), name.span]);
            let need = self.need(&name.value);
            let lacks = match bridging {
                Bridging { bridges: false, .. } => Some("since this kernel has no bridges"),
                Bridging { vlans: false, .. } if self.names_vlans(&name.value, network) => {
                    Some("since this kernel's bridges can't keep VLANs apart")
                }
                _ if !queueing.netem && self.needs_netem(&name.value, network) => {
                    Some("since this kernel can't do what the media of its cables do (it has no netem)")
                }
                _ => None,
            };
            let refuse = |report: &mut Report<'_>| {
                if let Some(why) = self.obstacle(&name.value, network) {
                    report.problem(span, ProblemKind::Via { network: name.value.clone(), why });
                }
            };
            let carrier = match (said, need) {
                (Some(Via::Kernel), Some(need)) => {
                    report.problem(span, ProblemKind::ViaKernel { network: name.value.clone(), need });
                    Carrier::Kernel { why: None }
                }
                (Some(Via::Kernel), None) => Carrier::Kernel { why: Some("as `via: kernel` says") },
                (Some(Via::Switch), _) => {
                    refuse(report);
                    Carrier::Switch { why: "as `via: switch` says".to_owned() }
                }
                (None | Some(Via::Auto), Some(need)) => {
                    refuse(report);
                    Carrier::Switch { why: format!("since {need}") }
                }
                (None | Some(Via::Auto), None) => match (lacks, self.obstacle(&name.value, network)) {
                    (None, _) => Carrier::Kernel { why: said.map(|_| "which has all that it needs") },
                    (Some(why), None) => Carrier::Switch { why: why.to_owned() },
                    (Some(why), Some(obstacle)) => {
                        let text = format!(
                            "network {} would be `via: switch`, {why}, but can't: {obstacle}",
                            name.value
                        );
                        if is_switched(network.mode) {
                            report.warning(span, text);
                        }
                        Carrier::Kernel { why: None }
                    }
                },
            };
            if let Some(segment) = self.segments.get_mut(&name.value) {
                if carrier.is_switch() {
                    // Its switch is nobody's interface, so it needs not be where its uplink is.
                    segment.space = Space::Node(name.value.clone());
                }
                segment.carrier = carrier;
            }
        }
    }

    /// Whether Netloom's own switch carries the network of this name.
    pub(super) fn on_switch(&self, name: &NodeName) -> bool {
        self.segments.get(name).is_some_and(|segment| segment.carrier.is_switch())
    }

    /// The nodes' interfaces on a network.
    fn attached(
        &self,
        network: &NodeName,
    ) -> impl Iterator<Item = (&'a NodeName, &'a Node, &'a InterfaceName, &'a Interface)> + use<'a> {
        let (topology, network) = (self.topology, network.clone());
        topology.endpoints.iter().chain(&topology.routers).flat_map(move |(node, settings)| {
            let network = network.clone();
            settings
                .interfaces
                .iter()
                .filter(move |(_, interface)| interface.network.as_deref() == Some(&network))
                .map(move |(name, interface)| (&node.value, settings, &name.value, interface))
        })
    }

    /// What on the network only Netloom's own switch has, in words.
    fn need(&self, network: &NodeName) -> Option<String> {
        let mut pinned = None;
        for (name, node, interface, settings) in self.attached(network) {
            if node.is_machine() {
                return Some(format!("{name} is a virtual machine"));
            }
            if settings.pinned == Some(true) && pinned.is_none() {
                pinned = Some(format!("{name}:{interface} is pinned to its addresses"));
            }
        }
        pinned
    }

    /// Whether the network's switch has to keep VLANs apart.
    fn names_vlans(&self, name: &NodeName, network: &Network) -> bool {
        let settings = network.bridge.as_deref();
        let named = settings.is_some_and(|settings| {
            settings.gateway_vlan.is_some()
                || settings.default_vlan.is_some()
                || !settings.uplink_trunk.is_empty()
        });
        let names = |interface: &Interface| {
            interface.vlan.is_some() || interface.native.is_some() || !interface.trunk.is_empty()
        };
        settings.and_then(|settings| settings.vlan_filtering).unwrap_or_else(|| {
            named
                || self.attached(name).any(|(.., interface)| names(interface))
                || self.linked(name).any(|(_, other, _)| self.settings_of(other).is_some_and(names))
        })
    }

    /// Whether a cable of the network does more than hold packets to a rate.
    fn needs_netem(&self, name: &NodeName, network: &Network) -> bool {
        let usual = network.medium.as_ref().or(self.topology.defaults.medium.as_ref());
        let cables = self.attached(name).map(|(.., settings)| settings.medium.as_ref().or(usual));
        cables.chain(self.linked(name).map(|(.., link)| link.medium.as_ref())).flatten().any(|medium| {
            let half = medium.duplex.as_ref().is_some_and(|duplex| duplex.value == Duplex::Half);
            let rate_only = Medium { rate: medium.rate, duplex: medium.duplex, ..Medium::default() };
            half || *medium != rate_only
        })
    }

    /// What the network asks for that Netloom's own switch does not have, in words.
    fn obstacle(&self, name: &NodeName, network: &Network) -> Option<String> {
        let topology = self.topology;
        if !is_switched(network.mode) {
            return Some("its mode needs the kernel".to_owned());
        }
        if let Some(Err(why)) = network.bridge.as_deref().map(tree) {
            return Some(why);
        }
        for (node, facts, interface, settings) in self.attached(name) {
            let tuned = !settings.offloads.is_empty() || settings.queues.is_some();
            if !facts.is_machine() && (tuned || !topology.defaults.offloads.is_empty()) {
                return Some(format!("offloads or queues of {node}:{interface} are set"));
            }
            if self.is_bonded(node, interface) {
                return Some(format!("{node}:{interface} is in a bond"));
            }
        }
        for (end, other, link) in self.linked(name) {
            let duplex = link.medium.as_ref().and_then(|medium| medium.duplex.as_ref());
            if duplex.is_some_and(|duplex| duplex.value == Duplex::Simplex) {
                return Some(format!("the link that ends at {end} goes one way only"));
            }
            let settings = self.settings_of(other);
            let tuned = |settings: &Interface| !settings.offloads.is_empty() || settings.queues.is_some();
            if settings.is_some_and(tuned) || !topology.defaults.offloads.is_empty() {
                return Some(format!("offloads or queues of {other} are set"));
            }
            if self.is_bonded(&other.node, &other.interface) {
                return Some(format!("{other} is in a bond"));
            }
        }
        None
    }

    /// The cables of `links` that end at a network: its end, the other one, and the link.
    fn linked(
        &self,
        network: &NodeName,
    ) -> impl Iterator<Item = (&'a InterfaceRef, &'a InterfaceRef, &'a Link)> + use<'a> {
        let network = network.clone();
        let cables = self.topology.links.iter().filter(|link| link.kind == LinkKind::Veth);
        cables
            .filter_map(|link| link.link.as_ref().map(|ends| (&ends.a, &ends.b, &link.value.0)))
            .flat_map(|(a, b, link)| [(a, b, link), (b, a, link)])
            .filter(move |(end, ..)| end.node == network)
    }

    fn settings_of(&self, at: &InterfaceRef) -> Option<&'a Interface> {
        let node = self.nodes.get(&at.node)?.node;
        node.interfaces.get(&Spanned::from(at.interface.clone()))
    }

    fn is_bonded(&self, node: &NodeName, interface: &InterfaceName) -> bool {
        self.topology.links.iter().any(|link| {
            link.kind == LinkKind::Bond
                && link.on.as_ref().is_some_and(|on| on.node == *node)
                && link.members.iter().any(|member| member.value == *interface)
        })
    }
}

/// Whether a network of this mode is one switch.
const fn is_switched(mode: NetworkMode) -> bool {
    matches!(mode, NetworkMode::Bridge | NetworkMode::HostOnly | NetworkMode::Nat | NetworkMode::Routed)
}

/// What a network's settings say of the spanning tree, in whole seconds as its messages have them.
///
/// # Errors
/// What the switch can't do, in words.
pub(crate) fn tree(settings: &BridgeSettings) -> Result<Option<Tree>, String> {
    if !settings.stp {
        return Ok(None);
    }
    let seconds =
        |name: &str, time: &Option<Spanned<TimeSpan>>| match time.as_ref().map(|time| time.duration()) {
            Some(time) if time.subsec_nanos() != 0 => Err(format!("`{name}` is not in whole seconds")),
            time => Ok(time.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX))),
        };
    if let Some(priority) = settings.priority.filter(|priority| !priority.is_multiple_of(4096)) {
        return Err(format!(
            "its priority {priority} is no multiple of 4096, as rapid spanning tree wants it"
        ));
    }
    Ok(Some(Tree {
        priority: settings.priority,
        hello: seconds("hello-time", &settings.hello_time)?,
        max_age: seconds("max-age", &settings.max_age)?,
        forward_delay: seconds("forward-delay", &settings.forward_delay)?,
    }))
}
