//! Packets for controllers (OpenFlow 1.5, 7.4.1; NXT_PACKET_IN, NXT_PACKET_IN2), and those that were held back and go on
//! (NXT_RESUME).

use super::flow::decode_buffer;
use super::numbers::numbers;
use super::octets::{Decoded, ReadMore, WriteMore};
use super::property::{self, PropertyKind};
use super::{Encoded, PacketInFormat};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::Rules;
use crate::openflow::{FieldId, Match, OfError, OfPort, Version};

numbers! {
    /// Why a packet goes to a controller.
    pub enum PacketInReason: u8 {
        /// No flow matched.
        NoMatch = 0,
        /// An action said so.
        Action = 1,
        /// Its time to live ran out.
        InvalidTtl = 2,
        /// The action set said so; from version 1.4 on, before it is an action.
        ActionSet = 3,
        /// A group said so; from version 1.4 on.
        Group = 4,
        /// A packet-out said so; from version 1.4 on.
        PacketOut = 5,
    }
}

impl PacketInReason {
    /// The number that a version has for it.
    #[must_use]
    pub const fn number_in(self, version: Version) -> u8 {
        match (self, version) {
            (_, Version::V14 | Version::V15) | (Self::NoMatch | Self::Action | Self::InvalidTtl, _) => {
                self.number()
            }
            _ => Self::Action.number(),
        }
    }
}

/// A packet for a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketIn {
    /// How it is told.
    pub format: PacketInFormat,
    /// Number by which the packet waits in the switch.
    pub buffer: Option<u32>,
    /// Length of the whole packet, in octets; `packet` may be only its beginning.
    pub total_length: u32,
    /// Why. Legal values: the numbers of [`PacketInReason`] in the version; others are kept as they came.
    pub reason: u8,
    /// The table of the flow; the message of version 1.0 has none and says 0.
    pub table: u8,
    /// The number of the flow; not in the messages of versions 1.0 to 1.2.
    pub cookie: Option<u64>,
    /// What is known of the packet beside its octets: its port at least. The messages of versions 1.0 and 1.1 have only
    /// that.
    pub metadata: Match,
    /// The packet, or its beginning.
    pub packet: Vec<u8>,
    /// What the action wanted to be told; Nicira's second format only.
    pub userdata: Vec<u8>,
    /// What the switch needs to go on with the packet; Nicira's second format only. Only the switch understands it.
    pub continuation: Option<Vec<u8>>,
}

mod number {
    pub(super) const PACKET: u16 = 0;
    pub(super) const FULL_LENGTH: u16 = 1;
    pub(super) const BUFFER: u16 = 2;
    pub(super) const TABLE: u16 = 3;
    pub(super) const COOKIE: u16 = 4;
    pub(super) const REASON: u16 = 5;
    pub(super) const METADATA: u16 = 6;
    pub(super) const USERDATA: u16 = 7;
    pub(super) const CONTINUATION: u16 = 8;
}

/// What is known of a packet that came in by a port, in versions that say no more.
fn came_by(port: OfPort) -> Match {
    let mut metadata = Match::any();
    metadata.set_number(FieldId::IN_PORT, port.0.into());
    metadata
}

/// The port by which a packet came in, or 0.
fn port_of(metadata: &Match) -> OfPort {
    OfPort(metadata.get(FieldId::IN_PORT).map_or(0, |(value, _)| value.to_u64() as u16))
}

impl PacketIn {
    /// A packet by a port, for no reason but that no flow matched.
    #[must_use]
    pub fn new(format: PacketInFormat, port: OfPort, packet: Vec<u8>) -> Self {
        Self {
            format,
            buffer: None,
            total_length: packet.len() as u32,
            reason: PacketInReason::NoMatch.number(),
            table: 0,
            cookie: None,
            metadata: came_by(port),
            packet,
            userdata: Vec::new(),
            continuation: None,
        }
    }

    /// The port by which the packet came in.
    #[must_use]
    pub fn port(&self) -> OfPort {
        port_of(&self.metadata)
    }

    pub(super) fn decode(version: Version, format: PacketInFormat, body: &mut Reader<'_>) -> Decoded<Self> {
        match (format, version) {
            (PacketInFormat::Nicira2, _) => Self::decode_properties(true, body),
            (PacketInFormat::Nicira, _) => Self::decode_nicira(body),
            (PacketInFormat::Standard, Version::V10) => Self::decode_10(body),
            (PacketInFormat::Standard, Version::V11) => Self::decode_11(body),
            (PacketInFormat::Standard, _) => Self::decode_12(version, body),
        }
    }

    /// A packet that was held back and goes on: what is said of it must be understood.
    pub(super) fn decode_resume(body: &mut Reader<'_>) -> Decoded<Self> {
        Self::decode_properties(false, body)
    }

    fn decode_10(body: &mut Reader<'_>) -> Decoded<Self> {
        let (buffer, total_length, port) = (decode_buffer(body)?, body.u16()?, body.port16()?);
        let reason = body.u8()?;
        body.skip(1)?;
        let base = Self::new(PacketInFormat::Standard, port, body.all().to_vec());
        Ok(Self { buffer, total_length: total_length.into(), reason, ..base })
    }

    fn decode_11(body: &mut Reader<'_>) -> Decoded<Self> {
        let (buffer, port) = (decode_buffer(body)?, body.port32()?);
        body.skip(4)?;
        let (total_length, reason, table) = (body.u16()?, body.u8()?, body.u8()?);
        let base = Self::new(PacketInFormat::Standard, port, body.all().to_vec());
        Ok(Self { buffer, total_length: total_length.into(), reason, table, ..base })
    }

