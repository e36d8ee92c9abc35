//! From a hash to places: a table that grows bucket by bucket (linear hashing), so that no insertion waits for all others
//! to be moved.
//!
//! ```text
//! bucket, one cache line:   7 tags | 7 places | next bucket of the chain
//! ```
//!
//! Invariants: a search looks at [`CHAIN`] buckets at most; an insertion that would need more is refused. Two chains at
//! most are rewritten by an insertion. Of the places of one hash the youngest is found first, as in Open vSwitch. Hashes
//! come keyed: who fills one chain knows the key.
//!
//! Costs: 64 octets for each [`LOAD`] / 2 places, and for the few that do not fit into their bucket.

/// Ways of a bucket.
const WAYS: usize = 7;
/// Buckets that a search looks at.
const CHAIN: usize = 8;
/// Twice the places for each bucket, on average, from which on the table grows.
const LOAD: usize = 9;
/// Buckets that are allocated at once.
const SEGMENT: usize = 256;
/// No bucket, no place.
const NOTHING: u32 = u32::MAX;

#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; WAYS],
    places: [u32; WAYS],
    next: u32,
}

const EMPTY: Bucket = Bucket { tags: [0; WAYS], places: [NOTHING; WAYS], next: NOTHING };

const _: () = assert!(size_of::<Bucket>() == 64);

