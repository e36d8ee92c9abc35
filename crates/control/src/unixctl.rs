//! The control socket of `ovs-appctl`: JSON-RPC 1.0 over a unix stream, and the commands that are asked for by it.
//!
//! ```text
//! ovs-appctl -t SOCKET COMMAND ARGUMENTS...
//!    │ {"id":0,"method":COMMAND,"params":[ARGUMENTS]}           one JSON value after the other, nothing between them
//!    ▼
//! Unixctl (sockets, framing) ──▶ Call ──▶ Commands<C> ──▶ handler(&mut C, &[String]) ──▶ Answer ──▶ Unixctl
//! ```
//!
//! What: [`Unixctl`] takes connections and gives [`Call`]s to whoever turns it; [`Commands`] knows commands by name, their
//! usage and how many arguments they take; a handler gets the daemon's state `C`. [`Answer`] may be kept and given later,
//! from any thread. [`standard`] are the commands that every daemon has, [`vlog`] is the log that they change,
//! [`coverage`] counts events.
//!
//! Invariants: a request has at most a megabyte; a connection has one request at a time, and what it sends meanwhile
//! waits in the socket; there are at most so many connections. What is not a request ends its connection.
//!
//! Absent: the rest of JSON-RPC (notifications, requests of the server).
//! Source: `lib/unixctl.c` of Open vSwitch 3.1 as seen on its socket, and unixctl(7).

mod commands;
pub mod coverage;
mod framing;
mod server;
pub mod standard;
pub mod vlog;

pub use commands::{Answer, Call, Commands};
pub use framing::Framer;
pub use server::{Unixctl, ask, remove_stale};
