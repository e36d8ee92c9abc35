//! Tables: how they are set, described, and what is told of them (OpenFlow 1.5, 7.3.3, 7.3.5.17 and 7.4.5).

use super::numbers::{flags, numbers};
use super::octets::Decoded;
use super::property::{self, Property, PropertyKind};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

flags! {
    /// How a table is set.
    pub struct TableConfig: u32 {
        /// What misses goes to the next table; versions 1.1 and 1.2 only.
        MISS_CONTINUE = 1 << 0, "continue";
        /// What misses is dropped; versions 1.1 and 1.2 only. Without both it goes to the controller.
        MISS_DROP = 1 << 1, "drop";
        /// Flows may be evicted for new ones; from version 1.4 on.
        EVICTION = 1 << 2, "EVICTION";
        /// Events tell how full it is; from version 1.4 on.
        VACANCY_EVENTS = 1 << 3, "VACANCY_EVENTS";
    }
}

impl TableConfig {
    /// What a version can say. Version 1.3 can say nothing.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 | Version::V13 => Self::NONE,
            Version::V11 | Version::V12 => Self::MISS_CONTINUE.or(Self::MISS_DROP),
            Version::V14 | Version::V15 => Self::EVICTION.or(Self::VACANCY_EVENTS),
        }
    }
}

flags! {
    /// What an eviction looks at.
    pub struct EvictionFlags: u32 {
        /// Something else.
        OTHER = 1 << 0, "OTHER";
        /// How important a flow is.
        IMPORTANCE = 1 << 1, "IMPORTANCE";
        /// How long a flow has to live.
        LIFETIME = 1 << 2, "LIFETIME";
    }
}

/// When events tell how full a table is, in percent of free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vacancy {
    /// An event comes when free space falls below this. Legal values: up to 100.
    pub down: u8,
    /// An event comes when free space rises above this. Legal values: from `down` to 100.
    pub up: u8,
    /// Free space now; only in descriptions.
    pub now: u8,
}

const EVICTION: PropertyKind = PropertyKind::Standard(2);
const VACANCY: PropertyKind = PropertyKind::Standard(3);

/// A table is to be set otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableMod {
    /// The table; 255 means all.
    pub table: u8,
    /// How it is to be.
    pub config: TableConfig,
    /// What an eviction is to look at.
    pub eviction: Option<EvictionFlags>,
    /// When events are to come.
    pub vacancy: Option<Vacancy>,
}

impl TableMod {
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let table = body.u8()?;
        body.skip(3)?;
        let config = TableConfig::from_bits(body.u32()?).and(TableConfig::of_version(version));
        let mut table_mod = Self { table, config, eviction: None, vacancy: None };
        if version < Version::V14 {
            return if body.is_empty() { Ok(table_mod) } else { Err(OfError::OFPBRC_BAD_LEN) };
        }
        while !body.is_empty() {
            let property = property::next(body)?;
            match property.kind {
                EVICTION => table_mod.eviction = Some(EvictionFlags::from_bits(property.u32()?)),
                VACANCY => {
                    let vacancy = decode_vacancy(&property)?;
                    // What is asked for makes sense: free space now is not for the controller to say.
                    if vacancy.down > vacancy.up || vacancy.up > 100 || vacancy.now != 0 {
                        return Err(OfError::OFPBPC_BAD_VALUE);
                    }
                    table_mod.vacancy = Some(vacancy);
                }
                _ => return Err(OfError::OFPBRC_BAD_TYPE),
            }
        }
        Ok(table_mod)
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u8(self.table);
        writer.zeros(3);
        writer.u32(self.config.and(TableConfig::of_version(version)).bits());
        if version >= Version::V14 {
            encode_properties(self.eviction, self.vacancy, writer);
        }
    }
}

fn decode_vacancy(property: &Property<'_>) -> Decoded<Vacancy> {
    let [down, up, now, _] = <[u8; 4]>::try_from(property.octets()).map_err(|_| OfError::OFPBPC_BAD_LEN)?;
    Ok(Vacancy { down, up, now })
}

fn encode_properties(eviction: Option<EvictionFlags>, vacancy: Option<Vacancy>, writer: &mut Writer) {
    if let Some(eviction) = eviction {
        property::put(writer, EVICTION, |writer| writer.u32(eviction.bits()));
    }
    if let Some(Vacancy { down, up, now }) = vacancy {
        property::put(writer, VACANCY, |writer| writer.bytes(&[down, up, now, 0]));
    }
}

/// How a table is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableDescription {
    /// The table.
    pub table: u8,
    /// How it is.
    pub config: TableConfig,
    /// What an eviction looks at.
    pub eviction: Option<EvictionFlags>,
    /// When events come.
    pub vacancy: Option<Vacancy>,
}

impl TableDescription {
    const LENGTH: usize = 8;

    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let length = usize::from(reader.u16()?);
        let table = reader.u8()?;
        reader.skip(1)?;
        let config = TableConfig::from_bits(reader.u32()?).and(TableConfig::of_version(version));
        let mut properties = reader.sub(length.checked_sub(Self::LENGTH).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        let mut description = Self { table, config, eviction: None, vacancy: None };
        while !properties.is_empty() {
            let property = property::next(&mut properties)?;
            match property.kind {
                EVICTION => description.eviction = Some(EvictionFlags::from_bits(property.u32()?)),
                VACANCY => description.vacancy = Some(decode_vacancy(&property)?),
                _ => {}
            }
        }
        Ok(description)
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        writer.u16(0);
        writer.u8(self.table);
        writer.zeros(1);
        writer.u32(self.config.and(TableConfig::of_version(version)).bits());
        encode_properties(self.eviction, self.vacancy, writer);
        writer.patch_length(start, start);
    }
}

numbers! {
    /// Why a table's state is told.
    pub enum TableReason: u8 {
        /// Free space fell below its threshold.
        VacancyDown = 3,
        /// Free space rose above its threshold.
        VacancyUp = 4,
    }
}

/// Something happened to a table; from version 1.4 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableStatus {
    /// What happened.
    pub reason: TableReason,
    /// The table, after it.
    pub table: TableDescription,
}

impl TableStatus {
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let reason = TableReason::from_number(body.u8()?).ok_or(OfError::OFPBPC_BAD_VALUE)?;
        body.skip(7)?;
        Ok(Self { reason, table: TableDescription::decode(version, body)? })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u8(self.reason.number());
        writer.zeros(7);
        self.table.encode(version, writer);
    }
}
