//! Which options of tunnels the fields `tun_metadata` stand for (NXT_TLV_TABLE_MOD, _REQUEST and _REPLY).

use super::numbers::numbers;
use super::octets::Decoded;
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

numbers! {
    /// What is to become of the table.
    pub enum TlvTableCommand: u16 {
        /// These options are new in it.
        Add = 0,
        /// The options of these fields are forgotten.
        Delete = 1,
        /// All are forgotten.
        Clear = 2,
    }
}

/// An option and the field that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// Class of the option.
    pub class: u16,
    /// Type of the option.
    pub kind: u8,
    /// Length of the option, in octets. Legal values: multiples of 4, up to 124.
    pub length: u8,
    /// Number of the field. Legal values: up to 63.
    pub field: u16,
}

impl TlvMap {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let map =
            Self { class: reader.u16()?, kind: reader.u8()?, length: reader.u8()?, field: reader.u16()? };
        reader.skip(2)?;
        Ok(map)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.class);
        writer.u8(self.kind);
        writer.u8(self.length);
        writer.u16(self.field);
        writer.zeros(2);
    }
}

/// Longest option, in octets.
const LONGEST: u8 = 124;

fn decode_maps(fields: u16, reader: &mut Reader<'_>) -> Decoded<Vec<TlvMap>> {
    let mut maps = Vec::new();
    while !reader.is_empty() {
        let map = TlvMap::decode(reader)?;
        if map.length % 4 != 0 || map.length > LONGEST {
            return Err(OfError::NXTTMFC_BAD_OPT_LEN);
        }
        if map.field >= fields {
            return Err(OfError::NXTTMFC_BAD_FIELD_IDX);
        }
        maps.push(map);
    }
    Ok(maps)
}

/// Something is to become of the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlvTableMod {
    /// What.
    pub command: TlvTableCommand,
    /// Which options.
    pub maps: Vec<TlvMap>,
}

impl TlvTableMod {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let command = TlvTableCommand::from_number(body.u16()?).ok_or(OfError::NXTTMFC_BAD_COMMAND)?;
        body.skip(6)?;
        let maps = decode_maps(TlvTable::FIELDS, body)?;
        Ok(Self { command, maps })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u16(self.command.number());
        writer.zeros(6);
        self.maps.iter().for_each(|map| map.encode(writer));
    }
}

/// The table, and how much it can hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlvTable {
    /// Octets that all options together can have.
    pub space: u32,
    /// Fields that there are.
    pub fields: u16,
    /// The options.
    pub maps: Vec<TlvMap>,
}

impl TlvTable {
    /// Fields that Open vSwitch has.
    pub const FIELDS: u16 = 64;

    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let (space, fields) = (body.u32()?, body.u16()?);
        body.skip(10)?;
        Ok(Self { space, fields, maps: decode_maps(fields, body)? })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.space);
        writer.u16(self.fields);
        writer.zeros(10);
        self.maps.iter().for_each(|map| map.encode(writer));
    }
}
