//! One batch: the truth table from readiness to callbacks.

use crate::{
    Channel, Context, Interest, Key, State, Stats, diagnostics::diagnose, interest::Served,
    map::Map, running::Running,
};
use asyncore_backends::{Event, Readiness};
use std::io;

/// Serves what is `ready`, in that order, each channel once; returns how many were served.
///
/// First come the channels whose end came without an event: those that lost their number, and those
/// that were found to be over before the wait.
pub(crate) fn batch(map: &mut Map, ready: &[Event]) -> usize {
    let mut served = 0;
    // A channel that joins from here on was not there when the kernel was asked: an event for its
    // number is its predecessor's.
    let newcomers = map.slab.next_generation();
    if Event::any_invalid(ready) {
        for event in ready.iter().filter(|event| event.is_invalid()) {
            map.slab.unregister(event.fd);
        }
    }
    if map.has_news() {
        served += tell_news(map);
    }
    for (index, event) in ready.iter().enumerate() {
        if let Some(next) = ready.get(index + 1) {
            map.slab.prefetch(next.fd);
        }
        if let Some(running) = Running::take_number(map, event.fd, newcomers) {
            served += running.serve(event.readiness);
        }
    }
    served
}

/// Runs one callback that is not about readiness, and counts it.
pub(crate) fn tell(
    map: &mut Map,
    key: Key,
    counter: impl FnOnce(&mut Stats) -> &mut u64,
    callback: impl FnOnce(&mut dyn Served, &mut Context<'_>) -> io::Result<()>,
) {
    let Some(mut running) = Running::take(map, key) else { return };
    if running.channel().state() != State::Closed {
        *counter(&mut running.map.stats) += 1;
        running.call(callback);
    }
    running.finish();
}

/// Serves the channels whose end came without an event.
#[cold]
fn tell_news(map: &mut Map) -> usize {
    let mut served = 0;
    while let Some((key, occupant)) = map.lost.pop() {
        served += Running::lost(map, key, occupant).serve_by_table(Readiness::INVALID);
    }
    map.due.sort_unstable_by_key(|key| std::cmp::Reverse(key.fd));
    while let Some(key) = map.due.pop() {
        if let Some(mut running) = Running::take(map, key) {
            running.conclude();
            running.finish();
            served += 1;
        }
    }
    served
}

impl Running<'_> {
    /// Serves one channel; returns how many that are.
    ///
    /// Most events are input of a connection about which nothing is out of the ordinary, neither
    /// before `handle_read` nor after it. The table would do the same with them, in more steps.
    #[inline(always)]
    fn serve(mut self, ready: Readiness) -> usize {
        let before = self.known();
        let usual = ready == Readiness::READ && before.contains(Interest::READ);
        if !usual || !self.channel().is_plain() {
            return self.serve_by_table(ready);
        }
        self.map.stats.handle_read += 1;
        match self.run_and_ask(|dispatcher, cx| dispatcher.read(cx)) {
            Ok(()) if self.known() == before => self.put_back(),
            result => self.end_read(result),
        }
        1
    }

    /// Something has come of it.
    #[inline(never)]
    fn end_read(&mut self, result: io::Result<()>) {
        self.settle(result);
        self.finish();
    }

    #[inline(never)]
    fn serve_by_table(mut self, ready: Readiness) -> usize {
        if self.map.own == Some(self.key) {
            self.serve_own(ready);
            return 0;
        }
        self.follow_the_table(ready);
        self.finish();
        1
    }

    /// The reactor's own channel: what it does counts for nothing.
    #[cold]
    fn serve_own(mut self, ready: Readiness) {
        let before = self.map.stats;
        self.follow_the_table(ready);
        self.map.stats = before;
        self.finish();
    }

    /// The truth table. Each step asks anew whether the channel lives and wants the event.
    ///
    /// Steps that few events take are out of line: most passes find this code cold, and would fetch
    /// them as well.
    #[inline(always)]
    fn follow_the_table(&mut self, ready: Readiness) {
        if ready.contains(Readiness::INVALID) {
            self.channel().lose();
            return self.conclude();
        }
        if self.channel().state() == State::Connecting && !self.connect(ready) {
            return;
        }
        if self.wants(ready, Interest::READ) {
            if self.channel().state() == State::Listening {
                self.accept(ready);
            } else if self.channel().readable_means_gone() {
                self.close(Some(nix::Error::EPIPE.into()));
            } else {
                self.map.stats.handle_read += 1;
                self.call_and_ask(|dispatcher, cx| dispatcher.read(cx));
            }
        }
        if self.wants(ready, Interest::WRITE) {
            self.write();
        }
        if self.wants(ready, Interest::PRIORITY) {
            self.tell_priority();
        }
    }

    /// Ends the connect that was under way; false if the channel has nothing else to do now.
    #[cold]
    fn connect(&mut self, ready: Readiness) -> bool {
        if !ready.contains(Readiness::WRITE) && !self.channel().connects_at_once() {
            return false;
        }
        match self.channel().finish_connect() {
            Ok(()) => {
                self.map.stats.handle_connect += 1;
                self.call(|dispatcher, cx| dispatcher.handle_connect(cx));
                true
            }
            Err(error) => {
                self.fail_for_good(error);
                false
            }
        }
    }

    #[inline(never)]
    fn write(&mut self) {
        if self.channel().has_output() {
            self.changed();
            self.map.stats.flushes += 1;
            let result = self.channel().flush_queue();
            self.settle(result);
            if self.channel().has_drained() {
                self.map.stats.handle_drained += 1;
                self.call(|dispatcher, cx| dispatcher.handle_drained(cx));
            }
        } else {
            self.map.stats.handle_write += 1;
            self.call_and_ask(|dispatcher, cx| dispatcher.write(cx));
        }
    }

    #[cold]
    fn tell_priority(&mut self) {
        self.channel().tell_priority_once();
        self.map.stats.handle_expt += 1;
        self.call(|dispatcher, cx| dispatcher.handle_expt(cx));
    }

    #[inline]
    fn wants(&self, ready: Readiness, event: Interest) -> bool {
        !ready.wanted(event).is_empty() && self.interest().contains(event)
    }

    /// Accepts while there is something to accept, within the limit of one pass.
    fn accept(&mut self, ready: Readiness) {
        for _ in 0..self.map.options.accept_batch {
            self.map.stats.handle_accept += 1;
            let result = self.run(|dispatcher, cx| dispatcher.handle_accept(cx));
            if self.channel().is_stalled() {
                return self.stall(result);
            }
            self.settle(result);
            if !self.channel().has_accepted() || !self.wants(ready, Interest::READ) {
                return;
            }
        }
    }

    /// There is no room for another connection: the listener is told once, and rests.
    #[cold]
    fn stall(&mut self, result: io::Result<()>) {
        self.map.stall(self.key);
        let no_room = result.as_ref().is_err_and(|error| self.channel().survives(error));
        let first = self.channel().tell_stall_once();
        if first || !no_room {
            self.settle(result);
        }
        if !self.map.rests(self.key) {
            // The handler has made room.
            self.channel().end_stall();
        }
    }

    #[inline(always)]
    fn call(&mut self, callback: impl FnOnce(&mut dyn Served, &mut Context<'_>) -> io::Result<()>) {
        let result = self.run(callback);
        self.settle(result);
    }

    #[inline(always)]
    fn call_and_ask(
        &mut self,
        callback: impl FnOnce(&mut dyn Served, &mut Context<'_>) -> Interest,
    ) {
        let result = self.run_and_ask(callback);
        self.settle(result);
    }

    /// Deals with what became of a callback or a flush.
    #[inline]
    fn settle(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.complain(error);
        }
        self.conclude();
    }

    #[cold]
    fn complain(&mut self, error: io::Error) {
        if self.channel().state() == State::Closed {
            diagnose!(debug, "{:?}: after it was closed: {error}", self.key);
        } else if !is_harmless(self.channel(), &error) {
            self.fail(error);
        }
    }

    /// Ends a channel whose number is lost, or whose connection is over.
    #[inline]
    fn conclude(&mut self) {
        if self.channel().is_lost() || self.is_over() {
            self.end();
        }
    }

    #[cold]
    fn end(&mut self) {
        if self.channel().state() == State::Closed {
            return;
        }
        if self.channel().is_lost() {
            self.map.stats.evictions += 1;
            self.fail_for_good(nix::Error::EBADF.into());
        } else {
            self.close(self.channel().cause());
        }
    }

    /// `handle_error`, and `handle_close` if it gives up.
    #[cold]
    fn fail(&mut self, error: io::Error) {
        self.map.stats.handle_error += 1;
        if let Err(cause) = self.run(|dispatcher, cx| dispatcher.handle_error(cx, error)) {
            self.close(Some(cause));
        }
    }

    /// `handle_error`, then `handle_close` whatever it says.
    #[cold]
    fn fail_for_good(&mut self, error: io::Error) {
        if self.channel().state() == State::Closed {
            return;
        }
        let same = error.raw_os_error().map(io::Error::from_raw_os_error);
        self.map.stats.handle_error += 1;
        let result = self.run(|dispatcher, cx| dispatcher.handle_error(cx, error));
        self.close(result.err().or(same));
    }

    /// `handle_close`, once, and nothing after it.
    #[cold]
    fn close(&mut self, cause: Option<io::Error>) {
        if self.channel().state() == State::Closed {
            return;
        }
        self.map.stats.handle_close += 1;
        if let Err(error) = self.run(|dispatcher, cx| dispatcher.handle_close(cx, cause)) {
            diagnose!(error, "{:?}: handle_close: {error}", self.key);
        }
        self.channel().close();
    }
}

/// Whether an error needs no `handle_error` now: it is none, or the channel's end will tell it.
pub(crate) fn is_harmless(channel: &Channel, error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
        || channel.knows(error)
}
