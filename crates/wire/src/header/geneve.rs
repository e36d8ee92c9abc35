//! Geneve with its options (RFC 8926 section 3.4 and 3.5).
//!
//! Invariants: after `new_checked` the header with its options lies within the bytes and the options can be walked.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use crate::{EtherType, Vni};

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 8;

/// Most bytes of options.
pub const MAX_OPTIONS_LEN: usize = 252;

view! {
    /// A Geneve header and what follows it.
    Geneve, 8 bytes, check;
    /// Version: 0.
    version: u8 [0, u8, 6, 0x3];
    /// The packet is for the tunnel's end itself (flag O).
    control / set_control: bool [1, u8, 7, 0x1];
    /// An option is critical: who does not know it drops the packet (flag C).
    critical / set_critical: bool [1, u8, 6, 0x1];
    /// What follows the options.
    protocol / set_protocol: EtherType [2];
    /// Which network.
    vni / set_vni: Vni [4, u32, 8, 0xff_ffff];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let version = u8::read(bytes, 0) >> 6;
    if version != 0 {
        return Err(illegal(HeaderKind::Geneve, "version", version));
    }
    let length = header_len(bytes);
    if length > bytes.len() {
        return Err(truncated(HeaderKind::Geneve, length, bytes.len()));
    }
    Options(span(bytes, HEADER_LEN, length)).try_for_each(|item| item.map(|_| ()))
}

#[inline]
fn header_len(bytes: &[u8]) -> usize {
    HEADER_LEN + usize::from(u8::read(bytes, 0) & 0x3f) * 4
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header with options, in bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        header_len(self.as_bytes())
    }

    /// The bytes of the options.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, self.header_len())
    }

    /// What follows the options.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Who numbers the kinds.
    pub class: u16,
    /// What it is; the highest bit means that who does not know it drops the packet.
    pub kind: u8,
    /// What it says. Legal lengths: multiples of 4 up to 124 bytes.
    pub data: &'a [u8],
}

impl Item<'_> {
    /// Whether who does not know the option drops the packet.
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.kind & 0x80 != 0
    }

    /// Length in bytes that [`Item::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        4 + self.data.len()
    }

    /// Writes the option to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the data no whole words or too long.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        if !self.data.len().is_multiple_of(4) || self.data.len() > 124 {
            return Err(illegal(HeaderKind::Geneve, "option length", self.data.len() as u64));
        }
        let bytes = blank(HeaderKind::Geneve, buffer, self.buffer_len())?;
        self.class.write(bytes, 0);
        [self.kind, (self.data.len() / 4) as u8].write(bytes, 2);
        put(bytes, 4, self.data);
        Ok(self.buffer_len())
    }
}

/// Walks the bytes of options; stops after the first malformed one.
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
        let whole = std::mem::take(&mut self.0);
        if whole.is_empty() {
            return None;
        }
        let length = 4 + usize::from(u8::read(whole, 3) & 0x1f) * 4;
        match whole.split_at_checked(length) {
            Some((item, rest)) => {
                self.0 = rest;
                Some(Ok(Item {
                    class: u16::read(item, 0),
                    kind: u8::read(item, 2),
                    data: span(item, 4, length),
                }))
            }
            None => Some(Err(truncated(HeaderKind::Geneve, length, whole.len()))),
        }
    }
}

/// The meaning of a Geneve header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// The packet is for the tunnel's end itself.
    pub control: bool,
    /// An option is critical.
    pub critical: bool,
    /// What follows the options.
    pub protocol: EtherType,
    /// Which network.
    pub vni: Vni,
    /// The options as they travel. Legal lengths: multiples of 4 up to 252 bytes.
    pub options: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        Ok(Self {
            control: view.control(),
            critical: view.critical(),
            protocol: view.protocol(),
            vni: view.vni(),
            options: span(view.into_inner().as_ref(), HEADER_LEN, view.header_len()),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, or the options are too long or cannot be walked.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let words = self.options.len() / 4;
        if !self.options.len().is_multiple_of(4) || self.options.len() > MAX_OPTIONS_LEN {
            return Err(illegal(HeaderKind::Geneve, "options length", self.options.len() as u64));
        }
        Options(self.options).try_for_each(|item| item.map(|_| ()))?;
        let bytes = blank(HeaderKind::Geneve, buffer, self.buffer_len())?;
        (words as u8).write(bytes, 0);
        put(bytes, HEADER_LEN, self.options);
        let mut view = View::new_unchecked(bytes);
        view.set_control(self.control);
        view.set_critical(self.critical);
        view.set_protocol(self.protocol);
        view.set_vni(self.vni);
        Ok(self.buffer_len())
    }
}
