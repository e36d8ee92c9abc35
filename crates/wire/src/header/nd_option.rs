//! The options of neighbour discovery (RFC 4861 section 4.6, RFC 8106).
//!
//! Invariants: an [`Options`] that exists can be walked to its end: every length is right.

use super::field::Field;
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use crate::MacAddr;
use std::net::Ipv6Addr;

/// The options behind a message, as they travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// No options.
    pub const NONE: Self = Self(&[]);

    /// Over the bytes behind the fixed part of a message.
    ///
    /// # Errors
    /// [`Malformed`] when a length is zero or an option is cut (RFC 4861 section 4.6).
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        while let [_, units, ..] = *rest {
            if units == 0 {
                return Err(illegal(HeaderKind::Nd, "option length", 0u8));
            }
            let length = usize::from(units) * 8;
            rest = rest.get(length..).ok_or_else(|| truncated(HeaderKind::Nd, length, rest.len()))?;
        }
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(truncated(HeaderKind::Nd, 2, rest.len())) }
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Walks the options.
    #[must_use]
    pub const fn iter(&self) -> Iter<'a> {
        Iter(self.0)
    }

    /// The sender's MAC address, if it is told.
    #[must_use]
    pub fn source_link_layer(&self) -> Option<MacAddr> {
        self.iter().find_map(|item| match item {
            Item::SourceLinkLayer(mac) => Some(mac),
            _ => None,
        })
    }

    /// The target's MAC address, if it is told.
    #[must_use]
    pub fn target_link_layer(&self) -> Option<MacAddr> {
        self.iter().find_map(|item| match item {
            Item::TargetLinkLayer(mac) => Some(mac),
            _ => None,
        })
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks options.
#[derive(Debug, Clone, Copy)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let length = usize::from(*self.0.get(1)?) * 8;
        let (item, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        if length == 0 { None } else { Some(Item::read(item)) }
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// The sender's MAC address.
    SourceLinkLayer(MacAddr),
    /// The target's MAC address.
    TargetLinkLayer(MacAddr),
    /// A prefix of the link (RFC 4861 section 4.6.2).
    Prefix {
        /// How many bits of the prefix count. Legal values: 0 to 128; others are seen.
        length: u8,
        /// The prefix can be used to tell what is on the link.
        on_link: bool,
        /// The prefix can be used to make addresses.
        autonomous: bool,
        /// How long the prefix is valid, in seconds; all ones is for ever.
        valid_lifetime: u32,
        /// How long addresses made of it are preferred, in seconds; all ones is for ever.
        preferred_lifetime: u32,
        /// The prefix; bits beyond its length mean nothing.
        prefix: Ipv6Addr,
    },
    /// The packet that was redirected, from its IP header on, padded to 8 bytes.
    Redirected(&'a [u8]),
    /// MTU of the link in bytes.
    Mtu(u32),
    /// Name servers (RFC 8106 section 5.1).
    NameServers {
        /// How long they can be used, in seconds.
        lifetime: u32,
        /// Their addresses, 16 bytes each.
        addresses: &'a [u8],
    },
    /// Any other option, and those above in another length.
    Other {
        /// Its number.
        kind: u8,
        /// What follows the length. Legal lengths: 6, 14, ... 2038 bytes.
        data: &'a [u8],
    },
}

impl<'a> Item<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let kind = u8::read(bytes, 0);
        match (kind, bytes.len()) {
            (1, 8) => Self::SourceLinkLayer(MacAddr::read(bytes, 2)),
            (2, 8) => Self::TargetLinkLayer(MacAddr::read(bytes, 2)),
            (3, 32) => Self::Prefix {
                length: u8::read(bytes, 2),
                on_link: u8::read(bytes, 3) & 0x80 != 0,
                autonomous: u8::read(bytes, 3) & 0x40 != 0,
                valid_lifetime: u32::read(bytes, 4),
                preferred_lifetime: u32::read(bytes, 8),
                prefix: Ipv6Addr::read(bytes, 16),
            },
            (4, 8..) => Self::Redirected(span(bytes, 8, usize::MAX)),
            (5, 8) => Self::Mtu(u32::read(bytes, 4)),
            (25, length) if length >= 24 && length % 16 == 8 => {
                Self::NameServers { lifetime: u32::read(bytes, 4), addresses: span(bytes, 8, usize::MAX) }
            }
            _ => Self::Other { kind, data: span(bytes, 2, usize::MAX) },
        }
    }

    /// Length in bytes that [`Item::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::SourceLinkLayer(_) | Self::TargetLinkLayer(_) | Self::Mtu(_) => 8,
            Self::Prefix { .. } => 32,
            Self::Redirected(bytes) | Self::NameServers { addresses: bytes, .. } => 8 + bytes.len(),
            Self::Other { data, .. } => 2 + data.len(),
        }
    }

    /// Writes the option to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, the option no whole units of 8 bytes, or [`Item::Other`] says what
    /// has a form of its own.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        if !length.is_multiple_of(8) || length == 0 || length > 2040 {
            return Err(illegal(HeaderKind::Nd, "option length", length as u64));
        }
        let bytes = blank(HeaderKind::Nd, buffer, length)?;
        let kind = match *self {
            Self::SourceLinkLayer(mac) => {
                mac.write(bytes, 2);
                1
            }
            Self::TargetLinkLayer(mac) => {
                mac.write(bytes, 2);
                2
            }
            Self::Prefix { length, on_link, autonomous, valid_lifetime, preferred_lifetime, prefix } => {
                [length, u8::from(on_link) << 7 | u8::from(autonomous) << 6].write(bytes, 2);
                valid_lifetime.write(bytes, 4);
                preferred_lifetime.write(bytes, 8);
                prefix.write(bytes, 16);
                3
            }
            Self::Redirected(packet) => {
                put(bytes, 8, packet);
                4
            }
            Self::Mtu(mtu) => {
                mtu.write(bytes, 4);
                5
            }
            Self::NameServers { lifetime, addresses } => {
                lifetime.write(bytes, 4);
                put(bytes, 8, addresses);
                25
            }
            Self::Other { kind, data } => {
                put(bytes, 2, data);
                kind
            }
        };
        [kind, (length / 8) as u8].write(bytes, 0);
        if Item::read(bytes) != *self {
            return Err(illegal(HeaderKind::Nd, "form of option", kind));
        }
        Ok(length)
    }
}
