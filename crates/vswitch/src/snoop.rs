//! IGMP and MLD snooping (RFC 4541): which ports want which groups, and where multicast routers are.
//!
//! ```text
//! report, leave, query -> Snooping::heard -> members, router ports, tags of flows to take back, queries to send
//! packet for a group   -> Snooping::reach -> everywhere, or router ports and members only
//! ```
//!
//! Invariants: groups of link-local scope go everywhere. What nobody has asked for goes everywhere as long as there
//! is no querier in the VLAN that would have made listeners speak, and to router ports only after that. Reports go
//! to router ports only, so that listeners don't keep each other silent. Tables are bounded, for each port too:
//! beyond that a group is not registered. Time is an argument.
//!
//! Deliberately absent: sources. A member of (S, G) gets all of G, as RFC 4541 allows.

use crate::bridge::pairs;
use crate::decision::Effects;
use crate::fdb::Tag;
use crate::guard::Look;
use crate::port::VlanSet;
use netloom_mem::PortNumber;
use netloom_table::Field;
use netloom_wire::checksum::PseudoHeader;
use netloom_wire::frame::{Outline, Part};
use netloom_wire::header::multicast_record::{
    Address, Record, RecordKind, Records, time_of_code, time_of_long_code,
};
use netloom_wire::header::{icmpv6, igmp, mld};
use netloom_wire::{EtherType, IpProtocol, MacAddr};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod query;

const SECOND: u64 = 1_000_000_000;
/// How long listeners may take to answer (RFC 3376, 8.3; RFC 3810, 9.3).
const RESPONSE: u64 = 10 * SECOND;
/// The same for a question about one group (RFC 3376, 8.8).
const LAST_RESPONSE: u64 = SECOND;
/// How many messages may be lost (RFC 3376, 8.1).
const ROBUSTNESS: u64 = 2;
/// Pairs of a group and a VLAN.
const GROUPS: usize = 4096;
/// The same behind one port.
const GROUPS_PER_PORT: usize = 1024;

const ROUTERS: Tag = 2 << 60;
const GROUP: Tag = 3 << 60;

/// Options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnoopOptions {
    /// Groups go to members only.
    pub enabled: bool,
    /// VLANs in which the bridge asks for members while nobody else does.
    pub querier: VlanSet,
    /// Nanoseconds between its questions.
    pub interval: u64,
}

impl SnoopOptions {
    /// For how many nanoseconds a member counts that was heard once.
    #[must_use]
    pub const fn member_life(&self) -> u64 {
        ROBUSTNESS * self.interval + RESPONSE
    }

    /// The same for a router.
    #[must_use]
    pub const fn router_life(&self) -> u64 {
        ROBUSTNESS * self.interval + RESPONSE / 2
    }
}

impl Default for SnoopOptions {
    fn default() -> Self {
        Self { enabled: false, querier: VlanSet::default(), interval: 125 * SECOND }
    }
}

/// A VLAN and a family in it: true for IPv6.
type Domain = (u16, bool);

/// The bridge's own questions in a domain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Asking {
    next: u64,
    asked: u32,
    first: u64,
}

/// Somebody else's questions in a domain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Other {
    since: u64,
    until: u64,
}

/// What is known about groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Snooping {
    #[serde(with = "pairs")]
    members: BTreeMap<(u16, IpAddr), BTreeMap<PortNumber, u64>>,
    #[serde(with = "pairs")]
    routers: BTreeMap<(u16, PortNumber), u64>,
    #[serde(with = "pairs")]
    asking: BTreeMap<Domain, Asking>,
    #[serde(with = "pairs")]
    others: BTreeMap<Domain, Other>,
    /// Domains in which somebody has asked for long enough that listeners have spoken.
    asked: BTreeSet<Domain>,
    /// Questions that are repeated at a time.
    again: Vec<(u64, u16, PortNumber, IpAddr)>,
}

