//! Readers and writers of octets in network order.
//!
//! What: [`Reader`] walks over octets that somebody sent, and never past their end; [`Writer`] appends to a buffer and
//! fills in lengths afterwards. Both are what every codec of OpenFlow here is made of.
//!
//! Invariants: no method panics. A reader that fails stays where it was.

use super::error::OfError;

/// A bit that is set or not.
pub(crate) const fn flag(on: bool, bit: u16) -> u16 {
    if on { bit } else { 0 }
}

/// Octets that are being read.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    octets: &'a [u8],
    short: OfError,
}

impl<'a> Reader<'a> {
    /// A reader of `octets` that reports `OFPBRC_BAD_LEN` where they end early.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, short: OfError::OFPBRC_BAD_LEN }
    }

    /// A reader that reports `short` where the octets end early.
    #[must_use]
    pub const fn with_error(octets: &'a [u8], short: OfError) -> Self {
        Self { octets, short }
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.octets
    }

    /// How many octets were not read yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The next `count` octets.
    ///
    /// # Errors
    ///
    /// The reader's error if there are fewer. So do all methods below.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], OfError> {
        let (taken, rest) = self.octets.split_at_checked(count).ok_or(self.short)?;
        self.octets = rest;
        Ok(taken)
    }

    /// A reader of the next `count` octets.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn sub(&mut self, count: usize) -> Result<Self, OfError> {
        Ok(Self { octets: self.take(count)?, short: self.short })
    }

    /// The next `N` octets.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], OfError> {
        let (taken, rest) = self.octets.split_first_chunk::<N>().ok_or(self.short)?;
        self.octets = rest;
        Ok(*taken)
    }

    /// Passes over `count` octets.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn skip(&mut self, count: usize) -> Result<(), OfError> {
        self.take(count).map(|_| ())
    }

    /// The next octet.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn u8(&mut self) -> Result<u8, OfError> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// The next 16 bits.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn u16(&mut self) -> Result<u16, OfError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next 32 bits.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn u32(&mut self) -> Result<u32, OfError> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 64 bits.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn u64(&mut self) -> Result<u64, OfError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next 128 bits.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn u128(&mut self) -> Result<u128, OfError> {
        self.array().map(u128::from_be_bytes)
    }

    /// Passes over `count` octets that must be zero.
    ///
    /// # Errors
    ///
    /// `nonzero` if one is not; the reader's error if there are fewer.
    pub fn zeros(&mut self, count: usize, nonzero: OfError) -> Result<(), OfError> {
        if self.take(count)?.iter().all(|octet| *octet == 0) { Ok(()) } else { Err(nonzero) }
    }
}

/// Octets that are being written.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    octets: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: Vec::new() }
    }

    /// Makes room for so many octets more.
    pub fn reserve(&mut self, octets: usize) {
        self.octets.reserve(octets);
    }

    /// Goes on writing behind what is in `octets`.
    #[must_use]
    pub const fn from_vec(octets: Vec<u8>) -> Self {
        Self { octets }
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.octets
    }

    /// What was written up to now.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.octets
    }

    /// How many octets were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Forgets everything behind the first `length` octets.
    pub fn truncate(&mut self, length: usize) {
        self.octets.truncate(length);
    }

    /// Writes octets.
    #[inline]
    pub fn bytes(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Writes an octet.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.octets.push(value);
    }

    /// Writes 16 bits.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes 32 bits.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes 64 bits.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes 128 bits.
    pub fn u128(&mut self, value: u128) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes `count` octets of zero.
    pub fn zeros(&mut self, count: usize) {
        self.octets.resize(self.octets.len() + count, 0);
    }

    /// Writes zeros until the octets since `start` are a multiple of `multiple` (a power of two).
    pub fn pad(&mut self, start: usize, multiple: usize) {
        let length = self.octets.len().saturating_sub(start);
        self.zeros(length.next_multiple_of(multiple.max(1)) - length);
    }

    /// Overwrites 16 bits at `at`; nothing happens where that was not written yet.
    pub fn patch_u16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.octets.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            *place = value.to_be_bytes();
        }
    }

    /// Writes the number of octets since `start` into the 16 bits at `at`. What does not fit in 16 bits is
    /// cut to the largest that does: callers bound what they write.
    pub fn patch_length(&mut self, start: usize, at: usize) {
        let length = self.octets.len().saturating_sub(start);
        self.patch_u16(at, u16::try_from(length).unwrap_or(u16::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_fails_stays_where_it_was() {
        let mut reader = Reader::with_error(&[1, 2, 3], OfError::OFPBAC_BAD_LEN);
        assert_eq!(reader.u32(), Err(OfError::OFPBAC_BAD_LEN));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.rest(), [3]);
        assert_eq!(reader.zeros(1, OfError::NXBAC_MUST_BE_ZERO), Err(OfError::NXBAC_MUST_BE_ZERO));
    }

    #[test]
    fn a_writer_pads_and_fills_in_lengths() {
        let mut out = Writer::from_vec(vec![9]);
        let start = out.len();
        out.u16(0);
        out.u8(7);
        out.pad(start, 8);
        out.patch_length(start, start);
        assert_eq!(out.as_slice(), [9, 0, 8, 7, 0, 0, 0, 0, 0]);
        out.pad(start, 8);
        assert_eq!(out.len(), 9);
        out.patch_u16(8, 1);
        assert_eq!(out.len(), 9);
    }
}
