//! A worker between ports of memory, with a brain that does as it is told.

use netloom_datapath::{Answer, Brain, Crew, FlowBounds, Heard, PortQueues, Question, Wishes, Worker, crew};
use netloom_mem::{Batch, Offload, PortError, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::{Program, Reason};
use netloom_table::{Field, Mask};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type Line = Arc<Mutex<VecDeque<(Vec<u8>, Offload)>>>;

/// What is done with packets, by port and recirculation number.
pub(crate) type Programs = Arc<Mutex<HashMap<(PortNumber, u32), Program>>>;

struct From(PortNumber, Line);
struct To(Line);

impl ReceiveQueue for From {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let mut line = self.1.lock().unwrap();
        while batch.room() > 0 {
            let Some((frame, offload)) = line.pop_front() else { break };
            assert!(batch.push(self.0, &frame, offload));
        }
        Ok(batch.len())
    }
}

impl SendQueue for To {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let mut line = self.0.lock().unwrap();
        for index in frames {
            let index = usize::from(*index);
            line.push_back((batch.octets(index), *batch.offload(index)));
        }
        Ok(frames.len())
    }
}

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
    worker: Arc<Mutex<Worker>>,
    lines: BTreeMap<PortNumber, (Line, Line)>,
}

impl Rig {
    pub(crate) fn new(ports: PortNumber) -> Self {
        let (mut crew, mut sides) = crew(1).unwrap();
        let time = Arc::new(AtomicU64::new(1));
        let (programs, keys, heard) = (Programs::default(), Arc::default(), Arc::default());
        let brain = Told { programs: programs.clone(), keys: Arc::clone(&keys), heard: Arc::clone(&heard) };
        let clock = Box::new(move || time.load(Ordering::Relaxed));
        let worker = Worker::new(sides.remove(0), Box::new(brain), FlowBounds::default(), 3, clock);
        let worker = Arc::new(Mutex::new(worker));
        let turning = worker.clone();
        crew.meanwhile(move || {
            turning.lock().unwrap().turn();
        });
        let mut lines = BTreeMap::new();
        for number in 1..=ports {
            let (inward, outward) = (Line::default(), Line::default());
            let receive: Vec<Box<dyn ReceiveQueue>> = vec![Box::new(From(number, inward.clone()))];
            let send: Vec<Box<dyn SendQueue>> = vec![Box::new(To(outward.clone()))];
            crew.add(PortQueues::new(number, receive, send)).unwrap();
            lines.insert(number, (inward, outward));
        }
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
        self.lines[&port].0.lock().unwrap().push_back((frame.to_vec(), offload));
    }

    /// What has left by a port.
    pub(crate) fn sent(&self, port: PortNumber) -> Vec<Vec<u8>> {
        self.lines[&port].1.lock().unwrap().drain(..).map(|(frame, _)| frame).collect()
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
