//! The switch daemon's side of control: bridges and ports by name, changed by requests, carried by workers.
//!
//! ```text
//! client -> socket -> Request -> Switch -> bridges (vswitch) <- asked by - workers (datapath)
//!                                   `----> ports through Doors ----------> workers
//! ```
//!
//! What: [`Switch`] carries out requests one at a time and keeps the whole configuration in one file, so that a
//! restart brings back what was there. Drivers are behind [`Doors`], which the program gives.
//!
//! Invariants: a request is carried out whole or not at all. The lock of the bridges is taken by workers for packets
//! without a flow only.

mod appctl;
mod bonds;
mod brain;
mod capture;
mod configuration;
mod credits;
mod database;
mod doors;
mod events;
mod exports;
mod filter;
mod flow_words;
mod interfaces;
mod links;
mod lists;
mod mirrors;
mod news;
mod numbers;
mod odp;
mod ofports;
mod openflow;
mod opening;
mod protocol;
mod qos;
mod records;
mod routes;
mod server;
mod shaping;
mod start;
mod state;
mod succession;
mod tables;
mod tick;
mod touched;
mod tunnels;
mod underlay;
mod warp;
mod watches;
pub(crate) mod why;
mod words;

pub use appctl::ControlSocket;
pub use capture::{CaptureRequest, CapturedLoss, CapturedPacket};
pub use configuration::{Options, PortConfiguration, SwitchConfiguration};
pub(crate) use database::{FILE, left};
pub use doors::{Doors, DummyPort, OpenPort};
pub use filter::{FilterError, parse as parse_filter};
pub use links::{all as link_options, is_link as link_option};
pub use protocol::{
    BondStatus, ConsideredPort, Event, EventKind, LacpStatus, LinkStatus, MemberStatus, MirrorStatus,
    PortStatus, QueueStatus, Reply, Request, Row, StationStatus, SwitchStatus, WorkerStatus,
};
pub use server::{Ended, Server, StartSuccessor, Successor, SwitchSocket, ask, watch};
pub use start::{Keeping, Start};
pub(crate) use state::NOT_OPEN;
pub use state::{GONE, Switch, SwitchError};
pub use succession::{Passed, TakeOver, TakeOverError};
