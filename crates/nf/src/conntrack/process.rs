//! What happens to one packet.
//!
//! What: the order of things is that of Open vSwitch's `conntrack_execute`: a packet whose connection is known from an
//! earlier way through the same zone is only marked; else its tuple is read and looked for, the connection's state is
//! updated or a connection is made, the packet is translated, the key written, helpers are asked.

use super::connection::{Connection, bit};
use super::ftp;
use super::limit::Full;
use super::nat;
use super::packet::{Parsed, Reading, parse};
use super::request::{Connect, CtVerdict, Nat, Passing, Place, Refusal, Tracked, state};
use super::shard::{Birth, Found};
use super::tcp::{self, Update};
use super::tracker::Turn;
use super::translate::translate;
use super::tuple::{Hash, Tuple, answer_of};
use super::{expect::Expectation, request::NatRange};
use netloom_mem::Batch;
use netloom_table::{Field, Key};

/// A packet on its way.
pub(super) struct Work<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) index: usize,
    pub(super) key: &'a mut Key,
    pub(super) request: &'a Connect,
    pub(super) now: u64,
    pub(super) parsed: Parsed,
    pub(super) verdict: CtVerdict,
}

/// Where a connection is, and which direction a packet has.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) shard: usize,
    pub(super) place: u32,
    pub(super) reply: bool,
}

