//! Remotes that a database names (`--remote=db:Open_vSwitch,Open_vSwitch,manager_options`), and their states in it.

use super::server::Core;
use crate::sockets::{Remote, RemoteOptions, RemoteStatus};
use netloom_proto::ovsdb::json::Object;
use netloom_proto::ovsdb::server::Now;
use netloom_proto::ovsdb::{Atom, Database, Json, Limits, Row, TableSchema, Uuid};
use std::collections::BTreeMap;
use std::io;

/// What a column says, as far as it was followed.
#[derive(Debug, Default)]
pub(super) struct Managed {
    /// The number of the commit that was looked at last.
    seen: Option<u64>,
    /// The remotes it names, by their texts.
    targets: BTreeMap<String, Target>,
    /// What was written about them.
    told: BTreeMap<Uuid, RemoteStatus>,
}

/// A remote of a column.
#[derive(Debug, Clone)]
struct Target {
    remote: Remote,
    options: RemoteOptions,
    /// The row that describes it: the table's name and the row.
    row: Option<(String, Uuid)>,
}

impl Core {
    /// What a remote names that is not there: a database, a table or a column.
    pub(super) fn missing(&self, remote: &Remote) -> Option<String> {
        let Remote::Column { database, table, column } = remote else { return None };
        let Some(known) = self.server.database(database) else {
            return Some(format!("no database named {database}"));
        };
        match known.table_named(table) {
            None => Some(format!("no table named {table}")),
            Some((known, _)) if known.column(column).is_none() => {
                Some(format!("table \"{table}\" has no column \"{column}\""))
            }
            Some(_) => None,
        }
    }

    /// Uses a remote that somebody asks for.
    pub(super) fn add_explicit(&mut self, text: &str, remote: Remote) -> io::Result<()> {
        if matches!(remote, Remote::Column { .. }) {
            self.managed.entry(text.to_owned()).or_default();
        } else {
            self.open_remote(text, &remote, remote.default_options())?;
        }
        self.explicit.insert(text.to_owned(), remote);
        let now = self.now();
        self.apply_columns(now);
        Ok(())
    }

    /// Uses a remote no more.
    pub(super) fn remove_explicit(&mut self, text: &str) -> bool {
        if self.explicit.remove(text).is_none() {
            return false;
        }
        if let Some(managed) = self.managed.remove(text) {
            for name in managed.targets.into_keys() {
                self.close_unused(&name);
            }
        } else {
            self.close_unused(text);
        }
        true
    }

    fn close_unused(&mut self, name: &str) {
        let asked = self.explicit.contains_key(name);
        let named = self.managed.values().any(|managed| managed.targets.contains_key(name));
        if !asked && !named {
            self.close_remote(name);
        }
    }

    /// Does what columns say, if they changed, and writes what became of it.
    pub(super) fn apply_columns(&mut self, now: Now) {
        let names: Vec<String> = self.managed.keys().cloned().collect();
        let states_changed = std::mem::take(&mut self.states_changed);
        for name in names {
            let Some(Remote::Column { database, table, column }) = self.explicit.get(&name).cloned() else {
                continue;
            };
            let sequence = self.server.database(&database).map(|database| database.history().sequence());
            let Some(mut managed) = self.managed.remove(&name) else {
                continue;
            };
            let changed = managed.seen != sequence;
            if changed {
                managed.seen = sequence;
                let targets =
                    self.server.database(&database).map(|database| targets(database, &table, &column));
                let old = std::mem::replace(&mut managed.targets, targets.unwrap_or_default());
                for (text, target) in &managed.targets {
                    if let Err(error) = self.open_remote(text, &target.remote, target.options) {
                        tracing::warn!(remote = text, %error, "a remote that the database names can't be used");
                    }
                }
                let new = managed.targets.clone();
                self.managed.insert(name.clone(), managed);
                for text in old.keys().filter(|text| !new.contains_key(*text)) {
                    self.close_unused(text);
                }
            } else {
                self.managed.insert(name.clone(), managed);
            }
            if changed || states_changed || self.states_changed {
                self.tell_states(&name, &database, now);
            }
        }
    }

