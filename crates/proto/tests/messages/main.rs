//! OpenFlow messages and connections: recorded ones, mutated ones, and what Open vSwitch's own tools make of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests say so when they fail")]

#[path = "../openflow_laws/messages.rs"]
mod laws;
mod oracle;
mod parts;
mod recorded;
mod sessions;
