//! A packet that was put together, and the parts it came in.

use crate::conntrack::extensions;
use netloom_mem::Batch;
use netloom_wire::checksum::{Delta, internet, is_intact};

/// Octets of the fragment header of IPv6.
const FRAGMENT_HEADER: usize = 8;
/// Octets of a fragment that are looked at for headers.
const REACH: usize = 256;

/// A fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The whole frame, without padding.
    frame: Vec<u8>,
    six: bool,
    network: usize,
    /// Where what it carries begins.
    payload: usize,
    /// The header before it whose next-header field says "fragment", and the fragment header.
    link: (usize, usize),
    /// Which octet of the packet it begins with.
    pub(super) start: usize,
    /// It is not the last.
    pub(super) more: bool,
    pub(super) protocol: u8,
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

impl Part {
    /// Reads a fragment: it, and the identification of its packet.
    pub(super) fn read(batch: &mut Batch, index: usize, network: usize, six: bool) -> Option<(Self, u32)> {
        let length = batch.length(index);
        if !batch.pull(index, length.min(REACH)) {
            return None;
        }
        let head = batch.head(index);
        let (part, identification, end) =
            if six { Self::read6(head, network, length)? } else { Self::read4(head, network, length)? };
        if end <= part.payload {
            return None;
        }
        let mut frame = vec![0; end];
        (batch.copy(index, 0, &mut frame) == end).then_some((Self { frame, ..part }, identification))
    }

    fn read4(head: &[u8], network: usize, length: usize) -> Option<(Self, u32, usize)> {
        let header = head.get(network..)?.first_chunk::<20>()?;
        let own = usize::from(header[0] & 15) * 4;
        let end = network + usize::from(be16(header, 2)?);
        let bits = be16(header, 6)?;
        if header[0] >> 4 != 4 || own < 20 || end > length || !is_intact(head.get(network..network + own)?) {
            return None;
        }
        let part = Self {
            frame: Vec::new(),
            six: false,
            network,
            payload: network + own,
            link: (0, 0),
            start: usize::from(bits & 0x1fff) * 8,
            more: bits & 0x2000 != 0,
            protocol: header[9],
        };
        Some((part, u32::from(be16(header, 4)?), end))
    }

    fn read6(head: &[u8], network: usize, length: usize) -> Option<(Self, u32, usize)> {
        let header = head.get(network..)?.first_chunk::<40>()?;
        let end = network + 40 + usize::from(be16(header, 4)?);
        if header[0] >> 4 != 6 || end > length {
            return None;
        }
        let (_, _, fragment) = extensions(head, network, end)?;
        let at = fragment?.at;
        let bits = be16(head, at + 2)?;
        let identification = u32::from_be_bytes(*head.get(at + 4..)?.first_chunk()?);
        let part = Self {
            frame: Vec::new(),
            six: true,
            network,
            payload: at + FRAGMENT_HEADER,
            link: (before(head, network, at)?, at),
            start: usize::from(bits & 0xfff8),
            more: bits & 1 != 0,
            protocol: *head.get(at)?,
        };
        Some((part, identification, end))
    }

    /// Behind its last octet, in the packet.
    pub(super) fn end(&self) -> usize {
        self.start + self.frame.len() - self.payload
    }

    /// Octets of the packet that it is, its network header included.
    pub(super) fn octets(&self) -> usize {
        self.frame.len() - self.network
    }

    pub(super) fn into_frame(self) -> Vec<u8> {
        self.frame
    }

    pub(super) fn addresses(&self) -> (u128, u128) {
        let octets = |at: usize| self.frame.get(at..).unwrap_or_default();
        if self.six {
            let word = |at| octets(at).first_chunk().map_or(0, |word| u128::from_be_bytes(*word));
            return (word(self.network + 8), word(self.network + 24));
        }
        let word = |at| octets(at).first_chunk().map_or(0, |word| u128::from(u32::from_be_bytes(*word)));
        (word(self.network + 12), word(self.network + 16))
    }

    fn carried(&self) -> &[u8] {
        self.frame.get(self.payload..).unwrap_or_default()
    }
}

