//! Making a plan true: journal, execute, look again, remember; or take everything back.
//!
//! ```text
//! lock -> observe -> plan -> journal begin -> waves of steps (intent on disk, execute, done)
//!      -> observe again, verify -> commit generation -> journal end
//!                       any failure: observe, plan to what was there, execute -> journal end
//! ```
//!
//! Invariants:
//! - A step runs only after its intent is on disk and everything it needs is done.
//! - A failed change is taken back to what was observed before it; a failing undo does not stop the others.
//! - What an interrupted run wanted is remembered until a later run has come to its end.
//!
//! Parts: `recall` is what earlier runs left, `execute` runs steps, `undo` takes back.
//!
//! Deliberately absent: retries (order comes from the graph), clocks (callers give the time).

mod execute;
mod recall;
mod undo;

use crate::journal::Journal;
use crate::keep::Keep;
use crate::plan::{Change, Memory, Plan, PlanError, Step, StepId, hidden};
use crate::platform::{Missing, Platform, PlatformError};
use crate::store::{Generation, Pending, Store, StoreError};
use execute::{OnFailure, execute};
use netloom_compile::object::{Comparison, Desired, FieldChange, Key, Observed, compare};
use netloom_wire::NodeName;
use recall::Remembered;
use std::collections::BTreeMap;
use std::time::Duration;

pub use execute::WORKERS;

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
    /// What differs; empty if it is missing, or left over.
    pub fields: Vec<FieldChange>,
    /// It should not be there.
    pub left_over: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.key.kind(), self.key)?;
        if self.left_over {
            return f.write_str(" is still there");
        }
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
    /// Not everything could be taken down.
    #[error("{cause}; still there: {}", left.join("; "))]
    Left {
        /// The first failure.
        cause: Box<PlatformError>,
        /// What is left.
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
    let mut remembered = Remembered::load(store)?;
    let number = store.next_number();
    keep.save(store)?;
    let awaited: Option<Pending> = store.load("pending")?;
    if let Some(seconds) = request.confirm_within {
        // Before anything changes: if this program or its connection dies halfway, the daemon goes back.
        let last = remembered.last.as_ref().map(|last| last.number);
        let previous = awaited.as_ref().map_or(last, |awaited| awaited.previous);
        store.save("pending", &Pending { generation: number, previous, deadline: request.now + seconds })?;
    }
    let plan = match realize(
        platform,
        store,
        &mut remembered,
        &request.desired,
        &format!("generation {number}"),
        observer,
    ) {
        Ok(plan) => plan,
        Err(error) => {
            match &awaited {
                Some(awaited) => store.save("pending", awaited)?,
                None => store.forget("pending")?,
            }
            return Err(error);
        }
    };
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
    if request.confirm_within.is_none() || (same.is_some() && awaited.is_none()) {
        // Applied without a condition, or nothing has changed that would have to be confirmed.
        store.forget("pending")?;
    }
    Remembered::conclude(store, &request.desired)?;
    Ok(Applied { plan, generation: Some(generation) })
}

