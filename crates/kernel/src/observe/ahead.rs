//! Spaces looked at by several threads, of which one may have begun before the caller knew what it wants.
//!
//! Invariants: every space of a round is looked at once, by whoever comes to it first; the first error ends the round
//! for all. A thread is in the namespace that it looked at last, so only threads that end here take part.

use super::Wanted;
use super::view::{Asked, LookError, Met, View};
use crate::error::KernelError;
use crate::namespace::{Namespace, Namespaces};
use crate::netlink::NetlinkError;
use crate::tc::TcError;
use netloom_compile::object::{Key, Space};
use netloom_wire::NodeName;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// What a thread needs to look into spaces.
#[derive(Debug, Clone)]
pub(super) struct Looker {
    pub(super) namespaces: Namespaces,
    pub(super) host: Arc<Namespace>,
    pub(super) topology: NodeName,
    /// What one thread learns for the others; the same for all that look at the same time.
    pub(super) met: Arc<Met>,
}

impl Looker {
    /// Moves the calling thread into a space; false if there is none.
    pub(super) fn enter(&self, space: &Space) -> Result<bool, KernelError> {
        match space {
            Space::Host => self.host.enter()?,
            Space::Node(node) => match self.namespaces.open(node)? {
                Some(namespace) => namespace.enter()?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    pub(super) fn view(&self, space: &Space) -> Result<Option<View>, KernelError> {
        if !self.enter(space)? {
            return Ok(None);
        }
        View::look(space, &self.host, &self.topology, &self.met)
            .map(Some)
            .map_err(|error| self.explain(space, error))
    }

    /// Asks a space for what only the description names; nothing of one that has gone meanwhile.
    pub(super) fn ask(&self, view: &View, wanted: &Wanted<'_>) -> Result<Asked, KernelError> {
        if !view.has_questions(wanted) || !self.enter(&view.space)? {
            return Ok(Asked::default());
        }
        view.ask(wanted).map_err(|error| self.explain(&view.space, error.into()))
    }

    fn explain(&self, space: &Space, error: LookError) -> KernelError {
        let place = match space {
            Space::Host => "observing the host's network".to_owned(),
            Space::Node(node) => format!("observing the namespace {}.{node}", self.topology),
        };
        match error {
            LookError::Netlink(source) | LookError::Queueing(TcError::Netlink(source)) => {
                KernelError::Netlink { doing: place, source }
            }
            LookError::Queueing(source) => {
                KernelError::Netlink { doing: format!("{place}: {source}"), source: NetlinkError::Malformed }
            }
            LookError::Filter(source) => KernelError::Filter {
                verb: "observe",
                key: Box::new(Key::Firewall { space: space.clone() }),
                source: Box::new(source),
            },
        }
    }
}

/// Spaces that any number of threads go through together.
#[derive(Debug)]
pub(super) struct Round {
    spaces: Vec<Space>,
    /// The first one that nobody has taken; it may run past the end.
    next: AtomicUsize,
}

impl Round {
    pub(super) const fn new(spaces: Vec<Space>) -> Self {
        Self { spaces, next: AtomicUsize::new(0) }
    }

    /// Takes part until nothing is left. The views of the spaces that this thread came to.
    fn join(&self, looker: &Looker) -> Result<Vec<View>, KernelError> {
        let mut views = Vec::new();
        // The spaces themselves were shared when the thread was started: only the number is raced for.
        while let Some(space) = self.spaces.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match looker.view(space) {
                Ok(view) => views.extend(view),
                Err(error) => {
                    self.next.store(self.spaces.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(views)
    }

    fn left(&self) -> usize {
        self.spaces.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Looks at all of it with up to `threads` threads.
    pub(super) fn finish(&self, looker: &Looker, threads: usize) -> Result<Vec<View>, KernelError> {
        together(&[self], looker, threads)
    }
}

/// Goes through the rounds with up to `threads` threads, one for every few spaces.
fn together(rounds: &[&Round], looker: &Looker, threads: usize) -> Result<Vec<View>, KernelError> {
    let left: usize = rounds.iter().map(|round| round.left()).sum();
    let threads = threads.min(left.div_ceil(4));
    std::thread::scope(|scope| {
        let work = || {
            let mut views = Vec::new();
            for round in rounds {
                views.extend(round.join(looker)?);
            }
            Ok(views)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut views = Vec::new();
        for thread in threads {
            views.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(views)
    })
}

/// A look that has begun.
#[derive(Debug)]
pub struct Ahead {
    round: Arc<Round>,
    looker: Looker,
    worker: JoinHandle<Result<Vec<View>, KernelError>>,
}

impl Ahead {
    pub(super) fn begin(looker: Looker, spaces: Vec<Space>) -> Result<Self, KernelError> {
        let round = Arc::new(Round::new(spaces));
        let (shared, its_own) = (Arc::clone(&round), looker.clone());
        let worker = std::thread::Builder::new()
            .name("netloom-ahead".to_owned())
            .spawn(move || shared.join(&its_own))
            .map_err(|error| KernelError::io("starting", "a thread", error))?;
        Ok(Self { round, looker, worker })
    }

    /// What it looks at.
    pub(super) fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.round.spaces.iter()
    }

    /// Helps it, looks at the `rest` too, and gives all views.
    pub(super) fn finish(self, rest: &Round, threads: usize) -> Result<Vec<View>, KernelError> {
        let mut views = together(&[&self.round, rest], &self.looker, threads.saturating_sub(1).max(1))?;
        let begun = self.worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        views.extend(begun);
        Ok(views)
    }
}
