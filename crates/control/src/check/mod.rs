//! The tests of a file, run on the real network.
//!
//! What: `compile` takes the tests apart into [`ResolvedTest`]s between two nodes; [`run`] runs them with
//! probes and says for each whether it held and how one knows.
//!
//! Invariants: a test that can't be run (no namespace, no socket) has failed, never passed; only one that needs a virtual
//! machine that nobody has started yet is left out, and said to be. Tests that need
//! the same port of the same node never run at once; bandwidth is measured alone.

mod names;
mod run;

pub use names::{Addresses, addresses, choose};
pub use run::{Absence, run};

use netloom_compile::ResolvedTest;
use serde::Serialize;
use std::time::Duration;

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestResult {
    /// The test.
    #[serde(flatten)]
    pub test: ResolvedTest,
    /// Whether it held; true for one that was left out.
    pub passed: bool,
    /// It was left out, since a virtual machine that it needs does not run.
    pub skipped: bool,
    /// How one knows.
    pub evidence: String,
    /// How long it took.
    pub took: Duration,
}
