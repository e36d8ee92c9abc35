//! Interfaces and their addresses.

use super::{bridge, wireguard};
use crate::compiled::{Context, ProblemKind};
use crate::inventory::{Device, Inventory, Make, Segment, word};
use crate::object::{
    BondMode, BondOptions, GeneveOptions, GreOptions, IpvlanFlag, IpvlanMode, Key, Link, LinkKind, LinkRef,
    MacvlanMode, Space, Spec, TunTapOptions, VlanProtocol, VxlanOptions,
};
use crate::report::Report;
use crate::table::{Table, Wish};
use netloom_model::topology::{self, LinkKind as Kind};
use netloom_wire::{InterfaceName, MacAddr};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// UDP port of VXLAN (RFC 7348 section 8).
pub(crate) const VXLAN_PORT: u16 = 4789;
/// UDP port of Geneve (RFC 8926 section 8).
pub(crate) const GENEVE_PORT: u16 = 6081;
/// How often a bond looks at its ports, in milliseconds.
const MONITOR: u32 = 100;

pub(super) fn emit(inventory: &Inventory<'_>, context: &Context, table: &mut Table, report: &mut Report<'_>) {
    let keys = wireguard::Keys::new(inventory, &context.seed);
    for (at, device) in inventory.devices.iter() {
        let wish = Wish::new(device.part.clone(), device.span);
        if let Some((port, reason)) = bridge::switch_port(inventory, at, device, report) {
            let key = Key::SwitchPort { space: at.space.clone(), link: at.name.clone() };
            table.want(key, Spec::SwitchPort(port), &wish, reason, report);
        }
        let Some(kind) = kind(inventory, at, device, &keys, report) else { continue };
        let mut link = Link::new(kind);
        link.mac = device.mac;
        link.mtu = device.mtu;
        let said = device.settings.and_then(|settings| settings.up);
        link.up = said.or_else(|| device.link().and_then(|link| link.up)).unwrap_or(true);
        link.controller = device.controller.clone();
        if let Some(port) = &device.port
            && let Some(segment) = inventory.segments.get(&port.network)
            && !segment.carrier.is_switch()
        {
            link.port = Some(bridge::port(inventory, segment, port));
        }
        set_offloads(inventory, at, device, &mut link);
        table.want(Key::link(at), Spec::Link(Box::new(link)), &wish, device.reason.clone(), report);
        for address in &device.addresses {
            let key = Key::Address { space: at.space.clone(), link: at.name.clone(), address: *address };
            let reason = reason_of_address(inventory, device, address.addr());
            table.want(key, Spec::Address, &wish, reason, report);
        }
    }
}

fn reason_of_address(inventory: &Inventory<'_>, device: &Device<'_>, address: IpAddr) -> String {
    let network = match (&device.make, &device.segment) {
        (Make::Bridge { network }, _) => return format!("is the gateway of network {network}"),
        (_, Some(network)) => network,
        (Make::Cable { link: None, .. }, None) => return "joins a network and the host".to_owned(),
        (_, None) => return "was given by the user".to_owned(),
    };
    let subnet = inventory.segments.get(network).and_then(|segment| segment.subnet_of(address));
    match subnet {
        Some(subnet) => format!("is in {subnet} of network {network}"),
        None => "was given by the user".to_owned(),
    }
}

/// Offloads and queues belong to the nodes' own interfaces, not to the ports of networks.
fn set_offloads(inventory: &Inventory<'_>, at: &LinkRef, device: &Device<'_>, link: &mut Link) {
    let of_node = inventory.node_in(&at.space).is_some() && device.port.is_none() && at.name.as_str() != "lo";
    if !of_node {
        return;
    }
    let makes_frames = matches!(device.make, Make::Cable { .. } | Make::Rider { .. } | Make::Single { .. });
    if makes_frames {
        let defaults = &inventory.topology.defaults.offloads;
        link.features.extend(defaults.iter().map(|(name, on)| (name.as_str().into(), *on)));
    }
    if let Some(settings) = device.settings {
        link.features.extend(settings.offloads.iter().map(|(name, on)| (name.as_str().into(), *on)));
        link.channels = settings.queues;
    }
}

