//! The way to an address, as the system would send: interface, next hop, addresses.
//!
//! Costs: three questions to the kernel for each address.

use crate::address::{dump, family, read_any};
use crate::netlink::{Messages, NetlinkError, Replies, Socket};
use netloom_wire::MacAddr;
use std::net::IpAddr;

/// `struct rtmsg`, `struct ndmsg`, `struct ifinfomsg` (linux/rtnetlink.h, linux/neighbour.h).
const ROUTE: usize = 12;
const NEIGHBOUR: usize = 12;
const LINK: usize = 16;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const RTN_UNICAST: u8 = 1;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// States in which a neighbour's address is known: all but incomplete, failed and none.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
/// The kernel is to find out.
const NTF_USE: u8 = 0x01;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;

/// The way to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The interface by which packets leave.
    pub device: String,
    /// Its Ethernet address.
    pub from_mac: MacAddr,
    /// The source address.
    pub from: Option<IpAddr>,
    /// The next hop, which may be the address itself.
    pub next: IpAddr,
    /// The next hop's Ethernet address; none if nobody knows it (yet).
    pub to_mac: Option<MacAddr>,
}

/// Asks for one object; none where there is none.
fn ask(socket: &mut Socket, messages: &mut Messages) -> Result<Option<Replies>, NetlinkError> {
    match socket.request(messages) {
        Ok(replies) => Ok(Some(replies)),
        Err(NetlinkError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An address of an interface in the namespace of the socket, as others may know it: the first of IPv4, or else of IPv6 that is
/// not for its link only.
///
/// # Errors
/// When the socket fails.
pub fn address_of(socket: &mut Socket, device: &str) -> Result<Option<IpAddr>, NetlinkError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETLINK, 0).header(&[0; LINK]).text(IFLA_IFNAME, device);
    let Some(replies) = ask(socket, &mut messages)? else { return Ok(None) };
    let Some(index) = replies.iter().map(|reply| reply.fixed_u32(4)).next() else { return Ok(None) };
    let mut messages = Messages::new();
    dump(&mut messages);
    let Some(replies) = ask(socket, &mut messages)? else { return Ok(None) };
    let all = replies.iter().filter_map(|reply| read_any(&reply));
    let own: Vec<IpAddr> = all.filter(|(of, _)| *of == index).map(|(_, address)| address.addr()).collect();
    let wide = |address: &&IpAddr| matches!(address, IpAddr::V6(six) if !six.is_unicast_link_local());
    Ok(own.iter().find(|address| address.is_ipv4()).or_else(|| own.iter().find(wide)).copied())
}

/// The way to an address from the namespace of the socket; none if there is none by an Ethernet interface. A next hop whose
/// address is not known is asked for it, for the next time.
///
/// # Errors
/// When the socket fails.
pub fn way(socket: &mut Socket, to: IpAddr) -> Result<Option<Way>, NetlinkError> {
    let bits = if to.is_ipv4() { 32 } else { 128 };
    let mut messages = Messages::new();
    messages
        .add(libc::RTM_GETROUTE, 0)
        .header(&[family(to), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        .ip(RTA_DST, to);
    let Some(replies) = ask(socket, &mut messages)? else { return Ok(None) };
    let found = replies.iter().find(|reply| reply.kind == libc::RTM_NEWROUTE).and_then(|reply| {
        let [.., action] = reply.fixed::<8>(0);
        let attributes = || reply.attributes(ROUTE);
        let index = attributes().get(RTA_OIF)?.u32()?;
        let next = attributes().get(RTA_GATEWAY).and_then(|gateway| gateway.ip()).unwrap_or(to);
        let from = attributes().get(RTA_PREFSRC).and_then(|source| source.ip());
        (action == RTN_UNICAST).then_some((index, next, from))
    });
    let Some((index, next, from)) = found else { return Ok(None) };
    let [a, b, c, d] = index.to_ne_bytes();
    let mut messages = Messages::new();
    let mut header = [0; LINK];
    header[4..8].copy_from_slice(&[a, b, c, d]);
    messages.add(libc::RTM_GETLINK, 0).header(&header);
    let Some(replies) = ask(socket, &mut messages)? else { return Ok(None) };
    let found = replies.iter().find(|reply| reply.kind == libc::RTM_NEWLINK).and_then(|reply| {
        let device = reply.attributes(LINK).get(IFLA_IFNAME)?.text()?.to_owned();
        Some((device, reply.attributes(LINK).get(IFLA_ADDRESS)?.mac()?))
    });
    let Some((device, from_mac)) = found else { return Ok(None) };
    let mut messages = Messages::new();
    let header: [u8; NEIGHBOUR] = [family(next), 0, 0, 0, a, b, c, d, 0, 0, 0, 0];
    messages.add(libc::RTM_GETNEIGH, 0).header(&header).ip(NDA_DST, next);
    let replies = ask(socket, &mut messages)?;
    let to_mac = replies.and_then(|replies| {
        let reply = replies.iter().find(|reply| reply.kind == libc::RTM_NEWNEIGH)?;
        let is_known = u16::from_ne_bytes(reply.fixed(8)) & NUD_VALID != 0;
        reply.attributes(NEIGHBOUR).get(NDA_LLADDR)?.mac().filter(|_| is_known)
    });
    if to_mac.is_none() {
        let header: [u8; NEIGHBOUR] = [family(next), 0, 0, 0, a, b, c, d, 0, 0, NTF_USE, 0];
        let mut messages = Messages::new();
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        messages.add(libc::RTM_NEWNEIGH, flags).header(&header).ip(NDA_DST, next);
        // Without the right to it somebody else has to ask.
        let _ = ask(socket, &mut messages)?;
    }
    Ok(Some(Way { device, from_mac, from, next, to_mac }))
}
