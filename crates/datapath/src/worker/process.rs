//! What is done with a batch: flows are found, the brain is asked about packets without one, programs are carried out.

use super::Worker;
use crate::brain::{Question, Tag, Wishes};
use crate::exit::Outcome;
use crate::flows::NONE;
use crate::watch::Fate;
use netloom_mem::{BATCH, Batch, Offload, PortNumber, Segmentation};
use netloom_nf::{Program, Reason, Shape, complete_checksum};
use netloom_table::key::{Layers, extract};
use netloom_table::megaflow::Flow;
use netloom_table::{Field, Key};

/// Protocols whose checksums senders leave open.
const TCP: u64 = 6;
const UDP: u64 = 17;
/// Octets of an Ethernet header.
const ETHERNET: usize = 14;
/// How often in a row the brain may send packets to itself.
const PUNTS: usize = 16;

impl Worker {
    /// Decides about a batch of frames that came in through a port, and sends them; gives how many were refused.
    pub(super) fn process(&mut self, place: usize, count: usize, now: u64, contended: bool) -> usize {
        let Some(port) = self.receivers.get(place).map(|receiver| receiver.port) else { return 0 };
        for index in 0..count {
            let length = self.batch.length(index);
            let key = &mut self.keys[index];
            let mut layers = extract(self.batch.head(index), length, port, key);
            if self.batch.offload(index).partial && !is_in_transport(self.batch.offload(index), layers, key) {
                close(&mut self.batch, index);
                layers = extract(self.batch.head(index), self.batch.length(index), port, key);
            }
            self.exit.layers[index] = layers;
        }
        let watched = self.exit.watches.any();
        if watched {
            self.exit.watches.come(&self.batch, &self.keys, port, now);
        }
        let mut found = [NONE; BATCH];
        self.flows.find_batch(&self.keys, count, &mut found);
        let mut refused = 0;
        if found[..count].contains(&NONE) {
            refused = self.translate(place, &mut found[..count], now, contended);
        }
        for (index, flow) in found.into_iter().enumerate().take(count) {
            if flow == NONE {
                continue;
            }
            let octets = self.batch.length(index) as u64;
            let Some(entry) = self.flows.entry(flow) else { continue };
            entry.packets += 1;
            entry.octets += octets;
            entry.used = now;
            let shape = entry.shape;
            // Most programs are told by their shape: what is not needed is not fetched from memory.
            let program = match shape {
                Shape::Output(_) | Shape::Drop(_) => None,
                _ => self.flows.program(flow),
            };
            let key = &self.keys[index];
            let outcome = self.exit.run(&mut self.batch, index, shape, program, key, now);
            if outcome != Outcome::Sent {
                self.conclude(place, outcome);
            }
            if watched && outcome != Outcome::Again {
                let program = self.flows.program(flow);
                self.exit.watches.settle(index, || Fate::of(outcome, shape, program));
            }
        }
        self.exit.send(&mut self.batch);
        if !self.exit.again.is_empty() {
            refused += self.rounds(place, now, contended);
        }
        if watched {
            self.exit.watches.tell();
        }
        refused
    }

    /// Ends a batch that was dealt with.
    pub(super) fn finish(&mut self, now: u64) {
        self.batch.clear();
        if !self.exit.copies.is_empty() {
            self.tell_brain(now);
        }
        if !self.exit.heard.is_empty() {
            self.tell_punted(now);
        }
    }

    #[cold]
    pub(super) fn conclude(&mut self, place: usize, outcome: Outcome) {
        if let (Outcome::Dropped(reason), Some(receiver)) = (outcome, self.receivers.get(place)) {
            receiver.counters.lose(reason, 1);
        }
    }

    /// Gives the brain the packets that are for it, and does what it wishes. No frame may be in the batch.
    #[cold]
    pub(super) fn tell_brain(&mut self, now: u64) {
        for (port, octets) in std::mem::take(&mut self.exit.copies) {
            let wishes = self.brain.heard(port, octets, now);
            self.fulfil(wishes, now);
        }
    }

    /// Gives the brain the packets that programs gave to it. No frame may be in the batch.
    #[cold]
    pub(super) fn tell_punted(&mut self, now: u64) {
        // What the brain sends through programs may be for the brain again; not for ever.
        for _ in 0..PUNTS {
            let heard = std::mem::take(&mut self.exit.heard);
            if heard.is_empty() {
                return;
            }
            let wishes = self.brain.punted(heard, now);
            self.fulfil(wishes, now);
        }
        self.inbox.counters.lost.add(self.exit.heard.len() as u64);
        self.exit.heard.clear();
    }

    fn fulfil(&mut self, wishes: Wishes, now: u64) {
        if wishes.changed_all {
            self.flows.clear();
            self.inbox.changes.tell_all();
        } else {
            self.changed(&wishes.changed);
        }
        for (port, octets) in wishes.send {
            self.inject(port, &octets, now);
        }
        for execution in wishes.execute {
            self.execute(&execution, now);
        }
    }

