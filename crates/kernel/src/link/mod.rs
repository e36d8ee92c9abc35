//! Interfaces: one file per kind or family of kinds, both ways (description to request, answer to description).
//!
//! What: [`raw::RawLink`] is a link message read in place; [`observed`] turns it into a description;
//! [`create`] and [`configure`] write the requests that make one or bring one to its description.
//!
//! Invariants:
//! - A link is made with everything that fits into one request, in the namespace where it belongs
//!   (never moved), and born with the topology's group number.
//! - The alias follows in the same system call as the creation where both go to one namespace.
//!
//! Deliberately absent: choosing names, MAC addresses and MTUs (crate `compile`).

mod bond;
pub(crate) mod bridge;
mod gre;
mod port;
mod raw;
mod tunnel;
pub(crate) mod tuntap;
mod upper;
mod veth;

pub(crate) use port::{read_vlans, vlan_dump, vlan_messages};
pub(crate) use raw::{RawLink, header};

use crate::netlink::{Message, Messages};
use netloom_compile::object::{Link, LinkKind, LinkRef, MacvlanMode, WireguardOptions};
use netloom_wire::InterfaceName;

pub(crate) const IFLA_INFO_KIND: u16 = 1;
pub(crate) const IFLA_INFO_DATA: u16 = 2;
pub(crate) const IFLA_INFO_SLAVE_KIND: u16 = 4;
pub(crate) const IFLA_INFO_SLAVE_DATA: u16 = 5;
/// `RTEXT_FILTER_SKIP_STATS` (linux/rtnetlink.h): counters are most of a link message.
pub(crate) const SKIP_STATS: u32 = 1 << 3;

/// Gives names to the indexes that link messages speak of.
pub(crate) trait Names {
    /// An interface of the same namespace.
    fn local(&self, index: u32) -> Option<InterfaceName>;
    /// An interface of the namespace with the given identifier, or of the same one.
    fn far(&self, index: u32, nsid: Option<i32>) -> Option<LinkRef>;
}

/// What stands for an interface that we cannot see.
pub(crate) fn unknown(names: &dyn Names, raw: &RawLink<'_>) -> Option<LinkRef> {
    if let Some(found) = names.far(raw.lower?, raw.nsid) {
        return Some(found);
    }
    "?".parse().ok().map(|name| LinkRef { space: netloom_compile::object::Space::Host, name })
}

/// The description of an observed link. Kinds that Netloom does not make read as [`LinkKind::Existing`].
/// Features, channels, bridge VLANs and WireGuard's own settings come from elsewhere.
pub(crate) fn observed(raw: &RawLink<'_>, names: &dyn Names) -> Link {
    let kind = match raw.kind.unwrap_or_default() {
        "veth" => veth::read(raw, names),
        "bridge" => Some(LinkKind::Bridge(bridge::read(raw.data))),
        "tun" => tuntap::read(raw.data),
        "macvlan" => upper::read_macvlan(raw, names),
        "ipvlan" => upper::read_ipvlan(raw, names),
        "vlan" => upper::read_vlan(raw, names),
        "vrf" => upper::read_vrf(raw.data),
        "vxlan" => tunnel::read_vxlan(raw.data, names),
        "geneve" => tunnel::read_geneve(raw.data),
        "gre" | "ip6gre" => gre::read(raw.data).map(LinkKind::Gre),
        "gretap" | "ip6gretap" => gre::read(raw.data).map(LinkKind::Gretap),
        // Its keys and peers are asked for separately.
        "wireguard" => Some(LinkKind::Wireguard(WireguardOptions {
            private_key: [0; 32],
            listen_port: None,
            mark: None,
            peers: Vec::new(),
        })),
        "dummy" => Some(LinkKind::Dummy),
        "ifb" => Some(LinkKind::Ifb),
        "bond" => bond::read(raw.data, names).map(LinkKind::Bond),
        _ => None,
    };
    Link {
        kind: kind.unwrap_or(LinkKind::Existing),
        mac: raw.mac,
        mtu: raw.mtu,
        up: raw.flags & libc::IFF_UP as u32 != 0,
        controller: raw.controller.and_then(|index| names.local(index)),
        port: (raw.port_kind == Some("bridge")).then(|| port::read(raw.port_data)),
        features: std::collections::BTreeMap::new(),
        channels: None,
    }
}

