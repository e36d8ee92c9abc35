//! One worker's turn.

use crate::brain::{Brain, Question, Used};
use crate::counters::PortCounters;
use crate::exit::{Exit, Outcome};
use crate::flows::{FlowBounds, Flows, NONE};
use crate::inbox::{self, Command, Inbox, PortQueues};
use crate::links::Side;
use netloom_mem::{BATCH, Batch, Offload, PortNumber, ReceiveQueue, Wake};
use netloom_nf::{Program, Reason};
use netloom_table::Key;
use netloom_table::key::{Layers, extract};
use netloom_table::megaflow::Flow;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;
use std::sync::Arc;

/// Commands that are taken in one turn.
const COMMANDS: usize = 64;
/// Of a second, the part that packets without a flow may cost while other ports have packets too.
const MISS_SHARE: u64 = 10;
/// Most nanoseconds of credit for them.
const MISS_CREDIT: u64 = 200_000;
/// A port that had no packets for so many nanoseconds competes with nobody.
const ACTIVE: u64 = 1_000_000;
/// Nanoseconds for which it is not worth to sleep.
const WAKING: u64 = 5_000;
/// Frames of simulated links that are taken in one turn.
const ARRIVALS: usize = 1024;
/// Memory of guests that are gone is let go after so many nanoseconds.
const RELEASE: u64 = 1_000_000_000;

struct Receiver {
    port: PortNumber,
    queue: Box<dyn ReceiveQueue>,
    counters: Arc<PortCounters>,
    /// What comes in goes through a simulated link first.
    linked: bool,
    /// When packets came last.
    active: u64,
    /// Nanoseconds that new flows of this port may still cost.
    credit: u64,
    credited: u64,
}

/// The packet path of one thread.
pub struct Worker {
    inbox: Inbox,
    brain: Box<dyn Brain>,
    batch: Batch,
    keys: Box<[Key; BATCH]>,
    layers: [Layers; BATCH],
    flows: Flows,
    receivers: Vec<Receiver>,
    exit: Exit,
    used: Vec<Used>,
    clock: Box<dyn Fn() -> u64 + Send>,
    released: u64,
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
        Self {
            inbox: side.0,
            brain,
            batch: Batch::new(),
            keys: Box::new(std::array::from_fn(|_| Key::default())),
            layers: [Layers::default(); BATCH],
            flows: Flows::new(bounds, seed),
            receivers: Vec::new(),
            exit: Exit::default(),
            used: Vec::new(),
            clock,
            released: 0,
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
        self.take_commands(now);
        let mut packets = 0;
        let active =
            self.receivers.iter().filter(|receiver| now.saturating_sub(receiver.active) < ACTIVE).count();
        if !self.exit.links.is_idle() {
            packets += self.take_arrived(now, active > 1);
        }
        for place in 0..self.receivers.len() {
            packets += self.serve(place, now, active > 1);
        }
        self.exit.flush();
        self.flows.sweep(now, &mut self.used);
        if !self.used.is_empty() {
            self.brain.used(&self.used, now);
            self.used.clear();
        }
        if now.saturating_sub(self.released) > RELEASE {
            self.released = now;
            self.batch.release();
            self.publish();
            for port in self.exit.links.ports() {
                self.exit.sweep_link(port);
                self.mark_linked(port);
            }
        }
        self.inbox.counters.turns.add(1);
        self.inbox.counters.busy_turns.add(u64::from(packets > 0));
        packets
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
    }

    /// Whether frames are under way on simulated links.
    #[must_use]
    pub const fn waits(&self) -> bool {
        !self.exit.links.is_idle()
    }

