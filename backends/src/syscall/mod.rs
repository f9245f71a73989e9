//! The system calls of every pass and of every message. They return what the kernel returns: a
//! count, or `-errno`.
//!
//! Linux on x86-64 is called in place. libc's functions for these calls are cancellation points: in
//! a program that has threads, glibc's execute two atomic instructions in each call, to say that
//! the thread may be cancelled meanwhile, which no Rust program asks for. And in every program they
//! are one more function to return from after the call; see [`transfer`](crate::transfer).
//!
//! Elsewhere, and with `--cfg asyncore_libc`, it is libc that is called.

#[cfg_attr(
    all(
        target_os = "linux",
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(asyncore_libc)
    ),
    path = "in_place.rs"
)]
#[cfg_attr(
    not(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(asyncore_libc)
    )),
    path = "by_libc.rs"
)]
mod functions;

pub(crate) use functions::*;

use std::io;

/// What the kernel returned, as the rest of the program knows it.
#[inline]
pub(crate) fn outcome(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::from_raw_os_error(-returned as i32))
}
