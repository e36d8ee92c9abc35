//! Making a plan true: journal, execute, look again, remember; or take everything back.
//!
//! ```text
//! lock -> observe -> plan -> journal begin -> waves of steps (intent on disk, execute, done)
//!      -> observe again, verify -> commit generation -> journal end
//!                       any failure: undo what was done, in reverse -> journal end
//! ```
//!
//! Invariants:
//! - A step runs only after its intent is on disk and everything it needs is done.
//! - A failed change is taken back step by step in reverse order; a failing undo does not stop the others.
//! - What an interrupted run wanted is remembered until a later run has come to its end.
//!
//! Costs: steps that are ready together share one sync of the journal and run on [`WORKERS`] threads.
//!
//! Deliberately absent: retries (order comes from the graph), clocks (callers give the time).

use crate::journal::Journal;
use crate::keep::Keep;
use crate::plan::{Change, Memory, Originals, Plan, PlanError, Step, StepId};
use crate::platform::{Missing, Platform, PlatformError, scope};
use crate::store::{Generation, Pending, Store, StoreError};
use netloom_compile::object::{Comparison, Desired, FieldChange, Key, Operation, compare};
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};

/// Steps that run at once. More only wait for the kernel's own lock.
pub const WORKERS: usize = 2;

/// What happens while a plan is made true.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// The plan is ready.
    Planned(&'a Plan),
    /// A change was made.
    Done(&'a Change),
    /// A step could not be made.
    Failed(&'a Step, &'a PlatformError),
    /// Everything is being taken back.
    Undoing,
    /// The system is looked at again.
    Verifying,
}

/// Takes note of progress; called from several threads.
pub type Observer<'a> = &'a (dyn Fn(Progress<'_>) + Sync);

/// A description to be made true.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is wanted.
    pub desired: Desired,
    /// The file's name.
    pub file: String,
    /// The file's text.
    pub text: String,
    /// Variables from the command line.
    pub variables: BTreeMap<String, String>,
    /// Why, for `history`.
    pub note: String,
    /// Seconds since 1970.
    pub now: u64,
    /// Go back by itself unless confirmed within so many seconds.
    pub confirm_within: Option<u64>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// What was done.
    pub plan: Plan,
    /// The generation that stands now; none after a destroy.
    pub generation: Option<u64>,
}

/// A desired object that is not as desired after all was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Which.
    pub key: Key,
    /// What differs; empty if it is missing.
    pub fields: Vec<FieldChange>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.key.kind(), self.key)?;
        if self.fields.is_empty() {
            return f.write_str(" is missing");
        }
        let fields: Vec<String> = self.fields.iter().map(FieldChange::to_string).collect();
        write!(f, ": {}", fields.join(", "))
    }
}

/// Why a change did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no plan.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The system could not be looked at.
    #[error("{0}")]
    Platform(Box<PlatformError>),
    /// The memory can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The journal can't be written, so nothing more is done.
    #[error("can't write the journal: {0}")]
    Journal(#[from] std::io::Error),
    /// This system lacks what is wanted; nothing was changed.
    #[error("this system lacks {} things that the description asks for", .0.len())]
    Lacks(Vec<Missing>),
    /// A step failed; everything was taken back, but for what is listed.
    #[error("{cause}; {}", undone(left))]
    Step {
        /// Why it failed.
        cause: Box<PlatformError>,
        /// What could not be taken back.
        left: Vec<String>,
    },
    /// Everything was done and is yet not as described; it was taken back, but for what is listed.
    #[error("not as described after all was done: {}; {}", list(differences), undone(left))]
    Verify {
        /// What differs.
        differences: Vec<Difference>,
        /// What could not be taken back.
        left: Vec<String>,
    },
}

impl From<PlatformError> for ApplyError {
    fn from(error: PlatformError) -> Self {
        Self::Platform(Box::new(error))
    }
}

fn undone(left: &[String]) -> String {
    if left.is_empty() {
        "everything was taken back".to_owned()
    } else {
        format!("taken back but for: {}", left.join("; "))
    }
}

fn list(differences: &[Difference]) -> String {
    let mut text: Vec<String> = differences.iter().take(8).map(Difference::to_string).collect();
    if differences.len() > text.len() {
        text.push(format!("and {} more", differences.len() - text.len()));
    }
    text.join("; ")
}

