//! Checksums that a sender left open, completed in software (RFC 1071).

use netloom_mem::{Batch, Offload};
use netloom_wire::checksum::Sum;

/// How many octets are summed at a time; even, so that words stay words.
const PIECE: usize = 2048;

/// Writes the checksum that the frame's offload leaves open, and takes the offload away. What is to be cut stays to be
/// cut. A checksum that lies outside the head stays open.
pub fn complete_checksum(batch: &mut Batch, index: usize) {
    let offload = *batch.offload(index);
    if !offload.partial {
        return;
    }
    let (start, place) =
        (usize::from(offload.start), usize::from(offload.start) + usize::from(offload.offset));
    if place + 2 > batch.head(index).len() && !batch.pull(index, place + 2) {
        return;
    }
    // The field holds the sum of the pseudo-header, so that it counts like everything else.
    let (mut from, mut sum, mut piece) = (start, Sum::ZERO, [0; PIECE]);
    loop {
        let count = batch.copy(index, from, &mut piece);
        sum = sum.bytes(&piece[..count]);
        from += count;
        if count < PIECE {
            break;
        }
    }
    // Zero means "none" to UDP; all ones is the same number.
    let value = sum.udp_checksum();
    if let Some(field) = batch.head_mut(index).get_mut(place..place + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
    *batch.offload_mut(index) = Offload { partial: false, start: 0, offset: 0, ..offload };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_over_everything_is_all_ones(
            octets in proptest::collection::vec(any::<u8>(), 2..5000), start in 0_usize..60, offset in 0_usize..20,
        ) {
            prop_assume!(start + offset * 2 + 2 <= octets.len());
            let mut batch = Batch::new();
            let offload =
                Offload { partial: true, start: start as u16, offset: offset as u16 * 2, ..Offload::NONE };
            batch.push(1, &octets, offload);
            complete_checksum(&mut batch, 0);
            prop_assert!(batch.offload(0).is_complete());
            // The field was part of the sum: what stood there is taken out of the oracle.
            let after = batch.octets(0);
            let mut oracle: u64 = 0;
            for (at, octet) in after[start..].iter().enumerate() {
                oracle += if at % 2 == 0 { u64::from(*octet) << 8 } else { u64::from(*octet) };
            }
            let place = start + offset * 2;
            oracle += u64::from(u16::from_be_bytes([octets[place], octets[place + 1]]));
            while oracle > 0xffff {
                oracle = (oracle & 0xffff) + (oracle >> 16);
            }
            prop_assert!(oracle == 0xffff || oracle == 0);
        }
    }
}
