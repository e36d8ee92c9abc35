//! What links of a kind are like: nominal rates, lengths, delays and losses of media.
//!
//! The figures are those of the standards that name them, or typical ones where a standard names none;
//! each profile says which. Rates are those of the physical layer's data path, so protocol overhead of a
//! shared medium is not taken off.

use super::{BitRate, Netem, PartsPerMillion, Qdisc, Shaper, Support, Tbf};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Whether both ends can send at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplex {
    /// Both at once, each at the full rate.
    Full,
    /// One at a time; they share the rate.
    Half,
}

/// Up to which length a medium gives which rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Metres.
    pub length: u32,
    /// Rate from the network towards the endpoint, and both ways where `up` is `None`.
    pub down: BitRate,
    /// Rate from the endpoint towards the network, where it differs.
    pub up: Option<BitRate>,
}

/// The nature of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaProfile {
    /// Its name in the description.
    pub name: &'static str,
    /// Rates by length, shortest reach first; at least one.
    pub reaches: &'static [Reach],
    /// Picoseconds per metre.
    pub propagation: u32,
    /// One-way delay that does not depend on the length: access, scheduling, coding.
    pub access_delay: Duration,
    /// Standard deviation of the delay.
    pub jitter: Duration,
    /// Share of packets lost.
    pub loss: PartsPerMillion,
    /// Whether both ends can send at once.
    pub duplex: Duplex,
    /// Where the figures are from.
    pub source: &'static str,
}

const fn both(length: u32, megabits: u64) -> Reach {
    Reach { length, down: BitRate::mbit(megabits), up: None }
}

const fn mobile(length: u32, down: u64, up: u64) -> Reach {
    Reach { length, down: BitRate::mbit(down), up: Some(BitRate::mbit(up)) }
}

const NONE: Duration = Duration::ZERO;

const fn copper(name: &'static str, reaches: &'static [Reach], source: &'static str) -> MediaProfile {
    // 0.64 c, the slowest that ISO/IEC 11801 lets a pair be at 100 MHz (538 ns per 100 m with skew): 5.2 ns/m.
    MediaProfile {
        name,
        reaches,
        propagation: 5212,
        access_delay: NONE,
        jitter: NONE,
        // A bit error ratio of 1e-10 or better is less than one packet of 1,500 octets in 800,000.
        loss: PartsPerMillion(0),
        duplex: Duplex::Full,
        source,
    }
}

const fn fibre(name: &'static str, reaches: &'static [Reach], source: &'static str) -> MediaProfile {
    // 0.68 c: a group index of 1.468 (ITU-T G.652 fibre at 1550 nm) is 4.9 ns/m.
    MediaProfile { propagation: 4897, ..copper(name, reaches, source) }
}

const fn coax(name: &'static str, reaches: &'static [Reach], source: &'static str) -> MediaProfile {
    // 0.83 c, foamed polyethylene: 4.0 ns/m. Cable access grants take about a millisecond.
    MediaProfile {
        propagation: 4019,
        access_delay: Duration::from_millis(1),
        ..copper(name, reaches, source)
    }
}

const fn wireless(
    name: &'static str,
    reaches: &'static [Reach],
    access_delay: Duration,
    jitter: Duration,
    duplex: Duplex,
    source: &'static str,
) -> MediaProfile {
    // In air light needs 3.3 ns/m. Lost frames are sent again below IP; 0.1 % is what remains.
    MediaProfile {
        name,
        reaches,
        propagation: 3336,
        access_delay,
        jitter,
        loss: PartsPerMillion(1000),
        duplex,
        source,
    }
}

const fn micros(value: u64) -> Duration {
    Duration::from_micros(value)
}