/// Places by the low half of a hash. Several places may have one hash.
#[derive(Debug)]
pub(super) struct Index {
    segments: Vec<Vec<Bucket>>,
    /// How many buckets hashes lead to.
    buckets: usize,
    /// Buckets of chains, numbered from 0.
    chained: Vec<Bucket>,
    free: Vec<u32>,
    count: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { segments: vec![vec![EMPTY]], buckets: 1, chained: Vec::new(), free: Vec::new(), count: 0 }
    }

    /// How many places there are.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Octets of memory.
    pub(super) fn octets(&self) -> usize {
        let segments: usize = self.segments.iter().map(Vec::capacity).sum();
        (segments + self.chained.capacity()) * size_of::<Bucket>()
    }

    /// The bucket of a tag: the low bits of it, one more for buckets that were split already.
    #[inline]
    const fn bucket_of(&self, tag: u32) -> usize {
        let wide = self.buckets.next_power_of_two();
        let bucket = tag as usize & (wide - 1);
        if bucket < self.buckets { bucket } else { bucket & (wide / 2 - 1) }
    }

    #[inline]
    fn first(&self, bucket: usize) -> Option<&Bucket> {
        self.segments.get(bucket / SEGMENT)?.get(bucket % SEGMENT)
    }

    fn first_mut(&mut self, bucket: usize) -> Option<&mut Bucket> {
        self.segments.get_mut(bucket / SEGMENT)?.get_mut(bucket % SEGMENT)
    }

    /// The places of a tag for which `fits` is true: the first.
    #[inline]
    pub(super) fn find(&self, tag: u32, mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut bucket = self.first(self.bucket_of(tag))?;
        loop {
            for way in 0..WAYS {
                if bucket.tags[way] == tag && bucket.places[way] != NOTHING && fits(bucket.places[way]) {
                    return Some(bucket.places[way]);
                }
            }
            if bucket.next == NOTHING {
                return None;
            }
            bucket = self.chained.get(bucket.next as usize)?;
        }
    }

    /// Reads something of the bucket, so that the memory is asked for early.
    #[inline]
    pub(super) fn touch(&self, tag: u32) {
        if let Some(bucket) = self.first(self.bucket_of(tag)) {
            std::hint::black_box(bucket.next);
        }
    }

    /// Adds a place, which is found before others of its tag; false when there is no room.
    pub(super) fn insert(&mut self, tag: u32, place: u32) -> bool {
        if (self.count + 1) * 2 > self.buckets * LOAD {
            self.split();
        }
        let bucket = self.bucket_of(tag);
        if !self.has_room(bucket) {
            return false;
        }
        let place = self.displace(bucket, tag, place);
        let done = self.put(bucket, tag, place);
        self.count += usize::from(done);
        done
    }

    /// Whether one more fits into a bucket and its chain.
    fn has_room(&self, bucket: usize) -> bool {
        let mut known = self.first(bucket);
        for _ in 0..CHAIN {
            let Some(bucket) = known else { return true };
            if bucket.places.contains(&NOTHING) {
                return true;
            }
            known = self.chained.get(bucket.next as usize);
        }
        false
    }

    /// Writes a place where the search finds it before others of its tag, and gives the one that is left over.
    fn displace(&mut self, bucket: usize, tag: u32, mut place: u32) -> u32 {
        let mut next = NOTHING;
        let mut first = true;
        loop {
            let known = if first { self.first_mut(bucket) } else { self.chained.get_mut(next as usize) };
            let Some(known) = known else { return place };
            for way in 0..WAYS {
                if known.places[way] == NOTHING {
                    return place;
                }
                if known.tags[way] == tag {
                    std::mem::swap(&mut known.places[way], &mut place);
                }
            }
            (next, first) = (known.next, false);
        }
    }

    fn put(&mut self, bucket: usize, tag: u32, place: u32) -> bool {
        let fill = |bucket: &mut Bucket| match bucket.places.iter().position(|known| *known == NOTHING) {
            Some(way) => {
                (bucket.tags[way], bucket.places[way]) = (tag, place);
                true
            }
            None => false,
        };
        let Some(first) = self.first_mut(bucket) else { return false };
        if fill(first) {
            return true;
        }
        let mut last = NOTHING;
        let mut next = first.next;
        for _ in 1..CHAIN {
            let Some(chained) = self.chained.get_mut(next as usize) else {
                let mut new = EMPTY;
                fill(&mut new);
                let number = match self.free.pop() {
                    Some(number) => {
                        if let Some(free) = self.chained.get_mut(number as usize) {
                            *free = new;
                        }
                        number
                    }
                    None => {
                        self.chained.push(new);
                        (self.chained.len() - 1) as u32
                    }
                };
                let before = match last {
                    NOTHING => self.first_mut(bucket),
                    last => self.chained.get_mut(last as usize),
                };
                if let Some(before) = before {
                    before.next = number;
                }
                return true;
            };
            if fill(chained) {
                return true;
            }
            (last, next) = (next, chained.next);
        }
        false
    }

    /// Takes a place away; false when it is not there.
    pub(super) fn remove(&mut self, tag: u32, place: u32) -> bool {
        let bucket = self.bucket_of(tag);
        let take = |bucket: &mut Bucket| {
            let way = (0..WAYS).find(|way| bucket.tags[*way] == tag && bucket.places[*way] == place);
            if let Some(way) = way {
                bucket.places[way] = NOTHING;
            }
            way.is_some()
        };
        let Some(first) = self.first_mut(bucket) else { return false };
        if take(first) {
            self.count -= 1;
            return true;
        }
        let (mut before, mut number) = (NOTHING, first.next);
        while let Some(chained) = self.chained.get_mut(number as usize) {
            let next = chained.next;
            if take(chained) {
                self.count -= 1;
                if chained.places.iter().all(|place| *place == NOTHING) {
                    let link = match before {
                        NOTHING => self.first_mut(bucket),
                        before => self.chained.get_mut(before as usize),
                    };
                    if let Some(link) = link {
                        link.next = next;
                    }
                    self.free.push(number);
                }
                return true;
            }
            (before, number) = (number, next);
        }
        false
    }

    /// Adds a bucket and moves to it what belongs there, out of the bucket that was its.
    fn split(&mut self) {
        let new = self.buckets;
        // Without its highest bit.
        let old = new & ((new + 1).next_power_of_two() / 2 - 1);
        if new / SEGMENT == self.segments.len() {
            self.segments.push(Vec::with_capacity(SEGMENT));
        }
        let Some(segment) = self.segments.last_mut() else { return };
        if segment.capacity() < SEGMENT {
            segment.reserve_exact(SEGMENT - segment.len());
        }
        segment.push(EMPTY);
        self.buckets += 1;
        let Some(first) = self.first_mut(old) else { return };
        let mut moving = std::mem::replace(first, EMPTY);
        loop {
            for way in 0..WAYS {
                if moving.places[way] != NOTHING {
                    let (tag, place) = (moving.tags[way], moving.places[way]);
                    // Each part of a chain is no longer than the chain was.
                    self.put(self.bucket_of(tag), tag, place);
                }
            }
            let number = moving.next;
            match self.chained.get_mut(number as usize) {
                Some(chained) => {
                    moving = std::mem::replace(chained, EMPTY);
                    self.free.push(number);
                }
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against a sorted set, with tags that collide often.
        #[test]
        fn it_holds_what_a_set_holds(steps in proptest::collection::vec((any::<bool>(), 0..40_u32, 0..60_u32), 0..800), spread in 0..3_u32) {
            let mut index = Index::new();
            let mut oracle = BTreeSet::new();
            for (add, tag, place) in steps {
                let tag = tag.wrapping_mul([1, 0x0101_0101, 0x9e37_79b9][spread as usize]);
                if add {
                    if !oracle.contains(&(tag, place)) && index.insert(tag, place) {
                        oracle.insert((tag, place));
                    }
                } else {
                    prop_assert_eq!(index.remove(tag, place), oracle.remove(&(tag, place)));
                }
                prop_assert_eq!(index.len(), oracle.len());
            }
            for (tag, place) in &oracle {
                prop_assert_eq!(index.find(*tag, |found| found == *place), Some(*place));
                let mut found = BTreeSet::new();
                index.find(*tag, |place| { found.insert(place); false });
                let expected: BTreeSet<u32> = oracle.iter().filter(|(of, _)| of == tag).map(|(_, place)| *place).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn one_tag_fills_its_chain_and_no_more() {
        let mut index = Index::new();
        let fits = (0..1000).filter(|place| index.insert(7, *place)).count();
        assert_eq!(fits, WAYS * CHAIN);
        let mut order = Vec::new();
        index.find(7, |place| {
            order.push(place);
            false
        });
        assert_eq!(order, (0..fits as u32).rev().collect::<Vec<_>>());
        assert!((0..1000).filter(|place| index.remove(7, *place)).count() == fits && index.len() == 0);
    }

    #[test]
    fn memory_grows_with_what_it_holds() {
        let mut index = Index::new();
        let mut tag = 1_u32;
        for place in 0..100_000 {
            tag = tag.wrapping_mul(0x915f_77f5).wrapping_add(0x9e37_79b9);
            assert!(index.insert(tag ^ tag >> 16, place));
        }
        let each = index.octets() as f64 / 100_000.0;
        assert!((12.0..20.0).contains(&each), "{each}");
    }
}
