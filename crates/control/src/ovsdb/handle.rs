//! How the rest of the process speaks to the database server.

use super::file::{DatabaseFile, FileError};
use super::keys::KeySources;
use super::server::Core;
use crate::sockets::{KeyFiles, Remote, RemoteError, RemoteStatus};
use netloom_proto::ovsdb::server::{Follower, Forgetful, Now, Server};
use netloom_proto::ovsdb::transaction::Transaction;
use netloom_proto::ovsdb::{Commit, Database, Json, OvsdbError, Row, Schema, UuidSource};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What the server's thread is told.
pub(super) enum Command {
    Work(Box<dyn FnOnce(&mut Core) + Send>),
    Stop,
}

/// Called by the server's thread after it sent commits: e.g. rings a bell.
pub type Wake = Box<dyn Fn() + Send>;

/// Who follows a database from within the process.
pub(super) struct Follow {
    pub(super) follower: Follower,
    pub(super) sender: Sender<Arc<Commit>>,
    pub(super) wake: Wake,
}

/// The server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database server has ended")]
pub struct Gone;

impl From<Gone> for OvsdbError {
    fn from(gone: Gone) -> Self {
        Self::new("internal error", gone.to_string())
    }
}

/// A database as it is now, and its commits from now on.
#[derive(Debug)]
pub struct Followed {
    /// Its schema.
    pub schema: Arc<Schema>,
    /// The rows of each table of the schema.
    pub tables: Vec<Vec<Arc<Row>>>,
    /// What is committed. It ends when the database is removed or has another schema: then it is to be followed anew.
    pub commits: Receiver<Arc<Commit>>,
}

/// Why a database or a remote can't be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The server has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of this name is served.
    #[error("ovsdb error: {0}: already open")]
    AlreadyOpen(String),
    /// The remote can't be understood.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The remote names what is not there.
    #[error("\"{remote}\": {why}")]
    Nothing {
        /// The remote.
        remote: String,
        /// What is not there.
        why: String,
    },
    /// The remote can't be used.
    #[error("{remote}: listen failed ({source})")]
    Listen {
        /// The remote.
        remote: String,
        /// Why.
        source: io::Error,
    },
}

/// Speaks to the server's thread. Copies speak to the same.
#[derive(Debug, Clone)]
pub struct DatabaseHandle {
    commands: Sender<Command>,
    bell: Arc<OwnedFd>,
}

impl DatabaseHandle {
    pub(super) const fn new(commands: Sender<Command>, bell: Arc<OwnedFd>) -> Self {
        Self { commands, bell }
    }

