//! Longest prefix match: of all prefixes that an address is in, the most specific, and what belongs to it.
//!
//! ```text
//! address:  101101 011100 ...     six bits choose a way in each node
//! node:     inner  63 bits: which prefixes of 0 to 5 more bits end here      -> values, side by side
//!           outer  64 bits: which ways lead on                               -> nodes, side by side
//! ```
//!
//! What: a tree bitmap (Eatherton, Varghese, Dittia: "Tree Bitmap: Hardware/Software IP Lookups with Incremental
//! Updates", 2004). The ones before a bit count how far its value or its node is from the first of them.
//!
//! Invariants: there are at most as many prefixes as the limit says. A node that has neither prefixes nor ways is taken
//! out, so that an empty table has the root only. Removing gives places back for later ones of the same size.
//!
//! Costs: at most 6 steps for IPv4 and 22 for IPv6, each one or two cache lines; nothing is allocated by looking up. 24
//! octets for a node and up to two values for a prefix.
//!
//! Deliberately absent: several values for a prefix, and versions; a value is a number that stands for more.

/// Bits that choose a way in a node.
const STRIDE: u8 = 6;
/// Sizes of runs of nodes or values: 1, 2, 4, ... 64.
const SIZES: usize = 7;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
}

/// An address as a number: `u32` for IPv4, `u128` for IPv6, the first bit most significant.
pub trait Address: sealed::Sealed + Copy + Ord + Default + std::fmt::Debug {
    /// Its number of bits.
    const BITS: u8;

    /// Six bits from bit `at` on; beyond the last one zeros.
    #[doc(hidden)]
    fn chunk(self, at: u8) -> u8;

    /// The address with all bits behind the first `length` set to zero.
    #[must_use]
    fn prefix(self, length: u8) -> Self;

    /// The address with six bits from bit `at` on set.
    #[doc(hidden)]
    fn with(self, at: u8, chunk: u8) -> Self;
}

macro_rules! address {
    ($type:ty) => {
        impl Address for $type {
            const BITS: u8 = <$type>::BITS as u8;

            #[inline]
            fn chunk(self, at: u8) -> u8 {
                let left = self.checked_shl(u32::from(at)).unwrap_or(0);
                (left >> (<$type>::BITS - 6)) as u8
            }

            #[inline]
            fn prefix(self, length: u8) -> Self {
                let behind = <$type>::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                self & !behind
            }

            fn with(self, at: u8, chunk: u8) -> Self {
                let chunk = <$type>::from(chunk) << (<$type>::BITS - 6);
                self | chunk.checked_shr(u32::from(at)).unwrap_or(0)
            }
        }
    };
}

address!(u32);
address!(u128);

/// Why a prefix was not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LpmError {
    /// There are as many prefixes as may be.
    #[error("the table has {0} prefixes, which is all it may have")]
    Full(usize),
    /// The prefix is longer than an address.
    #[error("a prefix of {length} bits is longer than an address of {bits}")]
    Length {
        /// Its length.
        length: u8,
        /// Bits of an address.
        bits: u8,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Bit `2^n - 1 + v`: the prefix of n more bits with the value v.
    inner: u64,
    /// Bit v: the way of six bits with the value v.
    outer: u64,
    /// Where its values begin.
    values: u32,
    /// Where its nodes begin.
    nodes: u32,
}

/// Runs of up to 64 things in one vector; places of runs that are given back are used again for runs of their size.
#[derive(Debug, Clone)]
struct Runs<T> {
    all: Vec<T>,
    free: [Vec<u32>; SIZES],
}

/// The size of a run of so many things, as a power of two.
const fn size(count: u32) -> usize {
    (u32::BITS - count.saturating_sub(1).leading_zeros()) as usize
}

impl<T: Copy> Runs<T> {
    fn new() -> Self {
        Self { all: Vec::new(), free: std::array::from_fn(|_| Vec::new()) }
    }

    #[inline]
    fn get(&self, at: u32) -> Option<&T> {
        self.all.get(at as usize)
    }

