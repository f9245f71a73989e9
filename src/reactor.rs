//! `Reactor`: asyncore's `loop` and its map.

use crate::{
    Builder, Channel, ChannelInfo, DefaultBackend, Destination, Dispatcher, Interest, Key, Remote,
    Scope, Stats, Timer, dispatch,
    map::{Map, Options},
};
use asyncore_backends::{Backend, Event, HotSet};
use std::{
    fmt, io,
    time::{Duration, Instant},
};

/// A set of channels and the loop that serves them: asyncore's `loop` and its map.
///
/// Single-threaded: channels are added, served and closed on one thread, without locks.
///
/// # After a fork
///
/// A reactor goes on in both processes: the kernel knows nothing of it between two waits. The child
/// has the same channels, and what they have open is shared: what one process reads the other does
/// not, a connection that waits is accepted by one of them, and closing a channel ends the
/// connection only when both have. The child closes what it does not serve, for instance by
/// [`close_all`](Self::close_all). What is queued is in both and would be sent twice.
///
/// A [`Remote`] stays with the parent, and is refused in the child. There [`remote`](Self::remote)
/// makes another. The answer to a name that is being looked up stays with the parent, too: in the
/// child, nothing but its timeout ends such a [`connect_to`](Self::connect_to).
///
/// This holds for `fork(3)`, on the thread that has the reactor and while no callback runs. In a
/// process with other threads, the child may do little but `exec`: see its manual.
///
/// # Examples
///
/// ```
/// use asyncore::{Channel, Context, Dispatcher, Reactor};
/// use std::{io, io::Write, os::unix::net::UnixStream};
///
/// struct Printer;
///
/// impl Dispatcher for Printer {
///     fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
///         let mut buffer = [0; 8192];
///         let count = cx.recv(&mut buffer)?;
///         println!("{}", buffer[..count].escape_ascii());
///         Ok(())
///     }
/// }
///
/// let (reader, mut writer) = UnixStream::pair()?;
/// let mut reactor = Reactor::new();
/// reactor.add_channel(Channel::new(reader)?, Printer)?;
/// writer.write_all(b"hello")?;
/// drop(writer);
/// reactor.run()?; // prints hello, and returns because the only channel has closed
/// # Ok::<(), io::Error>(())
/// ```
pub struct Reactor<B = DefaultBackend> {
    backend: HotSet<B>,
    ready: Vec<Event>,
    pub(crate) map: Map,
}

/// How [`Reactor::run_with`] loops: the arguments of `asyncore.loop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoopOptions {
    /// How long one pass may wait; for ever unless set (asyncore: 30 s).
    pub timeout: Option<Duration>,
    /// How many passes to make, with or without events; without end unless set.
    pub count: Option<u64>,
}

impl Reactor {
    /// A reactor on the default backend: poll, or select where the feature `poll` is off.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A reactor with other than the usual choices.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for Reactor {
    fn default() -> Self {
        Self::new()
    }
}

/// The loop.
impl<B: Backend> Reactor<B> {
    /// A reactor on this backend.
    ///
    /// ```
    /// # #[cfg(feature = "select")] {
    /// use asyncore::{Reactor, Select};
    ///
    /// let reactor = Reactor::with_backend(Select::new());
    /// assert_eq!(reactor.backend_name(), "select");
    /// # }
    /// ```
    #[must_use]
    pub fn with_backend(backend: B) -> Self {
        Reactor::builder().backend(backend).build()
    }

    pub(crate) fn assemble(backend: B, options: Options) -> Self {
        let mut backend = HotSet::new(backend, options.scan);
        if let Some(share) = options.cold_share {
            backend = backend.with_cold_share(share);
        }
        Self { backend, ready: Vec::new(), map: Map::new(options) }
    }

