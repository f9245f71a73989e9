//! `Scope`: what a callback without a channel of its own may touch.

use crate::{Channel, ChannelInfo, Destination, Dispatcher, Interest, Key, Stats, Timer, map::Map};
use std::{
    fmt, io,
    time::{Duration, Instant},
};

/// The reactor, as the callback of a timer, of [`connect_to`](crate::Reactor::connect_to) or of a
/// [post](crate::Remote::post) gets it: a [`Context`](crate::Context) without a channel of its own.
///
/// Whatever is changed here holds at once; a channel that is added is served from the next pass on.
pub struct Scope<'a> {
    map: &'a mut Map,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(map: &'a mut Map) -> Self {
        Self { map }
    }

    pub(crate) fn map(&mut self) -> &mut Map {
        self.map
    }

    /// Adds a channel with its dispatcher; see
    /// [`Reactor::add_channel`](crate::Reactor::add_channel).
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::add_channel`](crate::Reactor::add_channel).
    pub fn add_channel<D: Dispatcher>(
        &mut self,
        channel: Channel,
        dispatcher: D,
    ) -> io::Result<Key<D>> {
        self.map.add_channel(channel, dispatcher)
    }

    /// Takes a channel and its dispatcher out, open and without a callback; see
    /// [`Reactor::del_channel`](crate::Reactor::del_channel).
    pub fn del_channel<D: Dispatcher>(&mut self, key: Key<D>) -> Option<(Channel, D)> {
        self.map.del_channel(key)
    }

    /// Closes a channel, without a `handle_close`; false if `key` is stale.
    pub fn close_channel<D: ?Sized>(&mut self, key: Key<D>) -> bool {
        self.map.close_channel(key.untyped())
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

    /// Whether there is no channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connects to a name, or to the first of several addresses that answers; see
    /// [`Reactor::connect_to`](crate::Reactor::connect_to).
    pub fn connect_to(
        &mut self,
        destination: impl Into<Destination>,
        callback: impl FnOnce(&mut Scope<'_>, io::Result<Channel>) + 'static,
    ) -> Timer {
        self.map.connect_to(destination.into(), callback)
    }

    /// Calls `callback` once, after `delay`; see
    /// [`Reactor::call_later`](crate::Reactor::call_later).
    pub fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_later(delay, callback)
    }

    /// Calls `callback` once, at `time`; see [`Reactor::call_at`](crate::Reactor::call_at).
    pub fn call_at(
        &mut self,
        time: Instant,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_at(time, callback)
    }

    /// Calls `callback` again and again; see [`Reactor::call_every`](crate::Reactor::call_every).
    pub fn call_every(
        &mut self,
        period: Duration,
        callback: impl FnMut(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.map.call_every(period, callback)
    }

    /// Moves a timer; see [`Reactor::reschedule`](crate::Reactor::reschedule).
    pub fn reschedule(&mut self, timer: Timer, delay: Duration) -> bool {
        self.map.reschedule(timer, delay)
    }

    /// Cancels a timer; false if it is over.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.map.cancel(timer)
    }

    /// What the reactor has done so far; see [`Reactor::stats`](crate::Reactor::stats).
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.map.stats(None)
    }

    /// Every channel; see [`Reactor::channels`](crate::Reactor::channels).
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'_>> {
        self.map.channels(None)
    }

    /// Makes `run` return when this pass is over. Every channel and every timer stays.
    pub fn stop(&mut self) {
        self.map.stop = true;
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("channels", &self.len()).finish_non_exhaustive()
    }
}