/// What earlier runs left, loaded from the store.
struct Remembered {
    last: Option<Generation>,
    interrupted: Vec<Desired>,
    begun: BTreeSet<Key>,
    originals: Originals,
}

impl Remembered {
    fn load(store: &Store) -> Result<Self, ApplyError> {
        let begun = Journal::pending(&Journal::path(store))?
            .map(|cut| cut.intents)
            .unwrap_or_default()
            .into_iter()
            .filter(|operation| matches!(operation, Operation::Create { .. }))
            .map(|operation| operation.key().clone())
            .collect();
        Ok(Self {
            last: store.current()?,
            interrupted: store.load("interrupted")?.unwrap_or_default(),
            begun,
            originals: Originals(store.originals()?),
        })
    }

    fn memory(&self) -> Memory<'_> {
        Memory {
            last: self.last.as_ref().map(|generation| &generation.desired),
            interrupted: self.interrupted.iter().collect(),
            begun: self.begun.clone(),
            originals: Some(&self.originals),
        }
    }

    /// Everything that may have been made, so that one look covers it.
    fn scope(&self, desired: &Desired) -> Desired {
        scope(desired, self.last.iter().map(|generation| &generation.desired).chain(&self.interrupted))
    }
}

/// What would be done to make `desired` true.
///
/// # Errors
/// When the system can't be looked at or foreign objects are in the way.
pub fn plan(platform: &dyn Platform, store: &Store, desired: &Desired) -> Result<Plan, ApplyError> {
    let remembered = Remembered::load(store)?;
    let observed = platform.observe(&remembered.scope(desired))?;
    Ok(Plan::between(&observed, desired, &remembered.memory())?)
}

/// Makes a description true and remembers it as a new generation.
///
/// # Errors
/// What failed; everything was taken back then, but for what the error lists.
pub fn apply(
    platform: &dyn Platform,
    store: &Store,
    request: &Request,
    keep: &Keep,
    observer: Observer<'_>,
) -> Result<Applied, ApplyError> {
    let missing = platform.missing(&request.desired);
    if !missing.is_empty() {
        return Err(ApplyError::Lacks(missing));
    }
    let remembered = Remembered::load(store)?;
    let number = store.next_number();
    keep.save(store)?;
    let plan =
        realize(platform, store, &remembered, &request.desired, &format!("generation {number}"), observer)?;
    let same = remembered.last.as_ref().filter(|last| {
        plan.is_empty()
            && last.text == request.text
            && last.desired == request.desired
            && last.file == request.file
    });
    let generation = match same {
        Some(last) => last.number,
        None => {
            store.commit(&Generation {
                number,
                time: request.now,
                note: request.note.clone(),
                file: request.file.clone(),
                text: request.text.clone(),
                variables: request.variables.clone(),
                desired: request.desired.clone(),
            })?;
            number
        }
    };
    match request.confirm_within {
        Some(seconds) => store.save(
            "pending",
            &Pending {
                generation,
                previous: remembered.last.map(|last| last.number),
                deadline: request.now + seconds,
            },
        )?,
        None => store.forget("pending")?,
    }
    store.forget("interrupted")?;
    Ok(Applied { plan, generation: Some(generation) })
}

/// Takes everything down and forgets the topology. Goes on past failures.
///
/// # Errors
/// What could not be taken down; the store then stays, so that it can be tried again.
pub fn destroy(platform: &dyn Platform, store: Store, observer: Observer<'_>) -> Result<Applied, ApplyError> {
    let remembered = Remembered::load(&store)?;
    let nothing = Desired::new(store.topology().clone());
    platform.sweep()?;
    let observed = platform.observe(&remembered.scope(&nothing))?;
    let plan = Plan::between(&observed, &nothing, &remembered.memory())?;
    observer(Progress::Planned(&plan));
    let mut journal = Journal::begin(&Journal::path(&store), "nothing", plan.steps.len())?;
    let failures = Execution::new(platform, &plan, observer, true).run(&mut journal)?.failures;
    observer(Progress::Verifying);
    let left = platform.observe(&remembered.scope(&nothing))?;
    let rest = Plan::between(&left, &nothing, &remembered.memory())?;
    if rest.is_empty() {
        journal.end()?;
        store.remove()?;
        return Ok(Applied { plan, generation: None });
    }
    let left: Vec<String> =
        rest.changes().map(|change| format!("{} {}", change.key().kind(), change.key())).collect();
    let cause = failures.into_iter().next().map_or_else(
        || PlatformError::new(None, "something is still there after it was removed"),
        |(_, error)| error,
    );
    Err(ApplyError::Step { cause: Box::new(cause), left })
}

