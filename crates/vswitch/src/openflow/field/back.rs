//! The way back: a match out of a key and a mask.
//!
//! Costs: fields that lie in no word of the mask cost a comparison each.

use super::{TlvMap, gather, parts, presence, read};
use netloom_proto::openflow::{FieldId, Match};
use netloom_table::{Field, Key, Mask};
use std::sync::LazyLock;

/// The match of a key and mask that [`to_key`](super::to_key) made.
#[must_use]
pub fn to_match(key: &Key, mask: &Mask, map: &TlvMap) -> Match {
    let mut matching = Match::any();
    // Ethernet is not added by itself to what says nothing about the packet type: that field comes early.
    for (field, words) in &*HOMES {
        let field = *field;
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
        // Most fields are in none of the words that a rule looks at.
        if words & mask.used() == 0 {
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

/// Fields under which matches keep entries, with a bit for each word of the key in which they are. Where mapped options are
/// the map says.
static HOMES: LazyLock<Box<[(FieldId, u64)]>> = LazyLock::new(|| {
    let map = TlvMap::default();
    let words = |field| parts(field, &map).iter().fold(0, |words, part| words | 1_u64 << (part.word % 64));
    FieldId::all().filter(|field| is_home(*field)).map(|field| (field, words(field))).collect()
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
