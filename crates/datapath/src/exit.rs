//! The way out: frames are staged for each port while programs run, and sent port by port.
//!
//! Invariants: frames leave a port in the order in which their programs sent them. A frame that will still be changed is
//! sent at once, after what was staged for the port before. What another worker has to send is brought to it as it is:
//! that worker knows what the port takes, and keeps its limit and its simulated link.

use self::again::Again;
use self::connect::Tracked;
use self::tunnels::Templates;
use crate::brain::Heard;
use crate::counters::PortCounters;
use crate::crossing::Crossing;
use crate::inbox::Way;
use crate::links::Links;
use crate::shapers::Shapers;
use crate::watch::Watches;
use netloom_mem::{BATCH, Batch, Label, PortError, PortNumber, Segmentation, SendQueue};
use netloom_nf::conntrack::Tracker;
use netloom_nf::fragments::Fragments;
use netloom_nf::remote::Remote;
use netloom_nf::rewrite::Layout;
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{
    Action, Balance, Bucket, Program, Rate, Reason, Segmenter, Shape, SharedMeter, complete_checksum,
    pop_vlan, push_vlan, set_vlan,
};
use netloom_table::key::Layers;
use netloom_table::{Field, Key};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(crate) mod again;
mod compose;
mod connect;
mod hold;
mod members;
mod meters;
mod punts;
mod tunnels;

/// Most ports of a data path.
const PORTS: usize = 65_536;

struct Output {
    number: PortNumber,
    queue: Box<dyn SendQueue>,
    /// Who sends when the queue can't, or when the port has a limit, a shaper or a link; none if we are that worker.
    through: Option<usize>,
    /// The port has a limit, a shaper or a link, which another worker keeps.
    elsewhere: bool,
    /// What is staged is ours: no limit concerns it.
    unlimited: bool,
    /// The queue that what is staged is for, where another worker shapes the port.
    staged_for: u32,
    counters: Arc<PortCounters>,
    staged: [u8; BATCH],
    count: u8,
    dirty: bool,
    /// Not everything that is for it leaves at once: it has a limit, a shaper or a simulated link.
    special: bool,
    limit: Option<Bucket>,
}

/// A queue where there is none.
struct Nothing;

impl SendQueue for Nothing {
    fn send(&mut self, _: &Batch, _: &[u8]) -> Result<usize, PortError> {
        Err(PortError::Gone)
    }

    fn is_ready(&mut self) -> bool {
        false
    }
}

/// All ports' ways out.
#[derive(Default)]
pub(crate) struct Exit {
    /// Ways to other workers.
    pub(crate) crossing: Crossing,
    outputs: Vec<Option<Output>>,
    /// Those with something staged.
    touched: Vec<PortNumber>,
    /// Those with something to flush.
    dirty: Vec<PortNumber>,
    /// Packets that were cut from large frames.
    cut: Batch,
    meters: HashMap<u32, (Bucket, Reason)>,
    /// Limits of ports, also of those that are not there (yet).
    limits: HashMap<PortNumber, Rate>,
    /// Ports whose simulated link another worker has.
    linked: HashSet<PortNumber>,
    /// Frames under way on simulated links.
    pub(crate) links: Links,
    /// Frames that wait for their turn.
    pub(crate) shapers: Shapers,
    /// Ports that another worker shapes.
    shaped: HashSet<PortNumber>,
    /// The queue that the packet is for that is being dealt with; 0 between packets.
    queue: u32,
    /// Packets that were cut for a shaped port.
    pieces: Batch,
    /// Who watches.
    pub(crate) watches: Watches,
    /// Ports that are several: bonds, by the number that programs send to.
    bonds: HashMap<PortNumber, Balance>,
    /// Streams of copies for collectors.
    remotes: HashMap<u32, Remote>,
    /// A copy on its way to a collector.
    wrapped: Vec<u8>,
    own: Batch,
    /// Packets for the brain.
    pub(crate) copies: Vec<(PortNumber, Vec<u8>)>,
    /// Packets that the brain wants to know more about.
    pub(crate) heard: Vec<Heard>,
    /// Meters that all workers share, by the upper and the lower half of their numbers: each bridge has its own upper half.
    police: Vec<Vec<Option<Arc<SharedMeter>>>>,
    /// Who knows all connections.
    tracker: Option<Arc<Tracker>>,
    /// Fragments that wait for others; none yet if nobody asked.
    fragments: Option<Box<Fragments>>,
    tunnels: Arc<Tunnels>,
    /// Where packets of tunnels are counted, by the tunnel's number.
    tunnel_counters: Vec<Option<Arc<PortCounters>>>,
    templates: HashMap<PortNumber, Templates>,
    /// Where the layers of each frame of the batch begin, as it came.
    pub(crate) layers: [Layers; BATCH],
    /// Packets that are looked up again.
    pub(crate) again: Vec<Again>,
    /// The memory of the last such list.
    again_before: Vec<Again>,
    /// Their frames, where those are copies.
    pub(crate) copied: Vec<Batch>,
    /// The batch that is being dealt with, as in [`again::FramePlace`].
    pub(crate) current: usize,
    /// How often the packet that is being dealt with was looked up again.
    pub(crate) depth: u8,
    /// What connection tracking knows of it.
    pub(crate) tracked: Tracked,
    /// The same for all packets that are being dealt with, if they are looked up again.
    known: Vec<(Tracked, u8)>,
    /// Memory that is used again: batches, keys, a key, octets.
    spare: Vec<Batch>,
    #[allow(clippy::vec_box, reason = "they go from hand to hand")]
    keys: Vec<Box<Key>>,
    scratch: Box<Key>,
    octets: Vec<u8>,
    /// State of the generator of chances; never zero.
    random: u64,
}

