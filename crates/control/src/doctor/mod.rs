//! What this host can do, what is missing, and how to get it.
//!
//! What: findings in groups, each with severity, evidence (where one can look it up) and the fix. This
//! module reads `/proc` and `/sys`; what must be tried out (link kinds, qdiscs, nft features) is the
//! kernel crate's capability probe, whose rows the caller adds.
//!
//! Invariants: looking changes nothing; every path is below a root that tests can replace.
//!
//! Deliberately absent: changing the host. Fixes are told, never applied.

mod hardware;
mod host;

use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good, or just a fact.
    Ok,
    /// Something is not there; other ways exist or it is not needed for most networks.
    Info,
    /// Networks may behave differently than described.
    Warning,
    /// Netloom can't work.
    Error,
}

/// One row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Group: `privileges`, `link kinds`, `hardware` ...
    pub group: String,
    /// What was looked at.
    pub name: String,
    /// What was found, in a word or two: `present`, `absent`, `4 of 8 VFs`.
    pub state: String,
    /// How much it matters.
    pub severity: Severity,
    /// Where one sees it.
    pub evidence: String,
    /// What to do, if anything.
    pub fix: Option<String>,
}

impl Finding {
    fn new(group: &str, name: impl Into<String>, state: impl Into<String>, severity: Severity) -> Self {
        Self {
            group: group.into(),
            name: name.into(),
            state: state.into(),
            severity,
            evidence: String::new(),
            fix: None,
        }
    }

    fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Read access to `/proc`, `/sys`, `/etc` below a root.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

impl Files {
    /// Below another root (a fake tree).
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Names in a directory, sorted; empty if there is none.
    fn list(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The last part of what a link points to.
    fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(Path::new(&target).file_name()?.to_string_lossy().into_owned())
    }
}

/// Everything that files tell.
#[must_use]
pub fn examine(files: &Files) -> Vec<Finding> {
    let mut findings = host::examine(files);
    findings.extend(hardware::examine(files));
    findings
}
