//! IP addresses (`RTM_NEWADDR`, linux/if_addr.h).
//!
//! IPv6 addresses of ours skip duplicate address detection (`IFA_F_NODAD`), so that they can be used at
//! once: within a topology the compiler has checked that no address is given twice.

use crate::marks::PROTOCOL;
use crate::netlink::{Messages, Reply};
use ipnet::IpNet;
use std::net::IpAddr;

/// Length of `struct ifaddrmsg`.
const HEADER: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
/// Addresses that the kernel made by itself (`IFAPROT_KERNEL_LO`, `_RA`, `_LL`).
const KERNEL_PROTOCOLS: std::ops::RangeInclusive<u8> = 1..=3;
const RT_SCOPE_HOST: u8 = 254;

fn header(address: &IpNet, index: u32) -> [u8; HEADER] {
    let scope = if address.addr().is_loopback() { RT_SCOPE_HOST } else { 0 };
    let [a, b, c, d] = index.to_ne_bytes();
    [family(address.addr()), address.prefix_len(), 0, scope, a, b, c, d]
}

/// `AF_INET` or `AF_INET6`.
pub(crate) const fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

pub(crate) fn create(messages: &mut Messages, index: u32, address: &IpNet) {
    let mut m = messages.add(libc::RTM_NEWADDR, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16);
    m.header(&header(address, index))
        .ip(IFA_LOCAL, address.addr())
        .ip(IFA_ADDRESS, address.addr())
        .u8(IFA_PROTO, PROTOCOL);
    if address.addr().is_ipv6() {
        m.u32(IFA_FLAGS, IFA_F_NODAD);
    }
}

pub(crate) fn delete(messages: &mut Messages, index: u32, address: &IpNet) {
    messages
        .add(libc::RTM_DELADDR, 0)
        .header(&header(address, index))
        .ip(IFA_LOCAL, address.addr())
        .ip(IFA_ADDRESS, address.addr());
}

/// Asks for all addresses of a namespace.
pub(crate) fn dump(messages: &mut Messages) {
    messages.add(libc::RTM_GETADDR, libc::NLM_F_DUMP as u16).header(&[0; HEADER]);
}

/// An observed address: index of the interface, address, and its protocol number.
pub(crate) struct Found {
    pub(crate) index: u32,
    pub(crate) address: IpNet,
    pub(crate) protocol: u8,
}

/// Reads an answer; `None` for what the kernel made itself (loopback, link-local, router advertisements).
pub(crate) fn read(reply: &Reply<'_>) -> Option<Found> {
    if reply.kind != libc::RTM_NEWADDR {
        return None;
    }
    let [_, prefix, flags, _] = reply.fixed::<4>(0);
    let (mut address, mut local, mut protocol, mut flags) = (None, None, 0, u32::from(flags));
    for attribute in reply.attributes(HEADER) {
        match attribute.kind {
            IFA_ADDRESS => address = attribute.ip(),
            // On a point-to-point link IFA_ADDRESS is the other side.
            IFA_LOCAL => local = attribute.ip(),
            IFA_PROTO => protocol = attribute.u8()?,
            IFA_FLAGS => flags = attribute.u32()?,
            _ => {}
        }
    }
    if KERNEL_PROTOCOLS.contains(&protocol) || flags & IFA_F_PERMANENT == 0 {
        return None;
    }
    let address = local.or(address)?;
    let made_by_kernel = match address {
        IpAddr::V4(v4) => v4.is_loopback() && reply.fixed_u32(4) == 1,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() && protocol != PROTOCOL,
    };
    if made_by_kernel && protocol != PROTOCOL {
        return None;
    }
    Some(Found { index: reply.fixed_u32(4), address: IpNet::new(address, prefix).ok()?, protocol })
}

/// Reads an answer whoever made the address: index and address. One that is not to be used yet is left out.
pub(crate) fn read_any(reply: &Reply<'_>) -> Option<(u32, IpNet)> {
    const IFA_F_DADFAILED: u32 = 0x08;
    const IFA_F_TENTATIVE: u32 = 0x40;
    if reply.kind != libc::RTM_NEWADDR {
        return None;
    }
    let [_, prefix, flags, _] = reply.fixed::<4>(0);
    let attributes = reply.attributes(HEADER);
    let flags = attributes.get(IFA_FLAGS).and_then(|flags| flags.u32()).unwrap_or(u32::from(flags));
    if flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 {
        return None;
    }
    let address = attributes.get(IFA_LOCAL).or_else(|| attributes.get(IFA_ADDRESS))?.ip()?;
    Some((reply.fixed_u32(4), IpNet::new(address, prefix).ok()?))
}