/// Takes everything down and forgets the topology. Goes on past failures.
///
/// # Errors
/// What could not be taken down; the store then stays, so that it can be tried again.
pub fn destroy(platform: &dyn Platform, store: Store, observer: Observer<'_>) -> Result<Applied, ApplyError> {
    let mut remembered = Remembered::load(&store)?;
    let nothing = Desired::new(store.topology().clone());
    let everything = remembered.scope(&nothing);
    platform.sweep()?;
    let plan = Plan::between(&platform.observe(&everything)?, &nothing, &remembered.memory())?;
    observer(Progress::Planned(&plan));
    remembered.intend(&store, &nothing, &plan)?;
    let mut journal = Journal::begin(&Journal::path(&store), "nothing", plan.steps.len())?;
    let mut failures = execute(platform, &plan, OnFailure::GoOn, &mut journal, observer)?;
    observer(Progress::Verifying);
    let look = || -> Result<Plan, ApplyError> {
        Ok(Plan::between(&platform.observe(&everything)?, &nothing, &remembered.memory())?)
    };
    let mut rest = settled(look, Plan::is_empty)?;
    if !rest.is_empty() && !failures.is_empty() {
        // What failed because of something else that failed may be possible now.
        failures = execute(platform, &rest, OnFailure::GoOn, &mut journal, observer)?;
        rest = settled(look, Plan::is_empty)?;
    }
    if rest.is_empty() {
        // What somebody who was killed had in hand may have ended meanwhile.
        platform.sweep()?;
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
    Err(ApplyError::Left { cause: Box::new(cause), left })
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
fn realize(
    platform: &dyn Platform,
    store: &Store,
    remembered: &mut Remembered,
    desired: &Desired,
    aim: &str,
    observer: Observer<'_>,
) -> Result<Plan, ApplyError> {
    platform.sweep()?;
    let before = platform.observe(&remembered.scope(desired))?;
    let before = hidden::reveal(&before, desired, &remembered.memory()).into_owned();
    let plan = Plan::between(&before, desired, &remembered.memory())?;
    observer(Progress::Planned(&plan));
    if plan.is_empty() {
        return Ok(plan);
    }
    // As it was before this run: what is remembered besides is only what this run wanted.
    let earlier = Remembered::load(store)?;
    remembered.intend(store, desired, &plan)?;
    let mut journal = Journal::begin(&Journal::path(store), aim, plan.steps.len())?;
    let failures = execute(platform, &plan, OnFailure::Stop, &mut journal, observer)?;
    let mut differences = Vec::new();
    if failures.is_empty() {
        observer(Progress::Verifying);
        differences = verify_in(platform, desired, &remembered.scope(desired))?;
        if differences.is_empty() {
            journal.end()?;
            return Ok(plan);
        }
    }
    journal.undo("a step failed, or the result differs")?;
    let mut known = earlier;
    known.learn(remembered);
    known.suspect(&plan);
    let left = undo::take_back(platform, &known, &before, desired, &mut journal, observer)?;
    if left.is_empty() {
        journal.end()?;
        if known.is_undisturbed() {
            store.forget("interrupted")?;
        }
    }
    Err(match failures.into_iter().next() {
        Some((_, cause)) => ApplyError::Step { cause: Box::new(cause), left },
        None => ApplyError::Verify { differences, left },
    })
}

/// Makes the generation that stands true again, going on past failures. Gives the plan and what failed.
pub(crate) fn put_back(
    platform: &dyn Platform,
    store: &Store,
    generation: &Generation,
) -> Result<(Plan, Vec<(StepId, PlatformError)>), ApplyError> {
    let mut remembered = Remembered::load(store)?;
    let desired = &generation.desired;
    platform.sweep()?;
    let observed = platform.observe(&remembered.scope(desired))?;
    let plan = Plan::between(&observed, desired, &remembered.memory())?;
    if plan.is_empty() {
        return Ok((plan, Vec::new()));
    }
    remembered.intend(store, desired, &plan)?;
    let aim = format!("generation {}", generation.number);
    let mut journal = Journal::begin(&Journal::path(store), &aim, plan.steps.len())?;
    let failures = execute(platform, &plan, OnFailure::GoOn, &mut journal, &|_| {})?;
    if failures.is_empty() {
        journal.end()?;
        Remembered::conclude(store, desired)?;
    }
    Ok((plan, failures))
}

/// Desired objects that are missing or different, and objects of the topology that are not desired.
///
/// # Errors
/// When the system can't be looked at.
pub fn verify(platform: &dyn Platform, desired: &Desired) -> Result<Vec<Difference>, ApplyError> {
    verify_in(platform, desired, desired)
}

fn verify_in(
    platform: &dyn Platform,
    desired: &Desired,
    everything: &Desired,
) -> Result<Vec<Difference>, ApplyError> {
    let look = || {
        let observed = platform.observe(everything)?;
        let rest = Plan::between(&observed, desired, &Memory::of(Some(desired)))?;
        let mut differences: Vec<Difference> =
            rest.changes().map(|change| difference(&observed, desired, change.key())).collect();
        differences.sort_by(|a, b| a.key.cmp(&b.key));
        differences.dedup_by(|a, b| a.key == b.key);
        Ok(differences)
    };
    settled(look, Vec::is_empty)
}

fn difference(observed: &Observed, desired: &Desired, key: &Key) -> Difference {
    let fields = match (observed.objects.get(key), desired.objects.get(key)) {
        (Some(found), Some(wanted)) => match compare(&found.spec, &wanted.spec) {
            Comparison::Same => Vec::new(),
            Comparison::Change(fields) | Comparison::Recreate(fields) => fields,
        },
        _ => Vec::new(),
    };
    Difference { key: key.clone(), fields, left_over: !desired.objects.contains_key(key) }
}

/// Looks until what is seen is as it should be. The kernel finishes some things later: the far ends of a
/// removed namespace's links go in their own time. After a second it is as it is.
fn settled<T>(look: impl Fn() -> Result<T, ApplyError>, good: impl Fn(&T) -> bool) -> Result<T, ApplyError> {
    for pause in [10, 40, 150, 300, 500] {
        let seen = look()?;
        if good(&seen) {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(pause));
    }
    look()
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
