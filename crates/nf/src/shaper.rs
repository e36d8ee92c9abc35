//! Queues at a port's way out: whose frame leaves next, and when.
//!
//! ```text
//! frame -> its queue's list -> within its own rate? ----first---> by priority, then by least served --> port's rate --> out
//!                         `-> within its limit? ---afterwards--'
//! ```
//!
//! What: [`Shaper`] has a rate for the port and queues with a guaranteed rate, a limit, a burst and a priority each. It holds
//! frames of any kind; who asks keeps nothing beside it. The two disciplines of Open vSwitch that shape (`linux-htb`,
//! `linux-hfsc`) are settings of it.
//!
//! Invariants:
//! - Over any time t no more than `burst + rate * t` and one frame have left the port, and as much of each queue by its
//!   limit. A burst is at least what the rate carries in [`LATE`], so that a turn that comes late makes up for it.
//! - A queue that has frames gets its guaranteed rate, as long as those of all queues fit into the port's; if they don't, the
//!   port's rate is shared in their proportion within a priority. What a queue borrows is not held against its guarantee.
//! - What guarantees leave goes to the smallest priority that can use it; within one in proportion to the shares of its queues.
//! - Work is conserved: nothing waits while the port's rate and the limit of its queue have room.
//! - Frames of one queue keep their order.
//! - No queue holds more than [`FRAMES`] frames and [`OCTETS`] octets.
//! - Time is an argument; if it goes back it stands still.
//!
//! Costs: a frame that finds nothing waiting passes with three comparisons. Else a look at each queue that has frames, for
//! each frame that leaves.

use std::collections::VecDeque;

/// Most frames of one queue, as many as the transmit queue of a Linux interface has.
pub const FRAMES: usize = 1000;
/// Most octets of them.
pub const OCTETS: usize = 4 << 20;
/// Nanoseconds by which a turn may be late without loss of rate.
pub const LATE: u64 = 5_000_000;
/// Parts of a nanosecond: time is counted in these.
const PARTS: u32 = 32;
/// Parts of an octet's weight.
const WEIGHT: u32 = 48;

/// What a queue is promised. Rates are bits in a second, from the Ethernet header on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueueRates {
    /// What it gets in any case; 0 for nothing.
    pub guaranteed: u64,
    /// What it never exceeds; 0 for no limit of its own.
    pub limit: u64,
    /// Octets that may leave at once after a time without frames.
    pub burst: u64,
    /// The smaller, the sooner it gets what others leave.
    pub priority: u32,
    /// Its part of what others leave, beside queues of the same priority; 0 counts as 1.
    pub share: u64,
}

impl QueueRates {
    /// Nothing, and no limit.
    pub const FREE: Self = Self { guaranteed: 0, limit: 0, burst: 0, priority: 0, share: 1 };
}

/// What a port and its queues are promised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Bits in a second that leave the port; 0 for no limit.
    pub rate: u64,
    /// Queues by their numbers, in any order. Frames for others go to the queue 0, which is there in any case.
    pub queues: Vec<(u32, QueueRates)>,
}

/// A token bucket that may be overdrawn by one frame, as a time: that at which it is full again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Parts that an octet takes; 0 for no limit.
    per_octet: u128,
    depth: u128,
    full: u128,
}

impl Bucket {
    fn new(rate: u64, burst: u64) -> Self {
        let per_octet = ((8 * 1_000_000_000_u128) << PARTS).checked_div(u128::from(rate)).unwrap_or(0);
        let depth = (u128::from(burst) * per_octet).max(u128::from(LATE) << PARTS);
        Self { per_octet, depth, full: 0 }
    }

    /// From when on it has something, in parts.
    const fn ready(&self) -> u128 {
        if self.per_octet == 0 { 0 } else { self.full.saturating_sub(self.depth) }
    }

    const fn is_ready(&self, now: u128) -> bool {
        self.ready() <= now
    }

    fn take(&mut self, octets: usize, now: u128) {
        self.full = self.full.max(now) + octets as u128 * self.per_octet;
    }

    /// Goes on as one with another rate: it has neither more nor less than before in time.
    const fn goes_on(mut self, before: &Self) -> Self {
        if before.per_octet != 0 {
            // What is overdrawn stays so.
            self.full = before.ready() + self.depth;
        }
        self
    }

