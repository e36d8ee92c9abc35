//! Handles, priorities and the fixed header of every tc message (`struct tcmsg`, linux/rtnetlink.h).

use super::piece::Layer;
use netloom_compile::object::shaper::ROOT_MAJOR;

/// Length of `struct tcmsg`.
pub(super) const HEADER: usize = 20;
/// `TC_H_ROOT`: the parent of a root discipline.
pub(super) const ROOT: u32 = 0xffff_ffff;
/// `TC_H_INGRESS`: the parent of the ingress discipline, and the handle that it always has.
pub(super) const INGRESS: u32 = 0xffff_fff1;
pub(super) const INGRESS_HANDLE: u32 = 0xffff_0000;
/// Where filters for arriving packets hang, in `ingress` and in `clsact` (`TC_H_MIN_INGRESS`).
pub(super) const INGRESS_FILTERS: u32 = 0xffff_fff2;
/// The handle of Netloom's root discipline.
pub(super) const OUR_ROOT: u32 = (ROOT_MAJOR as u32) << 16;

/// Where a filter hangs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    pub(super) parent: u32,
}

pub(super) fn header(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; HEADER] {
    let mut octets = [0; HEADER];
    for (at, value) in [(4, ifindex), (8, handle), (12, parent), (16, info)] {
        octets[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    octets
}

/// The header of a filter: priority in the upper half, protocol in network order in the lower.
pub(super) fn filter_header(place: Place, handle: u32, priority: u16, protocol: u16) -> [u8; HEADER] {
    header(place.ifindex, handle, place.parent, u32::from(priority) << 16 | u32::from(protocol.to_be()))
}

/// The priority of a match's filters: the kernel tries small ones first, and wants another for each
/// protocol, so that each match has two.
pub(super) fn priority(index: usize, layer: Layer) -> u16 {
    let first = u16::try_from(2 * index + 1).unwrap_or(u16::MAX - 1);
    first + u16::from(layer == Layer::V6)
}

/// The match that a priority belongs to.
pub(super) fn index(priority: u16) -> usize {
    usize::from(priority.saturating_sub(1) / 2)
}

/// The handle of the discipline in a class: the class's own number as the major, as is usual.
pub(super) const fn child_handle(class: u16) -> u32 {
    (class as u32) << 16
}
