//! Ports as OpenFlow tables see them: made of the configuration, the drivers and the spanning tree.
//!
//! What: every open interface is a port of its bridge's tables, members of bonds as well; bonds are none. A change becomes
//! news for connections.
//!
//! A patch port whose cable does nothing to packets leads straight into the other bridge's tables; one with a simulated link or a
//! rate is an ordinary port, so that packets go through the cable.

use super::bonds::is_bond;
use super::brain::Bridges;
use super::configuration::PortConfiguration;
use super::links::is_link;
use super::news::{News, PortChange};
use super::numbers::{Wish, numbers};
use super::state::Switch;
use super::tables::{Desk, tree_of};
use super::touched::Touched;
use super::tunnels::{is_tunnel, tunnel};
use netloom_mem::PortNumber;
use netloom_proto::openflow::OfPort;
use netloom_vswitch::openflow::{BridgeNumber, OfPortEntry, PortForm};
use netloom_wire::MacAddr;
use std::collections::{HashMap, HashSet};

/// Whether a port leads to another switch: how it does depends on that one, too.
fn is_patch(port: &PortConfiguration) -> bool {
    port.options.get("type").is_some_and(|kind| kind == "patch")
}

impl Bridges {
    /// Adds a port to the tables of a bridge, or changes it.
    pub(super) fn set_port(&mut self, bridge: BridgeNumber, entry: OfPortEntry) {
        let Some(pipeline) = self.pipelines.get_mut(&bridge) else { return };
        let change = match pipeline.port(entry.number) {
            Some(known) if *known == entry => return,
            Some(known) if known.port == entry.port => PortChange::Modified,
            Some(known) => {
                let gone = known.clone();
                self.tell(bridge, News::Port(PortChange::Deleted, Box::new(gone)));
                PortChange::Added
            }
            None => PortChange::Added,
        };
        if let Some(pipeline) = self.pipelines.get_mut(&bridge) {
            pipeline.set_port(entry.clone());
        }
        self.tell(bridge, News::Port(change, Box::new(entry)));
        self.ring_listener();
    }

    /// Takes a port out of the tables of a bridge.
    pub(super) fn remove_port(&mut self, bridge: BridgeNumber, number: OfPort) {
        let gone = self.pipelines.get_mut(&bridge).and_then(|pipeline| pipeline.remove_port(number));
        if let Some(gone) = gone {
            self.tell(bridge, News::Port(PortChange::Deleted, Box::new(gone)));
            self.ring_listener();
        }
    }
}

impl Switch {
    /// What a thread needs that changes tables or listens to them.
    pub(super) fn desk(&self) -> Desk {
        Desk::new(self.bridges.clone(), self.crew.handle(), self.clock.clone())
    }

    /// OpenFlow's number of a port; none if it is not open, or a bond.
    pub(super) fn ofport(&self, name: &str) -> Option<u16> {
        let port = self.configuration.ports.get(name)?;
        let bridges = self.bridges.lock();
        let pipeline = bridges.pipelines.get(&bridges.number_of(&port.switch)?)?;
        pipeline.port_of(port.number).map(|number| number.0)
    }

    /// OpenFlow's numbers of all open ports that have one.
    pub(super) fn ofports(&self) -> HashMap<&str, u16> {
        let bridges = self.bridges.lock();
        let number = |port: &PortConfiguration| {
            let pipeline = bridges.pipelines.get(&bridges.number_of(&port.switch)?)?;
            pipeline.port_of(port.number).map(|number| number.0)
        };
        let open = self.configuration.ports.iter().filter(|(name, _)| self.ports.contains_key(*name));
        open.filter_map(|(name, port)| Some((name.as_str(), number(port)?))).collect()
    }

    /// Has the tables of a bridge have the ports that it has, and those of its neighbours lead to them. Ports that they have
    /// already are asked how they are only if they are touched.
    pub(super) fn apply_tables(&mut self, switch: &str, touched: &Touched) {
        self.apply_tunnels();
        self.apply_ports(switch, touched);
        let mut others: Vec<String> = Vec::new();
        for (_, port) in self.ports_of(switch) {
            if let Some((_, peer)) = self.peer(port)
                && peer.switch != switch
                && !others.contains(&peer.switch)
            {
                others.push(peer.switch.clone());
            }
        }
        // Numbers may have changed, and others lead to them.
        others.into_iter().for_each(|other| self.apply_ports(&other, touched));
        self.desk().publish();
    }

