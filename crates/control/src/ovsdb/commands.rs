//! The commands of a database server's control socket (`ovs-appctl -t ovsdb-server`), in the words of ovsdb-server(1).
//!
//! Deliberately absent: those of clusters. Those of replication are with it.

use super::handle::{AddError, DatabaseHandle};
use crate::unixctl::Commands;
use netloom_proto::ovsdb::OvsdbError;
use std::collections::BTreeMap;
use std::path::Path;

/// Adds the commands.
pub fn add_commands(commands: &mut Commands<DatabaseHandle>) {
    let first = |arguments: &[String]| arguments.first().cloned().unwrap_or_default();
    commands.add("ovsdb-server/add-remote", "REMOTE", 1, 1, move |handle, arguments| {
        handle.add_remote(&first(arguments)).map(|()| String::new()).map_err(|error| said(&error))
    });
    commands.add("ovsdb-server/remove-remote", "REMOTE", 1, 1, move |handle, arguments| {
        match handle.remove_remote(&first(arguments)) {
            Ok(true) => Ok(String::new()),
            Ok(false) => Err("no such remote".to_owned()),
            Err(gone) => Err(gone.to_string()),
        }
    });
    commands.add("ovsdb-server/list-remotes", "", 0, 0, |handle, _| {
        handle.remotes().map(|names| lines(&names)).map_err(|gone| gone.to_string())
    });
    commands.add("ovsdb-server/add-db", "DB", 1, 1, move |handle, arguments| {
        let added = handle.add_file(Path::new(&first(arguments)));
        added.map(|_| String::new()).map_err(|error| said(&error))
    });
    commands.add("ovsdb-server/remove-db", "DB", 1, 1, move |handle, arguments| {
        match handle.remove_database(&first(arguments)) {
            Ok(true) => Ok(String::new()),
            Ok(false) => Err("Failed to find the database.".to_owned()),
            Err(gone) => Err(gone.to_string()),
        }
    });
    commands.add("ovsdb-server/list-dbs", "", 0, 0, |handle, _| Ok(lines(&names(handle)?)));
    commands.add("ovsdb-server/compact", "[DB]", 0, 1, move |handle, arguments| {
        let chosen: Vec<String> = match arguments.first() {
            Some(name) => vec![name.clone()],
            None => names(handle)?.into_iter().filter(|name| !name.starts_with('_')).collect(),
        };
        for name in &chosen {
            if !names(handle)?.contains(name) {
                return Err(format!("{name}: not a valid database name"));
            }
            handle.compact(name).map_err(|error| error.to_string())?;
        }
        Ok(String::new())
    });
    commands.add("ovsdb-server/reconnect", "", 0, 0, |handle, _| {
        handle.reconnect().map(|()| String::new()).map_err(|gone| gone.to_string())
    });
    commands.add("ovsdb-server/disable-monitor-cond", "", 0, 0, |handle, _| {
        let done = handle.with(|server, _| server.use_plain_monitors());
        done.map(|()| String::new()).map_err(|gone| gone.to_string())
    });
    commands.add("ovsdb-server/get-db-storage-status", "DB", 1, 1, move |handle, arguments| {
        match names(handle)?.contains(&first(arguments)) {
            true => Ok("status: ok\n".to_owned()),
            false => Err("no such database".to_owned()),
        }
    });
}

/// What the server holds, for `memory/show`.
pub fn memory(handle: &mut DatabaseHandle) -> BTreeMap<String, u64> {
    let usage = handle.with(|server, _| server.usage()).unwrap_or_default();
    let kept = usage.into_iter().filter(|(_, count)| *count > 0);
    kept.map(|(name, count)| (name.to_owned(), u64::try_from(count).unwrap_or(u64::MAX))).collect()
}

fn names(handle: &DatabaseHandle) -> Result<Vec<String>, String> {
    handle
        .with(|server, _| server.names().map(str::to_owned).collect())
        .map_err(|gone| OvsdbError::from(gone).to_string())
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// An error without the number that the system gives it.
fn said(error: &AddError) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => text,
    }
}
