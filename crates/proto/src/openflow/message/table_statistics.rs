//! Statistics of tables, which up to version 1.2 also say what a table can do (OpenFlow 1.5, 7.3.5.4; 1.2, A.3.5.3).

use super::octets::{Decoded, ReadMore, WriteMore};
use crate::openflow::Version;
use crate::openflow::codec::{Reader, Writer};

/// What a table counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatistics {
    /// The table.
    pub table: u8,
    /// Flows in it.
    pub active: u32,
    /// Packets that were looked up in it.
    pub lookups: u64,
    /// Packets that matched a flow of it.
    pub matched: u64,
    /// What it can do; up to version 1.2, and then a must: without it zeros are told.
    pub abilities: Option<Box<TableAbilities>>,
}

/// What a table can do, by the bits of the version: `wildcards` of version 1.0 are not those of version 1.1. What a
/// version does not tell is zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableAbilities {
    /// Name. Legal lengths: up to 31 octets; what is longer is cut.
    pub name: String,
    /// Fields that can be left out.
    pub wildcards: u64,
    /// Fields that can be matched; from version 1.1 on.
    pub matches: u64,
    /// Actions that can be written to the action set; from version 1.1 on.
    pub write_actions: u32,
    /// Actions that can be applied; from version 1.1 on.
    pub apply_actions: u32,
    /// Fields that actions of the action set can set; version 1.2.
    pub write_set_fields: u64,
    /// Fields that applied actions can set; version 1.2.
    pub apply_set_fields: u64,
    /// Bits of metadata that can be matched; version 1.2.
    pub metadata_match: u64,
    /// Bits of metadata that can be written; version 1.2.
    pub metadata_write: u64,
    /// Instructions; from version 1.1 on.
    pub instructions: u32,
    /// What becomes of a miss; from version 1.1 on.
    pub config: u32,
    /// Flows that it can have.
    pub maximum: u32,
}

const NAME_LENGTH: usize = 32;

impl TableStatistics {
    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let table = reader.u8()?;
        reader.skip(if matches!(version, Version::V11 | Version::V12) { 7 } else { 3 })?;
        let abilities = if version < Version::V13 {
            Some(Box::new(TableAbilities::decode(version, reader)?))
        } else {
            None
        };
        let (active, lookups, matched) = (reader.u32()?, reader.u64()?, reader.u64()?);
        Ok(Self { table, active, lookups, matched, abilities })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u8(self.table);
        writer.zeros(if matches!(version, Version::V11 | Version::V12) { 7 } else { 3 });
        if version < Version::V13 {
            match &self.abilities {
                Some(abilities) => abilities.encode(version, writer),
                None => TableAbilities::default().encode(version, writer),
            }
        }
        writer.u32(self.active);
        writer.u64(self.lookups);
        writer.u64(self.matched);
    }
}

impl TableAbilities {
    fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut abilities = Self { name: reader.text(NAME_LENGTH)?, ..Self::default() };
        match version {
            Version::V10 => abilities.wildcards = reader.u32()?.into(),
            Version::V11 => {
                abilities.wildcards = reader.u32()?.into();
                abilities.matches = reader.u32()?.into();
                abilities.instructions = reader.u32()?;
                abilities.write_actions = reader.u32()?;
                abilities.apply_actions = reader.u32()?;
                abilities.config = reader.u32()?;
            }
            _ => {
                abilities.matches = reader.u64()?;
                abilities.wildcards = reader.u64()?;
                abilities.write_actions = reader.u32()?;
                abilities.apply_actions = reader.u32()?;
                abilities.write_set_fields = reader.u64()?;
                abilities.apply_set_fields = reader.u64()?;
                abilities.metadata_match = reader.u64()?;
                abilities.metadata_write = reader.u64()?;
                abilities.instructions = reader.u32()?;
                abilities.config = reader.u32()?;
            }
        }
        abilities.maximum = reader.u32()?;
        Ok(abilities)
    }

    fn encode(&self, version: Version, writer: &mut Writer) {
        writer.text(&self.name, NAME_LENGTH);
        match version {
            Version::V10 => writer.u32(self.wildcards as u32),
            Version::V11 => {
                writer.u32(self.wildcards as u32);
                writer.u32(self.matches as u32);
                writer.u32(self.instructions);
                writer.u32(self.write_actions);
                writer.u32(self.apply_actions);
                writer.u32(self.config);
            }
            _ => {
                writer.u64(self.matches);
                writer.u64(self.wildcards);
                writer.u32(self.write_actions);
                writer.u32(self.apply_actions);
                writer.u64(self.write_set_fields);
                writer.u64(self.apply_set_fields);
                writer.u64(self.metadata_match);
                writer.u64(self.metadata_write);
                writer.u32(self.instructions);
                writer.u32(self.config);
            }
        }
        writer.u32(self.maximum);
    }
}
