//! Ports: their descriptions, what changed of them, and how they are set (OpenFlow 1.5, 7.2.1, 7.3.4.3 and 7.4.3).

use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore, WriteMore};
use super::property::{self, PropertyKind};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, OfPort, Version};
use netloom_wire::MacAddr;

flags! {
    /// How a port is set.
    pub struct PortConfig: u32 {
        /// It is down.
        DOWN = 1 << 0, "PORT_DOWN";
        /// No spanning tree on it; version 1.0 only.
        NO_SPANNING_TREE = 1 << 1, "NO_STP";
        /// What comes in is dropped.
        NO_RECEIVE = 1 << 2, "NO_RECV";
        /// Spanning tree's frames that come in are dropped; version 1.0 only.
        NO_RECEIVE_SPANNING_TREE = 1 << 3, "NO_RECV_STP";
        /// No part in floods; version 1.0 only.
        NO_FLOOD = 1 << 4, "NO_FLOOD";
        /// What would go out is dropped.
        NO_FORWARD = 1 << 5, "NO_FWD";
        /// What misses is not sent to the controller.
        NO_PACKET_IN = 1 << 6, "NO_PACKET_IN";
    }
}

impl PortConfig {
    /// What a version can say.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 => Self::ALL,
            _ => Self::DOWN.or(Self::NO_RECEIVE).or(Self::NO_FORWARD).or(Self::NO_PACKET_IN),
        }
    }
}

flags! {
    /// How a port is. Version 1.0 has a number of spanning tree in bits 8 and 9; the others say whether it is blocked and
    /// alive.
    pub struct PortState: u32 {
        /// No carrier.
        LINK_DOWN = 1 << 0, "LINK_DOWN";
        /// Something outside of OpenFlow blocks it; from version 1.1 on.
        BLOCKED = 1 << 1, "BLOCKED";
        /// Alive for groups of fast failover; from version 1.1 on.
        LIVE = 1 << 2, "LIVE";
        /// Spanning tree learns on it; version 1.0 only.
        LEARNING = 1 << 8, "STP_LEARN";
        /// Spanning tree forwards on it; version 1.0 only. With [`Self::LEARNING`]: it blocks it.
        FORWARDING = 2 << 8, "STP_FORWARD";
    }
}

impl PortState {
    /// Spanning tree blocks the port; version 1.0 only.
    pub const SPANNING_TREE_BLOCKS: Self = Self::LEARNING.or(Self::FORWARDING);

    /// What a version can say.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 => Self::LINK_DOWN.or(Self::LEARNING).or(Self::FORWARDING),
            _ => Self::LINK_DOWN.or(Self::BLOCKED).or(Self::LIVE),
        }
    }
}

flags! {
    /// Rates and media of a port, by the bits of version 1.1 and after.
    pub struct PortFeatures: u32 {
        /// 10 Mbit/s, half duplex.
        HALF_10_MB = 1 << 0, "10MB-HD";
        /// 10 Mbit/s.
        FULL_10_MB = 1 << 1, "10MB-FD";
        /// 100 Mbit/s, half duplex.
        HALF_100_MB = 1 << 2, "100MB-HD";
        /// 100 Mbit/s.
        FULL_100_MB = 1 << 3, "100MB-FD";
        /// 1 Gbit/s, half duplex.
        HALF_1_GB = 1 << 4, "1GB-HD";
        /// 1 Gbit/s.
        FULL_1_GB = 1 << 5, "1GB-FD";
        /// 10 Gbit/s.
        FULL_10_GB = 1 << 6, "10GB-FD";
        /// 40 Gbit/s; from version 1.1 on.
        FULL_40_GB = 1 << 7, "40GB-FD";
        /// 100 Gbit/s; from version 1.1 on.
        FULL_100_GB = 1 << 8, "100GB-FD";
        /// 1 Tbit/s; from version 1.1 on.
        FULL_1_TB = 1 << 9, "1TB-FD";
        /// Another rate; from version 1.1 on.
        OTHER = 1 << 10, "OTHER";
        /// Copper.
        COPPER = 1 << 11, "COPPER";
        /// Fibre.
        FIBER = 1 << 12, "FIBER";
        /// The rate is negotiated.
        NEGOTIATED = 1 << 13, "AUTO_NEG";
        /// Pause frames.
        PAUSE = 1 << 14, "AUTO_PAUSE";
        /// Pause frames one way.
        PAUSE_ONE_WAY = 1 << 15, "AUTO_PAUSE_ASYM";
    }
}

