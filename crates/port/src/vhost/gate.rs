//! Who may use a ring: the worker that entered at the current version, and nobody else.
//!
//! Why it is right: the worker stores `busy` and then loads `version`; the session stores `version` and then loads
//! `busy`. One of the two must see the other's store, which needs a full barrier between store and load on both sides.
//! The worker must not pay for it, so the session's `membarrier` makes every running thread execute one:
//!
//! ```text
//! worker                          session
//! busy = true                     version = n + 1
//! (compiler barrier)              membarrier: a full barrier on both sides
//! v = version                     busy == false, or seen == n + 1: the worker can't be using version n
//! if v != mine: seen = v
//! use the ring
//! busy = false (release)
//! ```
//!
//! Without `membarrier` (forbidden in some containers, absent under loom and Miri) the worker executes a barrier itself.
//!
//! Costs: two stores and one load for each batch, in lines that nobody else writes.

#[cfg(not(loom))]
use super::moves::full_barrier;
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};

#[cfg(loom)]
fn full_barrier() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// The worker's side has lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct WorkerSide {
    busy: AtomicBool,
    seen: AtomicU64,
}

/// The gate of one ring, between one worker and one session.
#[derive(Debug)]
pub(super) struct Gate {
    version: AtomicU64,
    asymmetric: bool,
    worker: WorkerSide,
}

impl Gate {
    pub(super) fn new() -> Self {
        let worker = WorkerSide { busy: AtomicBool::new(false), seen: AtomicU64::new(0) };
        Self { version: AtomicU64::new(0), asymmetric: asymmetric(), worker }
    }

    /// The session has something new, and gives its version. To be called under the lock of what is new.
    pub(super) fn advance(&self) -> u64 {
        let version = self.version.load(Ordering::Relaxed) + 1;
        self.version.store(version, Ordering::SeqCst);
        version
    }

    /// The session's side of the barrier; between [`Gate::advance`] and the first [`Gate::is_quiet`].
    pub(super) fn barrier(&self) {
        full_barrier();
        if self.asymmetric {
            let done = membarrier(PRIVATE_EXPEDITED);
            debug_assert!(done);
            full_barrier();
        }
    }

    /// Whether nobody uses what was there before this version.
    pub(super) fn is_quiet(&self, version: u64) -> bool {
        !self.worker.busy.load(Ordering::Acquire) || self.worker.seen.load(Ordering::Acquire) >= version
    }

    /// The worker begins; true when there is another version than the one it knows.
    #[inline(always)]
    pub(super) fn enter(&self, known: u64) -> bool {
        self.worker.busy.store(true, Ordering::Relaxed);
        if self.asymmetric {
            #[cfg(not(loom))]
            compiler_fence(Ordering::SeqCst);
        } else {
            full_barrier();
        }
        self.version.load(Ordering::Acquire) != known
    }

    /// The worker moves on, and gives the version. To be called under the lock of what is new.
    pub(super) fn move_on(&self) -> u64 {
        let version = self.version.load(Ordering::Acquire);
        self.worker.seen.store(version, Ordering::Release);
        version
    }

    /// The worker is done.
    #[inline(always)]
    pub(super) fn leave(&self) {
        self.worker.busy.store(false, Ordering::Release);
    }
}

/// Whether the session's side pays for the barriers.
#[cfg(not(any(loom, miri)))]
fn asymmetric() -> bool {
    static ASYMMETRIC: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ASYMMETRIC.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED))
}

#[cfg(any(loom, miri))]
const fn asymmetric() -> bool {
    false
}

/// Commands of membarrier(2), linux/membarrier.h.
const PRIVATE_EXPEDITED: i32 = 1 << 3;
#[cfg(not(any(loom, miri)))]
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;

fn membarrier(command: i32) -> bool {
    // SAFETY: the call takes no pointers.
    #[allow(unsafe_code)]
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    result == 0
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Threads race; what one takes away, the other never uses afterwards.
    fn race(gate: &Gate, rounds: usize) {
        // What is handed over is a number; 0 says that it was taken back.
        let resources: Vec<_> = (0..=rounds).map(|_| AtomicUsize::new(1)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut known = 0;
                while (known as usize) < rounds {
                    if gate.enter(known) {
                        known = gate.move_on();
                    }
                    for _ in 0..50 {
                        assert_eq!(resources[known as usize].load(Ordering::Relaxed), 1);
                    }
                    gate.leave();
                }
            });
            for resource in resources.iter().take(rounds) {
                let version = gate.advance();
                gate.barrier();
                while !gate.is_quiet(version) {
                    std::hint::spin_loop();
                }
                resource.store(0, Ordering::Relaxed);
            }
        });
    }

    #[test]
    fn nobody_uses_what_was_taken_back() {
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        race(&Gate::new(), rounds);
        race(&Gate { asymmetric: false, ..Gate::new() }, rounds);
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    #[test]
    fn every_interleaving_of_a_worker_and_a_session() {
        loom::model(|| {
            let shared = Arc::new((Gate::new(), UnsafeCell::new(0_u32)));
            let worker = {
                let shared = shared.clone();
                loom::thread::spawn(move || {
                    for _ in 0..2 {
                        let (gate, ring) = &*shared;
                        if gate.enter(0) {
                            gate.move_on();
                        } else {
                            // SAFETY: loom checks that nobody writes meanwhile.
                            #[allow(unsafe_code)]
                            ring.with(|ring| unsafe { *ring });
                        }
                        gate.leave();
                    }
                })
            };
            let (gate, ring) = &*shared;
            let version = gate.advance();
            gate.barrier();
            if gate.is_quiet(version) {
                // SAFETY: loom checks that nobody reads meanwhile.
                #[allow(unsafe_code)]
                ring.with_mut(|ring| unsafe { *ring += 1 });
            }
            worker.join().unwrap();
        });
    }
}
