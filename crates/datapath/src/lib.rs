//! The worker: takes batches from ports, finds each packet's flow, carries out its program, gives the packets to ports.
//!
//! ```text
//! receive -> extract keys -> megaflow cache -(miss)-> Brain::translate -> insert
//!                                  `--------------------> program -> stage per port -> send -> flush
//! ```
//!
//! Invariants:
//! - A worker is one thread's. It shares counters (written by it only), an inbox of commands, lanes to the other workers
//!   and the log of what changed; a lock only when something changed.
//! - For a packet whose flow is known there is no allocation, no lock and no system call of ours.
//! - Packets of one flow leave in the order they came.
//! - Whatever is lost has a [`netloom_nf::Reason`] and is counted at the port it came in.
//!
//! Deliberately absent: drivers (it sees `mem`'s traits), decisions (it asks a [`Brain`]), threads (its owner runs it).
#![forbid(unsafe_code)]

mod balance;
mod brain;
mod changes;
mod counters;
mod crew;
mod crossing;
mod exit;
mod flows;
mod inbox;
mod links;
mod pace;
mod shapers;
mod share;
mod watch;
mod worker;

pub use brain::{Answer, Brain, Execution, Heard, Question, Tag, Used, Wishes};
pub use counters::{PortTotals, WorkerCounters};
pub use crew::{Before, Crew, CrewHandle, Move, PortQueues, QueueStatus, Stuck, WORKERS, crew};
pub use flows::{FlowBounds, FlowReport};
pub use inbox::Side;
pub use links::{LinkTotals, TICK};
pub use pace::{Pace, run};
pub use shapers::{QueueTotals, Shaping};
pub use watch::{Fate, Seen, Watch};
pub use worker::Worker;