    fn take(&mut self, count: u32, fill: T) -> u32 {
        let size = size(count);
        self.free[size].pop().unwrap_or_else(|| {
            let at = self.all.len();
            self.all.resize(at + (1 << size), fill);
            at as u32
        })
    }

    /// Puts a thing into a run of `count`, behind `before` of them, and gives the run's place.
    fn insert(&mut self, run: u32, count: u32, before: u32, thing: T) -> u32 {
        let mut place = run;
        if count == 0 || size(count) != size(count + 1) {
            place = self.take(count + 1, thing);
            let (from, to) = (run as usize, place as usize);
            self.all.copy_within(from..from + before as usize, to);
            self.all.copy_within(from + before as usize..from + count as usize, to + before as usize + 1);
            self.give(run, count);
        } else {
            let at = (run + before) as usize;
            self.all.copy_within(at..(run + count) as usize, at + 1);
        }
        self.all[(place + before) as usize] = thing;
        place
    }

    /// Takes the thing behind `before` others from a run of `count`, and gives the run's place.
    fn remove(&mut self, run: u32, count: u32, before: u32) -> u32 {
        let at = (run + before) as usize;
        self.all.copy_within(at + 1..(run + count) as usize, at);
        if count > 1 && size(count) == size(count - 1) {
            return run;
        }
        let mut place = 0;
        if count > 1 {
            place = self.take(count - 1, self.all[run as usize]);
            let from = run as usize;
            self.all.copy_within(from..from + count as usize - 1, place as usize);
        }
        self.give(run, count);
        place
    }

    fn give(&mut self, run: u32, count: u32) {
        if count > 0 {
            self.free[size(count)].push(run);
        }
    }
}

/// The bit of a prefix of `length` (0 to 5) more bits in [`Node::inner`].
#[inline]
const fn inner(chunk: u8, length: u8) -> u32 {
    ((1 << length) - 1 + (chunk >> (STRIDE - length))) as u32
}

/// The bits of all prefixes that a way of six bits is in.
#[inline]
const fn all_of(chunk: u8) -> u64 {
    let mut bits = 0;
    let mut length = 0;
    while length < STRIDE {
        bits |= 1 << inner(chunk, length);
        length += 1;
    }
    bits
}

const ALL_OF: [u64; 64] = {
    let mut table = [0; 64];
    let mut chunk = 0;
    while chunk < 64 {
        table[chunk] = all_of(chunk as u8);
        chunk += 1;
    }
    table
};

/// Ones before a bit.
#[inline]
const fn before(bits: u64, bit: u32) -> u32 {
    (bits & ((1 << bit) - 1)).count_ones()
}

/// Prefixes, each with a value.
#[derive(Debug, Clone)]
pub struct Lpm<A, V> {
    root: Node,
    nodes: Runs<Node>,
    values: Runs<V>,
    count: usize,
    limit: usize,
    address: std::marker::PhantomData<A>,
}

/// One step of a way from the root: the node, and the way out of it.
type Steps = Vec<(Option<u32>, u8)>;

