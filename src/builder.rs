//! The choices that are made once, before a reactor exists.

use crate::{DefaultBackend, Reactor, map::Options};
use asyncore_backends::Backend;

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

    /// Makes the reactor.
    #[must_use]
    pub fn build(self) -> Reactor<B> {
        let options = Options { fd_limit: B::FD_LIMIT, ..self.options };
        Reactor::assemble(self.backend, options)
    }
}
