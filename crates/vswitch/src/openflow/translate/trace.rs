//! What happened, step by step, for those who ask.
//!
//! Costs: nothing while nobody asks; texts are made by closures.

use super::super::BridgeNumber;
use netloom_proto::openflow::{Action, Match};

/// The rule that a table had for a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRule {
    /// What it matches.
    pub matching: Match,
    /// Its priority.
    pub priority: u32,
    /// Its cookie.
    pub cookie: u64,
    /// The number of the conjunction by which it was found.
    pub conjunction: Option<u32>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The packet is in a bridge.
    Bridge {
        /// Its number.
        number: BridgeNumber,
        /// Its name.
        name: String,
    },
    /// A table was asked.
    Table {
        /// Its number.
        table: u8,
        /// Its name.
        name: Option<String>,
        /// The rule, or none.
        rule: Option<Box<FoundRule>>,
    },
    /// A table was not asked, as the bridge drops fragments.
    Fragment(u8),
    /// A translation goes on where another stopped.
    Thaw(u8),
    /// A bucket of a group is carried out.
    Bucket(u32),
    /// An action is carried out.
    Action(Action),
    /// No action is carried out.
    Nothing,
    /// What came of it.
    Detail(String),
    /// What is probably not meant.
    Warning(String),
    /// Why everything ends here.
    Error(String),
}

/// A step and what it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The step.
    pub note: Note,
    /// What it consists of.
    pub inner: Vec<Trace>,
}

/// Writes steps.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    wanted: bool,
    /// Open steps, from the outside in.
    open: Vec<Trace>,
    done: Vec<Trace>,
}

impl Recorder {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, open: Vec::new(), done: Vec::new() }
    }

    pub(super) const fn wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn note(&mut self, note: impl FnOnce() -> Note) {
        self.begin(note);
        self.end();
    }

    /// Opens a step: what follows until [`Recorder::end`] is part of it.
    pub(super) fn begin(&mut self, note: impl FnOnce() -> Note) {
        if self.wanted {
            self.open.push(Trace { note: note(), inner: Vec::new() });
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(step) = self.open.pop() {
            match self.open.last_mut() {
                Some(outer) => outer.inner.push(step),
                None => self.done.push(step),
            }
        }
    }

    pub(super) fn finish(mut self) -> Vec<Trace> {
        while !self.open.is_empty() {
            self.end();
        }
        self.done
    }
}
