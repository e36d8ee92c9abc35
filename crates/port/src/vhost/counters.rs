//! What happened at a queue, in numbers.

use netloom_mem::Counter;
use std::sync::atomic::{AtomicU8, Ordering};

/// Why a frame was dropped at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// Shorter than an Ethernet header.
    Short,
    /// Longer than any frame may be, or than the buffers the guest gave.
    Long,
    /// Its virtio-net header claims what can't be.
    Header,
    /// It has an open checksum or is uncut, and the guest did not agree to take such frames.
    Offload,
}

impl Drop {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Short, Self::Long, Self::Header, Self::Offload];
}

/// Why a ring was stopped: the guest's driver broke the rules of virtio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Broken {
    /// More descriptors became available than the ring has.
    #[error("the available index jumped by more than the ring has")]
    Index = 1,
    /// The available ring names a descriptor that the table has not.
    #[error("the head of a chain is outside the descriptor table")]
    Head,
    /// A chain names a descriptor that its table has not.
    #[error("a chain leaves its descriptor table")]
    Next,
    /// A chain is longer than the ring: it is a loop.
    #[error("a chain is longer than the ring")]
    Loop,
    /// A buffer is not in the guest's memory.
    #[error("a buffer is outside the guest's memory")]
    Address,
    /// An indirect table is empty, of a broken size, outside memory, or inside another one.
    #[error("an indirect table is malformed")]
    Indirect,
    /// A buffer to be read can only be written, or the other way round.
    #[error("a buffer has the wrong direction")]
    Direction,
    /// The frame has more parts than the device takes.
    #[error("a chain has more than {0} parts", super::ring::PARTS)]
    Parts,
}

impl Broken {
    const ALL: [Self; 8] = [
        Self::Index,
        Self::Head,
        Self::Next,
        Self::Loop,
        Self::Address,
        Self::Indirect,
        Self::Direction,
        Self::Parts,
    ];
}

/// Counters of a queue: its worker writes, all may read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct QueueCounters {
    /// Frames that went through.
    pub frames: Counter,
    /// Their octets, without virtio-net headers.
    pub octets: Counter,
    /// Interrupts that were sent to the guest.
    pub interrupts: Counter,
    /// Times a ring was started or changed.
    pub changes: Counter,
    /// Times a ring was stopped because the guest broke the rules.
    pub breaks: Counter,
    dropped: [Counter; Drop::ALL.len()],
    broken: AtomicU8,
}

impl QueueCounters {
    /// Frames dropped for a reason.
    #[must_use]
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.dropped[reason as usize].get()
    }

    /// Why the ring stands still, if the guest broke it.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        let value = self.broken.load(Ordering::Acquire);
        Broken::ALL.into_iter().find(|broken| *broken as u8 == value)
    }

    #[cold]
    pub(super) fn drop_one(&self, reason: Drop) {
        self.dropped[reason as usize].add(1);
    }

    #[cold]
    pub(super) fn set_broken(&self, reason: Option<Broken>) {
        if reason.is_some() {
            self.breaks.add(1);
        }
        self.broken.store(reason.map_or(0, |reason| reason as u8), Ordering::Release);
    }
}
