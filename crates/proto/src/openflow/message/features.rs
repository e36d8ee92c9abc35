//! What a switch is and how it is set: features and configuration (OpenFlow 1.5, 7.3.1 and 7.3.2).

use super::numbers::{flags, numbers};
use super::octets::Decoded;
use super::port::PortDescription;
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

flags! {
    /// What a switch can do beside matching. Version 1.0 writes [`Self::SPANNING_TREE`] where the others write
    /// [`Self::GROUP_STATISTICS`]; here both have bits of their own.
    pub struct Capabilities: u32 {
        /// Statistics of flows.
        FLOW_STATISTICS = 1 << 0, "FLOW_STATS";
        /// Statistics of tables.
        TABLE_STATISTICS = 1 << 1, "TABLE_STATS";
        /// Statistics of ports.
        PORT_STATISTICS = 1 << 2, "PORT_STATS";
        /// Statistics of groups, from version 1.1 on.
        GROUP_STATISTICS = 1 << 3, "GROUP_STATS";
        /// Can put fragments together.
        REASSEMBLES_FRAGMENTS = 1 << 5, "IP_REASM";
        /// Statistics of queues.
        QUEUE_STATISTICS = 1 << 6, "QUEUE_STATS";
        /// Matches addresses in ARP, in versions 1.0 and 1.1.
        ARP_ADDRESSES = 1 << 7, "ARP_MATCH_IP";
        /// Blocks ports that close a loop, from version 1.2 on.
        BLOCKS_PORTS = 1 << 8, "PORT_BLOCKED";
        /// Bundles, from version 1.4.1 on.
        BUNDLES = 1 << 9, "BUNDLES";
        /// Flow monitors, from version 1.4.1 on.
        FLOW_MONITORING = 1 << 10, "FLOW_MONITORING";
        /// Spanning tree, in version 1.0 only.
        SPANNING_TREE = 1 << 31, "STP";
    }
}

impl Capabilities {
    const EVER: Self = Self::FLOW_STATISTICS
        .or(Self::TABLE_STATISTICS)
        .or(Self::PORT_STATISTICS)
        .or(Self::REASSEMBLES_FRAGMENTS)
        .or(Self::QUEUE_STATISTICS);

    /// What a version can say.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        let more = match version {
            Version::V10 => Self::SPANNING_TREE.or(Self::ARP_ADDRESSES),
            Version::V11 => Self::GROUP_STATISTICS.or(Self::ARP_ADDRESSES),
            Version::V12 | Version::V13 => Self::GROUP_STATISTICS.or(Self::BLOCKS_PORTS),
            Version::V14 | Version::V15 => {
                Self::GROUP_STATISTICS.or(Self::BLOCKS_PORTS).or(Self::BUNDLES).or(Self::FLOW_MONITORING)
            }
        };
        Self::EVER.or(more)
    }

    fn decode(version: Version, bits: u32) -> Self {
        let bits = match version {
            Version::V10 => bits & !(Self::SPANNING_TREE.bits() | 8) | (bits & 8) << 28,
            _ => bits & !Self::SPANNING_TREE.bits(),
        };
        Self::from_bits(bits).and(Self::of_version(version))
    }

    fn encode(self, version: Version) -> u32 {
        let bits = self.and(Self::of_version(version)).bits();
        if version == Version::V10 { bits & !Self::SPANNING_TREE.bits() | bits >> 28 & 8 } else { bits }
    }
}

/// Answer to a request for features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Number of the datapath: 16 bits of choice and a MAC address.
    pub datapath: u64,
    /// Packets that can wait in the switch for their packet-out.
    pub buffers: u32,
    /// Tables. Legal values: 1 to 254; OVS says 254.
    pub tables: u8,
    /// Number of the connection, 0 for the main one; from version 1.3 on.
    pub auxiliary: u8,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Actions by the numbers of version 1.0, as bits; only in that version.
    pub actions: u32,
    /// The ports; up to version 1.2. Those that do not fit in a message are left out.
    pub ports: Vec<PortDescription>,
}

impl Features {
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let (datapath, buffers, tables, auxiliary) = (body.u64()?, body.u32()?, body.u8()?, body.u8()?);
        body.skip(2)?;
        let capabilities = Capabilities::decode(version, body.u32()?);
        let actions = body.u32()?;
        let mut features = Self {
            datapath,
            buffers,
            tables,
            auxiliary: if version >= Version::V13 { auxiliary } else { 0 },
            capabilities,
            actions: if version == Version::V10 { actions } else { 0 },
            ports: Vec::new(),
        };
        if version >= Version::V13 && !body.is_empty() {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        while !body.is_empty() {
            features.ports.push(PortDescription::decode(version, body)?);
        }
        Ok(features)
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u64(self.datapath);
        writer.u32(self.buffers);
        writer.u8(self.tables);
        writer.u8(if version >= Version::V13 { self.auxiliary } else { 0 });
        writer.zeros(2);
        writer.u32(self.capabilities.encode(version));
        writer.u32(if version == Version::V10 { self.actions } else { 0 });
        if version < Version::V13 {
            for port in &self.ports {
                let start = writer.len();
                port.encode(version, writer);
                if writer.len() > super::header::GREATEST_LENGTH {
                    writer.truncate(start);
                    break;
                }
            }
        }
    }
}

numbers! {
    /// What becomes of fragments of IP packets.
    pub enum FragmentHandling: u16 {
        /// Nothing special: ports are zero in all of them.
        Normal = 0,
        /// They are dropped.
        Drop = 1,
        /// They are put together.
        Reassemble = 2,
        /// The first one's ports are matched (Nicira's extension).
        MatchFirst = 3,
    }
}

/// How a switch is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwitchConfig {
    /// What becomes of fragments.
    pub fragments: FragmentHandling,
    /// Whether packets whose time to live ran out go to the controller; up to version 1.2.
    pub invalid_ttl_to_controller: bool,
    /// Octets of a packet that a table miss sends to the controller. `0xffff` means all.
    pub miss_send_length: u16,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self { fragments: FragmentHandling::Normal, invalid_ttl_to_controller: false, miss_send_length: 128 }
    }
}

impl SwitchConfig {
    const INVALID_TTL: u16 = 4;

    /// Flags that the version has not are an error in what is set, and passed over in what is told.
    pub(super) fn decode(version: Version, set: bool, body: &mut Reader<'_>) -> Decoded<Self> {
        let (bits, miss_send_length) = (body.u16()?, body.u16()?);
        let invalid_ttl_to_controller = version < Version::V13 && bits & Self::INVALID_TTL != 0;
        let legal = if version < Version::V13 { 3 | Self::INVALID_TTL } else { 3 };
        let fragments = FragmentHandling::from_number(bits & 3);
        match fragments {
            Some(fragments) if !set || bits & !legal == 0 => {
                Ok(Self { fragments, invalid_ttl_to_controller, miss_send_length })
            }
            _ => Err(OfError::OFPSCFC_BAD_FLAGS),
        }
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let ttl =
            if self.invalid_ttl_to_controller && version < Version::V13 { Self::INVALID_TTL } else { 0 };
        writer.u16(self.fragments.number() | ttl);
        writer.u16(self.miss_send_length);
    }
}
