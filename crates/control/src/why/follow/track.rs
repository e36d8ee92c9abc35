//! Sightings of packets, put together to ways: a machine without I/O and without a clock.
//!
//! Invariants: at most [`PACKETS`] packets are under way; beyond that the oldest is given up and counted. A packet that is
//! seen again where it was seen already is another one (it was sent again).

use super::super::packet::Packet;
use super::packet::{Identity, Pattern, flags, identity, read};
use netloom_compile::object::Space;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Most packets under way.
const PACKETS: usize = 4096;
/// Most places of one packet.
const PLACES: usize = 128;
/// How long a packet that arrived is kept for news that it was dropped there, in nanoseconds.
const ARRIVED: u64 = 60_000_000;
/// How long after news of its loss others of it may turn up.
const DROPPED: u64 = 40_000_000;
/// How long a packet that is nowhere seen again counts as under way.
pub(super) const UNDER_WAY: u64 = 1_000_000_000;

/// Where a packet can be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// An interface of a namespace.
    Interface(Space, String),
    /// A port of a switch, with the interface behind it.
    Port { switch: String, port: String, behind: Option<(Space, String)> },
    /// The packet filters of a namespace.
    Filters(Space),
}

/// A packet at a point.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) point: Point,
    pub(super) outgoing: bool,
    /// It came in for the namespace's own hardware address.
    pub(super) ours: bool,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) length: usize,
}

/// What somebody who dropped a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) point: Point,
    /// One word of a closed list: `filtered`, or a reason of the switch.
    pub(super) reason: String,
    pub(super) sentence: String,
    pub(super) origin: Option<String>,
    pub(super) cookie: Option<String>,
    /// The frame, where somebody can be asked which flow it was.
    pub(super) frame: Vec<u8>,
}

/// A stretch of a packet's way: one namespace or switch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Stretch {
    /// The namespace or switch.
    pub place: String,
    /// The interface or port by which it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came: Option<String>,
    /// Those by which it went out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<String>,
}

/// What was seen of a packet.
#[derive(Debug, Clone)]
pub(super) struct Record {
    identity: Identity,
    pub(super) packet: Packet,
    pub(super) flags: Option<&'static str>,
    /// It answers: it goes from the second end to the first.
    pub(super) back: bool,
    pub(super) sightings: Vec<Sighting>,
    pub(super) dropped: Option<Dropped>,
    /// It came to whoever has its destination.
    pub(super) arrived: bool,
    /// Its destination where it was seen last.
    pub(super) destination: IpAddr,
    /// When something was heard of it last.
    heard: u64,
}

/// All packets under way.
#[derive(Debug, Default)]
pub(super) struct Track {
    patterns: Vec<Pattern>,
    records: BTreeMap<u64, Record>,
    known: HashMap<Identity, Vec<u64>>,
    next: u64,
    /// Packets that were given up.
    pub(super) lost_track: u64,
}

