//! Serving databases: files and sockets around the machines of `netloom_proto::ovsdb`.
//!
//! What: [`OvsdbServer`] is one thread for all databases, listeners and clients; [`DatabaseHandle`] is how the rest of
//! the process speaks to it. [`DatabaseClient`] follows a database that another process serves.
//! [`DatabaseFile`] is a standalone file that `ovsdb-tool` reads too.
//!
//! Invariants: a commit that is answered as durable is on the disk; one write to the disk serves all that came together.
//! A client holds at most 32 MiB of what it says and one answer of what it is told: who
//! does not read is not read from.
//!
//! Deliberately absent: names of hosts (addresses only).

mod active;
mod client;
pub mod commands;
mod connection;
mod control;
mod file;
mod handle;
mod keys;
mod lock;
mod manager;
mod relay;
pub mod replication;
mod server;

pub use crate::sockets::{KeyFiles, Remote, RemoteError, RemoteOptions, RemoteStatus};
pub use client::{Asker, DatabaseClient, Follow, News, remotes};
pub use control::DatabaseControl;
pub use file::{DatabaseFile, FileError};
pub use handle::{AddError, DatabaseHandle, Followed, Gone, Wake};
pub use keys::{KeySource, KeySources};
pub use relay::{Relay, RelayError};
pub use server::{OvsdbServer, StartError};
