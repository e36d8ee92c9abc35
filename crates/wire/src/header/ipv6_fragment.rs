//! IPv6's fragment header (RFC 8200 section 4.5).

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span};
use crate::IpProtocol;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

view! {
    /// A fragment header and the fragment after it.
    Ipv6Fragment, 8 bytes;
    /// The first header of the part that was fragmented.
    next_header / set_next_header: IpProtocol [0];
    /// Where the fragment begins in the fragmentable part, in units of 8 bytes.
    fragment_units / set_fragment_units: u16 [2, u16, 3, 0x1fff];
    /// More fragments follow.
    more_fragments / set_more_fragments: bool [2, u16, 0, 0x1];
    /// Names the packet that fragments belong to.
    identification / set_identification: u32 [4];
}

impl<T: AsRef<[u8]>> View<T> {
    /// Where the fragment begins in the fragmentable part, in bytes.
    #[inline]
    #[must_use]
    pub fn fragment_offset(&self) -> u16 {
        self.fragment_units() * 8
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }
}

/// The meaning of a fragment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// The first header of the part that was fragmented.
    pub next_header: IpProtocol,
    /// Where the fragment begins in the fragmentable part, in bytes. Legal values: multiples of 8.
    pub fragment_offset: u16,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Names the packet that fragments belong to.
    pub identification: u32,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every fragment header is legal.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            next_header: view.next_header(),
            fragment_offset: view.fragment_offset(),
            more_fragments: view.more_fragments(),
            identification: view.identification(),
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
    /// [`Malformed`] when `buffer` is too short or the offset no multiple of 8.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        if !self.fragment_offset.is_multiple_of(8) {
            return Err(illegal(HeaderKind::Ipv6Fragment, "fragment offset", self.fragment_offset));
        }
        let bytes = blank(HeaderKind::Ipv6Fragment, buffer, HEADER_LEN)?;
        self.next_header.write(bytes, 0);
        (self.fragment_offset | u16::from(self.more_fragments)).write(bytes, 2);
        self.identification.write(bytes, 4);
        Ok(HEADER_LEN)
    }
}
