//! The control socket of a database server that is not a program of its own: `ovs-appctl -t ovsdb-server` where a switch serves
//! its database itself.
//!
//! What: [`DatabaseControl`] is the socket with the [commands](super::commands), on a thread of its own, until it is dropped.
//! Absent: `exit`, which would take the database from the switch, and commands of replication.

use super::{DatabaseHandle, commands};
use crate::unixctl::coverage::Coverage;
use crate::unixctl::standard::{self, Standard};
use crate::unixctl::vlog::Log;
use crate::unixctl::{Commands, Unixctl};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to wait at most; the thread is woken at the end.
const LOOK: Duration = Duration::from_secs(3600);
/// How long the last answers may take.
const LAST: Duration = Duration::from_millis(100);

/// A control socket and its thread.
#[derive(Debug)]
pub struct DatabaseControl {
    ended: Arc<AtomicBool>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl DatabaseControl {
    /// Listens at `path`. `log` is what `vlog/...` changes.
    ///
    /// # Errors
    /// When the socket or the thread can't be made.
    pub fn start(path: &Path, mut handle: DatabaseHandle, log: Arc<Log>) -> io::Result<Self> {
        let mut unixctl = Unixctl::bind(path)?;
        let mut all: Commands<DatabaseHandle> = Commands::default();
        let coverage = Arc::new(Mutex::new(Coverage::new(Instant::now())));
        let own = Standard { program: "ovsdb-server".to_owned(), log, coverage };
        standard::add(&mut all, own, |_| BTreeMap::new(), commands::memory);
        commands::add_commands(&mut all);
        all.add("exit", "", 0, 0, |_, _| {
            Err("the switch serves this database: `ovs-appctl exit` ends both\n".to_owned())
        });
        let (ended, bell) = (Arc::new(AtomicBool::new(false)), unixctl.bell());
        let end = ended.clone();
        let thread = std::thread::Builder::new().name("ovsdb-control".to_owned()).spawn(move || {
            while !end.load(Ordering::Acquire) {
                for call in unixctl.wait(LOOK) {
                    all.carry_out(&mut handle, call);
                }
            }
            unixctl.finish(LAST);
        })?;
        Ok(Self { ended, bell, thread: Some(thread) })
    }
}

impl Drop for DatabaseControl {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A bell that can't be rung was rung often enough.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}
