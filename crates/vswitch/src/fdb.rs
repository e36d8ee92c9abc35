//! The forwarding database: behind which port each station is.
//!
//! Invariants: an address is learned only where it may be; a fixed entry is never moved by a packet. There are at most
//! so many entries for the bridge, and for each port; beyond that nothing is learned and frames to the station are
//! flooded, but nobody else's entry is pushed out.
//!
//! Costs: one hash look-up for each packet without a flow; ageing walks all entries.

use netloom_mem::PortNumber;
use netloom_wire::MacAddr;
use std::collections::{BTreeSet, HashMap};

/// Something that flows rest on: a station in a VLAN.
pub type Tag = u64;

/// Where a station is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Station {
    /// The port.
    pub port: PortNumber,
    /// When it was heard last, in nanoseconds.
    pub heard: u64,
    /// Set by hand: it neither ages nor moves.
    pub fixed: bool,
}

/// What hearing a station changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// Nothing: it is where it was.
    Known,
    /// It is new.
    New,
    /// It was behind this port before.
    Moved(PortNumber),
    /// There is no room for it.
    Full,
    /// It is fixed to this port and was heard elsewhere.
    Fixed(PortNumber),
}

/// What happened to a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StationChange {
    /// It was heard for the first time.
    Learned,
    /// It was behind this port before.
    Moved(PortNumber),
    /// It was not heard for too long.
    Aged,
    /// It was taken out: by hand, or with its port.
    Forgotten,
    /// It was set by hand.
    Fixed,
}

/// A change of a station, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StationEvent {
    /// When, in nanoseconds.
    pub time: u64,
    /// Its VLAN.
    pub vlan: u16,
    /// The station.
    pub mac: MacAddr,
    /// The port behind which it is, or was.
    pub port: PortNumber,
    /// What happened.
    pub change: StationChange,
}

/// What happened to stations so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StationCounts {
    /// Heard for the first time.
    pub learned: u64,
    /// Not heard for too long.
    pub aged: u64,
    /// Found no room.
    pub refused: u64,
    /// Heard behind another port than before.
    pub moved: u64,
    /// Heard elsewhere than where they are fixed.
    pub strayed: u64,
}

/// Changes that are kept for those who watch.
const EVENTS: usize = 4096;

/// Stations by VLAN and address.
#[derive(Debug)]
pub struct Fdb {
    stations: HashMap<u64, Station>,
    per_port: HashMap<PortNumber, usize>,
    /// Ports where a station found no room, and whether one has gone since.
    refused: BTreeSet<PortNumber>,
    less: bool,
    /// Changes since they were taken last, and how many more there were; only while somebody watches.
    watched: bool,
    events: Vec<StationEvent>,
    missed: u64,
    now: u64,
    /// What happened so far.
    pub counts: StationCounts,
    /// Most entries.
    pub limit: usize,
    /// An entry ends this many nanoseconds after its station was heard last.
    pub ageing: u64,
}

/// The tag of a station: its VLAN and its address in one word.
#[inline]
#[must_use]
pub(crate) fn tag(vlan: u16, mac: MacAddr) -> Tag {
    let octets = mac.octets();
    octets.iter().fold(u64::from(vlan), |word, octet| word << 8 | u64::from(*octet))
}

/// The tag of the room that is left for stations behind a port.
pub(crate) const fn room(port: PortNumber) -> Tag {
    1 << 60 | port as u64
}

/// The VLAN and the address of a tag.
fn parts(tag: Tag) -> (u16, MacAddr) {
    let [high, low, mac @ ..] = tag.to_be_bytes();
    (u16::from_be_bytes([high, low]), MacAddr::new(mac))
}

impl Fdb {
    /// Empty.
    #[must_use]
    pub fn new(limit: usize, ageing: u64) -> Self {
        Self {
            stations: HashMap::new(),
            per_port: HashMap::new(),
            refused: BTreeSet::new(),
            less: false,
            watched: false,
            events: Vec::new(),
            missed: 0,
            now: 0,
            counts: StationCounts::default(),
            limit,
            ageing,
        }
    }

