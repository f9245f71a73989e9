//! The work: what every peer is made to do. Each file is one shape of load.

mod cascade;
mod churn;
mod cold;
mod dense;
mod echo;
mod memory;
mod ring;
mod sparse;

pub(crate) use cold::write_at_random_times;
pub(crate) use echo::{Serve, load};

use crate::{
    clock::Clock,
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Method, Peer, Shared},
    peers::Task,
    spec::{Spec, Toggled},
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

/// Who is told what is ready.
pub(crate) trait Work {
    /// The descriptor behind `token` can be read, through `io`.
    fn ready(&mut self, token: usize, io: &mut dyn Io);
}

/// One round of one work on one peer.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) method: Method,
    /// How long samples are taken, or how many.
    pub(crate) length: Length,
}

/// How much of a work is one round.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    For(Duration),
    Samples(u64),
}

impl Task for Round<'_> {
    type Output = Outcome;

    fn run<P: Peer>(self) -> io::Result<Outcome> {
        match *self.spec {
            Spec::Ring { n, active } => ring::run::<P>(&self, n, active, ring::Moves::Always),
            Spec::Change { n, active } => ring::run::<P>(&self, n, active, ring::Moves::AtTimes),
            Spec::Place { n, place } => ring::place::<P>(&self, n, place),
            Spec::Sparse { n, active } => sparse::run::<P>(&self, n, active),
            Spec::Dense { n } => dense::run::<P>(&self, n),
            Spec::Cascade { n } => cascade::run::<P>(&self, n),
            Spec::Churn { n, toggled: Toggled::Channels } => churn::channels::<P>(&self, n),
            Spec::Churn { n, toggled: Toggled::Writing } => churn::writing::<P>(&self, n),
            Spec::Cold { n, active } => cold::run::<P>(&self, n, active),
            Spec::Memory { n } => memory::run::<P>(&self, n),
            Spec::Echo { .. } => Err(io::Error::other("echo takes two programs: load and serve")),
        }
    }
}

impl Round<'_> {
    /// Repeats `sample`, which times what counts and returns it with the counts of all it did.
    ///
    /// The first half as long as the rest warms caches and tables up, and lets a peer that learns
    /// learn.
    fn repeat(
        &self,
        operations: u64,
        mut sample: impl FnMut(&Clock) -> io::Result<(Duration, Counts)>,
    ) -> io::Result<Outcome> {
        let clock = Clock::new();
        if let Length::For(length) = self.length {
            let start = Instant::now();
            while start.elapsed() < length / 2 {
                sample(&clock)?;
            }
        }
        let (mut spent, mut samples, mut counts) = (Duration::ZERO, 0, Counts::default());
        let start = Instant::now();
        loop {
            let (duration, counted) = sample(&clock)?;
            spent += duration;
            counts = counts + counted;
            samples += 1;
            let done = match self.length {
                Length::For(length) => start.elapsed() >= length,
                Length::Samples(most) => samples >= most,
            };
            if done {
                break;
            }
        }
        let ns = spent.as_nanos() as f64 / (samples * operations) as f64;
        Ok(Outcome { samples, counts, figures: vec![("ns".into(), ns)] })
    }
}

/// A peer and the work that it shares.
fn start<P: Peer, W: Work + 'static>(method: Method, work: W) -> io::Result<(P, Rc<RefCell<W>>)> {
    let work = Rc::new(RefCell::new(work));
    let shared: Shared = work.clone();
    Ok((P::new(shared, method)?, work))
}

/// Watches one end of each pair for reading, with tokens from 0 on; returns the other ends.
fn watch<P: Peer>(
    peer: &mut P,
    pairs: Vec<(OwnedFd, OwnedFd)>,
    interest: Interest,
) -> io::Result<Vec<OwnedFd>> {
    let mut others = Vec::new();
    for (token, (end, other)) in pairs.into_iter().enumerate() {
        peer.add(token, P::source(end)?, interest)?;
        others.push(other);
    }
    Ok(others)
}

/// A connected pair of Unix stream sockets.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?)
}

fn pairs(n: usize) -> io::Result<Vec<(OwnedFd, OwnedFd)>> {
    (0..n).map(|_| pair()).collect()
}

/// Reads once; false if there was nothing.
fn receive(io: &mut dyn Io, buffer: &mut [u8], counts: &mut Counts) -> bool {
    counts.reads += 1;
    match io.recv(buffer) {
        Ok(count) if count == buffer.len() => {
            counts.messages += 1;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        result => panic!("recv: {result:?}"),
    }
}

fn send(io: &mut dyn Io, data: &[u8], counts: &mut Counts) {
    counts.writes += 1;
    assert_eq!(io.send(data).expect("send"), data.len());
}
