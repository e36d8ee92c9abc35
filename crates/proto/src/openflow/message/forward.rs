//! Requests of other controllers that were carried out (OpenFlow 1.5, 7.4.6; extensions for versions before 1.4).

use super::octets::Decoded;
use super::{Context, EncodeError, Encoded, HEADER_LENGTH, Header, Kind, Message};
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

/// Another controller changed groups or meters.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestForward {
    /// Number of the other controller's message.
    pub xid: u32,
    /// The message. Legal values: [`Message::GroupMod`] and [`Message::MeterMod`].
    pub request: Box<Message>,
}

impl RequestForward {
    pub(super) fn decode(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Self> {
        let header = Header::parse(body.rest()).ok_or(OfError::OFPBFC_MSG_BAD_LEN)?;
        let length = usize::from(header.length);
        if length < HEADER_LENGTH || length > body.len() {
            return Err(OfError::OFPBFC_MSG_BAD_LEN);
        }
        if header.version != context.version.wire() {
            return Err(OfError::OFPBRC_BAD_VERSION);
        }
        let octets = body.take(length)?;
        // Looked at before it is read: such a message could hold another one, and that one another.
        if !matches!(Kind::of(octets)?, Kind::GroupMod | Kind::MeterMod) {
            return Err(OfError::OFPBFC_MSG_UNSUP);
        }
        let (xid, request) = super::decode_with(context, octets)?;
        Ok(Self { xid, request: Box::new(request) })
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        if !matches!(*self.request, Message::GroupMod(_) | Message::MeterMod(_)) {
            let what = "that another controller sent such a message";
            return Err(EncodeError::Unsayable { version: context.version, what });
        }
        writer.bytes(&super::encode_with(context, self.xid, &self.request)?);
        Ok(())
    }
}
