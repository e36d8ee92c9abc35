//! One mask: a hash table of masked keys.
//!
//! ```text
//! bucket (one cache line)   8 tags of 16 bits | 8 record numbers | whether later buckets may hold its keys too
//! record                    flow number, then the masked words of the key
//! ```
//!
//! Invariants: a key's record is in its bucket, or in the next one of the row that is not full, and every bucket passed
//! over is marked as overflowed. A free record has the flow number [`NONE`] and matches nothing.
//!
//! Costs: grows by doubling at three quarters; growing moves buckets only, records stay where they are, so that
//! guesses about them stay good.

use super::{BATCH, Flow, NONE, mix};
use crate::key::{Key, Mask, WORDS, bits};
use netloom_mem::prefetch;

const WAYS: usize = 8;
/// Tables of up to this many buckets are in the nearest caches anyway.
const NEAR: usize = 256;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u16; WAYS],
    records: [u32; WAYS],
    overflowed: bool,
}

const EMPTY: Bucket = Bucket { tags: [0; WAYS], records: [0; WAYS], overflowed: false };

#[derive(Debug)]
pub(super) struct Subtable {
    mask: Mask,
    /// The words of the mask, and their numbers.
    words: Box<[(u64, u8)]>,
    buckets: Box<[Bucket]>,
    records: Vec<u64>,
    free: Vec<u32>,
    used: usize,
    seed: u64,
    hits: u64,
}

/// A tag is never zero, which marks a free place.
#[inline]
fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

impl Subtable {
    pub(super) fn new(mask: &Mask, seed: u64) -> Self {
        let words = bits(mask.used()).map(|word| (mask.words()[word], word as u8)).collect();
        Self {
            mask: mask.clone(),
            words,
            buckets: vec![EMPTY; 2].into(),
            records: Vec::new(),
            free: Vec::new(),
            used: 0,
            seed,
            hits: 0,
        }
    }

    pub(super) const fn mask(&self) -> &Mask {
        &self.mask
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(super) const fn hits(&self) -> u64 {
        self.hits
    }

    pub(super) const fn forget_half(&mut self) {
        self.hits /= 2;
    }

    /// Length of a record.
    #[inline]
    fn stride(&self) -> usize {
        self.words.len() + 1
    }

    #[inline]
    fn hash(&self, key: &Key) -> u64 {
        let words = key.words();
        self.words
            .iter()
            .fold(self.seed, |hash, (mask, word)| mix(hash, words[usize::from(*word) % WORDS] & mask))
    }

    #[inline]
    fn hash_record(&self, record: u32) -> u64 {
        let from = record as usize * self.stride();
        self.records[from + 1..from + self.stride()].iter().fold(self.seed, |hash, word| mix(hash, *word))
    }

    /// The flow of a record, if the key fits it.
    #[inline]
    pub(super) fn verify(&self, key: &Key, record: u32) -> Option<Flow> {
        let from = record as usize * self.stride();
        let record = self.records.get(from..from + self.stride())?;
        let (flow, values) = record.split_first()?;
        let words = key.words();
        let mut difference = 0;
        for ((mask, word), value) in self.words.iter().zip(values) {
            difference |= words[usize::from(*word) % WORDS] & mask ^ value;
        }
        (difference == 0 && *flow != u64::from(NONE)).then_some(*flow as Flow)
    }

    #[inline]
    pub(super) fn prefetch(&self, record: u32) {
        if let Some(first) = self.records.get(record as usize * self.stride()) {
            prefetch(first);
        }
    }

    /// Where in its bucket the key's tag is, for each place that has it.
    #[inline]
    fn candidates(bucket: &Bucket, tag: u16) -> impl Iterator<Item = u32> + '_ {
        let mut fits = 0_u64;
        for (way, known) in bucket.tags.iter().enumerate() {
            fits |= u64::from(*known == tag) << way;
        }
        bits(fits).map(|way| bucket.records[way])
    }

    #[inline]
    fn find_hashed(&self, key: &Key, hash: u64) -> Option<(u32, Flow)> {
        let mut index = hash as usize & (self.buckets.len() - 1);
        // A row of overflowed buckets is never the whole table: a quarter of the places is free.
        loop {
            let bucket = &self.buckets[index];
            for record in Self::candidates(bucket, tag(hash)) {
                if let Some(flow) = self.verify(key, record) {
                    return Some((record, flow));
                }
            }
            if !bucket.overflowed {
                return None;
            }
            index = (index + 1) & (self.buckets.len() - 1);
        }
    }

    /// Counts packets that were found here without asking.
    #[inline]
    pub(super) const fn count(&mut self, hits: u64) {
        self.hits += hits;
    }

    /// The record of a key.
    pub(super) fn record(&self, key: &Key) -> Option<u32> {
        self.find_hashed(key, self.hash(key)).map(|(record, _)| record)
    }

    pub(super) fn find(&self, key: &Key) -> Option<Flow> {
        self.find_hashed(key, self.hash(key)).map(|(_, flow)| flow)
    }

