//! Ports of a bridge: their attributes (`IFLA_BRPORT_*`) and their VLANs (`IFLA_BRIDGE_VLAN_INFO`).

use super::raw::header;
use crate::netlink::{Attributes, Message, Messages, Reply};
use netloom_compile::object::{BridgePort, PortVlan};
use netloom_wire::VlanId;
use std::collections::BTreeSet;

const IFLA_BRPORT_PRIORITY: u16 = 2;
const IFLA_BRPORT_COST: u16 = 3;
/// Hairpin.
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_ISOLATED: u16 = 33;

const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const BRIDGE_FLAGS_SELF: u16 = 2;
const BRIDGE_VLAN_INFO_PVID: u16 = 1 << 1;
const BRIDGE_VLAN_INFO_UNTAGGED: u16 = 1 << 2;
const BRIDGE_VLAN_INFO_RANGE_BEGIN: u16 = 1 << 3;
const BRIDGE_VLAN_INFO_RANGE_END: u16 = 1 << 4;
/// `RTEXT_FILTER_BRVLAN_COMPRESSED`: runs of equal VLANs come as ranges.
const BRVLAN_COMPRESSED: u32 = 1 << 2;
const VLAN_MAX: u16 = 4094;

pub(super) fn write(m: &mut Message<'_>, port: &BridgePort) {
    if let Some(priority) = port.priority {
        m.u16(IFLA_BRPORT_PRIORITY, priority);
    }
    if let Some(cost) = port.cost {
        m.u32(IFLA_BRPORT_COST, cost);
    }
    m.u8(IFLA_BRPORT_MODE, u8::from(port.hairpin));
    if let Some(learning) = port.learning {
        m.u8(IFLA_BRPORT_LEARNING, u8::from(learning));
    }
    if let Some(flood) = port.flood {
        m.u8(IFLA_BRPORT_UNICAST_FLOOD, u8::from(flood));
    }
    m.u8(IFLA_BRPORT_ISOLATED, u8::from(port.isolated));
}

/// All but the VLANs.
pub(super) fn read(data: Attributes<'_>) -> BridgePort {
    let mut port = BridgePort::default();
    for attribute in data {
        let on = attribute.u8().map(|on| on != 0);
        match attribute.kind {
            IFLA_BRPORT_PRIORITY => port.priority = attribute.u16(),
            IFLA_BRPORT_COST => port.cost = attribute.u32(),
            IFLA_BRPORT_MODE => port.hairpin = on.unwrap_or_default(),
            IFLA_BRPORT_LEARNING => port.learning = on,
            IFLA_BRPORT_UNICAST_FLOOD => port.flood = on,
            IFLA_BRPORT_ISOLATED => port.isolated = on.unwrap_or_default(),
            _ => {}
        }
    }
    port
}

/// Writes the requests that give a port (or, with `own`, the bridge itself) exactly these VLANs:
/// first everything else is taken away, in runs, then the wanted ones are added. `flags` are those of
/// the whole, so that repeating it changes nothing.
pub(crate) fn vlan_messages(messages: &mut Messages, index: u32, own: bool, vlans: &BTreeSet<PortVlan>) {
    let mut from = 1;
    let mut gaps = Vec::new();
    for vlan in vlans {
        let id = vlan.id.get();
        if id > from {
            gaps.push((from, id - 1));
        }
        from = id + 1;
    }
    if from <= VLAN_MAX {
        gaps.push((from, VLAN_MAX));
    }
    for (first, last) in gaps {
        let mut m = messages.add(libc::RTM_DELLINK, 0);
        m.header(&header(libc::AF_BRIDGE as u8, index, 0, 0)).nest(libc::IFLA_AF_SPEC, |m| {
            target(m, own);
            if first == last {
                vlan_info(m, 0, first);
            } else {
                vlan_info(m, BRIDGE_VLAN_INFO_RANGE_BEGIN, first);
                vlan_info(m, BRIDGE_VLAN_INFO_RANGE_END, last);
            }
        });
    }
    if vlans.is_empty() {
        return;
    }
    let mut m = messages.add(libc::RTM_SETLINK, 0);
    m.header(&header(libc::AF_BRIDGE as u8, index, 0, 0)).nest(libc::IFLA_AF_SPEC, |m| {
        target(m, own);
        for vlan in vlans {
            let pvid = if vlan.pvid { BRIDGE_VLAN_INFO_PVID } else { 0 };
            let untagged = if vlan.untagged { BRIDGE_VLAN_INFO_UNTAGGED } else { 0 };
            vlan_info(m, pvid | untagged, vlan.id.get());
        }
    });
}

fn target(m: &mut Message<'_>, own: bool) {
    if own {
        m.u16(IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF);
    }
}

fn vlan_info(m: &mut Message<'_>, flags: u16, id: u16) {
    let (flags, id) = (flags.to_ne_bytes(), id.to_ne_bytes());
    m.octets(IFLA_BRIDGE_VLAN_INFO, &[flags[0], flags[1], id[0], id[1]]);
}

/// Writes the request for the VLANs of all bridges and ports of a namespace.
pub(crate) fn vlan_dump(messages: &mut Messages) {
    messages
        .add(libc::RTM_GETLINK, libc::NLM_F_DUMP as u16)
        .header(&header(libc::AF_BRIDGE as u8, 0, 0, 0))
        .u32(libc::IFLA_EXT_MASK, BRVLAN_COMPRESSED);
}

/// Reads an answer to [`vlan_dump`]: the index, and the VLANs.
pub(crate) fn read_vlans(reply: &Reply<'_>) -> Option<(u32, BTreeSet<PortVlan>)> {
    if reply.kind != libc::RTM_NEWLINK || reply.fixed::<1>(0) != [libc::AF_BRIDGE as u8] {
        return None;
    }
    let specification = reply.attributes(super::raw::HEADER).get(libc::IFLA_AF_SPEC)?;
    let mut vlans = BTreeSet::new();
    let mut begin = None;
    for attribute in specification.nested().filter(|attribute| attribute.kind == IFLA_BRIDGE_VLAN_INFO) {
        let Some(&[a, b, c, d]) = attribute.value.first_chunk::<4>() else { continue };
        let (flags, id) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        if flags & BRIDGE_VLAN_INFO_RANGE_BEGIN != 0 {
            begin = Some(id);
            continue;
        }
        let first = if flags & BRIDGE_VLAN_INFO_RANGE_END == 0 { id } else { begin.take().unwrap_or(id) };
        for id in first..=id.min(VLAN_MAX) {
            if let Ok(id) = VlanId::try_from(u64::from(id)) {
                vlans.insert(PortVlan {
                    id,
                    pvid: flags & BRIDGE_VLAN_INFO_PVID != 0,
                    untagged: flags & BRIDGE_VLAN_INFO_UNTAGGED != 0,
                });
            }
        }
    }
    Some((reply.fixed_u32(4), vlans))
}
