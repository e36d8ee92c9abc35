//! Open vSwitch's own `ovs-ofctl`, and controllers of the field, at the switch's sockets; beside the real `ovs-vswitchd`
//! where it is installed.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../daemon/mod.rs"]
mod daemon;

mod controllers;
mod monitor;
mod places;
mod ring;
mod speed;
mod transcript;
mod tutorials;