impl Track {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns, ..Self::default() }
    }

    fn record(
        &mut self,
        octets: &[u8],
        length: usize,
        fits: impl Fn(&Record) -> bool,
    ) -> Option<(u64, Packet)> {
        let packet = read(octets, length)?;
        // What is for a group ends in many places at once, or in none.
        if packet.destination.is_multicast() || packet.destination == IpAddr::from([255; 4]) {
            return None;
        }
        let back = self.patterns.iter().find_map(|pattern| pattern.direction(&packet))?;
        let identity = identity(octets)?;
        let open = self.known.get(&identity).into_iter().flatten();
        let found = open.copied().find(|number| self.records.get(number).is_some_and(&fits));
        if let Some(number) = found {
            return Some((number, packet));
        }
        while self.records.len() >= PACKETS {
            let Some((number, record)) = self.records.pop_first() else { break };
            self.forget(number, &record.identity);
            self.lost_track += 1;
        }
        let record = Record {
            identity,
            packet: packet.clone(),
            flags: flags(octets),
            back,
            sightings: Vec::new(),
            dropped: None,
            arrived: false,
            destination: packet.destination,
            heard: 0,
        };
        let number = self.next;
        self.next += 1;
        self.records.insert(number, record);
        self.known.entry(identity).or_default().push(number);
        Some((number, packet))
    }

    fn forget(&mut self, number: u64, identity: &Identity) {
        if let Some(numbers) = self.known.get_mut(identity) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                self.known.remove(identity);
            }
        }
    }

    /// A packet was seen, from its network header on. `owns` tells whether a namespace has an address.
    pub(super) fn saw(
        &mut self,
        octets: &[u8],
        sighting: Sighting,
        now: u64,
        owns: &dyn Fn(&Space, IpAddr) -> bool,
    ) {
        let same = |other: &Sighting| other.point == sighting.point && other.outgoing == sighting.outgoing;
        let fits = |record: &Record| !record.sightings.iter().any(same) && record.sightings.len() < PLACES;
        let Some((number, packet)) = self.record(octets, sighting.length, fits) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        let earliest = record.sightings.iter().map(|other| other.time).min().unwrap_or(u64::MAX);
        if sighting.time < earliest {
            // As it was sent, whoever told first.
            record.packet = packet.clone();
            record.destination = packet.destination;
        } else if record.sightings.iter().all(|other| other.time <= sighting.time) {
            record.destination = packet.destination;
        }
        record.heard = now;
        record.arrived |= match &sighting.point {
            Point::Interface(space, _) => {
                !sighting.outgoing && sighting.ours && owns(space, packet.destination)
            }
            Point::Port { behind: Some((space, _)), .. } => {
                // What is in a virtual machine is not seen.
                sighting.outgoing && sighting.ours && owns(space, packet.destination)
            }
            _ => false,
        };
        record.sightings.push(sighting);
    }

    /// The packet filter of its sender has let a packet out.
    pub(super) fn filtered(&mut self, octets: &[u8], length: usize, now: u64, space: &Space) {
        let point = Point::Filters(space.clone());
        let fits = |record: &Record| {
            record.sightings.len() < PLACES && record.sightings.iter().all(|sighting| sighting.point != point)
        };
        let Some((number, _)) = self.record(octets, length, fits) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        record.heard = now;
        let seen = |sighting: &Sighting| matches!(&sighting.point, Point::Interface(at, _) if at == space);
        if !record.sightings.iter().any(seen) {
            record.sightings.push(Sighting { point, outgoing: true, ours: false, time: now, length });
        }
    }

    /// Somebody dropped a packet.
    pub(super) fn dropped(&mut self, octets: &[u8], length: usize, time: u64, now: u64, dropped: Dropped) {
        let fits = |record: &Record| record.dropped.is_none();
        let Some((number, _)) = self.record(octets, length, fits) else { return };
        let Some(record) = self.records.get_mut(&number) else { return };
        record.heard = now;
        if let Point::Filters(space) = &dropped.point {
            let seen =
                |sighting: &Sighting| matches!(&sighting.point, Point::Interface(at, _) if at == space);
            // One that never left its sender is seen by its packet filter alone.
            if !record.sightings.iter().any(seen) {
                let point = dropped.point.clone();
                record.sightings.push(Sighting { point, outgoing: false, ours: false, time, length });
            }
        }
        record.dropped = Some(dropped);
    }

    /// The packets whose way has ended by now, in the order in which they began.
    pub(super) fn settle(&mut self, now: u64) -> Vec<Record> {
        let over = |record: &Record| {
            let quiet = now.saturating_sub(record.heard);
            quiet
                >= match (&record.dropped, record.arrived) {
                    (Some(_), _) => DROPPED,
                    (None, true) => ARRIVED,
                    (None, false) => UNDER_WAY,
                }
        };
        let numbers: Vec<u64> =
            self.records.iter().filter(|(_, record)| over(record)).map(|(number, _)| *number).collect();
        let mut list = Vec::new();
        for number in numbers {
            let Some(mut record) = self.records.remove(&number) else { continue };
            self.forget(number, &record.identity);
            record.order();
            list.push(record);
        }
        list
    }

    /// Ends all that are under way.
    pub(super) fn settle_all(&mut self) -> Vec<Record> {
        self.settle(u64::MAX)
    }
}

impl Record {
    /// Puts sightings into the order in which they happened. A switch's clock is that of its worker's turn, which may have
    /// begun before the packet came, so that what happens at a port is put behind what happened at its interface.
    fn order(&mut self) {
        self.sightings.sort_by_key(|sighting| sighting.time);
        let mut index = 0;
        while index < self.sightings.len() {
            let late = |sighting: &Sighting| match &sighting.point {
                Point::Port { behind: Some((space, name)), .. } if !sighting.outgoing => {
                    let interface = Point::Interface(space.clone(), name.clone());
                    self.sightings.iter().position(|other| other.point == interface && other.outgoing)
                }
                Point::Port { switch, .. } if sighting.outgoing => self.sightings.iter().rposition(|other| {
                    !other.outgoing
                        && matches!(&other.point, Point::Port { switch: same, .. } if same == switch)
                }),
                _ => None,
            };
            match self.sightings.get(index).and_then(late) {
                Some(after) if after > index => {
                    let sighting = self.sightings.remove(index);
                    self.sightings.insert(after, sighting);
                }
                _ => index += 1,
            }
        }
    }

