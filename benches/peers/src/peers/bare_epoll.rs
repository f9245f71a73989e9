//! epoll(7), called straight: what select and poll are measured against.

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

pub(crate) struct BareEpoll {
    work: Shared,
    sources: Sources,
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl BareEpoll {
    fn control(&self, operation: libc::c_int, token: usize, interest: Interest) -> io::Result<()> {
        let mut events = 0;
        for (wanted, event) in [
            (interest.reads(), libc::EPOLLIN),
            (interest.writes(), libc::EPOLLOUT),
            (interest == Interest::ReadOnce, libc::EPOLLONESHOT),
        ] {
            if wanted {
                events |= event as u32;
            }
        }
        let mut event = libc::epoll_event { events, u64: token as u64 };
        let (epoll, fd) = (self.epoll.as_raw_fd(), self.sources.raw(token));
        // SAFETY: `event` is valid for the call.
        let result = unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Peer for BareEpoll {
    type Source = OwnedFd;
    const OWN: usize = Sources::EACH;

    fn new(work: Shared, _: Method) -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given it to us.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
        Ok(Self { work, sources: Sources::default(), epoll, events })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        self.sources.insert(token, source);
        self.control(libc::EPOLL_CTL_ADD, token, interest)
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        if interest == Interest::Nothing {
            // The only who asks for this is one-shot work, and the kernel has done it.
            return Ok(());
        }
        self.control(libc::EPOLL_CTL_MOD, token, interest)
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        self.control(libc::EPOLL_CTL_DEL, token, Interest::Nothing)?;
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let (epoll, room) = (self.epoll.as_raw_fd(), self.events.len() as libc::c_int);
        // SAFETY: the pointer and the length are those of one exclusively borrowed vector.
        let count =
            unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, wait.millis()) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let mut work = self.work.borrow_mut();
        for event in &self.events[..count] {
            let token = event.u64 as usize;
            work.ready(token, &mut self.sources.raw(token));
        }
        Ok(())
    }
}
