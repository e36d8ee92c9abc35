//! Filters of kind `u32`: bits at offsets (linux/pkt_cls.h, net/sched/cls_u32.c).
//!
//! IPv4 ports lie behind a header of variable length. So a match with ports is two nodes: the first
//! matches the IP header and links to a hash table, moving the offset by the header's length (IHL); the
//! second, in that table, matches the ports:
//!
//! ```text
//! root table  node: addresses, protocol, no later fragment --link, offset += IHL * 4--> table N
//! table N     node: ports of one block -> class          (one node for each pair of blocks)
//! ```
//!
//! IPv6 ports are looked for right behind the fixed header, for which the next header must be the
//! protocol itself: `u32` cannot walk extension headers, so packets that have any are not matched.

use super::FilterRow;
use super::piece::{Layer, Piece};
use super::qdisc::{TCA_KIND, TCA_OPTIONS};
use super::wire::{Place, filter_header};
use crate::netlink::{Attribute, Message, Messages};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_compile::object::shaper::PortRange;
use std::collections::{BTreeMap, BTreeSet};

const TCA_U32_CLASSID: u16 = 1;
const TCA_U32_HASH: u16 = 2;
const TCA_U32_LINK: u16 = 3;
const TCA_U32_DIVISOR: u16 = 4;
const TCA_U32_SEL: u16 = 5;
pub(super) const TCA_U32_ACT: u16 = 7;
const TCA_U32_MARK: u16 = 10;
const TCA_U32_FLAGS: u16 = 11;
const TCA_U32_PCNT: u16 = 9;
const TCA_U32_PAD: u16 = 12;

const TC_U32_TERMINAL: u8 = 1;
const TC_U32_VAROFFSET: u8 = 4;
const TC_U32_EAT: u8 = 8;
/// The part of a handle that names the hash table; the kernel gives out those from 800 on.
const TABLE_MASK: u32 = 0xfff0_0000;
const FIRST_ROOT_TABLE: u32 = 0x8000_0000;
const NODE_MASK: u32 = 0xfff;
/// Lengths of `struct tc_u32_sel` without keys and of `struct tc_u32_key`.
const SELECTOR: usize = 16;
const KEY: usize = 16;

/// Mask and value by offset, each a 32-bit word in network order.
type Words = BTreeMap<i32, (u32, u32)>;

/// Where in the header a field of 32 bits lies.
mod word {
    pub(super) const VERSION: i32 = 0;
    pub(super) const V4_FRAGMENT: i32 = 4;
    pub(super) const V4_PROTOCOL: i32 = 8;
    pub(super) const V4_SOURCE: i32 = 12;
    pub(super) const V4_DESTINATION: i32 = 16;
    pub(super) const V6_NEXT_HEADER: i32 = 4;
    pub(super) const V6_SOURCE: i32 = 8;
    pub(super) const V6_DESTINATION: i32 = 24;
    pub(super) const V6_PAYLOAD: i32 = 40;
}

/// Bits inside these words.
mod bits {
    pub(super) const V4_DSCP: (u32, u32) = (0x00fc_0000, 18);
    pub(super) const V4_FRAGMENT_OFFSET: u32 = 0x0000_1fff;
    pub(super) const V4_PROTOCOL: (u32, u32) = (0x00ff_0000, 16);
    pub(super) const V6_DSCP: (u32, u32) = (0x0fc0_0000, 22);
    pub(super) const V6_NEXT_HEADER: (u32, u32) = (0x0000_ff00, 8);
}

/// What a node does with a packet that it matches.
enum Then {
    Class(u32),
    /// Go on in this table behind the IPv4 header.
    Link(u32),
}

