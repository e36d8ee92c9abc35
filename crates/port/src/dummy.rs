//! Ports without anything behind them, for tests: frames are put into them by hand, and what is sent to them goes to files
//! and to other such ports by sockets.
//!
//! What: [`Dummy`] is one, by its name; [`DummyReceive`] and [`DummySend`] are its queues. [`Settings`] say which files get
//! what passes (pcap, microseconds) and to whom frames go ([`stream`]).
//!
//! Invariants: at most so many frames wait to be received; what finds no room is refused and counted. Whoever is at the
//! other end of a socket may send what he wants: a frame is at most 64 KiB.
//!
//! Costs: a lock and a copy for each frame. For tests only.
//! Source: the type `dummy` of ovs-vswitchd (`--enable-dummy`), as its test suite uses it.

pub mod stream;

use netloom_mem::{Batch, FRAME, Offload, PortError, PortNumber, ReceiveQueue, SendQueue, Wake};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stream::{Remote, Stream};

/// Frames that wait to be received.
const ROOM: usize = 1024;

/// What a port does with frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// File that gets frames that are received.
    pub received: Option<PathBuf>,
    /// File that gets frames that are sent.
    pub sent: Option<PathBuf>,
    /// Whose frames are received, and who gets what is sent.
    pub remote: Option<Remote>,
    /// Longest frame without its Ethernet header; longer ones are not sent.
    pub mtu: usize,
}

#[derive(Debug, Default)]
struct Files {
    received: Option<File>,
    sent: Option<File>,
}

/// A port without anything behind it.
#[derive(Debug)]
pub struct Dummy {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    files: Mutex<Files>,
    stream: Mutex<Option<Stream>>,
    /// Addresses that it answers for.
    addresses: Mutex<BTreeMap<Ipv4Addr, [u8; 6]>>,
    bell: OwnedFd,
    asleep: AtomicBool,
    up: AtomicBool,
    refused: AtomicU64,
    mtu: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file of captured frames to go on with, or makes it.
fn capture(path: &PathBuf) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        let mut header = Vec::new();
        for word in [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 1518, 1] {
            header.extend(word.to_ne_bytes());
        }
        file.write_all(&header)?;
    }
    Ok(file)
}

fn record(file: Option<&mut File>, frame: &[u8]) {
    let Some(file) = file else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut whole = Vec::with_capacity(16 + frame.len());
    for word in [now.as_secs() as u32, now.subsec_micros(), frame.len() as u32, frame.len() as u32] {
        whole.extend(word.to_ne_bytes());
    }
    whole.extend_from_slice(frame);
    // What can't be written down is not.
    let _ = file.write_all(&whole);
}

