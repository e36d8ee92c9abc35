//! OpenFlow connections of the switch: controllers and tools on one side, the tables of bridges on the other.
//!
//! ```text
//! sockets -> service (one thread, epoll) -> session (proto) -> Turn: one connection at its bridge
//!                                                               |  requests/*: what is asked, what is answered
//!                                                               v
//!                        news of bridges -> events -> told    Ground: tables (vswitch), packets, counts
//! ```
//!
//! What: [`OpenFlow`] is one thread for all bridges: sockets `BRIDGE.mgmt` and `BRIDGE.snoop` in the daemon's directory, and the
//! targets of the database's table `Controller`. Answers and errors are those of Open vSwitch 3.1.
//!
//! Invariants: the work for one connection in one round is bounded, and so is what it can make grow; the lock of the bridges
//! is held for one message, one bundle, a slice of an answer or some flow mods that came together. Packets and other peers
//! wait for no peer.
//!
//! Deliberately absent: hidden flows of in-band control, auxiliary connections
//! (Open vSwitch has none either).

mod apply;
mod bridge;
mod connection;
mod continuation;
mod controllers;
mod events;
mod ground;
mod links;
mod requests;
mod service;
mod settings;
mod throttle;
mod turn;
mod vigil;

#[cfg(test)]
mod tests;

pub(super) use service::{OpenFlow, Statuses};
pub(super) use settings::{BridgeSettings, ControllerSettings, ControllerStatus};
