//! Every other system, through its libc.

use libc::c_int;

/// `ppoll(2)`, or `poll(2)` where there is none.
///
/// # Safety
///
/// `entries` is valid for reads and writes of `length` entries; `timeout` for reads, or null.
#[cfg(feature = "poll")]
#[inline]
pub(crate) unsafe fn ppoll(
    entries: *mut libc::pollfd,
    length: usize,
    timeout: *mut libc::timespec,
) -> isize {
    let length = length as libc::nfds_t;
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: by the caller; a null signal mask leaves the mask as it is.
    let count = unsafe { libc::ppoll(entries, length, timeout, std::ptr::null()) };
    #[cfg(target_vendor = "apple")]
    // SAFETY: by the caller.
    let count = unsafe { libc::poll(entries, length, in_millis(timeout.as_ref())) };
    told(count as isize)
}

/// Rounded up: a timeout below a millisecond must not become a busy loop.
#[cfg(all(feature = "poll", target_vendor = "apple"))]
fn in_millis(timeout: Option<&libc::timespec>) -> c_int {
    timeout.map_or(-1, |timeout| {
        let nanos = i128::from(timeout.tv_sec) * 1_000_000_000 + i128::from(timeout.tv_nsec);
        c_int::try_from(nanos.cast_unsigned().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    })
}

/// `pselect(2)`.
///
/// # Safety
///
/// Each set is valid for reads and writes of `nfds` bits in whole words, or null; `timeout` is valid
/// for reads, or null.
#[cfg(feature = "select")]
#[inline]
pub(crate) unsafe fn pselect(
    nfds: c_int,
    sets: [*mut libc::fd_set; 3],
    timeout: *mut libc::timespec,
) -> isize {
    let [read, write, priority] = sets;
    // SAFETY: by the caller; a null signal mask leaves the mask as it is.
    let count = unsafe { libc::pselect(nfds, read, write, priority, timeout, std::ptr::null()) };
    told(count as isize)
}

/// `recv(2)` without flags.
///
/// # Safety
///
/// `buffer` is valid for writes of `length` bytes.
#[inline]
pub(crate) unsafe fn recv(fd: c_int, buffer: *mut u8, length: usize) -> isize {
    // SAFETY: by the caller.
    told(unsafe { libc::recv(fd, buffer.cast(), length, 0) })
}

/// `send(2)`.
///
/// # Safety
///
/// `data` is valid for reads of `length` bytes.
#[inline]
pub(crate) unsafe fn send(fd: c_int, data: *const u8, length: usize, flags: c_int) -> isize {
    // SAFETY: by the caller.
    told(unsafe { libc::send(fd, data.cast(), length, flags) })
}

/// As the kernel says it.
#[inline]
fn told(returned: isize) -> isize {
    if returned >= 0 { returned } else { -(nix::errno::Errno::last_raw() as isize) }
}
