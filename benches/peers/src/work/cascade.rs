//! libevent's cascade: one byte goes through pairs that are each watched for one readiness.

use super::{Round, Work, pairs, receive, send, start, watch};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

#[derive(Debug, Default)]
struct Cascade {
    writers: Vec<OwnedFd>,
    /// Who was ready in this pass.
    fired: Vec<usize>,
    counts: Counts,
}

impl Work for Cascade {
    fn ready(&mut self, token: usize, io: &mut dyn Io) {
        if receive(io, &mut [0], &mut self.counts) {
            self.fired.push(token);
            self.write(token + 1);
        }
    }
}

impl Cascade {
    fn write(&mut self, token: usize) {
        if let Some(writer) = self.writers.get(token) {
            send(&mut writer.as_raw_fd(), &[0], &mut self.counts);
        }
    }
}

pub(super) fn run<P: Peer>(round: &Round<'_>, n: usize) -> io::Result<Outcome> {
    let (mut peer, cascade) = start::<P, _>(round.method, Cascade::default())?;
    cascade.borrow_mut().writers = watch(&mut peer, pairs(n)?, Interest::Nothing)?;
    let mut fired = Vec::new();
    round.repeat(n as u64, |clock| {
        let before = cascade.borrow().counts;
        let target = before.messages + n as u64;
        let lap = clock.start();
        for token in 0..n {
            peer.set(token, Interest::ReadOnce)?;
        }
        cascade.borrow_mut().write(0);
        while cascade.borrow().counts.messages < target {
            peer.wait(Wait::UntilReady)?;
            fired.append(&mut cascade.borrow_mut().fired);
            for token in fired.drain(..) {
                peer.set(token, Interest::Nothing)?;
            }
        }
        Ok((lap.stop(), cascade.borrow().counts - before))
    })
}
