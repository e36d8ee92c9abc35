//! One client's connection.

use crate::sockets::{Heard, Stream};
use netloom_proto::ovsdb::Json;
use netloom_proto::ovsdb::json::{SplitError, Splitter};
use netloom_proto::ovsdb::server::{Chunk, SessionId};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

/// The longest message.
pub(super) const MESSAGE: usize = 32 << 20;
/// Who has so many octets to be read by it is not read from.
const BACKLOG: usize = 1 << 20;
/// Pieces of one write.
const PIECES: usize = 64;

/// How long a client is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liveness {
    /// It said something at this time.
    Heard(u64),
    /// It was asked at this time whether it is there.
    Asked(u64),
}

/// What is to be done about a silent client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Nothing,
    Ask,
    HangUp,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) session: SessionId,
    splitter: Splitter,
    queue: VecDeque<Chunk>,
    /// Octets of the first piece that were sent.
    sent: usize,
    queued: usize,
    pub(super) liveness: Liveness,
    pub(super) probe_interval: u64,
    /// What the poller was told to look for.
    pub(super) looks_for_write: bool,
    pub(super) looks_for_read: bool,
    /// Not established yet.
    pub(super) connecting: bool,
}

impl Connection {
    pub(super) const fn new(stream: Stream, session: SessionId, probe_interval: u64, now: u64) -> Self {
        Self {
            stream,
            session,
            splitter: Splitter::new(MESSAGE),
            queue: VecDeque::new(),
            sent: 0,
            queued: 0,
            liveness: Liveness::Heard(now),
            probe_interval,
            looks_for_write: false,
            looks_for_read: true,
            connecting: false,
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, now: u64) -> io::Result<Heard> {
        self.stream.read(|octets| {
            self.liveness = Liveness::Heard(now);
            self.splitter.feed(octets);
        })
    }

    /// The next message that was read.
    pub(super) fn next_message(&mut self) -> Result<Option<Json>, SplitError> {
        self.splitter.next_message()
    }

    /// Octets that were read and are no whole message yet.
    pub(super) const fn waiting(&self) -> usize {
        self.splitter.waiting()
    }

    /// Adds what is to be sent.
    pub(super) fn push(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            self.queued += chunk.text().len();
            self.queue.push_back(chunk);
        }
    }

    /// Whether everything was sent.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the client has to read first.
    pub(super) const fn is_full(&self) -> bool {
        self.queued > BACKLOG
    }

    /// Sends what can be sent now.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            let mut skip = self.sent;
            let pieces = self.queue.iter().take(PIECES).map(|chunk| {
                let octets = chunk.text().as_bytes();
                IoSlice::new(octets.get(std::mem::take(&mut skip)..).unwrap_or_default())
            });
            let pieces: Vec<IoSlice<'_>> = pieces.collect();
            match self.stream.send(&pieces)? {
                0 => return Ok(()),
                count => self.mark_sent(count),
            }
        }
        self.stream.flush()
    }

    /// Whether something waits until the client has read.
    pub(super) fn wants_write(&self) -> bool {
        !self.queue.is_empty() || self.stream.wants_write()
    }

    fn mark_sent(&mut self, mut count: usize) {
        self.queued -= count;
        count += std::mem::take(&mut self.sent);
        while let Some(first) = self.queue.front() {
            let length = first.text().len();
            if count < length {
                self.sent = count;
                return;
            }
            count -= length;
            self.queue.pop_front();
        }
    }

    /// What is to be done about its silence.
    pub(super) fn probe(&self, now: u64) -> Probe {
        match self.liveness {
            _ if self.probe_interval == 0 => Probe::Nothing,
            Liveness::Heard(at) if now >= at + self.probe_interval => Probe::Ask,
            Liveness::Asked(at) if now >= at + self.probe_interval => Probe::HangUp,
            _ => Probe::Nothing,
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
