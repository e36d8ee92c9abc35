//! The flow key: everything about a packet that a decision may rest on, as 64 words of 64 bits.
//!
//! ```text
//! words 0-7    metadata, Ethernet, VLANs, IPv4, transport, conntrack: written for every packet
//! words 8-63   IPv6, tunnel, ARP and ND, MPLS, NSH, registers, ...: written where a packet has them
//! ```
//!
//! Invariants: a word that is not marked in [`Key::used`] is zero. Fields are in the order of the wire within a
//! word, most significant first, so that a prefix mask of an address is a prefix mask of the word.
//!
//! Costs: 576 octets. Keys are reused: [`Key::reset`] clears only what was used.

mod extract;
mod field;

pub use extract::{Layers, extract, extract_beside};
pub use field::Field;

/// Words of a key.
pub const WORDS: usize = 64;
/// The words that are written for every packet.
pub const HOT: usize = 8;

/// Words of what travels beside a packet, a bit each: port and recirculation number (0), connection (6, 29, 30, 40 to
/// 45), marks (7), tunnel (13 to 19, options from 48 on), OpenFlow metadata and registers (31 to 39), packet type and
/// hash (46).
pub const BESIDE: u64 =
    1 | 1 << 6 | 1 << 7 | 0x7f << 13 | 3 << 29 | 0x1ff << 31 | 0x7f << 40 | u64::MAX << 48;

/// A packet's key, or the values of a match. The words of every packet fill one cache line.
#[derive(Clone, PartialEq, Eq, Hash)]
#[repr(C, align(64))]
pub struct Key {
    words: [u64; WORDS],
    /// The words from [`HOT`] on that may be other than zero.
    used: u64,
}

/// Which bits of a key matter: ones where they do.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mask {
    words: [u64; WORDS],
    /// The words that are other than zero.
    used: u64,
}

const HOT_BITS: u64 = (1 << HOT) - 1;

impl Default for Key {
    fn default() -> Self {
        Self { words: [0; WORDS], used: 0 }
    }
}

impl Default for Mask {
    fn default() -> Self {
        Self { words: [0; WORDS], used: 0 }
    }
}

/// The numbers of the bits that are set.
#[inline]
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(bit)
    })
}

impl Key {
    /// The words.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// The words that may be other than zero, a bit each.
    #[inline]
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used | HOT_BITS
    }

    /// Sets all words to zero.
    #[inline]
    pub fn reset(&mut self) {
        self.words[..HOT].fill(0);
        self.clear_cold();
    }

    #[inline]
    fn clear_cold(&mut self) {
        if self.used != 0 {
            for word in bits(self.used) {
                self.words[word] = 0;
            }
            self.used = 0;
        }
    }

    /// Takes some words, a bit each, of another key, and leaves the others as they are.
    #[inline]
    pub fn take(&mut self, from: &Self, words: u64) {
        for word in bits((from.used() | self.used()) & words) {
            self.set_word(word, from.words[word]);
        }
    }

    /// One word.
    #[inline]
    #[must_use]
    pub const fn word(&self, word: usize) -> u64 {
        self.words[word % WORDS]
    }

    /// Writes one word.
    #[inline]
    pub fn set_word(&mut self, word: usize, value: u64) {
        let word = word % WORDS;
        self.words[word] = value;
        if word >= HOT {
            self.used |= 1 << word;
        }
    }

    /// A field's value.
    #[inline]
    #[must_use]
    pub fn get(&self, field: Field) -> u64 {
        (self.words[field.word()] >> field.shift()) & field.ones()
    }

    /// Sets a field; bits that the field does not have are left out.
    #[inline]
    pub fn set(&mut self, field: Field, value: u64) {
        let at = field.ones() << field.shift();
        let old = self.words[field.word()];
        self.set_word(field.word(), old & !at | (value & field.ones()) << field.shift());
    }

    /// Whether the key is equal to `values` in all bits of `mask`.
    #[inline]
    #[must_use]
    pub fn matches(&self, values: &Self, mask: &Mask) -> bool {
        bits(mask.used).all(|word| (self.words[word] ^ values.words[word]) & mask.words[word] == 0)
    }

    /// The key with the bits outside `mask` set to zero.
    #[must_use]
    pub fn masked(&self, mask: &Mask) -> Self {
        let mut masked = Self::default();
        for word in bits(mask.used) {
            masked.set_word(word, self.words[word] & mask.words[word]);
        }
        masked
    }
}

impl Mask {
    /// The words.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// The words that are other than zero, a bit each.
    #[inline]
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Makes a whole field matter.
    #[inline]
    pub fn add(&mut self, field: Field) {
        self.add_bits(field, field.ones());
    }

    /// Makes some bits of a field matter.
    #[inline]
    pub fn add_bits(&mut self, field: Field, bits: u64) {
        self.add_word(field.word(), (bits & field.ones()) << field.shift());
    }

    /// Makes some bits of a word matter.
    #[inline]
    pub fn add_word(&mut self, word: usize, bits: u64) {
        let word = word % WORDS;
        self.words[word] |= bits;
        if self.words[word] != 0 {
            self.used |= 1 << word;
        }
    }

    /// Makes all bits matter that matter in `other`.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        for word in bits(other.used) {
            self.words[word] |= other.words[word];
        }
        self.used |= other.used;
    }

    /// The bits of a field that matter.
    #[inline]
    #[must_use]
    pub fn get(&self, field: Field) -> u64 {
        (self.words[field.word()] >> field.shift()) & field.ones()
    }

    /// Whether nothing matters.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }
}

fn list(words: &[u64; WORDS], used: u64, f: &mut std::fmt::Formatter<'_>, name: &str) -> std::fmt::Result {
    let mut out = f.debug_struct(name);
    for field in Field::ALL.iter().filter(|field| used >> field.word() & 1 == 1) {
        let value = (words[field.word()] >> field.shift()) & field.ones();
        if value != 0 {
            out.field(field.name(), &format_args!("{value:#x}"));
        }
    }
    out.finish()
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        list(&self.words, self.used(), f, "Key")
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        list(&self.words, self.used, f, "Mask")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_do_not_overlap() {
        let mut words = [0_u64; WORDS];
        for field in Field::ALL {
            let at = field.ones() << field.shift();
            assert_eq!(words[field.word()] & at, 0, "{field:?}");
            assert_eq!(field.ones().count_ones(), field.bits());
            assert!(field.shift() + field.bits() <= 64, "{field:?}");
            words[field.word()] |= at;
        }
    }

    proptest! {
        #[test]
        fn what_is_set_is_read_and_reset_is_zero(values in proptest::collection::vec((0..Field::ALL.len(), any::<u64>()), 0..30)) {
            let mut key = Key::default();
            let mut oracle = std::collections::BTreeMap::new();
            for (index, value) in values {
                let field = Field::ALL[index];
                key.set(field, value);
                oracle.insert(index, value & field.ones());
            }
            for (index, field) in Field::ALL.iter().enumerate() {
                prop_assert_eq!(key.get(*field), oracle.get(&index).copied().unwrap_or(0));
            }
            for word in 0..WORDS {
                prop_assert!(key.words[word] == 0 || key.used() >> word & 1 == 1);
            }
            key.reset();
            prop_assert!(key == Key::default());
        }
    }
}
