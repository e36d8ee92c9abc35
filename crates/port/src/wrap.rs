//! Queues around queues, for tests and for whoever looks for a fault: one tells what passes, one makes faults.
//!
//! What: [`Traced`] shows each frame to an [`Observer`]. [`Faulty`] loses, damages and repeats frames, lets batches be
//! shorter than they could be, and refuses frames, each with a probability; a seed makes a run repeatable.
//!
//! Invariants: without faults nothing changes. Frames keep their order, whatever is done to them.
//!
//! Costs: a faulty queue copies each frame once more. Not for the packet path of a product.

use netloom_mem::{BATCH, Batch, Offload, PortError, ReceiveQueue, SendQueue, Wake};
use std::sync::{Arc, Mutex, PoisonError};

/// Which way a frame went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    In,
    /// It was sent.
    Out,
    /// It was to be sent and found no room.
    Refused,
}

/// Is shown frames.
pub trait Observer: Send {
    /// A frame passes.
    fn frame(&mut self, direction: Direction, batch: &Batch, index: usize);
}

/// A frame that passed, and which way.
pub type Passed = (Direction, Vec<u8>);

/// Keeps all frames, for tests.
#[derive(Debug, Default, Clone)]
pub struct Journal(Arc<Mutex<Vec<Passed>>>);

impl Journal {
    /// The frames so far, oldest first; they are forgotten here.
    #[must_use]
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Journal {
    fn frame(&mut self, direction: Direction, batch: &Batch, index: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((direction, batch.octets(index)));
    }
}

/// A queue whose frames are shown to somebody.
#[derive(Debug)]
pub struct Traced<Q, O> {
    queue: Q,
    observer: O,
}

impl<Q, O: Observer> Traced<Q, O> {
    /// Shows the frames of `queue` to `observer`.
    pub fn new(queue: Q, observer: O) -> Self {
        Self { queue, observer }
    }
}

impl<Q: ReceiveQueue, O: Observer> ReceiveQueue for Traced<Q, O> {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        let before = batch.len();
        let received = self.queue.receive(batch);
        for index in before..batch.len() {
            self.observer.frame(Direction::In, batch, index);
        }
        received
    }

    fn complete(&mut self) {
        self.queue.complete();
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.queue.wake(wanted)
    }
}

impl<Q: SendQueue, O: Observer> SendQueue for Traced<Q, O> {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let sent = self.queue.send(batch, frames)?;
        for (place, index) in frames.iter().enumerate() {
            let direction = if place < sent { Direction::Out } else { Direction::Refused };
            self.observer.frame(direction, batch, usize::from(*index));
        }
        Ok(sent)
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn takes_offloads(&self) -> bool {
        self.queue.takes_offloads()
    }

    fn takes(&self, offload: &Offload) -> bool {
        self.queue.takes(offload)
    }

    fn longest(&self) -> usize {
        self.queue.longest()
    }
}

/// How often which fault is made: probabilities from 0 to 1 for each frame, or for each batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// What the run begins with: the same seed makes the same faults.
    pub seed: u64,
    /// A frame is lost; when sent, it counts as sent.
    pub loss: f64,
    /// A bit of a frame is turned over.
    pub corruption: f64,
    /// A frame comes twice.
    pub repetition: f64,
    /// A batch ends early: what is left comes with the next one, or is refused when sent.
    pub short: f64,
}

/// What was done to frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounters {
    /// Frames that were lost.
    pub lost: u64,
    /// Frames that were damaged.
    pub corrupted: u64,
    /// Frames that came twice.
    pub repeated: u64,
    /// Batches that ended early.
    pub short: u64,
}

/// A queue with faults.
#[derive(Debug)]
pub struct Faulty<Q> {
    queue: Q,
    faults: Faults,
    state: u64,
    inner: Batch,
    /// How many frames of `inner` have been dealt with.
    done: usize,
    counters: FaultCounters,
}

impl<Q> Faulty<Q> {
    /// Makes faults in front of `queue`.
    pub fn new(queue: Q, faults: Faults) -> Self {
        Self {
            queue,
            faults,
            state: faults.seed,
            inner: Batch::new(),
            done: 0,
            counters: FaultCounters::default(),
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> FaultCounters {
        self.counters
    }

    /// The next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= probability
    }

    /// What becomes of a frame: its octets and how often they come; none when it is lost.
    fn spoil(&mut self, mut octets: Vec<u8>) -> Option<(Vec<u8>, usize)> {
        let Faults { loss, corruption, repetition, .. } = self.faults;
        if self.happens(loss) {
            self.counters.lost += 1;
            return None;
        }
        if self.happens(corruption) && !octets.is_empty() {
            self.counters.corrupted += 1;
            let bit = self.next() as usize % (octets.len() * 8);
            octets[bit / 8] ^= 1 << (bit % 8);
        }
        let twice = self.happens(repetition);
        self.counters.repeated += u64::from(twice);
        Some((octets, 1 + usize::from(twice)))
    }

    /// How many of `count` frames this batch deals with: at least one, if there is one.
    fn cut(&mut self, count: usize) -> usize {
        if count > 1 && self.happens(self.faults.short) {
            self.counters.short += 1;
            return 1 + self.next() as usize % (count - 1);
        }
        count
    }
}

impl<Q: ReceiveQueue> ReceiveQueue for Faulty<Q> {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.done == self.inner.len() {
            self.inner.clear();
            self.done = 0;
            self.queue.receive(&mut self.inner)?;
        }
        let left = self.inner.len() - self.done;
        for _ in 0..self.cut(left) {
            if batch.room() < 2 {
                break;
            }
            let (index, port) = (self.done, self.inner.port(self.done));
            self.done += 1;
            let offload = *self.inner.offload(index);
            if let Some((octets, times)) = self.spoil(self.inner.octets(index)) {
                for _ in 0..times {
                    batch.push(port, &octets, offload);
                }
            }
        }
        if self.done == self.inner.len() {
            self.queue.complete();
        }
        Ok(batch.len())
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        match self.queue.wake(wanted) {
            // What is left over here rings no bell.
            _ if self.done < self.inner.len() => Wake::Poll,
            wake => wake,
        }
    }
}