/// The octet that says what the header at `at` is.
fn before(head: &[u8], network: usize, at: usize) -> Option<usize> {
    let (mut link, mut offset) = (network + 6, network + 40);
    while offset < at {
        let [_, size] = *head.get(offset..)?.first_chunk()?;
        let size = if *head.get(link)? == 51 { usize::from(size) * 4 + 8 } else { usize::from(size) * 8 + 8 };
        (link, offset) = (offset, offset + size);
    }
    Some(link)
}

/// A whole packet and the fragments that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembly {
    parts: Vec<Part>,
    frame: Vec<u8>,
    /// Where what was cut begins in the frame.
    payload: usize,
}

impl Assembly {
    /// From sorted parts without gaps; `None` if the packet would be too long.
    pub(super) fn new(parts: Vec<Part>, six: bool) -> Option<Self> {
        let first = parts.first()?;
        let (network, mut payload) = (first.network, first.payload);
        let total = parts.last()?.end();
        let mut frame = first.frame.get(..payload)?.to_vec();
        if six {
            // The fragment header goes; what it said is behind stands in the header before it.
            let (link, at) = first.link;
            *frame.get_mut(link)? = first.protocol;
            frame.truncate(at);
            payload = at;
            let length = u16::try_from(payload - network - 40 + total).ok()?;
            frame.get_mut(network + 4..network + 6)?.copy_from_slice(&length.to_be_bytes());
        } else {
            let length = u16::try_from(payload - network + total).ok()?;
            frame.get_mut(network + 2..network + 4)?.copy_from_slice(&length.to_be_bytes());
            *frame.get_mut(network + 6)? &= 0xdf;
            frame.get_mut(network + 10..network + 12)?.fill(0);
            let checksum = internet(frame.get(network..payload)?);
            frame.get_mut(network + 10..network + 12)?.copy_from_slice(&checksum.to_be_bytes());
        }
        for part in &parts {
            frame.extend_from_slice(part.carried());
        }
        Some(Self { parts, frame, payload })
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// How many fragments it came in.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The fragments after the whole frame has become `whole` in connection tracking: other addresses, ports and
    /// checksums, and with a helper another length.
    #[must_use]
    pub fn parts(&self, whole: &[u8]) -> Vec<Vec<u8>> {
        let carried = whole.get(self.payload..).unwrap_or_default();
        let last = self.parts.len().saturating_sub(1);
        let cut = |(index, part): (usize, &Part)| {
            let end = if index == last { carried.len() } else { part.end().min(carried.len()) };
            let mut frame = part.frame.get(..part.payload)?.to_vec();
            frame.extend_from_slice(carried.get(part.start.min(end)..end)?);
            readdress(&mut frame, part, whole)?;
            Some(frame)
        };
        self.parts.iter().enumerate().filter_map(cut).collect()
    }
}

/// Gives a fragment the addresses of the whole, and its length.
fn readdress(frame: &mut [u8], part: &Part, whole: &[u8]) -> Option<()> {
    let network = part.network;
    if part.six {
        let addresses = whole.get(network + 8..network + 40)?;
        frame.get_mut(network + 8..network + 40)?.copy_from_slice(addresses);
        let length = u16::try_from(frame.len() - network - 40).ok()?;
        frame.get_mut(network + 4..network + 6)?.copy_from_slice(&length.to_be_bytes());
        return Some(());
    }
    let mut delta = Delta::NONE;
    for at in (12..20).step_by(2) {
        let (old, new) = (be16(frame, network + at)?, be16(whole, network + at)?);
        delta = delta.word(old, new);
        frame.get_mut(network + at..network + at + 2)?.copy_from_slice(&new.to_be_bytes());
    }
    let (old, new) = (be16(frame, network + 2)?, u16::try_from(frame.len() - network).ok()?);
    delta = delta.word(old, new);
    frame.get_mut(network + 2..network + 4)?.copy_from_slice(&new.to_be_bytes());
    let checksum = delta.apply(be16(frame, network + 10)?);
    frame.get_mut(network + 10..network + 12)?.copy_from_slice(&checksum.to_be_bytes());
    Some(())
}
