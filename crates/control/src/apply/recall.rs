//! What earlier runs left in the store.
//!
//! An interrupted run leaves behind what it wanted (as far as that differs from the last generation) and what
//! it had begun to make. Both are kept, over as many interruptions as may follow each other, until a run
//! comes to its end.

use super::ApplyError;
use crate::journal::Journal;
use crate::plan::{Memory, Originals, Plan, Sign};
use crate::platform::scope;
use crate::store::{Generation, Store};
use netloom_compile::object::{Desired, Key};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What interrupted runs left, in `interrupted.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Interrupted {
    /// What they wanted, where it differs from the generation before.
    tables: Vec<Desired>,
    /// What they had begun to make.
    begun: BTreeSet<Key>,
}

/// Everything that is known from before.
pub(crate) struct Remembered {
    pub(crate) last: Option<Generation>,
    interrupted: Interrupted,
    originals: Originals,
}

impl Remembered {
    /// Loads it.
    pub(crate) fn load(store: &Store) -> Result<Self, ApplyError> {
        let mut interrupted: Interrupted = store.load("interrupted")?.unwrap_or_default();
        if let Some(cut) = Journal::pending(&Journal::path(store))? {
            interrupted.begun.extend(cut.begun);
        }
        Ok(Self { last: store.current()?, interrupted, originals: Originals(store.originals()?) })
    }

    /// For planning.
    pub(crate) fn memory(&self) -> Memory<'_> {
        Memory {
            last: self.last.as_ref().map(|generation| &generation.desired),
            interrupted: self.interrupted.tables.iter().collect(),
            begun: self.interrupted.begun.clone(),
            originals: Some(&self.originals),
        }
    }

    /// Everything that may have been made, so that one look covers it.
    pub(crate) fn scope(&self, desired: &Desired) -> Desired {
        let last = self.last.iter().map(|generation| &generation.desired);
        scope(desired, last.chain(&self.interrupted.tables))
    }

    /// Notes on the disk what is about to be wanted and changed, before the first step runs.
    pub(crate) fn intend(&mut self, store: &Store, desired: &Desired, plan: &Plan) -> Result<(), ApplyError> {
        store.remember_originals(plan.remembers.iter().cloned().collect())?;
        for (key, spec) in &plan.remembers {
            self.originals.0.entry(key.clone()).or_insert_with(|| spec.clone());
        }
        let mut differs = desired.clone();
        if let Some(last) = &self.last {
            differs.objects.retain(|key, object| {
                last.desired.objects.get(key).is_none_or(|before| before.spec != object.spec)
            });
        }
        if !self.interrupted.tables.contains(&differs) {
            self.interrupted.tables.push(differs);
        }
        store.save("interrupted", &self.interrupted)?;
        Ok(())
    }

    /// After a failure: everything that the plan may have begun to make.
    pub(crate) fn suspect(&mut self, plan: &Plan) {
        let made = plan.changes().filter(|change| change.sign() == Sign::Add);
        self.interrupted.begun.extend(made.map(|change| change.key().clone()));
    }

    /// First values that were found since.
    pub(crate) fn learn(&mut self, later: &Self) {
        for (key, spec) in &later.originals.0 {
            self.originals.0.entry(key.clone()).or_insert_with(|| spec.clone());
        }
    }

    /// Whether no earlier run was interrupted.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.interrupted.tables.is_empty()
    }

    /// A run came to its end: nothing is interrupted any more, and only values of what is still in use
    /// are kept.
    pub(crate) fn conclude(store: &Store, desired: &Desired) -> Result<(), ApplyError> {
        let mut originals = store.originals()?;
        let known = originals.len();
        originals.retain(|key, _| desired.objects.contains_key(key));
        if originals.len() != known {
            store.save("originals", &Originals(originals))?;
        }
        store.forget("interrupted")?;
        Ok(())
    }
}
