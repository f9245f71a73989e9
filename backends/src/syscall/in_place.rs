//! Linux on x86-64, called in place.

use libc::c_int;
use std::arch::asm;

/// `ppoll(2)`, which leaves in `timeout` what is left of it.
///
/// # Safety
///
/// `entries` is valid for reads and writes of `length` entries; `timeout` likewise, or null.
#[cfg(feature = "poll")]
#[inline(always)]
pub(crate) unsafe fn ppoll(
    entries: *mut libc::pollfd,
    length: usize,
    timeout: *mut libc::timespec,
) -> isize {
    let arguments = [entries as usize, length, timeout as usize, 0, 0, 0];
    // SAFETY: by the caller; without a signal mask the mask stays as it is.
    unsafe { call(libc::SYS_ppoll, arguments) }
}

/// `pselect(2)`, which leaves in `timeout` what is left of it.
///
/// # Safety
///
/// Each set is valid for reads and writes of `nfds` bits in whole words, or null; `timeout` is valid
/// for reads and writes, or null.
#[cfg(feature = "select")]
#[inline(always)]
pub(crate) unsafe fn pselect(
    nfds: c_int,
    sets: [*mut libc::fd_set; 3],
    timeout: *mut libc::timespec,
) -> isize {
    let [read, write, priority] = sets.map(|set| set as usize);
    // SAFETY: by the caller; without a signal mask the mask stays as it is.
    unsafe { call(libc::SYS_pselect6, [nfds as usize, read, write, priority, timeout as usize, 0]) }
}

/// `recv(2)` without flags.
///
/// # Safety
///
/// `buffer` is valid for writes of `length` bytes.
#[inline(always)]
pub(crate) unsafe fn recv(fd: c_int, buffer: *mut u8, length: usize) -> isize {
    // SAFETY: by the caller; where the bytes came from is written nowhere.
    unsafe { call(libc::SYS_recvfrom, [fd as usize, buffer as usize, length, 0, 0, 0]) }
}

/// `send(2)`.
///
/// # Safety
///
/// `data` is valid for reads of `length` bytes.
#[inline(always)]
pub(crate) unsafe fn send(fd: c_int, data: *const u8, length: usize, flags: c_int) -> isize {
    // SAFETY: by the caller; the destination is that of the socket.
    unsafe { call(libc::SYS_sendto, [fd as usize, data as usize, length, flags as usize, 0, 0]) }
}

/// # Safety
///
/// The arguments are what the system call `number` takes.
#[inline(always)]
unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let returned;
    // SAFETY: these are the registers of Linux's convention; the two that a call does not preserve
    // are given up, and it touches no stack of ours. What it does to memory is by the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}
