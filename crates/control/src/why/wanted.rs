//! A scene out of a description, as if it had been made exactly; and what of a description a scene lacks.

use super::change::{Edit, by, route_key};
use super::routing;
use super::scene::{BehindPort, PortScene, Scene, Wishes};
use crate::machine::named;
use ipnet::IpNet;
use netloom_compile::InterfaceFacts;
use netloom_compile::object::{
    Behind, Desired, Key, Link, LinkKind, LinkRef, MacvlanMode, Object, RouteAction, Space, Spec,
};
use netloom_kernel::picture::{
    EntryPicture, FilterPicture, InterfacePicture, NeighbourPicture, Picture, RouteDoes, RoutePicture,
    RulePicture, SpacePicture, default_rules,
};
use netloom_wire::{InterfaceName, MacAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Most candidates of a kind.
const MOST: usize = 8;

/// The scene that a description asks for. `facts` tell of virtual machines.
#[must_use]
pub fn scene_of(desired: &Desired, facts: &[InterfaceFacts]) -> Scene {
    let picture = Picture { topology: desired.topology.clone(), spaces: BTreeMap::new() };
    let mut scene = Scene { picture, switches: BTreeMap::new(), daemon: None };
    for object in desired.objects.values() {
        put(&mut scene, object);
    }
    let addresses: Vec<LinkRef> = desired
        .objects
        .keys()
        .filter_map(|key| match key {
            Key::Address { space, link, .. } => Some(LinkRef { space: space.clone(), name: link.clone() }),
            _ => None,
        })
        .collect();
    for at in addresses {
        connect(&mut scene, &at);
    }
    for space in scene.picture.spaces.values_mut() {
        space.rules.extend(default_rules());
        space.rules.sort_by_key(|rule| rule.priority);
        let vrfs = space.interfaces.values().any(|i| matches!(i.link.kind, LinkKind::Vrf { .. }));
        if vrfs {
            let vrf = default_rules().into_iter().take(2).map(|rule| RulePicture {
                priority: 1000,
                vrf: true,
                ..rule
            });
            space.rules.extend(vrf);
            space.rules.sort_by_key(|rule| rule.priority);
        }
    }
    settle(&mut scene);
    give_addresses(&mut scene);
    add_machines(&mut scene, facts);
    scene
}

fn loopback() -> InterfacePicture {
    let mut interface = interface(Link::new(LinkKind::Existing));
    interface.addresses = ["127.0.0.1/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect();
    interface
}

fn interface(link: Link) -> InterfacePicture {
    InterfacePicture {
        carrier: link.up,
        link,
        addresses: Vec::new(),
        forwarding_state: true,
        forwards_v4: false,
        forwards_v6: false,
        reverse_path: 0,
    }
}

fn space<'s>(scene: &'s mut Scene, space: &Space) -> &'s mut SpacePicture {
    scene.picture.spaces.entry(space.clone()).or_insert_with(|| {
        let lo = "lo".parse::<InterfaceName>().map(|name| (name, loopback()));
        SpacePicture { interfaces: lo.into_iter().collect(), ..SpacePicture::default() }
    })
}

