//! Random networks, and random edits of them.
//!
//! Every choice is drawn by name from a seed. An edit is a second seed together with a rate: a part of the
//! choices, each with that probability, is drawn from the second seed instead. So an edit may add or take
//! out a node, turn a veth into a macvlan, move an address, swap two MAC addresses, and so on.

use crate::kernel::{link_of, node};
use netloom_compile::object::firewall::{Chain, ChainKind, HookPoint, Policy};
use netloom_compile::object::shaper::{Ingress, Qdisc};
use netloom_compile::object::{
    BondMode, BondOptions, BridgeOptions, BridgePort, Desired, Family, FdbEntry, Firewall, IpvlanFlag,
    IpvlanMode, Key, Link, LinkKind, LinkRef, MacvlanMode, Neighbour, NextHop, Object, Origin, Owner,
    Process, Route, RouteAction, Rule, RuleAction, Shaper, Space, Spec, VlanProtocol, VxlanOptions,
    WireguardOptions,
};
use netloom_wire::MacAddr;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    pub seed: u64,
    /// Nodes at most.
    pub nodes: usize,
    /// The seed of the edit, and the percentage of choices that it changes.
    pub edit: Option<(u64, u64)>,
}

struct Maker {
    recipe: Recipe,
    desired: Desired,
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Makes the network of a recipe.
pub fn network(recipe: Recipe) -> Desired {
    let mut maker = Maker { recipe, desired: Desired::new("lab".parse().unwrap()) };
    maker.host();
    let nodes: Vec<usize> =
        (0..recipe.nodes).filter(|index| maker.chance(&format!("node {index}"), 90)).collect();
    for index in &nodes {
        maker.node(*index, nodes.contains(&(index + 1)));
    }
    maker.desired
}

impl Maker {
    fn draw(&self, name: &str, of: u64) -> u64 {
        let seed = match self.recipe.edit {
            Some((seed, rate)) if hash((seed, "changed", name)) % 100 < rate => seed,
            _ => self.recipe.seed,
        };
        hash((seed, name)) % of
    }

    fn chance(&self, name: &str, percent: u64) -> bool {
        self.draw(name, 100) < percent
    }

    fn maybe<T>(&self, name: &str, values: &[T]) -> Option<T>
    where
        T: Copy,
    {
        let index = self.draw(name, values.len() as u64 + 1) as usize;
        values.get(index).copied()
    }

    fn add(&mut self, key: Key, spec: Spec) {
        let line = self.desired.objects.len() as u32 + 1;
        let origin = Origin { file: "lab.yaml".into(), line, column: 1 };
        let part = format!("part {}", line % 3).into();
        let owner = Owner { topology: "lab".parse().unwrap(), part };
        let object = Object { key: key.clone(), spec, owner, origin, reason: "is described".into() };
        assert!(self.desired.objects.insert(key, object).is_none(), "two objects of one key");
    }

    fn link(&mut self, space: &Space, name: &str, link: Link) {
        self.add(link_of(space, name), Spec::Link(Box::new(link)));
    }

    fn address(&mut self, space: &Space, link: &str, address: &str) {
        let key = Key::Address {
            space: space.clone(),
            link: link.parse().unwrap(),
            address: address.parse().unwrap(),
        };
        self.add(key, Spec::Address);
    }

    fn sysctl(&mut self, space: &Space, path: &str, name: &str) {
        let value = match self.draw(name, 4) {
            0 => return,
            1 => "0",
            _ => "1",
        };
        let key = Key::Sysctl { space: space.clone(), path: path.into() };
        self.add(key, Spec::Sysctl { value: value.into() });
    }

