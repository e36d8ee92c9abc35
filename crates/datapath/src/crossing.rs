//! From one worker to the others: lanes for frames that leave through a port that another worker sends to, and bells
//! that wake it.
//!
//! Why a sleeper is never missed: the one who falls asleep says so and then looks at its lanes; the one who sends
//! publishes its frames and then looks whether the other sleeps. With a full barrier between the two steps on both
//! sides, one of them sees the other.
//!
//! Costs: a barrier for each flush that has something; a system call only when the other sleeps.

use netloom_mem::{Batch, Entrance, Label};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes a worker.
#[derive(Debug)]
pub(crate) struct Bell {
    descriptor: OwnedFd,
    asleep: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self { descriptor: eventfd(0, flags)?, asleep: AtomicBool::new(false) })
    }

    /// Wakes it, or keeps it from falling asleep.
    pub(crate) fn ring(&self) {
        // A full event counter means that it rings already.
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    /// Wakes it if it sleeps, after something was published for it.
    #[inline]
    fn ring_if_asleep(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    /// The worker is about to sleep; it must look at its lanes after this.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The worker is awake.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        let _ = rustix::io::read(&self.descriptor, &mut [0_u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A worker's ways to the others, by their numbers; none to itself.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    ways: Vec<Option<(Entrance, Arc<Bell>)>>,
    /// A bit for each way that has something to flush.
    dirty: u64,
    /// Frames that went.
    pub(crate) crossed: u64,
}

impl Crossing {
    pub(crate) const fn new(ways: Vec<Option<(Entrance, Arc<Bell>)>>) -> Self {
        Self { ways, dirty: 0, crossed: 0 }
    }

    /// Copies a frame to another worker; false when there is no room.
    #[inline]
    pub(crate) fn push(&mut self, worker: usize, batch: &Batch, index: usize, label: Label) -> bool {
        let Some(Some((entrance, _))) = self.ways.get_mut(worker) else { return false };
        if !entrance.push(batch, index, label) {
            return false;
        }
        self.dirty |= 1 << worker;
        self.crossed += 1;
        true
    }

    /// Makes what was pushed visible.
    #[inline]
    pub(crate) fn flush(&mut self) {
        while self.dirty != 0 {
            let worker = self.dirty.trailing_zeros() as usize;
            self.dirty &= self.dirty - 1;
            if let Some(Some((entrance, bell))) = self.ways.get_mut(worker)
                && entrance.flush()
            {
                bell.ring_if_asleep();
            }
        }
    }
}
