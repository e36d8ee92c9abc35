//! How Open vSwitch's tools find a switch that was not started under their names (`netloom switchd --run DIR`).
//!
//! ```text
//! OVS_RUNDIR=DIR ovs-appctl ...                    DIR/ovs-vswitchd.pid -> DIR/ovs-vswitchd.PID.ctl
//! OVS_RUNDIR=DIR ovs-appctl -t ovsdb-server ...    DIR/ovsdb-server.pid -> DIR/ovsdb-server.PID.ctl <- DIR/db.ctl
//! ```
//!
//! Invariants: what a successor put in the place of a file is not taken away. What can't be made is a line in the log: the
//! switch does without.

use super::daemon::PidFile;
use netloom_control::ovsdb::{DatabaseControl, DatabaseHandle};
use netloom_control::unixctl::remove_stale;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The programs that this one stands for.
const PROGRAMS: [&str; 2] = ["ovs-vswitchd", "ovsdb-server"];

/// The socket of a program in a directory, for this process.
pub fn socket(directory: &Path, program: &str) -> PathBuf {
    directory.join(format!("{program}.{}.ctl", std::process::id()))
}

/// Files that are there as long as this is.
#[derive(Debug, Default)]
pub struct Found {
    alias: Option<Alias>,
    database: Option<DatabaseControl>,
    pids: Vec<PidFile>,
}

impl Found {
    /// Makes them; `database` is the database that this process serves.
    pub fn within(directory: &Path, database: Option<DatabaseHandle>) -> Self {
        let complain = |what: &Path, error: &dyn std::fmt::Display| {
            tracing::warn!("ovs-appctl may not find the switch: {}: {error}", what.display());
        };
        let mut found = Self::default();
        for program in PROGRAMS.into_iter().take(if database.is_some() { 2 } else { 1 }) {
            let path = directory.join(format!("{program}.pid"));
            match PidFile::make(&path, true) {
                Ok(file) => found.pids.push(file),
                Err(error) => complain(&path, &error),
            }
        }
        let Some(handle) = database else { return found };
        remove_stale(directory, "ovsdb-server");
        let path = socket(directory, "ovsdb-server");
        match DatabaseControl::start(&path, handle, crate::log::current()) {
            Ok(control) => found.database = Some(control),
            Err(error) => complain(&path, &error),
        }
        let alias = directory.join("db.ctl");
        match Alias::make(&alias, &path) {
            Ok(made) => found.alias = Some(made),
            Err(error) => complain(&alias, &error),
        }
        found
    }
}

/// Another name of a file.
#[derive(Debug)]
struct Alias {
    path: PathBuf,
    target: PathBuf,
}

impl Alias {
    /// Puts it in the place of whatever has that name, at once.
    fn make(path: &Path, target: &Path) -> io::Result<Self> {
        // Beside each other they stay together when the directory is moved.
        let target = PathBuf::from(target.file_name().unwrap_or_default());
        let beside = path.with_extension(format!("ctl.tmp{}", std::process::id()));
        let made = symlink(&target, &beside).and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = made {
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
        Ok(Self { path: path.to_owned(), target })
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        if std::fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
