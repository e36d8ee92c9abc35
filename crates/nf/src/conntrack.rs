//! Connection tracking: which packets belong together, in which state that is, and how they are translated.
//!
//! ```text
//! packet -> tuple -> keyed hash -> shard -> index -> connection -> state, mark, label -> key
//!                                                         | translation -> packet
//!                                                         | helper -> expectations
//! ```
//!
//! What: the semantics of Open vSwitch's connection tracking in user space. The executor calls [`Turn::process`] for the
//! action `ct()`; what it learns is in the packet's key, where the next table finds it.
//!
//! Invariants: no packet makes anything here panic. Memory is bounded: by [`Tracker::set_most`] and the limits of zones.
//! Time and randomness are arguments.
//!
//! Costs: a packet of a known connection reads two cache lines (index, connection), writes one and allocates nothing; with
//! one worker it takes no lock of its own. `docs/decisions/0010-connections-in-shards.md` has the numbers.

mod batch;
mod connection;
mod expect;
mod ftp;
mod index;
mod limit;
mod list;
mod nat;
mod packet;
mod process;
mod request;
mod shard;
mod tcp;
mod text;
mod timeout;
mod tracker;
mod translate;
mod tuple;

pub use limit::ZoneLimit;
pub use list::{Detail, Dump, Entry, PartOfTuple, Pattern, TcpEnd};
pub(crate) use packet::extensions;
pub use process::clear;
pub use request::{Connect, CtVerdict, Nat, NatRange, Passing, Refusal, Tracked, state};
pub use tcp::TcpState;
pub use timeout::{Policy, Timeout};
pub use tracker::{Census, Tracker, Turn};
pub use tuple::Tuple;
