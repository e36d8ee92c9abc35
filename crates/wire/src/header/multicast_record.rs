//! What IGMPv3 and MLDv2 have in common: lists of sources, group records, and times in a floating point of their own
//! (RFC 3376 section 4, RFC 3810 section 5).
//!
//! Invariants: [`Records`] and [`Sources`] that exist can be walked to their end.

use super::field::Field;
use super::{HeaderKind, Malformed, blank, fits, illegal, need, put, span};
use crate::number::named;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address of either family.
pub trait Address: Copy + Eq + Debug + sealed::Sealed {
    /// Length in bytes.
    const LEN: usize;
    /// The header whose records have such addresses.
    const HEADER: HeaderKind;
    /// The address at an offset; the unspecified one beyond the end.
    fn at(bytes: &[u8], at: usize) -> Self;
    /// Writes the address at an offset, if it fits there.
    fn put(self, bytes: &mut [u8], at: usize);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::net::Ipv4Addr {}
    impl Sealed for std::net::Ipv6Addr {}
}

impl Address for Ipv4Addr {
    const LEN: usize = 4;
    const HEADER: HeaderKind = HeaderKind::Igmp;
    fn at(bytes: &[u8], at: usize) -> Self {
        Self::read(bytes, at)
    }
    fn put(self, bytes: &mut [u8], at: usize) {
        self.write(bytes, at);
    }
}

impl Address for Ipv6Addr {
    const LEN: usize = 16;
    const HEADER: HeaderKind = HeaderKind::Mld;
    fn at(bytes: &[u8], at: usize) -> Self {
        Self::read(bytes, at)
    }
    fn put(self, bytes: &mut [u8], at: usize) {
        self.write(bytes, at);
    }
}

/// A list of source addresses, as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources<'a, A> {
    bytes: &'a [u8],
    address: PhantomData<A>,
}

impl<'a, A: Address> Sources<'a, A> {
    /// No sources.
    pub const NONE: Self = Self { bytes: &[], address: PhantomData };

    /// Over the bytes of whole addresses.
    ///
    /// # Errors
    /// [`Malformed`] when the last is cut or there are more than 65535.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if !bytes.len().is_multiple_of(A::LEN) {
            return Err(illegal(A::HEADER, "length of sources", bytes.len() as u64));
        }
        fits(A::HEADER, "number of sources", (bytes.len() / A::LEN) as u64, 0xffff)?;
        Ok(Self { bytes, address: PhantomData })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / A::LEN
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = A> + use<'a, A> {
        self.bytes.chunks_exact(A::LEN).map(|chunk| A::at(chunk, 0))
    }
}

named! {
    /// What a group record says (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
    RecordKind(u8) {
        /// Only these sources are wanted.
        MODE_IS_INCLUDE = 1, "is include";
        /// All but these sources are wanted.
        MODE_IS_EXCLUDE = 2, "is exclude";
        /// From now on only these sources are wanted.
        CHANGE_TO_INCLUDE = 3, "to include";
        /// From now on all but these sources are wanted.
        CHANGE_TO_EXCLUDE = 4, "to exclude";
        /// These sources are wanted too.
        ALLOW_NEW_SOURCES = 5, "allow";
        /// These sources are wanted no more.
        BLOCK_OLD_SOURCES = 6, "block";
    }
}

/// One group record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a, A> {
    /// What it says.
    pub kind: RecordKind,
    /// About which group.
    pub group: A,
    /// About which sources.
    pub sources: Sources<'a, A>,
    /// What no version defines. Legal lengths: multiples of 4 up to 1020 bytes.
    pub auxiliary: &'a [u8],
}

impl<'a, A: Address> Record<'a, A> {
    /// The record at the front of `bytes`, and its length in bytes.
    fn read(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        need(A::HEADER, bytes, 4 + A::LEN)?;
        let sources_at = 4 + A::LEN;
        let auxiliary_at = sources_at + usize::from(u16::read(bytes, 2)) * A::LEN;
        let length = auxiliary_at + usize::from(u8::read(bytes, 1)) * 4;
        need(A::HEADER, bytes, length)?;
        let record = Self {
            kind: RecordKind::read(bytes, 0),
            group: A::at(bytes, 4),
            sources: Sources::new(span(bytes, sources_at, auxiliary_at))?,
            auxiliary: span(bytes, auxiliary_at, length),
        };
        Ok((record, length))
    }

    /// Length in bytes that [`Record::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        4 + A::LEN + self.sources.bytes.len() + self.auxiliary.len()
    }

    /// Writes the record to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the auxiliary data no whole words.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let auxiliary = self.auxiliary.len();
        if !auxiliary.is_multiple_of(4) || auxiliary > 1020 {
            return Err(illegal(A::HEADER, "length of auxiliary data", auxiliary as u64));
        }
        let length = self.buffer_len();
        let bytes = blank(A::HEADER, buffer, length)?;
        self.kind.write(bytes, 0);
        ((auxiliary / 4) as u8).write(bytes, 1);
        (self.sources.len() as u16).write(bytes, 2);
        self.group.put(bytes, 4);
        put(bytes, 4 + A::LEN, self.sources.bytes);
        put(bytes, length - auxiliary, self.auxiliary);
        Ok(length)
    }
}

/// A counted list of group records, as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a, A> {
    bytes: &'a [u8],
    count: u16,
    address: PhantomData<A>,
}

impl<'a, A: Address> Records<'a, A> {
    /// No records.
    pub const NONE: Self = Self { bytes: &[], count: 0, address: PhantomData };

    /// The first `count` records of `bytes`; what stands behind them is left out.
    ///
    /// # Errors
    /// [`Malformed`] when a record is cut.
    pub fn new(bytes: &'a [u8], count: u16) -> Result<Self, Malformed> {
        let mut length = 0;
        for _ in 0..count {
            length += Record::<A>::read(span(bytes, length, usize::MAX))?.1;
        }
        Ok(Self { bytes: span(bytes, 0, length), count, address: PhantomData })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u16 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a, A>> + use<'a, A> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (record, length) = Record::read(rest).ok()?;
            rest = span(rest, length, usize::MAX);
            Some(record)
        })
    }
}

/// A time of IGMPv3 (RFC 3376 sections 4.1.1 and 4.1.7): the code is the time below 128, a floating point above.
#[must_use]
pub const fn time_of_code(code: u8) -> u16 {
    if code < 128 { code as u16 } else { ((code & 0xf) as u16 | 0x10) << (((code >> 4) & 7) + 3) }
}

/// A time of MLDv2 (RFC 3810 section 5.1.3): the code is the time below 32768, a floating point above.
#[must_use]
pub const fn time_of_long_code(code: u16) -> u32 {
    if code < 32_768 { code as u32 } else { ((code & 0xfff) as u32 | 0x1000) << (((code >> 12) & 7) + 3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_grow_without_a_gap_at_the_edge() {
        assert_eq!((time_of_code(127), time_of_code(128), time_of_code(255)), (127, 128, 31_744));
        assert_eq!((time_of_long_code(32_767), time_of_long_code(32_768)), (32_767, 32_768));
        assert_eq!(time_of_long_code(0xffff), 8_387_584);
        assert!((1..=255).all(|code| time_of_code(code - 1) < time_of_code(code)));
    }
}
