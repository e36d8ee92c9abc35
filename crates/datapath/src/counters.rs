//! What a worker counts. One worker writes, everybody may read.

use crate::links::{LinkCounters, LinkTotals};
use netloom_mem::Counter;
use netloom_nf::Reason;

/// Counters of one port at one worker.
#[derive(Debug)]
pub(crate) struct PortCounters {
    /// Packets that came in.
    pub(crate) received: Counter,
    /// Their octets.
    pub(crate) received_octets: Counter,
    /// Packets that went out.
    pub(crate) sent: Counter,
    /// Their octets.
    pub(crate) sent_octets: Counter,
    /// Packets that came in and were dropped, by reason.
    pub(crate) dropped: [Counter; Reason::ALL.len()],
    /// Packets that should have gone out here and were dropped (queue full, too long, port gone).
    pub(crate) unsent: Counter,
    /// Its simulated link, inwards and outwards.
    pub(crate) links: [LinkCounters; 2],
}

// Arrays of more than 32 have no default of their own.
impl Default for PortCounters {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            received_octets: Counter::default(),
            sent: Counter::default(),
            sent_octets: Counter::default(),
            dropped: std::array::from_fn(|_| Counter::default()),
            unsent: Counter::default(),
            links: Default::default(),
        }
    }
}

impl PortCounters {
    /// Begins with what was counted elsewhere.
    pub(crate) fn begin_with(&self, totals: &PortTotals) {
        self.received.add(totals.received);
        self.received_octets.add(totals.received_octets);
        self.sent.add(totals.sent);
        self.sent_octets.add(totals.sent_octets);
        self.unsent.add(totals.unsent);
        for (counter, total) in self.dropped.iter().zip(&totals.dropped) {
            counter.add(*total);
        }
        for (counters, total) in self.links.iter().zip(&totals.links) {
            counters.begin_with(total);
        }
    }

    /// Counts a dropped packet.
    #[inline]
    pub(crate) fn lose(&self, reason: Reason, count: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.add(count);
        }
    }
}

/// What was counted of a port, by all workers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTotals {
    /// Packets that came in.
    pub received: u64,
    /// Their octets.
    pub received_octets: u64,
    /// Packets that went out.
    pub sent: u64,
    /// Their octets.
    pub sent_octets: u64,
    /// Packets that should have gone out here and were dropped (queue full, too long, port gone).
    pub unsent: u64,
    /// Packets that came in and were dropped, by [`Reason::ALL`].
    pub dropped: [u64; Reason::ALL.len()],
    /// Its simulated link, inwards and outwards.
    pub links: [LinkTotals; 2],
}

impl Default for PortTotals {
    fn default() -> Self {
        Self {
            received: 0,
            received_octets: 0,
            sent: 0,
            sent_octets: 0,
            unsent: 0,
            dropped: [0; Reason::ALL.len()],
            links: Default::default(),
        }
    }
}

impl PortTotals {
    /// Packets that came in and were dropped for a reason.
    #[must_use]
    pub fn lost(&self, reason: Reason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, counters: &PortCounters) {
        self.received += counters.received.get();
        self.received_octets += counters.received_octets.get();
        self.sent += counters.sent.get();
        self.sent_octets += counters.sent_octets.get();
        self.unsent += counters.unsent.get();
        for (total, counter) in self.dropped.iter_mut().zip(&counters.dropped) {
            *total += counter.get();
        }
        for (total, counters) in self.links.iter_mut().zip(&counters.links) {
            total.add(counters);
        }
    }
}

/// What a queue costs. It moves with its queue; whoever serves that writes.
#[derive(Debug, Default)]
pub(crate) struct QueueLoad {
    /// Packets that came.
    pub(crate) packets: Counter,
    /// Nanoseconds that were spent on them, estimated from a part of the turns.
    pub(crate) nanoseconds: Counter,
}

/// Counters of a worker.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Turns of the loop.
    pub turns: Counter,
    /// Turns that found packets.
    pub busy_turns: Counter,
    /// Nanoseconds spent on packets, estimated from a part of the turns.
    pub busy: Counter,
    /// Those of them that were spent on packets that other workers brought.
    pub brought: Counter,
    /// Nanoseconds spent asleep.
    pub asleep: Counter,
    /// How often it fell asleep.
    pub sleeps: Counter,
    /// Packets found by the signature cache.
    pub signature_hits: Counter,
    /// Packets found by a subtable.
    pub subtable_hits: Counter,
    /// Packets that were asked about.
    pub misses: Counter,
    /// Flows in the cache.
    pub flows: Counter,
    /// Masks in the cache.
    pub masks: Counter,
    /// Packets that were brought to other workers to be sent.
    pub crossed: Counter,
    /// Packets for a port that is gone, that others brought from a port that is gone too, or that a link held.
    pub lost: Counter,
}