/// Where a packet for a group goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// To these ports and the router ports; everywhere without.
    pub(crate) only: Option<BTreeSet<PortNumber>>,
    /// The bridge listens too.
    pub(crate) brain: bool,
}

/// The surroundings of a packet that was heard.
pub(crate) struct Place<'a> {
    pub(crate) vlan: u16,
    pub(crate) port: PortNumber,
    /// Whoever leaves there was the last.
    pub(crate) fast_leave: bool,
    pub(crate) address: MacAddr,
    pub(crate) options: &'a SnoopOptions,
    pub(crate) now: u64,
}

/// A question: in a VLAN, through one port or all, about one group or all.
pub(crate) type Question = (u16, Option<PortNumber>, Vec<u8>);

fn tag(vlan: u16, group: IpAddr) -> Tag {
    let bits = match group {
        IpAddr::V4(group) => u128::from(group.to_bits()),
        IpAddr::V6(group) => group.to_bits(),
    };
    // Two groups with one tag only cost a look too many.
    let mixed =
        (bits as u64 ^ (bits >> 64) as u64 ^ u64::from(vlan) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    GROUP | mixed >> 4
}

/// Groups of the link, which everybody must hear: 224.0.0.0/24, and IPv6 scopes up to 2.
const fn is_local(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.to_bits() >> 8 == 0xe0_0000,
        IpAddr::V6(group) => group.to_bits() >> 112 & 0xf <= 2,
    }
}

