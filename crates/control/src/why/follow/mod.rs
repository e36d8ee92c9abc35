//! Real packets as they pass: where each was seen, and what became of it.
//!
//! ```text
//! taps (packet sockets), tracers (nftables), captures (switches) --sightings--> Track --ways--> Follow --> Followed
//!                                                                               walk of the same packet ---^
//! ```
//!
//! What: [`Follow`] hears of the packets of some flows at every interface of the topology's namespaces and every port of
//! its switches, puts together what belongs to one packet, and says how it ended. Who dropped it is known from those who
//! did (the packet filter's trace, the switch's verdict with its reason); where nobody says so, the packet is walked
//! through the picture ([`super::explain`]), and the loss found there is told if it fits the place where it was seen last.
//!
//! Invariants: nothing is changed but for the tracers' tables, which the kernel removes with their sockets. Memory is
//! bounded; what was missed is counted.
//!
//! Costs: a copy of each packet's first octets at each point; a look at the system, at most every other second, when a
//! loss must be explained.
//!
//! Where it falls short: a packet is lost when it was nowhere seen again for a second. The kernel's own reasons for drops
//! (`SKB_DROP_REASON_*`) are not heard: an ordinary user can't. Fragments behind the first, and what is inside of
//! encrypted tunnels, are not followed.

mod packet;
mod sources;
mod track;

pub use packet::Pattern;
pub use track::Stretch;

use super::packet::{EPHEMERAL, Packet, Tuple};
use super::report::Verdict;
use super::scene::{Scene, Wishes};
use super::walk::Walker;
use super::{Question, add_machines, explain, question_of};
use crate::machine::Machine;
use crate::switch::{Reply, Request, ask};
use netloom_compile::Compiled;
use netloom_compile::object::{Key, Space};
use netloom_kernel::KernelError;
use netloom_kernel::nft::Traced;
use packet::LOOKED;
use serde::Serialize;
use sources::{FromSwitch, Sources};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use track::{Dropped, Point, Record, Sighting, Track};

/// Most packets that are read from one source before the others have their turn.
const TURN: usize = 512;
/// How often is looked what has settled.
const ROUND: Duration = Duration::from_millis(20);
/// How old a picture may be for an explanation.
const FRESH: Duration = Duration::from_secs(2);
/// Most explanations that are remembered until the next picture.
const REMEMBERED: usize = 1024;

/// How a packet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It came to whoever has its destination.
    Delivered,
    /// It left what is followed, for a destination that nobody here has.
    Left,
    /// It died.
    Lost,
}

/// A packet that was followed to its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Followed {
    /// When it was seen first, in nanoseconds since 1970.
    pub time: u64,
    /// The packet as it was sent.
    pub packet: String,
    /// It goes from the second end to the first.
    pub back: bool,
    /// Where it was seen.
    pub way: Vec<Stretch>,
    /// How it ended.
    pub fate: Fate,
    /// The namespace or switch where it ended.
    pub place: String,
    /// For a lost one: one word for why. Those of `netloom why`, those of the switch, or `unexplained`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it ended, as a sentence.
    pub sentence: String,
    /// The line of the user's file that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The cookie of the OpenFlow flow that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
}

/// Follows packets until it is dropped.
pub struct Follow<'a> {
    machine: &'a Machine,
    compiled: &'a Compiled,
    scene: Scene,
    looked: Instant,
    owned: HashSet<(Space, IpAddr)>,
    question: Option<Question>,
    sources: Sources,
    track: Track,
    explained: HashMap<(String, String), (String, String, Option<String>)>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("track", &self.track).finish_non_exhaustive()
    }
}

