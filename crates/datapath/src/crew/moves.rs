//! Queues that go from worker to worker.

use super::{Crew, INTERVAL, Move, Stuck};
use crate::balance::{Load, improve};
use crate::inbox::Command;
use netloom_mem::PortNumber;
use std::sync::mpsc::channel;

impl Crew {
    /// Whether one worker serves all queues of a port and keeps them.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn keep_together(&mut self, port: PortNumber, together: bool) -> Result<(), Stuck> {
        if let Some(carried) = self.ports.get_mut(&port) {
            carried.together = together;
        }
        self.gather(port)
    }

    /// Whether a port's queues stay with one worker.
    pub(super) fn is_gathered(&self, port: PortNumber) -> bool {
        self.links.contains_key(&port) || self.ports.get(&port).is_some_and(|carried| carried.together)
    }

    /// Brings the queues of a port to its home, if they belong together.
    pub(super) fn gather(&mut self, port: PortNumber) -> Result<(), Stuck> {
        let Some(carried) = self.ports.get(&port) else { return Ok(()) };
        let (home, count) = (carried.home, carried.queues.len());
        if self.is_gathered(port) {
            for index in 0..count {
                self.move_queue(port, index, home)?;
            }
        }
        Ok(())
    }

    /// Gives a queue to another worker; false when there is nothing to be done.
    ///
    /// # Errors
    /// When a worker does not answer; then the queue stays where it was.
    pub fn move_queue(&mut self, port: PortNumber, index: usize, to: usize) -> Result<bool, Stuck> {
        let carried = self.ports.get(&port);
        let Some(from) = carried.and_then(|carried| carried.queues.get(index)).map(|placed| placed.worker)
        else {
            return Ok(false);
        };
        if from == to || to >= self.shared.size() {
            return Ok(false);
        }
        let (sender, answer) = channel();
        self.tell(from, Command::Release(port, index, sender))?;
        let Some(serving) = self.wait(from, &answer)? else { return Ok(false) };
        if let Err(stuck) = self.drain(from) {
            self.tell(from, Command::Serve(serving))?;
            return Err(stuck);
        }
        self.tell(to, Command::Serve(serving))?;
        if let Some(placed) = self.ports.get_mut(&port).and_then(|carried| carried.queues.get_mut(index)) {
            placed.worker = to;
        }
        Ok(true)
    }

    /// Waits until each worker has taken at least one whole turn: what waited at its ports when this was called was looked at.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn turn(&mut self) -> Result<(), Stuck> {
        // The second is read at the beginning of a turn after that of the first.
        (0..2).try_for_each(|_| self.drain(usize::MAX))
    }

    /// Waits until all workers but one (or none) have sent what was brought to them before.
    pub(super) fn drain(&mut self, but: usize) -> Result<(), Stuck> {
        let mut answers = Vec::new();
        for worker in (0..self.shared.size()).filter(|worker| *worker != but) {
            let (to, from) = channel();
            self.tell(worker, Command::Drain(to))?;
            answers.push((worker, from));
        }
        answers.into_iter().try_for_each(|(worker, from)| self.wait(worker, &from))
    }

    /// Moves queues from busy workers to idle ones, if it is worth it and the last look was long ago.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn balance(&mut self, now: u64) -> Result<Vec<Move>, Stuck> {
        let span = now.saturating_sub(self.looked);
        if self.shared.size() < 2 || span < INTERVAL {
            return Ok(Vec::new());
        }
        self.looked = now;
        let (mut loads, mut queues) = (Vec::new(), Vec::new());
        let mut others: Vec<u64> = Vec::new();
        for (handle, seen) in self.shared.workers().iter().zip(&mut self.brought) {
            let total = handle.counters.brought.get();
            others.push(total - std::mem::replace(seen, total));
        }
        for (port, carried) in &mut self.ports {
            for (index, placed) in carried.queues.iter_mut().enumerate() {
                let total = placed.load.nanoseconds.get();
                let nanoseconds = total - std::mem::replace(&mut placed.seen, total);
                if !carried.together && !self.links.contains_key(port) {
                    loads.push(Load { worker: placed.worker, nanoseconds });
                    queues.push((*port, index));
                } else if let Some(other) = others.get_mut(placed.worker) {
                    *other += nanoseconds;
                }
            }
        }
        let mut moves = Vec::new();
        for _ in 0..self.shared.size() {
            let Some((place, to)) = improve(&loads, &others, span) else { break };
            let (Some(load), Some((port, index))) = (loads.get_mut(place), queues.get(place)) else { break };
            let from = std::mem::replace(&mut load.worker, to);
            if self.move_queue(*port, *index, to)? {
                moves.push(Move { port: *port, index: *index, from, to });
            }
        }
        Ok(moves)
    }
}
