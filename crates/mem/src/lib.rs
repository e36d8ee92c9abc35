//! Who owns a frame and who may see a table: batches of frames, rings between threads, snapshots of tables,
//! counters, and the traits by which ports give and take frames.
//!
//! ```text
//! ReceiveQueue --receive--> Batch --(heads are read and rewritten in place)--> SendQueue::send
//! ```
//!
//! Invariants:
//! - A frame belongs to the batch it is in, a batch to one thread. Nothing here takes a lock, allocates or
//!   makes an atomic read-modify-write for each packet.
//! - The first [`HEAD`] octets of a frame lie in the batch's own memory; the rest may stay where the port
//!   received it (guest memory) until the batch is cleared, so that a large frame is copied once.
//!
//! Deliberately absent: headers (`wire`), drivers (`port`), decisions.
#![deny(unsafe_code)]

mod batch;
mod counter;
mod lane;
mod offload;
mod port;
mod ring;
mod snapshot;

pub use batch::{Anchor, BATCH, Batch, FRAME, HEAD, HEADROOM, Segment, Slot};
pub use counter::Counter;
pub use lane::{Entrance, Label, Outlet, lane};
pub use offload::{Offload, Segmentation, VIRTIO_HEADER};
pub use port::{PortError, PortNumber, ReceiveQueue, SendQueue, Wake};
pub use ring::{Consumer, Full, Producer, ring};
pub use snapshot::{Publisher, Reader, snapshot};

/// Asks the processor to fetch a value's first cache line; nothing is read.
#[inline]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching has no effect but on the cache, and a reference is a valid address. SSE belongs to
    // every x86-64.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
            std::ptr::from_ref(value).cast(),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
