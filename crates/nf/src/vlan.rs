//! VLAN tags, put before and taken from a frame in place (IEEE 802.1Q, 9.3).

use netloom_mem::Batch;

/// Octets of the two Ethernet addresses.
const ADDRESSES: usize = 12;
/// Octets of a tag.
const TAG: usize = 4;

/// Whether the frame has a VLAN tag.
#[inline]
fn tagged(head: &[u8]) -> bool {
    matches!(head.get(ADDRESSES..ADDRESSES + 2), Some([0x81, 0] | [0x88, 0xa8]))
}

/// Puts a tag in front of the others; false without room.
#[must_use]
pub fn push_vlan(batch: &mut Batch, index: usize, tpid: u16, tci: u16) -> bool {
    if batch.head(index).len() < ADDRESSES {
        return false;
    }
    let Some(head) = batch.grow(index, TAG) else { return false };
    head.copy_within(TAG..TAG + ADDRESSES, 0);
    if let Some(tag) = head.get_mut(ADDRESSES..ADDRESSES + TAG) {
        tag[..2].copy_from_slice(&tpid.to_be_bytes());
        tag[2..].copy_from_slice(&tci.to_be_bytes());
    }
    true
}

/// Takes the outer tag; false if there is none.
#[must_use]
pub fn pop_vlan(batch: &mut Batch, index: usize) -> bool {
    let head = batch.head_mut(index);
    if !tagged(head) || head.len() < ADDRESSES + TAG {
        return false;
    }
    head.copy_within(..ADDRESSES, TAG);
    batch.shrink(index, TAG)
}

/// Writes the outer tag; false if there is none.
#[must_use]
pub fn set_vlan(batch: &mut Batch, index: usize, tci: u16) -> bool {
    let head = batch.head_mut(index);
    if !tagged(head) {
        return false;
    }
    match head.get_mut(ADDRESSES + 2..ADDRESSES + TAG) {
        Some(place) => {
            place.copy_from_slice(&tci.to_be_bytes());
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_mem::Offload;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pushed_tag_is_where_it_belongs_and_pops_off(
            frame in proptest::collection::vec(any::<u8>(), 12..600),
            tags in proptest::collection::vec((prop_oneof![Just(0x8100_u16), Just(0x88a8)], any::<u16>()), 0..5),
        ) {
            let mut batch = Batch::new();
            batch.push(1, &frame, Offload { partial: true, start: 14, ..Offload::NONE });
            let mut oracle = frame.clone();
            for (tpid, tci) in &tags {
                prop_assert!(push_vlan(&mut batch, 0, *tpid, 0));
                prop_assert!(set_vlan(&mut batch, 0, *tci));
                let tag = [tpid.to_be_bytes(), tci.to_be_bytes()].concat();
                oracle.splice(12..12, tag);
                prop_assert_eq!(&batch.octets(0), &oracle);
            }
            prop_assert_eq!(usize::from(batch.offload(0).start), 14 + 4 * tags.len());
            for _ in &tags {
                prop_assert!(pop_vlan(&mut batch, 0));
            }
            prop_assert_eq!(&batch.octets(0), &frame);
        }

        #[test]
        fn short_frames_are_refused(frame in proptest::collection::vec(any::<u8>(), 0..18)) {
            let mut batch = Batch::new();
            batch.push(1, &frame, Offload::NONE);
            prop_assert_eq!(push_vlan(&mut batch, 0, 0x8100, 1), frame.len() >= 12);
            if frame.len() < 12 {
                prop_assert!(!pop_vlan(&mut batch, 0) && !set_vlan(&mut batch, 0, 1));
            }
        }
    }
}