/// All profiles. A medium with several names has one entry for each.
pub const PROFILES: &[MediaProfile] = &[
    copper("cat5", &[both(100, 100)], "IEEE 802.3 clause 25, 100BASE-TX"),
    copper("cat5e", &[both(100, 1000)], "IEEE 802.3 clause 40, 1000BASE-T"),
    copper(
        "cat6",
        &[both(55, 10_000), both(100, 1000)],
        "IEEE 802.3 clause 55, 10GBASE-T to 55 m, then 1000BASE-T",
    ),
    copper("cat6a", &[both(100, 10_000)], "IEEE 802.3 clause 55, 10GBASE-T"),
    fibre("fibre-sm", SINGLE_MODE, SINGLE_MODE_SOURCE),
    fibre("smf", SINGLE_MODE, SINGLE_MODE_SOURCE),
    fibre("fibre-mm", MULTI_MODE, MULTI_MODE_SOURCE),
    fibre("mmf", MULTI_MODE, MULTI_MODE_SOURCE),
    coax(
        "rg6",
        &[both(90, 1000), both(300, 100)],
        "MoCA 2.0 bonded channels to 90 m; 100 Mbit/s nominal beyond",
    ),
    coax(
        "rg11",
        &[both(180, 1000), both(500, 100)],
        "about half of RG-6's loss per metre, so twice its reach",
    ),
    coax("coax", &[both(90, 1000), both(300, 100)], "as rg6"),
    wireless(
        "wifi-n",
        &[both(70, 300)],
        micros(2000),
        micros(1000),
        Duplex::Half,
        "IEEE 802.11n, two streams, 40 MHz, MCS 15",
    ),
    wireless(
        "wifi-ac",
        &[both(35, 867)],
        micros(1500),
        micros(800),
        Duplex::Half,
        "IEEE 802.11ac, two streams, 80 MHz, MCS 9",
    ),
    wireless(
        "wifi-ax",
        &[both(30, 1201)],
        micros(1000),
        micros(500),
        Duplex::Half,
        "IEEE 802.11ax, two streams, 80 MHz, MCS 11",
    ),
    wireless("4g", LTE, micros(10_000), micros(3000), Duplex::Full, LTE_SOURCE),
    wireless("lte", LTE, micros(10_000), micros(3000), Duplex::Full, LTE_SOURCE),
    wireless(
        "5g",
        &[mobile(1000, 1000, 500)],
        micros(4000),
        micros(1000),
        Duplex::Full,
        "3GPP TR 38.913 7.5: user plane 4 ms; 1 Gbit/s down and 500 Mbit/s up nominal",
    ),
];

const SINGLE_MODE: &[Reach] = &[both(500, 400_000), both(10_000, 100_000), both(40_000, 10_000)];
const SINGLE_MODE_SOURCE: &str =
    "IEEE 802.3: 400GBASE-DR4 to 500 m, 100GBASE-LR4 to 10 km, 10GBASE-ER to 40 km";
const MULTI_MODE: &[Reach] = &[both(100, 100_000), both(400, 10_000)];
const MULTI_MODE_SOURCE: &str = "IEEE 802.3 on OM4: 100GBASE-SR4 to 100 m, 10GBASE-SR to 400 m";
const LTE: &[Reach] = &[mobile(5000, 150, 50)];
const LTE_SOURCE: &str = "3GPP TS 36.306 category 4; TR 36.912: user plane below 10 ms";

/// The profile of a name.
#[must_use]
pub fn profile(name: &str) -> Option<MediaProfile> {
    PROFILES.iter().find(|profile| profile.name == name).copied()
}

/// Which way the packets of an interface go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the endpoint towards the network.
    Up,
    /// From the network towards the endpoint.
    Down,
}

/// What a profile asks for and the kernel cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "property", content = "value", rename_all = "kebab-case")]
pub enum Unrealized {
    /// The rate: neither netem nor tbf.
    Rate(BitRate),
    /// The one-way delay: no netem.
    Delay(Duration),
    /// The jitter: no netem.
    Jitter(Duration),
    /// The loss: no netem.
    Loss(PartsPerMillion),
    /// One at a time: no queueing discipline sees both ends of a link, so each gets the full rate.
    HalfDuplex,
}

