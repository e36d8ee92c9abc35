//! Frames that are under way on simulated links.
//!
//! What: a frame that a link delays is copied and hangs in a timer wheel until it arrives: what comes in is then decided
//! about as if it had just come, what goes out is sent. Large frames are cut into packets first, so that a link loses and
//! delays what a real one would.
//!
//! Invariants: a frame arrives at its time or less than a [tick](TICK) later, as far as the worker takes its turns.
//! Frames of one link keep their order (but see [`netloom_nf::link::Medium::reorder`]). There are bounds for each link
//! and for the worker; beyond them frames are dropped for [`Reason::LinkFull`].
//!
//! Costs: nothing for ports without a link. Two copies for a frame on one; memory of frames is used again.

use crate::counters::PortCounters;
use crate::exit::{Outcome, network};
use netloom_mem::{Batch, Counter, Offload, PortNumber, Segmentation};
use netloom_nf::link::{Cable, Fate, Line, Occupied};
use netloom_nf::{Reason, Segmenter, complete_checksum};
use netloom_table::Wheel;
use std::collections::HashMap;

/// A tick has 2^12 ns: about 4 µs.
pub const TICK: u32 = 12;
/// Most frames under way.
const FRAMES: usize = 1 << 17;
/// Most octets of them.
const OCTETS: usize = 256 << 20;
/// Most buffers that are kept for later frames, and their largest size.
const SPARE: (usize, usize) = (1024, 16 << 10);

/// Which way a frame goes through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Into the switch.
    In,
    /// Out of it.
    Out,
}

/// A frame under way.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) port: PortNumber,
    pub(crate) side: Side,
    pub(crate) octets: Vec<u8>,
    pub(crate) offload: Offload,
}

#[derive(Debug)]
struct Simulated {
    lines: [Line; 2],
    occupied: [Occupied; 2],
    half_duplex: bool,
    seed: u64,
}

impl Simulated {
    /// Whether frames have to go through it one way: it does something, or they would overtake what is under way.
    fn has(&self, side: Side) -> bool {
        let line = &self.lines[side as usize];
        !line.medium().is_nothing() || line.under_way().0 > 0
    }

    fn is_over(&self) -> bool {
        !self.has(Side::In) && !self.has(Side::Out)
    }
}

/// The seed of the way out.
const fn other(seed: u64) -> u64 {
    seed.rotate_left(32) ^ 1
}

/// What is under way at a worker.
pub(crate) struct Links {
    by_port: HashMap<PortNumber, Simulated>,
    wheel: Wheel<Held>,
    octets: usize,
    spare: Vec<Vec<u8>>,
    /// It has arrived, but whoever took it could not use it yet.
    returned: Option<Held>,
    /// Packets that were cut from large frames.
    cut: Batch,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            by_port: HashMap::new(),
            wheel: Wheel::new(TICK, FRAMES, 0),
            octets: 0,
            spare: Vec::new(),
            returned: None,
            cut: Batch::new(),
        }
    }
}

impl Links {
    /// Makes, changes or takes away the link of a port. What is under way arrives in any case.
    pub(crate) fn set(&mut self, port: PortNumber, cable: &Cable, seed: u64) {
        match self.by_port.get_mut(&port) {
            None if cable.is_nothing() => {}
            None => {
                let lines = [Line::new(cable.inward, seed), Line::new(cable.outward, other(seed))];
                let half_duplex = cable.half_duplex;
                let occupied = [Occupied::default(); 2];
                self.by_port.insert(port, Simulated { lines, occupied, half_duplex, seed });
            }
            Some(there) => {
                there.lines[0].set(cable.inward);
                there.lines[1].set(cable.outward);
                there.half_duplex = cable.half_duplex;
                if there.seed != seed {
                    there.seed = seed;
                    there.lines[0].seed(seed);
                    there.lines[1].seed(other(seed));
                }
                self.sweep(port);
            }
        }
    }

    /// Whether frames of a port have to go through here.
    pub(crate) fn has(&self, port: PortNumber, side: Side) -> bool {
        self.by_port.get(&port).is_some_and(|link| link.has(side))
    }

    /// Whether no port has a link.
    pub(crate) fn is_none(&self) -> bool {
        self.by_port.is_empty()
    }

