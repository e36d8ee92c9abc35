//! Few masks: each costs a look-up for every packet that the signature cache does not know.
//!
//! What: while there are few, a flow's mask is what was looked at. Beyond sixteen a flow takes a mask that is there and
//! has all those bits; failing that, one in which whole fields matter, which the next ones can take as well.
//!
//! Why it is right: a flow with more bits in its mask is for fewer packets, and all of these were for the flow as well
//! that would have had the mask asked for. So what is found stays sound, and flows that were disjoint stay so.
//!
//! Costs: one comparison for each mask when a flow is made. There are more flows, each for fewer packets.

use super::Megaflows;
use crate::key::{Field, Mask, bits};

/// So many masks are kept as they are asked for.
pub(super) const PLENTY: usize = 16;

/// Whether all bits of one mask are in another.
fn is_within(mask: &Mask, other: &Mask) -> bool {
    mask.used() & !other.used() == 0
        && bits(mask.used()).all(|word| mask.words()[word] & !other.words()[word] == 0)
}

fn weight(mask: &Mask) -> u32 {
    bits(mask.used()).map(|word| mask.words()[word].count_ones()).sum()
}

/// The mask in which every field matters as a whole that mattered in part.
fn whole(mask: &Mask) -> Mask {
    let mut whole = mask.clone();
    for field in Field::ALL.iter().filter(|field| mask.used() >> field.word() & 1 == 1) {
        if mask.get(*field) != 0 {
            whole.add(*field);
        }
    }
    whole
}

impl Megaflows {
    /// The mask that a flow should have for which these bits were looked at.
    #[must_use]
    pub fn fit(&self, mask: &Mask) -> Mask {
        if self.order.len() < PLENTY {
            return mask.clone();
        }
        let known = self.order.iter().map(|number| self.subtables[usize::from(*number)].mask());
        let best = known.filter(|known| is_within(mask, known)).min_by_key(|known| weight(known));
        best.cloned().unwrap_or_else(|| whole(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bounds;
    use super::*;
    use crate::Key;

    #[test]
    fn masks_become_whole_and_are_shared() {
        let mut cache = Megaflows::new(Bounds::default(), 7);
        let prefix = |length: u32| {
            let mut mask = Mask::default();
            mask.add(Field::IN_PORT);
            mask.add_bits(Field::IP4_DST, !(u64::from(u32::MAX) >> length));
            mask
        };
        let key = Key::default();
        for length in 1..=32 {
            let wanted = prefix(length);
            let mask = cache.fit(&wanted);
            assert!(is_within(&wanted, &mask));
            // The same key has another flow with every mask: what is tested here is masks alone.
            let inserted = cache.insert(&key, &mask, length);
            let is_new = length as usize <= PLENTY + 1;
            assert_eq!(inserted.is_ok(), is_new, "{length}");
            assert_eq!(mask == wanted, length as usize <= PLENTY || length == 32, "{length}");
        }
        assert_eq!(cache.masks(), PLENTY + 1);
        // The narrowest that has all bits is taken.
        assert_eq!(cache.fit(&prefix(7)), prefix(7));
        let mut other = prefix(3);
        other.add_bits(Field::TP_DST, 1);
        assert_eq!(cache.fit(&other).get(Field::TP_DST), 0xffff);
    }
}
