//! What happens when the file behind a guest's memory is shortened while it is mapped.
//!
//! An access to what is gone raises SIGBUS, which would end the whole switch because of one tenant. The handler
//! puts private zeroed memory in place of the whole mapping instead: the guest that did it has lost its rings,
//! everybody else notices nothing. A fault at any other address goes to whoever handled it before.
//!
//! Invariants: the handler only reads atomics and calls `mmap` and `sigaction`, which may be called there. A mapping
//! is in the table before anybody has a pointer into it, and out of the table only when nobody has one.
//!
//! Costs: nothing until it happens. The table is bounded; mappings beyond it are unguarded.

use std::ffi::c_void;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Most mappings that are guarded.
const GUARDED: usize = 4096;

struct Range {
    /// Zero when the place is free.
    base: AtomicUsize,
    length: AtomicUsize,
}

static RANGES: [Range; GUARDED] =
    [const { Range { base: AtomicUsize::new(0), length: AtomicUsize::new(0) } }; GUARDED];
/// What handled the signal before: the address of a function, or SIG_DFL (0) or SIG_IGN (1).
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static REPLACED: AtomicU64 = AtomicU64::new(0);
static INSTALL: Once = Once::new();

/// How many mappings were replaced because their file was shortened, since the program started.
#[must_use]
pub fn replaced_mappings() -> u64 {
    REPLACED.load(Ordering::Relaxed)
}

/// Guards a mapping.
pub(super) fn guard(base: usize, length: usize) {
    INSTALL.call_once(install);
    for range in &RANGES {
        if range.base.load(Ordering::Relaxed) == 0
            && range.base.compare_exchange(0, base, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            range.length.store(length, Ordering::Release);
            return;
        }
    }
}

/// Ends the guarding of a mapping.
pub(super) fn forget(base: usize) {
    if let Some(range) = RANGES.iter().find(|range| range.base.load(Ordering::Relaxed) == base) {
        range.length.store(0, Ordering::Release);
        range.base.store(0, Ordering::Release);
    }
}

fn install() {
    // SAFETY: both structures are zeroed, which is a legal value, and filled as sigaction(2) wants them; the handler
    // keeps to what may be done in one. SA_ONSTACK leaves the handling of stack overflows as it was.
    #[allow(unsafe_code)]
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        if libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) == 0 {
            let flags = before.sa_flags;
            BEFORE.store(
                if flags & libc::SA_SIGINFO != 0 { before.sa_sigaction } else { libc::SIG_DFL },
                Ordering::Release,
            );
        }
    }
}

extern "C" fn handler(signal: i32, information: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid pointer, and for SIGBUS the address is set.
    #[allow(unsafe_code)]
    let address = unsafe { (*information).si_addr() } as usize;
    for range in &RANGES {
        let base = range.base.load(Ordering::Acquire);
        let length = range.length.load(Ordering::Acquire);
        if base != 0 && address.wrapping_sub(base) < length {
            // SAFETY: the range is a mapping of ours, and whoever has pointers into it expects that its contents
            // may change at any time.
            #[allow(unsafe_code)]
            let done = unsafe {
                libc::mmap(
                    base as *mut c_void,
                    length,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            if done != libc::MAP_FAILED {
                REPLACED.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
    let before = BEFORE.load(Ordering::Acquire);
    // SAFETY: what was there before is called the way the kernel would call it; otherwise the default comes back,
    // and the access that is made again ends the process as it should.
    #[allow(unsafe_code)]
    unsafe {
        if before > 1 {
            let before: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = std::mem::transmute(before);
            before(signal, information, context);
        } else {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
    }
}
