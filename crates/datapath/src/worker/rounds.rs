//! Packets that are looked up again, and packets of the brain's own.
//!
//! What: after all packets of a batch were dealt with once, those that a program wants looked up again are dealt with, and
//! so on until none is left. Those that are still in their place of the batch stay there; copies wait in batches of their
//! own.
//!
//! Invariants: the packets of a flow keep their order, because each round deals with them in the order of the last one.

use super::Worker;
use crate::brain::Execution;
use crate::exit::Outcome;
use crate::exit::again::Again;
use crate::flows::NONE;
use crate::watch::Fate;
use netloom_mem::{BATCH, Offload};
use netloom_table::key::extract_beside;
use netloom_table::{Field, Key};

/// The frames of a batch in their order.
pub(super) const AS_THEY_CAME: [u8; BATCH] = {
    let mut order = [0; BATCH];
    let mut place = 0;
    while place < BATCH {
        order[place] = place as u8;
        place += 1;
    }
    order
};

impl Worker {
    /// Deals with all packets that are looked up again; gives how many were refused.
    #[inline(never)]
    pub(super) fn rounds(&mut self, place: usize, now: u64, contended: bool) -> usize {
        let mut refused = 0;
        while !self.exit.again.is_empty() {
            let all = self.exit.take_again();
            for group in all.chunk_by(|one, other| one.place.batch == other.place.batch) {
                for some in group.chunks(BATCH) {
                    refused += self.round(place, some, now, contended);
                }
            }
            self.exit.keep_keys(all);
        }
        self.exit.forget_copies();
        self.exit.depth = 0;
        self.order = AS_THEY_CAME;
        refused
    }

    /// Deals with some packets of one batch.
    fn round(&mut self, place: usize, packets: &[Again], now: u64, contended: bool) -> usize {
        let batch = packets.first().map_or(0, |packet| packet.place.batch);
        self.change_places(batch);
        self.exit.current = batch;
        for (slot, packet) in packets.iter().enumerate() {
            let frame = usize::from(packet.place.index);
            self.order[slot] = packet.place.index;
            self.exit.layers[frame % BATCH] = match packet.layers {
                Some(layers) => {
                    debug_assert!(is_of(&packet.key, self.batch.head(frame), self.batch.length(frame)));
                    self.keys[slot].clone_from(&packet.key);
                    layers
                }
                None => {
                    let (head, length) = (self.batch.head(frame), self.batch.length(frame));
                    extract_beside(head, length, &packet.key, &mut self.keys[slot])
                }
            };
        }
        self.exit.remember(packets);
        let mut found = [NONE; BATCH];
        let count = packets.len();
        self.flows.find_batch(&self.keys, count, &mut found);
        let mut refused = 0;
        if found[..count].contains(&NONE) {
            refused = self.translate(place, &mut found[..count], now, contended);
        }
        for (slot, flow) in found.into_iter().enumerate().take(count) {
            if flow == NONE {
                continue;
            }
            let frame = usize::from(self.order[slot]);
            let octets = self.batch.length(frame) as u64;
            let Some(entry) = self.flows.entry(flow) else { continue };
            entry.packets += 1;
            entry.octets += octets;
            entry.used = now;
            let shape = entry.shape;
            self.exit.recall(slot);
            let (program, key) = (self.flows.program(flow), &self.keys[slot]);
            let outcome = self.exit.run(&mut self.batch, frame, shape, program, key, now);
            if outcome == Outcome::Again {
                continue;
            }
            if self.exit.watches.any() && batch == 0 {
                let program = self.flows.program(flow);
                self.exit.watches.settle(frame, || Fate::of(outcome, shape, program));
            }
            self.conclude(place, outcome);
        }
        self.exit.send(&mut self.batch);
        self.exit.current = 0;
        self.exit.remember(&[]);
        self.change_places(batch);
        refused
    }

    /// Makes a batch of copies the worker's, or the worker's again.
    fn change_places(&mut self, batch: usize) {
        if let Some(frames) = batch.checked_sub(1).and_then(|place| self.exit.copied.get_mut(place)) {
            std::mem::swap(frames, &mut self.batch);
        }
    }

    /// Sends a packet of the brain's through a program. The batch must be empty.
    pub(super) fn execute(&mut self, execution: &Execution, now: u64) {
        let port = execution.key.get(Field::IN_PORT) as u32;
        if !self.batch.is_empty() || !self.batch.push(port, &execution.octets, Offload::NONE) {
            self.inbox.counters.lost.add(1);
            return;
        }
        let (head, length) = (self.batch.head(0), self.batch.length(0));
        self.exit.layers[0] = extract_beside(head, length, &execution.key, &mut self.keys[0]);
        let (program, key) = (&execution.program, &self.keys[0]);
        let outcome = self.exit.run(&mut self.batch, 0, program.shape(), Some(program), key, now);
        self.exit.send(&mut self.batch);
        let place = self.receivers.iter().position(|receiver| receiver.port == port);
        if !self.exit.again.is_empty() {
            self.rounds(place.unwrap_or(usize::MAX), now, false);
        }
        if let (Outcome::Dropped(_), None) = (outcome, place) {
            self.inbox.counters.lost.add(1);
        }
        self.batch.clear();
    }
}

/// Whether a key is what would be extracted of a packet.
fn is_of(key: &Key, head: &[u8], length: usize) -> bool {
    let mut extracted = Key::default();
    extract_beside(head, length, key, &mut extracted);
    extracted.words() == key.words()
}
