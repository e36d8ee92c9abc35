//! What records and messages look like: templates, the part that the packets of a flow have in common, headers.
//!
//! Invariants: a record's key is written in the order of its template's elements.

use super::super::{MOST_OCTETS, Octets};
use super::{Direction, Packet};
use std::net::IpAddr;

/// Octets of the name of an interface that are told.
const MOST_NAME: usize = 64;
/// The number of the first template.
const FIRST_TEMPLATE: u16 = 256;
/// The enterprise of elements of tunnels.
const VMWARE: u32 = 6876;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Unknown,
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

/// What a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) tagged: bool,
    /// 0, 4 or 6.
    pub(super) version: u8,
    pub(super) transport: Transport,
    tunneled: bool,
    egress: bool,
}

impl Shape {
    pub(super) fn of(packet: &Packet<'_>) -> Self {
        let (version, transport) = match packet.network {
            None => (0, Transport::Unknown),
            Some(network) => {
                let version = if network.source.is_ipv4() { 4 } else { 6 };
                let transport = match (network.protocol, version) {
                    (6, _) => Transport::Tcp,
                    (17, _) => Transport::Udp,
                    (132, _) => Transport::Sctp,
                    (1, 4) | (58, 6) => Transport::Icmp,
                    _ => Transport::Unknown,
                };
                (version, transport)
            }
        };
        Self {
            tagged: packet.tag.is_some(),
            version,
            transport,
            tunneled: packet.tunnel.is_some(),
            egress: packet.direction == Direction::Egress,
        }
    }

    /// All that there can be.
    fn all() -> impl Iterator<Item = Self> {
        let transports =
            [Transport::Unknown, Transport::Tcp, Transport::Udp, Transport::Sctp, Transport::Icmp];
        let truths = [false, true];
        truths.into_iter().flat_map(move |tagged| {
            [0, 4, 6].into_iter().flat_map(move |version| {
                let some = if version == 0 { 1 } else { transports.len() };
                transports.into_iter().take(some).flat_map(move |transport| {
                    truths.into_iter().flat_map(move |tunneled| {
                        truths.map(move |egress| Self { tagged, version, transport, tunneled, egress })
                    })
                })
            })
        })
    }

    /// The number of its template: that of Open vSwitch.
    pub(super) const fn template(self) -> u16 {
        let version = match self.version {
            0 => 0,
            4 => 1,
            _ => 2,
        };
        let mut number = self.tagged as u16 * 3 + version;
        number = number * 5 + self.transport as u16;
        number = number * 2 + self.tunneled as u16;
        FIRST_TEMPLATE + number * 2 + self.egress as u16
    }

    const fn has_ports(self) -> bool {
        matches!(self.transport, Transport::Tcp | Transport::Udp | Transport::Sctp)
    }

    /// Number, octets and enterprise of the elements of a record, in their order. Octets 0 stand for any number.
    fn elements(self, named: bool) -> Vec<(u16, u16, u32)> {
        let mut all = Vec::new();
        let mut put = |elements: &[(u16, u16)]| all.extend(elements.iter().map(|(id, size)| (*id, *size, 0)));
        // observationPointId, flowDirection, MAC addresses, ethernetType, ethernetHeaderLength
        put(&[(138, 4), (61, 1), (56, 6), (80, 6), (256, 2), (240, 1)]);
        // ingressInterface, interfaceName
        put(&[(10, 4), (82, 0)]);
        if self.egress {
            // egressInterface, interfaceName
            put(&[(14, 4), (82, 0)]);
        }
        if self.tagged {
            // vlanId, dot1qVlanId, dot1qPriority
            put(&[(58, 2), (243, 2), (244, 1)]);
        }
        if self.version != 0 {
            // ipVersion, ipTTL, protocolIdentifier, ipDiffServCodePoint, ipPrecedence, ipClassOfService
            put(&[(60, 1), (192, 1), (4, 1), (195, 1), (196, 1), (5, 1)]);
        }
        match self.version {
            4 => put(&[(8, 4), (12, 4)]),
            // addresses, flowLabelIPv6
            6 => put(&[(27, 16), (28, 16), (31, 4)]),
            _ => {}
        }
        match (self.transport, self.version) {
            (Transport::Icmp, 4) => put(&[(176, 1), (177, 1)]),
            (Transport::Icmp, _) => put(&[(178, 1), (179, 1)]),
            _ if self.has_ports() => put(&[(7, 2), (11, 2)]),
            _ => {}
        }
        if self.tunneled {
            // tunnelSourceIPv4Address, tunnelDestinationIPv4Address, tunnelProtocolIdentifier, transport ports, tunnelType,
            // tunnelKey
            all.extend(
                [(893, 4), (894, 4), (895, 1), (896, 2), (897, 2), (891, 1), (892, 0)]
                    .map(|(id, size)| (id | ENTERPRISE, size, VMWARE)),
            );
        }
        if named {
            // virtualObsID
            all.push((898 | ENTERPRISE, 0, VMWARE));
        }
        let mut put = |elements: &[(u16, u16)]| all.extend(elements.iter().map(|(id, size)| (*id, *size, 0)));
        // flowStartDeltaMicroseconds, flowEndDeltaMicroseconds, packetDeltaCount, layer2OctetDeltaCount, flowEndReason
        put(&[(158, 4), (159, 4), (2, 8), (352, 8), (136, 1)]);
        if self.version != 0 {
            // octetDeltaCount, octetDeltaSumOfSquares, minimumIpTotalLength, maximumIpTotalLength
            put(&[(1, 8), (198, 8), (25, 8), (26, 8)]);
        }
        if self.transport == Transport::Tcp {
            // tcpControlBits
            put(&[(6, 2)]);
        }
        all
    }
}

