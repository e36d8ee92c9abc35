//! A cable between two switches of one program: what one port sends, the other receives.
//!
//! What: each port has a [`Mailbox`], which the queue that sends to it fills and its own queue empties. Frames travel
//! whole, with their offloads: nothing is cut on the way.
//!
//! Invariants: a mailbox holds at most 1,024 frames and 4 MiB; what finds no room is not sent, which the
//! sender counts. A mailbox without a receiver takes nothing.
//!
//! Costs: each frame is copied twice, into the mailbox and out of it; buffers are kept for the next frames. One lock for
//! each batch, which only the two ends take, and one system call when the receiver sleeps.

use netloom_mem::{
    Batch, FRAME, Offload, PortError, PortNumber, ReceiveQueue, SendQueue, VIRTIO_HEADER, Wake,
};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most frames that wait.
const ROOM: usize = 1024;
/// Most octets that wait.
const OCTETS: usize = 4 << 20;
/// Buffers that are kept, and the largest of them.
const SPARE: usize = 256;
const SPARE_OCTETS: usize = 4096;

/// What waits for a port.
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    bell: OwnedFd,
    /// The receiver sleeps, or is about to.
    asleep: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<(Offload, Vec<u8>)>,
    octets: usize,
    spare: Vec<Vec<u8>>,
    /// A receiver is there.
    open: bool,
}

impl Mailbox {
    /// Empty, and without a receiver.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::new(Self { waiting: Mutex::default(), bell, asleep: AtomicBool::new(false) }))
    }

    /// Whether a receiver is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().open
    }

    /// What waits, as octets, for another process that goes on: for each frame its length, its virtio-net header, itself.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let waiting = self.lock();
        let mut octets = Vec::with_capacity(waiting.octets + 16 * waiting.frames.len());
        for (offload, frame) in &waiting.frames {
            octets.extend((frame.len() as u32).to_le_bytes());
            octets.extend(offload.header());
            octets.extend(frame);
        }
        octets
    }

    /// Puts in what another process [saved](Mailbox::save). What is damaged is left out, and what comes after it.
    pub fn restore(&self, mut octets: &[u8]) {
        let mut waiting = self.lock();
        while let Some((length, rest)) = octets.split_first_chunk()
            && let Some((header, rest)) = rest.split_first_chunk::<VIRTIO_HEADER>()
            && let length = u32::from_le_bytes(*length) as usize
            && let Some((frame, rest)) = rest.split_at_checked(length)
            && let Some(offload) = Offload::read(header, length)
            && length <= FRAME
            && waiting.frames.len() < ROOM
        {
            waiting.octets += length;
            waiting.frames.push_back((offload, frame.to_vec()));
            octets = rest;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // The counter is full when nobody reads it: then it is readable all the same.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

/// Receives from a mailbox.
#[derive(Debug)]
pub struct PatchReceive {
    mailbox: Arc<Mailbox>,
    port: PortNumber,
}

impl PatchReceive {
    /// The receiver of `mailbox`, of which there should be one; its frames carry `port`.
    #[must_use]
    pub fn new(mailbox: Arc<Mailbox>, port: PortNumber) -> Self {
        mailbox.lock().open = true;
        Self { mailbox, port }
    }
}

impl Drop for PatchReceive {
    fn drop(&mut self) {
        *self.mailbox.lock() = Waiting::default();
    }
}

impl ReceiveQueue for PatchReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let mut waiting = self.mailbox.lock();
        while batch.room() > 0
            && let Some((offload, mut frame)) = waiting.frames.pop_front()
        {
            waiting.octets -= frame.len();
            batch.push(self.port, &frame, offload);
            if waiting.spare.len() < SPARE && frame.capacity() <= SPARE_OCTETS {
                frame.clear();
                waiting.spare.push(frame);
            }
        }
        Ok(batch.len())
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.mailbox.asleep.store(wanted, Ordering::SeqCst);
        if wanted {
            // Whoever filled it before it saw that we sleep did not ring.
            if !self.mailbox.lock().frames.is_empty() {
                self.mailbox.ring();
            }
        } else {
            let _ = rustix::io::read(&self.mailbox.bell, &mut [0_u8; 8]);
        }
        Wake::Readable(self.mailbox.bell.as_fd())
    }
}

/// Sends to a mailbox.
#[derive(Debug)]
pub struct PatchSend {
    mailbox: Arc<Mailbox>,
}

