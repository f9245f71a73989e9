//! What a history is made of. All of it is plain data: what is printed can be pasted as a test.

use asyncore::Interest;

/// How many channels there are at the most. Each place has a number of its own, so that who comes
/// to a place has the number of who was there before.
pub(crate) const PLACES: usize = 6;

/// More than one flush takes, in whole pieces.
pub(crate) const MUCH: usize = 128 << 10;

/// What a channel queues at the most: that much, and a little.
pub(crate) const QUEUE_LIMIT: usize = MUCH + 200;

/// With more than that unread by us, a peer waits before it sends more.
pub(crate) const MOST_UNREAD: usize = 2000;

/// Any of `r`, `w` and `p`: reading, writing, priority.
pub(crate) type Events = &'static str;

pub(crate) fn interest(events: Events) -> Interest {
    let mut interest = Interest::empty();
    interest.set(Interest::READ, events.contains('r'));
    interest.set(Interest::WRITE, events.contains('w'));
    interest.set(Interest::PRIORITY, events.contains('p'));
    interest
}

/// What one outer step of a history is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// Outside of any callback.
    Do(Act),
    /// What the next callback of this kind does, once.
    Plan { at: usize, call: Call, acts: [Act; 2], end: End },
    /// `Reactor::poll`.
    Pass,
    /// `Reactor::run_with`.
    Run(u64),
}

/// What may be done at any time, to any place, in a callback as well. Where it makes no sense,
/// nothing is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Act {
    Nothing,
    Add(usize, Kind),
    /// Closes the number behind the reactor's back.
    Tear(usize),
    /// Does so and gives the number to a new channel.
    Replace(usize, Kind),
    /// Takes the channel out and adds it again.
    Readd(usize),
    Del(usize),
    /// `close_channel`: by key.
    CloseKey(usize),
    /// `Channel::close`.
    Close(usize),
    CloseWhenSent(usize),
    HalfClose(usize, bool),
    /// `shutdown` of our output.
    Shut(usize),
    Pause(usize, Events),
    Resume(usize, Events),
    /// What `readable` and `writable` say.
    Wants(usize, bool, bool),
    Touch(usize),
    Push(usize, usize),
    PushMuch(usize),
    Send(usize, usize),
    Discard(usize),
    Recv(usize, usize),
    RecvOob(usize),
    /// Looks at the state and the queue.
    Look(usize),
    /// Tries everything with a key whose channel is gone.
    Stale(usize),
    Stop,
    /// Sets a timer that is due at once, unless the one of this place is pending.
    Timer(usize, Due),
    CancelTimer(usize),
    PeerSends(usize, usize),
    PeerSendsOob(usize),
    /// `SHUT_WR`.
    PeerEnds(usize),
    PeerCloses(usize),
    PeerResets(usize),
    /// Peers read whatever comes. This one no longer does, and the way to it fills up.
    PeerHolds(usize),
    PeerReads(usize),
}

/// What a timer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Tells,
    /// It sets itself again.
    Again,
    /// It closes a channel, by key.
    Closes(usize),
    /// It cancels a timer.
    Cancels(usize),
    Stops,
    Panics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unix,
    Tcp,
    /// The end of a pipe that we read.
    PipeIn,
    /// The end of a pipe that we write.
    PipeOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Expt,
    Error,
    Close,
}

pub(crate) const CALLS: [Call; 5] = [Call::Read, Call::Write, Call::Expt, Call::Error, Call::Close];

/// How a callback ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// What it usually does: it reads, it no longer wants to write, it takes the out-of-band byte,
    /// it gives the channel up.
    Usual,
    /// It does nothing, and all is well.
    Fine,
    /// It leaves the event to the trait's default.
    Unhandled,
    WouldBlock,
    /// `EPERM`.
    Fails,
    /// `ECONNRESET`, which nobody has told it.
    Resets,
    Panics,
}

