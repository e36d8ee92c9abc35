//! Quantities with units: rate, size, time, share.

use super::{ScalarError, text_scalar};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Splits `12.5mbit` into number and unit.
fn split(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    Some((number, unit.trim().to_ascii_lowercase()))
}

/// Scales and rounds, refusing what does not fit.
fn scale(number: f64, factor: f64) -> Option<u64> {
    let value = (number * factor).round();
    // 2^63 is exactly representable; everything below it converts without loss of range.
    (0.0..9.2e18).contains(&value).then_some(value as u64)
}

/// A rate in bits per second. Written `64kbit`, `10mbit`, `2.5gbit`, or with `/s` or `bps` (`10mbps` is
/// refused, since tc reads it as bytes and everybody else as bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// From bits per second.
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// Bits per second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong =
            || ScalarError::new(format!("`{text}` is not a rate: write it like 64kbit, 10mbit or 2.5gbit"));
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let unit = unit.strip_suffix("/s").unwrap_or(&unit);
        let factor = match unit {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            "tbit" => 1e12,
            "bps" | "kbps" | "mbps" | "gbps" => {
                return Err(ScalarError::new(format!(
                    "`{text}` may mean bits or bytes: write {}bit for bits a second",
                    &text[..text.len() - 2]
                )));
            }
            _ => return Err(wrong()),
        };
        match scale(number, factor) {
            Some(bits) if bits > 0 => Ok(Self(bits)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (factor, unit) = match self.0 {
            0..1_000 => (1, "bit"),
            1_000..1_000_000 => (1_000, "kbit"),
            1_000_000..1_000_000_000 => (1_000_000, "mbit"),
            _ => (1_000_000_000, "gbit"),
        };
        if self.0.is_multiple_of(factor) {
            write!(f, "{}{unit}", self.0 / factor)
        } else {
            write!(f, "{}bit", self.0)
        }
    }
}

text_scalar!(Rate, "rate", "rate in bits a second, like 64kbit, 10mbit or 2.5gbit");

/// A size in bytes. Written `1500`, `64k` or `64KiB` (1024), `1M` or `1MiB`; `kB` and `MB` are 1000-based.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// From bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = || ScalarError::new(format!("`{text}` is not a size: write it like 1500b, 64k or 1MiB"));
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let factor = match unit.as_str() {
            "" | "b" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            _ => return Err(wrong()),
        };
        scale(number, factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1024;
        match self.0 {
            0 => f.write_str("0b"),
            bytes if bytes % (KIB * KIB) == 0 => write!(f, "{}MiB", bytes / (KIB * KIB)),
            bytes if bytes % KIB == 0 => write!(f, "{}KiB", bytes / KIB),
            bytes => write!(f, "{bytes}b"),
        }
    }
}

text_scalar!(Size, "size", "size in bytes, like 1500b, 64k or 1MiB");

/// A span of time in whole nanoseconds. Written `50us`, `10ms`, `2s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// From a duration.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = || {
            ScalarError::new(format!("`{text}` is not a span of time: write it like 50us, 10ms, 2s or 5m"))
        };
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let factor = match unit.as_str() {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3600e9,
            "d" => 86400e9,
            _ => return Err(wrong()),
        };
        scale(number, factor).map(|nanos| Self(Duration::from_nanos(nanos))).ok_or_else(wrong)
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            n if n % 1_000_000_000 == 0 => write!(f, "{}s", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}

text_scalar!(TimeSpan, "time", "span of time, like 50us, 10ms, 2s or 5m");

/// A share in parts per million, so that comparison and printing are exact. Written `1%`, `0.01%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// From parts per million; more than a million is cut to it.
    #[must_use]
    pub const fn from_parts_per_million(parts: u32) -> Self {
        Self(if parts > 1_000_000 { 1_000_000 } else { parts })
    }

    /// Parts per million, 0 to 1,000,000.
    #[must_use]
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }

    /// As a fraction of 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl FromStr for Percent {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong =
            || ScalarError::new(format!("`{text}` is not a share: write it like 1% or 0.05%, at most 100%"));
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?;
        let (number, unit) = split(number).ok_or_else(wrong)?;
        let parts =
            scale(number, 1e4).filter(|parts| unit.is_empty() && *parts <= 1_000_000).ok_or_else(wrong)?;
        u32::try_from(parts).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:04}", self.0 / 10_000, self.0 % 10_000);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

text_scalar!(Percent, "percent", "share of a hundred, like 1% or 0.05%");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates() {
        assert_eq!("10mbit".parse(), Ok(Rate(10_000_000)));
        assert_eq!("2.5Gbit/s".parse(), Ok(Rate(2_500_000_000)));
        for bad in ["10", "10mbps", "-1mbit", "mbit", "0mbit", "1e99gbit", "10 apples", ""] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(number in 1u64..1 << 52) {
            prop_assert_eq!(Rate(number).to_string().parse(), Ok(Rate(number)));
            prop_assert_eq!(Size(number).to_string().parse(), Ok(Size(number)));
            let span = TimeSpan(Duration::from_nanos(number));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let share = Percent::from_parts_per_million((number % 1_000_001) as u32);
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }

        #[test]
        fn never_panics(text in "\\PC{0,16}") {
            let _ = (text.parse::<Rate>(), text.parse::<Size>(), text.parse::<TimeSpan>(), text.parse::<Percent>());
        }
    }
}
