//! mio: epoll(7), or poll(2) with `--cfg mio_unsupported_force_poll_poll`.

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use mio::{Events, Poll, Token, unix::SourceFd};
use std::{io, os::fd::OwnedFd, time::Duration};

pub(crate) struct Mio {
    work: Shared,
    sources: Sources,
    poll: Poll,
    events: Events,
    /// mio knows no interest in nothing, so such a source is not registered.
    registered: Vec<bool>,
}

impl Peer for Mio {
    type Source = OwnedFd;
    const OWN: usize = Sources::EACH + size_of::<bool>();

    fn new(work: Shared, method: Method) -> io::Result<Self> {
        let forced = cfg!(mio_unsupported_force_poll_poll);
        assert_eq!(forced, method == Method::Poll, "this build of mio is for the other method");
        let events = Events::with_capacity(1024);
        let (sources, poll) = (Sources::default(), Poll::new()?);
        Ok(Self { work, sources, poll, events, registered: Vec::new() })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        self.sources.insert(token, source);
        if token >= self.registered.len() {
            self.registered.resize(token + 1, false);
        }
        self.set(token, interest)
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        let fd = self.sources.raw(token);
        let registry = self.poll.registry();
        let wanted = match interest {
            Interest::ReadWrite => mio::Interest::READABLE | mio::Interest::WRITABLE,
            _ => mio::Interest::READABLE,
        };
        match (self.registered[token], interest.reads()) {
            (false, true) => registry.register(&mut SourceFd(&fd), Token(token), wanted)?,
            (true, true) => registry.reregister(&mut SourceFd(&fd), Token(token), wanted)?,
            (true, false) => match registry.deregister(&mut SourceFd(&fd)) {
                // Its poll(2) forgets by itself what hung up.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            (false, false) => {}
        }
        self.registered[token] = interest.reads();
        Ok(())
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        self.set(token, Interest::Nothing)?;
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.poll.poll(&mut self.events, (wait == Wait::Probe).then_some(Duration::ZERO))?;
        let mut work = self.work.borrow_mut();
        for event in &self.events {
            let Token(token) = event.token();
            let mut fd = self.sources.raw(token);
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                work.ready(token, &mut fd);
            }
            // Its poll(2) stops to watch what it has told of, until a read says WouldBlock or this.
            // Everybody is to make the same reads, so it is this. What hung up it has forgotten.
            #[cfg(mio_unsupported_force_poll_poll)]
            if !event.is_read_closed() && !event.is_error() {
                let wanted = mio::Interest::READABLE;
                self.poll.registry().reregister(&mut SourceFd(&fd), Token(token), wanted)?;
            }
        }
        Ok(())
    }
}