impl Dummy {
    /// A port with these settings.
    ///
    /// # Errors
    /// When a file or a socket can't be used.
    pub fn open(settings: &Settings) -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let dummy = Arc::new(Self {
            waiting: Mutex::default(),
            files: Mutex::default(),
            stream: Mutex::default(),
            addresses: Mutex::default(),
            bell,
            asleep: AtomicBool::new(false),
            up: AtomicBool::new(true),
            refused: AtomicU64::new(0),
            mtu: AtomicU64::new(1500),
        });
        let received = settings.received.as_ref().map(capture).transpose()?;
        let sent = match &settings.sent {
            // One file may get both.
            Some(path) if settings.received.as_ref() == Some(path) => {
                received.as_ref().map(File::try_clone).transpose()?
            }
            other => other.as_ref().map(capture).transpose()?,
        };
        *lock(&dummy.files) = Files { received, sent };
        dummy.mtu.store(if settings.mtu == 0 { 1500 } else { settings.mtu as u64 }, Ordering::Relaxed);
        if let Some(remote) = &settings.remote {
            *lock(&dummy.stream) = Some(Stream::start(remote.clone(), Arc::downgrade(&dummy))?);
        }
        Ok(dummy)
    }

    /// Has the port receive a frame. False: there was no room.
    pub fn put(&self, frame: Vec<u8>) -> bool {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= ROOM {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            record(lock(&self.files).received.as_mut(), &frame);
            waiting.push_back(frame);
        }
        if self.asleep.load(Ordering::SeqCst) {
            self.ring();
        }
        true
    }

    /// Whether all frames that were put in were received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.waiting).is_empty()
    }

    /// Whether somebody wants it to be up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Has it be up or down.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    /// Length of the longest packet without its Ethernet header.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        u32::try_from(self.mtu.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Sets the length of the longest packet: longer ones are not sent.
    pub fn set_mtu(&self, mtu: u32) {
        self.mtu.store(mtu.into(), Ordering::Relaxed);
    }

    /// How its connection is: none without one that it makes itself.
    #[must_use]
    pub fn connected(&self) -> Option<bool> {
        lock(&self.stream).as_ref().and_then(Stream::connected)
    }

    /// Answers ARP requests for an address.
    pub fn answer_for(&self, address: Ipv4Addr, mac: [u8; 6]) {
        lock(&self.addresses).insert(address, mac);
    }

    fn ring(&self) {
        // The counter is full when nobody reads it: then it is readable all the same.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// A frame leaves.
    fn take(&self, frame: &[u8]) -> bool {
        // With a tag.
        if frame.len() as u64 > self.mtu.load(Ordering::Relaxed) + 18 {
            return false;
        }
        record(lock(&self.files).sent.as_mut(), frame);
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.send(frame);
        }
        if let Some(answer) = self.answer(frame) {
            self.put(answer);
        }
        true
    }

    /// The answer to an ARP request for one of its addresses.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        const REQUEST: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
        if frame.get(12..22)? != REQUEST {
            return None;
        }
        let asked: [u8; 4] = frame.get(38..42)?.try_into().ok()?;
        let mac = *lock(&self.addresses).get(&Ipv4Addr::from(asked))?;
        let (asker, address) = (frame.get(6..12)?, frame.get(28..32)?);
        let mut answer = Vec::with_capacity(42);
        answer.extend(asker);
        answer.extend(mac);
        answer.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        answer.extend(mac);
        answer.extend(asked);
        answer.extend(asker);
        answer.extend(address);
        Some(answer)
    }
}

/// Receives what was put in.
#[derive(Debug)]
pub struct DummyReceive {
    dummy: Arc<Dummy>,
    port: PortNumber,
}

impl DummyReceive {
    /// The one receiver of a port; its frames carry `port`.
    #[must_use]
    pub const fn new(dummy: Arc<Dummy>, port: PortNumber) -> Self {
        Self { dummy, port }
    }
}

impl ReceiveQueue for DummyReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let mut waiting = lock(&self.dummy.waiting);
        while batch.room() > 0
            && let Some(frame) = waiting.pop_front()
        {
            let frame = frame.get(..frame.len().min(FRAME)).unwrap_or_default();
            batch.push(self.port, frame, Offload::NONE);
        }
        Ok(batch.len())
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.dummy.asleep.store(wanted, Ordering::SeqCst);
        if wanted {
            // Whoever put something in before it saw that we sleep did not ring.
            if !self.dummy.is_empty() {
                self.dummy.ring();
            }
        } else {
            let _ = rustix::io::read(&self.dummy.bell, &mut [0_u8; 8]);
        }
        Wake::Readable(self.dummy.bell.as_fd())
    }
}

/// Sends to a port.
#[derive(Debug)]
pub struct DummySend {
    dummy: Arc<Dummy>,
}

impl DummySend {
    /// A sender to a port.
    #[must_use]
    pub const fn new(dummy: Arc<Dummy>) -> Self {
        Self { dummy }
    }
}

impl SendQueue for DummySend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        for index in frames {
            // What is too long is lost, as by a device that does not take it.
            self.dummy.take(&batch.octets(usize::from(*index)));
        }
        Ok(frames.len())
    }
}

#[cfg(test)]
mod tests;
