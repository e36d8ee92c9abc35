//! Bridges, their ports and their VLANs.

use crate::inventory::{Device, Inventory, Make, Port, PortRole, Segment, tree};
use crate::object::{
    Behind, BridgeOptions, BridgePort, LinkRef, Pinned, PortVlan, Socket, Switch, SwitchPort,
};
use crate::report::Report;
use netloom_model::document::Spanned;
use netloom_model::scalar::TimeSpan;
use netloom_model::topology::{BridgeSettings, Encapsulation, SocketMode};
use netloom_wire::{NodeName, VlanId};
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

/// Netloom's own switch of a network.
pub(super) fn switch(inventory: &Inventory<'_>, segment: &Segment<'_>, report: &mut Report<'_>) -> Switch {
    let switch = Switch { running: true, ..Switch::default() };
    let Some(settings) = segment.network.bridge.as_deref() else { return switch };
    note_stp(segment, settings, report);
    let all: BTreeSet<u16> = if segment.filters_vlans {
        inventory.vlans.iter().copied().chain(segment.default_vlan()).map(VlanId::get).collect()
    } else {
        BTreeSet::from([0])
    };
    Switch {
        // What can't be said in whole seconds was refused when the switch was chosen.
        tree: tree(settings).ok().flatten(),
        ageing: settings
            .ageing
            .as_ref()
            .map(|time| u64::try_from(time.duration().as_millis()).unwrap_or(u64::MAX)),
        snooping: settings.multicast_snooping == Some(true),
        querier: if settings.multicast_querier == Some(true) { all } else { BTreeSet::new() },
        ..switch
    }
}

/// The port of Netloom's own switch that a device is, with the reason for it.
pub(super) fn switch_port(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    device: &Device<'_>,
    report: &mut Report<'_>,
) -> Option<(SwitchPort, String)> {
    let plugged = |network: &NodeName, role| Port {
        network: network.clone(),
        settings: device.settings.filter(|_| role == PortRole::Member),
        role,
    };
    let (port, behind) = match &device.make {
        Make::Bridge { network } => (plugged(network, PortRole::Trunk), Behind::Tap),
        Make::Port { network, role, .. } => (plugged(network, *role), Behind::Tap),
        Make::Socket { network } => (plugged(network, PortRole::Member), Behind::Socket(socket(device))),
        Make::Patch { network, peer, .. } => {
            (plugged(network, PortRole::Trunk), Behind::Patch { peer: peer.clone() })
        }
        // Whatever else would be a port of a bridge.
        _ => {
            let port = device.port.as_ref()?;
            (
                Port { network: port.network.clone(), settings: port.settings, role: port.role },
                Behind::Interface,
            )
        }
    };
    let segment = inventory.segments.get(&port.network).filter(|segment| segment.carrier.is_switch())?;
    let own = matches!(device.make, Make::Bridge { .. });
    let as_bridged = self::port(inventory, segment, &port);
    let vlans = if own { own_vlans(segment) } else { as_bridged.vlans };
    let in_tree = segment.network.bridge.as_deref().is_some_and(|settings| settings.stp);
    let reason =
        if own { format!("is network {}'s own port", port.network) } else { device.reason.to_string() };
    let port = SwitchPort {
        behind,
        isolated: as_bridged.isolated && !own,
        vlans: segment.filters_vlans.then_some(vlans),
        cost: as_bridged.cost,
        edge: in_tree && (own || matches!(port.role, PortRole::Member | PortRole::Downstream)),
        pinned: pinned(inventory, device),
        link: crate::shape::switch_link(inventory, at, device, segment, report),
        open: true,
        network: port.network,
    };
    Some((port, reason))
}

/// The socket of a virtual machine's interface.
fn socket(device: &Device<'_>) -> Socket {
    let wanted = device.settings.and_then(|settings| settings.socket.as_deref()).cloned().unwrap_or_default();
    Socket {
        listens: wanted.mode == SocketMode::Server,
        path: wanted.path.map(|path| path.value.into()),
        queues: device.settings.and_then(|settings| settings.queues).unwrap_or(1),
        offloads: wanted.offloads.unwrap_or(true),
        user: wanted.user,
        group: wanted.group,
    }
}

/// Whose addresses a port is held to: those of its own if the user says so. Where there are policies, a virtual machine
/// is held to its own as well: others are to be told from it by their addresses.
fn pinned(inventory: &Inventory<'_>, device: &Device<'_>) -> Option<Pinned> {
    let machine = matches!(device.make, Make::Socket { .. });
    let usual = machine && inventory.topology.policies.is_some();
    let wanted = device.settings.and_then(|settings| settings.pinned).unwrap_or(usual);
    let mac = device.mac.filter(|_| wanted)?;
    Some(Pinned { mac, addresses: device.addresses.iter().copied().collect() })
}

/// What of a spanning tree has no effect, or an unwished one.
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