impl Turn<'_> {
    /// Takes a packet through connection tracking: reads and writes the fields of connections in its key, rewrites its
    /// headers in the batch, and with them the addresses and ports in the key. A fragment is invalid: [`crate::fragments`]
    /// puts it together before.
    pub fn process(
        &mut self,
        batch: &mut Batch,
        packet: &mut Passing<'_>,
        request: &Connect,
        now: u64,
    ) -> CtVerdict {
        if let Some(verdict) = self.again(batch, packet, request, now) {
            packet.verdict = verdict;
            return verdict;
        }
        let reading = self.tracker.reading(request.zone);
        let mut parsed = Parsed::default();
        if !is_ip(packet.key) || !parse(batch, packet.index, &packet.layers, reading, &mut parsed) {
            return invalid(packet, request);
        }
        let hash = parsed.tuple.hash(&self.tracker.secrets);
        self.process_parsed(batch, packet, &parsed, hash, request, now)
    }

    /// Deals with a packet that was read.
    pub(super) fn process_parsed(
        &mut self,
        batch: &mut Batch,
        packet: &mut Passing<'_>,
        parsed: &Parsed,
        hash: Hash,
        request: &Connect,
        now: u64,
    ) -> CtVerdict {
        let before = packet.key.get(Field::CT_STATE) as u32;
        let stays = u64::from(request.zone) == packet.key.get(Field::CT_ZONE);
        let before = if stays { before } else { 0 };
        if self.quick(batch, packet, parsed, hash, (before, request, now)) {
            return packet.verdict;
        }
        let verdict = CtVerdict { state: before, ..CtVerdict::default() };
        let index = packet.index;
        let mut work = Work { batch, index, key: packet.key, request, now, parsed: *parsed, verdict };
        self.one(&mut work, packet.tracked);
        packet.verdict = work.verdict;
        self.settle();
        packet.verdict
    }

    /// Deals with the common packet, of a known connection and in no way special; false for all others.
    #[inline]
    fn quick(
        &mut self,
        batch: &mut Batch,
        packet: &mut Passing<'_>,
        parsed: &Parsed,
        hash: Hash,
        (before, request, now): (u32, &Connect, u64),
    ) -> bool {
        let begins = parsed.segment.flags & (tcp::SYN | tcp::ACK) == tcp::SYN;
        if request.force || parsed.quoted.is_some() || begins || before & state::NAT != 0 {
            return false;
        }
        let liberal = self.tracker.is_liberal();
        let number = self.tracker.shard_of(hash);
        let shard = self.shard(number);
        let Some((place, reply)) = shard.find_here(&parsed.tuple, hash, now) else { return false };
        let Some(connection) = shard.connections.get(place) else { return false };
        if connection.is(bit::FTP | bit::TFTP | bit::EXPECTED) {
            return false;
        }
        let (birth, bits) = (connection.birth, connection.bits);
        let direction = if reply { state::REPLY } else { 0 };
        let bits_now = match shard.update(place, parsed, reply, liberal, now) {
            Update::Valid(_) => (before | state::ESTABLISHED | direction) & !state::NEW,
            Update::First(_) => before | state::NEW,
            // Only a SYN begins anew.
            Update::Invalid | Update::Anew => state::INVALID,
        };
        let mut verdict = CtVerdict { state: bits_now | state::TRACKED, ..CtVerdict::default() };
        let Some(connection) = shard.connections.get_mut(place) else { return false };
        if let Some((value, mask)) = request.mark {
            connection.mark = value & mask | connection.mark & !mask;
        }
        if let Some((value, mask)) = request.label {
            connection.set_label(value & mask | connection.label() & !mask);
        }
        let (mark, label) = (connection.mark, connection.label());
        let original = if reply { connection.tuple(false, &shard.wide) } else { parsed.tuple };
        packet.tracked.at = None;
        if request.nat.is_none() {
            *packet.tracked =
                Tracked { at: Some(Place { shard: number as u16, index: place, birth }), reply };
        } else if bits & (bit::SOURCE | bit::DESTINATION) != 0 {
            let source = (bits & bit::SOURCE != 0) != reply;
            let to = connection.tuple(!reply, &shard.wide).reversed();
            verdict.state |= if source { state::SOURCE_NAT } else { state::DESTINATION_NAT };
            verdict.changed = true;
            translate(batch, packet.index, parsed, &to, source, packet.key);
        }
        write(packet.key, verdict.state, request.zone, mark, label, Some(&original));
        packet.verdict = verdict;
        true
    }

    /// A packet that was here before, in the same zone.
    fn again(
        &mut self,
        batch: &mut Batch,
        packet: &mut Passing<'_>,
        request: &Connect,
        now: u64,
    ) -> Option<CtVerdict> {
        let Place { shard: number, index: place, birth } = packet.tracked.at.filter(|_| !request.force)?;
        let number = usize::from(number);
        let connection = self.shard(number).connections.get(place)?;
        let same = connection.birth == birth && connection.zone == request.zone;
        if !same || !connection.is(bit::ALIVE) || connection.is(bit::FTP | bit::TFTP) {
            return None;
        }
        let before = packet.key.get(Field::CT_STATE) as u32;
        let mut verdict = CtVerdict { state: before, ..CtVerdict::default() };
        if request.nat.is_some() {
            let reading = Reading { checksums: false, ..self.tracker.reading(request.zone) };
            let mut parsed = Parsed::default();
            if parse(batch, packet.index, &packet.layers, reading, &mut parsed) {
                let known = Known { shard: number, place, reply: packet.tracked.reply };
                let index = packet.index;
                let mut work = Work { batch, index, key: packet.key, request, now, parsed, verdict };
                self.translate(&mut work, known);
                verdict = work.verdict;
            }
            packet.tracked.at = None;
        }
        packet.key.set(Field::CT_STATE, u64::from(verdict.state));
        packet.key.set(Field::CT_ZONE, u64::from(request.zone));
        self.mark(packet.key, request, number, place);
        Some(verdict)
    }

    /// Writes mark and label of a connection to a packet's key, and before that what the request writes to them.
    fn mark(&mut self, key: &mut Key, request: &Connect, number: usize, place: u32) {
        let Some(connection) = self.shard(number).connections.get_mut(place) else { return };
        // What a helper expected has the marks of its cause.
        if !connection.is(bit::EXPECTED) {
            if let Some((value, mask)) = request.mark {
                connection.mark = value & mask | connection.mark & !mask;
            }
            if let Some((value, mask)) = request.label {
                connection.set_label(value & mask | connection.label() & !mask);
            }
        }
        marks(key, connection.mark, connection.label());
    }

    fn one(&mut self, work: &mut Work<'_>, tracked: &mut Tracked) {
        let (now, force) = (work.now, work.request.force);
        let translated = work.verdict.state & state::NAT != 0;
        let tuple = if translated { work.parsed.tuple.reversed() } else { work.parsed.tuple };
        let mut hash = tuple.hash(&self.tracker.secrets);
        let mut known = self.find(&tuple, hash, now).map(|(shard, place, reply)| Known {
            shard,
            place,
            reply: reply != translated,
        });
        if let Some(found) = known.filter(|_| translated) {
            // The packet goes on as the connection knows it.
            let shard = self.shard(found.shard);
            if let Some(connection) = shard.connections.get(found.place) {
                work.parsed.tuple = connection.tuple(found.reply, &shard.wide);
                hash = work.parsed.tuple.hash(&self.tracker.secrets);
            }
        }
        if let Some(found) = known.filter(|known| force && known.reply) {
            self.shard(found.shard).remove(found.place);
            known = None;
        }
        let mut creates = false;
        if let Some(found) = known {
            creates = self.update(work, found);
            if work.request.nat.is_some() && !creates {
                self.translate(work, found);
            }
        } else if let Some(found) = self.by_original(work) {
            creates = self.update(work, found);
            known = Some(found);
        } else if work.parsed.quoted.is_some() {
            work.verdict.state = state::INVALID;
        } else {
            creates = true;
        }
        let mut expected = None;
        if creates {
            expected = self.tracker.expectations.find(&work.parsed.tuple);
            known = match self.find(&work.parsed.tuple, hash, now) {
                // Another one has the tuple, too: it is not disturbed.
                Some(_) => None,
                None => self.begin(work, hash, expected.as_ref()),
            };
        }
        self.show(work, known, expected.as_ref());
        if let Some(found) = known {
            self.help(work, found);
        }
        *tracked = match known.filter(|_| work.request.nat.is_none()) {
            Some(found) => Tracked { at: self.place(found), reply: found.reply },
            None => Tracked::default(),
        };
        work.key.set(Field::CT_STATE, u64::from(work.verdict.state));
    }

    fn place(&mut self, found: Known) -> Option<Place> {
        let birth = self.shard(found.shard).connections.get(found.place)?.birth;
        Some(Place { shard: found.shard as u16, index: found.place, birth })
    }

    /// Updates the connection's state by the packet; true when the packet begins another connection instead.
    fn update(&mut self, work: &mut Work<'_>, found: Known) -> bool {
        let expected = {
            let Some(connection) = self.shard(found.shard).connections.get(found.place) else { return true };
            if connection.is(bit::FTP) && work.parsed.quoted.is_none() {
                return self.update_watched(work, found);
            }
            connection.is(bit::EXPECTED)
        };
        self.update_state(work, found, expected)
    }

    /// As [`Turn::update`], keeping the sequence numbers that the tracker sees those of the end that sends them.
    #[cold]
    fn update_watched(&mut self, work: &mut Work<'_>, found: Known) -> bool {
        let skewed = self.skew(found).is_some_and(|(_, reply)| reply == found.reply);
        if skewed {
            let creates = self.update_state(work, found, false);
            if !creates {
                ftp::shift(self, work, found);
            }
            creates
        } else {
            ftp::shift(self, work, found);
            self.update_state(work, found, false)
        }
    }

    /// By how much a helper has changed what one end sent, and whether it is the end that answers.
    pub(super) fn skew(&mut self, found: Known) -> Option<(i32, bool)> {
        let shard = self.shard(found.shard);
        let rare = shard.connections.get(found.place)?.rare;
        shard.rare.get(rare).map(|rare| (rare.skew, rare.skew_reply))
    }

    fn update_state(&mut self, work: &mut Work<'_>, found: Known, expected: bool) -> bool {
        let reply = if found.reply { state::REPLY } else { 0 };
        let bits = &mut work.verdict.state;
        if work.parsed.quoted.is_some() {
            *bits |= state::RELATED | reply;
            return false;
        }
        if expected {
            *bits |= state::RELATED;
        }
        let liberal = self.tracker.is_liberal();
        let shard = self.shard(found.shard);
        match shard.update(found.place, &work.parsed, found.reply, liberal, work.now) {
            Update::Valid(_) => *bits = (*bits | state::ESTABLISHED | reply) & !state::NEW,
            Update::Invalid => *bits = state::INVALID,
            Update::First(_) => *bits |= state::NEW,
            Update::Anew => {
                shard.remove(found.place);
                return true;
            }
        }
        false
    }

    /// Translates a packet as its connection has it, unless that was done.
    fn translate(&mut self, work: &mut Work<'_>, found: Known) {
        if work.verdict.state & state::NAT != 0 {
            return;
        }
        let shard = self.shard(found.shard);
        let Some(connection) = shard.connections.get(found.place) else { return };
        if !connection.is(bit::SOURCE | bit::DESTINATION) {
            return;
        }
        let source = connection.is(bit::SOURCE) != found.reply;
        let to = connection.tuple(!found.reply, &shard.wide).reversed();
        work.verdict.state |= if source { state::SOURCE_NAT } else { state::DESTINATION_NAT };
        work.verdict.changed = true;
        translate(work.batch, work.index, &work.parsed, &to, source, work.key);
    }

    /// The connection of a packet that was translated and has met other actions since, by the original tuple in its key.
    fn by_original(&mut self, work: &Work<'_>) -> Option<Known> {
        let key = &*work.key;
        let protocol = key.get(Field::CT_PROTO) as u8;
        if work.verdict.state & state::NAT == 0 || protocol == 0 || work.request.nat.is_some() {
            return None;
        }
        let six = work.parsed.tuple.six;
        let wide =
            |high: Field| u128::from(key.word(high.word())) << 64 | u128::from(key.word(high.word() + 1));
        let (source, destination) = if six {
            (wide(Field::CT6_SRC_HIGH), wide(Field::CT6_DST_HIGH))
        } else {
            (u128::from(key.get(Field::CT_SRC)), u128::from(key.get(Field::CT_DST)))
        };
        let mut tuple =
            Tuple { source, destination, six, protocol, zone: work.request.zone, ..Tuple::default() };
        tuple.source_port = key.get(Field::CT_TP_SRC) as u16;
        tuple.destination_port = key.get(Field::CT_TP_DST) as u16;
        if tuple.is_icmp() {
            let kind = tuple.source_port as u8;
            answer_of(kind, six)?;
            tuple.source_port = work.parsed.tuple.source_port;
            tuple.destination_port = u16::from(kind) << 8;
        }
        let hash = tuple.hash(&self.tracker.secrets);
        // Open vSwitch takes such a packet for one of the original direction.
        let (shard, place, _) = self.find(&tuple, hash, work.now)?;
        Some(Known { shard, place, reply: false })
    }

    /// A packet without a connection: begins one if it may and is to.
    fn begin(&mut self, work: &mut Work<'_>, hash: u64, expected: Option<&Expectation>) -> Option<Known> {
        if !work.parsed.may_begin() {
            work.verdict.state = state::INVALID;
            return None;
        }
        work.verdict.state = state::NEW | if expected.is_some() { state::RELATED } else { 0 };
        if !work.request.commit && !work.request.force {
            return None;
        }
        match self.remember(work, hash, expected) {
            Ok(found) => Some(found),
            Err(refusal) => {
                work.verdict.refused = Some(refusal);
                None
            }
        }
    }

    fn remember(
        &mut self,
        work: &mut Work<'_>,
        hash: u64,
        expected: Option<&Expectation>,
    ) -> Result<Known, Refusal> {
        let request = work.request;
        let original = work.parsed.tuple;
        let limit = self.tracker.limits.admit(request.zone).map_err(|full| match full {
            Full::All => Refusal::Full,
            Full::Zone => Refusal::ZoneLimit,
        })?;
        let refused = |turn: &Self, refusal| {
            turn.tracker.limits.dismiss(limit);
            Err(refusal)
        };
        let mut bits = ftp::bits(request, &original);
        let mut reply = original.reversed();
        match (&request.nat, expected) {
            (Some(_), Some(expected)) => {
                if expected.replaces_source {
                    reply.destination = expected.replacement;
                    bits |= bit::SOURCE;
                } else {
                    reply.source = expected.replacement;
                    bits |= bit::DESTINATION;
                }
                let hash = reply.hash(&self.tracker.secrets);
                if self.find(&reply, hash, work.now).is_some() {
                    return refused(self, Refusal::NatExhausted);
                }
            }
            (Some(nat), None) => {
                match nat::choose(self, &original, nat, work.now) {
                    Some(chosen) => reply = chosen,
                    None => return refused(self, Refusal::NatExhausted),
                }
                bits |= match nat {
                    Nat::Known => 0,
                    Nat::Source(NatRange { .. }) => bit::SOURCE,
                    Nat::Destination(_) => bit::DESTINATION,
                };
            }
            (None, _) => {}
        }
        let reply_hash = reply.hash(&self.tracker.secrets);
        let (number, other) = (self.tracker.shard_of(hash), self.tracker.shard_of(reply_hash));
        if number != other && !self.shard(other).add_alias(&reply, reply_hash, hash, work.now) {
            return refused(self, Refusal::NatExhausted);
        }
        let birth = Birth {
            original: &original,
            reply: &reply,
            bits,
            mark: expected.map_or(0, |expected| expected.mark),
            label: expected.map_or(0, |expected| expected.label),
            policy: request.timeout.unwrap_or(0),
            limit,
            parent: expected.map(|expected| expected.parent),
        };
        let (parsed, now) = (work.parsed, work.now);
        let shard = self.shard(number);
        // Another worker may have been here in between, if another shard was asked.
        let taken = number != other && shard.find(&original, hash, now) != Found::Nothing;
        let place = if taken { None } else { shard.insert(&birth, &parsed, now) };
        let Some(place) = place else {
            if number != other {
                self.shard(other).remove_alias(reply_hash, hash);
            }
            return refused(self, Refusal::Full);
        };
        let found = Known { shard: number, place, reply: false };
        if request.nat.is_some() {
            self.translate(work, found);
        }
        Ok(found)
    }

    /// Writes the fields of connections to the packet's key.
    fn show(&mut self, work: &mut Work<'_>, known: Option<Known>, expected: Option<&Expectation>) {
        work.verdict.state |= state::TRACKED;
        let (bits, zone) = (work.verdict.state, work.request.zone);
        let Some(found) = known else {
            let (mark, label, tuple) = match expected {
                Some(expected) => (expected.mark, expected.label, expected.parent),
                None => (0, 0, work.parsed.tuple),
            };
            return write(work.key, bits, zone, mark, label, Some(&tuple));
        };
        let shard = self.shard(found.shard);
        let Some(connection) = shard.connections.get(found.place) else { return };
        let tuple = match shard.rare.get(connection.rare).filter(|_| connection.is(bit::EXPECTED)) {
            Some(rare) => rare.parent,
            None => connection.tuple(false, &shard.wide),
        };
        let Connection { mark, .. } = *connection;
        write(work.key, bits, zone, mark, connection.label(), Some(&tuple));
        if work.request.mark.is_some() || work.request.label.is_some() {
            self.mark(work.key, work.request, found.shard, found.place);
        }
    }

    /// Asks the helper of the connection, if it has one.
    fn help(&mut self, work: &mut Work<'_>, found: Known) {
        let shard = self.shard(found.shard);
        let Some(connection) = shard.connections.get(found.place) else { return };
        if connection.is(bit::FTP | bit::TFTP) && work.parsed.quoted.is_none() {
            ftp::help(self, work, found);
        }
    }
}

