//! From a packet's octets to its tuple.
//!
//! What: one pass over the network and transport headers of a packet in a batch, and of the packet that an ICMP error
//! quotes; checksums are verified unless somebody else has. What can't be tracked (fragments, other ICMP messages, port 0,
//! wrong checksums, headers that lie) gives nothing.
//!
//! Costs: no allocation; a packet whose checksum nobody verified is read once to its end.

use super::tcp::{self, Segment};
use super::tuple::{Tuple, answer_of};
use netloom_mem::Batch;
use netloom_table::key::Layers;
use netloom_wire::IpProtocol;
use netloom_wire::checksum::{PseudoHeader, Sum};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Protocol numbers.
pub(super) mod ip {
    pub(in super::super) const ICMP: u8 = 1;
    pub(in super::super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(in super::super) const ICMP6: u8 = 58;
    pub(in super::super) const SCTP: u8 = 132;
}

/// Octets of an ICMP header.
pub(super) const ICMP_HEADER: usize = 8;
/// Octets that are pulled into the head: all headers of reasonable packets, quoted ones too.
const REACH: usize = 256;
/// IPv6 extension headers that are followed.
const EXTENSIONS: usize = 8;
/// Octets that are summed word by word.
const SHORT: usize = 64;
/// How many octets are summed at a time; even, so that words stay words.
const PIECE: usize = 2048;

/// What verifying and reading depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) zone: u16,
    /// Packets with wrong checksums belong to no connection.
    pub(super) checksums: bool,
    /// SCTP connections are told apart by ports, as the kernel does; Open vSwitch in user space does not.
    pub(super) sctp_ports: bool,
}

/// Where a packet's headers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Headers {
    pub(super) network: usize,
    pub(super) transport: usize,
    /// Behind the packet's last octet; padding of the frame comes after it.
    pub(super) end: usize,
}

/// A packet as connection tracking sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parsed {
    /// Of the packet, or the reverse of what an ICMP error quotes.
    pub(super) tuple: Tuple,
    pub(super) headers: Headers,
    /// The packet that an ICMP error quotes.
    pub(super) quoted: Option<Headers>,
    /// What a TCP segment says.
    pub(super) segment: Segment,
}

impl Parsed {
    /// Nothing yet.
    pub(super) const EMPTY: Self = Self {
        tuple: Tuple::EMPTY,
        headers: Headers { network: 0, transport: 0, end: 0 },
        quoted: None,
        segment: Segment::EMPTY,
    };

    /// Whether it may begin a connection.
    pub(super) fn may_begin(&self) -> bool {
        match self.tuple.protocol {
            ip::TCP => self.segment.may_begin(),
            _ if self.tuple.is_icmp() => matches!(self.tuple.icmp_type(), 8 | 13 | 15 | 128),
            _ => true,
        }
    }
}

fn at<const N: usize>(octets: &[u8], offset: usize) -> Option<[u8; N]> {
    octets.get(offset..)?.first_chunk::<N>().copied()
}

pub(super) fn be16(octets: &[u8], offset: usize) -> Option<u16> {
    at(octets, offset).map(u16::from_be_bytes)
}

pub(super) fn be32(octets: &[u8], offset: usize) -> Option<u32> {
    at(octets, offset).map(u32::from_be_bytes)
}

fn be128(octets: &[u8], offset: usize) -> Option<u128> {
    at(octets, offset).map(u128::from_be_bytes)
}

/// Reads a packet; false when it can't be tracked.
#[inline]
pub(super) fn parse(
    batch: &mut Batch,
    index: usize,
    layers: &Layers,
    reading: Reading,
    parsed: &mut Parsed,
) -> bool {
    let length = batch.length(index);
    let network = usize::from(layers.network);
    // Who is wrong about where the network layer is, is not trusted.
    if network < 14 {
        return false;
    }
    *parsed = Parsed::EMPTY;
    parsed.tuple.zone = reading.zone;
    match quick(batch, index, network, length, reading, parsed) {
        Some(valid) => valid,
        None => parse_any(batch, index, network, length, reading, parsed).is_some(),
    }
}

