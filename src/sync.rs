//! Before a wait: what was touched is asked what it wants, and the backend hears of it.

use crate::{State, interest::Watch, map::Map, running::Running};
use asyncore_backends::{Backend, HotSet};
use std::{io, os::fd::RawFd};

impl Map {
    /// Whether anything may have changed since the last time.
    #[inline]
    pub(crate) fn is_stale(&self) -> bool {
        self.slab.has_touched() || self.options.ask_every_pass || cfg!(debug_assertions)
    }

    /// Brings the backend up to date. Its tables are the only thing that changes: no system call.
    pub(crate) fn sync(&mut self, backend: &mut HotSet<impl Backend>) -> io::Result<()> {
        if self.options.ask_every_pass {
            for fd in self.slab.numbers() {
                self.slab.touch(fd);
            }
        } else if cfg!(debug_assertions) {
            self.find_untouched_change();
        }
        self.slab.sort_touched();
        while let Some(fd) = self.slab.next_touched() {
            let wanted = self.ask(fd);
            let registered = self.slab.registered(fd);
            match (*registered, wanted) {
                (None, Some(watch)) => {
                    if let Err(error) = backend.add(fd, watch.interest) {
                        self.slab.touch(fd);
                        return Err(error);
                    }
                }
                (Some(_), None) => backend.remove(fd),
                (Some(before), Some(watch)) if before.interest != watch.interest => {
                    backend.modify(fd, watch.interest);
                }
                _ => {}
            }
            *registered = wanted;
            if let Some(watch) = wanted {
                backend.pin(fd, watch.urgent);
            }
        }
        Ok(())
    }

    /// How whoever has the number is to be watched; `None` if nobody has, or it has closed
    /// meanwhile.
    fn ask(&mut self, fd: RawFd) -> Option<Watch> {
        let mut running = Running::take_number(self, fd, u64::MAX)?;
        let wanted = running.ask();
        let (key, channel) = (running.key, running.channel());
        if channel.state() == State::Closed {
            running.finish();
            return None;
        }
        let over = running.is_over() || channel.is_lost();
        let stalled = channel.is_stalled();
        running.put_back();
        drop(running);
        if over {
            self.due.push(key);
        }
        if stalled {
            self.stall(key);
        }
        Some(wanted)
    }

    /// Finds the lost wake-up while it is being written: in debug builds everybody is asked.
    fn find_untouched_change(&mut self) {
        for fd in self.slab.numbers() {
            let Some(key) = self.slab.key_of(fd).filter(|_| !self.slab.is_touched(fd)) else {
                continue;
            };
            let now = self.ask(fd);
            let before = *self.slab.registered(fd);
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
