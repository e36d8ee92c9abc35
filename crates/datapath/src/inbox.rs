//! What a worker is told, and how: a bounded ring that it empties at the beginning of each turn.

use crate::brain::Tag;
use crate::counters::{PortCounters, WorkerCounters};
use crate::flows::FlowReport;
use netloom_mem::{Consumer, Full, PortNumber, Producer, ReceiveQueue, SendQueue, ring};
use netloom_nf::link::Cable;
use netloom_nf::{Rate, Reason};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A port as a worker gets it.
pub struct PortQueues {
    /// Its number.
    pub number: PortNumber,
    /// Queues that this worker receives from.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// The queue that this worker sends to.
    pub send: Option<Box<dyn SendQueue>>,
    /// Where it counts.
    pub counters: Arc<PortCounters>,
}

impl std::fmt::Debug for PortQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "port {} with {} receive queues", self.number, self.receive.len())
    }
}

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Serves one more port.
    Add(PortQueues),
    /// Gives a port up; its queues are sent back, so that whoever made them ends them.
    Remove(PortNumber, Sender<PortQueues>),
    /// Something changed: flows that rest on it are taken back.
    Changed(Tag),
    /// Everything changed.
    ChangedAll,
    /// Sends a frame out of a port.
    Inject(PortNumber, Vec<u8>),
    /// Makes, changes or takes away the token bucket of [`netloom_nf::Action::Meter`] with this number; the reason is that of
    /// packets that are one too many.
    Meter(u32, Option<(Rate, Reason)>),
    /// How much may go out of a port.
    Limit(PortNumber, Option<Rate>),
    /// Puts a simulated link at a port, or changes it; one that does nothing takes it away. The number is the seed of its
    /// chances.
    Link(PortNumber, Box<Cable>, u64),
    /// Lists the flows.
    Report(Sender<Vec<FlowReport>>),
    /// Ends the loop.
    Stop,
}

/// The control side's hold of a worker.
#[derive(Debug)]
pub struct Handle {
    ring: Mutex<Producer<Command>>,
    /// What it counts.
    pub counters: Arc<WorkerCounters>,
    /// Wakes it when it sleeps.
    doorbell: Arc<rustix::fd::OwnedFd>,
}

/// The worker's side.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) ring: Consumer<Command>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) doorbell: Arc<rustix::fd::OwnedFd>,
}

/// Commands that may wait.
const COMMANDS: usize = 1024;
/// How long a full ring is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The two sides of a worker's inbox.
///
/// # Errors
/// When the system gives no event descriptor.
pub fn handle() -> std::io::Result<(Handle, Side)> {
    let (producer, consumer) = ring(COMMANDS);
    let counters = Arc::new(WorkerCounters::default());
    let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
    let doorbell = Arc::new(rustix::event::eventfd(0, flags)?);
    let side = Side(Inbox { ring: consumer, counters: counters.clone(), doorbell: doorbell.clone() });
    Ok((Handle { ring: Mutex::new(producer), counters, doorbell }, side))
}

/// What a [`crate::Worker`] is made with.
#[derive(Debug)]
pub struct Side(pub(crate) Inbox);

impl Handle {
    /// Tells the worker something; false when it does not take it for two seconds.
    pub fn tell(&self, command: Command) -> bool {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = command;
        let began = Instant::now();
        loop {
            let result = ring.push(command);
            self.ring_doorbell();
            match result {
                Ok(()) => return true,
                Err(Full(back)) if began.elapsed() < PATIENCE => {
                    command = back;
                    std::thread::yield_now();
                }
                Err(Full(_)) => return false,
            }
        }
    }

    fn ring_doorbell(&self) {
        // A full event counter means that it rings already.
        let _ = rustix::io::write(&self.doorbell, &1_u64.to_ne_bytes());
    }
}
