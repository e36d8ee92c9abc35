//! What is being done, on disk before it is done.
//!
//! What: one line of JSON for each record: the beginning of a change with its aim, the intent of each step
//! before it is executed, its completion, and the end. A change that was cut off is found by
//! [`Journal::pending`]; the next run then knows what it may find half done, and that fresh objects of a kind
//! that carries no mark are ours.
//!
//! Invariants: intents are on disk (`fdatasync`) before their steps run; intents that are ready together are
//! written and synced together. A torn last line is ignored: its step had not begun. A journal that ended is
//! emptied.
//!
//! Costs: one sync for each wave of steps.

use netloom_compile::object::Operation;
use serde::{Deserialize, Serialize};
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
        /// What will be done.
        operations: Vec<Operation>,
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
    /// Operations of steps that were begun, whether or not they were completed.
    pub intents: Vec<Operation>,
    /// Operations of steps that were begun and not completed.
    pub unfinished: Vec<Operation>,
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
    pub fn intend(&mut self, steps: &[(usize, Vec<Operation>)]) -> io::Result<()> {
        let records: Vec<Record> = steps
            .iter()
            .map(|(step, operations)| Record::Intent { step: *step, operations: operations.clone() })
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
        let mut steps: Vec<(usize, Vec<Operation>, bool)> = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Record>(line) else { break };
            match record {
                Record::Begin { aim, .. } => cut = Some(aim),
                Record::Intent { step, operations } => steps.push((step, operations, false)),
                Record::Done { step } => {
                    for entry in steps.iter_mut().filter(|entry| entry.0 == step) {
                        entry.2 = true;
                    }
                }
                Record::Undo { .. } => {}
                Record::End => return Ok(None),
            }
        }
        Ok(cut.map(|aim| Cut {
            aim,
            unfinished: steps.iter().filter(|step| !step.2).flat_map(|step| step.1.clone()).collect(),
            intents: steps.into_iter().flat_map(|step| step.1).collect(),
        }))
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
    use netloom_compile::object::{Key, Space, Spec};

    fn operation(name: &str) -> Operation {
        Operation::Create {
            key: Key::Namespace { space: Space::Node(name.parse().unwrap()) },
            spec: Spec::Namespace,
        }
    }

    #[test]
    fn every_cut_is_readable_and_tells_what_was_begun() {
        let path = std::env::temp_dir().join(format!("netloom-journal-{}", std::process::id()));
        let mut journal = Journal::begin(&path, "generation 1", 2).unwrap();
        journal.intend(&[(0, vec![operation("a")]), (1, vec![operation("b")])]).unwrap();
        journal.done(&[0]).unwrap();
        let whole = fs::read(&path).unwrap();
        // Cut at every byte: never an error, never more than was written.
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let cut = Journal::pending(&path).unwrap();
            assert!(
                cut.is_none_or(|cut| cut.unfinished.len() <= cut.intents.len() && cut.intents.len() <= 2)
            );
        }
        let cut = Journal::pending(&path).unwrap().unwrap();
        assert_eq!(cut.intents, [operation("a"), operation("b")]);
        assert_eq!(cut.unfinished, [operation("b")]);
        journal = Journal::begin(&path, "nothing", 0).unwrap();
        journal.end().unwrap();
        assert_eq!(Journal::pending(&path).unwrap(), None);
        fs::remove_file(&path).unwrap();
    }
}
