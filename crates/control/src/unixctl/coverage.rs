//! Counts of events with their rates, as `coverage/show` prints them.
//!
//! What: [`counter`] gives the counter of a name, for all of the program; [`Coverage`] keeps what the rates need.
//! Costs: counting is one relaxed addition; who counts often keeps the counter.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at the counters.
const INTERVAL: Duration = Duration::from_secs(5);
/// Looks that are kept: those of an hour.
const LOOKS: usize = 720;
/// Looks in a minute.
const MINUTE: usize = 12;

static COUNTERS: OnceLock<Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>> = OnceLock::new();

/// The counter of this name; it begins with 0.
#[must_use]
pub fn counter(name: &'static str) -> Arc<AtomicU64> {
    let mut all = COUNTERS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(name).or_default().clone()
}

/// Counts one event of this name.
pub fn count(name: &'static str) {
    counter(name).fetch_add(1, Ordering::Relaxed);
}

fn totals() -> BTreeMap<&'static str, u64> {
    let all = COUNTERS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().map(|(name, counter)| (*name, counter.load(Ordering::Relaxed))).collect()
}

/// What the rates need.
#[derive(Debug)]
pub struct Coverage {
    looked: Instant,
    /// What happened between two looks, the last first.
    between: VecDeque<BTreeMap<String, u64>>,
    before: BTreeMap<String, u64>,
}

impl Coverage {
    /// One that begins now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { looked: now, between: VecDeque::new(), before: BTreeMap::new() }
    }

    /// Looks at the counters if it is time: those of the program, and `others`.
    pub fn look(&mut self, now: Instant, others: impl FnOnce() -> BTreeMap<String, u64>) {
        let passed = now.saturating_duration_since(self.looked);
        if passed < INTERVAL {
            return;
        }
        let all = whole(others());
        let happened = |(name, total): (&String, &u64)| {
            let new = total.saturating_sub(self.before.get(name).copied().unwrap_or(0));
            (new > 0).then(|| (name.clone(), new))
        };
        let happened = all.iter().filter_map(happened).collect();
        // What was not looked at in time counts as the last interval's.
        for _ in 1..(passed.as_secs() / INTERVAL.as_secs()).min(LOOKS as u64) {
            self.between.push_front(BTreeMap::new());
        }
        self.between.push_front(happened);
        self.between.truncate(LOOKS);
        (self.looked, self.before) = (now, all);
    }

    /// What `coverage/show` answers.
    #[must_use]
    pub fn show(&self, others: BTreeMap<String, u64>) -> String {
        let all = whole(others);
        let hash = all.iter().filter(|(_, total)| **total > 0).fold(0xcbf2_9ce4_u32, |hash, (name, _)| {
            name.bytes().fold(hash, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193))
        });
        let mut text = format!(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n"
        );
        let mut never = 0;
        for (name, total) in &all {
            if *total == 0 {
                never += 1;
                continue;
            }
            let last = |looks: usize| -> u64 {
                self.between.iter().take(looks).filter_map(|look| look.get(name)).sum()
            };
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "{name:<24} {:5.1}/sec {:9.3}/sec {:13.4}/sec   total: {total}",
                last(1) as f64 / 5.0,
                last(MINUTE) as f64 / 60.0,
                last(LOOKS) as f64 / 3600.0,
            );
        }
        let _ = writeln!(text, "{never} events never hit");
        text
    }

    /// The total of one counter.
    #[must_use]
    pub fn read(name: &str, others: &BTreeMap<String, u64>) -> Option<u64> {
        let own = totals().get(name).copied();
        match (own, others.get(name)) {
            (None, None) => None,
            (own, other) => Some(own.unwrap_or(0) + other.copied().unwrap_or(0)),
        }
    }
}

fn whole(others: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut all = others;
    for (name, total) in totals() {
        *all.entry(name.to_owned()).or_default() += total;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_what_happened() {
        let began = Instant::now();
        let mut coverage = Coverage::new(began);
        let others =
            |total: u64| BTreeMap::from([("test_events".to_owned(), total), ("test_none".to_owned(), 0)]);
        coverage.look(began + Duration::from_secs(4), || others(1000));
        coverage.look(began + Duration::from_secs(5), || others(10));
        coverage.look(began + Duration::from_secs(11), || others(70));
        let text = coverage.show(others(71));
        let line = text.lines().find(|line| line.starts_with("test_events")).unwrap();
        assert_eq!(line, "test_events               12.0/sec     1.167/sec        0.0194/sec   total: 71");
        assert!(!text.contains("test_none"), "{text}");
        assert_eq!(Coverage::read("test_none", &others(0)), Some(0));
        assert_eq!(Coverage::read("test_unheard_of", &others(0)), None);
        count("test_counted");
        assert_eq!(Coverage::read("test_counted", &BTreeMap::new()), Some(1));
    }
}
