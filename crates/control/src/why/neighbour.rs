//! The next hop: who has its address, and whether frames get there and back.

use super::change::Edit;
use super::filter::{self, At};
use super::link::{Content, Frame, Path, Spot};
use super::packet::Packet;
use super::report::{Reason, Step};
use super::routing;
use super::walk::{Loss, Walker, Way};
use netloom_compile::object::firewall::{HookPoint, Protocol};
use netloom_compile::object::{Key, LinkKind, LinkRef, Space};
use netloom_kernel::picture::InterfacePicture;
use netloom_wire::MacAddr;
use std::net::IpAddr;

impl Walker<'_> {
    /// Takes a packet from an interface to that of the next hop.
    pub(super) fn hop(
        &mut self,
        way: &mut Way,
        at: &LinkRef,
        interface: &InterfacePicture,
        next: IpAddr,
    ) -> Result<LinkRef, Box<Loss>> {
        let own = interface.link.mac.unwrap_or(MacAddr::new([0; 6]));
        let from = Spot::outwards(at.clone());
        if is_point_to_point(&interface.link.kind) {
            let frame = Frame { source: own, destination: None, content: Content::Ip(way.packet.clone()) };
            return match self.cross(&from, &frame, &|to, _| to != at) {
                Some(path) => self.follow(way, path),
                None => Err(way.lost(Reason::NoPath, format!("{at} leads to nobody who would take it"))),
            };
        }
        let known = self.scene.space(&at.space).and_then(|space| {
            space.neighbours.iter().find(|known| known.interface == at.name && known.address == next)
        });
        let fixed = known.filter(|known| known.permanent).and_then(|known| known.mac);
        let (mac, found) = match fixed {
            Some(mac) => {
                let key = Key::Neighbour { space: at.space.clone(), link: at.name.clone(), address: next };
                let step = Step::new(&at.space, "neighbour", format!("{next} is fixed to be at {mac}"))
                    .object(format!("neighbour {at} {next}"))
                    .from(self.wishes.origin(&key));
                way.steps.push(step);
                (mac, None)
            }
            None => self.ask(way, at, own, next).map(|(mac, found)| (mac, Some(found)))?,
        };
        let frame = Frame { source: own, destination: Some(mac), content: Content::Ip(way.packet.clone()) };
        // Who answered is who gets it. Interfaces that ride on one another may share a hardware address.
        let goal = |to: &LinkRef, i: &InterfacePicture| match &found {
            Some(found) => to == found,
            None => to != at && i.link.mac == Some(mac),
        };
        let own_address = |to: &LinkRef, i: &InterfacePicture| {
            goal(to, i) && i.addresses.iter().any(|own| own.addr() == next)
        };
        let mut path = self.cross(&from, &frame, &own_address);
        if path.is_none() {
            path = self.cross(&from, &frame, &goal);
        }
        match path {
            Some(path) => self.follow(way, path),
            None if fixed.is_some() => {
                let mut loss = way.lost(
                    Reason::NoNeighbour,
                    format!(
                        "nobody that {at} reaches has the hardware address {mac}, which is fixed for {next}"
                    ),
                );
                loss.edits = vec![Edit::ForgetNeighbour { at: at.clone(), address: next }];
                let key = Key::Neighbour { space: at.space.clone(), link: at.name.clone(), address: next };
                loss.origin = self.wishes.origin(&key);
                Err(loss)
            }
            None => Err(way.lost(Reason::NoPath, format!("there is no way from {at} to {mac}"))),
        }
    }

    /// Notes the way of a packet over links, if nothing stands in it.
    fn follow(&self, way: &mut Way, path: Path) -> Result<LinkRef, Box<Loss>> {
        if path.blocks.is_empty() {
            way.steps.extend(path.steps);
            return Ok(path.arrived);
        }
        let mut blocks = path.blocks;
        let mut loss = way.blocked(blocks.remove(0));
        // What is needed beside the first follows when the walk is walked again.
        loss.edits.truncate(12);
        Err(loss)
    }

    /// Asks who has an address, by ARP or neighbour discovery: the question goes to all, the answer comes back.
    fn ask(
        &mut self,
        way: &mut Way,
        at: &LinkRef,
        own: MacAddr,
        next: IpAddr,
    ) -> Result<(MacAddr, LinkRef), Box<Loss>> {
        let how = if next.is_ipv4() { "ARP" } else { "neighbour discovery" };
        let packet = way.packet.clone();
        let question = Frame {
            source: own,
            destination: None,
            content: Content::Arp { asked: next, packet: packet.clone() },
        };
        let from = Spot::outwards(at.clone());
        let owners: Vec<Space> = self.scene.owners(next).map(|(space, _)| space.clone()).collect();
        let answers = |to: &LinkRef, interface: &InterfacePicture| {
            if to == at || !owners.contains(&to.space) {
                return false;
            }
            // Linux answers for every address of the namespace by every interface, IPv6 only for the interface's own.
            next.is_ipv4() || interface.addresses.iter().any(|own| own.addr() == next)
        };
        let Some(path) = self.cross(&from, &question, &answers) else {
            return Err(self.nobody(way, at, next, how, &owners));
        };
        let arrived = path.arrived.clone();
        let Some(far) = self.scene.interface(&arrived).cloned() else {
            return Err(way.lost(Reason::NoNeighbour, format!("nobody answers for {next}")));
        };
        if let Some(block) = path.blocks.first() {
            let mut loss = way.blocked(block.clone());
            loss.told = Some("host unreachable".to_owned());
            return Err(loss);
        }
        self.discovery(way, at, &arrived, next)?;
        let mac = far.link.mac.unwrap_or(MacAddr::new([0; 6]));
        if next.is_ipv4() {
            self.would_answer(way, &arrived, &far, next)?;
        }
        let answer =
            Frame { source: mac, destination: Some(own), content: Content::Arp { asked: next, packet } };
        let back = self.cross(&Spot::outwards(arrived.clone()), &answer, &|to, _| to == at);
        match back {
            Some(back) if back.blocks.is_empty() => {}
            Some(mut back) => {
                let mut block = back.blocks.remove(0);
                block.sentence =
                    format!("the answer to {how} does not come back from {arrived}: {}", block.sentence);
                return Err(way.blocked(block));
            }
            None => {
                let sentence = format!("the answer to {how} does not come back from {arrived}");
                return Err(way.lost(Reason::NoPath, sentence));
            }
        }
        let text = format!("{how} finds {next} at {arrived}");
        let key = Key::Address {
            space: arrived.space.clone(),
            link: arrived.name.clone(),
            address: own_net(&far, next),
        };
        let step = Step::new(&at.space, "neighbour", text)
            .object(format!("address {key}"))
            .from(self.wishes.origin(&key))
            .comparing(vec![format!("{mac} answers")])
            .quiet(true);
        way.steps.push(step);
        Ok((mac, arrived))
    }

    fn nobody(&self, way: &Way, at: &LinkRef, next: IpAddr, how: &str, owners: &[Space]) -> Box<Loss> {
        let mut loss = if owners.is_empty() {
            way.lost(Reason::NoNeighbour, format!("nobody has {next}: {how} at {at} gets no answer"))
        } else if owners.contains(&at.space) {
            way.lost(Reason::NoNeighbour, format!("{next} is an address of {} itself", at.space))
        } else {
            let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
            way.lost(
                Reason::NoPath,
                format!("{next} is at {}, to which no link leads from {at}", names.join(", ")),
            )
        };
        loss.told = Some("host unreachable".to_owned());
        loss.edits = super::wanted::missing_address(self.scene, &self.wishes, next);
        loss.edits.extend(super::wanted::missing_ports(self.scene, &self.wishes));
        if let Some(first) = loss.edits.first().filter(|edit| edit.restores(&self.wishes)) {
            loss.origin = first.words(&self.wishes).2;
        }
        loss
    }

    /// Neighbour discovery passes the packet filters of both sides (ARP does not).
    fn discovery(&mut self, way: &Way, at: &LinkRef, far: &LinkRef, next: IpAddr) -> Result<(), Box<Loss>> {
        if next.is_ipv4() {
            return Ok(());
        }
        let mut question = Packet::opening(Protocol::ICMPV6, way.packet.source, next);
        question.icmp = Some((135, 0));
        let mut answer = Packet::opening(Protocol::ICMPV6, next, way.packet.source);
        answer.icmp = Some((136, 0));
        let stations = [
            (at, HookPoint::Output, &question),
            (far, HookPoint::Input, &question),
            (far, HookPoint::Output, &answer),
            (at, HookPoint::Input, &answer),
        ];
        for (place, point, packet) in stations {
            let Some(space) = self.scene.space(&place.space) else { continue };
            let name = Some(&place.name);
            let (input, output) = if point == HookPoint::Input { (name, None) } else { (None, name) };
            let mut packet = packet.clone();
            let outcome = filter::judge(&At { space, point: &point, input, output }, &mut packet);
            if let Some((decided, _)) = outcome.stopped {
                let sentence = format!(
                    "the packet filter of {} drops neighbour discovery for {next}: {}",
                    place.space,
                    super::hooks::rule_words(&decided)
                );
                let mut loss = way.lost(Reason::Filtered, sentence);
                loss.space = place.space.clone();
                loss.origin = decided.origin.clone();
                loss.edits = vec![Edit::Accept {
                    space: place.space.clone(),
                    place: decided.place,
                    rule: filter::allowing(&packet),
                }];
                return Err(loss);
            }
        }
        Ok(())
    }

    /// A Linux host answers ARP only where it could have been asked (`arp_process`: the sender must be possible there).
    fn would_answer(
        &self,
        way: &Way,
        at: &LinkRef,
        far: &InterfacePicture,
        next: IpAddr,
    ) -> Result<(), Box<Loss>> {
        let Some(space) = self.scene.space(&at.space) else { return Ok(()) };
        let sender = way.packet.source;
        // Of a packet that is forwarded the router asks with an address of its own.
        if !self.scene.space(&way.space).is_some_and(|from| routing::is_own(from, sender)) {
            return Ok(());
        }
        if routing::is_own(space, sender) {
            let sentence = format!("{} has {sender} too, and answers no ARP for {next} from it", at.space);
            return Err(way.lost(Reason::Martian, sentence));
        }
        if far.reverse_path == 1 {
            let query = routing::Query {
                destination: sender,
                source: None,
                mark: 0,
                input: None,
                bound: Some(&at.name),
            };
            let by = match routing::look_up(space, &query).found {
                routing::Found::Route(route) => match &route.action {
                    netloom_kernel::picture::RouteDoes::Forward(hops) => {
                        routing::living(space, hops).iter().any(|hop| hop.device.as_ref() == Some(&at.name))
                    }
                    _ => false,
                },
                _ => false,
            };
            if !by {
                let sentence = format!(
                    "{} answers no ARP from {sender} at {at}: rp_filter is strict there, and the way back is another",
                    at.space
                );
                let mut loss = way.lost(Reason::Martian, sentence);
                loss.edits = vec![Edit::AnySource { at: at.clone() }];
                return Err(loss);
            }
        }
        Ok(())
    }
}

fn own_net(interface: &InterfacePicture, address: IpAddr) -> ipnet::IpNet {
    let own = interface.addresses.iter().find(|own| own.addr() == address);
    own.copied().unwrap_or_else(|| ipnet::IpNet::from(address))
}

/// Interfaces without hardware addresses.
const fn is_point_to_point(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Gre(_) | LinkKind::Wireguard(_) | LinkKind::Tun(_))
}
