//! AF_XDP: the frames of an existing interface, taken before the host's stack sees them.
//!
//! ```text
//!  interface ─▶ program.rs (in the kernel) ─▶ socket of the queue ─▶ receive.rs ─▶ worker
//!      ▲                                      socket.rs, ring.rs                     │
//!      └────────────────────────────────────── umem.rs ◀──────────── send.rs ◀───────┘
//! ```
//!
//! ```no_run
//! use netloom_port::xdp::{Config, Port};
//!
//! let (port, mut pairs) = Port::open(1, &Config::new("veth0"))?;
//! // Each pair goes to a worker: `pair.from_interface` receives, `pair.to_interface` sends.
//! let pair = pairs.remove(0);
//! # drop(pair);
//! println!("{:?}", port.status());
//! # Ok::<(), netloom_port::xdp::OpenError>(())
//! ```
//!
//! What: [`Port::open`] attaches a small program of ours and makes one socket for each queue of the interface, all in one
//! memory. RSS of the device (or the sender's queues, for veth) then spreads flows over them.
//!
//! Invariants:
//! - Nothing stays on the interface when the process ends, however it ends.
//! - Whatever the rings say, nothing outside the port's own chunks is touched, and nothing panics.
//! - A tag that the device or the sender left beside a frame is put back where the kernel can tell it; where it can't,
//!   [`Mode::Auto`] refuses and says so, because a tagged frame must not look untagged.
//!
//! Deliberately absent: libbpf and libxdp; a memory shared between ports (a frame is copied once anyway, from head to
//! head, and a memory of its own goes away with its port); busy polling by the driver; hardware offloads on the way out.

mod btf;
mod checksum;
mod counters;
mod port;
mod program;
mod receive;
mod ring;
mod send;
mod socket;
#[cfg(all(test, not(loom)))]
mod tests;
mod umem;

pub use counters::QueueCounters;
pub use port::{Config, Mode, OpenError, Pair, Port, Presence, QUEUES, Status, Way};
pub use receive::FromInterface;
pub use send::ToInterface;
pub use socket::Statistics;
