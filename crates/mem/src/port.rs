//! What a worker knows of a port: a queue to receive from and a queue to send to.

use crate::batch::Batch;
use crate::offload::Offload;
use std::os::fd::BorrowedFd;

/// A port's number in its data path. Zero is no port.
pub type PortNumber = u32;

/// Why a queue can't go on. What only concerns one frame is counted, not returned.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The other side is gone; the port comes back by itself when the other side does.
    #[error("the peer of the port is gone")]
    Gone,
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What to wait for before a queue has work again.
#[derive(Debug, Clone, Copy)]
pub enum Wake<'a> {
    /// The descriptor becomes readable. The queue clears it itself when it is told not to wake any more.
    Readable(BorrowedFd<'a>),
    /// Nothing tells: it must be polled.
    Poll,
    /// Never by itself (a disconnected peer).
    Never,
}

/// Where frames come from. One thread uses it at a time.
pub trait ReceiveQueue: Send {
    /// Fills an empty batch with the frames that wait, without blocking, and gives their number.
    ///
    /// Memory that frames of the last batch refer to may be given back to its owner now.
    ///
    /// # Errors
    /// When the port can't go on; frames that were taken before that are in the batch.
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError>;

    /// Gives back what the frames of the batch still occupy at the sender; called when the batch was dealt
    /// with and before it is cleared.
    fn complete(&mut self) {}

    /// Asks to be woken when frames come (`true`), or not to (`false`), and says what to wait for. A queue that has frames
    /// by then says [`Wake::Poll`] or has its descriptor be readable: as long as the descriptor is not readable there is
    /// nothing to be received.
    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        let _ = wanted;
        Wake::Poll
    }
}

/// Where frames go. One thread uses it at a time.
pub trait SendQueue: Send {
    /// Sends frames of a batch, given by their indexes, in order, and gives how many were taken; the rest
    /// found no room and is the caller's to count. The frames stay in the batch.
    ///
    /// # Errors
    /// When the port can't go on; none of the frames counts as sent then.
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError>;

    /// Makes everything that was sent visible to the other side, and wakes it where it asked for that.
    fn flush(&mut self) {}

    /// Whether the other side takes frames here at all, for ports of several queues of which some may not be in use.
    /// [`SendQueue::flush`] is called after it said yes.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Whether all frames may leave as they are, with open checksums and uncut ([`crate::Offload`]).
    fn takes_offloads(&self) -> bool {
        false
    }

    /// Whether a frame with these offloads may leave as it is, for queues that take some and not others.
    fn takes(&self, offload: &Offload) -> bool {
        offload.is_complete() || self.takes_offloads()
    }

    /// Longest frame that leaves in one piece, in octets with the Ethernet header.
    fn longest(&self) -> usize {
        usize::MAX
    }
}
