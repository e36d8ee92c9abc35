//! A worker between ports that lose, damage and repeat frames, cut batches short and refuse: every frame is accounted for,
//! and what comes out is in order.

#![allow(clippy::unwrap_used, reason = "a test")]

use netloom_datapath::{Answer, Brain, FlowBounds, PortQueues, Question, Wishes, Worker, crew};
use netloom_mem::{BATCH, Batch, Offload, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::{Action, Program, Reason};
use netloom_port::memory::{End, pair};
use netloom_port::wrap::{Direction, FaultCounters, Faults, Faulty, Journal, Traced};
use netloom_table::{Field, Mask};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// Sends everything out of port 2, by a flow for each source.
struct Onward;

impl Brain for Onward {
    fn translate(&mut self, _: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add_bits(Field::ETH_SRC, 0xff);
        let program = Program::new(vec![Action::Output(2)], Reason::NoPorts);
        Answer { program, mask, rests: vec![1], changed: Vec::new(), token: 0, counted: false, keep: true }
    }

    fn heard(&mut self, _: PortNumber, _: Vec<u8>, _: u64) -> Wishes {
        Wishes::default()
    }
}

/// A faulty queue that the test can still ask after the worker has it.
struct Watched<Q>(Arc<Mutex<Faulty<Q>>>);

impl<Q: ReceiveQueue> ReceiveQueue for Watched<Q> {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, netloom_mem::PortError> {
        self.0.lock().unwrap().receive(batch)
    }

    fn complete(&mut self) {
        self.0.lock().unwrap().complete();
    }
}

impl<Q: SendQueue> SendQueue for Watched<Q> {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, netloom_mem::PortError> {
        self.0.lock().unwrap().send(batch, frames)
    }

    fn flush(&mut self) {
        self.0.lock().unwrap().flush();
    }
}

fn frame(number: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, (number % 5) as u8, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.resize(60 + usize::from(number) % 700, 7);
    frame
}

fn faults() -> impl Strategy<Value = Faults> {
    let part = || prop_oneof![Just(0.0), 0.0..0.5_f64];
    (any::<u64>(), part(), part(), part(), part()).prop_map(|(seed, loss, corruption, repetition, short)| {
        Faults { seed, loss, corruption, repetition, short }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_frame_is_accounted_for(faults_in in faults(), faults_out in faults(), count in 0_u16..400) {
        let [mut source, near] = pair([1, 1], 512).unwrap();
        // All of them twice, and then twice again, find room.
        let [far, mut sink] = pair([2, 2], 2048).unwrap();
        let (mut crew, mut sides) = crew(1).unwrap();
        let worker = Worker::new(sides.remove(0), Box::new(Onward), FlowBounds::default(), 3, Box::new(|| 1));
        let worker = Arc::new(Mutex::new(worker));
        let turning = worker.clone();
        crew.meanwhile(move || { turning.lock().unwrap().turn(); });

        let End { receive, .. } = near;
        let End { send, .. } = far;
        let (came, gone) = (Journal::default(), Journal::default());
        let inward = Arc::new(Mutex::new(Faulty::new(receive, faults_in)));
        let outward = Arc::new(Mutex::new(Faulty::new(send, faults_out)));
        let receive: Box<dyn ReceiveQueue> = Box::new(Traced::new(Watched(inward.clone()), came.clone()));
        let send: Box<dyn SendQueue> = Box::new(Traced::new(Watched(outward.clone()), gone.clone()));
        crew.add(PortQueues::new(1, vec![receive], vec![])).unwrap();
        crew.add(PortQueues::new(2, vec![], vec![send])).unwrap();

        let mut batch = Batch::new();
        let frames: Vec<Vec<u8>> = (0..count).map(frame).collect();
        for part in frames.chunks(BATCH) {
            batch.clear();
            for frame in part {
                batch.push(1, frame, Offload::NONE);
            }
            let all: Vec<u8> = (0..part.len() as u8).collect();
            prop_assert_eq!(source.send.send(&batch, &all).unwrap(), part.len());
        }
        // A short batch still has a frame in it.
        for _ in 0..=count {
            worker.lock().unwrap().turn();
        }
        let counters = |queue: FaultCounters, given: u64| given - queue.lost + queue.repeated;
        let (first, last) = (crew.totals(1).unwrap(), crew.totals(2).unwrap());
        let (into, out) = (inward.lock().unwrap().counters(), outward.lock().unwrap().counters());
        prop_assert_eq!(first.received, counters(into, u64::from(count)));
        prop_assert_eq!(last.sent + last.unsent, first.received);
        prop_assert!(faults_out.short > 0.0 || last.unsent == 0);

        let mut seen: Vec<Vec<u8>> = Vec::new();
        loop {
            batch.clear();
            if sink.receive.receive(&mut batch).unwrap() == 0 {
                break;
            }
            seen.extend((0..batch.len()).map(|index| batch.octets(index)));
        }
        prop_assert_eq!(seen.len() as u64, counters(out, last.sent));
        // What the tracers saw is what the worker counted, in order, and what it received it sent.
        let (came, gone) = (came.take(), gone.take());
        prop_assert_eq!(came.len() as u64, first.received);
        let of = |direction| gone.iter().filter(move |(way, _)| *way == direction).count() as u64;
        prop_assert_eq!((of(Direction::Out), of(Direction::Refused)), (last.sent, last.unsent));
        prop_assert!(came.iter().map(|(_, frame)| frame).eq(gone.iter().map(|(_, frame)| frame)));
        // Frames that nobody damaged come in the order in which they were sent.
        let numbers: Vec<u16> = seen
            .iter()
            .filter(|seen| frames.contains(seen))
            .map(|frame| u16::from_be_bytes([frame[14], frame[15]]))
            .collect();
        prop_assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
