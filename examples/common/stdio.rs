//! Standard input, output and error as channels, without an effect on whoever shares them.

use asyncore::Channel;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::{SFlag, fstat},
    unistd::{dup2_stdin, dup2_stdout},
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

/// Takes over the standard descriptors, and gives them back as they were when it is dropped.
///
/// A channel is non-blocking, and that is a property of the open file: of the terminal, which the
/// shell has open as well, or of the pipe that a whole group of programs writes to. They would fail
/// with `EAGAIN`, or be given back what another one found. So terminals and pipes are opened anew,
/// and the new ones are nobody else's. If that cannot be done, the flags are put back at the end.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    changed: Vec<(OwnedFd, OFlag)>,
}

impl Stdio {
    /// Standard input. Its number is `/dev/null` from here on, so that who writes to us is told
    /// when the channel closes, and not when the program ends.
    pub(crate) fn stdin(&mut self) -> io::Result<Channel> {
        let channel = self.take(io::stdin(), OFlag::O_RDONLY)?;
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(channel)
    }

    /// Standard output, likewise.
    pub(crate) fn stdout(&mut self) -> io::Result<Channel> {
        let channel = self.take(io::stdout(), OFlag::O_WRONLY)?;
        dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        Ok(channel)
    }

    /// Standard error. It is still there to complain to.
    pub(crate) fn stderr(&mut self) -> io::Result<Channel> {
        self.take(io::stderr(), OFlag::O_WRONLY)
    }

    fn take(&mut self, fd: impl AsFd, access: OFlag) -> io::Result<Channel> {
        if let Some(own) = open_anew(&fd, access) {
            return Channel::new(own);
        }
        let fd = fd.as_fd().try_clone_to_owned()?;
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        let channel = asyncore::file_dispatcher(&fd)?;
        self.changed.push((fd, flags));
        Ok(channel)
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        for (fd, flags) in &self.changed {
            let _ = fcntl(fd, FcntlArg::F_SETFL(*flags));
        }
    }
}

/// A second, independent opening of a terminal or a pipe. Of other files it would not be the same:
/// it had its own place in the file, or was another connection.
#[cfg(target_os = "linux")]
fn open_anew(fd: &impl AsFd, access: OFlag) -> Option<OwnedFd> {
    use nix::{fcntl::open, sys::stat::Mode};
    use std::{fs::read_link, os::fd::AsRawFd};

    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let kind = SFlag::from_bits_truncate(fstat(fd).ok()?.st_mode) & SFlag::S_IFMT;
    let is_pipe = kind == SFlag::S_IFIFO;
    // The master of a terminal would become the master of another.
    let is_terminal = || {
        nix::unistd::isatty(fd) == Ok(true)
            && read_link(&link).is_ok_and(|path| !path.ends_with("ptmx"))
    };
    if !is_pipe && !is_terminal() {
        return None;
    }
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(&*link, flags, Mode::empty()).ok()
}

/// Elsewhere `/dev/fd` gives the same opening once more.
#[cfg(not(target_os = "linux"))]
fn open_anew(_: &impl AsFd, _: OFlag) -> Option<OwnedFd> {
    None
}
