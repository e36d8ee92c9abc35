//! The signature cache: a guess where a packet's flow is, from a hash of its key.
//!
//! Invariants: an entry is a guess only; the record it names is compared with the packet before it counts. So entries
//! need not be taken out when flows go.
//!
//! Costs: one cache line per look; eight octets per entry, four entries in a set.

use super::mix;
use crate::key::{HOT, Key, bits};
use netloom_mem::prefetch;

const WAYS: usize = 4;
const EMPTY: u64 = u64::MAX;

/// Hash of a key: the set, and the tag of its entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Guess(u64);

#[derive(Debug)]
pub(super) struct Signatures {
    /// Tag (16), subtable (16), record (32).
    sets: Box<[[u64; WAYS]]>,
}

impl Signatures {
    pub(super) fn new(entries: usize) -> Self {
        Self { sets: vec![[EMPTY; WAYS]; (entries / WAYS).max(1).next_power_of_two()].into() }
    }

    pub(super) fn clear(&mut self) {
        self.sets.fill([EMPTY; WAYS]);
    }

    #[inline]
    pub(super) fn guess(&self, key: &Key, seed: u64) -> Guess {
        let words = key.words();
        // Two lanes, so that the multiplications overlap.
        let (mut even, mut odd) = (seed, !seed);
        for pair in words[..HOT].as_chunks::<2>().0 {
            even = mix(even, pair[0]);
            odd = mix(odd, pair[1]);
        }
        for word in bits(key.used() & !((1 << HOT) - 1)) {
            even = mix(even, words[word] ^ word as u64);
        }
        Guess(mix(even, odd))
    }

    #[inline]
    fn set(&self, guess: Guess) -> usize {
        guess.0 as usize & (self.sets.len() - 1)
    }

    #[inline]
    pub(super) fn prefetch(&self, guess: Guess) {
        prefetch(&self.sets[self.set(guess)]);
    }

    #[inline]
    pub(super) fn look(&self, guess: Guess) -> Option<(u16, u32)> {
        let set = &self.sets[self.set(guess)];
        let entry = set.iter().find(|entry| **entry >> 48 == guess.0 >> 48 && **entry != EMPTY)?;
        Some(((entry >> 32) as u16, *entry as u32))
    }

    #[inline]
    pub(super) fn learn(&mut self, guess: Guess, subtable: u16, record: u32) {
        let index = self.set(guess);
        let set = &mut self.sets[index];
        let tag = guess.0 >> 48;
        let way = set
            .iter()
            .position(|entry| *entry >> 48 == tag || *entry == EMPTY)
            .unwrap_or((guess.0 >> 40) as usize % WAYS);
        set[way] = tag << 48 | u64::from(subtable) << 32 | u64::from(record);
    }
}
