//! Permanent neighbours (ARP, ND) and static forwarding entries: both are `RTM_NEWNEIGH`
//! (linux/neighbour.h).
//!
//! Forwarding entries carry no mark. Those that the kernel keeps for its own MAC addresses look like
//! permanent ones; the caller sorts them out.

use crate::address::family;
use crate::marks::PROTOCOL;
use crate::netlink::{Messages, Reply};
use crate::picture::EntryPicture;
use netloom_compile::object::{FdbEntry, Neighbour};
use netloom_wire::{InterfaceName, MacAddr, VlanId};
use std::net::IpAddr;

/// Length of `struct ndmsg`.
const HEADER: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_VLAN: u16 = 5;
const NDA_PROTOCOL: u16 = 12;
const NUD_REACHABLE: u16 = 0x02;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
/// The entry is in the device's own table.
const NTF_SELF: u8 = 0x02;
/// The entry is in the table of the bridge that the device is a port of.
const NTF_MASTER: u8 = 0x04;
const NTF_EXT_LEARNED: u8 = 0x10;

fn header(family: u8, index: u32, state: u16, flags: u8) -> [u8; HEADER] {
    let (i, s) = (index.to_ne_bytes(), state.to_ne_bytes());
    [family, 0, 0, 0, i[0], i[1], i[2], i[3], s[0], s[1], flags, 0]
}

pub(crate) fn create(
    messages: &mut Messages,
    index: u32,
    address: IpAddr,
    neighbour: Neighbour,
    replace: bool,
) {
    let flags = libc::NLM_F_CREATE | if replace { libc::NLM_F_REPLACE } else { libc::NLM_F_EXCL };
    messages
        .add(libc::RTM_NEWNEIGH, flags as u16)
        .header(&header(family(address), index, NUD_PERMANENT, 0))
        .ip(NDA_DST, address)
        .octets(NDA_LLADDR, &neighbour.mac.octets())
        .u8(NDA_PROTOCOL, PROTOCOL);
}

pub(crate) fn delete(messages: &mut Messages, index: u32, address: IpAddr) {
    messages.add(libc::RTM_DELNEIGH, 0).header(&header(family(address), index, 0, 0)).ip(NDA_DST, address);
}

/// Asks for all neighbours of a namespace, of both families.
pub(crate) fn dump(messages: &mut Messages) {
    messages.add(libc::RTM_GETNEIGH, libc::NLM_F_DUMP as u16).header(&[0; HEADER]);
}

/// An observed neighbour.
pub(crate) struct Found {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) neighbour: Neighbour,
    pub(crate) protocol: u8,
}

/// Reads an answer; `None` for what was learned.
pub(crate) fn read(reply: &Reply<'_>) -> Option<Found> {
    if reply.kind != libc::RTM_NEWNEIGH || u16::from_ne_bytes(reply.fixed(8)) & NUD_PERMANENT == 0 {
        return None;
    }
    let attributes = reply.attributes(HEADER);
    Some(Found {
        index: reply.fixed_u32(4),
        address: attributes.get(NDA_DST)?.ip()?,
        neighbour: Neighbour { mac: attributes.get(NDA_LLADDR)?.mac()? },
        protocol: attributes.get(NDA_PROTOCOL).and_then(|protocol| protocol.u8()).unwrap_or_default(),
    })
}

/// Which forwarding entry: the key without namespace and interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mac: MacAddr,
    pub(crate) vlan: Option<VlanId>,
    pub(crate) remote: Option<IpAddr>,
}

impl Entry {
    const fn flags(&self) -> u8 {
        if self.remote.is_some() { NTF_SELF } else { NTF_MASTER }
    }
}

/// Writes the request for a forwarding entry. Flooding to several remotes is several entries of one MAC,
/// so they are appended.
pub(crate) fn create_entry(
    messages: &mut Messages,
    index: u32,
    entry: &Entry,
    spec: FdbEntry,
    replace: bool,
) {
    let several = entry.remote.is_some() && !entry.mac.is_unicast();
    let flags = match (several, replace) {
        (true, _) => libc::NLM_F_CREATE | libc::NLM_F_APPEND,
        (false, true) => libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
        (false, false) => libc::NLM_F_CREATE | libc::NLM_F_EXCL,
    };
    let state = match (spec.permanent, entry.remote) {
        (true, _) => NUD_NOARP | NUD_PERMANENT,
        // A VXLAN device insists on one of permanent and reachable; without ARP it never ages.
        (false, Some(_)) => NUD_NOARP | NUD_REACHABLE,
        (false, None) => NUD_NOARP,
    };
    write_entry(messages, libc::RTM_NEWNEIGH, flags as u16, state, index, entry);
}

