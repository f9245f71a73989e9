//! The remote handle: the only thing of a reactor that crosses threads.

use crate::{
    Channel, Context, Dispatcher, Key, Scope,
    channel::{no_signal, retry},
    dispatch,
    map::Map,
};
use nix::{errno::Errno, sys::socket::send};
use std::{
    collections::{BTreeSet, VecDeque},
    error::Error,
    fmt, io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Speaks to a reactor from other threads: wakes it, has it run something, or stops it.
///
/// Made by [`Reactor::remote`](crate::Reactor::remote); clones speak to the same reactor. None of
/// its methods blocks, however many wakes are pending.
///
/// A handle is of the process that made it. After a `fork` it is refused in the child, and goes on
/// in the parent undisturbed; see [`Reactor`](crate::Reactor#after-a-fork).
#[derive(Debug, Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One byte here wakes the reactor.
    writer: OwnedFd,
    /// A byte is on its way, so that another is not needed.
    woken: AtomicBool,
    gone: AtomicBool,
    stop: AtomicBool,
    posts: Mutex<Posts>,
    /// The process, as [`asyncore_backends::forks`] tells it from others.
    process: u32,
}

/// What was posted.
#[derive(Default)]
pub(crate) struct Posts {
    /// The keys to be notified, each once.
    notified: BTreeSet<(RawFd, u32, u64)>,
    callbacks: VecDeque<Callback>,
}

type Callback = Box<dyn FnOnce(&mut Scope<'_>) + Send>;

impl Remote {
    /// The handle, and the channel and dispatcher that hear it.
    pub(crate) fn new() -> io::Result<(Self, Channel, impl Dispatcher)> {
        let (reader, writer) = UnixStream::pair()?;
        let channel = Channel::new(reader)?;
        channel.set_urgent(true);
        let shared = Arc::new(Shared {
            writer: Channel::new(writer)?.into_fd()?,
            woken: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            posts: Mutex::default(),
            process: asyncore_backends::forks(),
        });
        Ok((Self { shared: Arc::clone(&shared) }, channel, Ear { shared }))
    }

    /// Whether the calling process is the one that made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.shared.is_ours()
    }

    /// Makes the wait that is under way return, or the next one.
    ///
    /// Wakes that come before the reactor has heard the first of them count as one. A signal
    /// handler may call this: it takes no lock, allocates nothing unless it fails, and leaves
    /// `errno` as it is.
    ///
    /// # Errors
    ///
    /// * [`BrokenPipe`](io::ErrorKind::BrokenPipe): the reactor is gone.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): this process was forked from the one that
    ///   made the handle. Its copy of the reactor gives another.
    pub fn wake(&self) -> io::Result<()> {
        self.shared.check()?;
        self.shared.wake()
    }

    /// Makes `run` return when its pass is over, or at once when it is called next. A signal
    /// handler may call this, as [`wake`](Self::wake).
    ///
    /// # Errors
    ///
    /// Those of [`wake`](Self::wake).
    pub fn stop(&self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        self.wake()
    }

    /// Has the reactor call `callback` on its own thread, in this pass or the next, after the
    /// channels that are ready.
    ///
    /// Callbacks run in the order in which they were posted, by one thread at least. What they post
    /// runs in the next pass. A reactor that has no channel waits for them in
    /// [`run_forever`](crate::Reactor::run_forever), where `run` would return. What is left when
    /// the reactor is dropped is dropped uncalled.
    ///
    /// # Errors
    ///
    /// Those of [`wake`](Self::wake); the [`PostError`] gives `callback` back.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::Reactor;
    /// use std::thread;
    ///
    /// let mut reactor = Reactor::new();
    /// let remote = reactor.remote()?;
    /// let worker = thread::spawn(move || {
    ///     let answer = 6 * 7;
    ///     remote.post(move |scope| {
    ///         println!("{answer}");
    ///         scope.stop();
    ///     })
    /// });
    /// reactor.run_forever()?;
    /// assert!(worker.join().unwrap().is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn post<F>(&self, callback: F) -> Result<(), PostError<F>>
    where
        F: FnOnce(&mut Scope<'_>) + Send + 'static,
    {
        if let Err(error) = self.shared.check() {
            return Err(PostError { callback, error });
        }
        let mut posts = self.shared.posts();
        // Asked again: the reactor goes while it has the lock.
        if let Err(error) = self.shared.check() {
            return Err(PostError { callback, error });
        }
        posts.callbacks.push_back(Box::new(callback));
        drop(posts);
        // It was there a moment ago, so this is a post that it did not live to hear.
        let _ = self.shared.wake();
        Ok(())
    }

    /// Has the reactor call [`handle_notify`](Dispatcher::handle_notify) of this channel, in this
    /// pass or the next, after the channels that are ready; once, however often it was notified
    /// until then. A key that is stale by then is passed over.
    ///
    /// # Errors
    ///
    /// Those of [`wake`](Self::wake).
    pub fn notify<D: ?Sized>(&self, key: Key<D>) -> io::Result<()> {
        self.shared.check()?;
        self.shared.posts().notified.insert((key.fd, key.reactor, key.generation));
        self.shared.wake()
    }
}

impl Shared {
    fn is_ours(&self) -> bool {
        self.process == asyncore_backends::forks()
    }

    fn check(&self) -> io::Result<()> {
        if !self.is_ours() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a remote handle from before the fork; ask the reactor for another",
            ));
        }
        if self.gone.load(Ordering::Acquire) { Err(Errno::EPIPE.into()) } else { Ok(()) }
    }

    fn wake(&self) -> io::Result<()> {
        if self.woken.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let before = Errno::last_raw();
        let result = retry(|| send(self.writer.as_raw_fd(), &[1], no_signal()));
        Errno::set_raw(before);
        if result.is_err() {
            // The next wake tries again.
            self.woken.store(false, Ordering::Release);
        }
        match result {
            // Full: a byte is on its way.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn posts(&self) -> MutexGuard<'_, Posts> {
        // Nothing panics while it is locked.
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut wakes = [0; 16];
        while cx.recv(&mut wakes).is_ok_and(|count| count == wakes.len()) {}
        // What comes before this is found below, and what comes after it wakes again.
        self.shared.woken.swap(false, Ordering::AcqRel);
        if self.shared.stop.swap(false, Ordering::AcqRel) {
            cx.stop();
        }
        cx.take_posts(&mut self.shared.posts());
        Ok(())
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if self.shared.is_ours() {
            let mut posts = self.shared.posts();
            self.shared.gone.store(true, Ordering::Release);
            let posts = std::mem::take(&mut *posts);
            drop(posts);
        }
    }
}

