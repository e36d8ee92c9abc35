//! Attributes of a received message, read in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of an attribute's header (`struct nlattr`).
const HEADER: usize = 4;
/// Flags in the upper bits of an attribute's type (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;

/// One attribute. The readers give `None` when the value is shorter than asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type without its flags.
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn array<const N: usize>(self) -> Option<[u8; N]> {
        self.value.get(..N)?.try_into().ok()
    }

    /// An octet.
    #[must_use]
    pub fn u8(self) -> Option<u8> {
        self.value.first().copied()
    }

    /// 16 bits in host order.
    #[must_use]
    pub fn u16(self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    /// 16 bits in network order.
    #[must_use]
    pub fn u16_be(self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// 32 bits in host order.
    #[must_use]
    pub fn u32(self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// 32 bits in network order.
    #[must_use]
    pub fn u32_be(self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Signed 32 bits in host order.
    #[must_use]
    pub fn i32(self) -> Option<i32> {
        self.array().map(i32::from_ne_bytes)
    }

    /// 64 bits in host order.
    #[must_use]
    pub fn u64(self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// 64 bits in network order.
    #[must_use]
    pub fn u64_be(self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Text up to its terminating zero.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let end = self.value.iter().position(|octet| *octet == 0).unwrap_or(self.value.len());
        std::str::from_utf8(self.value.get(..end)?).ok()
    }

    /// An IPv4 or IPv6 address, by its length.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self.value.len() {
            4 => self.array::<4>().map(|octets| Ipv4Addr::from(octets).into()),
            16 => self.array::<16>().map(|octets| Ipv6Addr::from(octets).into()),
            _ => None,
        }
    }

    /// A MAC address.
    #[must_use]
    pub fn mac(self) -> Option<netloom_wire::MacAddr> {
        if self.value.len() == 6 { self.array().map(netloom_wire::MacAddr::new) } else { None }
    }

    /// The attributes inside this one.
    #[must_use]
    pub const fn nested(self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// The attributes in a stretch of octets. Ends at the first one that claims more than there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Over `octets`.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The first attribute of a type.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<Attribute<'a>> {
        let mut all = self;
        all.find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let header: [u8; HEADER] = self.rest.get(..HEADER)?.try_into().ok()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = self.rest.get(HEADER..length)?;
        let next = length.next_multiple_of(4).min(self.rest.len());
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_octets_end(octets: Vec<u8>) {
            for attribute in Attributes::new(&octets) {
                for inner in attribute.nested() {
                    let _ = (inner.u8(), inner.u16(), inner.u32(), inner.u64(), inner.text(), inner.ip(), inner.mac());
                }
            }
        }
    }
}
