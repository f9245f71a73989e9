//! polling on poll(2), which takes `--cfg polling_test_poll_backend`.

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use polling::{Event, Events, PollMode, Poller};
use std::{io, os::fd::OwnedFd, time::Duration};

pub(crate) struct Polling {
    work: Shared,
    poller: Poller,
    events: Events,
    /// Dropped after the poller, which must not outlive a source that it watches.
    sources: Sources,
}

impl Peer for Polling {
    type Source = OwnedFd;
    const OWN: usize = Sources::EACH;

    fn new(work: Shared, method: Method) -> io::Result<Self> {
        let forced = cfg!(polling_test_poll_backend);
        assert_eq!(forced, method == Method::Poll, "this build of polling is for the other method");
        let sources = Sources::default();
        Ok(Self { work, sources, poller: Poller::new()?, events: Events::new() })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        // SAFETY: `remove` deletes it before it is closed; at the end
        // the poller is dropped first.
        unsafe { self.poller.add_with_mode(&source, event(token, interest), mode(interest))? };
        self.sources.insert(token, source);
        Ok(())
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        if interest == Interest::Nothing {
            // The only who asks for this is one-shot work, and the poller has done it.
            return Ok(());
        }
        let fd = self.sources.get(token);
        self.poller.modify_with_mode(fd, event(token, interest), mode(interest))
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        self.poller.delete(self.sources.get(token))?;
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.events.clear();
        let timeout = (wait == Wait::Probe).then_some(Duration::ZERO);
        self.poller.wait(&mut self.events, timeout)?;
        let mut work = self.work.borrow_mut();
        for event in self.events.iter().filter(|event| event.readable) {
            work.ready(event.key, &mut self.sources.raw(event.key));
        }
        Ok(())
    }
}

fn event(token: usize, interest: Interest) -> Event {
    Event::new(token, interest.reads(), interest.writes())
}

fn mode(interest: Interest) -> PollMode {
    if interest == Interest::ReadOnce { PollMode::Oneshot } else { PollMode::Level }
}
