//! Simulated links: what becomes of a packet between two ends, and when it arrives.
//!
//! ```text
//! sender -> lost? twice? damaged? -> waits for the line (rate, burst) -> is under way (delay, jitter) -> arrives
//! ```
//!
//! What: [`Line`] is one direction. It says for each packet whether it is lost, and when each of its copies arrives; who
//! asks keeps the packets meanwhile, and tells when they have arrived ([`Line::arrived`]).
//!
//! Invariants:
//! - Packets arrive in the order in which they were sent, but for those that overtake because [`Medium::reorder`] says
//!   so. (Linux's netem lets jitter reorder, too.)
//! - Over any time t no more than `burst + rate * t` octets have left the line.
//! - No packet arrives before the smallest delay that its medium can have.
//! - Not more packets and octets are under way than the medium holds; what is too much is lost and says so.
//! - The same seed and the same packets give the same fates. Time is an argument; if it goes back it stands still.
//!
//! Costs: a multiplication for the rate, a random number for each kind of fault that is asked for.

use crate::Reason;

/// Millionths in a whole.
pub const MILLION: u32 = 1_000_000;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// The longest delay, in nanoseconds: an hour.
pub const LONGEST: u64 = 3600 * SECOND;

/// A source of numbers that look random (SplitMix64; Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014). Not for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below another.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.number() as u128 * bound as u128) >> 64) as u64
    }

    /// True for so many millionths of all calls.
    pub const fn happens(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(MILLION as u64) < millionths as u64
    }

    /// A number from 0 (never itself) to 1.
    fn fraction(&mut self) -> f64 {
        ((self.number() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A number with the mean 0 and the standard deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (radius, turn) = (self.fraction(), self.fraction());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

/// How jitter is spread. The three last are those of the tables that come with tc-netem(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distribution {
    /// Evenly from the delay less the jitter to the delay and the jitter.
    #[default]
    Uniform,
    /// Normally: the jitter is the standard deviation.
    Normal,
    /// Most a little early, few very late (Pareto's with the shape 3).
    Pareto,
    /// A quarter normally and three quarters as Pareto's.
    ParetoNormal,
}

impl Distribution {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Uniform, "uniform"),
        (Self::Normal, "normal"),
        (Self::Pareto, "pareto"),
        (Self::ParetoNormal, "paretonormal"),
    ];
    /// No packet deviates by more than so many jitters.
    pub const MOST: f64 = 4.0;

    /// How many jitters a packet deviates.
    fn draw(self, random: &mut Random) -> f64 {
        let pareto = |random: &mut Random| (random.fraction().cbrt().recip() - 1.5) * (4.0 / 3.0);
        let drawn = match self {
            Self::Uniform => 2.0 * random.fraction() - 1.0,
            Self::Normal => random.normal(),
            Self::Pareto => pareto(random),
            Self::ParetoNormal => 0.25 * random.normal() + 0.75 * pareto(random),
        };
        drawn.clamp(-Self::MOST, Self::MOST)
    }
}

/// Which packets are lost. All numbers are millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Each by itself.
    Random(u32),
    /// In bursts (Gilbert 1960, Elliott 1963): the link is good or bad.
    Bursts {
        /// A good link becomes bad with a packet.
        enter: u32,
        /// A bad link becomes good with a packet.
        leave: u32,
        /// Lost while it is bad.
        bad: u32,
        /// Lost while it is good.
        good: u32,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Self::Random(0)
    }
}

/// What a link is like in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium {
    /// Nothing passes at all.
    pub closed: bool,
    /// Nanoseconds under way. More than [`LONGEST`] counts as so many.
    pub delay: u64,
    /// Nanoseconds by which the delay varies.
    pub jitter: u64,
    /// How.
    pub distribution: Distribution,
    /// Bits in a second, from the Ethernet header on; 0 is no limit.
    pub rate: u64,
    /// Octets that may leave at once though the rate would let them wait; 0 for a plain line.
    pub burst: u64,
    /// Bits in a second that even a burst does not exceed; 0 is no limit.
    pub peak: u64,
    /// What is lost.
    pub loss: Loss,
    /// Millionths that arrive twice.
    pub duplicate: u32,
    /// Millionths that arrive with one bit wrong.
    pub corrupt: u32,
    /// Millionths that overtake: they leave out the delay.
    pub reorder: u32,
    /// Most packets that wait or are under way.
    pub packets: usize,
    /// Most octets of them.
    pub octets: usize,
}

impl Medium {
    /// A link that does nothing.
    pub const NOTHING: Self = Self {
        closed: false,
        delay: 0,
        jitter: 0,
        distribution: Distribution::Uniform,
        rate: 0,
        burst: 0,
        peak: 0,
        loss: Loss::Random(0),
        duplicate: 0,
        corrupt: 0,
        reorder: 0,
        packets: 1000,
        octets: 16 << 20,
    };

    /// Whether packets pass as if it were not there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self { packets, octets, distribution, burst, peak, .. } = *self;
        *self == Self { packets, octets, distribution, burst, peak, ..Self::NOTHING }
    }
}

impl Default for Medium {
    fn default() -> Self {
        Self::NOTHING
    }
}

/// A link at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cable {
    /// For what comes in.
    pub inward: Medium,
    /// For what goes out.
    pub outward: Medium,
    /// Both directions share one line: what one end sends keeps the other from sending (needs rates).
    pub half_duplex: bool,
}

impl Cable {
    /// Whether packets pass as if it were not there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.inward.is_nothing() && self.outward.is_nothing()
    }
}

