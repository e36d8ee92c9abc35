//! Ports whose way out is shaped or policed.
//!
//! What: a frame that must wait is copied into its queue ([`netloom_nf::shaper`]) and sent by a later turn; one over the rate of
//! a policer ([`netloom_nf::Policer`]) is lost. All of a port's queues belong to one worker, to which the others bring their
//! frames.
//!
//! Invariants: nothing waits that could leave, as far as the worker takes its turns. Frames of a queue keep their order.
//! There are bounds for each queue and for the worker; beyond them frames are dropped for [`Reason::ShaperFull`].
//!
//! Costs: nothing for other ports. Two copies for a frame that waits; memory of frames is used again.

use netloom_mem::{Batch, Counter, Offload, PortNumber, Segmentation};
use netloom_nf::shaper::{Admission, Rates, Shaper};
use netloom_nf::{Policer, Policing, Reason};
use std::collections::HashMap;
use std::sync::Arc;

/// Most octets that wait at a worker.
const OCTETS: usize = 128 << 20;
/// Most buffers that are kept for later frames, and their largest size.
const SPARE: (usize, usize) = (1024, 16 << 10);

/// How a port's way out is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shaping {
    /// Frames wait in queues.
    Queues(Rates),
    /// Frames over a rate are dropped.
    Police(Policing),
}

impl Shaping {
    /// The numbers of its queues, sorted.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = match self {
            Self::Queues(rates) => rates.queues.iter().map(|queue| queue.0).chain([0]).collect(),
            Self::Police(policing) => policing.queues.iter().map(|queue| queue.0).collect(),
        };
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// What a queue counts.
#[derive(Debug, Default)]
pub(crate) struct QueueCounters {
    packets: Counter,
    octets: Counter,
    lost: Counter,
}

/// Counters of a port's queues, by their numbers.
pub(crate) type QueueCounts = Arc<[(u32, Arc<QueueCounters>)]>;

/// What a queue of a shaped port counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueTotals {
    /// Frames that left it; those of large segments that are not cut yet count as one.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Frames that were dropped: the queue was full, or they were over its rate.
    pub lost: u64,
}

impl QueueTotals {
    pub(crate) fn of(counters: &QueueCounters) -> Self {
        let QueueCounters { packets, octets, lost } = counters;
        Self { packets: packets.get(), octets: octets.get(), lost: lost.get() }
    }
}

impl QueueCounters {
    /// Begins with what was counted before; for counters that no worker has yet.
    pub(crate) fn begin_with(&self, totals: &QueueTotals) {
        self.packets.add(totals.packets);
        self.octets.add(totals.octets);
        self.lost.add(totals.lost);
    }
}

/// A frame that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) octets: Vec<u8>,
    pub(crate) offload: Offload,
}

enum Discipline {
    Queues(Shaper<Waiting>),
    Police(Policer),
}

struct Shaped {
    discipline: Discipline,
    counts: QueueCounts,
    /// It is to be shaped no more when nothing waits.
    ends: bool,
}

impl Shaped {
    fn counters(&self, number: u32) -> Option<&QueueCounters> {
        let place = self.counts.binary_search_by_key(&number, |count| count.0).ok()?;
        self.counts.get(place).map(|count| &*count.1)
    }

    fn count(&self, number: u32, octets: usize) {
        if let Some(counters) = self.counters(number) {
            counters.packets.add(1);
            counters.octets.add(octets as u64);
        }
    }

    fn lose(&self, number: u32) {
        if let Some(counters) = self.counters(number) {
            counters.lost.add(1);
        }
    }
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leaves now.
    Now,
    /// It waits.
    Held,
    /// It is lost.
    Lost(Reason),
}

/// The shaped ports of a worker.
#[derive(Default)]
pub(crate) struct Shapers {
    by_port: HashMap<PortNumber, Shaped>,
    /// Ports at which something waits.
    waiting: Vec<PortNumber>,
    octets: usize,
    spare: Vec<Vec<u8>>,
}

impl Shapers {
    /// Makes, changes or ends the shaping of a port. What waits leaves by the rates that are from now on; where the way of
    /// shaping is another, it is lost.
    pub(crate) fn set(&mut self, port: PortNumber, shaping: Option<(&Shaping, QueueCounts)>, now: u64) {
        let Some((shaping, counts)) = shaping else {
            if let Some(Shaped { discipline: Discipline::Queues(shaper), counts, ends }) =
                self.by_port.get_mut(&port)
                && shaper.waiting() > 0
            {
                // What waits leaves at once, before what comes.
                let numbers: Vec<u32> = counts.iter().map(|count| count.0).collect();
                let free = |number| (number, netloom_nf::shaper::QueueRates::FREE);
                let rates = Rates { rate: 0, queues: numbers.into_iter().map(free).collect() };
                let lost = shaper.set(&rates);
                *ends = true;
                return self.give_all_back(lost);
            }
            self.remove(port);
            return;
        };
        match (self.by_port.get_mut(&port), shaping) {
            (
                Some(Shaped { discipline: Discipline::Queues(shaper), counts: kept, ends }),
                Shaping::Queues(rates),
            ) => {
                let lost = shaper.set(rates);
                (*kept, *ends) = (counts, false);
                self.give_all_back(lost);
            }
            (_, shaping) => {
                self.remove(port);
                let discipline = match shaping {
                    Shaping::Queues(rates) => Discipline::Queues(Shaper::new(rates)),
                    Shaping::Police(policing) => Discipline::Police(Policer::new(policing, now)),
                };
                self.by_port.insert(port, Shaped { discipline, counts, ends: false });
            }
        }
    }

