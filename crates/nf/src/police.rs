//! Meters of OpenFlow, which all workers share.
//!
//! What: a meter has bands; each band is a token bucket with a rate. A packet that finds too few tokens in one is over
//! that band's rate, and the band with the highest rate among those decides what happens (OpenFlow 1.5.1, 5.7.1).
//!
//! Why no lock: a bucket is one number, the time at which it would have been empty; taking tokens moves that time on, by
//! compare and exchange.
//!
//! Invariants: over any time t no more than `burst + rate * t` passes a band, through all workers together, but for
//! rounding: less than one part in a million. A bucket is full at first. Time is an argument; a clock that goes back fills
//! nothing.
//!
//! Costs: one compare and exchange for each band, two additions for the counts of the meter.

use crate::{Rate, Unit};
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a nanosecond: time is counted in these.
const PARTS: u64 = 256;
/// Longest time in which a bucket fills, in parts: a day.
const LONGEST: u64 = 86_400 * 1_000_000_000 * PARTS;

/// What a band does with packets over its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Raises the drop precedence of their DSCP by so much, where it has one (assured forwarding, RFC 2597).
    Remark(u8),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is under all rates.
    Pass,
    /// It is dropped.
    Drop,
    /// Its drop precedence is raised by so much.
    Remark(u8),
}

/// One band.
#[derive(Debug)]
struct Band {
    kind: BandKind,
    rate: Rate,
    /// When the bucket would have been empty.
    empty: AtomicU64,
    packets: AtomicU64,
    octets: AtomicU64,
}

/// A meter of several bands.
#[derive(Debug)]
pub struct SharedMeter {
    bands: Vec<Band>,
    packets: AtomicU64,
    octets: AtomicU64,
}

impl SharedMeter {
    /// A meter with these bands, each with a full bucket.
    #[must_use]
    pub fn new(bands: impl IntoIterator<Item = (BandKind, Rate)>) -> Self {
        let band = |(kind, rate)| Band {
            kind,
            rate,
            empty: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            octets: AtomicU64::new(0),
        };
        Self {
            bands: bands.into_iter().map(band).collect(),
            packets: AtomicU64::new(0),
            octets: AtomicU64::new(0),
        }
    }

    /// Its bands.
    pub fn bands(&self) -> impl Iterator<Item = (BandKind, Rate)> {
        self.bands.iter().map(|band| (band.kind, band.rate))
    }

    /// Packets and octets that asked; and those that were over the rate of each band.
    #[must_use]
    pub fn counts(&self) -> ((u64, u64), Vec<(u64, u64)>) {
        let read = |packets: &AtomicU64, octets: &AtomicU64| {
            (packets.load(Ordering::Relaxed), octets.load(Ordering::Relaxed))
        };
        let bands = self.bands.iter().map(|band| read(&band.packets, &band.octets)).collect();
        (read(&self.packets, &self.octets), bands)
    }

    /// Asks for a packet.
    #[must_use]
    pub fn ask(&self, octets: u64, now: u64) -> Verdict {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
        let mut over: Option<&Band> = None;
        for band in &self.bands {
            if !band.take(octets, now)
                && over.is_none_or(|known| known.rate.per_second < band.rate.per_second)
            {
                over = Some(band);
            }
        }
        let Some(band) = over else { return Verdict::Pass };
        band.packets.fetch_add(1, Ordering::Relaxed);
        band.octets.fetch_add(octets, Ordering::Relaxed);
        match band.kind {
            BandKind::Drop => Verdict::Drop,
            BandKind::Remark(levels) => Verdict::Remark(levels),
        }
    }
}