/// SplitMix64.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn events(&mut self) -> Events {
        ["r", "w", "p", "rw", "rp", "wp", "rwp"][self.below(7)]
    }

    fn kind(&mut self) -> Kind {
        match self.below(8) {
            0..2 => Kind::Tcp,
            2 => Kind::PipeIn,
            3 => Kind::PipeOut,
            _ => Kind::Unix,
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        match self.below(20) {
            0..5 => Step::Pass,
            5 => Step::Run(1 + self.below(2) as u64),
            6..9 => {
                let at = self.below(PLACES);
                let call =
                    [Call::Read, Call::Read, Call::Write, Call::Expt, Call::Error, Call::Close]
                        [self.below(6)];
                let acts = std::array::from_fn(|_| self.act());
                let end = match self.below(16) {
                    0 => End::Fine,
                    1 => End::Unhandled,
                    2 => End::WouldBlock,
                    3 => End::Fails,
                    4 => End::Resets,
                    5 => End::Panics,
                    _ => End::Usual,
                };
                Step::Plan { at, call, acts, end }
            }
            _ => Step::Do(self.act()),
        }
    }

    fn due(&mut self) -> Due {
        match self.below(10) {
            0 => Due::Again,
            1 => Due::Closes(self.below(PLACES)),
            2 => Due::Cancels(self.below(PLACES)),
            3 => Due::Stops,
            4 => Due::Panics,
            _ => Due::Tells,
        }
    }

    fn act(&mut self) -> Act {
        let at = self.below(PLACES);
        match self.below(100) {
            0..14 => Act::Add(at, self.kind()),
            14 => Act::Tear(at),
            15 => Act::Replace(at, self.kind()),
            16 => Act::Readd(at),
            17 => Act::Del(at),
            18 => Act::CloseKey(at),
            19 => Act::Close(at),
            20 => Act::CloseWhenSent(at),
            21..23 => Act::HalfClose(at, !self.one_in(4)),
            23..25 => Act::Shut(at),
            25..28 => Act::Pause(at, self.events()),
            28..33 => Act::Resume(at, "rwp"),
            33..42 => Act::Wants(at, !self.one_in(4), self.one_in(2)),
            42 => Act::Touch(at),
            43..51 => Act::Push(at, 1 + self.below(100)),
            51..54 => Act::PushMuch(at),
            54..57 => Act::Send(at, 1 + self.below(100)),
            57 => Act::Discard(at),
            58..60 => Act::Recv(at, 1 + self.below(40)),
            60 => Act::RecvOob(at),
            61..64 => Act::Look(at),
            64..66 => Act::Stale(at),
            66 => Act::Stop,
            67..80 => Act::PeerSends(at, 1 + self.below(40)),
            80..84 => Act::PeerSendsOob(at),
            84..87 => Act::PeerEnds(at),
            87 => Act::PeerCloses(at),
            88 => Act::PeerResets(at),
            89..92 => Act::PeerHolds(at),
            92..96 => Act::PeerReads(at),
            96..99 => Act::Timer(at, self.due()),
            _ => Act::CancelTimer(at),
        }
    }
}

impl Act {
    /// Whom it is about.
    pub(crate) fn place(self) -> Option<usize> {
        match self {
            Self::Nothing | Self::Stop | Self::Timer(..) | Self::CancelTimer(_) => None,
            Self::Add(at, _)
            | Self::Tear(at)
            | Self::Replace(at, _)
            | Self::Readd(at)
            | Self::Del(at)
            | Self::CloseKey(at)
            | Self::Close(at)
            | Self::CloseWhenSent(at)
            | Self::HalfClose(at, _)
            | Self::Shut(at)
            | Self::Pause(at, _)
            | Self::Resume(at, _)
            | Self::Wants(at, ..)
            | Self::Touch(at)
            | Self::Push(at, _)
            | Self::PushMuch(at)
            | Self::Send(at, _)
            | Self::Discard(at)
            | Self::Recv(at, _)
            | Self::RecvOob(at)
            | Self::Look(at)
            | Self::Stale(at)
            | Self::PeerSends(at, _)
            | Self::PeerSendsOob(at)
            | Self::PeerEnds(at)
            | Self::PeerCloses(at)
            | Self::PeerResets(at)
            | Self::PeerHolds(at)
            | Self::PeerReads(at) => Some(at),
        }
    }
}
