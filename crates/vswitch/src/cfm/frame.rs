//! Continuity check messages as frames (IEEE 802.1ag, 21.6).
//!
//! ```text
//! 0 level, version | 1 opcode | 2 RDI, interval | 3 offset of TLVs | 4 number | 8 MPID | 10 association (48)
//! 58 interval in ms | 60 MPID of 64 bits | 68 not at work | 69 zero (5) | 74 end
//! ```
//!
//! From octet 58 on this is Open vSwitch's extended message; there the standard has octets of Y.1731 that are zero.

use super::CfmOptions;
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;

/// EtherType of connectivity fault management.
pub const ETHER_TYPE: u16 = 0x8902;
/// Where messages go: level 0 of the standard (table 8-9), and Open vSwitch's own.
const GROUP: MacAddr = MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 0x30]);
const EXTENDED_GROUP: MacAddr = MacAddr::new([0x01, 0x23, 0x20, 0, 0, 0x30]);
const CONTINUITY_CHECK: u8 = 1;
const LENGTH: usize = 75;
const FIRST_TLV: u8 = 70;
const RDI: u8 = 0x80;
/// The association: domain and name are the word `ovs` (formats 4 and 2).
const ASSOCIATION: [u8; 10] = [4, 3, b'o', b'v', b's', 2, 3, b'o', b'v', b's'];
const ASSOCIATION_LENGTH: usize = 48;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// Numbers of messages ascend; 0 where they have none.
    pub(super) number: u32,
    pub(super) mpid: u64,
    /// The sender does not hear everybody.
    pub(super) rdi: bool,
    /// What is behind the sender works.
    pub(super) works: bool,
    /// It is of our association.
    pub(super) ours: bool,
}

const fn group(extended: bool) -> MacAddr {
    if extended { EXTENDED_GROUP } else { GROUP }
}

/// Whether a packet is a message for a monitor; what is looked at goes into the mask.
#[must_use]
pub fn is_ccm(options: &CfmOptions, key: &Key, mask: &mut Mask) -> bool {
    let to = group(options.extended).octets().iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
    mask.add(Field::ETH_TYPE);
    mask.add(Field::ETH_DST);
    key.get(Field::ETH_TYPE) == u64::from(ETHER_TYPE) && key.get(Field::ETH_DST) == to
}

/// The message in a frame, with a tag or two or none.
pub(super) fn read(frame: &[u8], extended: bool) -> Option<Message> {
    if frame.first_chunk() != Some(&group(extended).octets()) {
        return None;
    }
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let mut at = 12;
    for _ in 0..2 {
        if matches!(word(at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
    }
    let message = frame.get(at + 2..at + 2 + LENGTH).filter(|_| word(at) == Some(ETHER_TYPE))?;
    let octet = |at: usize| message.get(at).copied().unwrap_or(0);
    if octet(1) != CONTINUITY_CHECK || octet(3) < FIRST_TLV {
        return None;
    }
    let (head, rest) = message.get(10..10 + ASSOCIATION_LENGTH)?.split_at(ASSOCIATION.len());
    let short = u16::from_be_bytes(*message.get(8..)?.first_chunk()?);
    let long = u64::from_be_bytes(*message.get(60..)?.first_chunk()?);
    Some(Message {
        number: u32::from_be_bytes(*message.get(4..)?.first_chunk()?),
        mpid: if extended { long } else { u64::from(short) },
        rdi: octet(2) & RDI != 0,
        works: !extended || octet(68) == 0,
        ours: octet(0) == 0 && head == ASSOCIATION && rest.iter().all(|octet| *octet == 0),
    })
}

/// A frame with a message; `interval` is its number in the standard, and nanoseconds.
pub(super) fn write(
    message: &Message,
    options: &CfmOptions,
    (code, interval): (u8, u64),
    address: MacAddr,
) -> Vec<u8> {
    let mut frame = Vec::with_capacity(18 + LENGTH);
    frame.extend(group(options.extended).octets());
    frame.extend(address.octets());
    if options.vlan != 0 || options.priority != 0 {
        let tag = u16::from(options.priority & 7) << 13 | options.vlan & 0xfff;
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(ETHER_TYPE.to_be_bytes());
    frame.extend([0, CONTINUITY_CHECK, if message.rdi { RDI } else { 0 } | code, FIRST_TLV]);
    frame.extend(message.number.to_be_bytes());
    // A long name does not fit; whoever knows only the short one is to see a legal one.
    let short = if options.extended { 1 + message.mpid % 8191 } else { message.mpid };
    frame.extend((short as u16).to_be_bytes());
    frame.extend(ASSOCIATION);
    frame.resize(frame.len() + ASSOCIATION_LENGTH - ASSOCIATION.len(), 0);
    if options.extended {
        let milliseconds = u16::try_from(interval / 1_000_000).unwrap_or(u16::MAX);
        frame.extend(milliseconds.to_be_bytes());
        frame.extend(message.mpid.to_be_bytes());
        frame.push(u8::from(!message.works));
        frame.extend([0; 6]);
    } else {
        frame.extend([0; 17]);
    }
    frame
}
