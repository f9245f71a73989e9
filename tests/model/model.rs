//! The model: what a reactor does, with no descriptors, and no regard for speed.
//!
//! It follows the pages of `Dispatcher` (the order of callbacks) and of `Channel` (what ends a
//! channel). Channels are named after the order in which they came to be, from 1 on.

use crate::{
    entry::{Entry, Fault, Outcome},
    history::{Act, Call, Due, End, Kind, MUCH, PLACES, QUEUE_LIMIT, Step, interest},
    wire::Wire,
};
use asyncore::Interest;
use nix::errno::Errno;
use std::{collections::BTreeMap, io::ErrorKind};

/// The most that one flush sends.
const PIECE: usize = 64 << 10;

/// What `handle_read` reads at the most.
pub(crate) const BUFFER: usize = 16;

type Who = u32;

#[derive(Default)]
pub(crate) struct Model {
    channels: BTreeMap<Who, Channel>,
    /// Who has the number.
    at: [Option<Who>; PLACES],
    /// Who had a number and lost it to another, in this order.
    lost: Vec<Who>,
    /// Whose end is to be told before anything else.
    due: Vec<Who>,
    /// Whose callback is running.
    running: Option<Who>,
    stop: bool,
    births: u32,
    /// How many times something was added.
    additions: u64,
    pub(crate) log: Vec<Entry>,
    /// The wires whose end on our side was closed.
    pub(crate) cut: Vec<(Who, Wire)>,
    /// Those that are pending: which, in whose place, and what they do.
    timers: Vec<(u64, usize, Due)>,
    timers_set: u64,
    /// How often each kind of callback was made.
    pub(crate) calls: BTreeMap<&'static str, u64>,
}

struct Channel {
    place: usize,
    /// Which addition it came with.
    joined: u64,
    wire: Wire,
    readable: bool,
    writable: bool,
    plans: [Option<Plan>; 5],
    closed: bool,
    /// The number was closed, and the channel does not know.
    torn: bool,
    /// It knows.
    lost: bool,
    half_close: bool,
    paused: Interest,
    unhandled: Interest,
    queue: usize,
    input_ended: bool,
    input_failed: bool,
    output_ended: bool,
    failure: Option<Errno>,
    close_when_sent: bool,
    shut_when_sent: bool,
    shut_asked: bool,
    oob_told: bool,
}

pub(crate) type Plan = ([Act; 2], End);

/// A panic in a callback is on its way through `poll`.
pub(crate) struct Unwinds;

type Flow<T = ()> = Result<T, Unwinds>;

struct Ready {
    invalid: bool,
    events: Interest,
}

/// What a history does.
impl Model {
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Do(act) => self.act(act),
            Step::Plan { at, call, acts, end } => {
                if let Some(channel) = self.at[at].and_then(|who| self.channels.get_mut(&who)) {
                    channel.plans[call as usize] = Some((acts, end));
                }
            }
            Step::Pass => match self.pass() {
                Ok(served) => self.say(0, "poll", Ok(served)),
                Err(Unwinds) => self.say(0, "panic", Ok(0)),
            },
            Step::Run(count) => match self.run(count) {
                Ok(()) => self.say(0, "run", Ok(0)),
                Err(Unwinds) => self.say(0, "panic", Ok(0)),
            },
        }
        self.say(0, "len", Ok(self.len()));
    }

    /// What peers do over TCP takes effect some time later, so a history lets it be where one could
    /// not wait for it.
    pub(crate) fn allows(&self, step: Step) -> bool {
        let Step::Do(act) = step else { return true };
        let (Act::PeerSends(at, _) | Act::PeerSendsOob(at) | Act::PeerResets(at)) = act else {
            return true;
        };
        let Some(wire) = self.wire_at(at).filter(|wire| wire.kind == Kind::Tcp) else {
            return true;
        };
        match act {
            Act::PeerSends(..) => {
                wire.urgent.is_none_or(|urgent| urgent.after == 0 && wire.inbox == 0)
            }
            Act::PeerSendsOob(_) => wire.urgent.is_none(),
            // Once both have ended there is no connection to reset.
            _ => !(wire.ended && wire.shut),
        }
    }

    pub(crate) fn wire_at(&self, place: usize) -> Option<&Wire> {
        let channel = &self.channels[&self.at[place]?];
        (!channel.torn).then_some(&channel.wire)
    }

    /// Every connection that is open, and whose it is.
    pub(crate) fn wires(&self) -> impl Iterator<Item = (Who, &Wire)> {
        self.channels.iter().filter(|(_, each)| !each.torn).map(|(who, each)| (*who, &each.wire))
    }

    /// Between two steps, the peers read what has come.
    pub(crate) fn peers_read(&mut self) {
        for channel in self.channels.values_mut().filter(|channel| !channel.wire.held) {
            channel.wire.peer_reads();
        }
    }

    fn len(&self) -> usize {
        self.at.iter().flatten().count() + self.lost.len()
    }

    fn is_idle(&self) -> bool {
        self.len() == 0 && self.timers.is_empty()
    }

    fn say(&mut self, who: Who, what: &'static str, outcome: Outcome) {
        self.log.push(Entry(who, what, outcome));
    }

    fn channel(&mut self, who: Who) -> &mut Channel {
        self.channels.get_mut(&who).expect("it is there")
    }
}

