//! A queue behind a file descriptor that reads and writes one frame at a time with a virtio-net header in front: TAP
//! interfaces and packet sockets.
//!
//! Invariants: what is beyond a frame's head is read into memory of the queue, which is written again only by the next
//! [`ReceiveQueue::receive`], when no batch refers to it any more.
//!
//! Costs: one system call for each frame, whatever its size: with offloads a frame has up to 64 KiB. A queue that had
//! nothing is asked more and more rarely, up to every [`RAREST`]th turn; after a sleep it is asked at once.

use netloom_mem::{
    Anchor, BATCH, Batch, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment, SendQueue,
    VIRTIO_HEADER, Wake,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::cell::UnsafeCell;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

/// How rarely a silent queue is asked, in turns.
const RAREST: u32 = 64;
/// Most parts of a frame that is written.
const PARTS: usize = 64;

/// Memory for the tails of one batch.
struct Tails(Box<[UnsafeCell<Box<[u8]>>]>);

// SAFETY: only the one thread that owns the receive queue writes, and it does so while its batch is empty; others read
// through pointers while they hold the batch that the frames are in.
#[allow(unsafe_code)]
unsafe impl Sync for Tails {}

/// Receives from a descriptor.
pub(crate) struct DescriptorReceive {
    descriptor: Arc<OwnedFd>,
    port: PortNumber,
    tails: Arc<Tails>,
    anchor: Anchor,
    /// Turns to let pass, and how many it will be the next time.
    skip: u32,
    next_skip: u32,
}

/// Sends to a descriptor.
pub(crate) struct DescriptorSend {
    descriptor: Arc<OwnedFd>,
    offloads: bool,
    longest: usize,
}

/// Both ends of a non-blocking descriptor. `offloads`: the other side takes open checksums and uncut frames.
pub(crate) fn queues(
    descriptor: OwnedFd,
    port: PortNumber,
    offloads: bool,
) -> (DescriptorReceive, DescriptorSend) {
    let descriptor = Arc::new(descriptor);
    let tails = (0..BATCH).map(|_| UnsafeCell::new(vec![0; FRAME].into_boxed_slice())).collect();
    let tails = Arc::new(Tails(tails));
    let anchor: Anchor = tails.clone();
    let receive =
        DescriptorReceive { descriptor: descriptor.clone(), port, tails, anchor, skip: 0, next_skip: 0 };
    (receive, DescriptorSend { descriptor, offloads, longest: FRAME })
}

fn system(doing: &'static str, errno: Errno) -> PortError {
    PortError::System { doing, source: errno.into() }
}

impl ReceiveQueue for DescriptorReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(0);
        }
        let mut held = false;
        loop {
            let index = batch.len();
            let (Some(slot), Some(tail)) = (batch.slot(), self.tails.0.get(index)) else { break };
            let mut header = [0; VIRTIO_HEADER];
            // SAFETY: nobody refers to this memory: it belongs to the slot of a frame that is not there yet, and the
            // last batch that had frames in it was cleared before `receive` was called.
            #[allow(unsafe_code)]
            let tail: &mut [u8] = unsafe { &mut *tail.get() };
            let (pointer, head) = (tail.as_ptr(), slot.head);
            let parts =
                &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut head[..]), IoSliceMut::new(tail)];
            let count = match rustix::io::readv(&self.descriptor, parts) {
                Ok(count) => count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                // The interface is down: it may come up again.
                Err(Errno::NETDOWN | Errno::IO) => break,
                Err(errno) if batch.is_empty() => return Err(system("reading a frame", errno)),
                Err(_) => break,
            };
            let Some(length) = count.checked_sub(VIRTIO_HEADER) else { continue };
            // The kernel's own headers are right; one that is not is a frame we do not understand.
            let Some(offload) = Offload::read(&header, length) else { continue };
            if length <= HEAD {
                batch.commit(self.port, length, offload);
            } else {
                if !held {
                    batch.hold(&self.anchor);
                    held = true;
                }
                let segment = Segment { pointer, length: length - HEAD };
                // SAFETY: the memory is the queue's, which the anchor keeps, and has `FRAME` octets.
                #[allow(unsafe_code)]
                unsafe {
                    batch.commit_with_tail(self.port, HEAD, offload, [segment]);
                }
            }
        }
        if batch.is_empty() {
            self.next_skip = (self.next_skip * 2 + 1).min(RAREST);
            self.skip = self.next_skip;
        } else {
            self.next_skip = 0;
        }
        Ok(batch.len())
    }

    fn wake(&mut self, _wanted: bool) -> Wake<'_> {
        (self.skip, self.next_skip) = (0, 0);
        Wake::Readable(self.descriptor.as_fd())
    }
}

impl SendQueue for DescriptorSend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        for (done, index) in frames.iter().enumerate() {
            let index = usize::from(*index);
            let header = batch.offload(index).header();
            let mut parts: [IoSlice<'_>; PARTS] = [IoSlice::new(&[]); PARTS];
            parts[0] = IoSlice::new(&header);
            parts[1] = IoSlice::new(batch.head(index));
            let tail = batch.tail(index);
            if tail.len() > PARTS - 2 {
                continue;
            }
            for (place, segment) in parts[2..].iter_mut().zip(tail) {
                // SAFETY: the segment is readable as long as the batch has the frame. Another process may write it
                // meanwhile; only the kernel reads through this slice, and it copes with that.
                #[allow(unsafe_code)]
                let octets = unsafe { std::slice::from_raw_parts(segment.pointer, segment.length) };
                *place = IoSlice::new(octets);
            }
            match rustix::io::writev(&self.descriptor, &parts[..2 + tail.len()]) {
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(done),
                // This one frame is not to its liking, or the interface is down: the others may fare better.
                Err(_) => {}
            }
        }
        Ok(frames.len())
    }

    fn takes_offloads(&self) -> bool {
        self.offloads
    }

    fn longest(&self) -> usize {
        self.longest
    }
}
