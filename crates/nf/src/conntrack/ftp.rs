//! Helpers: protocols that agree on further connections in their payload.
//!
//! What: FTP's `PORT`, `EPRT` and the answers to `PASV` and `EPSV` (RFC 959, RFC 2428) name an address and a port; the
//! connection to them is expected and then *related*. With translation the address in the message is replaced by the
//! one that the other side knows, the message becomes longer or shorter, and from then on the sequence numbers of that
//! direction and the acknowledgements of the other are shifted. TFTP (RFC 1350) answers from a new port.
//!
//! Invariants: an address is only believed if it is the speaker's own, or what it is translated to. A message that looks
//! like one of these and is not makes its packet invalid; nothing panics, whatever the payload is.
//!
//! Deliberately absent: messages in several segments, which nobody sends.

use super::connection::{Rare, bit};
use super::expect::Expectation;
use super::packet::ip;
use super::packet::{Headers, be16, be32, sum};
use super::process::{Known, Work};
use super::request::{Connect, state};
use super::tracker::Turn;
use super::tuple::Tuple;
use netloom_mem::Batch;
use netloom_wire::IpProtocol;
use netloom_wire::checksum::{Delta, PseudoHeader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Octets of a message that are looked at.
const MESSAGE: usize = 128;
/// The port of TFTP's first packet.
const TFTP: u16 = 69;

/// The helper that a new connection gets.
pub(super) fn bits(request: &Connect, tuple: &Tuple) -> u8 {
    match (request.helper, tuple.protocol) {
        (Some("ftp"), ip::TCP) => bit::FTP,
        (Some("tftp"), ip::UDP) => bit::TFTP,
        _ => 0,
    }
}

/// What a message agrees on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The client waits for a connection; else the server does.
    pub(super) active: bool,
    /// The address, if the message has one, and where in it.
    pub(super) address: Option<(IpAddr, Range<usize>)>,
    pub(super) port: u16,
}

/// Whether a message is one that agrees on something, right or wrong.
fn is_of_interest(message: &[u8], six: bool) -> bool {
    let begins =
        |word: &[u8]| message.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let extended = b"EXTENDED PASSIVE";
    let passive = || message.windows(extended.len()).any(|part| part.eq_ignore_ascii_case(extended));
    begins(b"EPRT") || !six && (begins(b"PORT") || begins(b"227")) || passive()
}

/// A decimal number of so many digits at most, from `at` on, and what is behind it.
fn number(message: &[u8], at: usize, digits: usize, most: u32) -> Option<(u32, usize)> {
    let text = message.get(at..)?;
    let count = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if count == 0 || count > digits {
        return None;
    }
    let value = text[..count].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (value <= most).then_some((value, at + count))
}

fn first_digit(message: &[u8], from: usize) -> Option<usize> {
    message.get(from..)?.iter().position(u8::is_ascii_digit).map(|at| from + at)
}

/// Reads a message of interest; `None` when it is malformed.
pub(super) fn read(message: &[u8], six: bool) -> Option<Agreement> {
    let begins =
        |word: &[u8]| message.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins(b"EPRT") {
        return read_extended_port(message, six);
    }
    if !six && (begins(b"PORT") || begins(b"227")) {
        return read_port(message, begins(b"PORT"));
    }
    let bracket = message.iter().position(|octet| *octet == b'(')?;
    let digit = first_digit(message, bracket)?;
    let (port, _) = number(message, digit, 5, 65_535)?;
    Some(Agreement { active: false, address: None, port: port as u16 })
}

/// `PORT h1,h2,h3,h4,p1,p2` and `227 ... (h1,h2,h3,h4,p1,p2)`.
fn read_port(message: &[u8], active: bool) -> Option<Agreement> {
    let space = message.iter().position(|octet| *octet == b' ')?;
    let start = first_digit(message, space)?;
    let (mut at, mut parts) = (start, [0_u8; 6]);
    let mut end = start;
    for (index, part) in parts.iter_mut().enumerate() {
        let (value, behind) = number(message, at, 3, 255)?;
        *part = value as u8;
        if index == 3 {
            end = behind;
        }
        if index < 5 && message.get(behind) != Some(&b',') {
            return None;
        }
        at = behind + 1;
    }
    let [a, b, c, d, high, low] = parts;
    let address = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    Some(Agreement { active, address: Some((address, start..end)), port: u16::from_be_bytes([high, low]) })
}

/// `EPRT |family|address|port|`, with any delimiter.
fn read_extended_port(message: &[u8], six: bool) -> Option<Agreement> {
    let digit = first_digit(message, 4)?;
    let family = if six { b'2' } else { b'1' };
    let delimiter = *message.get(digit + 1)?;
    if *message.get(digit)? != family || delimiter.is_ascii_digit() {
        return None;
    }
    let start = digit + 2;
    let rest = message.get(start..)?;
    let belongs = |octet: &u8| octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.');
    let count = rest.iter().take_while(|octet| belongs(octet)).count();
    let text = std::str::from_utf8(rest.get(..count)?).ok()?;
    let address: IpAddr = text.parse().ok().filter(|address: &IpAddr| address.is_ipv6() == six)?;
    let (port, _) = number(message, start + count + 1, 5, 65_535)?;
    Some(Agreement { active: true, address: Some((address, start..start + count)), port: port as u16 })
}