    /// How many stations are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stations.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// How many stations are known behind a port.
    #[must_use]
    pub fn behind(&self, port: PortNumber) -> usize {
        self.per_port.get(&port).copied().unwrap_or(0)
    }

    /// Where a station is. An entry that is too old counts as none even before it is taken out.
    #[must_use]
    pub fn find(&self, vlan: u16, mac: MacAddr, now: u64) -> Option<&Station> {
        let station = self.stations.get(&tag(vlan, mac))?;
        (station.fixed || now.saturating_sub(station.heard) <= self.ageing).then_some(station)
    }

    fn put(&mut self, tag: Tag, station: Station) {
        *self.per_port.entry(station.port).or_insert(0) += 1;
        if let Some(old) = self.stations.insert(tag, station) {
            self.one_less(old.port);
        }
    }

    fn one_less(&mut self, port: PortNumber) {
        self.less = true;
        if let Some(count) = self.per_port.get_mut(&port) {
            *count -= 1;
            if *count == 0 {
                self.per_port.remove(&port);
            }
        }
    }

    /// Gives the changes since the last time, and how many more there were than are kept; nothing the first time after
    /// nobody watched. `watched` says whether somebody will ask again.
    pub fn take_events(&mut self, watched: bool) -> (Vec<StationEvent>, u64) {
        self.watched = watched;
        (std::mem::take(&mut self.events), std::mem::take(&mut self.missed))
    }

    #[cold]
    fn tell(&mut self, tag: Tag, port: PortNumber, change: StationChange) {
        if self.events.len() >= EVENTS {
            self.missed += 1;
            return;
        }
        let (vlan, mac) = parts(tag);
        self.events.push(StationEvent { time: self.now, vlan, mac, port, change });
    }

    /// A station was heard behind a port, which may have at most `most` of them.
    pub fn learn(&mut self, vlan: u16, mac: MacAddr, port: PortNumber, most: usize, now: u64) -> Learned {
        let tag = tag(vlan, mac);
        match self.stations.get_mut(&tag) {
            Some(station) if station.port == port => {
                station.heard = now;
                Learned::Known
            }
            Some(station) if station.fixed => {
                self.counts.strayed += 1;
                Learned::Fixed(station.port)
            }
            known => {
                let (moved, there) = (known.map(|station| station.port), self.behind(port));
                if there >= most || moved.is_none() && self.stations.len() >= self.limit {
                    self.refused.insert(port);
                    self.counts.refused += 1;
                    return Learned::Full;
                }
                match moved {
                    Some(_) => self.counts.moved += 1,
                    None => self.counts.learned += 1,
                }
                self.put(tag, Station { port, heard: now, fixed: false });
                if self.watched {
                    self.now = self.now.max(now);
                    self.tell(tag, port, moved.map_or(StationChange::Learned, StationChange::Moved));
                }
                moved.map_or(Learned::New, Learned::Moved)
            }
        }
    }

    /// What flows of stations rest on that found no room, if there is some again.
    pub fn freed(&mut self) -> Vec<Tag> {
        match std::mem::take(&mut self.less) {
            true => std::mem::take(&mut self.refused).into_iter().map(room).collect(),
            false => Vec::new(),
        }
    }

    /// A flow from a station behind a port carries packets.
    pub fn refresh(&mut self, tag: Tag, port: PortNumber, now: u64) {
        if let Some(station) = self.stations.get_mut(&tag).filter(|station| station.port == port) {
            station.heard = station.heard.max(now);
        }
    }

    /// Fixes a station to a port.
    pub fn fix(&mut self, vlan: u16, mac: MacAddr, port: PortNumber, now: u64) -> Tag {
        let tag = tag(vlan, mac);
        self.put(tag, Station { port, heard: now, fixed: true });
        if self.watched {
            self.now = self.now.max(now);
            self.tell(tag, port, StationChange::Fixed);
        }
        tag
    }

