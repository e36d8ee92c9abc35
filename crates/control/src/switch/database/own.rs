//! The database that this process serves itself: `conf.db` of the daemon's directory, on its `db.sock`.

use super::{FILE, LOCK, NAME, Rows, SOCKET, failed};
use crate::ovsdb::{DatabaseFile, DatabaseHandle, KeySources, OvsdbServer};
use crate::switch::state::SwitchError;
use netloom_proto::ovsdb::server::Follower;
use netloom_proto::ovsdb::{Commit, Json, OPEN_VSWITCH, OvsdbError, Row, RowChange, Schema};
use rustix::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// The remotes that the database itself names.
const MANAGERS: &str = "db:Open_vSwitch,Open_vSwitch,manager_options";

/// The server, and what it says.
pub(super) struct Own {
    server: Option<OvsdbServer>,
    handle: DatabaseHandle,
    directory: PathBuf,
    /// What was committed is taken from here, in step with what is committed by ourselves.
    follower: Arc<Follower>,
    /// Tells that there is something.
    commits: Receiver<Arc<Commit>>,
}

impl Own {
    /// Serves the database of a directory, which is made if it is not there. `bell` is rung when somebody changed it.
    ///
    /// # Errors
    /// When the file can't be read or written, or another process has it.
    pub(super) fn open(
        directory: &Path,
        bell: Arc<OwnedFd>,
    ) -> Result<(Self, Arc<Schema>, Vec<Rows>), SwitchError> {
        let path = directory.join(FILE);
        let wrong = |error: &dyn std::fmt::Display| failed(&path, error);
        if !path.exists() {
            let schema = Schema::parse(OPEN_VSWITCH).map_err(|error| wrong(&error))?;
            DatabaseFile::create(&path, &schema).map_err(|error| wrong(&error))?;
        }
        let server = OvsdbServer::start().map_err(|error| wrong(&error))?;
        let handle = server.handle().clone();
        handle.add_file(&path).map_err(|error| wrong(&error))?;
        handle.set_keys(KeySources::of_open_vswitch()).map_err(|error| wrong(&error))?;
        let ring = move || {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes());
        };
        let follower = handle.with(|server, _| server.follow(NAME)).map_err(|error| wrong(&error))?;
        let followed = handle.follow(NAME, Box::new(ring)).map_err(|error| wrong(&error))?;
        let by_name = |rows: Vec<Arc<Row>>| rows.into_iter().map(|row| (row.uuid(), row)).collect();
        let own = Self {
            server: Some(server),
            handle,
            directory: directory.to_owned(),
            follower: Arc::new(follower),
            commits: followed.commits,
        };
        Ok((own, followed.schema, followed.tables.into_iter().map(by_name).collect()))
    }

    /// Lets clients in.
    pub(super) fn listen(&self) -> Result<(), SwitchError> {
        let socket = self.directory.join(SOCKET);
        let remote = format!("punix:{}", socket.display());
        self.handle.add_remote(&remote).map_err(|error| failed(&socket, error))?;
        // And those that the rows of Manager name.
        self.handle.add_remote(MANAGERS).map_err(|error| failed(&socket, error))
    }

    pub(super) fn handle(&self) -> DatabaseHandle {
        self.handle.clone()
    }

    /// Serves it no more: clients are cut off, and the file is free.
    pub(super) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Takes away what is left in the directory.
    pub(super) fn forget(&mut self) {
        self.stop();
        for name in [FILE, LOCK, SOCKET] {
            // What stays is an empty database.
            let _ = std::fs::remove_file(self.directory.join(name));
        }
    }

    /// Whether something was committed since this was asked last.
    pub(super) fn has_news(&self) -> bool {
        self.commits.try_iter().count() > 0
    }

    /// What was committed until now, by whomever.
    pub(super) fn changes(&self) -> Vec<RowChange> {
        let follower = self.follower.clone();
        // A server that has ended commits nothing.
        let commits = self.handle.with(move |server, _| server.take_commits(&follower)).unwrap_or_default();
        rows_of(commits)
    }

    /// Carries out operations, and gives what was committed until then, by whomever. What is `durable` is on the disk
    /// when this returns.
    pub(super) fn transact(
        &self,
        mut operations: Vec<Json>,
        durable: bool,
    ) -> Result<Vec<RowChange>, OvsdbError> {
        if durable {
            operations.push(Json::object([("op", Json::string("commit")), ("durable", Json::Bool(true))]));
        }
        let follower = self.follower.clone();
        let commits = self.handle.with(move |server, now| {
            server.transact_here(NAME, &operations, now)?;
            server.sync()?;
            Ok::<_, OvsdbError>(server.take_commits(&follower))
        })??;
        Ok(rows_of(commits))
    }
}

#[cfg(test)]
impl Own {
    /// Carries out operations as somebody else would, who does not take what comes of it.
    pub(super) fn write(&self, operations: Vec<Json>) -> Result<(), OvsdbError> {
        self.handle.transact(NAME, operations).map(drop)
    }
}

fn rows_of(commits: impl IntoIterator<Item = Arc<Commit>>) -> Vec<RowChange> {
    commits.into_iter().flat_map(|commit| commit.changes.clone()).collect()
}
