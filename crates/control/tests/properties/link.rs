//! Interfaces of the simulated kernel: what they need, what they have by default, what they take along.

use super::kernel::{Refusal, State, hangs_on, link_of};
use netloom_compile::object::{BridgePort, Key, Link, LinkKind, PortVlan, Route, RouteAction, Space, Spec};
use netloom_wire::{InterfaceName, MacAddr};
use std::collections::BTreeSet;

impl State {
    fn local(&self, key: &Key, name: &InterfaceName) -> Option<&Link> {
        self.link(&link_of(key.space(), name.as_str()))
    }

    /// The link that another one rides on.
    fn parent(&self, key: &Key, kind: &LinkKind) -> Result<Option<&Link>, String> {
        let found = match kind {
            LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => {
                self.link(&Key::link(parent))
            }
            LinkKind::Vlan { parent, .. } => self.local(key, parent),
            LinkKind::Vxlan(options) if options.device.is_some() => {
                options.device.as_ref().and_then(|device| self.local(key, device))
            }
            _ => return Ok(None),
        };
        found.map(Some).ok_or_else(|| "No such parent device".into())
    }

    /// Whether something that only one link may have is taken by another.
    fn is_taken(&self, key: &Key, link: &Link) -> bool {
        self.objects.iter().filter(|(other, _)| *other != key).any(|(other, entry)| {
            let Spec::Link(seen) = &entry.spec else { return false };
            let near = other.space() == key.space();
            match (&link.kind, &seen.kind) {
                (LinkKind::Macvlan { parent: a, .. }, LinkKind::Macvlan { parent: b, .. }) => {
                    a == b && link.mac.is_some() && link.mac == seen.mac
                }
                (LinkKind::Vlan { parent: a, id: x, .. }, LinkKind::Vlan { parent: b, id: y, .. }) => {
                    near && a == b && x == y
                }
                (LinkKind::Vxlan(a), LinkKind::Vxlan(b)) => near && a.vni == b.vni && a.port == b.port,
                (LinkKind::Wireguard(a), LinkKind::Wireguard(b)) => {
                    near && a.listen_port.is_some() && a.listen_port == b.listen_port
                }
                (LinkKind::Vrf { table: a }, LinkKind::Vrf { table: b }) => near && a == b,
                _ => false,
            }
        })
    }

    fn check_controller(&self, key: &Key, controller: &InterfaceName) -> Refusal {
        match self.local(key, controller).map(|link| &link.kind) {
            None => Err(format!("No such controller {controller}")),
            Some(LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Vrf { .. }) => Ok(()),
            Some(_) => Err("Invalid controller".into()),
        }
    }

    pub fn create_link(&mut self, key: &Key, link: &Link) -> Refusal {
        if let LinkKind::Veth { peer } = &link.kind {
            if !self.has_space(&peer.space) {
                return Err("no namespace for the peer".into());
            }
            if self.objects.contains_key(&Key::link(peer)) {
                return Err("the peer exists".into());
            }
        }
        let filled = self.settled(key, link, None)?;
        self.insert(key, Spec::Link(Box::new(filled)));
        self.add_link_sysctls(key);
        if let (LinkKind::Veth { peer }, Key::Link { space, name }) = (&link.kind, key) {
            let here = netloom_compile::object::LinkRef { space: space.clone(), name: name.clone() };
            let mut other = Link::new(LinkKind::Veth { peer: here });
            other.up = false;
            let (at, other) = (Key::link(peer), self.settled(&Key::link(peer), &other, None)?);
            self.insert(&at, Spec::Link(Box::new(other)));
            self.add_link_sysctls(&at);
            if let Some(entry) = self.objects.get_mut(&at) {
                entry.marked = false;
            }
        }
        Ok(())
    }

    /// The second end of a pair gets its attributes and its mark.
    pub fn second_end(&mut self, key: &Key, spec: &Spec) -> Refusal {
        let (Spec::Link(link), Some(seen)) = (spec, self.link(key)) else { return Err("not a link".into()) };
        if seen.kind != link.kind {
            return Err("File exists".into());
        }
        let fresh = self.settled(key, link, None)?;
        self.set(key, &Spec::Link(Box::new(fresh)));
        if let Some(entry) = self.objects.get_mut(key) {
            entry.marked = true;
        }
        Ok(())
    }

