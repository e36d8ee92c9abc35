//! Several packets at once.
//!
//! What: all packets are read and their places in memory asked for, before the first is dealt with, so that memory answers
//! for all at once; with several shards each is locked once for all packets that need it.
//!
//! Invariants: packets of one connection keep their order, if none of them is translated by a connection of another shard.

use super::packet::{Parsed, parse};
use super::process::{invalid, is_ip};
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
