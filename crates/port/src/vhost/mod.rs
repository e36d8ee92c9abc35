//! vhost-user: frames to and from virtual machines (and DPDK programs) through rings in memory that they share.
//!
//! ```text
//!  front end (QEMU, virtio-user)                     worker
//!      │ socket                                        │ receive, complete, send, flush
//!      ▼                                               ▼
//!  port.rs ─▶ protocol.rs ─▶ session.rs ─▶ handover.rs ─▶ receive.rs, send.rs
//!                              │                            │
//!                              ▼                            ▼
//!                           memory.rs (fault.rs) ◀─── split.rs, packed.rs (ring.rs, moves.rs)
//! ```
//!
//! What: [`Port::open`] makes a port of one or more queue pairs; each [`Pair`] holds a queue to receive from and one to
//! send to. Rings are split or packed, buffers mergeable or not, chains direct or indirect; offloads travel in the
//! virtio-net header.
//!
//! Invariants:
//! - The packet path takes no lock, allocates nothing, and makes system calls only to interrupt a guest that asked for it.
//! - What a guest writes is read once, checked, and then used from our copy. A guest that breaks the rules stops its own
//!   ring, with the reason in its [`QueueCounters`].
//! - The control path never changes a ring under a worker (`handover.rs`, `gate.rs`).
//!
//! Deliberately absent: control queues (front ends have their own), IOTLB, post-copy migration, in-band notifications.

mod counters;
mod fault;
mod features;
mod gate;
mod handover;
mod inflight;
mod log;
mod memory;
pub(crate) mod moves;
mod packed;
mod passing;
mod port;
mod protocol;
mod receive;
mod ring;
mod send;
mod session;
mod split;

pub use counters::{Broken, Drop, QueueCounters};
pub use fault::replaced_mappings;
pub use memory::MemoryError;
pub use passing::{Facts, Passed};
pub use port::{Config, Mode, OpenError, PAIRS, Pair, Port, Status};
pub use protocol::ProtocolError;
pub use receive::FromGuest;
pub use send::ToGuest;
pub use session::SessionError;
