//! Tunnel ports: in which headers a packet leaves through one.
//!
//! What: whoever decides about packets says in which headers they leave ([`Shape::Tunnel`]). Where a program only names the
//! tunnel's port, the headers follow from its settings and the packet's fields; those that were made lately are kept, with the
//! fields that they rest on.
//!
//! [`Shape::Tunnel`]: netloom_nf::Shape::Tunnel

use super::{Exit, Outcome};
use crate::counters::PortCounters;
use netloom_mem::{Batch, PortNumber, Segmentation};
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{Action, Hashing, Program, Reason, dp_hash};
use netloom_table::{Key, Mask};
use std::collections::HashMap;
use std::sync::Arc;

/// Headers that are kept for each port.
const KEPT: usize = 16;

/// Headers, and what they rest on.
struct Template {
    values: Key,
    mask: Mask,
    program: Arc<Program>,
}

/// The headers of one port that were made lately.
#[derive(Default)]
pub(super) struct Templates {
    kept: Vec<Template>,
    /// Which is replaced next.
    next: usize,
}

impl Exit {
    /// Makes these the tunnels, with where each port's packets are counted.
    pub(crate) fn set_tunnels(
        &mut self,
        tunnels: Arc<Tunnels>,
        counters: Vec<(PortNumber, Arc<PortCounters>)>,
    ) {
        self.tunnels = tunnels;
        self.tunnel_counters.clear();
        for (number, counters) in counters {
            let place = number as usize;
            self.tunnel_counters.resize(self.tunnel_counters.len().max(place + 1), None);
            self.tunnel_counters[place] = Some(counters);
        }
        self.templates = HashMap::new();
    }

    /// Where packets of a tunnel are counted.
    pub(super) fn tunnel_counters(&self, tunnel: PortNumber) -> Option<&Arc<PortCounters>> {
        self.tunnel_counters.get(tunnel as usize)?.as_ref()
    }

    /// Counts a packet that leaves through a tunnel, by its length without the tunnel's headers.
    #[inline]
    pub(super) fn count_out(&self, tunnel: PortNumber, octets: usize) {
        if let Some(counters) = self.tunnel_counters(tunnel) {
            counters.sent.add(1);
            counters.sent_octets.add(octets as u64);
        }
    }

    /// Carries out a program of [`Shape::Tunnel`]: writes the headers where the frame lies, and stages it. What is not so simple
    /// (large frames, frames without room in front, bonds) takes the long way.
    #[inline(never)]
    pub(super) fn send_encapsulated(
        &mut self,
        batch: &mut Batch,
        index: usize,
        program: Option<&Program>,
        (port, key): (PortNumber, &Key),
        now: u64,
    ) -> Outcome {
        let Some(program) = program else { return Outcome::Dropped(Reason::PortGone) };
        if let [Action::Encapsulate(headers), ..] = program.actions()
            && batch.offload(index).segmentation == Segmentation::None
            && matches!(self.outputs.get(port as usize), Some(Some(_)))
        {
            let octets = batch.length(index);
            if headers.put(batch, index, dp_hash(Hashing::default(), key), now) {
                self.count_out(headers.tunnel(), octets);
                return self.stage(batch, index, port, now);
            }
        }
        self.compose(batch, index, program, key, now)
    }

    /// What sends a packet with this key through a tunnel; none if there is no way.
    pub(super) fn template(&mut self, port: PortNumber, key: &Key) -> Option<Arc<Program>> {
        let templates = self.templates.entry(port).or_default();
        if let Some(known) = templates.kept.iter().find(|known| key.matches(&known.values, &known.mask)) {
            return Some(known.program.clone());
        }
        let mut mask = Mask::default();
        let (encapsulation, to) = self.tunnels.encapsulation(port, key, &mut mask).ok()?;
        let actions = vec![Action::Encapsulate(Arc::new(encapsulation)), Action::Output(to)];
        let program = Arc::new(Program::new(actions, Reason::PortGone));
        let made = Template { values: key.masked(&mask), mask, program: program.clone() };
        match templates.kept.get_mut(templates.next) {
            Some(place) => *place = made,
            None => templates.kept.push(made),
        }
        templates.next = (templates.next + 1) % KEPT;
        Some(program)
    }
}