/// The loop.
impl Model {
    fn run(&mut self, count: u64) -> Flow {
        let mut passes = 0;
        while !std::mem::take(&mut self.stop) && !self.is_idle() && passes < count {
            self.pass()?;
            passes += 1;
        }
        Ok(())
    }

    fn pass(&mut self) -> Flow<usize> {
        let was_empty = self.len() == 0;
        for who in self.at.into_iter().flatten() {
            let channel = self.channel(who);
            if channel.closed {
                self.release(who);
            } else if (channel.lost || channel.is_over()) && !self.due.contains(&who) {
                self.due.push(who);
            }
        }
        if self.is_idle() && !was_empty {
            return Ok(0);
        }
        let ready = self.at.map(|who| self.channels[&who?].ready());
        self.batch(ready)
    }

    /// What came without an event, then who is ready in ascending order of the numbers. Who joins
    /// meanwhile waits for the next pass.
    fn batch(&mut self, ready: [Option<Ready>; PLACES]) -> Flow<usize> {
        let (mut served, present) = (0, self.additions);
        while let Some(who) = Self::first(&mut self.lost, &self.channels) {
            self.channel(who).lost = true;
            self.conclude(who)?;
            self.finish(who);
            served += 1;
        }
        while let Some(who) = Self::first(&mut self.due, &self.channels) {
            if self.is_in(who) {
                self.conclude(who)?;
                self.finish(who);
                served += 1;
            }
        }
        for (place, ready) in ready.into_iter().enumerate() {
            if let (Some(ready), Some(who)) = (ready, self.at[place])
                && self.channel(who).joined <= present
            {
                self.serve(who, &ready)?;
                self.finish(who);
                served += 1;
            }
        }
        self.fire()?;
        Ok(served)
    }

    /// Timers have their turn after the channels, in the order in which they were set. One that is
    /// set meanwhile waits for the next pass.
    fn fire(&mut self) -> Flow {
        for (number, place, due) in self.timers.clone() {
            // It may have been cancelled by another.
            let Some(index) = self.timers.iter().position(|timer| timer.0 == number) else {
                continue;
            };
            self.timers.remove(index);
            self.say(0, "timer", Ok(place));
            match due {
                Due::Tells => {}
                Due::Again => self.act(Act::Timer(place, due)),
                Due::Closes(place) => self.act(Act::CloseKey(place)),
                Due::Cancels(place) => self.act(Act::CancelTimer(place)),
                Due::Stops => self.act(Act::Stop),
                Due::Panics => return Err(Unwinds),
            }
        }
        Ok(())
    }

    /// Takes the one with the lowest number out of a list, of several the one that was first.
    fn first(list: &mut Vec<Who>, channels: &BTreeMap<Who, Channel>) -> Option<Who> {
        list.retain(|who| channels.contains_key(who));
        list.sort_by_key(|who| channels[who].place);
        (!list.is_empty()).then(|| list.remove(0))
    }

    fn is_in(&self, who: Who) -> bool {
        self.at.contains(&Some(who))
    }

