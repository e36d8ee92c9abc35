//! Quantities of queueing and the numbers that go well together.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The timer frequency that bursts are sized for: the slowest common one, so that a bucket sized for it
/// is large enough on every kernel.
pub const TIMER_HZ: u32 = 250;

/// Bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitRate(pub u64);

impl BitRate {
    /// Millions of bits per second.
    #[must_use]
    pub const fn mbit(value: u64) -> Self {
        Self(value.saturating_mul(1_000_000))
    }

    /// Octets per second, rounded down: what the kernel counts in.
    #[must_use]
    pub const fn octets(self) -> u64 {
        self.0 / 8
    }

    /// From octets per second.
    #[must_use]
    pub const fn from_octets(octets: u64) -> Self {
        Self(octets.saturating_mul(8))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [
            ("Tbit/s", 1_000_000_000_000),
            ("Gbit/s", 1_000_000_000),
            ("Mbit/s", 1_000_000),
            ("kbit/s", 1000),
        ] {
            // Three decimals are the most that reads well; other values are shown in the next smaller unit.
            if self.0 >= size && self.0.is_multiple_of(size / 1000) {
                let (whole, thousandths) = (self.0 / size, self.0 % size / (size / 1000));
                if thousandths == 0 {
                    return write!(f, "{whole} {unit}");
                }
                let digits = format!("{thousandths:03}");
                return write!(f, "{whole}.{} {unit}", digits.trim_end_matches('0'));
            }
        }
        write!(f, "{} bit/s", self.0)
    }
}

/// The number of a class inside its discipline: the part after the colon in `tc class show`. Written in
/// hexadecimal, as `tc` does, so that class `10` of the description is class `4e4c:10` of the kernel.
/// Legal values: 1 to 7fff without 4e4c (the rest are handles that the kernel or Netloom give out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u16);

/// A number that cannot name a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a class: a hexadecimal number from 1 to 7fff, not 4e4c")]
pub struct HandleError(pub String);

impl ClassId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ClassId {
    type Error = HandleError;
    fn try_from(value: u16) -> Result<Self, HandleError> {
        if value == 0 || value > 0x7fff || value == super::ROOT_MAJOR {
            Err(HandleError(format!("{value:x}")))
        } else {
            Ok(Self(value))
        }
    }
}

impl FromStr for ClassId {
    type Err = HandleError;
    fn from_str(text: &str) -> Result<Self, HandleError> {
        let plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        let number = if plain { u16::from_str_radix(text, 16).ok() } else { None };
        number.and_then(|number| Self::try_from(number).ok()).ok_or_else(|| HandleError(text.to_owned()))
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Serialize for ClassId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClassId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A bucket that lets `rate` be reached: what flows in one timer tick ([`TIMER_HZ`]), and at least one
/// packet of `mtu` octets with its Ethernet header (tc-tbf(8), "burst"). At most 256 MiB.
#[must_use]
pub fn burst_for(rate: BitRate, mtu: u32) -> u32 {
    let per_tick = rate.octets() / u64::from(TIMER_HZ);
    let packet = u64::from(mtu).saturating_add(14);
    u32::try_from(per_tick.max(packet).min(1 << 28)).unwrap_or(1 << 28)
}

/// How much a class may send before its siblings have their turn: a tenth of a second's octets, as the
/// kernel would choose (`r2q` 10), kept between one packet and what the kernel calls big (net/sched/sch_htb.c).
#[must_use]
pub fn quantum_for(rate: BitRate, mtu: u32) -> u32 {
    let low = u64::from(mtu).saturating_add(14).clamp(1000, 200_000);
    u32::try_from((rate.octets() / 10).clamp(low, 200_000)).unwrap_or(200_000)
}

/// The queue of a token bucket in which no packet waits longer than `latency` (tc-tbf(8), "latency").
#[must_use]
pub fn limit_for_latency(rate: BitRate, burst: u32, latency: Duration) -> u32 {
    let waiting = u128::from(rate.octets()) * latency.as_nanos() / 1_000_000_000;
    u32::try_from(waiting.saturating_add(u128::from(burst))).unwrap_or(u32::MAX)
}
