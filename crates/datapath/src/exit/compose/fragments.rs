//! Fragments on their way to connection tracking: put together before it, and taken apart behind it.
//!
//! What: see [`netloom_nf::fragments`]. The fragments of a packet that never becomes complete are dropped when their time is
//! over, and counted at the worker.

use super::{Exit, Outcome, Rest, Step, Walk};
use netloom_mem::{Batch, Offload, PortNumber};
use netloom_nf::fragments::{Assembly, FragmentBounds, Fragments, Taken, copy_connection, mark_invalid};
use netloom_nf::{Connect, Reason};
use netloom_table::Field;
use netloom_table::key::extract_beside;

impl Exit {
    /// Sends a fragment through connection tracking: it is held until its packet is complete. The key is right.
    #[cold]
    pub(super) fn connect_fragment(
        &mut self,
        batch: &mut Batch,
        index: usize,
        walk: &mut Walk,
        connect: &Connect,
        rest: Rest<'_>,
    ) -> Step {
        let fragments =
            self.fragments.get_or_insert_with(|| Box::new(Fragments::new(FragmentBounds::default())));
        match fragments.take(batch, index, &walk.key, &walk.layers, connect.zone, rest.now) {
            Taken::Whole => Step::On,
            Taken::Held => {
                walk.sent();
                Step::End
            }
            Taken::Invalid => {
                mark_invalid(&mut walk.key, connect.zone);
                Step::On
            }
            Taken::Complete(assembly) => self.connect_assembly(batch, &assembly, walk, connect, rest),
        }
    }

    /// Sends a whole packet through connection tracking, and goes on with the fragments that it came in.
    fn connect_assembly(
        &mut self,
        batch: &mut Batch,
        assembly: &Assembly,
        walk: &mut Walk,
        connect: &Connect,
        rest: Rest<'_>,
    ) -> Step {
        self.send(batch);
        let port = walk.key.get(Field::IN_PORT) as PortNumber;
        let mut frames = self.spare.pop().unwrap_or_default();
        if !frames.push(port, assembly.frame(), Offload::NONE) {
            self.give_back(frames);
            return walk.drop(Reason::TooLong);
        }
        let mut key = self.take_key(&walk.key);
        let layers = extract_beside(frames.head(0), frames.length(0), &walk.key, &mut key);
        let mut whole = Walk { key, layers, stays: false, early: false, moved: false, stale: false, ..*walk };
        let verdict = self.connect(&mut frames, 0, &mut whole, connect, rest.now);
        let pieces = if verdict.is_ok() { assembly.parts(&frames.octets(0)) } else { Vec::new() };
        frames.clear();
        for piece in &pieces {
            if !frames.push(port, piece, Offload::NONE) {
                continue;
            }
            let mut key = self.take_key(&walk.key);
            let layers = extract_beside(frames.head(0), frames.length(0), &walk.key, &mut key);
            copy_connection(&whole.key, &mut key);
            let (tracked, roomy) = (whole.tracked, true);
            let mut copy = Walk {
                key,
                layers,
                tracked,
                roomy,
                stays: false,
                early: false,
                moved: false,
                stale: false,
                ..*walk
            };
            let actions = rest.actions.get(1..).unwrap_or_default();
            let changing = rest.changing.saturating_sub(1);
            self.walk(&mut frames, 0, &mut copy, Rest { actions, changing, tail: true, ..rest });
            self.keys.push(copy.key);
            if walk.outcome != Outcome::Sent {
                walk.outcome = copy.outcome;
            }
            self.send(&mut frames);
            frames.clear();
        }
        self.keys.push(whole.key);
        self.give_back(frames);
        match verdict {
            Ok(()) => Step::End,
            Err(reason) => walk.drop(reason),
        }
    }

    /// Drops fragments that have waited for too long, and gives their number.
    #[inline]
    pub(crate) fn expire_fragments(&mut self, now: u64) -> usize {
        match &mut self.fragments {
            Some(fragments) if !fragments.is_empty() => fragments.expire(now).len(),
            _ => 0,
        }
    }
}
