//! What the larger actions consist of.

use super::Program;
use std::sync::Arc;

/// How `dp_hash` is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hashing {
    /// What goes into it.
    pub by: crate::HashBy,
    /// Both directions of a connection have the same hash.
    pub symmetric: bool,
    /// What it begins with.
    pub basis: u32,
}

/// Some packets, by chance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Of 2^32 packets so many are chosen; `u32::MAX` chooses all.
    pub probability: u32,
    /// What is done with a copy of each.
    pub program: Program,
}

/// Two ways, by length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Branch {
    /// In octets, of the packet from its first header on. Of a large frame that is still to be cut, the longest piece
    /// counts.
    pub length: u32,
    /// For packets that are longer.
    pub longer: Program,
    /// For the others.
    pub otherwise: Program,
}

/// Why and how the brain gets a copy, as it asked for it. All numbers are the brain's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Punt {
    /// Why: as in OpenFlow's `ofp_packet_in_reason`, or another number space of the brain.
    pub reason: u8,
    /// Which kind of copy: a controller's, a sample, a slow path.
    pub kind: u8,
    /// Table of the rule that asked.
    pub table: u8,
    /// Most octets of the copy; 0 for all.
    pub most: u16,
    /// Which controller.
    pub controller: u16,
    /// Which state of the translation it belongs to.
    pub state: u32,
    /// Cookie of the rule that asked.
    pub cookie: u64,
    /// Whatever else.
    pub data: Arc<[u8]>,
}