/// Reads a TCP segment or UDP datagram over IPv4 without options; `None` for all others.
#[inline]
fn quick(
    batch: &Batch,
    index: usize,
    network: usize,
    length: usize,
    reading: Reading,
    parsed: &mut Parsed,
) -> Option<bool> {
    let head = batch.head(index);
    let header = head.get(network..)?.first_chunk::<40>()?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let end = network + usize::from(half(2));
    let (tcp, transport) = (header[9] == ip::TCP, network + 20);
    let own = if tcp { usize::from(header[32] >> 4) * 4 } else { 8 };
    let known = header[0] == 0x45 && half(6) & 0x3fff == 0 && (tcp || header[9] == ip::UDP);
    let least = if tcp { 20 } else { 8 };
    if !known || end > length || own < least || transport + own > end || transport + own > head.len() {
        return None;
    }
    let tuple = &mut parsed.tuple;
    (tuple.source, tuple.destination) = (u128::from(word(12)), u128::from(word(16)));
    (tuple.source_port, tuple.destination_port) = (half(20), half(22));
    tuple.protocol = header[9];
    parsed.headers = Headers { network, transport, end };
    let mut silent = false;
    if tcp {
        let segment = &mut parsed.segment;
        (segment.sequence, segment.acknowledgement) = (word(24), word(28));
        (segment.flags, segment.window) = (header[33] & 0x3f, half(34));
        segment.length = (end - transport - own) as u32;
        if segment.flags & tcp::SYN != 0 {
            segment.scale = tcp::scale_option(head.get(transport + 20..transport + own)?);
        }
    } else {
        let size = usize::from(half(24));
        if size < 8 || size > end - transport {
            return Some(false);
        }
        silent = half(26) == 0;
    }
    if tuple.source_port == 0 || tuple.destination_port == 0 {
        return Some(false);
    }
    if !reading.checksums {
        return Some(true);
    }
    let native = |at: usize| {
        u64::from(u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
    };
    let addresses = native(12) + native(16);
    if fold(addresses + native(0) + native(4) + native(8)) != 0xffff {
        return Some(false);
    }
    let offload = batch.offload(index);
    if silent || offload.verified || offload.partial {
        return Some(true);
    }
    let size = end - transport;
    let pseudo = addresses + u64::from(u16::from(header[9]).to_be()) + u64::from((size as u16).to_be());
    let rest = match head.get(transport..end) {
        Some(octets) if size <= SHORT => native_sum(octets),
        // The fold of a sum in network order, back in the machine's.
        _ => u64::from(sum(batch, index, transport, end).fold().to_be()),
    };
    Some(fold(pseudo + rest) == 0xffff)
}

/// The sum of a few octets, in 32-bit words of the machine's own order: whether it is all ones, no order matters
/// (RFC 1071, 2).
#[inline]
fn native_sum(octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    sum + u64::from(u32::from_ne_bytes(last))
}

#[inline]
const fn fold(sum: u64) -> u64 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum >> 16) + (sum & 0xffff)
}

/// Reads any packet.
fn parse_any(
    batch: &mut Batch,
    index: usize,
    network: usize,
    length: usize,
    reading: Reading,
    parsed: &mut Parsed,
) -> Option<()> {
    let wanted = length.min(REACH);
    if batch.head(index).len() < wanted && !batch.pull(index, wanted) {
        return None;
    }
    let head = batch.head(index);
    parsed.headers = match head.get(network)? >> 4 {
        4 => ip4(head, network, length, &mut parsed.tuple, reading.checksums)?,
        6 => ip6(head, network, length, &mut parsed.tuple)?,
        _ => return None,
    };
    transport(batch, index, parsed, reading)
}

/// An IPv4 header.
#[inline]
fn ip4(head: &[u8], network: usize, length: usize, tuple: &mut Tuple, checksum: bool) -> Option<Headers> {
    let header = head.get(network..)?.first_chunk::<20>()?;
    let own = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A total of zero stands for a packet that is still to be cut.
    let end = if total == 0 { length } else { network + total };
    if header[0] >> 4 != 4 || own < 20 || end < network + own || end > length {
        return None;
    }
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    if checksum && Sum::ZERO.bytes(head.get(network..network + own)?).fold() != 0xffff {
        return None;
    }
    tuple.source = u128::from(be32(header, 12)?);
    tuple.destination = u128::from(be32(header, 16)?);
    tuple.protocol = header[9];
    tuple.six = false;
    Some(Headers { network, transport: network + own, end })
}

