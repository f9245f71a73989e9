//! popol: poll(2).

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use popol::interest;
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

pub(crate) struct Popol {
    work: Shared,
    sources: Sources,
    popol: popol::Sources<usize>,
    events: Vec<popol::Event<usize>>,
}

impl Peer for Popol {
    type Source = OwnedFd;
    const OWN: usize = Sources::EACH;

    fn new(work: Shared, _: Method) -> io::Result<Self> {
        let sources = Sources::default();
        Ok(Self { work, sources, popol: popol::Sources::new(), events: Vec::new() })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        if interest.reads() {
            self.popol.register(token, &source, interest::READ);
        }
        self.sources.insert(token, source);
        Ok(())
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        match interest {
            Interest::Nothing => self.popol.unregister(&token),
            // Whoever asks for this has stopped before.
            Interest::ReadOnce => {
                self.popol.register(token, &self.sources.get(token), interest::READ);
            }
            Interest::Read => {
                self.popol.unset(&token, interest::WRITE);
            }
            Interest::ReadWrite => {
                self.popol.set(&token, interest::WRITE);
            }
        }
        Ok(())
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        self.popol.unregister(&token);
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.events.clear();
        let result = match wait {
            Wait::UntilReady => self.popol.wait(&mut self.events),
            Wait::Probe => self.popol.poll(&mut self.events, Duration::ZERO),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => return Err(error),
            _ => {}
        }
        let mut work = self.work.borrow_mut();
        for event in &self.events {
            if event.is_readable() || event.is_hangup() || event.is_error() {
                work.ready(event.key, &mut event.as_raw_fd());
            }
        }
        Ok(())
    }
}
