//! One mask: a hash table of masked keys, with what is needed to give up early.
//!
//! ```text
//! buckets   hash of all words -> first rule of a chain (through the rules themselves)
//! records   the masked words of each rule, side by side
//! stages    for each stage but the last: how many rules have this hash of the words so far
//! ports     a prefix tree of the transport ports, if the mask has some
//! ```

use super::stage::{STAGES, order};
use super::trie::Trie;
use super::{Entry, NOBODY, Version};
use crate::key::{Field, Key, Mask, WORDS};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// What is hashed already is not hashed again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn write_u32(&mut self, value: u32) {
        // The map takes its tags from the upper bits.
        self.0 = u64::from(value) << 32 | u64::from(value);
    }
}

pub(super) type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<Hashed>>;

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    (product >> 64) as u64 ^ product as u64
}

#[derive(Debug)]
pub(super) struct Subtable {
    pub(super) mask: Box<Mask>,
    /// Parts of the mask and the words they are of, stage by stage.
    words: Box<[(u64, u8)]>,
    ends: [u8; STAGES],
    /// By hash, for the stages after which a look can end early.
    stages: [Option<ByHash<u32, u32>>; STAGES - 1],
    buckets: Vec<u32>,
    records: Vec<u64>,
    free: Vec<u32>,
    /// Different keys: rules that are first of their chain.
    keys: usize,
    pub(super) rules: usize,
    /// How many rules of each priority there are.
    priorities: BTreeMap<u32, u32>,
    pub(super) highest: u32,
    /// For each prefix tree of the classifier the length of this mask's prefix, or 0.
    pub(super) lengths: Box<[u8]>,
    ports: Option<(Box<Trie>, u8)>,
    seed: u64,
}

/// Where the search in one table ended.
pub(super) enum Outcome {
    /// A rule has all the words.
    Rule(u32),
    /// No rule has the words of the stages so far.
    Stage(usize),
    /// No rule has the ports: so many bits of them tell.
    Ports(usize, u8),
    /// No rule has all the words.
    None,
}

const PORTS: u64 =
    Field::TP_SRC.ones() << Field::TP_SRC.shift() | Field::TP_DST.ones() << Field::TP_DST.shift();

impl Subtable {
    pub(super) fn new(mask: &Mask, lengths: Box<[u8]>, seed: u64) -> Self {
        let (words, ends) = order(mask);
        let last = ends[STAGES - 1];
        let mut stages = [const { None }; STAGES - 1];
        let mut before = 0;
        for (stage, end) in stages.iter_mut().zip(ends) {
            if end > before && end < last {
                *stage = Some(ByHash::default());
                before = end;
            }
        }
        let ports = mask.words()[Field::TP_SRC.word()] & PORTS;
        let length = 32 - ((ports >> 32) as u32).trailing_zeros().min(32) as u8;
        Self {
            mask: Box::new(mask.clone()),
            words,
            ends,
            stages,
            buckets: vec![NOBODY; 2],
            records: Vec::new(),
            free: Vec::new(),
            keys: 0,
            rules: 0,
            priorities: BTreeMap::new(),
            highest: 0,
            lengths,
            ports: (length > 0).then(|| (Box::default(), length)),
            seed,
        }
    }

    fn ports_of(key: &Key, mask: &Mask) -> u128 {
        let word = Field::TP_SRC.word();
        u128::from((key.words()[word] & mask.words()[word] & PORTS) >> 32) << 96
    }

