//! Roles of controllers (OpenFlow 1.5, 6.3.6, 7.3.8 and 7.4.4; Nicira's extension for versions 1.0 and 1.1).

use super::numbers::numbers;
use super::octets::Decoded;
use super::{Dialect, EncodeError, Encoded};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

numbers! {
    /// What a controller may do.
    pub enum Role: u32 {
        /// As before: it only asks. Nicira's extension cannot say this.
        NoChange = 0,
        /// Everything, beside others.
        Equal = 1,
        /// Everything, alone: who was primary before becomes secondary.
        Primary = 2,
        /// Only to look.
        Secondary = 3,
    }
}

impl Role {
    fn decode(number: u32) -> Decoded<Self> {
        Self::from_number(number).ok_or(OfError::OFPRRFC_BAD_ROLE)
    }
}

/// A role that is asked for, or that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleMessage {
    /// The role.
    pub role: Role,
    /// Number of the election, so that old claims are known as such. A request that changes nothing has none; in a reply
    /// none says that there was no election yet. Nicira's extension has none.
    pub generation: Option<u64>,
    /// The message of the standard (from version 1.2 on), or Nicira's.
    pub dialect: Dialect,
}

impl RoleMessage {
    pub(super) fn decode(request: bool, body: &mut Reader<'_>) -> Decoded<Self> {
        let role = Role::decode(body.u32()?)?;
        body.skip(4)?;
        let generation = body.u64()?;
        let none = if request { role == Role::NoChange } else { generation == u64::MAX };
        Ok(Self { role, generation: (!none).then_some(generation), dialect: Dialect::Standard })
    }

    pub(super) fn decode_nicira(body: &mut Reader<'_>) -> Decoded<Self> {
        // Its numbers are one less: no change cannot be said.
        let role = body.u32()?.checked_add(1).ok_or(OfError::OFPRRFC_BAD_ROLE).and_then(Role::decode)?;
        Ok(Self { role, generation: None, dialect: Dialect::Nicira })
    }

    pub(super) fn encode(&self, version: Version, request: bool, writer: &mut Writer) -> Encoded {
        match self.dialect {
            Dialect::Standard => {
                writer.u32(self.role.number());
                writer.zeros(4);
                let none = if request { 0 } else { u64::MAX };
                writer.u64(self.generation.unwrap_or(none));
            }
            Dialect::Nicira => match self.role.number().checked_sub(1) {
                Some(number) => writer.u32(number),
                None => {
                    return Err(EncodeError::Unsayable {
                        version,
                        what: "in Nicira's words that a role stays",
                    });
                }
            },
        }
        Ok(())
    }
}

numbers! {
    /// Why a role changed.
    pub enum RoleReason: u8 {
        /// Another controller became primary.
        PrimaryRequest = 0,
        /// The switch was set otherwise.
        Config = 1,
        /// Something of an experimenter changed.
        Experimenter = 2,
    }
}

/// A controller's role changed without its doing; from version 1.3 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleStatus {
    /// The role now.
    pub role: Role,
    /// Why. Legal values: those of [`RoleReason`]; others are kept as they came.
    pub reason: u8,
    /// Number of the election, if there was one.
    pub generation: Option<u64>,
}

impl RoleStatus {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let role = Role::decode(body.u32()?)?;
        let reason = body.u8()?;
        body.skip(3)?;
        let generation = body.u64()?;
        Ok(Self { role, reason, generation: (generation != u64::MAX).then_some(generation) })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.role.number());
        writer.u8(self.reason);
        writer.zeros(3);
        writer.u64(self.generation.unwrap_or(u64::MAX));
    }
}
