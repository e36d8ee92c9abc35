//! What is asked of connection tracking.

use std::net::IpAddr;

/// A way through connection tracking (`ct()` of ovs-actions(7)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Connect {
    /// Which of the independent tables of connections.
    pub zone: u16,
    /// Remembers the connection.
    pub commit: bool,
    /// The packet's direction is the original one, even if the connection was known the other way round.
    pub force: bool,
    /// What is written to the connection's mark: value and mask.
    pub mark: Option<(u32, u32)>,
    /// What is written to its label: value and mask.
    pub label: Option<(u128, u128)>,
    /// Address translation.
    pub nat: Option<Nat>,
    /// Which protocol helper watches it: `ftp`, `tftp`.
    pub helper: Option<&'static str>,
    /// Which timeouts it has; none for the usual ones.
    pub timeout: Option<u32>,
}

/// Address translation of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nat {
    /// As the connection has it; nothing new is begun.
    Known,
    /// The source of new connections is chosen of a range.
    Source(NatRange),
    /// The destination of new connections is chosen of a range.
    Destination(NatRange),
}

/// What addresses and ports are chosen of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NatRange {
    /// First and last address, of one family; none keeps the address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port; none keeps the port where that is possible.
    pub ports: Option<(u16, u16)>,
    /// The same client gets the same address each time.
    pub persistent: bool,
    /// The port is chosen by chance and not by a hash.
    pub random: bool,
}
