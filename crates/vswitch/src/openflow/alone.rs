//! A bridge whose controllers do not answer: it goes on as an ordinary switch (`fail-open` of Open vSwitch).

use super::flow::{Command, Flow, FlowMod};
use super::{Pipeline, Removal};
use netloom_proto::openflow::{Action, OfPort};
use netloom_table::classifier::Rule;
use netloom_table::{Key, Mask};
use std::sync::Arc;

/// The priority of the flow that such a bridge has: above all that controllers can give.
pub const ALONE_PRIORITY: u32 = 0x00f0_f0f0;

impl Pipeline {
    /// Has the bridge go on by itself, without the flows that its controllers gave, or not any more.
    pub fn fail_open(&mut self, alone: bool, now: u64) {
        if alone {
            let all = FlowMod { table: None, ..FlowMod::new(Command::Delete) };
            // Deleting can't fail.
            let _ = self.flow_mod(&all, now);
        }
        self.now = self.now.max(now);
        let version = self.version + 1;
        let mut done = Vec::new();
        let (key, mask) = (Key::default(), Mask::default());
        let known = self
            .tables
            .first()
            .and_then(|table| table.rules.exact(ALONE_PRIORITY, &key, &mask, self.version));
        match known.map(|rule| super::FlowId { table: 0, rule }) {
            Some(flow) if !alone => self.hide(flow, Removal::Delete, 0, version, &mut done),
            None if alone => {
                let actions = Arc::new([Action::Output { port: OfPort::NORMAL, max_len: 0 }]);
                let flow = Box::new(Flow::new(actions, self.now));
                let rule = Rule { priority: ALONE_PRIORITY, key, mask, value: flow };
                self.put(0, rule, None, true, 0, (version, &mut done));
            }
            _ => return,
        }
        self.commit(done, version);
    }
}
