//! One worker's turn.

mod commands;
mod process;
mod rounds;

use crate::brain::{Brain, Used};
use crate::changes::Missed;
use crate::counters::{PortCounters, QueueLoad};
use crate::exit::{Exit, Outcome};
use crate::flows::{FlowBounds, Flows};
use crate::inbox::{self, Inbox};
use crate::links::Side;
use crate::share::Share;
use netloom_mem::{BATCH, Batch, Label, PortNumber, ReceiveQueue, Wake};
use netloom_nf::Reason;
use netloom_table::Key;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::sync::Arc;

/// Commands that are taken in one turn.
const COMMANDS: usize = 64;
/// A port that had no packets for so many nanoseconds competes with nobody.
const ACTIVE: u64 = 1_000_000;
/// Nanoseconds for which it is not worth to sleep.
const WAKING: u64 = 5_000;
/// Frames of simulated links that are taken in one turn.
const ARRIVALS: usize = 1024;
/// Of so many turns one is measured.
const MEASURED: u64 = 16;
/// Batches that are taken from one lane in one turn.
const LANE_BATCHES: usize = 8;
/// So many turns take everything that a full lane holds.
const LANE_ROUNDS: usize = 64;
/// Memory of guests that are gone is let go after so many nanoseconds.
const RELEASE: u64 = 1_000_000_000;

struct Receiver {
    port: PortNumber,
    /// Its place among the port's queues.
    index: usize,
    queue: Box<dyn ReceiveQueue>,
    counters: Arc<PortCounters>,
    load: Arc<QueueLoad>,
    /// What comes in goes through a simulated link first.
    linked: bool,
    /// When packets came last.
    active: u64,
    /// Its last batch was full: more waits than is served.
    full: bool,
    /// What new flows may still cost.
    share: Share,
    /// It told of nothing while the worker slept: the next turn need not ask it.
    silent: bool,
}

/// The packet path of one thread.
pub struct Worker {
    inbox: Inbox,
    brain: Box<dyn Brain>,
    batch: Batch,
    keys: Box<[Key; BATCH]>,
    /// Which frames of the batch the keys are of.
    order: [u8; BATCH],
    flows: Flows,
    receivers: Vec<Receiver>,
    exit: Exit,
    used: Vec<Used>,
    clock: Box<dyn Fn() -> u64 + Send>,
    released: u64,
    /// The version of the changes that the flows know.
    seen: u64,
    turns: u64,
    /// When the last one began.
    looked: u64,
    labels: [Label; BATCH],
    /// No queue is touched, until it is told to go on.
    paused: bool,
    stop: bool,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("receivers", &self.receivers.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker without ports. `clock` gives nanoseconds; `seed` is for the caches' hashes.
    #[must_use]
    pub fn new(
        side: inbox::Side,
        brain: Box<dyn Brain>,
        bounds: FlowBounds,
        seed: u64,
        clock: Box<dyn Fn() -> u64 + Send>,
    ) -> Self {
        let mut inbox = side.0;
        let exit = Exit::new(std::mem::take(&mut inbox.crossing), seed);
        Self {
            seen: inbox.changes.version(),
            inbox,
            brain,
            batch: Batch::new(),
            keys: Box::new(std::array::from_fn(|_| Key::default())),
            order: rounds::AS_THEY_CAME,
            flows: Flows::new(bounds, seed),
            receivers: Vec::new(),
            exit,
            used: Vec::new(),
            clock,
            released: 0,
            turns: 0,
            looked: 0,
            labels: [Label::default(); BATCH],
            paused: false,
            stop: false,
        }
    }

    /// Whether it was told to end.
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.stop
    }