    fn host(&mut self) {
        let host = Space::Host;
        self.sysctl(&host, "net/ipv4/ip_forward", "forward");
        self.sysctl(&host, "net/ipv4/conf/all/rp_filter", "filter");
        for name in ["br0", "br1"] {
            let options = BridgeOptions {
                stp: self.chance(&format!("{name} stp"), 30),
                priority: self.maybe(&format!("{name} priority"), &[4096, 8192]),
                ageing_time: self.maybe(&format!("{name} ageing"), &[0, 1000]),
                vlan_filtering: self.chance(&format!("{name} filtering"), 30),
                ..BridgeOptions::default()
            };
            let mut link = Link::new(LinkKind::Bridge(options));
            link.mtu = self.maybe(&format!("{name} mtu"), &[1500, 9000]);
            link.up = self.chance(&format!("{name} up"), 95);
            if self.chance(name, 90) {
                self.link(&host, name, link);
            }
        }
        let mut nic = Link::new(LinkKind::Existing);
        nic.mtu = self.maybe("nic0 mtu", &[9000, 1400]);
        if self.has(&host, "br1") && self.chance("nic0 port", 40) {
            nic.controller = Some("br1".parse().unwrap());
        }
        if self.chance("nic0 offload", 40) {
            nic.features.insert("tx".into(), false);
        }
        self.link(&host, "nic0", nic);
        if self.chance("nic1", 50) {
            self.link(&host, "nic1", Link::new(LinkKind::Existing));
            self.address(&host, "nic1", "10.255.0.1/24");
            self.sysctl(&host, "net/ipv4/conf/nic1/rp_filter", "nic1 filter");
        }
        if self.chance("host filter", 50) {
            let filter = self.filter("host filter", None);
            self.add(Key::Firewall { space: host }, filter);
        }
    }

    fn has(&self, space: &Space, name: &str) -> bool {
        self.desired.objects.contains_key(&link_of(space, name))
    }

    fn is_up(&self, space: &Space, name: &str) -> bool {
        let link = self.desired.objects.get(&link_of(space, name));
        link.is_some_and(|object| matches!(&object.spec, Spec::Link(link) if link.up))
    }

    fn filter(&self, name: &str, device: Option<&str>) -> Spec {
        let policy = if self.chance(&format!("{name} policy"), 50) { Policy::Drop } else { Policy::Accept };
        let mut chains = vec![Chain::base("input", HookPoint::Input, ChainKind::Filter, 0, policy)];
        if let Some(device) = device {
            let point = HookPoint::Ingress { device: device.parse().unwrap() };
            chains.push(Chain::base("early", point, ChainKind::Filter, 0, Policy::Accept));
        }
        Spec::Firewall(Box::new(Firewall { chains, ..Firewall::default() }))
    }

    fn node(&mut self, index: usize, has_next: bool) {
        let space = node(&format!("n{index}"));
        let named = |what: &str| format!("{index} {what}");
        self.add(Key::Namespace { space: space.clone() }, Spec::Namespace);
        self.sysctl(&space, "net/ipv4/ip_forward", &named("forward"));
        self.sysctl(&space, "net/ipv6/conf/all/forwarding", &named("forward6"));
        if self.chance(&named("lo"), 80) {
            self.link(&space, "lo", Link::new(LinkKind::Existing));
        }
        self.first_link(index, &space);
        if has_next && self.chance(&named("chain"), 70) {
            let (near, far) = (
                LinkRef { space: space.clone(), name: "east".parse().unwrap() },
                node(&format!("n{}", index + 1)),
            );
            let far = LinkRef { space: far, name: "west".parse().unwrap() };
            let mut link = Link::new(LinkKind::Veth { peer: far.clone() });
            link.mtu = self.maybe(&named("chain mtu"), &[1400, 1280, 1200]);
            self.link(&near.space, "east", link);
            self.link(&far.space, "west", Link::new(LinkKind::Veth { peer: near }));
        }
        self.more_links(index, &space);
        self.on_links(index, &space);
        self.routes(index, &space);
        if self.chance(&named("filter"), 50) {
            let device = if self.chance(&named("filter device"), 40) && self.has(&space, "d0") {
                Some("d0")
            } else {
                None
            };
            let filter = self.filter(&named("filter"), device);
            self.add(Key::Firewall { space: space.clone() }, filter);
        }
        if self.chance(&named("process"), 50) {
            let command = vec!["server".to_owned(), self.draw(&named("argument"), 2).to_string()];
            let process = Process { command, environment: BTreeMap::new(), directory: None };
            self.add(Key::Process { space, name: "server".into() }, Spec::Process(process));
        }
    }

