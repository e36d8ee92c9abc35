//! Names of rows: UUIDs (RFC 4122) and where new ones come from.

use std::fmt;
use std::str::FromStr;

/// A UUID. Its order is that of its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(u64, u64);

impl Uuid {
    /// All bits zero.
    pub const ZERO: Self = Self(0, 0);

    /// From its 128 bits.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self((bits >> 64) as u64, bits as u64)
    }

    /// Its 128 bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        (u128::from(self.0) << 64) | u128::from(self.1)
    }

    /// Appends its text: 36 characters.
    pub fn write(self, out: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits = self.as_u128();
        for digit in 0..32_u32 {
            if matches!(digit, 8 | 12 | 16 | 20) {
                out.push('-');
            }
            let nibble = (bits >> (124 - 4 * digit)) & 0xf;
            let at = usize::try_from(nibble).unwrap_or(0);
            out.push(char::from(HEX.get(at).copied().unwrap_or(b'0')));
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(36);
        self.write(&mut text);
        out.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct NotUuid;

impl FromStr for Uuid {
    type Err = NotUuid;

    fn from_str(text: &str) -> Result<Self, NotUuid> {
        if text.len() != 36 {
            return Err(NotUuid);
        }
        let mut bits: u128 = 0;
        for (at, byte) in text.bytes().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(NotUuid);
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(NotUuid)?;
            bits = (bits << 4) | u128::from(digit);
        }
        Ok(Self::from_u128(bits))
    }
}

/// Where new UUIDs come from: a generator (xoshiro256++) that whoever does I/O seeds with randomness.
#[derive(Debug, Clone)]
pub struct UuidSource([u64; 4]);

impl UuidSource {
    /// One that begins at `seed`. Two with the same seed give the same UUIDs.
    #[must_use]
    pub const fn new(seed: [u64; 4]) -> Self {
        // The generator would stay at zero.
        if seed[0] | seed[1] | seed[2] | seed[3] == 0 { Self([1, 2, 3, 4]) } else { Self(seed) }
    }

    fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        let c = c ^ a;
        let d = d ^ b;
        self.0 = [a ^ d, b ^ c, c ^ shifted, d.rotate_left(45)];
        result
    }

    /// A new UUID of version 4.
    pub fn next_uuid(&mut self) -> Uuid {
        let high = (self.next_u64() & !0xf000) | 0x4000;
        let low = (self.next_u64() & !(3 << 62)) | (1 << 63);
        Uuid(high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_bits_agree(a in any::<u128>(), b in any::<u128>()) {
            let (a, b) = (Uuid::from_u128(a), Uuid::from_u128(b));
            prop_assert_eq!(a.to_string().parse::<Uuid>().unwrap(), a);
            prop_assert_eq!(a.to_string().to_uppercase().parse::<Uuid>().unwrap(), a);
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }

    #[test]
    fn new_ones_are_of_version_4_and_differ() {
        let mut source = UuidSource::new([0; 4]);
        let some: std::collections::BTreeSet<Uuid> = (0..1000).map(|_| source.next_uuid()).collect();
        assert_eq!(some.len(), 1000);
        for uuid in some {
            let text = uuid.to_string();
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!("89ab".contains(char::from(text.as_bytes()[19])), "{text}");
        }
        assert_eq!("g2345678-1234-1234-1234-123456789012".parse::<Uuid>(), Err(NotUuid));
        assert_eq!("12345678x1234-1234-1234-123456789012".parse::<Uuid>(), Err(NotUuid));
    }
}