    /// Finds the wanted keys of a batch, takes those found from `wanted`, and gives their records.
    #[inline]
    pub(super) fn find_batch(
        &mut self,
        keys: &[Key; BATCH],
        wanted: &mut u32,
        found: &mut [Flow; BATCH],
    ) -> [u32; BATCH] {
        let before = wanted.count_ones();
        let mut records = [0; BATCH];
        let mut last: Option<u32> = None;
        if self.buckets.len() <= NEAR {
            for index in bits(u64::from(*wanted)) {
                // Packets of one flow come in rows: the last record is tried before anything is hashed.
                let hit = last
                    .and_then(|record| Some((record, self.verify(&keys[index], record)?)))
                    .or_else(|| self.find_hashed(&keys[index], self.hash(&keys[index])));
                if let Some((record, flow)) = hit {
                    (records[index], found[index]) = (record, flow);
                    *wanted &= !(1 << index);
                    last = Some(record);
                }
            }
        } else {
            self.find_far(keys, wanted, found, &mut records);
        }
        self.hits += u64::from(before - wanted.count_ones());
        records
    }

    /// As [`Subtable::find_batch`], in steps, so that memory answers for all keys at once.
    fn find_far(
        &self,
        keys: &[Key; BATCH],
        wanted: &mut u32,
        found: &mut [Flow; BATCH],
        records: &mut [u32; BATCH],
    ) {
        let mut hashes = [0; BATCH];
        for index in bits(u64::from(*wanted)) {
            hashes[index] = self.hash(&keys[index]);
            prefetch(&self.buckets[hashes[index] as usize & (self.buckets.len() - 1)]);
        }
        for index in bits(u64::from(*wanted)) {
            let bucket = &self.buckets[hashes[index] as usize & (self.buckets.len() - 1)];
            if let Some(record) = Self::candidates(bucket, tag(hashes[index])).next() {
                self.prefetch(record);
            }
        }
        for index in bits(u64::from(*wanted)) {
            if let Some((record, flow)) = self.find_hashed(&keys[index], hashes[index]) {
                (records[index], found[index]) = (record, flow);
                *wanted &= !(1 << index);
            }
        }
    }

    /// Adds a key that is not there, and gives its record.
    pub(super) fn insert(&mut self, key: &Key, flow: Flow) -> u32 {
        if (self.used + 1) * 4 > self.buckets.len() * WAYS * 3 {
            self.grow();
        }
        let stride = self.stride();
        let record = self.free.pop().unwrap_or_else(|| {
            let record = (self.records.len() / stride) as u32;
            self.records.resize(self.records.len() + stride, 0);
            record
        });
        let from = record as usize * stride;
        let values = self.words.iter().map(|(mask, word)| key.words()[usize::from(*word) % WORDS] & mask);
        for (place, value) in
            self.records[from..from + stride].iter_mut().zip([u64::from(flow)].into_iter().chain(values))
        {
            *place = value;
        }
        let hash = self.hash_record(record);
        place(&mut self.buckets, hash, record);
        self.used += 1;
        record
    }

    /// The flow of a record that is in use.
    fn flow(&self, record: u32) -> Option<Flow> {
        let flow = *self.records.get(record as usize * self.stride())?;
        (flow != u64::from(NONE)).then_some(flow as Flow)
    }

    /// The key of a record, masked.
    pub(super) fn key(&self, record: u32) -> Option<Key> {
        self.flow(record)?;
        let from = record as usize * self.stride() + 1;
        let mut key = Key::default();
        for ((_, word), value) in self.words.iter().zip(self.records.get(from..)?) {
            key.set_word(usize::from(*word), *value);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, record: u32) -> Option<Flow> {
        let flow = self.flow(record)?;
        let hash = self.hash_record(record);
        let mut index = hash as usize & (self.buckets.len() - 1);
        loop {
            let bucket = &mut self.buckets[index];
            let way = (0..WAYS).find(|way| bucket.tags[*way] == tag(hash) && bucket.records[*way] == record);
            if let Some(way) = way {
                bucket.tags[way] = 0;
                break;
            }
            index = (index + 1) & (self.buckets.len() - 1);
        }
        let from = record as usize * self.stride();
        self.records[from] = u64::from(NONE);
        self.free.push(record);
        self.used -= 1;
        Some(flow)
    }

    #[cold]
    fn grow(&mut self) {
        let mut buckets: Box<[Bucket]> = vec![EMPTY; self.buckets.len() * 2].into();
        for bucket in &self.buckets {
            for (_, record) in bucket.tags.iter().zip(bucket.records).filter(|(tag, _)| **tag != 0) {
                place(&mut buckets, self.hash_record(record), record);
            }
        }
        self.buckets = buckets;
    }
}

/// Puts a record into the first bucket of its row with a free place.
fn place(buckets: &mut [Bucket], hash: u64, record: u32) {
    let last = buckets.len() - 1;
    let mut index = hash as usize & last;
    loop {
        let bucket = &mut buckets[index];
        if let Some(way) = bucket.tags.iter().position(|tag| *tag == 0) {
            bucket.tags[way] = tag(hash);
            bucket.records[way] = record;
            return;
        }
        bucket.overflowed = true;
        index = (index + 1) & last;
    }
}