    /// Its way, one stretch for each namespace and switch that it passed.
    pub(super) fn way(&self) -> Vec<Stretch> {
        let mut list: Vec<Stretch> = Vec::new();
        for sighting in &self.sightings {
            let (place, name) = match &sighting.point {
                Point::Interface(space, name) => (space.to_string(), Some(name.clone())),
                Point::Port { switch, port, .. } => {
                    let (topology, name) = switch.split_once('.').unwrap_or(("", switch));
                    let port = port
                        .strip_prefix(topology)
                        .map_or(port.as_str(), |port| port.trim_start_matches('.'));
                    let port = port
                        .rsplit_once('.')
                        .map_or_else(|| port.to_owned(), |(node, end)| format!("{node}:{end}"));
                    (format!("switch {name}"), Some(port))
                }
                Point::Filters(space) => (space.to_string(), None),
            };
            let begins = list.last().is_none_or(|last| {
                last.place != place || !sighting.outgoing && (last.came.is_some() || !last.went.is_empty())
            });
            // A bridge's own interface, and copies that are flooded, come in where the packet is already.
            if begins && !(list.last().is_some_and(|last| last.place == place && last.went.is_empty())) {
                list.push(Stretch { place, came: None, went: Vec::new() });
            }
            let Some((stretch, name)) = list.last_mut().zip(name) else { continue };
            if sighting.outgoing {
                stretch.went.push(name);
            } else if stretch.came.is_none() {
                stretch.came = Some(name);
            }
        }
        list
    }

    /// Where it was seen last.
    pub(super) fn last(&self) -> Option<&Sighting> {
        self.sightings.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(name: &str) -> Space {
        Space::Node(name.parse().unwrap())
    }

    fn echo(sequence: u8) -> Vec<u8> {
        let mut octets = vec![0x45, 0, 0, 28, 1, sequence, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        octets.extend([8, 0, 0, 0, 0, 7, 0, sequence]);
        octets
    }

    fn see(track: &mut Track, node: &str, outgoing: bool, time: u64, sequence: u8) {
        let point = Point::Interface(space(node), "eth0".to_owned());
        let sighting = Sighting { point, outgoing, ours: !outgoing, time, length: 28 };
        track.saw(&echo(sequence), sighting, time, &|at, _| *at == space("b"));
    }

    #[test]
    fn a_way_is_put_together_whatever_comes_first() {
        let mut track = Track::new(vec![Pattern::any()]);
        see(&mut track, "b", false, 300, 1);
        see(&mut track, "a", true, 100, 1);
        see(&mut track, "a", true, 200, 2);
        assert!(track.settle(400).is_empty());
        let done = track.settle(400 + ARRIVED);
        assert_eq!(done.len(), 1);
        assert!(done[0].arrived);
        let way: Vec<String> = done[0].way().iter().map(|stretch| stretch.place.clone()).collect();
        assert_eq!(way, ["a", "b"]);
        // The other one is nowhere seen again.
        let rest = track.settle(400 + UNDER_WAY);
        assert_eq!((rest.len(), rest[0].arrived), (1, false));
    }

    #[test]
    fn what_is_sent_again_is_another_packet_and_memory_is_bounded() {
        let mut track = Track::new(vec![Pattern::any()]);
        see(&mut track, "a", true, 1, 1);
        see(&mut track, "a", true, 2, 1);
        assert_eq!(track.settle_all().len(), 2);
        for time in 0..3 * PACKETS as u64 {
            see(&mut track, "a", true, time, 1);
        }
        assert_eq!(track.lost_track, 2 * PACKETS as u64);
        assert_eq!(track.settle_all().len(), PACKETS);
        assert!(track.known.is_empty());
    }

    #[test]
    fn a_port_comes_behind_its_interface() {
        let mut track = Track::new(vec![Pattern::any()]);
        let port = |name: &str, node: &str, outgoing, time| Sighting {
            point: Point::Port {
                switch: "t.lan".to_owned(),
                port: name.to_owned(),
                behind: Some((space(node), "eth0".to_owned())),
            },
            outgoing,
            ours: false,
            time,
            length: 28,
        };
        track.saw(&echo(1), port("t.a.eth0", "a", false, 90), 90, &|_, _| false);
        track.saw(&echo(1), port("t.b.eth0", "b", true, 90), 90, &|_, _| false);
        see(&mut track, "a", true, 100, 1);
        see(&mut track, "b", false, 120, 1);
        let done = track.settle_all();
        let way = done[0].way();
        let places: Vec<&str> = way.iter().map(|stretch| stretch.place.as_str()).collect();
        assert_eq!(places, ["a", "switch lan", "b"]);
        assert_eq!((way[1].came.as_deref(), &*way[1].went), (Some("a:eth0"), &["b:eth0".to_owned()][..]));
    }
}
