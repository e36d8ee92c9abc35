//! Small messages of Nicira's extension that set how a connection speaks.

use super::numbers::numbers;
use super::octets::Decoded;
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

numbers! {
    /// How matches of flows are written in messages that the switch sends on its own (NXT_SET_FLOW_FORMAT); version 1.0.
    pub enum FlowFormat: u32 {
        /// As the standard has it.
        OpenFlow10 = 0,
        /// As a list of fields.
        Nxm = 2,
    }
}

impl FlowFormat {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        Self::from_number(body.u32()?).ok_or(OfError::OFPBRC_EPERM)
    }
}

numbers! {
    /// How packets for the controller are written (NXT_SET_PACKET_IN_FORMAT).
    pub enum PacketInFormat: u32 {
        /// As the standard has it.
        Standard = 0,
        /// As Nicira's extension has it: with the cookie and a list of fields.
        Nicira = 1,
        /// As a list of properties.
        Nicira2 = 2,
    }
}

impl PacketInFormat {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        Self::from_number(body.u32()?).ok_or(OfError::OFPBRC_EPERM)
    }
}

/// Whether commands of flow mods have the table in their upper half (NXT_FLOW_MOD_TABLE_ID).
pub(super) fn decode_table_ids(body: &mut Reader<'_>) -> Decoded<bool> {
    let on = body.u8()? != 0;
    body.skip(7)?;
    Ok(on)
}

pub(super) fn encode_table_ids(on: bool, writer: &mut Writer) {
    writer.u8(on.into());
    writer.zeros(7);
}

/// A 16-bit number after six octets that must be zero: a controller's number, or a zone of connection tracking.
pub(super) fn decode_short(body: &mut Reader<'_>) -> Decoded<u16> {
    body.zeros(6, OfError::NXBRC_MUST_BE_ZERO)?;
    body.u16()
}

pub(super) fn encode_short(number: u16, writer: &mut Writer) {
    writer.zeros(6);
    writer.u16(number);
}
