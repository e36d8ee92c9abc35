//! IPv6's hop-by-hop and destination options (RFC 8200 sections 4.2, 4.3 and 4.6). Both have one form.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use crate::IpProtocol;

/// One byte of padding (RFC 8200 section 4.2).
pub const PAD1: u8 = 0;
/// Two and more bytes of padding (RFC 8200 section 4.2).
pub const PADN: u8 = 1;
/// Router alert (RFC 2711 section 2.1).
pub const ROUTER_ALERT: u8 = 5;

view! {
    /// An options header and what follows it.
    Ipv6Options, 8 bytes, check;
    /// What follows this header.
    next_header / set_next_header: IpProtocol [0];
    /// Length in units of 8 bytes, the first 8 not counted.
    length_units: u8 [1];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let length = (usize::from(u8::read(bytes, 1)) + 1) * 8;
    if length > bytes.len() {
        return Err(truncated(HeaderKind::Ipv6Options, length, bytes.len()));
    }
    Items(span(bytes, 2, length)).try_for_each(|item| item.map(|_| ()))
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        (usize::from(self.length_units()) + 1) * 8
    }

    /// The bytes of the options, padding included.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &[u8] {
        span(self.as_bytes(), 2, self.header_len())
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Action on unknown (2 bits), may change on the way (1 bit), number (RFC 8200 section 4.2).
    pub kind: u8,
    /// What follows the length byte; empty for [`PAD1`].
    pub data: &'a [u8],
}

/// Walks the bytes of options; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Over the bytes that [`View::options`] gives.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.0.split_first()?;
        if kind == PAD1 {
            self.0 = rest;
            return Some(Ok(Item { kind, data: &[] }));
        }
        self.0 = &[];
        let (&length, rest) = match rest.split_first() {
            Some(split) => split,
            None => return Some(Err(truncated(HeaderKind::Ipv6Options, 2, 1))),
        };
        match rest.split_at_checked(usize::from(length)) {
            Some((data, after)) => {
                self.0 = after;
                Some(Ok(Item { kind, data }))
            }
            None => Some(Err(illegal(HeaderKind::Ipv6Options, "option length", length))),
        }
    }
}

/// The meaning of an options header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// What follows this header.
    pub next_header: IpProtocol,
    /// The options as they travel, padded. Legal lengths: 6, 14, ... 2046 bytes.
    pub options: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// None: a checked view has been walked.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let options = span(view.into_inner().as_ref(), 2, view.header_len());
        Ok(Self { next_header: view.next_header(), options })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        2 + self.options.len()
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, or the options are no whole units or cannot be walked.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(8) || length == 0 || length > 2048 {
            return Err(illegal(HeaderKind::Ipv6Options, "length", length as u64));
        }
        Items(self.options).try_for_each(|item| item.map(|_| ()))?;
        let bytes = blank(HeaderKind::Ipv6Options, buffer, length)?;
        self.next_header.write(bytes, 0);
        ((length / 8 - 1) as u8).write(bytes, 1);
        put(bytes, 2, self.options);
        Ok(length)
    }
}
