//! IPv4 with options and fragments (RFC 791, RFC 2474, RFC 3168).
//!
//! Invariants: after `new_checked` the header, with its options, and the payload that the total length announces lie
//! within the bytes. Bytes beyond the total length are the padding of the frame and no part of the payload.

use super::field::{Bits, Field, view};
use super::tlv::ShortBytes;
use super::{HeaderKind, Malformed, blank, fits, illegal, put, span, span_mut, truncated};
use crate::checksum::{self, PseudoHeader};
use crate::{Dscp, IpProtocol};
use std::net::Ipv4Addr;

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;

/// Most bytes of options.
pub const MAX_OPTIONS_LEN: usize = 40;

/// Explicit congestion notification (RFC 3168 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ecn {
    /// The transport takes no notice.
    #[default]
    NotCapable,
    /// ECN-capable transport, ECT(1).
    Capable1,
    /// ECN-capable transport, ECT(0).
    Capable0,
    /// Congestion was met on the way.
    CongestionExperienced,
}

impl Bits for Ecn {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::CongestionExperienced,
        }
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        self as u64
    }
}

view! {
    /// An IPv4 packet.
    Ipv4, 20 bytes, check;
    /// Protocol version: 4.
    version: u8 [0, u8, 4, 0xf];
    /// Differentiated-services code point.
    dscp / set_dscp: Dscp [1, u8, 2, 0x3f];
    /// Explicit congestion notification.
    ecn / set_ecn: Ecn [1, u8, 0, 0x3];
    /// DSCP and ECN in one byte, as flow tables match them.
    traffic_class / set_traffic_class: u8 [1];
    /// Length of header and payload in bytes.
    total_len / set_total_len: u16 [2];
    /// Names the packet that fragments belong to.
    identification / set_identification: u16 [4];
    /// Routers must not fragment the packet.
    dont_fragment / set_dont_fragment: bool [6, u8, 6, 0x1];
    /// More fragments follow.
    more_fragments / set_more_fragments: bool [6, u8, 5, 0x1];
    /// Where the fragment's payload begins in the packet's, in units of 8 bytes.
    fragment_units / set_fragment_units: u16 [6, u16, 0, 0x1fff];
    /// Hops left.
    ttl / set_ttl: u8 [8];
    /// What the packet carries.
    protocol / set_protocol: IpProtocol [9];
    /// Checksum of the header.
    checksum / set_checksum: u16 [10];
    /// Source address.
    source / set_source: Ipv4Addr [12];
    /// Destination address.
    destination / set_destination: Ipv4Addr [16];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    check_header(bytes)?;
    let total = usize::from(u16::read(bytes, 2));
    if total > bytes.len() {
        return Err(truncated(HeaderKind::Ipv4, total, bytes.len()));
    }
    Ok(())
}

/// Everything but that the payload is there.
#[inline]
fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    let first = u8::read(bytes, 0);
    if first >> 4 != 4 {
        return Err(illegal(HeaderKind::Ipv4, "version", first >> 4));
    }
    let header = usize::from(first & 0xf) * 4;
    if header < HEADER_LEN {
        return Err(illegal(HeaderKind::Ipv4, "header length", first & 0xf));
    }
    if header > bytes.len() {
        return Err(truncated(HeaderKind::Ipv4, header, bytes.len()));
    }
    let total = u16::read(bytes, 2);
    if usize::from(total) < header {
        return Err(illegal(HeaderKind::Ipv4, "total length", total));
    }
    Ok(())
}

impl<T: AsRef<[u8]>> View<T> {
    /// As `new_checked`, for packets whose end was cut off: quotes in ICMP errors, short captures. The payload is what
    /// there is of it.
    ///
    /// # Errors
    /// [`Malformed`] when the header is cut or contradicts itself.
    #[inline]
    pub fn new_cut(buffer: T) -> Result<Self, Malformed> {
        super::need(HeaderKind::Ipv4, buffer.as_ref(), HEADER_LEN)?;
        check_header(buffer.as_ref())?;
        Ok(Self { buffer })
    }

    /// Length of the header with options, in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(u8::read(self.as_bytes(), 0) & 0xf) * 4
    }

    /// Where the fragment's payload begins in the packet's, in bytes.
    #[inline]
    #[must_use]
    pub fn fragment_offset(&self) -> u16 {
        self.fragment_units() * 8
    }

    /// Whether this is a part of a packet, the first one included.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        u16::read(self.as_bytes(), 6) & 0x3fff != 0
    }

    /// The bytes of the options, padding included.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, self.header_len())
    }

    /// What the packet carries, without the padding of the frame.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::from(self.total_len()))
    }

    /// Whether the header's checksum is right.
    #[inline]
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        checksum::is_intact(span(self.as_bytes(), 0, self.header_len()))
    }

    /// The addresses for the checksum of the payload's protocol.
    #[inline]
    #[must_use]
    pub fn pseudo_header(&self) -> PseudoHeader {
        PseudoHeader::v4(self.source(), self.destination())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What the packet carries, without the padding of the frame.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (from, to) = (self.header_len(), usize::from(self.total_len()));
        span_mut(self.buffer.as_mut(), from, to)
    }

    /// Computes the header's checksum and writes it.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = checksum::internet(span(self.as_bytes(), 0, self.header_len()));
        self.set_checksum(checksum);
    }

    /// Takes one hop off and mends the checksum (RFC 1141). Returns the hops left; at 0 the packet must go no
    /// further. A packet that arrives with 0 stays as it is.
    #[inline]
    pub fn decrement_ttl(&mut self) -> u8 {
        let ttl = self.ttl();
        if ttl != 0 {
            let rest = u16::from(self.protocol().0);
            let (old, new) = (u16::from(ttl) << 8 | rest, u16::from(ttl - 1) << 8 | rest);
            let checksum = checksum::Delta::NONE.word(old, new).apply(self.checksum());
            self.set_ttl(ttl - 1);
            self.set_checksum(checksum);
        }
        ttl.saturating_sub(1)
    }
}

