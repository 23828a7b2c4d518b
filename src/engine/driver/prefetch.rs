//! Memory asked for before it is needed. Between two completions of a connection the kernel's network
//! stack goes through the caches, so what is known of the connection comes from far away; asked for a
//! few completions ahead it is there in time.

#![allow(unsafe_code)]

/// What is fetched at once.
const LINE_BYTES: usize = 64;

/// Asks for the first `lines` cache lines of something.
#[inline(always)]
pub fn prefetch<T: ?Sized>(what: &T, lines: usize) {
    prefetch_at((&raw const *what).cast(), lines);
}

/// The same by its address, which need not be valid.
#[inline(always)]
pub(super) fn prefetch_at(start: *const u8, lines: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint: it reads nothing that the program sees, and an address that is not mapped
        // is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE_BYTES).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, lines);
}