    /// Whether nothing is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.wheel.is_empty() && self.returned.is_none()
    }

    /// A time before which nothing arrives.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.returned.is_some() { Some(0) } else { self.wheel.next() }
    }

    /// Sends a frame of a batch.
    pub(crate) fn send(
        &mut self,
        batch: &mut Batch,
        index: usize,
        at: (PortNumber, Side),
        counters: &PortCounters,
        now: u64,
    ) -> Outcome {
        if batch.offload(index).segmentation == Segmentation::None {
            return self.send_packet(batch, index, at, counters, now);
        }
        let network = network(batch.head(index));
        let Some(mut segmenter) = Segmenter::new(batch, index, network) else {
            return Outcome::Dropped(Reason::Malformed);
        };
        let mut cut = std::mem::take(&mut self.cut);
        let mut whole = Outcome::Sent;
        let (mut more, mut sent) = (true, false);
        while more {
            more = segmenter.fill(batch, index, &mut cut);
            for piece in 0..cut.len() {
                match self.send_packet(&mut cut, piece, at, counters, now) {
                    Outcome::Sent | Outcome::Again => sent = true,
                    lost @ Outcome::Dropped(_) => whole = lost,
                }
            }
            cut.clear();
        }
        self.cut = cut;
        if sent { Outcome::Sent } else { whole }
    }

    fn send_packet(
        &mut self,
        batch: &mut Batch,
        index: usize,
        (port, side): (PortNumber, Side),
        counters: &PortCounters,
        now: u64,
    ) -> Outcome {
        let Some(simulated) = self.by_port.get_mut(&port) else { return Outcome::Dropped(Reason::PortGone) };
        let count = &counters.links[side as usize];
        let octets = batch.length(index);
        let occupied = &mut simulated.occupied[if simulated.half_duplex { 0 } else { side as usize }];
        let line = &mut simulated.lines[side as usize];
        count.packets.add(1);
        let fate = line.send(octets, now, occupied);
        let Fate::Arrives { at, wrong, again, overtakes } = fate else {
            let Fate::Lost(reason) = fate else { return Outcome::Sent };
            let counter = if reason == Reason::LinkFull { &count.full } else { &count.lost };
            counter.add(1);
            return Outcome::Dropped(reason);
        };
        if wrong.is_some() && batch.offload(index).partial {
            // What is written later would be right for the wrong bit.
            complete_checksum(batch, index);
        }
        count.overtaken.add(u64::from(overtakes));
        count.corrupted.add(u64::from(wrong.is_some()));
        count.duplicated.add(u64::from(again.is_some()));
        let first = self.hold(batch, index, (port, side), wrong, at);
        if let Some(at) = again {
            self.hold(batch, index, (port, side), wrong, at);
        }
        if !first {
            count.full.add(1);
            return Outcome::Dropped(Reason::LinkFull);
        }
        Outcome::Sent
    }

    /// Copies a frame and lets it wait; false if there is no room.
    fn hold(
        &mut self,
        batch: &Batch,
        index: usize,
        (port, side): (PortNumber, Side),
        wrong: Option<u64>,
        at: u64,
    ) -> bool {
        let length = batch.length(index);
        let mut octets = self.spare.pop().unwrap_or_default();
        octets.clear();
        octets.resize(length, 0);
        batch.copy(index, 0, &mut octets);
        if let Some(bit) = wrong
            && let Some(octet) = octets.get_mut((bit / 8) as usize)
        {
            *octet ^= 1 << (bit % 8);
        }
        let held = Held { port, side, octets, offload: *batch.offload(index) };
        let refused = if self.octets + length > OCTETS {
            Some(held)
        } else {
            self.octets += length;
            self.wheel.set(at, held).err().inspect(|_| self.octets -= length)
        };
        let fits = refused.is_none();
        if let Some(held) = refused {
            self.leave(&held);
            self.give_back(held.octets);
        }
        fits
    }

    /// The next frame that has arrived. Its octets are to be [given back](Links::give_back).
    pub(crate) fn arrived(&mut self, now: u64) -> Option<Held> {
        if let Some(held) = self.returned.take() {
            return Some(held);
        }
        let held = self.wheel.pop(now)?;
        self.octets -= held.octets.len();
        self.leave(&held);
        Some(held)
    }

    /// Takes a frame back that has arrived: it is the next one again.
    pub(crate) fn put_back(&mut self, held: Held) {
        self.returned = Some(held);
    }

    /// Takes memory back.
    pub(crate) fn give_back(&mut self, octets: Vec<u8>) {
        if self.spare.len() < SPARE.0 && octets.capacity() <= SPARE.1 {
            self.spare.push(octets);
        }
    }

    /// Notes that a frame is no longer under way.
    fn leave(&mut self, held: &Held) {
        if let Some(simulated) = self.by_port.get_mut(&held.port) {
            simulated.lines[held.side as usize].arrived(held.octets.len());
        }
    }

    /// All ports with a link.
    pub(crate) fn ports(&self) -> Vec<PortNumber> {
        self.by_port.keys().copied().collect()
    }

    /// Ends the link of a port if it does nothing any more.
    pub(crate) fn sweep(&mut self, port: PortNumber) {
        if self.by_port.get(&port).is_some_and(Simulated::is_over) {
            self.by_port.remove(&port);
        }
    }

    /// Copies how much is under way to where others can read it.
    pub(crate) fn publish(&self, port: PortNumber, counters: &PortCounters) {
        for side in [Side::In, Side::Out] {
            let count = &counters.links[side as usize].under_way;
            let link = self.by_port.get(&port);
            let under_way = link.map_or(0, |link| link.lines[side as usize].under_way().0);
            count.add((under_way as u64).wrapping_sub(count.get()));
        }
    }
}

/// What one direction of a simulated link counts at one worker.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    packets: Counter,
    lost: Counter,
    full: Counter,
    duplicated: Counter,
    corrupted: Counter,
    overtaken: Counter,
    under_way: Counter,
}

impl LinkCounters {
    pub(crate) fn begin_with(&self, totals: &LinkTotals) {
        self.packets.add(totals.packets);
        self.lost.add(totals.lost);
        self.full.add(totals.full);
        self.duplicated.add(totals.duplicated);
        self.corrupted.add(totals.corrupted);
        self.overtaken.add(totals.overtaken);
    }
}

/// What was counted of one direction of a simulated link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkTotals {
    /// Packets that were sent on it.
    pub packets: u64,
    /// Lost by its nature.
    pub lost: u64,
    /// Lost since it was full.
    pub full: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived with a wrong bit.
    pub corrupted: u64,
    /// Overtook others.
    pub overtaken: u64,
    /// Under way, as of the last second.
    pub under_way: u64,
}

impl LinkTotals {
    pub(crate) fn add(&mut self, counters: &LinkCounters) {
        self.packets += counters.packets.get();
        self.lost += counters.lost.get();
        self.full += counters.full.get();
        self.duplicated += counters.duplicated.get();
        self.corrupted += counters.corrupted.get();
        self.overtaken += counters.overtaken.get();
        self.under_way += counters.under_way.get();
    }
}
