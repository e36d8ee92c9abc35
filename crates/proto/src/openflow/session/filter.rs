//! Which messages a controller gets that it did not ask for, by its role and its wishes.

use super::{Role, Session, Side};
use crate::openflow::message::AsyncMasks;

/// What a message is about that nobody asked for, with the number of its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asynchronous {
    /// A packet for the controller.
    PacketIn(u8),
    /// Something happened to a port.
    PortStatus(u8),
    /// A flow went away.
    FlowRemoved(u8),
    /// The controller's role changed.
    RoleStatus(u8),
    /// Something happened to a table.
    TableStatus(u8),
    /// Another controller changed groups or meters.
    RequestForward(u8),
    /// A controller's state changed.
    ControllerStatus(u8),
}

impl Session {
    /// Whether the peer wants a message that it did not ask for.
    #[must_use]
    pub fn wants(&self, about: Asynchronous) -> bool {
        if self.version().is_none() || self.ended.is_some() || self.config.side == Side::Controller {
            return false;
        }
        // A tool gets nothing until it says how much of packets it wants, or what it wants at all.
        if self.config.service && self.miss_send_length == 0 {
            return false;
        }
        let masks = if self.role == Role::Secondary { &self.wanted.secondary } else { &self.wanted.primary };
        let (mask, reason) = mask_of(masks, about);
        1_u32.checked_shl(reason.into()).is_some_and(|bit| mask.unwrap_or(0) & bit != 0)
    }
}

const fn mask_of(masks: &AsyncMasks, about: Asynchronous) -> (Option<u32>, u8) {
    match about {
        Asynchronous::PacketIn(reason) => (masks.packet_in, reason),
        Asynchronous::PortStatus(reason) => (masks.port_status, reason),
        Asynchronous::FlowRemoved(reason) => (masks.flow_removed, reason),
        Asynchronous::RoleStatus(reason) => (masks.role_status, reason),
        Asynchronous::TableStatus(reason) => (masks.table_status, reason),
        Asynchronous::RequestForward(reason) => (masks.request_forward, reason),
        Asynchronous::ControllerStatus(reason) => (masks.controller_status, reason),
    }
}
