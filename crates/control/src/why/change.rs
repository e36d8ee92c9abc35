//! Changes that might let a packet through: each can be made in a scene, so that the walk can be walked again with it.

use super::filter::Place;
use super::scene::{Scene, Wishes};
use netloom_compile::object::firewall::{Chain, FirewallRule};
use netloom_compile::object::{Key, LinkRef, NextHop, PortVlan, Space, Spec};
use netloom_kernel::picture::{RouteDoes, RoutePicture};
use netloom_wire::{InterfaceName, MacAddr};
use std::net::IpAddr;

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Edit {
    /// Brings an interface up, with the routes that come with its addresses.
    LinkUp { at: LinkRef },
    /// Adds a route.
    Route { space: Space, route: RoutePicture },
    /// Takes a route away.
    NoRoute { space: Space, route: RoutePicture },
    /// Lets a namespace forward packets of a family.
    Forward { space: Space, v4: bool },
    /// Takes what comes from anywhere.
    AnySource { at: LinkRef },
    /// Accepts packets before the rule that drops them.
    Accept { space: Space, place: Place, rule: FirewallRule },
    /// Accepts packets in every namespace that the policies are enforced in.
    Policy { rule: FirewallRule, sender: String, receiver: String, service: String, origin: Option<String> },
    /// Puts a port into a VLAN; an untagged one replaces the other.
    PortVlan { at: LinkRef, vlan: PortVlan },
    /// Isolates a port or not.
    Isolated { at: LinkRef, isolated: bool },
    /// Forgets where a station was.
    ForgetStation { at: LinkRef, mac: MacAddr },
    /// Forgets or corrects a neighbour.
    ForgetNeighbour { at: LinkRef, address: IpAddr },
    /// Gives an interface another MTU.
    Mtu { at: LinkRef, mtu: u32 },
    /// Gives an interface an address.
    Address { at: LinkRef, address: ipnet::IpNet },
    /// Makes an interface a port of a bridge, bond or VRF.
    Controller { at: LinkRef, controller: InterfaceName },
    /// Sets an option of a switch's port; an empty value takes it away.
    Option { switch: String, port: String, at: Option<LinkRef>, name: String, value: String },
    /// Takes a firewall back to what the file says.
    Firewall { space: Space },
}