/// What a link's creation needs beside its description.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Surroundings {
    /// Index of the controller, where it is set at birth.
    pub(crate) controller: Option<u32>,
    /// Index of the interface it rides on, in the namespace of the socket.
    pub(crate) lower: Option<u32>,
    /// Descriptor of the namespace for the link, if it is not the socket's.
    pub(crate) namespace: Option<u32>,
    /// Descriptor of the namespace for the other end of a veth, if it is not the socket's.
    pub(crate) peer_namespace: Option<u32>,
    /// The topology's group number.
    pub(crate) group: u32,
    /// Index of the preferred port of a bond, if it exists already.
    pub(crate) primary: Option<u32>,
}

/// Writes the request that makes a link. Not for TUN/TAP and existing interfaces.
pub(crate) fn create(messages: &mut Messages, name: &InterfaceName, link: &Link, around: Surroundings) {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let up = if link.up && ready_at_birth(&link.kind) { libc::IFF_UP as u32 } else { 0 };
    let mut m = messages.add(libc::RTM_NEWLINK, flags);
    m.header(&header(0, 0, up, up))
        .text(libc::IFLA_IFNAME, name.as_str())
        .u32(libc::IFLA_GROUP, around.group);
    if let Some(mac) = link.mac {
        m.octets(libc::IFLA_ADDRESS, &mac.octets());
    }
    // A bridge forgets an MTU that it was born with when a port joins: it is set afterwards.
    if let Some(mtu) = link.mtu
        && !matches!(link.kind, LinkKind::Bridge(_))
    {
        m.u32(libc::IFLA_MTU, mtu);
    }
    if let Some(index) = around.controller {
        m.u32(libc::IFLA_MASTER, index);
    }
    if let Some(fd) = around.namespace {
        m.u32(libc::IFLA_NET_NS_FD, fd);
    }
    if let Some(index) = around.lower
        && !matches!(link.kind, LinkKind::Vxlan(_))
    {
        m.u32(libc::IFLA_LINK, index);
    }
    m.nest(libc::IFLA_LINKINFO, |m| {
        m.text(IFLA_INFO_KIND, link.kind.word());
        if has_data(&link.kind) {
            m.nest(IFLA_INFO_DATA, |m| write_data(m, &link.kind, &around));
        }
    });
}

/// A WireGuard interface is configured before it is brought up, else it would listen on a random port.
const fn ready_at_birth(kind: &LinkKind) -> bool {
    !matches!(kind, LinkKind::Wireguard(_))
}

const fn has_data(kind: &LinkKind) -> bool {
    !matches!(kind, LinkKind::Dummy | LinkKind::Ifb | LinkKind::Wireguard(_) | LinkKind::Existing)
}

fn write_data(m: &mut Message<'_>, kind: &LinkKind, around: &Surroundings) {
    match kind {
        LinkKind::Veth { peer } => veth::write(m, &peer.name, around),
        LinkKind::Bridge(options) => bridge::write(m, options),
        LinkKind::Macvlan { mode, sources, .. } => upper::write_macvlan(m, *mode, sources),
        LinkKind::Ipvlan { mode, flag, .. } => upper::write_ipvlan(m, *mode, *flag),
        LinkKind::Vlan { id, protocol, .. } => upper::write_vlan(m, *id, *protocol),
        LinkKind::Vrf { table } => upper::write_vrf(m, *table),
        LinkKind::Vxlan(options) => tunnel::write_vxlan(m, options, around.lower),
        LinkKind::Geneve(options) => tunnel::write_geneve(m, options),
        LinkKind::Gre(options) | LinkKind::Gretap(options) => gre::write(m, options),
        LinkKind::Bond(options) => bond::write(m, options, around.primary, true),
        LinkKind::Existing
        | LinkKind::Tap(_)
        | LinkKind::Tun(_)
        | LinkKind::Wireguard(_)
        | LinkKind::Dummy
        | LinkKind::Ifb => {}
    }
}

/// How a link that exists shall be brought to its description.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    /// The alias to set.
    pub(crate) alias: Option<&'a str>,
    /// Hardware address to set.
    pub(crate) mac: Option<netloom_wire::MacAddr>,
    /// MTU to set.
    pub(crate) mtu: Option<u32>,
    /// Index of the controller; zero takes the link out.
    pub(crate) controller: Option<u32>,
    /// Up or down.
    pub(crate) up: Option<bool>,
}

