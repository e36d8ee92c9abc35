//! Which bucket a group of the kind `select` takes for a hash of the data path.
//!
//! What: the hash has so many values that matter, a power of two, and each of them belongs to a bucket: as many to each as its
//! weight says, spread by Webster's method (seats of a parliament). So flows of the data path look at a few bits of the hash,
//! and there are no more of them than values, however many connections there are. A bucket that does not live leaves its
//! values to those that come next, which are of all others in the proportion of their weights.
//!
//! A group whose weights need too many values chooses by the addresses and ports themselves.
//!
//! Source: `selection_method` in ovs-ofctl(8); the words are those of Open vSwitch's log.

use super::group::{Group, GroupKind, SelectionMethod};
use std::sync::Arc;

/// Values of the hash at least.
const LEAST: u64 = 16;
/// Values at most where nobody asked for this method.
const MOST_BY_DEFAULT: u64 = 64;
/// Values at most.
const MOST: u64 = 256;

/// The bucket, by its place in the group, of each value of the hash.
pub(crate) type Slots = Arc<[u16]>;

/// How a group chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// By the data path's hash: a symmetric one or not, and what it begins with.
    DataPath { symmetric: bool, basis: u32 },
    /// By the fields that it names.
    Fields,
    /// By addresses and ports.
    Ports,
}

impl Group {
    /// Values that matter, at most, if it may choose by the data path's hash.
    fn most_values(&self) -> Option<u64> {
        match self.selection.method {
            _ if self.kind != GroupKind::Select => None,
            SelectionMethod::Default => Some(MOST_BY_DEFAULT),
            SelectionMethod::DpHash => Some(MOST),
            SelectionMethod::Hash => None,
        }
    }

    /// How many values its weights need, if that is possible.
    fn values(&self) -> Option<u64> {
        let least =
            self.buckets.iter().map(|bucket| u64::from(bucket.weight)).filter(|weight| *weight > 0).min()?;
        Some(self.weight().div_ceil(least).next_power_of_two().max(LEAST))
    }

