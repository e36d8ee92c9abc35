//! What may be done to a packet: the action language, and what carries it out.
//!
//! Invariants: a program is complete: whoever executes it decides nothing. Every way to lose a packet has a reason in
//! one closed list. Nothing here does I/O, reads a clock or starts a thread.
#![forbid(unsafe_code)]

mod action;
mod balance;
mod checksum;
mod colours;
pub mod conntrack;
mod ether;
pub mod fragments;
mod hash;
pub mod link;
mod meter;
mod mpls;
mod nsh;
mod police;
mod reason;
pub mod remote;
pub mod rewrite;
mod segment;
pub mod shaper;
pub mod tunnel;
mod vlan;

pub use action::{Action, Branch, Connect, Hashing, Nat, NatRange, Program, Punt, Sample, Shape};
pub use balance::{Balance, HashBy};
pub use checksum::complete_checksum;
pub use colours::{Colour, Policer, Policing, TwoRates, TwoRatesSettings};
pub use ether::{pop_ethernet, push_ethernet};
pub use hash::dp_hash;
pub use meter::{Bucket, Rate, Unit};
pub use mpls::{packet_type, pop_mpls, push_mpls};
pub use nsh::{NshHeader, NshMetadata, pop_nsh, push_nsh};
pub use police::{BandKind, SharedMeter, Verdict, remark};
pub use reason::Reason;
pub use rewrite::Rewrite;
pub use segment::Segmenter;
pub use vlan::{pop_vlan, push_vlan, set_vlan};