/// Appends the requests that make one match: `pieces` are all of it.
pub(super) fn encode(messages: &mut Messages, place: Place, index: usize, pieces: &[Piece], class: u32) {
    let table = ((index as u32 + 1) << 20) & TABLE_MASK;
    let mut heads: BTreeSet<Piece> = BTreeSet::new();
    let mut ports: BTreeSet<(Option<PortRange>, Option<PortRange>)> = BTreeSet::new();
    let mut nodes = BTreeMap::<Layer, u32>::new();
    let mut next = |layer| {
        let node = nodes.entry(layer).or_insert(0);
        *node += 1;
        *node
    };
    for piece in pieces {
        if piece.layer == Layer::V4 && piece.has_ports() {
            ports.insert((piece.source_ports, piece.destination_ports));
            heads.insert(Piece { source_ports: None, destination_ports: None, ..piece.clone() });
        } else {
            let mut words = header_words(piece);
            if piece.has_ports() {
                port_word(&mut words, word::V6_PAYLOAD, piece.source_ports, piece.destination_ports);
            }
            let handle = next(piece.layer);
            node(messages, place, index, piece.layer, handle, None, &words, piece.mark, &Then::Class(class));
        }
    }
    if heads.is_empty() {
        return;
    }
    let mut message = begin(messages, place, index, Layer::V4, table);
    message.nest_plain(TCA_OPTIONS, |m| {
        m.u32(TCA_U32_DIVISOR, 1);
    });
    drop(message);
    for (number, (source, destination)) in ports.into_iter().enumerate() {
        let mut words = Words::new();
        port_word(&mut words, 0, source, destination);
        let handle = table | ((number as u32 + 1) & NODE_MASK);
        node(messages, place, index, Layer::V4, handle, Some(table), &words, None, &Then::Class(class));
    }
    // The links come last: until then nothing is found in a table that is not complete.
    for head in heads {
        let mut words = header_words(&head);
        add(&mut words, word::V4_FRAGMENT, bits::V4_FRAGMENT_OFFSET, 0);
        let handle = next(Layer::V4);
        node(messages, place, index, Layer::V4, handle, None, &words, head.mark, &Then::Link(table));
    }
}

/// A selector that matches everything; for filters that only carry an action.
pub(super) fn everything(m: &mut Message<'_>) {
    m.octets(TCA_U32_SEL, &selector(&Words::new(), TC_U32_TERMINAL));
}

fn begin<'a>(
    messages: &'a mut Messages,
    place: Place,
    index: usize,
    layer: Layer,
    handle: u32,
) -> Message<'a> {
    let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let mut message = messages.add(libc::RTM_NEWTFILTER, flags);
    message.header(&filter_header(place, handle, super::wire::priority(index, layer), layer.protocol()));
    message.text(TCA_KIND, "u32");
    message
}

#[allow(clippy::too_many_arguments, reason = "one node has so many parts")]
fn node(
    messages: &mut Messages,
    place: Place,
    index: usize,
    layer: Layer,
    handle: u32,
    table: Option<u32>,
    words: &Words,
    mark: Option<(u32, u32)>,
    then: &Then,
) {
    let mut message = begin(messages, place, index, layer, handle);
    message.nest_plain(TCA_OPTIONS, |m| {
        if let Some(table) = table {
            m.u32(TCA_U32_HASH, table);
        }
        if let Some((value, mask)) = mark {
            m.octets(TCA_U32_MARK, &super::units::words(&[value, mask, 0]));
        }
        match then {
            Then::Class(class) => {
                m.octets(TCA_U32_SEL, &selector(words, TC_U32_TERMINAL)).u32(TCA_U32_CLASSID, *class);
            }
            Then::Link(table) => {
                m.octets(TCA_U32_SEL, &selector(words, TC_U32_VAROFFSET | TC_U32_EAT))
                    .u32(TCA_U32_LINK, *table);
            }
        }
    });
}

fn add(words: &mut Words, at: i32, mask: u32, value: u32) {
    let word = words.entry(at).or_default();
    *word = (word.0 | mask, word.1 | value & mask);
}

/// Everything but the ports and the mark.
fn header_words(piece: &Piece) -> Words {
    let mut words = Words::new();
    let (dscp, protocol, protocol_at, source, destination) = match piece.layer {
        Layer::V4 => {
            (bits::V4_DSCP, bits::V4_PROTOCOL, word::V4_PROTOCOL, word::V4_SOURCE, word::V4_DESTINATION)
        }
        _ => {
            (bits::V6_DSCP, bits::V6_NEXT_HEADER, word::V6_NEXT_HEADER, word::V6_SOURCE, word::V6_DESTINATION)
        }
    };
    if let Some(value) = piece.dscp {
        add(&mut words, word::VERSION, dscp.0, u32::from(value) << dscp.1);
    }
    if let Some(value) = piece.protocol {
        add(&mut words, protocol_at, protocol.0, u32::from(value) << protocol.1);
    }
    for (prefix, at) in [(piece.source, source), (piece.destination, destination)] {
        match prefix {
            Some(IpNet::V4(prefix)) => {
                add(&mut words, at, prefix.netmask().into(), prefix.network().into());
            }
            Some(IpNet::V6(prefix)) => {
                let (mask, value) = (u128::from(prefix.netmask()), u128::from(prefix.network()));
                for index in 0..4 {
                    let shift = 96 - 32 * index;
                    if (mask >> shift) as u32 != 0 {
                        add(&mut words, at + 4 * index, (mask >> shift) as u32, (value >> shift) as u32);
                    }
                }
            }
            None => {}
        }
    }
    words
}