/// Where the payload of a TCP packet begins.
fn payload(batch: &Batch, index: usize, headers: &Headers) -> usize {
    let own = batch.head(index).get(headers.transport + 12).map_or(20, |octet| usize::from(octet >> 4) * 4);
    headers.transport + own
}

/// The message of a packet: its first octets, without the last, as far as there is no zero in it.
fn message(work: &mut Work<'_>) -> ([u8; MESSAGE], usize) {
    let start = payload(work.batch, work.index, &work.parsed.headers);
    let count = work.parsed.headers.end.saturating_sub(start).min(MESSAGE).saturating_sub(1);
    let mut octets = [0; MESSAGE];
    let copied = octets.get_mut(..count).map_or(0, |into| work.batch.copy(work.index, start, into));
    let count = octets[..copied.min(MESSAGE)].iter().position(|octet| *octet == 0).unwrap_or(copied);
    (octets, count)
}

/// Shifts the numbers of a segment whose payload agrees on nothing.
pub(super) fn shift(turn: &mut Turn<'_>, work: &mut Work<'_>, found: Known) {
    let (octets, count) = message(work);
    if !is_of_interest(&octets[..count], work.parsed.tuple.six) {
        shift_numbers(turn, work, found);
    }
}

fn shift_numbers(turn: &mut Turn<'_>, work: &mut Work<'_>, found: Known) {
    if work.request.nat.is_none() {
        return;
    }
    let Some((skew, of_reply)) = turn.skew(found).filter(|(skew, _)| *skew != 0) else { return };
    let transport = work.parsed.headers.transport;
    let (offset, by) = if found.reply == of_reply { (4, skew) } else { (8, skew.wrapping_neg()) };
    let open = work.batch.offload(work.index).partial;
    let head = work.batch.head_mut(work.index);
    let (Some(old), Some(checksum)) = (be32(head, transport + offset), be16(head, transport + 16)) else {
        return;
    };
    let new = old.wrapping_add_signed(by);
    if let Some(field) = head.get_mut(transport + offset..transport + offset + 4) {
        field.copy_from_slice(&new.to_be_bytes());
    }
    if !open && let Some(field) = head.get_mut(transport + 16..transport + 18) {
        field.copy_from_slice(&Delta::NONE.double_word(old, new).apply(checksum).to_be_bytes());
    }
    // The tracker goes on with the numbers of the end that sees them.
    let segment = &mut work.parsed.segment;
    if offset == 4 {
        segment.sequence = new;
    } else {
        segment.acknowledgement = new;
    }
    work.verdict.changed = true;
}

/// Looks at a packet of a connection with a helper.
pub(super) fn help(turn: &mut Turn<'_>, work: &mut Work<'_>, found: Known) {
    let shard = turn.shard(found.shard);
    let Some(connection) = shard.connections.get(found.place) else { return };
    let original = connection.tuple(false, &shard.wide);
    if connection.is(bit::TFTP) {
        if !found.reply && (original.destination_port == TFTP || work.request.helper.is_some()) {
            expect(turn, found, original.source_port, false);
        }
        return;
    }
    if work.verdict.state & state::INVALID == 0 {
        help_ftp(turn, work, found);
    }
}

fn help_ftp(turn: &mut Turn<'_>, work: &mut Work<'_>, found: Known) {
    let (octets, count) = message(work);
    let message = &octets[..count];
    let six = work.parsed.tuple.six;
    if !is_of_interest(message, six) {
        return;
    }
    let Some((agreement, replacement)) = understand(turn, found, message, six) else {
        work.verdict.state |= state::INVALID;
        return;
    };
    expect(turn, found, agreement.port, found.reply);
    let mut longer = 0;
    if work.request.nat.is_some()
        && let Some((_, range)) = agreement.address
    {
        longer = replace(work, range, replacement).unwrap_or(0);
    }
    shift_numbers(turn, work, found);
    if longer != 0 {
        let shard = turn.shard(found.shard);
        let Some(place) = shard.connections.get(found.place).map(|connection| connection.rare) else {
            return;
        };
        let rare = match shard.rare.get(place) {
            Some(_) => Some(place),
            None => shard.rare.put(Rare::default()),
        };
        if let Some(rare) = rare {
            if let Some(connection) = shard.connections.get_mut(found.place) {
                connection.rare = rare;
            }
            if let Some(known) = shard.rare.get_mut(rare) {
                known.skew = known.skew.wrapping_add(longer);
                known.skew_reply = found.reply;
            }
        }
    }
}

