//! A few connections talk, many are silent. The activity stays where it is.

use super::{Round, Work, pair, receive, send, start};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use std::{io, os::fd::OwnedFd};

/// How many messages a sample is.
const MESSAGES: u64 = 1000;
/// The length of one.
pub(super) const LENGTH: usize = 64;

/// Whoever gets a message sends one back, until there were enough.
#[derive(Debug, Default)]
pub(super) struct PingPong {
    pub(super) target: u64,
    pub(super) counts: Counts,
}

impl Work for PingPong {
    fn ready(&mut self, _: usize, io: &mut dyn Io) {
        let mut message = [0; LENGTH];
        if receive(io, &mut message, &mut self.counts) && self.counts.writes < self.target {
            send(io, &message, &mut self.counts);
        }
    }
}

/// What is watched, made but not added yet, in the order of the tokens.
pub(super) struct Field {
    pub(super) ends: Vec<OwnedFd>,
    /// The tokens of one end of each active pair; the other end has the next one.
    pub(super) active: Vec<usize>,
    /// The tokens of the idle ones, each with its other end, which is not watched.
    pub(super) idle: Vec<(usize, OwnedFd)>,
}

/// `active` pairs spread evenly among `n` idle ones.
pub(super) fn field(n: usize, active: usize) -> io::Result<Field> {
    let mut field = Field { ends: Vec::new(), active: Vec::new(), idle: Vec::new() };
    for index in 0..active {
        field.active.push(field.ends.len());
        let (one, other) = pair()?;
        field.ends.extend([one, other]);
        for _ in n * index / active..n * (index + 1) / active {
            let (end, other) = pair()?;
            field.idle.push((field.ends.len(), other));
            field.ends.push(end);
        }
    }
    Ok(field)
}

pub(super) fn run<P: Peer>(round: &Round<'_>, n: usize, active: usize) -> io::Result<Outcome> {
    let (mut peer, play) = start::<P, _>(round.method, PingPong::default())?;
    let Field { ends, active, idle: _open } = field(n, active)?;
    // The opening messages go through copies of the descriptors.
    let mut openers = Vec::new();
    for token in active {
        openers.push(ends[token].try_clone()?);
    }
    for (token, end) in ends.into_iter().enumerate() {
        peer.add(token, P::source(end)?, Interest::Read)?;
    }
    round.repeat(MESSAGES, |clock| {
        let before = play.borrow().counts;
        let lap = clock.start();
        play.borrow_mut().target += MESSAGES;
        open(&openers, &mut play.borrow_mut().counts);
        let target = play.borrow().target;
        while play.borrow().counts.messages < target {
            peer.wait(Wait::UntilReady)?;
        }
        Ok((lap.stop(), play.borrow().counts - before))
    })
}

/// Sends the first message of each active pair.
pub(super) fn open(openers: &[OwnedFd], counts: &mut Counts) {
    use std::os::fd::AsRawFd;
    for opener in openers {
        send(&mut opener.as_raw_fd(), &[0; LENGTH], counts);
    }
}
