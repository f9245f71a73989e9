//! Bytes go around a ring of socketpairs. The activity moves: each is ready once in a while.

use super::{Round, Work, pairs, receive, send, start, watch};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
    spec::Place,
};
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// One loop of a thousand bytes, or a thousand loops of one: what a sample is.
const HOPS: u64 = 1000;
/// How long activity moves before it stays, and stays before it moves.
const PHASE: u64 = 250;

/// Whether a byte goes on to the next pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    Always,
    /// In one phase. In the other it comes back to the pair where it is, so that few are busy.
    AtTimes,
}

struct Ring {
    writers: Vec<OwnedFd>,
    moves: Moves,
    /// How many bytes are to be written in all.
    target: u64,
    counts: Counts,
}

impl Work for Ring {
    fn ready(&mut self, token: usize, io: &mut dyn Io) {
        let mut byte = [0];
        if receive(io, &mut byte, &mut self.counts) && self.counts.writes < self.target {
            let stays =
                self.moves == Moves::AtTimes && !(self.counts.writes / PHASE).is_multiple_of(2);
            let next = if stays { token } else { (token + 1) % self.writers.len() };
            self.write(next, byte);
        }
    }
}

impl Ring {
    fn write(&mut self, token: usize, byte: [u8; 1]) {
        send(&mut self.writers[token].as_raw_fd(), &byte, &mut self.counts);
    }
}

pub(super) fn run<P: Peer>(
    round: &Round<'_>,
    n: usize,
    active: usize,
    moves: Moves,
) -> io::Result<Outcome> {
    around::<P>(round, pairs(n)?, active, moves)
}

/// One byte around the same ring, on other descriptor numbers.
pub(super) fn place<P: Peer>(round: &Round<'_>, n: usize, place: Place) -> io::Result<Outcome> {
    let null = OwnedFd::from(File::open("/dev/null")?);
    let mut fillers = Vec::new();
    let mut fill = |count| -> io::Result<()> {
        for _ in 0..count {
            fillers.push(null.try_clone()?);
        }
        Ok(())
    };
    let mut ends = Vec::new();
    if place == Place::High {
        fill(10_000)?;
    }
    for _ in 0..n {
        if place == Place::Scattered {
            fill(10)?;
        }
        ends.push(super::pair()?);
    }
    drop(fillers);
    around::<P>(round, ends, 1, Moves::Always)
}

fn around<P: Peer>(
    round: &Round<'_>,
    pairs: Vec<(OwnedFd, OwnedFd)>,
    active: usize,
    moves: Moves,
) -> io::Result<Outcome> {
    let n = pairs.len();
    let ring = Ring { writers: Vec::new(), moves, target: 0, counts: Counts::default() };
    let (mut peer, ring) = start::<P, _>(round.method, ring)?;
    ring.borrow_mut().writers = watch(&mut peer, pairs, Interest::Read)?;
    round.repeat(HOPS, |clock| {
        let before = ring.borrow().counts;
        let lap = clock.start();
        ring.borrow_mut().target += HOPS;
        for byte in 0..active {
            ring.borrow_mut().write(byte * n / active, [0]);
        }
        let target = ring.borrow().target;
        while ring.borrow().counts.messages < target {
            peer.wait(Wait::UntilReady)?;
        }
        Ok((lap.stop(), ring.borrow().counts - before))
    })
}
