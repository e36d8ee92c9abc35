//! The workers of one data path, seen from outside: which of them serves which queue, and who sends to which port.
//!
//! ```text
//!  receive queue ──▶ the one worker that serves it ──┬─▶ its own send queue of the port, if it has one
//!                    (own flows, own counters)       └─▶ lane ──▶ the port's home: the worker that has it
//! ```
//!
//! What: queues to receive from are spread over the workers, those of one port first. A queue to send to belongs to one
//! worker; the others bring it their frames through lanes ([`netloom_mem::lane`]). A port with a queue for each worker
//! needs no lane.
//!
//! Invariants: packets of a flow keep their order when their queue moves: the old worker gives the queue up between two
//! turns, then all others send what it had brought them, and only then the new one begins. No worker waits for another,
//! and none is stopped by what concerns the others.
//!
//! Costs: a move leaves one queue unserved for two turns of the slowest worker.

mod handle;
mod moves;
mod settings;

pub use handle::CrewHandle;

use crate::changes::Changes;
use crate::counters::{PortCounters, PortTotals, QueueLoad, WorkerCounters};
use crate::crossing::{Bell, Crossing};
use crate::flows::FlowReport;
use crate::inbox::{COMMANDS, Command, Handle, Inbox, PATIENCE, Serving, Side, Way};
use crate::shapers::{QueueCounts, Shaping};
use netloom_mem::{PortNumber, ReceiveQueue, SendQueue, lane, ring};
use netloom_nf::link::Cable;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

/// Most workers.
pub const WORKERS: usize = 64;
/// Octets of a lane between two workers: at most so many small frames that [`Command::Drain`] takes them all.
const LANE: usize = 512 << 10;
/// More tags than this are told as a change of everything.
const MANY: usize = 256;
/// Queues move at most so often, in nanoseconds.
const INTERVAL: u64 = 3_000_000_000;
/// How often a busy waiter looks, at most.
const LOOKS: usize = 10_000;

/// A worker does not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("worker {0} does not answer")]
pub struct Stuck(
    /// Its number.
    pub usize,
);

/// What was counted of a port, and of its queues to receive from: worker, packets, nanoseconds.
pub type Before = (PortTotals, Vec<(usize, u64, u64)>);

/// A port's queues.
pub struct PortQueues {
    /// Its number.
    pub number: PortNumber,
    /// Queues to receive from, each for one worker.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// Queues to send to, each for one worker; those beyond the number of workers are not used.
    pub send: Vec<Box<dyn SendQueue>>,
    /// One worker serves all of its queues and keeps them, so that a limit to what comes in is kept in one place.
    pub together: bool,
    /// What was counted before, for ports that another crew served.
    pub before: Option<Before>,
}

impl PortQueues {
    /// A port that nobody served before.
    #[must_use]
    pub fn new(
        number: PortNumber,
        receive: Vec<Box<dyn ReceiveQueue>>,
        send: Vec<Box<dyn SendQueue>>,
    ) -> Self {
        Self { number, receive, send, together: false, before: None }
    }
}

impl std::fmt::Debug for PortQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (receive, send) = (self.receive.len(), self.send.len());
        write!(f, "port {} with {receive} queues to receive from and {send} to send to", self.number)
    }
}

/// A queue, who serves it, and what it cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStatus {
    /// Its port.
    pub port: PortNumber,
    /// Its place among the port's queues.
    pub index: usize,
    /// The worker.
    pub worker: usize,
    /// Packets that came.
    pub packets: u64,
    /// Nanoseconds that were spent on them, estimated.
    pub nanoseconds: u64,
}

/// A queue went to another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Its port.
    pub port: PortNumber,
    /// Its place among the port's queues.
    pub index: usize,
    /// Who served it.
    pub from: usize,
    /// Who serves it now.
    pub to: usize,
}

struct Placed {
    worker: usize,
    load: Arc<QueueLoad>,
    /// Its nanoseconds when the balance was looked at last.
    seen: u64,
}

struct Carried {
    /// By worker.
    counters: Vec<Arc<PortCounters>>,
    queues: Vec<Placed>,
    /// Who sends when the others can't, and has all that is to be kept in one place.
    home: usize,
    together: bool,
}

/// The workers.
pub struct Crew {
    shared: CrewHandle,
    ports: BTreeMap<PortNumber, Carried>,
    /// Simulated links of ports, also of those that are not there (yet), with the seeds of their chances.
    links: BTreeMap<PortNumber, (Cable, u64)>,
    /// How ports are shaped, also those that are not there (yet), with where their queues count.
    shaped: BTreeMap<PortNumber, (Arc<Shaping>, QueueCounts)>,
    /// Of tunnel ports, by worker.
    tunnel_counters: BTreeMap<PortNumber, Vec<Arc<PortCounters>>>,
    meanwhile: Option<Box<dyn FnMut() + Send>>,
    looked: u64,
    /// What workers had spent on brought packets when the balance was looked at last.
    brought: Vec<u64>,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} workers with {} ports", self.shared.size(), self.ports.len())
    }
}

