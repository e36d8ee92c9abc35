//! Rewrites the addresses and ports of a packet, and of the packet that it quotes, with all checksums over them.
//!
//! Invariants: what was right stays right: checksums are updated, never computed anew, so that a packet that was damaged
//! on its way stays damaged. A checksum that is left to the sender's device stays open: what stands there is the sum of the
//! pseudo-header, which knows addresses and no ports.

use super::packet::{Headers, Parsed, be16, ip};
use super::tuple::Tuple;
use netloom_mem::Batch;
use netloom_table::{Field, Key};
use netloom_wire::checksum::Delta;

/// Translates a packet: its source (or else its destination) address and both its ports become those of `to`. The key
/// follows.
pub(super) fn translate(
    batch: &mut Batch,
    index: usize,
    parsed: &Parsed,
    to: &Tuple,
    source: bool,
    key: &mut Key,
) {
    let offload = *batch.offload(index);
    let Headers { network, transport, .. } = parsed.headers;
    let open = offload.partial && usize::from(offload.start) == transport;
    let head = batch.head_mut(index);
    let addresses = address(head, network, to, source).addresses;
    match &parsed.quoted {
        None => {
            let ports = ports(head, transport, to);
            let delta = if open { addresses } else { addresses.and(ports) };
            close(head, transport, covering(to.protocol), usize::MAX, delta, open);
        }
        Some(quoted) => {
            // What is quoted went the other way.
            let back = to.reversed();
            let inner = address(head, quoted.network, &back, !source);
            let ports = ports(head, quoted.transport, &back);
            let room = quoted.end.saturating_sub(quoted.transport);
            let closed = close(
                head,
                quoted.transport,
                covering(back.protocol),
                room,
                inner.addresses.and(ports),
                false,
            );
            let quoted = inner.all.and(ports).and(closed);
            let (protocol, delta) = match (to.six, open) {
                (false, _) => (ip::ICMP, quoted),
                (true, false) => (ip::ICMP6, addresses.and(quoted)),
                (true, true) => (ip::ICMP6, addresses),
            };
            if to.six || !open {
                close(head, transport, protocol, usize::MAX, delta, open);
            }
        }
    }
    show(key, parsed, to, source);
}

/// A change of checked data that can be put together with others.
#[derive(Clone, Copy)]
struct Change {
    old: u32,
    new: u32,
}

impl Change {
    const NONE: Self = Self { old: 0, new: 0 };

    const fn word(self, old: u16, new: u16) -> Self {
        Self { old: self.old + old as u32, new: self.new + new as u32 }
    }

    const fn and(self, other: Self) -> Self {
        Self { old: self.old + other.old, new: self.new + other.new }
    }

    /// The checksum after it. Sums of a few words are far below 2^32.
    const fn apply(self, checksum: u16) -> u16 {
        Delta::NONE.double_word(self.old, self.new).apply(checksum)
    }
}

struct Addressed {
    /// What covers addresses sees of it.
    addresses: Change,
    /// What covers the whole header sees of it.
    all: Change,
}

fn write(head: &mut [u8], at: usize, new: u16, change: &mut Change) {
    if let Some(field) = head.get_mut(at..at + 2) {
        let old = u16::from_be_bytes([field[0], field[1]]);
        field.copy_from_slice(&new.to_be_bytes());
        *change = change.word(old, new);
    }
}

/// Writes one address of a network header.
fn address(head: &mut [u8], network: usize, to: &Tuple, source: bool) -> Addressed {
    let address = if source { to.source } else { to.destination };
    let mut addresses = Change::NONE;
    if to.six {
        let at = network + if source { 8 } else { 24 };
        for word in 0..8 {
            write(head, at + word * 2, (address >> (112 - word * 16)) as u16, &mut addresses);
        }
        return Addressed { addresses, all: addresses };
    }
    let at = network + if source { 12 } else { 16 };
    write(head, at, (address >> 16) as u16, &mut addresses);
    write(head, at + 2, address as u16, &mut addresses);
    let mut all = addresses;
    if let Some(checksum) = be16(head, network + 10) {
        write(head, network + 10, addresses.apply(checksum), &mut all);
    }
    Addressed { addresses, all }
}

/// Writes both ports of a transport header that has some.
fn ports(head: &mut [u8], transport: usize, to: &Tuple) -> Change {
    let mut change = Change::NONE;
    if to.has_ports() {
        write(head, transport, to.source_port, &mut change);
        write(head, transport + 2, to.destination_port, &mut change);
    }
    change
}

/// A protocol whose checksum covers addresses; the one of ICMP for IPv4 covers nothing but itself.
const fn covering(protocol: u8) -> u8 {
    if protocol == ip::ICMP { 0 } else { protocol }
}

/// Updates a transport checksum, if `room` octets of the header are enough to have it.
fn close(head: &mut [u8], transport: usize, protocol: u8, room: usize, change: Change, open: bool) -> Change {
    let mut closed = Change::NONE;
    let (offset, least) = match protocol {
        ip::TCP => (16, 20),
        ip::UDP => (6, 8),
        ip::ICMP | ip::ICMP6 => (2, 4),
        _ => return closed,
    };
    let at = transport + offset;
    let Some(old) = be16(head, at).filter(|_| room >= least) else { return closed };
    let new = match (open, protocol) {
        // An open checksum is the sum itself and not its complement.
        (true, _) => !change.apply(!old),
        (false, ip::UDP) if old == 0 => 0,
        (false, ip::UDP) => match change.apply(old) {
            0 => 0xffff,
            new => new,
        },
        (false, _) => change.apply(old),
    };
    write(head, at, new, &mut closed);
    closed
}

/// Writes to the key what was written to the packet.
fn show(key: &mut Key, parsed: &Parsed, to: &Tuple, source: bool) {
    let address = if source { to.source } else { to.destination };
    if to.six {
        let first = if source { Field::IP6_SRC_HIGH } else { Field::IP6_DST_HIGH };
        key.set_word(first.word(), (address >> 64) as u64);
        key.set_word(first.word() + 1, address as u64);
    } else {
        key.set(if source { Field::IP4_SRC } else { Field::IP4_DST }, address as u64);
    }
    if to.has_ports() && parsed.quoted.is_none() {
        key.set(Field::TP_SRC, u64::from(to.source_port));
        key.set(Field::TP_DST, u64::from(to.destination_port));
    }
}
