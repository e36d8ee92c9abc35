//! WireGuard interfaces: keys, port and peers (generic netlink family `wireguard`, linux/wireguard.h).
//!
//! What: the interface itself is a link like any other; this module fills it and reads it back.
//!
//! Invariants: one request replaces the whole set of peers, so that no peer of before stays; a device with
//! more peers than fit into one answer is read in parts, as the kernel sends them.
//!
//! Limits: a request carries at most 64 KiB, some 800 peers with one prefix each; more are refused.

use crate::netlink::{Attribute, Attributes, Messages, NetlinkError, Socket, family};
use ipnet::IpNet;
use netloom_compile::object::{WireguardOptions, WireguardPeer};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FAMILY: &str = "wireguard";
const WG_CMD_GET_DEVICE: u8 = 0;
const WG_CMD_SET_DEVICE: u8 = 1;

const WGDEVICE_A_IFNAME: u16 = 2;
const WGDEVICE_A_PRIVATE_KEY: u16 = 3;
const WGDEVICE_A_FLAGS: u16 = 5;
const WGDEVICE_A_LISTEN_PORT: u16 = 6;
const WGDEVICE_A_FWMARK: u16 = 7;
const WGDEVICE_A_PEERS: u16 = 8;
const WGDEVICE_F_REPLACE_PEERS: u32 = 1;

const WGPEER_A_PUBLIC_KEY: u16 = 1;
const WGPEER_A_PRESHARED_KEY: u16 = 2;
const WGPEER_A_FLAGS: u16 = 3;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_KEEPALIVE: u16 = 5;
const WGPEER_A_ALLOWEDIPS: u16 = 9;
const WGPEER_F_REPLACE_ALLOWEDIPS: u32 = 2;

const WGALLOWEDIP_A_FAMILY: u16 = 1;
const WGALLOWEDIP_A_IPADDR: u16 = 2;
const WGALLOWEDIP_A_CIDR_MASK: u16 = 3;

