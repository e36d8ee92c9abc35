//! Where the time goes: queues that look at the clock for one batch out of sixteen, so that the other fifteen are carried
//! as if nobody measured.

use super::memory::Clock;
use netloom_datapath::{Answer, Brain, Question, Used, Wishes};
use netloom_mem::{Batch, Counter, Offload, PortError, PortNumber, ReceiveQueue, SendQueue, Wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One batch out of so many is measured.
const EVERY: u32 = 16;

/// What was measured. Written by the thread of the data path.
#[derive(Debug, Default)]
pub struct Stages {
    frames: Counter,
    batches: Counter,
    receive: Counter,
    between: Counter,
    send: Counter,
    complete: Counter,
    flush: Counter,
    /// How often the clock was looked at while `between` went on, beyond once for each batch.
    breaks: Counter,
    /// When the stage in the middle began, while a batch is measured.
    open: AtomicU64,
    flushing: AtomicU64,
    /// Packets that the brain was asked about.
    pub asked: Counter,
    asked_measured: Counter,
    translate: Counter,
}

/// Sums at one time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums([u64; 11]);

/// Nanoseconds for each frame.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Costs {
    /// Receiving.
    pub receive: f64,
    /// From there to sending.
    pub between: f64,
    /// Sending.
    pub send: f64,
    /// Giving back to the sender and telling the receiver.
    pub finish: f64,
    /// For each packet that the brain was asked about.
    pub translate: Option<f64>,
}

impl Stages {
    /// The sums so far.
    pub fn sums(&self) -> Sums {
        let all = [
            &self.frames,
            &self.batches,
            &self.receive,
            &self.between,
            &self.send,
            &self.complete,
            &self.flush,
            &self.breaks,
            &self.asked,
            &self.asked_measured,
            &self.translate,
        ];
        Sums(all.map(Counter::get))
    }
}

impl Sums {
    /// What was added since.
    pub fn since(self, before: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].saturating_sub(before.0[index])))
    }

    /// How often the brain was asked.
    pub const fn asked(self) -> u64 {
        self.0[8]
    }

    /// The costs, without those of looking at the clock.
    pub fn costs(self, clock: f64) -> Option<Costs> {
        let [frames, batches, receive, between, send, complete, flush, breaks, _, asked, translate] =
            self.0.map(|sum| sum as f64);
        if frames == 0.0 {
            return None;
        }
        let each = |sum: f64, looks: f64| (sum - looks * clock).max(0.0) / frames;
        Some(Costs {
            receive: each(receive, batches),
            between: each(between, batches),
            send: each(send, breaks),
            finish: each(complete + flush, 2.0 * batches),
            translate: (asked > 0.0).then(|| (translate / asked - clock).max(0.0)),
        })
    }
}

/// A queue whose receiving is measured.
pub struct TimedReceive {
    inner: Box<dyn ReceiveQueue>,
    stages: Arc<Stages>,
    clock: Clock,
    turn: u32,
}

impl TimedReceive {
    /// Around a queue.
    pub fn around(inner: Box<dyn ReceiveQueue>, stages: &Arc<Stages>, clock: Clock) -> Box<dyn ReceiveQueue> {
        Box::new(Self { inner, stages: stages.clone(), clock, turn: 0 })
    }
}

impl ReceiveQueue for TimedReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.turn = self.turn.wrapping_add(1);
        if !self.turn.is_multiple_of(EVERY) {
            return self.inner.receive(batch);
        }
        let began = self.clock.now();
        let received = self.inner.receive(batch)?;
        if received == 0 {
            // The next that brings something is measured.
            self.turn = self.turn.wrapping_sub(1);
            return Ok(0);
        }
        let now = self.clock.now();
        self.stages.receive.add(now - began);
        self.stages.frames.add(received as u64);
        self.stages.batches.add(1);
        self.stages.open.store(now, Ordering::Relaxed);
        Ok(received)
    }

    fn complete(&mut self) {
        let open = self.stages.open.load(Ordering::Relaxed);
        if open == 0 {
            return self.inner.complete();
        }
        let began = self.clock.now();
        self.stages.between.add(began - open);
        self.stages.open.store(0, Ordering::Relaxed);
        self.inner.complete();
        self.stages.complete.add(self.clock.now() - began);
        self.stages.flushing.store(1, Ordering::Relaxed);
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.inner.wake(wanted)
    }
}

/// A queue whose sending is measured.
pub struct TimedSend {
    inner: Box<dyn SendQueue>,
    stages: Arc<Stages>,
    clock: Clock,
}

impl TimedSend {
    /// Around a queue.
    pub fn around(inner: Box<dyn SendQueue>, stages: &Arc<Stages>, clock: Clock) -> Box<dyn SendQueue> {
        Box::new(Self { inner, stages: stages.clone(), clock })
    }
}

impl SendQueue for TimedSend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let open = self.stages.open.load(Ordering::Relaxed);
        if open == 0 {
            return self.inner.send(batch, frames);
        }
        let began = self.clock.now();
        self.stages.between.add(began - open);
        let sent = self.inner.send(batch, frames);
        let now = self.clock.now();
        self.stages.send.add(now - began);
        self.stages.breaks.add(1);
        self.stages.open.store(now, Ordering::Relaxed);
        sent
    }

    fn flush(&mut self) {
        if self.stages.flushing.load(Ordering::Relaxed) == 0 {
            return self.inner.flush();
        }
        self.stages.flushing.store(0, Ordering::Relaxed);
        let began = self.clock.now();
        self.inner.flush();
        self.stages.flush.add(self.clock.now() - began);
    }

    fn takes_offloads(&self) -> bool {
        self.inner.takes_offloads()
    }

    fn takes(&self, offload: &Offload) -> bool {
        self.inner.takes(offload)
    }

    fn longest(&self) -> usize {
        self.inner.longest()
    }
}

/// A brain that is counted, and measured now and then.
pub struct TimedBrain {
    /// The brain.
    pub inner: Box<dyn Brain>,
    /// Where it is noted.
    pub stages: Arc<Stages>,
    /// The time.
    pub clock: Clock,
}

impl Brain for TimedBrain {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        self.stages.asked.add(1);
        if !self.stages.asked.get().is_multiple_of(u64::from(EVERY)) {
            return self.inner.translate(question);
        }
        let began = self.clock.now();
        let answer = self.inner.translate(question);
        self.stages.translate.add(self.clock.now() - began);
        self.stages.asked_measured.add(1);
        answer
    }

    fn used(&mut self, used: &[Used], now: u64) {
        self.inner.used(used, now);
    }

    fn heard(&mut self, port: PortNumber, octets: Vec<u8>, now: u64) -> Wishes {
        self.inner.heard(port, octets, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_not_counted() {
        // 10 batches of 32 frames; each stage took 100 ns a batch more than the 20 ns of the clock.
        let sums = Sums([320, 10, 1200, 1200, 1200, 1200, 1200, 10, 5, 2, 140]);
        let Some(costs) = sums.costs(20.0) else { unreachable!("there are frames") };
        assert_eq!((costs.receive, costs.between, costs.send), (3.125, 3.125, 3.125));
        assert_eq!((costs.finish, costs.translate, sums.asked()), (6.25, Some(50.0), 5));
        assert_eq!(Sums::default().costs(20.0), None);
        assert_eq!(sums.since(sums).costs(20.0), None);
    }
}