    fn values<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = u64> + 'a {
        self.words.iter().map(|(mask, word)| key.words()[usize::from(*word) % WORDS] & mask)
    }

    pub(super) fn hash(&self, key: &Key) -> u64 {
        self.values(key).fold(self.seed, mix)
    }

    fn record(&self, record: u32) -> &[u64] {
        let from = record as usize * self.words.len();
        &self.records[from..from + self.words.len()]
    }

    /// The first rule of the chain with this key.
    #[inline]
    pub(super) fn first<T>(&self, entries: &[Entry<T>], key: &Key, hash: u64) -> Option<u32> {
        let mut place = self.buckets[hash as usize & (self.buckets.len() - 1)];
        while let Some(entry) = entries.get(place as usize) {
            if entry.hash == (hash >> 32) as u32
                && self.record(entry.record).iter().copied().eq(self.values(key))
            {
                return Some(place);
            }
            place = entry.next;
        }
        None
    }

    /// The rule of highest priority that has a packet's words and is visible, or why there is none. `prefixes` is asked
    /// before each stage whether a prefix tree knows that none fits.
    #[inline]
    pub(super) fn find<T>(
        &self,
        entries: &[Entry<T>],
        key: &Key,
        version: Version,
        mut prefixes: impl FnMut(&[u8], usize) -> bool,
    ) -> Outcome {
        let (mut hash, mut from, mut asked) = (self.seed, 0, 0);
        for (stage, end) in self.ends.iter().enumerate() {
            let index = self.stages.get(stage).and_then(Option::as_ref);
            if index.is_none() && stage < STAGES - 1 {
                continue;
            }
            // The trees of all stages that are compared together now.
            for part in asked..=stage {
                if prefixes(&self.lengths, part) {
                    return Outcome::Stage(from);
                }
            }
            asked = stage + 1;
            for (mask, word) in &self.words[from..usize::from(*end)] {
                hash = mix(hash, key.words()[usize::from(*word) % WORDS] & mask);
            }
            if let Some(index) = index {
                from = usize::from(*end);
                if !index.contains_key(&((hash >> 32) as u32)) {
                    return Outcome::Stage(from);
                }
            }
        }
        let mut place = self.first(entries, key, hash).unwrap_or(NOBODY);
        while let Some(entry) = entries.get(place as usize) {
            if entry.visible(version) {
                return Outcome::Rule(place);
            }
            place = entry.lower;
        }
        if let Some((trie, length)) = &self.ports {
            let answer = trie.find(Self::ports_of(key, &self.mask), *length);
            if !answer.has(*length) {
                return Outcome::Ports(from, answer.looked);
            }
        }
        Outcome::None
    }

    /// Adds to `looked` what a search that ended so looked at.
    pub(super) fn look(&self, outcome: &Outcome, looked: &mut Mask) {
        let words = match outcome {
            Outcome::Rule(_) | Outcome::None => return looked.merge(&self.mask),
            Outcome::Stage(words) => *words,
            Outcome::Ports(words, bits) => {
                let ports = self.mask.words()[Field::TP_SRC.word()] & PORTS;
                let first = (u64::from(u32::MAX) << 32).checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                looked.add_word(Field::TP_SRC.word(), ports & first);
                *words
            }
        };
        for (mask, word) in &self.words[..words] {
            looked.add_word(usize::from(*word), *mask);
        }
    }

    /// Makes room for a rule and gives its record.
    pub(super) fn note(&mut self, key: &Key, priority: u32) -> u32 {
        let size = self.words.len();
        let record = self.free.pop().unwrap_or_else(|| {
            let record = self.records.len().checked_div(size).unwrap_or(0) as u32;
            self.records.resize(self.records.len() + size, 0);
            record
        });
        let from = record as usize * size;
        for (place, (mask, word)) in self.records[from..from + size].iter_mut().zip(&self.words) {
            *place = key.words()[usize::from(*word) % WORDS] & mask;
        }
        *self.priorities.entry(priority).or_insert(0) += 1;
        self.highest = self.highest.max(priority);
        self.rules += 1;
        self.count(record, true);
        record
    }

    /// Takes a rule's record back.
    pub(super) fn forget(&mut self, record: u32, priority: u32) {
        self.count(record, false);
        if !self.words.is_empty() {
            self.free.push(record);
        }
        if let Some(count) = self.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&priority);
            }
        }
        self.highest = self.priorities.last_key_value().map_or(0, |(priority, _)| *priority);
        self.rules -= 1;
    }

    /// Counts a record in or out for the stages and the ports.
    fn count(&mut self, record: u32, more: bool) {
        let from = record as usize * self.words.len();
        let record = &self.records[from..from + self.words.len()];
        let (mut hash, mut done) = (self.seed, 0);
        for (index, end) in self.stages.iter_mut().zip(self.ends) {
            let Some(index) = index else { continue };
            for value in &record[done..usize::from(end)] {
                hash = mix(hash, *value);
            }
            done = usize::from(end);
            let part = (hash >> 32) as u32;
            let count = index.entry(part).or_insert(0);
            if more {
                *count += 1;
            } else {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    index.remove(&part);
                }
            }
        }
        if let Some((trie, length)) = &mut self.ports {
            let values = self.words.iter().zip(record);
            let ports = values.filter(|((_, word), _)| usize::from(*word) == Field::TP_SRC.word());
            let value = u128::from(ports.fold(0, |all, (_, value)| all | value & PORTS) >> 32) << 96;
            if more {
                trie.insert(value, *length);
            } else {
                trie.remove(value, *length);
            }
        }
    }

    /// Puts the first rule of a new key into its bucket.
    pub(super) fn hang<T>(&mut self, entries: &mut [Entry<T>], place: u32, hash: u64) {
        if self.keys >= self.buckets.len() {
            self.grow(entries);
        }
        let last = self.buckets.len() - 1;
        let bucket = &mut self.buckets[hash as usize & last];
        entries[place as usize].next = std::mem::replace(bucket, place);
        self.keys += 1;
    }

    /// Puts another rule, or none, where the first of a key was.
    pub(super) fn replace<T>(&mut self, entries: &mut [Entry<T>], place: u32, by: u32, hash: u64) {
        let next = entries[place as usize].next;
        let successor = if by == NOBODY {
            self.keys -= 1;
            next
        } else {
            entries[by as usize].next = next;
            by
        };
        let last = self.buckets.len() - 1;
        let bucket = &mut self.buckets[hash as usize & last];
        if *bucket == place {
            *bucket = successor;
            return;
        }
        let mut at = *bucket;
        while let Some(entry) = entries.get_mut(at as usize) {
            if entry.next == place {
                entry.next = successor;
                return;
            }
            at = entry.next;
        }
    }

    #[cold]
    fn grow<T>(&mut self, entries: &mut [Entry<T>]) {
        let old = std::mem::take(&mut self.buckets);
        let last = old.len() * 2 - 1;
        self.buckets = vec![NOBODY; old.len() * 2];
        for mut place in old {
            while let Some(entry) = entries.get(place as usize) {
                let next = entry.next;
                let hash = self.record(entry.record).iter().copied().fold(self.seed, mix);
                let bucket = &mut self.buckets[hash as usize & last];
                entries[place as usize].next = std::mem::replace(bucket, place);
                place = next;
            }
        }
    }

    /// The values of a rule as a key.
    pub(super) fn key(&self, record: u32) -> Key {
        let mut key = Key::default();
        for ((_, word), value) in self.words.iter().zip(self.record(record)) {
            let word = usize::from(*word);
            key.set_word(word, key.word(word) | value);
        }
        key
    }

    /// The first rules of all keys.
    pub(super) fn firsts<'a, T>(&'a self, entries: &'a [Entry<T>]) -> impl Iterator<Item = u32> + 'a {
        self.buckets.iter().flat_map(|first| {
            let following = |place: &u32| {
                entries.get(*place as usize).map(|entry| entry.next).filter(|next| *next != NOBODY)
            };
            std::iter::successors((*first != NOBODY).then_some(*first), following)
        })
    }

    /// Whether the bits of `mask` are compared here, and have these values in a rule.
    pub(super) fn agrees(&self, record: u32, key: &Key, mask: &Mask) -> bool {
        let values = self.record(record);
        self.words.iter().zip(values).all(|((own, word), value)| {
            let word = usize::from(*word);
            (value ^ key.word(word)) & mask.words()[word] & own == 0
        })
    }

    /// Octets it holds.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + size_of::<Mask>()
            + self.words.len() * 16
            + (self.buckets.capacity() + self.free.capacity()) * 4
            + self.records.capacity() * 8
            + self.stages.iter().flatten().map(|stage| stage.capacity() * 9).sum::<usize>()
            + self.priorities.len() * 12
            + self.ports.as_ref().map_or(0, |(trie, _)| trie.memory())
    }
}
