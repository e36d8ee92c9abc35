//! In which order the layers of a packet are compared, and which fields have prefix trees.
//!
//! The stages are those of Open vSwitch (`FLOW_SEGMENT_*` in its `flow.h`), so that the masks of both agree: metadata,
//! Ethernet with VLANs and MPLS, network, the rest.

use crate::key::{Field, Key, Mask, bits};

/// Number of stages.
pub(super) const STAGES: usize = 4;

const fn at(field: Field) -> u64 {
    field.ones() << field.shift()
}

/// The bits of a word that belong to each stage.
const fn split(word: usize) -> [u64; STAGES] {
    const ALL: u64 = u64::MAX;
    match word {
        1 | 3 | 24 => [0, ALL, 0, 0],
        2 => [0, at(Field::ETH_SRC), !at(Field::ETH_SRC), 0],
        25 => [0, at(Field::MPLS_THIRD), 0, !at(Field::MPLS_THIRD)],
        4 | 8..=12 | 40 | 42..=45 => [0, 0, ALL, 0],
        5 => {
            let network = at(Field::IP_TOS) | at(Field::IP_TTL);
            [0, 0, network, !network]
        }
        41 => [at(Field::TUN_OPTIONS), 0, 0, !at(Field::TUN_OPTIONS)],
        20..=23 | 26..=28 => [0, 0, 0, ALL],
        _ => [ALL, 0, 0, 0],
    }
}

/// The words of a mask in the order in which they are compared, and behind how many of them each stage ends.
pub(super) fn order(mask: &Mask) -> (Box<[(u64, u8)]>, [u8; STAGES]) {
    let mut words = Vec::new();
    let mut ends = [0; STAGES];
    for (stage, end) in ends.iter_mut().enumerate() {
        for word in bits(mask.used()) {
            let part = mask.words()[word] & split(word)[stage];
            if part != 0 {
                words.push((part, word as u8));
            }
        }
        *end = words.len() as u8;
    }
    (words.into(), ends)
}

/// A field that can have a prefix tree, as the column `prefixes` of the table Flow_Table names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// `nw_src`.
    Ip4Source,
    /// `nw_dst`.
    Ip4Destination,
    /// `ipv6_src`.
    Ip6Source,
    /// `ipv6_dst`.
    Ip6Destination,
    /// `tun_id`.
    TunnelId,
    /// `tun_src`.
    Tunnel4Source,
    /// `tun_dst`.
    Tunnel4Destination,
    /// `tun_ipv6_src`.
    Tunnel6Source,
    /// `tun_ipv6_dst`.
    Tunnel6Destination,
}

impl Prefix {
    /// Its words or halves, the most significant first.
    const fn fields(self) -> &'static [Field] {
        match self {
            Self::Ip4Source => &[Field::IP4_SRC],
            Self::Ip4Destination => &[Field::IP4_DST],
            Self::Ip6Source => &[Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW],
            Self::Ip6Destination => &[Field::IP6_DST_HIGH, Field::IP6_DST_LOW],
            Self::TunnelId => &[Field::TUN_ID],
            Self::Tunnel4Source => &[Field::TUN_SRC],
            Self::Tunnel4Destination => &[Field::TUN_DST],
            Self::Tunnel6Source => &[Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW],
            Self::Tunnel6Destination => &[Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW],
        }
    }

    /// The stage in which it is compared.
    pub(super) const fn stage(self) -> usize {
        match self {
            Self::Ip4Source | Self::Ip4Destination | Self::Ip6Source | Self::Ip6Destination => 2,
            _ => 0,
        }
    }

    /// Its number of bits.
    pub(super) fn bits(self) -> u8 {
        self.fields().iter().map(|field| field.bits() as u8).sum()
    }

    fn gather(self, get: impl Fn(Field) -> u64) -> u128 {
        let value =
            self.fields().iter().fold(0_u128, |value, field| value << field.bits() | u128::from(get(*field)));
        value << (128 - u32::from(self.bits()))
    }

    /// Its value, first bit most significant.
    pub(super) fn value(self, key: &Key) -> u128 {
        self.gather(|field| key.get(field))
    }

    /// The length of the prefix that a mask makes of it; 0 if it makes none.
    pub(super) fn length(self, mask: &Mask) -> u8 {
        let mask = self.gather(|field| mask.get(field));
        let length = mask.leading_ones() as u8;
        if u32::from(length) == mask.count_ones() { length } else { 0 }
    }

    /// Whether its first `length` bits matter already.
    pub(super) fn is_looked_at(self, mask: &Mask, length: u8) -> bool {
        self.gather(|field| mask.get(field)).leading_ones() as u8 >= length
    }

    /// Makes its first `length` bits matter.
    pub(super) fn look(self, mask: &mut Mask, length: u8) {
        let mut left = u32::from(length);
        for field in self.fields() {
            let own = left.min(field.bits());
            left -= own;
            if own > 0 {
                mask.add_bits(*field, field.ones() & !(field.ones().checked_shr(own).unwrap_or(0)));
            }
        }
    }
}
