//! A value of a field, or a mask of one: octets in network order.
//!
//! What: up to 16 octets lie in the value itself, more (tunnel metadata, up to 124) on the heap. Bits are counted as
//! OpenFlow's subfields do: bit 0 is the lowest bit of the last octet.
//!
//! Invariants: values of a length up to 16 are never on the heap, so that equal values are equal by their parts.

use super::FieldId;
use std::fmt;

/// The most octets that a value can have.
pub const MAX_OCTETS: usize = 124;
const SHORT: usize = 16;

/// A value of a field. Legal values: 0 to 124 octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// The octets are at the front, and zeros behind them.
    Short {
        octets: [u8; SHORT],
        len: u8,
    },
    Long(Box<[u8]>),
}

impl Value {
    /// As many zeros as fit into a value, up to `octets`.
    #[must_use]
    pub fn zero(octets: usize) -> Self {
        if octets <= SHORT {
            Self(Form::Short { octets: [0; SHORT], len: octets as u8 })
        } else {
            Self(Form::Long(vec![0; octets.min(MAX_OCTETS)].into()))
        }
    }

    /// `octets` octets of ones.
    #[must_use]
    pub fn ones(octets: usize) -> Self {
        let mut value = Self::zero(octets);
        value.octets_mut().fill(0xff);
        value
    }

    /// `octets` octets whose lowest `bits` bits are ones.
    #[must_use]
    pub fn low_ones(octets: usize, bits: usize) -> Self {
        let mut value = Self::zero(octets);
        for (at, octet) in value.octets_mut().iter_mut().rev().enumerate() {
            *octet = match bits.saturating_sub(at * 8) {
                0 => 0,
                left @ 1..8 => 0xff >> (8 - left),
                _ => 0xff,
            };
        }
        value
    }

