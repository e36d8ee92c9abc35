//! Hashes of flows: `dp_hash` of select groups, source ports of tunnels.

use crate::HashBy;
use crate::action::Hashing;
use netloom_table::{Field, Key};

/// Spreads the bits of a word (the finalizer of MurmurHash3).
pub(crate) const fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

/// A hash of the packet's fields; never zero, which stands for "none yet".
#[must_use]
pub fn dp_hash(hashing: Hashing, key: &Key) -> u32 {
    let hash =
        if hashing.symmetric { both_ways(hashing.by, key) } else { crate::balance::hash(hashing.by, key) };
    (mix(hash ^ u64::from(hashing.basis)) as u32).max(1)
}

/// The same for both directions of a connection.
fn both_ways(by: HashBy, key: &Key) -> u64 {
    let pair = |one: Field, other: Field| mix(key.get(one)).wrapping_add(mix(key.get(other)));
    let kind = key.get(Field::ETH_TYPE);
    let ip = kind == 0x0800 || kind == 0x86dd;
    let mut hash = mix(kind);
    if !ip || by != HashBy::L34 {
        hash = mix(hash ^ pair(Field::ETH_SRC, Field::ETH_DST) ^ (key.get(Field::VLAN_TCI) & 0xfff));
    }
    if !ip || matches!(by, HashBy::Source | HashBy::L2) {
        return hash;
    }
    if kind == 0x0800 {
        hash = mix(hash ^ pair(Field::IP4_SRC, Field::IP4_DST));
    } else {
        hash = mix(hash ^ pair(Field::IP6_SRC_HIGH, Field::IP6_DST_HIGH));
        hash = mix(hash ^ pair(Field::IP6_SRC_LOW, Field::IP6_DST_LOW));
    }
    let protocol = key.get(Field::IP_PROTO);
    // Later fragments have no ports; types of ICMP have no direction.
    if by == HashBy::L34 && key.get(Field::IP_FRAG) == 0 && matches!(protocol, 6 | 17 | 132) {
        hash = mix(hash ^ pair(Field::TP_SRC, Field::TP_DST) ^ protocol);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_directions_have_one_hash(
            macs in any::<(u32, u32)>(), addresses in any::<(u32, u32)>(), ports in any::<(u16, u16)>(),
            by in proptest::sample::select(HashBy::ALL.map(|(by, _)| by).to_vec()), basis: u32,
        ) {
            let key = |macs: (u32, u32), addresses: (u32, u32), ports: (u16, u16)| {
                let mut key = Key::default();
                let fields = [
                    (Field::ETH_TYPE, 0x0800), (Field::IP_PROTO, 17),
                    (Field::ETH_SRC, macs.0.into()), (Field::ETH_DST, macs.1.into()),
                    (Field::IP4_SRC, addresses.0.into()), (Field::IP4_DST, addresses.1.into()),
                    (Field::TP_SRC, ports.0.into()), (Field::TP_DST, ports.1.into()),
                ];
                fields.into_iter().for_each(|(field, value): (_, u64)| key.set(field, value));
                key
            };
            let swap = |pair: (u32, u32)| (pair.1, pair.0);
            let hashing = Hashing { by, symmetric: true, basis };
            let one = dp_hash(hashing, &key(macs, addresses, ports));
            let back = dp_hash(hashing, &key(swap(macs), swap(addresses), (ports.1, ports.0)));
            prop_assert!(one == back && one != 0);
        }
    }
}