/// An IPv6 header and its extensions.
fn ip6(head: &[u8], network: usize, length: usize, tuple: &mut Tuple) -> Option<Headers> {
    let header = head.get(network..)?.first_chunk::<40>()?;
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Nothing is a packet that is still to be cut.
    let end = if payload == 0 && length > network + 40 + usize::from(u16::MAX) {
        length
    } else {
        network + 40 + payload
    };
    if header[0] >> 4 != 6 || end > length {
        return None;
    }
    tuple.source = be128(header, 8)?;
    tuple.destination = be128(header, 24)?;
    tuple.six = true;
    let (protocol, transport, fragment) = extensions(head, network, end)?;
    if fragment.is_some_and(|fragment| fragment.is_part) {
        return None;
    }
    tuple.protocol = protocol;
    Some(Headers { network, transport, end })
}

/// A fragment header of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FragmentHeader {
    /// Its first octet.
    pub(crate) at: usize,
    /// The packet is a part of another; with such a header it may still be whole (RFC 6946).
    pub(crate) is_part: bool,
}

/// Follows the extension headers of an IPv6 packet: gives the protocol behind them, where it begins, and the fragment
/// header: where it is, and whether it makes the packet a fragment. Nothing is followed behind the header of a later one.
pub(crate) fn extensions(
    head: &[u8],
    network: usize,
    end: usize,
) -> Option<(u8, usize, Option<FragmentHeader>)> {
    let (mut next, mut offset, mut fragment) = (*head.get(network + 6)?, network + 40, None);
    for _ in 0..=EXTENSIONS {
        let size = match next {
            0 | 43 | 60 | 135 | 139 | 140 => usize::from(at::<2>(head, offset)?[1]) * 8 + 8,
            51 => usize::from(at::<2>(head, offset)?[1]) * 4 + 8,
            44 => {
                let bits = be16(head, offset + 2)?;
                fragment = Some(FragmentHeader { at: offset, is_part: bits & 0xfff9 != 0 });
                if bits & 0xfff8 != 0 {
                    return Some((*head.get(offset)?, offset + 8, fragment));
                }
                8
            }
            _ => return Some((next, offset, fragment)),
        };
        next = *head.get(offset)?;
        offset += size;
        if offset > end {
            return None;
        }
    }
    None
}

/// The transport header, and what an ICMP error quotes.
#[inline]
fn transport(batch: &Batch, index: usize, parsed: &mut Parsed, reading: Reading) -> Option<()> {
    let Headers { transport, end, .. } = parsed.headers;
    let head = batch.head(index);
    let size = end - transport;
    let offload = batch.offload(index);
    let verify = reading.checksums && !offload.verified && !offload.partial;
    let tuple = &mut parsed.tuple;
    match tuple.protocol {
        ip::TCP => {
            let header = head.get(transport..)?.first_chunk::<20>()?;
            let own = usize::from(header[12] >> 4) * 4;
            if own < 20 || own > size {
                return None;
            }
            ports(tuple, header)?;
            let segment = &mut parsed.segment;
            segment.sequence = be32(header, 4)?;
            segment.acknowledgement = be32(header, 8)?;
            segment.flags = header[13] & 0x3f;
            segment.window = be16(header, 14)?;
            segment.length = (size - own) as u32;
            if segment.flags & tcp::SYN != 0 {
                segment.scale = tcp::scale_option(head.get(transport + 20..transport + own)?);
            }
        }
        ip::UDP => {
            let header = head.get(transport..)?.first_chunk::<8>()?;
            let own = usize::from(be16(header, 4)?);
            // A length of zero stands for one that does not fit (RFC 2675), which nobody sends over IPv4 or here.
            if size < 8 || own < 8 || own > size {
                return None;
            }
            ports(tuple, header)?;
            if header[6..] == [0, 0] && !tuple.six {
                return Some(());
            }
        }
        ip::ICMP if !tuple.six => {
            if size < ICMP_HEADER {
                return None;
            }
            if verify && sum(batch, index, transport, end).fold() != 0xffff {
                return None;
            }
            return icmp(head, parsed, reading);
        }
        ip::ICMP6 if tuple.six => {
            if size < ICMP_HEADER {
                return None;
            }
            if verify && !is_intact(batch, index, parsed) {
                return None;
            }
            return icmp(head, parsed, reading);
        }
        ip::SCTP if reading.sctp_ports => {
            ports(tuple, head.get(transport..)?.first_chunk::<12>()?)?;
            return Some(());
        }
        _ => return Some(()),
    }
    if verify && !is_intact(batch, index, parsed) { None } else { Some(()) }
}

/// The ports in front of a transport header; none may be zero.
#[inline]
fn ports(tuple: &mut Tuple, header: &[u8]) -> Option<()> {
    tuple.source_port = be16(header, 0)?;
    tuple.destination_port = be16(header, 2)?;
    (tuple.source_port != 0 && tuple.destination_port != 0).then_some(())
}

