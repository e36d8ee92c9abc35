//! MPLS label stack entries put before the network layer, and taken again (RFC 3032).

use crate::rewrite::Layout;
use netloom_mem::Batch;
use netloom_table::Field;

/// Octets of an entry.
const ENTRY: usize = 4;

/// Puts an entry before the network layer, or before the entries that are there; false without room. A packet without
/// Ethernet gets its EtherType beside it: `packet_type` is the caller's.
#[must_use]
pub fn push_mpls(batch: &mut Batch, index: usize, layout: &Layout, ethertype: u16, entry: u32) -> bool {
    let network = usize::from(layout.network);
    if batch.head(index).len() < network {
        return false;
    }
    let Some(head) = batch.grow(index, ENTRY) else { return false };
    head.copy_within(ENTRY..ENTRY + network, 0);
    if let Some(place) = head.get_mut(network..network + ENTRY) {
        place.copy_from_slice(&entry.to_be_bytes());
    }
    write_type(head, layout, ethertype);
    true
}

/// Takes the outer entry; nothing happens to a packet without one.
pub fn pop_mpls(batch: &mut Batch, index: usize, layout: &Layout, ethertype: u16) {
    let network = usize::from(layout.network);
    let head = batch.head_mut(index);
    if !matches!(layout.kind, 0x8847 | 0x8848) || head.len() < network + ENTRY {
        return;
    }
    write_type(head, layout, ethertype);
    head.copy_within(..network, ENTRY);
    batch.shrink(index, ENTRY);
}

/// The EtherType stands right before the network layer, also behind VLAN tags and in SNAP.
fn write_type(head: &mut [u8], layout: &Layout, ethertype: u16) {
    let network = usize::from(layout.network);
    if let Some(place) =
        network.checked_sub(2).and_then(|at| head.get_mut(at..network)).filter(|_| layout.ethernet)
    {
        place.copy_from_slice(&ethertype.to_be_bytes());
    }
}

/// What the packet type of a packet without Ethernet is with another EtherType.
#[must_use]
pub fn packet_type(ethertype: u16) -> u64 {
    // Name space 1: EtherTypes (OpenFlow 1.5.1, 7.2.3.11).
    (1 << 16 | u64::from(ethertype)) & Field::PACKET_TYPE.ones()
}
