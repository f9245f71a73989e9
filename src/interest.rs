//! What a channel is watched for: what its state allows, and its dispatcher wants, who is asked
//! after each callback.

use crate::{Channel, Context, Dispatcher, Interest, State, slab::Occupant};
use std::io;

/// How a channel is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) interest: Interest,
    /// Whether it is looked at in every pass.
    pub(crate) urgent: bool,
}

impl Occupant {
    /// Asks `readable` and `writable`, where the answer matters.
    ///
    /// A connect and queued bytes wait for `WRITE` whatever the dispatcher says. Priority comes
    /// with anything else: out-of-band data reaches a channel that only writes as well. A channel
    /// that wants nothing is not watched, not even for hang-ups.
    pub(crate) fn interest(&self) -> Interest {
        self.dispatcher.interest(&self.channel)
    }
}

/// A dispatcher as the reactor calls it.
///
/// After a system call a processor often mispredicts where a virtual call goes. So the callbacks of
/// every message are one virtual call with the question that follows them, and its answer fits into
/// registers: an error waits in the context.
pub(crate) trait Served: Dispatcher {
    /// `handle_read`; then what the channel is to be watched for. Nothing, if it is not
    /// [plain](Channel::is_plain) any more or there was an error: it has to be asked then.
    fn read(&mut self, cx: &mut Context<'_>) -> Interest;

    /// `handle_write`, likewise.
    fn write(&mut self, cx: &mut Context<'_>) -> Interest;

    /// What the channel is to be watched for.
    fn interest(&self, channel: &Channel) -> Interest;
}

impl<D: Dispatcher> Served for D {
    fn read(&mut self, cx: &mut Context<'_>) -> Interest {
        let result = self.handle_read(cx);
        answer(self, cx, result)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Interest {
        let result = self.handle_write(cx);
        answer(self, cx, result)
    }

    fn interest(&self, channel: &Channel) -> Interest {
        if channel.is_plain() {
            ask(self, channel, channel.not_paused(), Interest::empty())
        } else {
            ask(self, channel, channel.possible(), channel.required())
        }
    }
}

/// What a callback of every message returns.
#[inline]
fn answer(dispatcher: &impl Dispatcher, cx: &mut Context<'_>, result: io::Result<()>) -> Interest {
    if let Err(error) = result {
        cx.fail(error);
        return Interest::empty();
    }
    if !cx.is_plain() {
        return Interest::empty();
    }
    let answer = ask(dispatcher, cx, cx.not_paused(), Interest::empty());
    // The question itself may have changed the channel.
    if cx.is_plain() { answer } else { Interest::empty() }
}

#[inline]
fn ask(
    dispatcher: &impl Dispatcher,
    channel: &Channel,
    possible: Interest,
    required: Interest,
) -> Interest {
    let mut interest = required;
    if possible.contains(Interest::READ) && dispatcher.readable(channel) {
        interest |= Interest::READ;
    }
    if (possible - interest).contains(Interest::WRITE) && dispatcher.writable(channel) {
        interest |= Interest::WRITE;
    }
    if !interest.is_empty() {
        interest |= possible & Interest::PRIORITY;
    }
    // Last, so that who handles nothing else still hears of out-of-band data.
    interest -= channel.unhandled();
    if channel.is_plain() {
        return interest;
    }
    // The dispatcher may have closed it when it was asked, or pushed something.
    if channel.state() == State::Closed { Interest::empty() } else { interest | channel.required() }
}
