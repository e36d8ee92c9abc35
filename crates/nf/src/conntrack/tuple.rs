//! What tells a connection from others: addresses, ports, protocol, zone; and its keyed hash.
//!
//! Invariants: a tuple and its reverse have the same hash, so that one place in an index serves both directions of a
//! connection that is not translated. The hash depends on secrets that senders do not know.

use super::packet::ip;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tuple {
    /// Source address; the low 32 bits of an IPv4 packet's.
    pub(super) source: u128,
    pub(super) destination: u128,
    /// Source port; the identifier of an ICMP query; 0 for other protocols.
    pub(super) source_port: u16,
    /// Destination port; type and code of an ICMP query.
    pub(super) destination_port: u16,
    pub(super) zone: u16,
    pub(super) protocol: u8,
    pub(super) six: bool,
}

/// A hash: its low half places a connection in its shard, its high half chooses the shard.
pub(super) type Hash = u64;

/// Secrets of the hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets([u64; 4]);

impl Secrets {
    /// From a seed, by SplitMix64.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        }))
    }
}

/// The high and low halves of a product of two secret numbers, so that every bit in counts for every bit out.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64
}

/// The other type of a query and its answer; `None` when it is neither.
pub(super) const fn answer_of(kind: u8, six: bool) -> Option<u8> {
    match (kind, six) {
        (8, false) => Some(0),
        (0, false) => Some(8),
        (13, false) => Some(14),
        (14, false) => Some(13),
        (15, false) => Some(16),
        (16, false) => Some(15),
        (128, true) => Some(129),
        (129, true) => Some(128),
        _ => None,
    }
}

impl Tuple {
    /// Of nothing.
    pub(super) const EMPTY: Self = Self {
        source: 0,
        destination: 0,
        source_port: 0,
        destination_port: 0,
        zone: 0,
        protocol: 0,
        six: false,
    };

    /// Whether it is of ICMP queries.
    #[inline]
    pub(super) const fn is_icmp(&self) -> bool {
        self.protocol == if self.six { ip::ICMP6 } else { ip::ICMP }
    }

    /// The type of an ICMP query.
    #[inline]
    pub(super) const fn icmp_type(&self) -> u8 {
        (self.destination_port >> 8) as u8
    }

    /// Whether translation may change its ports.
    #[inline]
    pub(super) const fn has_ports(&self) -> bool {
        matches!(self.protocol, ip::TCP | ip::UDP)
    }

    /// The other direction.
    #[inline]
    #[must_use]
    pub(super) fn reversed(&self) -> Self {
        let (source_port, destination_port) = if self.is_icmp() {
            let kind = answer_of(self.icmp_type(), self.six).unwrap_or(self.icmp_type());
            (self.source_port, u16::from(kind) << 8 | self.destination_port & 0xff)
        } else {
            (self.destination_port, self.source_port)
        };
        Self { source: self.destination, destination: self.source, source_port, destination_port, ..*self }
    }

    /// The same for both directions.
    #[inline]
    pub(super) fn hash(&self, secrets: &Secrets) -> Hash {
        let Secrets([first, second, third, fourth]) = *secrets;
        let mut common = u64::from(self.zone) << 16 | u64::from(self.protocol) << 8 | u64::from(self.six);
        if !self.six && self.protocol != ip::ICMP {
            let one = (self.source as u64) << 16 | u64::from(self.source_port);
            let other = (self.destination as u64) << 16 | u64::from(self.destination_port);
            let (low, high) = (one.min(other), one.max(other));
            let (addresses, ports) = ((low >> 16) << 32 | high >> 16, (low & 0xffff) << 16 | high & 0xffff);
            return fold(fold(addresses ^ first, ports << 32 ^ common ^ second) ^ third, addresses ^ fourth);
        }
        let (mut source_port, mut destination_port) = (self.source_port, self.destination_port);
        if self.is_icmp() {
            // Queries and answers of one kind have neighbouring types.
            let kind = self.icmp_type();
            let kind = kind.min(answer_of(kind, self.six).unwrap_or(kind));
            common |= u64::from(self.source_port) << 48 | u64::from(kind) << 32;
            (source_port, destination_port) = (0, 0);
        }
        let forward = (self.source, source_port) <= (self.destination, destination_port);
        let (low, high, ports) = if forward {
            (self.source, self.destination, u64::from(source_port) << 16 | u64::from(destination_port))
        } else {
            (self.destination, self.source, u64::from(destination_port) << 16 | u64::from(source_port))
        };
        if self.six {
            let one = fold(low as u64 ^ first, (low >> 64) as u64 ^ second);
            let two = fold(high as u64 ^ third, (high >> 64) as u64 ^ fourth);
            let three = fold(ports << 32 ^ common ^ one, two ^ second);
            return fold(three ^ first, common ^ fourth);
        }
        let addresses = (low as u64) << 32 | high as u64;
        // ICMP has no ports here, and its identifier stands where they would be.
        fold(fold(addresses ^ first, ports << 32 ^ common ^ second) ^ third, addresses ^ fourth)
    }

    /// An address as it is written.
    pub(super) const fn address(&self, of: u128) -> IpAddr {
        if self.six {
            IpAddr::V6(Ipv6Addr::from_bits(of))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(of as u32))
        }
    }

    /// Source and destination port as the original tuple shows them: type and code of ICMP.
    pub(super) const fn shown_ports(&self) -> (u16, u16) {
        if self.is_icmp() {
            (self.destination_port >> 8, self.destination_port & 0xff)
        } else {
            (self.source_port, self.destination_port)
        }
    }
}
