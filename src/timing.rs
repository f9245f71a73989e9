//! When: the reactor's timers, and the timeouts of its channels.

use crate::{
    Channel, Scope, Timer, dispatch,
    map::Map,
    names::Race,
    timer::{Time, nanoseconds},
};
use std::{
    os::fd::RawFd,
    time::{Duration, Instant},
};

/// What a timer is for.
pub(crate) enum Call {
    Once(Box<dyn FnOnce(&mut Scope<'_>)>),
    Every(Box<Periodic>),
    /// The channel with this number may have been quiet for as long as it is allowed to; when it
    /// will have been, it says itself.
    Timeout {
        fd: RawFd,
        deadline: Time,
    },
    /// A connection is being made, and this is how long it may take.
    Connect(Box<Race>),
    /// Listeners without room try again.
    EndStalls,
}

pub(crate) struct Periodic {
    period: Time,
    callback: Box<dyn FnMut(&mut Scope<'_>)>,
}

/// What `Reactor`, `Context` and `Scope` offer alike.
impl Map {
    pub(crate) fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.timers.set(self.after(delay), Call::Once(Box::new(callback)))
    }

    pub(crate) fn call_at(
        &mut self,
        time: Instant,
        callback: impl FnOnce(&mut Scope<'_>) + 'static,
    ) -> Timer {
        self.timers.set(self.timers.time(time), Call::Once(Box::new(callback)))
    }

    pub(crate) fn call_every(
        &mut self,
        period: Duration,
        callback: impl FnMut(&mut Scope<'_>) + 'static,
    ) -> Timer {
        let first = self.after(period);
        let periodic = Periodic { period: nanoseconds(period), callback: Box::new(callback) };
        self.timers.set(first, Call::Every(Box::new(periodic)))
    }

    pub(crate) fn reschedule(&mut self, timer: Timer, delay: Duration) -> bool {
        self.timers.reset(timer, self.after(delay))
    }

    pub(crate) fn cancel(&mut self, timer: Timer) -> bool {
        let what = self.timers.what(timer).and_then(Option::take);
        let cancelled = self.timers.cancel(timer);
        if let Some(Call::Connect(race)) = what {
            drop(self.call_off(timer, *race));
        }
        cancelled
    }

    pub(crate) fn after(&self, delay: Duration) -> Time {
        self.timers.now().saturating_add(nanoseconds(delay))
    }
}

/// Around a wait.
impl Map {
    /// How long the wait may take: until the next timer is due.
    #[inline]
    pub(crate) fn time_left(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.has_timing() || timeout == Some(Duration::ZERO) {
            return timeout;
        }
        let now = self.clock.take().unwrap_or_else(|| self.timers.now());
        self.restart_timeouts(now);
        let next = self.timers.next();
        let left = next.map(|next| Duration::from_nanos(next.saturating_sub(now)));
        left.into_iter().chain(timeout).min()
    }

    /// Calls what is due; false if no callback was. What is set meanwhile has its turn in the next
    /// pass, after another look at the channels.
    #[inline]
    pub(crate) fn fire(&mut self) -> bool {
        if !self.has_timing() {
            return false;
        }
        let now = self.timers.now();
        self.restart_timeouts(now);
        if self.timers.next().is_some_and(|next| next <= now) {
            return self.fire_until(now);
        }
        self.clock = Some(now);
        false
    }

    #[inline]
    fn has_timing(&self) -> bool {
        !self.timers.is_empty() || !self.active.is_empty()
    }

    #[cold]
    fn fire_until(&mut self, now: Time) -> bool {
        let mut fired = false;
        self.timers.begin_round(now);
        while let Some((timer, deadline)) = self.timers.due() {
            match self.timers.what(timer).and_then(Option::take) {
                Some(Call::Once(callback)) => {
                    self.timers.cancel(timer);
                    self.stats.timers += 1;
                    callback(&mut Scope::new(self));
                }
                Some(Call::Every(periodic)) => {
                    self.timers.reset(timer, periodic.next(deadline, now));
                    self.stats.timers += 1;
                    Turn { map: self, timer, periodic: Some(periodic) }.run();
                }
                Some(Call::Timeout { fd, deadline }) => {
                    fired |= self.time_out(timer, fd, deadline, now);
                    continue;
                }
                Some(Call::Connect(race)) => self.end_race(timer, *race),
                Some(Call::EndStalls) => {
                    self.end_stalls();
                    continue;
                }
                None => drop(self.timers.cancel(timer)),
            }
            fired = true;
        }
        fired
    }
}

impl Periodic {
    /// The first of its times that is still to come: none is made up for, none moves the others.
    fn next(&self, deadline: Time, now: Time) -> Time {
        let missed = now.saturating_sub(deadline) / self.period.max(1);
        deadline.saturating_add(self.period.saturating_mul(missed + 1))
    }
}

/// The periodic callback that runs. Cancelled if it panics.
struct Turn<'m> {
    map: &'m mut Map,
    timer: Timer,
    periodic: Option<Box<Periodic>>,
}

impl Turn<'_> {
    fn run(mut self) {
        let Some(mut periodic) = self.periodic.take() else { return };
        (periodic.callback)(&mut Scope::new(self.map));
        self.periodic = Some(periodic);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match (self.map.timers.what(self.timer), self.periodic.take()) {
            (Some(what), Some(periodic)) => *what = Some(Call::Every(periodic)),
            (Some(_), None) => drop(self.map.timers.cancel(self.timer)),
            // Cancelled by itself.
            (None, _) => {}
        }
    }
}

/// Timeouts of channels.
///
/// A timer is not moved whenever bytes do: it remembers when the channel will have been quiet for
/// too long, and finds out, when it is due, that there is time left.
impl Map {
    /// The channel was active, or has another timeout: it is quiet from the end of the batch on.
    #[inline]
    pub(crate) fn note_activity(&mut self, fd: RawFd, channel: &Channel) {
        if channel.take_activity() {
            self.restart_later(fd);
        }
    }

    /// Out of line, because few channels have a timeout.
    #[cold]
    fn restart_later(&mut self, fd: RawFd) {
        self.active.push(fd);
    }

    /// The time is asked once for all of them, and afterwards: so a timeout is never early.
    fn restart_timeouts(&mut self, now: Time) {
        while let Some(fd) = self.active.pop() {
            let Some(channel) = self.slab.channel(fd) else { continue };
            let timer = channel.timer().and_then(|index| self.timers.timer_at(index));
            let Some(timeout) = channel.allowed_time() else {
                if let Some(timer) = timer {
                    self.timers.cancel(timer);
                    channel.set_timer(None);
                }
                continue;
            };
            let deadline = now.saturating_add(timeout);
            let Some(timer) = timer else {
                let timer = self.timers.set(deadline, Call::Timeout { fd, deadline });
                channel.set_timer(Some(timer.index()));
                continue;
            };
            if let Some(what) = self.timers.what(timer) {
                *what = Some(Call::Timeout { fd, deadline });
            }
            if self.timers.deadline(timer) > Some(deadline) {
                self.timers.reset(timer, deadline);
            }
        }
    }

    /// Cancels the timer of a channel that leaves.
    pub(crate) fn forget_timeout(&mut self, channel: &Channel) {
        if let Some(timer) = channel.timer().and_then(|index| self.timers.timer_at(index)) {
            self.timers.cancel(timer);
            channel.set_timer(None);
        }
    }

    /// False if the channel was not quiet for so long.
    fn time_out(&mut self, timer: Timer, fd: RawFd, deadline: Time, now: Time) -> bool {
        let Some((key, channel)) = self.slab.key_of(fd).zip(self.slab.channel(fd)) else {
            self.timers.cancel(timer);
            return false;
        };
        let is_quiet = deadline <= now;
        let allowed = channel.allowed_time().unwrap_or(Time::MAX);
        let next = if is_quiet { now.saturating_add(allowed) } else { deadline };
        self.timers.reset(timer, next);
        if let Some(what) = self.timers.what(timer) {
            *what = Some(Call::Timeout { fd, deadline: next });
        }
        if !is_quiet {
            return false;
        }
        dispatch::tell(
            self,
            key,
            |stats| &mut stats.handle_timeout,
            |dispatcher, cx| dispatcher.handle_timeout(cx),
        );
        true
    }
}
