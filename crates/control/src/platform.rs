//! The outside world as the control loop sees it: look, change, and say what is missing.
//!
//! What: [`Platform`] is all that planning, applying and healing know of Linux. It is small so that a
//! simulated kernel can stand in for it in tests; the real one is `netloom_kernel::Kernel`.
//!
//! Contract (the planner relies on it, the simulated kernel of the tests enforces it):
//! - `observe` looks at everything that carries the topology's mark, wherever it is, and besides at
//!   every key of the given table. It never changes anything.
//! - `execute` runs the operations of one step in order and stops at the first failure. Both ends of a
//!   veth pair come in one call, to be made or deleted as one.
//! - `Create` of an object that exists is an error, but for a link of kind `Existing`, which came with its
//!   namespace and is taken into use. `Delete` of an object that is gone is no error. `Delete` of a sysctl
//!   of a node gives it the value that a fresh namespace has.
//! - A `None` in a specification leaves the attribute as it is, or to the kernel when it is made.

use netloom_compile::object::{Desired, Key, Observed, Operation, Owner};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What Netloom asks of the system it runs on. Calls come from several threads at once.
pub trait Platform: Sync {
    /// Everything that carries the mark of `scope`'s topology, and every key that `scope` names.
    ///
    /// # Errors
    /// When the system can not be looked at; nothing has been changed then.
    fn observe(&self, scope: &Desired) -> Result<Observed, PlatformError>;

    /// Runs the operations of one step in order, for one owner.
    ///
    /// # Errors
    /// When an operation failed; those before it have taken effect, those after it have not.
    fn execute(&self, owner: &Owner, operations: &[Operation]) -> Result<(), PlatformError>;

    /// What `desired` asks for that this system lacks. Empty when everything can be made.
    fn missing(&self, desired: &Desired) -> Vec<Missing>;

    /// Removes what a killed run left half made and no object describes (the empty file of a namespace that
    /// was not mounted yet, or not any more).
    ///
    /// # Errors
    /// When it can't be removed.
    fn sweep(&self) -> Result<(), PlatformError> {
        Ok(())
    }
}

/// Why the system refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct PlatformError {
    /// The object at which it happened, if it was one.
    pub key: Option<Key>,
    /// What the system said, as a short sentence.
    pub cause: String,
    /// The way out, if one is known.
    pub hint: Option<String>,
}

impl PlatformError {
    /// A refusal without a hint.
    #[must_use]
    pub fn new(key: Option<Key>, cause: impl Into<String>) -> Self {
        Self { key, cause: cause.into(), hint: None }
    }
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{} {key}: ", key.kind())?;
        }
        f.write_str(&self.cause)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Something that the description asks for and this system can not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The object that needs it.
    pub key: Key,
    /// The feature, in the kernel's words: `link kind ipvlan (CONFIG_IPVLAN)`.
    pub feature: String,
    /// What could do instead, or how to get it.
    pub instead: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} needs {}; {}", self.key.kind(), self.key, self.feature, self.instead)
    }
}

/// The keys of several tables in one, so that one look covers them all; the first table wins.
#[must_use]
pub(crate) fn scope<'a>(desired: &Desired, others: impl IntoIterator<Item = &'a Desired>) -> Desired {
    let mut scope = desired.clone();
    for other in others {
        for (key, object) in &other.objects {
            scope.objects.entry(key.clone()).or_insert_with(|| object.clone());
        }
    }
    scope
}
