//! MAC addresses: chosen from the names, so that a device has the same one in every apply.

use crate::hash::stable;
use crate::inventory::{Device, Inventory, Make};
use crate::object::{LinkRef, Space};
use netloom_model::topology::{LinkKind, MacvlanMode, NetworkMode};
use netloom_wire::MacAddr;
use std::collections::BTreeSet;

/// Fills in [`Device::mac`]. No two devices of a topology share one, whatever namespace they are in,
/// since a bridge may bring any two together; what a user fixed is never given to another.
pub(crate) fn assign(inventory: &mut Inventory<'_>) {
    let topology = inventory.topology.name.to_string();
    let bonded: BTreeSet<LinkRef> = bonded(inventory);
    let mut taken: BTreeSet<MacAddr> = BTreeSet::new();
    for device in inventory.devices.values_mut() {
        device.mac = device.settings.and_then(|settings| settings.mac.as_ref()).map(|mac| mac.value);
        taken.extend(device.mac);
    }
    let Inventory { devices, segments, .. } = inventory;
    // An ipvlan shares its parent's address, and a macvlan that takes the parent over has it too.
    let shares = |device: &Device<'_>| match &device.make {
        Make::Rider { network, .. } => segments.get(network).is_some_and(|segment| {
            segment.network.mode != NetworkMode::Macvlan
                || segment.network.macvlan == Some(MacvlanMode::Passthru)
        }),
        _ => false,
    };
    for (at, device) in devices.iter_mut() {
        if device.mac.is_some() || !ethernet(device) || bonded.contains(at) || shares(device) {
            continue;
        }
        let space = match &at.space {
            Space::Host => "",
            Space::Node(name) => name.as_str(),
        };
        let free = (0u32..1000).find_map(|attempt| {
            let attempt = attempt.to_string();
            let mac = MacAddr::local_from_hash(stable(&[&topology, space, at.name.as_str(), &attempt]));
            taken.insert(mac).then_some(mac)
        });
        device.mac = free;
    }
}

/// The ports of bonds: a bond gives them its own address.
fn bonded(inventory: &Inventory<'_>) -> BTreeSet<LinkRef> {
    let bonds = inventory.topology.links.iter().filter(|link| link.kind == LinkKind::Bond);
    bonds
        .filter_map(|link| link.on.as_ref().map(|on| (inventory.at(on).space, &link.members)))
        .flat_map(|(space, members)| {
            members.iter().map(move |name| LinkRef { space: space.clone(), name: name.value.clone() })
        })
        .collect()
}

/// Whether the device has an Ethernet address of its own. VLANs and ipvlans have their parent's.
fn ethernet(device: &Device<'_>) -> bool {
    match &device.make {
        Make::Existing | Make::Vrf { .. } | Make::Patch { .. } => false,
        Make::Cable { .. }
        | Make::Bridge { .. }
        | Make::Port { .. }
        | Make::Socket { .. }
        | Make::OverlayVxlan { .. }
        | Make::OverlayGeneve { .. }
        | Make::Rider { .. } => true,
        Make::Single { link } | Make::TunnelEnd { link, .. } => match link.kind {
            LinkKind::Macvlan => link.mode.as_ref().is_none_or(|mode| mode.value != "passthru"),
            kind => matches!(
                kind,
                LinkKind::Tap
                    | LinkKind::Dummy
                    | LinkKind::Bond
                    | LinkKind::Vxlan
                    | LinkKind::Geneve
                    | LinkKind::Gretap
            ),
        },
    }
}
