//! The bridges behind one lock, as workers ask them.

use netloom_datapath::{Answer, Brain, Question, Used, Wishes};
use netloom_nf::{Program, Reason};
use netloom_table::{Field, Mask};
use netloom_vswitch::Bridge;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All bridges, and which port belongs to which.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    pub(super) by_name: BTreeMap<String, Bridge>,
    pub(super) of_port: HashMap<u32, String>,
    /// Rung when a bridge has put something off that concerns all workers.
    pub(super) bell: Option<Arc<OwnedFd>>,
}

impl Bridges {
    pub(super) fn of(&mut self, port: u32) -> Option<&mut Bridge> {
        self.by_name.get_mut(self.of_port.get(&port)?)
    }
}

/// The bridges, shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Bridges>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Bridges> {
        // A bridge is consistent between any two of its operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Brain for Shared {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut bridges = self.lock();
        match bridges.of(question.key.get(Field::IN_PORT) as u32) {
            Some(bridge) => {
                let decision = bridge.decide(question.key, question.now);
                Answer {
                    program: decision.program,
                    mask: decision.mask,
                    rests: decision.rests,
                    changed: decision.changed,
                    token: decision.sender,
                    keep: decision.keep,
                }
            }
            None => {
                let mut mask = Mask::default();
                mask.add(Field::IN_PORT);
                let program = Program::lose(Reason::PortGone);
                Answer { program, mask, rests: Vec::new(), changed: Vec::new(), token: 0, keep: false }
            }
        }
    }

    fn used(&mut self, used: &[Used], now: u64) {
        let mut bridges = self.lock();
        for used in used {
            if let Some(bridge) = bridges.of(used.port) {
                bridge.refresh(used.token, used.port, now);
            }
        }
    }

    fn heard(&mut self, port: u32, octets: Vec<u8>, now: u64) -> Wishes {
        let mut bridges = self.lock();
        let Some(bridge) = bridges.of(port) else { return Wishes::default() };
        let effects = bridge.heard(port, &octets, now);
        let is_late = bridge.is_late();
        if let (true, Some(bell)) = (is_late, &bridges.bell) {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
        Wishes {
            changed: effects.changed,
            changed_all: effects.changed_all,
            send: effects.send,
            ..Wishes::default()
        }
    }
}