    /// `eth0`: a veth to a bridge, or a macvlan or ipvlan on the host's card.
    fn first_link(&mut self, index: usize, space: &Space) {
        let named = |what: &str| format!("{index} {what}");
        let nic = LinkRef { space: Space::Host, name: "nic0".parse().unwrap() };
        let mut link = match self.draw(&named("eth0"), 6) {
            0 => Link::new(LinkKind::Macvlan { parent: nic, mode: MacvlanMode::Bridge, sources: [].into() }),
            1 => Link::new(LinkKind::Ipvlan { parent: nic, mode: IpvlanMode::L2, flag: IpvlanFlag::Bridge }),
            2 => return,
            _ => {
                let far = LinkRef { space: Space::Host, name: format!("v{index}").parse().unwrap() };
                let near = LinkRef { space: space.clone(), name: "eth0".parse().unwrap() };
                let mut port = Link::new(LinkKind::Veth { peer: near });
                let bridge = if self.chance(&named("bridge"), 50) { "br0" } else { "br1" };
                if self.has(&Space::Host, bridge) && self.chance(&named("port"), 80) {
                    port.controller = Some(bridge.parse().unwrap());
                    port.port = self.port(&named("port settings"));
                }
                let is_port = port.controller.is_some();
                self.link(&Space::Host, far.name.as_str(), port);
                if is_port && self.chance(&named("entry"), 30) {
                    let mac = MacAddr::new([2, 0, 0, 0, 1, index as u8]);
                    let link = far.name.clone();
                    let key = Key::FdbEntry { space: Space::Host, link, mac, vlan: None, remote: None };
                    self.add(key, Spec::FdbEntry(FdbEntry { permanent: true }));
                }
                Link::new(LinkKind::Veth { peer: far })
            }
        };
        // Two neighbours may swap their MAC addresses.
        let number = if self.chance(&format!("swap {}", index / 2), 50) { index ^ 1 } else { index };
        if self.chance(&named("mac"), 60) && !matches!(link.kind, LinkKind::Ipvlan { .. }) {
            link.mac = Some(MacAddr::new([2, 0, 0, 0, (number >> 8) as u8, number as u8]));
        }
        if matches!(link.kind, LinkKind::Veth { .. }) {
            link.mtu = self.maybe(&named("mtu"), &[9000, 1400]);
        }
        link.up = self.chance(&named("eth0 up"), 90);
        self.link(space, "eth0", link);
        self.sysctl(space, "net/ipv4/conf/eth0/rp_filter", &named("eth0 filter"));
    }

    fn port(&self, name: &str) -> Option<BridgePort> {
        if self.chance(name, 50) {
            return None;
        }
        Some(BridgePort {
            isolated: self.chance(&format!("{name} isolated"), 50),
            learning: self.maybe(&format!("{name} learning"), &[true, false]),
            cost: self.maybe(&format!("{name} cost"), &[10, 20]),
            ..BridgePort::default()
        })
    }

    fn more_links(&mut self, index: usize, space: &Space) {
        let named = |what: &str| format!("{index} {what}");
        for name in ["d0", "d1", "d2"] {
            let mut link = Link::new(LinkKind::Dummy);
            link.mtu = self.maybe(&named(&format!("{name} mtu")), &[9000, 2000]);
            link.up = self.chance(&named(&format!("{name} up")), 85);
            if self.chance(&named(name), 70) {
                self.link(space, name, link);
            }
        }
        if self.chance(&named("vrf"), 40) {
            self.link(space, "vrf0", Link::new(LinkKind::Vrf { table: 10 }));
        }
        if self.chance(&named("bond"), 40) {
            let mode = if self.chance(&named("bond mode"), 50) {
                BondMode::ActiveBackup
            } else {
                BondMode::BalanceRr
            };
            let miimon = self.maybe(&named("bond miimon"), &[100]);
            let options = BondOptions { mode, miimon, transmit_hash: None, lacp_fast: None, primary: None };
            self.link(space, "bond0", Link::new(LinkKind::Bond(options)));
        }
        for (port, controller) in [("d1", "bond0"), ("d2", "vrf0"), ("east", "vrf0")] {
            if self.has(space, controller)
                && self.chance(&named(&format!("{port} port")), 50)
                && let Some(object) = self.desired.objects.get_mut(&link_of(space, port))
                && let Spec::Link(link) = &mut object.spec
            {
                link.controller = Some(controller.parse().unwrap());
            }
        }
        let parent = if self.chance(&named("vlan parent"), 50) { "d0" } else { "east" };
        if self.is_up(space, parent) && self.chance(&named("vlan"), 50) {
            let id = (10 + self.draw(&named("vlan id"), 2)).try_into().unwrap();
            let kind =
                LinkKind::Vlan { parent: parent.parse().unwrap(), id, protocol: VlanProtocol::Customer };
            self.link(space, "vlan0", Link::new(kind));
        }
        if self.chance(&named("ifb"), 50) {
            self.link(space, "ifb0", Link::new(LinkKind::Ifb));
        }
        // Two VXLAN devices and two WireGuard devices that may swap what only one can have.
        for (number, name) in ["vx0", "vx1"].into_iter().enumerate() {
            let swapped = number as u64 ^ self.draw(&named("vxlan swap"), 2);
            let device = if self.has(space, "d0") { Some("d0".parse().unwrap()) } else { None };
            let device = device.filter(|_| self.chance(&named(&format!("{name} device")), 50));
            let (vni, port) = ((100 + swapped).try_into().unwrap(), 4789);
            let remote = Some("192.0.2.9".parse().unwrap());
            let options = VxlanOptions { vni, local: None, remote, device, port, learning: true, ttl: None };
            if self.chance(&named(name), 40) {
                self.link(space, name, Link::new(LinkKind::Vxlan(options)));
                if self.chance(&named(&format!("{name} entry")), 50) {
                    let (link, mac) = (name.parse().unwrap(), MacAddr::new([0; 6]));
                    let remote = Some("192.0.2.10".parse().unwrap());
                    let key = Key::FdbEntry { space: space.clone(), link, mac, vlan: None, remote };
                    self.add(key, Spec::FdbEntry(FdbEntry { permanent: true }));
                }
            }
        }
        for (number, name) in ["wg0", "wg1"].into_iter().enumerate() {
            let swapped = number as u16 ^ self.draw(&named("port swap"), 2) as u16;
            let options = WireguardOptions {
                private_key: [number as u8; 32],
                listen_port: Some(51820 + swapped),
                mark: self.maybe(&named(&format!("{name} mark")), &[7]),
                peers: Vec::new(),
            };
            if self.chance(&named(name), 40) {
                self.link(space, name, Link::new(LinkKind::Wireguard(options)));
            }
        }
    }

