//! What the daemon does for one topology: wait for changes, put back, go back when not confirmed.

use super::{now, select, session};
use netloom_control::apply::{self, ApplyError};
use netloom_control::heal::{self, Event};
use netloom_control::realm::Realm;
use netloom_control::store::{Store, StoreError, Wait};
use netloom_kernel::events;
use netloom_wire::NodeName;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

/// Quiet time after a change before it is looked at: changes come in swarms.
const SETTLE: Duration = Duration::from_millis(150);

/// Waits for changes in the namespaces of topologies.
pub struct Watcher<'a> {
    realm: &'a Realm,
    kernel: events::Watcher,
}

impl<'a> Watcher<'a> {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(realm: &'a Realm) -> Self {
        Self { realm, kernel: events::Watcher::new() }
    }

    /// Waits until something changed in one of the topologies or `other` has an end, at most so long, and tells in which.
    pub fn wait(
        &mut self,
        topologies: &[String],
        other: Option<BorrowedFd<'_>>,
        most: Duration,
    ) -> BTreeSet<String> {
        let mut namespaces: BTreeSet<PathBuf> = BTreeSet::new();
        for topology in topologies {
            for node in select::nodes(self.realm, topology) {
                namespaces.insert(self.realm.netns_dir.join(format!("{topology}.{node}")));
            }
        }
        let mut changed = self.kernel.set(&namespaces);
        changed.extend(self.kernel.wait_or(other, most));
        if !changed.is_empty() {
            // Who waits for an end does not wait for swarms.
            match other {
                Some(other) if has_ended_within(other, SETTLE) => {}
                Some(_) => changed.extend(self.kernel.wait(Duration::ZERO)),
                None => {
                    std::thread::sleep(SETTLE);
                    changed.extend(self.kernel.wait(Duration::ZERO));
                }
            }
        }
        topologies_of(&changed)
    }
}

/// The topologies whose namespaces these are.
fn topologies_of(namespaces: &BTreeSet<PathBuf>) -> BTreeSet<String> {
    let topology = |path: &PathBuf| Some(path.file_name()?.to_str()?.split_once('.')?.0.to_owned());
    namespaces.iter().filter_map(topology).collect()
}

/// Whether the other side of a connection is gone.
pub fn has_ended(connection: BorrowedFd<'_>) -> bool {
    has_ended_within(connection, Duration::ZERO)
}

fn has_ended_within(connection: BorrowedFd<'_>, most: Duration) -> bool {
    let mut wait = [PollFd::from_borrowed_fd(connection, PollFlags::IN)];
    let most = Timespec::try_from(most).unwrap_or_default();
    rustix::event::poll(&mut wait, Some(&most)).is_ok_and(|ready| ready > 0)
}

/// The store of a topology, unless a command works on it.
fn open(realm: &Realm, topology: &NodeName) -> Option<Store> {
    match Store::open_existing(&realm.state_dir, topology, Wait::No) {
        Ok(store) => store,
        Err(StoreError::Busy(_)) => None,
        Err(error) => {
            tracing::warn!(%topology, %error, "the store can't be opened");
            None
        }
    }
}

/// Puts back what was changed by hand. False when it could not.
pub fn heal(realm: &Realm, topology: &str) -> bool {
    let Ok(name) = topology.parse::<NodeName>() else { return true };
    // A command works on it, and leaves it as it should be.
    let Some(store) = open(realm, &name) else { return true };
    let Ok(machine) = session::machine(realm, &name) else { return true };
    match heal::heal(&machine, &store, now()) {
        Ok(events) => {
            for event in events {
                tracing::info!(%topology, object = event.object, why = event.why, "put back");
            }
            true
        }
        Err(error) => {
            tracing::warn!(%topology, %error, "putting back failed");
            false
        }
    }
}

/// Goes back if a confirmation did not come in time.
pub fn expire(realm: &Realm, topology: &str) {
    let Ok(name) = topology.parse::<NodeName>() else { return };
    if !realm.state_dir.join(topology).join("pending.json").exists() {
        return;
    }
    let Some(store) = open(realm, &name) else { return };
    let Ok(machine) = session::machine(realm, &name) else { return };
    match apply::expire(&machine, store, now(), &|_| {}) {
        Ok(None) => {}
        Ok(Some(applied)) => note(realm, &name, &heal::of_plan(&applied.plan, "undone", now())),
        Err(error) => note_failure(realm, &name, &error),
    }
}

fn note_failure(realm: &Realm, name: &NodeName, error: &ApplyError) {
    tracing::warn!(topology = %name, %error, "going back failed");
    let event = Event {
        time: now(),
        what: "failed".to_owned(),
        key: None,
        object: "going back without confirmation".to_owned(),
        why: error.to_string(),
    };
    note(realm, name, &[event]);
}

fn note(realm: &Realm, name: &NodeName, events: &[Event]) {
    if let Some(store) = open(realm, name) {
        let _ = heal::append(&store, events);
    }
}