pub(crate) fn delete_entry(messages: &mut Messages, index: u32, entry: &Entry) {
    write_entry(messages, libc::RTM_DELNEIGH, 0, 0, index, entry);
}

fn write_entry(messages: &mut Messages, kind: u16, flags: u16, state: u16, index: u32, entry: &Entry) {
    let mut m = messages.add(kind, flags);
    m.header(&header(libc::AF_BRIDGE as u8, index, state, entry.flags()))
        .octets(NDA_LLADDR, &entry.mac.octets());
    if let Some(remote) = entry.remote {
        m.ip(NDA_DST, remote);
    }
    if let Some(vlan) = entry.vlan {
        m.u16(NDA_VLAN, vlan.get());
    }
}

/// Asks for all forwarding entries of a namespace.
pub(crate) fn dump_entries(messages: &mut Messages) {
    messages.add(libc::RTM_GETNEIGH, libc::NLM_F_DUMP as u16).header(&header(libc::AF_BRIDGE as u8, 0, 0, 0));
}

/// Reads an answer: index, entry, and how it is; `None` for what was learned.
pub(crate) fn read_entry(reply: &Reply<'_>) -> Option<(u32, Entry, FdbEntry)> {
    if reply.kind != libc::RTM_NEWNEIGH || reply.fixed::<1>(0) != [libc::AF_BRIDGE as u8] {
        return None;
    }
    let state = u16::from_ne_bytes(reply.fixed(8));
    let [flags] = reply.fixed::<1>(10);
    if state & (NUD_NOARP | NUD_PERMANENT) == 0 || flags & NTF_EXT_LEARNED != 0 {
        return None;
    }
    let attributes = reply.attributes(HEADER);
    let remote = attributes.get(NDA_DST).and_then(|remote| remote.ip());
    let vlan = attributes.get(NDA_VLAN).and_then(|vlan| vlan.u16());
    let entry = Entry {
        mac: attributes.get(NDA_LLADDR)?.mac()?,
        vlan: vlan.and_then(|id| VlanId::try_from(u64::from(id)).ok()),
        remote,
    };
    // A device's own table without a remote lists its multicast filters.
    if remote.is_none() && flags & NTF_SELF != 0 && flags & NTF_MASTER == 0 {
        return None;
    }
    Some((reply.fixed_u32(4), entry, FdbEntry { permanent: state & NUD_PERMANENT != 0 }))
}

/// A neighbour, permanent or learned.
pub(crate) struct Seen {
    pub(crate) index: u32,
    pub(crate) address: IpAddr,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) permanent: bool,
}

/// Reads an answer, whoever made the neighbour; those that nobody answered for have no hardware address.
pub(crate) fn read_any(reply: &Reply<'_>) -> Option<Seen> {
    const NUD_INCOMPLETE: u16 = 0x01;
    const NUD_FAILED: u16 = 0x20;
    if reply.kind != libc::RTM_NEWNEIGH {
        return None;
    }
    let state = u16::from_ne_bytes(reply.fixed(8));
    let attributes = reply.attributes(HEADER);
    let known = state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP) == 0;
    Some(Seen {
        index: reply.fixed_u32(4),
        address: attributes.get(NDA_DST)?.ip()?,
        mac: attributes.get(NDA_LLADDR).and_then(|mac| mac.mac()).filter(|_| known),
        permanent: state & NUD_PERMANENT != 0,
    })
}

/// Reads an answer about a forwarding entry, whoever made it.
pub(crate) fn read_any_entry(
    reply: &Reply<'_>,
    name: impl Fn(u32) -> Option<InterfaceName>,
) -> Option<EntryPicture> {
    if reply.kind != libc::RTM_NEWNEIGH || reply.fixed::<1>(0) != [libc::AF_BRIDGE as u8] {
        return None;
    }
    let state = u16::from_ne_bytes(reply.fixed(8));
    let [flags] = reply.fixed::<1>(10);
    let attributes = reply.attributes(HEADER);
    let remote = attributes.get(NDA_DST).and_then(|remote| remote.ip());
    // A device's own table without a remote lists its multicast filters.
    if remote.is_none() && flags & NTF_SELF != 0 && flags & NTF_MASTER == 0 {
        return None;
    }
    Some(EntryPicture {
        interface: name(reply.fixed_u32(4))?,
        mac: attributes.get(NDA_LLADDR)?.mac()?,
        vlan: attributes.get(NDA_VLAN).and_then(|vlan| vlan.u16()),
        remote,
        fixed: state & (NUD_NOARP | NUD_PERMANENT) != 0 && flags & NTF_EXT_LEARNED == 0,
    })
}