    fn on_links(&mut self, index: usize, space: &Space) {
        let named = |what: &str| format!("{index} {what}");
        // Addresses of one subnet, which may move to another link of the node.
        for host in 1..4 {
            let name = named(&format!("address {host}"));
            let link = ["eth0", "d0", "d2"][self.draw(&format!("{name} on"), 3) as usize];
            if self.has(space, link) && self.chance(&name, 70) {
                self.address(space, link, &format!("10.{}.{}.{host}/24", index / 250, index % 250));
            }
        }
        for link in ["east", "west", "vlan0"] {
            if self.has(space, link) && self.chance(&named(&format!("{link} address")), 80) {
                let number = if link == "west" { index.wrapping_sub(1) } else { index };
                let (third, last) = (number % 250, if link == "west" { 2 } else { 1 });
                let second = 100 + number / 250 + if link == "vlan0" { 50 } else { 0 };
                self.address(space, link, &format!("10.{second}.{third}.{last}/24"));
            }
        }
        for link in ["eth0", "d0", "d2"] {
            let wide = match self.desired.objects.get(&link_of(space, link)).map(|object| &object.spec) {
                Some(Spec::Link(link)) => link.mtu.is_none_or(|mtu| mtu >= 1280),
                _ => false,
            };
            if wide && self.chance(&named(&format!("{link} address6")), 50) {
                let part = link.bytes().map(u32::from).sum::<u32>();
                self.address(space, link, &format!("fd00:{index:x}:{part:x}::1/64"));
            }
            if self.is_up(space, link) && self.chance(&named(&format!("{link} neighbour")), 40) {
                let mac = MacAddr::new([
                    2,
                    9,
                    9,
                    9,
                    9,
                    self.draw(&named(&format!("{link} neighbour mac")), 2) as u8,
                ]);
                let (link, address) = (link.parse().unwrap(), "10.9.9.9".parse().unwrap());
                self.add(
                    Key::Neighbour { space: space.clone(), link, address },
                    Spec::Neighbour(Neighbour { mac }),
                );
            }
            if self.has(space, link) && self.chance(&named(&format!("{link} shaper")), 40) {
                let limit = Some(100 + self.draw(&named(&format!("{link} limit")), 2) as u32);
                let mut shaper = Shaper::egress(Qdisc::Pfifo { limit });
                if self.has(space, "ifb0") && self.chance(&named(&format!("{link} redirect")), 60) {
                    shaper.ingress = Some(Ingress::Redirect { device: "ifb0".parse().unwrap() });
                }
                let key = Key::Shaper { space: space.clone(), link: link.parse().unwrap() };
                self.add(key, Spec::Shaper(Box::new(shaper)));
            }
        }
    }

