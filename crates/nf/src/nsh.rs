//! Network service headers (RFC 8300) put before packets and taken again.
//!
//! What: a packet with Ethernet becomes one that begins with the network service header (`packet_type` (1, 0x894f)); a
//! packet without becomes it too. The header says in `next` what follows.

use netloom_mem::Batch;

/// A network service header that is put before a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NshHeader {
    /// As in `nsh_flags`: 2 for an OAM packet. Legal values: 0 to 3.
    pub flags: u8,
    /// Time to live. Legal values: 0 to 63.
    pub ttl: u8,
    /// Next protocol (RFC 8300, 2.2): 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS.
    pub next: u8,
    /// Service path identifier (24) and index (8).
    pub path: u32,
    /// What follows.
    pub metadata: NshMetadata,
}

/// The metadata of a network service header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NshMetadata {
    /// Type 1: four context headers.
    Fixed([u32; 4]),
    /// Type 2: options; at most 244 octets, a multiple of four.
    Variable(Box<[u8]>),
}

/// Octets of the base header and the path.
const BASE: usize = 8;
/// Longest header: its length field has six bits, in words.
const LONGEST: usize = 63 * 4;

/// Puts the header before the packet; false without room, or with options that no header holds.
#[must_use]
pub fn push_nsh(batch: &mut Batch, index: usize, header: &NshHeader) -> bool {
    let size = BASE
        + match &header.metadata {
            NshMetadata::Fixed(_) => 16,
            NshMetadata::Variable(options) => options.len(),
        };
    if size > LONGEST || !size.is_multiple_of(4) {
        return false;
    }
    let Some(place) = batch.grow(index, size).and_then(|head| head.get_mut(..size)) else { return false };
    let (base, rest) = place.split_at_mut(BASE);
    let first =
        u16::from(header.flags & 3) << 12 | u16::from(header.ttl & 0x3f) << 6 | (size / 4) as u16 & 0x3f;
    base[..2].copy_from_slice(&first.to_be_bytes());
    base[3] = header.next;
    base[4..].copy_from_slice(&header.path.to_be_bytes());
    match &header.metadata {
        NshMetadata::Fixed(contexts) => {
            base[2] = 1;
            for (place, context) in rest.chunks_exact_mut(4).zip(contexts) {
                place.copy_from_slice(&context.to_be_bytes());
            }
        }
        NshMetadata::Variable(options) => {
            base[2] = 2;
            rest.copy_from_slice(options);
        }
    }
    true
}

/// Takes the header with which the packet begins; gives the packet type of what it held: 0 for Ethernet. None if there is
/// no header, or if nobody knows what it holds.
#[must_use]
pub fn pop_nsh(batch: &mut Batch, index: usize) -> Option<u32> {
    let head: [u8; 4] = *batch.head(index).first_chunk()?;
    let (version, size) = (head[0] >> 6, usize::from(head[1] & 0x3f) * 4);
    let kind = match head[3] {
        1 => 1 << 16 | 0x0800,
        2 => 1 << 16 | 0x86dd,
        3 => 0,
        4 => 1 << 16 | 0x894f,
        5 => 1 << 16 | 0x8847,
        _ => return None,
    };
    (version == 0 && size >= BASE && batch.shrink(index, size)).then_some(kind)
}