    /// Takes one station out.
    pub fn forget(&mut self, vlan: u16, mac: MacAddr) -> Option<Tag> {
        let tag = tag(vlan, mac);
        let station = self.stations.remove(&tag)?;
        self.one_less(station.port);
        if self.watched {
            self.tell(tag, station.port, StationChange::Forgotten);
        }
        Some(tag)
    }

    /// Takes out every station for which `gone` says so, and gives their tags.
    pub fn prune(&mut self, gone: impl Fn(u16, MacAddr, &Station) -> bool) -> Vec<Tag> {
        self.take_out(gone, StationChange::Forgotten)
    }

    fn take_out(&mut self, gone: impl Fn(u16, MacAddr, &Station) -> bool, change: StationChange) -> Vec<Tag> {
        let tags: Vec<Tag> = self
            .stations
            .iter()
            .filter(|(tag, station)| {
                let (vlan, mac) = parts(**tag);
                gone(vlan, mac, station)
            })
            .map(|(tag, _)| *tag)
            .collect();
        for tag in &tags {
            if let Some(station) = self.stations.remove(tag) {
                self.one_less(station.port);
                if self.watched {
                    self.tell(*tag, station.port, change);
                }
            }
        }
        tags
    }

    /// Takes out the stations that were not heard for too long.
    pub fn age(&mut self, now: u64) -> Vec<Tag> {
        let ageing = self.ageing;
        self.now = self.now.max(now);
        let old = |_, _, station: &Station| !station.fixed && now.saturating_sub(station.heard) > ageing;
        let aged = self.take_out(old, StationChange::Aged);
        self.counts.aged += aged.len() as u64;
        aged
    }

    /// All stations by their tags, in no order.
    pub(crate) fn tagged(&self) -> impl Iterator<Item = (Tag, &Station)> {
        self.stations.iter().map(|(tag, station)| (*tag, station))
    }

    /// Puts a station in that another forwarding database had.
    pub(crate) fn restore(&mut self, tag: Tag, station: Station) {
        self.put(tag, station);
    }

    /// Ports where a station found no room.
    pub(crate) fn full(&self) -> impl Iterator<Item = PortNumber> {
        self.refused.iter().copied()
    }

    /// Notes such ports that another forwarding database had.
    pub(crate) fn restore_full(&mut self, ports: Vec<PortNumber>) {
        self.refused.extend(ports);
    }

