//! Questions for members, as frames without a VLAN tag: IGMPv3 (RFC 3376, 4.1) and MLDv2 (RFC 3810, 5.1).

use super::{Place, ROBUSTNESS, SECOND};
use netloom_wire::MacAddr;
use netloom_wire::checksum::{PseudoHeader, internet};
use netloom_wire::header::multicast_record::Sources;
use netloom_wire::header::{icmpv6, igmp, mld};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The largest time that is written as itself.
const LARGEST_CODE: u64 = 127;

/// The link-local address that follows from a MAC address (RFC 4291, appendix A).
pub(super) fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets();
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Who listens to anything?
pub(super) fn general(place: &Place<'_>, v6: bool, response: u64) -> Vec<u8> {
    if v6 { ip6(place, Ipv6Addr::UNSPECIFIED, response) } else { ip4(place, Ipv4Addr::UNSPECIFIED, response) }
}

/// Who listens to this group?
pub(super) fn of(place: &Place<'_>, group: Option<IpAddr>, response: u64) -> Vec<u8> {
    match group {
        Some(IpAddr::V6(group)) => ip6(place, group, response),
        Some(IpAddr::V4(group)) => ip4(place, group, response),
        None => Vec::new(),
    }
}

fn interval(place: &Place<'_>) -> u8 {
    (place.options.interval / SECOND).clamp(1, LARGEST_CODE) as u8
}

fn ip4(place: &Place<'_>, group: Ipv4Addr, response: u64) -> Vec<u8> {
    let to = if group.is_unspecified() { Ipv4Addr::new(224, 0, 0, 1) } else { group };
    let [_, b, c, d] = to.octets();
    let mut frame = vec![1, 0, 0x5e, b & 0x7f, c, d];
    frame.extend(place.address.octets());
    // Internetwork control, one hop, router alert (RFC 3376, 4); in nobody's name (RFC 4541, 2.1.1).
    frame.extend([8, 0, 0x46, 0xc0, 0, 36, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0]);
    frame.extend(to.octets());
    frame.extend([0x94, 4, 0, 0]);
    let sum = internet(frame.get(14..38).unwrap_or(&[]));
    if let Some(place) = frame.get_mut(24..26) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let mut message = [0; 12];
    let question = igmp::Repr::Query3 {
        response_code: (response * 10 / SECOND).min(LARGEST_CODE) as u8,
        group,
        suppress: false,
        robustness: ROBUSTNESS as u8,
        interval_code: interval(place),
        sources: Sources::NONE,
    };
    // The buffer is as long as a question without sources.
    let _ = question.emit(&mut message);
    frame.extend(message);
    frame.resize(60, 0);
    frame
}

fn ip6(place: &Place<'_>, group: Ipv6Addr, response: u64) -> Vec<u8> {
    let to = if group.is_unspecified() { Ipv6Addr::from_bits(0xff02 << 112 | 1) } else { group };
    let source = link_local(place.address);
    let mut frame = vec![0x33, 0x33];
    frame.extend(to.octets().get(12..).unwrap_or(&[]));
    frame.extend(place.address.octets());
    // One hop, a hop-by-hop header with router alert (RFC 3810, 5).
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 0, 1]);
    frame.extend(source.octets());
    frame.extend(to.octets());
    frame.extend([58, 0, 5, 2, 0, 0, 1, 0]);
    let mut message = [0; 28];
    let question = mld::Repr::Query2 {
        response_code: (response * 1000 / SECOND).min(0x7fff) as u16,
        group,
        suppress: false,
        robustness: ROBUSTNESS as u8,
        interval_code: interval(place),
        sources: Sources::NONE,
    };
    let _ = question.emit(&mut message);
    icmpv6::View::new_unchecked(&mut message[..]).fill_checksum(&PseudoHeader::v6(source, to));
    frame.extend(message);
    frame
}
