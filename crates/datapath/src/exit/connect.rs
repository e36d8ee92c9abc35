//! The seam to connection tracking.

use super::Exit;
use super::compose::Walk;
use netloom_mem::Batch;
use netloom_nf::{Connect, Reason};

/// What is kept beside a packet between two ways through connection tracking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tracked;

impl Exit {
    /// Sends a packet through connection tracking. The key is right, and is right afterwards.
    pub(super) fn connect(
        &mut self,
        batch: &mut Batch,
        index: usize,
        walk: &mut Walk,
        connect: &Connect,
        now: u64,
    ) -> Result<(), Reason> {
        let _ = (batch, index, walk, connect, now);
        Err(Reason::Untracked)
    }
}
