//! Ports that are more than a queue: those with a limit, a shaper or a simulated link.
//!
//! A frame passes the limit first, then waits for its turn, then goes on the link.

use super::{Exit, Outcome, network};
use crate::links::Side;
use crate::shapers::{QueueCounts, Shaping, Verdict};
use netloom_mem::{Batch, PortNumber};
use netloom_nf::link::Cable;
use netloom_nf::{Bucket, Rate, Reason, Segmenter};
use std::collections::HashSet;

impl Exit {
    /// Limits what goes out of a port.
    pub(crate) fn limit(&mut self, port: PortNumber, rate: Option<Rate>, now: u64) {
        match rate {
            Some(rate) => self.limits.insert(port, rate),
            None => self.limits.remove(&port),
        };
        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
            output.limit = rate.filter(|_| output.through.is_none()).map(|rate| Bucket::new(rate, now));
        }
        self.mark(port);
    }

    /// Simulates a link at a port.
    pub(crate) fn link(&mut self, port: PortNumber, cable: &Cable, seed: u64) {
        self.links.set(port, cable, seed);
        self.mark(port);
    }

    /// Notes whether another worker simulates a link at a port.
    pub(crate) fn link_elsewhere(&mut self, port: PortNumber, there: bool) {
        note(&mut self.linked, port, there);
        self.mark(port);
    }

    /// Publishes what is under way at a port, and ends its link if that does nothing any more.
    pub(crate) fn sweep_link(&mut self, port: PortNumber) {
        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
            self.links.publish(port, &output.counters);
        }
        self.links.sweep(port);
    }

    /// Shapes what goes out of a port.
    pub(crate) fn shape(&mut self, port: PortNumber, shaping: Option<(&Shaping, QueueCounts)>, now: u64) {
        self.shaped.remove(&port);
        self.shapers.set(port, shaping, now);
        self.mark(port);
    }

    /// Notes whether another worker shapes a port.
    pub(crate) fn shape_elsewhere(&mut self, port: PortNumber, there: bool) {
        note(&mut self.shaped, port, there);
        self.mark(port);
    }

    /// Forgets shapers that have nothing to do any more.
    pub(crate) fn sweep_shapers(&mut self) {
        for port in self.shapers.ports() {
            if self.shapers.sweep(port) {
                self.mark(port);
            }
        }
    }

    /// Notes whether a port needs more than a look.
    pub(crate) fn mark(&mut self, port: PortNumber) {
        let shaped = self.shaped.contains(&port);
        let elsewhere = self.limits.contains_key(&port) || self.linked.contains(&port) || shaped;
        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
            output.special =
                output.limit.is_some() || self.links.has(port, Side::Out) || self.shapers.has(port) || shaped;
            output.elsewhere = output.through.is_some() && elsewhere;
        }
    }

    /// What becomes of a frame that does not leave at once; none for one that does.
    #[cold]
    pub(super) fn hold(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        now: u64,
    ) -> Option<Outcome> {
        let Some(Some(output)) = self.outputs.get_mut(port as usize) else { return None };
        if output.elsewhere && output.staged_for != self.queue {
            // Whoever shapes the port is told the queue of each frame; what is staged is for another one.
            if output.count > 0 {
                self.send_port(batch, port);
            }
            if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
                output.staged_for = self.queue;
            }
            return None;
        }
        if let Some(limit) = &mut output.limit
            && !limit.take(batch.length(index) as u64, now)
        {
            output.counters.unsent.add(1);
            return Some(Outcome::Dropped(Reason::Rate));
        }
        if !output.unlimited && self.shapers.has(port) {
            if self.shapers.cuts(port, self.queue, batch, index) {
                return Some(self.hold_pieces(batch, index, port, now));
            }
            match self.shapers.ask(batch, index, (port, self.queue), now) {
                Verdict::Now => {}
                Verdict::Held => return Some(Outcome::Sent),
                Verdict::Lost(reason) => {
                    output.counters.unsent.add(1);
                    return Some(Outcome::Dropped(reason));
                }
            }
        }
        self.send_on_link(batch, index, port, now)
    }

    /// Sends a frame on the simulated link of a port; nothing for one without.
    fn send_on_link(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        now: u64,
    ) -> Option<Outcome> {
        if !self.links.has(port, Side::Out) {
            return None;
        }
        let Some(Some(output)) = self.outputs.get_mut(port as usize) else { return None };
        let outcome = self.links.send(batch, index, (port, Side::Out), &output.counters, now);
        if outcome != Outcome::Sent {
            output.counters.unsent.add(1);
        }
        Some(outcome)
    }

    /// Stages a frame that waited for its turn.
    pub(crate) fn stage_due(
        &mut self,
        batch: &mut Batch,
        index: usize,
        port: PortNumber,
        now: u64,
    ) -> Outcome {
        match self.send_on_link(batch, index, port, now) {
            Some(outcome) => outcome,
            None => self.stage_now(batch, index, port),
        }
    }

    /// Has the packets of a large frame leave one by one.
    fn hold_pieces(&mut self, batch: &mut Batch, index: usize, port: PortNumber, now: u64) -> Outcome {
        let network = network(batch.head(index));
        // What was staged before leaves first: only one batch is staged at a time.
        self.send_port(batch, port);
        let Some(mut segmenter) = Segmenter::new(batch, index, network) else {
            return Outcome::Dropped(Reason::Malformed);
        };
        let mut pieces = std::mem::take(&mut self.pieces);
        let mut whole = Outcome::Dropped(Reason::Malformed);
        let mut more = true;
        while more {
            more = segmenter.fill(batch, index, &mut pieces);
            for piece in 0..pieces.len() {
                let outcome = match self.shapers.ask(&pieces, piece, (port, self.queue), now) {
                    Verdict::Now => self.stage_due(&mut pieces, piece, port, now),
                    Verdict::Held => Outcome::Sent,
                    Verdict::Lost(reason) => {
                        if let Some(Some(output)) = self.outputs.get_mut(port as usize) {
                            output.counters.unsent.add(1);
                        }
                        Outcome::Dropped(reason)
                    }
                };
                if whole != Outcome::Sent {
                    whole = outcome;
                }
            }
            self.send_port(&mut pieces, port);
            pieces.clear();
        }
        self.pieces = pieces;
        whole
    }
}

/// Notes whether a port is one of some.
fn note(ports: &mut HashSet<PortNumber>, port: PortNumber, there: bool) {
    if there {
        ports.insert(port);
    } else {
        ports.remove(&port);
    }
}