    /// One turn over all ports; gives the number of packets that came.
    pub fn turn(&mut self) -> usize {
        let now = self.now();
        self.looked = now;
        self.exit.watches.time = now;
        if self.inbox.changes.version() != self.seen {
            self.catch_up();
        }
        self.take_commands(now);
        self.turns += 1;
        let measured = self.turns.is_multiple_of(MEASURED);
        let mut packets = if self.inbox.alone { 0 } else { self.serve_lanes(now, measured) };
        if self.paused {
            self.exit.flush();
            return packets;
        }
        let active =
            self.receivers.iter().filter(|receiver| now.saturating_sub(receiver.active) < ACTIVE).count();
        if !self.exit.links.is_idle() {
            packets += self.take_arrived(now, active > 1);
        }
        if !self.exit.shapers.is_idle() {
            packets += self.take_due(now);
        }
        for place in 0..self.receivers.len() {
            let began = if measured { self.now() } else { 0 };
            let count = self.serve(place, now, active > 1);
            if count > 0 {
                packets += count;
                self.note(place, count, measured.then_some(began));
            }
        }
        self.exit.flush();
        self.exit.end_connections(now);
        self.inbox.counters.lost.add(self.exit.expire_fragments(now) as u64);
        self.flows.sweep(now, &mut self.used);
        self.tell_used(now);
        if now.saturating_sub(self.released) > RELEASE {
            self.released = now;
            self.batch.release();
            self.publish();
            for port in self.exit.links.ports() {
                self.exit.sweep_link(port);
                self.mark_linked(port);
            }
            self.exit.sweep_shapers();
        }
        self.inbox.counters.turns.add(1);
        self.inbox.counters.busy_turns.add(u64::from(packets > 0));
        packets
    }

    /// Tells the brain what flows carried.
    fn tell_used(&mut self, now: u64) {
        if !self.used.is_empty() {
            self.brain.used(&self.used, now);
            self.used.clear();
        }
    }

    /// Tells the brain everything that flows carried.
    fn tell_all_used(&mut self, now: u64) {
        self.flows.tell_all(now, &mut self.used);
        self.tell_used(now);
    }

    /// When the last turn began.
    #[must_use]
    pub const fn looked(&self) -> u64 {
        self.looked
    }

    fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Copies the cache's statistics to where others can read them.
    fn publish(&self) {
        let (statistics, flows, masks) = self.flows.statistics();
        let counters = &self.inbox.counters;
        let set = |counter: &netloom_mem::Counter, value: u64| counter.add(value.wrapping_sub(counter.get()));
        set(&counters.signature_hits, statistics.signatures);
        set(&counters.subtable_hits, statistics.subtables);
        set(&counters.misses, statistics.misses);
        set(&counters.flows, flows as u64);
        set(&counters.masks, masks as u64);
        set(&counters.crossed, self.exit.crossing.crossed);
    }

    /// Whether frames are under way on simulated links, or wait at ports that are shaped.
    #[must_use]
    pub const fn waits(&self) -> bool {
        !(self.paused || self.exit.links.is_idle() && self.exit.shapers.is_idle())
    }

    /// Sleeps until a port has packets, a command comes, or `most` nanoseconds have passed. Does not sleep if some
    /// port can only be polled.
    pub fn sleep(&mut self, most: u64) {
        let began = self.now();
        let next = self.exit.links.next().into_iter().chain(self.exit.shapers.next()).min();
        let most = match next.filter(|_| !self.paused) {
            // The system wakes a little late: a short wait is spent awake.
            Some(next) if next <= began + WAKING => return std::hint::spin_loop(),
            Some(next) => most.min(next - began),
            None => most,
        };
        self.publish();
        self.inbox.bell.fall_asleep();
        if self.inbox.lanes.iter_mut().any(|lane| !lane.is_empty()) {
            return self.inbox.bell.wake_up();
        }
        let mut wait = vec![PollFd::new(&*self.inbox.bell, PollFlags::IN)];
        let mut places = Vec::new();
        let mut polled = false;
        let receivers = if self.paused { &mut [][..] } else { &mut self.receivers[..] };
        for (place, receiver) in receivers.iter_mut().enumerate() {
            match receiver.queue.wake(true) {
                Wake::Readable(descriptor) => {
                    wait.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
                    places.push(place);
                }
                Wake::Poll => polled = true,
                Wake::Never => {}
            }
        }
        let most = if polled { most.min(50_000) } else { most };
        let timeout =
            Timespec { tv_sec: (most / 1_000_000_000) as i64, tv_nsec: (most % 1_000_000_000) as i64 };
        let looked = rustix::event::poll(&mut wait, Some(&timeout)).is_ok();
        let events = wait.iter().skip(1).map(PollFd::revents);
        let silent: Vec<bool> = events.map(|events| looked && events.is_empty()).collect();
        drop(wait);
        for (place, silent) in places.into_iter().zip(silent) {
            self.receivers[place].silent = silent;
        }
        self.inbox.bell.wake_up();
        if !self.paused {
            for receiver in &mut self.receivers {
                receiver.queue.wake(false);
            }
        }
        self.inbox.counters.sleeps.add(1);
        self.inbox.counters.asleep.add(self.now().saturating_sub(began));
    }

