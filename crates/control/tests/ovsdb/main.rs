//! The database server with real files, sockets and the programs of Open vSwitch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod clients;
mod crowds;
mod files;
mod idl;
mod kills;
mod place;
mod remotes;
mod transcript;