fn port_word(words: &mut Words, at: i32, source: Option<PortRange>, destination: Option<PortRange>) {
    for (ports, shift) in [(source, 16), (destination, 0)] {
        if let Some(ports) = ports {
            let mask = u32::from(!(ports.low ^ ports.high));
            add(words, at, mask << shift, u32::from(ports.low) << shift);
        }
    }
}

/// `struct tc_u32_sel` with its keys. There is always one: a node without any is refused by some kernels.
fn selector(words: &Words, flags: u8) -> Vec<u8> {
    let mut keys: Vec<(i32, (u32, u32))> = words.iter().map(|(at, word)| (*at, *word)).collect();
    if keys.is_empty() {
        keys.push((0, (0, 0)));
    }
    let mut octets = vec![0; SELECTOR];
    octets[0] = flags;
    octets[2] = keys.len() as u8;
    if flags & TC_U32_VAROFFSET != 0 {
        // The low four bits of the first octet, times four: (half-word & 0x0f00) >> 6.
        octets[1] = 6;
        octets[4..6].copy_from_slice(&0x0f00u16.to_be_bytes());
    }
    for (at, (mask, value)) in keys {
        octets.extend_from_slice(&mask.to_be_bytes());
        octets.extend_from_slice(&value.to_be_bytes());
        octets.extend_from_slice(&at.to_ne_bytes());
        octets.extend_from_slice(&0i32.to_ne_bytes());
    }
    octets
}

/// Reads `struct tc_u32_sel`: its flags and words; `None` for what [`selector`] never writes.
fn parse_selector(octets: &[u8]) -> Option<(u8, Words)> {
    let head: &[u8; SELECTOR] = octets.get(..SELECTOR)?.try_into().ok()?;
    let (flags, count) = (head[0], usize::from(head[2]));
    let expected: [u8; 2] = if flags & TC_U32_VAROFFSET == 0 { [0; 2] } else { 0x0f00u16.to_be_bytes() };
    let shift = if flags & TC_U32_VAROFFSET == 0 { 0 } else { 6 };
    if head[1] != shift || head[4..6] != expected || head[6..16].iter().any(|octet| *octet != 0) {
        return None;
    }
    let mut words = Words::new();
    let keys = octets.get(SELECTOR..SELECTOR + count * KEY)?;
    for key in keys.chunks_exact(KEY) {
        let be = |at: usize| Some(u32::from_be_bytes(key.get(at..at + 4)?.try_into().ok()?));
        let at = i32::from_ne_bytes(key.get(8..12)?.try_into().ok()?);
        let (mask, value) = (be(0)?, be(4)?);
        if key.get(12..16) != Some(&[0; 4]) {
            return None;
        }
        if mask != 0 {
            add(&mut words, at, mask, value);
        }
    }
    Some((flags, words))
}

/// Whether the options are those of a filter that takes every packet, without looking at its action.
pub(super) fn is_everything(options: Attribute<'_>) -> bool {
    let selector = options.nested().get(TCA_U32_SEL);
    matches!(selector.and_then(|s| parse_selector(s.value)), Some((TC_U32_TERMINAL, words)) if words.is_empty())
        && !has_mark(options)
}

/// Whether a filter looks at the mark.
pub(super) fn has_mark(options: Attribute<'_>) -> bool {
    options.nested().get(TCA_U32_MARK).is_some()
}

