//! Moving octets between a batch and memory that others write too, and telling the processor what comes next.
//!
//! Invariants: nothing here reads or writes outside the ranges it is given. The other side may change the source
//! of a copy while it is copied; then the copy is torn and nothing depends on its contents.
//!
//! Costs: frames of common lengths move by fixed blocks of 64 octets, of which the last two may overlap, so that
//! there is neither a call of `memcpy` nor a loop over single octets.

/// Copies a block of a fixed size.
///
/// # Safety
/// `from` must be readable and `to` writable for `N` octets, and they must not overlap.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn block<const N: usize>(from: *const u8, to: *mut u8) {
    // SAFETY: as the caller promises.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<[u8; N]>(), to.cast::<[u8; N]>(), 1) }
}

/// Copies `length` octets; quick for what fits a head.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` octets, and they must not overlap.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn copy_small(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: every block below starts and ends within the first `length` octets.
    unsafe {
        if length >= 64 {
            let mut at = 0;
            while at + 64 <= length {
                block::<64>(from.add(at), to.add(at));
                at += 64;
            }
            if at != length {
                block::<64>(from.add(length - 64), to.add(length - 64));
            }
        } else if length >= 32 {
            block::<32>(from, to);
            block::<32>(from.add(length - 32), to.add(length - 32));
        } else if length >= 16 {
            block::<16>(from, to);
            block::<16>(from.add(length - 16), to.add(length - 16));
        } else {
            for at in 0..length {
                block::<1>(from.add(at), to.add(at));
            }
        }
    }
}

/// Copies any number of octets.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` octets, and they must not overlap.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        if length <= 256 {
            copy_small(from, to, length);
        } else {
            std::ptr::copy_nonoverlapping(from, to, length);
        }
    }
}

/// Says that a cache line will be read soon. Any address is fine.
#[inline(always)]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[allow(unsafe_code)]
    // SAFETY: a prefetch is a hint that accesses nothing and faults on no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = at;
}

/// Says that a cache line will be written soon. Any address is fine.
#[inline(always)]
pub(super) fn prefetch_to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[allow(unsafe_code)]
    // SAFETY: `prefetchw` is a hint that accesses nothing and faults on no address; processors that do not know it
    // take it for a `nop`.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = at;
}

/// A full barrier: stores before it are seen by others before loads after it are made.
#[inline(always)]
pub(super) fn full_barrier() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[allow(unsafe_code)]
    // SAFETY: adds zero to an octet of this thread's own stack (below the red zone, whose value stays as it is).
    // A locked instruction is a full barrier, and quicker than `mfence`.
    unsafe {
        std::arch::asm!("lock add dword ptr [rsp - 132], 0");
    }
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_length_stay_inside() {
        let source: Vec<u8> = (0..=255_u8).cycle().take(700).collect();
        for length in 0..600 {
            let mut target = vec![0xee; length + 32];
            // SAFETY: the source has 700 octets from 7 on, the target has `length` from 16 on.
            #[allow(unsafe_code)]
            unsafe {
                copy(source.as_ptr().add(7), target.as_mut_ptr().add(16), length);
            }
            assert_eq!(&target[16..16 + length], &source[7..7 + length]);
            assert!(target[..16].iter().chain(&target[16 + length..]).all(|octet| *octet == 0xee));
        }
    }

    #[test]
    fn hints_take_any_address() {
        prefetch(std::ptr::null::<u8>());
        prefetch_to_write(usize::MAX as *const u8);
        full_barrier();
    }
}