/// The flow of a question, under all the addresses that it has on its way.
#[must_use]
pub fn patterns(scene: &Scene, wishes: Wishes<'_>, question: &Question, any_protocol: bool) -> Vec<Pattern> {
    let mut walker = Walker::new(scene, wishes);
    let leg = walker.send(&question.from, question.packet.clone());
    let mut tuples = Vec::new();
    if leg.sent.source.is_unspecified() {
        // It can't send: then what it would send from any of its addresses.
        let own = scene.space(&question.from).into_iter().flat_map(|space| space.interfaces.values());
        for address in own.flat_map(|interface| &interface.addresses) {
            if address.addr().is_ipv4() == leg.sent.destination.is_ipv4() && !address.addr().is_loopback() {
                tuples.push(Packet { source: address.addr(), ..leg.sent.clone() }.tuple());
            }
        }
    } else {
        tuples.push(leg.sent.tuple());
    }
    for connection in &walker.connections {
        tuples.extend([connection.original.clone(), connection.translated.clone()]);
    }
    let pattern = |tuple: Tuple| Pattern {
        ends: Some((tuple.source.0, tuple.destination.0)),
        protocol: (!any_protocol).then_some(tuple.protocol),
        port: tuple.destination.1.filter(|_| !any_protocol),
        source_port: tuple.source.1.filter(|port| !any_protocol && *port != EPHEMERAL),
    };
    let mut list: Vec<Pattern> = Vec::new();
    for pattern in tuples.into_iter().map(pattern) {
        if !list.contains(&pattern) {
            list.push(pattern);
        }
    }
    list
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

impl<'a> Follow<'a> {
    /// Begins. `question` is what the patterns were made of, if they were.
    pub fn begin(
        machine: &'a Machine,
        compiled: &'a Compiled,
        scene: Scene,
        question: Option<Question>,
        patterns: Vec<Pattern>,
    ) -> Self {
        let host =
            compiled.desired.objects.keys().any(|key| matches!(key, Key::Link { space: Space::Host, .. }));
        let spaces: Vec<Space> =
            scene.picture.spaces.keys().filter(|space| host || **space != Space::Host).cloned().collect();
        let sources = Sources::open(machine, &scene, &spaces, &patterns);
        let mut follow = Self {
            machine,
            compiled,
            owned: HashSet::new(),
            scene,
            looked: Instant::now(),
            question,
            sources,
            track: Track::new(patterns),
            explained: HashMap::new(),
            buffer: vec![0; LOOKED],
        };
        follow.own();
        follow
    }

    /// What can't be followed, and why.
    pub fn absent(&self) -> impl Iterator<Item = &str> {
        self.sources.absent.iter().map(String::as_str)
    }

    /// Packets that came faster than they could be followed.
    pub fn missed(&mut self) -> u64 {
        self.sources.missed() + self.track.lost_track
    }

    fn own(&mut self) {
        let spaces = self.scene.picture.spaces.iter();
        self.owned = spaces
            .flat_map(|(space, picture)| {
                let addresses = picture.interfaces.values().flat_map(|interface| &interface.addresses);
                addresses.map(|address| (space.clone(), address.addr()))
            })
            .collect();
    }

    /// Packets that have ended, after waiting so long at most for something to happen.
    ///
    /// # Errors
    /// When the system can't be looked at any more.
    pub fn next(&mut self, most: Duration) -> Result<Vec<Followed>, KernelError> {
        self.sources.wait(most.min(ROUND));
        self.hear();
        let records = self.track.settle(now());
        self.judge_all(records)
    }

    /// Ends: what is under way counts as it stands.
    ///
    /// # Errors
    /// As [`Follow::next`].
    pub fn finish(&mut self) -> Result<Vec<Followed>, KernelError> {
        let mut records = self.track.settle_all();
        // What is on its way at the last moment is neither delivered nor lost.
        records.retain(|record| record.arrived || record.dropped.is_some());
        self.judge_all(records)
    }

    /// Takes everything that waits at the sources.
    fn hear(&mut self) {
        let now = now();
        let (owned, track) = (&self.owned, &mut self.track);
        let owns = |space: &Space, address: IpAddr| owned.contains(&(space.clone(), address));
        for (space, tap) in &mut self.sources.taps {
            for _ in 0..TURN {
                let Ok(Some(tapped)) = tap.read(&mut self.buffer) else { break };
                let octets = self.buffer.get(..tapped.captured).unwrap_or_default();
                let octets = match tapped.protocol {
                    0x0800 | 0x86dd => octets,
                    _ => match untagged(tapped.protocol, octets) {
                        Some(octets) => octets,
                        None => continue,
                    },
                };
                let sighting = Sighting {
                    point: Point::Interface(space.clone(), tapped.interface),
                    outgoing: tapped.outgoing,
                    ours: tapped.ours,
                    time: if tapped.time == 0 { now } else { tapped.time },
                    length: tapped.length,
                };
                track.saw(octets, sighting, now, &owns);
            }
        }
        for _ in 0..TURN {
            let Some(FromSwitch { switch, packet, octets }) = self.sources.next_of_switches() else { break };
            let tag = octets.get(12..14).map(|kind| u16::from_be_bytes([kind[0], kind[1]])).unwrap_or(0);
            let body = octets.get(packet::ETHERNET..).unwrap_or_default();
            let body = if matches!(tag, 0x0800 | 0x86dd) { Some(body) } else { untagged(tag, body) };
            let Some(body) = body else { continue };
            let (behind, machine) = sources::behind(&self.scene, &switch, &packet.port);
            let point = Point::Port { switch, port: packet.port.clone(), behind };
            let length = packet.length.saturating_sub(packet::ETHERNET);
            let (outgoing, time) = (packet.outgoing, packet.time);
            let sighting = Sighting { point: point.clone(), outgoing, ours: machine, time, length };
            track.saw(body, sighting, now, &owns);
            if let Some(loss) = packet.dropped {
                let dropped = Dropped {
                    point,
                    reason: loss.reason,
                    sentence: loss.sentence,
                    origin: loss.origin,
                    cookie: None,
                    frame: octets.clone(),
                };
                track.dropped(body, length, time, now, dropped);
            }
        }
        for (space, tracer) in &mut self.sources.tracers {
            // A tracer that fails tells no more; what it would have told is walked.
            for traced in tracer.read().unwrap_or_default() {
                heard(track, space, traced, now);
            }
        }
    }

    fn judge_all(&mut self, records: Vec<Record>) -> Result<Vec<Followed>, KernelError> {
        records.into_iter().map(|record| self.judge(&record)).collect()
    }

    fn judge(&mut self, record: &Record) -> Result<Followed, KernelError> {
        let way = record.way();
        let place = way.last().map_or_else(|| "?".to_owned(), |stretch| stretch.place.clone());
        let mut followed = Followed {
            time: record.sightings.first().map_or(0, |sighting| sighting.time),
            packet: match record.flags {
                Some(flags) => format!("{} {flags}", record.packet),
                None => record.packet.to_string(),
            },
            back: record.back,
            way,
            fate: Fate::Delivered,
            place,
            reason: None,
            sentence: "it is delivered".to_owned(),
            origin: None,
            cookie: None,
        };
        match &record.dropped {
            // A switch may drop one copy of a packet that arrives elsewhere.
            Some(dropped) if !record.arrived || matches!(dropped.point, Point::Filters(_)) => {
                self.dropped(record, dropped, &mut followed)?;
            }
            _ if record.arrived => {}
            _ => self.vanished(record, &mut followed)?,
        }
        Ok(followed)
    }

    /// Somebody says that it dropped it.
    fn dropped(
        &mut self,
        record: &Record,
        dropped: &Dropped,
        followed: &mut Followed,
    ) -> Result<(), KernelError> {
        followed.fate = Fate::Lost;
        followed.reason = Some(dropped.reason.clone());
        followed.origin.clone_from(&dropped.origin);
        match &dropped.point {
            Point::Port { switch, port, .. } => {
                let name = switch.split_once('.').map_or(switch.as_str(), |(_, name)| name);
                followed.place = format!("switch {name}");
                followed.sentence = format!("switch {name} drops it: it {}", dropped.sentence);
                if dropped.reason == "rule"
                    && let Some(decider) = self.decider(port, &dropped.frame)
                {
                    followed.sentence = format!("switch {name} drops it: {decider}");
                    let cookie = decider.split_once("cookie ").map(|(_, cookie)| cookie.to_owned());
                    // No line of a file has asked for somebody's flow.
                    followed.origin = if cookie.is_some() { None } else { followed.origin.take() };
                    followed.cookie = cookie;
                }
            }
            Point::Filters(space) | Point::Interface(space, _) => {
                followed.place = space.to_string();
                followed.sentence = format!("{space} drops it: {}", dropped.sentence);
                if followed.origin.is_none() {
                    // The policy of a chain has no line, but the walk knows who asked for the filter.
                    followed.origin = match self.explain(record, &space.to_string())? {
                        Some((reason, _, origin)) if reason == "filtered" || reason == "rejected" => origin,
                        _ => None,
                    };
                }
            }
        }
        Ok(())
    }

    /// The flow of OpenFlow's tables that decides about a frame.
    fn decider(&self, port: &str, frame: &[u8]) -> Option<String> {
        let octets = frame.iter().map(|octet| format!("{octet:02x}")).collect();
        let request = Request::Consider { port: port.to_owned(), octets };
        match ask(&self.machine.socket(), &request) {
            Ok(Reply::Considered { deciders, ordinary: false, .. }) => deciders.last().cloned(),
            _ => None,
        }
    }

    /// It was nowhere seen again, and nobody says why.
    fn vanished(&mut self, record: &Record, followed: &mut Followed) -> Result<(), KernelError> {
        let known = self.owned.iter().any(|(_, address)| *address == record.destination);
        let last = record.last();
        let by = last.map_or("?", |sighting| match &sighting.point {
            Point::Interface(_, name) | Point::Port { port: name, .. } => name.as_str(),
            Point::Filters(_) => "its packet filter",
        });
        let went = |sighting: &Sighting| sighting.outgoing && !matches!(sighting.point, Point::Filters(_));
        if !known && last.is_some_and(went) {
            followed.fate = Fate::Left;
            followed.sentence = format!("it leaves {} by {by}", followed.place);
            return Ok(());
        }
        followed.fate = Fate::Lost;
        let place = followed.place.clone();
        match self.explain(record, &place)? {
            Some((reason, sentence, origin)) => {
                (followed.reason, followed.sentence, followed.origin) = (Some(reason), sentence, origin);
            }
            None => {
                followed.reason = Some("unexplained".to_owned());
                followed.sentence = format!(
                    "it was seen last in {place} by {by}; no rule or state explains that: a full queue, a limit of a rate, a simulated loss, or who sent it took it back"
                );
            }
        }
        Ok(())
    }

    /// The loss that the walk of a packet finds, if it is where the packet was seen last or on from there: reason, sentence
    /// and line.
    fn explain(
        &mut self,
        record: &Record,
        place: &str,
    ) -> Result<Option<(String, String, Option<String>)>, KernelError> {
        if self.looked.elapsed() > FRESH {
            let mut scene = self.machine.scene()?;
            add_machines(&mut scene, &self.compiled.interfaces);
            self.scene = scene;
            self.looked = Instant::now();
            self.explained.clear();
            self.own();
        }
        // A port that the sender chose decides nothing that is worth another walk.
        let like = Packet { source_port: None, ..record.packet.clone() };
        let name = (format!("{like} {}", record.back), place.to_owned());
        if let Some(known) = self.explained.get(&name) {
            return Ok(Some(known.clone()).filter(|(reason, ..)| !reason.is_empty()));
        }
        let found = self.walked(record, place);
        if self.explained.len() < REMEMBERED {
            self.explained.insert(name, found.clone().unwrap_or_default());
        }
        Ok(found)
    }

    fn walked(&self, record: &Record, place: &str) -> Option<(String, String, Option<String>)> {
        let mut question = match (&self.question, record.back) {
            (Some(asked), true) => {
                let mut asked = asked.clone();
                asked.packet.source_port = record.packet.destination_port;
                asked
            }
            _ => question_of(&self.scene, record.packet.clone()).ok()?,
        };
        (question.back, question.listens) = (record.back, false);
        let report = explain(&self.scene, Wishes(Some(&self.compiled.desired)), &question);
        let way = if record.back { &report.back } else { &report.forward };
        let lost = if record.back { Verdict::AnswerLost } else { Verdict::Lost };
        let end = way.iter().rev().find(|step| step.ends)?;
        let outgoing = record.last().is_some_and(|sighting| sighting.outgoing);
        if report.verdict != lost || end.space != place && !outgoing {
            return None;
        }
        let reason = serde_json::to_value(report.reason?).ok()?.as_str()?.to_owned();
        Some((reason, end.text.clone(), end.origin.clone().or(report.origin)))
    }
}

/// What a packet filter told.
fn heard(track: &mut Track, space: &Space, traced: Traced, now: u64) {
    let length = traced.octets.len();
    if !traced.dropped {
        // One whose next hop nobody has is seen by its sender's packet filter alone.
        if traced.chain.ends_with(" output") {
            track.filtered(&traced.octets, length, now, space);
        }
        return;
    }
    let (sentence, origin) = match traced.rule {
        None => (format!("the policy of chain {}", traced.chain), None),
        Some(rule) => {
            let name = rule.name.map_or_else(
                || format!("rule {} of chain {}", rule.handle, traced.chain),
                |name| format!("`{name}`"),
            );
            (name, rule.origin)
        }
    };
    let dropped = Dropped {
        point: Point::Filters(space.clone()),
        reason: "filtered".to_owned(),
        sentence,
        origin,
        cookie: None,
        frame: Vec::new(),
    };
    track.dropped(&traced.octets, length, now, now, dropped);
}

/// The packet behind VLAN tags, given what the EtherType before them was.
fn untagged(mut kind: u16, mut octets: &[u8]) -> Option<&[u8]> {
    while matches!(kind, 0x8100 | 0x88a8) {
        kind = octets.get(2..4).map(|kind| u16::from_be_bytes([kind[0], kind[1]]))?;
        octets = octets.get(4..)?;
    }
    matches!(kind, 0x0800 | 0x86dd).then_some(octets)
}
