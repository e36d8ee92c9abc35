//! All connections, for several workers.
//!
//! What: connections lie in *shards*, each behind a lock of its own; the keyed hash of a connection's original tuple chooses.
//! With one worker there is one shard, and a [`Turn`] holds its lock for all packets of a batch. With several there are
//! many more shards than workers, so that a lock is nearly always free; a turn keeps the last one it took.
//!
//! Invariants: no thread holds two shards' locks, and none asks for a shard while it holds the lock of limits or
//! expectations: nothing can wait in a circle. Time is an argument, in nanoseconds of any clock that does not go back.

use super::expect::Expectations;
use super::limit::{Limits, ZoneLimit};
use super::packet::Reading;
use super::shard::{Found, Removed, Shard, shard_of};
use super::timeout::Policy;
use super::tuple::{Hash, Secrets, Tuple};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Most shards.
const SHARDS: usize = 1024;
/// Shards for each worker, if there are several.
const FOR_EACH: usize = 64;

/// Keeps locks of different shards on different cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Apart(Mutex<Shard>);

/// All connections.
#[derive(Debug)]
pub struct Tracker {
    shards: Box<[Apart]>,
    pub(super) secrets: Secrets,
    pub(super) limits: Limits,
    pub(super) expectations: Expectations,
    /// The next shard whose timers are looked at.
    sweeping: AtomicUsize,
    /// Source of what is chosen by chance.
    chance: AtomicU64,
    liberal: AtomicBool,
    checksums: AtomicBool,
    sctp_ports: AtomicBool,
}

/// What a tracker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Connections.
    pub connections: u32,
    /// Connections that helpers expect.
    pub expected: usize,
    /// Octets of memory of connections and their index; each timer has 32 more.
    pub octets: usize,
}

impl Tracker {
    /// A tracker for so many workers. `seed` keeps senders from choosing packets that collide, and from guessing ports:
    /// take it from the system's randomness.
    #[must_use]
    pub fn new(workers: usize, seed: u64, now: u64) -> Self {
        let count = match workers {
            0 | 1 => 1,
            _ => (workers * FOR_EACH).next_power_of_two().min(SHARDS),
        };
        let secrets = Secrets::new(seed);
        let shard = |number| Apart(Mutex::new(Shard::new(number, count - 1, secrets, now)));
        Self {
            shards: (0..count).map(shard).collect(),
            secrets,
            limits: Limits::new(),
            expectations: Expectations::default(),
            sweeping: AtomicUsize::new(0),
            chance: AtomicU64::new(seed.rotate_left(32)),
            liberal: AtomicBool::new(false),
            checksums: AtomicBool::new(true),
            sctp_ports: AtomicBool::new(false),
        }
    }

