//! The brain of a bridge: who is where, and what happens to a packet that nobody has decided about yet.
//!
//! ```text
//! key of a packet   -> Bridge::decide -> program, mask (what was looked at), what it rests on
//! protocol's packet -> Bridge::heard  -> what changed, packets to send
//! time              -> Bridge::tick   -> the same
//! ```
//!
//! Invariants: one function decides, whoever asks (a miss of the data path, a trace, a test). It looks at a field only
//! through the mask it gives back. Time is an argument; nothing here does I/O or starts a thread.
//!
//! Deliberately absent: the data path (they share the flow key and the action language).
#![forbid(unsafe_code)]

pub mod bfd;
pub mod bond;
mod bridge;
pub mod cfm;
mod decision;
mod fdb;
mod guard;
pub mod lacp;
mod lldp;
mod mirror;
pub mod openflow;
mod port;
pub mod rstp;
mod snoop;

pub use bond::{Bond, BondOptions, MemberState, Mode};
pub use bridge::{Bridge, BridgeError, BridgeOptions, BridgeState, MirrorCopy, NOBODY, TreeSettings};
pub use decision::{Decision, Effects, Step, Why};
pub use fdb::{Fdb, Learned, Station, StationChange, StationCounts, StationEvent, Tag};
pub use guard::{Guard, Prefix};
pub use lldp::Neighbour;
pub use mirror::{Copies, Gate, Mirror};
pub use port::{MeterKind, Port, Vlan, VlanSet};
pub use snoop::SnoopOptions;
