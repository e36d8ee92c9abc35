//! Packets and actions in the words of the data path: `in_port(1),eth(src=...,dst=...),eth_type(0x0800),ipv4(...)`.
//!
//! What: [`flow`] prints which packets a flow is for, [`actions`] what is done with them, [`parse`] reads a packet that
//! somebody wrote down, and [`frame`] makes its octets.
//!
//! Source: the output of `ovs-appctl dpctl/dump-flows` and `dpif/dump-flows` of Open vSwitch 3.1, and its test suite.

mod compose;
mod parse;
mod print;
mod steps;

pub(super) use compose::frame;
pub(super) use parse::parse;
pub(super) use print::{Style, flow};
pub(super) use steps::actions;

#[cfg(test)]
mod tests;
