//! Where the headers of a packet are, for those who write into it.

use netloom_table::key::{Layers, extract, extract_beside};
use netloom_table::{Field, Key};

/// Where the headers of a packet are, as its key has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// It begins with an Ethernet header.
    pub ethernet: bool,
    /// First octet of the network layer.
    pub network: u16,
    /// First octet of the transport layer; 0 for none.
    pub transport: u16,
    /// EtherType of the network layer; 0 if that is too short or inconsistent.
    pub kind: u16,
    /// IP protocol behind extension headers.
    pub protocol: u8,
    /// As [`Field::IP_FRAG`].
    pub fragment: u8,
}

impl Layout {
    /// Of a packet whose key and layers were extracted.
    #[inline]
    #[must_use]
    pub fn of(key: &Key, layers: Layers) -> Self {
        let kind = if layers.short { 0 } else { key.get(Field::ETH_TYPE) as u16 };
        Self {
            ethernet: key.get(Field::PACKET_TYPE) == 0,
            network: layers.network,
            transport: layers.transport,
            kind,
            protocol: key.get(Field::IP_PROTO) as u8,
            fragment: key.get(Field::IP_FRAG) as u8,
        }
    }

    /// Of a packet with this head and `length`, by its `packet_type`; `key` is only a place to work.
    #[must_use]
    pub fn parse(head: &[u8], length: usize, packet_type: u32, key: &mut Key) -> Self {
        let layers = if packet_type == 0 {
            extract(head, length, 0, key)
        } else {
            key.reset();
            key.set(Field::PACKET_TYPE, packet_type.into());
            let beside = key.clone();
            extract_beside(head, length, &beside, key)
        };
        Self::of(key, layers)
    }
}