/// Until when a line is occupied, in parts of nanoseconds (2^-32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupied {
    /// By the rate.
    rate: u128,
    /// By the peak.
    peak: u128,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost(Reason),
    /// It arrives.
    Arrives {
        /// When, in nanoseconds.
        at: u64,
        /// It has one wrong bit, this one counted from the first of the packet.
        wrong: Option<u64>,
        /// When it arrives a second time.
        again: Option<u64>,
        /// It overtakes others.
        overtakes: bool,
    },
}

/// One direction of a link as it goes on.
#[derive(Debug, Clone)]
pub struct Line {
    medium: Medium,
    random: Random,
    /// Of a link that loses packets in bursts.
    bad: bool,
    /// Parts of nanoseconds that an octet occupies the line.
    per_octet: u64,
    /// The same at the peak.
    per_octet_at_peak: u64,
    /// Parts of nanoseconds that a burst may be early.
    early: u128,
    /// When the last packet arrives that has not overtaken.
    last: u64,
    now: u64,
    packets: usize,
    octets: usize,
}

impl Line {
    /// A line on which nothing is under way.
    #[must_use]
    pub fn new(medium: Medium, seed: u64) -> Self {
        let mut line = Self {
            medium,
            random: Random::new(seed),
            bad: false,
            per_octet: 0,
            per_octet_at_peak: 0,
            early: 0,
            last: 0,
            now: 0,
            packets: 0,
            octets: 0,
        };
        line.set(medium);
        line
    }

    /// Makes it another medium. What is under way arrives as it would have, before what follows.
    pub fn set(&mut self, medium: Medium) {
        self.medium = medium;
        let per_octet = |rate: u64| {
            let parts = (u128::from(8 * SECOND) << 32).checked_div(u128::from(rate));
            parts.map_or(0, |parts| u64::try_from(parts).unwrap_or(u64::MAX))
        };
        (self.per_octet, self.per_octet_at_peak) = (per_octet(medium.rate), per_octet(medium.peak));
        self.early = u128::from(medium.burst) * u128::from(self.per_octet);
    }

    /// Begins its chances anew.
    pub const fn seed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// What it is like.
    #[must_use]
    pub const fn medium(&self) -> &Medium {
        &self.medium
    }

    /// Packets and octets that wait or are under way.
    #[must_use]
    pub const fn under_way(&self) -> (usize, usize) {
        (self.packets, self.octets)
    }

    /// A copy has arrived.
    pub const fn arrived(&mut self, octets: usize) {
        self.packets = self.packets.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets);
    }

    /// Sends a packet. `occupied` belongs to this line, or to both directions of a half-duplex link.
    pub fn send(&mut self, octets: usize, now: u64, occupied: &mut Occupied) -> Fate {
        self.now = self.now.max(now);
        if self.medium.closed {
            return Fate::Lost(Reason::Simplex);
        }
        let twice = self.random.happens(self.medium.duplicate);
        let lost = self.loses();
        if lost && !twice {
            return Fate::Lost(Reason::Lossy);
        }
        let wrong = self.random.happens(self.medium.corrupt);
        let wrong = (wrong && octets > 0).then(|| self.random.below(octets as u64 * 8));
        let overtakes = self.random.happens(self.medium.reorder);
        let Some(at) = self.admit(octets, overtakes, occupied) else {
            return Fate::Lost(Reason::LinkFull);
        };
        let again = if twice && !lost { self.admit(octets, false, occupied) } else { None };
        Fate::Arrives { at, wrong, again, overtakes }
    }

    fn loses(&mut self) -> bool {
        match self.medium.loss {
            Loss::Random(share) => self.random.happens(share),
            Loss::Bursts { enter, leave, bad, good } => {
                let lost = self.random.happens(if self.bad { bad } else { good });
                if self.random.happens(if self.bad { leave } else { enter }) {
                    self.bad = !self.bad;
                }
                lost
            }
        }
    }

    /// When a copy arrives; none when there is no room for it.
    fn admit(&mut self, octets: usize, overtakes: bool, occupied: &mut Occupied) -> Option<u64> {
        let room = self.packets < self.medium.packets
            && octets <= self.medium.octets - self.octets.min(self.medium.octets);
        if !room {
            return None;
        }
        (self.packets, self.octets) = (self.packets + 1, self.octets + octets);
        let mut sent = self.now;
        if self.per_octet > 0 {
            let now = u128::from(self.now) << 32;
            let takes = |per_octet: u64| octets as u128 * u128::from(per_octet);
            occupied.rate = occupied.rate.max(now) + takes(self.per_octet);
            let mut free = occupied.rate.saturating_sub(self.early).max(now);
            if self.per_octet_at_peak > 0 {
                occupied.peak = occupied.peak.max(now) + takes(self.per_octet_at_peak);
                free = free.max(occupied.peak);
            }
            // To the next whole nanosecond, so that nothing is early.
            sent = u64::try_from((free + u128::from(u32::MAX)) >> 32).unwrap_or(u64::MAX);
        }
        if overtakes {
            return Some(sent);
        }
        let arrives = sent.saturating_add(self.delay()).max(self.last);
        self.last = arrives;
        Some(arrives)
    }

    fn delay(&mut self) -> u64 {
        let Medium { delay, jitter, distribution, .. } = self.medium;
        if jitter == 0 {
            return delay.min(LONGEST);
        }
        // Nanoseconds of an hour are whole numbers in 52 bits. Less than none is none.
        let delay = delay as f64 + jitter as f64 * distribution.draw(&mut self.random);
        (delay as u64).min(LONGEST)
    }
}

#[cfg(test)]
mod tests;