/// Returns to an earlier generation, as a new one.
///
/// # Errors
/// As [`apply`], or when there is no such generation.
pub fn rollback(
    platform: &dyn Platform,
    store: &Store,
    number: u64,
    now: u64,
    observer: Observer<'_>,
) -> Result<Applied, ApplyError> {
    let Generation { file, text, variables, desired, .. } = store.generation(number)?;
    let note = format!("rollback to {number}");
    let request = Request { desired, file, text, variables, note, now, confirm_within: None };
    let keep = store.load("keep")?.unwrap_or_default();
    apply(platform, store, &request, &keep, observer)
}

/// Keeps what awaits confirmation. False if nothing does.
///
/// # Errors
/// When the store can't be used.
pub fn confirm(store: &Store) -> Result<bool, StoreError> {
    let awaited = store.load::<Pending>("pending")?.is_some();
    store.forget("pending")?;
    Ok(awaited)
}

/// Goes back if a confirmation did not come in time. `None` if there is nothing to do yet.
///
/// # Errors
/// As [`apply`] and [`destroy`].
pub fn expire(
    platform: &dyn Platform,
    store: Store,
    now: u64,
    observer: Observer<'_>,
) -> Result<Option<Applied>, ApplyError> {
    let Some(pending) = store.load::<Pending>("pending")?.filter(|pending| pending.deadline <= now) else {
        return Ok(None);
    };
    let applied = match pending.previous {
        Some(previous) => rollback(platform, &store, previous, now, observer)?,
        None => destroy(platform, store, observer)?,
    };
    Ok(Some(applied))
}

/// Plans, executes, verifies; on failure takes back.
pub(crate) fn realize(
    platform: &dyn Platform,
    store: &Store,
    remembered: &impl Memorized,
    desired: &Desired,
    aim: &str,
    observer: Observer<'_>,
) -> Result<Plan, ApplyError> {
    platform.sweep()?;
    let observed = platform.observe(&remembered.scope(desired))?;
    let plan = Plan::between(&observed, desired, &remembered.memory())?;
    observer(Progress::Planned(&plan));
    if plan.is_empty() {
        return Ok(plan);
    }
    store.remember_originals(plan.remembers.iter().cloned().collect())?;
    let mut interrupted = remembered.interrupted().to_vec();
    interrupted.push(desired.clone());
    store.save("interrupted", &interrupted)?;
    let mut journal = Journal::begin(&Journal::path(store), aim, plan.steps.len())?;
    let outcome = Execution::new(platform, &plan, observer, false).run(&mut journal)?;
    if let Some((_, cause)) = outcome.failures.into_iter().next() {
        let left = take_back(
            platform,
            &plan,
            &outcome.finished,
            &observed,
            desired,
            remembered,
            &mut journal,
            observer,
        )?;
        journal.end()?;
        return Err(ApplyError::Step { cause: Box::new(cause), left });
    }
    observer(Progress::Verifying);
    let differences = verify(platform, desired)?;
    if differences.is_empty() {
        journal.end()?;
        Ok(plan)
    } else {
        let left = take_back(
            platform,
            &plan,
            &outcome.finished,
            &observed,
            desired,
            remembered,
            &mut journal,
            observer,
        )?;
        journal.end()?;
        Err(ApplyError::Verify { differences, left })
    }
}

/// What a run may know from before; `heal` knows less than `apply`.
pub(crate) trait Memorized {
    fn memory(&self) -> Memory<'_>;
    fn scope(&self, desired: &Desired) -> Desired;
    fn interrupted(&self) -> &[Desired];
}

impl Memorized for Remembered {
    fn memory(&self) -> Memory<'_> {
        Self::memory(self)
    }
    fn scope(&self, desired: &Desired) -> Desired {
        Self::scope(self, desired)
    }
    fn interrupted(&self) -> &[Desired] {
        &self.interrupted
    }
}