impl Edit {
    /// Makes it in a scene; false if it can't be made or changes nothing.
    pub(super) fn apply(&self, scene: &mut Scene, wishes: &Wishes<'_>) -> bool {
        let interface =
            |scene: &mut Scene,
             at: &LinkRef,
             change: &dyn Fn(&mut netloom_kernel::picture::InterfacePicture)| {
                let found = scene
                    .picture
                    .spaces
                    .get_mut(&at.space)
                    .and_then(|space| space.interfaces.get_mut(&at.name));
                found.map(change).is_some()
            };
        match self {
            Self::LinkUp { at } => {
                if !interface(scene, at, &|interface| {
                    interface.link.up = true;
                    interface.carrier = true;
                }) {
                    return false;
                }
                // The other end of a cable gets its carrier back.
                let peer = scene.interface(at).and_then(|interface| match &interface.link.kind {
                    netloom_compile::object::LinkKind::Veth { peer } => Some(peer.clone()),
                    _ => None,
                });
                if let Some(peer) = peer {
                    interface(scene, &peer, &|interface| {
                        interface.carrier = true;
                        interface.forwarding_state = true;
                    });
                }
                interface(scene, at, &|interface| interface.forwarding_state = true);
                super::wanted::connect(scene, at);
                super::wanted::restore_routes(scene, wishes, at);
                true
            }
            Self::Route { space, route } => {
                let Some(space) = scene.picture.spaces.get_mut(space) else { return false };
                if space.routes.contains(route) {
                    return false;
                }
                space.routes.push(route.clone());
                true
            }
            Self::NoRoute { space, route } => {
                let Some(space) = scene.picture.spaces.get_mut(space) else { return false };
                let before = space.routes.len();
                space.routes.retain(|known| known != route);
                space.routes.len() != before
            }
            Self::Forward { space, v4 } => {
                let Some(space) = scene.picture.spaces.get_mut(space) else { return false };
                for interface in space.interfaces.values_mut() {
                    if *v4 {
                        interface.forwards_v4 = true;
                    } else {
                        interface.forwards_v6 = true;
                    }
                }
                true
            }
            Self::AnySource { at } => interface(scene, at, &|interface| interface.reverse_path = 0),
            Self::Accept { space, place, rule } => {
                let chain = scene.picture.spaces.get_mut(space).and_then(|space| {
                    space.filters.get_mut(place.filter)?.firewall.chains.get_mut(place.chain)
                });
                chain.map(|chain| insert(chain, place.rule, rule)).is_some()
            }
            Self::Policy { rule, .. } => {
                let mut changed = false;
                for space in scene.picture.spaces.values_mut() {
                    for filter in space.filters.iter_mut().filter(|filter| filter.ours) {
                        for chain in &mut filter.firewall.chains {
                            if matches!(&*chain.name, "policy-input" | "policy-output") {
                                insert(chain, Some(0), rule);
                                changed = true;
                            }
                        }
                    }
                }
                changed
            }
            Self::PortVlan { at, vlan } => interface(scene, at, &|interface| {
                let Some(port) = &mut interface.link.port else { return };
                if vlan.pvid {
                    port.vlans.retain(|known| !known.pvid && known.id != vlan.id);
                }
                port.vlans.insert(*vlan);
            }),
            Self::Isolated { at, isolated } => interface(scene, at, &|interface| {
                if let Some(port) = &mut interface.link.port {
                    port.isolated = *isolated;
                }
            }),
            Self::ForgetStation { at, mac } => {
                let Some(space) = scene.picture.spaces.get_mut(&at.space) else { return false };
                let before = space.entries.len();
                space.entries.retain(|entry| entry.interface != at.name || entry.mac != *mac);
                space.entries.len() != before
            }
            Self::ForgetNeighbour { at, address } => {
                let Some(space) = scene.picture.spaces.get_mut(&at.space) else { return false };
                let before = space.neighbours.len();
                space.neighbours.retain(|known| known.interface != at.name || known.address != *address);
                space.neighbours.len() != before
            }
            Self::Mtu { at, mtu } => interface(scene, at, &|interface| interface.link.mtu = Some(*mtu)),
            Self::Address { at, address } => {
                let done = interface(scene, at, &|interface| interface.addresses.push(*address));
                super::wanted::connect(scene, at);
                super::wanted::restore_routes(scene, wishes, at);
                done
            }
            Self::Controller { at, controller } => {
                let wanted = wishes.object(&Key::link(at)).and_then(|object| match &object.spec {
                    Spec::Link(link) => link.port.clone(),
                    _ => None,
                });
                interface(scene, at, &|interface| {
                    interface.link.controller = Some(controller.clone());
                    interface.link.port = Some(wanted.clone().unwrap_or_default());
                    interface.forwarding_state = true;
                })
            }
            Self::Option { switch, port, name, value, .. } => {
                // From now on its own options decide, not the daemon.
                scene.daemon = None;
                let Some(port) = scene.switches.get_mut(switch).and_then(|s| s.ports.get_mut(port)) else {
                    return false;
                };
                if value.is_empty() {
                    port.options.remove(name).is_some()
                } else {
                    port.options.insert(name.clone(), value.clone()).as_ref() != Some(value)
                }
            }
            Self::Firewall { space } => {
                let wanted = wishes.object(&Key::Firewall { space: space.clone() }).and_then(|object| {
                    match &object.spec {
                        Spec::Firewall(firewall) => Some((**firewall).clone()),
                        _ => None,
                    }
                });
                let Some(picture) = scene.picture.spaces.get_mut(space) else { return false };
                match (
                    wanted,
                    picture.filters.iter_mut().find(|filter| filter.ours && filter.family != "netdev"),
                ) {
                    (Some(wanted), Some(filter)) => filter.firewall = wanted,
                    _ => return false,
                }
                true
            }
        }
    }

