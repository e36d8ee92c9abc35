//! A synchronous netlink client made for many small changes and for large dumps.
//!
//! What: [`Messages`] holds any number of requests in one buffer, [`Socket`] sends them in as few system
//! calls as the kernel's buffers allow and collects one verdict per request; [`Replies`] holds the
//! answer of a dump in one buffer, read in place with [`Attributes`].
//!
//! Invariants:
//! - A request is executed before `sendmsg` returns, so its acknowledgement is already queued: nothing
//!   here ever waits for an answer that cannot come.
//! - A socket stays in the network namespace in which it was opened, whatever its thread does later.
//! - No message is believed: every length is checked, a short attribute reads as absent.
//!
//! Costs: one system call per 64 KiB or [`BATCH`] requests, one per 32 KiB of answers; no allocation per
//! message or attribute.
//!
//! Deliberately absent: async, retries of changes (only dumps are repeated, when the kernel says that
//! it changed meanwhile).

mod attribute;
mod error;
mod generic;
mod message;
mod socket;

pub use attribute::{Attribute, Attributes};
pub use error::{NetlinkError, Refusal};
pub use generic::{Family, family};
pub use message::{Message, Messages};
pub use socket::{BATCH, Protocol, Replies, Reply, Socket};
