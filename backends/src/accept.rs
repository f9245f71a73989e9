//! `accept(2)` with everything at once: the socket, its flags and the peer's address.

use nix::sys::socket::{SockaddrLike, SockaddrStorage};
use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// Accepts one connection: non-blocking, close-on-exec, with the address that the kernel gave.
///
/// One system call where there is `accept4`. The address is that of `accept` itself: asking for it
/// afterwards fails where the peer is gone already. It is `None` where the family is one that
/// `nix` does not know.
///
/// # Errors
///
/// The system call's, `EINTR` and `EAGAIN` included.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SockaddrStorage>)> {
    // SAFETY: a sockaddr_storage of zeros is a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let address = (&raw mut storage).cast::<libc::sockaddr>();
    let fd = accept4(listener, address, &mut length)?;
    // The kernel may count bytes that it did not write: of an address that was truncated, and one
    // for the end of a Unix path that has no room for it.
    let room = match libc::c_int::from(storage.ss_family) {
        libc::AF_UNIX => size_of::<libc::sockaddr_un>(),
        _ => size_of::<libc::sockaddr_storage>(),
    };
    let length = length.min(room as libc::socklen_t);
    // SAFETY: `address` points to a sockaddr_storage, of which `length` bytes at the most are read.
    let peer = unsafe { SockaddrStorage::from_raw(address, Some(length)) };
    Ok((fd, peer))
}

#[cfg(not(target_vendor = "apple"))]
fn accept4(
    listener: BorrowedFd<'_>,
    address: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `address` points to `*length` writable bytes; the listener is open while borrowed.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just opened `fd` for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(target_vendor = "apple")]
fn accept4(
    listener: BorrowedFd<'_>,
    address: *mut libc::sockaddr,
    length: &mut libc::socklen_t,
) -> io::Result<OwnedFd> {
    // SAFETY: `address` points to `*length` writable bytes; the listener is open while borrowed.
    let fd = unsafe { libc::accept(listener.as_raw_fd(), address, length) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just opened `fd` for us, so nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the fcntl commands take an int and touch no memory of ours; SO_NOSIGPIPE takes an
    // int, whose address and size are given.
    unsafe {
        let one: libc::c_int = 1;
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const one).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
    Ok(fd)
}