    /// The order of callbacks. Each step asks whether the channel lives and wants the event.
    fn serve(&mut self, who: Who, ready: &Ready) -> Flow {
        if ready.invalid {
            self.channel(who).lost = true;
            return self.conclude(who);
        }
        if self.wants(who, ready, Interest::READ) {
            if self.channel(who).wire.kind == Kind::PipeOut {
                self.close(who, Some(Errno::EPIPE.into()))?;
            } else {
                let result = self.call(who, Call::Read, Ok(0))?;
                self.settle(who, result)?;
            }
        }
        if self.wants(who, ready, Interest::WRITE) {
            let result = match self.channel(who).queue {
                0 => self.call(who, Call::Write, Ok(0))?,
                _ => self.channel(who).flush(),
            };
            self.settle(who, result)?;
        }
        if self.wants(who, ready, Interest::PRIORITY) {
            self.channel(who).oob_told = true;
            let result = self.call(who, Call::Expt, Ok(0))?;
            self.settle(who, result)?;
        }
        Ok(())
    }

    fn wants(&self, who: Who, ready: &Ready, event: Interest) -> bool {
        ready.events.contains(event) && self.channels[&who].interest().contains(event)
    }

    /// An error is told, unless the channel's end will tell it.
    fn settle(&mut self, who: Who, result: Outcome) -> Flow {
        if let Err(fault) = result
            && !self.channel(who).closed
            && !self.channel(who).is_harmless(fault)
            && let Err(cause) = self.call(who, Call::Error, Err(fault))?
        {
            self.close(who, Some(cause))?;
        }
        self.conclude(who)
    }

    fn conclude(&mut self, who: Who) -> Flow {
        let channel = self.channel(who);
        if channel.lost {
            if channel.closed {
                return Ok(());
            }
            let lost = Fault::Errno(Errno::EBADF);
            let result = self.call(who, Call::Error, Err(lost))?;
            self.close(who, Some(result.err().unwrap_or(lost)))
        } else if channel.is_over() {
            let cause = channel.failure.map(Fault::from);
            self.close(who, cause)
        } else {
            Ok(())
        }
    }

    fn close(&mut self, who: Who, cause: Option<Fault>) -> Flow {
        if !self.channel(who).closed {
            let _ = self.call(who, Call::Close, cause.map_or(Ok(0), Err))?;
            self.channel(who).close();
        }
        Ok(())
    }

    /// After its callbacks, a closed channel goes.
    fn finish(&mut self, who: Who) {
        if self.channel(who).closed {
            self.release(who);
        }
    }

    fn release(&mut self, who: Who) {
        let mut channel = self.channels.remove(&who).expect("it is there");
        if self.at[channel.place] == Some(who) {
            self.at[channel.place] = None;
        }
        self.lost.retain(|lost| *lost != who);
        if !channel.torn {
            if channel.close_when_sent {
                channel.wire.discard_input();
            }
            channel.wire.close();
            self.cut.push((who, channel.wire));
        }
        self.say(who, "drop", Ok(0));
    }
}

/// A callback.
impl Model {
    fn call(&mut self, who: Who, call: Call, argument: Outcome) -> Flow<Outcome> {
        let what = match call {
            Call::Read => "handle_read",
            Call::Write => "handle_write",
            Call::Expt => "handle_expt",
            Call::Error => "handle_error",
            Call::Close => "handle_close",
        };
        self.say(who, what, argument);
        *self.calls.entry(what).or_default() += 1;
        let plan = self.channel(who).plans[call as usize].take();
        let (acts, end) = plan.unwrap_or(([Act::Nothing; 2], End::Usual));
        self.running = Some(who);
        for act in acts {
            self.act(act);
        }
        self.running = None;
        let result = match end {
            End::Usual => self.usual(who, call, argument),
            End::Fine => Ok(0),
            End::Unhandled => self.channel(who).unhandled(call, argument),
            End::WouldBlock => Err(Errno::EAGAIN.into()),
            End::Fails => Err(Errno::EPERM.into()),
            End::Resets => Err(Errno::ECONNRESET.into()),
            End::Panics => {
                self.release(who);
                return Err(Unwinds);
            }
        };
        Ok(result)
    }

