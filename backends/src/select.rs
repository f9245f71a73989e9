//! `select(2)`: three bitmaps that are kept, three that the kernel overwrites, scanned by word.

use crate::fd_set::{FdSet, Word, bit_of, end_of, members, words_for};
use crate::{
    Backend, Calls, Event, Interest, Readiness, already_watched, check_fd, deadline, syscall,
};
use std::{io, ops::Range, os::fd::RawFd, time::Duration};

/// The `select(2)` backend, through `pselect(2)` for timeouts below a microsecond.
///
/// # Platforms
///
/// Linux takes sets of any size, so descriptors of 1024 and above work there. Elsewhere they are
/// refused by [`add`](Backend::add).
#[derive(Debug, Default)]
pub struct Select {
    watched: FdSet,
    /// What is asked of the kernel: read, write, priority.
    wanted: [FdSet; 3],
    /// How many members these have: the kernel is not asked about an empty one.
    members: [usize; 3],
    /// What it answers: the same, overwritten by each call that asks about it.
    answer: [FdSet; 3],
    /// No wanted descriptor is as high as this; made exact before each call.
    nfds: RawFd,
    /// How many descriptors are wanted for anything.
    looked_at: usize,
    calls: Calls,
}

/// The set of each index.
const FLAGS: [(Interest, Readiness); 3] = [
    (Interest::READ, Readiness::READ),
    (Interest::WRITE, Readiness::WRITE),
    (Interest::PRIORITY, Readiness::PRIORITY),
];

/// How many words of an answer are passed over at once, if all are empty.
const AT_ONCE: usize = 8;

impl Select {
    /// A backend that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Select {
    const NAME: &'static str = "select";
    const FD_LIMIT: Option<RawFd> = if cfg!(any(target_os = "linux", target_os = "android")) {
        None
    } else {
        Some(libc::FD_SETSIZE as RawFd)
    };

    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        check_fd(fd, Self::FD_LIMIT)?;
        if self.watched.contains(fd) {
            return Err(already_watched(fd));
        }
        if !self.watched.has_room_for(fd) {
            let sets = self.wanted.iter_mut().chain(&mut self.answer);
            // Last the one that tells whether all of them have grown.
            for set in sets.chain([&mut self.watched]) {
                set.grow_to(fd)?;
            }
        }
        self.watched.set(fd, true);
        self.modify(fd, interest);
        Ok(())
    }

    fn modify(&mut self, fd: RawFd, interest: Interest) {
        if self.watched.contains(fd) {
            self.looked_at += usize::from(!interest.is_empty());
            self.looked_at -= usize::from(self.wanted.iter().any(|set| set.contains(fd)));
            let sets = self.wanted.iter_mut().zip(&mut self.members);
            for ((set, members), (flag, _)) in sets.zip(FLAGS) {
                *members -= usize::from(set.contains(fd));
                *members += usize::from(interest.contains(flag));
                set.set(fd, interest.contains(flag));
            }
            if !interest.is_empty() {
                self.nfds = self.nfds.max(fd.saturating_add(1));
            }
        }
    }

    fn remove(&mut self, fd: RawFd) {
        self.modify(fd, Interest::empty());
        if self.watched.contains(fd) {
            self.watched.set(fd, false);
        }
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()> {
        ready.clear();
        self.lower_nfds();
        let mut evicted = false;
        deadline::until_found(timeout, |left| {
            let count = match self.call(0..words_for(self.nfds), self.looked_at, left) {
                // One bad descriptor fails the whole call. Name it, then ask about the others.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                    evicted = true;
                    self.evict(ready);
                    let all = 0..words_for(self.nfds);
                    match self.call(all, self.looked_at, Some(Duration::ZERO)) {
                        Err(_) if !ready.is_empty() => 0,
                        // Closed, opened and closed again by another thread: go round again.
                        Err(error) if error.raw_os_error() == Some(libc::EBADF) => 0,
                        result => result?,
                    }
                }
                result => result?,
            };
            self.collect(0..words_for(self.nfds), count, ready);
            if self.kernel_passed_over_some(ready) {
                evicted = true;
                self.evict(ready);
            }
            Ok(ready.len())
        })?;
        if evicted {
            ready.sort_unstable_by_key(|event| event.fd);
        }
        Ok(())
    }

    fn look(&mut self, position: usize, most: usize, ready: &mut Vec<Event>) -> io::Result<usize> {
        self.lower_nfds();
        let last = words_for(self.nfds);
        let begin = position.min(last);
        let (mut end, mut members) = (begin, 0);
        while end < last && members < most.max(1) {
            members += self.wanted_in(end).count_ones() as usize;
            end += 1;
        }
        deadline::until_found(Some(Duration::ZERO), |left| {
            let count = match self.call(begin..end, members, left) {
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                    // It is one of these; the others are looked at the next time.
                    self.evict(ready);
                    0
                }
                result => result?,
            };
            self.collect(begin..end, count, ready);
            Ok(count)
        })?;
        Ok(if end < last { end } else { 0 })
    }

    #[inline]
    fn calls(&self) -> Calls {
        self.calls
    }
}