    /// One pass: waits until a channel is ready or `timeout` has passed, and serves each that is
    /// found ready once (asyncore's `poll` and `poll2`). Returns how many were.
    ///
    /// Where there are many channels, those that were busy lately are looked at in every pass, and
    /// the others in turns: see [`Builder::scan`]. A pass that does not wait looks at all of them.
    ///
    /// `None` waits for ever, `Some(Duration::ZERO)` looks without waiting. The wait is never
    /// shorter than `timeout` if nothing happens, and as exact as the system call: nanoseconds on
    /// Linux. It ends when a [timer](Self::call_later) is due; timers have their turn after the
    /// channels, and do not count. There is no wait if the last channels were closed by hand
    /// ([`Channel::close`]) since the last pass, so a loop of passes ends as `run` does.
    ///
    /// # Errors
    ///
    /// What the system call says: `ENOMEM`. The reactor is whole, and another pass may succeed. A
    /// callback's error is not among them: it goes to its channel.
    ///
    /// # Panics
    ///
    /// If a callback does; see [`Dispatcher`](Dispatcher#panics). In debug builds also if a
    /// dispatcher's `readable` or `writable` changed its answer without a touch: in a release
    /// build that is a wake-up lost.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.map.clock = None;
        self.pass(timeout)
    }

    fn pass(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.map.stats.passes += 1;
        if self.map.is_stale() {
            let was_empty = self.is_empty();
            self.map.sync(&mut self.backend)?;
            if self.is_idle() && !was_empty {
                return Ok(0);
            }
        }
        let busy = self.map.has_news() || !self.map.posts.is_empty();
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        let mut left = timeout;
        loop {
            let wait = self.map.time_left(left);
            let result = self.backend.wait(wait, &mut self.ready);
            self.map.calls = self.backend.calls();
            result?;
            self.map.stats.ready += self.ready.len() as u64;
            let served = dispatch::batch(&mut self.map, &self.ready);
            self.map.run_posts();
            if self.map.fire() || wait == left || !self.ready.is_empty() {
                return Ok(served);
            }
            // It was nobody's business: a channel's timeout that had moved meanwhile, or a listener
            // that may try again. The wait goes on.
            left = left.map(|left| left.saturating_sub(wait.unwrap_or_default()));
            self.map.sync(&mut self.backend)?;
        }
    }

    /// Whether nothing is there that anything could come of.
    fn is_idle(&self) -> bool {
        self.is_empty() && self.map.timers.is_empty()
    }

    /// Serves channels until none is left and no timer is pending, or [`stop`](Self::stop) is
    /// called (`asyncore.loop`).
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll).
    ///
    /// # Panics
    ///
    /// As [`poll`](Self::poll) does.
    pub fn run(&mut self) -> io::Result<()> {
        self.run_with(LoopOptions::default())
    }

    /// [`run`](Self::run) with asyncore's `timeout` and `count`.
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll).
    ///
    /// # Panics
    ///
    /// As [`poll`](Self::poll) does.
    pub fn run_with(&mut self, options: LoopOptions) -> io::Result<()> {
        let mut passes = 0;
        self.map.clock = None;
        while !std::mem::take(&mut self.map.stop)
            && !self.is_idle()
            && options.count != Some(passes)
        {
            self.pass(options.timeout)?;
            passes += 1;
        }
        Ok(())
    }

    /// [`run`](Self::run), but without a channel it waits for what comes by a [`Remote`], and only
    /// [`stop`](Self::stop) or [`Remote::stop`] ends it (asyncio's `run_forever`).
    ///
    /// # Errors
    ///
    /// Those of [`poll`](Self::poll).
    ///
    /// # Panics
    ///
    /// As [`poll`](Self::poll) does.
    pub fn run_forever(&mut self) -> io::Result<()> {
        self.map.clock = None;
        while !std::mem::take(&mut self.map.stop) {
            self.pass(None)?;
        }
        Ok(())
    }

    /// Makes the `run` that is under way return when its pass is over, or the next one at once.
    /// Every channel stays.
    pub fn stop(&mut self) {
        self.map.stop = true;
    }

    /// A handle that speaks to this reactor from other threads: wakes it, has it run something,
    /// stops it.
    ///
    /// The first call makes a descriptor for it, which is watched from then on; it does not count
    /// as a channel.
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`, and of [`add_channel`](Self::add_channel).
    pub fn remote(&mut self) -> io::Result<Remote> {
        self.map.remote()
    }

    /// The system call behind this reactor: `"poll"` or `"select"`.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        B::NAME
    }
}

/// Timers.
impl<B> Reactor<B> {
    /// Calls `callback` once, after `delay`.
    ///
    /// A timer is never early, and late by what the channels and timers before it take. Those that
    /// are due at the same time are called in the order in which they were made, after the channels
    /// that are ready. What a timer sets is due in the next pass at the earliest, so timers never
    /// keep channels from being served.
    ///
    /// A pending timer keeps [`run`](Self::run) going. If `callback` panics, that unwinds through
    /// [`poll`](Self::poll); the timer is gone, the reactor and all other timers are whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::Reactor;
    /// use std::time::{Duration, Instant};
    ///
    /// let mut reactor = Reactor::new();
    /// let begin = Instant::now();
    /// let delay = Duration::from_millis(2);
    /// reactor.call_later(delay, move |scope| {
    ///     assert!(begin.elapsed() >= delay);
    ///     scope.call_later(delay, |_| println!("done"));
    /// });
    /// reactor.run()?; // returns when no timer is left
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_later(delay, callback)
    }

    /// Calls `callback` once, at `time`, as [`call_later`](Self::call_later) does; in the next pass
    /// if that has passed.
    pub fn call_at(
        &mut self,
        time: Instant,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_at(time, callback)
    }

    /// Calls `callback` after each `period`, until it is [cancelled](Self::cancel).
    ///
    /// Its times are the multiples of `period` from now, so one that is late does not move the
    /// others; those that were missed altogether are not made up for. It keeps [`run`](Self::run)
    /// going until it is cancelled, also by itself.
    pub fn call_every(
        &mut self,
        period: Duration,
        callback: impl FnMut(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_every(period, callback)
    }

    /// Moves a timer, to be due after `delay` from now; false if it is over.
    ///
    /// For a periodic one this is the next time, and the others follow from it. Like making or
    /// cancelling one, it takes time in proportion to the logarithm of the number of timers.
    pub fn reschedule(&mut self, timer: Timer, delay: Duration) -> bool {
        self.map.reschedule(timer, delay)
    }

    /// Cancels a timer; false if it is over.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.map.cancel(timer)
    }
}

/// Connections to names.
impl<B> Reactor<B> {
    /// Connects to a name, or to the first of several addresses that answers, and gives `callback`
    /// the connected channel; nothing blocks meanwhile.
    ///
    /// The [`Destination`] says what is tried, when, and for how long. `callback` is called once,
    /// in a later pass, like that of a timer. It stands in for `handle_connect`, which is not
    /// called: like one that was accepted, the channel is connected when its dispatcher gets it.
    ///
    /// What is returned is the timer of the destination's timeout, also if that has none: it is
    /// pending until `callback` is called, and so keeps [`run`](Self::run) going. Who
    /// [cancels](Self::cancel) it calls everything off; who [reschedules](Self::reschedule) it sets
    /// another timeout. [`close_all`](Self::close_all) calls everything off, too.
    ///
    /// Until then the attempts are channels of the reactor, and count as such. A lookup has the
    /// reactor make its [`remote`](Self::remote) handle.
    ///
    /// # Errors
    ///
    /// They come to `callback`:
    ///
    /// * [`TimedOut`](io::ErrorKind::TimedOut): the timeout is over.
    /// * That of the lookup, or of its thread; [`NotFound`](io::ErrorKind::NotFound) if it found no
    ///   address.
    /// * If all addresses have failed, the error of the last one that is more than that there is no
    ///   way to it (`ENETUNREACH` and the like).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Context, Destination, Dispatcher, Reactor};
    /// use std::{io, net::TcpListener, time::Duration};
    ///
    /// struct Client;
    ///
    /// impl Dispatcher for Client {
    ///     fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
    ///         let mut buffer = [0; 8192];
    ///         let count = cx.recv(&mut buffer)?;
    ///         println!("{}", buffer[..count].escape_ascii());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// let port = server.local_addr()?.port();
    ///
    /// let mut reactor = Reactor::new();
    /// let host = Destination::host("localhost", port).timeout(Duration::from_secs(10));
    /// reactor.connect_to(host, |scope, result| match result {
    ///     Ok(channel) => {
    ///         channel.push(b"hello").unwrap();
    ///         scope.add_channel(channel, Client).unwrap();
    ///         # scope.stop();
    ///     }
    ///     Err(error) => eprintln!("localhost: {error}"),
    /// });
    /// reactor.run()?;
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn connect_to(
        &mut self,
        destination: impl Into<Destination>,
        callback: impl FnOnce(&mut Scope<'_>, io::Result<Channel>) + 'static,
    ) -> Timer {
        self.map.connect_to(destination.into(), callback)
    }
}

/// The map.
impl<B: Backend> Reactor<B> {
    /// Adds a channel with its dispatcher (asyncore's `add_channel`); it is served from the next
    /// pass on.
    ///
    /// # Errors
    ///
    /// * `EBADF`: the channel's descriptor was closed behind its back.
    /// * [`NotConnected`](io::ErrorKind::NotConnected): the channel is closed.
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): the descriptor's number is too large for
    ///   select, on systems other than Linux. The channel is closed then.
    /// * [`OutOfMemory`](io::ErrorKind::OutOfMemory): the tables cannot grow. The channel is closed
    ///   then.
    pub fn add_channel<D: Dispatcher>(
        &mut self,
        channel: Channel,
        dispatcher: D,
    ) -> io::Result<Key<D>> {
        self.map.add_channel(channel, dispatcher)
    }

    /// Takes a channel and its dispatcher out, open and without a callback (asyncore's
    /// `del_channel`); `None` if `key` is stale.
    pub fn del_channel<D: Dispatcher>(&mut self, key: Key<D>) -> Option<(Channel, D)> {
        self.map.del_channel(key)
    }

    /// Closes a channel and drops its dispatcher, without a `handle_close`; false if `key` is
    /// stale.
    pub fn close_channel<D: ?Sized>(&mut self, key: Key<D>) -> bool {
        self.map.close_channel(key.untyped())
    }

    /// Closes every channel, without a `handle_close` (asyncore's `close_all`), and calls off what
    /// [`connect_to`](Self::connect_to) has begun.
    ///
    /// # Errors
    ///
    /// The first error of a `close(2)`. Every channel is closed all the same.
    pub fn close_all(&mut self) -> io::Result<()> {
        self.map.call_all_off();
        let mut result = Ok(());
        for fd in self.map.slab.numbers() {
            let Some(key) = self.map.slab.key_of(fd).filter(|key| self.map.own != Some(*key))
            else {
                continue;
            };
            if let Some(mut occupant) = self.map.remove(key) {
                result = result.and(occupant.channel.release());
            }
        }
        while let Some((key, occupant)) = self.map.lost.pop() {
            self.map.keep_bytes(key, &occupant.channel);
        }
        result
    }

    /// A dispatcher; `None` if `key` is stale.
    #[must_use]
    pub fn get<D: Dispatcher>(&self, key: Key<D>) -> Option<&D> {
        self.map.get(key)
    }

    /// A dispatcher, to change it; it counts as touched.
    pub fn get_mut<D: Dispatcher>(&mut self, key: Key<D>) -> Option<&mut D> {
        self.map.get_mut(key)
    }

    /// A channel, to use it: to push to it, shut it down, close it. It counts as touched.
    pub fn channel<D: ?Sized>(&mut self, key: Key<D>) -> Option<&Channel> {
        self.map.channel(key.untyped())
    }

    /// Has `readable` and `writable` of a dispatcher asked again before the next wait; false if
    /// `key` is stale.
    ///
    /// Needed only where an answer depends on something outside of the dispatcher and its channel
    /// (the time, a shared counter): callbacks, [`get_mut`](Self::get_mut) and
    /// [`channel`](Self::channel) touch by themselves.
    pub fn touch<D: ?Sized>(&mut self, key: Key<D>) -> bool {
        self.map.touch(key.untyped())
    }

    /// Suspends reading or writing of a channel ([`Channel::pause`]); false if `key` is stale.
    pub fn pause<D: ?Sized>(&mut self, key: Key<D>, interest: Interest) -> bool {
        self.channel(key).map(|channel| channel.pause(interest)).is_some()
    }

    /// Takes it up again ([`Channel::resume`]); false if `key` is stale.
    pub fn resume<D: ?Sized>(&mut self, key: Key<D>, interest: Interest) -> bool {
        self.channel(key).map(|channel| channel.resume(interest)).is_some()
    }

    /// How many channels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no channel; `run` returns then, if no timer is pending either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Introspection.
impl<B> Reactor<B> {
    /// What this reactor has done so far. It takes a look at every channel, and no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::Reactor;
    /// use std::time::Duration;
    ///
    /// let mut reactor = Reactor::new();
    /// reactor.call_later(Duration::ZERO, |scope| assert_eq!(scope.stats().timers, 1));
    /// reactor.run()?;
    /// assert_eq!(reactor.stats().handle_read, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.map.stats(None)
    }

    /// Every channel, in ascending order of their descriptors, without a copy of anything.
    ///
    /// There are as many as [`len`](Self::len) says. One that has lost its number, and will be told
    /// so in the next pass, comes before the channel that has the number now.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Channel, Dispatcher, Reactor, State};
    /// use std::net::TcpListener;
    ///
    /// struct Server;
    /// impl Dispatcher for Server {}
    ///
    /// let mut reactor = Reactor::new();
    /// reactor.add_channel(Channel::new(TcpListener::bind("127.0.0.1:0")?)?, Server)?;
    /// for channel in reactor.channels() {
    ///     println!("{} {:?} for {:?}", channel.fd, channel.state, channel.age);
    ///     assert_eq!(channel.state, State::Listening);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'_>> {
        self.map.channels(None)
    }
}

/// The backend's name and every channel: its key, descriptor, state and peer.
impl<B: Backend> fmt::Debug for Reactor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Channels<'a>(&'a Map);
        impl fmt::Debug for Channels<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let others = self.0.slab.iter().filter(|(key, _)| self.0.own != Some(*key));
                f.debug_list().entries(others.map(|(_, occupant)| &occupant.channel)).finish()
            }
        }
        f.debug_struct("Reactor")
            .field("backend", &B::NAME)
            .field("channels", &Channels(&self.map))
            .finish()
    }
}
