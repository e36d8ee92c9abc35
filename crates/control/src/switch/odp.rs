//! Packets and actions in the words of the data path: `in_port(1),eth(src=...,dst=...),eth_type(0x0800),ipv4(...)`.
//!
//! What: [`flow`] prints which packets a flow is for, [`parse`] reads a packet that
//! somebody wrote down, and [`frame`] makes its octets.
//!
//! What is done with packets `netloom_vswitch::openflow::translate::print_program` says in the same words.
//!
//! Source: the output of `ovs-appctl dpctl/dump-flows` and `dpif/dump-flows` of Open vSwitch 3.1, and its test suite.

mod compose;
mod parse;
mod print;
mod tunnels;

pub(super) use compose::frame;
pub(super) use parse::parse;
pub(super) use print::{Style, flow};
pub(super) use tunnels::program as tunnel_program;

#[cfg(test)]
mod tests;
