//! Error messages: what was wrong with a request, and the request (OpenFlow 1.5, 7.5.4).

use super::octets::{Decoded, ReadMore};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

/// Which error a message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// One that has a name here.
    Known(OfError),
    /// One that has none: its type and code as they stand in the message.
    Unknown {
        /// The type. Legal values: all; `0xffff` says that a vendor defined the error.
        kind: u16,
        /// The code.
        code: u16,
    },
}

impl From<OfError> for ErrorCode {
    fn from(error: OfError) -> Self {
        Self::Known(error)
    }
}

/// A peer was not understood, or was denied something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorMessage {
    /// What was wrong.
    pub error: ErrorCode,
    /// The request, whole or its beginning of at least 64 octets; text if no common version was found. For an unknown
    /// error of a vendor the vendor's number and codes come before it.
    pub data: Vec<u8>,
}

impl ErrorMessage {
    /// The answer to a request that failed. Open vSwitch repeats the whole request.
    #[must_use]
    pub fn reply(error: OfError, request: &[u8]) -> Self {
        Self { error: ErrorCode::Known(error), data: request.to_vec() }
    }

    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let mut known = body.clone();
        if let Ok(Some(error)) = OfError::take(version, &mut known) {
            body.all();
            return Ok(Self { error: ErrorCode::Known(error), data: known.all().to_vec() });
        }
        let (kind, code) = (body.u16()?, body.u16()?);
        Ok(Self { error: ErrorCode::Unknown { kind, code }, data: body.all().to_vec() })
    }

    /// What does not fit in a message is left out at the end.
    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        match self.error {
            ErrorCode::Known(error) => error.put(version, writer),
            ErrorCode::Unknown { kind, code } => {
                writer.u16(kind);
                writer.u16(code);
            }
        }
        let room = super::header::GREATEST_LENGTH.saturating_sub(writer.len());
        writer.bytes(self.data.get(..room).unwrap_or(&self.data));
    }
}