impl<A: Address, V: Copy> Lpm<A, V> {
    /// A table without prefixes that may have `limit` of them (at most 2^24).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            root: Node::default(),
            nodes: Runs::new(),
            values: Runs::new(),
            count: 0,
            limit: limit.min(1 << 24),
            address: std::marker::PhantomData,
        }
    }

    /// How many prefixes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of the longest prefix that an address is in.
    #[inline]
    #[must_use]
    pub fn find(&self, address: A) -> Option<V> {
        let place = self.place(address)?.0;
        self.values.get(place).copied()
    }

    /// The same, with the length of the prefix.
    #[must_use]
    pub fn find_prefix(&self, address: A) -> Option<(u8, V)> {
        let (place, at, bit) = self.place(address)?;
        // 2^n - 1 + v has its first one, when one is added, at bit n.
        let length = at + (bit + 1).ilog2() as u8;
        Some((length, self.values.get(place).copied()?))
    }

    /// Where the value of the longest prefix is, at which bit its node begins, and its bit there.
    #[inline]
    fn place(&self, address: A) -> Option<(u32, u8, u32)> {
        let mut node = &self.root;
        let mut best = None;
        let mut at = 0;
        loop {
            let chunk = address.chunk(at);
            let fits = node.inner & ALL_OF[usize::from(chunk) % 64];
            if fits != 0 {
                // The longest has the highest bit.
                let bit = 63 - fits.leading_zeros();
                best = Some((node.values + before(node.inner, bit), at, bit));
            }
            if node.outer >> chunk & 1 == 0 {
                return best;
            }
            node = self.nodes.get(node.nodes + before(node.outer, u32::from(chunk)))?;
            at += STRIDE;
        }
    }

    fn node(&self, at: Option<u32>) -> Option<&Node> {
        at.map_or(Some(&self.root), |at| self.nodes.get(at))
    }

    fn set_node(&mut self, at: Option<u32>, node: Node) {
        match at {
            None => self.root = node,
            Some(at) => {
                if let Some(place) = self.nodes.all.get_mut(at as usize) {
                    *place = node;
                }
            }
        }
    }

    /// The node in which a prefix ends, with the way there, as far as there are nodes; and how many bits are left.
    fn walk(&self, address: A, length: u8) -> (Steps, Option<u32>, u8) {
        let (mut steps, mut place, mut at) = (Steps::new(), None, 0);
        while length - at >= STRIDE {
            let chunk = address.chunk(at);
            let Some(node) = self.node(place).filter(|node| node.outer >> chunk & 1 == 1) else { break };
            steps.push((place, chunk));
            place = Some(node.nodes + before(node.outer, u32::from(chunk)));
            at += STRIDE;
        }
        (steps, place, at)
    }

    /// Puts a prefix in and gives the value that it had before. Bits of the address behind the prefix don't count.
    ///
    /// # Errors
    /// When there is no room, or the prefix can't be one.
    pub fn insert(&mut self, address: A, length: u8, value: V) -> Result<Option<V>, LpmError> {
        if length > A::BITS {
            return Err(LpmError::Length { length, bits: A::BITS });
        }
        let (_, mut place, mut at) = self.walk(address, length);
        if length - at < STRIDE {
            let node = *self.node(place).unwrap_or(&self.root);
            let bit = inner(address.chunk(at), length - at);
            if node.inner >> bit & 1 == 1 {
                let known = self.values.all.get_mut((node.values + before(node.inner, bit)) as usize);
                return Ok(known.map(|known| std::mem::replace(known, value)));
            }
        }
        if self.count >= self.limit {
            return Err(LpmError::Full(self.limit));
        }
        while length - at >= STRIDE {
            let chunk = address.chunk(at);
            let mut node = *self.node(place).unwrap_or(&self.root);
            let (count, before) = (node.outer.count_ones(), before(node.outer, u32::from(chunk)));
            node.nodes = self.nodes.insert(node.nodes, count, before, Node::default());
            node.outer |= 1 << chunk;
            self.set_node(place, node);
            place = Some(node.nodes + before);
            at += STRIDE;
        }
        let mut node = *self.node(place).unwrap_or(&self.root);
        let bit = inner(address.chunk(at), length - at);
        node.values =
            self.values.insert(node.values, node.inner.count_ones(), before(node.inner, bit), value);
        node.inner |= 1 << bit;
        self.set_node(place, node);
        self.count += 1;
        Ok(None)
    }

    /// The value of just this prefix.
    #[must_use]
    pub fn get(&self, address: A, length: u8) -> Option<V> {
        let (node, bit, _) = self.exact(address, length)?;
        self.values.get(node.values + before(node.inner, bit)).copied()
    }

    fn exact(&self, address: A, length: u8) -> Option<(Node, u32, (Steps, Option<u32>))> {
        if length > A::BITS {
            return None;
        }
        let (steps, place, at) = self.walk(address, length);
        if length - at >= STRIDE {
            return None;
        }
        let node = *self.node(place)?;
        let bit = inner(address.chunk(at), length - at);
        (node.inner >> bit & 1 == 1).then_some((node, bit, (steps, place)))
    }

    /// Takes a prefix out and gives its value.
    pub fn remove(&mut self, address: A, length: u8) -> Option<V> {
        let (mut node, bit, (mut steps, place)) = self.exact(address, length)?;
        let at = before(node.inner, bit);
        let value = self.values.get(node.values + at).copied()?;
        node.values = self.values.remove(node.values, node.inner.count_ones(), at);
        node.inner &= !(1 << bit);
        self.set_node(place, node);
        self.count -= 1;
        // Nodes that have nothing left go, from the leaf up.
        while node.inner == 0
            && node.outer == 0
            && let Some((above, chunk)) = steps.pop()
        {
            node = *self.node(above)?;
            let at = before(node.outer, u32::from(chunk));
            node.nodes = self.nodes.remove(node.nodes, node.outer.count_ones(), at);
            node.outer &= !(1 << chunk);
            self.set_node(above, node);
        }
        if self.count == 0 {
            // What was kept for later goes too.
            *self = Self::new(self.limit);
        }
        Some(value)
    }

    /// All prefixes: address, length, value; ascending.
    #[must_use]
    pub fn entries(&self) -> Vec<(A, u8, V)> {
        let mut found = Vec::with_capacity(self.count);
        let mut todo = vec![(A::default(), 0_u8, self.root)];
        while let Some((address, at, node)) = todo.pop() {
            for length in 0..STRIDE {
                for value in 0..1_u8 << length {
                    let chunk = value << (STRIDE - length);
                    let bit = inner(chunk, length);
                    if node.inner >> bit & 1 == 1
                        && let Some(value) = self.values.get(node.values + before(node.inner, bit))
                    {
                        found.push((address.with(at, chunk), at + length, *value));
                    }
                }
            }
            for chunk in (0..64_u8).filter(|chunk| node.outer >> chunk & 1 == 1) {
                if let Some(next) = self.nodes.get(node.nodes + before(node.outer, u32::from(chunk))) {
                    todo.push((address.with(at, chunk), at + STRIDE, *next));
                }
            }
        }
        found.sort_unstable_by_key(|(address, length, _)| (*address, *length));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step<A> {
        Insert(A, u8, u16),
        Remove(A, u8),
        RemoveNth(usize),
        Find(A),
    }

    /// Addresses that are near each other, and any.
    fn steps<A: Address>(
        address: impl Strategy<Value = A> + Clone + 'static,
    ) -> impl Strategy<Value = Vec<Step<A>>> {
        let length = || prop_oneof![0..=A::BITS, Just(A::BITS), Just(24)];
        let step = prop_oneof![
            5 => (address.clone(), length(), any::<u16>()).prop_map(|(a, length, value)| Step::Insert(a, length, value)),
            1 => (address.clone(), length()).prop_map(|(a, length)| Step::Remove(a, length)),
            2 => any::<usize>().prop_map(Step::RemoveNth),
            3 => address.prop_map(Step::Find),
        ];
        proptest::collection::vec(step, 0..200)
    }

    fn check<A: Address>(steps: Vec<Step<A>>, limit: usize) -> Result<(), TestCaseError> {
        let mut table: Lpm<A, u16> = Lpm::new(limit);
        let mut oracle: BTreeMap<(A, u8), u16> = BTreeMap::new();
        let longest = |oracle: &BTreeMap<(A, u8), u16>, address: A| {
            let fits = oracle.iter().filter(|((prefix, length), _)| address.prefix(*length) == *prefix);
            fits.max_by_key(|((_, length), _)| *length).map(|((_, length), value)| (*length, *value))
        };
        for step in steps {
            match step {
                Step::Insert(address, length, value) => {
                    let key = (address.prefix(length), length);
                    let known = oracle.get(&key).copied();
                    if known.is_some() || oracle.len() < limit {
                        oracle.insert(key, value);
                        prop_assert_eq!(table.insert(address, length, value), Ok(known));
                    } else {
                        prop_assert_eq!(table.insert(address, length, value), Err(LpmError::Full(limit)));
                    }
                    prop_assert_eq!(table.get(address, length), oracle.get(&key).copied());
                }
                Step::Remove(address, length) => {
                    let known = oracle.remove(&(address.prefix(length), length));
                    prop_assert_eq!(table.remove(address, length), known);
                }
                Step::RemoveNth(which) if !oracle.is_empty() => {
                    let (address, length) = *oracle.keys().nth(which % oracle.len()).unwrap();
                    prop_assert_eq!(table.remove(address, length), oracle.remove(&(address, length)));
                }
                Step::RemoveNth(_) => {}
                Step::Find(address) => {
                    prop_assert_eq!(table.find_prefix(address), longest(&oracle, address));
                    prop_assert_eq!(table.find(address), longest(&oracle, address).map(|found| found.1));
                }
            }
            prop_assert_eq!(table.len(), oracle.len());
        }
        let all: Vec<(A, u8, u16)> =
            oracle.iter().map(|((address, length), value)| (*address, *length, *value)).collect();
        prop_assert_eq!(table.entries(), all.clone());
        for (address, length, _) in all {
            prop_assert_eq!(table.find_prefix(address), longest(&oracle, address));
            prop_assert!(table.remove(address, length).is_some());
            oracle.remove(&(address, length));
        }
        prop_assert!(table.is_empty() && table.nodes.all.is_empty() && table.values.all.is_empty());
        Ok(())
    }

    fn four() -> impl Strategy<Value = u32> + Clone {
        prop_oneof![
            any::<u32>(),
            (0..16_u32, 0..28_u32).prop_map(|(value, shift)| 0x0a00_0000 | value << shift)
        ]
    }

    fn six() -> impl Strategy<Value = u128> + Clone {
        let near = (0..16_u128, 0..124_u32).prop_map(|(value, shift)| 0xfd00 << 112 | value << shift);
        prop_oneof![any::<u128>(), near]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
        #[test]
        fn version_four_is_as_a_sorted_map(steps in steps(four()), limit in prop_oneof![1..20_usize, Just(1000)]) {
            check(steps, limit)?;
        }

        #[test]
        fn version_six_is_as_a_sorted_map(steps in steps(six()), limit in prop_oneof![1..20_usize, Just(1000)]) {
            check(steps, limit)?;
        }
    }

    #[test]
    fn the_default_route_and_hosts() {
        let mut table: Lpm<u32, u8> = Lpm::new(10);
        assert_eq!(table.find(7), None);
        table.insert(0, 0, 1).unwrap();
        table.insert(u32::MAX, 32, 2).unwrap();
        table.insert(0xffff_ff00, 24, 3).unwrap();
        assert_eq!(table.find_prefix(7), Some((0, 1)));
        assert_eq!(table.find_prefix(u32::MAX), Some((32, 2)));
        assert_eq!(table.find_prefix(u32::MAX - 1), Some((24, 3)));
        assert_eq!(table.insert(0, 33, 0), Err(LpmError::Length { length: 33, bits: 32 }));
        assert_eq!((table.get(0, 33), table.remove(0, 40)), (None, None));
    }

    /// A million routes: what they cost. Run by hand, with `--release`.
    #[test]
    #[ignore = "takes long; prints figures"]
    fn a_full_table() {
        let mut table: Lpm<u32, u32> = Lpm::new(1 << 20);
        let random = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 32) as u32
        };
        let mut state = 1;
        while table.len() < 1_000_000 {
            let address = random(&mut state);
            let length = 16 + (random(&mut state) % 9) as u8;
            table.insert(address, length, address).unwrap();
        }
        let octets = table.nodes.all.len() * size_of::<Node>() + table.values.all.len() * 4;
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        for _ in 0..10_000_000 {
            sum += u64::from(table.find(random(&mut state)).unwrap_or(0));
        }
        let nanoseconds = began.elapsed().as_nanos() / 10_000_000;
        println!("{} prefixes, {octets} octets, {nanoseconds} ns for a look-up ({sum})", table.len());
    }
}
