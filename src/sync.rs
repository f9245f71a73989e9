//! Before a wait: what was touched is asked what it wants, and the backend hears of it.

use crate::{Interest, Key, State, map::Map, running::Running, slab::Occupant};
use asyncore_backends::{Backend, HotSet};
use std::{io, os::fd::RawFd};

impl Map {
    /// Brings the backend up to date. Its tables are the only thing that changes: no system call.
    pub(crate) fn sync(&mut self, backend: &mut HotSet<impl Backend>) -> io::Result<()> {
        if self.options.ask_every_pass {
            for fd in self.slab.numbers() {
                self.slab.touch(fd);
            }
        } else if cfg!(debug_assertions) {
            self.find_untouched_change();
        }
        while let Some(fd) = self.slab.next_touched() {
            let wanted = self.slab.key_of(fd).and_then(|key| self.ask(key));
            match (*self.slab.registered(fd), wanted) {
                (None, Some(interest)) => {
                    if let Err(error) = backend.add(fd, interest) {
                        self.slab.touch(fd);
                        return Err(error);
                    }
                }
                (Some(_), None) => backend.remove(fd),
                (Some(before), Some(interest)) if before != interest => {
                    backend.modify(fd, interest);
                }
                _ => {}
            }
            if wanted.is_some() {
                backend.pin(fd, self.is_urgent(fd));
            }
            *self.slab.registered(fd) = wanted;
        }
        Ok(())
    }

    /// Whether a number has to be looked at in every pass.
    fn is_urgent(&self, fd: RawFd) -> bool {
        let Some(key) = self.slab.key_of(fd) else { return false };
        let is_urgent = |occupant: &Occupant| occupant.channel.is_urgent();
        self.own == Some(key) || self.slab.get(key).is_some_and(is_urgent)
    }

    /// What the channel is to be watched for; `None` if it has closed meanwhile.
    fn ask(&mut self, key: Key) -> Option<Interest> {
        let running = Running::take(self, key)?;
        let interest = running.interest();
        let over = running.is_over() || running.channel().is_lost();
        let stalled = running.channel().is_stalled();
        if running.channel().state() == State::Closed {
            running.finish();
            return None;
        }
        running.put_back();
        if over {
            self.due.push(key);
        }
        if stalled {
            self.stall(key);
        }
        Some(interest)
    }

    /// Finds the lost wake-up while it is being written: in debug builds everybody is asked.
    fn find_untouched_change(&mut self) {
        for fd in self.slab.numbers() {
            let Some(key) = self.slab.key_of(fd).filter(|_| !self.slab.is_touched(fd)) else {
                continue;
            };
            let (before, now) = (*self.slab.registered(fd), self.ask(key));
            if now != before {
                panic!(
                    "{key:?} wanted {before:?} and now wants {now:?}, but nothing touched it: a \
                     release build would not notice. Change a dispatcher through get_mut(key), \
                     call touch(key) afterwards, or build the reactor with ask_every_pass(true)"
                );
            }
        }
    }
}