/// Sets everything of the interface `name`; peers that are not listed are removed.
///
/// # Errors
/// When the kernel has no WireGuard or refuses.
pub fn apply(socket: &mut Socket, name: &str, options: &WireguardOptions) -> Result<(), NetlinkError> {
    let family = family(socket, FAMILY)?;
    let mut messages = Messages::new();
    let mut message = family.request(&mut messages, WG_CMD_SET_DEVICE, 1, 0);
    message
        .text(WGDEVICE_A_IFNAME, name)
        .u32(WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS)
        .octets(WGDEVICE_A_PRIVATE_KEY, &options.private_key);
    if let Some(port) = options.listen_port {
        message.u16(WGDEVICE_A_LISTEN_PORT, port);
    }
    if let Some(mark) = options.mark {
        message.u32(WGDEVICE_A_FWMARK, mark);
    }
    message.nest(WGDEVICE_A_PEERS, |peers| {
        for peer in &options.peers {
            peers.nest(0, |entry| {
                entry
                    .octets(WGPEER_A_PUBLIC_KEY, &peer.public_key)
                    .u32(WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
                if let Some(key) = &peer.preshared_key {
                    entry.octets(WGPEER_A_PRESHARED_KEY, key);
                }
                if let Some(endpoint) = peer.endpoint {
                    entry.octets(WGPEER_A_ENDPOINT, &socket_address(endpoint));
                }
                if let Some(seconds) = peer.keepalive {
                    entry.u16(WGPEER_A_KEEPALIVE, seconds);
                }
                entry.nest(WGPEER_A_ALLOWEDIPS, |list| {
                    for net in &peer.allowed_ips {
                        list.nest(0, |one| {
                            let (family, address) = (address_family(net.addr()), net.addr());
                            one.u16(WGALLOWEDIP_A_FAMILY, family).ip(WGALLOWEDIP_A_IPADDR, address);
                            one.octets(WGALLOWEDIP_A_CIDR_MASK, &[net.prefix_len()]);
                        });
                    }
                });
            });
        }
    });
    drop(message);
    match socket.batch(&mut messages)?.into_iter().next() {
        Some(Err(refusal)) => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// Reads the interface `name`; peers are sorted by public key.
///
/// # Errors
/// When the kernel has no WireGuard, or there is no such interface.
pub fn observe(socket: &mut Socket, name: &str) -> Result<WireguardOptions, NetlinkError> {
    let family = family(socket, FAMILY)?;
    let mut messages = Messages::new();
    family
        .request(&mut messages, WG_CMD_GET_DEVICE, 1, libc::NLM_F_DUMP as u16)
        .text(WGDEVICE_A_IFNAME, name);
    let replies = socket.request(&mut messages)?;
    let mut options =
        WireguardOptions { private_key: [0; 32], listen_port: None, mark: None, peers: Vec::new() };
    for reply in replies.iter() {
        for attribute in reply.attributes(4) {
            match attribute.kind {
                WGDEVICE_A_PRIVATE_KEY => options.private_key = key(attribute).unwrap_or_default(),
                WGDEVICE_A_LISTEN_PORT => options.listen_port = attribute.u16(),
                WGDEVICE_A_FWMARK => options.mark = attribute.u32().filter(|mark| *mark != 0),
                WGDEVICE_A_PEERS => {
                    for entry in attribute.nested() {
                        add_peer(&mut options.peers, entry.nested());
                    }
                }
                _ => {}
            }
        }
    }
    options.peers.sort_by_key(|peer| peer.public_key);
    Ok(options)
}

/// Adds a peer, or more prefixes to the last one: a peer that does not fit into one message goes on in the next.
fn add_peer(peers: &mut Vec<WireguardPeer>, attributes: Attributes<'_>) {
    let Some(public_key) = attributes.get(WGPEER_A_PUBLIC_KEY).and_then(key) else { return };
    let allowed: BTreeSet<IpNet> = attributes
        .get(WGPEER_A_ALLOWEDIPS)
        .map(|list| list.nested().filter_map(|entry| allowed(entry.nested())).collect())
        .unwrap_or_default();
    if let Some(last) = peers.last_mut().filter(|last| last.public_key == public_key) {
        last.allowed_ips.extend(allowed);
        return;
    }
    peers.push(WireguardPeer {
        public_key,
        preshared_key: attributes.get(WGPEER_A_PRESHARED_KEY).and_then(key).filter(|key| *key != [0; 32]),
        endpoint: attributes.get(WGPEER_A_ENDPOINT).and_then(|at| parse_socket_address(at.value)),
        keepalive: attributes
            .get(WGPEER_A_KEEPALIVE)
            .and_then(Attribute::u16)
            .filter(|seconds| *seconds != 0),
        allowed_ips: allowed,
    });
}

fn key(attribute: Attribute<'_>) -> Option<[u8; 32]> {
    attribute.value.try_into().ok()
}

fn allowed(attributes: Attributes<'_>) -> Option<IpNet> {
    let address = attributes.get(WGALLOWEDIP_A_IPADDR)?.ip()?;
    let length = attributes.get(WGALLOWEDIP_A_CIDR_MASK)?.u8()?;
    IpNet::new(address, length).ok()
}

const fn address_family(address: IpAddr) -> u16 {
    (match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    }) as u16
}

/// `struct sockaddr_in` or `sockaddr_in6`: family in host order, port in network order.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut octets = address_family(address.ip()).to_ne_bytes().to_vec();
    octets.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            octets.extend(v4.ip().octets());
            octets.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            octets.extend(v6.flowinfo().to_be_bytes());
            octets.extend(v6.ip().octets());
            octets.extend(v6.scope_id().to_ne_bytes());
        }
    }
    octets
}

fn parse_socket_address(octets: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(octets.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(octets.get(2..4)?.try_into().ok()?);
    if family == libc::AF_INET as u16 {
        let address: [u8; 4] = octets.get(4..8)?.try_into().ok()?;
        Some(SocketAddr::new(Ipv4Addr::from(address).into(), port))
    } else if family == libc::AF_INET6 as u16 {
        let address: [u8; 16] = octets.get(8..24)?.try_into().ok()?;
        Some(SocketAddr::new(Ipv6Addr::from(address).into(), port))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_go_there_and_back() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(parse_socket_address(&socket_address(address)), Some(address));
        }
        for length in 0..8 {
            assert_eq!(parse_socket_address(&[2, 0, 0, 1, 1, 1, 1][..length.min(7)]), None);
        }
    }
}