fn kind(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    device: &Device<'_>,
    keys: &wireguard::Keys,
    report: &mut Report<'_>,
) -> Option<LinkKind> {
    Some(match &device.make {
        Make::Existing => LinkKind::Existing,
        Make::Cable { peer, .. } => LinkKind::Veth { peer: peer.clone() },
        // Nothing of this is an interface here.
        Make::Socket { .. } | Make::Patch { .. } => return None,
        Make::Port { .. } => on_switch(),
        Make::Bridge { network } if inventory.segments.get(network)?.carrier.is_switch() => on_switch(),
        Make::Bridge { network } => {
            LinkKind::Bridge(bridge::options(inventory.segments.get(network)?, report))
        }
        Make::Vrf { table } => LinkKind::Vrf { table: *table },
        Make::Rider { network, parent } => rider(inventory, inventory.segments.get(network)?, at, parent),
        Make::OverlayVxlan { network, vtep } => {
            let network = inventory.segments.get(network)?.network;
            let group = network.group.as_ref().map(|group| group.value);
            LinkKind::Vxlan(VxlanOptions {
                vni: network.vni.as_ref()?.value,
                local: Some(*vtep),
                remote: group,
                device: group.and_then(|_| holder(inventory, &at.space, *vtep)),
                port: network.port.unwrap_or(VXLAN_PORT),
                learning: true,
                ttl: None,
            })
        }
        Make::OverlayGeneve { network, remote, .. } => {
            let network = inventory.segments.get(network)?.network;
            LinkKind::Geneve(GeneveOptions {
                vni: network.vni.as_ref()?.value,
                remote: *remote,
                port: network.port.unwrap_or(GENEVE_PORT),
                ttl: None,
            })
        }
        Make::Single { link } => return single(at, device, link, keys, report),
        Make::TunnelEnd { link, outer, peer } => {
            let (local, remote) = (*outer)?;
            if link.kind == Kind::Wireguard {
                return Some(wireguard::device(inventory, at, peer, link, remote, keys));
            }
            return tunnel(at, device, link, Some(local), Some(remote), report);
        }
    })
}

/// The TAP interface in front of a port of the switch. The switch takes uncut segments with open checksums.
const fn on_switch() -> LinkKind {
    LinkKind::Tap(TunTapOptions { multi_queue: false, vnet_header: true, user: None, group: None })
}

/// The interface that has an address.
fn holder(inventory: &Inventory<'_>, space: &Space, address: IpAddr) -> Option<InterfaceName> {
    inventory
        .devices_in(space)
        .find(|(_, device)| device.addresses.iter().any(|own| own.addr() == address))
        .map(|(at, _)| at.name.clone())
}

fn rider(inventory: &Inventory<'_>, segment: &Segment<'_>, at: &LinkRef, parent: &LinkRef) -> LinkKind {
    let parent = parent.clone();
    if segment.network.mode == topology::NetworkMode::Macvlan {
        let mode = match segment.network.macvlan.unwrap_or_default() {
            topology::MacvlanMode::Private => MacvlanMode::Private,
            topology::MacvlanMode::Vepa => MacvlanMode::Vepa,
            topology::MacvlanMode::Bridge => MacvlanMode::Bridge,
            topology::MacvlanMode::Passthru => MacvlanMode::Passthru,
            topology::MacvlanMode::Source => MacvlanMode::Source,
        };
        let sources = match mode {
            MacvlanMode::Source => sources(inventory, segment, at, &parent),
            _ => BTreeSet::new(),
        };
        LinkKind::Macvlan { parent, mode, sources }
    } else {
        let mode = match segment.network.ipvlan.unwrap_or_default() {
            topology::IpvlanMode::L2 => IpvlanMode::L2,
            topology::IpvlanMode::L3 => IpvlanMode::L3,
            topology::IpvlanMode::L3s => IpvlanMode::L3s,
        };
        let flag = match segment.network.ipvlan_flag.unwrap_or_default() {
            topology::IpvlanFlag::Bridge => IpvlanFlag::Bridge,
            topology::IpvlanFlag::Private => IpvlanFlag::Private,
            topology::IpvlanFlag::Vepa => IpvlanFlag::Vepa,
        };
        LinkKind::Ipvlan { parent, mode, flag }
    }
}

