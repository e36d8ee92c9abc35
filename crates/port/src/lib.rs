//! Doors to the world: each port yields queues that fill and take [`netloom_mem::Batch`]es.
//!
//! - [`tap`]: interfaces of this host whose other end is a port.
//! - [`packet`]: existing interfaces, by packet sockets.
//! - [`patch`]: other switches of the same program.
//! - [`pcap`]: files of captured frames; [`pcapng`] with comments, for captures of a switch.
//! - [`dummy`]: nothing is behind it: frames are put in by hand, for tests.
//! - [`memory`]: two ports that are each other's other side, in this program.
//! - [`wrap`]: queues around queues, which trace or make faults.
//! - [`xdp`]: existing interfaces, by AF_XDP sockets.
//! - `dpdk`: DPDK's devices, in programs that are built with the feature of this name.
//! - [`vhost`]: virtual machines and other programs that speak vhost-user.
//!
//! Invariants:
//! - Whoever is on the other side is hostile: no octet it can write makes this crate panic, block a worker, or
//!   touch memory that the other side did not hand over.
//! - A worker that calls a queue takes no lock, allocates nothing and makes no system call for each packet.
//!   What changes rarely (connections, rings, memory) happens on threads of the port's own.
//!
//! Deliberately absent: what frames mean (`wire`, `table`), and where they go (`datapath`).
#![deny(unsafe_code)]

mod descriptor;
mod device;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod dummy;
pub mod memory;
pub mod packet;
mod packet_ring;
pub mod patch;
pub mod pcap;
pub mod pcapng;
pub mod tap;
pub mod vhost;
pub mod wrap;
pub mod xdp;

pub use device::{Carrier, Facts, Presence};