/// A crew of so many workers (1 to [`WORKERS`]), and what each [`crate::Worker`] is made with.
///
/// # Errors
/// When the system gives no event descriptors.
pub fn crew(count: usize) -> std::io::Result<(Crew, Vec<Side>)> {
    let count = count.clamp(1, WORKERS);
    let changes = Arc::new(Changes::default());
    let bells = (0..count).map(|_| Bell::new().map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let mut ways: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    let mut lanes: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (from, ways) in ways.iter_mut().enumerate() {
        for (to, bell) in bells.iter().enumerate() {
            ways.push((from != to).then(|| {
                let (entrance, outlet) = lane(LANE);
                if let Some(lanes) = lanes.get_mut(to) {
                    lanes.push(outlet);
                }
                (entrance, bell.clone())
            }));
        }
    }
    let (mut handles, mut sides) = (Vec::new(), Vec::new());
    for (number, ((ways, lanes), bell)) in ways.into_iter().zip(lanes).zip(bells).enumerate() {
        let (producer, consumer) = ring(COMMANDS);
        let counters = Arc::new(WorkerCounters::default());
        sides.push(Side(Inbox {
            number,
            ring: consumer,
            counters: counters.clone(),
            bell: bell.clone(),
            changes: changes.clone(),
            alone: count == 1,
            lanes,
            crossing: Crossing::new(ways),
        }));
        handles.push(Handle { ring: Mutex::new(producer), counters, bell });
    }
    let brought = vec![0; count];
    let crew = Crew {
        shared: CrewHandle::new(handles, changes),
        ports: BTreeMap::new(),
        links: BTreeMap::new(),
        shaped: BTreeMap::new(),
        tunnel_counters: BTreeMap::new(),
        meanwhile: None,
        looked: 0,
        brought,
    };
    Ok((crew, sides))
}

impl Crew {
    /// Calls `body` while a worker is waited for, for those who let the workers turn themselves.
    pub fn meanwhile(&mut self, body: impl FnMut() + Send + 'static) {
        self.meanwhile = Some(Box::new(body));
    }

    /// How many workers there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shared.size()
    }

    /// What a worker counts.
    #[must_use]
    pub fn worker(&self, number: usize) -> Option<&WorkerCounters> {
        Some(&self.shared.worker(number)?.counters)
    }

    fn tell(&self, worker: usize, command: Command) -> Result<(), Stuck> {
        self.shared.tell(worker, command)
    }

    /// What threads may do with the workers that do not have the crew.
    #[must_use]
    pub fn handle(&self) -> CrewHandle {
        self.shared.clone()
    }

    fn wait<T>(&mut self, worker: usize, from: &Receiver<T>) -> Result<T, Stuck> {
        match &mut self.meanwhile {
            None => from.recv_timeout(PATIENCE).map_err(|_| Stuck(worker)),
            Some(body) => (0..LOOKS)
                .find_map(|_| {
                    body();
                    from.try_recv().ok()
                })
                .ok_or(Stuck(worker)),
        }
    }

    /// How many queues each worker serves, those of one port counted apart.
    fn burden(&self, own: &[usize]) -> Vec<(usize, usize, usize)> {
        (0..self.shared.size())
            .map(|worker| {
                let all = self.ports.values().flat_map(|port| &port.queues);
                let theirs = all.filter(|queue| queue.worker == worker).count();
                let here = own.iter().filter(|placed| **placed == worker).count();
                (here, theirs + here, worker)
            })
            .collect()
    }

    /// Serves one more port.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn add(&mut self, port: PortQueues) -> Result<(), Stuck> {
        let PortQueues { number, receive, send, together, before } = port;
        let (totals, loads) = before.unwrap_or_default();
        let gathered = together || self.links.contains_key(&number);
        let mut places = Vec::new();
        for index in 0..receive.len() {
            // As it was, if there was another crew.
            if let Some((worker, ..)) = loads.get(index).filter(|_| !gathered) {
                places.push(worker % self.shared.size());
                continue;
            }
            let lightest = self.burden(&places).into_iter().min().map_or(0, |(.., worker)| worker);
            places.push(if gathered { places.first().copied().unwrap_or(lightest) } else { lightest });
        }
        let home = places.first().copied();
        let home =
            home.or_else(|| self.burden(&[]).into_iter().min().map(|(.., worker)| worker)).unwrap_or(0);
        let size = self.shared.size();
        if let Some((cable, seed)) = self.links.get(&number) {
            self.tell_link(number, home, cable, *seed)?;
        }
        let counters: Vec<Arc<PortCounters>> = (0..size).map(|_| Arc::default()).collect();
        if let Some(counters) = counters.get(home) {
            // No worker counts yet.
            counters.begin_with(&totals);
        }
        let (queues, mut send) = (send.len().max(1), send.into_iter());
        for turn in 0..size {
            let worker = (home + turn) % size;
            let Some(counters) = counters.get(worker) else { continue };
            let through = match turn {
                0 => None,
                turn if turn < queues => Some(home),
                // Those without a queue of their own go to those with one in turn.
                turn => Some((home + turn % queues) % size),
            };
            let way = Way { number, queue: send.next(), through, counters: counters.clone() };
            self.tell(worker, Command::Open(way))?;
        }
        if let Some(shaping) = self.shaped.get(&number) {
            self.tell_shape(number, home, Some(shaping))?;
        }
        let mut queues = Vec::new();
        for (index, (queue, worker)) in receive.into_iter().zip(places).enumerate() {
            let load = Arc::new(QueueLoad::default());
            let (_, packets, nanoseconds) = loads.get(index).copied().unwrap_or_default();
            load.packets.add(packets);
            load.nanoseconds.add(nanoseconds);
            self.tell(worker, Command::Serve(Serving { port: number, index, queue, load: load.clone() }))?;
            queues.push(Placed { worker, load, seen: nanoseconds });
        }
        self.shared.place(number, Some(home));
        self.shared.note_counters(number, Some(counters.clone()));
        self.ports.insert(number, Carried { counters, queues, home, together });
        Ok(())
    }

    /// Gives a port up, and its queues back, with what was counted.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn remove(&mut self, number: PortNumber) -> Result<(PortQueues, PortTotals), Stuck> {
        let mut port = PortQueues::new(number, Vec::new(), Vec::new());
        let mut answers = Vec::new();
        for worker in 0..self.shared.size() {
            let (to, from) = channel();
            self.tell(worker, Command::Close(number, to))?;
            answers.push(from);
        }
        let mut served = Vec::new();
        for (worker, from) in answers.into_iter().enumerate() {
            let closed = self.wait(worker, &from)?;
            served.extend(closed.served);
            port.send.extend(closed.send);
        }
        served.sort_by_key(|serving| serving.index);
        port.receive.extend(served.into_iter().map(|serving| serving.queue));
        let totals = self.totals(number).unwrap_or_default();
        self.shared.place(number, None);
        self.shared.note_counters(number, None);
        if let Some(carried) = self.ports.remove(&number) {
            port.together = carried.together;
        }
        Ok((port, totals))
    }

    /// What was counted of a port since it was added; none for one that is not there.
    #[must_use]
    pub fn totals(&self, number: PortNumber) -> Option<PortTotals> {
        let mut totals = PortTotals::default();
        let counters = self.ports.get(&number).map(|port| &port.counters);
        counters
            .or_else(|| self.tunnel_counters.get(&number))?
            .iter()
            .for_each(|counters| totals.add(counters));
        Some(totals)
    }

    /// All queues.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueStatus> {
        let of_port = |(port, carried): (&PortNumber, &Carried)| -> Vec<QueueStatus> {
            let status = |(index, placed): (usize, &Placed)| QueueStatus {
                port: *port,
                index,
                worker: placed.worker,
                packets: placed.load.packets.get(),
                nanoseconds: placed.load.nanoseconds.get(),
            };
            carried.queues.iter().enumerate().map(status).collect()
        };
        self.ports.iter().flat_map(of_port).collect()
    }

    /// The flows of each worker.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn flows(&mut self) -> Result<Vec<Vec<FlowReport>>, Stuck> {
        let mut answers = Vec::new();
        for worker in 0..self.shared.size() {
            let (to, from) = channel();
            self.tell(worker, Command::Report(to))?;
            answers.push(from);
        }
        answers.iter().enumerate().map(|(worker, from)| self.wait(worker, from)).collect()
    }

    /// Has each worker tell its brain what flows carried. Whoever asks must have nothing that the brain waits for.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn count(&mut self) -> Result<(), Stuck> {
        let mut answers = Vec::new();
        for worker in 0..self.shared.size() {
            let (to, from) = channel();
            self.tell(worker, Command::Count(to))?;
            answers.push(from);
        }
        answers.iter().enumerate().try_for_each(|(worker, from)| self.wait(worker, from))
    }

    /// Gives a worker flows of another crew.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn learn(&self, worker: usize, flows: Vec<FlowReport>) -> Result<(), Stuck> {
        self.tell(worker % self.shared.size(), Command::Learn(flows))
    }

    /// Has all workers leave the queues alone, after everything that was received is sent. Nothing but queues stands
    /// still: what is told is done.
    ///
    /// # Errors
    /// When a worker does not answer; then all go on.
    pub fn pause(&mut self) -> Result<(), Stuck> {
        let paused = self.pause_all();
        if paused.is_err() {
            let _ = self.resume();
        }
        paused
    }

    fn pause_all(&mut self) -> Result<(), Stuck> {
        let mut answers = Vec::new();
        for worker in 0..self.shared.size() {
            let (to, from) = channel();
            self.tell(worker, Command::Pause(to))?;
            answers.push(from);
        }
        for (worker, from) in answers.into_iter().enumerate() {
            self.wait(worker, &from)?;
        }
        // What was brought may be brought on once, to the port's home.
        self.drain(usize::MAX)?;
        self.drain(usize::MAX)
    }

    /// Has them serve their queues again.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn resume(&self) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| self.tell(worker, Command::Resume))
    }

    /// Ends all workers' loops.
    pub fn stop(&self) {
        for worker in 0..self.shared.size() {
            // One that does not take it has ended, or never will.
            let _ = self.tell(worker, Command::Stop);
        }
    }
}
