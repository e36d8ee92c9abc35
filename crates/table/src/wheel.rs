//! A hierarchical timer wheel: many timers, each set, cancelled and fired in constant time.
//!
//! ```text
//! level 0:  64 slots of 1 tick        <- cascades <-  level 1: 64 slots of 64 ticks  <-  ...  <-  level 10
//! ```
//!
//! What: the level of a timer is that of the highest digit (to the base of 64) in which its tick differs from the
//! present one. When the hand comes to a slot of a higher level, its timers move down.
//!
//! Invariants:
//! - A timer never fires before its time, and at the first [`Wheel::pop`] that is given a time one tick after it or
//!   later.
//! - Timers fire in the order of their ticks; those of one tick in the order in which they were set.
//! - There are at most as many timers as the limit says; beyond it [`Wheel::set`] gives the value back.
//! - A handle of a timer that has fired or was cancelled means nothing any more, even when its place is used again.
//!
//! Costs: 24 octets and the value for each timer, kept for the next ones; 6 KiB for the slots. Nothing is allocated
//! once there were as many timers before. A timer is touched at most once for each level below its own.
//!
//! Deliberately absent: a clock. Time is an argument; one that goes back counts as standing still.

/// Digits of a tick: 64 bits, six at a time.
const LEVELS: usize = 11;
/// Slots of a level.
const SLOTS: usize = 64;
/// No timer.
const NOBODY: u32 = u32::MAX;

/// A handle of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer {
    index: u32,
    birth: u32,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    /// The tick in which it fires.
    tick: u64,
    previous: u32,
    next: u32,
    birth: u32,
    value: Option<T>,
}

/// A list of timers.
#[derive(Debug, Clone, Copy)]
struct Slot {
    first: u32,
    last: u32,
}

const EMPTY: Slot = Slot { first: NOBODY, last: NOBODY };

/// The timers.
#[derive(Debug, Clone)]
pub struct Wheel<T> {
    entries: Vec<Entry<T>>,
    /// Places of entries that are free, chained by `next`.
    free: u32,
    count: usize,
    limit: usize,
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    /// Which slots of a level have timers.
    occupied: [u64; LEVELS],
    /// A tick has two to the power of so many units of time.
    shift: u32,
    /// Every timer of an earlier tick has fired.
    hand: u64,
}

/// The digit of a tick at a level.
const fn digit(tick: u64, level: usize) -> usize {
    (tick >> (6 * level)) as usize % SLOTS
}

impl<T> Wheel<T> {
    /// A wheel without timers. A tick has 2^`shift` units of time (at most 2^63); there may be `limit` timers (at most
    /// 2^32 - 1).
    #[must_use]
    pub fn new(shift: u32, limit: usize, now: u64) -> Self {
        let shift = shift.min(63);
        Self {
            entries: Vec::new(),
            free: NOBODY,
            count: 0,
            limit: limit.min(NOBODY as usize),
            slots: Box::new([[EMPTY; SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            shift,
            hand: now >> shift,
        }
    }

    /// How many timers are set.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Most timers.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Units of time in a tick.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        1 << self.shift
    }

    /// The tick in which a timer fires: the first that begins at its time or later. The last tick of all stands for
    /// what comes after it.
    const fn ticks(&self, time: u64) -> u64 {
        let tick = time >> self.shift;
        if time == tick << self.shift || tick == u64::MAX >> self.shift { tick } else { tick + 1 }
    }

    /// Sets a timer. A time that has passed fires at the next [`Wheel::pop`].
    ///
    /// # Errors
    /// The value, when there are as many timers as may be.
    pub fn set(&mut self, time: u64, value: T) -> Result<Timer, T> {
        if self.count >= self.limit {
            return Err(value);
        }
        let tick = self.ticks(time).max(self.hand);
        let index = match self.entries.get_mut(self.free as usize) {
            Some(entry) => {
                let index = self.free;
                self.free = entry.next;
                (entry.tick, entry.value) = (tick, Some(value));
                index
            }
            None => {
                let entry = Entry { tick, previous: NOBODY, next: NOBODY, birth: 0, value: Some(value) };
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.count += 1;
        self.hang(index);
        let birth = self.entries.get(index as usize).map_or(0, |entry| entry.birth);
        Ok(Timer { index, birth })
    }

    /// Takes a timer back; `None` when it has fired or was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> Option<T> {
        let entry = self.entries.get(timer.index as usize)?;
        if entry.birth != timer.birth || entry.value.is_none() {
            return None;
        }
        self.unhang(timer.index);
        self.end(timer.index)
    }

    /// The next timer whose time has come.
    pub fn pop(&mut self, now: u64) -> Option<T> {
        let now = now >> self.shift;
        loop {
            let (level, slot, tick) = self.earliest()?;
            if tick > now {
                // Nothing is due until then. The hand stays in the same slot of each level that has timers.
                self.hand = self.hand.max(now);
                return None;
            }
            self.hand = self.hand.max(tick);
            if level == 0 {
                let index = self.slots[0][slot].first;
                self.unhang(index);
                return self.end(index);
            }
            let list = std::mem::replace(&mut self.slots[level][slot], EMPTY);
            self.occupied[level] &= !(1 << slot);
            let mut index = list.first;
            while let Some(entry) = self.entries.get(index as usize) {
                let next = entry.next;
                self.hang(index);
                index = next;
            }
        }
    }

    /// A time before which nothing fires; `None` without timers. When it has come, [`Wheel::pop`] gives a timer, or this
    /// gives a later time: at most ten times for a timer.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.earliest().map(|(.., tick)| tick << self.shift)
    }

    /// The first slot with timers: its level, its place and the tick in which it begins. All timers of a lower level come
    /// before those of a higher one.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        // Slots before the hand are empty: what they had has fired or moved down.
        let slot = self.occupied[level].trailing_zeros() as usize;
        let above = self.hand.checked_shr(6 * (level as u32 + 1)).unwrap_or(0);
        let tick = (above.checked_shl(6).unwrap_or(0) | slot as u64) << (6 * level);
        Some((level, slot, tick))
    }

    /// Puts an entry at the end of the slot of its tick.
    fn hang(&mut self, index: u32) {
        let hand = self.hand;
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let level = (63 - ((entry.tick ^ hand) | 1).leading_zeros() as usize) / 6;
        let slot = digit(entry.tick, level);
        let list = &mut self.slots[level][slot];
        (entry.previous, entry.next) = (list.last, NOBODY);
        let last = std::mem::replace(&mut list.last, index);
        match self.entries.get_mut(last as usize) {
            Some(before) => before.next = index,
            None => list.first = index,
        }
        self.occupied[level] |= 1 << slot;
    }

    fn unhang(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else { return };
        let (tick, previous, next) = (entry.tick, entry.previous, entry.next);
        let level = (63 - ((tick ^ self.hand) | 1).leading_zeros() as usize) / 6;
        let slot = digit(tick, level);
        let list = &mut self.slots[level][slot];
        match self.entries.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => list.first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => list.last = previous,
        }
        if list.first == NOBODY {
            self.occupied[level] &= !(1 << slot);
        }
    }

