//! Ports in memory: a generator that a worker receives from, and a sink that it sends to, both in its own thread.
//!
//! What: frames are due at even distances, whether or not they are taken: of those that wait, the oldest are lost when
//! there are more than the queue holds, and the delay of a frame counts from when it was due. Without a rate there is
//! always a full batch, and nothing is lost.
//!
//! Costs: the generator writes the frame into the batch (as a driver would copy it there); the sink reads one mark of each
//! batch and copies nothing.

use super::histogram::Histogram;
use super::traffic::{Mark, Stream};
use netloom_mem::{BATCH, Batch, Counter, PortError, PortNumber, ReceiveQueue, SendQueue};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Nanoseconds since the measurement began.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins at one.
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The time; never zero.
    #[inline]
    pub fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64 + 1
    }

    /// What it costs to ask for the time, in nanoseconds.
    pub fn cost(self) -> f64 {
        const ASKED: u32 = 1000;
        let once = || {
            let began = self.now();
            for _ in 0..ASKED {
                std::hint::black_box(self.now());
            }
            (self.now() - began) as f64 / f64::from(ASKED)
        };
        (0..10).map(|_| once()).fold(f64::INFINITY, f64::min)
    }
}

/// Frames that are due at even distances, and those of them that found no room.
#[derive(Debug, Clone)]
pub struct Line {
    per_nanosecond: f64,
    began: u64,
    room: u64,
    taken: u64,
    lost: u64,
}

impl Line {
    /// `rate` frames a second from `began` on, of which `room` may wait.
    pub fn new(rate: f64, began: u64, room: u64) -> Self {
        Self { per_nanosecond: rate / 1e9, began, room, taken: 0, lost: 0 }
    }

    /// How many wait now.
    pub fn waiting(&mut self, now: u64) -> u64 {
        let arrived = (now.saturating_sub(self.began) as f64 * self.per_nanosecond) as u64;
        let waiting = arrived.saturating_sub(self.taken + self.lost);
        self.lost += waiting.saturating_sub(self.room);
        waiting.min(self.room)
    }

    /// Takes one of those that wait, and gives when it was due.
    pub fn take(&mut self) -> u64 {
        self.taken += 1;
        self.began + ((self.taken + self.lost) as f64 / self.per_nanosecond) as u64
    }

    /// How many were lost.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

/// What a generator did, and what it is told.
#[derive(Debug, Default)]
pub struct Given {
    /// Frames that were taken from it.
    pub taken: Counter,
    /// Frames that were due and found no room.
    pub lost: Counter,
    /// The longest time between two looks, in nanoseconds.
    pub pause: AtomicU64,
    /// When frames begin to be due at the rate; zero: as fast as they are taken.
    pub from: AtomicU64,
}

/// The generator.
pub struct Source {
    /// The port's number.
    pub port: PortNumber,
    /// The frames.
    pub stream: Stream,
    /// Frames a second.
    pub rate: Option<f64>,
    /// How many may wait.
    pub room: u64,
    /// What is told.
    pub given: Arc<Given>,
    /// The time.
    pub clock: Clock,
    /// The pace, once it has one.
    pub line: Option<Line>,
    /// When it was looked at last.
    pub looked: u64,
}

impl ReceiveQueue for Source {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let now = self.clock.now();
        let from = self.given.from.load(Ordering::Relaxed);
        if self.line.is_none()
            && let (Some(rate), true) = (self.rate, from > 0)
        {
            self.line = Some(Line::new(rate, from, self.room));
        }
        let gap = now - self.looked.max(from).min(now);
        if from > 0 && gap > self.given.pause.load(Ordering::Relaxed) {
            self.given.pause.store(gap, Ordering::Relaxed);
        }
        self.looked = now;
        let room = batch.room() as u64;
        let count = self.line.as_mut().map_or(room, |line| line.waiting(now).min(room));
        for _ in 0..count {
            let due = self.line.as_mut().map_or(now, Line::take);
            self.stream.put(batch, self.port, due);
        }
        self.given.taken.add(count);
        if let Some(line) = &self.line {
            self.given.lost.add(line.lost() - self.given.lost.get());
        }
        Ok(batch.len())
    }
}

/// What a sink got.
#[derive(Debug, Default)]
pub struct Got {
    /// Frames.
    pub frames: Counter,
    /// Their octets.
    pub octets: Counter,
    /// Frames of which the one before had a higher number.
    pub overtaken: Counter,
    /// How long they took, of one frame of each batch.
    pub delays: Mutex<Histogram>,
}

impl Got {
    /// Uses the delays.
    pub fn with_delays<T>(&self, body: impl FnOnce(&mut Histogram) -> T) -> T {
        body(&mut self.delays.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sink.
pub struct Sink {
    /// The port whose frames it counts.
    pub from: PortNumber,
    /// What is told.
    pub got: Arc<Got>,
    /// The time.
    pub clock: Clock,
    /// Which frame of the batch is looked at next.
    pub next: usize,
    /// The number of the last that was looked at.
    pub last: u64,
}

impl SendQueue for Sink {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        // A batch came through one port.
        let first = frames.first().map(|index| batch.port(usize::from(*index)));
        if first.is_none_or(|port| port != self.from) {
            return Ok(frames.len());
        }
        let octets = frames.iter().map(|index| batch.length(usize::from(*index)) as u64).sum();
        self.got.frames.add(frames.len() as u64);
        self.got.octets.add(octets);
        self.next = (self.next + 1) % BATCH;
        if let Some(index) = frames.get(self.next % frames.len().max(1))
            && let Some(mark) = Mark::read(batch.head(usize::from(*index)))
        {
            self.got.overtaken.add(u64::from(mark.number < self.last));
            self.last = mark.number;
            let delay = self.clock.now().saturating_sub(mark.due);
            self.got.with_delays(|delays| delays.record(delay));
        }
        Ok(frames.len())
    }

    fn takes_offloads(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_frame_that_was_due_is_taken_lost_or_waits(
            rate in 1e3_f64..5e7,
            room in 1_u64..2000,
            looks in proptest::collection::vec((1_u64..200_000, 0_u64..64), 1..200),
        ) {
            let mut line = Line::new(rate, 1000, room);
            let (mut now, mut taken, mut last) = (1000, 0, 0);
            for (wait, most) in looks {
                now += wait;
                let waiting = line.waiting(now);
                prop_assert!(waiting <= room);
                let arrived = ((now - 1000) as f64 * rate / 1e9) as u64;
                prop_assert_eq!(taken + line.lost() + waiting, arrived);
                for _ in 0..waiting.min(most) {
                    let due = line.take();
                    prop_assert!(due <= now + 1 && due >= last, "due at {due}, now {now}");
                    last = due;
                    taken += 1;
                }
            }
        }

        #[test]
        fn who_looks_often_enough_loses_nothing(rate in 1e3_f64..5e7, looks in 1_u64..500) {
            let mut line = Line::new(rate, 0, 32);
            // Half of what fits comes between two looks.
            let step = ((16.0 / rate * 1e9) as u64).max(1);
            for look in 1..=looks {
                for _ in 0..line.waiting(look * step) {
                    line.take();
                }
            }
            prop_assert_eq!(line.lost(), 0);
        }
    }
}
