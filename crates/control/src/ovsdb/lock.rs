//! One process has a file: `.NAME~.~lock~` beside it, as Open vSwitch names it.

use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A lock that lasts as long as this.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

/// Where the lock of a file is: beside what a symbolic link leads to.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.~lock~"))
}

impl FileLock {
    /// Takes the lock of a file.
    ///
    /// # Errors
    /// When another process has it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock_path(path))?;
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { _file: file })
    }
}