/// Whom a macvlan in mode `source` listens to: everybody whom the description puts on its network or on
/// the segment of its parent. A station that the description does not know is not heard.
fn sources(
    inventory: &Inventory<'_>,
    segment: &Segment<'_>,
    at: &LinkRef,
    parent: &LinkRef,
) -> BTreeSet<MacAddr> {
    let below = inventory.devices.get(parent);
    let same = below.and_then(|device| device.segment.as_ref()).and_then(|name| inventory.segments.get(name));
    let neighbours = same.map(|segment| &segment.members).into_iter().flatten();
    let beyond = below.and_then(Device::peer);
    let gateway = same.and_then(Segment::bridge);
    segment
        .members
        .iter()
        .chain(neighbours)
        .chain(beyond)
        .chain(gateway)
        .filter(|other| *other != at && *other != parent)
        .filter_map(|other| inventory.devices.get(other)?.mac)
        .collect()
}

fn single(
    at: &LinkRef,
    device: &Device<'_>,
    link: &topology::Link,
    keys: &wireguard::Keys,
    report: &mut Report<'_>,
) -> Option<LinkKind> {
    let parent = |report: &mut Report<'_>| {
        let parent = link.parent.as_ref().map(|parent| parent.value.clone());
        if parent.is_none() {
            lacking(at, device, link, "parent", report);
        }
        parent
    };
    Some(match link.kind {
        Kind::Tap | Kind::Tun => {
            let options = TunTapOptions {
                multi_queue: link.multi_queue.unwrap_or(false),
                vnet_header: link.vnet_header.unwrap_or(false),
                user: link.user,
                group: link.group_id,
            };
            if link.kind == Kind::Tap { LinkKind::Tap(options) } else { LinkKind::Tun(options) }
        }
        Kind::Macvlan => LinkKind::Macvlan {
            parent: LinkRef { space: at.space.clone(), name: parent(report)? },
            mode: choice(at, link, "macvlan mode", &MACVLAN_MODES, MacvlanMode::Bridge, report)?,
            sources: BTreeSet::new(),
        },
        Kind::Ipvlan => LinkKind::Ipvlan {
            parent: LinkRef { space: at.space.clone(), name: parent(report)? },
            mode: choice(at, link, "ipvlan mode", &IPVLAN_MODES, IpvlanMode::L2, report)?,
            flag: IpvlanFlag::Bridge,
        },
        Kind::Vlan => {
            let Some(id) = &link.id else { return lacking(at, device, link, "id", report) };
            let service = link.service_tag == Some(true);
            LinkKind::Vlan {
                parent: parent(report)?,
                id: id.value,
                protocol: if service { VlanProtocol::Service } else { VlanProtocol::Customer },
            }
        }
        Kind::Dummy => LinkKind::Dummy,
        Kind::Ifb => LinkKind::Ifb,
        Kind::Bond => LinkKind::Bond(BondOptions {
            mode: choice(at, link, "bond mode", &BOND_MODES, BondMode::ActiveBackup, report)?,
            miimon: Some(
                link.monitor
                    .as_ref()
                    .map_or(MONITOR, |time| u32::try_from(time.duration().as_millis()).unwrap_or(u32::MAX)),
            ),
            transmit_hash: link.transmit_hash.as_ref().map(|policy| policy.value.as_str().into()),
            lacp_fast: link.lacp_fast,
            primary: link.primary.as_ref().map(|primary| primary.value.clone()),
        }),
        Kind::Vrf => match &link.table {
            Some(table) => LinkKind::Vrf { table: table.value },
            None => return lacking(at, device, link, "table", report),
        },
        Kind::Wireguard => {
            let text = format!(
                "{at} has no other end in this file, so it listens and knows no peer: write `link` to make one"
            );
            report.warning(device.span, text);
            wireguard::alone(at, keys)
        }
        Kind::Veth => return lacking(at, device, link, "link", report),
        Kind::Vxlan | Kind::Geneve | Kind::Gre | Kind::Gretap => {
            let address = |address: &Option<netloom_model::document::Spanned<IpAddr>>| {
                address.as_ref().map(|address| address.value)
            };
            return tunnel(at, device, link, address(&link.local), address(&link.remote), report);
        }
    })
}

