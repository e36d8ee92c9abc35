//! UDP (RFC 768).
//!
//! Invariants: after `new_checked` the payload that the length announces lies within the bytes.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, illegal, span, span_mut, truncated};
use crate::IpProtocol;
use crate::checksum::{Delta, PseudoHeader};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

view! {
    /// A UDP datagram.
    Udp, 8 bytes, check;
    /// Source port; 0 when no answer is expected.
    source_port / set_source_port: u16 [0];
    /// Destination port.
    destination_port / set_destination_port: u16 [2];
    /// Length of header and payload in bytes.
    length / set_length: u16 [4];
    /// Checksum of pseudo-header, header and payload; 0 when there is none.
    checksum / set_checksum: u16 [6];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let length = u16::read(bytes, 4);
    if usize::from(length) < HEADER_LEN {
        return Err(illegal(HeaderKind::Udp, "length", length));
    }
    if usize::from(length) > bytes.len() {
        return Err(truncated(HeaderKind::Udp, usize::from(length), bytes.len()));
    }
    Ok(())
}

impl<T: AsRef<[u8]>> View<T> {
    /// As `new_checked`, for datagrams whose end is elsewhere: first fragments, quotes in ICMP errors, short captures.
    /// The payload is what there is of it.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when the header is cut.
    #[inline]
    pub fn new_cut(buffer: T) -> Result<Self, Malformed> {
        super::need(HeaderKind::Udp, buffer.as_ref(), HEADER_LEN)?;
        Ok(Self { buffer })
    }

    /// What the datagram carries.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::from(self.length()))
    }

    /// Whether the checksum is right or absent.
    #[inline]
    #[must_use]
    pub fn verify_checksum(&self, pseudo_header: &PseudoHeader) -> bool {
        self.checksum() == 0
            || pseudo_header
                .sum(IpProtocol::UDP, u32::from(self.length()))
                .bytes(span(self.as_bytes(), 0, usize::from(self.length())))
                .fold()
                == 0xffff
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What the datagram carries.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let to = usize::from(self.length());
        span_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }

    /// Computes the checksum of header and payload and writes it.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo_header: &PseudoHeader) {
        self.set_checksum(0);
        let length = self.length();
        let sum = pseudo_header.sum(IpProtocol::UDP, u32::from(length));
        let checksum = sum.bytes(span(self.as_bytes(), 0, usize::from(length))).udp_checksum();
        self.set_checksum(checksum);
    }

    /// Mends the checksum, if there is one, after a change of what it covers.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply_udp(self.checksum());
        self.set_checksum(checksum);
    }
}

/// The meaning of a UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Length of the payload in bytes. Legal values: 0 to 65527.
    pub payload_len: u16,
}

impl Repr {
    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed::Illegal`] when the length is less than a header, which a checked view excludes.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let payload_len = view
            .length()
            .checked_sub(HEADER_LEN as u16)
            .ok_or_else(|| illegal(HeaderKind::Udp, "length", view.length()))?;
        Ok(Self { source_port: view.source_port(), destination_port: view.destination_port(), payload_len })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, without a checksum, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the payload too long.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Udp, "payload length", self.payload_len, 0xffff - HEADER_LEN as u64)?;
        let mut view = View::new_unchecked(blank(HeaderKind::Udp, buffer, HEADER_LEN)?);
        view.set_source_port(self.source_port);
        view.set_destination_port(self.destination_port);
        view.set_length(self.payload_len + HEADER_LEN as u16);
        Ok(HEADER_LEN)
    }
}