fn put(scene: &mut Scene, object: &Object) {
    let topology = scene.picture.topology.clone();
    let at = space(scene, object.key.space());
    match (&object.key, &object.spec) {
        (Key::Link { name, .. }, Spec::Link(link)) => {
            let lo = name.as_str() == "lo";
            let mut picture = interface((**link).clone());
            if lo {
                picture.addresses = loopback().addresses;
            }
            at.interfaces.insert(name.clone(), picture);
        }
        (Key::Address { link, address, .. }, _) => {
            if let Some(interface) = at.interfaces.get_mut(link) {
                interface.addresses.push(*address);
            }
        }
        (Key::Route { table, destination, metric, .. }, Spec::Route(route)) => {
            let action = match &route.action {
                RouteAction::Forward { hops } => RouteDoes::Forward(hops.clone()),
                RouteAction::Blackhole => RouteDoes::Blackhole,
                RouteAction::Unreachable => RouteDoes::Unreachable,
                RouteAction::Prohibit => RouteDoes::Prohibit,
            };
            at.routes.push(RoutePicture {
                table: *table,
                destination: *destination,
                metric: *metric,
                action,
                source: route.source,
                mtu: route.mtu,
                automatic: false,
            });
        }
        (Key::Rule { priority, family, .. }, Spec::Rule(rule)) => {
            at.rules.push(RulePicture {
                priority: *priority,
                family: *family,
                rule: rule.clone(),
                vrf: false,
                odd: None,
            });
        }
        (Key::Neighbour { link, address, .. }, Spec::Neighbour(neighbour)) => {
            at.neighbours.push(NeighbourPicture {
                interface: link.clone(),
                address: *address,
                mac: Some(neighbour.mac),
                permanent: true,
            });
        }
        (Key::FdbEntry { link, mac, vlan, remote, .. }, _) => at.entries.push(EntryPicture {
            interface: link.clone(),
            mac: *mac,
            vlan: vlan.map(netloom_wire::VlanId::get),
            remote: *remote,
            fixed: true,
        }),
        (Key::Sysctl { path, .. }, Spec::Sysctl { value }) => {
            at.settings.insert(path.to_string(), value.clone());
        }
        (Key::Firewall { .. }, Spec::Firewall(firewall)) => {
            at.filters.push(FilterPicture {
                family: "inet".to_owned(),
                name: "netloom".to_owned(),
                ours: true,
                firewall: (**firewall).clone(),
            });
        }
        (Key::Switch { space }, Spec::Switch(switch)) => {
            let entry = scene.switches.entry(format!("{topology}.{space}")).or_default();
            entry.options = named::switch_options(switch);
            entry.options.retain(|_, value| !value.is_empty());
            entry.running = switch.running;
        }
        (Key::SwitchPort { space, link }, Spec::SwitchPort(port)) => {
            let here = LinkRef { space: space.clone(), name: link.clone() };
            let mut options = named::bridge_options(port);
            options.retain(|_, value| !value.is_empty());
            let behind = match &port.behind {
                Behind::Tap => BehindPort::Tap(here.clone()),
                Behind::Interface => BehindPort::Interface(here.clone()),
                Behind::Patch { peer } => BehindPort::Patch(named::port_name(&topology, peer)),
                Behind::Socket(_) => BehindPort::Machine(here.clone()),
            };
            let switch = scene.switches.entry(format!("{topology}.{}", port.network)).or_default();
            let number = u32::try_from(switch.ports.len() + 1).unwrap_or(u32::MAX);
            switch
                .ports
                .insert(named::port_name(&topology, &here), PortScene { number, options, behind, up: true });
        }
        _ => {}
    }
}

/// Hardware addresses where the description leaves them to the kernel: those of the interface below, or any.
fn give_addresses(scene: &mut Scene) {
    // What rides on a rider has its address in the second round.
    for _ in 0..3 {
        let mut given = Vec::new();
        for (space, picture) in &scene.picture.spaces {
            for (name, interface) in picture.interfaces.iter().filter(|(_, i)| i.link.mac.is_none()) {
                let at = LinkRef { space: space.clone(), name: name.clone() };
                let below = match &interface.link.kind {
                    LinkKind::Ipvlan { parent, .. } => Some(parent.clone()),
                    LinkKind::Macvlan { parent, mode: MacvlanMode::Passthru, .. } => Some(parent.clone()),
                    LinkKind::Vlan { parent, .. } => {
                        Some(LinkRef { space: space.clone(), name: parent.clone() })
                    }
                    _ => None,
                };
                let mac = match &below {
                    Some(below) => scene.interface(below).and_then(|below| below.link.mac),
                    None => Some(MacAddr::local_from_hash(hash(&at.to_string()))),
                };
                given.extend(mac.map(|mac| (at, mac)));
            }
        }
        for (at, mac) in given {
            let space = scene.picture.spaces.get_mut(&at.space);
            if let Some(interface) = space.and_then(|space| space.interfaces.get_mut(&at.name)) {
                interface.link.mac = Some(mac);
            }
        }
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3))
}

/// What parameters mean for interfaces, and cables without another end.
fn settle(scene: &mut Scene) {
    for space in scene.picture.spaces.values_mut() {
        let settings = space.settings.clone();
        let get = |path: &str| settings.get(path).map(String::as_str);
        let all = |family: &str, name: &str| get(&format!("net/{family}/conf/all/{name}")).map(str::to_owned);
        for (name, interface) in &mut space.interfaces {
            let own = |family: &str, what: &str| {
                let default = || get(&format!("net/{family}/conf/default/{what}")).map(str::to_owned);
                get(&format!("net/{family}/conf/{name}/{what}")).map(str::to_owned).or_else(default)
            };
            let v4 = get("net/ipv4/ip_forward").map(str::to_owned).or_else(|| all("ipv4", "forwarding"));
            interface.forwards_v4 = own("ipv4", "forwarding").or(v4).as_deref() == Some("1");
            interface.forwards_v6 = all("ipv6", "forwarding").as_deref() == Some("1");
            let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
            interface.reverse_path = number(own("ipv4", "rp_filter")).max(number(all("ipv4", "rp_filter")));
        }
    }
}

