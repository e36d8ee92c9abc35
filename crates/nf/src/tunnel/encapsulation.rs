//! Headers that are put before packets in one go, from octets that were written once.

use super::{Outer, Shim};
use crate::complete_checksum;
use netloom_mem::{Batch, PortNumber};
use netloom_wire::checksum::{self, Delta, PseudoHeader, Sum};
use netloom_wire::{EtherType, IpProtocol};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// First of the source ports that tell flows apart (as Linux chooses them, `net.ipv4.ip_local_port_range`).
const FIRST_PORT: u32 = 32_768;
/// How many there are.
const PORTS: u32 = 28_232;
/// How many octets are summed at a time; even, so that words stay words.
const PIECE: usize = 2048;
/// Nanoseconds in a unit of the time of ERSPAN type III.
const UNIT: u64 = 100_000;
/// Transparent Ethernet bridging.
const ETHERNET: u16 = 0x6558;

/// Why headers can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncapsulationError {
    /// One end of the tunnel has an IPv4 address, the other an IPv6 address.
    #[error("the two ends of a tunnel have addresses of different families: {from} and {to}")]
    Families {
        /// Our end.
        from: IpAddr,
        /// The other end.
        to: IpAddr,
    },
    /// A number has more bits than its field.
    #[error("{value:#x} does not fit into {bits} bits of {field}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The number.
        value: u64,
        /// Bits of the field.
        bits: u32,
    },
    /// Geneve options are longer than 252 octets, or not whole words.
    #[error("{0} octets of Geneve options: there may be 252, in steps of 4")]
    Options(usize),
}

/// Headers that are put before a packet, written once.
#[derive(Debug, Clone)]
pub struct Encapsulation {
    outer: Outer,
    shim: Shim,
    /// All headers, with lengths, checksums and numbers of zero.
    header: Box<[u8]>,
    /// Where IP begins.
    network: usize,
    /// Where UDP or GRE begins.
    transport: usize,
    /// The IPv4 checksum with a length of zero.
    checksum: u16,
    /// What the checksum of UDP begins with: addresses and protocol.
    pseudo: Sum,
    /// Number of the next packet, for GRE with sequence numbers.
    sequence: Arc<AtomicU32>,
    /// The tunnel's port, where packets are counted, and the one that they leave by for the tunnel; 0 for none.
    tunnel: PortNumber,
    by: PortNumber,
}

// Two that write the same headers are equal; how far their numbers are is no part of that.
impl PartialEq for Encapsulation {
    fn eq(&self, other: &Self) -> bool {
        self.outer == other.outer && self.shim == other.shim && self.tunnel == other.tunnel
    }
}

impl Eq for Encapsulation {}

impl Hash for Encapsulation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.outer.hash(state);
        self.shim.hash(state);
        self.tunnel.hash(state);
    }
}

fn fits(field: &'static str, value: u64, bits: u32) -> Result<u64, EncapsulationError> {
    if value >> bits == 0 { Ok(value) } else { Err(EncapsulationError::TooLarge { field, value, bits }) }
}

