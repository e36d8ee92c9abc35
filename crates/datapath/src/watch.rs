//! Watching packets: copies of what comes in and goes out, with what became of it.
//!
//! Invariants: watching changes nothing; a watcher that is too slow misses packets, which are counted, and holds nobody up.
//!
//! Costs: nothing but one test for each batch while nobody watches. A watched packet is copied, with an allocation; those
//! that only pass by a watched port cost the filter.

use crate::exit::Outcome;
use netloom_mem::{BATCH, Batch, PortNumber};
use netloom_nf::{Action, Program, Reason, Shape};
use netloom_table::key::extract;
use netloom_table::{Filter, Key};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// These actions were carried out. Those that are sent may still be lost at the way out.
    Done(Vec<Action>),
    /// It was dropped.
    Dropped(Reason),
}

/// A packet that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The port it came in by or goes out of.
    pub port: PortNumber,
    /// Whether it goes out.
    pub outgoing: bool,
    /// Nanoseconds on the worker's clock.
    pub time: u64,
    /// Its first octets, as it came or goes.
    pub octets: Vec<u8>,
    /// Octets of all of it; those of a large segment may be many packets on a wire.
    pub length: usize,
    /// What became of one that came in.
    pub fate: Option<Fate>,
}

/// What somebody wants to see.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The ports; none for all.
    pub ports: Vec<PortNumber>,
    /// What comes in.
    pub incoming: bool,
    /// What goes out.
    pub outgoing: bool,
    /// Which packets.
    pub filter: Filter,
    /// Most octets of each.
    pub most: usize,
    /// Where they go.
    pub to: SyncSender<Seen>,
    /// How many did not fit there.
    pub missed: Arc<AtomicU64>,
}

impl Watch {
    fn concerns(&self, port: PortNumber, outgoing: bool) -> bool {
        let direction = if outgoing { self.outgoing } else { self.incoming };
        direction && (self.ports.is_empty() || self.ports.contains(&port))
    }

    /// Tells of a packet; false when nobody listens any more.
    fn tell(&self, seen: Seen) -> bool {
        match self.to.try_send(seen) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// All watches of a worker.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: Vec<(u32, Watch)>,
    /// Packets of the batch that came in, with the watch that wants each; waiting for their fate.
    waiting: Vec<(u8, u32, Seen)>,
    /// Packets that left meanwhile: they are told of after those that came.
    left: Vec<(u32, Seen)>,
    /// Whether a batch that came in is being dealt with.
    within: bool,
    key: Box<Key>,
    /// When the turn began.
    pub(crate) time: u64,
}

impl Watches {
    /// Whether anybody watches.
    #[inline]
    pub(crate) const fn any(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Begins, changes or ends a watch.
    pub(crate) fn set(&mut self, number: u32, watch: Option<Watch>) {
        self.watches.retain(|(known, _)| *known != number);
        self.watches.extend(watch.map(|watch| (number, watch)));
    }

    /// Looks at packets that came in, before anything is done with them.
    #[cold]
    pub(crate) fn come(&mut self, batch: &Batch, keys: &[Key; BATCH], port: PortNumber, time: u64) {
        self.within = true;
        for (number, watch) in self.watches.iter().filter(|(_, watch)| watch.concerns(port, false)) {
            for (index, key) in keys.iter().enumerate().take(batch.len()) {
                if watch.filter.matches(key) {
                    let seen = seen(batch, index, port, false, time, watch.most);
                    self.waiting.push((index as u8, *number, seen));
                }
            }
        }
    }

    /// What became of one of them.
    #[cold]
    pub(crate) fn settle(&mut self, index: usize, fate: impl Fn() -> Fate) {
        for (waiting, _, seen) in &mut self.waiting {
            if usize::from(*waiting) == index && seen.fate.is_none() {
                seen.fate = Some(fate());
            }
        }
    }

    /// Tells of those that came in, and then of those that left; the batch is done with.
    #[cold]
    pub(crate) fn tell(&mut self) {
        self.within = false;
        let came = self.waiting.drain(..).map(|(_, number, seen)| (number, seen));
        for (number, seen) in came.chain(self.left.drain(..)) {
            let place = self.watches.iter().position(|(known, _)| *known == number);
            if let Some((place, (_, watch))) = place.and_then(|place| Some((place, self.watches.get(place)?)))
                && !watch.tell(seen)
            {
                // Nobody listens any more.
                self.watches.remove(place);
            }
        }
    }

    /// Tells of packets that go out.
    #[cold]
    pub(crate) fn go(&mut self, batch: &Batch, frames: &[u8], port: PortNumber) {
        let (key, time) = (&mut self.key, self.time);
        for (number, watch) in self.watches.iter().filter(|(_, watch)| watch.concerns(port, true)) {
            for index in frames {
                let index = usize::from(*index);
                extract(batch.head(index), batch.length(index), port, key);
                if watch.filter.matches(key) {
                    self.left.push((*number, seen(batch, index, port, true, time, watch.most)));
                }
            }
        }
        if !self.within {
            self.tell();
        }
    }
}

impl Fate {
    /// Of a packet that a program was carried out on.
    pub(crate) fn of(outcome: Outcome, shape: Shape, program: Option<&Program>) -> Self {
        match (outcome, shape) {
            (Outcome::Dropped(reason), _) => Self::Dropped(reason),
            (Outcome::Sent | Outcome::Again, Shape::Output(port)) => Self::Done(vec![Action::Output(port)]),
            (Outcome::Sent | Outcome::Again, _) => {
                Self::Done(program.map_or_else(Vec::new, |program| program.actions().to_vec()))
            }
        }
    }
}

fn seen(batch: &Batch, index: usize, port: PortNumber, outgoing: bool, time: u64, most: usize) -> Seen {
    let length = batch.length(index);
    let mut octets = vec![0; length.min(most)];
    let count = batch.copy(index, 0, &mut octets);
    octets.truncate(count);
    Seen { port, outgoing, time, octets, length, fate: None }
}
