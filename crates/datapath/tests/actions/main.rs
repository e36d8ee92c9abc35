//! The actions of OpenFlow's data path, carried out by a worker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod differential;
mod kernel;
#[path = "../lines/mod.rs"]
mod lines;
mod ovs;
mod packets;
mod programs;
mod rig;
mod tunnels;
