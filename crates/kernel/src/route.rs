//! Routes (`RTM_NEWROUTE`, linux/rtnetlink.h).
//!
//! A route is deleted only if it has our protocol number, so that a foreign one with the same
//! destination and metric is safe.

use crate::address::family;
use crate::link::Names;
use crate::marks::PROTOCOL;
use crate::netlink::{Attributes, Message, Messages, Reply};
use ipnet::IpNet;
use netloom_compile::object::{NextHop, Route, RouteAction};
use netloom_wire::InterfaceName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of `struct rtmsg`.
const HEADER: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
/// A gateway of the other family.
const RTA_VIA: u16 = 18;
const RTAX_MTU: u16 = 2;

const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;
const RT_SCOPE_LINK: u8 = 253;
/// In a deletion: whatever the scope.
const RT_SCOPE_NOWHERE: u8 = 255;
const RT_TABLE_LOCAL: u32 = 255;
const RTPROT_REDIRECT: u8 = 1;
const RTPROT_KERNEL: u8 = 2;
/// `RTNH_F_DEAD`: the hop's interface is down.
const RTNH_F_DEAD: u8 = 1;
const RTPROT_RA: u8 = 9;
/// `struct rtnexthop`.
const HOP: usize = 8;

/// Where a route goes: the key without its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: u32,
    pub(crate) destination: IpNet,
    pub(crate) metric: u32,
}

fn begin<'a>(
    messages: &'a mut Messages,
    kind: u16,
    flags: u16,
    place: &Place,
    scope: u8,
    action: u8,
) -> Message<'a> {
    let table = u8::try_from(place.table).unwrap_or(0);
    let mut m = messages.add(kind, flags);
    let address = place.destination.addr();
    m.header(&[
        family(address),
        place.destination.prefix_len(),
        0,
        0,
        table,
        PROTOCOL,
        scope,
        action,
        0,
        0,
        0,
        0,
    ]);
    if place.destination.prefix_len() > 0 {
        m.ip(RTA_DST, address);
    }
    m.u32(RTA_TABLE, place.table);
    if place.metric != 0 {
        m.u32(RTA_PRIORITY, place.metric);
    }
    m
}

/// Writes the request that makes a route or, with `replace`, changes it. `index_of` gives the index of each
/// next hop's interface.
pub(crate) fn create(
    messages: &mut Messages,
    place: &Place,
    route: &Route,
    replace: bool,
    index_of: impl Fn(&InterfaceName) -> u32,
) {
    let flags = libc::NLM_F_CREATE | if replace { libc::NLM_F_REPLACE } else { libc::NLM_F_EXCL };
    let (action, hops) = match &route.action {
        RouteAction::Forward { hops } => (RTN_UNICAST, hops.as_slice()),
        RouteAction::Blackhole => (RTN_BLACKHOLE, [].as_slice()),
        RouteAction::Unreachable => (RTN_UNREACHABLE, [].as_slice()),
        RouteAction::Prohibit => (RTN_PROHIBIT, [].as_slice()),
    };
    let v4 = place.destination.addr().is_ipv4();
    let on_link = v4 && action == RTN_UNICAST && hops.iter().all(|hop| hop.gateway.is_none());
    let scope = if on_link { RT_SCOPE_LINK } else { 0 };
    let mut m = begin(messages, libc::RTM_NEWROUTE, flags as u16, place, scope, action);
    if let Some(source) = route.source {
        m.ip(RTA_PREFSRC, source);
    }
    if let Some(mtu) = route.mtu {
        m.nest(RTA_METRICS, |m| {
            m.u32(RTAX_MTU, mtu);
        });
    }
    let index = |hop: &NextHop| hop.device.as_ref().map_or(0, &index_of);
    match hops {
        [] => {}
        [hop] => {
            write_gateway(&mut m, hop, v4);
            m.u32(RTA_OIF, index(hop));
        }
        _ => {
            m.nest(RTA_MULTIPATH, |m| {
                for hop in hops {
                    let weight = hop.weight.clamp(1, 256) - 1;
                    m.counted(|m| {
                        let [a, b, c, d] = index(hop).to_ne_bytes();
                        m.header(&[0, weight as u8, a, b, c, d]);
                        write_gateway(m, hop, v4);
                    });
                }
            });
        }
    }
}

fn write_gateway(m: &mut Message<'_>, hop: &NextHop, v4: bool) {
    match hop.gateway {
        Some(gateway) if gateway.is_ipv4() == v4 => {
            m.ip(RTA_GATEWAY, gateway);
        }
        Some(gateway) => {
            let mut via = u16::from(family(gateway)).to_ne_bytes().to_vec();
            match gateway {
                IpAddr::V4(address) => via.extend(address.octets()),
                IpAddr::V6(address) => via.extend(address.octets()),
            }
            m.octets(RTA_VIA, &via);
        }
        None => {}
    }
}

pub(crate) fn delete(messages: &mut Messages, place: &Place) {
    drop(begin(messages, libc::RTM_DELROUTE, 0, place, RT_SCOPE_NOWHERE, 0));
}

/// Asks for all routes of a namespace, of both families.
pub(crate) fn dump(messages: &mut Messages) {
    messages.add(libc::RTM_GETROUTE, libc::NLM_F_DUMP as u16).header(&[0; HEADER]);
}