/// Adds what is known of virtual machines: their interfaces as they should be.
pub fn add_machines(scene: &mut Scene, facts: &[InterfaceFacts]) {
    for fact in facts.iter().filter(|fact| fact.is_machine()) {
        let mut link = Link::new(LinkKind::Existing);
        (link.mac, link.mtu) = (fact.mac, fact.mtu);
        let mut picture = interface(link);
        picture.addresses.clone_from(&fact.addresses);
        let at = space(scene, &fact.at.space);
        at.interfaces.insert(fact.at.name.clone(), picture);
        for gateway in &fact.gateways {
            let everything: IpNet = match gateway {
                IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
                IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
            };
            at.routes.push(by(everything, Some(*gateway), fact.at.name.clone()));
        }
        let inside = "what its system does inside the virtual machine".to_owned();
        if !at.unread.contains(&inside) {
            at.unread.push(inside);
        }
        connect(scene, &fact.at);
    }
}

/// The routes that the kernel makes for the addresses of an interface that is up.
pub(super) fn connect(scene: &mut Scene, at: &LinkRef) {
    let Some(space) = scene.picture.spaces.get_mut(&at.space) else { return };
    let Some(interface) = space.interfaces.get(&at.name) else { return };
    let table = routing::vrf_table(space, &at.name);
    for address in &interface.addresses.clone() {
        let automatic = |table, destination, action| RoutePicture {
            table,
            destination,
            metric: if address.addr().is_ipv4() { 0 } else { 256 },
            action,
            source: None,
            mtu: None,
            automatic: true,
        };
        let own = automatic(
            table.unwrap_or(routing::LOCAL),
            IpNet::from(address.addr()),
            RouteDoes::Local(Some(at.name.clone())),
        );
        let mut near = by(address.trunc(), None, at.name.clone());
        near.table = table.unwrap_or(routing::MAIN);
        let mut near =
            RoutePicture { automatic: true, metric: automatic(0, *address, RouteDoes::Throw).metric, ..near };
        near.source = address.addr().is_ipv4().then(|| address.addr());
        let host = address.prefix_len() == address.max_prefix_len();
        for route in std::iter::once(own).chain((!host).then_some(near)) {
            let known = space.routes.iter().any(|known| {
                known.table == route.table
                    && known.destination == route.destination
                    && std::mem::discriminant(&known.action) == std::mem::discriminant(&route.action)
            });
            if !known {
                space.routes.push(route);
            }
        }
    }
}

/// The description's routes over an interface that are not there.
pub(super) fn restore_routes(scene: &mut Scene, wishes: &Wishes<'_>, at: &LinkRef) {
    let missing = absent_routes(scene, wishes, &at.space);
    let Some(space) = scene.picture.spaces.get_mut(&at.space) else { return };
    let over = |route: &RoutePicture| match &route.action {
        RouteDoes::Forward(hops) => hops.iter().any(|hop| hop.device.as_ref() == Some(&at.name)),
        _ => false,
    };
    space.routes.extend(missing.into_iter().filter(over));
}

/// The routes of a namespace that the description has and the scene lacks.
fn absent_routes(scene: &Scene, wishes: &Wishes<'_>, at: &Space) -> Vec<RoutePicture> {
    let Some(desired) = wishes.0 else { return Vec::new() };
    let there: BTreeSet<Key> = scene
        .space(at)
        .into_iter()
        .flat_map(|space| &space.routes)
        .map(|route| route_key(at, route))
        .collect();
    let mut lone = Scene {
        picture: Picture { topology: scene.picture.topology.clone(), spaces: BTreeMap::new() },
        switches: BTreeMap::new(),
        daemon: None,
    };
    let routes = desired
        .objects
        .values()
        .filter(|object| matches!(&object.key, Key::Route { space, .. } if space == at));
    for object in routes.filter(|object| !there.contains(&object.key)) {
        put(&mut lone, object);
    }
    lone.picture.spaces.remove(at).map(|space| space.routes).unwrap_or_default()
}

