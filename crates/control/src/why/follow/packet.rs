//! What is known of a packet by its octets: whom it concerns, and how it is known again further on its way.

use super::super::octets::packet_of_head;
use super::super::packet::Packet;
use netloom_compile::object::firewall::Protocol;
use std::net::IpAddr;

/// Octets of an Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Octets of a packet that are looked at.
pub(super) const LOOKED: usize = 256;

/// What stays of a packet on its whole way, however its addresses, ports and hops change: its protocol, its number (IPv4),
/// and of what it carries the numbers of TCP, the sequence of an echo, or the first octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity([u8; 24]);

/// A flow that is followed, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The two addresses, that of who begins first; none for any.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// Protocol; none for any.
    pub protocol: Option<Protocol>,
    /// The port at the second address.
    pub port: Option<u16>,
    /// The port at the first address.
    pub source_port: Option<u16>,
}

impl Pattern {
    /// Everything.
    #[must_use]
    pub const fn any() -> Self {
        Self { ends: None, protocol: None, port: None, source_port: None }
    }

    /// Whether a packet belongs to it; if so, whether it goes back.
    pub(super) fn direction(&self, packet: &Packet) -> Option<bool> {
        if self.protocol.is_some_and(|protocol| protocol != packet.protocol) {
            return None;
        }
        let fits = |from: IpAddr, to: IpAddr, from_port: Option<u16>, to_port: Option<u16>| {
            self.ends.is_none_or(|ends| ends == (from, to))
                && (self.port.is_none() || self.port == to_port)
                && (self.source_port.is_none() || self.source_port == from_port)
        };
        let ports = (packet.source_port, packet.destination_port);
        if fits(packet.source, packet.destination, ports.0, ports.1) {
            // Both directions fit between two that are not told apart; an echo's answer is told by its type.
            let answers = matches!(packet.icmp, Some((0 | 129, _))) && self.ends.is_none();
            return Some(answers);
        }
        fits(packet.destination, packet.source, ports.1, ports.0).then_some(true)
    }
}

/// Where the transport header is, the protocol, and what else tells packets apart; none without an IP packet.
fn layers(packet: &[u8]) -> Option<(usize, u8, [u8; 4])> {
    let two = |at: usize| Some([*packet.get(at)?, *packet.get(at + 1)?]);
    match packet.first()? >> 4 {
        4 => {
            let [number, fragment] = [two(4)?, two(6)?];
            let length = usize::from(packet.first()? & 15) * 4;
            // Not the bits that say whether it may be cut.
            Some((length, *packet.get(9)?, [number[0], number[1], fragment[0] & 0x1f, fragment[1]]))
        }
        6 => {
            let (mut at, mut next) = (40, *packet.get(6)?);
            // Hop by hop, routing, destination options (RFC 8200).
            while matches!(next, 0 | 43 | 60) {
                next = *packet.get(at)?;
                at += (usize::from(*packet.get(at + 1)?) + 1) * 8;
            }
            Some((at, next, [0; 4]))
        }
        _ => None,
    }
}

/// What stays of a packet, from its network header on.
pub(super) fn identity(packet: &[u8]) -> Option<Identity> {
    let (at, protocol, number) = layers(packet)?;
    let mut octets = [0; 24];
    octets[0] = protocol;
    octets[1..5].copy_from_slice(&number);
    let rest = packet.get(at..).unwrap_or_default();
    // Ports and checksums change, and the length of what is cut into segments on its way.
    let kept: &[std::ops::Range<usize>] = match protocol {
        6 => &[4..12, 13..14],
        17 => &[4..6, 8..20],
        1 | 58 => &[0..2, 6..20],
        _ => &[0..4, 4..19],
    };
    let kept = kept.iter().cloned().flatten().filter_map(|at| rest.get(at));
    for (to, from) in octets[5..].iter_mut().zip(kept) {
        *to = *from;
    }
    if protocol == 6 {
        // Of a segment that is cut on its way, the last piece has FIN and PSH.
        octets[13] &= 6;
    }
    Some(Identity(octets))
}

/// A packet by its first octets from the network header on, as the walk sees it.
pub(super) fn read(octets: &[u8], length: usize) -> Option<Packet> {
    let version = octets.first()? >> 4;
    let kind: u16 = if version == 6 { 0x86dd } else { 0x0800 };
    let place = if version == 6 { 4 } else { 2 };
    let said =
        octets.get(place..place + 2).map_or(0, |said| usize::from(u16::from_be_bytes([said[0], said[1]])));
    let length = length.max(said + if version == 6 { 40 } else { 0 });
    let mut frame = vec![0; ETHERNET];
    frame[12..].copy_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(octets.get(..LOOKED).unwrap_or(octets));
    // A packet filter tells the first octets of headers alone; the rest of an option says nothing here.
    frame.resize(frame.len().max(ETHERNET + length.min(LOOKED)), 0);
    packet_of_head(&frame, ETHERNET + length).ok()
}

/// Flags of TCP in words, for those that matter to whoever reads: `SYN`, `SYN ACK`, `FIN`, `RST`.
pub(super) fn flags(octets: &[u8]) -> Option<&'static str> {
    let (at, protocol, _) = layers(octets)?;
    let flags = *octets.get(at + 13).filter(|_| protocol == 6)?;
    match (flags & 4 != 0, flags & 2 != 0, flags & 16 != 0, flags & 1 != 0) {
        (true, ..) => Some("RST"),
        (_, true, true, _) => Some("SYN ACK"),
        (_, true, false, _) => Some("SYN"),
        (_, _, _, true) => Some("FIN"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_octets_are_read_without_harm(octets: Vec<u8>) {
            let _ = (identity(&octets), flags(&octets), read(&octets, octets.len()));
        }
    }

    #[test]
    fn a_packet_is_known_again_after_translation() {
        let packet = |source: [u8; 4], port: u16, hops: u8, sequence: u8| {
            let mut octets = vec![0x45, 0, 0, 40, 1, 2, 0x40, 0, hops, 6, 9, 9];
            octets.extend(source);
            octets.extend([10, 0, 0, 2]);
            octets.extend(port.to_be_bytes());
            octets.extend([0, 80, 0, 0, 0, sequence, 0, 0, 0, 0, 0x50, 2, 1, 1, hops, 7, 0, 0]);
            octets
        };
        let sent = packet([10, 0, 0, 1], 1000, 64, 1);
        assert_eq!(identity(&sent), identity(&packet([192, 0, 2, 1], 2000, 63, 1)));
        assert_ne!(identity(&sent), identity(&packet([10, 0, 0, 1], 1000, 64, 2)));
        assert_eq!(flags(&sent), Some("SYN"));
        let read = read(&sent, 40).unwrap();
        assert_eq!((read.source_port, read.destination_port, read.hops), (Some(1000), Some(80), 64));
        // The same cut off behind its first octets, as traces and captures give it.
        let mut long = sent.clone();
        long[2..4].copy_from_slice(&1500_u16.to_be_bytes());
        let cut = super::read(&long, 40).unwrap();
        assert_eq!((cut.destination_port, cut.length), (Some(80), 1500));
    }
}