    /// Addresses of a family on links of a node that are up.
    fn reachable(&self, space: &Space, v4: bool) -> Vec<(String, ipnet::IpNet)> {
        let on = |key: &Key| match key {
            Key::Address { space: at, link, address } if at == space && address.addr().is_ipv4() == v4 => {
                self.is_up(space, link.as_str()).then(|| (link.to_string(), *address))
            }
            _ => None,
        };
        self.desired.objects.keys().filter_map(on).collect()
    }

    fn route(
        &mut self,
        space: &Space,
        table: u32,
        destination: &str,
        action: RouteAction,
        source: Option<std::net::IpAddr>,
    ) {
        let destination = destination.parse().unwrap();
        let key = Key::Route { space: space.clone(), table, destination, metric: 0 };
        let mtu = self.maybe(&format!("mtu {key}"), &[1300]);
        self.add(key, Spec::Route(Route { action, source, mtu }));
    }

    fn routes(&mut self, index: usize, space: &Space) {
        let named = |what: &str| format!("{index} {what}");
        let four = self.reachable(space, true);
        let gateway = |net: &ipnet::IpNet| match net {
            ipnet::IpNet::V4(net) => {
                std::net::IpAddr::from(std::net::Ipv4Addr::from(u32::from(net.network()) + 254))
            }
            ipnet::IpNet::V6(net) => {
                std::net::IpAddr::from(std::net::Ipv6Addr::from(u128::from(net.network()) + 254))
            }
        };
        let hop = |link: &str, gateway| NextHop { gateway, device: Some(link.parse().unwrap()), weight: 1 };
        if !four.is_empty() && self.chance(&named("default"), 80) {
            let (link, net) = &four[self.draw(&named("default by"), four.len() as u64) as usize];
            let action = RouteAction::Forward { hops: vec![hop(link, Some(gateway(net)))] };
            let source = four[self.draw(&named("default source"), four.len() as u64) as usize].1.addr();
            let source = Some(source).filter(|_| self.chance(&named("default sourced"), 40));
            self.route(space, 254, "0.0.0.0/0", action, source);
        }
        if four.len() >= 2 && four[0].0 != four[four.len() - 1].0 && self.chance(&named("several"), 60) {
            let mut hops: Vec<NextHop> = [&four[0], &four[four.len() - 1]]
                .into_iter()
                .map(|(link, net)| hop(link, Some(gateway(net))))
                .collect();
            hops.sort();
            self.route(space, 254, "172.30.0.0/16", RouteAction::Forward { hops }, None);
        }
        if self.is_up(space, "eth0") && self.chance(&named("on link"), 50) {
            let direct = RouteAction::Forward { hops: vec![hop("eth0", None)] };
            self.route(space, 254, "192.168.7.0/24", direct, None);
            if self.chance(&named("behind"), 60) {
                let behind =
                    RouteAction::Forward { hops: vec![hop("eth0", Some("192.168.7.1".parse().unwrap()))] };
                self.route(space, 254, "10.77.0.0/16", behind, None);
            }
        }
        let six = self.reachable(space, false);
        if six.len() >= 2 && self.chance(&named("several6"), 60) {
            let mut hops: Vec<NextHop> =
                [&six[0], &six[1]].into_iter().map(|(link, net)| hop(link, Some(gateway(net)))).collect();
            hops.sort();
            self.route(space, 254, "fd77::/16", RouteAction::Forward { hops }, None);
        }
        if self.has(space, "vrf0") && self.chance(&named("vrf route"), 60) {
            let action = if self.chance(&named("vrf action"), 50) {
                RouteAction::Blackhole
            } else {
                RouteAction::Unreachable
            };
            self.route(space, 10, "172.31.0.0/16", action, None);
        }
        if self.chance(&named("rule"), 50) {
            let action = RuleAction::Lookup(10 + self.draw(&named("rule table"), 2) as u32);
            let rule = Rule {
                from: None,
                to: Some("172.31.0.0/16".parse().unwrap()),
                input: None,
                output: None,
                mark: None,
                action,
            };
            self.add(Key::Rule { space: space.clone(), priority: 100, family: Family::V4 }, Spec::Rule(rule));
        }
    }
}