/// What came of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was sent, or at least staged, or is for the brain.
    Sent,
    /// It is looked up again, in its place.
    Again,
    /// It is lost.
    Dropped(Reason),
}

impl Exit {
    /// Without ports; `seed` is that of chances.
    pub(crate) fn new(crossing: Crossing, seed: u64) -> Self {
        Self { crossing, random: seed | 1, ..Self::default() }
    }

    pub(crate) fn add(&mut self, way: Way) {
        let Way { number, queue, through, counters } = way;
        let index = number as usize;
        if index >= PORTS {
            return;
        }
        if self.outputs.len() <= index {
            self.outputs.resize_with(index + 1, || None);
        }
        let limit = self.limits.get(&number).filter(|_| through.is_none());
        if let Some(place) = self.outputs.get_mut(index) {
            *place = Some(Output {
                number,
                queue: queue.unwrap_or_else(|| Box::new(Nothing)),
                through,
                elsewhere: false,
                unlimited: false,
                staged_for: 0,
                counters,
                staged: [0; BATCH],
                count: 0,
                dirty: false,
                special: false,
                limit: limit.map(|rate| Bucket::new(*rate, 0)),
            });
        }
        self.mark(number);
    }

    /// Where a port's packets are counted.
    pub(crate) fn counters(&self, number: PortNumber) -> Option<&Arc<PortCounters>> {
        Some(&self.outputs.get(number as usize)?.as_ref()?.counters)
    }

    /// Makes, changes or takes away a token bucket.
    pub(crate) fn meter(&mut self, number: u32, rate: Option<(Rate, Reason)>, now: u64) {
        match rate {
            Some((rate, reason)) => self.meters.insert(number, (Bucket::new(rate, now), reason)),
            None => self.meters.remove(&number),
        };
    }

    pub(crate) fn remove(&mut self, number: PortNumber) -> Option<Box<dyn SendQueue>> {
        self.dirty.retain(|port| *port != number);
        self.touched.retain(|port| *port != number);
        self.shapers.remove(number);
        self.shaped.remove(&number);
        Some(self.outputs.get_mut(number as usize)?.take()?.queue)
    }

    /// Carries out a program on one frame.
    #[inline]
    pub(crate) fn run(
        &mut self,
        batch: &mut Batch,
        index: usize,
        shape: Shape,
        program: Option<&Program>,
        key: &Key,
        now: u64,
    ) -> Outcome {
        match shape {
            Shape::Output(port) => match self.stage(batch, index, port, now) {
                Outcome::Dropped(Reason::PortGone) => self.stage_member(batch, index, port, key, now),
                outcome => outcome,
            },
            Shape::Drop(reason) => Outcome::Dropped(reason),
            Shape::Tunnel(port) => self.send_encapsulated(batch, index, program, (port, key), now),
            Shape::Steps { changing } => {
                let actions = program.map_or(&[][..], Program::actions);
                let outcome = self.steps(batch, index, (actions, usize::from(changing)), key, now);
                self.queue = 0;
                outcome
            }
            Shape::Composed { .. } => match program {
                Some(program) => self.compose(batch, index, program, key, now),
                None => Outcome::Dropped(Reason::PortGone),
            },
        }
    }

