//! Queueing disciplines. `None` in an option leaves the value to the kernel.

use super::{BitRate, ClassId, Filter};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A share in millionths. Legal values: 0 to 1,000,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartsPerMillion(pub u32);

impl PartsPerMillion {
    /// All of it.
    pub const ALL: Self = Self(1_000_000);

    /// Hundredths.
    #[must_use]
    pub const fn percent(value: u32) -> Self {
        Self(value.saturating_mul(10_000))
    }
}

impl fmt::Display for PartsPerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            write!(f, "{whole} %")
        } else {
            write!(f, "{whole}.{} %", format!("{rest:04}").trim_end_matches('0'))
        }
    }
}

/// A queueing discipline with what hangs below it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "qdisc", rename_all = "kebab-case")]
pub enum Qdisc {
    /// Hierarchical token bucket: classes share a link by rate and ceiling.
    Htb(Htb),
    /// Token bucket: one rate for all.
    Tbf(Tbf),
    /// Delay, loss and other faults of a link.
    Netem(Box<Netem>),
    /// Strict priority bands.
    Prio(Prio),
    /// Fair queueing with controlled delay.
    FqCodel(FqCodel),
    /// Stochastic fair queueing.
    Sfq(Sfq),
    /// First in, first out, limited in packets.
    Pfifo {
        /// Packets; the kernel takes the interface's queue length.
        limit: Option<u32>,
    },
    /// First in, first out, limited in octets.
    Bfifo {
        /// Octets; the kernel takes the interface's queue length times its MTU.
        limit: Option<u32>,
    },
    /// Observed only: a kind that Netloom does not make.
    Other {
        /// The kernel's name for it.
        name: String,
    },
}

impl Qdisc {
    /// The kernel's name of the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Htb(_) => "htb",
            Self::Tbf(_) => "tbf",
            Self::Netem(_) => "netem",
            Self::Prio(_) => "prio",
            Self::FqCodel(_) => "fq_codel",
            Self::Sfq(_) => "sfq",
            Self::Pfifo { .. } => "pfifo",
            Self::Bfifo { .. } => "bfifo",
            Self::Other { name } => name,
        }
    }

    /// The disciplines directly below, with the class each sits in.
    #[must_use]
    pub fn children(&self) -> Vec<(u16, &Self)> {
        match self {
            Self::Htb(htb) => htb
                .classes
                .iter()
                .filter_map(|(id, class)| Some((id.get(), class.leaf.as_deref()?)))
                .collect(),
            Self::Prio(prio) => prio.leaves.iter().map(|(band, leaf)| (u16::from(*band) + 1, leaf)).collect(),
            Self::Tbf(Tbf { child, .. }) => child.iter().map(|child| (1, &**child)).collect(),
            Self::Netem(netem) => netem.child.iter().map(|child| (1, &**child)).collect(),
            _ => Vec::new(),
        }
    }

    /// The filters that choose a class.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        match self {
            Self::Htb(htb) => &htb.filters,
            Self::Prio(prio) => &prio.filters,
            _ => &[],
        }
    }
}

/// Hierarchical token bucket (tc-htb(8)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Htb {
    /// The class of packets that no filter takes; `None` lets them pass unshaped.
    pub default: Option<ClassId>,
    /// Divisor that makes a quantum of a rate; the kernel has 10.
    pub r2q: Option<u32>,
    /// The classes.
    pub classes: BTreeMap<ClassId, HtbClass>,
    /// What takes a packet into a class; the first match wins.
    pub filters: Vec<Filter>,
}

impl Htb {
    /// One class for everything: `average` is guaranteed, `peak` the ceiling, `burst` octets may go at
    /// once at `peak`. This is what libvirt makes of `<bandwidth>`.
    #[must_use]
    pub fn single(average: BitRate, peak: Option<BitRate>, burst: Option<u32>, mtu: u32) -> Self {
        let ceil = peak.unwrap_or(average).max(average);
        let class = HtbClass {
            burst: burst.unwrap_or(0).max(super::burst_for(average, mtu)),
            ..HtbClass::new(average, ceil, mtu)
        };
        let id = ClassId::try_from(1).ok();
        Self {
            default: id,
            r2q: None,
            classes: id.map(|id| (id, class)).into_iter().collect(),
            filters: Vec::new(),
        }
    }

    /// Whether no class has `id` as its parent.
    #[must_use]
    pub fn is_leaf(&self, id: ClassId) -> bool {
        self.classes.values().all(|class| class.parent != Some(id))
    }
}

/// A class of an [`Htb`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HtbClass {
    /// The class it borrows from; `None` for the discipline itself.
    pub parent: Option<ClassId>,
    /// Guaranteed rate.
    pub rate: BitRate,
    /// What it may reach by borrowing.
    pub ceil: BitRate,
    /// Octets that may go at once within the rate.
    pub burst: u32,
    /// Octets that may go at once within the ceiling.
    pub cburst: u32,
    /// Who is offered the spare rate first; 0 is first, 7 last. Counts for leaves only.
    pub priority: u8,
    /// Octets per turn; `None` lets the kernel compute it. Counts for leaves only.
    pub quantum: Option<u32>,
    /// How packets wait inside the class; the kernel has a plain FIFO. For leaves only.
    pub leaf: Option<Box<Qdisc>>,
}

