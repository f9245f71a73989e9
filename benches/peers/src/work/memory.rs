//! What an idle channel takes.

use super::{Round, Work, pair, start};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use std::{fs, io};

struct Nothing;

impl Work for Nothing {
    fn ready(&mut self, token: usize, _: &mut dyn Io) {
        panic!("{token} is ready");
    }
}

/// Copies of one descriptor: what the kernel has of each is not the peer's.
pub(super) fn run<P: Peer>(round: &Round<'_>, n: usize) -> io::Result<Outcome> {
    let (mut peer, _) = start::<P, _>(round.method, Nothing)?;
    let (end, _open) = pair()?;
    let mut ends = Vec::with_capacity(n);
    for _ in 0..n {
        ends.push(end.try_clone()?);
    }
    let before = anonymous_memory()?;
    for (token, end) in ends.into_iter().enumerate() {
        peer.add(token, P::source(end)?, Interest::Read)?;
    }
    peer.wait(Wait::Probe)?;
    let bytes = (anonymous_memory()? - before) as f64 / n as f64 - P::OWN as f64;
    Ok(Outcome { samples: 1, counts: Counts::default(), figures: vec![("bytes".into(), bytes)] })
}

/// The process's memory that is not of files, exactly: heap and stack, touched pages only.
fn anonymous_memory() -> io::Result<i64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other("no such line"))
}
