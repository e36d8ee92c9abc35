//! GRE with key, checksum and sequence number (RFC 2784, RFC 2890).
//!
//! Deliberately absent: the source routes of RFC 1701 and the version 1 of PPTP; they are malformed here, as RFC 2784
//! section 2.3 wants.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span, truncated};
use crate::{EtherType, checksum};

/// Length of the header without its optional words, in bytes.
pub const HEADER_LEN: usize = 4;

view! {
    /// A GRE header and what follows it.
    Gre, 4 bytes, check;
    /// A checksum is there.
    has_checksum: bool [0, u8, 7, 0x1];
    /// A key is there.
    has_key: bool [0, u8, 5, 0x1];
    /// A sequence number is there.
    has_sequence: bool [0, u8, 4, 0x1];
    /// Version: 0.
    version: u8 [1, u8, 0, 0x7];
    /// What follows the header.
    protocol / set_protocol: EtherType [2];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let [flags, version] = Field::read(bytes, 0);
    if version & 7 != 0 {
        return Err(illegal(HeaderKind::Gre, "version", version & 7));
    }
    // Routing present, strict source route and recursion: a receiver that does not implement them drops the packet.
    if flags & 0x4f != 0 {
        return Err(illegal(HeaderKind::Gre, "flags", flags));
    }
    let length = header_len(flags);
    if length > bytes.len() { Err(truncated(HeaderKind::Gre, length, bytes.len())) } else { Ok(()) }
}

#[inline]
const fn header_len(flags: u8) -> usize {
    HEADER_LEN + 4 * ((flags >> 7) as usize + (flags >> 5 & 1) as usize + (flags >> 4 & 1) as usize)
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes: 4 to 16.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        header_len(u8::read(self.as_bytes(), 0))
    }

    /// The checksum of header and payload, if there is one.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> Option<u16> {
        self.has_checksum().then(|| u16::read(self.as_bytes(), 4))
    }

    /// The key, if there is one.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<u32> {
        self.has_key().then(|| u32::read(self.as_bytes(), self.key_at()))
    }

    /// The sequence number, if there is one.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> Option<u32> {
        self.has_sequence().then(|| u32::read(self.as_bytes(), self.sequence_at()))
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }

    /// Whether the checksum is right or absent.
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        !self.has_checksum() || checksum::is_intact(self.as_bytes())
    }

    fn key_at(&self) -> usize {
        HEADER_LEN + 4 * usize::from(self.has_checksum())
    }

    fn sequence_at(&self) -> usize {
        self.key_at() + 4 * usize::from(self.has_key())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Writes the sequence number, if there is a place for one.
    pub fn set_sequence(&mut self, sequence: u32) {
        if self.has_sequence() {
            let at = self.sequence_at();
            sequence.write(self.buffer.as_mut(), at);
        }
    }

    /// Computes the checksum of header and payload and writes it, if there is a place for one.
    pub fn fill_checksum(&mut self) {
        if self.has_checksum() {
            0u16.write(self.buffer.as_mut(), 4);
            let checksum = checksum::internet(self.as_bytes());
            checksum.write(self.buffer.as_mut(), 4);
        }
    }
}

/// The meaning of a GRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// What follows the header.
    pub protocol: EtherType,
    /// Whether there is a checksum; [`View::fill_checksum`] computes it over the payload.
    pub checksum: bool,
    /// The key, if there is one.
    pub key: Option<u32>,
    /// The sequence number, if there is one.
    pub sequence: Option<u32>,
}

impl Repr {
    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            protocol: view.protocol(),
            checksum: view.has_checksum(),
            key: view.key(),
            sequence: view.sequence(),
        })
    }

    fn flags(&self) -> u8 {
        u8::from(self.checksum) << 7
            | u8::from(self.key.is_some()) << 5
            | u8::from(self.sequence.is_some()) << 4
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        header_len(self.flags())
    }

    /// Writes the header, with a checksum of zero if it has one, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let bytes = blank(HeaderKind::Gre, buffer, length)?;
        self.flags().write(bytes, 0);
        self.protocol.write(bytes, 2);
        let view = View::new_unchecked(&bytes);
        let (key_at, sequence_at) = (view.key_at(), view.sequence_at());
        if let Some(key) = self.key {
            key.write(bytes, key_at);
        }
        if let Some(sequence) = self.sequence {
            sequence.write(bytes, sequence_at);
        }
        Ok(length)
    }
}