/// Loads what earlier runs left.
pub(crate) fn remembered(store: &Store) -> Result<impl Memorized + use<>, ApplyError> {
    Remembered::load(store)
}

/// Desired objects that are missing or different.
///
/// # Errors
/// When the system can't be looked at.
pub fn verify(platform: &dyn Platform, desired: &Desired) -> Result<Vec<Difference>, PlatformError> {
    let observed = platform.observe(desired)?;
    Ok(desired
        .objects
        .iter()
        .filter_map(|(key, object)| {
            let fields = match observed.objects.get(key) {
                None => Vec::new(),
                Some(found) => match compare(&found.spec, &object.spec) {
                    Comparison::Same => return None,
                    Comparison::Change(fields) | Comparison::Recreate(fields) => fields,
                },
            };
            Some(Difference { key: key.clone(), fields })
        })
        .collect())
}

/// Returns to what was observed before: first the inverses in reverse order, then, since removing and making
/// objects takes others along, a plan from what is now to what was. Gives what could not be restored.
#[allow(clippy::too_many_arguments, reason = "everything that the failed run knew")]
fn take_back(
    platform: &dyn Platform,
    plan: &Plan,
    finished: &[StepId],
    before: &netloom_compile::object::Observed,
    desired: &Desired,
    remembered: &impl Memorized,
    journal: &mut Journal,
    observer: Observer<'_>,
) -> Result<Vec<String>, ApplyError> {
    observer(Progress::Undoing);
    journal.undo("a step failed")?;
    let mut left = Vec::new();
    for id in finished.iter().rev() {
        let Some(step) = plan.steps.get(id.index()) else { continue };
        let Some(owner) = step.changes.first().map(|change| change.owner.clone()) else { continue };
        // Whatever can't be inverted by itself is found by the comparison below.
        let _ = platform.execute(&owner, &step.inverse());
    }
    // What was there, as a wish: objects of ours as they were observed, with their owners from earlier tables.
    let mut was = Desired::new(desired.topology.clone());
    let memory = remembered.memory();
    for (key, object) in &before.objects {
        if object.mark == netloom_compile::object::Mark::Foreign {
            continue;
        }
        let template =
            memory.tables().find_map(|table| table.objects.get(key)).or_else(|| desired.objects.get(key));
        if let Some(template) = template {
            let mut wish = template.clone();
            wish.spec = object.spec.clone();
            was.objects.insert(key.clone(), wish);
        }
    }
    let mut known = memory.clone();
    known.interrupted.push(desired);
    let observed = platform.observe(&scope(&was, [desired]))?;
    let rest = Plan::between(&observed, &was, &known)?;
    let failures = Execution::new(platform, &rest, &|_| {}, true).run(journal)?.failures;
    for (id, error) in failures {
        let step = rest.steps.get(id.index());
        let what = step.and_then(|step| step.changes.first()).map_or_else(String::new, |change| {
            format!("{} {} {}", change.sign(), change.key().kind(), change.key())
        });
        left.push(format!("{what} ({error})"));
    }
    Ok(left)
}

/// What an execution did.
struct Outcome {
    /// Steps that were executed whole, in the order in which they ended.
    finished: Vec<StepId>,
    /// Steps that failed, with the reason.
    failures: Vec<(StepId, PlatformError)>,
}

/// Runs the steps of a plan in the order of its graph.
struct Execution<'a> {
    platform: &'a dyn Platform,
    plan: &'a Plan,
    observer: Observer<'a>,
    /// Go on with what does not need a failed step.
    go_on: bool,
}

/// State shared by the workers.
struct Board {
    /// Journalled and ready to run, next at the end.
    ready: Vec<usize>,
    running: usize,
    finished: Vec<StepId>,
    failures: Vec<(StepId, PlatformError)>,
    /// No more steps will become ready.
    closed: bool,
}

impl<'a> Execution<'a> {
    const fn new(platform: &'a dyn Platform, plan: &'a Plan, observer: Observer<'a>, go_on: bool) -> Self {
        Self { platform, plan, observer, go_on }
    }

