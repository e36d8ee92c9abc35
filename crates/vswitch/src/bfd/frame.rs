//! Packets of a session as frames: Ethernet, IPv4, UDP (RFC 5881, section 4).

use super::{BfdOptions, DESTINATION};
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;
use netloom_wire::header::bfd::{Repr, View};
use std::net::Ipv4Addr;

/// UDP port of control packets.
pub const PORT: u16 = 3784;
/// The least of the ports that packets come from.
const SOURCE_PORT: u16 = 49152;
/// Addresses of packets where none were set, as in Open vSwitch.
const SOURCE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const TARGET: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 0);
/// Class selector 6: control of networks (RFC 4594).
const TOS: u8 = 0xc0;
/// No router has passed it on (RFC 5881, section 5).
const TTL: u8 = 255;
/// Lengths of headers.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// Whether a packet is one of a session's; what is looked at goes into the mask.
#[must_use]
pub fn is_bfd(options: &BfdOptions, key: &Key, mask: &mut Mask) -> bool {
    let mut at = |field: Field| {
        mask.add(field);
        key.get(field)
    };
    let word =
        |address: MacAddr| address.octets().iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
    options.remote_destination.is_none_or(|address| at(Field::ETH_DST) == word(address))
        && at(Field::ETH_TYPE) == 0x0800
        && at(Field::IP_PROTO) == 17
        && at(Field::IP_FRAG) & 2 == 0
        && at(Field::TP_DST) == u64::from(PORT)
        && options.source.is_none_or(|address| at(Field::IP4_DST) == u64::from(address.to_bits()))
        && (!options.check_tunnel_key || at(Field::TUN_ID) == 0)
}

/// The packet in a frame, with a tag or two or none.
pub(super) fn read<'a>(frame: &'a [u8], options: &BfdOptions) -> Option<Repr<'a>> {
    let mut at = 12;
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    for _ in 0..2 {
        if matches!(word(at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
    }
    let network = frame.get(at + 2..).filter(|_| word(at) == Some(0x0800))?;
    let first = *network.first()?;
    let length = usize::from(first & 15) * 4;
    let fragment = u16::from_be_bytes(*network.get(6..)?.first_chunk()?);
    // More fragments follow, or this is not the first.
    if first >> 4 != 4 || length < IPV4 || fragment & 0x3fff != 0 {
        return None;
    }
    if *network.get(8)? != TTL || *network.get(9)? != 17 {
        return None;
    }
    let to = Ipv4Addr::from(*network.get(16..)?.first_chunk::<4>()?);
    if options.source.is_some_and(|own| own != to) {
        return None;
    }
    let transport = network.get(length..)?;
    let port = u16::from_be_bytes(*transport.get(2..)?.first_chunk()?);
    let view = View::new_checked(transport.get(UDP..).filter(|_| port == PORT)?).ok()?;
    Repr::parse(&view).ok()
}

/// A frame with a packet.
pub(super) fn write(
    unit: &Repr<'_>,
    options: &BfdOptions,
    discriminator: u32,
    address: MacAddr,
) -> Option<Vec<u8>> {
    let length = unit.buffer_len();
    let mut frame = Vec::with_capacity(ETHERNET + IPV4 + UDP + length);
    frame.extend(options.local_destination.unwrap_or(DESTINATION).octets());
    frame.extend(options.local_source.unwrap_or(address).octets());
    frame.extend([8, 0, 0x45, TOS]);
    frame.extend(((IPV4 + UDP + length) as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, TTL, 17, 0, 0]);
    frame.extend(options.source.unwrap_or(SOURCE).octets());
    frame.extend(options.destination.unwrap_or(TARGET).octets());
    let sum: u32 = frame
        .get(ETHERNET..)?
        .chunks_exact(2)
        .map(|pair| {
            u32::from(pair.first().copied().unwrap_or(0)) << 8 | u32::from(*pair.last().unwrap_or(&0))
        })
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame.get_mut(ETHERNET + 10..ETHERNET + 12)?.copy_from_slice(&sum.to_be_bytes());
    // Of each session its own, and the same as long as it lives (RFC 5881, section 4).
    let from = SOURCE_PORT + (discriminator % u32::from(u16::MAX - SOURCE_PORT)) as u16;
    frame.extend(from.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend(((UDP + length) as u16).to_be_bytes());
    // No checksum: the packet is checked by what it says.
    frame.extend([0, 0]);
    let at = frame.len();
    frame.resize(at + length, 0);
    unit.emit(frame.get_mut(at..)?).ok()?;
    Some(frame)
}

/// A state as its number.
pub(super) mod state {
    use netloom_wire::header::bfd::State;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        state: &State,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*state as u8)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<State, D::Error> {
        Ok(match u8::deserialize(deserializer)? {
            0 => State::AdminDown,
            2 => State::Init,
            3 => State::Up,
            _ => State::Down,
        })
    }
}