impl Encapsulation {
    /// For these headers.
    ///
    /// # Errors
    /// [`EncapsulationError`]: what can't be written.
    pub fn new(outer: Outer, shim: Shim) -> Result<Self, EncapsulationError> {
        let mut header = Vec::with_capacity(96);
        header.extend(outer.to_mac.octets());
        header.extend(outer.from_mac.octets());
        if let Some(tag) = outer.tag {
            header.extend(EtherType::VLAN.0.to_be_bytes());
            header.extend(tag.to_be_bytes());
        }
        let protocol = if shim.is_gre() { IpProtocol::GRE } else { IpProtocol::UDP };
        let six = outer.to.is_ipv6();
        header.extend(if six { EtherType::IPV6.0 } else { EtherType::IPV4.0 }.to_be_bytes());
        let network = header.len();
        let pseudo = match (outer.from, outer.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let fragment: u16 = if outer.dont_fragment { 0x4000 } else { 0 };
                header.extend([0x45, outer.tos, 0, 0, 0, 0]);
                header.extend(fragment.to_be_bytes());
                header.extend([outer.ttl, protocol.0, 0, 0]);
                header.extend(from.octets());
                header.extend(to.octets());
                PseudoHeader::v4(from, to)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let label = fits("the flow label", outer.label.into(), 20)? as u32;
                header.extend((6 << 28 | u32::from(outer.tos) << 20 | label).to_be_bytes());
                header.extend([0, 0, protocol.0, outer.ttl]);
                header.extend(from.octets());
                header.extend(to.octets());
                PseudoHeader::v6(from, to)
            }
            (from, to) => return Err(EncapsulationError::Families { from, to }),
        };
        let transport = header.len();
        let checksum = if six { 0 } else { checksum::internet(header.get(network..).unwrap_or_default()) };
        shim.write(&mut header)?;
        let sequence = Arc::default();
        Ok(Self {
            outer,
            shim,
            header: header.into(),
            network,
            transport,
            checksum,
            pseudo: pseudo.sum(protocol, 0),
            sequence,
            tunnel: 0,
            by: 0,
        })
    }

    /// The same, with numbers that others count too.
    #[must_use]
    pub fn counted_by(mut self, sequence: Arc<AtomicU32>) -> Self {
        self.sequence = sequence;
        self
    }

    /// The same, as those of a tunnel's port, of packets that leave by another.
    #[must_use]
    pub const fn of_port(mut self, tunnel: PortNumber, by: PortNumber) -> Self {
        (self.tunnel, self.by) = (tunnel, by);
        self
    }

    /// The port that packets leave by; a bridge's own, where its tables say the rest of the way.
    #[must_use]
    pub const fn by(&self) -> PortNumber {
        self.by
    }

    /// The headers before a packet of so many octets, as tables see them: what each packet has of its own (source port, numbers,
    /// time) is zero.
    #[must_use]
    pub fn example(&self, octets: u16) -> Vec<u8> {
        let mut head = self.header.to_vec();
        let total = (head.len() - self.network) as u16 + octets;
        if self.outer.to.is_ipv6() {
            put(&mut head, self.network + 4, total - (self.transport - self.network) as u16);
        } else {
            put(&mut head, self.network + 2, total);
        }
        head
    }

    /// The tunnel's port, at which packets are counted; 0 for none.
    #[must_use]
    pub const fn tunnel(&self) -> PortNumber {
        self.tunnel
    }

    /// The outer headers, up to IP.
    #[must_use]
    pub const fn outer(&self) -> &Outer {
        &self.outer
    }

    /// What stands between them and the packet.
    #[must_use]
    pub const fn shim(&self) -> &Shim {
        &self.shim
    }

    /// Octets of all headers.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.header.len()
    }

    /// Puts the headers before a packet that is not to be cut any more; false without room (nothing happened then), or if
    /// the packet is longer than IP takes. `entropy` is a hash of the packet's flow, for the source port.
    #[must_use]
    pub fn put(&self, batch: &mut Batch, index: usize, entropy: u32, now: u64) -> bool {
        let size = self.header.len();
        let length = batch.length(index);
        let Ok(total) = u16::try_from(size - self.network + length) else { return false };
        let shown = Shown::of(batch.head(index));
        if self.shim.has_checksum(&self.outer) && batch.offload(index).partial {
            // The sum over everything must not miss what is still to be written.
            complete_checksum(batch, index);
        }
        let Some(head) = batch.grow(index, size).and_then(|head| head.get_mut(..size)) else { return false };
        head.copy_from_slice(&self.header);
        self.patch(head, total, entropy, (shown, now));
        if self.shim.has_checksum(&self.outer) {
            self.sum(batch, index);
        }
        true
    }

    /// Writes lengths and numbers.
    fn patch(&self, head: &mut [u8], total: u16, entropy: u32, (shown, now): (Shown, u64)) {
        let (network, transport) = (self.network, self.transport);
        let payload = total - (transport - network) as u16;
        if self.outer.to.is_ipv6() {
            put(head, network + 4, payload);
        } else {
            put(head, network + 2, total);
            put(head, network + 10, Delta::NONE.word(0, total).apply(self.checksum));
        }
        match &self.shim {
            Shim::Gre { key, sequence: true, checksum, .. } => {
                let at = transport + 4 + if *checksum { 4 } else { 0 } + if key.is_some() { 4 } else { 0 };
                self.number(head, at);
            }
            Shim::Gre { .. } => {}
            Shim::ErspanII { session, .. } => {
                self.number(head, transport + 4);
                put(head, transport + 8, 1 << 12 | shown.vlan);
                // 3: the tag is still in the frame.
                let kept = if shown.tagged { 3 << 11 } else { 0 };
                put(head, transport + 10, shown.priority << 13 | kept | session & 0x3ff);
            }
            Shim::ErspanIII { session, .. } => {
                self.number(head, transport + 4);
                put(head, transport + 8, 2 << 12 | shown.vlan);
                put(head, transport + 10, shown.priority << 13 | session & 0x3ff);
                let time = (now / UNIT) as u32;
                put(head, transport + 12, (time >> 16) as u16);
                put(head, transport + 14, time as u16);
            }
            _ => {
                put(
                    head,
                    transport,
                    (FIRST_PORT + ((u64::from(entropy) * u64::from(PORTS)) >> 32) as u32) as u16,
                );
                put(head, transport + 4, payload);
            }
        }
    }

    fn number(&self, head: &mut [u8], at: usize) {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        put(head, at, (number >> 16) as u16);
        put(head, at + 2, number as u16);
    }

    /// Writes the checksum of UDP or GRE, over everything that follows.
    fn sum(&self, batch: &mut Batch, index: usize) {
        let udp = !self.shim.is_gre();
        let mut sum = if udp {
            self.pseudo.double_word((batch.length(index) - self.transport) as u32)
        } else {
            Sum::ZERO
        };
        let (mut from, mut piece) = (self.transport, [0; PIECE]);
        loop {
            let count = batch.copy(index, from, &mut piece);
            sum = sum.bytes(&piece[..count]);
            from += count;
            if count < PIECE {
                break;
            }
        }
        let (at, value) =
            if udp { (self.transport + 6, sum.udp_checksum()) } else { (self.transport + 4, sum.checksum()) };
        put(batch.head_mut(index), at, value);
    }
}

