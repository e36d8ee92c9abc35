//! One port that sends random headers as fast as it can takes a bounded part of the time. Time is made by the parts here:
//! what the machine is busy with does not matter.

#![allow(clippy::unwrap_used, reason = "a test")]

use netloom_datapath::{Answer, Brain, Crew, FlowBounds, PortQueues, Question, Worker, crew};
use netloom_mem::{Batch, Offload, PortError, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Mask};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds that a frame costs to receive, and a decision.
const RECEIVE: u64 = 30;
const DECIDE: u64 = 1000;
/// Where frames go.
const SINK: PortNumber = 9;

type Time = Arc<AtomicU64>;

/// Frames of ever new sources, or of one, so many at a time.
struct Frames {
    port: PortNumber,
    fresh: bool,
    each: usize,
    made: u64,
    time: Time,
    taken: Arc<AtomicU64>,
}

impl ReceiveQueue for Frames {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        for _ in 0..self.each.min(batch.room()) {
            self.made += u64::from(self.fresh);
            let mut frame = [0; 60];
            frame[5] = 1;
            frame[6] = 2;
            frame[7..12].copy_from_slice(&self.made.to_be_bytes()[3..]);
            assert!(batch.push(self.port, &frame, Offload::NONE));
            self.time.fetch_add(RECEIVE, Ordering::Relaxed);
        }
        self.taken.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(batch.len())
    }
}

struct Sink;

impl SendQueue for Sink {
    fn send(&mut self, _: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        Ok(frames.len())
    }
}

/// Each source is a flow of its own.
struct Slow(Time, Arc<AtomicU64>);

impl Brain for Slow {
    fn translate(&mut self, _: &Question<'_>) -> Answer {
        self.0.fetch_add(DECIDE, Ordering::Relaxed);
        self.1.fetch_add(1, Ordering::Relaxed);
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::ETH_SRC);
        let program = Program::new(vec![Action::Output(SINK)], Reason::NoPorts);
        Answer { program, mask, rests: Vec::new(), changed: Vec::new(), token: 0, counted: false, keep: true }
    }
}

/// Frames taken from each port, and decisions, in so many milliseconds of the test's time.
fn run(ports: &[(bool, usize)], milliseconds: u64) -> (Vec<u64>, u64) {
    let (time, asked) = (Time::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (mut crew, mut sides): (Crew, _) = crew(1).unwrap();
    let clock = time.clone();
    let clock = Box::new(move || clock.load(Ordering::Relaxed));
    let brain = Box::new(Slow(time.clone(), asked.clone()));
    let mut worker = Worker::new(sides.remove(0), brain, FlowBounds::default(), 3, clock);
    let mut taken = Vec::new();
    for (number, (fresh, each)) in (1..).zip(ports) {
        let count = Arc::new(AtomicU64::new(0));
        let frames = Frames {
            port: number,
            fresh: *fresh,
            each: *each,
            made: 0,
            time: time.clone(),
            taken: count.clone(),
        };
        let queues = PortQueues::new(number, vec![Box::new(frames)], Vec::new());
        crew.add(queues).unwrap();
        taken.push(count);
    }
    let sink: Vec<Box<dyn SendQueue>> = vec![Box::new(Sink)];
    crew.add(PortQueues::new(SINK, Vec::new(), sink)).unwrap();
    while time.load(Ordering::Relaxed) < milliseconds * 1_000_000 {
        worker.turn();
        time.fetch_add(10, Ordering::Relaxed);
    }
    (taken.iter().map(|count| count.load(Ordering::Relaxed)).collect(), asked.load(Ordering::Relaxed))
}

#[test]
fn a_victim_keeps_nine_tenths_beside_one_that_sends_random_headers() {
    let (alone, _) = run(&[(false, 32)], 50);
    let (both, asked) = run(&[(false, 32), (true, 32)], 50);
    let kept = both[0] as f64 / alone[0] as f64;
    assert!(kept > 0.9, "{kept} of {} frames are left", alone[0]);
    // The attacker is not shut out: half of its share of the time goes to making flows, the other half is for their end.
    let spent = asked * DECIDE;
    assert!((1_000_000..2_500_000).contains(&spent), "{spent} ns for {asked} decisions");
}

#[test]
fn who_has_nothing_waiting_is_not_protected_at_the_expense_of_new_flows() {
    // The other port never has a full batch: nobody waits, so the new flows' port is served each turn.
    let (taken, _) = run(&[(false, 1), (true, 32)], 20);
    assert!(taken[1] >= taken[0] * 31, "{taken:?}");
}

#[test]
fn a_port_alone_may_spend_everything_on_new_flows() {
    let (taken, asked) = run(&[(true, 32)], 20);
    assert_eq!(taken[0], asked);
}

#[test]
fn good_neighbours_share_alike() {
    let (taken, _) = run(&[(false, 32), (false, 32), (false, 32)], 20);
    assert!(taken.iter().all(|count| *count == taken[0]), "{taken:?}");
}
