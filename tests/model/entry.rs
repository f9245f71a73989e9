//! One line of the log that the model predicts and both reactors write.

use nix::errno::Errno;
use std::io;

/// Who, what, and what came of it. Nobody is the reactor itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u32, pub(crate) &'static str, pub(crate) Outcome);

pub(crate) type Outcome = Result<usize, Fault>;

/// An error, made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Errno(Errno),
    Kind(io::ErrorKind),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Self::Kind(io::ErrorKind::WouldBlock),
            errno => Self::Errno(errno),
        }
    }
}

impl From<&io::Error> for Fault {
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Errno::from_raw(errno).into(),
            None => Self::Kind(error.kind()),
        }
    }
}

pub(crate) fn outcome(result: &io::Result<usize>) -> Outcome {
    result.as_ref().map(|count| *count).map_err(Fault::from)
}