/// Two octets at an offset, if they are there.
fn put(octets: &mut [u8], at: usize, value: u16) {
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// What ERSPAN shows of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    tagged: bool,
    vlan: u16,
    priority: u16,
}

impl Shown {
    fn of(frame: &[u8]) -> Self {
        match frame.get(12..16) {
            Some(&[0x81, 0, high, low] | &[0x88, 0xa8, high, low]) => {
                let tci = u16::from_be_bytes([high, low]);
                Self { tagged: true, vlan: tci & 0xfff, priority: tci >> 13 }
            }
            _ => Self::default(),
        }
    }
}

impl Shim {
    /// Whether it stands in GRE, and not in UDP.
    #[must_use]
    pub const fn is_gre(&self) -> bool {
        matches!(self, Self::Gre { .. } | Self::ErspanII { .. } | Self::ErspanIII { .. })
    }

    /// UDP over IPv6 has a checksum unless both ends agreed otherwise (RFC 8200, 8.1).
    const fn has_checksum(&self, outer: &Outer) -> bool {
        match self {
            Self::Vxlan { checksum, .. }
            | Self::VxlanGpe { checksum, .. }
            | Self::Geneve { checksum, .. } => *checksum || outer.to.is_ipv6(),
            Self::Gre { checksum, .. } => *checksum,
            Self::ErspanII { .. } | Self::ErspanIII { .. } => false,
        }
    }

