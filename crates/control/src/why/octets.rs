//! A packet that somebody has: octets of a capture, a line of hexadecimal digits, a flow in the words of `ovs-ofctl`.

use super::packet::Packet;
use netloom_compile::object::firewall::Protocol;
use netloom_table::key::extract;
use netloom_table::{Field, Key};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// Why octets or words are no packet that can be walked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoPacket {
    /// Not hexadecimal digits.
    #[error("`{0}` is no hexadecimal digit: write the frame's octets, like 0a00...")]
    Digit(char),
    /// No IP packet.
    #[error("it carries no IPv4 or IPv6 packet (EtherType {0:#06x})")]
    NotIp(u16),
    /// A word of a flow that is not known here.
    #[error(
        "`{0}` says nothing of a packet here: known are ip, ipv6, tcp, udp, sctp, icmp, icmp6, tcp6, udp6, nw_src, nw_dst, ipv6_src, ipv6_dst, nw_proto, nw_ttl, tp_src, tp_dst"
    )]
    Word(String),
    /// An address is missing.
    #[error("a flow needs nw_src and nw_dst (or ipv6_src and ipv6_dst)")]
    NoAddresses,
}

/// Octets written in hexadecimal digits; blanks and colons mean nothing.
///
/// # Errors
/// At the first other letter.
pub fn hexadecimal(text: &str) -> Result<Vec<u8>, NoPacket> {
    let text = text.trim_start_matches("0x");
    let digits = text.chars().filter(|letter| !letter.is_whitespace() && !matches!(letter, ':' | '-'));
    let digits: Vec<u8> = digits
        .map(|letter| letter.to_digit(16).map(|digit| digit as u8).ok_or(NoPacket::Digit(letter)))
        .collect::<Result<_, _>>()?;
    Ok(digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect())
}

/// The packet in an Ethernet frame.
///
/// # Errors
/// When it carries none.
pub fn packet_of_frame(octets: &[u8]) -> Result<Packet, NoPacket> {
    packet_of_head(octets, octets.len())
}

/// The packet in the first octets of an Ethernet frame of so many.
pub(super) fn packet_of_head(octets: &[u8], length: usize) -> Result<Packet, NoPacket> {
    let mut key = Key::default();
    let _ = extract(octets.get(..256).unwrap_or(octets), length, 0, &mut key);
    let v6 = |high, low| Ipv6Addr::from_bits(u128::from(key.get(high)) << 64 | u128::from(key.get(low)));
    let (source, destination): (IpAddr, IpAddr) = match key.get(Field::ETH_TYPE) as u16 {
        0x0800 => (
            Ipv4Addr::from_bits(key.get(Field::IP4_SRC) as u32).into(),
            Ipv4Addr::from_bits(key.get(Field::IP4_DST) as u32).into(),
        ),
        0x86dd => (
            v6(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW).into(),
            v6(Field::IP6_DST_HIGH, Field::IP6_DST_LOW).into(),
        ),
        other => return Err(NoPacket::NotIp(other)),
    };
    let protocol = Protocol(key.get(Field::IP_PROTO) as u8);
    let mut packet = Packet::opening(protocol, source, destination);
    let (one, other) = (key.get(Field::TP_SRC) as u16, key.get(Field::TP_DST) as u16);
    if protocol.has_ports() {
        (packet.source_port, packet.destination_port) = (Some(one), Some(other));
    } else if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) {
        packet.icmp = Some((one as u8, other as u8));
    }
    packet.hops = key.get(Field::IP_TTL) as u8;
    packet.length = u32::try_from(length.saturating_sub(14)).unwrap_or(u32::MAX).max(20);
    Ok(packet)
}

/// The packet that a flow of `ovs-ofctl` describes, like `tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80`.
///
/// # Errors
/// At a word that says nothing of a packet, or without addresses.
pub fn packet_of_flow(text: &str) -> Result<Packet, NoPacket> {
    let (mut source, mut destination, mut protocol) = (None, None, None);
    let (mut ports, mut hops) = ((None, None), None);
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let unknown = || NoPacket::Word(word.to_owned());
        let number = || value.and_then(|value| value.parse::<u16>().ok()).ok_or_else(unknown);
        let address = || value.and_then(|value| value.parse::<IpAddr>().ok()).ok_or_else(unknown);
        match name {
            "ip" | "ipv6" | "eth_type" | "dl_type" => {}
            "tcp" | "tcp6" => protocol = Some(Protocol::TCP),
            "udp" | "udp6" => protocol = Some(Protocol::UDP),
            "sctp" | "sctp6" => protocol = Some(Protocol::SCTP),
            "icmp" => protocol = Some(Protocol::ICMP),
            "icmp6" => protocol = Some(Protocol::ICMPV6),
            "nw_src" | "ip_src" | "ipv6_src" => source = Some(address()?),
            "nw_dst" | "ip_dst" | "ipv6_dst" => destination = Some(address()?),
            "nw_proto" | "ip_proto" => {
                protocol = Some(Protocol(u8::try_from(number()?).map_err(|_| unknown())?))
            }
            "nw_ttl" => hops = Some(u8::try_from(number()?).map_err(|_| unknown())?),
            "tp_src" | "tcp_src" | "udp_src" | "sctp_src" => ports.0 = Some(number()?),
            "tp_dst" | "tcp_dst" | "udp_dst" | "sctp_dst" => ports.1 = Some(number()?),
            // Where a walk begins is said by the sender's address.
            "in_port" | "dl_src" | "dl_dst" | "eth_src" | "eth_dst" => {}
            _ => return Err(unknown()),
        }
    }
    let (Some(source), Some(destination)) = (source, destination) else { return Err(NoPacket::NoAddresses) };
    let ping = if destination.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
    let mut packet = Packet::opening(protocol.unwrap_or(ping), source, destination);
    if packet.protocol.has_ports() {
        packet.source_port = ports.0.or(packet.source_port);
        packet.destination_port = ports.1.or(Some(0));
    }
    packet.hops = hops.unwrap_or(packet.hops);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_a_flow_and_words_are_the_same_packet() {
        let frame = "02000000000b 02000000000a 0800 4500002800000000400600000a0000010a000002 9c40 0050 00000000000000005002ffff00000000";
        let packet = packet_of_frame(&hexadecimal(frame).unwrap()).unwrap();
        let flow = packet_of_flow("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=40000,tp_dst=80").unwrap();
        assert_eq!((packet.source, packet.destination), (flow.source, flow.destination));
        assert_eq!((packet.source_port, packet.destination_port), (flow.source_port, flow.destination_port));
        assert_eq!(packet.to_string(), "tcp 10.0.0.1:40000 > 10.0.0.2:80");
    }

    #[test]
    fn what_is_no_packet_is_said() {
        assert_eq!(hexadecimal("0g"), Err(NoPacket::Digit('g')));
        assert_eq!(packet_of_flow("tcp,tp_dst=80"), Err(NoPacket::NoAddresses));
        assert_eq!(packet_of_flow("color=red"), Err(NoPacket::Word("color=red".to_owned())));
        let arp = hexadecimal("ffffffffffff02000000000a0806").unwrap();
        assert_eq!(packet_of_frame(&arp), Err(NoPacket::NotIp(0x0806)));
    }
}