/// Reads the nodes of one match into pieces with the class that each leads to; `None` when there is
/// anything that [`encode`] never makes.
pub(super) fn decode(rows: &[FilterRow<'_>]) -> Option<Vec<(Piece, u32)>> {
    let known = [
        TCA_U32_CLASSID,
        TCA_U32_HASH,
        TCA_U32_LINK,
        TCA_U32_DIVISOR,
        TCA_U32_SEL,
        TCA_U32_MARK,
        TCA_U32_FLAGS,
        TCA_U32_PCNT,
        TCA_U32_PAD,
    ];
    let mut pieces = Vec::new();
    let mut links: Vec<(Piece, u32)> = Vec::new();
    let mut ports: BTreeMap<u32, Vec<(Words, u32)>> = BTreeMap::new();
    for row in rows {
        let options = row.options.nested();
        if options.clone().any(|attribute| !known.contains(&attribute.kind)) {
            return None;
        }
        if row.handle & !TABLE_MASK == 0 {
            continue; // A hash table; what is in it is told by its nodes.
        }
        let (flags, words) = parse_selector(options.get(TCA_U32_SEL)?.value)?;
        let number = |kind| options.get(kind).and_then(Attribute::u32);
        let mark = match options.get(TCA_U32_MARK) {
            Some(mark) => Some((super::units::u32_at(mark.value, 0)?, super::units::u32_at(mark.value, 4)?)),
            None => None,
        };
        let table = row.handle & TABLE_MASK;
        match (number(TCA_U32_LINK), number(TCA_U32_CLASSID)) {
            (None, Some(class)) if flags == TC_U32_TERMINAL && table >= FIRST_ROOT_TABLE => {
                pieces.push((Piece { mark, ..parse_header(row.layer, words, false)? }, class));
            }
            (None, Some(class)) if flags == TC_U32_TERMINAL && mark.is_none() => {
                ports.entry(table).or_default().push((words, class));
            }
            (Some(table), None) if flags == TC_U32_VAROFFSET | TC_U32_EAT => {
                links.push((Piece { mark, ..parse_header(row.layer, words, true)? }, table));
            }
            _ => return None,
        }
    }
    let linked: BTreeSet<u32> = links.iter().map(|(_, table)| *table).collect();
    if ports.keys().any(|table| !linked.contains(table)) {
        return None;
    }
    for (head, table) in links {
        for (words, class) in ports.get(&table)? {
            let mut words = words.clone();
            let (source_ports, destination_ports) = take_ports(&mut words, 0)?;
            if !words.is_empty() {
                return None;
            }
            pieces.push((Piece { source_ports, destination_ports, ..head.clone() }, *class));
        }
    }
    Some(pieces)
}

/// Reads the words of the IP header; the ports too, for IPv6. `before_ports` tells a node that links on.
fn parse_header(layer: Layer, mut words: Words, before_ports: bool) -> Option<Piece> {
    let mut piece = Piece::new(layer);
    let take = |words: &mut Words, at: i32, (mask, shift): (u32, u32)| match words.remove(&at) {
        None => Some(None),
        Some((found, value)) => (found == mask).then_some(Some((value >> shift) as u8)),
    };
    match layer {
        Layer::Any => {}
        Layer::V4 => {
            piece.dscp = take(&mut words, word::VERSION, bits::V4_DSCP)?;
            piece.protocol = take(&mut words, word::V4_PROTOCOL, bits::V4_PROTOCOL)?;
            if before_ports && words.remove(&word::V4_FRAGMENT) != Some((bits::V4_FRAGMENT_OFFSET, 0)) {
                return None;
            }
            let mut prefix = |at: i32| match words.remove(&at) {
                None => Some(None),
                Some((mask, value)) => {
                    let prefix = Ipv4Net::with_netmask(value.into(), mask.into()).ok()?;
                    Some(Some(IpNet::from(prefix)))
                }
            };
            piece.source = prefix(word::V4_SOURCE)?;
            piece.destination = prefix(word::V4_DESTINATION)?;
        }
        Layer::V6 => {
            piece.dscp = take(&mut words, word::VERSION, bits::V6_DSCP)?;
            piece.protocol = take(&mut words, word::V6_NEXT_HEADER, bits::V6_NEXT_HEADER)?;
            let mut prefix = |at: i32| {
                let (mut mask, mut value) = (0u128, 0u128);
                for index in 0..4 {
                    let (m, v) = words.remove(&(at + 4 * index)).unwrap_or_default();
                    mask = mask << 32 | u128::from(m);
                    value = value << 32 | u128::from(v);
                }
                if mask == 0 {
                    return Some(None);
                }
                let prefix = Ipv6Net::with_netmask(value.into(), mask.into()).ok()?;
                Some(Some(IpNet::from(prefix)))
            };
            piece.source = prefix(word::V6_SOURCE)?;
            piece.destination = prefix(word::V6_DESTINATION)?;
            (piece.source_ports, piece.destination_ports) = take_ports(&mut words, word::V6_PAYLOAD)?;
        }
    }
    words.is_empty().then_some(piece)
}

/// Takes the word with the ports; the outer `None` means that it is no pair of blocks.
fn take_ports(words: &mut Words, at: i32) -> Option<(Option<PortRange>, Option<PortRange>)> {
    let (mask, value) = words.remove(&at).unwrap_or_default();
    let block = |mask: u16, value: u16| {
        if mask == 0 {
            return Some(None);
        }
        // A block's mask is ones followed by zeros.
        (mask.leading_ones() + mask.trailing_zeros() == 16)
            .then_some(Some(PortRange { low: value, high: value | !mask }))
    };
    Some((block((mask >> 16) as u16, (value >> 16) as u16)?, block(mask as u16, value as u16)?))
}
