//! A backend that is told everything and asked nothing: what it takes to keep its tables, without
//! the system call that would be most of the time.

use asyncore::{Backend, Event, Interest};
use std::{io, os::fd::RawFd, time::Duration};

#[derive(Debug, Default)]
pub(crate) struct Unasked<B>(B);

impl<B: Backend> Backend for Unasked<B> {
    const NAME: &'static str = B::NAME;
    const FD_LIMIT: Option<RawFd> = B::FD_LIMIT;

    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.0.add(fd, interest)
    }

    fn modify(&mut self, fd: RawFd, interest: Interest) {
        self.0.modify(fd, interest);
    }

    fn remove(&mut self, fd: RawFd) {
        self.0.remove(fd);
    }

    fn wait(&mut self, _: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()> {
        ready.clear();
        Ok(())
    }

    fn look(&mut self, _: usize, _: usize, _: &mut Vec<Event>) -> io::Result<usize> {
        Ok(0)
    }
}
