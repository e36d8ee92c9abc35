//! What became of controllers; version 1.5 (OpenFlow 1.5, 7.3.5.20 and 7.4.7).

use super::octets::Decoded;
use super::property::{self, PropertyKind};
use super::role::Role;
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

/// A controller and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControllerStatus {
    /// Number that the switch gave it.
    pub controller: u16,
    /// Its role. Legal values: all but [`Role::NoChange`].
    pub role: Role,
    /// Why it is told: 0 asked for, 1 a channel's state, 2 its role, 3 a new controller, 4 one that went, 5 something of an
    /// experimenter.
    pub reason: u8,
    /// Whether its channel is up.
    pub up: bool,
    /// Where it is, as a URI. Legal values: without zeros.
    pub uri: String,
}

impl ControllerStatus {
    const LENGTH: usize = 16;
    const URI: PropertyKind = PropertyKind::Standard(0);

    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let length = usize::from(reader.u16()?);
        let controller = reader.u16()?;
        let role = Role::from_number(reader.u32()?).ok_or(OfError::OFPRRFC_BAD_ROLE)?;
        let (reason, channel) = (reader.u8()?, reader.u8()?);
        reader.skip(6)?;
        let mut properties = reader.sub(length.checked_sub(Self::LENGTH).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        let mut uri = String::new();
        while !properties.is_empty() {
            let property = property::next(&mut properties)?;
            if property.kind == Self::URI {
                let octets = property.octets();
                let end = octets.iter().position(|&octet| octet == 0).unwrap_or(octets.len());
                uri = String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned();
            }
        }
        Ok(Self { controller, role, reason, up: channel == 0, uri })
    }

    pub(super) fn decode_all(reader: &mut Reader<'_>) -> Decoded<Vec<Self>> {
        let mut controllers = Vec::new();
        while !reader.is_empty() {
            controllers.push(Self::decode(reader)?);
        }
        Ok(controllers)
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let start = writer.len();
        writer.u16(0);
        writer.u16(self.controller);
        writer.u32(self.role.number());
        writer.u8(self.reason);
        writer.u8((!self.up).into());
        writer.zeros(6);
        if !self.uri.is_empty() {
            property::put(writer, Self::URI, |writer| writer.bytes(self.uri.as_bytes()));
        }
        writer.patch_length(start, start);
    }
}