    fn send(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).map_err(|_| Gone)?;
        // A full counter rings as well.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        Ok(())
    }

    pub(super) fn stop(&self) {
        let _ = self.send(Command::Stop);
    }

    /// Has the server's thread do something and waits for it.
    pub(super) fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (sender, receiver) = channel();
        self.send(Command::Work(Box::new(move |core| {
            let _ = sender.send(work(core));
        })))?;
        receiver.recv().map_err(|_| Gone)
    }

    /// Has the server's thread do something with the machine, and waits for it. Clients wait meanwhile.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Server, Now) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        self.ask(|core| {
            let now = core.now();
            work(&mut core.server, now)
        })
    }

    /// Carries out operations on a database, commits them, and waits for it. They are durable when this returns if one of
    /// them asks for it.
    ///
    /// # Errors
    /// Those of the operations and of the commit.
    pub fn transact(&self, database: &str, operations: Vec<Json>) -> Result<Vec<Json>, OvsdbError> {
        let database = database.to_owned();
        self.with(move |server, now| {
            let results = server.transact_here(&database, &operations, now)?;
            server.sync()?;
            Ok(results)
        })?
    }

    /// Changes a database without the detour over operations, commits that, and waits for it.
    ///
    /// # Errors
    /// Those of [`Server::change_here`].
    pub fn change(
        &self,
        database: &str,
        change: impl FnOnce(&mut Transaction<'_>, &mut UuidSource) + Send + 'static,
    ) -> Result<(), OvsdbError> {
        let database = database.to_owned();
        self.with(move |server, now| server.change_here(&database, now, change))?
    }

    /// A database as it is now and its commits from now on; `wake` is called when there are some.
    ///
    /// # Errors
    /// When no database has this name.
    pub fn follow(&self, database: &str, wake: Wake) -> Result<Followed, OvsdbError> {
        let name = database.to_owned();
        self.ask(move |core| {
            let Some(database) = core.server.database(&name) else {
                return Err(OvsdbError::new("unknown database", format!("no database named {name}")));
            };
            let schema = database.schema().clone();
            let rows = |at| database.table(at).into_iter().flat_map(|table| table.rows()).cloned().collect();
            let tables = (0..schema.tables.len()).map(rows).collect();
            let (sender, commits) = channel();
            let follower = core.server.follow(&name);
            core.followers.push(Follow { follower, sender, wake });
            Ok(Followed { schema, tables, commits })
        })?
    }

    /// Serves the database of a file. Gives its name.
    ///
    /// # Errors
    /// When the file can't be used, or one of the same name is served.
    pub fn add_file(&self, path: &Path) -> Result<String, AddError> {
        let path = PathBuf::from(path);
        self.ask(move |core| {
            let (database, file) = DatabaseFile::open(&path, &mut core.uuids)?;
            let name = database.name().to_owned();
            let added = core.server.add_database(database, Box::new(file));
            if added.is_ok() {
                core.files.insert(name.clone(), path.clone());
            }
            added.map(|()| name).map_err(|_| AddError::AlreadyOpen(path.display().to_string()))
        })?
    }

    /// Serves a database that is in memory only.
    ///
    /// # Errors
    /// When one of the same name is served.
    pub fn add_memory(&self, schema: Arc<Schema>) -> Result<(), AddError> {
        let name = schema.name.to_string();
        self.ask(move |core| {
            let added = core.server.add_database(Database::new(schema), Box::new(Forgetful));
            added.map_err(|_| AddError::AlreadyOpen(name))
        })?
    }

    /// Serves a database no more; false if it was not served.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn remove_database(&self, name: &str) -> Result<bool, Gone> {
        let name = name.to_owned();
        self.ask(move |core| {
            core.files.remove(&name);
            core.server.remove_database(&name).is_some()
        })
    }

    /// The files of the databases that are served.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn files(&self) -> Result<Vec<PathBuf>, Gone> {
        self.ask(|core| core.files.values().cloned().collect())
    }

    /// Sets where sockets are that remotes from now on name by relative paths: without this, where the process is.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn set_directory(&self, directory: &Path) -> Result<(), Gone> {
        let directory = directory.to_owned();
        self.ask(move |core| core.directory = directory)
    }

    /// Has TLS use these keys.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn set_keys(&self, keys: KeySources) -> Result<(), Gone> {
        self.ask(move |core| core.keys = keys)
    }

    /// The keys that TLS uses now; none when they are not said, or the server has ended.
    #[must_use]
    pub fn key_files(&self) -> Option<KeyFiles> {
        self.ask(|core| core.key_files()).ok().flatten()
    }

    /// Uses a remote.
    ///
    /// # Errors
    /// When it can't be understood or used.
    pub fn add_remote(&self, text: &str) -> Result<(), AddError> {
        let remote: Remote = text.parse()?;
        let text = text.to_owned();
        self.ask(move |core| {
            if let Some(why) = core.missing(&remote) {
                return Err(AddError::Nothing { remote: text, why });
            }
            core.add_explicit(&text, remote).map_err(|source| AddError::Listen { remote: text, source })
        })?
    }

    /// Uses a remote no more; false if it was not [added](DatabaseHandle::add_remote).
    ///
    /// # Errors
    /// When the server has ended.
    pub fn remove_remote(&self, text: &str) -> Result<bool, Gone> {
        let text = text.to_owned();
        self.ask(move |core| core.remove_explicit(&text))
    }

    /// The remotes that were [added](DatabaseHandle::add_remote).
    ///
    /// # Errors
    /// When the server has ended.
    pub fn remotes(&self) -> Result<Vec<String>, Gone> {
        self.ask(|core| core.explicit.keys().cloned().collect())
    }

    /// What became of the remotes, those from columns included.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn remote_statuses(&self) -> Result<Vec<(String, RemoteStatus)>, Gone> {
        self.ask(|core| {
            let names = core.remotes.keys();
            names.filter_map(|name| Some((name.clone(), core.remote_status(name)?))).collect()
        })
    }

    /// Disconnects all clients; most come back.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn reconnect(&self) -> Result<(), Gone> {
        self.ask(|core| core.server.disconnect(true))
    }

    /// Sets whether clients may change anything.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn set_read_only(&self, read_only: bool) -> Result<(), Gone> {
        self.ask(move |core| core.set_read_only(read_only))
    }

    /// Puts the file of a database in order.
    ///
    /// # Errors
    /// When no database has this name, or its file can't be written.
    pub fn compact(&self, database: &str) -> Result<(), OvsdbError> {
        let database = database.to_owned();
        self.with(move |server, now| server.compact(&database, now))?
    }

    /// How many clients there are.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn connections(&self) -> Result<usize, Gone> {
        self.ask(|core| core.connection_count())
    }
}
