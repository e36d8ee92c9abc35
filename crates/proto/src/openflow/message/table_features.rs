//! What tables can do, from version 1.3 on (OpenFlow 1.5, 7.3.5.18).
//!
//! Invariants: properties keep the order in which they came, so that what is read is written again as it was. Numbers of
//! instructions, actions and fields that are not known are kept too.

use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore, WriteMore};
use super::property::{self, Property, PropertyKind};
use super::{EncodeError, Encoded};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

numbers! {
    /// What is to become of the tables; before version 1.5 always the first.
    pub enum TableFeaturesCommand: u8 {
        /// These are all tables.
        Replace = 0,
        /// These tables change.
        Modify = 1,
        /// These tables are on.
        Enable = 2,
        /// These tables are off.
        Disable = 3,
    }
}

flags! {
    /// What a table could be set to; from version 1.4 on.
    pub struct TableCapabilities: u32 {
        /// Flows could be evicted for new ones.
        EVICTION = 1 << 2, "EVICTION";
        /// Events could tell how full it is.
        VACANCY_EVENTS = 1 << 3, "VACANCY_EVENTS";
    }
}

/// A table and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFeatures {
    /// What is to become of it.
    pub command: TableFeaturesCommand,
    /// The table. Legal values: up to 254.
    pub table: u8,
    /// Its name. Legal lengths: up to 31 octets; what is longer is cut.
    pub name: String,
    /// Bits of metadata that can be matched.
    pub metadata_match: u64,
    /// Bits of metadata that can be written.
    pub metadata_write: u64,
    /// What it could be set to.
    pub capabilities: TableCapabilities,
    /// Flows that it can have.
    pub maximum: u32,
    /// What flows in it can be.
    pub properties: Vec<TableProperty>,
}

/// A property of a table: for its flows, or for the one that takes what misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProperty {
    /// Whether it is about the flow that takes what misses.
    pub miss: bool,
    /// What it says.
    pub value: TablePropertyValue,
}

/// What a property of a table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TablePropertyValue {
    /// Instructions that flows can have.
    Instructions(Vec<KindNumber>),
    /// Tables that flows can go to.
    NextTables(Vec<u8>),
    /// Actions that can be written to the action set.
    WriteActions(Vec<KindNumber>),
    /// Actions that can be applied.
    ApplyActions(Vec<KindNumber>),
    /// Fields that can be matched; those with a mask may have one.
    Match(Vec<FieldNumber>),
    /// Fields that can be left out.
    Wildcards(Vec<FieldNumber>),
    /// Fields that can be set in the action set.
    WriteSetField(Vec<FieldNumber>),
    /// Fields that can be set by applied actions.
    ApplySetField(Vec<FieldNumber>),
}

/// The number of an action or an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KindNumber {
    /// One of the standard. Legal values: all but `0xffff`.
    Standard(u16),
    /// One of an experimenter.
    Experimenter(u32),
}

/// The header of a field (OXM): class, field, whether it has a mask, and length; and an experimenter with class `0xffff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldNumber {
    /// Class in 16 bits, field in 7, mask in 1, length of the value in octets in 8.
    pub header: u32,
    /// The experimenter; 0 with other classes.
    pub experimenter: u32,
}

impl FieldNumber {
    /// Whether the field has a mask.
    #[must_use]
    pub const fn has_mask(self) -> bool {
        self.header & 0x100 != 0
    }
}

impl TablePropertyValue {
    fn number(&self) -> u16 {
        match self {
            Self::Instructions(_) => 0,
            Self::NextTables(_) => 2,
            Self::WriteActions(_) => 4,
            Self::ApplyActions(_) => 6,
            Self::Match(_) => 8,
            Self::Wildcards(_) => 10,
            Self::WriteSetField(_) => 12,
            Self::ApplySetField(_) => 14,
        }
    }

    fn decode(property: &Property<'_>, number: u16) -> Decoded<Self> {
        Ok(match number {
            0 => Self::Instructions(decode_kinds(property.reader())?),
            2 => Self::NextTables(decode_tables(property.octets())?),
            4 => Self::WriteActions(decode_kinds(property.reader())?),
            6 => Self::ApplyActions(decode_kinds(property.reader())?),
            8 => Self::Match(decode_fields(property, true)?),
            10 => Self::Wildcards(decode_fields(property, false)?),
            12 => Self::WriteSetField(decode_fields(property, false)?),
            14 => Self::ApplySetField(decode_fields(property, false)?),
            _ => return property.unknown(),
        })
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Instructions(kinds) | Self::WriteActions(kinds) | Self::ApplyActions(kinds) => {
                kinds.iter().for_each(|kind| match kind {
                    KindNumber::Standard(number) => {
                        writer.u16(*number);
                        writer.u16(4);
                    }
                    KindNumber::Experimenter(experimenter) => {
                        writer.u16(0xffff);
                        writer.u16(8);
                        writer.u32(*experimenter);
                    }
                });
            }
            Self::NextTables(tables) => writer.bytes(tables),
            Self::Match(fields)
            | Self::Wildcards(fields)
            | Self::WriteSetField(fields)
            | Self::ApplySetField(fields) => {
                fields.iter().for_each(|field| {
                    writer.u32(field.header);
                    if field.header >> 16 == EXPERIMENTER_CLASS {
                        writer.u32(field.experimenter);
                    }
                });
            }
        }
    }
}

