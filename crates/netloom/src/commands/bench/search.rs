//! The highest rate without loss, as RFC 2544 (26.1) searches for it: trials of one length, halving what is unknown.

use std::fmt::Write as _;

/// How it is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// The rate at which it begins, in frames a second.
    pub most: f64,
    /// It ends when the answer is known to this part of `most`.
    pub resolution: f64,
    /// Share of frames that may be lost.
    pub tolerated: f64,
}

/// One trial of the search.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Step {
    /// Frames a second that were offered.
    pub rate: f64,
    /// The share of them that was lost.
    pub loss: f64,
    /// Whether that is little enough.
    pub passed: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Found {
    /// The highest rate that passed, in frames a second; zero if none did.
    pub rate: f64,
    /// The lowest that did not, if any.
    pub failed: Option<f64>,
    /// The trials in order.
    pub steps: Vec<Step>,
}

impl Search {
    /// Searches. `trial` offers a rate and gives the share that was lost.
    ///
    /// # Errors
    /// The trial's.
    pub fn run<E>(&self, mut trial: impl FnMut(f64) -> Result<f64, E>) -> Result<Found, E> {
        let mut found = Found { rate: 0.0, failed: None, steps: Vec::new() };
        let mut rate = self.most;
        let step = (self.resolution.max(1e-4) * self.most).max(f64::MIN_POSITIVE);
        loop {
            let loss = trial(rate)?;
            let passed = loss <= self.tolerated;
            found.steps.push(Step { rate, loss, passed });
            if passed {
                found.rate = rate;
            } else {
                found.failed = Some(rate);
            }
            let Some(failed) = found.failed else { return Ok(found) };
            if failed - found.rate <= step {
                return Ok(found);
            }
            rate = f64::midpoint(found.rate, failed);
        }
    }
}

impl Found {
    /// The trials as text.
    pub fn list(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let verdict = if step.passed { "passed" } else { "lost" };
            let _ = writeln!(text, "  {:>10.4} Mpps {verdict} {:.4} %", step.rate / 1e6, step.loss * 100.0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// A device that loses what is over its capacity.
    fn device(capacity: f64) -> impl FnMut(f64) -> Result<f64, Infallible> {
        move |rate| Ok(((rate - capacity) / rate).max(0.0))
    }

    proptest! {
        #[test]
        fn it_finds_the_capacity_to_the_resolution(
            most in 1e3_f64..1e8, part in 0.0_f64..1.5, resolution in 0.001_f64..0.2,
        ) {
            let capacity = most * part;
            let search = Search { most, resolution, tolerated: 0.0 };
            let Ok(found) = search.run(device(capacity));
            prop_assert!(found.rate <= capacity);
            prop_assert!(found.rate == most || capacity - found.rate <= resolution * most * 1.000_001);
            // Each trial after the first halves what is unknown.
            let bound = (1.0 / resolution).log2().ceil() as usize + 2;
            prop_assert!(found.steps.len() <= bound, "{} trials", found.steps.len());
            prop_assert!(found.steps.iter().all(|step| step.passed == (step.rate <= capacity)));
        }

        #[test]
        fn tolerated_loss_moves_the_answer(capacity in 1e5_f64..9e5, tolerated in 0.0_f64..0.05) {
            let Ok(found) = Search { most: 1e6, resolution: 0.001, tolerated }.run(device(capacity));
            let limit = (capacity / (1.0 - tolerated)).min(1e6);
            prop_assert!(found.rate <= limit * 1.000_001 && limit - found.rate <= 1001.0);
        }
    }

    #[test]
    fn a_device_that_always_loses_has_none_and_a_fast_one_is_tried_once() {
        let Ok(found) =
            Search { most: 1e6, resolution: 0.01, tolerated: 0.0 }.run(|_| Ok::<_, Infallible>(0.5));
        assert_eq!((found.rate, found.failed.is_some()), (0.0, true));
        let Ok(found) = Search { most: 1e6, resolution: 0.01, tolerated: 0.0 }.run(device(2e6));
        assert_eq!((found.rate, found.failed, found.steps.len()), (1e6, None, 1));
    }

    #[test]
    fn the_errors_of_trials_end_it() {
        let search = Search { most: 1e6, resolution: 0.01, tolerated: 0.0 };
        assert_eq!(search.run(|_| Err("gone")), Err("gone"));
    }
}
