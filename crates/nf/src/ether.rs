//! Ethernet headers put before packets that have none, and taken again.

use crate::rewrite::Layout;
use netloom_mem::Batch;

/// Octets of an Ethernet header without tags.
const HEADER: usize = 14;

/// Puts an Ethernet header before the packet; false without room.
#[must_use]
pub fn push_ethernet(
    batch: &mut Batch,
    index: usize,
    destination: [u8; 6],
    source: [u8; 6],
    ethertype: u16,
) -> bool {
    let Some(header) = batch.grow(index, HEADER).and_then(|head| head.first_chunk_mut::<HEADER>()) else {
        return false;
    };
    header[..6].copy_from_slice(&destination);
    header[6..12].copy_from_slice(&source);
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    true
}

/// Takes everything before the network layer; false if there is nothing.
#[must_use]
pub fn pop_ethernet(batch: &mut Batch, index: usize, layout: &Layout) -> bool {
    layout.ethernet && layout.network != 0 && batch.shrink(index, layout.network.into())
}
