//! TCP with options (RFC 9293 section 3.1, RFC 7323, RFC 2018).
//!
//! Invariants: after `new_checked` the header with its options lies within the bytes. A segment has no length of
//! its own: its view must be made of exactly the IP payload.

use super::field::{Bits, Field, view};
use super::tlv::ShortBytes;
use super::{HeaderKind, Malformed, blank, illegal, put, span, span_mut, truncated};
use crate::IpProtocol;
use crate::checksum::{Delta, PseudoHeader};
use std::ops::BitOr;

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;

/// Most bytes of options.
pub const MAX_OPTIONS_LEN: usize = 40;

/// The control bits. Legal values: all 12 bits; those without a name are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// The sender has no more data.
    pub const FIN: Self = Self(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset the connection.
    pub const RST: Self = Self(0x004);
    /// Hand the data on at once.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x020);
    /// ECN echo (RFC 3168 section 6.1).
    pub const ECE: Self = Self(0x040);
    /// Congestion window reduced (RFC 3168 section 6.1).
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN (RFC 9768 section 3.1).
    pub const AE: Self = Self(0x100);

    /// From the low 12 bits of a number; others are dropped.
    #[inline]
    #[must_use]
    pub const fn from_low_bits(bits: u16) -> Self {
        Self(bits & 0xfff)
    }

    /// The 12 bits.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are set here.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Bits for Flags {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self(u16::from_bits(bits))
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self.0)
    }
}

view! {
    /// A TCP segment.
    Tcp, 20 bytes, check;
    /// Source port.
    source_port / set_source_port: u16 [0];
    /// Destination port.
    destination_port / set_destination_port: u16 [2];
    /// Number of the first byte of data.
    sequence / set_sequence: u32 [4];
    /// Number of the next byte expected.
    acknowledgement / set_acknowledgement: u32 [8];
    /// The control bits.
    flags / set_flags: Flags [12, u16, 0, 0xfff];
    /// Bytes that the sender will take, before scaling.
    window / set_window: u16 [14];
    /// Checksum of pseudo-header, header and payload.
    checksum / set_checksum: u16 [16];
    /// Where urgent data ends, counted from the sequence number.
    urgent_pointer / set_urgent_pointer: u16 [18];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let words = u8::read(bytes, 12) >> 4;
    let length = usize::from(words) * 4;
    if length < HEADER_LEN {
        return Err(illegal(HeaderKind::Tcp, "data offset", words));
    }
    if length > bytes.len() {
        return Err(truncated(HeaderKind::Tcp, length, bytes.len()));
    }
    Ok(())
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header with options, in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(u8::read(self.as_bytes(), 12) >> 4) * 4
    }

    /// The bytes of the options, padding included.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, self.header_len())
    }

    /// What the segment carries.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }

    /// Whether the checksum is right.
    #[inline]
    #[must_use]
    pub fn verify_checksum(&self, pseudo_header: &PseudoHeader) -> bool {
        let bytes = self.as_bytes();
        pseudo_header.sum(IpProtocol::TCP, bytes.len() as u32).bytes(bytes).fold() == 0xffff
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// The bytes of the options, padding included.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let to = self.header_len();
        span_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }

    /// What the segment carries.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let from = self.header_len();
        span_mut(self.buffer.as_mut(), from, usize::MAX)
    }

    /// Computes the checksum of header and payload and writes it.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo_header: &PseudoHeader) {
        self.set_checksum(0);
        let bytes = self.as_bytes();
        let checksum = pseudo_header.sum(IpProtocol::TCP, bytes.len() as u32).bytes(bytes).checksum();
        self.set_checksum(checksum);
    }

    /// Mends the checksum after a change of what it covers.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply(self.checksum());
        self.set_checksum(checksum);
    }
}

/// One option of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// Padding between options.
    Padding,
    /// Largest segment that the sender takes, in bytes.
    MaximumSegmentSize(u16),
    /// Left shift of the window, 0 to 14 (RFC 7323 section 2.2).
    WindowScale(u8),
    /// Selective acknowledgements are understood (RFC 2018 section 2).
    SelectivePermitted,
    /// Selective acknowledgements: pairs of the first number and the one after the last (RFC 2018 section 3).
    Selective(&'a [u8]),
    /// The sender's clock and the echo of the peer's (RFC 7323 section 3.2).
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The peer's clock, echoed.
        echo: u32,
    },
    /// Any other option.
    Other {
        /// Its number.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

/// Walks the bytes of options up to their end; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// Over the bytes that [`View::options`] gives.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.0.split_first()?;
        match kind {
            0 => {
                self.0 = &[];
                return None;
            }
            1 => {
                self.0 = rest;
                return Some(Ok(Item::Padding));
            }
            _ => {}
        }
        let length = rest.first().copied().unwrap_or(0);
        let whole = std::mem::take(&mut self.0);
        let Some(([_, _, data @ ..], after)) = whole.split_at_checked(usize::from(length)) else {
            return Some(Err(illegal(HeaderKind::Tcp, "option length", length)));
        };
        self.0 = after;
        Some(Ok(match (kind, data) {
            (2, &[high, low]) => Item::MaximumSegmentSize(u16::from_be_bytes([high, low])),
            (3, &[shift]) => Item::WindowScale(shift),
            (4, []) => Item::SelectivePermitted,
            (5, blocks) if blocks.len().is_multiple_of(8) => Item::Selective(blocks),
            (8, data) if data.len() == 8 => {
                Item::Timestamps { value: u32::read(data, 0), echo: u32::read(data, 4) }
            }
            (kind, data) => Item::Other { kind, data },
        }))
    }
}

