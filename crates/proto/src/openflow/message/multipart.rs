//! Multipart messages: requests for statistics and descriptions, and the answers in as many parts as they need
//! (OpenFlow 1.5, 7.3.5).
//!
//! What: [`MultipartRequest`] and [`MultipartReply`] are what one message says; a whole answer is the parts up to the
//! first one without more to come, joined by [`Reply::join`]. [`Assembler`] joins requests.

mod assembler;
mod reply;
mod request;

pub use assembler::{Assembled, Assembler};
pub use reply::{MultipartReply, Reply, SwitchDescription};
pub use request::{MultipartRequest, Request};

use super::kind::{MULTIPART_EXPERIMENTER, owner};
use super::octets::Decoded;
use super::{
    Context, Dialect, EncodeError, Encoded, FlowState, GREATEST_LENGTH, HEADER_LENGTH, Kind, MultipartKind,
    wire,
};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::Owner;
use crate::openflow::{Action, Match, OfError, Version};

/// Flag of a part that says that more follow.
const MORE: u16 = 1;

/// What stands before the body of a multipart message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    owner: Owner,
    kind: MultipartKind,
    more: bool,
}

impl Head {
    /// Reads what follows the header of the message.
    fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let (number, flags) = (body.u16()?, body.u16()?);
        let more = flags & MORE != 0;
        if version > Version::V10 {
            body.skip(4)?;
        }
        if number != MULTIPART_EXPERIMENTER {
            let kind =
                MultipartKind::at(version, Owner::Standard, number.into()).ok_or(OfError::OFPBRC_BAD_STAT)?;
            return Ok(Self { owner: Owner::Standard, kind, more });
        }
        let experimenter = body.u32()?;
        let number = if version > Version::V10 { Some(body.u32()?) } else { None };
        let owner = owner(experimenter)?;
        let number = match number {
            Some(number) => number,
            None if owner != Owner::Nicira => return Err(OfError::OFPBRC_BAD_VENDOR),
            // Nicira's header has filling in version 1.0.
            None => {
                let number = body.u32()?;
                body.skip(4)?;
                number
            }
        };
        let kind = MultipartKind::at(version, owner, number).ok_or(OfError::OFPBRC_BAD_SUBTYPE)?;
        Ok(Self { owner, kind, more })
    }

    /// Writes what follows the header of the message. Whether more follow is filled in at the end.
    fn encode(version: Version, owner: Owner, number: u32, writer: &mut Writer) {
        writer.u16(if owner == Owner::Standard { number as u16 } else { MULTIPART_EXPERIMENTER });
        writer.u16(0);
        if version > Version::V10 {
            writer.zeros(4);
        }
        if let Some(experimenter) = owner.experimenter() {
            writer.u32(experimenter);
            writer.u32(number);
            if version == Version::V10 {
                writer.zeros(4);
            }
        }
    }
}

/// Whose statistics a message holds, and which: it reads what follows the header of the message.
pub(super) fn head_of(version: Version, body: &mut Reader<'_>) -> Decoded<(Owner, MultipartKind)> {
    Head::decode(version, body).map(|head| (head.owner, head.kind))
}

/// Octets of a multipart message that are being written, a new part whenever one is full.
struct Parts {
    writer: Writer,
    /// Where the current part begins.
    start: usize,
    /// Length of the headers of each part.
    head: usize,
}

impl Parts {
    /// Begins with a writer that holds the header of the message.
    fn new(
        version: Version,
        kind: MultipartKind,
        want: Option<Owner>,
        mut writer: Writer,
    ) -> Result<Self, EncodeError> {
        let unsayable = EncodeError::Unsayable { version, what: kind.name() };
        let (owner, number) = kind.place(version, want).ok_or(unsayable)?;
        Head::encode(version, owner, number, &mut writer);
        Ok(Self { start: 0, head: writer.len(), writer })
    }

