//! Filters of kind `flower`: parsed headers (linux/pkt_cls.h, net/sched/cls_flower.c).
//!
//! One filter per piece; all pieces of one family have the same mask, so the kernel finds them with one
//! lookup. Ports of fragments and of unknown protocols are not parsed by the kernel.

use super::FilterRow;
use super::piece::{Layer, Piece, SCTP, TCP, UDP};
use super::qdisc::{TCA_KIND, TCA_OPTIONS};
use super::wire::{Place, filter_header, priority};
use crate::netlink::{Attribute, Attributes, Message, Messages};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_compile::object::shaper::PortRange;
use std::collections::BTreeMap;
use std::net::IpAddr;

const TCA_FLOWER_CLASSID: u16 = 1;
const TCA_FLOWER_KEY_ETH_TYPE: u16 = 8;
const TCA_FLOWER_KEY_IP_PROTO: u16 = 9;
const TCA_FLOWER_FLAGS: u16 = 22;
const TCA_FLOWER_KEY_IP_TOS: u16 = 73;
const TCA_FLOWER_KEY_IP_TOS_MASK: u16 = 74;
const TCA_FLOWER_IN_HW_COUNT: u16 = 86;
/// The key of an IPv4 source; its mask is the next. IPv4 destination, IPv6 source and IPv6 destination
/// follow in the same way.
const TCA_FLOWER_KEY_IPV4_SRC: u16 = 10;
const TCA_FLOWER_KEY_IPV6_SRC: u16 = 14;
/// Ranges of source and destination ports: the first port's key, the last port's is the next.
const TCA_FLOWER_KEY_PORT_SRC_MIN: u16 = 87;
const TCA_FLOWER_KEY_PORT_DST_MIN: u16 = 89;

/// Keys and masks of source and destination port of each protocol that has ports.
const PORTS: [(u8, [(u16, u16); 2]); 3] =
    [(TCP, [(18, 35), (19, 36)]), (UDP, [(20, 37), (21, 38)]), (SCTP, [(41, 39), (42, 40)])];

/// Appends the requests that make one match: `pieces` are all of it.
pub(super) fn encode(messages: &mut Messages, place: Place, index: usize, pieces: &[Piece], class: u32) {
    let mut handles = BTreeMap::<Layer, u32>::new();
    for piece in pieces {
        let handle = handles.entry(piece.layer).or_insert(0);
        *handle += 1;
        let flags = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        let mut message = messages.add(libc::RTM_NEWTFILTER, flags);
        let protocol = piece.layer.protocol();
        message.header(&filter_header(place, *handle, priority(index, piece.layer), protocol));
        message.text(TCA_KIND, "flower").nest_plain(TCA_OPTIONS, |m| {
            m.u32(TCA_FLOWER_CLASSID, class);
            m.u16_be(TCA_FLOWER_KEY_ETH_TYPE, protocol);
            encode_keys(m, piece);
        });
    }
}

fn encode_keys(m: &mut Message<'_>, piece: &Piece) {
    if let Some(protocol) = piece.protocol {
        m.u8(TCA_FLOWER_KEY_IP_PROTO, protocol);
    }
    for (offset, prefix) in [(0, piece.source), (2, piece.destination)] {
        if let Some(prefix) = prefix {
            let base =
                if prefix.addr().is_ipv4() { TCA_FLOWER_KEY_IPV4_SRC } else { TCA_FLOWER_KEY_IPV6_SRC };
            m.ip(base + offset, prefix.network()).ip(base + offset + 1, prefix.netmask());
        }
    }
    if let Some(dscp) = piece.dscp {
        m.u8(TCA_FLOWER_KEY_IP_TOS, dscp << 2).u8(TCA_FLOWER_KEY_IP_TOS_MASK, 0xfc);
    }
    let keys = PORTS.iter().find(|(protocol, _)| Some(*protocol) == piece.protocol).map(|(_, keys)| *keys);
    let ranges = [
        (piece.source_ports, TCA_FLOWER_KEY_PORT_SRC_MIN, 0),
        (piece.destination_ports, TCA_FLOWER_KEY_PORT_DST_MIN, 1),
    ];
    for (ports, range, which) in ranges {
        match (ports, keys) {
            (Some(ports), Some(keys)) if ports.low == ports.high => {
                let (key, mask) = keys[which];
                m.u16_be(key, ports.low).u16_be(mask, u16::MAX);
            }
            (Some(ports), _) => {
                m.u16_be(range, ports.low).u16_be(range + 1, ports.high);
            }
            (None, _) => {}
        }
    }
}

