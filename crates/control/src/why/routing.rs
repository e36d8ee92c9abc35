//! Routing as Linux does it: rules, tables, the longest prefix, the smallest metric, the source address.
//!
//! Deliberately absent: rules that ask for what a packet of a walk has not (ports, users); they are passed over and said.

use ipnet::IpNet;
use netloom_compile::object::firewall::AddressType;
use netloom_compile::object::{Family, LinkKind, NextHop, RuleAction};
use netloom_kernel::picture::{RouteDoes, RoutePicture, SpacePicture};
use netloom_wire::InterfaceName;
use std::net::IpAddr;

/// The table of a namespace's own addresses.
pub(super) const LOCAL: u32 = 255;
/// The table that routes are in if nobody says otherwise.
pub(super) const MAIN: u32 = 254;

/// What is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) destination: IpAddr,
    pub(super) source: Option<IpAddr>,
    pub(super) mark: u32,
    pub(super) input: Option<&'a InterfaceName>,
    /// The VRF, or an interface in it, that a local socket belongs to.
    pub(super) bound: Option<&'a InterfaceName>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) enum Found<'a> {
    /// A route, which may say that there is no way.
    Route(&'a RoutePicture),
    /// A rule that refuses.
    Refused(RuleAction),
    /// Nothing.
    Nothing,
}

/// A look-up with what was passed on the way.
#[derive(Debug, Clone)]
pub(super) struct Lookup<'a> {
    pub(super) found: Found<'a>,
    /// What was compared, in words.
    pub(super) compared: Vec<String>,
    /// Rules that could not be read.
    pub(super) doubts: Vec<String>,
}

/// Whether an interface can carry anything now.
pub(super) fn is_up(space: &SpacePicture, name: &InterfaceName) -> bool {
    space.interfaces.get(name).is_some_and(|interface| interface.link.up)
}

/// The hops of a route that are alive.
pub(super) fn living<'a>(space: &SpacePicture, hops: &'a [NextHop]) -> Vec<&'a NextHop> {
    hops.iter().filter(|hop| hop.device.as_ref().is_none_or(|device| is_up(space, device))).collect()
}

/// The table of the VRF that an interface is a port of, or that it is.
pub(super) fn vrf_table(space: &SpacePicture, name: &InterfaceName) -> Option<u32> {
    let interface = space.interfaces.get(name)?;
    let vrf = match (&interface.link.kind, &interface.link.controller) {
        (LinkKind::Vrf { table }, _) => return Some(*table),
        (_, Some(controller)) => space.interfaces.get(controller)?,
        (_, None) => return None,
    };
    match vrf.link.kind {
        LinkKind::Vrf { table } => Some(table),
        _ => None,
    }
}

/// The best route of one table.
pub(super) fn best(space: &SpacePicture, table: u32, destination: IpAddr) -> Option<&RoutePicture> {
    let usable = |route: &&RoutePicture| match &route.action {
        RouteDoes::Forward(hops) => !living(space, hops).is_empty(),
        // IPv6 forgets the addresses of an interface that goes down.
        RouteDoes::Local(Some(device)) => destination.is_ipv4() || is_up(space, device),
        _ => true,
    };
    let fits = |route: &&RoutePicture| route.table == table && route.destination.contains(&destination);
    let order = |route: &&RoutePicture| (std::cmp::Reverse(route.destination.prefix_len()), route.metric);
    space.routes.iter().filter(fits).filter(usable).min_by_key(order)
}

/// Looks a destination up.
pub(super) fn look_up<'a>(space: &'a SpacePicture, query: &Query<'_>) -> Lookup<'a> {
    let mut lookup = Lookup { found: Found::Nothing, compared: Vec::new(), doubts: Vec::new() };
    let family = Family::of(&query.destination);
    let default = netloom_kernel::picture::default_rules();
    let none = space.rules.is_empty();
    let rules = if none { default.as_slice() } else { space.rules.as_slice() };
    for picture in rules.iter().filter(|rule| rule.family == family) {
        let rule = &picture.rule;
        let within = |net: &Option<IpNet>, address: Option<IpAddr>| {
            net.is_none_or(|net| {
                net.prefix_len() == 0 || address.is_some_and(|address| net.contains(&address))
            })
        };
        // What a namespace sends itself counts as having come from `lo`.
        let input = match &rule.input {
            None => true,
            Some(name) if name.as_str() == "lo" => query.input.is_none(),
            Some(name) => query.input == Some(name),
        };
        let mark = rule.mark.is_none_or(|(value, mask)| query.mark & mask == value & mask);
        // Sockets of a walk are bound to no interface.
        let fits = input
            && mark
            && rule.output.is_none()
            && within(&rule.from, query.source)
            && within(&rule.to, Some(query.destination));
        if !fits {
            continue;
        }
        if let Some(odd) = &picture.odd {
            lookup.doubts.push(format!("rule {} asks for {odd}, which I can't tell", picture.priority));
            continue;
        }
        let table = match rule.action {
            _ if picture.vrf => match query.input.or(query.bound).and_then(|name| vrf_table(space, name)) {
                Some(table) => table,
                None => continue,
            },
            RuleAction::Lookup(table) => table,
            refusal => {
                lookup.compared.push(format!("rule {} refuses", picture.priority));
                lookup.found = Found::Refused(refusal);
                return lookup;
            }
        };
        match best(space, table, query.destination) {
            Some(route) if route.action == RouteDoes::Throw => {
                lookup.compared.push(format!("rule {}: {} throws it back", picture.priority, name(route)));
            }
            Some(route) => {
                let others = space.routes.iter().filter(|other| {
                    other.table == table
                        && !std::ptr::eq(*other, route)
                        && other.destination.contains(&query.destination)
                });
                let others: Vec<String> = others.map(name).collect();
                let rest =
                    if others.is_empty() { String::new() } else { format!(", before {}", others.join(", ")) };
                lookup.compared.push(format!("rule {}: {} fits best{rest}", picture.priority, name(route)));
                lookup.found = Found::Route(route);
                return lookup;
            }
            None if table != LOCAL => {
                lookup.compared.push(format!(
                    "rule {}: nothing fits in {}",
                    picture.priority,
                    table_name(table)
                ));
            }
            None => {}
        }
    }
    lookup
}

