//! The megaflow cache: from a packet's key to the flow that was computed for all packets like it.
//!
//! ```text
//! rows              the record of a port's last packets, if they all had the same: a guess that is verified
//! signature cache   hash of the whole hot key -> (subtable, record), a guess that is verified
//! subtables         one per mask, most used first; a masked key -> record
//! record            flow number | the words of the key that the mask lets through
//! ```
//!
//! Invariants (the megaflow laws):
//! - *Sound*: what is found equals the packet in every bit of the flow's mask.
//! - *Disjoint*: whoever inserts takes care that no packet fits two flows; so the first find is the right one, and the
//!   order of the subtables does not matter.
//! - *Transparent*: rows and the signature cache never change a result, only how soon it is found.
//! - Every mask is as coarse as what was looked at, until there are many ([`Megaflows::fit`]).
//! - Numbers of masks and flows are bounded; an insertion beyond is refused, never another flow pushed out.
//!
//! Costs: a find in a subtable touches two cache lines (bucket, record); a batch has them fetched together. With up to
//! [`DIRECT`] subtables the signature cache is passed over, because verifying a guess costs as much as asking them. A port whose
//! packets come in rows of one flow pays one comparison for each, whatever others have filled the cache with.

mod economy;
mod signature;
mod subtable;

use crate::key::{Field, Key, Mask};
use signature::{Guess, Signatures};
use subtable::Subtable;

/// Number of a flow, given by who inserts it.
pub type Flow = u32;
/// No flow.
pub const NONE: Flow = u32::MAX;
/// Most keys in a batch.
pub const BATCH: usize = 32;
/// Up to this many subtables are asked directly.
pub const DIRECT: usize = 2;
/// Ports that are told apart when rows are remembered; those with equal numbers modulo this share one.
const ROWS: usize = 16;
/// Packets in a batch that may be of other flows before a row counts as ended.
const STRAYS: u32 = 4;
/// After how many batches the subtables are sorted by use.
const SORT: u32 = 1024;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Flows.
    pub flows: usize,
    /// Different masks.
    pub masks: usize,
    /// Entries of the signature cache (16 octets for each two), a power of two.
    pub signatures: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { flows: 1 << 20, masks: 128, signatures: 1 << 17 }
    }
}

/// Where a flow is, from its insertion to its removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    subtable: u16,
    record: u32,
}

/// Why a flow was not inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many flows as there may be.
    Flows,
    /// There are as many masks as there may be.
    Masks,
    /// There is a flow with this key and mask.
    Exists(Flow),
}

/// Where packets were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// By the signature cache.
    pub signatures: u64,
    /// By a subtable.
    pub subtables: u64,
    /// Nowhere.
    pub misses: u64,
    /// Subtables that were asked, for all packets together.
    pub asked: u64,
}

/// The cache of one worker.
#[derive(Debug)]
pub struct Megaflows {
    subtables: Vec<Subtable>,
    /// Numbers of subtables that are not empty, most used first.
    order: Vec<u16>,
    signatures: Signatures,
    /// What the last packets of a port had: the subtable and the record.
    rows: [Option<(u16, u32)>; ROWS],
    bounds: Bounds,
    flows: usize,
    seed: u64,
    batches: u32,
    statistics: Statistics,
}

/// Mixes one word into a hash: the high and low halves of a product, so that every bit in counts for every bit out.
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    (product >> 64) as u64 ^ product as u64
}

impl Megaflows {
    /// An empty cache. `seed` keeps senders from choosing packets that collide; take it from the system's randomness.
    #[must_use]
    pub fn new(bounds: Bounds, seed: u64) -> Self {
        Self {
            subtables: Vec::new(),
            order: Vec::new(),
            signatures: Signatures::new(bounds.signatures),
            rows: [None; ROWS],
            bounds,
            flows: 0,
            seed,
            batches: 0,
            statistics: Statistics::default(),
        }
    }

