//! The database engine against a slow oracle, against itself, and against the real `ovsdb-server`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod differential;
mod files;
mod follow;
mod generate;
mod monitors;
mod operations;
mod oracle;
mod peer;
mod schemas;
mod suite;
