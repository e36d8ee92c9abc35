//! Several packets at once.
//!
//! What: all packets are read and their places in memory asked for, before the first is dealt with, so that memory answers
//! for all at once; with several shards each is locked once for all packets that need it.
//!
//! Invariants: packets of one connection keep their order, if none of them is translated by a connection of another shard.

use super::packet::{Parsed, ip, parse};
use super::process::{invalid, is_ip};
use super::request::{Connect, Passing};
use super::shard::Shard;
use super::tracker::{Tracker, Turn};
use super::tuple::Tuple;
use netloom_mem::{BATCH, Batch};
use netloom_table::{Field, Key};
use std::sync::MutexGuard;

impl Turn<'_> {
    /// As [`Turn::process`], for packets for which the same is asked.
    pub fn process_batch(
        &mut self,
        batch: &mut Batch,
        packets: &mut [Passing<'_>],
        request: &Connect,
        now: u64,
    ) {
        for packets in packets.chunks_mut(BATCH) {
            self.process_chunk(batch, packets, request, now);
        }
    }

    fn process_chunk(&mut self, batch: &mut Batch, packets: &mut [Passing<'_>], request: &Connect, now: u64) {
        let reading = self.tracker.reading(request.zone);
        let mut read = [const { Parsed::EMPTY }; BATCH];
        let mut hashes = [0; BATCH];
        // Which packets are left to be dealt with, and which of them can be tracked.
        let (mut left, mut tracked) = (0_u32, 0_u32);
        for (index, (packet, parsed)) in packets.iter_mut().zip(&mut read).enumerate() {
            left |= 1 << index;
            // Who was here before is known already.
            if packet.tracked.at.is_none()
                && is_ip(packet.key)
                && parse(batch, packet.index, &packet.layers, reading, parsed)
            {
                hashes[index] = parsed.tuple.hash(&self.tracker.secrets);
                tracked |= 1 << index;
            }
        }
        while left != 0 {
            let first = left.trailing_zeros() as usize;
            let number = self.tracker.shard_of(hashes[first]);
            let shard = self.shard(number);
            let mut together = 0_u32;
            for index in bits(left) {
                if shard.has(hashes[index]) {
                    together |= 1 << index;
                    shard.touch(hashes[index]);
                }
            }
            for index in bits(together & tracked) {
                shard.touch_connection(hashes[index]);
            }
            left &= !together;
            for index in bits(together) {
                let Some(packet) = packets.get_mut(index) else { continue };
                if tracked >> index & 1 == 1 {
                    self.process_parsed(batch, packet, &read[index], hashes[index], request, now);
                } else if packet.tracked.at.is_some() {
                    self.process(batch, packet, request, now);
                } else {
                    invalid(packet, request);
                }
            }
        }
    }
}

/// The numbers of the bits that are set.
fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        (word != 0).then(|| {
            word &= word - 1;
            bit
        })
    })
}

/// The tuple of a TCP segment or a UDP datagram, as far as its key tells.
fn tuple_of(key: &Key, zone: u16) -> Option<Tuple> {
    let protocol = key.get(Field::IP_PROTO) as u8;
    let six = match key.get(Field::ETH_TYPE) {
        0x0800 => false,
        0x86dd => true,
        _ => return None,
    };
    if !matches!(protocol, ip::TCP | ip::UDP) {
        return None;
    }
    let wide = |high: Field| u128::from(key.word(high.word())) << 64 | u128::from(key.word(high.word() + 1));
    let (source, destination) = if six {
        (wide(Field::IP6_SRC_HIGH), wide(Field::IP6_DST_HIGH))
    } else {
        (u128::from(key.get(Field::IP4_SRC)), u128::from(key.get(Field::IP4_DST)))
    };
    let (source_port, destination_port) = (key.get(Field::TP_SRC) as u16, key.get(Field::TP_DST) as u16);
    Some(Tuple { source, destination, source_port, destination_port, zone, protocol, six })
}

impl Tracker {
    /// Asks memory for the connections of packets that are about to be [processed](Turn::process) one by one, so that it
    /// answers for all at once: call it for a batch before the first of its packets is dealt with. Changes nothing.
    pub fn ask_for<'a>(&self, keys: impl Iterator<Item = &'a Key>, zone: u16) {
        let (mut hashes, mut count) = ([0; BATCH], 0);
        for (hash, tuple) in hashes.iter_mut().zip(keys.filter_map(|key| tuple_of(key, zone))) {
            *hash = tuple.hash(&self.secrets);
            count += 1;
        }
        for connections in [false, true] {
            let mut held: Option<(usize, MutexGuard<'_, Shard>)> = None;
            for hash in hashes.iter().take(count) {
                let number = self.shard_of(*hash);
                if held.as_ref().is_none_or(|(held, _)| *held != number) {
                    drop(held.take());
                    // Who has it needs it more.
                    held = self.try_lock(number).map(|shard| (number, shard));
                }
                match (&held, connections) {
                    (Some((_, shard)), false) => shard.touch(*hash),
                    (Some((_, shard)), true) => shard.touch_connection(*hash),
                    (None, _) => {}
                }
            }
        }
    }
}
