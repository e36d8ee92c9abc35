//! What bridges tell collectors, set by the real `ovs-vsctl`, heard by sockets of the test, and decoded by scapy and by readers of
//! the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(unreachable_pub, reason = "helpers of the test")]

mod ipfix;
mod netflow;
#[path = "../place/mod.rs"]
mod place;
mod rig;
mod sflow;
