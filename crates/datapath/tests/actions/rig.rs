//! A worker between ports of memory, with a brain that does as it is told.

use crate::lines::{Line, Turning, add, alone};
use netloom_datapath::{Answer, Brain, Crew, Heard, Question, Wishes};
use netloom_mem::{Offload, PortNumber};
use netloom_nf::{Program, Reason};
use netloom_table::{Field, Mask};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

/// What is done with packets, by port and recirculation number.
pub(crate) type Programs = Arc<Mutex<HashMap<(PortNumber, u32), Program>>>;

struct Told {
    programs: Programs,
    keys: Arc<Mutex<Vec<netloom_table::Key>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Brain for Told {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let key = question.key;
        self.keys.lock().unwrap().push(key.clone());
        let place = (key.get(Field::IN_PORT) as u32, key.get(Field::RECIRCULATION) as u32);
        let program = self.programs.lock().unwrap().get(&place).cloned();
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::RECIRCULATION);
        Answer {
            program: program.unwrap_or(Program::lose(Reason::Rule)),
            mask,
            rests: Vec::new(),
            changed: Vec::new(),
            token: 0,
            counted: false,
            keep: false,
        }
    }

    fn punted(&mut self, heard: Vec<Heard>, _: u64) -> Wishes {
        self.heard.lock().unwrap().extend(heard);
        Wishes::default()
    }
}

/// The worker and its ports.
pub(crate) struct Rig {
    pub(crate) crew: Crew,
    pub(crate) programs: Programs,
    /// Keys that were asked about.
    pub(crate) keys: Arc<Mutex<Vec<netloom_table::Key>>>,
    pub(crate) heard: Arc<Mutex<Vec<Heard>>>,
    worker: Turning,
    lines: BTreeMap<PortNumber, (Line, Line)>,
}

impl Rig {
    pub(crate) fn new(ports: PortNumber) -> Self {
        let (programs, keys, heard) = (Programs::default(), Arc::default(), Arc::default());
        let brain = Told { programs: programs.clone(), keys: Arc::clone(&keys), heard: Arc::clone(&heard) };
        let (mut crew, worker) = alone(Box::new(brain), &Arc::new(AtomicU64::new(1)));
        let lines = (1..=ports).map(|number| (number, add(&mut crew, number, usize::MAX))).collect();
        let rig = Self { crew, programs, keys, heard, worker, lines };
        rig.turn();
        rig
    }

    pub(crate) fn turn(&self) {
        self.worker.lock().unwrap().turn();
    }

    /// What is done with packets that come in by a port, or are looked up again with a number.
    pub(crate) fn program(&self, port: PortNumber, again: u32, program: Program) {
        self.programs.lock().unwrap().insert((port, again), program);
    }

    /// Has a frame come in.
    pub(crate) fn receive(&self, port: PortNumber, frame: &[u8], offload: Offload) {
        self.lines[&port].0.put_with(frame.to_vec(), offload);
    }

    /// What has left by a port.
    pub(crate) fn sent(&self, port: PortNumber) -> Vec<Vec<u8>> {
        self.lines[&port].1.take()
    }

    /// Sends one frame in by port 1 and gives what leaves by port 2.
    pub(crate) fn pass(&self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.receive(1, frame, Offload::NONE);
        self.turn();
        self.sent(2)
    }

    pub(crate) fn lost(&self, port: PortNumber, reason: Reason) -> u64 {
        self.crew.totals(port).unwrap().lost(reason)
    }
}
