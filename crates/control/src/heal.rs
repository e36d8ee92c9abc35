//! Putting back what was removed or changed by hand, and saying so.
//!
//! What: a comparison with the generation that stands, then only the steps that drift asks for. Each change
//! becomes an [`Event`] with what and why, appended to the topology's `events.jsonl`.
//!
//! Invariants: never while a command works on the topology (the store's lock); the file of events is
//! bounded ([`MOST_BYTES`]): the older half goes when it is full.

use crate::apply::{ApplyError, put_back};
use crate::plan::{Change, Plan, Step};
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
/// When nothing could be compared or begun. Steps that fail do not stop the others; they become events.
pub fn heal(platform: &dyn Platform, store: &Store, now: u64) -> Result<Vec<Event>, ApplyError> {
    let Some(generation) = store.current()? else { return Ok(Vec::new()) };
    let (plan, failures) = match put_back(platform, store, &generation) {
        Ok(done) => done,
        Err(error) => {
            append(store, &[failure("putting back", &error, now)])?;
            return Err(error);
        }
    };
    let failed = |step: &Step| failures.iter().find(|(id, _)| *id == step.id);
    let mut events = Vec::new();
    for step in &plan.steps {
        if let Some((_, error)) = failed(step) {
            let object = step.changes.first().map_or_else(String::new, object);
            events.push(failure(&object, error, now));
        } else {
            events.extend(step.changes.iter().map(|change| of_change(change, "put back", now)));
        }
    }
    append(store, &events)?;
    Ok(events)
}

fn failure(object: &str, error: &dyn std::fmt::Display, now: u64) -> Event {
    let (what, object) = ("failed".to_owned(), object.to_owned());
    Event { time: now, what, key: None, object, why: error.to_string() }
}

fn object(change: &Change) -> String {
    format!("{} {} {}", change.sign(), change.key().kind(), change.key())
}

fn of_change(change: &Change, what: &str, now: u64) -> Event {
    Event {
        time: now,
        what: what.to_owned(),
        key: Some(change.key().clone()),
        object: object(change),
        why: change.reason.clone(),
    }
}

/// One event for each change of a plan.
#[must_use]
pub fn of_plan(plan: &Plan, what: &str, now: u64) -> Vec<Event> {
    plan.changes().map(|change| of_change(change, what, now)).collect()
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
