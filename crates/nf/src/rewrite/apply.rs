//! Writing into a packet.

use super::{Layout, Rewrite};
use netloom_mem::Batch;
use netloom_table::Field;
use netloom_wire::checksum::{Crc32c, Delta};

/// Where a field lies, apart from what the packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    EthernetDestination,
    EthernetSource,
    Tpid,
    Tci,
    InnerTci,
    Protocol,
    /// Source or destination of IPv4, of ARP; the number is the offset in IPv4.
    Address(u8),
    Tos,
    Ttl,
    Label,
    /// Half an address of IPv6, at this offset.
    Half(u8),
    /// Source or destination port, type or code of ICMP: 0 or 1.
    Port(u8),
    /// Link-layer address of the sender (0) or the target (1), of ARP and neighbour discovery.
    Link(u8),
    /// Half the target of neighbour discovery, at this offset.
    Target(u8),
    Reserved,
    /// Label stack entry: 0 to 2.
    Mpls(u8),
    NshPath,
    NshFlags,
    NshTtl,
    /// Two context headers at this offset.
    NshContext(u8),
}

/// Every field that can be written into a packet, and where it lies.
const PLACES: [(Field, Place); 30] = [
    (Field::ETH_DST, Place::EthernetDestination),
    (Field::ETH_SRC, Place::EthernetSource),
    (Field::VLAN_TPID, Place::Tpid),
    (Field::VLAN_TCI, Place::Tci),
    (Field::INNER_TCI, Place::InnerTci),
    (Field::IP_PROTO, Place::Protocol),
    (Field::IP4_SRC, Place::Address(12)),
    (Field::IP4_DST, Place::Address(16)),
    (Field::IP_TOS, Place::Tos),
    (Field::IP_TTL, Place::Ttl),
    (Field::IP6_LABEL, Place::Label),
    (Field::IP6_SRC_HIGH, Place::Half(8)),
    (Field::IP6_SRC_LOW, Place::Half(16)),
    (Field::IP6_DST_HIGH, Place::Half(24)),
    (Field::IP6_DST_LOW, Place::Half(32)),
    (Field::TP_SRC, Place::Port(0)),
    (Field::TP_DST, Place::Port(1)),
    (Field::ARP_SHA, Place::Link(0)),
    (Field::ARP_THA, Place::Link(1)),
    (Field::ND_TARGET_HIGH, Place::Target(8)),
    (Field::ND_TARGET_LOW, Place::Target(16)),
    (Field::ND_RESERVED, Place::Reserved),
    (Field::MPLS_OUTER, Place::Mpls(0)),
    (Field::MPLS_SECOND, Place::Mpls(1)),
    (Field::MPLS_THIRD, Place::Mpls(2)),
    (Field::NSH_PATH, Place::NshPath),
    (Field::NSH_FLAGS, Place::NshFlags),
    (Field::NSH_TTL, Place::NshTtl),
    (Field::NSH_C12, Place::NshContext(8)),
    (Field::NSH_C34, Place::NshContext(16)),
];

impl Place {
    pub(super) fn of(field: Field) -> Option<Self> {
        let same =
            |(known, _): &&(Field, Self)| (known.word(), known.shift()) == (field.word(), field.shift());
        PLACES.iter().find(same).map(|(_, place)| *place)
    }
}

const IP4: u16 = 0x0800;
const IP6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const NSH: u16 = 0x894f;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;

/// A packet that is being written into, and what changed so far.
struct Writer<'a> {
    head: &'a mut [u8],
    layout: Layout,
    /// Of what the checksum of the IPv4 header covers.
    network: Delta,
    /// Of what the transport's checksum covers in its pseudo-header.
    pseudo: Delta,
    /// Of what it covers in the transport itself.
    transport: Delta,
}

impl Rewrite {
    /// Writes the packet's fields into a frame with this layout. Fields of layers that it does not have are left out.
    pub fn apply(&self, batch: &mut Batch, index: usize, layout: &Layout) {
        let ports = self.places.iter().any(|place| matches!(place, Place::Port(_)));
        if ports && layout.protocol == SCTP && layout.transport != 0 {
            return self.apply_sctp(batch, index, layout);
        }
        self.write(batch, index, layout);
    }

