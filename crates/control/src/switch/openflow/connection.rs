//! One connection: octets of a socket around a session, and what the peer has begun.
//!
//! Invariants: what a peer can make grow is bounded: octets that were read and not taken by the session (64 KiB), what the
//! session holds, bundles, monitors, one answer at a time that is written in parts, and packets that wait.

use super::requests::bundles::Bundles;
use super::requests::flows::Dump;
use super::requests::monitors::Monitors;
use super::throttle::Throttle;
use crate::sockets::{Heard, Stream};
use netloom_proto::openflow::message::Message;
use netloom_proto::openflow::session::{Asynchronous, Session};
use netloom_proto::openflow::{Action, OfError};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It came by, or was made to, this target.
    Target(String),
    /// It hears what another is told and says.
    Snoop,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) token: u64,
    pub(super) bridge: String,
    pub(super) purpose: Purpose,
    /// A tool.
    pub(super) service: bool,
    pub(super) session: Session,
    /// Octets that were read and that the session has no room for.
    waiting: Vec<u8>,
    /// Not established yet.
    pub(super) connecting: bool,
    pub(super) since: Duration,
    /// What the poller was told to look for: reading, writing.
    pub(super) interest: (bool, bool),
    pub(super) bundles: Bundles,
    pub(super) monitors: Monitors,
    /// The answer that is being written in parts.
    pub(super) dump: Option<Box<Dump>>,
    pub(super) throttle: Throttle,
    /// What the flow did that was told last: the next one mostly does the same.
    pub(super) actions: Option<Arc<[Action]>>,
    /// The peer said something that only one says that has taken us.
    pub(super) admitted: bool,
    /// It gets packets that no flow wants, since it speaks an old version.
    pub(super) asks: bool,
}

impl Connection {
    pub(super) fn new(
        (token, stream): (u64, Stream),
        (bridge, purpose): (&str, Purpose),
        session: Session,
        throttle: Throttle,
        now: Duration,
    ) -> Self {
        Self {
            stream,
            token,
            bridge: bridge.to_owned(),
            purpose,
            service: false,
            session,
            waiting: Vec::new(),
            connecting: false,
            since: now,
            interest: (true, false),
            bundles: Bundles::default(),
            monitors: Monitors::default(),
            dump: None,
            throttle,
            actions: None,
            admitted: false,
            asks: false,
        }
    }

    /// What a change of the message with this number is known by, for monitors.
    pub(super) fn origin(&self, xid: u32) -> u64 {
        self.token << 32 | u64::from(xid)
    }

    /// Gives the session what it has room for. The answer is whether it took all.
    pub(super) fn feed(&mut self, now: Duration) -> bool {
        if !self.waiting.is_empty() {
            let count = self.session.receive(now, &self.waiting);
            self.waiting.drain(..count);
        }
        self.waiting.is_empty()
    }

    /// Whether the session has taken all that was read.
    pub(super) const fn is_drained(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the peer may say more: all that it said was taken.
    pub(super) fn may_read(&self) -> bool {
        self.waiting.is_empty() && self.dump.is_none() && !self.session.is_congested()
    }

    /// Reads once.
    pub(super) fn read(&mut self, now: Duration) -> io::Result<Heard> {
        self.stream.read(|octets| {
            let taken = self.session.receive(now, octets);
            self.waiting.extend_from_slice(octets.get(taken..).unwrap_or_default());
        })
    }

    /// Writes what can be written now.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while !self.session.outgoing().is_empty() {
            match self.stream.send(&[IoSlice::new(self.session.outgoing())])? {
                0 => return Ok(()),
                count => self.session.sent(count),
            }
        }
        self.stream.flush()
    }

    /// Whether something waits until the peer has read.
    pub(super) fn wants_write(&self) -> bool {
        !self.session.outgoing().is_empty() || self.stream.wants_write()
    }

    /// Answers a request.
    pub(super) fn reply(&mut self, xid: u32, message: &Message) -> Result<(), OfError> {
        self.session.send(xid, message).map_err(|error| {
            tracing::warn!(bridge = self.bridge, %error, "an answer can't be written");
            OfError::NXBRC_UNENCODABLE_ERROR
        })
    }

    /// Tells the peer what it did not ask for, if it wants that and reads fast enough.
    pub(super) fn tell(&mut self, about: Asynchronous, message: &Message) {
        if let Err(error) = self.session.tell(about, message) {
            tracing::debug!(bridge = self.bridge, %error, "a message can't be told");
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