impl Posts {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.callbacks.is_empty() && self.notified.is_empty()
    }

    /// Takes over what is in `other`.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.notified.append(&mut other.notified);
        self.callbacks.append(&mut other.callbacks);
    }
}

impl fmt::Debug for Posts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posts")
            .field("notified", &self.notified.len())
            .field("callbacks", &self.callbacks.len())
            .finish()
    }
}

impl Map {
    /// The handle of this process; see [`Reactor::remote`](crate::Reactor::remote).
    pub(crate) fn remote(&mut self) -> io::Result<Remote> {
        if let Some(remote) = self.remote.as_ref().filter(|remote| remote.is_ours())
            && self.own.is_some_and(|key| self.slab.contains(key))
        {
            return Ok(remote.clone());
        }
        if let Some(of_the_parent) = self.own {
            self.close_channel(of_the_parent);
        }
        let (remote, channel, ear) = Remote::new()?;
        self.own = Some(self.add_channel(channel, ear)?.untyped());
        self.remote = Some(remote.clone());
        Ok(remote)
    }

    /// Calls what was posted. If one panics, the others have their turn in the next pass.
    #[inline]
    pub(crate) fn run_posts(&mut self) {
        if !self.posts.is_empty() {
            self.run_each_post();
        }
    }

    #[cold]
    fn run_each_post(&mut self) {
        while let Some((fd, reactor, generation)) = self.posts.notified.pop_first() {
            let key = Key::new(fd, reactor, generation);
            dispatch::tell(
                self,
                key,
                |stats| &mut stats.handle_notify,
                |dispatcher, cx| dispatcher.handle_notify(cx),
            );
        }
        while let Some(callback) = self.posts.callbacks.pop_front() {
            self.stats.posts += 1;
            callback(&mut Scope::new(self));
        }
    }
}

/// What [`Remote::post`] could not post, and why.
pub struct PostError<F> {
    /// What was to be called.
    pub callback: F,
    /// Why it will not be.
    pub error: io::Error,
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not posted: {}", self.error)
    }
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<F> Error for PostError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