    #[inline(never)]
    fn steps(
        &mut self,
        batch: &mut Batch,
        index: usize,
        (actions, changing): (&[Action], usize),
        key: &Key,
        now: u64,
    ) -> Outcome {
        let mut outcome = Outcome::Dropped(Reason::PortGone);
        for (step, action) in actions.iter().enumerate() {
            let done = match *action {
                Action::Output(port) => {
                    let port = self.resolve(port, key);
                    let mut staged = self.stage(batch, index, port, now);
                    if staged == Outcome::Dropped(Reason::PortGone) {
                        staged = self.stage_tunnel(batch, index, port, key, (step + 1 == actions.len(), now));
                    }
                    if step < changing {
                        self.send_port(batch, port);
                    }
                    if outcome != Outcome::Sent {
                        outcome = staged;
                    }
                    true
                }
                Action::Brain => {
                    self.copies.push((key.get(Field::IN_PORT) as PortNumber, batch.octets(index)));
                    outcome = Outcome::Sent;
                    true
                }
                Action::Meter(number) => {
                    if let Some((bucket, reason)) = self.meters.get_mut(&number)
                        && !bucket.take(batch.length(index) as u64, now)
                    {
                        return Outcome::Dropped(*reason);
                    }
                    true
                }
                Action::Remote { number, vlan } => {
                    self.copy_out(batch, index, (number, vlan), key, now);
                    if outcome == Outcome::Dropped(Reason::PortGone) {
                        outcome = Outcome::Sent;
                    }
                    true
                }
                Action::Lose(reason) => {
                    outcome = Outcome::Dropped(reason);
                    true
                }
                Action::PushVlan { tpid, tci } => push_vlan(batch, index, tpid, tci),
                Action::Queue(queue) => {
                    self.queue = queue;
                    true
                }
                Action::PopVlan => pop_vlan(batch, index),
                Action::SetVlan(tci) => set_vlan(batch, index, tci),
                // Nothing has moved headers before it, in a program of this shape.
                Action::Set(ref rewrite) => {
                    rewrite.apply(batch, index, &Layout::of(key, self.layers[index % BATCH]));
                    true
                }
                Action::Punt(ref punt) => {
                    self.punt(batch, index, punt, key, 0);
                    if outcome == Outcome::Dropped(Reason::PortGone) {
                        outcome = Outcome::Sent;
                    }
                    true
                }
                // Whatever becomes of the copies, the packet's fate is another matter.
                Action::Sample(ref sample) => {
                    self.sample(batch, index, sample, key);
                    true
                }
                // Not in a program of this shape.
                _ => true,
            };
            if !done {
                return Outcome::Dropped(Reason::NoHeadroom);
            }
        }
        outcome
    }

    /// Sends a frame of ours, whatever the limit of its port: protocols must not starve when stations fill it.
    pub(crate) fn send_own(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        now: u64,
    ) -> Outcome {
        self.send(batch);
        let Some(Some(output)) = self.outputs.get_mut(port as usize) else {
            return Outcome::Dropped(Reason::PortGone);
        };
        let limit = output.limit.take();
        output.unlimited = true;
        let outcome = self.stage(batch, index, port, now);
        self.send(batch);
        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
            output.limit = limit;
            output.unlimited = false;
        }
        outcome
    }

    /// Stages a frame that another worker brought.
    #[inline(never)]
    pub(crate) fn stage_brought(
        &mut self,
        batch: &mut Batch,
        index: usize,
        label: Label,
        now: u64,
    ) -> Outcome {
        if label.unlimited {
            self.send_own(batch, index, label.to, now)
        } else {
            self.queue = label.queue;
            let outcome = self.stage(batch, index, label.to, now);
            self.queue = 0;
            outcome
        }
    }

    #[inline]
    fn stage(&mut self, batch: &mut Batch, index: usize, port: PortNumber, now: u64) -> Outcome {
        let Some(Some(output)) = self.outputs.get_mut(port as usize) else {
            return Outcome::Dropped(Reason::PortGone);
        };
        if output.special
            && let Some(outcome) = self.hold(batch, index, port, now)
        {
            return outcome;
        }
        self.stage_now(batch, index, port)
    }

    /// Stages a frame that nothing holds back (any more).
    #[inline]
    pub(crate) fn stage_now(&mut self, batch: &mut Batch, index: usize, port: PortNumber) -> Outcome {
        let Some(Some(output)) = self.outputs.get_mut(port as usize) else {
            return Outcome::Dropped(Reason::PortGone);
        };
        if output.count == 0 {
            self.touched.push(port);
        } else if usize::from(output.count) == BATCH {
            // A program may send one frame to one port more than once.
            output.show(batch, &mut self.watches);
            output.send_complete(batch, &mut self.cut, &mut self.crossing);
        }
        if let Some(place) = output.staged.get_mut(usize::from(output.count)) {
            *place = index as u8;
            output.count += 1;
        }
        if !output.dirty {
            output.dirty = true;
            self.dirty.push(port);
        }
        Outcome::Sent
    }

    fn send_port(&mut self, batch: &mut Batch, port: PortNumber) {
        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
            output.show(batch, &mut self.watches);
            output.send_complete(batch, &mut self.cut, &mut self.crossing);
            self.touched.retain(|touched| *touched != port);
        }
    }

    /// Sends everything that is staged.
    #[inline]
    pub(crate) fn send(&mut self, batch: &mut Batch) {
        for port in self.touched.drain(..) {
            if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
                output.show(batch, &mut self.watches);
                output.send_complete(batch, &mut self.cut, &mut self.crossing);
            }
        }
    }

    /// Makes everything that was sent visible.
    #[inline]
    pub(crate) fn flush(&mut self) {
        for port in self.dirty.drain(..) {
            if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
                output.dirty = false;
                output.queue.flush();
            }
        }
        self.crossing.flush();
    }
}

