//! DPDK devices, with the distribution's libdpdk; only in programs that are built with the feature `dpdk`.
//!
//! ```text
//!  device ◀─▶ driver (libdpdk) ◀─▶ shim.c ◀─▶ sys.rs ◀─▶ queue.rs ◀─▶ worker
//!                                              port.rs, environment.rs
//! ```
//!
//! What: [`Port::open`] starts DPDK's environment with the first port, has a device made or found by its words, and gives
//! a pair of queues for each of the device's. Cards need to be bound to `vfio-pci` first; virtual devices need nothing.
//!
//! Invariants: `shim.c` holds everything of DPDK that is inline or a structure, so that nothing here depends on how a
//! release lays them out.
//!
//! Deliberately absent: offloads of the device, interrupts, secondary processes, bindings that are generated.

mod environment;
mod port;
mod queue;
mod sys;

pub use port::{Config, OpenError, Pair, Port, QUEUES, Status};
pub use queue::{FromDevice, QueueCounters, ToDevice};
pub use sys::Statistics;
