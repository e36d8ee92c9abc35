//! Roles of controllers.

use super::super::events;
use super::super::ground::Ground;
use super::{Handled, Turn};
use netloom_proto::openflow::message::{Message, Role, RoleMessage};

impl<G: Ground> Turn<'_, G> {
    pub(super) fn role(&mut self, xid: u32, request: &RoleMessage) -> Handled {
        let before = self.connection.session.role();
        let reply = self.connection.session.request_role(&mut self.side.election, request)?;
        if request.role == Role::Primary && before != Role::Primary {
            let generation = self.side.election.generation();
            let mut audience = events::Audience::new(self.side, None, self.others);
            events::demote(&mut audience, self.connection.token, generation);
        }
        self.connection.reply(xid, &Message::RoleReply(reply))
    }
}
