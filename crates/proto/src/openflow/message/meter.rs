//! Meters: how they are set and described, and what they counted; from version 1.3 on (OpenFlow 1.5, 7.3.4.5, 7.3.5.13 and
//! after).

use super::numbers::{flags, numbers};
use super::octets::{Age, Decoded, ReadMore};
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

/// Greatest number of a meter.
pub const GREATEST_METER: u32 = 0xffff_0000;

/// The meter of packets that the fast path cannot handle.
pub const SLOW_PATH_METER: u32 = 0xffff_fffd;

/// The meter of packets for the controller.
pub const CONTROLLER_METER: u32 = 0xffff_fffe;

/// Number that stands for all meters.
pub const ALL_METERS: u32 = 0xffff_ffff;

numbers! {
    /// What is to become of a meter.
    pub enum MeterCommand: u16 {
        /// It is new.
        Add = 0,
        /// It changes.
        Modify = 1,
        /// It goes away.
        Delete = 2,
    }
}

flags! {
    /// In what a meter measures.
    pub struct MeterFlags: u16 {
        /// Rates are kbit/s.
        KILOBITS = 1 << 0, "kbps";
        /// Rates are packets per second.
        PACKETS = 1 << 1, "pktps";
        /// The size of bursts counts.
        BURST = 1 << 2, "burst";
        /// Statistics are kept.
        STATISTICS = 1 << 3, "stats";
    }
}

/// What a band does with packets that come too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Makes it more likely that they are dropped later.
    RemarkDscp {
        /// Levels of precedence to be added.
        levels: u8,
    },
}

/// A rate, and what happens above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Band {
    /// What happens.
    pub kind: BandKind,
    /// The rate, in what the meter measures.
    pub rate: u32,
    /// Size of bursts: kbit or packets.
    pub burst: u32,
}

impl Band {
    const LENGTH: u16 = 16;
    const DROP: u16 = 1;
    const REMARK: u16 = 2;

    fn decode_all(mut reader: Reader<'_>) -> Decoded<Vec<Self>> {
        let mut bands = Vec::new();
        while !reader.is_empty() {
            let (kind, length) = (reader.u16()?, reader.u16()?);
            if length != Self::LENGTH {
                return Err(OfError::OFPBRC_BAD_LEN);
            }
            let (rate, burst, levels) = (reader.u32()?, reader.u32()?, reader.u8()?);
            reader.skip(3)?;
            let kind = match kind {
                Self::DROP => BandKind::Drop,
                Self::REMARK => BandKind::RemarkDscp { levels },
                _ => return Err(OfError::OFPMMFC_BAD_BAND),
            };
            bands.push(Self { kind, rate, burst });
        }
        Ok(bands)
    }

    fn encode(&self, writer: &mut Writer) {
        let (kind, levels) = match self.kind {
            BandKind::Drop => (Self::DROP, 0),
            BandKind::RemarkDscp { levels } => (Self::REMARK, levels),
        };
        writer.u16(kind);
        writer.u16(Self::LENGTH);
        writer.u32(self.rate);
        writer.u32(self.burst);
        writer.u8(levels);
        writer.zeros(3);
    }
}

/// How a meter is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterConfig {
    /// Its number.
    pub meter: u32,
    /// In what it measures.
    pub flags: MeterFlags,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// Something is to become of a meter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterMod {
    /// What.
    pub command: MeterCommand,
    /// The meter; one that goes away has neither flags nor bands.
    pub meter: MeterConfig,
}

impl MeterMod {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let command = MeterCommand::from_number(body.u16()?).ok_or(OfError::OFPMMFC_BAD_COMMAND)?;
        let (flags, meter) = (MeterFlags::from_bits(body.u16()?), body.u32()?);
        let bands = Reader::new(body.all());
        if command == MeterCommand::Delete {
            return Ok(Self {
                command,
                meter: MeterConfig { meter, flags: MeterFlags::NONE, bands: Vec::new() },
            });
        }
        if flags.contains(MeterFlags::KILOBITS | MeterFlags::PACKETS) {
            return Err(OfError::OFPMMFC_BAD_FLAGS);
        }
        Ok(Self { command, meter: MeterConfig { meter, flags, bands: Band::decode_all(bands)? } })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u16(self.command.number());
        writer.u16(self.meter.flags.bits());
        writer.u32(self.meter.meter);
        self.meter.bands.iter().for_each(|band| band.encode(writer));
    }
}

impl MeterConfig {
    const LENGTH: usize = 8;

    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let length = usize::from(reader.u16()?);
        let (flags, meter) = (MeterFlags::from_bits(reader.u16()?), reader.u32()?);
        let bands = reader.sub(length.checked_sub(Self::LENGTH).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        Ok(Self { meter, flags, bands: Band::decode_all(bands)? })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let start = writer.len();
        writer.u16(0);
        writer.u16(self.flags.bits());
        writer.u32(self.meter);
        self.bands.iter().for_each(|band| band.encode(writer));
        writer.patch_length(start, start);
    }
}

/// What a band counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BandStatistics {
    /// Packets above the rate.
    pub packets: u64,
    /// Octets of these packets.
    pub bytes: u64,
}

/// What a meter counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterStatistics {
    /// Its number.
    pub meter: u32,
    /// Flows that use it.
    pub flows: u32,
    /// Packets that came in.
    pub packets: u64,
    /// Octets of these packets.
    pub bytes: u64,
    /// For how long the meter is there.
    pub age: Age,
    /// Its bands.
    pub bands: Vec<BandStatistics>,
}

impl MeterStatistics {
    const LENGTH: usize = 40;

    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let (meter, length) = (reader.u32()?, usize::from(reader.u16()?));
        reader.skip(6)?;
        let (flows, packets, bytes, age) =
            (reader.u32()?, reader.u64()?, reader.u64()?, Age::decode(reader)?);
        let mut rest = reader.sub(length.checked_sub(Self::LENGTH).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        let mut bands = Vec::new();
        while !rest.is_empty() {
            bands.push(BandStatistics { packets: rest.u64()?, bytes: rest.u64()? });
        }
        Ok(Self { meter, flows, packets, bytes, age, bands })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let start = writer.len();
        writer.u32(self.meter);
        writer.zeros(8);
        writer.u32(self.flows);
        writer.u64(self.packets);
        writer.u64(self.bytes);
        self.age.encode(writer);
        for band in &self.bands {
            writer.u64(band.packets);
            writer.u64(band.bytes);
        }
        writer.patch_length(start, start + 4);
    }
}

/// What meters can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MeterFeatures {
    /// How many there can be.
    pub maximum: u32,
    /// Kinds of bands: bit 1 says that packets can be dropped, bit 2 that they can be marked.
    pub bands: u32,
    /// In what they can measure.
    pub capabilities: MeterFlags,
    /// Bands that a meter can have.
    pub maximum_bands: u8,
    /// Greatest color.
    pub maximum_color: u8,
}

impl MeterFeatures {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let (maximum, bands, capabilities) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (maximum_bands, maximum_color) = (reader.u8()?, reader.u8()?);
        reader.skip(2)?;
        let capabilities = MeterFlags::from_bits(capabilities as u16);
        Ok(Self { maximum, bands, capabilities, maximum_bands, maximum_color })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.maximum);
        writer.u32(self.bands);
        writer.u32(self.capabilities.bits().into());
        writer.u8(self.maximum_bands);
        writer.u8(self.maximum_color);
        writer.zeros(2);
    }
}