    /// How many flows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.flows
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.flows == 0
    }

    /// How many masks are in use.
    #[must_use]
    pub fn masks(&self) -> usize {
        self.order.len()
    }

    /// Where packets were found so far.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Adds a flow for all packets that equal `key` in the bits of `mask`.
    ///
    /// # Errors
    /// When there is one already, or a bound is reached.
    pub fn insert(&mut self, key: &Key, mask: &Mask, flow: Flow) -> Result<Place, Refused> {
        let known =
            self.order.iter().copied().find(|number| self.subtables[usize::from(*number)].mask() == mask);
        let number = match known {
            Some(number) => number,
            None if self.order.len() >= self.bounds.masks => return Err(Refused::Masks),
            None => {
                let free = self.subtables.iter().position(Subtable::is_empty);
                let number = free.unwrap_or(self.subtables.len()) as u16;
                let subtable = Subtable::new(mask, self.seed);
                match free {
                    Some(free) => self.subtables[free] = subtable,
                    None => self.subtables.push(subtable),
                }
                number
            }
        };
        if let Some(existing) = self.subtables[usize::from(number)].find(key) {
            return Err(Refused::Exists(existing));
        }
        if self.flows >= self.bounds.flows {
            return Err(Refused::Flows);
        }
        let record = self.subtables[usize::from(number)].insert(key, flow);
        if known.is_none() {
            self.order.push(number);
        }
        self.flows += 1;
        Ok(Place { subtable: number, record })
    }

    /// Takes the flow out that was inserted at a place.
    pub fn remove(&mut self, place: Place) -> Option<Flow> {
        let subtable = self.subtables.get_mut(usize::from(place.subtable))?;
        let flow = subtable.remove(place.record)?;
        if subtable.is_empty() {
            self.order.retain(|number| *number != place.subtable);
        }
        self.flows -= 1;
        Some(flow)
    }

    /// The key (masked) and the mask of the flow at a place.
    #[must_use]
    pub fn describe(&self, place: Place) -> Option<(Key, Mask)> {
        let subtable = self.subtables.get(usize::from(place.subtable))?;
        Some((subtable.key(place.record)?, subtable.mask().clone()))
    }

    /// Takes all flows out.
    pub fn clear(&mut self) {
        self.subtables.clear();
        self.order.clear();
        self.signatures.clear();
        self.rows = [None; ROWS];
        self.flows = 0;
    }

    /// The flow of one key, without touching statistics or the signature cache.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Flow> {
        self.order.iter().find_map(|number| self.subtables[usize::from(*number)].find(key))
    }

    /// The flows of the first `count` keys; [`NONE`] where there is none.
    #[inline]
    pub fn find_batch(&mut self, keys: &[Key; BATCH], count: usize, found: &mut [Flow; BATCH]) {
        found.fill(NONE);
        let count = count.min(BATCH);
        let mut wanted: u32 = if count == BATCH { u32::MAX } else { (1 << count) - 1 };
        self.batches = self.batches.wrapping_add(1);
        if self.batches.is_multiple_of(SORT) {
            self.sort();
        }
        let row = keys[0].get(Field::IN_PORT) as usize % ROWS;
        if self.rows[row].is_some() {
            self.follow_row(row, keys, &mut wanted, found);
            if wanted == 0 {
                return;
            }
        }
        let rest = wanted;
        self.find_rest(keys, wanted, found);
        // A whole batch of one flow begins a row.
        if count == BATCH
            && rest == u32::MAX
            && found[0] != NONE
            && found.iter().all(|flow| *flow == found[0])
        {
            self.rows[row] = self.place_of(&keys[0]);
        }
    }

    /// Compares packets with what the last ones of their port had.
    #[inline]
    fn follow_row(&mut self, row: usize, keys: &[Key; BATCH], wanted: &mut u32, found: &mut [Flow; BATCH]) {
        let Some((number, record)) = self.rows[row] else { return };
        let Some(subtable) = self.subtables.get_mut(usize::from(number)) else { return };
        let (before, mut strays) = (*wanted, 0);
        for index in crate::key::bits(u64::from(before)) {
            if let Some(flow) = subtable.verify(&keys[index], record) {
                found[index] = flow;
                *wanted &= !(1 << index);
            } else {
                strays += 1;
                if strays > STRAYS {
                    self.rows[row] = None;
                    break;
                }
            }
        }
        let hits = u64::from((before & !*wanted).count_ones());
        subtable.count(hits);
        self.statistics.asked += hits;
        self.statistics.subtables += hits;
    }

    /// The subtable and the record of a key.
    #[cold]
    fn place_of(&self, key: &Key) -> Option<(u16, u32)> {
        self.order
            .iter()
            .find_map(|number| Some((*number, self.subtables[usize::from(*number)].record(key)?)))
    }

    fn find_rest(&mut self, keys: &[Key; BATCH], mut wanted: u32, found: &mut [Flow; BATCH]) {
        let count = wanted.count_ones();
        if let [only] = self.order[..] {
            let subtable = &mut self.subtables[usize::from(only)];
            subtable.find_batch(keys, &mut wanted, found);
            self.statistics.asked += u64::from(count);
            self.statistics.subtables += u64::from(count - wanted.count_ones());
            self.statistics.misses += u64::from(wanted.count_ones());
            return;
        }
        self.find_in_many(keys, wanted, found);
    }

    fn find_in_many(&mut self, keys: &[Key; BATCH], mut wanted: u32, found: &mut [Flow; BATCH]) {
        let mut guesses = [Guess::default(); BATCH];
        let guessing = self.order.len() > DIRECT;
        if guessing {
            let before = wanted;
            self.guess(keys, &mut wanted, found, &mut guesses);
            self.statistics.signatures += u64::from((before & !wanted).count_ones());
        }
        let missed = wanted;
        for number in &self.order {
            if wanted == 0 {
                break;
            }
            self.statistics.asked += u64::from(wanted.count_ones());
            let subtable = &mut self.subtables[usize::from(*number)];
            let before = wanted;
            let records = subtable.find_batch(keys, &mut wanted, found);
            if guessing {
                for index in crate::key::bits(u64::from(before & !wanted)) {
                    self.signatures.learn(guesses[index], *number, records[index]);
                }
            }
        }
        self.statistics.subtables += u64::from((missed & !wanted).count_ones());
        self.statistics.misses += u64::from(wanted.count_ones());
    }

    /// Asks the signature cache, in steps over the whole batch so that memory answers for all at once.
    fn guess(
        &self,
        keys: &[Key; BATCH],
        wanted: &mut u32,
        found: &mut [Flow; BATCH],
        guesses: &mut [Guess; BATCH],
    ) {
        for index in crate::key::bits(u64::from(*wanted)) {
            guesses[index] = self.signatures.guess(&keys[index], self.seed);
            self.signatures.prefetch(guesses[index]);
        }
        let mut places = [None; BATCH];
        for index in crate::key::bits(u64::from(*wanted)) {
            places[index] = self.signatures.look(guesses[index]);
            if let Some((subtable, record)) = places[index]
                && let Some(subtable) = self.subtables.get(usize::from(subtable))
            {
                subtable.prefetch(record);
            }
        }
        for index in crate::key::bits(u64::from(*wanted)) {
            let flow = places[index].and_then(|(subtable, record)| {
                self.subtables.get(usize::from(subtable))?.verify(&keys[index], record)
            });
            if let Some(flow) = flow {
                found[index] = flow;
                *wanted &= !(1 << index);
            }
        }
    }

    #[cold]
    fn sort(&mut self) {
        let subtables = &self.subtables;
        self.order.sort_by_key(|number| std::cmp::Reverse(subtables[usize::from(*number)].hits()));
        for subtable in &mut self.subtables {
            subtable.forget_half();
        }
    }
}

#[cfg(test)]
mod tests;
