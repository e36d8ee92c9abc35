//! Headers of a tunnel taken from a packet, and what they said put beside it.
//!
//! Invariants: a packet that is refused is left as it was. A checksum that is there is verified, unless somebody has done
//! that. What stands behind the outer packet's end is cut off.

use super::{FLAG_CHECKSUM, FLAG_CONTROL, FLAG_KEY, Tunnels};
use crate::rewrite::Layout;
use netloom_mem::{Batch, Offload, PortNumber};
use netloom_table::key::BESIDE;
use netloom_table::{Field, Key};
use netloom_wire::checksum::Sum;

/// What a tunnel's packets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TunnelKind {
    /// VXLAN, on this UDP port; with group policy, if packets have it.
    Vxlan(u16),
    /// VXLAN-GPE, on this UDP port.
    VxlanGpe(u16),
    /// Geneve, on this UDP port.
    Geneve(u16),
    /// GRE that carries Ethernet or anything else.
    Gre,
    /// ERSPAN, all types.
    Erspan,
}

/// What is taken off, and what is inside.
struct Found {
    /// Octets of all headers, from the first octet of the packet on.
    size: usize,
    /// Packet type of what is inside.
    inside: u32,
    /// Octets of Geneve options, with which the headers end.
    options: usize,
}

const UDP: u8 = 17;
const GRE: u8 = 47;
const IP4: u16 = 0x0800;
const ETHERNET: u16 = 0x6558;

fn at<const N: usize>(octets: &[u8], offset: usize) -> Option<[u8; N]> {
    octets.get(offset..)?.first_chunk().copied()
}

/// Takes the headers of a tunnel off a packet that is not to be cut any more, and gives the port of the tunnel. `key` is
/// the packet's, with this layout. Of it only the mark stays; it gets the port, the fields of the tunnel and the packet
/// type; the rest is then to be extracted anew. None if the packet has no such headers, if they are not whole, or if no
/// port takes them.
pub fn decapsulate(
    batch: &mut Batch,
    index: usize,
    kind: TunnelKind,
    tunnels: &Tunnels,
    layout: &Layout,
    key: &mut Key,
) -> Option<PortNumber> {
    let (network, transport) = (usize::from(layout.network), usize::from(layout.transport));
    let protocol = if matches!(kind, TunnelKind::Gre | TunnelKind::Erspan) { GRE } else { UDP };
    if layout.protocol != protocol || layout.fragment != 0 || transport == 0 {
        return None;
    }
    // Headers with all options are 14 + 8 + 60 + 8 + 260 octets at most; what a head does not hold is pulled up.
    let length = batch.length(index);
    let _ = batch.pull(index, (transport + 64).min(length));
    let head = batch.head(index);
    let four = layout.kind == IP4;
    let total = |at_offset| at::<2>(head, at_offset).map_or(0, |two| usize::from(u16::from_be_bytes(two)));
    let end = if four { network + total(network + 2) } else { network + 40 + total(network + 4) };
    if end > length || end < transport {
        return None;
    }
    let mut tunnel = Key::default();
    tunnel.set(Field::PKT_MARK, key.get(Field::PKT_MARK));
    let fields = if four {
        &[(Field::IP4_SRC, Field::TUN_SRC), (Field::IP4_DST, Field::TUN_DST)][..]
    } else {
        &[
            (Field::IP6_SRC_HIGH, Field::TUN6_SRC_HIGH),
            (Field::IP6_SRC_LOW, Field::TUN6_SRC_LOW),
            (Field::IP6_DST_HIGH, Field::TUN6_DST_HIGH),
            (Field::IP6_DST_LOW, Field::TUN6_DST_LOW),
        ]
    };
    for (outer, field) in
        fields.iter().chain(&[(Field::IP_TOS, Field::TUN_TOS), (Field::IP_TTL, Field::TUN_TTL)])
    {
        tunnel.set(*field, key.get(*outer));
    }
    let Found { size, inside, options } = match kind {
        TunnelKind::Gre | TunnelKind::Erspan => gre(batch, index, (transport, end), kind, &mut tunnel)?,
        _ => udp(batch, index, (network, transport, end), kind, &mut tunnel)?,
    };
    let least = if inside == 0 { 14 } else { 1 };
    if end < size + least || !batch.pull(index, (size + 128).min(length)) {
        return None;
    }
    let port = tunnels.find(kind, &tunnel)?;
    if let (Some(options), Some(settings)) = (batch.head(index).get(size - options..size), tunnels.get(port))
    {
        settings.options.read(options, &mut tunnel);
    }
    batch.truncate(index, end);
    let offload = *batch.offload(index);
    if offload.partial && usize::from(offload.start) < size {
        // What was left open is gone with its header.
        *batch.offload_mut(index) = Offload::NONE;
    }
    if !batch.shrink(index, size) {
        return None;
    }
    tunnel.set(Field::IN_PORT, port.into());
    tunnel.set(Field::PACKET_TYPE, inside.into());
    key.reset();
    key.take(&tunnel, BESIDE);
    Some(port)
}