    /// A link as it will be found: what is asked for, else what it was, else the kernel's default.
    fn settled(&mut self, key: &Key, link: &Link, was: Option<&Link>) -> Result<Link, String> {
        if let Some(controller) = &link.controller {
            self.check_controller(key, controller)?;
        }
        let mut settled = link.clone();
        if let Some(was) = was {
            settled.kind = merged(&was.kind, &link.kind);
        } else {
            settled.kind = merged(&link.kind, &link.kind);
        }
        let parent = self.parent(key, &settled.kind)?;
        if settled.up && matches!(settled.kind, LinkKind::Vlan { .. }) && !parent.is_some_and(|link| link.up)
        {
            return Err("Network is down: the parent of a VLAN".into());
        }
        let above = parent.and_then(|link| link.mtu);
        let default = match &settled.kind {
            LinkKind::Macvlan { .. } | LinkKind::Vlan { .. } | LinkKind::Ipvlan { .. } => {
                above.unwrap_or(1500)
            }
            LinkKind::Wireguard(_) => 1420,
            LinkKind::Vxlan(_) => 1450,
            LinkKind::Gre(_) => 1476,
            LinkKind::Vrf { .. } => 65575,
            _ => 1500,
        };
        settled.mtu = settled.mtu.or(was.and_then(|was| was.mtu)).or(Some(default));
        if matches!(settled.kind, LinkKind::Vlan { .. }) && settled.mtu > above {
            return Err("MTU above the parent's".into());
        }
        self.number += 1;
        let number = self.number.to_be_bytes();
        let automatic = MacAddr::new([2, 0xfe, number[4], number[5], number[6], number[7]]);
        settled.mac = settled.mac.or(was.and_then(|was| was.mac)).or(Some(automatic));
        if self.is_taken(key, &settled) {
            return Err("Address already in use".into());
        }
        let in_bridge = |name: &InterfaceName| {
            matches!(self.local(key, name).map(|link| &link.kind), Some(LinkKind::Bridge(_)))
        };
        settled.port = match &settled.controller {
            Some(controller) if in_bridge(controller) => {
                let stays = was.filter(|was| was.controller == link.controller);
                Some(port(link.port.as_ref(), stays.and_then(|was| was.port.as_ref())))
            }
            _ => None,
        };
        let mut features = was.map_or_else(|| [("tx".into(), true)].into(), |was| was.features.clone());
        features.extend(link.features.clone());
        settled.features = features;
        settled.channels = settled.channels.or(was.and_then(|was| was.channels)).or(Some(1));
        Ok(settled)
    }

    pub fn change_link(&mut self, key: &Key, from: &Link, to: &Link) -> Refusal {
        let was = self.link(key).ok_or("No such device")?.clone();
        if was.controller != from.controller {
            return Err(format!("expected controller {:?}, found {:?}", from.controller, was.controller));
        }
        if !matches!(to.kind, LinkKind::Existing)
            && std::mem::discriminant(&to.kind) != std::mem::discriminant(&was.kind)
        {
            return Err("the kind of a link can not change".into());
        }
        let cycles = |state: &Self, name: &Option<InterfaceName>| {
            let controller = name.as_ref().and_then(|name| state.local(key, name));
            controller.is_some_and(|link| !matches!(link.kind, LinkKind::Bridge(_)))
        };
        let moved = was.controller != to.controller;
        let cycled = moved && (cycles(self, &was.controller) || cycles(self, &to.controller));
        let settled = self.settled(key, to, Some(&was))?;
        self.set(key, &Spec::Link(Box::new(settled.clone())));
        if moved {
            self.leave(key);
        }
        if cycled || (was.up && !settled.up) {
            self.down(key, settled.up);
        }
        if was.mac != settled.mac {
            self.drop_on(key, |on| matches!(on, Key::Neighbour { .. }));
        }
        if settled.mtu < Some(1280) {
            self.drop_on(key, is_ipv6_address);
            self.drop_routes(key, |destination| destination.addr().is_ipv6());
        }
        // A VLAN can not be larger than its parent.
        let vlans: Vec<Key> = self.children(key, true);
        for vlan in vlans {
            if let Some(entry) = self.objects.get_mut(&vlan)
                && let Spec::Link(link) = &mut entry.spec
            {
                link.mtu = link.mtu.min(settled.mtu);
            }
        }
        Ok(())
    }

    fn children(&self, key: &Key, vlans: bool) -> Vec<Key> {
        let child = |other: &Key, spec: &Spec| {
            let vlan = matches!(spec, Spec::Link(link) if matches!(link.kind, LinkKind::Vlan { .. }));
            hangs_on(other, spec, key) && (!vlans || vlan)
        };
        let all = self.objects.iter().filter(|(other, entry)| child(other, &entry.spec));
        all.map(|(other, _)| other.clone()).collect()
    }