    /// The change as a sentence, how to make it, and the place in the file that it concerns.
    pub(super) fn words(&self, wishes: &Wishes<'_>) -> (String, Vec<String>, Option<String>) {
        let exec = |space: &Space, command: &str| match space {
            Space::Node(node) => format!("netloom exec {node} -- {command}"),
            Space::Host => command.to_owned(),
        };
        let restored = |key: &Key| wishes.origin(key);
        match self {
            Self::LinkUp { at } => {
                let origin = restored(&Key::link(at));
                (
                    format!("bring {at} up"),
                    vec![exec(&at.space, &format!("ip link set {} up", at.name))],
                    origin,
                )
            }
            Self::Route { space, route } => {
                let (what, key) = (super::routing::name(route), route_key(space, route));
                let table = if route.table == super::routing::MAIN {
                    String::new()
                } else {
                    format!(" table {}", route.table)
                };
                let command = exec(space, &format!("ip route add {what}{table}"));
                (format!("give {space} the route {what}"), vec![command], restored(&key))
            }
            Self::NoRoute { space, route } => {
                let what = super::routing::name(route);
                let command = exec(space, &format!("ip route del {what}"));
                (
                    format!("take the route {what} of {space} away"),
                    vec![command],
                    restored(&route_key(space, route)),
                )
            }
            Self::Forward { space, v4 } => {
                let path = if *v4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
                let family = if *v4 { "IPv4" } else { "IPv6" };
                let origin = restored(&Key::Sysctl { space: space.clone(), path: path.into() });
                let command = exec(space, &format!("sysctl -w {}=1", path.replace('/', ".")));
                (format!("let {space} forward {family} packets"), vec![command], origin)
            }
            Self::AnySource { at } => {
                let command = exec(
                    &at.space,
                    &format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{}.rp_filter=0", at.name),
                );
                (format!("switch rp_filter of {at} off"), vec![command], None)
            }
            Self::Accept { space, rule, place } => {
                let place = place.rule.map_or_else(
                    || "at the end of".to_owned(),
                    |rule| format!("before rule {} of", rule + 1),
                );
                let origin = restored(&Key::Firewall { space: space.clone() });
                (format!("accept `{}` {place} the chain in {space}", conditions(rule)), Vec::new(), origin)
            }
            Self::Policy { sender, receiver, service, origin, .. } => {
                let line = format!("- {{ allow: {sender} -> {receiver}, services: {service} }}");
                (
                    format!("allow {sender} -> {receiver} {service} in the file's policies"),
                    vec![line],
                    origin.clone(),
                )
            }
            Self::PortVlan { at, vlan } => {
                let how = if vlan.pvid { " untagged" } else { "" };
                let flags = if vlan.pvid { " pvid untagged" } else { "" };
                let command =
                    exec(&at.space, &format!("bridge vlan add dev {} vid {}{flags}", at.name, vlan.id));
                (format!("put port {at} into VLAN {}{how}", vlan.id), vec![command], restored(&Key::link(at)))
            }
            Self::Isolated { at, .. } => {
                let command = exec(&at.space, &format!("bridge link set dev {} isolated off", at.name));
                (format!("isolate port {at} no more"), vec![command], restored(&Key::link(at)))
            }
            Self::ForgetStation { at, mac } => {
                let command = exec(&at.space, &format!("bridge fdb del {mac} dev {} master", at.name));
                (format!("let the bridge forget that {mac} is behind {at}"), vec![command], None)
            }
            Self::ForgetNeighbour { at, address } => {
                let command = exec(&at.space, &format!("ip neigh del {address} dev {}", at.name));
                (format!("let {} forget the wrong neighbour {address}", at.space), vec![command], None)
            }
            Self::Mtu { at, mtu } => {
                let command = exec(&at.space, &format!("ip link set {} mtu {mtu}", at.name));
                (format!("give {at} an MTU of {mtu}"), vec![command], restored(&Key::link(at)))
            }
            Self::Address { at, address } => {
                let key = Key::Address { space: at.space.clone(), link: at.name.clone(), address: *address };
                let command = exec(&at.space, &format!("ip addr add {address} dev {}", at.name));
                (format!("give {at} the address {address}"), vec![command], restored(&key))
            }
            Self::Controller { at, controller } => {
                let command = exec(&at.space, &format!("ip link set {} master {controller}", at.name));
                (format!("make {at} a port of {controller}"), vec![command], restored(&Key::link(at)))
            }
            Self::Option { switch, port, at, name, value } => {
                let command = format!("netloom port set {port} {name}={value}");
                let Some(at) = at else {
                    return (format!("set {name}={value} at port {port} of {switch}"), vec![command], None);
                };
                let what = match (name.as_str(), value.as_str()) {
                    ("isolated", _) => format!("isolate {at} no more"),
                    ("vlan", value) => format!("put {at} into VLAN {value} (in the file: `vlan: {value}`)"),
                    (name, "") => format!("take `{name}` of {at} away"),
                    (name, value) => format!("set `{name}` of {at} to {value}"),
                };
                let key = Key::SwitchPort { space: at.space.clone(), link: at.name.clone() };
                let origin = restored(&key).or_else(|| restored(&Key::link(at)));
                (what, vec![command], origin)
            }
            Self::Firewall { space } => {
                let key = Key::Firewall { space: space.clone() };
                (
                    format!("put the packet filter of {space} back as the file has it"),
                    Vec::new(),
                    restored(&key),
                )
            }
        }
    }

