//! A topology file out of a host's Open vSwitch database.
//!
//! ```text
//! conf.db, db.sock --Source--> ovs: bridges -> networks `via: switch`, ports -> interfaces of nodes, patches -> links
//!                               `--> what the language has no word for: a comment for each, with the way to say it
//! ```
//!
//! What: [`import`] is a pure function of the rows. Whoever is behind a port becomes a node of its own, whose interface has
//! the port's name and VLANs.
//!
//! Invariants: the text that comes out validates, whatever the rows hold. Every column that has another value than its
//! default, and is not a switch's own status, is said by the text or is in [`Imported::left`], which is also at the end of
//! the text as comments.
//!
//! Deliberately absent: addresses (they are not in the database), OpenFlow (a program's work: flows are listed beside).

mod names;
mod ovs;
mod rows;
#[cfg(test)]
mod tests;
mod vlan;

pub use ovs::{BridgeFlows, Imported, Left, import};
pub use rows::Source;
