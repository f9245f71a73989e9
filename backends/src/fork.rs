//! `pthread_atfork(3)`: whether this process is the fork of another.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering::Relaxed},
};

static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count() {
    FORKS.fetch_add(1, Relaxed);
}

/// A number that another process has if it was forked from this one after the first call, or this
/// one from it.
///
/// There is no system call in it. A child that was made by `clone(2)` itself is not noticed.
pub fn forks() -> u32 {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        // SAFETY: the handler lives as long as the program and does not unwind. It does nothing but
        // one atomic addition, which is allowed in the child of a process with threads.
        // An error is a want of memory; then forks go unnoticed.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    });
    FORKS.load(Relaxed)
}
