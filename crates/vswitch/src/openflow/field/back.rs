//! The way back: a match out of a key and a mask.
//!
//! Costs: fields that lie in no word of the mask cost nothing.

use super::{SPACE, TlvMap, gather, parts, presence, read};
use netloom_proto::openflow::{FieldId, Match};
use netloom_table::{Field, Key, Mask};
use std::sync::LazyLock;

/// The match of a key and mask that [`to_key`](super::to_key) made.
#[must_use]
pub fn to_match(key: &Key, mask: &Mask, map: &TlvMap) -> Match {
    let mut matching = Match::any();
    // Ethernet is not added by itself to what says nothing about the packet type: that field comes early.
    for field in homes_within(mask) {
        if let Some(number) = field.as_tun_metadata() {
            if map.get(number).is_none() {
                continue;
            }
            let bits = gather(mask.words(), field, map);
            let is_there = mask.get(Field::TUN_OPTIONS) & presence(number) != 0 || !bits.is_zero();
            if is_there {
                matching.set_masked(field, &gather(key.words(), field, map), &bits);
            }
            continue;
        }
        let bits = gather(mask.words(), field, map);
        if bits.is_zero() {
            continue;
        }
        match field {
            FieldId::ACTSET_OUTPUT => matching.set(field, &read(key, field, map)),
            FieldId::IP_DSCP => matching.set(field, &gather(key.words(), field, map)),
            _ => matching.set_masked(field, &gather(key.words(), field, map), &bits),
        }
    }
    matching
}

/// The numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

/// A bit for each field.
type Fields = [u64; FieldId::COUNT.div_ceil(64)];

/// The fields that a mask can say something about, in order: most are in none of the words that a rule looks at.
fn homes_within(mask: &Mask) -> impl Iterator<Item = FieldId> {
    let mut fields = Fields::default();
    for word in bits(mask.used()) {
        fields.iter_mut().zip(&HOMES[word % WORDS]).for_each(|(fields, of)| *fields |= of);
    }
    let numbers =
        fields.into_iter().enumerate().flat_map(|(at, word)| bits(word).map(move |bit| at * 64 + bit));
    numbers.filter_map(FieldId::of_index)
}

/// Words of a key.
const WORDS: usize = 64;

/// For each word of the key the fields under which matches keep entries and that lie there. Options of tunnels lie in any of
/// the words for them, or in that which says which are there.
static HOMES: LazyLock<[Fields; WORDS]> = LazyLock::new(|| {
    let map = TlvMap::default();
    let mut homes = [Fields::default(); WORDS];
    for field in FieldId::all().filter(|field| is_home(*field)) {
        let (at, bit) = (field.index() / 64, 1 << (field.index() % 64));
        let mut add = |word: usize| homes[word % WORDS][at] |= bit;
        if field.as_tun_metadata().is_some() {
            add(Field::TUN_OPTIONS.word());
            (usize::from(SPACE)..WORDS).for_each(add);
        } else {
            parts(field, &map).iter().for_each(|part| add(usize::from(part.word)));
        }
    }
    homes
});

/// Whether a match keeps entries under this field ([`netloom_proto::openflow::matching`]).
fn is_home(field: FieldId) -> bool {
    field.as_xreg().is_none()
        && field.as_xxreg().is_none()
        && !matches!(
            field,
            FieldId::IN_PORT_OXM
                | FieldId::DL_VLAN
                | FieldId::VLAN_VID
                | FieldId::DL_VLAN_PCP
                | FieldId::VLAN_PCP
                | FieldId::IP_DSCP_SHIFTED
                | FieldId::ARP_OP
                | FieldId::ARP_SPA
                | FieldId::ARP_TPA
                | FieldId::ND_SLL
                | FieldId::ND_TLL
                | FieldId::UDP_SRC
                | FieldId::SCTP_SRC
                | FieldId::ICMPV4_TYPE
                | FieldId::ICMPV6_TYPE
                | FieldId::UDP_DST
                | FieldId::SCTP_DST
                | FieldId::ICMPV4_CODE
                | FieldId::ICMPV6_CODE
        )
}