    /// All stations, in the order of VLAN and address.
    #[must_use]
    pub fn list(&self) -> Vec<(u16, MacAddr, Station)> {
        let mut all: Vec<(u64, Station)> =
            self.stations.iter().map(|(tag, station)| (*tag, *station)).collect();
        all.sort_by_key(|(tag, _)| *tag);
        all.into_iter()
            .map(|(tag, station)| {
                let (vlan, mac) = parts(tag);
                (vlan, mac, station)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Learn(u8, u8, u8),
        Fix(u8, u8, u8),
        Forget(u8, u8),
        Wait(u64),
        Age,
        PortGone(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..3_u8, 0..6_u8, 1..4_u8).prop_map(|(vlan, mac, port)| Step::Learn(vlan, mac, port)),
            1 => (0..3_u8, 0..6_u8, 1..4_u8).prop_map(|(vlan, mac, port)| Step::Fix(vlan, mac, port)),
            1 => (0..3_u8, 0..6_u8).prop_map(|(vlan, mac)| Step::Forget(vlan, mac)),
            2 => (0..60_u64).prop_map(Step::Wait),
            1 => Just(Step::Age),
            1 => (1..4_u8).prop_map(Step::PortGone),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_does(steps in proptest::collection::vec(step(), 0..100)) {
            const MOST: usize = 4;
            let mut fdb = Fdb::new(8, 100);
            let mut list: Vec<(u16, MacAddr, Station)> = Vec::new();
            let mut now = 0;
            let address = |mac: u8| MacAddr::new([2, 0, 0, 0, 0, mac]);
            for step in steps {
                match step {
                    Step::Learn(vlan, mac, port) => {
                        let (vlan, mac, port) = (u16::from(vlan), address(mac), u32::from(port));
                        let behind = list.iter().filter(|(.., station)| station.port == port).count();
                        let total = list.len();
                        let known = list.iter_mut().find(|(a, b, _)| (*a, *b) == (vlan, mac));
                        let station = Station { port, heard: now, fixed: false };
                        let wanted = match known {
                            Some((.., known)) if known.port == port => { known.heard = now; Learned::Known }
                            Some((.., known)) if known.fixed => Learned::Fixed(known.port),
                            _ if behind >= MOST => Learned::Full,
                            Some((.., known)) => Learned::Moved(std::mem::replace(known, station).port),
                            None if total >= 8 => Learned::Full,
                            None => { list.push((vlan, mac, station)); Learned::New }
                        };
                        prop_assert_eq!(fdb.learn(vlan, mac, port, MOST, now), wanted);
                    }
                    Step::Fix(vlan, mac, port) => {
                        let (vlan, mac) = (u16::from(vlan), address(mac));
                        fdb.fix(vlan, mac, u32::from(port), now);
                        list.retain(|(a, b, _)| (*a, *b) != (vlan, mac));
                        list.push((vlan, mac, Station { port: u32::from(port), heard: now, fixed: true }));
                    }
                    Step::Forget(vlan, mac) => {
                        let (vlan, mac) = (u16::from(vlan), address(mac));
                        let before = list.len();
                        list.retain(|(a, b, _)| (*a, *b) != (vlan, mac));
                        prop_assert_eq!(fdb.forget(vlan, mac).is_some(), list.len() < before);
                    }
                    Step::Wait(time) => now += time,
                    Step::Age => {
                        let before = list.len();
                        list.retain(|(.., station)| station.fixed || now - station.heard <= 100);
                        prop_assert_eq!(fdb.age(now).len(), before - list.len());
                    }
                    Step::PortGone(port) => {
                        list.retain(|(.., station)| station.port != u32::from(port));
                        fdb.prune(|_, _, station| station.port == u32::from(port));
                    }
                }
                list.sort_by_key(|(vlan, mac, _)| (*vlan, *mac));
                prop_assert_eq!(&fdb.list(), &list);
                for port in 1..4 {
                    prop_assert_eq!(fdb.behind(port), list.iter().filter(|(.., s)| s.port == port).count());
                }
            }
        }
    }

    #[test]
    fn who_watches_sees_what_happens_to_stations() {
        use StationChange::{Aged, Fixed, Forgotten, Learned, Moved};
        let mut fdb = Fdb::new(10_000, 100);
        let mac = |last: u16| MacAddr::new([2, 0, 0, 0, (last >> 8) as u8, last as u8]);
        fdb.learn(0, mac(1), 1, 9, 5);
        assert_eq!(fdb.take_events(true), (vec![], 0));
        fdb.learn(0, mac(2), 1, 9, 6);
        fdb.learn(0, mac(2), 1, 9, 7);
        fdb.learn(0, mac(2), 3, 9, 8);
        fdb.fix(7, mac(3), 2, 9);
        fdb.age(107);
        fdb.forget(7, mac(3));
        fdb.prune(|_, _, station| station.port == 3);
        let (events, missed) = fdb.take_events(true);
        let seen: Vec<_> = events
            .iter()
            .map(|event| (event.time, event.vlan, event.mac, event.port, event.change))
            .collect();
        assert_eq!(
            seen,
            [
                (6, 0, mac(2), 1, Learned),
                (8, 0, mac(2), 3, Moved(1)),
                (9, 7, mac(3), 2, Fixed),
                (107, 0, mac(1), 1, Aged),
                (107, 7, mac(3), 2, Forgotten),
                (107, 0, mac(2), 3, Forgotten),
            ]
        );
        assert_eq!(missed, 0);
        for last in 0..5000 {
            fdb.learn(1, mac(last), 1, usize::MAX, 108);
        }
        let (events, missed) = fdb.take_events(false);
        assert_eq!((events.len(), missed), (EVENTS, 5000 - EVENTS as u64));
        fdb.learn(2, mac(1), 1, usize::MAX, 109);
        assert_eq!(fdb.take_events(true).0, []);
    }
}