/// A query, or an error about another packet.
fn icmp(head: &[u8], parsed: &mut Parsed, reading: Reading) -> Option<()> {
    let Headers { transport, end, .. } = parsed.headers;
    let [kind, code, ..] = at::<8>(head, transport)?;
    let six = parsed.tuple.six;
    if answer_of(kind, six).is_some() {
        if code != 0 {
            return None;
        }
        parsed.tuple.source_port = be16(head, transport + 4)?;
        parsed.tuple.destination_port = u16::from(kind) << 8;
        return Some(());
    }
    let error = if six { matches!(kind, 1..=4) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
    if !error {
        return None;
    }
    let network = transport + ICMP_HEADER;
    let mut tuple = Tuple { zone: parsed.tuple.zone, ..Tuple::default() };
    // Only the beginning of the packet is quoted: its length and its checksums prove nothing.
    let transport =
        if six { quoted6(head, network, end, &mut tuple)? } else { quoted4(head, network, &mut tuple)? };
    // Who complains must have been meant.
    if tuple.source != parsed.tuple.destination {
        return None;
    }
    let rest = head.get(transport..end.min(head.len()))?;
    match tuple.protocol {
        ip::TCP | ip::UDP => {
            let least = if six && tuple.protocol == ip::TCP { 20 } else { 8 };
            ports(&mut tuple, rest.get(..least)?)?;
        }
        ip::ICMP | ip::ICMP6 if tuple.is_icmp() => {
            let [kind, code, ..] = at::<8>(rest, 0)?;
            answer_of(kind, six).filter(|_| code == 0)?;
            tuple.source_port = be16(rest, 4)?;
            tuple.destination_port = u16::from(kind) << 8;
        }
        ip::SCTP if reading.sctp_ports => ports(&mut tuple, rest.get(..8)?)?,
        _ => {}
    }
    parsed.tuple = tuple.reversed();
    parsed.quoted = Some(Headers { network, transport, end });
    Some(())
}

fn quoted4(head: &[u8], network: usize, tuple: &mut Tuple) -> Option<usize> {
    let header = head.get(network..)?.first_chunk::<20>()?;
    let own = usize::from(header[0] & 15) * 4;
    if own < 20 || head.len() < network + own || u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    tuple.source = u128::from(be32(header, 12)?);
    tuple.destination = u128::from(be32(header, 16)?);
    tuple.protocol = header[9];
    Some(network + own)
}

fn quoted6(head: &[u8], network: usize, end: usize, tuple: &mut Tuple) -> Option<usize> {
    let header = head.get(network..)?.first_chunk::<40>()?;
    tuple.source = be128(header, 8)?;
    tuple.destination = be128(header, 24)?;
    tuple.six = true;
    let (protocol, transport, fragment) = extensions(head, network, end)?;
    tuple.protocol = protocol;
    fragment.is_none_or(|fragment| !fragment.is_part).then_some(transport)
}

/// Whether a transport checksum with a pseudo-header is right.
fn is_intact(batch: &Batch, index: usize, parsed: &Parsed) -> bool {
    let Headers { transport, end, .. } = parsed.headers;
    let Tuple { source, destination, six, protocol, .. } = parsed.tuple;
    let pseudo = if six {
        PseudoHeader::v6(Ipv6Addr::from_bits(source), Ipv6Addr::from_bits(destination))
    } else {
        PseudoHeader::v4(Ipv4Addr::from_bits(source as u32), Ipv4Addr::from_bits(destination as u32))
    };
    let covered = pseudo.sum(IpProtocol(protocol), (end - transport) as u32).fold();
    sum(batch, index, transport, end).word(covered).fold() == 0xffff
}

/// The sum over octets of a frame, some of which may be in its tail.
pub(super) fn sum(batch: &Batch, index: usize, from: usize, to: usize) -> Sum {
    if let Some(octets) = batch.head(index).get(from..to) {
        return Sum::ZERO.bytes(octets);
    }
    let (mut at, mut sum, mut piece) = (from, Sum::ZERO, [0; PIECE]);
    while at < to {
        let wanted = (to - at).min(PIECE);
        let Some(into) = piece.get_mut(..wanted) else { break };
        let count = batch.copy(index, at, into);
        if count == 0 {
            break;
        }
        sum = sum.bytes(into.get(..count).unwrap_or_default());
        at += count;
    }
    sum
}
