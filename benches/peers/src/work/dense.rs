//! Everybody is ready at once.

use super::{Round, Work, pairs, receive, send, start, watch};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use std::{io, os::fd::AsRawFd};

#[derive(Debug, Default)]
struct Dense {
    counts: Counts,
}

impl Work for Dense {
    fn ready(&mut self, _: usize, io: &mut dyn Io) {
        receive(io, &mut [0], &mut self.counts);
    }
}

/// What is timed is the waits and the reads; the writes come before.
pub(super) fn run<P: Peer>(round: &Round<'_>, n: usize) -> io::Result<Outcome> {
    let (mut peer, dense) = start::<P, _>(round.method, Dense::default())?;
    let writers = watch(&mut peer, pairs(n)?, Interest::Read)?;
    round.repeat(n as u64, |clock| {
        let before = dense.borrow().counts;
        for writer in &writers {
            send(&mut writer.as_raw_fd(), &[0], &mut dense.borrow_mut().counts);
        }
        let target = dense.borrow().counts.writes;
        let lap = clock.start();
        while dense.borrow().counts.messages < target {
            peer.wait(Wait::UntilReady)?;
        }
        Ok((lap.stop(), dense.borrow().counts - before))
    })
}
