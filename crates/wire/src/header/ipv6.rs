//! IPv6's fixed header (RFC 8200 section 3). What may stand between it and the payload is in
//! [`super::ipv6_extension`].
//!
//! Deliberately absent: jumbograms (RFC 2675): a payload length of zero is a payload of no bytes.

use super::field::{Field, view};
use super::ipv4::Ecn;
use super::{HeaderKind, Malformed, blank, fits, illegal, span, span_mut, truncated};
use crate::checksum::PseudoHeader;
use crate::{Dscp, IpProtocol};
use std::net::Ipv6Addr;

/// Length of the fixed header in bytes.
pub const HEADER_LEN: usize = 40;

view! {
    /// An IPv6 packet.
    Ipv6, 40 bytes, check;
    /// Protocol version: 6.
    version: u8 [0, u8, 4, 0xf];
    /// DSCP and ECN in one byte, as flow tables match them.
    traffic_class / set_traffic_class: u8 [0, u16, 4, 0xff];
    /// Differentiated-services code point.
    dscp / set_dscp: Dscp [0, u16, 6, 0x3f];
    /// Explicit congestion notification.
    ecn / set_ecn: Ecn [0, u16, 4, 0x3];
    /// Flow label, 20 bits (RFC 6437).
    flow_label / set_flow_label: u32 [0, u32, 0, 0xf_ffff];
    /// Length in bytes of what follows the fixed header.
    payload_len / set_payload_len: u16 [4];
    /// The first extension header, or what the packet carries.
    next_header / set_next_header: IpProtocol [6];
    /// Hops left.
    hop_limit / set_hop_limit: u8 [7];
    /// Source address.
    source / set_source: Ipv6Addr [8];
    /// Destination address.
    destination / set_destination: Ipv6Addr [24];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    check_header(bytes)?;
    let total = HEADER_LEN + usize::from(u16::read(bytes, 4));
    if total > bytes.len() {
        return Err(truncated(HeaderKind::Ipv6, total, bytes.len()));
    }
    Ok(())
}

#[inline]
fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    let version = u8::read(bytes, 0) >> 4;
    if version == 6 { Ok(()) } else { Err(illegal(HeaderKind::Ipv6, "version", version)) }
}

impl<T: AsRef<[u8]>> View<T> {
    /// As `new_checked`, for packets whose end was cut off: quotes in ICMP errors, short captures. The payload is what
    /// there is of it.
    ///
    /// # Errors
    /// [`Malformed`] when the header is cut or of another version.
    #[inline]
    pub fn new_cut(buffer: T) -> Result<Self, Malformed> {
        super::need(HeaderKind::Ipv6, buffer.as_ref(), HEADER_LEN)?;
        check_header(buffer.as_ref())?;
        Ok(Self { buffer })
    }

    /// What follows the fixed header, without the padding of the frame.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, HEADER_LEN + usize::from(self.payload_len()))
    }

    /// The addresses for the checksum of the payload's protocol. With a routing header that still has segments
    /// left, the final destination stands there instead.
    #[inline]
    #[must_use]
    pub fn pseudo_header(&self) -> PseudoHeader {
        PseudoHeader::v6(self.source(), self.destination())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What follows the fixed header, without the padding of the frame.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let to = HEADER_LEN + usize::from(self.payload_len());
        span_mut(self.buffer.as_mut(), HEADER_LEN, to)
    }

    /// Takes one hop off; returns the hops left. At 0 the packet must go no further.
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> u8 {
        let left = self.hop_limit().saturating_sub(1);
        self.set_hop_limit(left);
        left
    }
}

/// The meaning of the fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Differentiated-services code point.
    pub dscp: Dscp,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Flow label. Legal values: 0 to 2^20-1.
    pub flow_label: u32,
    /// Length in bytes of what follows the fixed header.
    pub payload_len: u16,
    /// The first extension header, or what the packet carries.
    pub next_header: IpProtocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every header of a checked view is legal.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            dscp: view.dscp(),
            ecn: view.ecn(),
            flow_label: view.flow_label(),
            payload_len: view.payload_len(),
            next_header: view.next_header(),
            hop_limit: view.hop_limit(),
            source: view.source(),
            destination: view.destination(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the flow label too large.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Ipv6, "flow label", self.flow_label, 0xf_ffff)?;
        let bytes = blank(HeaderKind::Ipv6, buffer, HEADER_LEN)?;
        0x60u8.write(bytes, 0);
        let mut view = View::new_unchecked(bytes);
        view.set_dscp(self.dscp);
        view.set_ecn(self.ecn);
        view.set_flow_label(self.flow_label);
        view.set_payload_len(self.payload_len);
        view.set_next_header(self.next_header);
        view.set_hop_limit(self.hop_limit);
        view.set_source(self.source);
        view.set_destination(self.destination);
        Ok(HEADER_LEN)
    }
}
