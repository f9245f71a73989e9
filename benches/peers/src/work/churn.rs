//! What is watched changes, and nothing else happens.

use super::{Round, Work, pair, pairs, start, watch};
use crate::{
    clock::Clock,
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use nix::sys::socket::{setsockopt, sockopt::SndBuf};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

/// Nothing is ever ready.
struct Quiet;

impl Work for Quiet {
    fn ready(&mut self, token: usize, _: &mut dyn Io) {
        panic!("{token} is ready");
    }
}

/// The time of `change` and of the pass after it, in which many peers do what they were told, less
/// the time of another pass.
fn time<P: Peer>(
    peer: &mut P,
    clock: &Clock,
    change: impl FnOnce(&mut P) -> io::Result<()>,
) -> io::Result<(Duration, Duration)> {
    let lap = clock.start();
    change(peer)?;
    peer.wait(Wait::Probe)?;
    let both = lap.stop();
    let lap = clock.start();
    peer.wait(Wait::Probe)?;
    Ok((both, lap.stop()))
}

/// Adds `n` channels and removes them.
pub(super) fn channels<P: Peer>(round: &Round<'_>, n: usize) -> io::Result<Outcome> {
    let (mut peer, _) = start::<P, _>(round.method, Quiet)?;
    let (stays, _open) = pair()?;
    peer.add(n, P::source(stays)?, Interest::Read)?;
    let (mut sources, mut others) = (Vec::new(), Vec::new());
    for (end, other) in pairs(n)? {
        sources.push(P::source(end)?);
        others.push(other);
    }
    round.repeat(2 * n as u64, |clock| {
        let added = time(&mut peer, clock, |peer| {
            let mut sources = sources.drain(..).enumerate();
            sources.try_for_each(|(token, source)| peer.add(token, source, Interest::Read))
        })?;
        let removed = time(&mut peer, clock, |peer| {
            for token in 0..n {
                sources.push(peer.remove(token)?.expect("it is still there"));
            }
            Ok(())
        })?;
        Ok((less_the_passes([added, removed]), Counts::default()))
    })
}

/// Wants to write on `n` channels, and no more. There is no room to write on any of them.
pub(super) fn writing<P: Peer>(round: &Round<'_>, n: usize) -> io::Result<Outcome> {
    let (mut peer, _) = start::<P, _>(round.method, Quiet)?;
    let pairs = pairs(n)?;
    for (end, _) in &pairs {
        fill(end)?;
    }
    let _open = watch(&mut peer, pairs, Interest::Read)?;
    round.repeat(2 * n as u64, |clock| {
        let mut set_all = |interest| {
            time(&mut peer, clock, |peer| (0..n).try_for_each(|token| peer.set(token, interest)))
        };
        let changes = [set_all(Interest::ReadWrite)?, set_all(Interest::Read)?];
        Ok((less_the_passes(changes), Counts::default()))
    })
}

fn less_the_passes(times: [(Duration, Duration); 2]) -> Duration {
    let [(first, first_pass), (second, second_pass)] = times;
    (first + second).saturating_sub(first_pass + second_pass)
}

/// Writes until there is no room.
fn fill(end: &OwnedFd) -> io::Result<()> {
    setsockopt(end, SndBuf, &4096)?;
    loop {
        match end.as_raw_fd().send(&[0; 1024]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
