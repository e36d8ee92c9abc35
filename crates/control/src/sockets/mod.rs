//! Sockets of the servers: where peers are, listening and connecting, and waiting for many at once.
//!
//! What: what the threads that serve databases and controllers have in common. Both are one loop around a poller.

mod remote;
mod socket;
mod stream;
mod tls;

pub use remote::{Remote, RemoteError, RemoteOptions, RemoteStatus};
pub(crate) use socket::{Listener, begin};
pub(crate) use stream::Stream;
pub use tls::KeyFiles;
pub(crate) use tls::Keyring;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::OwnedFd;
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