    fn write(&self, batch: &mut Batch, index: usize, layout: &Layout) {
        let offload = *batch.offload(index);
        let mut writer = Writer::new(batch, index, layout);
        for (place, write) in self.places.iter().zip(&self.packet) {
            writer.write(*place, write.value, write.mask);
        }
        let open = offload.partial && offload.start == layout.transport;
        writer.finish(open);
    }

    /// The checksum of SCTP covers every octet: what it was wrong by before, it is wrong by afterwards.
    #[cold]
    fn apply_sctp(&self, batch: &mut Batch, index: usize, layout: &Layout) {
        let at = usize::from(layout.transport);
        let before = sctp_checksum(batch, index, layout);
        self.write(batch, index, layout);
        let after = sctp_checksum(batch, index, layout);
        if let (Some(before), Some(after)) = (before, after)
            && let Some(field) = batch.head_mut(index).get_mut(at + 8..at + 12)
        {
            for (octet, (before, after)) in field.iter_mut().zip(before.into_iter().zip(after)) {
                *octet ^= before ^ after;
            }
        }
    }
}

/// The checksum that an SCTP packet should have, as it stands in the header (RFC 9260, 6.8); none for a fragment, whose
/// packet is not here as a whole.
fn sctp_checksum(batch: &Batch, index: usize, layout: &Layout) -> Option<[u8; 4]> {
    let (network, transport) = (usize::from(layout.network), usize::from(layout.transport));
    if layout.fragment != 0 {
        return None;
    }
    let head = batch.head(index);
    let two = |at: usize| Some(usize::from(u16::from_be_bytes(*head.get(at..)?.first_chunk()?)));
    let end = if layout.kind == IP4 { network + two(network + 2)? } else { network + 40 + two(network + 4)? };
    let end = end.min(batch.length(index));
    let (mut crc, mut from, mut piece) = (Crc32c::default(), transport, [0; 2048]);
    while from < end {
        let room = piece.len().min(end - from);
        let count = batch.copy(index, from, piece.get_mut(..room)?);
        if count == 0 {
            return None;
        }
        let mut octets = piece.get(..count)?;
        if from == transport {
            crc = crc.bytes(octets.get(..8)?).bytes(&[0; 4]);
            octets = octets.get(12..)?;
        }
        crc = crc.bytes(octets);
        from += count;
    }
    Some(crc.finish().to_le_bytes())
}

/// Writes the type of service (traffic class) of an IP packet with this layout.
pub fn write_tos(batch: &mut Batch, index: usize, layout: &Layout, tos: u8) {
    let mut writer = Writer::new(batch, index, layout);
    writer.write(Place::Tos, tos.into(), 0xff);
    // No transport has it in its checksum.
    writer.finish(false);
}

impl<'a> Writer<'a> {
    fn new(batch: &'a mut Batch, index: usize, layout: &Layout) -> Self {
        Self {
            head: batch.head_mut(index),
            layout: *layout,
            network: Delta::NONE,
            pseudo: Delta::NONE,
            transport: Delta::NONE,
        }
    }

    /// Writes bits of a word of 16 bits.
    #[inline]
    fn word(&mut self, at: usize, value: u16, mask: u16) -> Option<(u16, u16)> {
        let place: &mut [u8; 2] = self.head.get_mut(at..)?.first_chunk_mut()?;
        let old = u16::from_be_bytes(*place);
        let new = old & !mask | value & mask;
        *place = new.to_be_bytes();
        Some((old, new))
    }

    /// Writes the last `count` words of a number, the most significant first, and adds what changed to `delta`.
    #[inline]
    fn words(&mut self, at: usize, count: usize, (value, mask): (u64, u64), delta: Delta) -> Delta {
        let mut delta = delta;
        for word in 0..count {
            let shift = 16 * (count - 1 - word);
            let Some((old, new)) = self.word(at + 2 * word, (value >> shift) as u16, (mask >> shift) as u16)
            else {
                return delta;
            };
            if old != new {
                delta = delta.word(old, new);
            }
        }
        delta
    }

    /// The same where no checksum covers it.
    fn put(&mut self, at: usize, count: usize, pair: (u64, u64)) {
        self.words(at, count, pair, Delta::NONE);
    }

    fn network_words(&mut self, at: usize, count: usize, pair: (u64, u64)) {
        self.network = self.words(usize::from(self.layout.network) + at, count, pair, self.network);
    }

    fn transport_words(&mut self, at: usize, count: usize, pair: (u64, u64)) {
        self.transport = self.words(at, count, pair, self.transport);
    }