    /// Takes back what rests on changes that others told of.
    #[cold]
    fn catch_up(&mut self) {
        match self.inbox.changes.read(self.inbox.number, &mut self.seen) {
            Missed::All => self.flows.clear(),
            Missed::Tags(tags) => {
                for tag in tags {
                    self.flows.changed(tag);
                }
            }
        }
    }

    /// Sends what other workers brought.
    #[inline(never)]
    fn serve_lanes(&mut self, now: u64, measured: bool) -> usize {
        let mut packets = 0;
        for lane in &mut self.inbox.lanes {
            for _ in 0..LANE_BATCHES {
                let count = lane.receive(&mut self.batch, &mut self.labels);
                if count == 0 {
                    break;
                }
                packets += count;
                for (index, label) in self.labels.iter().enumerate().take(count) {
                    let outcome = self.exit.stage_brought(&mut self.batch, index, *label, now);
                    if let Outcome::Dropped(reason) = outcome {
                        match self.exit.counters(self.batch.port(index)) {
                            Some(counters) => counters.lose(reason, 1),
                            // The port whose limit or link it is has counted it.
                            None if reason != Reason::PortGone => {}
                            None => self.inbox.counters.lost.add(1),
                        }
                    }
                }
                self.exit.send(&mut self.batch);
                self.batch.clear();
                lane.release();
            }
        }
        if measured && packets > 0 {
            let spent = MEASURED * self.now().saturating_sub(now);
            self.inbox.counters.brought.add(spent);
            self.inbox.counters.busy.add(spent);
        }
        packets
    }

    /// Notes what a queue cost.
    #[inline(never)]
    fn note(&self, place: usize, count: usize, began: Option<u64>) {
        let Some(receiver) = self.receivers.get(place) else { return };
        receiver.load.packets.add(count as u64);
        if let Some(began) = began {
            let spent = MEASURED * self.now().saturating_sub(began);
            receiver.load.nanoseconds.add(spent);
            self.inbox.counters.busy.add(spent);
        }
    }

    #[inline(never)]
    fn serve(&mut self, place: usize, now: u64, contended: bool) -> usize {
        let spent = contended && self.receivers.get(place).is_some_and(|known| !known.share.is_whole());
        if spent && self.must_wait(place, now) {
            return 0;
        }
        let began = if spent { self.now() } else { now };
        let Some(receiver) = self.receivers.get_mut(place) else { return 0 };
        if std::mem::take(&mut receiver.silent) {
            return 0;
        }
        // A peer that is gone has left what it sent before in the batch; it comes back by itself.
        let count = receiver.queue.receive(&mut self.batch).unwrap_or(self.batch.len());
        receiver.full = count == BATCH;
        if count == 0 {
            return 0;
        }
        // The turn may have begun long before the frames came: on a simulated link that would make them early.
        let now = if self.exit.links.is_none() { now } else { (self.clock)() };
        receiver.active = now;
        let octets = (0..count).map(|index| self.batch.length(index) as u64).sum();
        receiver.counters.received.add(count as u64);
        receiver.counters.received_octets.add(octets);
        let before = receiver.share;
        let refused = if receiver.linked {
            self.delay(place, count, now);
            0
        } else {
            self.process(place, count, now, contended)
        };
        if spent && refused > 0 {
            self.charge(place, before, self.now().saturating_sub(began), (refused, count));
        }
        if let Some(receiver) = self.receivers.get_mut(place) {
            receiver.queue.complete();
        }
        self.finish(now);
        count
    }

