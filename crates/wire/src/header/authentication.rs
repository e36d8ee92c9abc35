//! The authentication header of IPsec (RFC 4302 section 2): seen and walked over, never verified.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use crate::IpProtocol;

view! {
    /// An authentication header and what follows it.
    Authentication, 12 bytes, check;
    /// What follows this header.
    next_header / set_next_header: IpProtocol [0];
    /// Length in units of 4 bytes, minus 2.
    length_units: u8 [1];
    /// Security parameters index.
    security_parameters / set_security_parameters: u32 [4];
    /// Sequence number, against replays.
    sequence / set_sequence: u32 [8];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let units = u8::read(bytes, 1);
    let length = (usize::from(units) + 2) * 4;
    if length < 12 {
        return Err(illegal(HeaderKind::Authentication, "length", units));
    }
    if length > bytes.len() {
        return Err(truncated(HeaderKind::Authentication, length, bytes.len()));
    }
    Ok(())
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        (usize::from(self.length_units()) + 2) * 4
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// The meaning of an authentication header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// What follows this header.
    pub next_header: IpProtocol,
    /// Security parameters index.
    pub security_parameters: u32,
    /// Sequence number, against replays.
    pub sequence: u32,
    /// Integrity check value. Legal lengths: multiples of 4 up to 1016 bytes.
    pub integrity: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        Ok(Self {
            next_header: view.next_header(),
            security_parameters: view.security_parameters(),
            sequence: view.sequence(),
            integrity: span(view.into_inner().as_ref(), 12, view.header_len()),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        12 + self.integrity.len()
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the integrity value no whole units.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(4) || length > 1028 {
            return Err(illegal(HeaderKind::Authentication, "length", length as u64));
        }
        let bytes = blank(HeaderKind::Authentication, buffer, length)?;
        self.next_header.write(bytes, 0);
        ((length / 4 - 2) as u8).write(bytes, 1);
        self.security_parameters.write(bytes, 4);
        self.sequence.write(bytes, 8);
        put(bytes, 12, self.integrity);
        Ok(length)
    }
}