impl Band {
    /// Takes tokens if there are enough.
    fn take(&self, octets: u64, now: u64) -> bool {
        let tokens = if self.rate.unit == Unit::Packets { 1 } else { octets };
        // How long the bucket takes to fill by as many tokens.
        let time = |tokens: u64| {
            let parts = u128::from(tokens) * u128::from(1_000_000_000 * PARTS);
            parts
                .checked_div(self.rate.per_second.into())
                .map_or(u64::MAX, |parts| parts.min(LONGEST.into()) as u64)
        };
        if self.rate.per_second == 0 || tokens > self.rate.burst {
            return false;
        }
        // A whole burst may be taken at the beginning of time.
        let now = now.saturating_mul(PARTS).saturating_add(LONGEST);
        let full = now - time(self.rate.burst);
        let price = time(tokens);
        let taken = |empty: u64| {
            let after = empty.max(full).saturating_add(price);
            (after <= now).then_some(after)
        };
        self.empty.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// The type of service with a drop precedence that is higher by some levels; what is not in a class of assured forwarding
/// stays as it is.
#[must_use]
pub const fn remark(tos: u8, levels: u8) -> u8 {
    let (class, precedence) = (tos >> 5, tos >> 3 & 3);
    if class == 0 || class > 4 || precedence == 0 || tos & 4 != 0 {
        return tos;
    }
    let precedence = precedence.saturating_add(levels);
    tos & 0xe7 | (if precedence > 3 { 3 } else { precedence }) << 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Several threads' worth of packets against an exact bucket.
        #[test]
        fn no_more_passes_than_an_exact_bucket_lets_pass(
            per_second in 1..1_000_000_u64, burst in 1..2000_u64,
            packets in proptest::collection::vec((prop_oneof![0..1000_u64, 0..1_000_000_000_u64], 1..1500_u64), 1..200),
        ) {
            let meter = SharedMeter::new([(BandKind::Drop, Rate { unit: Unit::Octets, per_second, burst })]);
            let (mut now, mut level, mut filled) = (0_u64, i128::from(burst) << 64, 0_u64);
            for (step, octets) in packets {
                now += step;
                level += (i128::from(per_second * (now - filled)) << 64) / 1_000_000_000;
                level = level.min(i128::from(burst) << 64);
                filled = now;
                // Rounding is in favour of the packet, by less than a thousandth of a token here.
                let price = i128::from(octets) << 64;
                let passes = meter.ask(octets, now) == Verdict::Pass;
                if (level - price).abs() > 1 << 54 {
                    prop_assert_eq!(passes, price <= level);
                }
                if passes {
                    level -= price;
                }
            }
        }
    }

    #[test]
    fn the_highest_exceeded_band_decides() {
        let rate = |per_second, burst| Rate { unit: Unit::Packets, per_second, burst };
        let meter = SharedMeter::new([(BandKind::Remark(1), rate(1, 2)), (BandKind::Drop, rate(10, 4))]);
        let said: Vec<Verdict> = (0..6).map(|_| meter.ask(100, 0)).collect();
        let (pass, remark, drop) = (Verdict::Pass, Verdict::Remark(1), Verdict::Drop);
        assert_eq!(said, [pass, pass, remark, remark, drop, drop]);
        assert_eq!(meter.counts(), ((6, 600), vec![(2, 200), (2, 200)]));
        assert_eq!(meter.ask(100, 100_000_000), remark);
        assert_eq!(meter.ask(100, 100_000_000), drop);
        assert_eq!(meter.ask(100, 1_100_000_000), pass);
    }

    #[test]
    fn threads_share_a_bucket() {
        let meter =
            SharedMeter::new([(BandKind::Drop, Rate { unit: Unit::Packets, per_second: 1, burst: 1000 })]);
        let passed: usize = std::thread::scope(|scope| {
            let ask = || scope.spawn(|| (0..800).filter(|_| meter.ask(64, 5) == Verdict::Pass).count());
            [ask(), ask(), ask()].into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
        });
        assert_eq!(passed, 1000);
    }

    #[test]
    fn drop_precedence() {
        // AF11 (10) to AF12 (12), AF13 (14) stays; EF (46) and best effort are in no class.
        assert_eq!([remark(10 << 2, 1), remark(14 << 2, 1), remark(10 << 2, 9)], [12 << 2, 14 << 2, 14 << 2]);
        assert_eq!([remark(46 << 2, 1), remark(0, 1), remark(10 << 2 | 3, 1)], [46 << 2, 0, 12 << 2 | 3]);
    }
}