/// One option of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Copied flag, class and number (RFC 791 section 3.1).
    pub kind: u8,
    /// What follows the length byte; empty for the padding option.
    pub data: &'a [u8],
}

/// The option that pads to the next.
pub const OPTION_PADDING: u8 = 1;
/// Router alert: routers look at the packet (RFC 2113).
pub const OPTION_ROUTER_ALERT: u8 = 148;

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
                None
            }
            OPTION_PADDING => {
                self.0 = rest;
                Some(Ok(Item { kind, data: &[] }))
            }
            _ => {
                let length = rest.first().copied().unwrap_or(0);
                let whole = std::mem::take(&mut self.0);
                match whole.split_at_checked(usize::from(length)) {
                    Some(([_, _, data @ ..], after)) => {
                        self.0 = after;
                        Some(Ok(Item { kind, data }))
                    }
                    _ => Some(Err(illegal(HeaderKind::Ipv4, "option length", length))),
                }
            }
        }
    }
}

/// The meaning of an IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Differentiated-services code point.
    pub dscp: Dscp,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Names the packet that fragments belong to.
    pub identification: u16,
    /// Routers must not fragment the packet.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Where the fragment's payload begins in the packet's, in bytes. Legal values: multiples of 8.
    pub fragment_offset: u16,
    /// Hops left.
    pub ttl: u8,
    /// What the packet carries.
    pub protocol: IpProtocol,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// The options as they travel, padded. Legal lengths: multiples of 4 up to 40.
    pub options: ShortBytes<MAX_OPTIONS_LEN>,
    /// Length of the payload in bytes.
    pub payload_len: u16,
}

impl Repr {
    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when the options do not fit, which a checked view excludes.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let options = ShortBytes::new(view.options())
            .ok_or_else(|| illegal(HeaderKind::Ipv4, "options length", view.options().len() as u64))?;
        let header = u16::from(u8::read(view.as_bytes(), 0) & 0xf) * 4;
        Ok(Self {
            dscp: view.dscp(),
            ecn: view.ecn(),
            identification: view.identification(),
            dont_fragment: view.dont_fragment(),
            more_fragments: view.more_fragments(),
            fragment_offset: view.fragment_offset(),
            ttl: view.ttl(),
            protocol: view.protocol(),
            source: view.source(),
            destination: view.destination(),
            options,
            payload_len: view.total_len().saturating_sub(header),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, checksum included, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value has no place in the header.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(4) {
            return Err(illegal(HeaderKind::Ipv4, "options length", self.options.len() as u64));
        }
        if !self.fragment_offset.is_multiple_of(8) {
            return Err(illegal(HeaderKind::Ipv4, "fragment offset", self.fragment_offset));
        }
        let total = length + usize::from(self.payload_len);
        fits(HeaderKind::Ipv4, "total length", total as u64, 0xffff)?;
        let bytes = blank(HeaderKind::Ipv4, buffer, length)?;
        u8::write(0x40 | (length / 4) as u8, bytes, 0);
        put(bytes, HEADER_LEN, self.options.as_bytes());
        let mut view = View::new_unchecked(bytes);
        view.set_dscp(self.dscp);
        view.set_ecn(self.ecn);
        view.set_total_len(total as u16);
        view.set_identification(self.identification);
        view.set_fragment_units(self.fragment_offset / 8);
        view.set_dont_fragment(self.dont_fragment);
        view.set_more_fragments(self.more_fragments);
        view.set_ttl(self.ttl);
        view.set_protocol(self.protocol);
        view.set_source(self.source);
        view.set_destination(self.destination);
        view.fill_checksum();
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a ping, with its checksum as a Linux kernel made it.
    const PING: [u8; 20] =
        [0x45, 0x00, 0x00, 0x54, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x01, 0x0a, 0x61, 10, 0, 0, 1, 10, 0, 0, 2];

    #[test]
    fn a_hop_mends_the_checksum() {
        let mut bytes = PING;
        View::new_unchecked(&mut bytes).fill_checksum();
        let mut view = View::new_cut(&mut bytes).unwrap();
        for left in (0..64).rev() {
            assert_eq!(view.decrement_ttl(), left);
            assert!(view.verify_checksum());
        }
        assert_eq!(view.decrement_ttl(), 0);
        assert!(view.verify_checksum());
    }

    #[test]
    fn a_cut_packet_is_only_for_those_who_ask() {
        assert_eq!(View::new_checked(PING), Err(truncated(HeaderKind::Ipv4, 84, 20)));
        assert_eq!(View::new_cut(PING).map(|view| view.payload().len()), Ok(0));
    }

    #[test]
    fn options_are_walked_to_their_end() {
        let bytes = [148, 4, 0, 0, 1, 7, 3, 9, 0, 5];
        let items: Vec<_> = Options::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [148, 1, 7]);
        assert_eq!(items[2].data, [9]);
        for wrong in [&[7u8][..], &[7, 0], &[7, 1], &[7, 3]] {
            let mut options = Options::new(wrong);
            assert!(options.next().unwrap().is_err());
            assert!(options.next().is_none());
        }
    }
}
