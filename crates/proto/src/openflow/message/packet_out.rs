//! Packets that a controller sends (OpenFlow 1.5, 7.3.6).

use super::flow::decode_buffer;
use super::octets::{Decoded, ReadMore, WriteMore};
use super::{Context, Encoded, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::Rules;
use crate::openflow::{Action, FieldId, Match, OfError, OfPort, Version};

/// A packet to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketOut {
    /// Number by which the packet waits in the switch; then `packet` is empty.
    pub buffer: Option<u32>,
    /// What is to be known of the packet beside its octets: the port by which it came, an ordinary one,
    /// [`OfPort::LOCAL`], [`OfPort::CONTROLLER`] or [`OfPort::NONE`]. Before version 1.5 no more can be said.
    pub metadata: Match,
    /// What is to be done with it.
    pub actions: Vec<Action>,
    /// The packet.
    pub packet: Vec<u8>,
}

impl PacketOut {
    /// A packet that came by a port.
    #[must_use]
    pub fn new(port: OfPort, actions: Vec<Action>, packet: Vec<u8>) -> Self {
        let mut metadata = Match::any();
        metadata.set_number(FieldId::PACKET_TYPE, 0);
        metadata.set_number(FieldId::IN_PORT, port.0.into());
        Self { buffer: None, metadata, actions, packet }
    }

    /// The port by which the packet is to have come.
    #[must_use]
    pub fn port(&self) -> OfPort {
        OfPort(self.metadata.get(FieldId::IN_PORT).map_or(0, |(value, _)| value.to_u64() as u16))
    }

    pub(super) fn decode(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let buffer = decode_buffer(body)?;
        let (metadata, length) = match version {
            Version::V15 => {
                let length = body.u16()?;
                body.skip(2)?;
                let rules = Rules { pipeline_only: true, ..Rules::LOOSE };
                (Match::take_oxm(body, rules)?, length)
            }
            _ => {
                let (port, length) = (body.port(version)?, body.u16()?);
                body.skip(if version == Version::V10 { 0 } else { 6 })?;
                (Self::new(port, Vec::new(), Vec::new()).metadata, length)
            }
        };
        if metadata.is_wild(FieldId::IN_PORT) {
            return Err(OfError::OFPBRC_BAD_PORT);
        }
        let actions = parts::take_actions(context, length.into(), body)?;
        let rest = body.all();
        let packet = if buffer.is_none() { rest.to_vec() } else { Vec::new() };
        let packet_out = Self { buffer, metadata, actions, packet };
        let port = packet_out.port();
        if port.is_reserved() && !matches!(port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER) {
            return Err(OfError::OFPBRC_BAD_PORT);
        }
        Ok(packet_out)
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        writer.u32(self.buffer.unwrap_or(u32::MAX));
        let mut length = writer.len();
        if version == Version::V15 {
            writer.zeros(4);
            self.metadata.put_oxm(version, writer);
        } else {
            writer.port(version, self.port());
            length = writer.len();
            writer.zeros(if version == Version::V10 { 2 } else { 8 });
        }
        let start = writer.len();
        parts::put_actions(context, &self.metadata, &self.actions, writer)?;
        writer.patch_length(start, length);
        if self.buffer.is_none() {
            writer.bytes(&self.packet);
        }
        Ok(())
    }
}
