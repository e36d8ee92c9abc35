//! UDP tunnels: VXLAN (`IFLA_VXLAN_*`) and Geneve (`IFLA_GENEVE_*`), linux/if_link.h.

use super::Names;
use crate::netlink::{Attributes, Message};
use netloom_compile::object::{GeneveOptions, LinkKind, VxlanOptions};
use netloom_wire::Vni;
use std::net::IpAddr;

const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_GROUP: u16 = 2;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_TTL: u16 = 5;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_GROUP6: u16 = 16;
const IFLA_VXLAN_LOCAL6: u16 = 17;

const IFLA_GENEVE_ID: u16 = 1;
const IFLA_GENEVE_REMOTE: u16 = 2;
const IFLA_GENEVE_TTL: u16 = 3;
const IFLA_GENEVE_PORT: u16 = 5;
const IFLA_GENEVE_REMOTE6: u16 = 7;

pub(super) fn write_vxlan(m: &mut Message<'_>, options: &VxlanOptions, device: Option<u32>) {
    m.u32(IFLA_VXLAN_ID, options.vni.get())
        .u16_be(IFLA_VXLAN_PORT, options.port)
        .u8(IFLA_VXLAN_LEARNING, u8::from(options.learning));
    if let Some(remote) = options.remote {
        m.ip(if remote.is_ipv4() { IFLA_VXLAN_GROUP } else { IFLA_VXLAN_GROUP6 }, remote);
    }
    if let Some(local) = options.local {
        m.ip(if local.is_ipv4() { IFLA_VXLAN_LOCAL } else { IFLA_VXLAN_LOCAL6 }, local);
    }
    if let Some(index) = device {
        m.u32(IFLA_VXLAN_LINK, index);
    }
    if let Some(ttl) = options.ttl {
        m.u8(IFLA_VXLAN_TTL, ttl);
    }
}

pub(super) fn read_vxlan(data: Attributes<'_>, names: &dyn Names) -> Option<LinkKind> {
    let specified = |address: IpAddr| (!address.is_unspecified()).then_some(address);
    let (mut vni, mut port) = (None, None);
    let (mut local, mut remote, mut device, mut learning, mut ttl) = (None, None, None, false, None);
    for attribute in data {
        match attribute.kind {
            IFLA_VXLAN_ID => vni = attribute.u32(),
            IFLA_VXLAN_PORT => port = attribute.u16_be(),
            IFLA_VXLAN_LOCAL | IFLA_VXLAN_LOCAL6 => local = attribute.ip().and_then(specified),
            IFLA_VXLAN_GROUP | IFLA_VXLAN_GROUP6 => remote = attribute.ip().and_then(specified),
            IFLA_VXLAN_LINK => device = attribute.u32().and_then(|index| names.local(index)),
            IFLA_VXLAN_LEARNING => learning = attribute.u8() == Some(1),
            IFLA_VXLAN_TTL => ttl = attribute.u8(),
            _ => {}
        }
    }
    let vni = Vni::try_from(u64::from(vni?)).ok()?;
    Some(LinkKind::Vxlan(VxlanOptions { vni, local, remote, device, port: port?, learning, ttl }))
}

pub(super) fn write_geneve(m: &mut Message<'_>, options: &GeneveOptions) {
    m.u32(IFLA_GENEVE_ID, options.vni.get())
        .ip(if options.remote.is_ipv4() { IFLA_GENEVE_REMOTE } else { IFLA_GENEVE_REMOTE6 }, options.remote)
        .u16_be(IFLA_GENEVE_PORT, options.port);
    if let Some(ttl) = options.ttl {
        m.u8(IFLA_GENEVE_TTL, ttl);
    }
}

pub(super) fn read_geneve(data: Attributes<'_>) -> Option<LinkKind> {
    let remote = data.get(IFLA_GENEVE_REMOTE).or_else(|| data.get(IFLA_GENEVE_REMOTE6))?.ip()?;
    Some(LinkKind::Geneve(GeneveOptions {
        vni: Vni::try_from(u64::from(data.get(IFLA_GENEVE_ID)?.u32()?)).ok()?,
        remote,
        port: data.get(IFLA_GENEVE_PORT)?.u16_be()?,
        ttl: data.get(IFLA_GENEVE_TTL).and_then(|ttl| ttl.u8()),
    }))
}
