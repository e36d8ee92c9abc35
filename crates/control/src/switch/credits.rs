//! Packets that workers counted, credited to whom they are due.
//!
//! What: a flow of the data path that came from tables has a token, which leads to the list of rules, groups, tables and
//! stations that are credited for its packets. Flows of ordinary switches have none: their packets come as sums of ports,
//! and all go to the one rule of the bridge.
//!
//! Invariants: every packet is credited once. A token is a flow's as long as the worker has that flow.

use super::brain::Bridges;
use netloom_vswitch::openflow::translate::{self, Credit};
use netloom_vswitch::openflow::{BridgeNumber, FlowId};

/// Lists of those who are credited, by token.
#[derive(Debug, Default)]
pub(super) struct Credits {
    lists: Vec<Option<Box<Credit>>>,
    free: Vec<usize>,
}

impl Credits {
    /// A token for a list; never zero.
    pub(super) fn add(&mut self, credit: Credit) -> u64 {
        let place = self.free.pop().unwrap_or(self.lists.len());
        if place == self.lists.len() {
            self.lists.push(None);
        }
        if let Some(list) = self.lists.get_mut(place) {
            *list = Some(Box::new(credit));
        }
        place as u64 + 1
    }

    /// Takes the list of a token, to be given back if its flow is still there.
    fn take(&mut self, token: u64) -> Option<Box<Credit>> {
        self.lists.get_mut(place(token)?)?.take()
    }

    fn give_back(&mut self, token: u64, credit: Option<Box<Credit>>) {
        let Some((place, list)) = place(token).and_then(|place| Some((place, self.lists.get_mut(place)?)))
        else {
            return;
        };
        if credit.is_none() {
            self.free.push(place);
        }
        *list = credit;
    }
}

fn place(token: u64) -> Option<usize> {
    usize::try_from(token.checked_sub(1)?).ok()
}

impl Bridges {
    /// Credits packets to everybody on a list.
    pub(super) fn credit(&mut self, credit: &Credit, packets: u64, octets: u64, used: u64) {
        translate::credit(self, credit, packets, octets, used);
        if packets == 0 {
            return;
        }
        self.exports.count(credit, packets, octets, used);
        for (bridge, tag, port) in &credit.stations {
            if let Some(bridge) = self.names.get(bridge).and_then(|name| self.by_name.get_mut(name)) {
                bridge.refresh(*tag, *port, used);
            }
        }
        for (out, into) in &credit.cables {
            let [.., sent, sent_octets] = self.cables.entry(*out).or_default();
            (*sent, *sent_octets) = (*sent + packets, *sent_octets + octets);
            let [received, received_octets, ..] = self.cables.entry(*into).or_default();
            (*received, *received_octets) = (*received + packets, *received_octets + octets);
        }
        for learned in credit.learned.iter().map(|(bridge, _)| *bridge) {
            self.gather_events(learned);
        }
    }

    /// Credits packets of a flow that is counted.
    pub(super) fn credit_token(&mut self, token: u64, packets: u64, octets: u64, last: u64, ended: bool) {
        let Some(credit) = self.credits.take(token) else { return };
        self.credit(&credit, packets, octets, last);
        if ended {
            self.exports.end(&credit, last);
        }
        self.credits.give_back(token, (!ended).then_some(credit));
    }

    /// Credits packets that an ordinary switch carried.
    pub(super) fn credit_port(&mut self, port: u32, packets: u64, octets: u64, last: u64) {
        let Some(bridge) = self.of_port.get(&port).map(|place| place.bridge) else { return };
        // The rule may have been replaced meanwhile: its heir is credited.
        if let Some(flow) = self.ordinary.get(&bridge).copied() {
            self.credit_ordinary(bridge, flow, packets, octets, last);
        }
    }

    /// Credits packets to the one rule of an ordinary switch.
    pub(super) fn credit_ordinary(
        &mut self,
        bridge: BridgeNumber,
        flow: FlowId,
        packets: u64,
        octets: u64,
        last: u64,
    ) {
        if let Some(pipeline) = self.pipelines.get_mut(&bridge) {
            pipeline.credit_flow(flow, packets, octets, last);
            pipeline.credit_table(flow.table, packets, 0);
        }
    }
}
