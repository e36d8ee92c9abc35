//! MTUs: what the user says, else what the way below leaves.
//!
//! Overheads in octets, outer Ethernet header not counted: VXLAN and Geneve without options 50 over IPv4
//! and 70 over IPv6 (RFC 7348 section 5, RFC 8926 section 3); GRE 24 or 52, with 4 for each of key,
//! checksum and sequence number, and 14 more when it carries Ethernet (RFC 2784, RFC 2890);
//! WireGuard 60 or 80 (its paper, section 5.4.6).

use crate::inventory::{DEFAULT_MTU, Device, Inventory, Make, PortRole, Segment};
use crate::object::{LinkRef, Space};
use netloom_model::topology::{Link, LinkKind, NetworkMode};
use netloom_wire::NodeName;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// The smallest MTU that is ever computed: what IPv4 demands (RFC 791).
const SMALLEST: u32 = 68;

/// Fills in [`Device::mtu`].
pub(crate) fn assign(inventory: &mut Inventory<'_>) {
    let mut finder = Finder { inventory, devices: HashMap::new(), segments: BTreeMap::new() };
    for at in finder.inventory.devices.keys() {
        finder.device(at);
    }
    let found: Vec<(LinkRef, Option<u32>)> =
        finder.devices.into_iter().map(|(at, mtu)| (at.clone(), mtu.flatten())).collect();
    for (at, mtu) in found {
        if let Some(device) = inventory.devices.get_mut(&at) {
            device.mtu = mtu;
        }
    }
}

/// `None` in a map says that the answer is being looked for: a way that leads back to itself.
struct Finder<'b, 'a> {
    inventory: &'b Inventory<'a>,
    devices: HashMap<&'b LinkRef, Option<Option<u32>>>,
    segments: BTreeMap<&'b NodeName, Option<u32>>,
}

