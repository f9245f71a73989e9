//! `select(2)` and `poll(2)` behind one small trait: the kernel's door of `asyncore-rs`.
//!
//! A [`Backend`] watches descriptors by number and knows nothing else: no sockets, no callbacks,
//! no time but the length of one wait. Its tables live as long as it does; changing an interest is
//! a store, and a wait allocates nothing once the tables have grown.
//!
//! ```
//! # #[cfg(feature = "poll")] {
//! use asyncore_backends::{Backend, Interest, Poll, Readiness};
//! use std::{io::Write, os::fd::AsRawFd, os::unix::net::UnixStream, time::Duration};
//!
//! let (reader, mut writer) = UnixStream::pair()?;
//! let mut backend = Poll::new();
//! backend.add(reader.as_raw_fd(), Interest::READ)?;
//! writer.write_all(b"x")?;
//!
//! let mut ready = Vec::new();
//! backend.wait(Some(Duration::from_secs(1)), &mut ready)?;
//! assert_eq!(ready[0].fd, reader.as_raw_fd());
//! assert_eq!(ready[0].readiness, Readiness::READ);
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Both backends say the same
//!
//! The kernel tells `poll` more than `select`. What a backend reports is what `select` can see:
//!
//! | the kernel's poll event | reported as, where it is wanted |
//! |---|---|
//! | `POLLIN`, `POLLHUP`, `POLLERR` | [`Readiness::READ`] |
//! | `POLLOUT`, `POLLERR` | [`Readiness::WRITE`] |
//! | `POLLPRI` | [`Readiness::PRIORITY`] |
//! | `POLLNVAL`; `EBADF` of `select` | [`Readiness::INVALID`], always |
//!
//! So a hang-up is a readable descriptor whose read tells what happened. [`Poll`] adds
//! [`Readiness::HANG_UP`] and [`Readiness::ERROR`] to what it reports anyway; they are a hint, and
//! code that has to run on both backends does not depend on them.
#![cfg_attr(
    not(all(feature = "poll", feature = "select")),
    allow(rustdoc::broken_intra_doc_links, reason = "the page speaks of both backends")
)]

mod accept;
mod bet;
mod calls;
mod cold_share;
mod deadline;
#[cfg(feature = "select")]
mod fd_set;
mod fork;
mod grow;
mod hot_set;
#[cfg(feature = "poll")]
mod poll;
mod prefetch;
#[cfg(feature = "select")]
mod select;
mod syscall;
mod transfer;
mod unread;

pub use accept::accept;
pub use calls::Calls;
pub use fork::forks;
pub use grow::reserve;
pub use hot_set::{HotSet, Scan};
#[cfg(feature = "poll")]
pub use poll::Poll;
pub use prefetch::prefetch;
#[cfg(feature = "select")]
pub use select::Select;
pub use transfer::{recv, send};
pub use unread::unread;

use std::{fmt, io, os::fd::RawFd, time::Duration};

bitflags::bitflags! {
    /// What a descriptor is watched for.
    ///
    /// Nothing at all is allowed: the descriptor stays known and costs the kernel nothing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Interest: u8 {
        /// Data, a connection to accept, end of file, a hang-up or an error (`POLLIN`, `readfds`).
        const READ = 1;
        /// Room to write, a finished connect, or an error (`POLLOUT`, `writefds`).
        const WRITE = 1 << 1;
        /// Out-of-band data (`POLLPRI`, `exceptfds`).
        const PRIORITY = 1 << 2;
    }
}

bitflags::bitflags! {
    /// What the kernel reported of a descriptor.
    ///
    /// `READ`, `WRITE` and `PRIORITY` have the bits of [`Interest`], and are never reported
    /// unless they are wanted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Readiness: u8 {
        /// A read will not block; it may return end of file or an error.
        const READ = Interest::READ.bits();
        /// A write will not block; it may return an error.
        const WRITE = Interest::WRITE.bits();
        /// Out-of-band data is there.
        const PRIORITY = Interest::PRIORITY.bits();
        /// The other end is gone (`POLLHUP`). A hint: `select` cannot tell.
        const HANG_UP = 1 << 3;
        /// An error is pending (`POLLERR`). A hint: `select` cannot tell.
        const ERROR = 1 << 4;
        /// The number is not an open descriptor (`POLLNVAL`, `EBADF`). It is no longer watched.
        const INVALID = 1 << 5;
    }
}

impl Readiness {
    /// The part of this readiness that `interest` asked for.
    #[must_use]
    pub const fn wanted(self, interest: Interest) -> Self {
        self.intersection(Self::from_bits_retain(interest.bits()))
    }
}

