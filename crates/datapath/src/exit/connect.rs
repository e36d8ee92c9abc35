//! The seam to connection tracking.

use super::Exit;
use super::compose::Walk;
use netloom_mem::Batch;
use netloom_nf::conntrack::{CtVerdict, Passing, Tracker};
use netloom_nf::{Connect, Reason};
use std::sync::Arc;

pub(crate) use netloom_nf::conntrack::Tracked;

/// Connections whose time has come that are ended in one turn.
const ENDED: usize = 256;

impl Exit {
    /// Makes this the tracker of all connections.
    pub(crate) fn track(&mut self, tracker: Option<Arc<Tracker>>) {
        self.tracker = tracker;
    }

    /// Ends connections whose time has come.
    #[inline]
    pub(crate) fn end_connections(&self, now: u64) {
        if let Some(tracker) = &self.tracker {
            tracker.sweep(now, ENDED);
        }
    }

    /// Sends a packet through connection tracking. The key is right, and is right afterwards.
    pub(super) fn connect(
        &mut self,
        batch: &mut Batch,
        index: usize,
        walk: &mut Walk,
        connect: &Connect,
        now: u64,
    ) -> Result<(), Reason> {
        let Some(tracker) = &self.tracker else { return Err(Reason::Untracked) };
        let mut passing = Passing {
            index,
            key: &mut walk.key,
            layers: walk.layers,
            tracked: &mut walk.tracked,
            verdict: CtVerdict::default(),
        };
        let verdict = tracker.turn().process(batch, &mut passing, connect, now);
        match verdict.refused.and_then(|refusal| refusal.reason()) {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }
}
