//! The choices that are made once, before a reactor exists.

use crate::{DefaultBackend, Reactor, map::Options};
use asyncore_backends::{Backend, Scan};

/// Makes a [`Reactor`] with other than the usual choices.
///
/// ```
/// use asyncore::Reactor;
///
/// let reactor = Reactor::builder().accept_batch(1).build();
/// assert!(reactor.is_empty());
/// ```
#[derive(Debug)]
#[must_use]
pub struct Builder<B = DefaultBackend> {
    backend: B,
    options: Options,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { backend: DefaultBackend::new(), options: Options::default() }
    }
}

impl<B: Backend> Builder<B> {
    /// Waits with this backend; [`DefaultBackend`] unless set.
    pub fn backend<C: Backend>(self, backend: C) -> Builder<C> {
        Builder { backend, options: self.options }
    }

    /// Asks every dispatcher's `readable` and `writable` before every wait, as asyncore does;
    /// false unless set.
    ///
    /// It costs time for every channel in every pass. Without it the answers are kept until the
    /// dispatcher is touched: see [`Reactor::touch`].
    pub fn ask_every_pass(mut self, on: bool) -> Self {
        self.options.ask_every_pass = on;
        self
    }

    /// How many connections a listener may accept in one pass; 16 unless set, never less than 1.
    pub fn accept_batch(mut self, limit: usize) -> Self {
        self.options.accept_batch = limit.max(1);
        self
    }

    /// How a wait looks for what is ready; [`Scan::Adaptive`] unless set.
    ///
    /// A system call asks about every channel, most of them in vain. So those that were busy lately
    /// are asked about first, alone, where that pays: of many channels, few are busy at a time. With
    /// a few dozen channels everything is asked about in each call, at most once more without
    /// waiting. [`Scan::Plain`] makes one system call per
    /// pass on everything, as asyncore does.
    pub fn scan(mut self, scan: Scan) -> Self {
        self.options.scan = scan;
        self
    }

    /// How much of the time goes to looking at channels that are not busy, while others are: a
    /// sixteenth unless set, and between a hundredth and nine tenths.
    ///
    /// It is what bounds the time until such a channel is served: a round over all of them takes as
    /// long as to ask about each (some 0.3 µs), divided by this share. In the first two rounds, and
    /// while one round in a few finds one that is ready, the share is up to 3.8 times as large,
    /// though for that not raised above half: as large as a round needs that ends in 1 ms, or in
    /// ten times as long as it takes to ask about all at once if that is longer. Listeners, the
    /// remote handle and [urgent](crate::Channel::set_urgent) channels do not wait for it.
    ///
    /// Of no use when more than half of the channels are busy: then each pass asks about all.
    pub fn cold_share(mut self, share: f64) -> Self {
        self.options.cold_share = Some(share);
        self
    }

    /// Makes the reactor.
    #[must_use]
    pub fn build(self) -> Reactor<B> {
        let options = Options { fd_limit: B::FD_LIMIT, ..self.options };
        Reactor::assemble(self.backend, options)
    }
}