impl Select {
    /// Makes `nfds` exact: the kernel's work grows with it.
    fn lower_nfds(&mut self) {
        while self.nfds > 0 {
            let last = words_for(self.nfds) - 1;
            let word = self.wanted_in(last);
            self.nfds = end_of(last, word);
            if word != 0 {
                break;
            }
        }
    }

    /// Which descriptors of a word are wanted for anything.
    fn wanted_in(&self, word: usize) -> Word {
        let [read, write, priority] = &self.wanted;
        read.word(word) | write.word(word) | priority.word(word)
    }

    /// One system call on a copy of what is wanted, in these words, which is about so many
    /// descriptors; returns how many bits of it are true.
    #[inline(always)]
    fn call(
        &mut self,
        words: Range<usize>,
        descriptors: usize,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.calls.count(descriptors);
        let nfds = self.nfds.min(end_of(words.end.saturating_sub(1), Word::MAX));
        let mut sets = [None, None, None];
        for (index, answer) in self.answer.iter_mut().enumerate() {
            if self.members[index] > 0 {
                answer.copy_from(&self.wanted[index], words.clone());
                sets[index] = Some(answer);
            }
        }
        pselect(nfds, sets, timeout)
    }

    /// Translates the `count` bits of these words that are true.
    fn collect(&self, words: Range<usize>, mut count: usize, ready: &mut Vec<Event>) {
        let mut next = words.start;
        while count > 0 && next < words.end {
            let some = next..words.end.min(next + AT_ONCE);
            next = some.end;
            if self.asked_about().any(|set| self.answer[set].has_any(some.clone())) {
                for index in some {
                    // What the kernel did not look at comes last, and is as it was asked.
                    if count > 0 {
                        count = count.saturating_sub(self.collect_word(index, ready));
                    }
                }
            }
        }
    }

    /// Returns how many bits were true.
    #[inline]
    fn collect_word(&self, index: usize, ready: &mut Vec<Event>) -> usize {
        let mut words = [0; 3];
        for set in self.asked_about() {
            words[set] = self.answer[set].word(index);
        }
        let mut count = 0;
        for fd in members(index, words[0] | words[1] | words[2]) {
            let mut readiness = Readiness::empty();
            for (word, (_, flag)) in words.iter().zip(FLAGS) {
                let is_ready = word & bit_of(fd) != 0;
                readiness.set(flag, is_ready);
                count += usize::from(is_ready);
            }
            ready.push(Event { fd, readiness });
        }
        count
    }

    /// The sets that have members. The kernel is not asked about the others, whose answers are old.
    fn asked_about(&self) -> impl Iterator<Item = usize> {
        (0..3).filter(|&set| self.members[set] > 0)
    }

    /// Whether the highest descriptor is still set though its turn never came.
    ///
    /// Linux looks at no descriptor beyond the process's table, and leaves those bits set. It
    /// passes over the highest if it passes over any.
    fn kernel_passed_over_some(&self, ready: &[Event]) -> bool {
        let highest = self.nfds - 1;
        ready.last().is_none_or(|event| event.fd < highest)
            && self
                .wanted
                .iter()
                .zip(&self.answer)
                .any(|(wanted, answer)| wanted.contains(highest) && answer.contains(highest))
    }

    /// Reports and forgets the descriptors that `select` itself, asked of each alone, refuses.
    #[cold]
    fn evict(&mut self, ready: &mut Vec<Event>) {
        let mut probe = self.wanted[0].clone();
        probe.clear();
        for fd in self.watched.clone().iter() {
            if !self.wanted.iter().any(|wanted| wanted.contains(fd)) {
                continue;
            }
            probe.set(fd, true);
            self.calls.count(1);
            let answer = pselect(fd + 1, [Some(&mut probe), None, None], Some(Duration::ZERO));
            let bad = match answer {
                Ok(count) => count == 0 && probe.contains(fd),
                Err(error) => error.raw_os_error() == Some(libc::EBADF),
            };
            probe.set(fd, false);
            if bad {
                self.remove(fd);
                ready.push(Event { fd, readiness: Readiness::INVALID });
            }
        }
        self.lower_nfds();
    }
}

#[inline]
fn pselect(
    nfds: RawFd,
    sets: [Option<&mut FdSet>; 3],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    for set in sets.iter().flatten() {
        assert!(words_for(nfds) <= set.capacity(), "a set is too small for nfds");
    }
    let sets = sets.map(|set| set.map_or(std::ptr::null_mut(), FdSet::as_mut_ptr));
    let mut timeout = timeout.map(deadline::timespec);
    let timeout = timeout.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: each set is null or holds at least `nfds` bits (asserted above) in whole fd_sets,
    // exclusively borrowed; the three are distinct. `timeout` is null or points to a timespec that
    // outlives the call.
    let returned = unsafe { syscall::pselect(nfds, sets, timeout) };
    syscall::outcome(returned)
}
