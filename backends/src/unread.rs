//! `FIONREAD`: how much there is to read.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// How many bytes wait to be read from a pipe, a terminal, a socket or a file.
///
/// # Errors
///
/// The system call's: `ENOTTY` where the descriptor is of a kind that does not know.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to which the pointer is valid; the descriptor is open while
    // it is borrowed.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(usize::try_from(count).unwrap_or(0))
    }
}
