//! What a channel is watched for, and when its life is over.

use super::{Channel, Kind, Marks, State};
use crate::timer::Time;
use asyncore_backends::Interest;
use nix::errno::Errno;
use std::io;

/// What the channel is watched for, and when it is over.
impl Channel {
    /// Stops to watch for `interest`, whatever the dispatcher wants, until it is
    /// [resumed](Self::resume).
    ///
    /// Back-pressure: data, end of file and hang-ups stay where they are, and nothing of them is
    /// lost. Pausing `WRITE` also holds up what was pushed.
    ///
    /// While `READ` is paused, a connection that breaks stays until it is resumed and read to its
    /// end. A dispatcher that may never resume, because it waits for another that waits for it,
    /// says so by [`readable`](crate::Dispatcher::readable) instead: then what broke ends at once.
    pub fn pause(&self, interest: Interest) {
        self.mark(Marks::PAUSED.of(interest));
    }

    /// Watches for `interest` again, after [`pause`](Self::pause) or after the event had found no
    /// handler.
    pub fn resume(&self, interest: Interest) {
        self.unmark(Marks::PAUSED.of(interest) | Marks::UNHANDLED.of(interest));
    }

    /// Whether the channel is looked at in every pass, also when it was quiet for long and others
    /// are busy; false unless set. Listeners always are.
    ///
    /// Each one makes every pass a little dearer: see
    /// [`Builder::cold_share`](crate::Builder::cold_share).
    pub fn set_urgent(&self, on: bool) {
        self.marks.update(|mut marks| {
            marks.set(Marks::URGENT, on);
            marks
        });
    }

    #[inline]
    pub(crate) fn is_urgent(&self) -> bool {
        self.has(Marks::URGENT) || self.state() == State::Listening
    }

    /// Whether the peer may end its side (`SHUT_WR`) and the channel live on; false unless set.
    ///
    /// By default the end of the input closes the channel, as in asyncore, once what was pushed is
    /// sent. With half-close on, only reading ends; the channel closes when its own output is shut
    /// down as well. Until then it is watched only while it has something to write, so that a peer
    /// which breaks the connection then is found by the next write.
    pub fn set_half_close(&self, on: bool) {
        self.marks.update(|mut marks| {
            marks.set(Marks::HALF_CLOSE, on);
            marks
        });
    }

    /// Joins a reactor, and forgets what another one, or another dispatcher, did not handle.
    pub(crate) fn start_afresh(&self, now: Time) {
        let of_before = Marks::PRIORITY_TOLD | Marks::STALL_TOLD | Marks::ACCEPTED;
        self.unmark(of_before | Marks::ACCEPT_STALLED | Marks::UNHANDLED);
        self.mark(Marks::ACTIVE);
        self.set_timer(None);
        self.join(now);
    }

    /// Whether the channel is as most are most of the time: a connected socket that can be watched
    /// for everything that is not paused, with nothing to flush, no end in sight, and no urgency.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.state() == State::Connected
            && !self.has(Marks::OF_NOTE)
            && !matches!(self.kind, Kind::File(_))
    }

    /// What the user has not suspended.
    #[inline]
    pub(crate) fn not_paused(&self) -> Interest {
        Interest::all() - self.marks.get().interest(Marks::PAUSED)
    }

    /// What the channel can be watched for, if its dispatcher wants it.
    pub(crate) fn possible(&self) -> Interest {
        let mut possible = match self.state() {
            State::Closed => return Interest::empty(),
            State::Unconnected if self.kind != Kind::Datagram => return Interest::empty(),
            State::Listening => Interest::READ,
            _ => match self.kind {
                Kind::File(access) => access.possible(),
                _ => Interest::all(),
            },
        };
        if self.has(Marks::LOST | Marks::ACCEPT_STALLED) {
            return Interest::empty();
        }
        if self.has(Marks::INPUT_ENDED | Marks::CLOSE_WHEN_SENT) {
            possible -= Interest::READ | Interest::PRIORITY;
        }
        if self.has(Marks::OUTPUT_ENDED | Marks::CLOSE_WHEN_SENT) {
            possible -= Interest::WRITE;
        }
        if self.has(Marks::PRIORITY_TOLD) {
            possible -= Interest::PRIORITY;
        }
        possible & self.not_paused()
    }

    #[inline]
    pub(super) fn is_paused(&self, interest: Interest) -> bool {
        self.has(Marks::PAUSED.of(interest))
    }

    /// What nobody handles, and is not watched for.
    pub(crate) fn unhandled(&self) -> Interest {
        self.marks.get().interest(Marks::UNHANDLED)
    }

    /// What the channel is watched for, whether its dispatcher wants it or not.
    pub(crate) fn required(&self) -> Interest {
        let flushes = self.has_output() && !self.is_paused(Interest::WRITE);
        if (flushes || self.state() == State::Connecting) && !self.is_lost() {
            Interest::WRITE
        } else {
            Interest::empty()
        }
    }

    /// Whether the time for `handle_close` has come; `reads` says whether reading is wanted.
    #[inline]
    pub(crate) fn is_over(&self, reads: impl FnOnce() -> bool) -> bool {
        // Most often it is not.
        self.may_be_over() && self.has_ended(reads)
    }

    /// Whether something has happened that could end it.
    #[inline]
    pub(crate) fn may_be_over(&self) -> bool {
        self.has(Marks::ENDING)
    }

    #[cold]
    fn has_ended(&self, reads: impl FnOnce() -> bool) -> bool {
        let sent = !self.has_output();
        let output_ended = self.has(Marks::OUTPUT_ENDED);
        if self.has(Marks::INPUT_FAILED) {
            true
        } else if self.has(Marks::CLOSE_WHEN_SENT) {
            sent || output_ended
        } else if self.has(Marks::INPUT_ENDED) {
            if self.has(Marks::HALF_CLOSE) { sent && output_ended } else { sent || output_ended }
        } else {
            // Broken for writing: what the peer sent before is read first, if it is wanted. A
            // connect that failed is told of when it is finished.
            !self.is_paused(Interest::READ) && !reads() && self.state() != State::Connecting
        }
    }

    /// Whether nothing more can be read: the peer has ended its output, or the connection broke.
    pub(crate) fn input_is_over(&self) -> bool {
        self.has(Marks::INPUT_ENDED | Marks::INPUT_FAILED)
    }

    /// Whether nothing more is to be read: the channel is closed, or will be once all is sent.
    pub(crate) fn is_closing(&self) -> bool {
        self.state() == State::Closed || self.has(Marks::CLOSE_WHEN_SENT)
    }

    /// What broke the connection, if something did.
    pub(crate) fn cause(&self) -> Option<io::Error> {
        self.failure.get().map(io::Error::from)
    }

    /// Whether `error` is the one that ends the channel, which will be told then.
    pub(crate) fn knows(&self, error: &io::Error) -> bool {
        let ends = if self.is_lost() { Some(Errno::EBADF) } else { self.failure.get() };
        ends.is_some_and(|errno| error.raw_os_error() == Some(errno as i32))
    }

    /// Stops to watch for an event that found no handler; false if it had been stopped before.
    pub(crate) fn drop_unhandled(&self, interest: Interest) -> bool {
        let before = self.unhandled();
        self.mark(Marks::UNHANDLED.of(interest));
        !before.contains(interest)
    }

    /// Until something is read, out-of-band data is not told of again: it would be for ever.
    pub(crate) fn tell_priority_once(&self) {
        self.mark(Marks::PRIORITY_TOLD);
    }
}