impl PortFeatures {
    /// What a version can say.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 => Self::from_bits(0xf87f),
            _ => Self::ALL,
        }
    }

    /// The greatest rate, in kbit/s, or 0 if none is named.
    #[must_use]
    pub const fn kilobits_per_second(self) -> u32 {
        let rates = [
            (Self::FULL_1_TB, 1_000_000_000),
            (Self::FULL_100_GB, 100_000_000),
            (Self::FULL_40_GB, 40_000_000),
            (Self::FULL_10_GB, 10_000_000),
            (Self::FULL_1_GB.or(Self::HALF_1_GB), 1_000_000),
            (Self::FULL_100_MB.or(Self::HALF_100_MB), 100_000),
            (Self::FULL_10_MB.or(Self::HALF_10_MB), 10_000),
        ];
        let mut index = 0;
        while index < rates.len() {
            if !self.and(rates[index].0).is_empty() {
                return rates[index].1;
            }
            index += 1;
        }
        0
    }

    fn decode(version: Version, bits: u32) -> Self {
        match version {
            Version::V10 => Self::from_bits(bits & 0x7f | (bits & 0xf80) << 4),
            _ => Self::from_bits(bits & 0xffff),
        }
    }

    fn encode(self, version: Version) -> u32 {
        let bits = self.bits() & 0xffff;
        if version == Version::V10 { bits & 0x7f | (bits & 0xf800) >> 4 } else { bits }
    }
}

/// A port and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortDescription {
    /// Its number.
    pub number: OfPort,
    /// Its Ethernet address.
    pub address: MacAddr,
    /// Its name. Legal lengths: up to 15 octets; what is longer is cut.
    pub name: String,
    /// How it is set.
    pub config: PortConfig,
    /// How it is.
    pub state: PortState,
    /// What is in use.
    pub current: PortFeatures,
    /// What it advertises.
    pub advertised: PortFeatures,
    /// What it could do.
    pub supported: PortFeatures,
    /// What the other end advertises.
    pub peer: PortFeatures,
    /// Rate in use, in kbit/s; version 1.0 has none and its reader takes it from the features.
    pub current_speed: u32,
    /// Greatest rate, in kbit/s; as above.
    pub maximum_speed: u32,
}

impl PortDescription {
    const NAME_LENGTH: usize = 16;
    const ETHERNET: u16 = 0;
    const ETHERNET_LENGTH: usize = 32;
    const LENGTH_14: usize = 40;

    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let number = reader.port(version)?;
        let length = match version {
            Version::V10 => 0,
            Version::V11 | Version::V12 | Version::V13 => reader.skip(4).map(|()| 0)?,
            Version::V14 | Version::V15 => {
                let length = usize::from(reader.u16()?);
                reader.skip(2)?;
                length
            }
        };
        let address = reader.mac()?;
        if version > Version::V10 {
            reader.skip(2)?;
        }
        let name = reader.text(Self::NAME_LENGTH)?;
        let config = PortConfig::from_bits(reader.u32()?).and(PortConfig::of_version(version));
        let state = PortState::from_bits(reader.u32()?).and(PortState::of_version(version));
        let mut port = Self::blank(number, address, name, config, state);
        if version >= Version::V14 {
            let length = length.checked_sub(Self::LENGTH_14).ok_or(OfError::OFPBRC_BAD_LEN)?;
            port.properties(version, reader.sub(length)?)?;
        } else {
            port.rates(version, reader)?;
        }
        Ok(port)
    }

    fn blank(number: OfPort, address: MacAddr, name: String, config: PortConfig, state: PortState) -> Self {
        let [current, advertised, supported, peer] = [PortFeatures::NONE; 4];
        let (current_speed, maximum_speed) = (0, 0);
        Self {
            number,
            address,
            name,
            config,
            state,
            current,
            advertised,
            supported,
            peer,
            current_speed,
            maximum_speed,
        }
    }

    fn rates(&mut self, version: Version, reader: &mut Reader<'_>) -> Decoded<()> {
        for features in [&mut self.current, &mut self.advertised, &mut self.supported, &mut self.peer] {
            *features = PortFeatures::decode(version, reader.u32()?);
        }
        if version == Version::V10 {
            self.current_speed = self.current.kilobits_per_second();
            self.maximum_speed = self.supported.kilobits_per_second();
        } else {
            self.current_speed = reader.u32()?;
            self.maximum_speed = reader.u32()?;
        }
        Ok(())
    }

    /// Properties that are not known, as those of optics, are passed over.
    fn properties(&mut self, version: Version, mut reader: Reader<'_>) -> Decoded<()> {
        while !reader.is_empty() {
            let property = property::next(&mut reader)?;
            if property.kind == PropertyKind::Standard(Self::ETHERNET) {
                if property.octets().len() + 4 != Self::ETHERNET_LENGTH {
                    return Err(OfError::OFPBPC_BAD_LEN);
                }
                self.rates(version, &mut property.nested()?)?;
            }
        }
        Ok(())
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        writer.port(version, self.number);
        if version > Version::V10 {
            writer.zeros(4);
        }
        writer.mac(self.address);
        if version > Version::V10 {
            writer.zeros(2);
        }
        writer.text(&self.name, Self::NAME_LENGTH);
        writer.u32(self.config.and(PortConfig::of_version(version)).bits());
        writer.u32(self.state.and(PortState::of_version(version)).bits());
        if version >= Version::V14 {
            property::put_nested(writer, Self::ETHERNET, |writer| self.encode_rates(version, writer));
            writer.patch_length(start, start + 4);
        } else {
            self.encode_rates(version, writer);
        }
    }

    fn encode_rates(&self, version: Version, writer: &mut Writer) {
        for features in [self.current, self.advertised, self.supported, self.peer] {
            writer.u32(features.encode(version));
        }
        if version > Version::V10 {
            writer.u32(self.current_speed);
            writer.u32(self.maximum_speed);
        }
    }
}