    /// What the next packets are served with. Keep it for a batch at most: others may wait for it.
    #[must_use]
    pub const fn turn(&self) -> Turn<'_> {
        Turn { tracker: self, held: None }
    }

    pub(super) fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        let Apart(shard) = &self.shards[number & (self.shards.len() - 1)];
        // A thread that panicked in between has left connections whole: each change is done at the end of a function that
        // can't panic.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard, if nobody has it.
    #[inline]
    pub(super) fn try_lock(&self, number: usize) -> Option<MutexGuard<'_, Shard>> {
        let Apart(shard) = &self.shards[number & (self.shards.len() - 1)];
        match shard.try_lock() {
            Ok(shard) => Some(shard),
            Err(TryLockError::Poisoned(shard)) => Some(shard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards.len()
    }

    #[inline]
    pub(super) const fn shard_of(&self, hash: Hash) -> usize {
        shard_of(hash, self.shards.len() - 1)
    }

    #[inline]
    pub(super) fn is_liberal(&self) -> bool {
        self.liberal.load(Relaxed)
    }

    #[inline]
    pub(super) fn reading(&self, zone: u16) -> Reading {
        Reading { zone, checksums: self.checksums.load(Relaxed), sctp_ports: self.sctp_ports.load(Relaxed) }
    }

    fn for_each(&self, mut change: impl FnMut(&mut Shard)) {
        for number in 0..self.shards.len() {
            change(&mut self.lock(number));
        }
    }

    /// Whether TCP segments must fit into their windows (`dpctl/ct-enable-tcp-seq-chk`); they must, unless told otherwise.
    pub fn check_sequence(&self, on: bool) {
        self.liberal.store(!on, Relaxed);
    }

    /// Whether [`Tracker::check_sequence`] is on (`dpctl/ct-get-tcp-seq-chk`).
    #[must_use]
    pub fn checks_sequence(&self) -> bool {
        !self.is_liberal()
    }

    /// Whether packets with wrong checksums are invalid; they are, unless told otherwise.
    pub fn check_checksums(&self, on: bool) {
        self.checksums.store(on, Relaxed);
    }

    /// Whether SCTP connections are told apart by their ports, as the kernel does; they are not, as in Open vSwitch's user
    /// space, unless told otherwise.
    pub fn use_sctp_ports(&self, on: bool) {
        self.sctp_ports.store(on, Relaxed);
    }

    /// Sets, changes or takes away a policy of timeouts; number 0 is the one of connections that name none.
    pub fn set_policy(&self, number: u32, policy: Option<Policy>) {
        self.for_each(|shard| shard.policies.set(number, policy));
    }

    /// Sets, changes or takes away the limit of a zone; `None` for all zones without one of their own.
    pub fn set_limit(&self, zone: Option<u16>, most: Option<u32>) {
        self.limits.set(zone, most);
    }

    /// The limits, the common one first.
    #[must_use]
    pub fn zone_limits(&self) -> Vec<ZoneLimit> {
        self.limits.list()
    }

    /// Sets how many connections there may be (`dpctl/ct-set-maxconns`).
    pub fn set_most(&self, most: u32) {
        self.limits.most.store(most, Relaxed);
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.limits.most.load(Relaxed)
    }

    /// How many connections there are (`dpctl/ct-get-nconns`).
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.limits.connections.load(Relaxed)
    }

    /// What there is.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut octets = 0;
        self.for_each(|shard| octets += shard.octets());
        Census { connections: self.connections(), expected: self.expectations.len(), octets }
    }

    /// Ends connections whose time has come: those of one shard, so many at most. Call it once a turn of a worker; shards
    /// take turns, and one that another worker has is left to the next time.
    pub fn sweep(&self, now: u64, most: usize) {
        let number = self.sweeping.fetch_add(1, Relaxed) & (self.shards.len() - 1);
        let Some(mut shard) = self.try_lock(number) else { return };
        shard.sweep(now, most);
        let removed = std::mem::take(&mut shard.removed);
        drop(shard);
        self.settle(removed);
    }

    /// Tells others of connections that are gone. No lock may be held.
    pub(super) fn settle(&self, removed: Vec<Removed>) {
        for removed in removed {
            self.limits.dismiss(removed.limit);
            if let Some(watched) = removed.watched {
                self.expectations.forget(&watched);
            }
            if let Some((reply, original)) = removed.alias {
                self.lock(self.shard_of(reply)).remove_alias(reply, original);
            }
        }
    }

    /// A number that nobody outside can guess.
    pub(super) fn draw(&self) -> u64 {
        let drawn = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        Tuple { source: u128::from(drawn), ..Tuple::default() }.hash(&self.secrets)
    }
}

/// Access to a tracker for some packets: it keeps the lock of the shard it used last.
#[derive(Debug)]
pub struct Turn<'a> {
    pub(super) tracker: &'a Tracker,
    held: Option<(usize, MutexGuard<'a, Shard>)>,
}

impl<'a> Turn<'a> {
    /// A shard, and nobody else's until the next one is asked for.
    #[inline]
    pub(super) fn shard(&mut self, number: usize) -> &mut Shard {
        if self.held.as_ref().is_some_and(|(held, _)| *held != number) {
            self.release();
        }
        let tracker: &'a Tracker = self.tracker;
        &mut self.held.get_or_insert_with(|| (number, tracker.lock(number))).1
    }

    /// Lets others have the shard that is held, and tells them what is gone.
    pub fn release(&mut self) {
        if let Some((_, mut shard)) = self.held.take() {
            let removed = std::mem::take(&mut shard.removed);
            drop(shard);
            if !removed.is_empty() {
                self.tracker.settle(removed);
            }
        }
    }

    /// Tells others what is gone, if anything is.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.held.as_ref().is_some_and(|(_, shard)| !shard.removed.is_empty()) {
            self.release();
        }
    }

    /// Finds the connection of a tuple: its shard, its place, and whether the tuple is its reply's.
    #[inline]
    pub(super) fn find(&mut self, tuple: &Tuple, hash: Hash, now: u64) -> Option<(usize, u32, bool)> {
        let number = self.tracker.shard_of(hash);
        match self.shard(number).find(tuple, hash, now) {
            Found::Here(place, reply) => Some((number, place, reply)),
            Found::Nothing => None,
            Found::Elsewhere(hashes) => {
                for original in hashes.into_iter().flatten() {
                    let number = self.tracker.shard_of(original);
                    if let Some(place) = self.shard(number).find_reply(tuple, original, now) {
                        return Some((number, place, true));
                    }
                }
                None
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.release();
    }
}
