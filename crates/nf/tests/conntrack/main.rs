//! Connection tracking as its users see it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod against_kernel;
mod against_ovs;
mod basic;
mod fragmented;
mod helpers;
mod oracle;
mod packets;
mod switch;
mod translated;
