//! Neighbours that name themselves, and naming ourselves to them (LLDP, IEEE 802.1AB-2016).
//!
//! Invariants: a neighbour counts as long as it said; there are at most so many behind a port, and beyond that new ones
//! are not taken. What a neighbour says is cut to a bound and cleared of control characters before it is kept.
//!
//! Deliberately absent: management addresses, capabilities, other groups than the nearest bridge. Of the fast start
//! there is one early unit.

use crate::port::Port;
use netloom_mem::PortNumber;
use netloom_wire::MacAddr;
use netloom_wire::header::lldp::{
    CHASSIS_MAC, Id, Item, Items, Kind, NEAREST_BRIDGE, PORT_INTERFACE_NAME, PORT_MAC, Repr, View,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// EtherType of LLDP.
pub(crate) const ETHER_TYPE: u16 = 0x88cc;
const SECOND: u64 = 1_000_000_000;
/// Between two of our own units (table 9-1: 30 s, counted four times).
const INTERVAL: u64 = 30 * SECOND;
const TIME_TO_LIVE: u16 = 120;
/// Neighbours behind one port.
const NEIGHBOURS: usize = 16;
/// Letters of a name that are kept.
const LETTERS: usize = 128;

/// Somebody behind a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Who it is.
    pub chassis: String,
    /// Through which of its ports it speaks.
    pub port: String,
    /// Its name; empty if it has not said it.
    pub name: String,
    /// Until when it counts, in nanoseconds.
    pub until: u64,
}

/// All neighbours.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Neighbours {
    known: BTreeMap<PortNumber, Vec<Neighbour>>,
    next: u64,
    sent: u64,
}

fn text(octets: &[u8]) -> String {
    let clean = String::from_utf8_lossy(octets);
    clean.chars().filter(|letter| !letter.is_control()).take(LETTERS).collect()
}

fn named(id: Id<'_>, mac: u8) -> String {
    match <[u8; 6]>::try_from(id.value) {
        Ok(octets) if id.subtype == mac => MacAddr::new(octets).to_string(),
        _ => text(id.value),
    }
}

impl Neighbours {
    /// A unit came.
    pub(crate) fn heard(&mut self, port: PortNumber, frame: &[u8], now: u64) {
        let Some(unit) = frame.get(14..) else { return };
        let Ok(view) = View::new_checked(unit) else { return };
        let Ok(said) = Repr::parse(&view) else { return };
        let name = Items::new(said.others)
            .flatten()
            .find_map(|item| (item.kind == Kind::SYSTEM_NAME).then(|| text(item.data)))
            .unwrap_or_default();
        let until = now + u64::from(said.time_to_live) * SECOND;
        let heard = Neighbour {
            chassis: named(said.chassis, CHASSIS_MAC),
            port: named(said.port, PORT_MAC),
            name,
            until,
        };
        let known = self.known.entry(port).or_default();
        if known.iter().all(|old| (&old.chassis, &old.port) != (&heard.chassis, &heard.port)) {
            // Who is new does not know us yet (9.2.5.5, fast start).
            self.next = self.next.min(self.sent + SECOND);
        }
        known.retain(|old| (&old.chassis, &old.port) != (&heard.chassis, &heard.port));
        if said.time_to_live > 0 && known.len() < NEIGHBOURS {
            known.push(heard);
        }
    }

    /// Forgets who is silent for too long, and gives our own units when they are due.
    pub(crate) fn tick<'a>(
        &mut self,
        address: MacAddr,
        system: &str,
        ports: impl Iterator<Item = &'a Port>,
        now: u64,
    ) -> Vec<(PortNumber, Vec<u8>)> {
        for known in self.known.values_mut() {
            known.retain(|neighbour| neighbour.until > now);
        }
        self.known.retain(|_, known| !known.is_empty());
        if now < self.next {
            return Vec::new();
        }
        (self.next, self.sent) = (now + INTERVAL, now);
        ports.filter_map(|port| Some((port.number, unit(address, system, &port.name)?))).collect()
    }

    /// Those behind a port.
    pub(crate) fn behind(&self, port: PortNumber) -> &[Neighbour] {
        self.known.get(&port).map_or(&[], Vec::as_slice)
    }

    /// A port is new: whoever is behind it is not to wait.
    pub(crate) const fn hurry(&mut self) {
        self.next = 0;
    }

    pub(crate) fn remove(&mut self, port: PortNumber) {
        self.known.remove(&port);
    }
}