    /// Ends the shaping of a port that is gone: what waits is lost.
    pub(crate) fn remove(&mut self, port: PortNumber) {
        self.waiting.retain(|waiting| *waiting != port);
        if let Some(Shaped { discipline: Discipline::Queues(mut shaper), .. }) = self.by_port.remove(&port) {
            let lost: Vec<Waiting> = shaper.clear().collect();
            self.give_all_back(lost);
        }
    }

    fn give_all_back(&mut self, frames: Vec<Waiting>) {
        for frame in frames {
            self.octets -= frame.octets.len();
            self.give_back(frame.octets);
        }
    }

    /// Whether a port is shaped.
    pub(crate) fn has(&self, port: PortNumber) -> bool {
        self.by_port.contains_key(&port)
    }

    /// Whether nothing waits.
    pub(crate) const fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A time before which nothing leaves.
    pub(crate) fn next(&self) -> Option<u64> {
        let next = |port| match self.by_port.get(port) {
            Some(Shaped { discipline: Discipline::Queues(shaper), .. }) => shaper.next(),
            _ => None,
        };
        self.waiting.iter().filter_map(next).min()
    }

    /// Whether a large frame has to be cut into packets before it is asked for: it exceeds a burst.
    pub(crate) fn cuts(&self, port: PortNumber, queue: u32, batch: &Batch, index: usize) -> bool {
        batch.offload(index).segmentation != Segmentation::None
            && self.by_port.get(&port).is_some_and(|shaped| match &shaped.discipline {
                Discipline::Queues(shaper) => batch.length(index) > shaper.longest(queue),
                Discipline::Police(_) => true,
            })
    }

    /// Asks for a frame of a batch that is to leave by a port; one that has to wait is copied.
    pub(crate) fn ask(
        &mut self,
        batch: &Batch,
        index: usize,
        (port, number): (PortNumber, u32),
        now: u64,
    ) -> Verdict {
        let Some(shaped) = self.by_port.get_mut(&port) else { return Verdict::Now };
        let length = batch.length(index);
        let shaper = match &mut shaped.discipline {
            Discipline::Queues(shaper) => shaper,
            Discipline::Police(policer) => {
                let (queue, passes) = (policer.queue(number), policer.passes(number, length, now));
                if passes {
                    shaped.count(queue, length);
                    return Verdict::Now;
                }
                shaped.lose(queue);
                return Verdict::Lost(Reason::Rate);
            }
        };
        let queue = shaper.queue(number);
        match shaper.admit(number, length, now) {
            Admission::Now => {
                shaped.count(queue, length);
                Verdict::Now
            }
            Admission::Later if self.octets + length <= OCTETS => {
                let mut octets = self.spare.pop().unwrap_or_default();
                octets.clear();
                octets.resize(length, 0);
                batch.copy(index, 0, &mut octets);
                if shaper.waiting() == 0 {
                    self.waiting.push(port);
                }
                shaper.put(number, Waiting { octets, offload: *batch.offload(index) }, length);
                self.octets += length;
                Verdict::Held
            }
            _ => {
                shaped.lose(queue);
                Verdict::Lost(Reason::ShaperFull)
            }
        }
    }

    /// The next frame that leaves now, with its port. Its octets are to be [given back](Shapers::give_back).
    pub(crate) fn due(&mut self, now: u64) -> Option<(PortNumber, Waiting)> {
        for place in 0..self.waiting.len() {
            let port = *self.waiting.get(place)?;
            let Some(shaped) = self.by_port.get_mut(&port) else { continue };
            let Discipline::Queues(shaper) = &mut shaped.discipline else { continue };
            let Some((queue, frame)) = shaper.take(now) else { continue };
            let is_empty = shaper.waiting() == 0;
            shaped.count(queue, frame.octets.len());
            self.octets -= frame.octets.len();
            if is_empty {
                self.waiting.swap_remove(place);
            } else {
                // Ports take turns.
                let last = self.waiting.len() - 1;
                self.waiting.swap(place, last);
            }
            return Some((port, frame));
        }
        None
    }

    /// Takes memory back.
    pub(crate) fn give_back(&mut self, octets: Vec<u8>) {
        if self.spare.len() < SPARE.0 && octets.capacity() <= SPARE.1 {
            self.spare.push(octets);
        }
    }

    /// Forgets a port that was to be shaped no more, if nothing waits there; whether it did.
    pub(crate) fn sweep(&mut self, port: PortNumber) -> bool {
        let over = self.by_port.get(&port).is_some_and(|shaped| shaped.ends) && !self.waiting.contains(&port);
        if over {
            self.by_port.remove(&port);
        }
        over
    }

    /// All ports that are shaped.
    pub(crate) fn ports(&self) -> Vec<PortNumber> {
        self.by_port.keys().copied().collect()
    }
}
