//! Token buckets: how many packets or octets may pass in a second, and how many at once.
//!
//! Invariants: over any time t no more than `burst + rate * t` passes. Time is an argument; a clock that stands still or
//! goes back fills nothing. A packet that costs more than the whole bucket holds never passes.
//!
//! Costs: one multiplication for a packet, no division. All in `u64`: the bucket is counted in billionths of a token, so
//! that no nanosecond is lost to rounding.

/// Billionths in a token, nanoseconds in a second.
const GIGA: u64 = 1_000_000_000;
/// Most tokens in a bucket: their billionths fit twice into 64 bits.
const MOST_BURST: u64 = 1 << 33;
/// Most tokens in a second.
const MOST_RATE: u64 = 1 << 42;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A token for each packet.
    Packets,
    /// A token for each octet, from the Ethernet header on.
    Octets,
}

/// How much may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// What is counted.
    pub unit: Unit,
    /// Tokens in a second; more than 2^42 count as so many.
    pub per_second: u64,
    /// Tokens that may be saved up; more than 2^33 count as so many.
    pub burst: u64,
}

/// A bucket that fills by a rate.
#[derive(Debug, Clone)]
pub struct Bucket {
    unit: Unit,
    /// Tokens in a second, which are billionths in a nanosecond.
    rate: u64,
    /// Billionths that fit in.
    depth: u64,
    /// Nanoseconds in which an empty bucket is full.
    fill: u64,
    level: u64,
    filled: u64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: u64) -> Self {
        let (per_second, depth) = (rate.per_second.min(MOST_RATE), rate.burst.min(MOST_BURST) * GIGA);
        let fill = depth.checked_div(per_second).map_or(0, |time| time + 1);
        Self { unit: rate.unit, rate: per_second, depth, fill, level: depth, filled: now }
    }

    /// Whether a packet may pass; if so its tokens are taken.
    #[inline]
    #[must_use]
    pub fn take(&mut self, octets: u64, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.filled);
        // Beyond the time of filling nothing is gained, and the product stays below the depth and one nanosecond.
        self.level = (self.level + elapsed.min(self.fill) * self.rate).min(self.depth);
        self.filled = self.filled.max(now);
        let tokens = if self.unit == Unit::Packets { 1 } else { octets };
        let price = tokens.saturating_mul(GIGA);
        let passes = price <= self.level;
        if passes {
            self.level -= price;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The bucket against exact arithmetic in 128 bits.
        #[test]
        fn it_passes_what_an_exact_bucket_passes(
            per_second in prop_oneof![0..2000_u64, 1_000_000..MOST_RATE], burst in prop_oneof![0..4000_u64, 0..MOST_BURST],
            octets in any::<bool>(),
            packets in proptest::collection::vec((prop_oneof![0..1000_u64, 0..10_000_000_000_u64], 1..2000_u64), 1..200),
        ) {
            let unit = if octets { Unit::Octets } else { Unit::Packets };
            let mut bucket = Bucket::new(Rate { unit, per_second, burst }, 5);
            let (mut level, depth) = (u128::from(burst) * 1_000_000_000, u128::from(burst) * 1_000_000_000);
            let (mut now, mut passed) = (5, 0_u128);
            for (wait, size) in packets {
                now += wait;
                level = (level + u128::from(wait) * u128::from(per_second)).min(depth);
                let price = if octets { u128::from(size) } else { 1 } * 1_000_000_000;
                prop_assert_eq!(bucket.take(size, now), price <= level);
                if price <= level {
                    level -= price;
                    passed += price;
                }
                prop_assert!(passed <= depth + u128::from(now - 5) * u128::from(per_second));
            }
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let rate = Rate { unit: Unit::Octets, per_second: u64::MAX, burst: u64::MAX };
        let mut bucket = Bucket::new(rate, 0);
        assert!(bucket.take(MOST_BURST, 0) && !bucket.take(1, 0) && bucket.take(MOST_BURST, u64::MAX));
        assert!(!bucket.take(u64::MAX, u64::MAX) && !bucket.take(1, 3));
    }
}
