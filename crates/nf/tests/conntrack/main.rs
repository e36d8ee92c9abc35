//! Connection tracking as its users see it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod against_kernel;
mod against_ovs;
mod any;
mod basic;
mod fragmented;
mod fragments_against_ovs;
mod ftp_against_ovs;
mod helpers;
#[allow(unreachable_pub, reason = "the fuzz targets call them, too")]
mod laws;
mod oracle;
mod packets;
mod switch;
mod translated;
