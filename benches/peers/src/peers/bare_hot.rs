//! A bare loop that knows who is busy, and asks about the others in slices: the limit of what can
//! be reached without asking about everybody each time.

use crate::{
    peer::{Interest, Io, Method, Peer, Shared, Wait},
    work::Work,
};
use std::{cell::RefCell, io, os::fd::OwnedFd, rc::Rc, time::Instant};

/// So many first waits are about everybody: whoever is ready in a quarter of them is busy.
const LEARNING: u32 = 8;

/// How many descriptors are in a slice, and when one is due, in nanoseconds.
const IN_SLICE: usize = 128;
const SLICE: f64 = 25_000.0;

/// So much of the time goes to the others, as by asyncore-rs's default. Once one of them was ready
/// it is as much as it takes to be done with all of them in the time of ten looks at everybody.
const SHARE: f64 = 1.0 / 16.0;
const LOOKS: f64 = 10.0;

/// Each part is a bare loop of its own.
pub(crate) struct BareHot<P: Peer> {
    method: Method,
    hits: Rc<RefCell<Hits>>,
    /// Everybody, until it is known who is busy.
    all: P,
    waits: u32,
    hot: P,
    slices: Vec<P>,
    /// The slice that is next.
    next: usize,
    /// The time that one look at everybody took, and what a round over the slices has so far.
    look: f64,
    round: f64,
    share: f64,
    owed: f64,
    last: Instant,
}

/// Counts how often each was ready, but for those that are known to be busy.
struct Hits {
    work: Shared,
    hits: Vec<u32>,
    /// Since it is known who is busy: one that is not.
    one_was_ready: bool,
}

impl Work for Hits {
    fn ready(&mut self, token: usize, io: &mut dyn Io) {
        self.hits[token] += 1;
        self.one_was_ready = true;
        self.work.borrow_mut().ready(token, io);
    }
}

impl<P: Peer> Peer for BareHot<P> {
    type Source = P::Source;
    const OWN: usize = 0;

    fn new(work: Shared, method: Method) -> io::Result<Self> {
        let hits = Hits { work: work.clone(), hits: Vec::new(), one_was_ready: false };
        let hits = Rc::new(RefCell::new(hits));
        Ok(Self {
            method,
            all: P::new(hits.clone(), method)?,
            waits: 0,
            hot: P::new(work, method)?,
            slices: Vec::new(),
            next: 0,
            look: f64::INFINITY,
            round: 0.0,
            share: SHARE,
            owed: 0.0,
            last: Instant::now(),
            hits,
        })
    }

    fn source(fd: OwnedFd) -> io::Result<P::Source> {
        P::source(fd)
    }

    fn add(&mut self, token: usize, source: P::Source, interest: Interest) -> io::Result<()> {
        self.hits.borrow_mut().hits.push(0);
        self.all.add(token, source, interest)
    }

    fn set(&mut self, _: usize, _: Interest) -> io::Result<()> {
        Err(io::Error::other("what is busy stays busy"))
    }

    fn remove(&mut self, _: usize) -> io::Result<Option<P::Source>> {
        Err(io::Error::other("what is busy stays"))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let begun = Instant::now();
        if self.waits < LEARNING {
            self.all.wait(wait)?;
            self.look = self.look.min(begun.elapsed().as_nanos() as f64);
            self.waits += 1;
            return if self.waits < LEARNING { Ok(()) } else { self.divide() };
        }
        self.owed += begun.duration_since(self.last).as_nanos() as f64 * self.share;
        self.last = begun;
        self.hot.wait(Wait::Probe)?;
        if self.owed >= SLICE { self.look_at_a_slice() } else { Ok(()) }
    }
}

impl<P: Peer> BareHot<P> {
    fn divide(&mut self) -> io::Result<()> {
        let hits = self.hits.borrow().hits.clone();
        let mut cold = 0;
        for (token, hits) in hits.iter().enumerate() {
            let Some(source) = self.all.remove(token)? else { continue };
            if 4 * hits >= LEARNING {
                self.hot.add(token, source, Interest::Read)?;
                continue;
            }
            if cold % IN_SLICE == 0 {
                self.slices.push(P::new(self.hits.clone(), self.method)?);
            }
            cold += 1;
            self.slices.last_mut().expect("one was pushed").add(token, source, Interest::Read)?;
        }
        self.hits.borrow_mut().one_was_ready = false;
        self.last = Instant::now();
        Ok(())
    }

    fn look_at_a_slice(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.slices[self.next].wait(Wait::Probe)?;
        self.next = (self.next + 1) % self.slices.len();
        let spent = begun.elapsed().as_nanos() as f64;
        self.owed -= spent;
        self.round += spent;
        if self.next == 0 {
            if self.hits.borrow().one_was_ready {
                self.share = (self.round / (LOOKS * self.look)).clamp(SHARE, 0.5);
            }
            self.round = 0.0;
        }
        Ok(())
    }
}
