//! Open ports on their way to another process: what it needs of each kind, and holding them still meanwhile.
//!
//! Absent: AF_XDP, packet sockets with rings and DPDK. Their memory is this process's own, so the next one opens them
//! anew.

use super::Given;
use netloom_control::switch::Passed;
use netloom_port::patch::Mailbox;
use netloom_port::vhost;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// What is held of an open port.
pub(super) enum Held {
    Vhost(Weak<vhost::Port>),
    /// The interface, whether it takes offloads, its queues.
    Tap(String, bool, Vec<Weak<OwnedFd>>),
    /// The interface's number, the socket.
    Packet(u32, Weak<OwnedFd>),
    Patch(Weak<Mailbox>),
    /// The file that is recorded to, and where the one that is replayed is.
    Pcap(Option<Weak<File>>, Option<Arc<AtomicU64>>),
}

fn told<T: serde::Serialize>(facts: T, files: Vec<OwnedFd>) -> Result<Option<Passed>, String> {
    let facts = serde_json::to_value(facts).map_err(|error| error.to_string())?;
    Ok(Some(Passed { facts, files }))
}

fn copy(descriptor: impl AsFd) -> Result<OwnedFd, String> {
    descriptor.as_fd().try_clone_to_owned().map_err(|error| format!("no descriptor is left: {error}"))
}

impl Held {
    /// Holds the port still; nothing for one that is closed.
    pub(super) fn pass(&self) -> Result<Option<Passed>, String> {
        match self {
            Self::Vhost(port) => {
                let Some(port) = port.upgrade() else { return Ok(None) };
                let passed = port.freeze().map_err(|error| error.to_string())?;
                told(passed.facts, passed.files)
            }
            Self::Tap(name, offloads, queues) => {
                let queues: Option<Vec<_>> = queues.iter().map(Weak::upgrade).collect();
                let Some(queues) = queues else { return Ok(None) };
                told((name, offloads), queues.iter().map(copy).collect::<Result<_, _>>()?)
            }
            Self::Packet(index, socket) => {
                let Some(socket) = socket.upgrade() else { return Ok(None) };
                told(index, vec![copy(socket)?])
            }
            Self::Patch(mailbox) => {
                let Some(mailbox) = mailbox.upgrade() else { return Ok(None) };
                told((), vec![in_memory(&mailbox.save()).map_err(|error| error.to_string())?])
            }
            Self::Pcap(file, place) => {
                let file = match file.as_ref().map(Weak::upgrade) {
                    None => None,
                    Some(None) => return Ok(None),
                    Some(file) => file,
                };
                let place = place.as_ref().map(|place| place.load(Ordering::Relaxed));
                told(place, file.map(copy).transpose()?.into_iter().collect())
            }
        }
    }

    /// Lets it go on; with `anew` another process may have used it meanwhile.
    pub(super) fn go_on(&self, anew: bool) {
        if let Self::Vhost(port) = self
            && let Some(port) = port.upgrade()
        {
            if anew { port.thaw_anew() } else { port.thaw() }
        }
    }
}

/// Octets as a file that has no name.
fn in_memory(octets: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("netloom-frames", MemfdFlags::CLOEXEC)?);
    file.write_all(octets)?;
    file.rewind()?;
    Ok(file.into())
}

/// What the facts say.
pub(super) fn facts<T: DeserializeOwned>(passed: &mut Passed) -> Result<T, String> {
    let facts = std::mem::take(&mut passed.facts);
    serde_json::from_value(facts).map_err(|error| format!("what is known of it is not understood: {error}"))
}

/// The next descriptor.
pub(super) fn next_file(passed: &mut Passed) -> Result<OwnedFd, String> {
    if passed.files.is_empty() {
        return Err("a descriptor is missing".to_owned());
    }
    Ok(passed.files.remove(0))
}

/// The octets of a file without a name.
pub(super) fn octets(mut passed: Passed) -> Result<Vec<u8>, String> {
    let (mut file, mut octets) = (File::from(next_file(&mut passed)?), Vec::new());
    file.read_to_end(&mut octets).map_err(|error| format!("its frames can't be read: {error}"))?;
    Ok(octets)
}

/// What a port of a machine was passed on as.
pub(super) fn vhost(mut passed: Passed) -> Result<vhost::Passed, String> {
    Ok(vhost::Passed { facts: facts(&mut passed)?, files: passed.files })
}

impl Given<'_> {
    /// `true` or `false`.
    pub(super) fn truth(&mut self, name: &'static str, otherwise: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(otherwise),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(format!("`{name}={other}`: true or false")),
        }
    }
}