    /// Octets that fit into a full one.
    fn holds(&self) -> usize {
        self.depth.checked_div(self.per_octet).map_or(usize::MAX, |octets| octets as usize)
    }
}

struct Queue<T> {
    number: u32,
    guaranteed: Option<Bucket>,
    limit: Bucket,
    priority: u32,
    /// What an octet adds to `served`: within the guarantee, and borrowed.
    weight: [u128; 2],
    /// Octets that it sent, by their weight.
    served: [u128; 2],
    waiting: VecDeque<(T, usize)>,
    octets: usize,
}

/// The queues of a port.
pub struct Shaper<T> {
    root: Bucket,
    /// By number.
    queues: Vec<Queue<T>>,
    /// Places of those that have frames.
    busy: Vec<usize>,
    /// How much the last queue of a priority had been served: who comes back begins there.
    levels: Vec<(u32, [u128; 2])>,
    now: u64,
    waiting: usize,
}

impl<T> std::fmt::Debug for Shaper<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a shaper with {} queues, {} frames waiting", self.queues.len(), self.waiting)
    }
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may leave now, and counts as having left.
    Now,
    /// It has to wait: it is to be [put](Shaper::put).
    Later,
    /// Its queue is full.
    Full,
}

impl<T> Queue<T> {
    fn new(number: u32, rates: &QueueRates) -> Self {
        let guaranteed = (rates.guaranteed > 0).then(|| Bucket::new(rates.guaranteed, rates.burst));
        Self {
            number,
            guaranteed,
            limit: Bucket::new(rates.limit, rates.burst),
            priority: rates.priority,
            weight: [rates.guaranteed, rates.share].map(|part| (1 << WEIGHT) / u128::from(part.max(1))),
            served: [0; 2],
            waiting: VecDeque::new(),
            octets: 0,
        }
    }

    fn has_room(&self, octets: usize) -> bool {
        self.waiting.len() < FRAMES && self.octets + octets <= OCTETS
    }
}

impl<T> Shaper<T> {
    /// Queues without frames.
    #[must_use]
    pub fn new(rates: &Rates) -> Self {
        let mut queues: Vec<Queue<T>> =
            rates.queues.iter().map(|(number, rates)| Queue::new(*number, rates)).collect();
        if queues.iter().all(|queue| queue.number != 0) {
            queues.push(Queue::new(0, &QueueRates::FREE));
        }
        queues.sort_by_key(|queue| queue.number);
        queues.dedup_by_key(|queue| queue.number);
        let mut levels: Vec<(u32, [u128; 2])> = queues.iter().map(|queue| (queue.priority, [0; 2])).collect();
        levels.sort_unstable();
        levels.dedup();
        Self { root: Bucket::new(rates.rate, 0), queues, busy: Vec::new(), levels, now: 0, waiting: 0 }
    }

    /// Makes promises others. Frames that wait stay in their queues; those of queues that are there no more go to the
    /// queue 0 as far as that has room. The others are given back.
    pub fn set(&mut self, rates: &Rates) -> Vec<T> {
        let mut after = Self::new(rates);
        after.now = self.now;
        after.root = after.root.goes_on(&self.root);
        let mut lost = Vec::new();
        for before in std::mem::take(&mut self.queues) {
            if let Ok(place) = after.queues.binary_search_by_key(&before.number, |queue| queue.number)
                && let Some(queue) = after.queues.get_mut(place)
            {
                queue.limit = queue.limit.goes_on(&before.limit);
            }
            for (frame, octets) in before.waiting {
                match after.has_room(before.number, octets) {
                    true => after.put(before.number, frame, octets),
                    false => lost.push(frame),
                }
            }
        }
        *self = after;
        lost
    }

    /// The place of a queue, or that of the queue 0.
    fn place(&self, number: u32) -> usize {
        // The queue 0 is the first.
        self.queues.binary_search_by_key(&number, |queue| queue.number).unwrap_or(0)
    }

    /// The number of the queue that frames for a number go to.
    #[must_use]
    pub fn queue(&self, number: u32) -> u32 {
        self.queues.get(self.place(number)).map_or(0, |queue| queue.number)
    }

    fn has_room(&self, number: u32, octets: usize) -> bool {
        self.queues.get(self.place(number)).is_some_and(|queue| queue.has_room(octets))
    }

