//! What the packet path does not do: allocate, and call the system. Both are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::front::{Guest, INDIRECT_DESC, MRG_RXBUF, OFFLOADS, Options, PACKED, PROTOCOL, VERSION_1};
use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is left to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What prctl(2) reads before each system call of the thread: 0 lets it pass, 1 sends SIGSYS instead.
static SELECTOR: AtomicU8 = AtomicU8::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn called(_: i32) {
    // The handler's own return is a system call, so calls pass again from here on.
    SELECTOR.store(0, Ordering::Relaxed);
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// Makes the thread's system calls count while the selector is 1; false where the kernel can't.
fn count_calls() -> bool {
    const SET_SYSCALL_USER_DISPATCH: i32 = 59;
    // SAFETY: the handler stores to atomics; the selector lives as long as the program.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGSYS, called as *const () as usize);
        libc::prctl(SET_SYSCALL_USER_DISPATCH, 1, 0, 0, SELECTOR.as_ptr()) == 0
    }
}

const WARM: usize = 3;

#[test]
fn neither_allocations_nor_system_calls() {
    let counts = count_calls();
    if !counts {
        println!("the kernel can't count system calls here: only allocations are counted");
    }
    for features in [0, OFFLOADS, PACKED] {
        let features = features | VERSION_1 | MRG_RXBUF | INDIRECT_DESC | PROTOCOL;
        let mut guest = Guest::new(Options { features, size: 128, ..Options::plain() });
        // The guest polls: it wants no interrupts.
        for ring in 0..2 {
            let place = guest.rings[ring].layout.driver;
            guest.memory.set(if features & PACKED == 0 { place } else { place + 2 }, 1);
        }
        let mut batch = Batch::new();
        let all: Vec<u8> = (0..32).collect();
        let (mut frames, mut allocations) = (0, 0);
        for round in 0..200 {
            while guest.give(0, &[1500], false) {}
            // Small ones, large ones and indirect ones.
            let frame = vec![1; if round % 3 == 0 { 60 } else { 1000 + round }];
            for _ in 0..32 {
                assert!(guest.transmit(0, &[], &frame, 700, round % 2 == 0));
            }
            let pair = &mut guest.pairs[0];
            let before = ALLOCATIONS.get();
            SELECTOR.store(u8::from(counts && round >= WARM), Ordering::Relaxed);
            let count = pair.from_guest.receive(&mut batch).unwrap();
            let sent = pair.to_guest.send(&batch, &all[..count]).unwrap();
            pair.to_guest.flush();
            pair.from_guest.complete();
            batch.clear();
            SELECTOR.store(0, Ordering::Relaxed);
            // The first rounds make the rings and the lists of a batch.
            if round >= WARM {
                allocations += ALLOCATIONS.get() - before;
                frames += sent;
            }
            assert_eq!((count, sent), (32, 32));
            guest.reclaim(0);
            while guest.received(0).is_some() {}
        }
        assert_eq!((frames, allocations, CALLS.load(Ordering::Relaxed)), (32 * (200 - WARM), 0, 0));
    }
    if counts {
        // The counting counts.
        SELECTOR.store(1, Ordering::Relaxed);
        let _ = rustix::process::getppid();
        SELECTOR.store(0, Ordering::Relaxed);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    }
}