pub(super) fn is_ip(key: &Key) -> bool {
    matches!(key.get(Field::ETH_TYPE), 0x0800 | 0x86dd)
}

/// Writes what a packet has that can't be tracked.
#[cold]
pub(super) fn invalid(packet: &mut Passing<'_>, request: &Connect) -> CtVerdict {
    packet.verdict = CtVerdict { state: state::INVALID | state::TRACKED, ..CtVerdict::default() };
    write(packet.key, packet.verdict.state, request.zone, 0, 0, None);
    packet.verdict
}

#[inline]
fn marks(key: &mut Key, mark: u32, label: u128) {
    key.set(Field::CT_MARK, u64::from(mark));
    if label != 0 || key.used() & LABEL != 0 {
        key.set_word(Field::CT_LABEL_HIGH.word(), (label >> 64) as u64);
        key.set_word(Field::CT_LABEL_LOW.word(), label as u64);
    }
}

/// Writes all fields of connections; without a tuple those of it are zero.
#[inline]
fn write(key: &mut Key, bits: u32, zone: u16, mark: u32, label: u128, tuple: Option<&Tuple>) {
    let protocol = tuple.map_or(0, |tuple| tuple.protocol);
    let state = u64::from(bits) << 32 | u64::from(zone) << 16 | u64::from(protocol) << 8;
    // What tunnels say stands in the same words.
    key.set_word(Field::CT_STATE.word(), key.word(Field::CT_STATE.word()) & !STATE | state);
    marks(key, mark, label);
    let (mut short, mut ports) = (0, 0);
    if let Some(tuple) = tuple {
        let (source, destination) = tuple.shown_ports();
        ports = u64::from(source) << 48 | u64::from(destination) << 32;
        if !tuple.six {
            short = (tuple.source as u64) << 32 | tuple.destination as u64;
        }
    }
    key.set_word(Field::CT_SRC.word(), short);
    key.set_word(Field::CT_TP_SRC.word(), key.word(Field::CT_TP_SRC.word()) & !PORTS | ports);
    let six = tuple.filter(|tuple| tuple.six);
    if six.is_some() || key.used() & WIDE != 0 {
        let (source, destination) = six.map_or((0, 0), |tuple| (tuple.source, tuple.destination));
        let first = Field::CT6_SRC_HIGH.word();
        let words = [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64];
        for (index, word) in words.into_iter().enumerate() {
            key.set_word(first + index, word);
        }
    }
}

/// State, zone and protocol in their word.
const STATE: u64 = Field::CT_STATE.ones() << Field::CT_STATE.shift()
    | Field::CT_ZONE.ones() << Field::CT_ZONE.shift()
    | Field::CT_PROTO.ones() << Field::CT_PROTO.shift();
/// Ports of an original tuple in their word.
const PORTS: u64 =
    Field::CT_TP_SRC.ones() << Field::CT_TP_SRC.shift() | Field::CT_TP_DST.ones() << Field::CT_TP_DST.shift();
/// Words of labels.
const LABEL: u64 = 3 << Field::CT_LABEL_HIGH.word();
/// Words of the addresses of an original tuple of IPv6.
const WIDE: u64 = 15 << Field::CT6_SRC_HIGH.word();

/// Takes everything about connections out of a packet's key (`ct_clear`).
pub fn clear(key: &mut Key, tracked: &mut Tracked) {
    write(key, 0, 0, 0, 0, None);
    *tracked = Tracked::default();
}