/// One ready descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The descriptor's number.
    pub fd: RawFd,
    /// What it is ready for; never empty.
    pub readiness: Readiness,
}

impl Event {
    /// Whether its number is no longer an open descriptor.
    #[must_use]
    #[inline]
    pub fn is_invalid(&self) -> bool {
        self.readiness.contains(Readiness::INVALID)
    }

    /// Whether one of `events` [is](Self::is_invalid) of that kind.
    #[must_use]
    #[inline]
    pub fn any_invalid(events: &[Self]) -> bool {
        // Without a branch for each: there is next to never one.
        let all = events.iter().fold(Readiness::empty(), |all, event| all | event.readiness);
        all.contains(Readiness::INVALID)
    }
}

/// A set of descriptors and the one system call that waits on them.
///
/// A backend deals in numbers: it neither owns nor closes a descriptor. Its owner calls
/// [`remove`](Self::remove) before the next [`wait`](Self::wait).
pub trait Backend: fmt::Debug + Default {
    /// The system call's name: `"poll"` or `"select"`.
    const NAME: &'static str;

    /// The first descriptor number that is too large for this backend, if there is one.
    ///
    /// `Some(1024)` for `select` where the kernel's sets have a fixed size; `None` on Linux.
    const FD_LIMIT: Option<RawFd>;

    /// Starts to watch `fd`.
    ///
    /// # Errors
    ///
    /// * `EBADF`: the number is negative.
    /// * [`AlreadyExists`](io::ErrorKind::AlreadyExists): the number is watched.
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): the number is not below
    ///   [`FD_LIMIT`](Self::FD_LIMIT).
    /// * [`OutOfMemory`](io::ErrorKind::OutOfMemory): the tables cannot grow.
    ///
    /// After an error nothing has changed.
    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()>;

    /// Replaces what `fd` is watched for: a store, no system call. Nothing happens if `fd` is not
    /// watched.
    fn modify(&mut self, fd: RawFd, interest: Interest);

    /// Stops to watch `fd`. Nothing happens if it is not watched.
    fn remove(&mut self, fd: RawFd);

    /// Waits until a watched descriptor is ready or `timeout` has passed; `None` waits for ever.
    ///
    /// `ready` is replaced by what is ready, in ascending order of the descriptors, each once. It
    /// is empty only if the timeout has passed, and that is never early: the clock is monotonic,
    /// the resolution that of the system call (nanoseconds where there is `ppoll` or `pselect`),
    /// an interrupted call (`EINTR`) goes on with what is left, and a timeout longer than the
    /// kernel takes is waited for in parts.
    ///
    /// A number that is no longer an open descriptor is reported once as
    /// [`Readiness::INVALID`] and forgotten; the others are served in the same call. One that the
    /// process never had, and that is higher than all it ever had, `select` reports only when the
    /// wait ends: Linux does not look at it.
    ///
    /// # Errors
    ///
    /// What the system call says besides: `ENOMEM`, or `EINVAL` if the process set its
    /// `RLIMIT_NOFILE` to 0. Nothing was lost, and a later call may succeed.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()>;

    /// Looks at some of the watched descriptors, without waiting.
    ///
    /// What is ready of about `most` descriptors from `position` on is added to `ready`, in no
    /// order. Returns the position of those that follow, which means something to this backend
    /// only, and is 0 when it was the last part: whoever begins with 0 and goes on until 0 comes
    /// back has looked at each that was watched all the while.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    fn look(&mut self, position: usize, most: usize, ready: &mut Vec<Event>) -> io::Result<usize>;

    /// How much the kernel was asked so far; nothing, for a backend that does not count.
    fn calls(&self) -> Calls {
        Calls::default()
    }
}

/// Whether a backend whose [`Backend::FD_LIMIT`] is `limit` can watch the number `fd`.
///
/// # Errors
///
/// Those that [`Backend::add`] has for such a number.
pub fn check_fd(fd: RawFd, limit: Option<RawFd>) -> io::Result<()> {
    match limit {
        _ if fd < 0 => Err(io::Error::from_raw_os_error(libc::EBADF)),
        Some(limit) if fd >= limit => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "descriptor {fd} is too large for select on this system, which takes 0 to {}; \
                 use poll",
                limit - 1
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(any(feature = "poll", feature = "select"))]
fn already_watched(fd: RawFd) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("descriptor {fd} is watched already"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_a_fixed_limit_is_refused_with_a_clear_error() {
        assert!(check_fd(1023, Some(1024)).is_ok());
        assert!(check_fd(1 << 20, None).is_ok());
        let error = check_fd(1024, Some(1024)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1024"), "{error}");
        assert_eq!(check_fd(-1, None).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
