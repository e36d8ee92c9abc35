//! How the workers' threads are started, and the clock that they share.

use super::brain::Shared;
use super::state::SwitchError;
use crate::ovsdb::{KeyFiles, Remote};
use netloom_datapath::{Brain, Crew, FlowBounds, Pace, Worker, crew, run};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the switch is started with.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Where its state is.
    pub directory: PathBuf,
    /// A worker for each of these processors, bound to it; one that may run anywhere without any.
    pub cores: Vec<usize>,
    /// When the worker sleeps.
    pub pace: Pace,
    /// Seed of the caches' hashes.
    pub seed: u64,
    /// It serves a database only while there are switches.
    pub on_demand: bool,
    /// Where the configuration is kept.
    pub keeping: Keeping,
    /// Keys of TLS with which a database of another process is asked.
    pub keys: Option<KeyFiles>,
}

/// Where the configuration is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keeping {
    /// In the database of the directory, which this process serves.
    #[default]
    Own,
    /// Nowhere: the directory has no state before, and none after.
    Nothing,
    /// In a database that another process serves, at one of these remotes ([`crate::ovsdb::remotes`]).
    Foreign(Vec<(String, Remote)>),
}

/// How the time of a switch differs from the system's, for tests: it may stand still, and may be put forward.
#[derive(Debug, Default)]
struct Warp {
    /// It stands still.
    stopped: AtomicBool,
    /// Where, without what was added.
    at: AtomicU64,
    added: AtomicU64,
}

/// Nanoseconds since a switch was started first; a successor goes on with it. Copies are the same clock.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    before: u64,
    began: Instant,
    warp: Arc<Warp>,
}

/// The system's clock that stands still when the system sleeps, in nanoseconds, as all processes see it.
fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

impl Clock {
    /// One that begins now.
    pub(super) fn new() -> Self {
        Self { before: 0, began: Instant::now(), warp: Arc::default() }
    }

    /// One that began then ([`Clock::origin`]).
    pub(super) fn since(origin: u64) -> Self {
        Self { before: monotonic().wrapping_sub(origin), ..Self::new() }
    }

    /// When it began, on the system's clock.
    pub(super) fn origin(&self) -> u64 {
        monotonic().wrapping_sub(self.now())
    }

    pub(super) fn now(&self) -> u64 {
        // Relaxed: who stops it or puts it forward waits for the workers where that matters.
        let at = match self.warp.stopped.load(Ordering::Relaxed) {
            true => self.warp.at.load(Ordering::Relaxed),
            false => self.real(),
        };
        at.wrapping_add(self.warp.added.load(Ordering::Relaxed))
    }

    /// What time of day it is, by this clock.
    pub(super) fn day_time(&self) -> netloom_proto::export::Clock {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let now = (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64);
        netloom_proto::export::Clock { origin: now.wrapping_sub(self.now()) }
    }

    fn real(&self) -> u64 {
        self.before.wrapping_add(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Stands still from now on.
    pub(super) fn stop(&self) {
        if !self.warp.stopped.load(Ordering::Relaxed) {
            self.warp.at.store(self.real(), Ordering::Relaxed);
            self.warp.stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it stands still.
    pub(super) fn is_stopped(&self) -> bool {
        self.warp.stopped.load(Ordering::Relaxed)
    }

    /// Is so many nanoseconds later.
    pub(super) fn advance(&self, nanoseconds: u64) {
        self.warp.added.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// Starts the workers.
pub(super) fn workers(
    start: &Start,
    bridges: &Shared,
    clock: &Clock,
) -> Result<(Crew, Vec<JoinHandle<()>>), SwitchError> {
    let (crew, sides) = crew(start.cores.len())?;
    let mut threads = Vec::new();
    for (number, side) in sides.into_iter().enumerate() {
        let (core, pace, seed) = (start.cores.get(number).copied(), start.pace, start.seed);
        let brain: Box<dyn Brain> = Box::new(bridges.clone());
        let (name, clock) = (format!("netloom-work-{number}"), clock.clone());
        threads.push(std::thread::Builder::new().name(name).spawn(move || {
            if let Some(core) = core {
                let mut set = rustix::thread::CpuSet::new();
                set.set(core);
                if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
                    tracing::warn!(core, %error, "a worker can't be bound to its processor");
                }
            }
            let clock = Box::new(move || clock.now());
            run(&mut Worker::new(side, brain, FlowBounds::default(), seed, clock), pace);
        })?);
    }
    Ok((crew, threads))
}
