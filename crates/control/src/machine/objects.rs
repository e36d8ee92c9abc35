//! Switches and ports as objects, and the same as options of the daemon: one the reverse of the other.
//!
//! Whose a switch or port is stands in the options `topology`, `node` and `link`; without them it is somebody else's.

use crate::switch::{self, Options};
use netloom_compile::object::{Behind, LinkRef, Pinned, PortVlan, Socket, Space, Switch, SwitchPort, Tree};
use netloom_model::scalar::TimeSpan;
use netloom_wire::{InterfaceName, NodeName, VlanId};
use std::path::{Path, PathBuf};

/// A set without VLANs: an empty text would take the option away.
const NO_VLANS: &str = ",";
/// Longest name of a socket's file (`sun_path` without its end, linux/un.h).
const LONGEST: usize = 107;

/// Where the sockets of virtual machines are; `directory` is that of the realm's switch daemon.
#[must_use]
pub fn sockets(directory: &Path) -> PathBuf {
    directory.with_file_name("vm")
}

/// The file of a virtual machine's socket.
#[must_use]
pub fn socket_path(
    directory: &Path,
    topology: &NodeName,
    node: &NodeName,
    link: &InterfaceName,
    socket: &Socket,
) -> PathBuf {
    if let Some(path) = &socket.path {
        return PathBuf::from(&**path);
    }
    let name = port_name(topology, &LinkRef { space: Space::Node(node.clone()), name: link.clone() });
    let path = sockets(directory).join(format!("{name}.sock"));
    if path.as_os_str().len() <= LONGEST {
        return path;
    }
    // FNV-1a: a name that stays the same, where the whole one is too long.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
    });
    sockets(directory).join(format!("{hash:016x}.sock"))
}

/// The name of the port behind an interface. What a name may not have is written as its number.
pub(crate) fn port_name(topology: &NodeName, at: &LinkRef) -> String {
    let mut name = format!("{topology}.{}.", at.space);
    for letter in at.name.as_str().chars() {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
            name.push(letter);
        } else {
            name.push_str(&format!("_{:02x}_", u32::from(letter)));
        }
    }
    name
}