/// The bit of elements that are not IANA's.
const ENTERPRISE: u16 = 0x8000;

/// Octets of a message's header.
pub(super) const HEAD: usize = 16;

/// The header of a message (RFC 7011, 3.1); its length is written when that is known.
pub(super) fn head(domain: u32, sequence: u32, seconds: u32) -> Octets {
    let mut out = Octets::default();
    out.u16(10);
    out.u16(0);
    out.u32(seconds);
    out.u32(sequence);
    out.u32(domain);
    out
}

pub(super) fn finish(mut message: Octets) -> Vec<u8> {
    let length = (message.len() as u16).to_be_bytes();
    message.patch(2, &length);
    message.0
}

/// All templates (RFC 7011, 3.4.1), in as many messages as they need.
pub(super) fn templates(domain: u32, sequence: u32, named: bool, seconds: u32) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let begin = || {
        let mut message = head(domain, sequence, seconds);
        // A set of templates.
        message.u16(2);
        message.u16(0);
        message
    };
    let end = |mut message: Octets| {
        let length = ((message.len() - HEAD) as u16).to_be_bytes();
        message.patch(HEAD + 2, &length);
        finish(message)
    };
    let mut message = begin();
    for shape in Shape::all() {
        let elements = shape.elements(named);
        let octets: usize =
            elements.iter().map(|(_, _, enterprise)| if *enterprise == 0 { 4 } else { 8 }).sum();
        if message.len() + octets + 4 > MOST_OCTETS {
            messages.push(end(std::mem::replace(&mut message, begin())));
        }
        message.u16(shape.template());
        message.u16(elements.len() as u16);
        for (number, size, enterprise) in elements {
            message.u16(number);
            message.u16(if size == 0 { u16::MAX } else { size });
            if enterprise != 0 {
                message.u32(enterprise);
            }
        }
    }
    messages.push(end(message));
    messages
}

/// Text of any length (RFC 7011, 7), cut down between two characters.
pub(super) fn text(text: &str, most: usize, out: &mut Octets) {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    // `most` is less than 255.
    out.u8(text.len() as u8);
    out.all(text.as_bytes());
}

/// The part of a record that all packets of its flow have.
pub(super) fn write_key(packet: &Packet<'_>, shape: Shape) -> Vec<u8> {
    let mut out = Octets::default();
    out.u32(packet.point);
    out.u8(packet.direction as u8);
    out.all(&packet.addresses.0);
    out.all(&packet.addresses.1);
    out.u16(packet.ethertype);
    out.u8(if shape.tagged { 18 } else { 14 });
    out.u32(packet.input.index);
    text(&packet.input.name, MOST_NAME, &mut out);
    if shape.egress {
        out.u32(packet.output.index);
        text(&packet.output.name, MOST_NAME, &mut out);
    }
    if let Some(tag) = packet.tag {
        out.u16(tag & 0xfff);
        out.u16(tag & 0xfff);
        out.u8((tag >> 13) as u8);
    }
    if let Some(network) = &packet.network {
        out.u8(shape.version);
        out.u8(network.ttl);
        out.u8(network.protocol);
        out.u8(network.tos >> 2);
        out.u8(network.tos >> 5);
        out.u8(network.tos);
        for address in [network.source, network.destination] {
            match address {
                IpAddr::V4(address) => out.all(&address.octets()),
                IpAddr::V6(address) => out.all(&address.octets()),
            }
        }
        if shape.version == 6 {
            out.u32(network.label);
        }
    }
    if shape.has_ports() {
        out.u16(packet.transport.0);
        out.u16(packet.transport.1);
    } else if shape.transport == Transport::Icmp {
        out.u8(packet.transport.0 as u8);
        out.u8(packet.transport.1 as u8);
    }
    if let Some(tunnel) = &packet.tunnel {
        out.all(&tunnel.source.octets());
        out.all(&tunnel.destination.octets());
        out.u8(tunnel.protocol);
        out.u16(tunnel.ports.0);
        out.u16(tunnel.ports.1);
        out.u8(tunnel.kind);
        let octets = usize::from(tunnel.key_octets.min(8));
        out.u8(octets as u8);
        let key = tunnel.key.to_be_bytes();
        out.all(key.get(8 - octets..).unwrap_or_default());
    }
    out.0
}
