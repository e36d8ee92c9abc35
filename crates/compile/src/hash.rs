//! Stable hashes, short tags and the natural order of names.
//!
//! Invariants: the same text gives the same hash in every version of the program: names and MAC
//! addresses in running networks depend on it. Not for security: names are no secrets.

use std::cmp::Ordering;

/// A 64-bit hash of the parts; `["a", "bc"]` and `["ab", "c"]` differ. FNV-1a with the finalizer of
/// SplitMix64, which spreads FNV's weak upper bits.
pub(crate) fn stable(parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // 0xff occurs in no UTF-8 text, so it separates the parts.
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Five letters and digits (25 bits) of a hash, for names that people read.
pub(crate) fn tag(hash: u64) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..5).map(|at| char::from(ALPHABET[(hash >> (at * 5)) as usize & 31])).collect()
}

/// The order in which people count: `web-2` before `web-10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (digits_left, digits_right) = (digits(left), digits(right));
        let order = if digits_left > 0 && digits_right > 0 {
            let (number_left, number_right) = (&left[..digits_left], &right[..digits_right]);
            let (trimmed_left, trimmed_right) =
                (number_left.trim_start_matches('0'), number_right.trim_start_matches('0'));
            (left, right) = (&left[digits_left..], &right[digits_right..]);
            trimmed_left.len().cmp(&trimmed_right.len()).then_with(|| trimmed_left.cmp(trimmed_right))
        } else {
            match (left.chars().next(), right.chars().next()) {
                (None, None) => return a.cmp(b),
                (Some(c), Some(d)) => {
                    (left, right) = (&left[c.len_utf8()..], &right[d.len_utf8()..]);
                    c.cmp(&d)
                }
                (c, d) => c.cmp(&d),
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_count_like_this() {
        let mut names = ["web-10", "web-2", "web", "db", "web-02", "web-1a", "web-1"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["db", "web", "web-1", "web-1a", "web-02", "web-2", "web-10"]);
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(stable(&["shop", "web", "eth0"]), stable(&["shop", "web", "eth0"]));
        assert_ne!(stable(&["a", "bc"]), stable(&["ab", "c"]));
        assert_eq!(tag(stable(&["shop", "web"])), GOLDEN_TAG);
    }

    /// Written down once: running networks carry such names.
    const GOLDEN_TAG: &str = "my5gi";

    proptest! {
        #[test]
        fn natural_is_a_total_order(a in "[a1-]{0,6}", b in "[a01-]{0,6}", c in "[a01-]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
            if natural(&a, &b) != Ordering::Greater && natural(&b, &c) != Ordering::Greater {
                prop_assert_ne!(natural(&a, &c), Ordering::Greater);
            }
        }
    }
}