    /// The octets as they stand, or nothing if there are more than 124.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        if octets.len() > MAX_OCTETS {
            return None;
        }
        let mut value = Self::zero(octets.len());
        value.octets_mut().copy_from_slice(octets);
        Some(value)
    }

    /// The low `octets` octets of a number.
    #[must_use]
    #[inline]
    pub fn from_number(number: u128, octets: usize) -> Self {
        if octets <= SHORT {
            // Shifted to the front, with zeros behind: no octet is copied by itself.
            let empty = (SHORT - octets) as u32 * 8;
            let octets_in_order = number.checked_shl(empty).unwrap_or(0).to_be_bytes();
            return Self(Form::Short { octets: octets_in_order, len: octets as u8 });
        }
        let mut value = Self::zero(octets);
        if let Some(last) = value.octets_mut().last_chunk_mut::<SHORT>() {
            *last = number.to_be_bytes();
        }
        value
    }

    /// A value of `field` from a number; bits that do not fit are left out.
    #[must_use]
    pub fn of(field: FieldId, number: u128) -> Self {
        Self::from_number(number, usize::from(field.get().octets))
    }

    /// How many octets there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Short { len, .. } => usize::from(*len),
            Form::Long(octets) => octets.len(),
        }
    }

    /// Whether there are no octets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets in network order.
    #[must_use]
    #[inline]
    pub fn octets(&self) -> &[u8] {
        match &self.0 {
            Form::Short { octets, len } => &octets[..usize::from(*len).min(SHORT)],
            Form::Long(octets) => octets,
        }
    }

    /// The octets in network order, to be changed.
    pub fn octets_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Form::Short { octets, len } => &mut octets[..usize::from(*len).min(SHORT)],
            Form::Long(octets) => octets,
        }
    }

    /// The last 16 octets as a number.
    #[must_use]
    #[inline]
    pub fn to_u128(&self) -> u128 {
        match &self.0 {
            Form::Short { octets, len: 0 } => u128::from(octets[0]),
            Form::Short { octets, len } => {
                u128::from_be_bytes(*octets) >> ((SHORT - usize::from(*len).min(SHORT)) * 8)
            }
            Form::Long(octets) => {
                octets.last_chunk::<SHORT>().map_or(0, |octets| u128::from_be_bytes(*octets))
            }
        }
    }

    /// The last 8 octets as a number.
    #[must_use]
    pub fn to_u64(&self) -> u64 {
        self.to_u128() as u64
    }

    /// Whether every bit is zero.
    #[must_use]
    #[inline]
    pub fn is_zero(&self) -> bool {
        match &self.0 {
            Form::Short { octets, .. } => u128::from_ne_bytes(*octets) == 0,
            Form::Long(octets) => octets.iter().all(|octet| *octet == 0),
        }
    }

    /// Whether every bit is one.
    #[must_use]
    pub fn is_all_ones(&self) -> bool {
        if let Form::Short { octets, len } = &self.0 {
            let ones = u32::from(*len).min(SHORT as u32) * 8;
            return u128::from_be_bytes(*octets).leading_ones() >= ones;
        }
        self.octets().iter().all(|octet| *octet == 0xff)
    }

    #[inline]
    fn combine(&self, other: &Self, with: impl Fn(u128, u128) -> u128) -> Self {
        if let (Form::Short { octets: a, len }, Form::Short { octets: b, len: other_len }) =
            (&self.0, &other.0)
            && len == other_len
        {
            // Behind the octets are zeros, which none of the operations changes.
            let octets = with(u128::from_ne_bytes(*a), u128::from_ne_bytes(*b)).to_ne_bytes();
            return Self(Form::Short { octets, len: *len });
        }
        self.combine_any(other, with)
    }

    fn combine_any(&self, other: &Self, with: impl Fn(u128, u128) -> u128) -> Self {
        if self.len() <= SHORT && other.len() <= SHORT {
            return Self::from_number(with(self.to_u128(), other.to_u128()), self.len());
        }
        let with = |a: u8, b: u8| with(a.into(), b.into()) as u8;
        let mut combined = self.clone();
        let octets = combined.octets_mut();
        let from = octets.len().saturating_sub(other.len());
        let skip = other.len().saturating_sub(octets.len());
        for octet in &mut octets[..from] {
            *octet = with(*octet, 0);
        }
        for (octet, other) in octets[from..].iter_mut().zip(&other.octets()[skip..]) {
            *octet = with(*octet, *other);
        }
        combined
    }

    /// The bits that are in both. Lengths are this one's, ends are aligned. So are those of the next three.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & b)
    }

    /// The bits that are in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a | b)
    }

    /// The bits that are here and not in `other`.
    #[must_use]
    pub fn and_not(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a & !b)
    }

    /// The same number in another length: zeros come or octets go at the front.
    #[must_use]
    #[inline]
    pub fn resized(&self, octets: usize) -> Self {
        if octets == self.len() { self.clone() } else { Self::zero(octets).or(self) }
    }

    /// One bit.
    #[must_use]
    pub fn bit(&self, number: usize) -> bool {
        let octets = self.octets();
        octets.len().checked_sub(number / 8 + 1).is_some_and(|at| octets[at] >> (number % 8) & 1 != 0)
    }

    /// Sets one bit; nothing happens beyond the value's end.
    pub fn set_bit(&mut self, number: usize, one: bool) {
        let octets = self.octets_mut();
        if let Some(at) = octets.len().checked_sub(number / 8 + 1) {
            let bit = 1 << (number % 8);
            octets[at] = if one { octets[at] | bit } else { octets[at] & !bit };
        }
    }

    /// The `bits` bits from bit `offset` on, as a value of as few octets as they need.
    #[must_use]
    pub fn extract(&self, offset: usize, bits: usize) -> Self {
        let bits = bits.min(MAX_OCTETS * 8);
        let mut part = Self::zero(bits.div_ceil(8));
        part.insert(0, bits, &Self::shifted(self, offset));
        part
    }

    fn shifted(&self, bits: usize) -> Self {
        let mut shifted = Self::zero(self.len());
        let octets = self.octets();
        let (whole, part) = (bits / 8, bits % 8);
        for (at, octet) in shifted.octets_mut().iter_mut().enumerate().skip(whole) {
            let low = octets[at - whole] >> part;
            let high = if part == 0 || at == whole { 0 } else { octets[at - whole - 1] << (8 - part) };
            *octet = low | high;
        }
        shifted
    }

    /// Overwrites the `bits` bits from bit `offset` on by the low bits of `source`.
    pub fn insert(&mut self, offset: usize, bits: usize, source: &Self) {
        if self.len() <= SHORT && source.len() <= SHORT {
            if offset >= 128 {
                return;
            }
            let mask = if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
            let number = self.to_u128() & !(mask << offset) | (source.to_u128() & mask) << offset;
            *self = Self::from_number(number, self.len());
        } else {
            for bit in 0..bits.min(MAX_OCTETS * 8) {
                self.set_bit(offset + bit, source.bit(bit));
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.octets().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Some of the bits of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    /// The field.
    pub field: FieldId,
    /// The lowest bit.
    pub offset: u16,
    /// How many bits.
    pub bits: u16,
}

impl Subfield {
    /// All bits of a field.
    #[must_use]
    pub fn whole(field: FieldId) -> Self {
        Self { field, offset: 0, bits: field.get().bits }
    }

    /// Whether these are all bits of the field.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.offset == 0 && self.bits == self.field.get().bits
    }

    /// Whether there are bits and all lie within the field.
    #[must_use]
    pub fn fits(self) -> bool {
        self.bits > 0 && u32::from(self.offset) + u32::from(self.bits) <= u32::from(self.field.get().bits)
    }

    /// The bits of a value of the field.
    #[must_use]
    pub fn read(self, value: &Value) -> Value {
        value.extract(usize::from(self.offset), usize::from(self.bits))
    }

    /// Overwrites the bits in a value of the field by the low bits of `source`.
    pub fn write(self, value: &mut Value, source: &Value) {
        value.insert(usize::from(self.offset), usize::from(self.bits), source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        proptest::collection::vec(any::<u8>(), 0..=MAX_OCTETS)
            .prop_map(|octets| Value::from_octets(&octets).unwrap())
    }

    proptest! {
        #[test]
        fn extract_and_insert_agree_with_single_bits(
            value in value(), source in value(), offset in 0usize..1000, bits in 0usize..1000,
        ) {
            let part = value.extract(offset, bits);
            for bit in 0..bits.min(MAX_OCTETS * 8) {
                prop_assert_eq!(part.bit(bit), value.bit(offset + bit));
            }
            let mut changed = value.clone();
            changed.insert(offset, bits, &source);
            prop_assert_eq!(changed.len(), value.len());
            for bit in 0..value.len() * 8 {
                let inside = bit >= offset && bit < offset + bits.min(MAX_OCTETS * 8);
                let expected = if inside { source.bit(bit - offset) } else { value.bit(bit) };
                prop_assert_eq!(changed.bit(bit), expected, "bit {}", bit);
            }
        }

        #[test]
        fn numbers_are_ways_back(number: u128, octets in 1usize..=16) {
            let value = Value::from_number(number, octets);
            let mask = if octets == 16 { u128::MAX } else { (1 << (octets * 8)) - 1 };
            prop_assert_eq!(value.to_u128(), number & mask);
            prop_assert_eq!(value.len(), octets);
            prop_assert_eq!(value.resized(40).resized(octets), value);
        }

        #[test]
        fn low_ones_are_low(octets in 0usize..=MAX_OCTETS, bits in 0usize..1100) {
            let value = Value::low_ones(octets, bits);
            for bit in 0..octets * 8 {
                prop_assert_eq!(value.bit(bit), bit < bits);
            }
        }
    }
}