    /// Whether a queue spent more than its share on packets without a flow, while others have more than is served.
    #[cold]
    fn must_wait(&mut self, place: usize, now: u64) -> bool {
        let Some(receiver) = self.receivers.get_mut(place) else { return false };
        receiver.share.grow(now);
        if !receiver.share.is_in_debt() {
            return false;
        }
        let mut others = self.receivers.iter().enumerate().filter(|(other, _)| *other != place);
        let waits = others.any(|(_, other)| other.full && !other.share.is_in_debt());
        if waits && let Some(receiver) = self.receivers.get_mut(place) {
            // What it has waits, so that it still competes.
            receiver.active = now;
        }
        waits
    }

    /// Makes a queue pay for the packets of a batch that were refused, beyond what it has paid for the others.
    #[cold]
    fn charge(&mut self, place: usize, before: Share, elapsed: u64, (refused, count): (usize, usize)) {
        let Some(receiver) = self.receivers.get_mut(place) else { return };
        let rest = elapsed.saturating_sub(receiver.share.spent_since(&before));
        receiver.share.spend(rest.saturating_mul(refused as u64) / count.max(1) as u64);
    }

    /// Sends what came through a port on its simulated link.
    #[cold]
    fn delay(&mut self, place: usize, count: usize, now: u64) {
        let Some(receiver) = self.receivers.get(place) else { return };
        let (port, counters) = (receiver.port, receiver.counters.clone());
        for index in 0..count {
            let outcome = self.exit.links.send(&mut self.batch, index, (port, Side::In), &counters, now);
            self.conclude(place, outcome);
        }
    }

    /// Deals with frames that have arrived over simulated links, and gives their number.
    #[cold]
    fn take_arrived(&mut self, now: u64, contended: bool) -> usize {
        let mut count = 0;
        while count < ARRIVALS
            && let Some(first) = self.exit.links.arrived(now)
        {
            let (port, side) = (first.port, first.side);
            let mut next = Some(first);
            // What comes in is dealt with port by port, what goes out is staged for each port.
            while let Some(held) = next.take() {
                let fits = held.side == side && (side == Side::Out || held.port == port);
                if !fits || self.batch.room() == 0 {
                    self.exit.links.put_back(held);
                    break;
                }
                let index = self.batch.len();
                if self.batch.push(held.port, &held.octets, held.offload)
                    && side == Side::Out
                    && self.exit.stage_now(&mut self.batch, index, held.port) != Outcome::Sent
                {
                    self.inbox.counters.lost.add(1);
                }
                self.exit.links.give_back(held.octets);
                next = self.exit.links.arrived(now);
            }
            count += self.batch.len();
            let place = self.receivers.iter().position(|receiver| receiver.port == port);
            match (side, place) {
                (Side::Out, _) => {
                    self.exit.send(&mut self.batch);
                    self.batch.clear();
                }
                (Side::In, Some(place)) => {
                    self.process(place, self.batch.len(), now, contended);
                    self.finish(now);
                }
                // Nobody receives from the port here any more.
                (Side::In, None) => {
                    match self.exit.counters(port) {
                        Some(counters) => counters.lose(Reason::PortGone, self.batch.len() as u64),
                        None => self.inbox.counters.lost.add(self.batch.len() as u64),
                    }
                    self.batch.clear();
                }
            }
        }
        count
    }

    /// Sends frames that waited at ports that are shaped, and gives their number.
    #[cold]
    fn take_due(&mut self, now: u64) -> usize {
        let mut count = 0;
        while count < ARRIVALS
            && let Some((port, frame)) = self.exit.shapers.due(now)
        {
            if self.batch.room() == 0 {
                self.exit.send(&mut self.batch);
                self.batch.clear();
            }
            let index = self.batch.len();
            if self.batch.push(port, &frame.octets, frame.offload)
                && self.exit.stage_due(&mut self.batch, index, port, now) != Outcome::Sent
            {
                self.inbox.counters.lost.add(1);
            }
            self.exit.shapers.give_back(frame.octets);
            count += 1;
        }
        self.exit.send(&mut self.batch);
        self.batch.clear();
        count
    }
}