    fn weight(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.weight)).sum()
    }

    /// The bucket of each value; none if it does not choose by the data path's hash.
    pub(super) fn distribute(&self) -> Option<Slots> {
        let most = self.most_values()?;
        let values = self.values().filter(|values| *values <= most)?;
        let mut seats = vec![0_u64; self.buckets.len()];
        let mut slots = Vec::new();
        for _ in 0..values {
            // The largest quotient of weight and twice the seats and one; the first of those that are equal.
            let mut winner = 0;
            for (place, bucket) in self.buckets.iter().enumerate().skip(1) {
                let (own, best) = (u64::from(bucket.weight), u64::from(self.buckets.get(winner)?.weight));
                if own * (2 * seats.get(winner)? + 1) > best * (2 * seats.get(place)? + 1) {
                    winner = place;
                }
            }
            *seats.get_mut(winner)? += 1;
            slots.push(u16::try_from(winner).ok()?);
        }
        Some(slots.into())
    }

    /// How it chooses.
    pub(crate) fn choice(&self) -> Choice {
        match (self.selection.method, &self.slots) {
            (SelectionMethod::Hash, _) if !self.selection.fields.is_empty() => Choice::Fields,
            (SelectionMethod::Default, Some(_)) => Choice::DataPath { symmetric: true, basis: 0 },
            (SelectionMethod::DpHash, Some(_)) => Choice::DataPath {
                symmetric: self.selection.parameter >> 32 == 1,
                basis: self.selection.parameter as u32,
            },
            _ => Choice::Ports,
        }
    }

    /// How it was made, line by line, for those who look for a balance that is not what they meant.
    #[must_use]
    pub fn construction(&self) -> Vec<String> {
        if self.kind != GroupKind::Select {
            return Vec::new();
        }
        let mut lines = vec![format!("Constructing select group {}", self.number)];
        let by_hash = match self.selection.method {
            SelectionMethod::Default => {
                lines.push("No selection method specified. Trying dp_hash.".into());
                true
            }
            SelectionMethod::DpHash => {
                lines.push("Selection method specified: dp_hash.".into());
                true
            }
            SelectionMethod::Hash => {
                lines.push("Selection method specified: hash.".into());
                if self.selection.fields.is_empty() {
                    lines.push("No hash fields. Falling back to default hash method.".into());
                }
                false
            }
        };
        if by_hash {
            self.describe_slots(&mut lines);
        }
        lines
    }

    fn describe_slots(&self, lines: &mut Vec<String>) {
        let weights = self.buckets.iter().map(|bucket| bucket.weight);
        let least = weights.filter(|weight| *weight > 0).min();
        match (self.buckets.is_empty(), least) {
            (true, _) => lines.push("  Don't apply dp_hash method without buckets.".into()),
            (_, None) => lines.push("  Total weight = 0. No valid buckets.".into()),
            (_, Some(least)) => {
                lines.push(format!("  Minimum weight: {least}, total weight: {}", self.weight()));
            }
        }
        let Some(slots) = &self.slots else {
            if let Some(values) = self.values() {
                lines.push(format!("  Too many hash values required: {values}"));
            }
            lines.push("Falling back to default hash method.".into());
            return;
        };
        lines.push(format!("  Using {} hash values:", slots.len()));
        for (place, bucket) in self.buckets.iter().enumerate() {
            let hits = slots.iter().filter(|slot| usize::from(**slot) == place).count();
            let target = slots.len() as f64 * f64::from(bucket.weight) / self.weight() as f64;
            lines.push(format!(
                "  Bucket {}: weight={}, target={target:.2} hits={hits}",
                bucket.id, bucket.weight
            ));
        }
        let symmetric = matches!(self.choice(), Choice::DataPath { symmetric: true, .. });
        lines.push(format!(
            "Use dp_hash with {} hash values using algorithm {}.",
            slots.len(),
            u8::from(symmetric)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::{Bucket, Selection};
    use super::*;
    use proptest::prelude::*;

    fn group(weights: &[u16], method: SelectionMethod) -> Group {
        let bucket =
            |(id, weight): (usize, &u16)| Bucket { weight: *weight, ..Bucket::new(id as u32, Arc::new([])) };
        let buckets = weights.iter().enumerate().map(bucket).collect();
        let selection = Selection { method, ..Selection::default() };
        let mut group = Group {
            number: 1234,
            kind: GroupKind::Select,
            selection,
            buckets,
            packets: 0,
            octets: 0,
            created: 0,
            slots: None,
        };
        group.slots = group.distribute();
        group
    }

    /// What Open vSwitch 3.1 says of the same groups.
    #[test]
    fn seats_are_those_of_open_vswitch() {
        assert_eq!(
            group(&[5, 10, 25, 60, 0], SelectionMethod::Default).construction(),
            [
                "Constructing select group 1234",
                "No selection method specified. Trying dp_hash.",
                "  Minimum weight: 5, total weight: 100",
                "  Using 32 hash values:",
                "  Bucket 0: weight=5, target=1.60 hits=2",
                "  Bucket 1: weight=10, target=3.20 hits=3",
                "  Bucket 2: weight=25, target=8.00 hits=8",
                "  Bucket 3: weight=60, target=19.20 hits=19",
                "  Bucket 4: weight=0, target=0.00 hits=0",
                "Use dp_hash with 32 hash values using algorithm 1.",
            ]
        );
        let explicit = group(&[1, 1], SelectionMethod::DpHash).construction();
        assert_eq!(explicit.last().unwrap(), "Use dp_hash with 16 hash values using algorithm 0.");
        assert_eq!(group(&[1, 1], SelectionMethod::Hash).choice(), Choice::Ports);
        assert_eq!(group(&[1, 65_535], SelectionMethod::DpHash).choice(), Choice::Ports);
        assert_eq!(group(&[0, 0], SelectionMethod::Default).slots, None);
        assert_eq!(group(&[], SelectionMethod::Default).slots, None);
    }

    proptest! {
        #[test]
        fn everybody_gets_a_seat_and_nearly_its_share(weights in prop::collection::vec(0_u16..40, 1..12)) {
            let group = group(&weights, SelectionMethod::DpHash);
            let Some(slots) = &group.slots else { return Ok(()) };
            prop_assert!(slots.len().is_power_of_two() && slots.len() as u64 <= MOST);
            for (place, weight) in weights.iter().enumerate() {
                let hits = slots.iter().filter(|slot| usize::from(**slot) == place).count() as f64;
                let target = slots.len() as f64 * f64::from(*weight) / group.weight() as f64;
                prop_assert_eq!(hits == 0.0, *weight == 0, "{} of {}", hits, target);
                prop_assert!((hits - target).abs() <= 1.0 + weights.len() as f64 / 2.0, "{} of {}", hits, target);
            }
        }
    }
}
