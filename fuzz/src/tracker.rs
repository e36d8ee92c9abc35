//! Connection tracking: its laws, and the packets that they are about.

#[path = "../../crates/nf/tests/conntrack/laws.rs"]
pub mod laws;
#[allow(dead_code, reason = "the laws need some of it")]
#[path = "../../crates/nf/tests/conntrack/packets.rs"]
mod packets;
