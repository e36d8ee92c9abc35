//! Which of several ports a packet leaves by: members of a bond.
//!
//! What: a hash of the flow's fields chooses one of 256 buckets, and each bucket belongs to a member.
//!
//! Invariants: packets of one flow leave by one member, as long as that is there. When a member comes or goes, no more
//! buckets move than must, and the shares of the members differ by one bucket at most. All fragments of a datagram take
//! the same way.
//!
//! Costs: a few multiplications for a packet.

use crate::hash::mix;
use netloom_mem::PortNumber;
use netloom_table::{Field, Key};

/// Number of buckets.
const BUCKETS: usize = 256;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HashBy {
    /// The sender's Ethernet address alone.
    Source,
    /// Ethernet addresses and VLAN.
    L2,
    /// These and IP addresses.
    L23,
    /// IP addresses and the ports of the transport; Ethernet addresses and VLAN of what is no IP.
    #[default]
    L34,
}

impl HashBy {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::L34, "l34"), (Self::L23, "l23"), (Self::L2, "l2"), (Self::Source, "source")];
}

/// Members and what each carries.
#[derive(Debug, Clone)]
pub struct Balance {
    by: HashBy,
    members: Vec<PortNumber>,
    buckets: Box<[PortNumber; BUCKETS]>,
}

