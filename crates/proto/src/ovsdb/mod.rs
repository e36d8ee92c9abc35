//! The Open vSwitch database management protocol (RFC 7047) with the extensions of Open vSwitch: data, schema,
//! transactions, monitors, locks, the log file, and both ends of a connection as machines.
//!
//! What: [`Schema`] and [`Database`] are what is stored, [`transaction`] changes it, [`server`] serves any number of
//! clients and databases, [`client`] is the other end with a copy of what it follows. [`record`] and [`log`] are the
//! standalone file format of `ovsdb-tool`.
//!
//! Invariants: nothing here does I/O, reads a clock or makes randomness: octets, milliseconds and a seed come in, octets
//! go out. What a peer can make grow is bounded: [`json::DEPTH`], the splitter's limit, and the server's limits.
//!
//! Deliberately absent: clustered databases (Raft), relays and role-based access control.

mod atom;
pub mod client;
pub mod condition;
mod database;
mod datum;
mod error;
mod history;
pub mod json;
pub mod log;
mod members;
pub mod message;
mod mutation;
pub mod record;
mod row;
mod schema;
pub mod server;
mod symbols;
pub mod text;
pub mod transaction;
mod types;
mod uuid;

pub use atom::Atom;
pub use database::{Database, Prepared, RowChange, Table};
pub use datum::Datum;
pub use error::OvsdbError;
pub use history::{Commit, History};
pub use json::Json;
pub use members::is_id;
pub use row::Row;
pub use schema::{Column, STANDARD_COLUMNS, Schema, TableSchema, UUID, VERSION};
pub use symbols::Names;
pub use types::{AtomicType, BaseType, ColumnType, Limits, Reference};
pub use uuid::{NotUuid, Uuid, UuidSource};

/// The schema of the database `Open_vSwitch`, version 8.3.1: the facts of ovs-vswitchd.conf.db(5) (tables, columns, types,
/// bounds) in a layout of our own, defaults left out. `cksum` is that of this file, as `cksum(1)` counts the lines without
/// that one; clients compare names and types only.
pub const OPEN_VSWITCH: &str = include_str!("vswitch.ovsschema");
/// The schema of the database `_Server`, in which a server describes itself.
pub const SERVER: &str = include_str!("server.ovsschema");
