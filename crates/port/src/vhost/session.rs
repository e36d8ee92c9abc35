//! One conversation with a front end: what was negotiated, and the rings that follow from it.
//!
//! What: a machine over messages. Whatever changes a ring (addresses, memory, features, descriptors, enabling) ends in
//! [`Session::apply`], which publishes the new setup to the worker or takes the ring away.
//!
//! Invariants:
//! - A ring is handed to a worker only when everything about it is known and lies in the guest's memory.
//! - `GET_VRING_BASE`, a new memory table and the end of the session return only when no worker uses the old ring.
//! - A message that makes no sense is refused: with a non-zero answer where the front end asked for one, otherwise by
//!   giving the conversation up.
//!
//! Deliberately absent: the back end's channel to the front end, IOTLB, post-copy migration, in-band kicks.

use super::features::{LOG_ALL, PROTOCOL_FEATURES, RING_PACKED, has, protocol};
use super::handover::{Addresses, Exchange, Parts, Setup};
use super::inflight::{Inflight, region_size};
use super::log::DirtyLog;
use super::memory::{GuestMemory, MemoryError, REGIONS, RegionAddress};
use super::protocol::{Connection, Message, ProtocolError, Request};
use super::{packed, split};
use rustix::fs::{
    MemfdFlags, OFlags, SealFlags, fcntl_add_seals, fcntl_getfl, fcntl_setfl, ftruncate, memfd_create,
};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a worker may take to let go of a ring: it is a batch, so more than this means that it is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest ring (virtio 1.3, 2.7 and 2.8).
const LARGEST: u32 = 32_768;
/// In the number of a vring's file message: there is none.
const NO_FILE: u64 = 1 << 8;
/// In the flags of a vring's addresses: log writes to the used ring.
const LOG_RING: u32 = 1;

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The socket or the framing.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The guest's memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A message that makes no sense now.
    #[error("the front end's message {number} is refused: {reason}")]
    Refused {
        /// Number of the request.
        number: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The worker did not let go of a ring.
    #[error("a worker still uses ring {0} after five seconds")]
    Stuck(usize),
    /// A system call failed.
    #[error("preparing a ring: {0}")]
    System(#[from] rustix::io::Errno),
}

/// What a ring is told by the front end.
#[derive(Debug, Default)]
pub(super) struct Vring {
    pub(super) size: u16,
    pub(super) position: Arc<AtomicU32>,
    pub(super) addresses: Option<VringAddresses>,
    /// Set when the front end said how it kicks, be it not at all.
    pub(super) started: bool,
    pub(super) kick: Option<OwnedFd>,
    pub(super) call: Option<Arc<OwnedFd>>,
    pub(super) error: Option<Arc<OwnedFd>>,
    pub(super) enabled: bool,
    /// A setup is published.
    live: bool,
}

#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct VringAddresses {
    flags: u32,
    descriptors: u64,
    used: u64,
    available: u64,
    log: u64,
}

/// An answer: a body, perhaps with a file.
type Answer = (Vec<u8>, Option<OwnedFd>);

/// The machine.
pub(super) struct Session<'a> {
    offered: u64,
    pub(super) features: u64,
    pub(super) protocol: u64,
    pub(super) status: u64,
    pub(super) memory: Arc<GuestMemory>,
    pub(super) log: Option<Arc<DirtyLog>>,
    pub(super) inflight: Option<Arc<Inflight>>,
    pub(super) vrings: Vec<Vring>,
    exchanges: &'a [Arc<Exchange>],
}

impl<'a> Session<'a> {
    /// A new conversation about these rings (receive and transmit ring of each pair in turn).
    pub(super) fn new(offered: u64, exchanges: &'a [Arc<Exchange>]) -> Self {
        Self {
            offered,
            features: 0,
            protocol: 0,
            status: 0,
            memory: Arc::default(),
            log: None,
            inflight: None,
            vrings: exchanges.iter().map(|_| Vring::default()).collect(),
            exchanges,
        }
    }

    /// Negotiated virtio features.
    pub(super) const fn features(&self) -> u64 {
        self.features
    }

    /// Octets of guest memory.
    pub(super) fn memory_size(&self) -> u64 {
        self.memory.size()
    }

    /// Which rings are handed to workers.
    pub(super) fn live(&self) -> Vec<bool> {
        self.vrings.iter().map(|vring| vring.live).collect()
    }

