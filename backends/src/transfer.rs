//! `recv(2)` and `send(2)`, inlined into who calls them.
//!
//! A processor predicts where a function returns to, and a system call makes Linux erase what it
//! knows, against attacks. Each function that is under way during the call returns at the price of
//! a wrong guess then, which is a few nanoseconds; on the path of every message there are as few of
//! them as possible.

use crate::syscall;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Reads from a socket what is there.
///
/// # Errors
///
/// Those of `recv(2)`, except for `EINTR`: it is called again then.
#[inline]
pub fn recv(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: the pointer and the length are those of one exclusively borrowed slice of bytes.
        unsafe { syscall::recv(socket.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) }
    })
}

/// Sends to a socket what it takes now, without `SIGPIPE` where the system has a flag for that.
///
/// # Errors
///
/// Those of `send(2)`, except for `EINTR`: it is called again then.
#[inline]
pub fn send(socket: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: the pointer and the length are those of one borrowed slice of bytes.
        unsafe { syscall::send(socket.as_raw_fd(), data.as_ptr(), data.len(), NO_SIGNAL) }
    })
}

#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// Sockets are made with `SO_NOSIGPIPE` there.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: libc::c_int = 0;

/// The loop is out of line: inlined, it would have its registers saved for every call.
#[inline(always)]
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    let returned = call();
    if returned >= 0 { Ok(returned as usize) } else { unless_interrupted(returned, call) }
}

/// What came of a call that failed; of the last one, if it was interrupted.
#[cold]
fn unless_interrupted(mut returned: isize, mut call: impl FnMut() -> isize) -> io::Result<usize> {
    while returned == -(libc::EINTR as isize) {
        returned = call();
    }
    syscall::outcome(returned)
}
