//! OpenFlow 1.0 to 1.5 with the extensions of Nicira and Open vSwitch.
//!
//! What: [`field`] is the one table of fields; [`value`] holds their values; [`matching`] is what a flow matches;
//! [`action`] is what it does, instructions included. Each has its codec for every version beside it; [`error`] has
//! the errors by the names of OVS, and [`codec`] the octets.
//!
//! Invariants: `parse . emit = id`; no octets panic; depth and size of what a peer sends are bounded.

pub mod action;
pub mod codec;
pub mod error;
pub mod field;
pub mod matching;
pub mod message;
pub mod port;
pub mod session;
pub mod text;
pub mod value;
pub mod version;

pub use action::Action;
pub use error::OfError;
pub use field::FieldId;
pub use matching::Match;
pub use port::OfPort;
pub use value::{Subfield, Value};
pub use version::Version;

/// Nicira's number as a vendor and experimenter.
pub const NICIRA: u32 = 0x0000_2320;
/// The ONF's number as an experimenter.
pub const ONF: u32 = 0x4f4e_4600;
