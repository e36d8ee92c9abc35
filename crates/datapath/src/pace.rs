//! How a worker's thread goes on: busy while packets come, asleep while none do.
//!
//! Costs: after [`Pace::patience`] without packets the worker asks its ports to wake it and sleeps; the next packet pays
//! one wake-up (tens of microseconds). With [`Pace::busy`] it never sleeps. It is time that counts, not turns: one over a
//! hundred TAP interfaces takes a hundred times as long as one over a guest's ring, and a stray packet shall not keep the
//! processor busy for that.

use crate::worker::Worker;

/// When to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds without packets before the worker sleeps.
    pub patience: u64,
    /// Empty turns before others that wait for the processor are let go first.
    pub alone: u32,
    /// Longest sleep in nanoseconds; ageing goes on after it.
    pub longest: u64,
    /// Never sleep.
    pub busy: bool,
}

impl Default for Pace {
    fn default() -> Self {
        // Longer than the gaps of a busy sender, and than an answer takes.
        Self { patience: 300_000, alone: 8, longest: 250_000_000, busy: false }
    }
}

/// So many empty turns there are at least: a long turn may have begun before the packets came.
const LEAST: u32 = 4;

/// Turns until the worker is told to stop.
pub fn run(worker: &mut Worker, pace: Pace) {
    // Frames of simulated links leave at their time: the system shall not wake later to save wake-ups. Where that is
    // refused they leave up to 50 µs later.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut empty = 0;
    // When the first of the empty turns was.
    let mut since = 0;
    while !worker.stopped() {
        if worker.turn() > 0 {
            empty = 0;
            continue;
        }
        let now = worker.looked();
        if empty == 0 {
            since = now;
        }
        empty += 1;
        if pace.busy {
            std::hint::spin_loop();
            continue;
        }
        // Who waits for a time sleeps: among busy neighbours, one that yields gets its turn back too late.
        let waits = empty < LEAST || now.saturating_sub(since) < pace.patience;
        if waits && !(empty > pace.alone && worker.waits()) {
            // Others that wait for this processor go first: they may be who the packets come from.
            if empty > pace.alone {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
            continue;
        }
        worker.sleep(pace.longest);
        // One turn decides whether there was a reason to wake.
        (empty, since) = (LEAST, 0);
    }
}
