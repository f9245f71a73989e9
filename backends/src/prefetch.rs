//! Memory that will be needed soon.

/// Has the processor fetch the beginning of `value` into its caches while it does something else.
///
/// A hint: nothing happens where it cannot be given.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a prefetch takes any address, and what it fetches cannot be observed.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            // A line has 64 bytes. It may begin near the end of one, so the next is fetched too.
            _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(63));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
