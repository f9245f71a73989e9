//! `poll(2)`: a dense array for the kernel, and a table from descriptor to position in it.

use crate::{
    Backend, Calls, Event, Interest, Readiness, already_watched, check_fd, deadline, reserve,
    syscall,
};
use std::{io, ops::Range, os::fd::RawFd, time::Duration};

/// The `poll(2)` backend; `ppoll(2)` where the system has it, for timeouts below a millisecond.
///
/// The array holds one entry for each watched descriptor, whatever its number. One that is
/// wanted for nothing has a negative number there, which the kernel skips. One that hung up though
/// only writing is wanted, with no room to write, cannot be waited on: while there is such a one, a
/// wait looks again every 10 ms.
///
/// # Platforms
///
/// macOS has no `ppoll`, so timeouts are rounded up to milliseconds there, and its `poll` refuses
/// some devices (`/dev/tty`) that `select` takes.
#[derive(Debug, Default)]
pub struct Poll {
    /// What the kernel reads; `fd` is complemented (so negative) while nothing is wanted.
    entries: Vec<libc::pollfd>,
    /// Descriptor to index in `entries`, or `ABSENT`.
    positions: Vec<u32>,
    /// Descriptors that reported nothing but a hang-up that was not asked about. Their entries are
    /// complemented until they are looked at again.
    muted: Vec<RawFd>,
    /// How many entries the kernel looks at: those whose number is not negative.
    looked_at: usize,
    calls: Calls,
}

const ABSENT: u32 = u32::MAX;

/// How often a wait looks at what it cannot wait for: muted entries, and the rest of an array that
/// is too long for one call.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Poll {
    /// A backend that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn position(&self, fd: RawFd) -> Option<usize> {
        let position = *self.positions.get(usize::try_from(fd).ok()?)?;
        (position != ABSENT).then_some(position as usize)
    }
}

impl Backend for Poll {
    const NAME: &'static str = "poll";
    const FD_LIMIT: Option<RawFd> = None;

    fn add(&mut self, fd: RawFd, interest: Interest) -> io::Result<()> {
        check_fd(fd, Self::FD_LIMIT)?;
        if self.position(fd).is_some() {
            return Err(already_watched(fd));
        }
        let index = fd as usize;
        if index >= self.positions.len() {
            let missing = index + 1 - self.positions.len();
            reserve(&mut self.positions, missing)?;
            self.positions.resize(index + 1, ABSENT);
        }
        reserve(&mut self.entries, 1)?;
        self.positions[index] = self.entries.len() as u32;
        self.entries.push(entry(fd, interest));
        self.looked_at += usize::from(!interest.is_empty());
        Ok(())
    }

    fn modify(&mut self, fd: RawFd, interest: Interest) {
        if let Some(position) = self.position(fd) {
            let before = std::mem::replace(&mut self.entries[position], entry(fd, interest));
            self.looked_at += usize::from(!interest.is_empty());
            self.looked_at -= usize::from(before.fd >= 0);
        }
    }

    fn remove(&mut self, fd: RawFd) {
        if let Some(position) = self.position(fd) {
            self.positions[fd as usize] = ABSENT;
            let removed = self.entries.swap_remove(position);
            self.looked_at -= usize::from(removed.fd >= 0);
            if let Some(moved) = self.entries.get(position) {
                self.positions[number(moved) as usize] = position as u32;
            }
        }
    }

    #[inline]
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<()> {
        ready.clear();
        deadline::until_found(timeout, |left| {
            if self.muted.is_empty() { self.ask(left, ready) } else { self.nap(left, ready) }
        })?;
        if !ready.is_sorted_by(|one, next| one.fd < next.fd) {
            // The array's order is that of history; what is reported must not depend on it.
            ready.sort_unstable_by_key(|event| event.fd);
        }
        self.forget_invalid(ready);
        Ok(())
    }

    fn look(&mut self, position: usize, most: usize, ready: &mut Vec<Event>) -> io::Result<usize> {
        if position == 0 {
            self.unmute();
        }
        let end = position.saturating_add(most.max(1)).min(self.entries.len());
        let begin = position.min(end);
        let before = ready.len();
        deadline::until_found(Some(Duration::ZERO), |left| {
            let count = call_part(&mut self.entries[begin..end], left, &mut self.calls)?;
            self.collect(begin..end, count, ready);
            Ok(count)
        })?;
        self.forget_invalid(&ready[before..]);
        Ok(if end < self.entries.len() { end } else { 0 })
    }

    #[inline]
    fn calls(&self) -> Calls {
        self.calls
    }
}

impl Poll {
    /// A wait in which the muted have their say: room to write may come.
    #[cold]
    fn nap(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<usize> {
        // A look comes before the nap, which a signal may end.
        self.unmute();
        if self.ask(Some(Duration::ZERO), ready)? > 0 {
            return Ok(ready.len());
        }
        let nap = timeout.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
        self.ask(if self.may_miss_something() { Some(nap) } else { timeout }, ready)
    }

    /// One call, and what it found.
    #[inline(always)]
    fn ask(&mut self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> io::Result<usize> {
        self.calls.count(self.looked_at);
        let count = match call(&mut self.entries, timeout) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                call_in_parts(&mut self.entries, timeout, &mut self.calls)
            }
            result => result,
        }?;
        self.collect(0..self.entries.len(), count, ready);
        Ok(ready.len())
    }

