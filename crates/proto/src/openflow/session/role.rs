//! Roles of controllers: who may change things, and whose claim is old (OpenFlow 1.5, 6.3.6).

use super::{Role, Session};
use crate::openflow::OfError;
use crate::openflow::message::{Message, Request, RoleMessage};

/// What a bridge knows of claims to be primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Election {
    /// The greatest number of an election so far.
    generation: Option<u64>,
}

impl Election {
    /// The greatest number of an election so far.
    #[must_use]
    pub const fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// Takes the number of a claim, unless it is old. Numbers go round: what is less than half way behind is old.
    fn claim(&mut self, generation: u64) -> Result<(), OfError> {
        match self.generation {
            Some(latest) if (generation.wrapping_sub(latest) as i64) < 0 => Err(OfError::OFPRRFC_STALE),
            _ => {
                self.generation = Some(generation);
                Ok(())
            }
        }
    }
}

/// Whether only controllers that are not secondary may say it: what changes the switch, or sends packets.
pub(super) const fn is_for_others(message: &Message) -> bool {
    match message {
        Message::PacketOut(_)
        | Message::FlowMod(_)
        | Message::GroupMod(_)
        | Message::PortMod(_)
        | Message::TableMod(_)
        | Message::MeterMod(_)
        | Message::BundleControl(_)
        | Message::BundleAdd(_)
        | Message::TlvTableMod(_) => true,
        Message::MultipartRequest(request) => {
            matches!(&request.request, Request::TableFeatures(tables) if !tables.is_empty())
        }
        _ => false,
    }
}

impl Session {
    /// The peer's role.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The peer asks for a role: the answer to be sent. If it became primary, whoever was so before must be told that it
    /// is secondary ([`Session::demote`]).
    ///
    /// # Errors
    /// If the claim is older than another.
    pub fn request_role(
        &mut self,
        election: &mut Election,
        request: &RoleMessage,
    ) -> Result<RoleMessage, OfError> {
        if request.role != Role::NoChange {
            let claims = matches!(request.role, Role::Primary | Role::Secondary);
            if let Some(generation) = request.generation.filter(|_| claims) {
                election.claim(generation)?;
            }
            self.role = request.role;
        }
        Ok(RoleMessage { role: self.role, generation: election.generation, dialect: request.dialect })
    }

    /// Another controller became primary. The answer is whether this peer was, and is told by the caller.
    pub fn demote(&mut self) -> bool {
        let was = self.role == Role::Primary;
        if was {
            self.role = Role::Secondary;
        }
        was
    }
}