/// The sum of a part of a packet.
fn sum(batch: &Batch, index: usize, from: usize, end: usize) -> Sum {
    let (mut sum, mut from, mut piece) = (Sum::ZERO, from, [0; 2048]);
    while from < end {
        let room = piece.len().min(end - from);
        let count = batch.copy(index, from, &mut piece[..room]);
        if count == 0 {
            break;
        }
        sum = sum.bytes(&piece[..count]);
        from += count;
    }
    sum
}

fn udp(
    batch: &mut Batch,
    index: usize,
    (network, transport, end): (usize, usize, usize),
    kind: TunnelKind,
    tunnel: &mut Key,
) -> Option<Found> {
    let head = batch.head(index);
    let [_, _, to_high, to_low, size_high, size_low, sum_high, sum_low] = at(head, transport)?;
    let port = u16::from_be_bytes([to_high, to_low]);
    let size = u16::from_be_bytes([size_high, size_low]);
    let wanted = match kind {
        TunnelKind::Vxlan(port) | TunnelKind::VxlanGpe(port) | TunnelKind::Geneve(port) => port,
        TunnelKind::Gre | TunnelKind::Erspan => return None,
    };
    if port != wanted || usize::from(size) < 16 || transport + usize::from(size) > end {
        return None;
    }
    let offload = batch.offload(index);
    let open = offload.partial && usize::from(offload.start) == transport;
    let mut flags = 0;
    if [sum_high, sum_low] != [0, 0] {
        flags |= FLAG_CHECKSUM;
        // An inner checksum that is still open makes the outer one wrong for us, and right for who completes it.
        if !open && !offload.verified && !offload.partial {
            let six = head.get(network)? >> 4 == 6;
            let addresses = if six {
                head.get(network + 8..network + 40)?
            } else {
                head.get(network + 12..network + 20)?
            };
            let pseudo = Sum::ZERO.bytes(addresses).word(UDP.into()).word(size).fold();
            let whole = sum(batch, index, transport, transport + usize::from(size)).word(pseudo);
            if whole.fold() != 0xffff {
                return None;
            }
        }
    }
    let head = batch.head(index);
    let base: [u8; 8] = at(head, transport + 8)?;
    let vni = u32::from_be_bytes([0, base[4], base[5], base[6]]);
    let (mut inside, mut options) = (0, 0);
    match kind {
        TunnelKind::Vxlan(_) => {
            if base[0] & 0x08 == 0 {
                return None;
            }
            if base[0] & 0x80 != 0 {
                tunnel.set(Field::TUN_GBP_ID, u16::from_be_bytes([base[2], base[3]]).into());
                tunnel.set(Field::TUN_GBP_FLAGS, (base[1] & 0x48).into());
            }
        }
        TunnelKind::VxlanGpe(_) => {
            // Version 0, with a VNI; without the next protocol it is Ethernet.
            if base[0] & 0x38 != 0x08 {
                return None;
            }
            inside = match (base[0] & 0x04 != 0, base[3]) {
                (false, _) | (_, 3) => 0,
                (_, 1) => 1 << 16 | 0x0800,
                (_, 2) => 1 << 16 | 0x86dd,
                (_, 4) => 1 << 16 | 0x894f,
                (_, 5) => 1 << 16 | 0x8847,
                _ => return None,
            };
        }
        _ => {
            options = usize::from(base[0] & 0x3f) * 4;
            if base[0] >> 6 != 0
                || usize::from(size) < 16 + options
                || !batch.pull(index, transport + 16 + options)
            {
                return None;
            }
            if base[1] & 0x80 != 0 {
                flags |= FLAG_CONTROL;
            }
            let protocol = u16::from_be_bytes([base[2], base[3]]);
            inside = if protocol == ETHERNET { 0 } else { 1 << 16 | u32::from(protocol) };
        }
    }
    tunnel.set(Field::TUN_ID, vni.into());
    tunnel.set(Field::TUN_FLAGS, flags | FLAG_KEY);
    Some(Found { size: transport + 16 + options, inside, options })
}

