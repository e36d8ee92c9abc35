//! Policers of two rates at a port's way out: what is over both is dropped, nothing waits.
//!
//! What: [`TwoRates`] is the marker of RFC 4115 (two rates, three colours). [`Policer`] asks that of a packet's queue without
//! regard to colour, and then that of the port with the colour it got; red packets are dropped. With rates of nothing in excess it
//! is one token bucket. These are Open vSwitch's `trtcm-policer` and `egress-policer`.
//!
//! Invariants: over any time t no more than `cbs + ebs + (cir + eir) * t` octets pass. Octets are those behind the Ethernet
//! header. Time is an argument; a clock that goes back fills nothing.

use crate::{Bucket, Rate, Unit};

/// Octets of the header that does not count.
const ETHERNET: u64 = 14;

/// Rates of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TwoRatesSettings {
    /// Octets in a second that are committed.
    pub cir: u64,
    /// Octets of them at once.
    pub cbs: u64,
    /// Octets in a second in excess.
    pub eir: u64,
    /// Octets of them at once.
    pub ebs: u64,
}

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Within the committed rate.
    Green,
    /// Within the excess rate.
    Yellow,
    /// Over both.
    Red,
}

/// A marker of RFC 4115.
#[derive(Debug, Clone)]
pub struct TwoRates {
    committed: Bucket,
    excess: Bucket,
}

impl TwoRates {
    /// A marker with full buckets.
    #[must_use]
    pub fn new(settings: &TwoRatesSettings, now: u64) -> Self {
        let bucket = |per_second, burst| Bucket::new(Rate { unit: Unit::Octets, per_second, burst }, now);
        Self { committed: bucket(settings.cir, settings.cbs), excess: bucket(settings.eir, settings.ebs) }
    }

    /// The colour of a packet that came with one; green for one that came with none.
    #[must_use]
    pub fn mark(&mut self, came: Colour, octets: u64, now: u64) -> Colour {
        if came == Colour::Green && self.committed.take(octets, now) {
            Colour::Green
        } else if came != Colour::Red && self.excess.take(octets, now) {
            Colour::Yellow
        } else {
            Colour::Red
        }
    }
}

/// Markers of a port and of its queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policing {
    /// The port's.
    pub port: TwoRatesSettings,
    /// Those of queues, in any order. Packets for others count as those of the queue 0; without one only the port's
    /// counts for them.
    pub queues: Vec<(u32, TwoRatesSettings)>,
}

/// A port's policer as it goes on.
#[derive(Debug)]
pub struct Policer {
    port: TwoRates,
    queues: Vec<(u32, TwoRates)>,
}

impl Policer {
    /// A policer with full buckets.
    #[must_use]
    pub fn new(policing: &Policing, now: u64) -> Self {
        let queues = policing.queues.iter().map(|(number, of)| (*number, TwoRates::new(of, now)));
        let mut queues: Vec<(u32, TwoRates)> = queues.collect();
        queues.sort_by_key(|queue| queue.0);
        Self { port: TwoRates::new(&policing.port, now), queues }
    }

    /// The number of the queue that packets for a number count as.
    #[must_use]
    pub fn queue(&self, number: u32) -> u32 {
        if self.queues.binary_search_by_key(&number, |queue| queue.0).is_ok() { number } else { 0 }
    }

    /// Whether a packet of so many octets, from the Ethernet header on, passes.
    #[must_use]
    pub fn passes(&mut self, number: u32, octets: usize, now: u64) -> bool {
        let octets = (octets as u64).saturating_sub(ETHERNET);
        let place = self.queues.binary_search_by_key(&number, |queue| queue.0).unwrap_or(0);
        let colour = match self.queues.get_mut(place) {
            Some((found, marker)) if *found == number || *found == 0 => {
                marker.mark(Colour::Green, octets, now)
            }
            _ => Colour::Green,
        };
        self.port.mark(colour, octets, now) != Colour::Red
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(cir: u64, cbs: u64, eir: u64, ebs: u64) -> TwoRatesSettings {
        TwoRatesSettings { cir, cbs, eir, ebs }
    }

    #[test]
    fn the_marker_of_rfc_4115() {
        let mut marker = TwoRates::new(&rates(1000, 300, 500, 200), 0);
        let mut colours = |came, octets, now| marker.mark(came, octets, now);
        assert_eq!(colours(Colour::Green, 300, 0), Colour::Green);
        // What came yellow never takes committed tokens, and what is not committed takes those in excess.
        assert_eq!(colours(Colour::Green, 100, 0), Colour::Yellow);
        assert_eq!(colours(Colour::Yellow, 100, 0), Colour::Yellow);
        assert_eq!(colours(Colour::Yellow, 1, 0), Colour::Red);
        assert_eq!(colours(Colour::Red, 1, 1_000_000_000), Colour::Red);
        assert_eq!(colours(Colour::Yellow, 201, 1_000_000_000), Colour::Red);
        assert_eq!(colours(Colour::Green, 300, 1_000_000_000), Colour::Green);
    }

    #[test]
    fn a_port_and_its_queues() {
        // Ten packets of a hundred octets in a second for each queue, eleven for the port.
        let queue = rates(1000, 100, 0, 0);
        let policing = Policing { port: rates(1100, 200, 0, 0), queues: vec![(0, queue), (3, queue)] };
        let mut policer = Policer::new(&policing, 0);
        assert_eq!((policer.queue(3), policer.queue(4)), (3, 0));
        let mut passed = [0; 2];
        for millisecond in 0..1000_u64 {
            for (place, number) in [3, 4].into_iter().enumerate() {
                passed[place] += u32::from(policer.passes(number, 114, millisecond * 1_000_000));
            }
        }
        // The one that comes first has its own, the other what the port has left.
        assert!(passed[0] == 10 && (1..=3).contains(&passed[1]), "{passed:?}");
        // Without queues the port alone counts.
        let mut single = Policer::new(&Policing { port: rates(1000, 100, 0, 0), queues: Vec::new() }, 0);
        let count = (0..1000).filter(|now| single.passes(9, 114, now * 1_000_000)).count();
        assert_eq!(count, 10);
    }
}
