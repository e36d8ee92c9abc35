//! The standalone file of a database.
//!
//! Invariants: what was acknowledged is whole in the file; what was not written to its end is cut off when the file is
//! opened. Putting the file in order makes a new one beside it, has it on the disk, and then gives it the old one's name.

use super::lock::FileLock;
use netloom_proto::ovsdb::log::{Reader, frame};
use netloom_proto::ovsdb::server::Storage;
use netloom_proto::ovsdb::{Database, OvsdbError, Schema, UuidSource, record};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file is put in order when it has grown by this much, and to several times its length.
const GROWTH: u64 = 10 << 20;
const TIMES: u64 = 4;

/// Why a file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("I/O error: {path}: {what} failed ({source})")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another process serves it.
    #[error("I/O error: {path}: failed to lock lockfile ({source})")]
    Locked {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has no schema that can be read.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// An open file.
#[derive(Debug)]
pub struct DatabaseFile {
    path: PathBuf,
    file: File,
    _lock: FileLock,
    /// Where the last whole record ends.
    end: u64,
    /// How long it was when it was in order.
    base: u64,
    /// The file holds something after `end` that could not be taken back.
    broken: bool,
    unsynced: bool,
}

impl DatabaseFile {
    /// Makes a file with an empty database.
    ///
    /// # Errors
    /// When it is there already, or can't be written.
    pub fn create(path: &Path, schema: &Schema) -> Result<(), FileError> {
        let fail = |what| move |source| FileError::Io { path: path.to_owned(), what, source };
        let _lock =
            FileLock::take(path).map_err(|source| FileError::Locked { path: path.to_owned(), source })?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o640).open(path).map_err(fail("create"))?;
        let text = frame(&schema.to_json().text());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail("write"))
    }

    /// Opens a file and reads its database. What follows the last record that makes sense is cut off, and said.
    ///
    /// # Errors
    /// When it can't be opened, another process has it, or it has no schema.
    pub fn open(path: &Path, uuids: &mut UuidSource) -> Result<(Database, Self), FileError> {
        let fail = |what| move |source| FileError::Io { path: path.to_owned(), what, source };
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(fail("open"))?;
        let lock =
            FileLock::take(path).map_err(|source| FileError::Locked { path: path.to_owned(), source })?;
        let mut octets = Vec::new();
        file.read_to_end(&mut octets).map_err(fail("read"))?;
        let unreadable = |why: String| FileError::Unreadable { path: path.to_owned(), why };
        let mut reader = Reader::new(&octets);
        let schema = match reader.next_record() {
            Ok(Some(schema)) => schema,
            Ok(None) => return Err(unreadable("unexpected end of file reading schema".to_owned())),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let schema = Schema::from_json(&schema).map_err(|error| unreadable(error.to_string()))?;
        let mut database = Database::new(Arc::new(schema));
        let mut records = 0_u64;
        let mut base = reader.end();
        loop {
            let fault = match reader.next_record() {
                Ok(None) => break,
                Ok(Some(json)) => database.replay(&json, false, uuids).err().map(|error| {
                    reader.unread();
                    error.to_string()
                }),
                Err(error) => Some(error.to_string()),
            };
            if let Some(fault) = fault {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                tracing::warn!(target: "ovsdb_file", "syntax error: {name}: {fault}");
                tracing::info!(target: "ovsdb_file", "{name} is cut off at offset {}", reader.end());
                break;
            }
            records += 1;
            if records == 1 {
                base = reader.end();
            }
            database.forget_history();
        }
        let end = reader.end();
        if end < octets.len() as u64 {
            file.set_len(end).and_then(|()| file.sync_data()).map_err(fail("truncate"))?;
        }
        file.seek(SeekFrom::Start(end)).map_err(fail("seek"))?;
        let path = path.canonicalize().map_err(fail("resolve"))?;
        let own = Self { path, file, _lock: lock, end, base, broken: false, unsynced: false };
        Ok((database, own))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn fail(&self, what: &str, error: &io::Error) -> OvsdbError {
        OvsdbError::io(format!("{}: {what} failed", self.path.display()), error.to_string())
    }

    /// Takes back what was not written to its end.
    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }
}

impl Storage for DatabaseFile {
    fn append(&mut self, record: &str, durable: bool) -> Result<(), OvsdbError> {
        if self.broken {
            self.take_back().map_err(|error| self.fail("truncate", &error))?;
            self.broken = false;
        }
        let text = frame(record);
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.broken = self.take_back().is_err();
            return Err(self.fail("write", &error));
        }
        self.end += text.len() as u64;
        self.unsynced |= durable;
        Ok(())
    }

    fn replace(&mut self, schema: &str, snapshot: &str) -> Result<(), OvsdbError> {
        let mut name = self.path.clone().into_os_string();
        name.push(".tmp");
        let new_path = PathBuf::from(name);
        let write = || -> io::Result<(File, u64)> {
            match std::fs::remove_file(&new_path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file =
                OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&new_path)?;
            // Who may read the old one may read the new one.
            if let Ok(metadata) = self.file.metadata() {
                let _ = file.set_permissions(metadata.permissions());
            }
            let text = frame(schema) + &frame(snapshot);
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new_path, &self.path)?;
            if let Some(directory) = self.path.parent() {
                File::open(directory)?.sync_all()?;
            }
            Ok((file, text.len() as u64))
        };
        match write() {
            Ok((file, length)) => {
                self.file = file;
                (self.end, self.base) = (length, length);
                (self.broken, self.unsynced) = (false, false);
                Ok(())
            }
            Err(error) => {
                let _ = std::fs::remove_file(&new_path);
                Err(self.fail("rewrite", &error))
            }
        }
    }

    fn sync(&mut self) -> Result<(), OvsdbError> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data().map_err(|error| self.fail("fsync", &error))?;
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.end > self.base + GROWTH && self.end > self.base * TIMES
    }
}

/// Reads a file's database without locking or changing it.
///
/// # Errors
/// When it can't be read.
pub(super) fn read_only(path: &Path, uuids: &mut UuidSource) -> Result<Database, FileError> {
    let octets = std::fs::read(path).map_err(|source| FileError::Io {
        path: path.to_owned(),
        what: "open",
        source,
    })?;
    let unreadable = |why: String| FileError::Unreadable { path: path.to_owned(), why };
    let mut reader = Reader::new(&octets);
    let schema = reader.next_record().map_err(|error| unreadable(error.to_string()))?;
    let schema = schema.ok_or_else(|| unreadable("unexpected end of file reading schema".to_owned()))?;
    let schema = Schema::from_json(&schema).map_err(|error| unreadable(error.to_string()))?;
    let mut database = Database::new(Arc::new(schema));
    while let Ok(Some(json)) = reader.next_record() {
        database.replay(&json, false, uuids).map_err(|error| unreadable(error.to_string()))?;
        database.forget_history();
    }
    Ok(database)
}

impl DatabaseFile {
    /// Reads a file's database without locking or changing it, as it is now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn peek(path: &Path, uuids: &mut UuidSource) -> Result<Database, FileError> {
        read_only(path, uuids)
    }

    /// A file's records for a database that is in memory only, e.g. to be moved elsewhere.
    #[must_use]
    pub fn text_of(database: &Database, date: i64) -> String {
        frame(&database.schema().to_json().text()) + &frame(&record::snapshot(database, "", date))
    }
}
