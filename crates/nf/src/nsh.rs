//! Network service headers (RFC 8300) put before packets and taken again.

/// A network service header that is put before a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NshHeader {
    /// Time to live. Legal values: 0 to 63.
    pub ttl: u8,
    /// Next protocol (RFC 8300, 2.2): 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS.
    pub next: u8,
    /// Service path identifier (24) and index (8).
    pub path: u32,
    /// What follows.
    pub metadata: NshMetadata,
}

/// The metadata of a network service header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NshMetadata {
    /// Type 1: four context headers.
    Fixed([u32; 4]),
    /// Type 2: options, padded to four octets; at most 248.
    Variable(Box<[u8]>),
}
