//! Ports of memory for a worker under test: frames are put into lines and taken out of lines.

#![allow(dead_code, reason = "each test takes what it needs")]

use netloom_datapath::{Brain, Crew, FlowBounds, PortQueues, Worker, crew};
use netloom_mem::{Batch, Offload, PortError, PortNumber, ReceiveQueue, SendQueue};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A frame, with what is still to be done to it.
type Frame = (Vec<u8>, Offload);

/// Frames that wait. Copies are the same line.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<VecDeque<Frame>>>);

impl Line {
    pub(crate) fn put(&self, frame: Vec<u8>) {
        self.put_with(frame, Offload::NONE);
    }

    pub(crate) fn put_with(&self, frame: Vec<u8>, offload: Offload) {
        self.0.lock().unwrap().push_back((frame, offload));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The frames, which stay.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().iter().map(|(frame, _)| frame.clone()).collect()
    }

    /// Takes all frames.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        self.take_with().into_iter().map(|(frame, _)| frame).collect()
    }

    /// Takes all frames, with what is still to be done to them.
    pub(crate) fn take_with(&self) -> Vec<Frame> {
        self.0.lock().unwrap().drain(..).collect()
    }

    /// Where a port's frames come from.
    pub(crate) fn inlet(&self, port: PortNumber) -> Box<dyn ReceiveQueue> {
        Box::new(Inlet(port, self.clone()))
    }

    /// Where frames go, as long as fewer than `room` wait.
    pub(crate) fn outlet(&self, room: usize) -> Box<dyn SendQueue> {
        Box::new(Outlet(self.clone(), room))
    }
}

struct Inlet(PortNumber, Line);

impl ReceiveQueue for Inlet {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        assert!(batch.is_empty());
        let mut line = self.1.0.lock().unwrap();
        while batch.room() > 0 {
            let Some((frame, offload)) = line.pop_front() else { break };
            assert!(batch.push(self.0, &frame, offload));
        }
        Ok(batch.len())
    }
}

struct Outlet(Line, usize);

impl SendQueue for Outlet {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let mut line = self.0.0.lock().unwrap();
        let room = self.1.saturating_sub(line.len()).min(frames.len());
        for index in &frames[..room] {
            let index = usize::from(*index);
            line.push_back((batch.octets(index), *batch.offload(index)));
        }
        Ok(room)
    }
}

/// A worker that turns when it is waited for, too.
pub(crate) type Turning = Arc<Mutex<Worker>>;

/// One worker, whose clock is `time`.
pub(crate) fn alone(brain: Box<dyn Brain>, time: &Arc<AtomicU64>) -> (Crew, Turning) {
    let (mut crew, mut sides) = crew(1).unwrap();
    let clock = time.clone();
    let clock = Box::new(move || clock.load(Ordering::Relaxed));
    let worker = Worker::new(sides.remove(0), brain, FlowBounds::default(), 3, clock);
    let worker = Arc::new(Mutex::new(worker));
    let turning = worker.clone();
    crew.meanwhile(move || {
        turning.lock().unwrap().turn();
    });
    (crew, worker)
}

/// Adds a port with a line in and a line out, in which so many frames have room.
pub(crate) fn add(crew: &mut Crew, number: PortNumber, room: usize) -> (Line, Line) {
    let (inward, outward) = (Line::default(), Line::default());
    crew.add(PortQueues::new(number, vec![inward.inlet(number)], vec![outward.outlet(room)])).unwrap();
    (inward, outward)
}
