//! Short byte strings of a bounded length, held in place: the options of IPv4 and TCP.
//!
//! Invariants: bytes beyond the length are zero, so that derived equality and hashing hold.

use std::fmt;

/// Up to `N` bytes without an allocation. Legal lengths: 0 to `N`, at most 255.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortBytes<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> ShortBytes<N> {
    /// No bytes.
    pub const EMPTY: Self = Self { length: 0, bytes: [0; N] };

    /// A copy of `source`, unless it is too long.
    #[inline]
    #[must_use]
    pub fn new(source: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..source.len())?.copy_from_slice(source);
        Some(Self { length: u8::try_from(source.len()).ok()?, bytes })
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    /// How many bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends `source`; `false`, and nothing is changed, when there is no room.
    pub fn push(&mut self, source: &[u8]) -> bool {
        let from = usize::from(self.length);
        let Some(target) = self.bytes.get_mut(from..from + source.len()) else { return false };
        let Ok(length) = u8::try_from(from + source.len()) else { return false };
        target.copy_from_slice(source);
        self.length = length;
        true
    }
}

impl<const N: usize> Default for ShortBytes<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Debug for ShortBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}
