//! What a worker is told, and how: a bounded ring that it empties at the beginning of each turn.

use crate::brain::Execution;
use crate::changes::Changes;
use crate::counters::{PortCounters, QueueLoad, WorkerCounters};
use crate::crossing::{Bell, Crossing};
use crate::flows::FlowReport;
use crate::shapers::{QueueCounts, Shaping};
use crate::watch::Watch;
use netloom_mem::{Consumer, Full, Outlet, PortNumber, Producer, ReceiveQueue, SendQueue};
use netloom_nf::conntrack::Tracker;
use netloom_nf::link::Cable;
use netloom_nf::remote::Remote;
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{HashBy, Rate, Reason, SharedMeter};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a worker sends to a port.
pub(crate) struct Way {
    pub(crate) number: PortNumber,
    /// A queue of its own, if it has one.
    pub(crate) queue: Option<Box<dyn SendQueue>>,
    /// The worker that sends when the own queue can't, or when the port has a limit or is shaped, which is kept in one place; none
    /// for that worker itself.
    pub(crate) through: Option<usize>,
    /// Where it counts.
    pub(crate) counters: Arc<PortCounters>,
}

/// A queue that a worker receives from.
pub(crate) struct Serving {
    pub(crate) port: PortNumber,
    /// Its place among the port's.
    pub(crate) index: usize,
    pub(crate) queue: Box<dyn ReceiveQueue>,
    pub(crate) load: Arc<QueueLoad>,
}

/// What a worker had of a port.
pub(crate) struct Closed {
    pub(crate) served: Vec<Serving>,
    pub(crate) send: Option<Box<dyn SendQueue>>,
}

/// What a worker is told.
pub(crate) enum Command {
    /// One more port to send to.
    Open(Way),
    /// One more queue to receive from, of a port that was opened.
    Serve(Serving),
    /// Gives a queue up.
    Release(PortNumber, usize, Sender<Option<Serving>>),
    /// Gives all of a port up.
    Close(PortNumber, Sender<Closed>),
    /// Takes and sends everything that other workers put into its lanes, and says so.
    Drain(Sender<()>),
    /// Sends a frame out of a port.
    Inject(PortNumber, Vec<u8>),
    /// Makes, changes or takes away the token bucket of [`netloom_nf::Action::Meter`] with this number; the reason is
    /// that of packets that are one too many.
    Meter(u32, Option<(Rate, Reason)>),
    /// How much may go out of a port.
    Limit(PortNumber, Option<Rate>),
    /// Puts a simulated link at a port, or changes it; one that does nothing takes it away. The number is the seed of its
    /// chances. It is here, or at another worker.
    Link { port: PortNumber, cable: Box<Cable>, seed: u64, here: bool },
    /// Shapes what goes out of a port, or ends that; with where its queues count. It is here, or at another worker.
    Shape { port: PortNumber, shaping: Option<(Arc<Shaping>, QueueCounts)>, here: bool },
    /// Begins, changes or ends a watch.
    Watch(u32, Option<Box<Watch>>),
    /// Makes, changes or ends a bond: what programs send to this number, which is no port's, leaves by one of these ports,
    /// chosen by a hash.
    Bond(PortNumber, Option<(HashBy, Vec<PortNumber>)>),
    /// Makes, changes or ends the stream of [`netloom_nf::Action::Remote`] with this number.
    Remote(u32, Option<Remote>),
    /// Makes, changes or takes away the meter of [`netloom_nf::Action::Police`] with this number.
    Police(u32, Option<Arc<SharedMeter>>),
    /// Makes these the tunnel ports, with where their packets are counted.
    Tunnels(Arc<Tunnels>, Vec<(PortNumber, Arc<PortCounters>)>),
    /// Makes this the tracker of all connections, or has none.
    Track(Option<Arc<Tracker>>),
    /// Sends a packet through a program.
    Execute(Box<Execution>),
    /// Tells the brain what flows carried that it does not know of, and says so.
    Count(Sender<()>),
    /// Lists the flows.
    Report(Sender<Vec<FlowReport>>),
    /// Takes flows over.
    Learn(Vec<FlowReport>),
    /// Serves no queue any more, and says so.
    Pause(Sender<()>),
    /// Serves them again.
    Resume,
    /// Ends the loop.
    Stop,
}

/// The control side's hold of a worker.
pub(crate) struct Handle {
    pub(crate) ring: Mutex<Producer<Command>>,
    /// What it counts.
    pub(crate) counters: Arc<WorkerCounters>,
    /// Wakes it when it sleeps.
    pub(crate) bell: Arc<Bell>,
}

/// The worker's side.
pub(crate) struct Inbox {
    /// Its place in the crew.
    pub(crate) number: usize,
    pub(crate) ring: Consumer<Command>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) changes: Arc<Changes>,
    /// Whether others read the changes.
    pub(crate) alone: bool,
    pub(crate) lanes: Vec<Outlet>,
    pub(crate) crossing: Crossing,
}

/// Commands that may wait.
pub(crate) const COMMANDS: usize = 1024;
/// How long a worker is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a [`crate::Worker`] is made with.
pub struct Side(pub(crate) Inbox);

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the side of worker {}", self.0.number)
    }
}

impl Handle {
    /// Tells the worker something; false when it does not take it in time.
    pub(crate) fn tell(&self, command: Command) -> bool {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = command;
        let began = Instant::now();
        loop {
            let result = ring.push(command);
            self.bell.ring();
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
}