/// What a message means, and the address that the other side knows for the one in it; `None` if it lies.
fn understand(turn: &mut Turn<'_>, found: Known, message: &[u8], six: bool) -> Option<(Agreement, IpAddr)> {
    let agreement = read(message, six)?;
    let shard = turn.shard(found.shard);
    let connection = shard.connections.get(found.place)?;
    let (original, reply) = (connection.tuple(false, &shard.wide), connection.tuple(true, &shard.wide));
    let (own, replacement) = if agreement.active {
        (original.address(original.source), original.address(reply.destination))
    } else {
        (original.address(reply.source), original.address(original.destination))
    };
    let honest =
        agreement.address.as_ref().is_none_or(|(address, _)| *address == own || *address == replacement);
    honest.then_some((agreement, replacement))
}

/// Expects a connection to a port of who speaks: `reply` when the answering end does.
fn expect(turn: &mut Turn<'_>, found: Known, port: u16, reply: bool) {
    let shard = turn.shard(found.shard);
    let Some(connection) = shard.connections.get(found.place) else { return };
    let (original, back) = (connection.tuple(false, &shard.wide), connection.tuple(true, &shard.wide));
    let to_destination = connection.is(bit::DESTINATION);
    let (source, destination, replacement, replaces_source) = match (reply, to_destination) {
        (true, true) => (original.source, original.destination, back.source, false),
        (true, false) => (original.source, original.destination, back.destination, true),
        (false, true) => (back.source, back.destination, original.destination, true),
        (false, false) => (back.source, back.destination, original.source, false),
    };
    let tuple = Tuple { source, destination, source_port: 0, destination_port: port, ..original };
    let (mark, label) = (connection.mark, connection.label());
    let expectation = Expectation { parent: original, mark, label, replacement, replaces_source };
    turn.tracker.expectations.add(&tuple, expectation);
}

/// Replaces an address in the payload; gives by how many octets the packet is longer, or nothing if there is no room.
fn replace(work: &mut Work<'_>, range: Range<usize>, by: IpAddr) -> Option<i32> {
    let mut text = by.to_string();
    let (start, headers) = (payload(work.batch, work.index, &work.parsed.headers), work.parsed.headers);
    let (from, to) = (start + range.start, start + range.end);
    if !work.batch.pull(work.index, to) {
        return None;
    }
    // In PORT and 227 commas stand for dots.
    if work.batch.head(work.index).get(from..to)?.contains(&b',') {
        text = text.replace('.', ",");
    }
    let longer = text.len() as i32 - (to - from) as i32;
    let head = work.batch.head(work.index);
    let (v4, network) = (!work.parsed.tuple.six, headers.network);
    let length_at = network + if v4 { 2 } else { 4 };
    let old = be16(head, length_at)?;
    let new = u16::try_from(i32::from(old) + longer).ok()?;
    // What stands in front of the address moves; headers stay where they are, counted from the frame's first octet.
    if longer > 0 {
        let count = longer as usize;
        let head = work.batch.grow(work.index, count)?;
        head.copy_within(count..count + from, 0);
        work.batch.offload_mut(work.index).shift(-longer);
    } else if longer < 0 {
        let count = longer.unsigned_abs() as usize;
        work.batch.head_mut(work.index).copy_within(..from, count);
        work.batch.shrink(work.index, count);
        work.batch.offload_mut(work.index).shift(-longer);
    }
    let head = work.batch.head_mut(work.index);
    head.get_mut(from..from + text.len())?.copy_from_slice(text.as_bytes());
    head.get_mut(length_at..length_at + 2)?.copy_from_slice(&new.to_be_bytes());
    if v4 {
        let checksum = Delta::NONE.word(old, new).apply(be16(head, network + 10)?);
        head.get_mut(network + 10..network + 12)?.copy_from_slice(&checksum.to_be_bytes());
    }
    work.parsed.headers.end = (headers.end as i64 + i64::from(longer)) as usize;
    work.verdict.resized += longer;
    work.verdict.changed = true;
    checksum(work);
    Some(longer)
}

/// Computes the checksum of a TCP packet whose payload is another one now.
fn checksum(work: &mut Work<'_>) -> Option<()> {
    let Headers { network, transport, end } = work.parsed.headers;
    let open = work.batch.offload(work.index).partial;
    work.batch.head_mut(work.index).get_mut(transport + 16..transport + 18)?.fill(0);
    let head = work.batch.head(work.index);
    // The packet may be translated already: its own addresses count.
    let pseudo = if work.parsed.tuple.six {
        let at = |from: usize| head.get(from..)?.first_chunk::<16>().copied().map(Ipv6Addr::from);
        PseudoHeader::v6(at(network + 8)?, at(network + 24)?)
    } else {
        PseudoHeader::v4(be32(head, network + 12)?.into(), be32(head, network + 16)?.into())
    };
    let covered = pseudo.sum(IpProtocol(ip::TCP), (end - transport) as u32).fold();
    let value =
        if open { covered } else { sum(work.batch, work.index, transport, end).word(covered).checksum() };
    work.batch
        .head_mut(work.index)
        .get_mut(transport + 16..transport + 18)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}