/// A table in words.
pub(super) fn table_name(table: u32) -> String {
    match table {
        MAIN => "the main table".to_owned(),
        LOCAL => "the local table".to_owned(),
        253 => "the default table".to_owned(),
        other => format!("table {other}"),
    }
}

/// A route in words.
pub(super) fn name(route: &RoutePicture) -> String {
    let mut text = match route.destination.prefix_len() {
        0 => "default".to_owned(),
        length if length == route.destination.max_prefix_len() => route.destination.addr().to_string(),
        _ => route.destination.to_string(),
    };
    match &route.action {
        RouteDoes::Forward(hops) => {
            for hop in hops {
                match (&hop.gateway, &hop.device) {
                    (Some(gateway), Some(device)) => text.push_str(&format!(" via {gateway} dev {device}")),
                    (Some(gateway), None) => text.push_str(&format!(" via {gateway}")),
                    (None, Some(device)) => text.push_str(&format!(" dev {device}")),
                    (None, None) => {}
                }
            }
        }
        RouteDoes::Local(_) => text.insert_str(0, "local "),
        RouteDoes::Blackhole => text.insert_str(0, "blackhole "),
        RouteDoes::Unreachable => text.insert_str(0, "unreachable "),
        RouteDoes::Prohibit => text.insert_str(0, "prohibit "),
        RouteDoes::Broadcast => text.insert_str(0, "broadcast "),
        RouteDoes::Multicast => text.insert_str(0, "multicast "),
        RouteDoes::Throw => text.insert_str(0, "throw "),
    }
    text
}

/// Whether an address is one of the namespace's own.
pub(super) fn is_own(space: &SpacePicture, address: IpAddr) -> bool {
    address.is_loopback()
        || space.interfaces.values().any(|i| i.addresses.iter().any(|own| own.addr() == address))
}

/// The type of an address by the routing table.
pub(super) fn address_type(space: &SpacePicture, address: IpAddr) -> AddressType {
    let broadcast = |address: IpAddr| match address {
        IpAddr::V4(v4) => {
            v4.is_broadcast()
                || space.interfaces.values().flat_map(|i| &i.addresses).any(
                    |own| matches!(own, IpNet::V4(net) if net.prefix_len() < 31 && net.broadcast() == v4),
                )
        }
        IpAddr::V6(_) => false,
    };
    if address.is_multicast() {
        AddressType::Multicast
    } else if is_own(space, address) {
        AddressType::Local
    } else if broadcast(address) {
        AddressType::Broadcast
    } else {
        AddressType::Unicast
    }
}

/// The source that the kernel chooses (`inet_select_addr`; RFC 6724 as far as prefixes and scopes go).
pub(super) fn source(
    space: &SpacePicture,
    route: &RoutePicture,
    hop: Option<&NextHop>,
    destination: IpAddr,
) -> Option<IpAddr> {
    if route.source.is_some() {
        return route.source;
    }
    let v4 = destination.is_ipv4();
    let device = hop.and_then(|hop| hop.device.as_ref());
    let of = |name: &InterfaceName| {
        let interface = space.interfaces.get(name);
        let own = interface.map(|interface| interface.addresses.as_slice()).unwrap_or_default();
        own.iter().filter(move |own| own.addr().is_ipv4() == v4)
    };
    let scoped = |own: &&IpNet| match (own.addr(), destination) {
        (IpAddr::V6(own), IpAddr::V6(to)) => own.is_unicast_link_local() == to.is_unicast_link_local(),
        (IpAddr::V4(own), IpAddr::V4(to)) => own.is_loopback() == to.is_loopback(),
        _ => false,
    };
    let near = hop.and_then(|hop| hop.gateway).unwrap_or(destination);
    if let Some(device) = device {
        let own: Vec<&IpNet> = of(device).filter(scoped).collect();
        let shared = |net: &&&IpNet| common(net.addr(), destination);
        let chosen = if v4 {
            own.iter().find(|own| own.contains(&near)).or_else(|| own.first())
        } else {
            own.iter().max_by_key(shared)
        };
        if let Some(own) = chosen {
            return Some(own.addr());
        }
    }
    space.interfaces.keys().flat_map(of).find(scoped).map(|own| own.addr())
}

/// How many leading bits two addresses share.
fn common(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}
