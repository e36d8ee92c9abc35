//! What is asked of connection tracking, and what it answers.

use crate::Reason;
pub use crate::{Connect, Nat, NatRange};
use netloom_table::Key;
use netloom_table::key::Layers;

/// Bits of `ct_state` (ovs-fields(7)).
pub mod state {
    /// Begins a connection.
    pub const NEW: u32 = 0x01;
    /// Belongs to a connection that has seen both directions.
    pub const ESTABLISHED: u32 = 0x02;
    /// Belongs to another connection.
    pub const RELATED: u32 = 0x04;
    /// Goes against the direction of the first packet.
    pub const REPLY: u32 = 0x08;
    /// Belongs to no connection, and may not begin one.
    pub const INVALID: u32 = 0x10;
    /// Has been here.
    pub const TRACKED: u32 = 0x20;
    /// Its source was translated.
    pub const SOURCE_NAT: u32 = 0x40;
    /// Its destination was translated.
    pub const DESTINATION_NAT: u32 = 0x80;
    /// Either translation.
    pub const NAT: u32 = SOURCE_NAT | DESTINATION_NAT;
}

/// Why a connection was not remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its zone has as many as it may.
    ZoneLimit,
    /// There are as many as there may be.
    Full,
    /// Every address and port that it could be given is taken.
    NatExhausted,
}

impl Refusal {
    /// Why the packet must not go on; `None` when it may, untracked as it is (as in Open vSwitch).
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            // Behind a translation that failed there are addresses that nobody outside may see.
            Self::NatExhausted => Some(Reason::NatExhausted),
            Self::ZoneLimit | Self::Full => None,
        }
    }
}

/// What came of a packet. State, zone, mark, label and the original tuple are in its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CtVerdict {
    /// Bits of [`state`].
    pub state: u32,
    /// Headers were rewritten (address translation, a helper).
    pub changed: bool,
    /// So many octets more (or less) has the frame now (a helper).
    pub resized: i32,
    /// Why a connection that was to be remembered was not.
    pub refused: Option<Refusal>,
}

/// What is known of a packet between two ways through connection tracking: the executor keeps one beside each packet,
/// [new](Default) when the packet comes in and after `ct_clear`, so that a second `ct()` of the same zone neither searches
/// nor counts the packet twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracked {
    /// Where the connection is.
    pub(super) at: Option<Place>,
    pub(super) reply: bool,
}

/// A packet of a batch on its way through connection tracking.
#[derive(Debug)]
pub struct Passing<'a> {
    /// Its place in the batch.
    pub index: usize,
    /// Its key.
    pub key: &'a mut Key,
    /// Where its layers begin, as it is now.
    pub layers: Layers,
    /// What is kept beside it.
    pub tracked: &'a mut Tracked,
    /// What came of it.
    pub verdict: CtVerdict,
}

/// A connection's place, and which of those that were there it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) shard: u16,
    pub(super) index: u32,
    pub(super) birth: u32,
}