const EXPERIMENTER_CLASS: u32 = 0xffff;

/// Numbers stand one behind the other, each with its own length, without filling.
fn decode_kinds(mut reader: Reader<'_>) -> Decoded<Vec<KindNumber>> {
    let mut kinds = Vec::new();
    while !reader.is_empty() {
        let (number, length) = (reader.u16()?, usize::from(reader.u16()?));
        let mut rest = reader.sub(length.checked_sub(4).ok_or(OfError::OFPBPC_BAD_LEN)?)?;
        kinds.push(match number {
            0xffff => KindNumber::Experimenter(rest.u32()?),
            number => KindNumber::Standard(number),
        });
    }
    Ok(kinds)
}

fn decode_tables(octets: &[u8]) -> Decoded<Vec<u8>> {
    if octets.contains(&255) { Err(OfError::OFPBPC_BAD_VALUE) } else { Ok(octets.to_vec()) }
}

fn decode_fields(property: &Property<'_>, masked: bool) -> Decoded<Vec<FieldNumber>> {
    let mut reader = Reader::with_error(property.octets(), OfError::OFPBMC_BAD_LEN);
    let mut fields = Vec::new();
    while !reader.is_empty() {
        let header = reader.u32()?;
        let experimenter = if header >> 16 == EXPERIMENTER_CLASS { reader.u32()? } else { 0 };
        let field = FieldNumber { header, experimenter };
        if field.has_mask() && !masked {
            return Err(OfError::OFPBMC_BAD_MASK);
        }
        fields.push(field);
    }
    Ok(fields)
}

impl TableFeatures {
    const LENGTH: usize = 64;
    const NAME_LENGTH: usize = 32;
    /// Properties that each table must have: those of its flows, one bit for each number.
    const REQUIRED: u32 = 0b0101_0101_0101_0101;

    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut head = Reader::with_error(reader.rest(), OfError::OFPBPC_BAD_LEN);
        let length = usize::from(head.u16()?);
        if length < Self::LENGTH || !length.is_multiple_of(8) || length > reader.len() {
            return Err(OfError::OFPBPC_BAD_LEN);
        }
        let mut reader = reader.sub(length)?;
        reader.skip(2)?;
        let (table, command) = (reader.u8()?, reader.u8()?);
        let command = match version {
            Version::V15 => TableFeaturesCommand::from_number(command).ok_or(OfError::OFPTFFC_BAD_COMMAND)?,
            _ => TableFeaturesCommand::Replace,
        };
        if table == 255 {
            return Err(OfError::OFPTFFC_BAD_TABLE);
        }
        reader.skip(4)?;
        let name = reader.text(Self::NAME_LENGTH)?;
        let (metadata_match, metadata_write) = (reader.u64()?, reader.u64()?);
        let capabilities = reader.u32()?;
        let capabilities = if version >= Version::V14 { capabilities } else { 0 };
        let capabilities = TableCapabilities::from_bits(capabilities).and(TableCapabilities::ALL);
        let maximum = reader.u32()?;
        let properties = Self::decode_properties(version, reader)?;
        Ok(Self { command, table, name, metadata_match, metadata_write, capabilities, maximum, properties })
    }

    fn decode_properties(version: Version, mut reader: Reader<'_>) -> Decoded<Vec<TableProperty>> {
        let mut seen = 0_u32;
        let mut properties = Vec::new();
        while !reader.is_empty() {
            let property = property::next_with(&mut reader, 8, 0xfffe)?;
            let PropertyKind::Standard(number) = property.kind else { return property.unknown() };
            let bit = 1_u32.checked_shl(number.into()).unwrap_or(0);
            if seen & bit != 0 {
                return Err(OfError::OFPTFFC_BAD_FEATURES);
            }
            seen |= bit;
            let value = TablePropertyValue::decode(&property, number & !1)?;
            let miss = number & 1 != 0;
            if miss && matches!(value, TablePropertyValue::Match(_) | TablePropertyValue::Wildcards(_)) {
                return property.unknown();
            }
            properties.push(TableProperty { miss, value });
        }
        let all = seen & Self::REQUIRED == Self::REQUIRED;
        let none = properties.is_empty() && version == Version::V15;
        if all || none { Ok(properties) } else { Err(OfError::OFPTFFC_BAD_FEATURES) }
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let start = writer.len();
        writer.u16(0);
        writer.u8(self.table);
        writer.u8(if version == Version::V15 { self.command.number() } else { 0 });
        if version < Version::V15 && self.command != TableFeaturesCommand::Replace {
            return Err(EncodeError::Unsayable { version, what: "that only some tables change" });
        }
        writer.zeros(4);
        writer.text(&self.name, Self::NAME_LENGTH);
        writer.u64(self.metadata_match);
        writer.u64(self.metadata_write);
        writer.u32(if version >= Version::V14 { self.capabilities.bits() } else { 0 });
        writer.u32(self.maximum);
        for TableProperty { miss, value } in &self.properties {
            let kind = PropertyKind::Standard(value.number() | u16::from(*miss));
            property::put(writer, kind, |writer| value.encode(writer));
        }
        writer.patch_length(start, start);
        Ok(())
    }
}
