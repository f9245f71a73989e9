//! What every peer can do: the trait that all adapters implement and all work is written against.

use crate::work::Work;
use nix::sys::socket::{MsgFlags, recv, send};
use std::{
    cell::RefCell,
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    rc::Rc,
    str::FromStr,
};

/// The work, which callbacks share with whoever runs the loop.
pub(crate) type Shared = Rc<RefCell<dyn Work>>;

/// The system call that a peer waits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Poll,
    Select,
    Epoll,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Select => "select",
            Self::Epoll => "epoll",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Poll, Self::Select, Self::Epoll];
        let found = all.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| format!("{name:?} is not poll, select or epoll"))
    }
}

/// What a descriptor is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Read,
    /// One readiness. Who cannot stop by itself is told [`Nothing`](Self::Nothing) afterwards.
    ReadOnce,
    ReadWrite,
}

impl Interest {
    pub(crate) fn reads(self) -> bool {
        self != Self::Nothing
    }

    pub(crate) fn writes(self) -> bool {
        self == Self::ReadWrite
    }
}

/// How long one pass may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    UntilReady,
    /// Looks, and does not wait.
    Probe,
}

impl Wait {
    /// As poll and epoll take it.
    pub(crate) fn millis(self) -> i32 {
        if self == Self::Probe { 0 } else { -1 }
    }
}

/// A reactor, and what it watches by token.
///
/// A peer's tokens are small and dense. [`Work::ready`] is called with those that can be read.
pub(crate) trait Peer: Sized {
    /// What it takes to watch a descriptor, made before anything is timed.
    type Source;

    /// How many bytes the adapter itself keeps for each descriptor, which are not the peer's.
    const OWN: usize;

    fn new(work: Shared, method: Method) -> io::Result<Self>;

    fn source(fd: OwnedFd) -> io::Result<Self::Source>;

    fn add(&mut self, token: usize, source: Self::Source, interest: Interest) -> io::Result<()>;

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()>;

    /// `None` if the peer itself has closed it.
    fn remove(&mut self, token: usize) -> io::Result<Option<Self::Source>>;

    /// One pass: one wait, and [`Work::ready`] for all that it found.
    fn wait(&mut self, wait: Wait) -> io::Result<()>;
}

/// What an allocation of `T` takes of the heap: glibc's malloc has a word of its own.
pub(crate) const fn allocated<T>() -> usize {
    (size_of::<T>() + size_of::<usize>()).next_multiple_of(16)
}

/// What work may do with the descriptor that is ready.
pub(crate) trait Io {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&mut self, data: &[u8]) -> io::Result<usize>;
}

/// For peers that leave reading and writing to the user.
impl Io for RawFd {
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(*self, buffer, MsgFlags::empty())?)
    }

    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(send(*self, data, MsgFlags::MSG_NOSIGNAL)?)
    }
}

/// Token to descriptor, for peers that do not own what they watch.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Option<OwnedFd>>);

impl Sources {
    /// What each takes.
    pub(crate) const EACH: usize = size_of::<Option<OwnedFd>>();

    pub(crate) fn insert(&mut self, token: usize, fd: OwnedFd) {
        if token >= self.0.len() {
            self.0.resize_with(token + 1, || None);
        }
        self.0[token] = Some(fd);
    }

    pub(crate) fn take(&mut self, token: usize) -> Option<OwnedFd> {
        self.0.get_mut(token)?.take()
    }

    pub(crate) fn get(&self, token: usize) -> BorrowedFd<'_> {
        self.0[token].as_ref().expect("the token is in use").as_fd()
    }

    pub(crate) fn raw(&self, token: usize) -> RawFd {
        self.get(token).as_raw_fd()
    }
}