    fn usual(&mut self, who: Who, call: Call, argument: Outcome) -> Outcome {
        match call {
            Call::Read => {
                let result = self.channel(who).recv(BUFFER);
                self.say(who, "recv", result);
                result
            }
            Call::Write => {
                self.channel(who).writable = false;
                Ok(0)
            }
            Call::Expt => {
                let result = self.channel(who).recv_oob();
                self.say(who, "recv_oob", result);
                result
            }
            Call::Error => argument,
            Call::Close => Ok(0),
        }
    }
}

/// What may be done at any time.
impl Model {
    fn act(&mut self, act: Act) {
        match act {
            Act::Nothing => {}
            Act::Stop => self.stop = true,
            Act::Timer(at, due) => {
                if self.timers.iter().all(|(_, place, _)| *place != at) {
                    self.timers_set += 1;
                    self.timers.push((self.timers_set, at, due));
                }
            }
            Act::CancelTimer(at) => {
                let before = self.timers.len();
                self.timers.retain(|(_, place, _)| *place != at);
                self.say(0, "cancel", Ok(before - self.timers.len()));
            }
            Act::Stale(_) => {}
            Act::Add(at, kind) => {
                if self.at[at].is_none() {
                    self.add(at, kind);
                }
            }
            Act::Replace(at, kind) => {
                if let Some(who) = self.at[at] {
                    self.tear(who);
                    self.channel(who).lost = true;
                    if self.running != Some(who) {
                        self.lost.push(who);
                    }
                    self.add(at, kind);
                }
            }
            _ => {
                if let Some(who) = act.place().and_then(|place| self.at[place]) {
                    self.act_on(who, act);
                }
            }
        }
    }

    fn act_on(&mut self, who: Who, act: Act) {
        let own = self.running == Some(who);
        let in_callback = self.running.is_some();
        let channel = self.channel(who);
        match act {
            Act::Tear(_) => self.tear(who),
            Act::Readd(_) if !own => {
                if channel.closed || channel.lost {
                    let fault = match channel.lost {
                        true => Errno::EBADF.into(),
                        false => Fault::Kind(ErrorKind::NotConnected),
                    };
                    self.release(who);
                    self.say(who, "add", Err(fault));
                } else {
                    channel.unhandled = Interest::empty();
                    channel.oob_told = false;
                    self.due.retain(|due| *due != who);
                    self.additions += 1;
                    self.channel(who).joined = self.additions;
                    self.say(who, "add", Ok(0));
                }
            }
            Act::Del(_) | Act::CloseKey(_) if !own => self.release(who),
            Act::CloseKey(_) | Act::Close(_) => channel.close(),
            Act::CloseWhenSent(_) => channel.close_when_sent = true,
            Act::HalfClose(_, on) => channel.half_close = on,
            Act::Shut(_) => {
                // A second one over TCP finds another answer when both ends have ended.
                if !(channel.shut_asked && channel.wire.kind == Kind::Tcp) {
                    channel.shut_asked = true;
                    let result = channel.shutdown();
                    self.say(who, "shutdown", result);
                }
            }
            Act::Pause(_, events) => channel.paused |= interest(events),
            Act::Resume(_, events) => {
                channel.paused -= interest(events);
                channel.unhandled -= interest(events);
            }
            Act::Wants(_, readable, writable) => {
                (channel.readable, channel.writable) = (readable, writable);
            }
            Act::Push(_, count) => {
                let result = channel.push(count);
                self.say(who, "push", result);
            }
            Act::PushMuch(_) => {
                if channel.wire.held && !channel.wire.gone && !channel.torn && channel.queue == 0 {
                    let result = channel.push(MUCH);
                    self.say(who, "push", result);
                }
            }
            Act::Send(_, count) => {
                let result = channel.send(count);
                self.say(who, "send", result);
            }
            Act::Discard(_) => channel.discard(),
            Act::Recv(_, room) => {
                let result = channel.recv(room);
                self.say(who, "recv", result);
            }
            Act::RecvOob(_) => {
                let result = channel.recv_oob();
                self.say(who, "recv_oob", result);
            }
            Act::Look(_) => {
                let (state, queue) =
                    (if channel.closed { "closed" } else { "connected" }, channel.queue);
                self.say(who, state, Ok(queue));
            }
            _ if channel.torn || channel.wire.gone => {}
            _ if channel.wire.kind == Kind::Tcp && in_callback => {}
            _ => channel.wire.peer_acts(act),
        }
    }

