//! The Network Service Header with metadata of type 1 and 2 (RFC 8300 section 2).
//!
//! Invariants: after `new_checked` the header lies within the bytes, its length fits the metadata type, and metadata
//! of type 2 can be walked.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, illegal, put, span, truncated};

pub use super::vxlan_gpe::NextProtocol;

/// Length of base and service path header in bytes.
pub const HEADER_LEN: usize = 8;

/// Length of the metadata of type 1 in bytes.
pub const CONTEXT_LEN: usize = 16;

/// Most bytes of metadata of type 2: the length field counts 63 words.
pub const MAX_METADATA_LEN: usize = 244;

view! {
    /// A Network Service Header and what follows it.
    Nsh, 8 bytes, check;
    /// Version: 0.
    version: u8 [0, u16, 14, 0x3];
    /// The packet is for operation and maintenance (flag O).
    maintenance / set_maintenance: bool [0, u16, 13, 0x1];
    /// Service functions left.
    ttl / set_ttl: u8 [0, u16, 6, 0x3f];
    /// Length of the header in words of 4 bytes.
    length_words: u8 [0, u16, 0, 0x3f];
    /// Which form the metadata has: 1 or 2.
    metadata_type: u8 [2, u8, 0, 0xf];
    /// What follows the header.
    next_protocol / set_next_protocol: NextProtocol [3];
    /// Which chain of services, 24 bits.
    service_path / set_service_path: u32 [4, u32, 8, 0xff_ffff];
    /// Where on the chain the packet is; counts down.
    service_index / set_service_index: u8 [7];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let head = u16::read(bytes, 0);
    if head >> 14 != 0 {
        return Err(illegal(HeaderKind::Nsh, "version", head >> 14));
    }
    let words = (head & 0x3f) as u8;
    let length = usize::from(words) * 4;
    let kind = u8::read(bytes, 2) & 0xf;
    match (kind, words) {
        (1, 6) | (2, 2..) => {}
        (1 | 2, _) => return Err(illegal(HeaderKind::Nsh, "length", words)),
        _ => return Err(illegal(HeaderKind::Nsh, "metadata type", kind)),
    }
    if length > bytes.len() {
        return Err(truncated(HeaderKind::Nsh, length, bytes.len()));
    }
    match kind {
        2 => Items(span(bytes, HEADER_LEN, length)).try_for_each(|item| item.map(|_| ())),
        _ => Ok(()),
    }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header with metadata, in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.length_words()) * 4
    }

    /// The bytes of the metadata.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, self.header_len())
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// One piece of metadata of type 2 (RFC 8300 section 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Who numbers the kinds.
    pub class: u16,
    /// What it is.
    pub kind: u8,
    /// What it says, without padding. Legal lengths: 0 to 127 bytes.
    pub data: &'a [u8],
}

impl Item<'_> {
    /// Length in bytes that [`Item::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        4 + self.data.len().next_multiple_of(4)
    }

    /// Writes the piece, padded to a word, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the data too long.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Nsh, "length of metadata", self.data.len() as u64, 127)?;
        let bytes = blank(HeaderKind::Nsh, buffer, self.buffer_len())?;
        self.class.write(bytes, 0);
        [self.kind, self.data.len() as u8].write(bytes, 2);
        put(bytes, 4, self.data);
        Ok(self.buffer_len())
    }
}

/// Walks metadata of type 2; stops after the first malformed piece.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Over the bytes that [`View::metadata`] gives.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let whole = std::mem::take(&mut self.0);
        if whole.is_empty() {
            return None;
        }
        let length = usize::from(u8::read(whole, 3) & 0x7f);
        match whole.split_at_checked(4 + length.next_multiple_of(4)) {
            Some((item, rest)) => {
                self.0 = rest;
                Some(Ok(Item {
                    class: u16::read(item, 0),
                    kind: u8::read(item, 2),
                    data: span(item, 4, 4 + length),
                }))
            }
            None => Some(Err(truncated(HeaderKind::Nsh, 4 + length, whole.len()))),
        }
    }
}

/// What travels with a packet along the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metadata<'a> {
    /// Type 1: four words whose meaning the chain's operator defines.
    Context([u8; CONTEXT_LEN]),
    /// Type 2: pieces of any length, as they travel. Legal lengths: multiples of 4 up to [`MAX_METADATA_LEN`].
    Items(&'a [u8]),
}

/// The meaning of a Network Service Header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// The packet is for operation and maintenance.
    pub maintenance: bool,
    /// Service functions left. Legal values: 0 to 63.
    pub ttl: u8,
    /// What follows the header.
    pub next_protocol: NextProtocol,
    /// Which chain of services. Legal values: 0 to 2^24-1.
    pub service_path: u32,
    /// Where on the chain the packet is.
    pub service_index: u8,
    /// What travels with the packet.
    pub metadata: Metadata<'a>,
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        Ok(Self {
            maintenance: view.maintenance(),
            ttl: view.ttl(),
            next_protocol: view.next_protocol(),
            service_path: view.service_path(),
            service_index: view.service_index(),
            metadata: match view.metadata_type() {
                1 => Metadata::Context(Field::read(bytes, HEADER_LEN)),
                _ => Metadata::Items(span(bytes, HEADER_LEN, view.header_len())),
            },
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self.metadata {
            Metadata::Context(_) => HEADER_LEN + CONTEXT_LEN,
            Metadata::Items(bytes) => HEADER_LEN + bytes.len(),
        }
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, a value does not fit its field, or the metadata cannot be walked.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Nsh, "TTL", self.ttl, 63)?;
        fits(HeaderKind::Nsh, "service path", self.service_path, 0xff_ffff)?;
        let length = self.buffer_len();
        if !length.is_multiple_of(4) || length > HEADER_LEN + MAX_METADATA_LEN {
            return Err(illegal(HeaderKind::Nsh, "length", length as u64));
        }
        let bytes = blank(HeaderKind::Nsh, buffer, length)?;
        ((length / 4) as u16).write(bytes, 0);
        match self.metadata {
            Metadata::Context(context) => {
                1u8.write(bytes, 2);
                context.write(bytes, HEADER_LEN);
            }
            Metadata::Items(items) => {
                Items(items).try_for_each(|item| item.map(|_| ()))?;
                2u8.write(bytes, 2);
                put(bytes, HEADER_LEN, items);
            }
        }
        let mut view = View::new_unchecked(bytes);
        view.set_maintenance(self.maintenance);
        view.set_ttl(self.ttl);
        view.set_next_protocol(self.next_protocol);
        view.set_service_path(self.service_path);
        view.set_service_index(self.service_index);
        Ok(length)
    }
}
