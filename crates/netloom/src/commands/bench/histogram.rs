//! Many durations in little memory: buckets whose width is a 64th of their value.

/// Parts of each power of two.
const PARTS: u64 = 64;
const BITS: u32 = PARTS.trailing_zeros();

/// How often each duration came, exact up to 64 ns and to 1.6 % above.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; bucket(u64::MAX) + 1], count: 0, most: 0 }
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    (u64::from(shift + 1) * PARTS + (value >> shift) - PARTS) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let Some(shift) = (bucket / PARTS).checked_sub(1) else { return bucket };
    let next = u128::from(bucket % PARTS + PARTS + 1) << shift;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

impl Histogram {
    /// Takes note of a duration.
    #[inline]
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.buckets.get_mut(bucket(value)) {
            *count += 1;
        }
        self.count += 1;
        self.most = self.most.max(value);
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub const fn most(&self) -> u64 {
        self.most
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.most) = (0, 0);
    }

    /// What so many of a hundred thousand do not exceed (nearest rank); nothing without durations.
    pub fn percentile(&self, of_100_000: u64) -> Option<u64> {
        let rank = (u128::from(self.count) * u128::from(of_100_000)).div_ceil(100_000).max(1) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return Some(upper(bucket).min(self.most));
            }
        }
        None
    }
}

/// The middle of some numbers, and the least and the most.
pub fn spread(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (sorted.first()?, sorted.last()?);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some([*first, f64::midpoint(low, high), *last])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_cover_all_values_without_gaps() {
        for value in [0, 1, 63, 64, 65, 127, 128, 129, 1 << 40, u64::MAX - 1, u64::MAX] {
            let found = bucket(value);
            assert!(upper(found) >= value, "{value}");
            assert!(found == 0 || upper(found - 1) < value, "{value}");
        }
    }

    #[test]
    fn medians() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some([1.0, 2.0, 3.0]));
        assert_eq!(spread(&[4.0, 1.0]), Some([1.0, 2.5, 4.0]));
        assert_eq!(spread(&[]), None);
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_a_sorted_list(
            values in proptest::collection::vec(prop_oneof![0_u64..200, 0_u64..1_000_000, any::<u64>()], 1..400),
            of in prop_oneof![Just(50_000_u64), Just(90_000), Just(99_000), Just(99_900), 0_u64..=100_000],
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            let mut sorted = values;
            sorted.sort_unstable();
            let rank = (sorted.len() as u64 * of).div_ceil(100_000).max(1) as usize;
            let (exact, found) = (sorted[rank - 1], histogram.percentile(of).unwrap());
            prop_assert!(found >= exact && found - exact <= exact / PARTS, "{found} for {exact}");
            prop_assert_eq!(histogram.count(), sorted.len() as u64);
            prop_assert_eq!(Some(histogram.most()), sorted.last().copied());
        }
    }
}
