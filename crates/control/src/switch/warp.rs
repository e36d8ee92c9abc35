//! Time that is put forward, for tests.
//!
//! What: `time/warp` asks for so many milliseconds in steps. At each step the clock is put forward, the workers take a turn,
//! and the bridges hear of it; between two steps whatever else the daemon does has its time.

use super::database::Joint;
use super::state::Switch;
use crate::unixctl::Answer;
use std::time::{Duration, Instant};

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;
/// How long a database server may take to answer between two steps.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time that is still to be put forward.
#[derive(Debug)]
pub(super) struct Warping {
    /// Nanoseconds.
    left: u64,
    /// Nanoseconds of a step.
    step: u64,
    /// When the last step was taken.
    began: Instant,
    /// Whoever waits for that.
    answers: Vec<Answer>,
}

impl Switch {
    /// Has the time stand still.
    pub(super) fn stop_time(&self) {
        self.clock.stop();
    }

    /// Whether time stands still.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.clock.is_stopped()
    }

    /// Puts time forward, in steps; `answer` is given when it is done.
    pub(super) fn warp(&mut self, milliseconds: u64, step: u64, answer: Answer) {
        let (left, step) = (milliseconds.saturating_mul(MILLISECOND), step.saturating_mul(MILLISECOND));
        let before = self.warping.take();
        let mut answers = vec![answer];
        let more = before.map_or(0, |before| {
            answers.extend(before.answers);
            before.left
        });
        self.warping = Some(Warping {
            left: left.saturating_add(more),
            step: step.max(1),
            began: Instant::now(),
            answers,
        });
    }

    /// Whether time would be put forward if the database had answered.
    pub(super) fn waits_for_database(&self) -> bool {
        self.warping.is_some() && self.joint.as_ref().is_some_and(Joint::is_busy)
    }

    /// Takes a step if time is being put forward; whether there is another. To be called after each tick.
    pub(super) fn warp_on(&mut self) -> bool {
        let Some(warping) = &mut self.warping else { return false };
        // What was said because of the last step is to be known before the next one.
        if warping.began.elapsed() < PATIENCE && self.joint.as_ref().is_some_and(Joint::is_busy) {
            return true;
        }
        warping.began = Instant::now();
        let step = warping.step.min(warping.left);
        if step == 0 {
            for answer in std::mem::take(&mut warping.answers) {
                answer.give(Ok("warped".to_owned()));
            }
            self.warping = None;
            return false;
        }
        warping.left -= step;
        self.clock.advance(step);
        if let Err(error) = self.crew.turn() {
            tracing::error!(%error, "time is put forward without the workers");
        }
        // Connections hear of it, and have done what is due when they have answered twice.
        if let Some(openflow) = &self.openflow {
            let _ = (openflow.statuses(), openflow.statuses());
        }
        // The tick that follows sees the new time, and the last one is answered after it.
        true
    }
}