    /// Takes a port that is closed out of the tables of its bridge.
    pub(super) fn leave_tables(&self, port: &PortConfiguration) {
        let mut bridges = self.bridges.lock();
        let Some(bridge) = bridges.number_of(&port.switch) else { return };
        let number = bridges.pipelines.get(&bridge).and_then(|pipeline| pipeline.port_of(port.number));
        if let Some(number) = number {
            bridges.remove_port(bridge, number);
        }
    }

    fn apply_ports(&self, switch: &str, touched: &Touched) {
        let (gone, changed) = self.port_changes(switch, touched);
        let mut bridges = self.bridges.lock();
        let Some(number) = bridges.number_of(switch) else { return };
        gone.into_iter().for_each(|port| bridges.remove_port(number, port));
        for entry in changed {
            bridges.set_port(number, entry);
        }
    }

    /// What of the ports of a bridge's tables is not as it should be: numbers that go, and ports that come or are to be others.
    /// A port that stays as it is costs some look-ups.
    fn port_changes(&self, switch: &str, touched: &Touched) -> (Vec<OfPort>, Vec<OfPortEntry>) {
        let open = self
            .ports_of(switch)
            .filter(|(name, port)| !is_bond(&port.options) && self.ports.contains_key(name.as_str()));
        let open: Vec<(&String, &PortConfiguration)> = open.collect();
        let rows = self.joint.as_ref().map(|joint| joint.number_wishes(switch)).unwrap_or_default();
        let mut guard = self.bridges.lock();
        let bridges = &mut *guard;
        let pipeline = bridges.number_of(switch).and_then(|number| bridges.pipelines.get(&number));
        let wishes = open.iter().map(|(name, port)| {
            // Who is not in the database yet will ask there for the data path's number.
            let own = || match self.inherited_numbers.get(*name) {
                Some(number) => Wish { asked: None, known: Some(*number) },
                None => Wish { asked: u16::try_from(port.number).ok(), known: None },
            };
            let mut wish = rows.get(name.as_str()).copied().unwrap_or_else(own);
            let known = pipeline.and_then(|pipeline| pipeline.port_of(port.number));
            wish.known = known.map(|number| number.0).or(wish.known);
            (name.as_str(), wish)
        });
        let wishes: Vec<(&str, Wish)> = wishes.collect();
        let mut last = bridges.last_numbers.get(switch).copied().unwrap_or(0);
        let numbers = numbers(switch, &wishes, &mut last);
        bridges.last_numbers.insert(switch.to_owned(), last);
        let pipeline = bridges.number_of(switch).and_then(|number| bridges.pipelines.get(&number));
        let Some(pipeline) = pipeline else { return (Vec::new(), Vec::new()) };
        let wanted = || open.iter().zip(&numbers).map(|((_, port), number)| (OfPort(*number), port.number));
        let stays = |(number, port): &(OfPort, PortNumber)| {
            pipeline.port(*number).is_some_and(|known| known.port == *port)
        };
        let mut gone = Vec::new();
        if wanted().filter(stays).count() < pipeline.ports().count() {
            let wanted: HashSet<(OfPort, PortNumber)> = wanted().collect();
            let lost = pipeline.ports().filter(|known| !wanted.contains(&(known.number, known.port)));
            gone.extend(lost.map(|known| known.number));
        }
        let bridge = bridges.by_name.get(switch);
        let flags = |entry: &OfPortEntry| match bridge {
            Some(bridge) => {
                let (forwards, learns) = tree_of(bridge, entry.port);
                (forwards, learns, bridge.is_sound(entry.port))
            }
            None => (entry.forwards, entry.learns, entry.sound),
        };
        let mut changed = Vec::new();
        for ((name, port), number) in open.into_iter().zip(numbers) {
            let number = OfPort(number);
            let known = pipeline.port_of(port.number).and_then(|number| pipeline.port(number));
            let keeps =
                known.is_some_and(|known| known.name == *name) && !touched.has(name) && !is_patch(port);
            if keeps
                && let Some(known) = known
                && known.number == number
                && flags(known) == (known.forwards, known.learns, known.sound)
            {
                continue;
            }
            changed.push((name, port, number, keeps, known.cloned()));
        }
        drop(guard);
        let entries = changed.into_iter().map(|(name, port, number, keeps, known)| match known {
            Some(known) if keeps => OfPortEntry { number, ..known },
            known => OfPortEntry {
                address: known.as_ref().map_or_else(|| self.address_of(name, port), |entry| entry.address),
                form: self.form(switch, name, port),
                config: known.map_or(0, |entry| entry.config),
                classes: self.qos_classes(name),
                live: self.ports.get(name).is_some_and(|carried| (carried.state)() == "up"),
                ..OfPortEntry::new(number, port.number, name.clone())
            },
        });
        let mut entries: Vec<OfPortEntry> = entries.collect();
        let bridges = self.bridges.lock();
        if let Some(bridge) = bridges.by_name.get(switch) {
            for entry in &mut entries {
                (entry.forwards, entry.learns) = tree_of(bridge, entry.port);
                entry.sound = bridge.is_sound(entry.port);
            }
        }
        (gone, entries)
    }