fn gre(
    batch: &mut Batch,
    index: usize,
    (transport, end): (usize, usize),
    kind: TunnelKind,
    tunnel: &mut Key,
) -> Option<Found> {
    let head = batch.head(index);
    let [flag_high, flag_low, kind_high, kind_low] = at(head, transport)?;
    let (flags, protocol) =
        (u16::from_be_bytes([flag_high, flag_low]), u16::from_be_bytes([kind_high, kind_low]));
    // Version 0, and nothing but checksum, key and sequence number (RFC 2784, 2.3).
    if flags & 0x4fff != 0 {
        return None;
    }
    let (has_checksum, has_key, has_sequence) =
        (flags & 0x8000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut header = transport + 4;
    let mut bits = 0;
    if has_checksum {
        header += 4;
        bits |= FLAG_CHECKSUM;
        let offload = batch.offload(index);
        if !offload.verified && !offload.partial && sum(batch, index, transport, end).fold() != 0xffff {
            return None;
        }
    }
    let head = batch.head(index);
    if has_key {
        tunnel.set(Field::TUN_ID, u32::from_be_bytes(at(head, header)?).into());
        bits |= FLAG_KEY;
        header += 4;
    }
    if has_sequence {
        header += 4;
    }
    let inside = match (kind, protocol) {
        (TunnelKind::Erspan, 0x88be) if !has_sequence => 0,
        (TunnelKind::Erspan, 0x88be | 0x22eb) => {
            header += erspan(head.get(header..)?, protocol == 0x22eb, tunnel)?;
            bits |= FLAG_KEY;
            0
        }
        (TunnelKind::Erspan, _) | (_, 0x88be | 0x22eb) => return None,
        (_, ETHERNET) => 0,
        (_, protocol) => 1 << 16 | u32::from(protocol),
    };
    tunnel.set(Field::TUN_FLAGS, bits);
    (header <= end).then_some(Found { size: header, inside, options: 0 })
}

/// Reads a header of ERSPAN type II or III, and gives its length.
fn erspan(octets: &[u8], third: bool, tunnel: &mut Key) -> Option<usize> {
    let [version, _, high, low, index @ ..] = at::<8>(octets, 0)?;
    tunnel.set(Field::TUN_ID, u64::from(u16::from_be_bytes([high, low]) & 0x3ff));
    if !third {
        tunnel.set(Field::TUN_ERSPAN_VER, 1);
        tunnel.set(Field::TUN_ERSPAN_IDX, u32::from_be_bytes(index).into());
        return (version >> 4 == 1).then_some(8);
    }
    let last = u16::from_be_bytes(at(octets, 10)?);
    tunnel.set(Field::TUN_ERSPAN_VER, 2);
    tunnel.set(Field::TUN_ERSPAN_HWID, (last >> 4 & 0x3f).into());
    tunnel.set(Field::TUN_ERSPAN_DIR, (last >> 3 & 1).into());
    (version >> 4 == 2).then_some(if last & 1 == 1 { 20 } else { 12 })
}
