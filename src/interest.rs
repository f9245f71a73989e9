//! What a channel is watched for: what its state allows, and its dispatcher wants.

use crate::{Interest, State, slab::Occupant};

impl Occupant {
    /// Asks `readable` and `writable`, where the answer matters.
    ///
    /// A connect and queued bytes wait for `WRITE` whatever the dispatcher says. Priority comes
    /// with anything else: out-of-band data reaches a channel that only writes as well. A channel
    /// that wants nothing is not watched, not even for hang-ups.
    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        if self.channel.is_plain() {
            self.ask(Interest::all(), Interest::empty())
        } else {
            self.ask(self.channel.possible(), self.channel.required())
        }
    }

    #[inline(always)]
    fn ask(&self, possible: Interest, required: Interest) -> Interest {
        let Self { channel, dispatcher } = self;
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
        if channel.state() == State::Closed {
            Interest::empty()
        } else {
            interest | channel.required()
        }
    }
}