    /// Takes back what rests on changes that were made here, and tells the others. True if anything was taken back.
    pub(super) fn changed(&mut self, tags: &[Tag]) -> bool {
        let mut lost = false;
        for tag in tags {
            lost |= self.flows.changed(*tag);
        }
        if !self.inbox.alone {
            self.inbox.changes.tell(self.inbox.number, tags);
        }
        lost
    }

    /// Sends a frame of ours. The batch must be empty.
    pub(super) fn inject(&mut self, port: PortNumber, octets: &[u8], now: u64) {
        if self.batch.is_empty() && self.batch.push(0, octets, Offload::NONE) {
            self.exit.send_own(&mut self.batch, 0, port, now);
            self.batch.clear();
        }
    }

    /// Asks the brain about packets without a flow, and gives how many were refused because the port asks too much. Packets
    /// whose answer is not kept are dealt with here.
    #[cold]
    pub(super) fn translate(&mut self, place: usize, found: &mut [Flow], now: u64, contended: bool) -> usize {
        let (mut port, mut credit, mut counters) = (0, u64::MAX, None);
        if let Some(receiver) = self.receivers.get_mut(place) {
            receiver.share.grow(now);
            (port, credit, counters) =
                (receiver.port, receiver.share.credit(), Some(receiver.counters.clone()));
        }
        let lose = |reason: Reason| {
            if let Some(counters) = &counters {
                counters.lose(reason, 1);
            }
        };
        let began = self.now();
        let (mut spent, mut refused) = (0, 0);
        let mut done = 0_u32;
        let mut index = 0;
        while let Some(flow) = found.get_mut(index) {
            index += 1;
            let this = index - 1;
            if *flow != NONE || done >> this & 1 == 1 {
                continue;
            }
            // An earlier packet of the batch may have made the flow.
            if let Some(known) = self.flows.find(&self.keys[this]) {
                *flow = known;
                continue;
            }
            done |= 1 << this;
            let frame = usize::from(self.order[this]);
            let length = self.batch.length(frame);
            if length < 14 && self.keys[this].get(Field::PACKET_TYPE) == 0 {
                lose(Reason::Malformed);
                self.settle(frame, || Fate::Dropped(Reason::Malformed));
                continue;
            }
            if contended && spent > credit {
                lose(Reason::Busy);
                self.settle(frame, || Fate::Dropped(Reason::Busy));
                refused += 1;
                continue;
            }
            let (key, layers, head) =
                (&self.keys[this], self.exit.layers[frame % BATCH], self.batch.head(frame));
            let mut answer = self.brain.translate(&Question { key, layers, head, length, now });
            let lost = !answer.changed.is_empty() && self.changed(&answer.changed);
            let key = &self.keys[this];
            let kept = answer.keep.then(|| self.flows.insert(key, port, &mut answer, now)).flatten();
            match kept {
                Some(new) => {
                    *flow = new;
                    self.flows.made_for(new, length);
                }
                None => {
                    if answer.keep {
                        self.flows.count_one(&answer, port, length as u64, now);
                    }
                    self.once(place, this, &answer.program, now);
                }
            }
            if lost {
                // Flows that were found for other packets may be gone: those are asked about again.
                for (other, flow) in found.iter_mut().enumerate() {
                    if *flow != NONE {
                        *flow = self.flows.find(&self.keys[other]).unwrap_or(NONE);
                        done &= !(1 << other);
                    }
                }
                index = 0;
            }
            if contended {
                spent = self.now().saturating_sub(began);
            }
        }
        if contended && let Some(receiver) = self.receivers.get_mut(place) {
            receiver.share.spend_on_flows(spent);
        }
        refused
    }

    /// Carries out a program for one packet only.
    fn once(&mut self, place: usize, this: usize, program: &Program, now: u64) {
        let (key, frame) = (&self.keys[this % BATCH], self.order[this % BATCH].into());
        self.exit.recall(this);
        let outcome = self.exit.run(&mut self.batch, frame, program.shape(), Some(program), key, now);
        if outcome != Outcome::Again {
            self.settle(frame, || Fate::of(outcome, program.shape(), Some(program)));
        }
        self.conclude(place, outcome);
    }

    /// Says what became of a packet that came in, to those who watch.
    pub(super) fn settle(&mut self, frame: usize, fate: impl Fn() -> Fate) {
        if self.exit.current == 0 {
            self.exit.watches.settle(frame, fate);
        }
    }
}

/// Whether a checksum that is still to be written has its place in the transport header that was found.
fn is_in_transport(offload: &Offload, layers: Layers, key: &Key) -> bool {
    let place = match key.get(Field::IP_PROTO) {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    layers.transport != 0 && (offload.start, offload.offset) == (layers.transport, place)
}

/// Writes a checksum that has its place elsewhere, before anybody looks at the frame: written later, it could make the frame
/// another one than was let through. Of a large frame only the Ethernet header is left: it can't be cut by such a header.
#[cold]
fn close(batch: &mut Batch, index: usize) {
    if batch.offload(index).segmentation != Segmentation::None {
        batch.truncate(index, ETHERNET);
        *batch.offload_mut(index) = Offload::NONE;
    }
    complete_checksum(batch, index);
    // One that lies outside of what can be read stays as it is.
    batch.offload_mut(index).partial = false;
}