/// Reads the filters of one match; `None` when there is any key that [`encode`] never writes.
pub(super) fn decode(rows: &[FilterRow<'_>]) -> Option<Vec<(Piece, u32)>> {
    rows.iter().map(|row| decode_one(row.layer, row.options.nested())).collect()
}

fn decode_one(layer: Layer, options: Attributes<'_>) -> Option<(Piece, u32)> {
    let mut keys: BTreeMap<u16, Attribute<'_>> =
        options.map(|attribute| (attribute.kind, attribute)).collect();
    for ignored in [TCA_FLOWER_FLAGS, TCA_FLOWER_IN_HW_COUNT] {
        keys.remove(&ignored);
    }
    let class = keys.remove(&TCA_FLOWER_CLASSID)?.u32()?;
    if let Some(protocol) = keys.remove(&TCA_FLOWER_KEY_ETH_TYPE)
        && protocol.u16_be() != Some(layer.protocol())
    {
        return None;
    }
    let mut piece = Piece::new(layer);
    piece.protocol = keys.remove(&TCA_FLOWER_KEY_IP_PROTO).and_then(Attribute::u8);
    let base = if layer == Layer::V4 { TCA_FLOWER_KEY_IPV4_SRC } else { TCA_FLOWER_KEY_IPV6_SRC };
    piece.source = take_prefix(&mut keys, base)?;
    piece.destination = take_prefix(&mut keys, base + 2)?;
    if let Some(value) = keys.remove(&TCA_FLOWER_KEY_IP_TOS) {
        let mask = keys.remove(&TCA_FLOWER_KEY_IP_TOS_MASK)?.u8()?;
        if mask != 0xfc {
            return None;
        }
        piece.dscp = Some(value.u8()? >> 2);
    }
    let exact = PORTS.iter().find(|(protocol, _)| Some(*protocol) == piece.protocol).map(|(_, keys)| *keys);
    let mut ports = |range: u16, which: usize| {
        if let (Some(low), Some(high)) = (keys.remove(&range), keys.remove(&(range + 1))) {
            return Some(Some(PortRange { low: low.u16_be()?, high: high.u16_be()? }));
        }
        let Some((key, mask)) = exact.map(|keys| keys[which]) else { return Some(None) };
        match (keys.remove(&key), keys.remove(&mask)) {
            (Some(port), Some(mask)) if mask.u16_be() == Some(u16::MAX) => {
                Some(port.u16_be().map(PortRange::one))
            }
            (None, None) => Some(None),
            _ => None,
        }
    };
    piece.source_ports = ports(TCA_FLOWER_KEY_PORT_SRC_MIN, 0)?;
    piece.destination_ports = ports(TCA_FLOWER_KEY_PORT_DST_MIN, 1)?;
    keys.is_empty().then_some((piece, class))
}

/// Takes an address and its mask; the outer `None` means that they are no prefix.
fn take_prefix(keys: &mut BTreeMap<u16, Attribute<'_>>, key: u16) -> Option<Option<IpNet>> {
    let Some(address) = keys.remove(&key) else { return Some(None) };
    let mask = keys.remove(&(key + 1))?;
    Some(Some(match (address.ip()?, mask.ip()?) {
        (IpAddr::V4(address), IpAddr::V4(mask)) => Ipv4Net::with_netmask(address, mask).ok()?.into(),
        (IpAddr::V6(address), IpAddr::V6(mask)) => Ipv6Net::with_netmask(address, mask).ok()?.into(),
        _ => return None,
    }))
}