    fn add(&mut self, place: usize, kind: Kind) {
        self.births += 1;
        self.additions += 1;
        let channel = Channel::new(place, kind, self.additions);
        self.channels.insert(self.births, channel);
        self.at[place] = Some(self.births);
        self.say(self.births, "add", Ok(0));
    }

    fn tear(&mut self, who: Who) {
        let channel = self.channel(who);
        if !std::mem::replace(&mut channel.torn, true) {
            let mut wire = channel.wire.clone();
            wire.close();
            self.cut.push((who, wire));
        }
    }
}

/// A channel: what it is watched for, and what ends it.
impl Channel {
    fn new(place: usize, kind: Kind, joined: u64) -> Self {
        Self {
            place,
            joined,
            wire: Wire::new(kind),
            readable: true,
            writable: false,
            plans: [None; 5],
            closed: false,
            torn: false,
            lost: false,
            half_close: false,
            paused: Interest::empty(),
            unhandled: Interest::empty(),
            queue: 0,
            input_ended: false,
            input_failed: false,
            output_ended: false,
            failure: None,
            close_when_sent: false,
            shut_when_sent: false,
            shut_asked: false,
            oob_told: false,
        }
    }

    fn interest(&self) -> Interest {
        let mut possible = match self.wire.kind {
            Kind::Unix | Kind::Tcp => Interest::all(),
            Kind::PipeIn => Interest::READ | Interest::PRIORITY,
            Kind::PipeOut => Interest::READ | Interest::WRITE,
        };
        if self.closed || self.lost {
            return Interest::empty();
        }
        if self.input_ended || self.close_when_sent {
            possible -= Interest::READ | Interest::PRIORITY;
        }
        if self.output_ended || self.close_when_sent {
            possible -= Interest::WRITE;
        }
        if self.oob_told {
            possible -= Interest::PRIORITY;
        }
        possible -= self.paused;
        let mut wanted = Interest::empty();
        wanted.set(Interest::READ, self.readable);
        wanted.set(Interest::WRITE, self.writable);
        let mut interest = possible & wanted;
        let flushes = self.queue > 0 && !self.paused.contains(Interest::WRITE);
        if !interest.is_empty() || flushes {
            interest |= possible & Interest::PRIORITY;
        }
        interest -= self.unhandled;
        interest.set(Interest::WRITE, flushes || interest.contains(Interest::WRITE));
        interest
    }

    /// What a wait says of it; nothing if nothing is to be told.
    fn ready(&self) -> Option<Ready> {
        let interest = self.interest();
        let mut events = Interest::empty();
        events.set(Interest::READ, self.wire.is_readable());
        events.set(Interest::WRITE, self.wire.is_writable());
        events.set(Interest::PRIORITY, self.wire.has_priority());
        let ready = Ready { invalid: self.torn, events: events & interest };
        (!interest.is_empty() && (ready.invalid || !ready.events.is_empty())).then_some(ready)
    }

    /// Whether the time for `handle_close` has come.
    fn is_over(&self) -> bool {
        let sent = self.queue == 0;
        if self.input_failed {
            true
        } else if self.close_when_sent {
            sent || self.output_ended
        } else if self.input_ended && self.half_close {
            sent && self.output_ended
        } else if self.input_ended {
            sent || self.output_ended
        } else {
            // Broken for writing: what the peer has sent is read first, if that is wanted.
            self.failure.is_some()
                && !self.paused.contains(Interest::READ)
                && !self.interest().contains(Interest::READ)
        }
    }

    fn is_harmless(&self, fault: Fault) -> bool {
        let known = if self.lost { Some(Errno::EBADF) } else { self.failure };
        fault == Fault::Kind(ErrorKind::WouldBlock)
            || known.is_some_and(|known| fault == known.into())
    }

    /// The trait's own callback was made.
    fn unhandled(&mut self, call: Call, argument: Outcome) -> Outcome {
        let event = match call {
            Call::Read => Interest::READ,
            Call::Write => Interest::WRITE,
            Call::Expt => Interest::PRIORITY,
            Call::Error => return argument,
            Call::Close => return Ok(0),
        };
        if call == Call::Read && self.check_open().is_ok() {
            let result = if self.torn { Err(Errno::EBADF) } else { self.wire.peek() };
            self.received(result)?;
            if self.input_ended || self.input_failed {
                return Ok(0);
            }
        }
        self.unhandled |= event;
        Ok(0)
    }
}