impl Output {
    /// Shows what is staged to those who watch. What is brought to another worker is shown there.
    #[inline]
    fn show(&mut self, batch: &Batch, watches: &mut Watches) {
        if watches.any() && !self.crosses() {
            watches.go(batch, &self.staged[..usize::from(self.count)], self.number);
        }
    }

    /// Whether another worker sends.
    fn crosses(&mut self) -> bool {
        self.through.is_some() && (self.elsewhere || !self.queue.is_ready())
    }

    /// Sends what is staged, after completing what the port can't: checksums that were left open, and large frames.
    #[inline]
    fn send_complete(&mut self, batch: &mut Batch, cut: &mut Batch, crossing: &mut Crossing) {
        if let Some(worker) = self.through
            && (self.elsewhere || !self.queue.is_ready())
        {
            return self.cross(batch, crossing, worker);
        }
        if !self.queue.takes_offloads() {
            let staged = self.staged;
            let mut large = false;
            for index in &staged[..usize::from(self.count)] {
                let offload = batch.offload(usize::from(*index));
                if offload.is_complete() || self.queue.takes(offload) {
                    continue;
                }
                if offload.segmentation != Segmentation::None {
                    large = true;
                } else {
                    complete_checksum(batch, usize::from(*index));
                }
            }
            if large {
                return self.send_cut(batch, cut);
            }
        }
        self.send(batch);
    }

    /// Brings what is staged to the worker that sends.
    fn cross(&mut self, batch: &Batch, crossing: &mut Crossing, worker: usize) {
        let label = Label { to: self.number, queue: self.staged_for, unlimited: self.unlimited };
        let staged = self.staged;
        for index in &staged[..usize::from(self.count)] {
            if !crossing.push(worker, batch, usize::from(*index), label) {
                self.counters.unsent.add(1);
            }
        }
        self.count = 0;
    }

    /// Sends what is staged one by one, large frames in pieces.
    #[cold]
    fn send_cut(&mut self, batch: &mut Batch, cut: &mut Batch) {
        let (staged, count) = (self.staged, usize::from(self.count));
        for index in &staged[..count] {
            let index = usize::from(*index);
            let offload = batch.offload(index);
            if offload.segmentation == Segmentation::None || self.queue.takes(offload) {
                (self.staged[0], self.count) = (index as u8, 1);
                self.send(batch);
                continue;
            }
            let network = network(batch.head(index));
            let Some(mut segmenter) = Segmenter::new(batch, index, network) else {
                self.counters.unsent.add(1);
                continue;
            };
            let mut more = true;
            while more {
                more = segmenter.fill(batch, index, cut);
                for (place, piece) in self.staged.iter_mut().zip(0..cut.len()) {
                    *place = piece as u8;
                }
                self.count = cut.len() as u8;
                self.send(cut);
                cut.clear();
            }
        }
        self.count = 0;
    }

    #[inline]
    fn send(&mut self, batch: &Batch) {
        let frames = &self.staged[..usize::from(self.count)];
        let octets =
            |frames: &[u8]| frames.iter().map(|index| batch.length(usize::from(*index)) as u64).sum();
        let sent = self.queue.send(batch, frames).unwrap_or(0).min(frames.len());
        let (gone, kept) = frames.split_at(sent);
        self.counters.sent.add(sent as u64);
        self.counters.sent_octets.add(octets(gone));
        if !kept.is_empty() {
            self.counters.unsent.add(kept.len() as u64);
        }
        self.count = 0;
    }
}

/// Where the network header begins, behind up to two VLAN tags.
pub(crate) fn network(head: &[u8]) -> usize {
    let tagged = |at: usize| matches!(head.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    match (tagged(12), tagged(16)) {
        (false, _) => 14,
        (true, false) => 18,
        (true, true) => 22,
    }
}