impl Balance {
    /// A balance without members.
    #[must_use]
    pub fn new(by: HashBy) -> Self {
        Self { by, members: Vec::new(), buckets: Box::new([0; BUCKETS]) }
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[PortNumber] {
        &self.members
    }

    /// Looks at something else from now on.
    pub const fn set_by(&mut self, by: HashBy) {
        self.by = by;
    }

    /// Makes these the members.
    pub fn set(&mut self, members: &[PortNumber]) {
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        members.truncate(BUCKETS);
        self.members = members;
        if self.members.is_empty() {
            return self.buckets.fill(0);
        }
        // Some have a bucket more than others: those who have it already.
        let (least, more) = (BUCKETS / self.members.len(), BUCKETS % self.members.len());
        let has =
            |buckets: &[PortNumber], member: PortNumber| buckets.iter().filter(|of| **of == member).count();
        let mut by_share = self.members.clone();
        by_share.sort_by_key(|member| std::cmp::Reverse(has(&self.buckets[..], *member)));
        let mut due: Vec<(PortNumber, usize)> = by_share
            .into_iter()
            .enumerate()
            .map(|(place, member)| (member, least + usize::from(place < more)))
            .collect();
        let mut free = Vec::new();
        for (place, of) in self.buckets.iter().enumerate() {
            match due.iter_mut().find(|(member, _)| member == of) {
                Some((_, left)) if *left > 0 => *left -= 1,
                _ => free.push(place),
            }
        }
        let mut takers = due.into_iter().flat_map(|(member, left)| std::iter::repeat_n(member, left));
        for place in free {
            if let (Some(bucket), Some(taker)) = (self.buckets.get_mut(place), takers.next()) {
                *bucket = taker;
            }
        }
    }

    /// The member that carries packets like this one; none without members.
    #[must_use]
    pub fn pick(&self, key: &Key) -> Option<PortNumber> {
        let bucket = hash(self.by, key) as usize % BUCKETS;
        (!self.members.is_empty()).then(|| self.buckets[bucket])
    }
}

/// A hash of the fields that `by` names.
pub(crate) fn hash(by: HashBy, key: &Key) -> u64 {
    if by == HashBy::Source {
        return mix(key.get(Field::ETH_SRC));
    }
    let kind = key.get(Field::ETH_TYPE);
    let (four, six) = (kind == 0x0800, kind == 0x86dd);
    let mut hash = 0;
    let mut add = |word: u64| hash = mix(hash ^ word);
    if by != HashBy::L34 || !four && !six {
        add(key.get(Field::ETH_DST));
        add(key.get(Field::ETH_SRC) ^ (key.get(Field::VLAN_TCI) & 0xfff) << 48);
    }
    if by == HashBy::L2 {
        return hash;
    }
    if four {
        add(key.get(Field::IP4_SRC) << 32 | key.get(Field::IP4_DST));
    }
    if six {
        for field in [Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW, Field::IP6_DST_HIGH, Field::IP6_DST_LOW] {
            add(key.get(field));
        }
    }
    // Later fragments have no ports.
    if by == HashBy::L34 && (four || six) && key.get(Field::IP_FRAG) == 0 {
        add(key.get(Field::TP_SRC) << 32 | key.get(Field::TP_DST) << 16 | key.get(Field::IP_PROTO));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn shares_are_even_and_no_more_moves_than_must(changes in proptest::collection::vec(
            proptest::collection::btree_set(1..40_u32, 0..12), 1..12,
        )) {
            let mut balance = Balance::new(HashBy::L34);
            let mut before: BTreeSet<PortNumber> = BTreeSet::new();
            for members in changes {
                let old = balance.buckets.clone();
                let list: Vec<PortNumber> = members.iter().copied().collect();
                balance.set(&list);
                prop_assert_eq!(balance.members(), &list[..]);
                if !members.is_empty() {
                    let share = |member: &PortNumber| balance.buckets.iter().filter(|of| *of == member).count();
                    let shares: Vec<usize> = members.iter().map(share).collect();
                    prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
                    prop_assert_eq!(shares.iter().sum::<usize>(), BUCKETS);
                    // What a member that stays had above its new share, and what those had that are gone.
                    let moved = old.iter().zip(balance.buckets.iter()).filter(|(old, new)| old != new).count();
                    let must: usize = BUCKETS - members.iter().filter(|member| before.contains(member)).map(|member| {
                        old.iter().filter(|of| *of == member).count().min(share(member))
                    }).sum::<usize>();
                    prop_assert_eq!(moved, must);
                }
                before = members;
            }
        }

        #[test]
        fn a_flow_has_one_way_and_only_what_counts_decides(
            source in any::<u32>(), ports in any::<(u16, u16)>(), macs in any::<(u32, u32)>(), ttl in any::<u8>(),
        ) {
            let mut key = Key::default();
            key.set(Field::ETH_TYPE, 0x0800);
            key.set(Field::IP4_SRC, source.into());
            key.set(Field::IP_PROTO, 17);
            key.set(Field::TP_SRC, ports.0.into());
            let like = hash(HashBy::L34, &key);
            key.set(Field::ETH_SRC, macs.0.into());
            key.set(Field::ETH_DST, macs.1.into());
            key.set(Field::IP_TTL, ttl.into());
            prop_assert_eq!(hash(HashBy::L34, &key), like);
            let sender = hash(HashBy::Source, &key);
            key.set(Field::ETH_DST, 7);
            key.set(Field::VLAN_TCI, ports.0.into());
            prop_assert_eq!(hash(HashBy::Source, &key), sender);
            let addresses = hash(HashBy::L23, &key);
            key.set(Field::TP_DST, ports.1.into());
            prop_assert_eq!(hash(HashBy::L23, &key), addresses);
            // Fragments: with and without ports.
            key.set(Field::IP_FRAG, 1);
            let first = hash(HashBy::L34, &key);
            key.set(Field::IP_FRAG, 3);
            key.set(Field::TP_SRC, 0);
            key.set(Field::TP_DST, 0);
            prop_assert_eq!(hash(HashBy::L34, &key), first);
        }
    }

    #[test]
    fn many_flows_spread_evenly() {
        for (by, field) in [
            (HashBy::Source, Field::ETH_SRC),
            (HashBy::L2, Field::ETH_SRC),
            (HashBy::L23, Field::IP4_DST),
            (HashBy::L34, Field::TP_DST),
        ] {
            let mut balance = Balance::new(by);
            assert_eq!(balance.pick(&Key::default()), None);
            balance.set(&[5, 6, 9]);
            let mut counts = std::collections::BTreeMap::new();
            for number in 0..30_000 {
                let mut key = Key::default();
                key.set(Field::ETH_TYPE, 0x0800);
                key.set(field, number);
                *counts.entry(balance.pick(&key).unwrap()).or_insert(0_u32) += 1;
            }
            assert!(counts.values().all(|count| count.abs_diff(10_000) < 600), "{by:?} {counts:?}");
        }
    }
}