    #[inline]
    fn write(&mut self, place: Place, value: u64, mask: u64) {
        let Layout { ethernet, network, kind, .. } = self.layout;
        let (network, pair) = (usize::from(network), (value, mask));
        match place {
            Place::EthernetDestination if ethernet => self.put(0, 3, pair),
            Place::EthernetSource if ethernet => self.put(6, 3, pair),
            Place::Tpid if ethernet && self.tagged(12) => self.put(12, 1, pair),
            Place::Tci if ethernet && self.tagged(12) => self.put(14, 1, pair),
            Place::InnerTci if ethernet && self.tagged(12) && self.tagged(16) => {
                self.put(18, 1, pair);
            }
            Place::Mpls(number) if matches!(kind, 0x8847 | 0x8848) => {
                let before = (0..usize::from(number)).map(|above| self.head.get(network + 4 * above + 2));
                // Behind the bottom of the stack there is no entry.
                let inside = before.into_iter().all(|octet| octet.is_some_and(|octet| octet & 1 == 0));
                if inside {
                    self.put(network + 4 * usize::from(number), 2, pair);
                }
            }
            Place::NshPath if kind == NSH => self.put(network + 4, 2, pair),
            Place::NshFlags if kind == NSH => {
                self.word(network, (value as u16 & 3) << 12, (mask as u16 & 3) << 12);
            }
            Place::NshTtl if kind == NSH => {
                self.word(network, (value as u16 & 0x3f) << 6, (mask as u16 & 0x3f) << 6);
            }
            // Only type 1 has context headers.
            Place::NshContext(at)
                if kind == NSH && self.head.get(network + 2).is_some_and(|kind| kind & 15 == 1) =>
            {
                self.put(network + usize::from(at), 4, pair);
            }
            _ => match kind {
                IP4 => self.write4(place, pair),
                IP6 => self.write6(place, pair),
                ARP | RARP => self.write_arp(place, pair),
                _ => {}
            },
        }
    }