impl HtbClass {
    /// A class below the discipline, with buckets and quantum that fit its rates.
    #[must_use]
    pub fn new(rate: BitRate, ceil: BitRate, mtu: u32) -> Self {
        Self {
            parent: None,
            rate,
            ceil,
            burst: super::burst_for(rate, mtu),
            cburst: super::burst_for(ceil, mtu),
            priority: 0,
            quantum: Some(super::quantum_for(rate, mtu)),
            leaf: None,
        }
    }
}

/// Token bucket (tc-tbf(8)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tbf {
    /// The rate.
    pub rate: BitRate,
    /// Octets that may go at once.
    pub burst: u32,
    /// Octets that may wait; [`super::limit_for_latency`] computes it from a time.
    pub limit: u32,
    /// A second bucket that bounds how fast the burst may go.
    pub peak: Option<Peak>,
    /// How packets wait; the kernel has a FIFO of `limit` octets.
    pub child: Option<Box<Qdisc>>,
}

impl Tbf {
    /// A bucket that reaches `rate` and in which no packet waits longer than `latency`.
    #[must_use]
    pub fn new(rate: BitRate, mtu: u32, latency: Duration) -> Self {
        let burst = super::burst_for(rate, mtu);
        Self { rate, burst, limit: super::limit_for_latency(rate, burst, latency), peak: None, child: None }
    }
}

/// The peak bucket of a [`Tbf`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Above the rate of the first bucket.
    pub rate: BitRate,
    /// Octets that may go at once at any speed; at least the MTU.
    pub burst: u32,
}

/// Faults of a link (tc-netem(8)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Netem {
    /// Every packet waits so long.
    pub delay: Duration,
    /// And up to so much more or less.
    pub jitter: Duration,
    /// How much a packet's delay is like the one before.
    pub delay_correlation: PartsPerMillion,
    /// How the jitter is spread. The kernel does not tell it back, so it is never compared.
    pub distribution: Distribution,
    /// Share of packets lost.
    pub loss: PartsPerMillion,
    /// How much losing a packet depends on the one before.
    pub loss_correlation: PartsPerMillion,
    /// Share of packets sent twice.
    pub duplicate: PartsPerMillion,
    /// Share of packets with one wrong bit.
    pub corrupt: PartsPerMillion,
    /// Packets that overtake.
    pub reorder: Option<NetemReorder>,
    /// Rate of the link, as the time that a packet takes to be sent.
    pub rate: Option<BitRate>,
    /// Packets that may be under way; `None` is the kernel's 1000.
    pub limit: Option<u32>,
    /// How packets wait after their delay.
    pub child: Option<Box<Qdisc>>,
}

/// Reordering by [`Netem`]: it needs a delay, since packets are reordered by sending some at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetemReorder {
    /// Share of packets that are sent at once.
    pub share: PartsPerMillion,
    /// How much it depends on the packet before.
    pub correlation: PartsPerMillion,
    /// Every n-th packet can be sent at once; 1 for any.
    pub gap: u32,
}

/// How jitter is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Evenly over the whole range.
    #[default]
    Uniform,
    /// Normally; the jitter is one standard deviation.
    Normal,
}

/// Strict priority (tc-prio(8)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prio {
    /// Bands, 2 to 16; band 0 goes first.
    pub bands: u8,
    /// The band of each of the 16 socket priorities (`TC_PRIO_*`, linux/pkt_sched.h), where no filter decides.
    pub map: [u8; 16],
    /// How packets wait in a band; the kernel has a plain FIFO.
    pub leaves: BTreeMap<u8, Qdisc>,
    /// What takes a packet into a band (class 1 is band 0); the first match wins.
    pub filters: Vec<Filter>,
}

impl Default for Prio {
    /// Three bands with the kernel's map.
    fn default() -> Self {
        let map = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        Self { bands: 3, map, leaves: BTreeMap::new(), filters: Vec::new() }
    }
}

/// Fair queueing with controlled delay (RFC 8290, tc-fq_codel(8)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FqCodel {
    /// Packets that may wait.
    pub limit: Option<u32>,
    /// Queues; fixed once made.
    pub flows: Option<u32>,
    /// Octets per turn of a queue.
    pub quantum: Option<u32>,
    /// Acceptable standing delay.
    pub target: Option<Duration>,
    /// How long the delay may exceed the target.
    pub interval: Option<Duration>,
    /// Mark packets instead of dropping them where the sender knows ECN.
    pub ecn: Option<bool>,
    /// Octets of memory.
    pub memory_limit: Option<u32>,
}

/// Stochastic fair queueing (tc-sfq(8)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sfq {
    /// Octets per turn of a queue.
    pub quantum: Option<u32>,
    /// Seconds after which flows are spread anew; 0 for never.
    pub perturb: Option<u32>,
    /// Packets that may wait.
    pub limit: Option<u32>,
}