fn unit(address: MacAddr, system: &str, port: &str) -> Option<Vec<u8>> {
    let chassis = address.octets();
    let mut others = vec![0; 2 + 255];
    let end = system.floor_char_boundary(255);
    let name = Item { kind: Kind::SYSTEM_NAME, data: system.get(..end)?.as_bytes() };
    let length = if system.is_empty() { 0 } else { name.emit(&mut others).ok()? };
    let said = Repr {
        chassis: Id { subtype: CHASSIS_MAC, value: &chassis },
        port: Id { subtype: PORT_INTERFACE_NAME, value: port.as_bytes() },
        time_to_live: TIME_TO_LIVE,
        others: others.get(..length)?,
    };
    let mut frame = NEAREST_BRIDGE.octets().to_vec();
    frame.extend(chassis);
    frame.extend(ETHER_TYPE.to_be_bytes());
    frame.resize((14 + said.buffer_len()).max(60), 0);
    said.emit(frame.get_mut(14..)?).ok()?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::{Bridge, BridgeOptions};
    use netloom_nf::{Action, Reason, Shape};
    use netloom_table::Key;
    use netloom_table::key::extract;
    use proptest::prelude::*;

    fn bridge(last: u8, lldp: bool) -> Bridge {
        let address = MacAddr::new([2, 0, 0, 0, 0, last]);
        let options =
            BridgeOptions { address, lldp, system: format!("host{last}"), ..BridgeOptions::default() };
        let mut bridge = Bridge::new(options);
        bridge.add(Port::new(1, "north")).unwrap();
        bridge.add(Port { lldp: false, ..Port::new(2, "quiet") }).unwrap();
        bridge
    }

    fn shape(bridge: &mut Bridge, port: PortNumber, frame: &[u8]) -> (Vec<Action>, Shape) {
        let mut key = Key::default();
        extract(frame, frame.len(), port, &mut key);
        let program = bridge.decide(&key, 0).program;
        (program.actions().to_vec(), program.shape())
    }

    #[test]
    fn two_bridges_know_each_other_until_one_is_silent() {
        let (mut one, mut other) = (bridge(1, true), bridge(2, true));
        let sent = one.tick(0).send;
        assert!(sent.len() == 1 && sent[0].0 == 1 && one.tick(29 * SECOND).send.is_empty());
        assert_eq!(one.tick(30 * SECOND).send, sent);
        assert!(shape(&mut other, 1, &sent[0].1).0.ends_with(&[Action::Brain]));
        // Where it is not wanted it is a frame for the link, like any other.
        assert_eq!(shape(&mut other, 2, &sent[0].1).1, Shape::Drop(Reason::Reserved));
        assert_eq!(shape(&mut bridge(3, false), 1, &sent[0].1).1, Shape::Drop(Reason::Reserved));
        other.heard(1, &sent[0].1, 0);
        // Who is new is told soon who we are, but not more than once a second.
        other.tick(0);
        other.heard(1, &bridge(4, true).tick(0).send[0].1, 0);
        assert!(other.tick(SECOND / 2).send.is_empty() && other.tick(SECOND).send.len() == 1);
        other.heard(1, &sent[0].1, 30 * SECOND);
        other.tick(125 * SECOND);
        let [known] = other.neighbours(1) else { panic!("{:?}", other.neighbours(1)) };
        assert_eq!((&*known.chassis, &*known.port, &*known.name), ("02:00:00:00:00:01", "north", "host1"));
        other.tick(149 * SECOND);
        assert_eq!(other.neighbours(1).len(), 1);
        other.tick(150 * SECOND);
        assert!(other.neighbours(1).is_empty());
    }

    proptest! {
        #[test]
        fn anything_may_come_and_little_is_kept(units in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..40), 0..3_u16), 1..60)) {
            let mut bridge = bridge(1, true);
            for (value, time_to_live) in units {
                let id = Id { subtype: 7, value: &value };
                let said = Repr { chassis: id, port: id, time_to_live, others: &value[..0] };
                let mut frame = vec![0; 14 + said.buffer_len()];
                frame[..6].copy_from_slice(&NEAREST_BRIDGE.octets());
                frame[12..14].copy_from_slice(&ETHER_TYPE.to_be_bytes());
                said.emit(&mut frame[14..]).unwrap();
                bridge.heard(1, &frame, 0);
                bridge.heard(1, &value, 0);
                prop_assert!(bridge.neighbours(1).len() <= NEIGHBOURS);
                prop_assert!(bridge.neighbours(1).iter().all(|known| !known.port.chars().any(char::is_control)));
            }
        }
    }
}
