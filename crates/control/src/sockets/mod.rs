//! Sockets of the servers: where peers are, listening and connecting, and waiting for many at once.
//!
//! What: what the threads that serve databases and controllers have in common. Both are one loop around a poller.

mod remote;
mod socket;

pub use remote::{Remote, RemoteError, RemoteOptions, RemoteStatus};
pub(crate) use socket::{Listener, begin};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Octets that are read at once.
const READ: usize = 1 << 16;

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There may be more.
    Some,
    /// No more for now.
    Enough,
    /// The peer hung up.
    End,
}

/// Reads once, and gives what came to `take`; that is not called when nothing came.
pub(crate) fn read(stream: impl AsFd, take: impl FnOnce(&[u8])) -> io::Result<Heard> {
    let mut octets = [0; READ];
    match rustix::io::read(stream, &mut octets) {
        Ok(0) => Ok(Heard::End),
        Ok(count) => {
            take(octets.get(..count).unwrap_or_default());
            Ok(if count == READ { Heard::Some } else { Heard::Enough })
        }
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Heard::Enough),
        Err(error) => Err(error.into()),
    }
}

/// A time as the system's waiting calls have it.
pub(crate) fn timespec(patience: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    }
}

/// Waits until something happens, or for so long. What happened takes the place of what is in `events`, at most as many as there is
/// room for.
pub(crate) fn wait(poller: &OwnedFd, events: &mut Vec<epoll::Event>, patience: Duration) -> io::Result<()> {
    events.clear();
    match epoll::wait(poller, spare_capacity(events), Some(&timespec(patience))) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