    /// Writes what became of the remotes of a column into their rows.
    fn tell_states(&mut self, name: &str, database: &str, now: Now) {
        let Some(managed) = self.managed.get(name) else {
            return;
        };
        let mut told = BTreeMap::new();
        let mut operations = Vec::new();
        for (text, target) in &managed.targets {
            let (Some((table, row)), Some(status)) = (&target.row, self.remote_status(text)) else {
                continue;
            };
            if managed.told.get(row) != Some(&status) {
                let schema = self.server.database(database).and_then(|database| database.table_named(table));
                let known = |column: &str| schema.is_some_and(|(table, _)| table.column(column).is_some());
                operations.push(state(table, *row, &target.remote, &status, &known));
            }
            told.insert(*row, status);
        }
        if let Some(managed) = self.managed.get_mut(name) {
            managed.told = told;
        }
        if !operations.is_empty()
            && let Err(error) = self.server.transact_here(database, &operations, now)
        {
            tracing::debug!(%error, "the states of remotes can't be written");
        }
        // What was just written says nothing new.
        let sequence = self.server.database(database).map(|database| database.history().sequence());
        if let Some(managed) = self.managed.get_mut(name).filter(|_| !operations.is_empty()) {
            managed.seen = sequence;
        }
    }
}

/// The operation that writes a remote's state.
fn state(
    table: &str,
    uuid: Uuid,
    remote: &Remote,
    status: &RemoteStatus,
    known: &dyn Fn(&str) -> bool,
) -> Json {
    let mut pairs = Vec::new();
    let mut pair =
        |key: &str, value: &str| pairs.push(Json::Array(vec![Json::string(key), Json::string(value)]));
    if let Some(port) = status.bound_port {
        pair("bound_port", &port.to_string());
    }
    if let Some(error) = &status.error {
        pair("last_error", error);
    }
    if remote.listens() {
        if status.connections > 1 {
            pair("n_connections", &status.connections.to_string());
        }
    } else {
        pair("state", if status.is_connected { "ACTIVE" } else { "BACKOFF" });
    }
    let mut row = Object::default();
    let columns = [
        ("is_connected", Json::Bool(status.is_connected)),
        ("status", Json::Array(vec![Json::string("map"), Json::Array(pairs)])),
    ];
    for (column, value) in columns.into_iter().filter(|(column, _)| known(column)) {
        row.insert(column, value);
    }
    let row = Json::Object(row);
    let row_uuid = Json::Array(vec![Json::string("_uuid"), Json::string("=="), Atom::Uuid(uuid).to_json()]);
    Json::object([
        ("op", Json::string("update")),
        ("table", Json::string(table)),
        ("where", Json::Array(vec![row_uuid])),
        ("row", row),
    ])
}

/// The remotes a column names: texts, or rows of a table with a column `target`.
fn targets(database: &Database, table: &str, column: &str) -> BTreeMap<String, Target> {
    let mut found = BTreeMap::new();
    let Some((schema, rows)) = database.table_named(table) else {
        return found;
    };
    let Some((place, described)) = schema.column(column).and_then(|at| Some((at, schema.columns.get(at)?)))
    else {
        return found;
    };
    let referred = match &described.ty.key.limits {
        Limits::Uuid(Some(reference)) => Some(&reference.table),
        _ => None,
    };
    let mut add = |text: &str, change: &dyn Fn(&mut Target)| match text.parse::<Remote>() {
        Ok(Remote::Column { .. }) => {}
        Ok(remote) => {
            let options = remote.default_options();
            let mut target = Target { remote, options, row: None };
            change(&mut target);
            found.insert(text.to_owned(), target);
        }
        Err(error) => tracing::warn!(%error, "a remote that the database names is refused"),
    };
    for row in rows.rows() {
        for atom in row.field(place).keys() {
            match (atom, referred) {
                (Atom::String(text), _) => add(text, &|_| {}),
                (Atom::Uuid(uuid), Some(name)) => {
                    let Some((described, rows)) = database.table_named(name) else {
                        continue;
                    };
                    let Some(row) = rows.get(*uuid) else {
                        continue;
                    };
                    let text = described.column("target").and_then(|at| row.text(at)).unwrap_or_default();
                    add(text, &|target| {
                        target.row = described.column("is_connected").map(|_| (name.to_string(), *uuid));
                        read_options(described, row, &mut target.options);
                    });
                }
                _ => {}
            }
        }
    }
    found
}

/// Reads what a row says about how its remote is treated.
fn read_options(schema: &TableSchema, row: &Row, options: &mut RemoteOptions) {
    let field = |name| schema.column(name).map(|at| row.field(at)).and_then(|field| field.one().cloned());
    let number =
        |name| field(name).and_then(|atom| atom.as_integer()).and_then(|number| u64::try_from(number).ok());
    if let Some(interval) = number("inactivity_probe") {
        options.probe_interval = interval;
    }
    if let Some(backoff) = number("max_backoff") {
        options.max_backoff = backoff;
    }
    if let Some(read_only) = field("read_only").and_then(|atom| atom.as_bool()) {
        options.read_only = read_only;
    }
}