    fn run(&self, journal: &mut Journal) -> Result<Outcome, ApplyError> {
        let steps = &self.plan.steps;
        let mut waiting: Vec<usize> = steps.iter().map(|step| step.needs.len()).collect();
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
        for (index, step) in steps.iter().enumerate() {
            for need in &step.needs {
                dependents[need.index()].push(index);
            }
        }
        let board = Mutex::new(Board {
            ready: Vec::new(),
            running: 0,
            finished: Vec::new(),
            failures: Vec::new(),
            closed: false,
        });
        let changed = Condvar::new();
        let lock = || board.lock().unwrap_or_else(PoisonError::into_inner);
        let result = std::thread::scope(|scope| {
            for _ in 0..WORKERS.min(steps.len()) {
                scope.spawn(|| self.work(&board, &changed));
            }
            let mut wave: Vec<usize> = (0..steps.len()).filter(|index| waiting[*index] == 0).collect();
            let mut seen = 0;
            let result = loop {
                // Steps that only join others need no worker and no journal.
                let (real, joins): (Vec<usize>, Vec<usize>) =
                    wave.into_iter().partition(|index| !steps[*index].changes.is_empty());
                wave = Vec::new();
                for join in joins {
                    for dependent in &dependents[join] {
                        waiting[*dependent] -= 1;
                        if waiting[*dependent] == 0 {
                            wave.push(*dependent);
                        }
                    }
                }
                if !real.is_empty() {
                    let intents: Vec<(usize, Vec<Operation>)> = real
                        .iter()
                        .map(|index| (*index, steps[*index].operations().cloned().collect()))
                        .collect();
                    if let Err(error) = journal.intend(&intents) {
                        break Err(ApplyError::Journal(error));
                    }
                    let mut board = lock();
                    board.ready.extend(real.into_iter().rev());
                    changed.notify_all();
                }
                if !wave.is_empty() {
                    continue;
                }
                // Wait until something ends; take everything that ended at once.
                let mut guard = lock();
                loop {
                    let idle = guard.ready.is_empty() && guard.running == 0;
                    let stopped = !self.go_on && !guard.failures.is_empty();
                    if stopped {
                        guard.ready.clear();
                    }
                    if guard.finished.len() > seen || (stopped && guard.running == 0) || idle {
                        break;
                    }
                    guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                let ended: Vec<usize> = guard.finished[seen..].iter().map(|id| id.index()).collect();
                seen = guard.finished.len();
                let over = guard.ready.is_empty() && guard.running == 0;
                let stopped = !self.go_on && !guard.failures.is_empty();
                drop(guard);
                if let Err(error) = journal.done(&ended) {
                    break Err(ApplyError::Journal(error));
                }
                if stopped {
                    if over {
                        break Ok(());
                    }
                    continue;
                }
                for index in ended {
                    for dependent in &dependents[index] {
                        waiting[*dependent] -= 1;
                        if waiting[*dependent] == 0 {
                            wave.push(*dependent);
                        }
                    }
                }
                if wave.is_empty() && over {
                    break Ok(());
                }
            };
            lock().closed = true;
            changed.notify_all();
            result
        });
        result?;
        let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Outcome { finished: board.finished, failures: board.failures })
    }

    fn work(&self, board: &Mutex<Board>, changed: &Condvar) {
        let mut guard = board.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(index) = guard.ready.pop() else {
                if guard.closed {
                    return;
                }
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            guard.running += 1;
            drop(guard);
            let step = &self.plan.steps[index];
            let result = self.execute(step);
            match &result {
                Ok(()) => step.changes.iter().for_each(|change| (self.observer)(Progress::Done(change))),
                Err(error) => (self.observer)(Progress::Failed(step, error)),
            }
            guard = board.lock().unwrap_or_else(PoisonError::into_inner);
            guard.running -= 1;
            match result {
                Ok(()) => guard.finished.push(step.id),
                Err(error) => guard.failures.push((step.id, error)),
            }
            changed.notify_all();
        }
    }

    /// A step goes out in one call: the two ends of a veth pair have different owners and are made as one.
    fn execute(&self, step: &Step) -> Result<(), PlatformError> {
        let Some(first) = step.changes.first() else { return Ok(()) };
        let operations: Vec<Operation> = step.operations().cloned().collect();
        self.platform.execute(&first.owner, &operations)
    }
}

/// The topologies that have a store in a state directory, sorted.
#[must_use]
pub fn topologies(state_dir: &std::path::Path) -> Vec<NodeName> {
    let mut names: Vec<NodeName> = std::fs::read_dir(state_dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    names.sort();
    names
}