/// Changes that give a namespace a way to an address.
pub(super) fn missing_routes(scene: &Scene, wishes: &Wishes<'_>, at: &Space, to: IpAddr) -> Vec<Edit> {
    let mut edits = Vec::new();
    let Some(space) = scene.space(at) else { return edits };
    let here = |name: &InterfaceName| LinkRef { space: at.clone(), name: name.clone() };
    // What leads there is down.
    for (name, interface) in &space.interfaces {
        if !interface.link.up && interface.addresses.iter().any(|own| own.contains(&to)) {
            edits.push(Edit::LinkUp { at: here(name) });
        }
    }
    for route in absent_routes(scene, wishes, at) {
        let RouteDoes::Forward(hops) = &route.action else { continue };
        if !route.destination.contains(&to) {
            continue;
        }
        let down =
            hops.iter().filter_map(|hop| hop.device.as_ref()).find(|device| !routing::is_up(space, device));
        edits.push(match down {
            Some(device) => Edit::LinkUp { at: here(device) },
            None => Edit::Route { space: at.clone(), route },
        });
    }
    // An address that the file has and the interface lacks would bring its network with it.
    if let Some(desired) = wishes.0 {
        for key in desired.objects.keys() {
            if let Key::Address { space: owner, link, address } = key
                && owner == at
                && address.contains(&to)
                && space.interfaces.get(link).is_some_and(|i| !i.addresses.contains(address))
            {
                edits.push(Edit::Address { at: here(link), address: *address });
            }
        }
    }
    // A neighbour that forwards and has a way of its own.
    let subnet = scene
        .owners(to)
        .find_map(|(owner, name)| {
            let interface = scene.interface(&LinkRef { space: owner.clone(), name: name.clone() })?;
            interface.addresses.iter().find(|own| own.addr() == to).map(IpNet::trunc)
        })
        .unwrap_or_else(|| IpNet::from(to));
    for (name, interface) in space.interfaces.iter().filter(|(name, i)| i.link.up && name.as_str() != "lo") {
        for own in interface.addresses.iter().filter(|own| own.addr().is_ipv4() == to.is_ipv4()) {
            for (_, picture) in scene.picture.spaces.iter().filter(|(other, _)| *other != at) {
                for neighbour in picture.interfaces.values() {
                    let near = neighbour
                        .addresses
                        .iter()
                        .find(|far| own.contains(&far.addr()) && far.addr() != own.addr());
                    let Some(near) = near else { continue };
                    let knows = routing::is_own(picture, to)
                        || routing::best(picture, routing::MAIN, to)
                            .is_some_and(|route| matches!(route.action, RouteDoes::Forward(_)));
                    if knows && edits.len() < MOST {
                        let route = by(subnet, Some(near.addr()), name.clone());
                        edits.push(Edit::Route { space: at.clone(), route });
                    }
                }
            }
        }
    }
    edits
}

/// Changes that give somebody an address that the description has.
pub(super) fn missing_address(scene: &Scene, wishes: &Wishes<'_>, wanted: IpAddr) -> Vec<Edit> {
    let Some(desired) = wishes.0 else { return Vec::new() };
    let keys = desired.objects.keys().filter_map(|key| match key {
        Key::Address { space, link, address } if address.addr() == wanted => Some(Edit::Address {
            at: LinkRef { space: space.clone(), name: link.clone() },
            address: *address,
        }),
        _ => None,
    });
    keys.filter(|edit| matches!(edit, Edit::Address { at, .. } if scene.interface(at).is_some())).collect()
}

/// Changes that make interfaces ports again that are none any more, or bring them up.
pub(super) fn missing_ports(scene: &Scene, wishes: &Wishes<'_>) -> Vec<Edit> {
    let Some(desired) = wishes.0 else { return Vec::new() };
    let mut edits = Vec::new();
    for object in desired.objects.values() {
        let (Key::Link { space, name }, Spec::Link(link)) = (&object.key, &object.spec) else { continue };
        let at = LinkRef { space: space.clone(), name: name.clone() };
        let Some(there) = scene.interface(&at) else { continue };
        if let Some(controller) = &link.controller
            && there.link.controller.as_ref() != Some(controller)
        {
            edits.push(Edit::Controller { at, controller: controller.clone() });
        }
    }
    edits.truncate(MOST);
    edits
}
