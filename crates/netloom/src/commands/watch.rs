//! What the daemon does for one topology: wait for changes, put back, go back when not confirmed.

use super::{now, select, session};
use netloom_control::apply::{self, ApplyError};
use netloom_control::heal::{self, Event};
use netloom_control::realm::Realm;
use netloom_control::store::{Store, StoreError, Wait};
use netloom_kernel::events;
use netloom_wire::NodeName;
use std::collections::BTreeSet;
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

    /// Waits until something changed in one of the topologies, at most so long, and tells in which.
    pub fn wait(&mut self, topologies: &[String], most: Duration) -> BTreeSet<String> {
        let mut namespaces: BTreeSet<PathBuf> = BTreeSet::new();
        for topology in topologies {
            for node in select::nodes(self.realm, topology) {
                namespaces.insert(self.realm.netns_dir.join(format!("{topology}.{node}")));
            }
        }
        let mut changed = self.kernel.set(&namespaces);
        changed.extend(self.kernel.wait(most));
        if !changed.is_empty() {
            std::thread::sleep(SETTLE);
            changed.extend(self.kernel.wait(Duration::ZERO));
        }
        changed
            .iter()
            .filter_map(|path| {
                path.file_name()?.to_str()?.split_once('.').map(|(topology, _)| topology.to_owned())
            })
            .collect()
    }
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

/// Puts back what was changed by hand.
pub fn heal(realm: &Realm, topology: &str) {
    let Ok(name) = topology.parse::<NodeName>() else { return };
    let Some(store) = open(realm, &name) else { return };
    let Ok(machine) = session::machine(realm, &name) else { return };
    match heal::heal(&machine, &store, now()) {
        Ok(events) => events
            .iter()
            .for_each(|event| tracing::info!(%topology, object = event.object, why = event.why, "put back")),
        Err(error) => tracing::warn!(%topology, %error, "putting back failed"),
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
