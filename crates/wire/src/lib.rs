//! The nouns of a network: addresses, identifiers and names with their legal values; and its headers.
//!
//! What: newtypes for everything that travels on a wire or names a device. A noun that exists is
//! legal: fields are private and the only ways in are `TryFrom` and `FromStr`. Numbers of which every value is
//! legal ([`EtherType`], [`IpProtocol`]) are open newtypes with named constants. [`header`] reads and writes
//! packets, [`frame`] finds a frame's layers in one pass, [`checksum`] sums them.
//!
//! Invariants: `parse . display = id` for every noun and `parse . emit = id` for every header; no operation
//! panics on any input; nothing allocates but the making of texts.
//!
//! Deliberately absent: I/O, clocks, state.
#![forbid(unsafe_code)]

pub mod checksum;
pub mod frame;
pub mod header;
mod ident;
mod mac;
mod name;
mod number;
mod text;

pub use ident::{Dscp, VlanId, Vni};
pub use mac::MacAddr;
pub use name::{InterfaceName, NodeName};
pub use number::{EtherType, IpProtocol, udp_port};

/// Why a text or a number is not the noun it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NounError {
    /// A MAC address is six octets in hexadecimal, separated by `:` or `-`.
    #[error("`{0}` is not a MAC address: six octets like 02:00:00:00:00:01")]
    Mac(String),
    /// A number lies outside the noun's legal range (both bounds inclusive).
    #[error("{what} {value} is outside {low}..{high}")]
    Range {
        /// The noun.
        what: &'static str,
        /// The value that was offered.
        value: u64,
        /// Smallest legal value.
        low: u64,
        /// Largest legal value.
        high: u64,
    },
    /// The text is not a number at all.
    #[error("`{text}` is not a {what}")]
    Number {
        /// The noun.
        what: &'static str,
        /// The text that was offered.
        text: String,
    },
    /// A name breaks the rules of its kind.
    #[error("`{text}` is not {what}: {rule}")]
    Name {
        /// The kind of name.
        what: &'static str,
        /// The text that was offered.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}
