//! The plan: what has to be done so that the system is as described, in which order, and why.
//!
//! What: [`Plan::between`] compares the live system with the desired table and yields steps that form a
//! graph without cycles. Each change has a sign, a reason in words and the place in the user's file.
//!
//! How, each in a file of its own: `table` numbers the keys of both sides; `decide` compares object by
//! object; `opened` settles attributes that the description no longer sets; `losses` finds what the
//! kernel takes away with something else, by the knowledge in `disturb`; `steps` groups and orders.
//!
//! Invariants:
//! - A foreign object is never changed; one that is in the way of a desired object is an error.
//! - Everything that goes comes before everything that is made (one step joins the two halves), so names,
//!   addresses and ports are free when they are wanted again.
//! - What the kernel takes away for certain (everything in a namespace or on a link) has no step of its
//!   own; what it may take or not, by version and sysctl, is removed explicitly before and made again.
//! - Steps are listed in an order in which they can be run one after the other.
//!
//! Costs: linear in objects, but for sorting: 30,000 objects take some 50 ms.
//!
//! Deliberately absent: retries, guesses, and any look at the system.

mod decide;
mod disturb;
pub(crate) mod hidden;
mod losses;
mod memory;
mod opened;
mod print;
mod steps;
mod table;
#[cfg(test)]
mod tests;

pub use memory::{Memory, Originals};

use netloom_compile::object::{Desired, Key, Observed, Operation, Origin, Owner, Spec};
use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a step in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub u32);

impl StepId {
    /// As an index into [`Plan::steps`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sign {
    /// It is made.
    #[serde(rename = "+")]
    Add,
    /// It is changed in place.
    #[serde(rename = "~")]
    Change,
    /// It is removed.
    #[serde(rename = "-")]
    Remove,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
        })
    }
}

/// Where a difference comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The description changed.
    Described,
    /// The system was changed by hand.
    Drift,
    /// The kernel takes the object away together with another.
    Lost,
    /// An earlier run did not come to its end.
    Interrupted,
}

/// One change of one object: one printed line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What is done.
    #[serde(flatten)]
    pub operation: Operation,
    /// Whose the object is.
    pub owner: Owner,
    /// The place in the file that asked for the object, now or when it was made.
    pub origin: Option<Origin>,
    /// Why, as a clause.
    pub reason: String,
    /// Where the difference comes from.
    pub cause: Cause,
}

impl Change {
    /// The object.
    #[must_use]
    pub const fn key(&self) -> &Key {
        self.operation.key()
    }

    /// What happens to it.
    #[must_use]
    pub const fn sign(&self) -> Sign {
        match self.operation {
            Operation::Create { .. } => Sign::Add,
            Operation::Change { .. } => Sign::Change,
            Operation::Delete { .. } => Sign::Remove,
        }
    }
}

/// Changes that are run together, in order, by one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What is done, in order. Empty for a step that only joins others.
    pub changes: Vec<Change>,
    /// What goes with the removed objects without being asked.
    pub takes: Vec<Key>,
    /// Steps that must be done before.
    pub needs: Vec<StepId>,
}

impl Step {
    /// The operations, in order.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.changes.iter().map(|change| &change.operation)
    }

    /// The operations that take this step back, in order. What it [takes](Step::takes) is not in them.
    #[must_use]
    pub fn inverse(&self) -> Vec<Operation> {
        self.changes.iter().rev().map(|change| change.operation.inverse()).collect()
    }
}

/// How many changes of each sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Objects made.
    pub add: usize,
    /// Objects changed in place.
    pub change: usize,
    /// Objects removed by a step.
    pub remove: usize,
    /// Objects that go with removed ones.
    pub taken: usize,
}

/// Steps from the observed system to the desired one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The topology.
    pub topology: NodeName,
    /// The steps; [`StepId`] is the index. Every step comes after those it needs.
    pub steps: Vec<Step>,
    /// Values to be remembered before anything is changed.
    #[serde(skip)]
    pub remembers: Vec<(Key, Spec)>,
}

impl Plan {
    /// Compares the system with the wish.
    ///
    /// # Errors
    /// Foreign objects in the way (all of them), or objects that need each other in a circle.
    pub fn between(observed: &Observed, desired: &Desired, memory: &Memory<'_>) -> Result<Self, PlanError> {
        let observed = hidden::reveal(observed, desired, memory);
        let table = table::Table::new(&observed, desired);
        let mut verdicts = decide::decide(&table, memory)?;
        losses::follow(&table, memory, &mut verdicts);
        let steps = steps::order(&table, memory, &desired.topology, &verdicts)?;
        Ok(Self { topology: desired.topology.clone(), steps, remembers: verdicts.remembers })
    }

    /// All changes, in the order of the steps.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.steps.iter().flat_map(|step| &step.changes)
    }

    /// Whether nothing has to be done.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the system was changed by hand.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        self.changes().any(|change| change.cause == Cause::Drift)
    }

    /// How many changes of each sign.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            counts.taken += step.takes.len();
            for change in &step.changes {
                match change.sign() {
                    Sign::Add => counts.add += 1,
                    Sign::Change => counts.change += 1,
                    Sign::Remove => counts.remove += 1,
                }
            }
        }
        counts
    }
}

/// An object of somebody else where one is desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Which.
    pub key: Key,
    /// The place in the file that asks for it.
    pub origin: Origin,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Objects exist that are described but were not made by this topology.
    #[error("{}", print::foreign(.0))]
    Foreign(Vec<Foreign>),
    /// Objects that need each other in a circle.
    #[error("these need each other in a circle, so none can be made first: {}", print::keys(.0))]
    Circle(Vec<Key>),
}
