//! Kinds that ride on or gather other interfaces with few attributes: macvlan, ipvlan, VLAN, VRF.

use super::{Names, RawLink, unknown};
use crate::netlink::{Attribute, Attributes, Message};
use netloom_compile::object::{IpvlanFlag, IpvlanMode, LinkKind, MacvlanMode, VlanProtocol};
use netloom_wire::{MacAddr, VlanId};
use std::collections::BTreeSet;

const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_MACVLAN_MACADDR_MODE: u16 = 3;
const IFLA_MACVLAN_MACADDR: u16 = 4;
const IFLA_MACVLAN_MACADDR_DATA: u16 = 5;
/// `MACVLAN_MACADDR_SET`: exactly these.
const MACVLAN_MACADDR_SET: u32 = 3;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VLAN_PROTOCOL: u16 = 5;
const IFLA_VRF_TABLE: u16 = 1;

/// `MACVLAN_MODE_*`: single bits.
const MACVLAN_MODES: [(MacvlanMode, u32); 5] = [
    (MacvlanMode::Private, 1),
    (MacvlanMode::Vepa, 2),
    (MacvlanMode::Bridge, 4),
    (MacvlanMode::Passthru, 8),
    (MacvlanMode::Source, 16),
];
const IPVLAN_MODES: [(IpvlanMode, u16); 3] = [(IpvlanMode::L2, 0), (IpvlanMode::L3, 1), (IpvlanMode::L3s, 2)];
const IPVLAN_FLAGS: [(IpvlanFlag, u16); 3] =
    [(IpvlanFlag::Bridge, 0), (IpvlanFlag::Private, 1), (IpvlanFlag::Vepa, 2)];
const VLAN_PROTOCOLS: [(VlanProtocol, u16); 2] =
    [(VlanProtocol::Customer, 0x8100), (VlanProtocol::Service, 0x88a8)];

fn number<T: PartialEq + Copy, N: Copy + Default>(table: &[(T, N)], word: T) -> N {
    table.iter().find(|(name, _)| *name == word).map(|(_, number)| *number).unwrap_or_default()
}

fn word<T: Copy, N: PartialEq>(table: &[(T, N)], number: N) -> Option<T> {
    table.iter().find(|(_, value)| *value == number).map(|(name, _)| *name)
}

/// The mode; in mode `source` also exactly the accepted addresses.
pub(super) fn write_macvlan(m: &mut Message<'_>, mode: MacvlanMode, sources: &BTreeSet<MacAddr>) {
    m.u32(IFLA_MACVLAN_MODE, number(&MACVLAN_MODES, mode));
    if mode == MacvlanMode::Source {
        m.u32(IFLA_MACVLAN_MACADDR_MODE, MACVLAN_MACADDR_SET).nest(IFLA_MACVLAN_MACADDR_DATA, |m| {
            for mac in sources {
                m.octets(IFLA_MACVLAN_MACADDR, &mac.octets());
            }
        });
    }
}

pub(super) fn read_macvlan(raw: &RawLink<'_>, names: &dyn Names) -> Option<LinkKind> {
    let mode = word(&MACVLAN_MODES, raw.data.get(IFLA_MACVLAN_MODE)?.u32()?)?;
    let sources =
        raw.data.get(IFLA_MACVLAN_MACADDR_DATA).map(|list| list.nested().filter_map(Attribute::mac));
    Some(LinkKind::Macvlan {
        parent: unknown(names, raw)?,
        mode,
        sources: sources.into_iter().flatten().collect(),
    })
}

pub(super) fn write_ipvlan(m: &mut Message<'_>, mode: IpvlanMode, flag: IpvlanFlag) {
    m.u16(IFLA_IPVLAN_MODE, number(&IPVLAN_MODES, mode)).u16(IFLA_IPVLAN_FLAGS, number(&IPVLAN_FLAGS, flag));
}

pub(super) fn read_ipvlan(raw: &RawLink<'_>, names: &dyn Names) -> Option<LinkKind> {
    let mode = word(&IPVLAN_MODES, raw.data.get(IFLA_IPVLAN_MODE)?.u16()?)?;
    let flags = raw.data.get(IFLA_IPVLAN_FLAGS).and_then(|flags| flags.u16()).unwrap_or_default();
    Some(LinkKind::Ipvlan { parent: unknown(names, raw)?, mode, flag: word(&IPVLAN_FLAGS, flags)? })
}

pub(super) fn write_vlan(m: &mut Message<'_>, id: VlanId, protocol: VlanProtocol) {
    m.u16(IFLA_VLAN_ID, id.get()).u16_be(IFLA_VLAN_PROTOCOL, number(&VLAN_PROTOCOLS, protocol));
}

pub(super) fn read_vlan(raw: &RawLink<'_>, names: &dyn Names) -> Option<LinkKind> {
    let id = VlanId::try_from(u64::from(raw.data.get(IFLA_VLAN_ID)?.u16()?)).ok()?;
    let protocol = word(&VLAN_PROTOCOLS, raw.data.get(IFLA_VLAN_PROTOCOL)?.u16_be()?)?;
    Some(LinkKind::Vlan { parent: unknown(names, raw)?.name, id, protocol })
}

pub(super) fn write_vrf(m: &mut Message<'_>, table: u32) {
    m.u32(IFLA_VRF_TABLE, table);
}

pub(super) fn read_vrf(data: Attributes<'_>) -> Option<LinkKind> {
    Some(LinkKind::Vrf { table: data.get(IFLA_VRF_TABLE)?.u32()? })
}
