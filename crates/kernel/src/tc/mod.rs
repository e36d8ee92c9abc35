//! Queueing of interfaces in the kernel: observing, making and changing it (tc).
//!
//! What: [`observe`] reads the queueing of one or all interfaces of a namespace into
//! `netloom_compile::object::shaper` types, [`apply`] makes an interface's queueing as desired,
//! [`delete`] takes it away, [`statistics`] reads counters, [`support`] says
//! what the kernel has.
//!
//! Invariants:
//! - Our root discipline has the handle `4e4c:`, our ingress filter the priority 0x4e4c; what has neither
//!   is another program's and is neither changed nor removed. Handles of leaves are their class's
//!   number, priorities of filters count from 1 in the order of the list.
//! - A change that only concerns numbers (rates, bursts, filters ...) is made in place: classes keep their
//!   counters and their queued packets. Only a change of the tree's shape builds it anew.
//! - An [`apply`] that fails leaves either the tree that was changed in place or none of ours.
//! - Whatever the kernel answers, decoding does not panic; what our types cannot say is listed by name
//!   in `Shaper::unrecognized`, so that it shows up as a difference.
//!
//! Costs: observing is one dump for a whole namespace, and one of classes and one or two of filters for
//! each interface that has queueing of anybody's making. Applying is one system call for up to 128
//! requests.
//!
//! Deliberately absent: filters on inner classes and on chains other than 0 (they are not looked for),
//! actions on egress filters, hardware offload.

mod apply;
mod change;
mod flower;
mod ingress;
mod netem;
mod observe;
mod piece;
mod probe;
mod qdisc;
mod statistics;
mod u32;
mod units;
mod wire;

#[cfg(test)]
mod tests;

pub use apply::{apply, delete};
pub use observe::{Found, observe};
pub use probe::support;
pub(crate) use probe::{matches_marks, try_action};
pub use statistics::{Counters, Statistics, statistics};

use crate::netlink::{Attribute, NetlinkError, Refusal};
use netloom_compile::object::shaper::ShaperFault;
use piece::Layer;

/// Why queueing could not be observed or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TcError {
    /// The exchange with the kernel failed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel refused one step.
    #[error("{doing}: {refusal}")]
    Refused {
        /// The step.
        doing: String,
        /// The kernel's answer.
        refusal: Refusal,
    },
    /// The interface has a root discipline of another program.
    #[error(
        "interface {ifindex} has a root discipline `{kind}` of another program; remove it with `tc qdisc del dev ... root` first"
    )]
    Foreign {
        /// The interface.
        ifindex: u32,
        /// The discipline.
        kind: String,
    },
    /// The tree cannot be said to the kernel.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<ShaperFault>),
    /// The interface to redirect to does not exist.
    #[error("there is no interface `{0}` to redirect packets to")]
    NoDevice(String),
}

impl TcError {
    /// The kernel's error number, if there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Netlink(error) => error.errno(),
            Self::Refused { refusal, .. } => Some(refusal.errno),
            _ => None,
        }
    }
}

/// A filter as the kernel told it.
#[derive(Clone, Copy)]
struct FilterRow<'a> {
    layer: Layer,
    handle: u32,
    options: Attribute<'a>,
}
