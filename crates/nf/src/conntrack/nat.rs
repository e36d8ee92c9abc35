//! Which address and port a translated connection gets.
//!
//! What: addresses of the range by a keyed hash of the connection (or of its client's address only, if the same client is
//! to get the same one), ports from there on until the reply's tuple is nobody else's. The order of tries is that of Open
//! vSwitch: a destination's ports first, then the source's, in the class of ports that it had (below 512, below 1024, the
//! rest).
//!
//! Costs: at most [`TRIES`] ports, then half as many from another place, and so on: about 250 searches before a connection
//! is refused.

use super::request::{Nat, NatRange};
use super::tracker::Turn;
use super::tuple::Tuple;
use std::net::IpAddr;

/// Ports that are tried in a row at first.
const TRIES: u32 = 128;
/// A row of fewer is not tried.
const LEAST: u32 = 16;
/// Addresses of a range of IPv6 that are used, less one.
const MOST: u128 = 0xffff_fffe;

/// The reply's tuple of a new connection; `None` when everything is taken.
pub(super) fn choose(turn: &mut Turn<'_>, original: &Tuple, nat: &Nat, now: u64) -> Option<Tuple> {
    let (range, of_source) = match nat {
        Nat::Known => return Some(original.reversed()),
        Nat::Source(range) => (range, true),
        Nat::Destination(range) => (range, false),
    };
    let chance = if range.random { turn.tracker.draw() } else { 0 };
    let hash = hash(turn, original, range, of_source);
    let mut reply = original.reversed();
    let kept = if of_source { original.source } else { original.destination };
    let address = pick(range, original.six, hash).unwrap_or(kept);
    if of_source {
        reply.destination = address;
    } else {
        reply.source = address;
    }
    if !original.has_ports() {
        return is_free(turn, &reply, now).then_some(reply);
    }
    let asked = range.ports.map(|(first, last)| (first.min(last), first.max(last)));
    let from_range = |(first, last): (u16, u16)| {
        let count = u32::from(last - first) + 1;
        first + ((hash ^ chance) as u32 % count) as u16
    };
    let wanted = original.source_port;
    let (sources, source) = match asked {
        Some(ports) if of_source => (ports, from_range(ports)),
        _ => {
            let class = match wanted {
                0..512 => (1, 511),
                512..1024 => (600, 1023),
                _ => (1024, u16::MAX),
            };
            (class, if range.random && of_source { from_range(class) } else { wanted })
        }
    };
    reply.destination_port = source;
    if let Some(ports) = asked.filter(|_| !of_source) {
        let first = from_range(ports);
        reply.source_port = first;
        if search(turn, &mut reply, |reply, port| reply.source_port = port, first, ports, now) {
            return Some(reply);
        }
        reply.source_port = first;
    }
    search(turn, &mut reply, |reply, port| reply.destination_port = port, source, sources, now)
        .then_some(reply)
}

fn hash(turn: &Turn<'_>, original: &Tuple, range: &NatRange, of_source: bool) -> u64 {
    let secrets = &turn.tracker.secrets;
    let key = if range.persistent {
        let source = original.source;
        Tuple { source, zone: original.zone, six: original.six, ..Tuple::default() }
    } else {
        // Both directions of a connection hash alike; here it matters which is which.
        let (source_port, destination_port) = (original.source_port, original.destination_port);
        let destination = original.destination.wrapping_add(u128::from(of_source) + 1);
        Tuple { source_port, destination_port, destination, ..*original }
    };
    key.hash(secrets)
}

/// An address of the range; `None` when the packet keeps its own.
fn pick(range: &NatRange, six: bool, hash: u64) -> Option<u128> {
    let (first, last) = match range.addresses? {
        (IpAddr::V4(first), IpAddr::V4(last)) if !six => {
            (u128::from(first.to_bits()), u128::from(last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if six => (first.to_bits(), last.to_bits()),
        _ => return None,
    };
    if first == 0 {
        return None;
    }
    let count = last.saturating_sub(first).min(MOST) + 1;
    Some(first + u128::from(hash >> 32) % count)
}

fn is_free(turn: &mut Turn<'_>, reply: &Tuple, now: u64) -> bool {
    let hash = reply.hash(&turn.tracker.secrets);
    turn.find(reply, hash, now).is_none()
}

/// Tries ports until the tuple is free.
fn search(
    turn: &mut Turn<'_>,
    reply: &mut Tuple,
    set: impl Fn(&mut Tuple, u16),
    from: u16,
    (first, last): (u16, u16),
    now: u64,
) -> bool {
    let count = u32::from(last - first) + 1;
    let mut tries = count.min(TRIES);
    let mut port = from;
    loop {
        // A port outside of the range is one more.
        let outside = !(first..=last).contains(&port);
        for _ in 0..tries.min(count + u32::from(outside)) {
            set(reply, port);
            if is_free(turn, reply, now) {
                return true;
            }
            port = if (first..last).contains(&port) { port + 1 } else { first };
        }
        if tries >= count || tries < LEAST {
            return false;
        }
        tries /= 2;
        port = first + (turn.tracker.draw() as u32 % count) as u16;
    }
}