    /// Sleeps until a port has packets, a command comes, or `most` nanoseconds have passed. Does not sleep if some
    /// port can only be polled.
    pub fn sleep(&mut self, most: u64) {
        let began = self.now();
        let most = match self.exit.links.next() {
            // The system wakes a little late: a short wait is spent awake.
            Some(next) if next <= began + WAKING => return std::hint::spin_loop(),
            Some(next) => most.min(next - began),
            None => most,
        };
        let mut wait = vec![PollFd::new(&self.inbox.doorbell, PollFlags::IN)];
        let mut polled = false;
        for receiver in &mut self.receivers {
            match receiver.queue.wake(true) {
                Wake::Readable(descriptor) => wait.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN)),
                Wake::Poll => polled = true,
                Wake::Never => {}
            }
        }
        // What came between the last look and the asking for a wake-up is found by a queue's own look.
        let most = if polled { most.min(50_000) } else { most };
        let timeout =
            Timespec { tv_sec: (most / 1_000_000_000) as i64, tv_nsec: (most % 1_000_000_000) as i64 };
        let _ = rustix::event::poll(&mut wait, Some(&timeout));
        drop(wait);
        let _ = rustix::io::read(self.inbox.doorbell.as_fd(), &mut [0_u8; 8]);
        for receiver in &mut self.receivers {
            receiver.queue.wake(false);
        }
        self.inbox.counters.sleeps.add(1);
        self.inbox.counters.asleep.add(self.now().saturating_sub(began));
    }

    fn serve(&mut self, place: usize, now: u64, contended: bool) -> usize {
        let Some(receiver) = self.receivers.get_mut(place) else { return 0 };
        // A peer that is gone has left what it sent before in the batch; it comes back by itself.
        let count = receiver.queue.receive(&mut self.batch).unwrap_or(self.batch.len());
        if count == 0 {
            return 0;
        }
        // The turn may have begun long before the frames came: on a simulated link that would make them early.
        let now = if self.exit.links.is_none() { now } else { (self.clock)() };
        receiver.active = now;
        let octets = (0..count).map(|index| self.batch.length(index) as u64).sum();
        receiver.counters.received.add(count as u64);
        receiver.counters.received_octets.add(octets);
        if receiver.linked {
            self.delay(place, count, now);
        } else {
            self.process(place, count, now, contended);
        }
        if let Some(receiver) = self.receivers.get_mut(place) {
            receiver.queue.complete();
        }
        self.finish(place, now);
        count
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
                if self.batch.push(held.port, &held.octets, held.offload) && side == Side::Out {
                    self.exit.stage_now(&mut self.batch, index, held.port);
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
                    self.finish(place, now);
                }
                // The port is gone, and its counters with it.
                (Side::In, None) => self.batch.clear(),
            }
        }
        count
    }

    /// Decides about a batch of frames that came in through a port, and sends them.
    fn process(&mut self, place: usize, count: usize, now: u64, contended: bool) {
        let Some(port) = self.receivers.get(place).map(|receiver| receiver.port) else { return };
        for index in 0..count {
            let length = self.batch.length(index);
            self.layers[index] = extract(self.batch.head(index), length, port, &mut self.keys[index]);
        }
        let mut found = [NONE; BATCH];
        self.flows.find_batch(&self.keys, count, &mut found);
        if found[..count].contains(&NONE) {
            self.translate(place, &mut found[..count], now, contended);
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
            let outcome = self.exit.run(&mut self.batch, index, shape, self.flows.program(flow), now);
            if outcome != Outcome::Sent {
                self.conclude(place, outcome);
            }
        }
        self.exit.send(&mut self.batch);
    }

    /// Ends a batch that was dealt with.
    fn finish(&mut self, place: usize, now: u64) {
        self.batch.clear();
        if !self.exit.copies.is_empty()
            && let Some(receiver) = self.receivers.get(place)
        {
            self.tell_brain(receiver.port, now);
        }
    }

    #[cold]
    fn conclude(&mut self, place: usize, outcome: Outcome) {
        if let (Outcome::Dropped(reason), Some(receiver)) = (outcome, self.receivers.get(place)) {
            receiver.counters.lose(reason, 1);
        }
    }

    /// Gives the brain the packets that are for it, and does what it wishes. No frame may be in the batch.
    #[cold]
    fn tell_brain(&mut self, port: PortNumber, now: u64) {
        for octets in std::mem::take(&mut self.exit.copies) {
            let wishes = self.brain.heard(port, octets, now);
            for tag in wishes.changed {
                self.flows.changed(tag);
            }
            if wishes.changed_all {
                self.flows.clear();
            }
            for (port, octets) in wishes.send {
                self.inject(port, &octets, now);
            }
        }
    }

    /// Sends a frame of ours. The batch must be empty.
    fn inject(&mut self, port: PortNumber, octets: &[u8], now: u64) {
        if self.batch.is_empty() && self.batch.push(0, octets, Offload::NONE) {
            self.exit.send_own(&mut self.batch, 0, port, now);
            self.batch.clear();
        }
    }

    /// Asks the brain about packets without a flow. Packets whose answer is not kept are dealt with here.
    #[cold]
    fn translate(&mut self, place: usize, found: &mut [Flow], now: u64, contended: bool) {
        let Some(receiver) = self.receivers.get_mut(place) else { return };
        let elapsed = now.saturating_sub(receiver.credited);
        receiver.credited = now;
        receiver.credit = (receiver.credit + elapsed / MISS_SHARE).min(MISS_CREDIT);
        let (port, credit, counters) = (receiver.port, receiver.credit, receiver.counters.clone());
        let began = self.now();
        let mut spent = 0;
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
            let length = self.batch.length(this);
            if length < 14 {
                counters.lose(Reason::Malformed, 1);
                continue;
            }
            if contended && spent > credit {
                counters.lose(Reason::Busy, 1);
                continue;
            }
            let (key, layers, head) = (&self.keys[this], self.layers[this], self.batch.head(this));
            let mut answer = self.brain.translate(&Question { key, layers, head, length, now });
            let mut lost = false;
            for tag in &answer.changed {
                lost |= self.flows.changed(*tag);
            }
            let kept = answer.keep.then(|| self.flows.insert(key, port, &mut answer, now)).flatten();
            match kept {
                Some(new) => *flow = new,
                None => self.once(place, this, &answer.program, now),
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
            receiver.credit = credit.saturating_sub(spent);
        }
    }

    /// Carries out a program for one packet only.
    fn once(&mut self, place: usize, index: usize, program: &Program, now: u64) {
        let outcome = self.exit.run(&mut self.batch, index, program.shape(), Some(program), now);
        self.conclude(place, outcome);
    }

    fn take_commands(&mut self, now: u64) {
        for _ in 0..COMMANDS {
            let Some(command) = self.inbox.ring.pop() else { return };
            match command {
                Command::Add(port) => self.add(port),
                Command::Remove(number, back) => {
                    // Whoever asked may have given up; then the queues end here.
                    let _ = back.send(self.remove(number));
                }
                Command::Changed(tag) => {
                    self.flows.changed(tag);
                }
                Command::ChangedAll => self.flows.clear(),
                Command::Inject(port, octets) => self.inject(port, &octets, now),
                Command::Meter(number, rate) => self.exit.meter(number, rate, now),
                Command::Limit(port, rate) => self.exit.limit(port, rate, now),
                Command::Link(port, cable, seed) => {
                    self.exit.link(port, &cable, seed);
                    self.mark_linked(port);
                }
                Command::Report(to) => {
                    let _ = to.send(self.flows.report(now));
                }
                Command::Stop => self.stop = true,
            }
        }
    }

    /// Notes whether what comes in through a port goes through a simulated link.
    fn mark_linked(&mut self, port: PortNumber) {
        let linked = self.exit.links.has(port, Side::In);
        for receiver in self.receivers.iter_mut().filter(|receiver| receiver.port == port) {
            receiver.linked = linked;
        }
        self.exit.mark(port);
    }

    fn add(&mut self, port: PortQueues) {
        let PortQueues { number, receive, send, counters } = port;
        let linked = self.exit.links.has(number, Side::In);
        for queue in receive {
            self.receivers.push(Receiver {
                port: number,
                queue,
                counters: counters.clone(),
                linked,
                active: 0,
                credit: MISS_CREDIT,
                credited: 0,
            });
        }
        if let Some(queue) = send {
            self.exit.add(number, queue, counters);
        }
    }

    fn remove(&mut self, number: PortNumber) -> PortQueues {
        let mut port = PortQueues {
            number,
            receive: Vec::new(),
            send: self.exit.remove(number),
            counters: Arc::default(),
        };
        let (gone, kept) =
            std::mem::take(&mut self.receivers).into_iter().partition(|known| known.port == number);
        self.receivers = kept;
        for receiver in gone {
            port.counters = receiver.counters;
            port.receive.push(receiver.queue);
        }
        self.flows.clear();
        self.batch.release();
        port
    }
}
