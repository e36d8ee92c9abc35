//! Bridges whose tables do nothing: one flow sends every packet to the ordinary switch.
//!
//! What such a bridge does with a packet is what [`crate::Bridge::decide`] says, and looks at nothing else, so that nobody
//! has to walk through the tables. Whether a bridge is one is found out once after each change.

use super::{FlowId, Fragments, OfPortEntry, Pipeline, PortForm};
use netloom_proto::openflow::{Action, OfPort};

/// Settings of ports that matter to an ordinary switch.
const MATTERS: u32 =
    OfPortEntry::DOWN | OfPortEntry::NO_RECEIVE | OfPortEntry::NO_FLOOD | OfPortEntry::NO_FORWARD;

impl Pipeline {
    /// The flow that is credited for every packet, if there is only that one and it sends all to the ordinary switch.
    pub fn ordinary(&mut self) -> Option<FlowId> {
        if let Some(known) = self.ordinary {
            return known;
        }
        let found = self.find_ordinary();
        self.ordinary = Some(found);
        self.was_ordinary |= found.is_some();
        found
    }

    /// Whether it is no ordinary switch any more, though somebody was told so before; says it once.
    pub fn ceased_to_be_ordinary(&mut self) -> bool {
        self.ordinary().is_none() && std::mem::take(&mut self.was_ordinary)
    }

    /// Whether packets of such a port are not what they seem.
    const fn matters(&self, form: &PortForm) -> bool {
        matches!(form, PortForm::Tunnel(_)) || self.terminates && matches!(form, PortForm::Internal)
    }

    fn find_ordinary(&self) -> Option<FlowId> {
        let table = self.tables.first().filter(|table| table.flows == 1)?;
        let plain = |port: &OfPortEntry| port.config & MATTERS == 0 && !self.matters(&port.form);
        if self.options.fragments == Fragments::Drop
            || !self.options.exports.is_empty()
            || !self.ports.values().all(plain)
        {
            return None;
        }
        let rule = table.rules.iter(self.version).next()?;
        let (_, _, mask) = table.rules.describe(rule)?;
        let normal = match &*table.rules.get(rule)?.actions {
            [Action::Output { port, .. }] => *port == OfPort::NORMAL,
            _ => false,
        };
        (normal && mask.used() == 0).then_some(FlowId { table: 0, rule })
    }
}
