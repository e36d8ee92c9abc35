//! Several packets at once.
//!
//! What: all packets are read and their places in memory asked for, before the first is dealt with, so that memory answers
//! for all at once; with several shards each is locked once for all packets that need it.
//!
//! Invariants: packets of one connection keep their order, if none of them is translated by a connection of another shard.

use super::packet::{Parsed, parse};
use super::process::is_ip;
use super::request::{Connect, Passing};
use super::tracker::Turn;
use netloom_mem::{BATCH, Batch};

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
        let mut read: [(Option<Parsed>, u64); BATCH] = [const { (None, 0) }; BATCH];
        for (packet, read) in packets.iter_mut().zip(&mut read) {
            // Who was here before is known already.
            if packet.tracked.at.is_none() && is_ip(packet.key) {
                read.0 = parse(batch, packet.index, &packet.layers, reading);
                read.1 = read.0.map_or(0, |parsed| parsed.tuple.hash(&self.tracker.secrets));
            }
        }
        let mut done = 0_u32;
        for first in 0..packets.len() {
            if done >> first & 1 == 1 {
                continue;
            }
            let number = self.tracker.shard_of(read[first].1);
            let mut together = 0_u32;
            let shard = self.shard(number);
            for (index, (parsed, hash)) in read.iter().enumerate().take(packets.len()).skip(first) {
                if parsed.is_some() && shard.has(*hash) || index == first {
                    together |= 1 << index;
                    shard.touch(*hash);
                }
            }
            for (index, (_, hash)) in read.iter().enumerate().skip(first) {
                if together >> index & 1 == 1 {
                    shard.touch_connection(*hash);
                }
            }
            for (index, packet) in packets.iter_mut().enumerate().skip(first) {
                if together >> index & 1 == 0 {
                    continue;
                }
                done |= 1 << index;
                match (read[index].0, packet.tracked.at) {
                    (None, Some(_)) => self.process(batch, packet, request, now),
                    (parsed, _) => self.process_parsed(batch, packet, parsed, request, now),
                };
            }
        }
    }
}
