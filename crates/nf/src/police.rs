//! Meters of OpenFlow, which all workers share.

use std::sync::atomic::AtomicU64;

/// What a band does with packets over its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Raises the drop precedence of their DSCP by so much.
    Remark(u8),
}

/// A meter of several bands.
#[derive(Debug)]
pub struct SharedMeter {
    /// Packets that asked.
    pub packets: AtomicU64,
}
