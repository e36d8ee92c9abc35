//! A daemon's successor goes on where it was: descriptors, what was learned, flows and counts change hands between two
//! batches.
//!
//! ```text
//!  successor                          predecessor
//!  take-over, version ──────────────▶ workers pause between two batches
//!  ◀────── state, flows, descriptors
//!  builds everything, begins nothing
//!  ready ───────────────────────────▶
//!  ◀────────────────────────── commit
//!  going ───────────────────────────▶
//!  workers begin
//!  begun ───────────────────────────▶ ends without touching anything
//! ```
//!
//! Invariants:
//! - Until it has read `going` the predecessor can go on as if nothing had been, and does when the successor says no, is
//!   silent for too long (then it is killed first), or goes away. The successor begins only after it has said `going`.
//! - Between `going` and `begun` nobody knows how far the successor came. If it dies there, the predecessor goes on and has
//!   the guests of vhost-user ports connect again, since only the dead one knew where their rings were.
//! - At no time do two processes serve a queue.
//! - The control socket listens all the time: clients that come meanwhile wait for the successor.
//! - State is JSON whose unknown parts are ignored; another [`VERSION`] is refused before anything stops.
//!
//! Costs: queues stand still from the pause to `going`: some milliseconds, and more with many flows or stations. What the
//! kernel and guests hold for a port until then waits there.
//!
//! Deliberately absent: token buckets (they begin full), frames under way on simulated links (they are lost with the
//! predecessor), the history of a bond's shares (a flow may take another member), ports whose drivers can't pass on what
//! they have: those are closed and opened again.

mod facts;
mod flows;
mod predecessor;
mod successor;
mod talk;

pub use facts::Passed;
pub use successor::{TakeOver, TakeOverError};

/// Version of the conversation and of the state's meaning.
pub(super) const VERSION: u32 = 1;

/// Tells who wanted to be a successor that it is none.
pub(super) fn say_refusal(
    stream: &std::os::unix::net::UnixStream,
    why: &impl std::fmt::Display,
) -> std::io::Result<()> {
    talk::say(stream, &talk::Word::Refused { why: why.to_string() })
}