    /// Writes one entry, into a new part if the current one has no room for it.
    fn entry(&mut self, encode: impl FnOnce(&mut Writer) -> Encoded) -> Encoded {
        let start = self.writer.len();
        encode(&mut self.writer)?;
        if self.writer.len() - self.start <= GREATEST_LENGTH {
            return Ok(());
        }
        let entry = self.writer.as_slice().get(start..).unwrap_or_default().to_vec();
        self.writer.truncate(start);
        let length = self.head + entry.len();
        if length > GREATEST_LENGTH {
            return Err(EncodeError::TooLong { length });
        }
        self.end_part(true);
        let head = self.writer.as_slice().get(..self.head).unwrap_or_default().to_vec();
        self.start = self.writer.len();
        self.writer.bytes(&head);
        self.writer.bytes(&entry);
        Ok(())
    }

    /// Writes a flow. One that is too long for a message, since it is longer when it is told than when it was made, is
    /// left out, as Open vSwitch does: the others are worth telling.
    fn flow(
        &mut self,
        context: Context<'_>,
        dialect: Dialect,
        state: &FlowState,
        matching: &Match,
        actions: &[Action],
    ) -> Encoded {
        match self.entry(|writer| state.encode(context, dialect, matching, actions, writer)) {
            Err(EncodeError::TooLong { .. }) => Ok(()),
            other => other,
        }
    }

    fn end_part(&mut self, more: bool) {
        self.writer.patch_length(self.start, self.start + 2);
        self.writer.patch_u16(self.start + HEADER_LENGTH + 2, if more { MORE } else { 0 });
    }

    fn finish(mut self, more: bool) -> Vec<u8> {
        self.end_part(more);
        self.writer.finish()
    }
}

/// Reads entries until nothing is left.
fn decode_all<'a, T>(
    body: &mut Reader<'a>,
    decode: impl Fn(&mut Reader<'a>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let mut entries = Vec::new();
    while !body.is_empty() {
        entries.push(decode(body)?);
    }
    Ok(entries)
}

/// Writes the flows of an answer one by one, so that a table of any size needs no copy of itself.
pub struct FlowReplyWriter<'a> {
    context: Context<'a>,
    dialect: Dialect,
    parts: Parts,
}

impl<'a> FlowReplyWriter<'a> {
    /// Begins the answer to a request for flows.
    ///
    /// # Errors
    /// If the version has no such answer.
    pub fn new(context: Context<'a>, xid: u32, dialect: Dialect) -> Result<Self, EncodeError> {
        let version = context.version;
        let unsayable = EncodeError::Unsayable { version, what: Kind::MultipartReply.name() };
        let (owner, number) = Kind::MultipartReply.place(version, None).ok_or(unsayable)?;
        let mut writer = Writer::new();
        wire::put_header(&mut writer, version.wire(), owner, number, xid);
        let parts = Parts::new(version, MultipartKind::Flow, Some(wire::owner(dialect)), writer)?;
        Ok(Self { context, dialect, parts })
    }

    /// Writes a flow. One that is too long for a message is left out.
    ///
    /// # Errors
    /// If the version cannot say what it matches, or its actions cannot be written; nothing of it is written.
    pub fn flow(
        &mut self,
        state: &FlowState,
        matching: &Match,
        actions: &[Action],
    ) -> Result<(), EncodeError> {
        let length = self.parts.writer.len();
        let written = self.parts.flow(self.context, self.dialect, state, matching, actions);
        if written.is_err() {
            self.parts.writer.truncate(length);
        }
        written
    }

    /// Takes the parts of the answer that are full, if there are any, so that they can be sent while it goes on.
    pub fn take_full(&mut self) -> Vec<u8> {
        if self.parts.start == 0 {
            return Vec::new();
        }
        let rest = self.parts.writer.as_slice().get(self.parts.start..).unwrap_or_default().to_vec();
        let mut full = std::mem::replace(&mut self.parts.writer, Writer::from_vec(rest)).finish();
        full.truncate(self.parts.start);
        self.parts.start = 0;
        full
    }

    /// Gives what of the answer was not taken yet; another writer goes on with it.
    #[must_use]
    pub fn pause(self) -> Vec<u8> {
        self.parts.finish(true)
    }

    /// Ends the answer and gives what of it was not taken yet.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.parts.finish(false)
    }
}
