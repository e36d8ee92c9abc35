//! A binary tree of prefixes that says which lengths fit an address, and how many of its bits tell.
//!
//! What: a Patricia tree; a node is a prefix that is there, or the place where two part. It is asked before a table of
//! the classifier: when no rule anywhere has the prefix of that table's length, the table is passed over, and only the
//! bits up to the first that differs were looked at.
//!
//! Invariants: the answer depends on the first `looked` bits of the value only. A node without prefix has two ways.
//!
//! Costs: 32 octets for a node, at most two nodes for a prefix; one step for each node on the way.

/// No node.
const NOBODY: u32 = u32::MAX;

#[derive(Debug, Clone)]
struct Node {
    /// The prefix, first bit most significant; zeros behind it.
    value: [u64; 2],
    ways: [u32; 2],
    /// How many rules have this prefix.
    rules: u32,
    length: u8,
}

/// What a tree knows about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// How many of its first bits the answer rests on.
    pub(super) looked: u8,
    /// The lengths of the prefixes that it is in: bit n for the length n + 1.
    lengths: u128,
}

impl Answer {
    /// Whether it is in a prefix of this length (1 to 128).
    #[inline]
    pub(super) const fn has(&self, length: u8) -> bool {
        self.lengths >> (length.wrapping_sub(1) & 127) & 1 == 1
    }
}

/// The prefixes of one field.
#[derive(Debug, Clone)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NOBODY }
    }
}

const fn join(value: [u64; 2]) -> u128 {
    (value[0] as u128) << 64 | value[1] as u128
}

const fn cut(value: u128, length: u8) -> u128 {
    if length == 0 { 0 } else { value & u128::MAX << (128 - length as u32) }
}

const fn bit(value: u128, at: u8) -> usize {
    (value >> (127 - at as u32 % 128) & 1) as usize
}

impl Trie {
    fn add(&mut self, value: u128, length: u8, rules: u32) -> u32 {
        let value = cut(value, length);
        let node = Node { value: [(value >> 64) as u64, value as u64], ways: [NOBODY; 2], rules, length };
        if let Some(place) = self.free.pop() {
            self.nodes[place as usize] = node;
            return place;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Where the number of a node is kept: in the root or in a way of another.
    fn link(&mut self, at: Option<(u32, usize)>) -> &mut u32 {
        match at {
            Some((parent, way)) => &mut self.nodes[parent as usize].ways[way],
            None => &mut self.root,
        }
    }

    /// Adds a prefix of at least one bit, once more if it is there.
    pub(super) fn insert(&mut self, value: u128, length: u8) {
        let mut at = None;
        loop {
            let place = *self.link(at);
            let Some(node) = self.nodes.get_mut(place as usize) else {
                let leaf = self.add(value, length, 1);
                *self.link(at) = leaf;
                return;
            };
            let own = join(node.value);
            let common = ((own ^ value).leading_zeros() as u8).min(length).min(node.length);
            if common == node.length {
                if length == common {
                    node.rules += 1;
                    return;
                }
                at = Some((place, bit(value, common)));
                continue;
            }
            let parting = self.add(value, common, u32::from(common == length));
            self.nodes[parting as usize].ways[bit(own, common)] = place;
            if common < length {
                let leaf = self.add(value, length, 1);
                self.nodes[parting as usize].ways[bit(value, common)] = leaf;
            }
            *self.link(at) = parting;
            return;
        }
    }

    /// Takes a prefix out that was added.
    pub(super) fn remove(&mut self, value: u128, length: u8) {
        let (mut at, mut above) = (None, None);
        let place = loop {
            let place = *self.link(at);
            let Some(node) = self.nodes.get_mut(place as usize) else { return };
            if node.length >= length {
                if node.length > length || join(node.value) != cut(value, length) || node.rules == 0 {
                    return;
                }
                node.rules -= 1;
                break place;
            }
            (above, at) = (at, Some((place, bit(value, node.length))));
        };
        self.prune(place, at);
        // The node above may be one way only now.
        if let Some((parent, _)) = at {
            self.prune(parent, above);
        }
    }

    /// Takes a node out that has no prefix and less than two ways.
    fn prune(&mut self, place: u32, at: Option<(u32, usize)>) {
        let node = &self.nodes[place as usize];
        let next = match node.ways {
            _ if node.rules > 0 => return,
            [NOBODY, other] | [other, NOBODY] => other,
            _ => return,
        };
        *self.link(at) = next;
        self.free.push(place);
    }

    /// Which prefixes a value of `bits` bits is in.
    #[inline]
    pub(super) fn find(&self, value: u128, bits: u8) -> Answer {
        let mut answer = Answer::default();
        let mut place = self.root;
        let mut leaf = true;
        while let Some(node) = self.nodes.get(place as usize) {
            let common = ((join(node.value) ^ value).leading_zeros() as u8).min(node.length);
            if common < node.length {
                // The first bit that differs tells.
                answer.looked = common + 1;
                return answer;
            }
            answer.looked = common;
            if node.rules > 0 && common > 0 {
                answer.lengths |= 1 << (common - 1);
            }
            if common >= bits {
                return answer;
            }
            leaf = node.ways == [NOBODY; 2];
            place = node.ways[bit(value, common)];
        }
        if !leaf {
            // The way that is there was not taken.
            answer.looked += 1;
        }
        answer
    }

    /// Octets it holds.
    pub(super) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_knows_what_a_list_knows_and_says_what_tells(
            steps in proptest::collection::vec((any::<bool>(), any::<u16>(), 1_u8..=16), 1..60),
            values in proptest::collection::vec((any::<u16>(), any::<u128>()), 1..30),
        ) {
            let mut trie = Trie::default();
            let mut list: Vec<(u128, u8)> = Vec::new();
            for (adds, value, length) in steps {
                let value = u128::from(value & 0xe0c3) << 112;
                if adds || list.is_empty() {
                    trie.insert(value, length);
                    list.push((cut(value, length), length));
                } else {
                    let (value, length) = list.swap_remove(usize::from(length) % list.len());
                    trie.remove(value, length);
                }
                let different: std::collections::BTreeSet<_> = list.iter().collect();
                prop_assert!(trie.nodes.len() - trie.free.len() <= different.len() * 2);
            }
            for (value, other) in values {
                let value = u128::from(value & 0xe0c3) << 112;
                let answer = trie.find(value, 16);
                for length in 1..=16 {
                    let wanted = list.iter().any(|(known, of)| *of == length && *known == cut(value, length));
                    prop_assert_eq!(answer.has(length), wanted);
                }
                prop_assert!(answer.looked <= 16);
                let differs = cut(value, answer.looked) | other & !cut(u128::MAX, answer.looked) & cut(u128::MAX, 16);
                prop_assert_eq!(trie.find(differs, 16), answer);
            }
            for (value, length) in list {
                trie.remove(value, length);
            }
            prop_assert_eq!(trie.root, NOBODY);
            prop_assert_eq!(trie.free.len(), trie.nodes.len());
        }
    }
}
