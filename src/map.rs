//! asyncore's map: the channels of one reactor, and what has to happen before its next wait.

use crate::{
    Channel, Dispatcher, Key, Remote, Stats, Timer,
    names::Resolver,
    remote::Posts,
    slab::{Occupant, Slab},
    timer::{Time, Timers},
    timing::Call,
};
use asyncore_backends::{Calls, Scan};
use std::{
    any::Any,
    io,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

/// How long a listener without room rests, unless a channel closes before.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything of a reactor but its backend, so that callbacks need not know which one it is.
pub(crate) struct Map {
    pub(crate) slab: Slab,
    pub(crate) options: Options,
    /// Channels whose `handle_close` is to be called in the next batch, before anything else.
    pub(crate) due: Vec<Key>,
    /// Channels that lost their number to another, to be told in the next batch: from the last one
    /// to the first, which has the lowest number, and of those with that number came first.
    pub(crate) lost: Vec<(Key, Box<Occupant>)>,
    pub(crate) timers: Timers<Call>,
    /// Channels whose timeouts begin anew.
    pub(crate) active: Vec<RawFd>,
    /// What the clock said after the last pass, if the next one follows at once.
    pub(crate) clock: Option<Time>,
    /// Listeners without room, and when they try again.
    stalled: Vec<Key>,
    stall: Option<Timer>,
    /// What was posted by the remote handle, and has come.
    pub(crate) posts: Posts,
    /// The handle of other threads, if one was asked for.
    pub(crate) remote: Option<Remote>,
    /// The reactor's own channel, which hears that handle and does not count.
    pub(crate) own: Option<Key>,
    /// What looks names up, once one was asked for.
    pub(crate) resolver: Option<Resolver>,
    pub(crate) stop: bool,
    /// What is counted here; of the bytes, those of channels that are gone.
    pub(crate) stats: Stats,
    /// What the backend had counted after the last wait.
    pub(crate) calls: Calls,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) ask_every_pass: bool,
    pub(crate) accept_batch: usize,
    pub(crate) scan: Scan,
    pub(crate) cold_share: Option<f64>,
    /// The backend's first number that is too large.
    pub(crate) fd_limit: Option<RawFd>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ask_every_pass: false,
            accept_batch: 16,
            scan: Scan::default(),
            cold_share: None,
            fd_limit: None,
        }
    }
}

/// What `Reactor` and `Context` offer alike.
impl Map {
    pub(crate) fn new(options: Options) -> Self {
        let slab = Slab::new();
        Self {
            timers: Timers::new(slab.reactor()),
            slab,
            options,
            due: Vec::new(),
            lost: Vec::new(),
            active: Vec::new(),
            clock: None,
            stalled: Vec::new(),
            stall: None,
            posts: Posts::default(),
            remote: None,
            own: None,
            resolver: None,
            stop: false,
            stats: Stats::default(),
            calls: Calls::default(),
        }
    }

    pub(crate) fn add_channel<D: Dispatcher>(
        &mut self,
        channel: Channel,
        dispatcher: D,
    ) -> io::Result<Key<D>> {
        channel.check_owned()?;
        let fd = channel.open_fd()?.as_raw_fd();
        asyncore_backends::check_fd(fd, self.options.fd_limit)?;
        self.slab.reserve(fd)?;
        channel.start_afresh(self.timers.now());
        let occupant = Box::new(Occupant { channel, dispatcher: Box::new(dispatcher) });
        let (key, lost) = self.slab.insert(fd, occupant);
        if let Some((key, occupant)) = lost {
            self.lose(key, occupant);
        }
        Ok(key.typed())
    }

    pub(crate) fn del_channel<D: Dispatcher>(&mut self, key: Key<D>) -> Option<(Channel, D)> {
        let key = key.untyped();
        // The type is asked first, so that a wrong key removes nobody.
        (&*self.slab.get(key)?.dispatcher as &dyn Any).downcast_ref::<D>()?;
        let Occupant { channel, dispatcher } = *self.remove(key)?;
        let dispatcher: Box<dyn Any> = dispatcher;
        Some((channel, *dispatcher.downcast::<D>().ok()?))
    }

    pub(crate) fn close_channel(&mut self, key: Key) -> bool {
        self.remove(key).is_some()
    }

    pub(crate) fn get<D: Dispatcher>(&self, key: Key<D>) -> Option<&D> {
        (&*self.slab.get(key.untyped())?.dispatcher as &dyn Any).downcast_ref()
    }

    pub(crate) fn get_mut<D: Dispatcher>(&mut self, key: Key<D>) -> Option<&mut D> {
        let key = key.untyped();
        self.touch(key);
        (&mut *self.slab.get_mut(key)?.dispatcher as &mut dyn Any).downcast_mut()
    }

    pub(crate) fn channel(&mut self, key: Key) -> Option<&Channel> {
        self.touch(key);
        Some(&self.slab.get(key)?.channel)
    }

    pub(crate) fn touch(&mut self, key: Key) -> bool {
        let found = self.slab.contains(key);
        if found {
            self.slab.touch(key.fd);
        }
        found
    }

    /// Vacates the number. Most often the descriptor is closed next, so a listener that waits for
    /// one may try again.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Box<Occupant>> {
        let occupant = self.slab.remove(key);
        if let Some(occupant) = &occupant {
            self.forget_timeout(&occupant.channel);
            self.keep_bytes(key, &occupant.channel);
        }
        self.end_stalls();
        occupant
    }

    /// How many channels there are, the reactor's own left out.
    pub(crate) fn len(&self) -> usize {
        let own = self.own.is_some_and(|key| self.slab.contains(key));
        self.slab.len() + self.lost.len() - usize::from(own)
    }
}

/// Numbers that were closed behind our back.
impl Map {
    /// Keeps a channel that lost its number until the next batch tells it.
    pub(crate) fn lose(&mut self, key: Key, occupant: Box<Occupant>) {
        occupant.channel.lose();
        self.forget_timeout(&occupant.channel);
        // One number can be lost several times before the next batch.
        let age = |key: &Key| (key.fd, key.generation);
        let index = self.lost.partition_point(|(other, _)| age(other) > age(&key));
        self.lost.insert(index, (key, occupant));
    }

    /// Whether the next batch has something to tell, ready channels or not.
    pub(crate) fn has_news(&self) -> bool {
        !self.due.is_empty() || !self.lost.is_empty()
    }
}

/// Listeners without room.
impl Map {
    pub(crate) fn stall(&mut self, listener: Key) {
        if !self.rests(listener) {
            self.stats.accept_pauses += 1;
            self.stalled.push(listener);
            self.stall.take().map(|timer| self.timers.cancel(timer));
            self.stall = Some(self.timers.set(self.after(ACCEPT_PAUSE), Call::EndStalls));
        }
    }

    pub(crate) fn rests(&self, listener: Key) -> bool {
        self.stalled.contains(&listener)
    }

    /// Lets the listeners try again: a descriptor has become free, or it was long enough.
    pub(crate) fn end_stalls(&mut self) {
        if let Some(timer) = self.stall.take() {
            self.timers.cancel(timer);
        }
        while let Some(key) = self.stalled.pop() {
            if let Some(channel) = self.channel(key) {
                channel.end_stall();
            }
        }
    }
}
