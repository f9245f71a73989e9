//! What a channel is watched for: what its state allows, and its dispatcher wants.

use crate::{Channel, Context, Dispatcher, Interest, State, slab::Occupant};
use std::io;

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
/// A system call makes the processor forget where virtual calls go, so that each of them is a wrong
/// guess: one that reads or writes asks the dispatcher what it wants now before it returns.
pub(crate) trait Served: Dispatcher {
    /// `handle_read`, and what the channel is to be watched for then.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Interest>;

    /// `handle_write`, and what the channel is to be watched for then.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<Interest>;

    /// What the channel is to be watched for.
    fn interest(&self, channel: &Channel) -> Interest;
}

impl<D: Dispatcher> Served for D {
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Interest> {
        self.handle_read(cx)?;
        Ok(interest(self, cx))
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<Interest> {
        self.handle_write(cx)?;
        Ok(interest(self, cx))
    }

    fn interest(&self, channel: &Channel) -> Interest {
        interest(self, channel)
    }
}

#[inline]
fn interest(dispatcher: &impl Dispatcher, channel: &Channel) -> Interest {
    if channel.is_plain() {
        ask(dispatcher, channel, Interest::all(), Interest::empty())
    } else {
        ask_an_unusual_one(dispatcher, channel)
    }
}

#[cold]
fn ask_an_unusual_one(dispatcher: &impl Dispatcher, channel: &Channel) -> Interest {
    ask(dispatcher, channel, channel.possible(), channel.required())
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
