//! The packet scheduler's units: ticks, rate specifications and rate tables (linux/pkt_sched.h).

use netloom_compile::object::shaper::{BitRate, PartsPerMillion};
use std::sync::OnceLock;
use std::time::Duration;

/// Length of `struct tc_ratespec`.
pub(super) const RATESPEC: usize = 12;
/// `TC_LINKLAYER_ETHERNET`: the kernel computes sending times itself and does not guess the link from
/// the rate table.
const LINKLAYER_ETHERNET: u8 = 1;
/// Size classes of a rate table are 2^3 = 8 octets wide, so that 256 of them reach 2,047 octets, which is
/// what `tc` sends for an Ethernet.
const CELL_LOG: u8 = 3;
const RATE_TABLE_CELLS: u32 = 256;

/// How long a tick of the packet scheduler is: 64 ns in every kernel since 2.6.31, but the kernel says
/// it in `/proc/net/psched`, and so we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    /// So many ticks ...
    ticks: u64,
    /// ... are so many nanoseconds.
    nanoseconds: u64,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { ticks: 1, nanoseconds: 64 }
    }
}

impl Ticks {
    /// The running kernel's ticks; read once.
    pub(super) fn of_kernel() -> Self {
        static TICKS: OnceLock<Ticks> = OnceLock::new();
        *TICKS.get_or_init(|| {
            std::fs::read_to_string("/proc/net/psched")
                .ok()
                .and_then(|text| Self::parse(&text))
                .unwrap_or_default()
        })
    }

    /// Reads the first three hexadecimal numbers: `first / second` ticks for each `1 / third` second,
    /// scaled by 10^6 (net/sched/sch_api.c, `psched_show`).
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(|word| u64::from_str_radix(word, 16).ok());
        let (first, second, third) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let ticks = first.checked_mul(third)?;
        let nanoseconds = second.checked_mul(1_000_000_000)?;
        if ticks == 0 || nanoseconds == 0 {
            return None;
        }
        Some(Self { ticks, nanoseconds })
    }

    fn nanoseconds_as_ticks(self, value: u128) -> u32 {
        let ticks = (value * u128::from(self.ticks)).div_ceil(u128::from(self.nanoseconds));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// The time that `octets` take at `rate`, as ticks, rounded up; as much as fits.
    pub(super) fn sending(self, rate: BitRate, octets: u32) -> u32 {
        let rate = u128::from(rate.octets().max(1));
        self.nanoseconds_as_ticks((u128::from(octets) * 1_000_000_000).div_ceil(rate))
    }

    /// The octets that go at `rate` in so many ticks.
    pub(super) fn octets(self, rate: BitRate, ticks: u32) -> u32 {
        let nanoseconds = u128::from(ticks) * u128::from(self.nanoseconds) / u128::from(self.ticks);
        u32::try_from(nanoseconds * u128::from(rate.octets()) / 1_000_000_000).unwrap_or(u32::MAX)
    }

    /// A time as ticks; as much as fits.
    pub(super) fn of(self, time: Duration) -> u32 {
        self.nanoseconds_as_ticks(time.as_nanos())
    }

    /// The time of so many ticks.
    pub(super) fn time(self, ticks: u32) -> Duration {
        Duration::from_nanos(
            (u128::from(ticks) * u128::from(self.nanoseconds) / u128::from(self.ticks)) as u64,
        )
    }
}

/// `struct tc_ratespec`. A rate that does not fit into 32 bits of octets per second is given as the
/// largest that does; a 64-bit attribute then says the real one.
pub(super) fn ratespec(rate: BitRate) -> [u8; RATESPEC] {
    let mut octets = [0; RATESPEC];
    octets[0] = CELL_LOG;
    octets[1] = LINKLAYER_ETHERNET;
    octets[4..6].copy_from_slice(&(-1i16).to_ne_bytes());
    let rate = u32::try_from(rate.octets()).unwrap_or(u32::MAX);
    octets[8..12].copy_from_slice(&rate.to_ne_bytes());
    octets
}

/// The rate in a `struct tc_ratespec`, or the real one where a 64-bit attribute says it.
pub(super) fn rate(ratespec: &[u8], wide: Option<u64>) -> Option<BitRate> {
    let narrow = u32_at(ratespec, 8)?;
    Some(BitRate::from_octets(wide.unwrap_or(u64::from(narrow))))
}

/// Whether a rate needs the 64-bit attribute.
pub(super) fn is_wide(rate: BitRate) -> bool {
    rate.octets() > u64::from(u32::MAX)
}

/// Sending times of 256 packet sizes (`TCA_HTB_RTAB` and its like). Kernels that know the link layer only
/// check that it is there.
pub(super) fn rate_table(ticks: Ticks, rate: BitRate) -> Vec<u8> {
    (1..=RATE_TABLE_CELLS).flat_map(|cell| ticks.sending(rate, cell << CELL_LOG).to_ne_bytes()).collect()
}

/// A share as the kernel counts it: 2^32-1 is all.
pub(super) fn share(value: PartsPerMillion) -> u32 {
    let all = u64::from(PartsPerMillion::ALL.0);
    let value = u64::from(value.0).min(all);
    ((value * u64::from(u32::MAX) + all / 2) / all) as u32
}

/// The inverse of [`share`].
pub(super) fn parts(value: u32) -> PartsPerMillion {
    let all = u64::from(PartsPerMillion::ALL.0);
    PartsPerMillion(((u64::from(value) * all + u64::from(u32::MAX) / 2) / u64::from(u32::MAX)) as u32)
}

/// 32 bits in host order at an offset.
pub(super) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Writes 32-bit numbers one after the other, in host order.
pub(super) fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_read_back(value in 0u32..=1_000_000) {
            prop_assert_eq!(parts(share(PartsPerMillion(value))), PartsPerMillion(value));
        }

        #[test]
        fn buckets_read_back_within_two_ticks(rate in 8u64..400_000_000_000, octets in 1u32..1 << 28) {
            let ticks = Ticks::default();
            let rate = BitRate(rate);
            prop_assume!(u64::from(octets) / rate.octets() < 270);
            let back = ticks.octets(rate, ticks.sending(rate, octets));
            let slack = rate.octets() * 128 / 1_000_000_000 + 1;
            prop_assert!(u64::from(back.abs_diff(octets)) <= slack, "{} {}", back, octets);
        }

        #[test]
        fn any_text_is_no_trouble(text: String) {
            let _ = Ticks::parse(&text);
        }
    }

    #[test]
    fn the_usual_psched_line_is_64_nanoseconds() {
        let ticks = Ticks::parse("000003e8 00000040 000f4240 3b9aca00\n").unwrap();
        assert_eq!(ticks.time(1), Duration::from_nanos(64));
        assert_eq!(ticks.of(Duration::from_micros(64)), 1000);
        assert_eq!(Ticks::parse("0 0 0 0"), None);
        assert_eq!(Ticks::parse("x"), None);
    }

    #[test]
    fn the_rate_table_is_what_tc_would_send() {
        let table = rate_table(Ticks::default(), BitRate::mbit(8));
        assert_eq!(table.len(), 1024);
        // 8 octets at a million octets per second: 8 us are 125 ticks.
        assert_eq!(u32_at(&table, 0), Some(125));
        assert_eq!(u32_at(&table, 1020), Some(32_000));
    }
}