    /// The port at the other end of a cable between two switches, if that leads back.
    fn peer(&self, port: &PortConfiguration) -> Option<(&String, &PortConfiguration)> {
        if !is_patch(port) {
            return None;
        }
        self.configuration.ports.get_key_value(port.options.get("peer")?)
    }

    fn form(&self, switch: &str, name: &str, port: &PortConfiguration) -> PortForm {
        if name == switch {
            return PortForm::Internal;
        }
        let cable = || {
            let (peer, other) = self.peer(port)?;
            let plain = |port: &PortConfiguration| {
                !port.options.keys().any(|option| {
                    is_link(option) || ["rate", "packet-rate", "rate-out", "storm"].contains(&option.as_str())
                })
            };
            let leads_back = other.options.get("type").is_some_and(|kind| kind == "patch")
                && other.options.get("peer").is_some_and(|back| back == name);
            if !leads_back || other.switch == switch || !plain(port) || !plain(other) {
                return None;
            }
            let bridges = self.bridges.lock();
            let bridge = bridges.number_of(&other.switch)?;
            let entry = bridges.pipelines.get(&bridge)?.ports().find(|entry| entry.name == *peer)?;
            Some(PortForm::Patch { bridge, port: entry.number })
        };
        if is_tunnel(&port.options)
            && let Ok((_, form)) = tunnel(&port.options)
        {
            return PortForm::Tunnel(form);
        }
        match port.options.get("type").map(String::as_str) {
            Some("internal" | "dummy-internal") => PortForm::Internal,
            _ => cable().unwrap_or_default(),
        }
    }

    /// The Ethernet address of what is behind a port, or one that nobody else has.
    fn address_of(&self, name: &str, port: &PortConfiguration) -> MacAddr {
        let told = self.doors.details(port.number).remove("mac");
        let device = port.options.get("dev").map_or(name, String::as_str);
        let system = || std::fs::read_to_string(format!("/sys/class/net/{device}/address")).ok();
        let read = |text: String| text.trim().parse().ok();
        told.and_then(read)
            .or_else(|| system().and_then(read))
            .unwrap_or_else(|| MacAddr::local_from_hash(self.seed ^ u64::from(port.number).rotate_left(17)))
    }

    /// Has tables know how the links of their ports are.
    pub(super) fn follow_links(&self) {
        let mut states = Vec::new();
        for (name, carried) in &self.ports {
            if let Some(port) = self.configuration.ports.get(name) {
                states.push((port.number, (carried.state)() == "up"));
            }
        }
        let mut bridges = self.bridges.lock();
        for (port, live) in states {
            let Some(bridge) = bridges.of_port.get(&port).map(|place| place.bridge) else { continue };
            let Some(pipeline) = bridges.pipelines.get(&bridge) else { continue };
            let known = pipeline.port_of(port).and_then(|number| pipeline.port(number));
            let entry = known.filter(|known| known.live != live).cloned();
            if let Some(entry) = entry {
                bridges.set_port(bridge, OfPortEntry { live, ..entry });
            }
        }
    }
}
