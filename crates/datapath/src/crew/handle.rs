//! What threads may do with the workers that do not have the crew: tell of changes, send packets, ask for counts.
//!
//! Invariants: nothing here needs more than the workers' inboxes; those who share it may do all of it at once.

use super::{MANY, Stuck};
use crate::brain::{Execution, Tag};
use crate::changes::{Changes, NOBODY};
use crate::counters::{PortCounters, PortTotals};
use crate::inbox::{Command, Handle, PATIENCE};
use crate::shapers::{QueueCounters, QueueCounts, QueueTotals};
use netloom_mem::PortNumber;
use netloom_nf::SharedMeter;
use netloom_table::Field;
use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError, RwLock};

/// The workers of a [`super::Crew`], for whoever has something to tell them. Copies are of the same workers.
#[derive(Clone)]
pub struct CrewHandle {
    handles: Arc<[Handle]>,
    changes: Arc<Changes>,
    /// Which worker has what is to be kept in one place of a port.
    homes: Arc<RwLock<HashMap<PortNumber, usize>>>,
    /// What ports count, by worker.
    counters: Arc<RwLock<HashMap<PortNumber, Vec<Arc<PortCounters>>>>>,
    /// What the queues of shaped ports count.
    queues: Arc<RwLock<HashMap<PortNumber, QueueCounts>>>,
}

impl std::fmt::Debug for CrewHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} workers", self.handles.len())
    }
}

impl CrewHandle {
    pub(super) fn new(handles: Vec<Handle>, changes: Arc<Changes>) -> Self {
        Self {
            handles: handles.into(),
            changes,
            homes: Arc::default(),
            counters: Arc::default(),
            queues: Arc::default(),
        }
    }

    pub(super) fn workers(&self) -> &[Handle] {
        &self.handles
    }

    pub(super) fn worker(&self, number: usize) -> Option<&Handle> {
        self.handles.get(number)
    }

    /// How many workers there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.handles.len()
    }

    /// Notes where a port is, if it is.
    pub(super) fn place(&self, port: PortNumber, home: Option<usize>) {
        let mut homes = self.homes.write().unwrap_or_else(PoisonError::into_inner);
        match home {
            Some(home) => homes.insert(port, home),
            None => homes.remove(&port),
        };
    }

    /// Notes what a port counts, if it is there.
    pub(super) fn note_counters(&self, port: PortNumber, counters: Option<Vec<Arc<PortCounters>>>) {
        let mut all = self.counters.write().unwrap_or_else(PoisonError::into_inner);
        match counters {
            Some(counters) => all.insert(port, counters),
            None => all.remove(&port),
        };
    }

    /// What was counted of a port since it was added; none for one that is not there.
    #[must_use]
    pub fn totals(&self, port: PortNumber) -> Option<PortTotals> {
        let all = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        let mut totals = PortTotals::default();
        all.get(&port)?.iter().for_each(|counters| totals.add(counters));
        Some(totals)
    }

    /// Notes where the queues of a port count, if it is shaped.
    pub(super) fn note_queues(&self, port: PortNumber, counts: Option<QueueCounts>) {
        let mut all = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        match counts {
            Some(counts) => all.insert(port, counts),
            None => all.remove(&port),
        };
    }

    /// What the queues of a port counted since it is shaped, by their numbers; none for one that is not.
    #[must_use]
    pub fn queue_totals(&self, port: PortNumber) -> Option<Vec<(u32, QueueTotals)>> {
        let all = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let of = |(number, counters): &(u32, Arc<QueueCounters>)| (*number, QueueTotals::of(counters));
        all.get(&port).map(|counts| counts.iter().map(of).collect())
    }

    fn home(&self, port: PortNumber) -> usize {
        self.homes.read().unwrap_or_else(PoisonError::into_inner).get(&port).copied().unwrap_or(0)
    }

    pub(super) fn tell(&self, worker: usize, command: Command) -> Result<(), Stuck> {
        let told = self.handles.get(worker).is_some_and(|handle| handle.tell(command));
        if told { Ok(()) } else { Err(Stuck(worker)) }
    }

    /// Flows that rest on these are taken back.
    pub fn changed(&self, tags: &[Tag]) {
        if tags.len() > MANY { self.changes.tell_all() } else { self.changes.tell(NOBODY, tags) }
    }

    /// All flows are taken back.
    pub fn changed_all(&self) {
        self.changes.tell_all();
    }

    /// Sends a frame out of a port.
    ///
    /// # Errors
    /// When the port's worker does not take it.
    pub fn inject(&self, port: PortNumber, frame: Vec<u8>) -> Result<(), Stuck> {
        self.tell(self.home(port), Command::Inject(port, frame))
    }

    /// Sends a packet through a program, at the worker that has the port through which it counts as having come.
    ///
    /// # Errors
    /// When that worker does not take it.
    pub fn execute(&self, execution: Execution) -> Result<(), Stuck> {
        let port = execution.key.get(Field::IN_PORT) as PortNumber;
        self.tell(self.home(port), Command::Execute(Box::new(execution)))
    }

    /// Makes, changes or takes away the meter of [`netloom_nf::Action::Police`] with this number, which all workers share.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn share_meter(&self, number: u32, meter: Option<&Arc<SharedMeter>>) -> Result<(), Stuck> {
        (0..self.handles.len())
            .try_for_each(|worker| self.tell(worker, Command::Police(number, meter.cloned())))
    }

    /// Has each worker tell its brain what flows carried, and waits for that. Whoever asks must have nothing that the brain
    /// waits for, and the workers must have threads of their own.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn count(&self) -> Result<(), Stuck> {
        let mut answers = Vec::new();
        for worker in 0..self.handles.len() {
            let (to, from) = channel();
            self.tell(worker, Command::Count(to))?;
            answers.push(from);
        }
        answers
            .iter()
            .enumerate()
            .try_for_each(|(worker, from)| from.recv_timeout(PATIENCE).map_err(|_| Stuck(worker)))
    }
}
