//! What a turn costs: one worker between two ports of memory, without drivers.
//!
//! `cargo run --release -p netloom-datapath --example turns -- FLOWS TURNS` prints nanoseconds for each packet;
//! `valgrind --tool=callgrind` over it counts instructions, which other programs of the machine do not change.

use netloom_datapath::{Answer, Brain, FlowBounds, PortQueues, Question, Worker, crew};
use netloom_mem::{BATCH, Batch, Offload, PortError, ReceiveQueue, SendQueue};
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Mask};
use std::time::Instant;

struct Source {
    frame: [u8; 60],
    flows: u32,
    next: u32,
}

impl ReceiveQueue for Source {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        for _ in 0..BATCH {
            let number = self.next.to_be_bytes();
            self.next = (self.next + 1) % self.flows;
            self.frame[8..12].copy_from_slice(&number);
            let Some(slot) = batch.slot() else { break };
            slot.head[..60].copy_from_slice(&self.frame);
            batch.commit(1, 60, Offload::NONE);
        }
        Ok(batch.len())
    }
}

struct Sink;

impl SendQueue for Sink {
    fn send(&mut self, _: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        Ok(frames.len())
    }
}

struct Simple;

impl Brain for Simple {
    fn translate(&mut self, _: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::ETH_DST);
        mask.add(Field::ETH_SRC);
        let program = Program::new(vec![Action::Output(2)], Reason::NoPorts);
        Answer { program, mask, rests: vec![7], changed: Vec::new(), token: 0, counted: false, keep: true }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let flows = arguments.next().transpose()?.unwrap_or(1);
    let turns = arguments.next().transpose()?.unwrap_or(100_000);
    let (mut crew, mut sides) = crew(1)?;
    let Some(side) = sides.pop() else { return Ok(()) };
    let began = Instant::now();
    let clock = Box::new(move || began.elapsed().as_nanos() as u64);
    let mut worker = Worker::new(side, Box::new(Simple), FlowBounds::default(), 3, clock);
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 0x12, 0x34]);
    for number in 1..=2 {
        let source: Box<dyn ReceiveQueue> = Box::new(Source { frame, flows, next: 0 });
        let receive = if number == 1 { vec![source] } else { Vec::new() };
        crew.add(PortQueues::new(number, receive, vec![Box::new(Sink)]))?;
    }
    for _ in 0..flows / 16 + 10 {
        worker.turn();
    }
    let began = Instant::now();
    let packets: usize = (0..turns).map(|_| worker.turn()).sum();
    println!("{:.2} ns a packet", began.elapsed().as_nanos() as f64 / packets as f64);
    Ok(())
}
