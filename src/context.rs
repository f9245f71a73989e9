//! `Context`: all that a callback may touch.

use crate::{
    Channel, ChannelInfo, Destination, Dispatcher, Interest, Key, Scope, Stats, Timer,
    diagnostics::diagnose, map::Map, remote::Posts,
};
use std::{
    fmt, io,
    ops::Deref,
    time::{Duration, Instant},
};

/// What a callback gets: its own channel, and through it the rest of the reactor.
///
/// It dereferences to the [`Channel`], so `cx.recv(..)`, `cx.push(..)` and `cx.close()` speak of
/// the callback's own. Every other channel is reached by its key. Whatever is changed here holds
/// at once: a channel that is closed or paused is not called any more in this pass, and one that
/// is added is served from the next pass on.
pub struct Context<'a> {
    map: &'a mut Map,
    channel: &'a Channel,
    key: &'a Key,
    /// The error of a callback that answers something else.
    failure: Option<io::Error>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(map: &'a mut Map, channel: &'a Channel, key: &'a Key) -> Self {
        Self { map, channel, key, failure: None }
    }

    /// Keeps the error of the callback for who called it.
    #[cold]
    pub(crate) fn fail(&mut self, error: io::Error) {
        self.failure = Some(error);
    }

    #[inline]
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    pub(crate) fn map(&mut self) -> &mut Map {
        self.map
    }

    /// The key of the callback's own channel.
    #[must_use]
    pub fn key(&self) -> Key {
        *self.key
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
        let result = self.map.add_channel(channel, dispatcher);
        self.keep_off_a_newcomers_number();
        result
    }

    /// If a newcomer has our number, ours was closed behind our back. What is still to be written
    /// must not go there.
    fn keep_off_a_newcomers_number(&self) {
        if !self.map.slab.contains(*self.key) {
            self.channel.lose();
        }
    }

    /// Takes another channel out of the reactor, open; see
    /// [`Reactor::del_channel`](crate::Reactor::del_channel). The running one cannot be taken.
    pub fn del_channel<D: Dispatcher>(&mut self, key: Key<D>) -> Option<(Channel, D)> {
        self.map.del_channel(key)
    }

    /// Closes a channel, without a `handle_close`; false if `key` is stale.
    ///
    /// Another channel is gone at once, its descriptor and its dispatcher with it. For the
    /// callback's own it is [`Channel::close`].
    pub fn close_channel<D: ?Sized>(&mut self, key: Key<D>) -> bool {
        if key == *self.key {
            self.channel.close();
            return true;
        }
        self.map.close_channel(key.untyped())
    }

    /// Another dispatcher; `None` if `key` is stale, or the running one's.
    #[must_use]
    pub fn get<D: Dispatcher>(&self, key: Key<D>) -> Option<&D> {
        self.map.get(key)
    }

    /// Another dispatcher, to change it; it counts as touched.
    pub fn get_mut<D: Dispatcher>(&mut self, key: Key<D>) -> Option<&mut D> {
        self.map.get_mut(key)
    }

    /// Any channel, to use it: to push to it, pause it, shut it down. It counts as touched.
    ///
    /// An error that another channel returns is that channel's: it has noted it, and its own
    /// `handle_close` will tell. A callback that passes it on with `?` fails in its place.
    pub fn channel<D: ?Sized>(&mut self, key: Key<D>) -> Option<&Channel> {
        if key == *self.key {
            return Some(self.channel);
        }
        self.map.channel(key.untyped())
    }

    /// Has `readable` and `writable` of a dispatcher asked again before the next wait; false if
    /// `key` is stale.
    pub fn touch<D: ?Sized>(&mut self, key: Key<D>) -> bool {
        self.map.touch(key.untyped())
    }

    /// Connects to a name, or to the first of several addresses that answers, by other channels
    /// than the callback's own; see [`Reactor::connect_to`](crate::Reactor::connect_to).
    pub fn connect_to(
        &mut self,
        destination: impl Into<Destination>,
        callback: impl FnOnce(&mut Scope<'_>, io::Result<Channel>) + 'static,
    ) -> Timer {
        let connecting = self.map.connect_to(destination.into(), callback);
        self.keep_off_a_newcomers_number();
        connecting
    }

    /// Calls `callback` once, after `delay`; see
    /// [`Reactor::call_later`](crate::Reactor::call_later).
    ///
    /// What is to end with this channel is better a [timeout](Channel::set_timeout) of it: a timer
    /// goes on when the channel is gone.
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
        self.map.stats(Some((*self.key, self.channel)))
    }

    /// Every channel, the callback's own included; see
    /// [`Reactor::channels`](crate::Reactor::channels).
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'_>> {
        self.map.channels(Some((*self.key, self.channel)))
    }

    /// Makes `run` return when this pass is over (asyncore's `ExitNow`). Every channel stays.
    pub fn stop(&mut self) {
        self.map.stop = true;
    }

    /// What the remote handle has brought runs when the batch is over.
    pub(crate) fn take_posts(&mut self, posts: &mut Posts) {
        self.map.posts.append(posts);
    }

    /// The default callbacks end here: nobody handles the event, so it is no longer watched for.
    pub(crate) fn unhandled(&mut self, event: Interest) -> io::Result<()> {
        if event == Interest::READ && self.channel.has_ended_unread()? {
            return Ok(());
        }
        if !self.channel.drop_unhandled(event) {
            return Ok(());
        }
        if event == Interest::WRITE {
            // As often as not nobody meant to write: `writable` is true unless overridden.
            diagnose!(debug, "{self:?}: nobody handles {event:?}, no longer watched for");
        } else {
            diagnose!(warn, "{self:?}: nobody handles {event:?}, no longer watched for");
        }
        Ok(())
    }
}

impl Deref for Context<'_> {
    type Target = Channel;

    #[inline]
    fn deref(&self) -> &Channel {
        self.channel
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.fmt(f)
    }
}
