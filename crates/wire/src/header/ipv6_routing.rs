//! IPv6's routing header (RFC 8200 section 4.4): its type and how many segments are left; the rest is opaque.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use crate::IpProtocol;

/// Source route, deprecated: hosts must not follow it (RFC 5095).
pub const TYPE_SOURCE_ROUTE: u8 = 0;
/// Mobile IPv6 (RFC 6275 section 6.4).
pub const TYPE_MOBILE: u8 = 2;
/// Segment routing (RFC 8754 section 2).
pub const TYPE_SEGMENT_ROUTING: u8 = 4;

view! {
    /// A routing header and what follows it.
    Ipv6Routing, 8 bytes, check;
    /// What follows this header.
    next_header / set_next_header: IpProtocol [0];
    /// Length in units of 8 bytes, the first 8 not counted.
    length_units: u8 [1];
    /// Which kind of routing header.
    routing_type: u8 [2];
    /// Nodes still to visit; when not 0, the packet's destination is not the final one.
    segments_left / set_segments_left: u8 [3];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let length = (usize::from(u8::read(bytes, 1)) + 1) * 8;
    if length > bytes.len() { Err(truncated(HeaderKind::Ipv6Routing, length, bytes.len())) } else { Ok(()) }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        (usize::from(self.length_units()) + 1) * 8
    }

    /// What the type defines.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        span(self.as_bytes(), 4, self.header_len())
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// The meaning of a routing header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// What follows this header.
    pub next_header: IpProtocol,
    /// Which kind of routing header.
    pub routing_type: u8,
    /// Nodes still to visit.
    pub segments_left: u8,
    /// What the type defines. Legal lengths: 4, 12, ... 2044 bytes.
    pub data: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        Ok(Self {
            next_header: view.next_header(),
            routing_type: view.routing_type(),
            segments_left: view.segments_left(),
            data: span(view.into_inner().as_ref(), 4, view.header_len()),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        4 + self.data.len()
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the data no whole units.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(8) || length > 2048 {
            return Err(illegal(HeaderKind::Ipv6Routing, "length", length as u64));
        }
        let bytes = blank(HeaderKind::Ipv6Routing, buffer, length)?;
        self.next_header.write(bytes, 0);
        [(length / 8 - 1) as u8, self.routing_type, self.segments_left].write(bytes, 1);
        put(bytes, 4, self.data);
        Ok(length)
    }
}