    fn tagged(&self, at: usize) -> bool {
        matches!(self.head.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8]))
    }

    fn write4(&mut self, place: Place, (value, mask): (u64, u64)) {
        match place {
            Place::Address(at) => {
                let from = usize::from(self.layout.network) + usize::from(at);
                let delta = self.words(from, 2, (value, mask), Delta::NONE);
                self.network = self.network.and(delta);
                self.pseudo = self.pseudo.and(delta);
            }
            Place::Tos => self.network_words(0, 1, (value & 0xff, mask & 0xff)),
            Place::Ttl => self.network_words(8, 1, (value << 8, mask << 8)),
            _ => self.write_transport(place, (value, mask)),
        }
    }

    fn write6(&mut self, place: Place, (value, mask): (u64, u64)) {
        let network = usize::from(self.layout.network);
        match place {
            Place::Half(at) => {
                let delta = self.words(network + usize::from(at), 4, (value, mask), Delta::NONE);
                // The pseudo-header has the final destination, which a routing header has in itself (RFC 8200, 8.1).
                if at < 24 || !self.is_routed() {
                    self.pseudo = self.pseudo.and(delta);
                }
            }
            Place::Tos => self.put(network, 1, ((value & 0xff) << 4, (mask & 0xff) << 4)),
            Place::Ttl => self.put(network + 6, 1, (value & 0xff, mask & 0xff)),
            Place::Label => {
                self.put(network, 2, (value & 0xf_ffff, mask & 0xf_ffff));
            }
            Place::Link(which) if self.layout.protocol == ICMP6 => {
                self.write_option(which + 1, (value, mask))
            }
            Place::Target(at) if self.neighbour().is_some_and(|kind| kind != 133) => {
                let at = usize::from(self.layout.transport) + usize::from(at);
                self.transport_words(at, 4, (value, mask));
            }
            Place::Reserved if self.neighbour().is_some_and(|kind| kind != 133) => {
                let at = usize::from(self.layout.transport) + 4;
                self.transport_words(at, 2, (value, mask));
            }
            _ => self.write_transport(place, (value, mask)),
        }
    }

    fn write_transport(&mut self, place: Place, (value, mask): (u64, u64)) {
        let at = usize::from(self.layout.transport);
        let Place::Port(which) = place else { return };
        if at == 0 {
            return;
        }
        match self.layout.protocol {
            TCP | UDP | SCTP => self.transport_words(at + 2 * usize::from(which), 1, (value, mask)),
            ICMP | ICMP6 => {
                let shift = if which == 0 { 8 } else { 0 };
                self.transport_words(at, 1, ((value & 0xff) << shift, (mask & 0xff) << shift));
            }
            _ => {}
        }
    }

    fn write_arp(&mut self, place: Place, pair: (u64, u64)) {
        let network = usize::from(self.layout.network);
        // Ethernet and IPv4 only, as the key has it.
        if self.head.get(network..network + 6) != Some(&[0, 1, 8, 0, 6, 4]) {
            return;
        }
        let (at, count) = match place {
            Place::Protocol => (6, 1),
            Place::Link(0) => (8, 3),
            Place::Address(12) => (14, 2),
            Place::Link(_) => (18, 3),
            Place::Address(_) => (24, 2),
            _ => return,
        };
        self.put(network + at, count, pair);
    }

    /// The type of a message of neighbour discovery that the key has fields of.
    fn neighbour(&self) -> Option<u8> {
        let at = usize::from(self.layout.transport);
        let message: [u8; 2] = *self.head.get(at..)?.first_chunk()?;
        let known = at != 0 && self.layout.protocol == ICMP6 && message[1] == 0;
        (known && matches!(message[0], 133 | 135 | 136)).then_some(message[0])
    }

    /// Writes the link-layer address of the first option of a kind.
    fn write_option(&mut self, wanted: u8, pair: (u64, u64)) {
        let Some(kind) = self.neighbour() else { return };
        let mut option = usize::from(self.layout.transport) + if kind == 133 { 8 } else { 24 };
        for _ in 0..8 {
            let Some(&[kind, size]) = self.head.get(option..).and_then(|rest| rest.first_chunk()) else {
                return;
            };
            if size == 0 {
                return;
            }
            if kind == wanted {
                if self.head.len() >= option + 8 {
                    self.transport_words(option + 2, 3, pair);
                }
                return;
            }
            option += usize::from(size) * 8;
        }
    }

    /// Whether a routing header has addresses still to come.
    #[cold]
    fn is_routed(&self) -> bool {
        let network = usize::from(self.layout.network);
        let (mut next, mut offset) = (self.head.get(network + 6).copied().unwrap_or(59), network + 40);
        for _ in 0..8 {
            let Some(&[after, size, _, left]) = self.head.get(offset..).and_then(|rest| rest.first_chunk())
            else {
                return false;
            };
            let size = match next {
                43 => return left > 0,
                0 | 60 => usize::from(size) * 8 + 8,
                44 => 8,
                51 => usize::from(size) * 4 + 8,
                _ => return false,
            };
            (next, offset) = (after, offset + size);
        }
        false
    }

    /// Makes the checksums right; `open` if the transport's was left to whoever sends.
    fn finish(&mut self, open: bool) {
        let Layout { network, transport, kind, protocol, fragment, .. } = self.layout;
        if !self.network.is_none() && kind == IP4 {
            self.checksum(usize::from(network) + 10, |old, writer| writer.network.apply(old));
        }
        // The header with the checksum is in the first fragment only; the sum is that of all.
        if self.pseudo.is_none() && self.transport.is_none() || transport == 0 || fragment > 1 {
            return;
        }
        let at = usize::from(transport);
        if open {
            // The field holds the sum of the pseudo-header, not its complement.
            let field = match protocol {
                TCP => 16,
                UDP => 6,
                ICMP6 => 2,
                _ => return,
            };
            return self.checksum(at + field, |old, writer| !writer.pseudo.apply(!old));
        }
        match protocol {
            TCP => self.checksum(at + 16, |old, writer| writer.pseudo.and(writer.transport).apply(old)),
            UDP => self.checksum(at + 6, |old, writer| writer.pseudo.and(writer.transport).apply_udp(old)),
            ICMP => self.checksum(at + 2, |old, writer| writer.transport.apply(old)),
            ICMP6 => self.checksum(at + 2, |old, writer| writer.pseudo.and(writer.transport).apply(old)),
            _ => {}
        }
    }

    fn checksum(&mut self, at: usize, update: impl Fn(u16, &Self) -> u16) {
        let Some(old) = self.head.get(at..).and_then(|rest| rest.first_chunk::<2>()) else { return };
        let new = update(u16::from_be_bytes(*old), self);
        if let Some(field) = self.head.get_mut(at..at + 2) {
            field.copy_from_slice(&new.to_be_bytes());
        }
    }
}