    /// The bridge forgets what it knew of a port.
    fn leave(&mut self, key: &Key) {
        self.drop_on(key, |on| matches!(on, Key::FdbEntry { remote: None, .. }));
    }

    /// A link goes down, and perhaps up again.
    fn down(&mut self, key: &Key, up_again: bool) {
        self.drop_routes(key, |_| true);
        self.drop_on(key, |on| matches!(on, Key::Neighbour { .. }));
        if !self.quirks.keep_ipv6 {
            self.drop_on(key, is_ipv6_address);
        }
        for vlan in self.children(key, true) {
            if self.link(&vlan).is_some_and(|link| link.up) {
                if !up_again
                    && let Some(entry) = self.objects.get_mut(&vlan)
                    && let Spec::Link(link) = &mut entry.spec
                {
                    link.up = false;
                }
                self.down(&vlan, up_again);
            }
        }
    }

    fn drop_on(&mut self, at: &Key, which: impl Fn(&Key) -> bool) {
        self.objects.retain(|key, _| {
            let on = match key {
                Key::Address { space, link, .. }
                | Key::Neighbour { space, link, .. }
                | Key::FdbEntry { space, link, .. }
                | Key::Shaper { space, link } => link_of(space, link.as_str()) == *at,
                _ => false,
            };
            !on || !which(key)
        });
    }

    /// Routes through a link go.
    fn drop_routes(&mut self, at: &Key, which: impl Fn(&ipnet::IpNet) -> bool) {
        let Key::Link { space: here, name } = at else { return };
        self.objects.retain(|key, entry| {
            let (Key::Route { space, destination, .. }, Spec::Route(Route { action, .. })) =
                (key, &entry.spec)
            else {
                return true;
            };
            let RouteAction::Forward { hops } = action else { return true };
            !(space == here && which(destination) && hops.iter().any(|hop| hop.device.as_ref() == Some(name)))
        });
    }

    pub fn delete_address(&mut self, key: &Key) {
        let Some(entry) = self.objects.remove(key) else { return };
        let Key::Address { space, link, address } = key else { return };
        let mut gone = vec![key.clone()];
        let on_link: Vec<(Key, u64)> = self
            .objects
            .iter()
            .filter(|(other, _)| matches!(other, Key::Address { space: s, link: l, .. } if s == space && l == link))
            .map(|(other, entry)| (other.clone(), entry.number))
            .collect();
        let subnet =
            |other: &Key| matches!(other, Key::Address { address: a, .. } if a.trunc() == address.trunc());
        let primary = !on_link.iter().any(|(other, number)| subnet(other) && *number < entry.number);
        if address.addr().is_ipv4() && primary && !self.quirks.promote_secondaries {
            for (other, _) in on_link.iter().filter(|(other, _)| subnet(other)) {
                self.objects.remove(other);
                gone.push(other.clone());
            }
        }
        let at = link_of(space, link.as_str());
        let left = on_link.iter().any(|(other, _)| {
            !gone.contains(other) && matches!(other, Key::Address { address, .. } if address.addr().is_ipv4())
        });
        if address.addr().is_ipv4() && !left {
            self.drop_routes(&at, |destination| destination.addr().is_ipv4());
        }
        for key in &gone {
            let Key::Address { address, .. } = key else { continue };
            self.objects.retain(|key, entry| {
                let Spec::Route(route) = &entry.spec else { return true };
                !(key.space() == space && route.source == Some(address.addr()))
            });
        }
    }

    pub fn delete_link(&mut self, key: &Key) -> Refusal {
        let Some(link) = self.link(key).cloned() else { return Ok(()) };
        let Key::Link { space, name } = key else { return Ok(()) };
        let redirected = self.objects.iter().find(|(other, entry)| {
            other.space() == space
                && matches!(&entry.spec, Spec::Shaper(shaper) if shaper.devices().any(|device| device == name))
                && !matches!(other, Key::Shaper { link, .. } if link == name)
        });
        if let Some((shaper, _)) = redirected {
            return Err(format!("the shaper of {shaper} still sends packets to it"));
        }
        self.objects.remove(key);
        self.drop_link_sysctls(key);
        self.drop_on(key, |_| true);
        self.drop_hops(space, name);
        // Chains on a device go with it.
        let filter = Key::Firewall { space: space.clone() };
        if let Some(entry) = self.objects.get_mut(&filter)
            && let Spec::Firewall(firewall) = &mut entry.spec
        {
            firewall.chains.retain(|chain| {
                chain.hook.as_ref().and_then(|hook| hook.point.device()).is_none_or(|device| device != name)
            });
        }
        if matches!(link.kind, LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Vrf { .. }) {
            self.release_ports(space, name, !matches!(link.kind, LinkKind::Bridge(_)));
        }
        for child in self.children(key, false) {
            self.delete_link(&child)?;
        }
        Ok(())
    }

