//! How many packets a controller gets in a second (`controller_rate_limit`, `controller_burst_limit`).
//!
//! What: a bucket of tokens; packets that find none wait in order, and beyond the burst they are lost.

use netloom_proto::openflow::message::PacketIn;
use std::collections::VecDeque;
use std::time::Duration;

/// The least rate and burst (as in Open vSwitch, whose schema says 100 for rates; tests ask for less).
const LEAST: u32 = 1;
/// Parts of a token.
const PARTS: u64 = 1_000_000_000;

/// A bucket.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// Packets a second; 0 for any number.
    rate: u32,
    burst: u32,
    parts: u64,
    filled: Duration,
    waiting: VecDeque<PacketIn>,
    /// Packets that were sent at once, that waited, and that were lost.
    pub(super) passed: u64,
    pub(super) queued: u64,
    pub(super) dropped: u64,
}

impl Throttle {
    pub(super) fn new(rate: u32, burst: u32, now: Duration) -> Self {
        // Without a burst a quarter of the rate, as Open vSwitch has it.
        let burst = if burst > 0 { burst } else { rate / 4 }.max(LEAST);
        Self { rate, burst, parts: u64::from(burst) * PARTS, filled: now, ..Self::default() }
    }

    /// Whether it limits anything.
    pub(super) const fn limits(&self) -> bool {
        self.rate > 0
    }

    /// Packets that wait.
    pub(super) fn backlog(&self) -> usize {
        self.waiting.len()
    }

    fn fill(&mut self, now: Duration) {
        let passed = u64::try_from(now.saturating_sub(self.filled).as_nanos()).unwrap_or(u64::MAX);
        self.filled = now;
        let most = u64::from(self.burst) * PARTS;
        self.parts = self.parts.saturating_add(passed.saturating_mul(self.rate.into())).min(most);
    }

    fn take(&mut self) -> bool {
        let enough = self.parts >= PARTS;
        if enough {
            self.parts -= PARTS;
        }
        enough
    }

    /// Takes a packet, and gives it back if it may go now.
    pub(super) fn pass(&mut self, packet: PacketIn, now: Duration) -> Option<PacketIn> {
        if !self.limits() {
            return Some(packet);
        }
        self.fill(now);
        if self.waiting.is_empty() && self.take() {
            self.passed += 1;
            return Some(packet);
        }
        if self.waiting.len() < self.burst as usize {
            self.queued += 1;
            self.waiting.push_back(packet);
        } else {
            self.dropped += 1;
        }
        None
    }

    /// The next packet whose time has come.
    pub(super) fn next(&mut self, now: Duration) -> Option<PacketIn> {
        if self.waiting.is_empty() {
            return None;
        }
        self.fill(now);
        if self.take() { self.waiting.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_proto::openflow::OfPort;
    use netloom_proto::openflow::message::PacketInFormat;

    #[test]
    fn beyond_the_rate_packets_wait_and_beyond_the_burst_they_are_lost() {
        let packet = || PacketIn::new(PacketInFormat::Standard, OfPort(1), vec![0; 60]);
        let second = Duration::from_secs(1);
        let mut throttle = Throttle::new(10, 5, second);
        let passed = (0..20).filter_map(|_| throttle.pass(packet(), second)).count();
        assert_eq!((passed, throttle.backlog(), throttle.dropped), (5, 5, 10));
        assert!(throttle.next(second).is_none());
        let later = second + Duration::from_millis(200);
        assert!(throttle.next(later).is_some() && throttle.next(later).is_some());
        assert!(throttle.next(later).is_none());
        let mut free = Throttle::new(0, 0, second);
        assert!((0..1000).all(|_| free.pass(packet(), second).is_some()));
    }
}