    /// Whether the file says so already, and only the live system differs.
    pub(super) fn restores(&self, wishes: &Wishes<'_>) -> bool {
        match self {
            Self::LinkUp { at } => matches!(
                wishes.object(&Key::link(at)).map(|object| &object.spec),
                Some(Spec::Link(link)) if link.up
            ),
            Self::Route { space, route } => wishes.object(&route_key(space, route)).is_some(),
            Self::Forward { space, v4 } => {
                let path = if *v4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
                let key = Key::Sysctl { space: space.clone(), path: path.into() };
                matches!(wishes.object(&key).map(|object| &object.spec), Some(Spec::Sysctl { value }) if value == "1")
            }
            Self::AnySource { at } => {
                let key = Key::Sysctl { space: at.space.clone(), path: "net/ipv4/conf/all/rp_filter".into() };
                matches!(wishes.object(&key).map(|object| &object.spec), Some(Spec::Sysctl { value }) if value == "0")
            }
            Self::Address { at, address } => {
                let key = Key::Address { space: at.space.clone(), link: at.name.clone(), address: *address };
                wishes.object(&key).is_some()
            }
            Self::PortVlan { at, vlan } => matches!(
                wishes.object(&Key::link(at)).map(|object| &object.spec),
                Some(Spec::Link(link)) if link.port.as_ref().is_some_and(|port| port.vlans.contains(vlan))
            ),
            Self::Isolated { at, isolated } => matches!(
                wishes.object(&Key::link(at)).map(|object| &object.spec),
                Some(Spec::Link(link)) if link.port.as_ref().is_some_and(|port| port.isolated == *isolated)
            ),
            Self::Controller { at, controller } => matches!(
                wishes.object(&Key::link(at)).map(|object| &object.spec),
                Some(Spec::Link(link)) if link.controller.as_ref() == Some(controller)
            ),
            Self::Mtu { at, mtu } => matches!(
                wishes.object(&Key::link(at)).map(|object| &object.spec),
                Some(Spec::Link(link)) if link.mtu.is_some_and(|wanted| wanted >= *mtu)
            ),
            Self::Firewall { .. } => true,
            _ => false,
        }
    }
}

fn insert(chain: &mut Chain, before: Option<usize>, rule: &FirewallRule) {
    let at = before.unwrap_or(chain.rules.len()).min(chain.rules.len());
    chain.rules.insert(at, rule.clone());
}

/// The conditions of a rule, as nft writes them.
fn conditions(rule: &FirewallRule) -> String {
    rule.matches.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The key of a route.
pub(super) fn route_key(space: &Space, route: &RoutePicture) -> Key {
    let (space, table, destination, metric) = (space.clone(), route.table, route.destination, route.metric);
    Key::Route { space, table, destination, metric }
}

/// A route by one hop in the main table.
pub(super) fn by(destination: ipnet::IpNet, gateway: Option<IpAddr>, device: InterfaceName) -> RoutePicture {
    RoutePicture {
        table: super::routing::MAIN,
        destination,
        metric: if destination.addr().is_ipv4() { 0 } else { 1024 },
        action: RouteDoes::Forward(vec![NextHop { gateway, device: Some(device), weight: 1 }]),
        source: None,
        mtu: None,
        automatic: false,
    }
}