/// An observed route.
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) route: Route,
    pub(crate) protocol: u8,
}

/// Reads an answer; `None` for what the kernel made itself (connected, local, redirects, advertisements).
pub(crate) fn read(reply: &Reply<'_>, names: &dyn Names) -> Option<Found> {
    if reply.kind != libc::RTM_NEWROUTE {
        return None;
    }
    let [address_family, prefix, _, _, table, protocol, _, action] = reply.fixed::<8>(0);
    if matches!(protocol, RTPROT_REDIRECT | RTPROT_KERNEL | RTPROT_RA) || u32::from(table) == RT_TABLE_LOCAL {
        return None;
    }
    let unspecified: IpAddr = if i32::from(address_family) == libc::AF_INET {
        Ipv4Addr::UNSPECIFIED.into()
    } else if i32::from(address_family) == libc::AF_INET6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        return None;
    };
    let (mut destination, mut table, mut metric) = (unspecified, u32::from(table), 0);
    let (mut source, mut mtu, mut hops) = (None, None, Vec::new());
    let mut single = NextHop { gateway: None, device: None, weight: 1 };
    for attribute in reply.attributes(HEADER) {
        match attribute.kind {
            RTA_DST => destination = attribute.ip()?,
            RTA_TABLE => table = attribute.u32()?,
            RTA_PRIORITY => metric = attribute.u32()?,
            RTA_PREFSRC => source = attribute.ip(),
            RTA_METRICS => mtu = attribute.nested().get(RTAX_MTU).and_then(|mtu| mtu.u32()),
            RTA_OIF => single.device = attribute.u32().and_then(|index| names.local(index)),
            RTA_GATEWAY => single.gateway = attribute.ip(),
            RTA_VIA => single.gateway = read_via(attribute.value),
            RTA_MULTIPATH => hops = read_hops(attribute.value, names),
            _ => {}
        }
    }
    let action = match action {
        RTN_UNICAST => {
            if hops.is_empty() {
                hops.push(single);
            }
            hops.sort();
            RouteAction::Forward { hops }
        }
        RTN_BLACKHOLE => RouteAction::Blackhole,
        RTN_UNREACHABLE => RouteAction::Unreachable,
        RTN_PROHIBIT => RouteAction::Prohibit,
        _ => return None,
    };
    if table == RT_TABLE_LOCAL {
        return None;
    }
    let place = Place { table, destination: IpNet::new(destination, prefix).ok()?, metric };
    Some(Found { place, route: Route { action, source, mtu }, protocol })
}

/// What a route's message says beside its fixed part. Hops that are dead are left out.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) table: Option<u32>,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) metric: u32,
    pub(crate) source: Option<IpAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) device: Option<InterfaceName>,
    pub(crate) hops: Vec<NextHop>,
}

/// Reads the attributes of any route.
pub(crate) fn parts(reply: &Reply<'_>, names: &dyn Names) -> Parts {
    let mut parts = Parts::default();
    let mut single = NextHop { gateway: None, device: None, weight: 1 };
    let mut several = false;
    for attribute in reply.attributes(HEADER) {
        match attribute.kind {
            RTA_DST => parts.destination = attribute.ip(),
            RTA_TABLE => parts.table = attribute.u32(),
            RTA_PRIORITY => parts.metric = attribute.u32().unwrap_or(0),
            RTA_PREFSRC => parts.source = attribute.ip(),
            RTA_METRICS => parts.mtu = attribute.nested().get(RTAX_MTU).and_then(|mtu| mtu.u32()),
            RTA_OIF => single.device = attribute.u32().and_then(|index| names.local(index)),
            RTA_GATEWAY => single.gateway = attribute.ip(),
            RTA_VIA => single.gateway = read_via(attribute.value),
            RTA_MULTIPATH => {
                several = true;
                parts.hops = read_living_hops(attribute.value, names, true);
            }
            _ => {}
        }
    }
    parts.device = single.device.clone();
    if !several && reply.fixed_u32(8) & u32::from(RTNH_F_DEAD) == 0 {
        parts.hops.push(single);
    }
    parts
}

fn read_via(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        6 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value.get(2..)?).ok()?).into()),
        18 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value.get(2..)?).ok()?).into()),
        _ => None,
    }
}

/// A list of `struct rtnexthop`, each with its attributes.
fn read_hops(rest: &[u8], names: &dyn Names) -> Vec<NextHop> {
    read_living_hops(rest, names, false)
}

/// The same, if `living` without those whose interface is down.
fn read_living_hops(mut rest: &[u8], names: &dyn Names, living: bool) -> Vec<NextHop> {
    let mut hops = Vec::new();
    while let Some(&[a, b, flags, weight, c, d, e, f]) = rest.first_chunk::<HOP>() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(inner) = rest.get(HOP..length) else { break };
        let mut hop = NextHop {
            gateway: None,
            device: names.local(u32::from_ne_bytes([c, d, e, f])),
            weight: u16::from(weight) + 1,
        };
        for attribute in Attributes::new(inner) {
            match attribute.kind {
                RTA_GATEWAY => hop.gateway = attribute.ip(),
                RTA_VIA => hop.gateway = read_via(attribute.value),
                _ => {}
            }
        }
        if !(living && flags & RTNH_F_DEAD != 0) {
            hops.push(hop);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}