impl PatchSend {
    /// A sender to `mailbox`.
    #[must_use]
    pub const fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }
}

impl SendQueue for PatchSend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let mut waiting = self.mailbox.lock();
        if !waiting.open {
            return Ok(0);
        }
        for (done, index) in frames.iter().enumerate() {
            let index = usize::from(*index);
            let length = batch.length(index);
            if waiting.frames.len() == ROOM || waiting.octets + length > OCTETS {
                return Ok(done);
            }
            let mut frame = waiting.spare.pop().unwrap_or_default();
            frame.resize(length, 0);
            batch.copy(index, 0, &mut frame);
            waiting.octets += length;
            waiting.frames.push_back((*batch.offload(index), frame));
        }
        Ok(frames.len())
    }

    fn flush(&mut self) {
        if self.mailbox.asleep.load(Ordering::SeqCst) {
            self.mailbox.ring();
        }
    }

    fn takes_offloads(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mailbox_without_a_receiver_takes_nothing_and_a_full_one_no_more() {
        let mailbox = Mailbox::new().unwrap();
        let mut batch = Batch::new();
        batch.push(1, &[7; 60], Offload::NONE);
        let mut send = PatchSend::new(mailbox.clone());
        assert_eq!(send.send(&batch, &[0]).unwrap(), 0);
        let mut receive = PatchReceive::new(mailbox.clone(), 2);
        let sent: usize = (0..ROOM + 5).map(|_| send.send(&batch, &[0]).unwrap()).sum();
        assert_eq!(sent, ROOM);
        assert!(matches!(receive.wake(true), Wake::Readable(_)));
        assert_eq!(rustix::io::read(&mailbox.bell, &mut [0_u8; 8]), Ok(8), "it has frames and would sleep");
        drop(receive);
        assert!(!mailbox.is_open() && mailbox.lock().frames.is_empty());
        let _again = PatchReceive::new(mailbox.clone(), 3);
        batch.clear();
        let large = vec![1; netloom_mem::FRAME];
        batch.push(1, &large, Offload::NONE);
        let sent: usize = (0..ROOM).map(|_| send.send(&batch, &[0]).unwrap()).sum();
        assert_eq!(sent, OCTETS / netloom_mem::FRAME);
    }

    #[test]
    fn what_waits_goes_on_elsewhere() {
        let (here, there) = (Mailbox::new().unwrap(), Mailbox::new().unwrap());
        let _receive = PatchReceive::new(here.clone(), 1);
        let mut batch = Batch::new();
        let partial = Offload { partial: true, start: 34, offset: 16, ..Offload::NONE };
        for (octet, offload) in [(1, Offload::NONE), (2, partial), (3, Offload::NONE)] {
            batch.push(1, &[octet; 90], offload);
        }
        assert_eq!(PatchSend::new(here.clone()).send(&batch, &[0, 1, 2]).unwrap(), 3);
        let mut receive = PatchReceive::new(there.clone(), 2);
        let saved = here.save();
        // What is cut off in the middle is left out.
        there.restore(&saved[..saved.len() - 1]);
        batch.clear();
        assert_eq!(receive.receive(&mut batch).unwrap(), 2);
        there.restore(&saved);
        batch.clear();
        assert_eq!(receive.receive(&mut batch).unwrap(), 3);
        assert_eq!(batch.octets(2), [3; 90]);
        assert_eq!(*batch.offload(1), partial);
        assert_eq!(there.lock().octets, 0);
        // The one that goes still has it.
        assert_eq!(here.lock().frames.len(), 3);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_received(frames in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 14..3000), 1..100,
        )) {
            let mailbox = Mailbox::new().unwrap();
            let (mut send, mut receive) = (PatchSend::new(mailbox.clone()), PatchReceive::new(mailbox, 9));
            let (mut batch, mut got) = (Batch::new(), Vec::new());
            for part in frames.chunks(netloom_mem::BATCH) {
                for frame in part {
                    batch.push(1, frame, Offload::NONE);
                }
                let all: Vec<u8> = (0..part.len() as u8).collect();
                prop_assert_eq!(send.send(&batch, &all).unwrap(), part.len());
                send.flush();
                batch.clear();
            }
            while receive.receive(&mut batch).unwrap() > 0 {
                got.extend((0..batch.len()).map(|index| {
                    assert_eq!(batch.port(index), 9);
                    batch.octets(index)
                }));
                batch.clear();
            }
            prop_assert_eq!(got, frames);
        }
    }
}