    /// Deals with a message and answers it.
    pub(super) fn handle(
        &mut self,
        connection: &Connection<'_>,
        mut message: Message,
    ) -> Result<(), SessionError> {
        let number = message.number;
        let acknowledge = message.needs_reply && has(self.protocol, protocol::REPLY_ACK);
        let result = match message.request() {
            Some(request) => self.perform(request, &mut message),
            None => Err(SessionError::Refused { number, reason: "it is unknown" }),
        };
        match result {
            Ok(Some((body, file))) => connection.reply(number, &body, file.as_ref())?,
            Ok(None) if acknowledge => connection.reply(number, &0_u64.to_ne_bytes(), None)?,
            Ok(None) => {}
            Err(SessionError::Refused { .. } | SessionError::Memory(_)) if acknowledge => {
                connection.reply(number, &1_u64.to_ne_bytes(), None)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes all rings away.
    pub(super) fn end(&mut self) {
        for index in 0..self.vrings.len() {
            // A worker that is stuck keeps its setup, and with it the memory.
            let _ = self.stop(index);
            if let Some(vring) = self.vrings.get_mut(index)
                && let (Some(kick), Some(exchange)) = (vring.kick.take(), self.exchanges.get(index))
            {
                exchange.unwatch(&kick);
            }
        }
    }

    fn perform(&mut self, request: Request, message: &mut Message) -> Result<Option<Answer>, SessionError> {
        let number = |value: u64| Ok(Some((value.to_ne_bytes().to_vec(), None)));
        match request {
            Request::GetFeatures => return number(self.offered),
            Request::GetProtocolFeatures => return number(protocol::OFFERED),
            Request::GetQueueNum => return number(self.vrings.len() as u64 / 2),
            Request::GetMaxMemSlots => return number(REGIONS as u64),
            Request::GetStatus => return number(self.status),
            Request::SetFeatures => self.set_features(message)?,
            Request::SetProtocolFeatures => {
                let wanted = message.u64(0);
                if wanted & !protocol::OFFERED != 0 {
                    return refuse(message, "it sets protocol features that were not offered");
                }
                self.protocol = wanted;
            }
            // A descriptor for the log's events is of no use to us.
            Request::SetOwner | Request::SetLogFd => {}
            Request::ResetOwner | Request::ResetDevice => self.reset()?,
            Request::SetStatus => {
                self.status = message.u64(0) & 0xff;
                if self.status == 0 {
                    self.reset()?;
                }
            }
            Request::SetMemTable => self.set_memory(message)?,
            Request::AddMemReg => self.add_region(message)?,
            Request::RemMemReg => self.remove_region(message)?,
            Request::SetLogBase => return self.set_log(message),
            Request::SetVringNum => {
                let (index, size) = (message.u32(0), message.u32(4));
                let legal = (1..=LARGEST).contains(&size);
                let vring = self.vring(message, index)?;
                if !legal || vring.live {
                    return refuse(message, "the ring's size is not legal, or it runs");
                }
                vring.size = size as u16;
            }
            Request::SetVringBase => {
                let (index, base) = (message.u32(0), message.u32(4));
                let vring = self.vring(message, index)?;
                if vring.live {
                    return refuse(message, "the ring runs");
                }
                vring.position = Arc::new(AtomicU32::new(base));
            }
            Request::SetVringAddr => {
                let addresses = VringAddresses {
                    flags: message.u32(4),
                    descriptors: message.u64(8),
                    used: message.u64(16),
                    available: message.u64(24),
                    log: message.u64(32),
                };
                let index = message.u32(0);
                self.vring(message, index)?.addresses = Some(addresses);
                self.apply(index as usize)?;
            }
            Request::GetVringBase => {
                let index = message.u32(0);
                self.vring(message, index)?;
                self.stop(index as usize)?;
                let vring = self.vring(message, index)?;
                vring.started = false;
                let kick = vring.kick.take();
                // What has just been answered is a new beginning, should the ring start again without a new base.
                let position = vring.position.load(Ordering::Acquire);
                vring.position = Arc::new(AtomicU32::new(position));
                if let (Some(kick), Some(exchange)) = (kick, self.exchanges.get(index as usize)) {
                    exchange.unwatch(&kick);
                }
                let mut body = index.to_ne_bytes().to_vec();
                body.extend(position.to_ne_bytes());
                return Ok(Some((body, None)));
            }
            Request::SetVringKick => self.set_kick(message)?,
            Request::SetVringCall | Request::SetVringErr => {
                let index = (message.u64(0) & 0xff) as u32;
                let file = event_file(message)?.map(Arc::new);
                let vring = self.vring(message, index)?;
                if request == Request::SetVringCall {
                    vring.call = file;
                } else {
                    vring.error = file;
                }
                self.apply(index as usize)?;
            }
            Request::SetVringEnable => {
                let (index, enabled) = (message.u32(0), message.u32(4) != 0);
                self.vring(message, index)?.enabled = enabled;
                self.apply(index as usize)?;
            }
            Request::GetInflightFd => return self.get_inflight(message),
            Request::SetInflightFd => {
                let (size, offset) = (message.u64(0), message.u64(8));
                let (queues, queue_size) = (message.u16(16), message.u16(18));
                let Some(file) = message.files.pop() else {
                    return refuse(message, "it has no file");
                };
                self.inflight = Some(Arc::new(Inflight::new(file, offset, size, queues, queue_size)?));
            }
        }
        Ok(None)
    }

    fn vring(&mut self, message: &Message, index: u32) -> Result<&mut Vring, SessionError> {
        let number = message.number;
        self.vrings
            .get_mut(index as usize)
            .ok_or(SessionError::Refused { number, reason: "the port has no such ring" })
    }

    fn set_features(&mut self, message: &Message) -> Result<(), SessionError> {
        let wanted = message.u64(0);
        if wanted & !self.offered != 0 {
            return refuse(message, "it sets features that were not offered");
        }
        let changed = self.features ^ wanted;
        if changed & !(1 << LOG_ALL) != 0 && self.vrings.iter().any(|vring| vring.live) {
            return refuse(message, "it changes features of rings that run");
        }
        self.features = wanted;
        self.apply_all()
    }

    fn set_kick(&mut self, message: &mut Message) -> Result<(), SessionError> {
        let index = (message.u64(0) & 0xff) as u32;
        let file = event_file(message)?;
        self.vring(message, index)?;
        let place = index as usize;
        let (Some(vring), Some(exchange)) = (self.vrings.get_mut(place), self.exchanges.get(place)) else {
            return Ok(());
        };
        if let Some(last) = vring.kick.take() {
            exchange.unwatch(&last);
        }
        watch(exchange, place, file.as_ref())?;
        vring.kick = file;
        vring.started = true;
        self.apply(place)
    }

    fn set_memory(&mut self, message: &mut Message) -> Result<(), SessionError> {
        let count = message.u32(0) as usize;
        if count > message.files.len() || message.body.len() < 8 + 32 * count {
            return refuse(message, "it has fewer regions or files than it says");
        }
        let mut memory = GuestMemory::default();
        for (index, file) in std::mem::take(&mut message.files).into_iter().take(count).enumerate() {
            memory.add(region(message, 8 + 32 * index), file)?;
        }
        self.memory = Arc::new(memory);
        self.apply_all()
    }

    fn add_region(&mut self, message: &mut Message) -> Result<(), SessionError> {
        let Some(file) = message.files.pop() else {
            return refuse(message, "it has no file");
        };
        let mut memory = (*self.memory).clone();
        memory.add(region(message, 8), file)?;
        self.memory = Arc::new(memory);
        self.apply_all()
    }

    fn remove_region(&mut self, message: &Message) -> Result<(), SessionError> {
        let mut memory = (*self.memory).clone();
        if !memory.remove(region(message, 8)) {
            return refuse(message, "there is no such region");
        }
        self.memory = Arc::new(memory);
        self.apply_all()
    }

    fn set_log(&mut self, message: &mut Message) -> Result<Option<Answer>, SessionError> {
        let (size, offset) = (message.u64(0), message.u64(8));
        let Some(file) = message.files.pop() else {
            return refuse(message, "it has no file");
        };
        self.log = Some(Arc::new(DirtyLog::new(file, offset, size)?));
        self.apply_all()?;
        // With a log in shared memory the front end waits for an answer of its own kind.
        let answered = has(self.protocol, protocol::LOG_SHMFD);
        Ok(answered.then(|| (0_u64.to_ne_bytes().to_vec(), None)))
    }

    fn get_inflight(&mut self, message: &Message) -> Result<Option<Answer>, SessionError> {
        let (queues, queue_size) = (message.u16(16), message.u16(18));
        if usize::from(queues) > self.vrings.len() || !(1..=LARGEST).contains(&u32::from(queue_size)) {
            return refuse(message, "it asks for more queues or descriptors than there are");
        }
        let packed = has(self.features, RING_PACKED);
        let size = (region_size(queue_size, packed) * usize::from(queues)) as u64;
        let file = memfd_create("netloom-inflight", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, size)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let mut body = size.to_ne_bytes().to_vec();
        body.extend(0_u64.to_ne_bytes());
        body.extend(queues.to_ne_bytes());
        body.extend(queue_size.to_ne_bytes());
        body.resize(24, 0);
        let theirs = rustix::io::fcntl_dupfd_cloexec(&file, 0)?;
        self.inflight = Some(Arc::new(Inflight::new(file, 0, size, queues, queue_size)?));
        Ok(Some((body, Some(theirs))))
    }

    fn reset(&mut self) -> Result<(), SessionError> {
        for index in 0..self.vrings.len() {
            self.stop(index)?;
            if let Some(vring) = self.vrings.get_mut(index) {
                (vring.enabled, vring.started) = (false, false);
            }
        }
        Ok(())
    }

    /// Takes a ring away from its worker.
    fn stop(&mut self, index: usize) -> Result<(), SessionError> {
        let (Some(vring), Some(exchange)) = (self.vrings.get_mut(index), self.exchanges.get(index)) else {
            return Ok(());
        };
        if std::mem::replace(&mut vring.live, false) && !exchange.publish(None, PATIENCE) {
            return Err(SessionError::Stuck(index));
        }
        Ok(())
    }

    /// Goes on where a predecessor was: everything but the rings' setups is there.
    pub(super) fn go_on(&mut self) -> Result<(), SessionError> {
        for (place, (vring, exchange)) in self.vrings.iter().zip(self.exchanges).enumerate() {
            watch(exchange, place, vring.kick.as_ref())?;
        }
        self.apply_all()
    }

    fn apply_all(&mut self) -> Result<(), SessionError> {
        (0..self.vrings.len()).try_for_each(|index| self.apply(index))
    }

    /// Publishes what follows from all that is known of a ring.
    fn apply(&mut self, index: usize) -> Result<(), SessionError> {
        let Some(setup) = self.setup(index) else { return self.stop(index) };
        let (Some(vring), Some(exchange)) = (self.vrings.get_mut(index), self.exchanges.get(index)) else {
            return Ok(());
        };
        vring.live = true;
        if exchange.publish(Some(Arc::new(setup)), PATIENCE) {
            Ok(())
        } else {
            Err(SessionError::Stuck(index))
        }
    }

    /// The setup of a ring that is complete, enabled, and in the guest's memory.
    fn setup(&self, index: usize) -> Option<Setup> {
        let vring = self.vrings.get(index)?;
        let enabled = vring.enabled || !has(self.features, PROTOCOL_FEATURES);
        if !vring.started || !enabled || vring.size == 0 {
            return None;
        }
        let given = vring.addresses?;
        let packed = has(self.features, RING_PACKED);
        if !packed && !vring.size.is_power_of_two() {
            return None;
        }
        let (descriptors, driver, device) = if packed {
            (16 * u64::from(vring.size), packed::EVENTS, packed::EVENTS)
        } else {
            split::sizes(vring.size)
        };
        let place = |user, length, align: usize| {
            let pointer = self.memory.user(user, length)?;
            (pointer as usize).is_multiple_of(align).then_some(pointer)
        };
        let logged = (given.flags & LOG_RING != 0 && has(self.features, LOG_ALL)).then_some(given.log);
        let addresses = Addresses {
            descriptors: place(given.descriptors, descriptors, 16)?,
            driver: place(given.available, driver, if packed { 4 } else { 2 })?,
            device: place(given.used, device, 4)?,
            logged,
        };
        let log = if has(self.features, LOG_ALL) { self.log.clone() } else { None };
        Some(Setup::new(Parts {
            addresses,
            size: vring.size,
            features: self.features,
            position: vring.position.clone(),
            call: vring.call.clone(),
            error: vring.error.clone(),
            log,
            inflight: self.inflight.as_ref().and_then(|inflight| inflight.region(index, vring.size, packed)),
            memory: self.memory.clone(),
        }))
    }
}

/// Has the worker woken when the guest kicks. Only the guest's transmit rings are waited for.
fn watch(exchange: &Exchange, place: usize, kick: Option<&OwnedFd>) -> Result<(), rustix::io::Errno> {
    match (kick, place % 2) {
        (Some(kick), 1) => exchange.watch(kick),
        _ => Ok(()),
    }
}

fn refuse<T>(message: &Message, reason: &'static str) -> Result<T, SessionError> {
    Err(SessionError::Refused { number: message.number, reason })
}

/// The addresses of a region at an offset of the body.
fn region(message: &Message, at: usize) -> RegionAddress {
    RegionAddress {
        guest: message.u64(at),
        size: message.u64(at + 8),
        user: message.u64(at + 16),
        offset: message.u64(at + 24),
    }
}

/// The event descriptor of a message, made non-blocking so that no write to it can hold a worker up.
fn event_file(message: &mut Message) -> Result<Option<OwnedFd>, SessionError> {
    if message.u64(0) & NO_FILE != 0 {
        return Ok(None);
    }
    let Some(file) = message.files.pop() else {
        return refuse(message, "it has no file");
    };
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
    Ok(Some(file))
}