    /// Ports outlive their controller.
    fn release_ports(&mut self, space: &Space, name: &InterfaceName, cycles: bool) {
        let ports: Vec<Key> = self
            .objects
            .iter()
            .filter(|(key, entry)| {
                key.space() == space
                    && matches!(&entry.spec, Spec::Link(link) if link.controller.as_ref() == Some(name))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for port in ports {
            self.leave(&port);
            let mut up = false;
            if let Some(entry) = self.objects.get_mut(&port)
                && let Spec::Link(link) = &mut entry.spec
            {
                link.controller = None;
                link.port = None;
                up = link.up;
            }
            if cycles {
                self.down(&port, up);
            }
        }
    }

    /// A route through a removed interface goes, or loses that next hop.
    fn drop_hops(&mut self, here: &Space, name: &InterfaceName) {
        let partial = self.quirks.partial_routes;
        self.objects.retain(|key, entry| {
            let Key::Route { space, destination, .. } = key else { return true };
            let Spec::Route(Route { action: RouteAction::Forward { hops }, .. }) = &mut entry.spec else {
                return true;
            };
            if space != here || !hops.iter().any(|hop| hop.device.as_ref() == Some(name)) {
                return true;
            }
            if !(partial && destination.addr().is_ipv6()) {
                return false;
            }
            hops.retain(|hop| hop.device.as_ref() != Some(name));
            !hops.is_empty()
        });
    }
}

fn is_ipv6_address(key: &Key) -> bool {
    matches!(key, Key::Address { address, .. } if address.addr().is_ipv6())
}

/// What is asked for, over what was; attributes left open by both have the kernel's defaults.
fn merged(was: &LinkKind, to: &LinkKind) -> LinkKind {
    match (was, to) {
        (was, LinkKind::Existing) => was.clone(),
        (LinkKind::Bridge(was), LinkKind::Bridge(to)) => {
            let mut to = to.clone();
            to.priority = to.priority.or(was.priority).or(Some(32768));
            to.forward_delay = to.forward_delay.or(was.forward_delay).or(Some(1500));
            to.hello_time = to.hello_time.or(was.hello_time).or(Some(200));
            to.max_age = to.max_age.or(was.max_age).or(Some(2000));
            to.ageing_time = to.ageing_time.or(was.ageing_time).or(Some(30000));
            to.default_pvid = to.default_pvid.or(was.default_pvid).or(Some(1));
            to.multicast_snooping = to.multicast_snooping.or(was.multicast_snooping).or(Some(true));
            to.multicast_querier = to.multicast_querier.or(was.multicast_querier).or(Some(false));
            LinkKind::Bridge(to)
        }
        (LinkKind::Wireguard(was), LinkKind::Wireguard(to)) => {
            let mut to = to.clone();
            to.listen_port = to.listen_port.or(was.listen_port).or(Some(0));
            to.mark = to.mark.or(was.mark).or(Some(0));
            LinkKind::Wireguard(to)
        }
        (LinkKind::Bond(was), LinkKind::Bond(to)) => {
            let mut to = to.clone();
            to.miimon = to.miimon.or(was.miimon).or(Some(0));
            to.lacp_fast = to.lacp_fast.or(was.lacp_fast).or(Some(false));
            LinkKind::Bond(to)
        }
        (_, to) => to.clone(),
    }
}

fn port(to: Option<&BridgePort>, was: Option<&BridgePort>) -> BridgePort {
    let Some(to) = to else {
        return was.cloned().unwrap_or_else(|| port(Some(&BridgePort::default()), None));
    };
    let mut to = to.clone();
    to.learning = to.learning.or(was.and_then(|was| was.learning)).or(Some(true));
    to.flood = to.flood.or(was.and_then(|was| was.flood)).or(Some(true));
    to.cost = to.cost.or(was.and_then(|was| was.cost)).or(Some(2));
    to.priority = to.priority.or(was.and_then(|was| was.priority)).or(Some(32));
    if to.vlans.is_empty() {
        let usual = PortVlan { id: 1u64.try_into().unwrap(), pvid: true, untagged: true };
        to.vlans = was.map_or_else(|| BTreeSet::from([usual]), |was| was.vlans.clone());
    }
    to
}