numbers! {
    /// What happened to a port.
    pub enum PortReason: u8 {
        /// It is new.
        Add = 0,
        /// It is gone.
        Delete = 1,
        /// Something of it changed.
        Modify = 2,
    }
}

/// Something happened to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port, after it.
    pub port: PortDescription,
}

impl PortStatus {
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let reason = PortReason::from_number(body.u8()?).ok_or(OfError::NXBRC_BAD_REASON)?;
        body.skip(7)?;
        Ok(Self { reason, port: PortDescription::decode(version, body)? })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u8(self.reason.number());
        writer.zeros(7);
        self.port.encode(version, writer);
    }
}

/// A port is to be set otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMod {
    /// Its number.
    pub number: OfPort,
    /// Its Ethernet address, which must be the true one.
    pub address: MacAddr,
    /// How it is to be; only bits of `mask` count.
    pub config: PortConfig,
    /// Which bits are to change.
    pub mask: PortConfig,
    /// What it is to advertise; nothing leaves it as it is.
    pub advertise: PortFeatures,
}

impl PortMod {
    const ETHERNET: u16 = 0;

    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let number = body.port(version)?;
        if version > Version::V10 {
            body.skip(4)?;
        }
        let address = body.mac()?;
        if version > Version::V10 {
            body.skip(2)?;
        }
        let config = PortConfig::from_bits(body.u32()?);
        let mask = PortConfig::from_bits(body.u32()?).and(PortConfig::of_version(version));
        let mut advertise = PortFeatures::NONE;
        if version >= Version::V14 {
            while !body.is_empty() {
                let property = property::next(body)?;
                match property.kind {
                    PropertyKind::Standard(Self::ETHERNET) => {
                        advertise = PortFeatures::decode(version, property.u32()?);
                    }
                    _ => return property.unknown(),
                }
            }
        } else {
            advertise = PortFeatures::decode(version, body.u32()?);
            body.skip(4)?;
        }
        Ok(Self { number, address, config: config.and(mask), mask, advertise })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.port(version, self.number);
        if version > Version::V10 {
            writer.zeros(4);
        }
        writer.mac(self.address);
        if version > Version::V10 {
            writer.zeros(2);
        }
        writer.u32(self.config.and(PortConfig::of_version(version)).bits());
        writer.u32(self.mask.and(PortConfig::of_version(version)).bits());
        let advertise = self.advertise.encode(version);
        if version < Version::V14 {
            writer.u32(advertise);
            writer.zeros(4);
        } else if advertise != 0 {
            property::put_u32(writer, Self::ETHERNET, advertise);
        }
    }
}