impl fmt::Display for Unrealized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "rate {rate}: this kernel has neither netem nor tbf"),
            Self::Delay(delay) => write!(f, "delay {delay:?}: this kernel has no netem"),
            Self::Jitter(jitter) => write!(f, "jitter {jitter:?}: this kernel has no netem"),
            Self::Loss(loss) => write!(f, "loss {loss}: this kernel has no netem"),
            Self::HalfDuplex => f.write_str("half duplex: the kernel shapes each direction by itself"),
        }
    }
}

/// A profile made into queueing.
#[derive(Debug, Clone, PartialEq)]
pub struct Realization {
    /// What to put on the interface that sends; `None` if the kernel can do nothing of it.
    pub shaper: Option<Shaper>,
    /// The link's rate in this direction.
    pub rate: BitRate,
    /// What remains undone.
    pub unrealized: Vec<Unrealized>,
}

/// The medium does not reach so far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a link of {length} m is too long for {medium}, which reaches {reach} m; choose another medium or put a device between"
)]
pub struct TooLong {
    /// The medium.
    pub medium: &'static str,
    /// The length asked for in metres.
    pub length: u32,
    /// The longest possible.
    pub reach: u32,
}

/// Packets of this size fill the link when the queue's length is computed.
const FULL_PACKET: u64 = 1500;
/// The kernel's queue of a netem, packets.
const NETEM_LIMIT: u64 = 1000;

/// Queueing that makes an interface behave like one end of `length` metres of the medium. Delay, jitter
/// and loss are those of one way.
///
/// # Errors
/// [`TooLong`] when the medium does not reach so far.
pub fn to_shaper(
    profile: &MediaProfile,
    length: u32,
    direction: Direction,
    mtu: u32,
    support: &Support,
) -> Result<Realization, TooLong> {
    let reach = profile.reaches.iter().find(|reach| length <= reach.length);
    let Some(reach) = reach else {
        let reach = profile.reaches.iter().map(|reach| reach.length).max().unwrap_or(0);
        return Err(TooLong { medium: profile.name, length, reach });
    };
    let rate = match direction {
        Direction::Up => reach.up.unwrap_or(reach.down),
        Direction::Down => reach.down,
    };
    let delay = profile.access_delay
        + Duration::from_nanos(u64::from(profile.propagation) * u64::from(length) / 1000);
    let mut unrealized = Vec::new();
    if profile.duplex == Duplex::Half {
        unrealized.push(Unrealized::HalfDuplex);
    }
    let root = if support.netem {
        // Enough for what is under way and for 10 ms of waiting behind the rate.
        let under_way = u128::from(rate.octets())
            * (delay + profile.jitter * 4 + Duration::from_millis(10)).as_nanos()
            / 1_000_000_000
            / u128::from(FULL_PACKET);
        let limit = u32::try_from(under_way.max(u128::from(NETEM_LIMIT))).unwrap_or(u32::MAX).min(1_000_000);
        Some(Qdisc::Netem(Box::new(Netem {
            delay,
            jitter: profile.jitter,
            distribution: if profile.jitter.is_zero() {
                super::Distribution::Uniform
            } else {
                super::Distribution::Normal
            },
            loss: profile.loss,
            rate: Some(rate),
            limit: Some(limit),
            ..Netem::default()
        })))
    } else {
        unrealized.extend((!delay.is_zero()).then_some(Unrealized::Delay(delay)));
        unrealized.extend((!profile.jitter.is_zero()).then_some(Unrealized::Jitter(profile.jitter)));
        unrealized.extend((profile.loss.0 > 0).then_some(Unrealized::Loss(profile.loss)));
        if support.tbf {
            Some(Qdisc::Tbf(Tbf::new(rate, mtu, Duration::from_millis(50))))
        } else {
            unrealized.push(Unrealized::Rate(rate));
            None
        }
    };
    Ok(Realization { shaper: root.map(Shaper::egress), rate, unrealized })
}