    /// Octets of the longest frame that may pass in one piece: longer ones exceed a burst.
    #[must_use]
    pub fn longest(&self, number: u32) -> usize {
        let limit = self.queues.get(self.place(number)).map_or(usize::MAX, |queue| queue.limit.holds());
        self.root.holds().min(limit)
    }

    /// Frames that wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Asks for a frame.
    pub fn admit(&mut self, number: u32, octets: usize, now: u64) -> Admission {
        self.now = self.now.max(now);
        let place = self.place(number);
        let parts = u128::from(self.now) << PARTS;
        let idle = self.waiting == 0 && self.root.is_ready(parts);
        let Some(queue) = self.queues.get(place) else { return Admission::Full };
        if idle && queue.limit.is_ready(parts) {
            self.begin(place);
            self.charge(place, octets, parts);
            return Admission::Now;
        }
        if queue.has_room(octets) { Admission::Later } else { Admission::Full }
    }

    /// Lets a frame wait that was [told to](Admission::Later).
    pub fn put(&mut self, number: u32, frame: T, octets: usize) {
        let place = self.place(number);
        let idle = self.queues.get(place).is_some_and(|queue| queue.waiting.is_empty());
        if idle {
            self.begin(place);
            self.busy.push(place);
        }
        if let Some(queue) = self.queues.get_mut(place) {
            queue.waiting.push_back((frame, octets));
            queue.octets += octets;
            self.waiting += 1;
        }
    }

    /// A queue has frames again: it has not saved up what it did not want.
    fn begin(&mut self, place: usize) {
        let Some(queue) = self.queues.get_mut(place) else { return };
        if let Ok(level) = self.levels.binary_search_by_key(&queue.priority, |level| level.0) {
            for (served, level) in queue.served.iter_mut().zip(self.levels[level].1) {
                *served = (*served).max(level);
            }
        }
    }

    fn charge(&mut self, place: usize, octets: usize, now: u128) {
        self.root.take(octets, now);
        let Some(queue) = self.queues.get_mut(place) else { return };
        let own = queue.guaranteed.as_mut().filter(|own| own.is_ready(now));
        let borrows = usize::from(own.is_none());
        if let Some(own) = own {
            own.take(octets, now);
        }
        queue.limit.take(octets, now);
        if let Ok(level) = self.levels.binary_search_by_key(&queue.priority, |level| level.0) {
            let level = &mut self.levels[level].1[borrows];
            *level = (*level).max(queue.served[borrows]);
        }
        queue.served[borrows] += octets as u128 * queue.weight[borrows];
    }

    /// The next frame that leaves, with the number of its queue; none if nothing may leave now.
    pub fn take(&mut self, now: u64) -> Option<(u32, T)> {
        self.now = self.now.max(now);
        let parts = u128::from(self.now) << PARTS;
        if self.waiting == 0 || !self.root.is_ready(parts) {
            return None;
        }
        let key = |place: &usize| {
            let queue = &self.queues[*place];
            let borrows = queue.guaranteed.is_none_or(|own| !own.is_ready(parts));
            (borrows, queue.priority, queue.served[usize::from(borrows)], queue.number)
        };
        let ready =
            self.busy.iter().enumerate().filter(|(_, place)| self.queues[**place].limit.is_ready(parts));
        let (at, place) = ready.min_by_key(|(_, place)| key(place)).map(|(at, place)| (at, *place))?;
        let queue = self.queues.get_mut(place)?;
        let (frame, octets) = queue.waiting.pop_front()?;
        queue.octets -= octets;
        let number = queue.number;
        if queue.waiting.is_empty() {
            self.busy.swap_remove(at);
        }
        self.waiting -= 1;
        self.charge(place, octets, parts);
        Some((number, frame))
    }

    /// When something leaves next that waits, in nanoseconds; none if nothing waits.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let limit = self.busy.iter().map(|place| self.queues[*place].limit.ready()).min()?;
        let ready = limit.max(self.root.ready());
        // To the next whole nanosecond, so that nothing is early.
        Some(u64::try_from((ready + u128::from(u32::MAX)) >> PARTS).unwrap_or(u64::MAX))
    }

    /// Takes all frames out that wait.
    pub fn clear(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        self.busy.clear();
        self.waiting = 0;
        self.queues.iter_mut().flat_map(|queue| {
            queue.octets = 0;
            queue.waiting.drain(..).map(|(frame, _)| frame)
        })
    }
}

#[cfg(test)]
mod tests;
