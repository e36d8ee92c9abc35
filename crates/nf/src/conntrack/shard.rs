//! A part of all connections, which one thread at a time works on: the index, the connections, their timers.
//!
//! What: a connection lives in the shard that the hash of its original tuple chooses. A translated one is also found by
//! its reply tuple: in the same index if the reply's hash chooses the same shard, else through an *alias* in that other
//! shard, which says the original's hash. No two shards are ever locked at once: what one has to tell another is kept in
//! [`Shard::removed`] until the first is let go.
//!
//! Invariants: each connection has one timer, set to its end or earlier; expired ones are not found. A place and its birth
//! name at most one connection ever.

use super::connection::{Connection, NOWHERE, Rare, Shelf, Wide, bit};
use super::index::Index;
use super::packet::{Parsed, ip};
use super::tcp::{self, TcpState, Update};
use super::timeout::{Policies, Timeout};
use super::tuple::{Hash, Secrets, Tuple};
use netloom_table::Wheel;

/// A tick of the timers: 2^27 nanoseconds, an eighth of a second.
const TICK: u32 = 27;
/// Marks aliases among the places of the index.
const ALIAS: u32 = 1 << 31;
/// Aliases of one hash that are followed.
const ALIASES: usize = 4;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A connection of this shard, and whether the tuple is its reply's.
    Here(u32, bool),
    /// Perhaps a connection with one of these hashes of its original tuple.
    Elsewhere([Option<Hash>; ALIASES]),
}

/// What others are to be told of a connection that is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removed {
    /// Its alias in another shard: the hash of its reply and that of its original tuple.
    pub(super) alias: Option<(Hash, Hash)>,
    pub(super) limit: u32,
    /// Its original tuple, if a helper watched it.
    pub(super) watched: Option<Tuple>,
}

/// What a new connection is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth<'a> {
    pub(super) original: &'a Tuple,
    pub(super) reply: &'a Tuple,
    /// Of [`bit`].
    pub(super) bits: u8,
    pub(super) mark: u32,
    pub(super) label: u128,
    pub(super) policy: u32,
    pub(super) limit: u32,
    /// The original tuple of the connection that a helper expected it by.
    pub(super) parent: Option<Tuple>,
}

/// A part of all connections.
#[derive(Debug)]
pub(super) struct Shard {
    number: usize,
    /// How many there are, less one.
    mask: usize,
    secrets: Secrets,
    index: Index,
    pub(super) connections: Shelf<Connection>,
    pub(super) wide: Shelf<Wide>,
    pub(super) rare: Shelf<Rare>,
    aliases: Shelf<Hash>,
    wheel: Wheel<u32>,
    pub(super) policies: Policies,
    births: u32,
    pub(super) removed: Vec<Removed>,
}

/// The shard that a hash chooses.
#[inline]
pub(super) const fn shard_of(hash: Hash, mask: usize) -> usize {
    (hash >> 32) as usize & mask
}

const fn tag(hash: Hash) -> u32 {
    hash as u32
}

impl Shard {
    pub(super) fn new(number: usize, mask: usize, secrets: Secrets, now: u64) -> Self {
        Self {
            number,
            mask,
            secrets,
            index: Index::new(),
            connections: Shelf::new(),
            wide: Shelf::new(),
            rare: Shelf::new(),
            aliases: Shelf::new(),
            wheel: Wheel::new(TICK, NOWHERE as usize, now),
            policies: Policies::default(),
            births: 0,
            removed: Vec::new(),
        }
    }

    /// Octets of memory, timers left out.
    pub(super) fn octets(&self) -> usize {
        self.index.octets()
            + self.connections.octets()
            + self.wide.octets()
            + self.rare.octets()
            + self.aliases.octets()
    }

    /// Whether the hash chooses this shard.
    #[inline]
    pub(super) const fn has(&self, hash: Hash) -> bool {
        shard_of(hash, self.mask) == self.number
    }

    /// Reads something of the index, so that memory is asked for early.
    #[inline]
    pub(super) fn touch(&self, hash: Hash) {
        self.index.touch(tag(hash));
    }

    /// Reads something of the connections that may be meant, so that memory is asked for early.
    #[inline]
    pub(super) fn touch_connection(&self, hash: Hash) {
        self.index.find(tag(hash), |place| {
            if let Some(connection) = self.connections.get(place) {
                std::hint::black_box((connection.bits, connection.birth));
            }
            true
        });
    }