    fn end(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        entry.birth = entry.birth.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.count -= 1;
        entry.value.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Step {
        Set(u64),
        Cancel(usize),
        Wait(u64),
    }

    fn time() -> impl Strategy<Value = u64> {
        prop_oneof![
            6 => 0..50_u64,
            4 => 0..5_000_u64,
            3 => 0..1_000_000_u64,
            1 => any::<u64>(),
            1 => (0..64_u32, 0..3_u64).prop_map(|(bit, less)| (1_u64 << bit).wrapping_sub(less)),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => time().prop_map(Step::Set),
            1 => any::<usize>().prop_map(Step::Cancel),
            3 => time().prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
        /// Against a sorted map.
        #[test]
        fn it_fires_what_a_sorted_map_fires(
            steps in proptest::collection::vec(step(), 0..120), shift in prop_oneof![0..12_u32, Just(40), Just(63)],
            start in prop_oneof![0..1000_u64, any::<u64>()], limit in prop_oneof![1..10_usize, Just(1000)],
        ) {
            let mut wheel = Wheel::new(shift, limit, start);
            let tick = 1_u128 << shift;
            let mut oracle: BTreeMap<(u128, u32), (Timer, u64)> = BTreeMap::new();
            let mut timers = Vec::new();
            let mut now = start;
            for (number, step) in (0_u32..).zip(steps) {
                match step {
                    Step::Set(after) => {
                        let time = now.saturating_add(after);
                        let set = wheel.set(time, number);
                        prop_assert_eq!(set.is_ok(), oracle.len() < limit);
                        if let Ok(timer) = set {
                            // The time in full ticks, but within the last tick of all.
                            let due = u128::from(time).div_ceil(tick).min(u128::from(u64::MAX) / tick);
                            let due = due.max(u128::from(now) / tick);
                            timers.push((timer, (due, number)));
                            oracle.insert((due, number), (timer, time));
                        }
                    }
                    Step::Cancel(which) if !timers.is_empty() => {
                        let (timer, key) = timers[which % timers.len()];
                        let known = oracle.remove(&key);
                        prop_assert_eq!(wheel.cancel(timer), known.map(|_| key.1));
                    }
                    Step::Cancel(_) => {}
                    Step::Wait(time) => {
                        now = now.saturating_add(time);
                        while let Some(value) = wheel.pop(now) {
                            let (key, (_, time)) = oracle.pop_first().unwrap();
                            prop_assert_eq!(value, key.1);
                            prop_assert!(time <= now || now >> shift == u64::MAX >> shift);
                        }
                        let first = oracle.first_key_value();
                        prop_assert!(first.is_none_or(|((due, _), _)| *due > u128::from(now) / tick));
                    }
                }
                prop_assert_eq!(wheel.len(), oracle.len());
                let next = wheel.next().map(|next| u128::from(next) / tick);
                let first = oracle.first_key_value().map(|((due, _), _)| *due);
                prop_assert_eq!(next.is_some(), first.is_some());
                prop_assert!(next <= first);
            }
        }
    }

    #[test]
    fn who_sleeps_until_the_next_time_wakes_a_few_times_for_each_timer() {
        let mut wheel = Wheel::new(4, 10, 0);
        wheel.set(u64::from(u32::MAX) * 1000, ()).unwrap();
        let (mut now, mut looks) = (0, 0);
        while wheel.pop(now).is_none() {
            let next = wheel.next().unwrap();
            assert!(next > now);
            (now, looks) = (next, looks + 1);
        }
        assert!(looks <= LEVELS && now >= u64::from(u32::MAX) * 1000, "{looks} {now}");
    }

    #[test]
    fn handles_of_the_past_mean_nothing() {
        let mut wheel = Wheel::new(0, 1, 0);
        let first = wheel.set(5, 'a').unwrap();
        assert_eq!(wheel.set(5, 'b'), Err('b'));
        assert_eq!((wheel.pop(4), wheel.pop(5)), (None, Some('a')));
        let second = wheel.set(9, 'c').unwrap();
        assert_eq!(
            (wheel.cancel(first), wheel.cancel(second), wheel.cancel(second)),
            (None, Some('c'), None)
        );
        assert!(wheel.is_empty() && wheel.next().is_none());
    }
}
