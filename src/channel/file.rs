//! Descriptors that are not sockets: asyncore's `file_dispatcher` and `file_wrapper`.

use super::{
    Channel, Kind, State, make_nonblocking_and_cloexec, socket::errno_of, transfer::retry,
};
use asyncore_backends::Interest;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::{SFlag, fstat},
};
use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A channel for any descriptor: pipes, terminals, files (asyncore's `file_dispatcher`).
///
/// The descriptor is dup'ed, so the caller keeps the original; the duplicate is made non-blocking,
/// which the two share. On the channel, `recv` and `send` are `read(2)` and `write(2)`.
///
/// # Errors
///
/// Those of `dup(2)` and `fcntl(2)`.
///
/// # Examples
///
/// ```
/// use asyncore::file_dispatcher;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let channel = file_dispatcher(&reader)?;
/// std::io::Write::write_all(&mut writer, b"x")?;
/// assert_eq!(channel.recv(&mut [0; 8])?, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn file_dispatcher(fd: impl AsFd) -> io::Result<Channel> {
    Channel::new(FileWrapper::new(fd)?)
}

/// An owned duplicate of a descriptor, with `read(2)` and `write(2)` (asyncore's `file_wrapper`).
///
/// What is only borrowed cannot be watched: a reactor owns every descriptor in it. A wrapper is
/// how a borrowed one gets there. [`Channel::new`] takes it.
#[derive(Debug)]
pub struct FileWrapper {
    fd: OwnedFd,
}

impl FileWrapper {
    /// Duplicates `fd`, close-on-exec and non-blocking.
    ///
    /// Non-blocking is a property of the open file, so it holds for the original as well.
    ///
    /// # Errors
    ///
    /// Those of `dup(2)` and `fcntl(2)`.
    pub fn new(fd: impl AsFd) -> io::Result<Self> {
        let fd = retry(|| fd.as_fd().try_clone_to_owned().map_err(errno_of))?;
        make_nonblocking_and_cloexec(fd.as_fd())?;
        Ok(Self { fd })
    }
}

impl AsFd for FileWrapper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<FileWrapper> for OwnedFd {
    fn from(wrapper: FileWrapper) -> Self {
        wrapper.fd
    }
}

impl Read for FileWrapper {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(retry(|| nix::unistd::read(&self.fd, buffer))?)
    }
}

impl Write for FileWrapper {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(retry(|| nix::unistd::write(&self.fd, data))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a file was opened, and so what it can be watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// The write end of a pipe: readable means that the reader has gone.
    PipeWrite,
    Both,
}

impl Access {
    pub(super) fn possible(self) -> Interest {
        match self {
            Self::Read => Interest::READ | Interest::PRIORITY,
            Self::Write => Interest::WRITE,
            Self::PipeWrite => Interest::READ | Interest::WRITE,
            Self::Both => Interest::all(),
        }
    }
}

pub(super) fn channel(fd: OwnedFd) -> io::Result<Channel> {
    let mode = OFlag::from_bits_retain(retry(|| fcntl(&fd, FcntlArg::F_GETFL))?) & OFlag::O_ACCMODE;
    let access = if mode == OFlag::O_RDONLY {
        Access::Read
    } else if mode == OFlag::O_RDWR {
        Access::Both
    } else {
        let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFIFO { Access::PipeWrite } else { Access::Write }
    };
    Ok(Channel::with(fd, Kind::File(access), State::Connected, None))
}

impl Channel {
    /// Whether readable can mean nothing but that the other end has gone.
    pub(crate) fn readable_means_gone(&self) -> bool {
        self.kind == Kind::File(Access::PipeWrite)
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.kind, Kind::File(_)) && nix::unistd::isatty(self).unwrap_or(false)
    }
}