    /// Finds the connection of a tuple, if it is in this shard.
    #[inline]
    pub(super) fn find_here(&self, tuple: &Tuple, hash: Hash, now: u64) -> Option<(u32, bool)> {
        let mut reply = false;
        let place = self.index.find(tag(hash), |place| {
            // Aliases are beyond all places of connections.
            let Some(connection) = self.connections.get(place).filter(|known| known.expires > now) else {
                return false;
            };
            match connection.direction(tuple, &self.wide) {
                Some(direction) => {
                    reply = direction;
                    true
                }
                None => false,
            }
        })?;
        Some((place, reply))
    }

    /// Finds the connection of a tuple. An expired one that is in the way is removed.
    #[inline]
    pub(super) fn find(&mut self, tuple: &Tuple, hash: Hash, now: u64) -> Found {
        let (mut aliases, mut count, mut expired, mut reply) = ([None; ALIASES], 0, None, false);
        let here = self.index.find(tag(hash), |place| {
            if place & ALIAS != 0 {
                if let (Some(alias), Some(to)) = (aliases.get_mut(count), self.aliases.get(place & !ALIAS)) {
                    (*alias, count) = (Some(*to), count + 1);
                }
                return false;
            }
            let Some(connection) = self.connections.get(place) else { return false };
            match connection.direction(tuple, &self.wide) {
                Some(_) if connection.expires <= now => {
                    expired = Some(place);
                    false
                }
                Some(direction) => {
                    reply = direction;
                    true
                }
                None => false,
            }
        });
        if let Some(expired) = expired {
            self.remove(expired);
        }
        match here {
            Some(place) => Found::Here(place, reply),
            None if count > 0 => Found::Elsewhere(aliases),
            None => Found::Nothing,
        }
    }

    /// Finds, by the hash of its original tuple, the connection that has this reply tuple.
    pub(super) fn find_reply(&mut self, tuple: &Tuple, original: Hash, now: u64) -> Option<u32> {
        self.index.find(tag(original), |place| {
            place & ALIAS == 0
                && self.connections.get(place).is_some_and(|connection| {
                    connection.expires > now && connection.direction(tuple, &self.wide) == Some(true)
                })
        })
    }

    /// Whether a hash is in use by an alias to the same original hash or by a connection with this tuple.
    pub(super) fn add_alias(&mut self, reply: &Tuple, hash: Hash, original: Hash, now: u64) -> bool {
        if self.find(reply, hash, now) != Found::Nothing {
            return false;
        }
        let Some(alias) = self.aliases.put(original) else { return false };
        let done = self.index.insert(tag(hash), alias | ALIAS);
        if !done {
            self.aliases.take(alias);
        }
        done
    }

    pub(super) fn remove_alias(&mut self, hash: Hash, original: Hash) {
        let place = self.index.find(tag(hash), |place| {
            place & ALIAS != 0 && self.aliases.get(place & !ALIAS) == Some(&original)
        });
        if let Some(place) = place {
            self.index.remove(tag(hash), place);
            self.aliases.take(place & !ALIAS);
        }
    }

    /// Makes a connection whose first packet this is; `None` without room. An alias in another shard is the caller's
    /// business.
    pub(super) fn insert(&mut self, birth: &Birth<'_>, packet: &Parsed, now: u64) -> Option<u32> {
        let (original, reply) = (birth.original, birth.reply);
        let (mut connection, wide) = Connection::new(original, reply);
        connection.bits |= birth.bits;
        connection.mark = birth.mark;
        connection.set_label(birth.label);
        connection.policy = birth.policy;
        connection.limit = birth.limit;
        self.births = self.births.wrapping_add(1);
        connection.birth = self.births;
        let first = match original.protocol {
            ip::TCP => {
                connection.peers = tcp::begin(&packet.segment);
                Timeout::TcpFirst
            }
            _ if original.is_icmp() => Timeout::IcmpFirst,
            _ => Timeout::First,
        };
        connection.expires = now.saturating_add(self.policies.get(birth.policy).nanoseconds(first));
        if let Some(wide) = wide {
            connection.wide = self.wide.put(wide)?;
        }
        if let Some(parent) = birth.parent {
            connection.bits |= bit::EXPECTED;
            match self.rare.put(Rare { parent, ..Rare::default() }) {
                Some(rare) => connection.rare = rare,
                None => {
                    self.drop_parts(&connection);
                    return None;
                }
            }
        }
        let expires = connection.expires;
        let Some(place) = self.connections.put(connection).filter(|place| place & ALIAS == 0) else {
            self.drop_parts(&connection);
            return None;
        };
        let (hash, reply_hash) = (original.hash(&self.secrets), reply.hash(&self.secrets));
        let second = hash != reply_hash && shard_of(reply_hash, self.mask) == self.number;
        let mut done = self.index.insert(tag(hash), place);
        if done && second && !self.index.insert(tag(reply_hash), place) {
            self.index.remove(tag(hash), place);
            done = false;
        }
        if done && self.arm(place, expires) {
            return Some(place);
        }
        if done {
            self.index.remove(tag(hash), place);
            if second {
                self.index.remove(tag(reply_hash), place);
            }
        }
        self.connections.take(place);
        self.drop_parts(&connection);
        None
    }

