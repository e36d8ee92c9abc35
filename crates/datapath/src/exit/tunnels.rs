//! Tunnel ports: in which headers a packet leaves through one.
//!
//! What: the headers follow from the port's settings and the packet's fields; those that were made lately are kept, with
//! the fields that they rest on.

use super::Exit;
use crate::counters::PortCounters;
use netloom_mem::PortNumber;
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{Action, Program, Reason};
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
        self.tunnel_counters = counters.into_iter().collect();
        self.templates = HashMap::new();
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
