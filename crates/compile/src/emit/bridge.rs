//! Bridges, their ports and their VLANs.

use crate::inventory::{Device, Inventory, Make, Port, PortRole, Segment};
use crate::object::{BridgeOptions, BridgePort, LinkRef, PortVlan, SwitchPort};
use crate::report::Report;
use netloom_model::document::Spanned;
use netloom_model::scalar::TimeSpan;
use netloom_model::topology::{BridgeSettings, Encapsulation};
use netloom_wire::VlanId;
use std::collections::BTreeSet;

pub(super) fn options(segment: &Segment<'_>, report: &mut Report<'_>) -> BridgeOptions {
    let mut options = BridgeOptions { vlan_filtering: segment.filters_vlans, ..BridgeOptions::default() };
    let settings = segment.network.bridge.as_deref();
    if segment.filters_vlans {
        // Ports get exactly the VLANs that are wanted, so none comes by itself.
        options.default_pvid = Some(0);
        options.vlans = own_vlans(segment);
    }
    let Some(settings) = settings else { return options };
    options.stp = settings.stp;
    options.priority = settings.priority;
    options.forward_delay = centiseconds(&settings.forward_delay);
    options.hello_time = centiseconds(&settings.hello_time);
    options.max_age = centiseconds(&settings.max_age);
    options.ageing_time = centiseconds(&settings.ageing);
    options.multicast_snooping = settings.multicast_snooping;
    options.multicast_querier = settings.multicast_querier;
    note_stp(segment, settings, report);
    options
}

/// The VLAN of the network's own interface.
fn own_vlans(segment: &Segment<'_>) -> BTreeSet<PortVlan> {
    let settings = segment.network.bridge.as_deref();
    let gateway = settings.and_then(|settings| settings.gateway_vlan.as_ref()).map(|vlan| vlan.value);
    untagged(gateway.or_else(|| segment.default_vlan()))
}

/// The port of Netloom's own switch that an interface is, with the reason for it.
pub(super) fn switch_port(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    device: &Device<'_>,
    report: &mut Report<'_>,
) -> Option<(SwitchPort, String)> {
    let (Make::Port { network } | Make::Bridge { network }) = &device.make else { return None };
    let segment = inventory.segments.get(network).filter(|segment| segment.carrier.is_switch())?;
    let open = |isolated, vlans: BTreeSet<PortVlan>| {
        let vlans = segment.filters_vlans.then_some(vlans);
        let link = Default::default();
        SwitchPort { network: network.clone(), isolated, vlans, link, open: true }
    };
    Some(match &device.make {
        Make::Port { .. } => {
            let port = Port { network: network.clone(), settings: device.settings, role: PortRole::Member };
            let port = self::port(inventory, segment, &port);
            let link = crate::shape::switch_link(inventory, at, device, segment, report);
            (SwitchPort { link, ..open(port.isolated, port.vlans) }, device.reason.to_string())
        }
        _ => (open(false, own_vlans(segment)), format!("is network {network}'s own port")),
    })
}

/// The kernel's spanning tree keeps 2 * (forward delay - 1 s) >= maximum age (IEEE 802.1D-2004, 17.14).
fn note_stp(segment: &Segment<'_>, settings: &BridgeSettings, report: &mut Report<'_>) {
    if !settings.stp && (settings.priority.is_some() || settings.forward_delay.is_some()) {
        let text = format!("network {} sets spanning-tree values, but spanning tree is off", segment.name);
        report.warning(segment.span, text);
    }
}

fn centiseconds(time: &Option<Spanned<TimeSpan>>) -> Option<u32> {
    time.as_ref().map(|time| u32::try_from(time.duration().as_millis() / 10).unwrap_or(u32::MAX))
}

fn untagged(vlan: Option<VlanId>) -> BTreeSet<PortVlan> {
    vlan.into_iter().map(|id| PortVlan { id, pvid: true, untagged: true }).collect()
}

fn tagged(vlans: impl IntoIterator<Item = VlanId>) -> impl Iterator<Item = PortVlan> {
    vlans.into_iter().map(|id| PortVlan { id, pvid: false, untagged: false })
}

pub(super) fn port(inventory: &Inventory<'_>, segment: &Segment<'_>, port: &Port<'_>) -> BridgePort {
    let settings = port.settings;
    let isolated = match port.role {
        PortRole::Member | PortRole::Downstream => {
            settings.and_then(|settings| settings.isolated).unwrap_or(segment.network.isolated)
        }
        // Split horizon: what came out of one Geneve tunnel must not go into another, or it would
        // come back by the third VTEP. A VXLAN device does that by itself.
        PortRole::Tunnel => segment.network.encapsulation == Some(Encapsulation::Geneve),
        PortRole::Trunk | PortRole::Uplink => false,
    };
    let cost = settings.and_then(|settings| settings.stp_cost);
    let vlans = if segment.filters_vlans { vlans(inventory, segment, port) } else { BTreeSet::new() };
    BridgePort { isolated, cost, vlans, ..BridgePort::default() }
}

fn vlans(inventory: &Inventory<'_>, segment: &Segment<'_>, port: &Port<'_>) -> BTreeSet<PortVlan> {
    let default = untagged(segment.default_vlan());
    match port.role {
        PortRole::Trunk | PortRole::Tunnel => {
            let mut vlans = default.clone();
            let known: BTreeSet<VlanId> = default.iter().map(|vlan| vlan.id).collect();
            vlans.extend(tagged(inventory.vlans.difference(&known).copied()));
            vlans
        }
        PortRole::Uplink => {
            let settings = segment.network.bridge.as_deref();
            let trunk = settings.map(|settings| &settings.uplink_trunk.0[..]).unwrap_or_default();
            if trunk.is_empty() {
                default
            } else {
                tagged(trunk.iter().flat_map(|range| range.iter())).collect()
            }
        }
        PortRole::Downstream => default,
        PortRole::Member => {
            let Some(settings) = port.settings else { return default };
            if let Some(vlan) = &settings.vlan {
                return untagged(Some(vlan.value));
            }
            let native = settings.native.as_ref().map(|native| native.value);
            if settings.trunk.is_empty() && native.is_none() {
                return default;
            }
            let mut vlans = untagged(native);
            let passing = settings.trunk.iter().flat_map(|range| range.iter());
            vlans.extend(tagged(passing.filter(|vlan| Some(*vlan) != native)));
            vlans
        }
    }
}