/// Writes the request that sets what all kinds have in common; nothing if there is nothing to set.
pub(crate) fn configure(messages: &mut Messages, name: &InterfaceName, settings: Settings<'_>) {
    let Settings { alias, mac, mtu, controller, up } = settings;
    if alias.is_none() && mac.is_none() && mtu.is_none() && controller.is_none() && up.is_none() {
        return;
    }
    let mask = libc::IFF_UP as u32;
    let (flags, change) = up.map_or((0, 0), |up| (if up { mask } else { 0 }, mask));
    let mut m = messages.add(libc::RTM_SETLINK, 0);
    m.header(&header(0, 0, flags, change)).text(libc::IFLA_IFNAME, name.as_str());
    if let Some(mac) = mac {
        m.octets(libc::IFLA_ADDRESS, &mac.octets());
    }
    if let Some(mtu) = mtu {
        m.u32(libc::IFLA_MTU, mtu);
    }
    if let Some(alias) = alias {
        m.text(libc::IFLA_IFALIAS, alias);
    }
    if let Some(index) = controller {
        m.u32(libc::IFLA_MASTER, index);
    }
}

/// Writes the requests that change what is special to a kind and can be changed in place.
pub(crate) fn change_kind(messages: &mut Messages, name: &InterfaceName, from: &LinkKind, to: &LinkKind) {
    let mut data = |fill: &dyn Fn(&mut Message<'_>)| {
        let mut m = messages.add(libc::RTM_NEWLINK, 0);
        m.header(&header(0, 0, 0, 0)).text(libc::IFLA_IFNAME, name.as_str()).nest(libc::IFLA_LINKINFO, |m| {
            m.text(IFLA_INFO_KIND, to.word()).nest(IFLA_INFO_DATA, |m| fill(m));
        });
    };
    match (from, to) {
        (a, b) if a == b => {}
        (_, LinkKind::Bridge(b)) => data(&|m| bridge::write(m, b)),
        (_, LinkKind::Macvlan { mode: MacvlanMode::Source, sources, .. }) => {
            data(&|m| upper::write_macvlan(m, MacvlanMode::Source, sources));
        }
        (_, LinkKind::Bond(b)) => data(&|m| bond::write(m, b, None, false)),
        _ => {}
    }
}

/// Writes the request that names the preferred port of a bond.
pub(crate) fn set_primary(messages: &mut Messages, bond: &InterfaceName, port: u32) {
    set_bond(messages, bond, |m| bond::write_primary(m, port));
}

/// Writes the request that sets the LACP rate of a bond, which must be down.
pub(crate) fn set_lacp_rate(messages: &mut Messages, bond: &InterfaceName, fast: bool) {
    set_bond(messages, bond, |m| bond::write_rate(m, fast));
}

fn set_bond(messages: &mut Messages, bond: &InterfaceName, fill: impl FnOnce(&mut Message<'_>)) {
    let mut m = messages.add(libc::RTM_NEWLINK, 0);
    m.header(&header(0, 0, 0, 0)).text(libc::IFLA_IFNAME, bond.as_str()).nest(libc::IFLA_LINKINFO, |m| {
        m.text(IFLA_INFO_KIND, "bond").nest(IFLA_INFO_DATA, fill);
    });
}

/// Writes the request that sets a bridge port's attributes.
pub(crate) fn configure_port(
    messages: &mut Messages,
    name: &InterfaceName,
    settings: &netloom_compile::object::BridgePort,
) {
    let mut m = messages.add(libc::RTM_NEWLINK, 0);
    m.header(&header(0, 0, 0, 0)).text(libc::IFLA_IFNAME, name.as_str()).nest(libc::IFLA_LINKINFO, |m| {
        m.text(IFLA_INFO_SLAVE_KIND, "bridge").nest(IFLA_INFO_SLAVE_DATA, |m| port::write(m, settings));
    });
}

/// Writes the request that gives the link with a number another name; it must be down.
pub(crate) fn rename(messages: &mut Messages, index: u32, name: &InterfaceName) {
    messages.add(libc::RTM_SETLINK, 0).header(&header(0, index, 0, 0)).text(libc::IFLA_IFNAME, name.as_str());
}

/// Writes the request that deletes a link.
pub(crate) fn delete(messages: &mut Messages, name: &InterfaceName) {
    messages.add(libc::RTM_DELLINK, 0).header(&header(0, 0, 0, 0)).text(libc::IFLA_IFNAME, name.as_str());
}

#[cfg(test)]
mod tests;