fn options<const N: usize>(pairs: [(&str, String); N]) -> Options {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn truth(value: bool) -> String {
    if value { "true".to_owned() } else { String::new() }
}

/// Options of a switch; an empty value stands for none.
pub(crate) fn switch_options(switch: &Switch) -> Options {
    let tree = switch.tree.clone().unwrap_or_default();
    let querier: Vec<String> = switch.querier.iter().map(u16::to_string).collect();
    options([
        ("rstp", truth(switch.tree.is_some())),
        ("priority", text(tree.priority)),
        ("hello", text(tree.hello)),
        ("max-age", text(tree.max_age)),
        ("forward-delay", text(tree.forward_delay)),
        ("ageing", text(switch.ageing.map(|time| format!("{time}ms")))),
        ("snooping", truth(switch.snooping)),
        ("querier", querier.join(",")),
    ])
}

/// The reverse of [`switch_options`].
pub(super) fn switch_of(options: &Options, running: bool) -> Switch {
    let get = |name: &str| options.get(name).map(String::as_str);
    let is_true = |name: &str| get(name) == Some("true");
    let number = |name: &str| get(name).and_then(|text| text.trim_end_matches('s').parse::<u32>().ok());
    let time = |text: &str| text.parse::<TimeSpan>().ok().map(|time| time.duration().as_millis());
    Switch {
        running,
        tree: is_true("rstp").then(|| Tree {
            priority: number("priority").and_then(|number| u16::try_from(number).ok()),
            hello: number("hello"),
            max_age: number("max-age"),
            forward_delay: number("forward-delay"),
        }),
        ageing: get("ageing").and_then(time).map(|time| u64::try_from(time).unwrap_or(u64::MAX)),
        snooping: is_true("snooping"),
        querier: get("querier")
            .into_iter()
            .flat_map(|text| text.split(','))
            .filter_map(|vlan| vlan.parse().ok())
            .collect(),
    }
}

/// Options of the bridge's side of a port; an empty value stands for none.
pub(crate) fn bridge_options(port: &SwitchPort) -> Options {
    let (mut vlan, mut native, mut trunk) = (String::new(), String::new(), String::new());
    if let Some(vlans) = &port.vlans {
        let own = vlans.iter().find(|vlan| vlan.pvid).map(|vlan| vlan.id.get().to_string());
        let tagged: Vec<String> =
            vlans.iter().filter(|vlan| !vlan.pvid).map(|vlan| vlan.id.get().to_string()).collect();
        match own {
            Some(own) if tagged.is_empty() => vlan = own,
            own => {
                native = own.unwrap_or_default();
                trunk = if tagged.is_empty() { NO_VLANS.to_owned() } else { tagged.join(",") };
            }
        }
    }
    let addresses = port.pinned.iter().flat_map(|pinned| &pinned.addresses);
    let addresses: Vec<String> = addresses.map(|net| net.addr().to_string()).collect();
    let mut all = options([
        ("vlan", vlan),
        ("native", native),
        ("trunk", trunk),
        ("isolated", truth(port.isolated)),
        ("cost", text(port.cost)),
        ("edge", truth(port.edge)),
        ("mac", text(port.pinned.as_ref().map(|pinned| pinned.mac))),
        ("ip", addresses.join(",")),
    ]);
    all.extend(switch::link_options().map(|name| (name, String::new())));
    all.extend(port.link.clone());
    all
}

/// Options of what is behind a port; `netns` is the namespace of its interface.
pub(super) fn door_options(
    directory: &Path,
    topology: &NodeName,
    at: &LinkRef,
    port: &SwitchPort,
    netns: Option<&Path>,
) -> Options {
    let mut all = options([("topology", topology.to_string()), ("link", at.name.to_string())]);
    if let Space::Node(node) = &at.space {
        all.insert("node".to_owned(), node.to_string());
    }
    let device = |kind: &str| {
        options([
            ("type", kind.to_owned()),
            ("dev", at.name.to_string()),
            ("netns", text(netns.map(Path::display))),
        ])
    };
    all.extend(match &port.behind {
        Behind::Tap => {
            // The kernel's side makes it, with our mark: one that was removed meanwhile must not come back without.
            let mut tap = device("tap");
            tap.insert("create".to_owned(), "false".to_owned());
            tap
        }
        Behind::Interface => device("afpacket"),
        Behind::Patch { peer } => options([
            ("type", "patch".to_owned()),
            ("peer", port_name(topology, peer)),
            ("to", peer_text(peer)),
        ]),
        Behind::Socket(socket) => {
            let path = match &at.space {
                Space::Node(node) => socket_path(directory, topology, node, &at.name, socket),
                Space::Host => PathBuf::new(),
            };
            options([
                ("type", "vhost-user".to_owned()),
                ("path", path.display().to_string()),
                ("mode", if socket.listens { "server" } else { "client" }.to_owned()),
                ("queues", socket.queues.to_string()),
                ("offloads", if socket.offloads { String::new() } else { "false".to_owned() }),
                ("user", text(socket.user)),
                ("group", text(socket.group)),
            ])
        }
    });
    all.retain(|_, value| !value.is_empty());
    all
}

/// `NODE:INTERFACE`, or `:INTERFACE` in the host's namespace.
fn peer_text(peer: &LinkRef) -> String {
    match &peer.space {
        Space::Node(node) => format!("{node}:{}", peer.name),
        Space::Host => format!(":{}", peer.name),
    }
}

fn peer_of(text: &str) -> Option<LinkRef> {
    let (node, name) = text.split_once(':')?;
    let space = if node.is_empty() { Space::Host } else { Space::Node(node.parse().ok()?) };
    Some(LinkRef { space, name: name.parse().ok()? })
}

/// The interface that a port is named after.
pub(crate) fn place(options: &Options) -> Option<LinkRef> {
    let space = match options.get("node") {
        Some(node) => Space::Node(node.parse().ok()?),
        None => Space::Host,
    };
    Some(LinkRef { space, name: options.get("link")?.parse().ok()? })
}

/// The reverse of [`bridge_options`] and [`door_options`]; none for a port that no topology makes.
pub(super) fn port_of(
    directory: &Path,
    topology: &NodeName,
    switch: &str,
    options: &Options,
    open: bool,
) -> Option<SwitchPort> {
    let (_, network) = switch.split_once('.')?;
    let get = |name: &str| options.get(name).map(String::as_str);
    let number = |name: &str| get(name).and_then(|text| text.parse::<u32>().ok());
    let id = |text: &str| text.parse::<u64>().ok().and_then(|number| VlanId::try_from(number).ok());
    let own = get("vlan").or_else(|| get("native"));
    let tagged = |id| PortVlan { id, pvid: false, untagged: false };
    let vlans = (own.is_some() || get("trunk").is_some()).then(|| {
        let own = own.and_then(id).map(|id| PortVlan { id, pvid: true, untagged: true });
        let trunk = get("trunk").into_iter().flat_map(|trunk| trunk.split(',')).filter_map(id).map(tagged);
        own.into_iter().chain(trunk).collect()
    });
    let behind = match get("type")? {
        "tap" => Behind::Tap,
        "afpacket" => Behind::Interface,
        "patch" => Behind::Patch { peer: peer_of(get("to")?)? },
        "vhost-user" => {
            let mut socket = Socket {
                listens: get("mode") == Some("server"),
                path: None,
                queues: number("queues").unwrap_or(1),
                offloads: get("offloads") != Some("false"),
                user: number("user"),
                group: number("group"),
            };
            let (node, link) = (get("node")?.parse().ok()?, get("link")?.parse().ok()?);
            let usual = socket_path(directory, topology, &node, &link, &socket);
            socket.path = get("path").filter(|path| Path::new(path) != usual).map(Into::into);
            Behind::Socket(socket)
        }
        _ => return None,
    };
    let addresses = get("ip").into_iter().flat_map(|text| text.split(','));
    let pinned = get("mac").and_then(|mac| mac.parse().ok()).map(|mac| Pinned {
        mac,
        addresses: addresses
            .filter_map(|text| text.parse::<std::net::IpAddr>().ok())
            .map(Into::into)
            .collect(),
    });
    Some(SwitchPort {
        network: network.parse().ok()?,
        behind,
        isolated: get("isolated") == Some("true"),
        vlans,
        cost: number("cost"),
        edge: get("edge") == Some("true"),
        pinned,
        link: options
            .iter()
            .filter(|(name, _)| switch::link_option(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_compile::object::{Comparison, Spec, compare};
    use proptest::option;
    use proptest::prelude::*;

    fn vlan(id: u16, pvid: bool) -> PortVlan {
        PortVlan { id: VlanId::try_from(u64::from(id)).unwrap(), pvid, untagged: pvid }
    }

    fn behind() -> impl Strategy<Value = Behind> {
        let socket = (
            any::<bool>(),
            option::of(Just("/run/elsewhere/a.sock".into())),
            1..65_u32,
            any::<bool>(),
            option::of(0..9_u32),
            option::of(0..9_u32),
        );
        prop_oneof![
            Just(Behind::Tap),
            Just(Behind::Interface),
            prop_oneof![Just(Space::Host), Just(Space::Node("far".parse().unwrap()))]
                .prop_map(|space| Behind::Patch { peer: LinkRef { space, name: "to-b@x".parse().unwrap() } }),
            socket.prop_map(|(listens, path, queues, offloads, user, group)| {
                Behind::Socket(Socket { listens, path, queues, offloads, user, group })
            }),
        ]
    }

    fn ports() -> impl Strategy<Value = SwitchPort> {
        let vlans = option::of((option::of(1..9_u16), proptest::collection::btree_set(10..20_u16, 0..4)));
        let pinned = option::of((1..250_u8, proptest::collection::btree_set(1..250_u8, 0..3)));
        (behind(), any::<(bool, bool)>(), vlans, option::of(1..9_u32), pinned).prop_map(
            |(behind, (isolated, edge), vlans, cost, pinned)| SwitchPort {
                network: "net.x".parse().unwrap_or_else(|_| "net".parse().unwrap()),
                behind,
                isolated,
                vlans: vlans.map(|(own, others)| {
                    own.map(|id| vlan(id, true))
                        .into_iter()
                        .chain(others.into_iter().map(|id| vlan(id, false)))
                        .collect()
                }),
                cost,
                edge,
                pinned: pinned.map(|(last, hosts)| Pinned {
                    mac: netloom_wire::MacAddr::new([2, 0, 0, 0, 0, last]),
                    addresses: hosts
                        .into_iter()
                        .map(|host| std::net::IpAddr::from([10, 0, 0, host]).into())
                        .collect(),
                }),
                link: Options::new(),
                open: true,
            },
        )
    }

    fn switches() -> impl Strategy<Value = Switch> {
        let tree = (
            option::of((0..16_u16).prop_map(|n| n * 4096)),
            option::of(1..10_u32),
            option::of(6..40_u32),
            option::of(2..30_u32),
        );
        (
            option::of(tree),
            option::of(0..1_000_000_u64),
            any::<bool>(),
            proptest::collection::btree_set(0..9_u16, 0..3),
        )
            .prop_map(|(tree, ageing, snooping, querier)| Switch {
                running: true,
                tree: tree.map(|(priority, hello, max_age, forward_delay)| Tree {
                    priority,
                    hello,
                    max_age,
                    forward_delay,
                }),
                ageing,
                snooping,
                querier,
            })
    }

    fn set(options: Options) -> Options {
        options.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn a_port_is_read_as_it_was_written(port in ports(), long in any::<bool>()) {
            let directory = PathBuf::from(if long { format!("/run/{}/switch", "x".repeat(60)) } else { "/run/switch".to_owned() });
            let topology: NodeName = "top".parse().unwrap();
            let guest = "a-guest-with-a-name-of-forty-three-letters".parse().unwrap();
            let at = LinkRef { space: Space::Node(guest), name: "eth0".parse().unwrap() };
            let mut options = set(bridge_options(&port));
            options.extend(door_options(&directory, &topology, &at, &port, Some(Path::new("/run/netns/x"))));
            prop_assert_eq!(place(&options), Some(at));
            if let Some(path) = options.get("path") {
                prop_assert!(path.len() <= LONGEST);
            }
            let switch = format!("top.{}", port.network);
            let back = port_of(&directory, &topology, &switch, &options, true).unwrap();
            prop_assert_eq!(compare(&Spec::SwitchPort(back), &Spec::SwitchPort(port)), Comparison::Same);
        }

        #[test]
        fn a_switch_is_read_as_it_was_written(switch in switches()) {
            let back = switch_of(&set(switch_options(&switch)), true);
            prop_assert_eq!(&back, &switch);
        }
    }
}
