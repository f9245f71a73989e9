//! The race of the addresses: attempts to connect, one beside the other, and the first wins.

use super::order::interleaved;
use crate::{
    Channel, Context, Dispatcher, Family, Key, Scope, Timer, Type, diagnostics::diagnose, map::Map,
    timing::Call,
};
use nix::errno::Errno;
use std::{io, net::SocketAddr, time::Duration, vec};

/// Who asked for the connection.
type Callback = Box<dyn FnOnce(&mut Scope<'_>, io::Result<Channel>)>;

/// What a timer of [`connect_to`](crate::Reactor::connect_to) is for. When it is due, the time is
/// over; when it is cancelled, so is the race.
pub(crate) struct Race {
    callback: Callback,
    attempt_delay: Duration,
    /// Those that are still to be tried; not known before they are looked up.
    addresses: Option<vec::IntoIter<SocketAddr>>,
    /// The channels that try to connect.
    attempts: Vec<Key>,
    winner: Option<Key>,
    /// Until the next step.
    step: Option<Timer>,
    /// Why there is no connection so far.
    error: Option<io::Error>,
}

impl Race {
    pub(super) fn new(attempt_delay: Duration, callback: Callback) -> Self {
        Self {
            callback,
            attempt_delay,
            addresses: None,
            attempts: Vec::new(),
            winner: None,
            step: None,
            error: None,
        }
    }

    /// Whether no address is left to be tried.
    fn is_at_the_last(&self) -> bool {
        self.addresses.as_ref().is_none_or(|addresses| addresses.len() == 0)
    }

    /// Keeps the error that tells more: that there is no way to an address is said of every IPv6
    /// address where there is no IPv6, and is no answer from anybody.
    fn note(&mut self, error: io::Error) {
        let is_answer = !matches!(
            Errno::from_raw(error.raw_os_error().unwrap_or(0)),
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT
        );
        if self.error.is_none() || is_answer {
            self.error = Some(error);
        }
    }
}

impl Map {
    /// The addresses are known, or will never be.
    pub(super) fn enter(&mut self, connecting: Timer, addresses: io::Result<Vec<SocketAddr>>) {
        let Some(race) = self.race(connecting) else { return };
        let addresses = addresses.unwrap_or_else(|error| {
            race.note(error);
            Vec::new()
        });
        race.addresses = Some(addresses.into_iter());
        self.step_after(connecting, Duration::ZERO);
    }

    /// What the lookup has found. If the race is over by now, it is dropped.
    pub(super) fn resolved(&mut self, connecting: Timer, addresses: io::Result<Vec<SocketAddr>>) {
        self.enter(connecting, addresses.map(interleaved));
    }

    fn race(&mut self, connecting: Timer) -> Option<&mut Race> {
        match self.timers.what(connecting)? {
            Some(Call::Connect(race)) => Some(race),
            _ => None,
        }
    }

    fn step_after(&mut self, connecting: Timer, delay: Duration) {
        let next = self.call_later(delay, move |scope| scope.map().step(connecting));
        let before = self.race(connecting).and_then(|race| race.step.replace(next));
        before.map(|before| self.cancel(before));
    }

    /// Ends the race if it is decided, or begins the next attempt.
    fn step(&mut self, connecting: Timer) {
        let Some(race) = self.race(connecting) else { return };
        race.step = None;
        if let Some(winner) = race.winner.take()
            && let Some(channel) = self.take_winner(winner)
        {
            return self.finish(connecting, Ok(channel));
        }
        while let Some(race) = self.race(connecting)
            && let Some(address) = race.addresses.as_mut().and_then(Iterator::next)
        {
            let (delay, last) = (race.attempt_delay, race.is_at_the_last());
            match self.attempt(connecting, address) {
                Ok(()) if last => return,
                Ok(()) => return self.step_after(connecting, delay),
                Err(error) => self.fail(connecting, error),
            }
        }
        if let Some(race) = self.race(connecting)
            && race.attempts.is_empty()
        {
            let error = race.error.take().unwrap_or_else(no_address);
            self.finish(connecting, Err(error));
        }
    }

    fn attempt(&mut self, connecting: Timer, address: SocketAddr) -> io::Result<()> {
        let family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let channel = Channel::create_socket(family, Type::Stream)?;
        channel.connect(address)?;
        let key = self.add_channel(channel, Attempt { connecting })?;
        if let Some(race) = self.race(connecting) {
            race.attempts.push(key.untyped());
        }
        Ok(())
    }

    fn fail(&mut self, connecting: Timer, error: io::Error) {
        diagnose!(debug, "an attempt to connect: {error}");
        if let Some(race) = self.race(connecting) {
            race.note(error);
        }
    }

    fn take_winner(&mut self, winner: Key) -> Option<Channel> {
        Some(self.remove(winner)?.channel)
    }

    fn finish(&mut self, connecting: Timer, result: io::Result<Channel>) {
        if let Some(Call::Connect(race)) = self.timers.what(connecting).and_then(Option::take) {
            self.timers.cancel(connecting);
            let callback = self.call_off(connecting, *race);
            callback(&mut Scope::new(self), result);
        }
    }

    /// The time is over. A winner that is not known of yet, because a callback took long, has won
    /// all the same.
    pub(crate) fn end_race(&mut self, connecting: Timer, race: Race) {
        self.timers.cancel(connecting);
        let winner = race.winner.and_then(|winner| self.take_winner(winner));
        let callback = self.call_off(connecting, race);
        let result = winner.ok_or_else(|| io::ErrorKind::TimedOut.into());
        callback(&mut Scope::new(self), result);
    }

    /// Leaves nothing of a race behind.
    pub(crate) fn call_off(&mut self, connecting: Timer, race: Race) -> Callback {
        if race.addresses.is_none() {
            self.withdraw(connecting);
        }
        race.step.map(|step| self.cancel(step));
        for attempt in race.attempts {
            self.close_channel(attempt);
        }
        race.callback
    }

    /// Calls all races off, their callbacks uncalled.
    pub(crate) fn call_all_off(&mut self) {
        let is_race = |call: &Call| matches!(call, Call::Connect(_));
        for connecting in self.timers.which(is_race) {
            self.cancel(connecting);
        }
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to")
}

/// The dispatcher of a channel in the race.
struct Attempt {
    connecting: Timer,
}

impl Dispatcher for Attempt {
    /// What the peer sends is for whoever gets the channel.
    fn readable(&self, _: &Channel) -> bool {
        false
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let key = cx.key();
        if let Some(race) = cx.map().race(self.connecting) {
            race.winner.get_or_insert(key);
            cx.map().step_after(self.connecting, Duration::ZERO);
        }
        Ok(())
    }

    /// It is told to whoever asked for the connection.
    fn handle_error(&mut self, _: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        Err(error)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        let key = cx.key();
        cx.map().fail(self.connecting, cause.unwrap_or_else(|| Errno::ECONNABORTED.into()));
        if let Some(race) = cx.map().race(self.connecting) {
            race.attempts.retain(|attempt| *attempt != key);
            cx.map().step_after(self.connecting, Duration::ZERO);
        }
        Ok(())
    }
}