/// Options as they travel, made one by one.
pub type OptionBytes = ShortBytes<MAX_OPTIONS_LEN>;

impl OptionBytes {
    /// Appends an option; `false`, and nothing is changed, when there is no room.
    pub fn push_option(&mut self, item: Item<'_>) -> bool {
        let mut whole = Self::EMPTY;
        let head = |kind: u8, length: usize| [kind, (length + 2) as u8];
        let written = match item {
            Item::Padding => whole.push(&[1]),
            Item::MaximumSegmentSize(size) => whole.push(&head(2, 2)) && whole.push(&size.to_be_bytes()),
            Item::WindowScale(shift) => whole.push(&head(3, 1)) && whole.push(&[shift]),
            Item::SelectivePermitted => whole.push(&head(4, 0)),
            Item::Selective(blocks) => whole.push(&head(5, blocks.len())) && whole.push(blocks),
            Item::Timestamps { value, echo } => {
                whole.push(&head(8, 8)) && whole.push(&value.to_be_bytes()) && whole.push(&echo.to_be_bytes())
            }
            Item::Other { kind, data } => {
                kind > 1 && data.len() <= 38 && whole.push(&head(kind, data.len())) && whole.push(data)
            }
        };
        written && self.push(whole.as_bytes())
    }

    /// Pads with the end of options to whole 32-bit words.
    pub fn pad(&mut self) {
        while !self.len().is_multiple_of(4) && self.push(&[0]) {}
    }
}

/// The meaning of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Number of the first byte of data.
    pub sequence: u32,
    /// Number of the next byte expected.
    pub acknowledgement: u32,
    /// The control bits.
    pub flags: Flags,
    /// Bytes that the sender will take, before scaling.
    pub window: u16,
    /// Where urgent data ends, counted from the sequence number.
    pub urgent_pointer: u16,
    /// The options as they travel, padded. Legal lengths: multiples of 4 up to 40.
    pub options: OptionBytes,
}

impl Repr {
    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when the options do not fit, which a checked view excludes.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let options = ShortBytes::new(view.options())
            .ok_or_else(|| illegal(HeaderKind::Tcp, "options length", view.options().len() as u64))?;
        Ok(Self {
            source_port: view.source_port(),
            destination_port: view.destination_port(),
            sequence: view.sequence(),
            acknowledgement: view.acknowledgement(),
            flags: view.flags(),
            window: view.window(),
            urgent_pointer: view.urgent_pointer(),
            options,
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, without a checksum, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the options are not padded.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(4) {
            return Err(illegal(HeaderKind::Tcp, "options length", self.options.len() as u64));
        }
        let bytes = blank(HeaderKind::Tcp, buffer, length)?;
        ((length as u8 / 4) << 4).write(bytes, 12);
        put(bytes, HEADER_LEN, self.options.as_bytes());
        let mut view = View::new_unchecked(bytes);
        view.set_source_port(self.source_port);
        view.set_destination_port(self.destination_port);
        view.set_sequence(self.sequence);
        view.set_acknowledgement(self.acknowledgement);
        view.set_flags(self.flags);
        view.set_window(self.window);
        view.set_urgent_pointer(self.urgent_pointer);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_the_way_there_and_back() {
        let items = [
            Item::MaximumSegmentSize(1460),
            Item::SelectivePermitted,
            Item::Timestamps { value: 7, echo: 9 },
            Item::Padding,
            Item::WindowScale(7),
            Item::Other { kind: 34, data: &[1, 2, 3] },
        ];
        let mut bytes = OptionBytes::EMPTY;
        for item in items {
            assert!(bytes.push_option(item));
        }
        bytes.pad();
        assert!(bytes.len().is_multiple_of(4));
        let read: Vec<_> = Options::new(bytes.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, items);
        assert!(!bytes.push_option(Item::Selective(&[0; 32])));
        for wrong in [&[2u8][..], &[2, 0], &[2, 1], &[2, 5, 0]] {
            assert!(Options::new(wrong).next().unwrap().is_err());
        }
    }
}
