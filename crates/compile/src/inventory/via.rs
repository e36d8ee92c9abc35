//! Who carries the frames of each network: a bridge of the kernel, or Netloom's own switch.
//!
//! Invariants: what the user says counts; `auto` takes the kernel unless it lacks something and the switch has it.
//! What the switch lacks is listed in one place, [`Inventory::obstacle`], and nothing is left out silently.

use super::Inventory;
use crate::compiled::{Bridging, Context, ProblemKind};
use crate::report::{Report, first_span};
use netloom_model::scalar::InterfaceRef;
use netloom_model::topology::{
    BridgeSettings, Duplex, Interface, LinkKind, Medium, Network, NetworkMode, Uplink, Via,
};
use netloom_wire::{InterfaceName, NodeName};

/// Who carries the frames of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A bridge of the kernel; with the reason, if the user left it open.
    Kernel { why: Option<&'static str> },
    /// Netloom's own switch, and why.
    Switch { why: &'static str },
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
            let carrier = match said {
                Some(Via::Kernel) => Carrier::Kernel { why: Some("as `via: kernel` says") },
                Some(Via::Switch) => {
                    if let Some(why) = self.obstacle(&name.value, network) {
                        report.problem(span, ProblemKind::Via { network: name.value.clone(), why });
                    }
                    Carrier::Switch { why: "as `via: switch` says" }
                }
                None | Some(Via::Auto) => match (lacks, self.obstacle(&name.value, network)) {
                    (None, _) => Carrier::Kernel { why: said.map(|_| "which has all that it needs") },
                    (Some(why), None) => Carrier::Switch { why },
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
                segment.carrier = carrier;
            }
        }
    }

    /// The nodes' interfaces on a network.
    fn attached(
        &self,
        network: &NodeName,
    ) -> impl Iterator<Item = (&'a NodeName, &'a InterfaceName, &'a Interface)> + use<'a> {
        let (topology, network) = (self.topology, network.clone());
        topology.endpoints.iter().chain(&topology.routers).flat_map(move |(node, settings)| {
            let network = network.clone();
            settings
                .interfaces
                .iter()
                .filter(move |(_, interface)| interface.network.as_deref() == Some(&network))
                .map(|(name, interface)| (&node.value, &name.value, interface))
        })
    }

    /// Whether the network's switch has to keep VLANs apart.
    fn names_vlans(&self, name: &NodeName, network: &Network) -> bool {
        let settings = network.bridge.as_deref();
        let named = settings.is_some_and(|settings| {
            settings.gateway_vlan.is_some()
                || settings.default_vlan.is_some()
                || !settings.uplink_trunk.is_empty()
        });
        let by_port = |(_, _, interface): (&NodeName, &InterfaceName, &Interface)| {
            interface.vlan.is_some() || interface.native.is_some() || !interface.trunk.is_empty()
        };
        settings
            .and_then(|settings| settings.vlan_filtering)
            .unwrap_or_else(|| named || self.attached(name).any(by_port))
    }

    /// Whether a cable of the network does more than hold packets to a rate.
    fn needs_netem(&self, name: &NodeName, network: &Network) -> bool {
        let usual = network.medium.as_ref().or(self.topology.defaults.medium.as_ref());
        self.attached(name).any(|(_, _, settings)| {
            settings.medium.as_ref().or(usual).is_some_and(|medium| {
                let half = medium.duplex.as_ref().is_some_and(|duplex| duplex.value == Duplex::Half);
                let rate_only = Medium { rate: medium.rate, duplex: medium.duplex, ..Medium::default() };
                half || *medium != rate_only
            })
        })
    }

    /// What the network asks for that Netloom's own switch does not have, in words.
    fn obstacle(&self, name: &NodeName, network: &Network) -> Option<String> {
        let topology = self.topology;
        if !is_switched(network.mode) {
            return Some("its mode needs the kernel".to_owned());
        }
        if matches!(network.uplink.as_deref(), Some(Uplink::Interface(_))) {
            return Some("its uplink is an interface of the host".to_owned());
        }
        let above =
            |other: &Network| matches!(other.uplink.as_deref(), Some(Uplink::Network(up)) if up == name);
        if let Some((other, _)) = topology.networks.iter().find(|(_, other)| above(other)) {
            return Some(format!("it is the uplink of network {}", other.value));
        }
        let ends_here = |end: &InterfaceRef| end.node == *name;
        for link in &topology.links {
            let ends = link.link.iter().flat_map(|ends| [&ends.a, &ends.b]);
            if let Some(end) = ends.chain(link.on.as_deref()).find(|end| ends_here(end)) {
                return Some(format!("a link ends at {end}"));
            }
        }
        if network.bridge.as_deref().is_some_and(beyond_vlans) {
            return Some("`bridge` sets more than VLANs".to_owned());
        }
        for (node, interface, settings) in self.attached(name) {
            let tuned = !settings.offloads.is_empty() || settings.queues.is_some();
            if tuned || !topology.defaults.offloads.is_empty() {
                return Some(format!("offloads or queues of {node}:{interface} are set"));
            }
            if settings.stp_cost.is_some() {
                return Some(format!("{node}:{interface} has a cost for the spanning tree"));
            }
            let bonded = topology.links.iter().any(|link| {
                link.kind == LinkKind::Bond
                    && link.on.as_ref().is_some_and(|on| on.node == *node)
                    && link.members.iter().any(|member| member.value == *interface)
            });
            if bonded {
                return Some(format!("{node}:{interface} is in a bond"));
            }
        }
        None
    }
}

/// Whether a network of this mode is one switch.
const fn is_switched(mode: NetworkMode) -> bool {
    matches!(mode, NetworkMode::Bridge | NetworkMode::HostOnly | NetworkMode::Nat | NetworkMode::Routed)
}

/// Whether settings of a bridge ask for what only the kernel's has.
fn beyond_vlans(settings: &BridgeSettings) -> bool {
    let vlans = BridgeSettings {
        vlan_filtering: settings.vlan_filtering,
        default_vlan: settings.default_vlan,
        gateway_vlan: settings.gateway_vlan,
        uplink_trunk: settings.uplink_trunk.clone(),
        ..BridgeSettings::default()
    };
    *settings != vlans
}
