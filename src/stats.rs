//! What a reactor has done so far, and whom it serves.

use crate::{Address, Channel, Key, State, map::Map};
use asyncore_backends::Calls;
use std::{os::fd::RawFd, time::Duration};

/// What a reactor has done since it was made: [`Reactor::stats`](crate::Reactor::stats).
///
/// None of the numbers ever falls. The reactor's own channel, by which it hears its
/// [`Remote`](crate::Remote), counts where the kernel is asked ([`descriptors`](Self::descriptors),
/// [`ready`](Self::ready)) and nowhere else. A callback counts when it begins, so it finds itself
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Passes: calls of [`poll`](crate::Reactor::poll), and rounds of `run`.
    pub passes: u64,
    /// System calls, `poll` or `select`, that waited or just looked. A pass makes one, or a few
    /// where it [looks](crate::Scan) at the busy ones first, or was interrupted by a signal.
    pub waits: u64,
    /// About how many descriptors these calls asked, added up. One that is paused costs the kernel
    /// nothing, and does not count.
    pub descriptors: u64,
    /// How many descriptors the passes found ready, each once per pass; those that were
    /// [bad](crate::Readiness::INVALID) included. Whether a callback came of it is another matter.
    pub ready: u64,
    /// Calls of [`handle_connect`](crate::Dispatcher::handle_connect).
    pub handle_connect: u64,
    /// Calls of [`handle_accept`](crate::Dispatcher::handle_accept): one for each connection, and
    /// most often one more that finds none.
    pub handle_accept: u64,
    /// Calls of [`handle_read`](crate::Dispatcher::handle_read).
    pub handle_read: u64,
    /// Calls of [`handle_write`](crate::Dispatcher::handle_write).
    pub handle_write: u64,
    /// How often queued output had its turn, in the place of a `handle_write`.
    pub flushes: u64,
    /// Calls of [`handle_drained`](crate::Dispatcher::handle_drained).
    pub handle_drained: u64,
    /// Calls of [`handle_expt`](crate::Dispatcher::handle_expt).
    pub handle_expt: u64,
    /// Calls of [`handle_timeout`](crate::Dispatcher::handle_timeout).
    pub handle_timeout: u64,
    /// Calls of [`handle_notify`](crate::Dispatcher::handle_notify).
    pub handle_notify: u64,
    /// Calls of [`handle_error`](crate::Dispatcher::handle_error).
    pub handle_error: u64,
    /// Calls of [`handle_close`](crate::Dispatcher::handle_close).
    pub handle_close: u64,
    /// Timers that were due: calls of what [`call_later`](crate::Reactor::call_later) and its kin
    /// were given.
    pub timers: u64,
    /// Calls of what [`post`](crate::Remote::post) was given.
    pub posts: u64,
    /// Bytes that the channels have received; see [`ChannelInfo::received`].
    pub received: u64,
    /// Bytes that the channels have sent; see [`ChannelInfo::sent`].
    pub sent: u64,
    /// How often a listener had to rest, because there was no room for another connection
    /// (`EMFILE` and the like).
    pub accept_pauses: u64,
    /// Channels that were ended because their number was closed behind their back (`EBADF`).
    pub evictions: u64,
}

/// One channel of a reactor: an item of [`Reactor::channels`](crate::Reactor::channels).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ChannelInfo<'a> {
    /// Its name in this reactor.
    pub key: Key,
    /// Its descriptor's number.
    pub fd: RawFd,
    /// Where it is in its life. One that is [closed](State::Closed) leaves when the reactor next
    /// runs.
    pub state: State,
    /// The peer, as [`Channel::peer_addr`] has it, but without a copy.
    pub peer: Option<&'a Address>,
    /// How long it has been in this reactor.
    pub age: Duration,
    /// How many pushed bytes wait to be sent: [`Channel::queued`].
    pub queued: usize,
    /// Bytes that it has received, from when it was made on; or from when it was taken out of a
    /// reactor, which has counted them. Out-of-band data is among them. What is read past the
    /// channel, through its descriptor, is not, nor is what is discarded when it closes.
    pub received: u64,
    /// Bytes that the kernel took of it, in the same way.
    pub sent: u64,
}

/// What `Reactor`, `Context` and `Scope` offer alike. `running` is the channel whose callback it
/// is, which is out of its slot.
impl Map {
    pub(crate) fn stats(&self, running: Option<(Key, &Channel)>) -> Stats {
        let Calls { calls, descriptors, .. } = self.calls;
        let mut stats = Stats { waits: calls, descriptors, ..self.stats };
        for (_, channel) in self.each_channel(running) {
            stats.add_bytes(channel);
        }
        stats
    }

    pub(crate) fn channels<'a>(
        &'a self,
        running: Option<(Key, &'a Channel)>,
    ) -> impl Iterator<Item = ChannelInfo<'a>> {
        let now = self.timers.now();
        self.each_channel(running).map(move |(key, channel)| ChannelInfo {
            key,
            fd: key.fd,
            state: channel.state(),
            peer: channel.peer(),
            age: Duration::from_nanos(now.saturating_sub(channel.joined())),
            queued: channel.queued(),
            received: channel.bytes_received(),
            sent: channel.bytes_sent(),
        })
    }

    /// In ascending order of the numbers: in each slot who is there, and before it who was there
    /// and has lost the number without being told yet.
    fn each_channel<'a>(
        &'a self,
        running: Option<(Key, &'a Channel)>,
    ) -> impl Iterator<Item = (Key, &'a Channel)> {
        let each = self.slab.numbers().flat_map(move |fd| {
            let lost = self.lost.iter().map(|(key, occupant)| (*key, &occupant.channel));
            let elsewhere = lost.chain(running).filter(move |(key, _)| key.fd == fd);
            elsewhere.chain(self.slab.key_of(fd).zip(self.slab.channel(fd)))
        });
        each.filter(|(key, _)| self.own != Some(*key))
    }

    /// Keeps the bytes of a channel that leaves.
    pub(crate) fn keep_bytes(&mut self, key: Key, channel: &Channel) {
        if self.own != Some(key) {
            self.stats.add_bytes(channel);
        }
        channel.forget_bytes();
    }
}

impl Stats {
    fn add_bytes(&mut self, channel: &Channel) {
        self.received += channel.bytes_received();
        self.sent += channel.bytes_sent();
    }
}