impl<'b> Finder<'b, '_> {
    fn base(&self) -> u32 {
        self.inventory.topology.defaults.mtu.as_ref().map_or(DEFAULT_MTU, |mtu| mtu.value)
    }

    /// The MTU of a device, or of a plain cable if nothing is known.
    fn of(&mut self, at: &LinkRef) -> u32 {
        let known = self.inventory.devices.get_key_value(at).and_then(|(at, _)| self.device(at));
        known.unwrap_or_else(|| self.base())
    }

    fn device(&mut self, at: &'b LinkRef) -> Option<u32> {
        if let Some(known) = self.devices.get(at) {
            return known.flatten();
        }
        let device = self.inventory.devices.get(at)?;
        self.devices.insert(at, None);
        let mtu = self.compute(at, device);
        self.devices.insert(at, Some(mtu));
        mtu
    }

    fn compute(&mut self, at: &'b LinkRef, device: &'b Device<'_>) -> Option<u32> {
        let settings = device.settings.or_else(|| device.port.as_ref().and_then(|port| port.settings));
        let said = settings.and_then(|settings| settings.mtu.as_ref());
        let said = said.or_else(|| device.link().and_then(|link| link.mtu.as_ref())).map(|mtu| mtu.value);
        match &device.make {
            Make::Existing => said,
            Make::Cable { peer, .. } => {
                let beyond = self.inventory.devices.get(peer);
                let beyond_settings = beyond.and_then(|peer| peer.settings);
                let said =
                    said.or_else(|| beyond_settings.and_then(|peer| peer.mtu.as_ref()).map(|mtu| mtu.value));
                Some(said.unwrap_or_else(|| self.cable(device, beyond)))
            }
            Make::Bridge { network } => self.inventory.segments.get(network).map(|found| self.segment(found)),
            Make::Rider { network, .. } | Make::Port { network, .. } | Make::Socket { network } => {
                let beyond = device.port.as_ref().map(|port| &port.network);
                Some(said.unwrap_or_else(|| self.smallest([Some(network), beyond].into_iter().flatten())))
            }
            Make::Patch { .. } => None,
            Make::OverlayVxlan { network, .. } | Make::OverlayGeneve { network, .. } => {
                self.inventory.segments.get(network).map(|found| self.segment(found))
            }
            Make::Vrf { .. } => None,
            Make::Single { link } => self.single(at, link, said),
            Make::TunnelEnd { link, outer, .. } => {
                let outer = *outer;
                Some(said.unwrap_or_else(|| {
                    match outer {
                        Some((local, _)) => self
                            .over(&at.space, local)
                            .saturating_sub(overhead(link, local.is_ipv6()))
                            .max(SMALLEST),
                        None => self.base(),
                    }
                }))
            }
        }
    }

    /// A cable has the MTU of the network it is a port of; between two networks the smaller one.
    fn cable(&mut self, device: &'b Device<'_>, beyond: Option<&'b Device<'_>>) -> u32 {
        let ports = [Some(device), beyond].into_iter().flatten().filter_map(|end| end.port.as_ref());
        self.smallest(ports.filter(|port| port.role != PortRole::Uplink).map(|port| &port.network))
    }

    /// The smallest MTU of some networks.
    fn smallest(&mut self, networks: impl Iterator<Item = &'b NodeName>) -> u32 {
        let inventory = self.inventory;
        let segments = networks.filter_map(|name| inventory.segments.get(name));
        segments.map(|segment| self.segment(segment)).min().unwrap_or_else(|| self.base())
    }

    fn single(&mut self, at: &LinkRef, link: &Link, said: Option<u32>) -> Option<u32> {
        let here =
            |name: &netloom_wire::InterfaceName| LinkRef { space: at.space.clone(), name: name.clone() };
        if said.is_some() {
            return said;
        }
        match link.kind {
            LinkKind::Vrf | LinkKind::Ifb => None,
            LinkKind::Vlan | LinkKind::Macvlan | LinkKind::Ipvlan => {
                link.parent.as_ref().map(|parent| self.of(&here(&parent.value)))
            }
            LinkKind::Bond => {
                let members: Vec<u32> =
                    link.members.iter().map(|member| self.of(&here(&member.value))).collect();
                Some(members.into_iter().min().unwrap_or_else(|| self.base()))
            }
            LinkKind::Vxlan | LinkKind::Geneve | LinkKind::Gre | LinkKind::Gretap | LinkKind::Wireguard => {
                let local = link.local.as_ref().map(|local| local.value);
                let remote = link.remote.as_ref().or(link.group.as_ref()).map(|remote| remote.value);
                let below = match (&link.device, local) {
                    (Some(device), _) => self.of(&here(&device.value)),
                    (None, Some(local)) => self.over(&at.space, local),
                    (None, None) => self.base(),
                };
                let v6 = local.or(remote).is_some_and(|address| address.is_ipv6());
                Some(below.saturating_sub(overhead(link, v6)).max(SMALLEST))
            }
            _ => Some(self.base()),
        }
    }

    /// The MTU of the interface that has an address.
    fn over(&mut self, space: &Space, address: IpAddr) -> u32 {
        let holder = self
            .inventory
            .devices_in(space)
            .find(|(_, device)| device.addresses.iter().any(|own| own.addr() == address));
        match holder {
            Some((at, _)) => self.of(at),
            None => self.base(),
        }
    }

    fn segment(&mut self, segment: &'b Segment<'_>) -> u32 {
        if let Some(mtu) = &segment.network.mtu {
            return mtu.value;
        }
        if let Some(known) = self.segments.get(&segment.name) {
            return known.unwrap_or_else(|| self.base());
        }
        self.segments.insert(&segment.name, None);
        let mtu = match segment.network.mode {
            NetworkMode::Overlay => {
                let below: Vec<u32> = segment
                    .network
                    .vteps
                    .iter()
                    .map(|(node, vtep)| {
                        let outer = if vtep.is_ipv6() { 70 } else { 50 };
                        self.over(&Space::Node(node.value.clone()), vtep.value).saturating_sub(outer)
                    })
                    .collect();
                below.into_iter().min().unwrap_or_else(|| self.base()).max(SMALLEST)
            }
            NetworkMode::Macvlan | NetworkMode::Ipvlan => match &segment.network.parent {
                Some(parent) => self.of(&self.inventory.at(&parent.value)),
                None => self.base(),
            },
            _ => self.base(),
        };
        self.segments.insert(&segment.name, Some(mtu));
        mtu
    }
}

/// What a tunnel puts in front of each packet.
fn overhead(link: &Link, v6: bool) -> u32 {
    let ip = if v6 { 40 } else { 20 };
    match link.kind {
        LinkKind::Vxlan | LinkKind::Geneve => ip + 8 + 8 + 14,
        LinkKind::Wireguard => ip + 8 + 32,
        LinkKind::Gre | LinkKind::Gretap => {
            let options = [link.key.is_some(), link.checksum == Some(true), link.sequence == Some(true)];
            let fields = options.into_iter().filter(|present| *present).count() as u32 * 4;
            // The kernel puts an encapsulation limit (RFC 2473 section 4.1.1) into IPv6 outer headers.
            let limit = if v6 { 8 } else { 0 };
            ip + limit + 4 + fields + if link.kind == LinkKind::Gretap { 14 } else { 0 }
        }
        _ => 0,
    }
}
