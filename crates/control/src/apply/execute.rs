//! Running the steps of a plan in the order of its graph, on a few threads.
//!
//! Invariants: a step runs only after everything it needs is done and its intent is on the disk.
//!
//! Costs: intents are written when the workers run out of steps, all that are ready by then at once, so
//! that the number of syncs follows the depth of the graph and not the number of steps.

use super::{ApplyError, Observer, Progress};
use crate::journal::Journal;
use crate::plan::{Plan, Step, StepId};
use crate::platform::{Platform, PlatformError};
use netloom_compile::object::Operation;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Steps that run at once. More only wait for the kernel's own lock.
pub const WORKERS: usize = 2;

/// What happens to the steps that need a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Nothing more is begun.
    Stop,
    /// They are tried all the same.
    GoOn,
}

/// Runs the steps of a plan. Gives the failures, in the order in which they happened.
///
/// # Errors
/// When the journal can't be written; the steps that run are waited for, no others are begun.
pub(crate) fn execute(
    platform: &dyn Platform,
    plan: &Plan,
    on_failure: OnFailure,
    journal: &mut Journal,
    observer: Observer<'_>,
) -> Result<Vec<(StepId, PlatformError)>, ApplyError> {
    let steps = &plan.steps;
    let mut graph = Graph::new(plan);
    let shared = Shared { board: Mutex::default(), changed: Condvar::new(), platform, plan, observer };
    let result = std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(steps.len()) {
            scope.spawn(|| shared.work());
        }
        let result = shared.feed(&mut graph, on_failure, journal);
        shared.lock().closed = true;
        shared.changed.notify_all();
        result
    });
    result?;
    let board = shared.board.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(board.failures)
}

/// Which steps wait for how many others.
struct Graph<'a> {
    plan: &'a Plan,
    waiting: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    /// Steps that are ready and have work to do.
    ready: Vec<usize>,
}

impl<'a> Graph<'a> {
    fn new(plan: &'a Plan) -> Self {
        let waiting: Vec<usize> = plan.steps.iter().map(|step| step.needs.len()).collect();
        let mut dependents = vec![Vec::new(); plan.steps.len()];
        for (index, step) in plan.steps.iter().enumerate() {
            for need in &step.needs {
                dependents[need.index()].push(index);
            }
        }
        let mut graph = Self { plan, waiting, dependents, ready: Vec::new() };
        for index in 0..plan.steps.len() {
            if plan.steps[index].needs.is_empty() {
                graph.reach(index);
            }
        }
        graph
    }

    /// A step needs nothing more. One that only joins others is over at once.
    fn reach(&mut self, index: usize) {
        let mut reached = vec![index];
        while let Some(index) = reached.pop() {
            if self.plan.steps[index].changes.is_empty() {
                self.end(index, &mut reached);
            } else {
                self.ready.push(index);
            }
        }
    }

    /// A step is over.
    fn end(&mut self, index: usize, reached: &mut Vec<usize>) {
        for dependent in &self.dependents[index] {
            self.waiting[*dependent] -= 1;
            if self.waiting[*dependent] == 0 {
                reached.push(*dependent);
            }
        }
    }

    fn over(&mut self, index: usize) {
        let mut reached = Vec::new();
        self.end(index, &mut reached);
        for index in reached {
            self.reach(index);
        }
    }
}

/// What the workers and the feeder share.
#[derive(Default)]
struct Board {
    /// Journalled and ready to run; the next is at the end.
    ready: Vec<usize>,
    running: usize,
    /// Steps that ended since the feeder last looked, and whether they succeeded.
    ended: Vec<(usize, bool)>,
    failures: Vec<(StepId, PlatformError)>,
    /// No more steps will come.
    closed: bool,
}

struct Shared<'a> {
    board: Mutex<Board>,
    changed: Condvar,
    platform: &'a dyn Platform,
    plan: &'a Plan,
    observer: Observer<'a>,
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'b>(&self, guard: MutexGuard<'b, Board>) -> MutexGuard<'b, Board> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes intents and hands steps out until all are over.
    fn feed(
        &self,
        graph: &mut Graph<'_>,
        on_failure: OnFailure,
        journal: &mut Journal,
    ) -> Result<(), ApplyError> {
        loop {
            if !graph.ready.is_empty() {
                let next: Vec<usize> = std::mem::take(&mut graph.ready);
                let steps: Vec<&Step> = next.iter().map(|index| &self.plan.steps[*index]).collect();
                journal.intend(&steps)?;
                self.lock().ready.extend(next.into_iter().rev());
                self.changed.notify_all();
            }
            // Wait until a worker is about to run dry, then take everything that ended.
            let mut board = self.lock();
            let ended = loop {
                let failed = !board.failures.is_empty() && on_failure == OnFailure::Stop;
                if failed {
                    board.ready.clear();
                }
                if board.ready.is_empty() && (board.running == 0 || (!failed && !board.ended.is_empty())) {
                    break std::mem::take(&mut board.ended);
                }
                board = self.wait(board);
            };
            let failed = !board.failures.is_empty() && on_failure == OnFailure::Stop;
            let idle = board.running == 0;
            drop(board);
            let done: Vec<usize> = ended.iter().filter(|(_, done)| *done).map(|(index, _)| *index).collect();
            if !done.is_empty() {
                journal.done(&done)?;
            }
            if failed {
                return Ok(());
            }
            for (index, _) in ended {
                graph.over(index);
            }
            if graph.ready.is_empty() && idle {
                return Ok(());
            }
        }
    }

    fn work(&self) {
        let mut board = self.lock();
        loop {
            let Some(index) = board.ready.pop() else {
                if board.closed {
                    return;
                }
                board = self.wait(board);
                continue;
            };
            board.running += 1;
            drop(board);
            let step = &self.plan.steps[index];
            let result = self.run(step);
            match &result {
                Ok(()) => step.changes.iter().for_each(|change| (self.observer)(Progress::Done(change))),
                Err(error) => (self.observer)(Progress::Failed(step, error)),
            }
            board = self.lock();
            board.running -= 1;
            board.ended.push((index, result.is_ok()));
            if let Err(error) = result {
                board.failures.push((step.id, error));
            }
            self.changed.notify_all();
        }
    }

    /// A step goes out in one call: the two ends of a veth pair have different owners and are made as one.
    fn run(&self, step: &Step) -> Result<(), PlatformError> {
        let Some(first) = step.changes.first() else { return Ok(()) };
        let operations: Vec<Operation> = step.operations().cloned().collect();
        // A worker that died would leave the others waiting for ever.
        let call = || self.platform.execute(&first.owner, &operations);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|_| {
            Err(PlatformError::new(
                Some(first.key().clone()),
                "a defect in netloom stopped this step; please report it",
            ))
        })
    }
}
