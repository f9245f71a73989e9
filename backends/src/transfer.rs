//! `recv(2)` and `send(2)`, inlined into who calls them.
//!
//! A processor predicts where a function returns to, and a system call makes Linux erase what it
//! knows, against attacks. Each function that is under way during the call returns at the price of
//! a wrong guess then, which is a few nanoseconds; on the path of every message there are as few of
//! them as possible.

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
    loop {
        // SAFETY: the pointer and the length are those of one exclusively borrowed slice of bytes.
        let count =
            unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if let Some(result) = outcome(count) {
            return result;
        }
    }
}

/// Sends to a socket what it takes now, without `SIGPIPE` where the system has a flag for that.
///
/// # Errors
///
/// Those of `send(2)`, except for `EINTR`: it is called again then.
#[inline]
pub fn send(socket: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the pointer and the length are those of one borrowed slice of bytes.
        let count =
            unsafe { libc::send(socket.as_raw_fd(), data.as_ptr().cast(), data.len(), NO_SIGNAL) };
        if let Some(result) = outcome(count) {
            return result;
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// Sockets are made with `SO_NOSIGPIPE` there.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: libc::c_int = 0;

#[inline]
fn outcome(count: libc::ssize_t) -> Option<io::Result<usize>> {
    match usize::try_from(count) {
        Ok(count) => Some(Ok(count)),
        Err(_) => failure().map(Err),
    }
}

/// `None` for `EINTR`.
#[cold]
fn failure() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    (error.kind() != io::ErrorKind::Interrupted).then_some(error)
}
