//! What the kernel takes away when a link or an address changes: all such knowledge is in this file.
//!
//! Each function names the place in the kernel where the loss happens. Whatever is named here is removed
//! explicitly before the change and made again after it, since several of these depend on the kernel's
//! version or on sysctls (`promote_secondaries`, `keep_addr_on_down`).

use ipnet::IpNet;
use netloom_compile::object::{Key, Link, LinkKind};
use std::net::IpAddr;

/// The smallest MTU with which a link can have IPv6 (RFC 8200, section 5).
const IPV6_LEAST_MTU: u32 = 1280;

/// What a change of a link takes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Disturbance {
    /// The link is taken down for a moment or for good: VLAN interfaces on it go down with it
    /// (`vlan_device_event`, net/8021q/vlan.c).
    pub(super) down: bool,
    /// All routes through it.
    pub(super) routes: bool,
    /// Its IPv6 addresses and routes.
    pub(super) ipv6: bool,
    /// Its neighbour entries, permanent ones too.
    pub(super) neighbours: bool,
    /// Its entries in the bridge's forwarding table.
    pub(super) forwarding: bool,
}

impl Disturbance {
    /// A link that goes down: `fib_disable_ip` and `fib6_ifdown` drop the routes, `addrconf_ifdown` the
    /// IPv6 addresses (unless `keep_addr_on_down`), `neigh_ifdown` all neighbours.
    pub(super) const DOWN: Self =
        Self { down: true, routes: true, ipv6: true, neighbours: true, forwarding: false };

    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// Whether an object that rides on the link is taken.
    pub(super) fn takes(self, key: &Key) -> bool {
        match key {
            Key::Address { address, .. } => self.ipv6 && address.addr().is_ipv6(),
            Key::Route { destination, .. } => self.routes || (self.ipv6 && destination.addr().is_ipv6()),
            Key::Neighbour { .. } => self.neighbours,
            // A VXLAN device keeps its own static entries (`vxlan_flush`); a bridge drops a leaving
            // port's (`br_fdb_delete_by_port`).
            Key::FdbEntry { remote, .. } => self.forwarding && remote.is_none(),
            _ => false,
        }
    }
}

/// What changing a link from `from` to `to` takes away. The controllers' kinds are those of the
/// interfaces it leaves and joins; a controller that is not known counts as the worst one.
pub(super) fn by_link(
    from: &Link,
    to: &Link,
    leaves: Option<&LinkKind>,
    joins: Option<&LinkKind>,
    rejoins: bool,
) -> Disturbance {
    let mut disturbance = Disturbance::default();
    if from.up && !to.up {
        disturbance = Disturbance::DOWN;
    }
    if from.controller != to.controller || rejoins {
        // `vrf_add_slave` and `vrf_del_slave` take the port down and up (`cycle_netdev`,
        // drivers/net/vrf.c); a bond takes only ports that are down (`bond_enslave`).
        let cycles =
            |named: bool, kind: Option<&LinkKind>| named && !matches!(kind, Some(LinkKind::Bridge(_)));
        if cycles(from.controller.is_some(), leaves) || cycles(to.controller.is_some(), joins) {
            disturbance = Disturbance::DOWN;
        }
        disturbance.forwarding = true;
    }
    if to.mac.is_some() && from.mac != to.mac {
        // `neigh_changeaddr`, net/core/neighbour.c.
        disturbance.neighbours = true;
    }
    if to.mtu.is_some_and(|mtu| mtu < IPV6_LEAST_MTU) && from.mtu != to.mtu {
        // `addrconf_notify`, NETDEV_CHANGEMTU, net/ipv6/addrconf.c.
        disturbance.ipv6 = true;
    }
    disturbance
}

/// Whether removing `gone` may remove `other` of the same link: IPv4 addresses of one subnet are a
/// primary and its secondaries (`__inet_del_ifa`, net/ipv4/devinet.c, unless `promote_secondaries`).
pub(super) fn same_subnet(gone: &IpNet, other: &IpNet) -> bool {
    gone.addr().is_ipv4() && gone.trunc() == other.trunc()
}

/// Whether a link without any address of this family loses all routes of it (`fib_inetaddr_event`,
/// net/ipv4/fib_frontend.c).
pub(super) const fn last_address_takes_routes(address: &IpAddr) -> bool {
    address.is_ipv4()
}