impl<Q: SendQueue> SendQueue for Faulty<Q> {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        let count = self.cut(frames.len());
        for (done, index) in frames.iter().take(count).enumerate() {
            let index = usize::from(*index);
            let Some((octets, times)) = self.spoil(batch.octets(index)) else { continue };
            self.inner.clear();
            self.inner.push(batch.port(index), &octets, *batch.offload(index));
            if self.queue.send(&self.inner, &[0])? == 0 {
                return Ok(done);
            }
            if times > 1 {
                // The second one may find no room: it was never promised.
                self.queue.send(&self.inner, &[0])?;
            }
        }
        self.inner.clear();
        Ok(count)
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn takes_offloads(&self) -> bool {
        self.queue.takes_offloads()
    }

    fn takes(&self, offload: &Offload) -> bool {
        self.queue.takes(offload)
    }

    fn longest(&self) -> usize {
        self.queue.longest()
    }
}

const _: () = assert!(BATCH >= 2, "a repeated frame needs two places");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{End, pair};
    use proptest::prelude::*;

    fn frames(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| vec![number as u8; 60 + number * 3]).collect()
    }

    fn send(queue: &mut impl SendQueue, frames: &[Vec<u8>]) -> Vec<usize> {
        let mut batch = Batch::new();
        let mut taken = Vec::new();
        for part in frames.chunks(BATCH) {
            batch.clear();
            for frame in part {
                batch.push(1, frame, Offload::NONE);
            }
            let all: Vec<u8> = (0..part.len() as u8).collect();
            taken.push(queue.send(&batch, &all).unwrap());
            queue.flush();
        }
        taken
    }

    fn receive(queue: &mut impl ReceiveQueue) -> Vec<Vec<u8>> {
        let (mut batch, mut all, mut silent) = (Batch::new(), Vec::new(), 0);
        while silent < 50 {
            batch.clear();
            silent = if queue.receive(&mut batch).unwrap() == 0 { silent + 1 } else { 0 };
            all.extend((0..batch.len()).map(|index| batch.octets(index)));
            queue.complete();
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever is done at either side, what comes is what was sent, in order, but for what was counted.
        #[test]
        fn faults_are_counted_and_keep_the_order(
            seed: u64, loss in 0.0..0.5_f64, corruption in 0.0..0.5_f64, repetition in 0.0..0.5_f64,
            short in 0.0..0.9_f64, count in 0_usize..150, sender: bool,
        ) {
            let faults = Faults { seed, loss, corruption, repetition, short };
            let [End { send: out, .. }, End { receive: into, .. }] = pair([1, 2], 1024).unwrap();
            let sent = frames(count);
            let (came, counters, taken) = if sender {
                let (mut out, mut into) = (Faulty::new(out, faults), into);
                let taken = send(&mut out, &sent);
                (receive(&mut into), out.counters(), taken)
            } else {
                let (mut out, mut into) = (out, Faulty::new(into, faults));
                let taken = send(&mut out, &sent);
                (receive(&mut into), into.counters(), taken)
            };
            let promised: usize = taken.iter().sum();
            prop_assert!(sender || promised == count);
            prop_assert_eq!(came.len() as u64 + counters.lost, promised as u64 + counters.repeated);
            prop_assert!(came.is_sorted_by_key(Vec::len));
            let damaged = came.iter().filter(|frame| !sent.contains(frame)).count() as u64;
            prop_assert!(damaged >= counters.corrupted.min(1) && damaged <= 2 * counters.corrupted);
        }
    }

    #[test]
    fn without_faults_nothing_changes_and_everything_is_told() {
        let [End { send: out, .. }, End { receive: into, .. }] = pair([1, 2], 64).unwrap();
        let (told_out, told_in) = (Journal::default(), Journal::default());
        let mut out = Traced::new(Faulty::new(out, Faults::default()), told_out.clone());
        let mut into = Traced::new(Faulty::new(into, Faults::default()), told_in.clone());
        let sent = frames(80);
        // 64 fit.
        assert_eq!(send(&mut out, &sent), [32, 32, 0]);
        assert_eq!(receive(&mut into), sent[..64]);
        let all = |direction: Direction, from: usize, to: usize| {
            sent[from..to].iter().map(move |frame| (direction, frame.clone())).collect::<Vec<_>>()
        };
        assert_eq!(told_out.take(), [all(Direction::Out, 0, 64), all(Direction::Refused, 64, 80)].concat());
        assert_eq!(told_in.take(), all(Direction::In, 0, 64));
        assert!(told_in.take().is_empty());
    }

    #[test]
    fn a_seed_repeats_a_run() {
        let run = |seed| {
            let [End { send: mut out, .. }, End { receive, .. }] = pair([1, 2], 256).unwrap();
            let faults = Faults { seed, loss: 0.3, corruption: 0.3, repetition: 0.3, short: 0.3 };
            send(&mut out, &frames(200));
            let mut queue = Faulty::new(receive, faults);
            super::tests::receive(&mut queue)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
