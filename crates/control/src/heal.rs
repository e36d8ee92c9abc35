//! Putting back what was removed or changed by hand, and saying so.
//!
//! What: a comparison with the generation that stands, then only the steps that drift asks for. Each change
//! becomes an [`Event`] with what and why, appended to the topology's `events.jsonl`.
//!
//! Invariants: never while a command works on the topology (the store's lock); the file of events is
//! bounded ([`MOST_BYTES`]): the older half goes when it is full.

use crate::apply::{ApplyError, Progress, realize, remembered};
use crate::plan::Plan;
use crate::platform::Platform;
use crate::store::{Store, StoreError};
use netloom_compile::object::Key;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Size at which the older half of the events is dropped.
pub const MOST_BYTES: u64 = 1 << 20;

/// Something that happened to a topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970.
    pub time: u64,
    /// `applied`, `put back`, `failed`, `undone`.
    pub what: String,
    /// The object, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The object in words.
    pub object: String,
    /// Why, in words.
    pub why: String,
}

/// Compares with the generation that stands and puts back what differs.
///
/// # Errors
/// As for an apply; failures are noted as events too.
pub fn heal(platform: &dyn Platform, store: &Store, now: u64) -> Result<Vec<Event>, ApplyError> {
    let Some(generation) = store.current()? else { return Ok(Vec::new()) };
    let memory = remembered(store)?;
    let aim = format!("generation {}", generation.number);
    let result = realize(platform, store, &memory, &generation.desired, &aim, &|_: Progress<'_>| {});
    let events = match &result {
        Ok(plan) => of_plan(plan, "put back", now),
        Err(error) => vec![Event {
            time: now,
            what: "failed".to_owned(),
            key: None,
            object: "putting back".to_owned(),
            why: error.to_string(),
        }],
    };
    append(store, &events)?;
    if let Ok(plan) = &result
        && !plan.is_empty()
    {
        store.forget("interrupted")?;
    }
    result.map(|_| events)
}

/// One event for each change of a plan.
#[must_use]
pub fn of_plan(plan: &Plan, what: &str, now: u64) -> Vec<Event> {
    plan.changes()
        .map(|change| Event {
            time: now,
            what: what.to_owned(),
            key: Some(change.key().clone()),
            object: format!("{} {} {}", change.sign(), change.key().kind(), change.key()),
            why: change.reason.clone(),
        })
        .collect()
}

/// Appends events to the topology's file.
///
/// # Errors
/// When it can't be written.
pub fn append(store: &Store, events: &[Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let path = store.path("events.jsonl");
    let write = || -> io::Result<()> {
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MOST_BYTES) {
            let old = fs::read(&path)?;
            let half = old.len() / 2;
            let from =
                old[half..].iter().position(|byte| *byte == b'\n').map_or(old.len(), |at| half + at + 1);
            fs::write(&path, &old[from..])?;
        }
        let mut text = Vec::new();
        for event in events {
            serde_json::to_writer(&mut text, event)?;
            text.push(b'\n');
        }
        fs::OpenOptions::new().create(true).append(true).open(&path)?.write_all(&text)
    };
    write().map_err(|source| StoreError::File { doing: "write", path: path.clone(), source })
}

/// The events of a topology from byte `from` on, and where the file ends now. A line that is being written
/// is left for the next call.
///
/// # Errors
/// When the file can't be read.
pub fn events(state_dir: &Path, topology: &str, from: u64) -> io::Result<(Vec<Event>, u64)> {
    let path = state_dir.join(topology).join("events.jsonl");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    // A file that became shorter was cut: begin again.
    let from = usize::try_from(from).ok().filter(|from| *from <= text.len()).unwrap_or(0);
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1).max(from);
    let events = text[from..end]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    Ok((events, end as u64))
}