    fn decode_12(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let (buffer, total_length, reason, table) =
            (decode_buffer(body)?, body.u16()?, body.u8()?, body.u8()?);
        let cookie = if version >= Version::V13 { body.u64()? } else { u64::MAX };
        let metadata = Match::take_oxm(body, Rules::LOOSE)?;
        body.skip(2)?;
        let base = Self::new(PacketInFormat::Standard, OfPort(0), body.all().to_vec());
        let cookie = (cookie != u64::MAX).then_some(cookie);
        Ok(Self { buffer, total_length: total_length.into(), reason, table, cookie, metadata, ..base })
    }

    fn decode_nicira(body: &mut Reader<'_>) -> Decoded<Self> {
        let (buffer, total_length, reason, table) =
            (decode_buffer(body)?, body.u16()?, body.u8()?, body.u8()?);
        let (cookie, length) = (body.u64()?, body.u16()?);
        body.skip(6)?;
        let (metadata, _) = Match::take_nxm(body, length.into(), Rules::LOOSE)?;
        body.skip(2)?;
        let base = Self::new(PacketInFormat::Nicira, OfPort(0), body.all().to_vec());
        let cookie = (cookie != u64::MAX).then_some(cookie);
        Ok(Self { buffer, total_length: total_length.into(), reason, table, cookie, metadata, ..base })
    }

    fn decode_properties(loose: bool, body: &mut Reader<'_>) -> Decoded<Self> {
        let mut packet_in = Self::new(PacketInFormat::Nicira2, OfPort(0), Vec::new());
        packet_in.metadata = Match::any();
        while !body.is_empty() {
            let property = property::next(body)?;
            let PropertyKind::Standard(kind) = property.kind else {
                if loose {
                    continue;
                }
                return property.unknown();
            };
            match kind {
                number::PACKET => packet_in.packet = property.octets().to_vec(),
                number::FULL_LENGTH => packet_in.total_length = property.u32()?,
                number::BUFFER => {
                    packet_in.buffer = Some(property.u32()?).filter(|buffer| *buffer != u32::MAX)
                }
                number::TABLE => packet_in.table = property.u8()?,
                number::COOKIE => {
                    packet_in.cookie = Some(property.u64()?).filter(|cookie| *cookie != u64::MAX)
                }
                number::REASON => packet_in.reason = property.u8()?,
                number::METADATA => {
                    let rules = if loose { Rules::LOOSE } else { Rules::STRICT };
                    packet_in.metadata = Match::take_entries(property.octets(), rules)?.0;
                }
                number::USERDATA => packet_in.userdata = property.octets().to_vec(),
                number::CONTINUATION => packet_in.continuation = Some(property.nested()?.rest().to_vec()),
                _ if loose => {}
                _ => return property.unknown(),
            }
        }
        let length = packet_in.packet.len() as u32;
        if packet_in.total_length == 0 {
            packet_in.total_length = length;
        }
        if length == 0 || packet_in.total_length < length {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        Ok(packet_in)
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let cookie = self.cookie.unwrap_or(u64::MAX);
        let buffer = self.buffer.unwrap_or(u32::MAX);
        let total_length = u16::try_from(self.total_length).unwrap_or(u16::MAX);
        match (self.format, version) {
            (PacketInFormat::Nicira2, _) => {
                self.encode_properties(version, writer);
                self.encode_continuation(writer);
                if !self.userdata.is_empty() {
                    property::put_octets(writer, number::USERDATA, &self.userdata);
                }
                return Ok(());
            }
            (PacketInFormat::Standard, Version::V10) => {
                writer.u32(buffer);
                writer.u16(total_length);
                writer.port16(self.port());
                writer.u8(self.reason);
                writer.zeros(1);
            }
            (PacketInFormat::Standard, Version::V11) => {
                writer.u32(buffer);
                writer.port32(self.port());
                writer.port32(self.port());
                writer.u16(total_length);
                writer.u8(self.reason);
                writer.u8(self.table);
            }
            (format, _) => {
                writer.u32(buffer);
                writer.u16(total_length);
                writer.u8(self.reason);
                writer.u8(self.table);
                if format == PacketInFormat::Nicira {
                    writer.u64(cookie);
                    let length = writer.len();
                    writer.zeros(8);
                    let octets = self.metadata.put_nxm(None, writer);
                    writer.patch_u16(length, u16::try_from(octets).unwrap_or(u16::MAX));
                } else {
                    if version >= Version::V13 {
                        writer.u64(cookie);
                    }
                    self.metadata.put_oxm(version, writer);
                }
                writer.zeros(2);
            }
        }
        writer.bytes(&self.packet);
        Ok(())
    }

    pub(super) fn encode_resume(&self, version: Version, writer: &mut Writer) {
        self.encode_properties(version, writer);
        self.encode_continuation(writer);
    }

    fn encode_properties(&self, version: Version, writer: &mut Writer) {
        property::put_octets(writer, number::PACKET, &self.packet);
        if self.total_length as usize != self.packet.len() {
            property::put_u32(writer, number::FULL_LENGTH, self.total_length);
        }
        if let Some(buffer) = self.buffer {
            property::put_u32(writer, number::BUFFER, buffer);
        }
        property::put_u8(writer, number::TABLE, self.table);
        if let Some(cookie) = self.cookie {
            property::put_u64(writer, number::COOKIE, cookie);
        }
        property::put_u8(writer, number::REASON, self.reason);
        property::put(writer, PropertyKind::Standard(number::METADATA), |writer| {
            self.metadata.put_entries(Some(version), None, writer);
        });
    }

    fn encode_continuation(&self, writer: &mut Writer) {
        if let Some(continuation) = &self.continuation {
            property::put_nested(writer, number::CONTINUATION, |writer| writer.bytes(continuation));
        }
    }
}
