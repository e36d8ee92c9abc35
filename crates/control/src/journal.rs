//! What is being done, on disk before it is done.
//!
//! What: one line of JSON for each record: the beginning of a change with its aim, the intent of each step
//! before it is executed, its completion, and the end. A change that was cut off is found by
//! [`Journal::pending`]; the next run then knows what it may find half made, and without its mark yet.
//!
//! Invariants: intents are on disk (`fdatasync`) before their steps run; intents that are ready together are
//! written and synced together. A torn last line is ignored: its step had not begun. A journal that ended is
//! emptied.
//!
//! Costs: one sync for each wave of steps. Specifications are not in it: the system itself tells how things
//! are, so keys are enough.

use crate::plan::{Sign, Step};
use netloom_compile::object::Key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// A change begins.
    Begin {
        /// What it is to end in: `generation 7`, `nothing`.
        aim: String,
        /// How many steps it has.
        steps: usize,
    },
    /// These operations of a step are about to be executed.
    Intent {
        /// The step's number in the plan.
        step: usize,
        /// What will be done, with which objects.
        changes: Vec<(Sign, Key)>,
    },
    /// A step was executed whole.
    Done {
        /// The step's number in the plan.
        step: usize,
    },
    /// What was done is being taken back.
    Undo {
        /// Why.
        reason: String,
    },
    /// The change ended, one way or the other.
    End,
}

/// An open journal, to be written to.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// A change that was cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// What it was to end in.
    pub aim: String,
    /// Objects whose making was begun and not completed, as far as is known.
    pub begun: Vec<Key>,
}

impl Journal {
    /// Begins the journal of a change; what an earlier one left is overwritten, so look at
    /// [`Journal::pending`] first.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn begin(path: &Path, aim: &str, steps: usize) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        let mut journal = Self { file };
        journal.write(&[Record::Begin { aim: aim.to_owned(), steps }], true)?;
        Ok(journal)
    }

    /// Writes the intents of steps that are about to run, and syncs.
    ///
    /// # Errors
    /// When the disk refuses; the steps must not run then.
    pub fn intend(&mut self, steps: &[&Step]) -> io::Result<()> {
        let changes =
            |step: &Step| step.changes.iter().map(|change| (change.sign(), change.key().clone())).collect();
        let records: Vec<Record> = steps
            .iter()
            .map(|step| Record::Intent { step: step.id.index(), changes: changes(step) })
            .collect();
        self.write(&records, true)
    }

    /// Notes completed steps. Not synced: a step whose completion is lost is only looked at again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn done(&mut self, steps: &[usize]) -> io::Result<()> {
        let records: Vec<Record> = steps.iter().map(|step| Record::Done { step: *step }).collect();
        self.write(&records, false)
    }

    /// Notes that everything done is being taken back.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn undo(&mut self, reason: &str) -> io::Result<()> {
        self.write(&[Record::Undo { reason: reason.to_owned() }], true)
    }

    /// Ends the change.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn end(mut self) -> io::Result<()> {
        self.write(&[Record::End], true)
    }

    fn write(&mut self, records: &[Record], sync: bool) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        if sync { self.file.sync_data() } else { Ok(()) }
    }

    /// The change that was cut off, if the last one did not end.
    ///
    /// # Errors
    /// When the file can't be read. A torn or damaged tail is no error.
    pub fn pending(path: &Path) -> io::Result<Option<Cut>> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut cut = None;
        let mut steps: BTreeMap<usize, Vec<(Sign, Key)>> = BTreeMap::new();
        let mut begun: Vec<(Sign, Key)> = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Record>(line) else { break };
            match record {
                Record::Begin { aim, .. } => cut = Some(aim),
                Record::Intent { step, changes } => {
                    steps.insert(step, changes);
                }
                Record::Done { step } => {
                    steps.remove(&step);
                }
                // The steps of the way back are numbered anew.
                Record::Undo { .. } => begun.extend(std::mem::take(&mut steps).into_values().flatten()),
                Record::End => return Ok(None),
            }
        }
        begun.extend(steps.into_values().flatten());
        let made = begun.into_iter().filter(|(sign, _)| *sign == Sign::Add).map(|(_, key)| key);
        Ok(cut.map(|aim| Cut { aim, begun: made.collect() }))
    }

    /// Where the journal of a store is.
    #[must_use]
    pub fn path(store: &crate::store::Store) -> PathBuf {
        store.path("journal.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cause, Change, StepId};
    use netloom_compile::object::{Operation, Owner, Space, Spec};

    fn step(number: u32, name: &str) -> Step {
        let key = Key::Namespace { space: Space::Node(name.parse().unwrap()) };
        let change = Change {
            operation: Operation::Create { key, spec: Spec::Namespace },
            owner: Owner { topology: "t".parse().unwrap(), part: "part".into() },
            origin: None,
            reason: String::new(),
            cause: Cause::Described,
        };
        Step { id: StepId(number), changes: vec![change], takes: Vec::new(), needs: Vec::new() }
    }

    #[test]
    fn every_cut_is_readable_and_tells_what_was_begun() {
        let path = std::env::temp_dir().join(format!("netloom-journal-{}", std::process::id()));
        let mut journal = Journal::begin(&path, "generation 1", 2).unwrap();
        let (a, b, c) = (step(0, "a"), step(1, "b"), step(0, "c"));
        journal.intend(&[&a, &b]).unwrap();
        journal.done(&[0]).unwrap();
        journal.undo("b failed").unwrap();
        journal.intend(&[&c]).unwrap();
        let whole = fs::read(&path).unwrap();
        // Cut at every byte: never an error, never more than was written.
        let mut most = 0;
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            if let Some(cut) = Journal::pending(&path).unwrap() {
                assert!(cut.aim == "generation 1" && cut.begun.len() <= 2, "{cut:?}");
                most = most.max(cut.begun.len());
            }
        }
        assert_eq!(most, 2);
        let cut = Journal::pending(&path).unwrap().unwrap();
        assert_eq!(cut.begun, [b.changes[0].key().clone(), c.changes[0].key().clone()]);
        journal = Journal::begin(&path, "nothing", 0).unwrap();
        journal.end().unwrap();
        assert_eq!(Journal::pending(&path).unwrap(), None);
        fs::remove_file(&path).unwrap();
    }
}
