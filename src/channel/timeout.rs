//! How long a channel may be quiet.

use super::{Channel, Marks};
use crate::timer::{Time, nanoseconds};
use std::{num::NonZeroU64, time::Duration};

/// What stands for no timer.
pub(super) const NO_TIMER: u32 = u32::MAX;

/// Timeout.
impl Channel {
    /// Sets how long the channel may be quiet before
    /// [`handle_timeout`](crate::Dispatcher::handle_timeout) is called, which closes it by default;
    /// for ever unless set, and with `None`.
    ///
    /// A channel is quiet while nothing is received, sent, accepted, or connected. So, while a
    /// connect is under way, this is how long it may take; on a connection, how long the peer may
    /// be idle. The time begins anew whenever the timeout is set, and when the channel joins a
    /// reactor.
    ///
    /// The callback is never early. It costs nothing to move a timeout along with the bytes: a
    /// timer looks when it might be due, and finds that there is time left.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncore::{Channel, Context, Dispatcher, Reactor};
    /// use std::{io, os::unix::net::UnixStream, time::Duration};
    ///
    /// struct Peer;
    ///
    /// impl Dispatcher for Peer {
    ///     fn handle_close(&mut self, _: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
    ///         assert_eq!(cause.unwrap().kind(), io::ErrorKind::TimedOut);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (channel, _silent) = UnixStream::pair()?;
    /// let channel = Channel::new(channel)?;
    /// channel.set_timeout(Some(Duration::from_millis(1)));
    /// let mut reactor = Reactor::new();
    /// reactor.add_channel(channel, Peer)?;
    /// reactor.run()?;
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        // One of nothing is over at once, which is the same as after a nanosecond.
        let nonzero = |time| NonZeroU64::new(time).unwrap_or(NonZeroU64::MIN);
        self.timeout.set(timeout.map(nanoseconds).map(nonzero));
        self.mark(Marks::TIMED | Marks::ACTIVE);
    }

    /// How long the channel may be quiet.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.allowed_time().map(Duration::from_nanos)
    }

    pub(crate) fn allowed_time(&self) -> Option<Time> {
        self.timeout.get().map(NonZeroU64::get)
    }

    /// Whether something has happened since this was last asked that begins the time anew; only of
    /// a channel that has a timeout, or had.
    #[inline]
    pub(crate) fn take_activity(&self) -> bool {
        let timed = Marks::TIMED | Marks::ACTIVE;
        let news = self.marks.get().contains(timed);
        if news {
            self.unmark(Marks::ACTIVE);
        }
        news
    }

    /// The slot of its reactor's timer.
    pub(crate) fn timer(&self) -> Option<u32> {
        Some(self.timer.get()).filter(|timer| *timer != NO_TIMER)
    }

    pub(crate) fn set_timer(&self, timer: Option<u32>) {
        self.timer.set(timer.unwrap_or(NO_TIMER));
    }
}