impl Snooping {
    /// Where a packet for a group goes. Reads the key through `look`.
    pub(crate) fn reach(&self, look: &mut Look<'_>, vlan: u16, rests: &mut Vec<Tag>) -> Reach {
        let everywhere = |brain| Reach { only: None, brain };
        let (group, v6) = match look.at(Field::ETH_TYPE) {
            0x0800 => {
                match look.at(Field::IP_PROTO) {
                    2 => match look.at(Field::TP_SRC) {
                        0x12 | 0x16 | 0x17 | 0x22 => return self.report(vlan, rests),
                        _ => return everywhere(true),
                    },
                    // PIM: a router.
                    103 => return everywhere(true),
                    _ => {}
                }
                (IpAddr::V4(Ipv4Addr::from_bits(look.at(Field::IP4_DST) as u32)), false)
            }
            0x86dd => {
                match look.at(Field::IP_PROTO) {
                    58 => match look.at(Field::TP_SRC) {
                        130 => return everywhere(true),
                        131 | 132 | 143 => return self.report(vlan, rests),
                        _ => {}
                    },
                    103 => return everywhere(true),
                    _ => {}
                }
                let (high, low) = (look.at(Field::IP6_DST_HIGH), look.at(Field::IP6_DST_LOW));
                (IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))), true)
            }
            _ => return everywhere(false),
        };
        // A group's frame around a packet for one host goes where groups go.
        if is_local(group) || !group.is_multicast() {
            return everywhere(false);
        }
        rests.extend([tag(vlan, group), ROUTERS | Tag::from(vlan)]);
        match self.members.get(&(vlan, group)) {
            None if !self.asked.contains(&(vlan, v6)) => everywhere(false),
            members => {
                let mut only = self.routers(vlan);
                only.extend(members.iter().flat_map(|members| members.keys()));
                Reach { only: Some(only), brain: false }
            }
        }
    }

    fn report(&self, vlan: u16, rests: &mut Vec<Tag>) -> Reach {
        rests.push(ROUTERS | Tag::from(vlan));
        Reach { only: Some(self.routers(vlan)), brain: true }
    }

    fn routers(&self, vlan: u16) -> BTreeSet<PortNumber> {
        self.routers.range((vlan, 0)..=(vlan, PortNumber::MAX)).map(|((_, port), _)| *port).collect()
    }

    /// All members: VLAN, group, port, and nanoseconds until they count no more.
    pub(crate) fn list(&self, now: u64) -> Vec<(u16, IpAddr, PortNumber, u64)> {
        let groups = self.members.iter();
        groups
            .flat_map(|((vlan, group), members)| {
                members.iter().map(|(port, until)| (*vlan, *group, *port, until.saturating_sub(now)))
            })
            .collect()
    }

    /// Ports behind which multicast routers were heard.
    pub(crate) fn router_ports(&self) -> Vec<(u16, PortNumber)> {
        self.routers.keys().copied().collect()
    }

    /// The same, with nanoseconds until they count no more.
    pub(crate) fn routers_left(&self, now: u64) -> Vec<(u16, PortNumber, u64)> {
        self.routers.iter().map(|((vlan, port), until)| (*vlan, *port, until.saturating_sub(now))).collect()
    }

    /// Forgets all members and routers, and gives what flows rest on.
    pub(crate) fn forget(&mut self) -> Vec<Tag> {
        let members = std::mem::take(&mut self.members).into_keys().map(|(vlan, group)| tag(vlan, group));
        let routers =
            std::mem::take(&mut self.routers).into_keys().map(|(vlan, _)| ROUTERS | Tag::from(vlan));
        members.chain(routers).collect()
    }

    /// A message came.
    pub(crate) fn heard(
        &mut self,
        frame: &[u8],
        place: &Place<'_>,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        let Ok(outline) = Outline::of(frame) else { return };
        let part = |from: u16, to: u16| frame.get(usize::from(from)..usize::from(to)).unwrap_or(&[]);
        let (network, message) = (part(outline.network, outline.end), part(outline.transport, outline.end));
        if outline.part != Part::Whole || outline.transport == 0 {
            return;
        }
        match (outline.ether_type, outline.protocol) {
            (_, IpProtocol(103)) => self.router(place, effects),
            (EtherType::IPV4, IpProtocol::IGMP) => {
                let Some(source) = network.get(12..16).and_then(|octets| octets.first_chunk::<4>()) else {
                    return;
                };
                let Ok(view) = igmp::View::new_checked(message) else { return };
                if view.verify_checksum()
                    && let Ok(said) = igmp::Repr::parse(&view)
                {
                    self.igmp(&said, Ipv4Addr::from(*source), place, effects, questions);
                }
            }
            (EtherType::IPV6, IpProtocol::ICMPV6) => {
                let address = |at: usize| {
                    network.get(at..at + 16)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
                };
                let (Some(source), Some(destination)) = (address(8), address(24)) else { return };
                let (Ok(outer), Ok(view)) =
                    (icmpv6::View::new_checked(message), mld::View::new_checked(message))
                else {
                    return;
                };
                if outer.verify_checksum(&PseudoHeader::v6(source, destination))
                    && let Ok(said) = mld::Repr::parse(&view)
                {
                    self.mld(&said, source, place, effects, questions);
                }
            }
            _ => {}
        }
    }

    fn igmp(
        &mut self,
        said: &igmp::Repr<'_>,
        source: Ipv4Addr,
        place: &Place<'_>,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        let tenth = SECOND / 10;
        match *said {
            igmp::Repr::Report1 { group } | igmp::Repr::Report2 { group } => {
                self.join(group.into(), place, effects)
            }
            igmp::Repr::Leave { group } => self.leave(group.into(), place, effects, questions),
            igmp::Repr::Report3 { records } => self.records(records, place, effects, questions),
            igmp::Repr::Query1 { group } => self.query(source.into(), group.into(), RESPONSE, place, effects),
            igmp::Repr::Query2 { response_time, group } => {
                self.query(source.into(), group.into(), u64::from(response_time) * tenth, place, effects);
            }
            igmp::Repr::Query3 { suppress: true, .. } => {
                self.query(source.into(), Ipv4Addr::UNSPECIFIED.into(), 0, place, effects)
            }
            igmp::Repr::Query3 { response_code, group, .. } => {
                let time = u64::from(time_of_code(response_code)) * tenth;
                self.query(source.into(), group.into(), time, place, effects);
            }
        }
    }

    fn mld(
        &mut self,
        said: &mld::Repr<'_>,
        source: Ipv6Addr,
        place: &Place<'_>,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        let milli = SECOND / 1000;
        match *said {
            mld::Repr::Report1 { group } => self.join(group.into(), place, effects),
            mld::Repr::Done { group } => self.leave(group.into(), place, effects, questions),
            mld::Repr::Report2 { records } => self.records(records, place, effects, questions),
            mld::Repr::Query1 { response_time, group } => {
                self.query(source.into(), group.into(), u64::from(response_time) * milli, place, effects);
            }
            mld::Repr::Query2 { suppress: true, .. } => {
                self.query(source.into(), Ipv6Addr::UNSPECIFIED.into(), 0, place, effects)
            }
            mld::Repr::Query2 { response_code, group, .. } => {
                let time = u64::from(time_of_long_code(response_code)) * milli;
                self.query(source.into(), group.into(), time, place, effects);
            }
        }
    }

    fn records<A: Address + Into<IpAddr>>(
        &mut self,
        records: Records<'_, A>,
        place: &Place<'_>,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        for Record { kind, group, sources, .. } in records.iter() {
            match kind {
                RecordKind::MODE_IS_EXCLUDE | RecordKind::CHANGE_TO_EXCLUDE => {
                    self.join(group.into(), place, effects)
                }
                RecordKind::MODE_IS_INCLUDE
                | RecordKind::CHANGE_TO_INCLUDE
                | RecordKind::ALLOW_NEW_SOURCES
                    if !sources.is_empty() =>
                {
                    self.join(group.into(), place, effects);
                }
                RecordKind::CHANGE_TO_INCLUDE => self.leave(group.into(), place, effects, questions),
                _ => {}
            }
        }
    }

    fn join(&mut self, group: IpAddr, place: &Place<'_>, effects: &mut Effects) {
        if !group.is_multicast() || is_local(group) {
            return;
        }
        let until = place.now + ROBUSTNESS * place.options.interval + RESPONSE;
        let key = (place.vlan, group);
        if let Some(known) = self.members.get_mut(&key).and_then(|members| members.get_mut(&place.port)) {
            *known = until;
            return;
        }
        let of_port = self.members.values().filter(|members| members.contains_key(&place.port)).count();
        if of_port >= GROUPS_PER_PORT || self.members.len() >= GROUPS && !self.members.contains_key(&key) {
            return;
        }
        self.members.entry(key).or_default().insert(place.port, until);
        effects.changed.push(tag(place.vlan, group));
    }

    fn leave(
        &mut self,
        group: IpAddr,
        place: &Place<'_>,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        let Some(members) = self.members.get_mut(&(place.vlan, group)) else { return };
        let Some(until) = members.get_mut(&place.port) else { return };
        if place.fast_leave {
            members.remove(&place.port);
            if members.is_empty() {
                self.members.remove(&(place.vlan, group));
            }
            effects.changed.push(tag(place.vlan, group));
        } else if !self.others.contains_key(&(place.vlan, group.is_ipv6())) {
            // Nobody else will ask whether somebody stays.
            *until = (*until).min(place.now + ROBUSTNESS * LAST_RESPONSE);
            questions.push((place.vlan, Some(place.port), query::of(place, Some(group), LAST_RESPONSE)));
            if self.again.len() < GROUPS {
                self.again.push((place.now + LAST_RESPONSE, place.vlan, place.port, group));
            }
        }
    }

    fn query(
        &mut self,
        source: IpAddr,
        group: IpAddr,
        response: u64,
        place: &Place<'_>,
        effects: &mut Effects,
    ) {
        if !group.is_unspecified() {
            // Whoever does not answer is gone (RFC 3376, 6.6.1).
            let until = place.now + ROBUSTNESS * response;
            for member in
                self.members.get_mut(&(place.vlan, group)).iter_mut().flat_map(|all| all.values_mut())
            {
                *member = (*member).min(until);
            }
        }
        // A switch that asks in nobody's name is no router (RFC 4541, 2.1.1).
        if source.is_unspecified() {
            return;
        }
        if let (IpAddr::V6(other), true) = (source, place.options.querier.has(place.vlan))
            && other > query::link_local(place.address)
        {
            return self.router(place, effects);
        }
        let until = place.now + ROBUSTNESS * place.options.interval + RESPONSE / 2;
        let other =
            self.others.entry((place.vlan, source.is_ipv6())).or_insert(Other { since: place.now, until });
        other.until = until;
        self.router(place, effects);
    }

    /// A router was heard.
    fn router(&mut self, place: &Place<'_>, effects: &mut Effects) {
        let until = place.now + ROBUSTNESS * place.options.interval + RESPONSE / 2;
        if self.routers.insert((place.vlan, place.port), until).is_none() {
            effects.changed.push(ROUTERS | Tag::from(place.vlan));
        }
    }

    /// Time has passed: forgets who was silent, and asks.
    pub(crate) fn tick(
        &mut self,
        address: MacAddr,
        options: &SnoopOptions,
        now: u64,
        effects: &mut Effects,
        questions: &mut Vec<Question>,
    ) {
        self.members.retain(|(vlan, group), members| {
            let before = members.len();
            members.retain(|_, until| *until > now);
            if members.len() < before {
                effects.changed.push(tag(*vlan, *group));
            }
            !members.is_empty()
        });
        self.routers.retain(|(vlan, _), until| {
            if *until <= now {
                effects.changed.push(ROUTERS | Tag::from(*vlan));
            }
            *until > now
        });
        self.others.retain(|_, other| other.until > now);
        let place = |vlan, port| Place { vlan, port, fast_leave: false, address, options, now };
        let (due, later) = std::mem::take(&mut self.again).into_iter().partition(|(at, ..)| *at <= now);
        self.again = later;
        for (_, vlan, port, group) in due {
            if self.members.get(&(vlan, group)).is_some_and(|members| members.contains_key(&port)) {
                questions.push((vlan, Some(port), query::of(&place(vlan, port), Some(group), LAST_RESPONSE)));
            }
        }
        for vlan in options.querier.iter().filter(|_| options.enabled) {
            for v6 in [false, true] {
                if self.others.contains_key(&(vlan, v6)) {
                    self.asking.remove(&(vlan, v6));
                    continue;
                }
                let asking =
                    self.asking.entry((vlan, v6)).or_insert(Asking { next: now, asked: 0, first: now });
                if asking.next <= now {
                    asking.asked = asking.asked.saturating_add(1);
                    // The first ones come quicker (RFC 3376, 8.6 and 8.7).
                    let wait = if u64::from(asking.asked) < ROBUSTNESS {
                        options.interval / 4
                    } else {
                        options.interval
                    };
                    asking.next = now + wait;
                    questions.push((vlan, None, query::general(&place(vlan, 0), v6, RESPONSE)));
                }
            }
        }
        self.asking.retain(|(vlan, _), _| options.enabled && options.querier.has(*vlan));
        let ours = self.asking.iter().filter(|(_, asking)| now >= asking.first + RESPONSE);
        let theirs = self.others.iter().filter(|(_, other)| now >= other.since + RESPONSE);
        let asked: BTreeSet<Domain> =
            ours.map(|(domain, _)| *domain).chain(theirs.map(|(domain, _)| *domain)).collect();
        let changed: BTreeSet<u16> = asked.symmetric_difference(&self.asked).map(|(vlan, _)| *vlan).collect();
        effects.changed.extend(changed.into_iter().map(|vlan| ROUTERS | Tag::from(vlan)));
        self.asked = asked;
    }

    /// A port is gone. All flows are to be taken back after that.
    pub(crate) fn remove(&mut self, port: PortNumber) {
        self.members.retain(|_, members| {
            members.remove(&port);
            !members.is_empty()
        });
        self.routers.retain(|(_, router), _| *router != port);
    }
}

#[cfg(test)]
mod tests;
