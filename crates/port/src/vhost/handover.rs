//! How a ring comes from the thread that speaks the protocol to the worker that moves packets, and back.
//!
//! What: the session publishes a [`Setup`] (or none) with a new version. The worker marks itself busy when it begins
//! to use a ring, looks at the version once, and marks itself idle when it is done with a batch. Whoever published
//! then waits until the worker is idle or has seen the new version. After that
//! nobody uses the old ring, whether the worker polls, sleeps, or is gone.
//!
//! Why it is right, and what it costs: see `gate.rs`.

use super::counters::QueueCounters;
use super::gate::Gate;
use super::memory::GuestMemory;
use netloom_mem::Anchor;
use rustix::event::epoll;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::UnsafeCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where a ring is, as pointers that were checked: aligned, and in one mapping with all their elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    /// Descriptor table, or the descriptor ring of a packed queue.
    pub(super) descriptors: *mut u8,
    /// Available ring, or the driver's event suppression.
    pub(super) driver: *mut u8,
    /// Used ring, or the device's event suppression.
    pub(super) device: *mut u8,
    /// Guest address of the used ring for the dirty log, if it is to be logged.
    pub(super) logged: Option<u64>,
}

/// Everything a worker needs to know of a started ring. It does not change; a change is a new one.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) addresses: Addresses,
    /// Number of descriptors.
    pub(super) size: u16,
    /// Negotiated virtio features.
    pub(super) features: u64,
    /// The next available descriptor: where to start, and while the ring is used, where the worker is. The same cell
    /// in two setups says that the second continues the first.
    pub(super) position: Arc<AtomicU32>,
    /// Written to interrupt the guest; none when it polls.
    pub(super) call: Option<Arc<OwnedFd>>,
    /// Written when the ring is broken.
    pub(super) error: Option<Arc<OwnedFd>>,
    pub(super) log: Option<Arc<super::log::DirtyLog>>,
    pub(super) inflight: Option<super::inflight::Region>,
    memory: UnsafeCell<Option<(Arc<GuestMemory>, Anchor)>>,
}

// SAFETY: the pointers lead into mappings that `memory` holds, and `memory` itself is accessed by the worker while it
// is busy with this setup, and by the session when nobody is (see the module's argument).
#[allow(unsafe_code)]
unsafe impl Send for Setup {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Setup {}

/// What a [`Setup`] is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) addresses: Addresses,
    pub(super) size: u16,
    pub(super) features: u64,
    pub(super) position: Arc<AtomicU32>,
    pub(super) call: Option<Arc<OwnedFd>>,
    pub(super) error: Option<Arc<OwnedFd>>,
    pub(super) log: Option<Arc<super::log::DirtyLog>>,
    pub(super) inflight: Option<super::inflight::Region>,
    pub(super) memory: Arc<GuestMemory>,
}

impl Setup {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { addresses, size, features, position, call, error, log, inflight, memory } = parts;
        let anchor: Anchor = memory.clone();
        let memory = UnsafeCell::new(Some((memory, anchor)));
        Self { addresses, size, features, position, call, error, log, inflight, memory }
    }

    /// The guest's memory, and what keeps it mapped.
    ///
    /// # Safety
    /// The caller is the worker, busy with this setup.
    #[allow(unsafe_code)]
    #[inline]
    pub(super) unsafe fn memory(&self) -> Option<&(Arc<GuestMemory>, Anchor)> {
        // SAFETY: nobody writes while the worker is busy.
        unsafe { (*self.memory.get()).as_ref() }
    }

    /// Lets go of the memory, so that a sleeping worker does not keep a gone guest's memory.
    ///
    /// # Safety
    /// The exchange is quiet since another setup was published.
    #[allow(unsafe_code)]
    unsafe fn release(&self) {
        // SAFETY: no worker uses or will use this setup.
        unsafe { *self.memory.get() = None };
    }
}

/// One ring's place of handing over.
#[derive(Debug)]
pub(super) struct Exchange {
    gate: Gate,
    offered: Mutex<Option<Arc<Setup>>>,
    pub(super) counters: QueueCounters,
    /// Becomes readable when the guest kicks or the session has something new.
    pub(super) poll: OwnedFd,
    nudge: OwnedFd,
}

const KICK: u64 = 0;
const NUDGE: u64 = 1;

impl Exchange {
    pub(super) fn new() -> Result<Self, rustix::io::Errno> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poll, &nudge, epoll::EventData::new_u64(NUDGE), flags)?;
        Ok(Self {
            gate: Gate::new(),
            offered: Mutex::new(None),
            counters: QueueCounters::default(),
            poll,
            nudge,
        })
    }

    /// Makes the guest's kicks wake the worker. Edges are enough, so nobody needs to read the descriptor, which the
    /// guest's side could make block.
    pub(super) fn watch(&self, kick: &OwnedFd) -> Result<(), rustix::io::Errno> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.poll, kick, epoll::EventData::new_u64(KICK), flags)
    }

    /// Ends that.
    pub(super) fn unwatch(&self, kick: &OwnedFd) {
        let _ = epoll::delete(&self.poll, kick);
    }

    /// Clears what woke the worker.
    pub(super) fn clear(&self) {
        let mut events = Vec::with_capacity(4);
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
    }

    /// Offers a new setup, or takes the last one away. Returns when nobody uses the last one any more.
    ///
    /// False when the worker did not let go in time: then the last setup may still be in use.
    pub(super) fn publish(&self, setup: Option<Arc<Setup>>, patience: Duration) -> bool {
        let (last, version) = {
            let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::replace(&mut *offered, setup), self.gate.advance())
        };
        let quiet = self.quiesce(version, patience);
        if let (Some(last), true) = (last, quiet) {
            // SAFETY: the exchange is quiet.
            #[allow(unsafe_code)]
            unsafe {
                last.release();
            }
        }
        let _ = rustix::io::write(&self.nudge, &1_u64.to_ne_bytes());
        quiet
    }

    fn quiesce(&self, version: u64, patience: Duration) -> bool {
        self.gate.barrier();
        let until = Instant::now() + patience;
        loop {
            if self.gate.is_quiet(version) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// The worker begins; true when there is a version it has not seen.
    #[inline(always)]
    pub(super) fn enter(&self, version: u64) -> bool {
        self.gate.enter(version)
    }

    /// The worker moves on to the newest setup.
    #[cold]
    pub(super) fn take(&self) -> (u64, Option<Arc<Setup>>) {
        let offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        (self.gate.move_on(), offered.clone())
    }

    /// The worker is done.
    #[inline(always)]
    pub(super) fn leave(&self) {
        self.gate.leave();
    }
}

/// Writes to an eventfd of the guest's side; what can't be delivered at once was delivered already.
pub(super) fn signal(event: &OwnedFd) {
    let _ = rustix::io::write(event.as_fd(), &1_u64.to_ne_bytes());
}
