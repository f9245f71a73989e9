//! The remote handle: the only thing of a reactor that crosses threads.

use crate::{
    Channel, Context, Dispatcher,
    channel::{no_signal, retry},
};
use nix::sys::socket::send;
use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Wakes a reactor from another thread, or stops it.
///
/// Made by [`Reactor::remote`](crate::Reactor::remote); clones speak to the same reactor.
///
/// A handle is of the process that made it. After a `fork` it is refused in the child, and goes on
/// in the parent undisturbed; see [`Reactor`](crate::Reactor#after-a-fork).
#[derive(Debug, Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One byte here wakes the reactor; a full buffer will wake it, too.
    writer: OwnedFd,
    stop: AtomicBool,
    /// The process, as [`asyncore_backends::forks`] tells it from others.
    process: u32,
}

impl Remote {
    /// The handle, and the channel and dispatcher that hear it.
    pub(crate) fn new() -> io::Result<(Self, Channel, impl Dispatcher)> {
        let (reader, writer) = UnixStream::pair()?;
        let channel = Channel::new(reader)?;
        let writer = Channel::new(writer)?.into_fd()?;
        let process = asyncore_backends::forks();
        let shared = Arc::new(Shared { writer, stop: AtomicBool::new(false), process });
        Ok((Self { shared: Arc::clone(&shared) }, channel, Ear { shared }))
    }

    /// Whether the calling process is the one that made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.shared.is_ours()
    }

    /// Makes the wait that is under way return, or the next one.
    ///
    /// It never blocks, and wakes that come in quick succession count as one.
    ///
    /// # Errors
    ///
    /// * [`BrokenPipe`](io::ErrorKind::BrokenPipe): the reactor is gone.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): this process was forked from the one that made
    ///   the handle. Its copy of the reactor gives another.
    pub fn wake(&self) -> io::Result<()> {
        if !self.is_ours() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a remote handle from before the fork; ask the reactor for another",
            ));
        }
        match retry(|| send(self.shared.writer.as_raw_fd(), &[1], no_signal())) {
            // Full: a wake is pending.
            Ok(_) | Err(nix::Error::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes `run` return when its pass is over, or at once when it is called next.
    ///
    /// # Errors
    ///
    /// Those of [`wake`](Self::wake).
    pub fn stop(&self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        self.wake()
    }
}

impl Shared {
    fn is_ours(&self) -> bool {
        self.process == asyncore_backends::forks()
    }
}

/// The reactor's end.
struct Ear {
    shared: Arc<Shared>,
}

impl Dispatcher for Ear {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.shared.is_ours() {
            // What is here is for the parent to read; closing takes nothing from it.
            cx.close();
            return Ok(());
        }
        let mut wakes = [0; 1024];
        // Drained before the flag is read, so that no wake is lost.
        while cx.recv(&mut wakes).is_ok_and(|count| count == wakes.len()) {}
        if self.shared.stop.swap(false, Ordering::Acquire) {
            cx.stop();
        }
        Ok(())
    }
}
