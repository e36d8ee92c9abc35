//! A generator and a sink on real ports: frames go out of one and are looked for at the other.
//!
//! What: one thread sends and receives in turn, as one that had a processor to itself would. What the port takes counts as
//! offered; what it does not take waits, and is lost on our side (`missed`) only when the queue before it is full.

use super::histogram::Histogram;
use super::memory::{Clock, Line};
use super::traffic::{Mark, Sizes, Stream};
use super::trial::{Delay, Outcome, memory};
use crate::cli::Traffic;
use netloom_mem::{BATCH, Batch, ReceiveQueue, SendQueue};

/// How long frames that are under way are waited for after the last was sent, without one that comes.
const LATE: u64 = 500_000_000;
/// How long frames go to and fro before it counts.
const WARM: f64 = 0.3;

/// The generator and the sink.
pub struct Tester {
    /// Where frames are sent.
    pub send: Box<dyn SendQueue>,
    /// Where they are looked for.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// What is sent.
    pub traffic: Traffic,
    /// Different flows.
    pub flows: u32,
    /// Lengths of frames.
    pub sizes: Sizes,
    /// Frames that may wait.
    pub queue: u64,
    /// Whether nothing is looked for.
    pub blind: bool,
    /// The time.
    pub clock: Clock,
}

#[derive(Default)]
struct Seen {
    frames: u64,
    octets: u64,
    overtaken: u64,
    last: u64,
    delays: Histogram,
}

impl Tester {
    /// Sends at a rate, or as fast as it goes without one.
    pub fn run(&mut self, rate: Option<f64>, seconds: f64) -> Outcome {
        let mut stream = Stream::new(self.traffic, self.flows, self.sizes.clone(), super::device::SEED);
        // Every flow once, so that the rate is not that of making them.
        self.phase(&mut stream, rate, WARM, u64::from(self.flows));
        self.phase(&mut stream, rate, seconds, 0)
    }

    fn phase(&mut self, stream: &mut Stream, rate: Option<f64>, seconds: f64, least: u64) -> Outcome {
        let (mut out, mut inward) = (Batch::new(), Batch::new());
        let order: [u8; BATCH] = std::array::from_fn(|index| index as u8);
        let base = stream.made();
        let began = self.clock.now();
        let ends = began + (seconds * 1e9) as u64;
        let mut line = rate.map(|rate| Line::new(rate, began, self.queue));
        let (mut seen, mut offered, mut pending) = (Seen::default(), 0, 0);
        let (mut pause, mut looked) = (0, began);
        let ended = loop {
            let now = self.clock.now();
            (pause, looked) = (pause.max(now - looked), now);
            if now >= ends && stream.made() - base >= least {
                break now;
            }
            if pending == out.len() {
                out.clear();
                pending = 0;
                let count = line.as_mut().map_or(BATCH as u64, |line| line.waiting(now).min(BATCH as u64));
                for _ in 0..count {
                    let due = line.as_mut().map_or(now, Line::take);
                    stream.put(&mut out, 0, due);
                }
            }
            if pending < out.len() {
                let sent = self.send.send(&out, &order[pending..out.len()]).unwrap_or(0);
                self.send.flush();
                pending += sent;
                offered += sent as u64;
            }
            self.look(&mut inward, base, &mut seen);
        };
        // A batch of which a part was not taken is not sent later.
        let missed = line.as_ref().map_or(0, Line::lost);
        let mut came = self.clock.now();
        while !self.blind && seen.frames < offered && self.clock.now() - came < LATE {
            if self.look(&mut inward, base, &mut seen) > 0 {
                came = self.clock.now();
            }
        }
        let elapsed = (ended - began) as f64 / 1e9;
        let delivered = if self.blind { offered } else { seen.frames };
        let octets = if self.blind { offered as f64 * self.sizes.mean() } else { seen.octets as f64 };
        Outcome {
            seconds: elapsed,
            offered,
            delivered,
            lost: offered.saturating_sub(delivered),
            missed,
            mpps: delivered as f64 / elapsed / 1e6,
            gbit: octets * 8.0 / elapsed / 1e9,
            ns: elapsed * 1e9 / delivered.max(1) as f64,
            delay: Delay::of(&seen.delays),
            overtaken: seen.overtaken,
            pause_us: pause / 1000,
            memory_mib: memory(),
            ..Outcome::default()
        }
    }

    /// Takes what came; gives how many frames of ours.
    fn look(&mut self, batch: &mut Batch, base: u64, seen: &mut Seen) -> usize {
        let mut ours = 0;
        for queue in &mut self.receive {
            batch.clear();
            let count = queue.receive(batch).unwrap_or(batch.len());
            let now = self.clock.now();
            for index in 0..count {
                // The host speaks on its interfaces too, and late frames are those of the time before.
                let Some(mark) = Mark::read(batch.head(index)).filter(|mark| mark.number >= base) else {
                    continue;
                };
                ours += 1;
                seen.octets += batch.length(index) as u64;
                seen.overtaken += u64::from(mark.number < seen.last);
                seen.last = mark.number;
                seen.delays.record(now.saturating_sub(mark.due));
            }
            queue.complete();
        }
        batch.clear();
        seen.frames += ours as u64;
        ours
    }
}
