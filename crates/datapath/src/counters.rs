//! What a worker counts. One worker writes, everybody may read.

use crate::links::LinkCounters;
use netloom_mem::Counter;
use netloom_nf::Reason;

/// Counters of one port at one worker.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Packets that came in.
    pub received: Counter,
    /// Their octets.
    pub received_octets: Counter,
    /// Packets that went out.
    pub sent: Counter,
    /// Their octets.
    pub sent_octets: Counter,
    /// Packets that came in and were dropped, by reason.
    pub dropped: [Counter; Reason::ALL.len()],
    /// Packets that should have gone out here and were dropped (queue full, too long, port gone).
    pub unsent: Counter,
    /// Its simulated link, inwards and outwards.
    pub links: [LinkCounters; 2],
}

impl PortCounters {
    /// Counts a dropped packet.
    #[inline]
    pub fn lose(&self, reason: Reason, count: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.add(count);
        }
    }
}

/// Counters of a worker.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Turns of the loop.
    pub turns: Counter,
    /// Turns that found packets.
    pub busy_turns: Counter,
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
}
