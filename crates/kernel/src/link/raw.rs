//! A link message, read in place.

use super::{IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND};
use crate::netlink::{Attributes, Reply};
use netloom_wire::{InterfaceName, MacAddr};

/// Length of `struct ifinfomsg`.
pub(crate) const HEADER: usize = 16;
const IFLA_LINK_NETNSID: u16 = 37;

/// `struct ifinfomsg` (linux/rtnetlink.h).
pub(crate) fn header(family: u8, index: u32, flags: u32, change: u32) -> [u8; HEADER] {
    let (i, f, c) = (index.to_ne_bytes(), flags.to_ne_bytes(), change.to_ne_bytes());
    [family, 0, 0, 0, i[0], i[1], i[2], i[3], f[0], f[1], f[2], f[3], c[0], c[1], c[2], c[3]]
}

/// The attributes that matter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawLink<'a> {
    pub(crate) index: u32,
    pub(crate) flags: u32,
    pub(crate) name: &'a str,
    pub(crate) alias: Option<&'a str>,
    pub(crate) group: u32,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) controller: Option<u32>,
    /// Index of the interface it rides on, or of its veth peer.
    pub(crate) lower: Option<u32>,
    /// Identifier of the namespace in which `lower` counts, if it is another one.
    pub(crate) nsid: Option<i32>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) data: Attributes<'a>,
    pub(crate) port_kind: Option<&'a str>,
    pub(crate) port_data: Attributes<'a>,
}

impl<'a> RawLink<'a> {
    /// Reads a message; `None` if it is no link.
    pub(crate) fn read(reply: &Reply<'a>) -> Option<Self> {
        if reply.kind != libc::RTM_NEWLINK || reply.payload.len() < HEADER {
            return None;
        }
        let mut raw = Self { index: reply.fixed_u32(4), flags: reply.fixed_u32(8), ..Self::default() };
        for attribute in reply.attributes(HEADER) {
            match attribute.kind {
                libc::IFLA_IFNAME => raw.name = attribute.text()?,
                libc::IFLA_IFALIAS => raw.alias = attribute.text(),
                libc::IFLA_GROUP => raw.group = attribute.u32()?,
                libc::IFLA_ADDRESS => raw.mac = attribute.mac(),
                libc::IFLA_MTU => raw.mtu = attribute.u32(),
                libc::IFLA_MASTER => raw.controller = attribute.u32(),
                libc::IFLA_LINK => raw.lower = attribute.u32().filter(|index| *index != 0),
                IFLA_LINK_NETNSID => raw.nsid = attribute.i32(),
                libc::IFLA_LINKINFO => {
                    for inner in attribute.nested() {
                        match inner.kind {
                            IFLA_INFO_KIND => raw.kind = inner.text(),
                            IFLA_INFO_DATA => raw.data = inner.nested(),
                            IFLA_INFO_SLAVE_KIND => raw.port_kind = inner.text(),
                            IFLA_INFO_SLAVE_DATA => raw.port_data = inner.nested(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(raw)
    }

    /// Its name as a noun; `None` for one that we could not write into a file.
    pub(crate) fn interface(&self) -> Option<InterfaceName> {
        self.name.parse().ok()
    }
}
