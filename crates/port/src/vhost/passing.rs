//! What one process passes on to another that goes on with a port: what was negotiated, and the descriptors.
//!
//! Invariants: the facts name descriptors by their place in a list that travels beside them. Whoever takes them checks
//! memory and rings as if the front end had just told of them.

use super::inflight::Inflight;
use super::log::DirtyLog;
use super::memory::{GuestMemory, RegionAddress};
use super::session::{Session, SessionError, VringAddresses};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a descriptor is in the list.
type Place = usize;

/// A port, held still, for another process.
#[derive(Debug)]
pub struct Passed {
    /// What is known.
    pub facts: Facts,
    /// The descriptors that the facts name by their places.
    pub files: Vec<OwnedFd>,
}

/// What is known of a port.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    listener: Option<Place>,
    session: Option<SessionFacts>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SessionFacts {
    socket: Place,
    features: u64,
    protocol: u64,
    status: u64,
    memory: Vec<(RegionAddress, Place)>,
    /// Octets, and where they begin.
    log: Option<(u64, u64, Place)>,
    inflight: Option<InflightFacts>,
    vrings: Vec<VringFacts>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct InflightFacts {
    file: Place,
    offset: u64,
    size: u64,
    queues: u16,
    queue_size: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct VringFacts {
    size: u16,
    position: u32,
    addresses: Option<VringAddresses>,
    started: bool,
    enabled: bool,
    kick: Option<Place>,
    call: Option<Place>,
    error: Option<Place>,
}

/// A listening socket, and a conversation with its socket.
type Unpacked = (Option<OwnedFd>, Option<(OwnedFd, Conversation)>);

/// A conversation that goes on.
pub(super) struct Conversation {
    facts: SessionFacts,
    files: Vec<Option<OwnedFd>>,
}

/// Descriptors that are collected, as copies.
#[derive(Default)]
struct Files(Vec<OwnedFd>);

impl Files {
    fn put(&mut self, file: &OwnedFd) -> io::Result<Place> {
        self.0.push(file.try_clone()?);
        Ok(self.0.len() - 1)
    }

    fn put_some(&mut self, file: Option<&OwnedFd>) -> io::Result<Option<Place>> {
        file.map(|file| self.put(file)).transpose()
    }
}

impl Passed {
    pub(super) fn pack(
        listener: Option<&OwnedFd>,
        session: Option<(&OwnedFd, &Session<'_>)>,
    ) -> io::Result<Self> {
        let mut files = Files::default();
        let listener = files.put_some(listener)?;
        let session = match session {
            Some((socket, session)) => Some(SessionFacts::of(socket, session, &mut files)?),
            None => None,
        };
        Ok(Self { facts: Facts { listener, session }, files: files.0 })
    }

    /// The listening socket, and the conversation with its socket.
    pub(super) fn unpack(self, pairs: usize) -> Result<Unpacked, String> {
        let mut files: Vec<Option<OwnedFd>> = self.files.into_iter().map(Some).collect();
        let listener = self.facts.listener.map(|place| take(&mut files, place)).transpose();
        let missing = |_| "a descriptor is missing".to_owned();
        let listener = listener.map_err(missing)?;
        let Some(facts) = self.facts.session else { return Ok((listener, None)) };
        if facts.vrings.len() != 2 * pairs {
            return Err(format!("{} rings for {pairs} pairs of queues", facts.vrings.len()));
        }
        let socket = take(&mut files, facts.socket).map_err(missing)?;
        Ok((listener, Some((socket, Conversation { facts, files }))))
    }
}

impl SessionFacts {
    fn of(socket: &OwnedFd, session: &Session<'_>, files: &mut Files) -> io::Result<Self> {
        let mut memory = Vec::new();
        for (address, file) in session.memory.files() {
            memory.push((address, files.put(file)?));
        }
        let log = session.log.as_deref().map(|log| Ok((log.size(), log.offset, files.put(&log.file)?)));
        let log = log.transpose().map_err(|error: io::Error| error)?;
        let inflight = session.inflight.as_deref().map(|inflight| {
            let Inflight { offset, queues, queue_size, .. } = *inflight;
            let file = files.put(&inflight.file)?;
            Ok(InflightFacts { file, offset, size: inflight.size(), queues, queue_size })
        });
        let inflight = inflight.transpose().map_err(|error: io::Error| error)?;
        let mut vrings = Vec::new();
        for vring in &session.vrings {
            vrings.push(VringFacts {
                size: vring.size,
                position: vring.position.load(Ordering::Acquire),
                addresses: vring.addresses,
                started: vring.started,
                enabled: vring.enabled,
                kick: files.put_some(vring.kick.as_ref())?,
                call: files.put_some(vring.call.as_deref())?,
                error: files.put_some(vring.error.as_deref())?,
            });
        }
        Ok(Self {
            socket: files.put(socket)?,
            features: session.features,
            protocol: session.protocol,
            status: session.status,
            memory,
            log,
            inflight,
            vrings,
        })
    }
}

fn take(files: &mut [Option<OwnedFd>], place: Place) -> Result<OwnedFd, rustix::io::Errno> {
    files.get_mut(place).and_then(Option::take).ok_or(rustix::io::Errno::BADF)
}

impl Conversation {
    /// Makes a new session what the old one was, and hands its rings to the workers.
    pub(super) fn put_into(self, session: &mut Session<'_>) -> Result<(), SessionError> {
        let Self { facts, mut files } = self;
        let mut file = |place| take(&mut files, place);
        (session.features, session.protocol, session.status) = (facts.features, facts.protocol, facts.status);
        let mut memory = GuestMemory::default();
        for (address, place) in facts.memory {
            memory.add(address, file(place)?)?;
        }
        session.memory = Arc::new(memory);
        if let Some((size, offset, place)) = facts.log {
            session.log = Some(Arc::new(DirtyLog::new(file(place)?, offset, size)?));
        }
        if let Some(InflightFacts { file: place, offset, size, queues, queue_size }) = facts.inflight {
            session.inflight = Some(Arc::new(Inflight::new(file(place)?, offset, size, queues, queue_size)?));
        }
        for (vring, facts) in session.vrings.iter_mut().zip(facts.vrings) {
            vring.size = facts.size;
            vring.position = Arc::new(AtomicU32::new(facts.position));
            vring.addresses = facts.addresses;
            (vring.started, vring.enabled) = (facts.started, facts.enabled);
            vring.kick = facts.kick.map(&mut file).transpose()?;
            vring.call = facts.call.map(&mut file).transpose()?.map(Arc::new);
            vring.error = facts.error.map(&mut file).transpose()?.map(Arc::new);
        }
        session.go_on()
    }
}