/// A channel's methods.
impl Channel {
    fn close(&mut self) {
        (self.closed, self.queue) = (true, 0);
    }

    fn check_open(&self) -> Result<(), Fault> {
        match (self.closed, self.lost) {
            (true, _) => Err(Fault::Kind(ErrorKind::NotConnected)),
            (_, true) => Err(Errno::EBADF.into()),
            _ => Ok(()),
        }
    }

    fn recv(&mut self, room: usize) -> Outcome {
        self.check_open()?;
        let result = if self.torn { Err(Errno::EBADF) } else { self.wire.recv(room) };
        self.received(result)
    }

    fn received(&mut self, result: Result<usize, Errno>) -> Outcome {
        match result {
            Ok(0) => self.input_ended = true,
            Ok(_) => self.oob_told = false,
            Err(errno) => self.input_failed |= breaks(errno),
        }
        self.noted(result)
    }

    fn recv_oob(&mut self) -> Outcome {
        self.check_open()?;
        let result = if self.torn { Err(Errno::EBADF) } else { self.wire.recv_oob() };
        self.oob_told &= result.is_err();
        self.noted(result)
    }

    fn check_output(&self) -> Result<(), Fault> {
        self.check_open()?;
        if self.wire.kind == Kind::PipeIn {
            return Err(Errno::EBADF.into());
        }
        if self.output_ended || self.close_when_sent || self.shut_when_sent {
            return Err(Errno::EPIPE.into());
        }
        Ok(())
    }

    fn send(&mut self, count: usize) -> Outcome {
        self.check_output()?;
        if self.queue > 0 { Err(Errno::EAGAIN.into()) } else { self.transmit(count) }
    }

    fn push(&mut self, count: usize) -> Outcome {
        self.check_output()?;
        if self.queue + count > QUEUE_LIMIT {
            return Err(Fault::Kind(ErrorKind::QuotaExceeded));
        }
        let mut sent = 0;
        if self.queue == 0 && !self.paused.contains(Interest::WRITE) {
            sent = match self.transmit(count) {
                Err(Fault::Kind(ErrorKind::WouldBlock)) => 0,
                result => result?,
            };
        }
        self.queue += count - sent;
        Ok(0)
    }

    fn flush(&mut self) -> Outcome {
        let result = self.transmit(self.queue.min(PIECE));
        if self.output_ended {
            self.queue = 0;
        }
        match result {
            Ok(sent) => self.queue -= sent,
            Err(Fault::Kind(ErrorKind::WouldBlock)) => {}
            Err(fault) => return Err(fault),
        }
        self.shut_if_due()
    }

    fn transmit(&mut self, count: usize) -> Outcome {
        let result = if self.torn { Err(Errno::EBADF) } else { self.wire.send(count) };
        self.output_ended |= result.is_err_and(breaks);
        self.noted(result)
    }

    fn discard(&mut self) {
        self.queue = 0;
        let _ = self.shut_if_due();
    }

    fn shutdown(&mut self) -> Outcome {
        self.check_open()?;
        if matches!(self.wire.kind, Kind::PipeIn | Kind::PipeOut) {
            return Err(Errno::ENOTSOCK.into());
        }
        self.shut_when_sent = true;
        self.shut_if_due()
    }

    /// The output ends once the queue is empty.
    fn shut_if_due(&mut self) -> Outcome {
        self.check_open()?;
        if !self.shut_when_sent || self.queue > 0 {
            return Ok(0);
        }
        self.shut_when_sent = false;
        let result = if self.torn { Err(Errno::EBADF) } else { self.wire.shutdown() };
        self.output_ended |= result.is_ok() || result.is_err_and(breaks);
        self.noted(result.map(|()| 0))
    }

    /// An error says what becomes of the channel.
    fn noted(&mut self, result: Result<usize, Errno>) -> Outcome {
        if let Err(errno) = result {
            if breaks(errno) {
                self.failure.get_or_insert(errno);
            }
            self.lost |= errno == Errno::EBADF && self.torn;
        }
        result.map_err(Fault::from)
    }
}

/// Whether the connection is over.
fn breaks(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNRESET | Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ECONNABORTED | Errno::EPIPE
    )
}