    fn drop_parts(&mut self, connection: &Connection) {
        if connection.wide != NOWHERE {
            self.wide.take(connection.wide);
        }
        if connection.rare != NOWHERE {
            self.rare.take(connection.rare);
        }
    }

    /// Sets a connection's timer.
    fn arm(&mut self, place: u32, time: u64) -> bool {
        let Some(connection) = self.connections.get_mut(place) else { return false };
        if let Some(timer) = connection.timer.take() {
            self.wheel.cancel(timer);
        }
        connection.timer = self.wheel.set(time, place).ok();
        connection.armed = (time >> TICK) as u32;
        connection.timer.is_some()
    }

    /// Lets a connection live for another while.
    #[inline]
    pub(super) fn prolong(&mut self, place: u32, timeout: Timeout, now: u64) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        let time = now.saturating_add(self.policies.get(connection.policy).nanoseconds(timeout));
        connection.expires = time;
        // A timer that is early is set anew when it fires.
        if ((time >> TICK) as u32).wrapping_sub(connection.armed) as i32 > -1 {
            return;
        }
        self.arm(place, time);
    }

    /// Takes a packet of a connection. `liberal`: TCP segments need not fit into their windows.
    #[inline]
    pub(super) fn update(
        &mut self,
        place: u32,
        packet: &Parsed,
        reply: bool,
        liberal: bool,
        now: u64,
    ) -> Update {
        let Some(connection) = self.connections.get_mut(place) else { return Update::Invalid };
        let update = match connection.protocol {
            ip::TCP => tcp::update(&mut connection.peers, &packet.segment, reply, liberal),
            _ => {
                let icmp = packet.tuple.is_icmp();
                other(&mut connection.peers[0].state, icmp, reply)
            }
        };
        match update {
            Update::Valid(Some(timeout)) | Update::First(timeout) => self.prolong(place, timeout, now),
            Update::Valid(None) | Update::Invalid | Update::Anew => {}
        }
        update
    }

    /// Takes a connection away.
    pub(super) fn remove(&mut self, place: u32) {
        let Some(connection) = self.connections.get(place).filter(|connection| connection.is(bit::ALIVE))
        else {
            return;
        };
        let connection = *connection;
        let (original, reply) = (connection.tuple(false, &self.wide), connection.tuple(true, &self.wide));
        let (hash, reply_hash) = (original.hash(&self.secrets), reply.hash(&self.secrets));
        self.index.remove(tag(hash), place);
        let mut alias = None;
        if hash != reply_hash {
            if shard_of(reply_hash, self.mask) == self.number {
                self.index.remove(tag(reply_hash), place);
            } else {
                alias = Some((reply_hash, hash));
            }
        }
        if let Some(timer) = connection.timer {
            self.wheel.cancel(timer);
        }
        self.connections.take(place);
        self.drop_parts(&connection);
        let watched = connection.is(bit::FTP | bit::TFTP).then_some(original);
        self.removed.push(Removed { alias, limit: connection.limit, watched });
    }

    /// Ends connections whose time has come, looking at so many timers at most; gives how many it looked at.
    pub(super) fn sweep(&mut self, now: u64, most: usize) -> usize {
        for count in 0..most {
            let Some(place) = self.wheel.pop(now) else { return count };
            let Some(connection) = self.connections.get_mut(place) else { continue };
            connection.timer = None;
            let expires = connection.expires;
            if expires <= now || !self.arm(place, expires) {
                self.remove(place);
            }
        }
        most
    }
}

/// Protocols without states of their own: what matters is whether an answer came.
fn other(state: &mut TcpState, icmp: bool, reply: bool) -> Update {
    // Nothing yet, several packets of one direction, both directions.
    let (first, several, both) = (TcpState::Closed, TcpState::Listen, TcpState::Established);
    if reply {
        *state = both;
    } else if *state == first && !icmp {
        *state = several;
    }
    match (*state == both, icmp) {
        (true, true) => Update::Valid(Some(Timeout::IcmpReply)),
        (false, true) => Update::First(Timeout::IcmpFirst),
        (true, false) => Update::Valid(Some(Timeout::Both)),
        (false, false) => Update::First(Timeout::Single),
    }
}