    fn write(&self, header: &mut Vec<u8>) -> Result<(), EncapsulationError> {
        let vni = |vni: &u32| Ok::<_, EncapsulationError>((fits("the VNI", (*vni).into(), 24)? as u32) << 8);
        if let Self::Vxlan { port, .. } | Self::VxlanGpe { port, .. } | Self::Geneve { port, .. } = self {
            header.extend([0, 0]);
            header.extend(port.to_be_bytes());
            header.extend([0; 4]);
        }
        match self {
            Self::Vxlan { vni: number, gbp, .. } => {
                // Flags I, and G with the group; D and A stand in the second octet as in `tun_gbp_flags`.
                let (group, flags) = gbp.unwrap_or_default();
                header.extend([if gbp.is_some() { 0x88 } else { 0x08 }, flags & 0x48]);
                header.extend(group.to_be_bytes());
                header.extend(vni(number)?.to_be_bytes());
            }
            Self::VxlanGpe { vni: number, next, .. } => {
                header.extend([0x0c, 0, 0, *next]);
                header.extend(vni(number)?.to_be_bytes());
            }
            Self::Geneve { vni: number, protocol, control, options, .. } => {
                if options.len() > 252 || !options.len().is_multiple_of(4) {
                    return Err(EncapsulationError::Options(options.len()));
                }
                let critical = if super::has_critical(options) { 0x40 } else { 0 };
                header.extend([(options.len() / 4) as u8, if *control { 0x80 } else { 0 } | critical]);
                header.extend(protocol.to_be_bytes());
                header.extend(vni(number)?.to_be_bytes());
                header.extend(options);
            }
            Self::Gre { protocol, key, sequence, checksum } => {
                let flag = |is: bool, bit: u16| if is { bit } else { 0 };
                let flags = flag(*checksum, 0x8000) | flag(key.is_some(), 0x2000) | flag(*sequence, 0x1000);
                header.extend(flags.to_be_bytes());
                header.extend(protocol.to_be_bytes());
                header.extend([0; 4].iter().filter(|_| *checksum));
                header.extend(key.iter().flat_map(|key| key.to_be_bytes()));
                header.extend([0; 4].iter().filter(|_| *sequence));
            }
            Self::ErspanII { session, index } => {
                fits("the ERSPAN session", (*session).into(), 10)?;
                header.extend([0x10, 0, 0x88, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0]);
                header.extend((fits("the ERSPAN index", (*index).into(), 20)? as u32).to_be_bytes());
            }
            Self::ErspanIII { session, hardware, egress } => {
                fits("the ERSPAN session", (*session).into(), 10)?;
                fits("the ERSPAN engine", (*hardware).into(), 6)?;
                header.extend([0x10, 0, 0x22, 0xeb, 0, 0, 0, 0]);
                // Version, session and time come with the packet; no security group. An Ethernet frame (P), the engine,
                // the direction, time in units of 100 µs.
                header.extend([0; 10]);
                let last = 0x8000 | u16::from(*hardware) << 4 | if *egress { 8 } else { 0 };
                header.extend(last.to_be_bytes());
            }
        }
        Ok(())
    }

    /// The packet type of what a packet must be to go into it: 0 for Ethernet.
    #[must_use]
    pub const fn packet_type(&self) -> u32 {
        match self {
            Self::Gre { protocol, .. } | Self::Geneve { protocol, .. } => match *protocol {
                ETHERNET => 0,
                protocol => 1 << 16 | protocol as u32,
            },
            Self::VxlanGpe { next, .. } => match *next {
                1 => 1 << 16 | 0x0800,
                2 => 1 << 16 | 0x86dd,
                4 => 1 << 16 | 0x894f,
                5 => 1 << 16 | 0x8847,
                _ => 0,
            },
            _ => 0,
        }
    }
}