fn tunnel(
    at: &LinkRef,
    device: &Device<'_>,
    link: &topology::Link,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    report: &mut Report<'_>,
) -> Option<LinkKind> {
    let group = link.group.as_ref().map(|group| group.value);
    if matches!(link.kind, Kind::Vxlan | Kind::Geneve) && link.vni.is_none() {
        return lacking(at, device, link, "vni", report);
    }
    if link.kind == Kind::Vxlan {
        return Some(LinkKind::Vxlan(VxlanOptions {
            vni: link.vni.as_ref()?.value,
            local,
            remote: group.or(remote),
            device: link.device.as_ref().map(|device| device.value.clone()),
            port: link.port.unwrap_or(VXLAN_PORT),
            learning: true,
            ttl: link.ttl,
        }));
    }
    let Some(remote) = remote else {
        report.problem(device.span, ProblemKind::NoRemote { interface: at.to_string() });
        return None;
    };
    let gre = || GreOptions {
        local,
        remote,
        key: link.key,
        checksum: link.checksum.unwrap_or(false),
        sequence: link.sequence.unwrap_or(false),
        ttl: link.ttl,
    };
    match link.kind {
        Kind::Geneve => Some(LinkKind::Geneve(GeneveOptions {
            vni: link.vni.as_ref()?.value,
            remote,
            port: link.port.unwrap_or(GENEVE_PORT),
            ttl: link.ttl,
        })),
        Kind::Gre => Some(LinkKind::Gre(gre())),
        _ => Some(LinkKind::Gretap(gre())),
    }
}

fn lacking(
    at: &LinkRef,
    device: &Device<'_>,
    link: &topology::Link,
    field: &'static str,
    report: &mut Report<'_>,
) -> Option<LinkKind> {
    let problem = ProblemKind::Lacking { interface: at.to_string(), kind: word(link.kind), field };
    report.problem(device.span, problem);
    None
}

const MACVLAN_MODES: [(&str, MacvlanMode); 5] = [
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("bridge", MacvlanMode::Bridge),
    ("passthru", MacvlanMode::Passthru),
    ("source", MacvlanMode::Source),
];

const IPVLAN_MODES: [(&str, IpvlanMode); 3] =
    [("l2", IpvlanMode::L2), ("l3", IpvlanMode::L3), ("l3s", IpvlanMode::L3s)];

const BOND_MODES: [(&str, BondMode); 7] = [
    ("balance-rr", BondMode::BalanceRr),
    ("active-backup", BondMode::ActiveBackup),
    ("balance-xor", BondMode::BalanceXor),
    ("broadcast", BondMode::Broadcast),
    ("802.3ad", BondMode::Lacp),
    ("balance-tlb", BondMode::BalanceTlb),
    ("balance-alb", BondMode::BalanceAlb),
];

/// The mode that a link names.
fn choice<T: Copy>(
    at: &LinkRef,
    link: &topology::Link,
    what: &'static str,
    known: &[(&'static str, T)],
    default: T,
    report: &mut Report<'_>,
) -> Option<T> {
    let Some(mode) = &link.mode else { return Some(default) };
    let found = known.iter().find(|(word, _)| *word == mode.value).map(|(_, value)| *value);
    if found.is_none() {
        let known = known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let word = mode.value.clone();
        report.problem(mode.span, ProblemKind::Word { interface: at.to_string(), word, what, known });
    }
    found
}
