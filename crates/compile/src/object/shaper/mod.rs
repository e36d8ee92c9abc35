//! Queueing of an interface: what leaves it, in which order and how fast, and what is admitted.
//!
//! What: [`Shaper`] is the whole of one interface: a tree of queueing disciplines for what leaves it
//! ([`Qdisc`]) and one rule for what arrives ([`Ingress`]). The same type says what is wanted and what
//! was observed.
//!
//! Invariants:
//! - Rates are bits per second, sizes octets, probabilities parts per million: what a person writes, not
//!   what the kernel counts in. [`Shaper::compare`] forgives exactly what the kernel's units round away.
//! - A tree that [`Shaper::check`] passes can be said to the kernel; whether the kernel has the kinds
//!   is another question ([`Support`]).
//! - First match wins: [`Filter`]s are an ordered list of the classful discipline, not of its classes.
//!
//! Deliberately absent: handles, ticks and attributes (crate `kernel`), which filter type realizes a match.

mod check;
mod compare;
mod filter;
pub mod media;
mod qdisc;
mod size;
mod support;

#[cfg(test)]
mod tests;

pub use check::ShaperFault;
pub use filter::{Filter, Match, PortRange};
pub use qdisc::{
    Distribution, FqCodel, Htb, HtbClass, Netem, NetemReorder, PartsPerMillion, Peak, Prio, Qdisc, Sfq, Tbf,
};
pub use size::{BitRate, ClassId, HandleError, TIMER_HZ, burst_for, limit_for_latency, quantum_for};
pub use support::{FilterKind, Missing, Support};

use netloom_wire::InterfaceName;
use serde::{Deserialize, Serialize};

/// Major number of the root discipline's handle that marks a tree as Netloom's ("NL").
pub const ROOT_MAJOR: u16 = 0x4e4c;

/// The complete queueing of one interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shaper {
    /// What leaves the interface; `None` leaves it to the kernel's default.
    pub root: Option<Qdisc>,
    /// What happens to arriving packets; `None` admits all.
    pub ingress: Option<Ingress>,
    /// Observed only: parts of the tree that these types cannot express, in the kernel's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrecognized: Vec<String>,
}

impl Shaper {
    /// A tree for what leaves.
    #[must_use]
    pub const fn egress(root: Qdisc) -> Self {
        Self { root: Some(root), ingress: None, unrecognized: Vec::new() }
    }

    /// The other interfaces that this one's queueing names.
    pub fn devices(&self) -> impl Iterator<Item = &InterfaceName> {
        match &self.ingress {
            Some(Ingress::Redirect { device }) => Some(device),
            _ => None,
        }
        .into_iter()
    }
}

/// What happens to packets that arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Ingress {
    /// Packets above the rate are dropped (`act_police`).
    Police {
        /// Bits per second.
        rate: BitRate,
        /// Octets that may arrive at once.
        burst: u32,
    },
    /// All packets leave by another interface (`act_mirred`), usually an `ifb` that shapes them and
    /// gives them back.
    Redirect {
        /// The other interface, in the same namespace.
        device: InterfaceName,
    },
}