    #[inline]
    fn forget_invalid(&mut self, ready: &[Event]) {
        if Event::any_invalid(ready) {
            for event in ready.iter().filter(|event| event.is_invalid()) {
                self.remove(event.fd);
            }
        }
    }

    /// Translates the `count` entries of `part` that have something to say.
    fn collect(&mut self, part: Range<usize>, mut count: usize, ready: &mut Vec<Event>) {
        for entry in &mut self.entries[part] {
            if count == 0 {
                break;
            }
            if entry.revents == 0 {
                continue;
            }
            count -= 1;
            // Most often it is just that.
            let readiness = match entry.revents {
                libc::POLLIN => Readiness::READ,
                _ => readiness(entry),
            };
            if readiness.is_empty() {
                // A hang-up while reading is not wanted, and no room to write yet. select does not
                // tell of it; poll would for ever.
                self.muted.push(entry.fd);
                entry.fd = !entry.fd;
                self.looked_at -= 1;
            } else {
                ready.push(Event { fd: entry.fd, readiness });
            }
        }
    }

    /// Whether a muted descriptor may become ready. No out-of-band data comes after a hang-up, so
    /// one that waits for nothing else stays as it is.
    fn may_miss_something(&self) -> bool {
        let mut entries = self.muted.iter().filter_map(|fd| self.entries.get(self.position(*fd)?));
        entries.any(|entry| entry.events != libc::POLLPRI || entry.revents & libc::POLLHUP == 0)
    }

    fn unmute(&mut self) {
        while let Some(fd) = self.muted.pop() {
            if let Some(position) = self.position(fd) {
                let entry = &mut self.entries[position];
                // Unless it was paused since.
                if entry.events != 0 {
                    self.looked_at += usize::from(entry.fd < 0);
                    entry.fd = fd;
                }
            }
        }
    }
}

fn entry(fd: RawFd, interest: Interest) -> libc::pollfd {
    let mut events = 0;
    for (flag, event) in [
        (Interest::READ, libc::POLLIN),
        (Interest::WRITE, libc::POLLOUT),
        (Interest::PRIORITY, libc::POLLPRI),
    ] {
        if interest.contains(flag) {
            events |= event;
        }
    }
    libc::pollfd {
        // POLLHUP and POLLERR come unasked, so an entry with no events would still spin.
        fd: if interest.is_empty() { !fd } else { fd },
        events,
        revents: 0,
    }
}

fn number(entry: &libc::pollfd) -> RawFd {
    if entry.fd < 0 { !entry.fd } else { entry.fd }
}

/// One system call on the whole array; returns how many entries have something to say.
#[inline]
fn call(entries: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let mut timeout = timeout.map(deadline::timespec);
    let timeout = timeout.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: the pointer and the length are those of one exclusively borrowed slice of initialised
    // pollfds; `timeout` is null or points to a timespec that outlives the call.
    let returned = unsafe { syscall::ppoll(entries.as_mut_ptr(), entries.len(), timeout) };
    syscall::outcome(returned)
}

/// The same in parts that the kernel takes, for a process that lowered its `RLIMIT_NOFILE` below
/// the number of descriptors it watches: all parts are probed, then the first is waited on, but
/// never for long.
#[cold]
fn call_in_parts(
    entries: &mut [libc::pollfd],
    timeout: Option<Duration>,
    calls: &mut Calls,
) -> io::Result<usize> {
    let longest = open_files_limit();
    if longest == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut count = 0;
    for part in entries.chunks_mut(longest) {
        count += call_part(part, Some(Duration::ZERO), calls)?;
    }
    if count > 0 {
        return Ok(count);
    }
    let wait = timeout.map_or(LOOK_AGAIN, |timeout| timeout.min(LOOK_AGAIN));
    let first = longest.min(entries.len());
    call_part(&mut entries[..first], Some(wait), calls)
}

/// One system call on a part of the array, of which it is not known how much the kernel looks at.
fn call_part(
    part: &mut [libc::pollfd],
    timeout: Option<Duration>,
    calls: &mut Calls,
) -> io::Result<usize> {
    calls.count(part.iter().filter(|entry| entry.fd >= 0).count());
    call(part, timeout)
}

fn open_files_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call. It stays 0 if the call fails.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// What select would say of this entry, and the hints that it cannot give.
fn readiness(entry: &libc::pollfd) -> Readiness {
    let told = entry.revents & entry.events;
    let mut readiness = Readiness::empty();
    readiness.set(Readiness::READ, told & libc::POLLIN != 0);
    readiness.set(Readiness::WRITE, told & libc::POLLOUT != 0);
    readiness.set(Readiness::PRIORITY, told & libc::POLLPRI != 0);
    if entry.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) == 0 {
        return readiness;
    }
    with_what_comes_unasked(entry, readiness)
}

/// There is a hang-up, an error, or no such descriptor.
#[cold]
fn with_what_comes_unasked(entry: &libc::pollfd, mut readiness: Readiness) -> Readiness {
    let has = |mask| entry.revents & mask != 0;
    let wants = |event| entry.events & event != 0;
    if has(libc::POLLNVAL) {
        return Readiness::INVALID;
    }
    if wants(libc::POLLIN) {
        readiness |= Readiness::READ;
    }
    if wants(libc::POLLOUT) && has(libc::POLLERR) {
        readiness |= Readiness::WRITE;
    }
    if !readiness.is_empty() {
        readiness.set(Readiness::HANG_UP, has(libc::POLLHUP));
        readiness.set(Readiness::ERROR, has(libc::POLLERR));
    }
    readiness
}
