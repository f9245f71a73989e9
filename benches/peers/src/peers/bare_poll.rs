//! poll(2), called straight: the limit of what a reactor on it can reach.

use crate::peer::{Interest, Method, Peer, Shared, Sources, Wait};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

pub(crate) struct BarePoll {
    work: Shared,
    sources: Sources,
    entries: Vec<libc::pollfd>,
    /// The token of each entry.
    tokens: Vec<usize>,
    /// Where each token's entry is.
    positions: Vec<usize>,
}

impl Peer for BarePoll {
    type Source = OwnedFd;
    const OWN: usize = 0;

    fn new(work: Shared, _: Method) -> io::Result<Self> {
        let sources = Sources::default();
        Ok(Self { work, sources, entries: Vec::new(), tokens: Vec::new(), positions: Vec::new() })
    }

    fn source(fd: OwnedFd) -> io::Result<OwnedFd> {
        Ok(fd)
    }

    fn add(&mut self, token: usize, source: OwnedFd, interest: Interest) -> io::Result<()> {
        let fd = source.as_raw_fd();
        self.sources.insert(token, source);
        if token >= self.positions.len() {
            self.positions.resize(token + 1, usize::MAX);
        }
        self.positions[token] = self.entries.len();
        self.entries.push(entry(fd, interest));
        self.tokens.push(token);
        Ok(())
    }

    fn set(&mut self, token: usize, interest: Interest) -> io::Result<()> {
        self.entries[self.positions[token]] = entry(self.sources.raw(token), interest);
        Ok(())
    }

    fn remove(&mut self, token: usize) -> io::Result<Option<OwnedFd>> {
        let position = self.positions[token];
        self.entries.swap_remove(position);
        self.tokens.swap_remove(position);
        if let Some(moved) = self.tokens.get(position) {
            self.positions[*moved] = position;
        }
        Ok(self.sources.take(token))
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let length = self.entries.len() as libc::nfds_t;
        // SAFETY: the pointer and the length are those of one exclusively borrowed vector.
        let count = unsafe { libc::poll(self.entries.as_mut_ptr(), length, wait.millis()) };
        let mut count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let mut work = self.work.borrow_mut();
        for (entry, token) in self.entries.iter().zip(&self.tokens) {
            if count == 0 {
                break;
            }
            if entry.revents != 0 {
                count -= 1;
                work.ready(*token, &mut entry.fd.clone());
            }
        }
        Ok(())
    }
}

fn entry(fd: i32, interest: Interest) -> libc::pollfd {
    let mut events = libc::POLLIN;
    if interest.writes() {
        events |= libc::POLLOUT;
    }
    libc::pollfd { fd: if interest.reads() { fd } else { !fd }, events, revents: 0 }
}
