//! The real thing: a reactor on one backend, real descriptors, and dispatchers that do as they are
//! told and write down what they are called for.

use crate::{
    entry::{Entry, Fault, Outcome, outcome},
    history::{Act, Call, Due, End, Kind, MUCH, PLACES, QUEUE_LIMIT, Step, interest},
    model::{BUFFER, Model, Plan},
    peer::{Peer, byte_at},
};
use asyncore::{
    Backend, Channel, Context, Dispatcher, Key, LoopOptions, Reactor, Scope, State, Timer,
};
use nix::errno::Errno;
use std::{
    cell::{Cell, RefCell},
    io,
    net::{Shutdown, TcpListener},
    os::fd::{AsFd, AsRawFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

/// One of those that a history is run on.
pub(crate) trait Lane {
    fn name(&self) -> &'static str;
    fn step(&mut self, step: Step, model: &Model);
    fn take_log(&self) -> Vec<Entry>;
    /// Has the peers look, and says what they do not see as they should.
    fn check_peers(&mut self, model: &Model) -> Result<(), String>;
}

pub(crate) struct World<B> {
    reactor: Reactor<B>,
    town: Rc<Town>,
}

/// What the dispatchers share.
struct Town {
    /// The number of the first place.
    base: RawFd,
    listener: TcpListener,
    log: RefCell<Vec<Entry>>,
    births: Cell<u32>,
    residents: RefCell<[Option<Resident>; PLACES]>,
    /// The last key of each place whose channel is gone.
    stale: RefCell<[Option<Former>; PLACES]>,
    /// The last one of each place.
    timers: RefCell<[Option<Timer>; PLACES]>,
    /// Peers whose other end is closed.
    left: RefCell<Vec<(u32, Peer)>>,
}

/// Who had the number of a place.
type Former = (u32, Key<Actor>);

/// Who has the number of a place.
struct Resident {
    who: u32,
    kind: Kind,
    key: Key<Actor>,
    role: Rc<Role>,
    peer: Option<Peer>,
    torn: bool,
    shut_asked: bool,
    /// Bytes that were taken by `push` and `send`, and given by `recv`.
    pushed: usize,
    received: usize,
}

/// What an actor is told from outside.
struct Role {
    readable: Cell<bool>,
    writable: Cell<bool>,
    plans: RefCell<[Option<Plan>; 5]>,
}

struct Actor {
    who: u32,
    place: usize,
    role: Rc<Role>,
    town: Rc<Town>,
}

/// The payload of a panic that was planned.
struct Planned;

/// What works on a reactor and in a callback.
trait Site {
    fn add(&mut self, channel: Channel, actor: Actor) -> io::Result<Key<Actor>>;
    fn del(&mut self, key: Key<Actor>) -> Option<(Channel, Actor)>;
    fn remove(&mut self, key: Key<Actor>) -> bool;
    fn actor(&mut self, key: Key<Actor>) -> Option<&mut Actor>;
    fn channel_of(&mut self, key: Key<Actor>) -> Option<&Channel>;
    fn touch_it(&mut self, key: Key<Actor>) -> bool;
    fn stop_it(&mut self);
    fn later(&mut self, callback: Box<dyn FnOnce(&mut Scope<'_>)>) -> Timer;
    fn cancel_it(&mut self, timer: Timer) -> bool;
}

macro_rules! site {
    ($($head:tt)*) => {
        $($head)* {
            fn add(&mut self, channel: Channel, actor: Actor) -> io::Result<Key<Actor>> {
                self.add_channel(channel, actor)
            }
            fn del(&mut self, key: Key<Actor>) -> Option<(Channel, Actor)> {
                self.del_channel(key)
            }
            fn remove(&mut self, key: Key<Actor>) -> bool {
                self.close_channel(key)
            }
            fn actor(&mut self, key: Key<Actor>) -> Option<&mut Actor> {
                self.get_mut(key)
            }
            fn channel_of(&mut self, key: Key<Actor>) -> Option<&Channel> {
                self.channel(key)
            }
            fn touch_it(&mut self, key: Key<Actor>) -> bool {
                self.touch(key)
            }
            fn stop_it(&mut self) {
                self.stop();
            }
            fn later(&mut self, callback: Box<dyn FnOnce(&mut Scope<'_>)>) -> Timer {
                self.call_later(Duration::ZERO, callback)
            }
            fn cancel_it(&mut self, timer: Timer) -> bool {
                self.cancel(timer)
            }
        }
    };
}
site!(impl<B: Backend> Site for Reactor<B>);
site!(impl Site for Context<'_>);
site!(impl Site for Scope<'_>);

impl<B: Backend + Default> World<B> {
    /// The numbers from `base` on are this world's alone.
    pub(crate) fn new(base: RawFd) -> Self {
        let town = Town {
            base,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            log: RefCell::default(),
            births: Cell::new(0),
            residents: RefCell::default(),
            stale: RefCell::default(),
            timers: RefCell::default(),
            left: RefCell::default(),
        };
        Self { reactor: Reactor::with_backend(B::default()), town: Rc::new(town) }
    }

    fn guarded(
        &mut self,
        what: &'static str,
        run: impl FnOnce(&mut Reactor<B>) -> io::Result<usize>,
    ) {
        match catch_unwind(AssertUnwindSafe(|| run(&mut self.reactor))) {
            Ok(result) => self.town.say(0, what, outcome(&result)),
            Err(payload) if payload.is::<Planned>() => self.town.say(0, "panic", Ok(0)),
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<B: Backend + Default> Lane for World<B> {
    fn name(&self) -> &'static str {
        self.reactor.backend_name()
    }

    fn step(&mut self, step: Step, model: &Model) {
        match step {
            Step::Do(act) => {
                self.town.act(&mut self.reactor, None, act);
                if let Some(place) = act.place() {
                    self.await_arrival(place, model);
                }
            }
            Step::Plan { at, call, acts, end } => {
                if let Some(resident) = &self.town.residents.borrow()[at] {
                    resident.role.plans.borrow_mut()[call as usize] = Some((acts, end));
                }
            }
            Step::Pass => self.guarded("poll", |reactor| reactor.poll(Some(Duration::ZERO))),
            Step::Run(count) => self.guarded("run", |reactor| {
                let timeout = Some(Duration::ZERO);
                reactor.run_with(LoopOptions { timeout, count: Some(count) })?;
                Ok(0)
            }),
        }
        self.town.say(0, "len", Ok(self.reactor.len()));
    }

    fn take_log(&self) -> Vec<Entry> {
        self.town.log.take()
    }

    fn check_peers(&mut self, model: &Model) -> Result<(), String> {
        let mut left = self.town.left.take();
        for (who, wire) in &model.cut {
            let found = left.iter().position(|(each, _)| each == who);
            let Some(index) = found else {
                if wire.gone {
                    continue;
                }
                return Err(format!("{who} is not closed"));
            };
            let (_, mut peer) = left.swap_remove(index);
            peer.check(wire).map_err(|error| format!("{who}: {error}"))?;
        }
        if let Some((who, _)) = left.first() {
            return Err(format!("{who} is closed"));
        }
        for (who, wire) in model.wires().filter(|(_, wire)| !wire.held && !wire.gone) {
            let mut residents = self.town.residents.borrow_mut();
            let peer = residents
                .iter_mut()
                .flatten()
                .find(|resident| resident.who == who)
                .and_then(|resident| resident.peer.as_mut())
                .ok_or_else(|| format!("{who} has no peer"))?;
            peer.check(wire).map_err(|error| format!("{who}: {error}"))?;
        }
        Ok(())
    }
}

impl<B: Backend> World<B> {
    /// What a peer does over TCP comes a little later.
    fn await_arrival(&mut self, place: usize, model: &Model) {
        let Some(wire) = model.wire_at(place).filter(|wire| wire.kind == Kind::Tcp) else { return };
        let key = self.town.residents.borrow()[place].as_ref().map(|resident| resident.key);
        if let Some(channel) = key.and_then(|key| self.reactor.channel(key)) {
            Peer::await_arrival(channel, wire);
        }
    }
}

impl Town {
    fn say(&self, who: u32, what: &'static str, outcome: Outcome) {
        self.log.borrow_mut().push(Entry(who, what, outcome));
    }

    /// Does it; `own` is whose callback is running.
    fn act(self: &Rc<Self>, site: &mut impl Site, own: Option<u32>, act: Act) {
        match act {
            Act::Nothing => {}
            Act::Stop => site.stop_it(),
            Act::Timer(at, due) => self.set_timer(site, at, due),
            Act::CancelTimer(at) => {
                let timer = self.timers.borrow_mut()[at].take();
                let found = timer.is_some_and(|timer| site.cancel_it(timer));
                self.say(0, "cancel", Ok(usize::from(found)));
            }
            Act::Stale(at) => self.try_stale(site, own, at),
            Act::Add(at, kind) => {
                if self.residents.borrow()[at].is_none() {
                    self.add(site, at, kind);
                }
            }
            Act::Replace(at, kind) => {
                if self.residents.borrow()[at].is_some() {
                    self.tear(at);
                    self.add(site, at, kind);
                }
            }
            _ => {
                let Some(at) = act.place() else { return };
                let found = self.residents.borrow()[at].as_ref().map(|each| (each.who, each.key));
                if let Some((who, key)) = found {
                    self.act_on(site, at, who, key, own, act);
                }
            }
        }
    }

    fn set_timer(self: &Rc<Self>, site: &mut impl Site, at: usize, due: Due) {
        if self.timers.borrow()[at].is_none() {
            let town = Rc::clone(self);
            let timer = site.later(Box::new(move |scope| town.fire(scope, at, due)));
            self.timers.borrow_mut()[at] = Some(timer);
        }
    }

    fn fire(self: &Rc<Self>, scope: &mut Scope<'_>, at: usize, due: Due) {
        self.timers.borrow_mut()[at] = None;
        self.say(0, "timer", Ok(at));
        match due {
            Due::Tells => {}
            Due::Again => self.set_timer(scope, at, due),
            Due::Closes(place) => self.act(scope, None, Act::CloseKey(place)),
            Due::Cancels(place) => self.act(scope, None, Act::CancelTimer(place)),
            Due::Stops => self.act(scope, None, Act::Stop),
            Due::Panics => resume_unwind(Box::new(Planned)),
        }
    }

    fn act_on(
        self: &Rc<Self>,
        site: &mut impl Site,
        at: usize,
        who: u32,
        key: Key<Actor>,
        own: Option<u32>,
        act: Act,
    ) {
        match act {
            Act::Tear(_) => return self.tear(at),
            Act::Readd(_) => {
                if let Some((channel, actor)) = site.del(key) {
                    let result = site.add(channel, actor);
                    self.say(who, "add", result.as_ref().map(|_| 0).map_err(Fault::from));
                    if let (Ok(key), Some(resident)) =
                        (result, &mut self.residents.borrow_mut()[at])
                    {
                        resident.key = key;
                    }
                }
                return;
            }
            Act::Del(_) => return drop(site.del(key)),
            Act::CloseKey(_) => return assert!(site.remove(key)),
            Act::Touch(_) => return assert!(site.touch_it(key)),
            Act::Wants(_, readable, writable) => {
                let actor = site.actor(key);
                assert_eq!(actor.is_none(), own == Some(who));
                if let Some(resident) = &self.residents.borrow()[at] {
                    resident.role.readable.set(readable);
                    resident.role.writable.set(writable);
                }
                return;
            }
            _ => {}
        }
        // Whoever is alive is found.
        let mut residents = self.residents.borrow_mut();
        let Some(resident) = &mut residents[at] else { return };
        if let Act::PeerSends(..)
        | Act::PeerSendsOob(_)
        | Act::PeerEnds(_)
        | Act::PeerCloses(_)
        | Act::PeerResets(_)
        | Act::PeerHolds(_)
        | Act::PeerReads(_) = act
        {
            return resident.peer_acts(site, own.is_some(), act);
        }
        let channel = site.channel_of(key).expect("it is there");
        let said: Option<(&'static str, Outcome)> = resident.use_channel(channel, act);
        drop(residents);
        if let Some((what, outcome)) = said {
            self.say(who, what, outcome);
        }
    }

    fn add(self: &Rc<Self>, site: &mut impl Site, place: usize, kind: Kind) {
        let number = self.base + place as RawFd;
        let (ours, peer) = Peer::pair(kind, &self.listener);
        let ours = rustix::io::fcntl_dupfd_cloexec(ours, number).unwrap();
        assert_eq!(ours.as_raw_fd(), number, "the number is not free");
        let who = self.births.get() + 1;
        self.births.set(who);
        let channel = Channel::new(ours).unwrap();
        channel.set_queue_limit(QUEUE_LIMIT);
        let role = Rc::new(Role {
            readable: Cell::new(true),
            writable: Cell::new(false),
            plans: RefCell::default(),
        });
        let actor = Actor { who, place, role: Rc::clone(&role), town: Rc::clone(self) };
        let key = site.add(channel, actor).unwrap();
        let resident = Resident {
            who,
            kind,
            key,
            role,
            peer: Some(peer),
            torn: false,
            shut_asked: false,
            pushed: 0,
            received: 0,
        };
        let before = self.residents.borrow_mut()[place].replace(resident);
        if let Some(before) = before {
            self.stale.borrow_mut()[place] = Some((before.who, before.key));
        }
        self.say(who, "add", Ok(0));
    }

    /// Closes a number behind the reactor's back.
    fn tear(&self, place: usize) {
        if let Some(resident) = &mut self.residents.borrow_mut()[place]
            && !resident.torn
        {
            nix::unistd::close(self.base + place as RawFd).unwrap();
            resident.torn = true;
            self.left.borrow_mut().extend(resident.peer.take().map(|peer| (resident.who, peer)));
        }
    }

    fn try_stale(&self, site: &mut impl Site, own: Option<u32>, place: usize) {
        let stale = self.stale.borrow()[place];
        // Who lost its number is still there in its own callback.
        let Some((_, key)) = stale.filter(|(who, _)| own != Some(*who)) else { return };
        assert!(!site.remove(key) && !site.touch_it(key), "{key:?} is stale");
        assert!(site.del(key).is_none() && site.actor(key).is_none(), "{key:?} is stale");
        assert!(site.channel_of(key).is_none(), "{key:?} is stale");
    }
}

impl Resident {
    fn use_channel(&mut self, channel: &Channel, act: Act) -> Option<(&'static str, Outcome)> {
        let done = |result: io::Result<()>| outcome(&result.map(|()| 0));
        match act {
            Act::Close(_) => channel.close(),
            Act::CloseWhenSent(_) => channel.close_when_sent(),
            Act::HalfClose(_, on) => channel.set_half_close(on),
            Act::Shut(_) => {
                if !(self.shut_asked && self.kind == Kind::Tcp) {
                    self.shut_asked = true;
                    return Some(("shutdown", done(channel.shutdown(Shutdown::Write))));
                }
            }
            Act::Pause(_, events) => channel.pause(interest(events)),
            Act::Resume(_, events) => channel.resume(interest(events)),
            Act::Push(_, count) => return Some(("push", self.push(channel, count))),
            Act::PushMuch(_) => {
                if self.peer.as_ref().is_some_and(Peer::is_held) && channel.queued() == 0 {
                    return Some(("push", self.push(channel, MUCH)));
                }
            }
            Act::Send(_, count) => {
                let result = outcome(&channel.send(&self.data(count)));
                self.pushed += result.unwrap_or(0);
                return Some(("send", result));
            }
            Act::Discard(_) => {
                self.pushed -= channel.queued();
                channel.discard_queue();
            }
            Act::Recv(_, room) => return Some(("recv", self.recv(channel, room))),
            Act::RecvOob(_) => return Some(("recv_oob", outcome(&channel.recv_oob(&mut [0])))),
            Act::Look(_) => {
                let state = match channel.state() {
                    State::Closed => "closed",
                    State::Connected => "connected",
                    _ => "something else",
                };
                return Some((state, Ok(channel.queued())));
            }
            _ => unreachable!("{act:?}"),
        }
        None
    }

    fn data(&self, count: usize) -> Vec<u8> {
        (self.pushed..self.pushed + count).map(byte_at).collect()
    }

    fn push(&mut self, channel: &Channel, count: usize) -> Outcome {
        let result = channel.push(&self.data(count));
        if result.is_ok() {
            self.pushed += count;
        }
        outcome(&result.map(|()| 0))
    }

    fn recv(&mut self, channel: &Channel, room: usize) -> Outcome {
        let mut buffer = [0; 64];
        let result = outcome(&channel.recv(&mut buffer[..room]));
        for byte in &buffer[..result.unwrap_or(0)] {
            assert_eq!(*byte, byte_at(self.received), "at byte {}", self.received);
            self.received += 1;
        }
        result
    }

    fn peer_acts(&mut self, site: &mut impl Site, in_callback: bool, act: Act) {
        let Some(peer) = &mut self.peer else { return };
        if peer.is_tcp() && in_callback {
            return;
        }
        match act {
            Act::PeerSends(_, count) => peer.send(count, self.received),
            Act::PeerSendsOob(_) => peer.send_oob(),
            Act::PeerEnds(_) => peer.end(),
            Act::PeerCloses(_) if !peer.is_tcp() => self.peer = None,
            // Dropped, it resets.
            Act::PeerResets(_) if peer.is_tcp() => self.peer = None,
            Act::PeerHolds(_) => {
                let channel = site.channel_of(self.key).expect("it is there");
                peer.hold(channel.as_fd());
            }
            Act::PeerReads(_) => peer.read(),
            _ => {}
        }
    }
}

impl Actor {
    fn call(&self, cx: &mut Context<'_>, call: Call, error: Option<io::Error>) -> io::Result<()> {
        let what = match call {
            Call::Read => "handle_read",
            Call::Write => "handle_write",
            Call::Expt => "handle_expt",
            Call::Error => "handle_error",
            Call::Close => "handle_close",
        };
        self.town.say(self.who, what, error.as_ref().map_or(Ok(0), |error| Err(error.into())));
        let plan = self.role.plans.borrow_mut()[call as usize].take();
        let (acts, end) = plan.unwrap_or(([Act::Nothing; 2], End::Usual));
        for act in acts {
            self.town.act(cx, Some(self.who), act);
        }
        match end {
            End::Usual => self.usual(cx, call, error),
            End::Fine => Ok(()),
            End::Unhandled => match call {
                Call::Read => Defaults.handle_read(cx),
                Call::Write => Defaults.handle_write(cx),
                Call::Expt => Defaults.handle_expt(cx),
                Call::Error => Defaults.handle_error(cx, error.expect("it has one")),
                Call::Close => Defaults.handle_close(cx, error),
            },
            End::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            End::Fails => Err(Errno::EPERM.into()),
            End::Resets => Err(Errno::ECONNRESET.into()),
            End::Panics => resume_unwind(Box::new(Planned)),
        }
    }

    fn usual(&self, cx: &mut Context<'_>, call: Call, error: Option<io::Error>) -> io::Result<()> {
        match call {
            Call::Read => {
                let mut buffer = [0; BUFFER];
                let result = cx.recv(&mut buffer);
                self.town.say(self.who, "recv", outcome(&result));
                self.received(&buffer[..*result.as_ref().unwrap_or(&0)]);
                result.map(drop)
            }
            Call::Write => {
                self.role.writable.set(false);
                Ok(())
            }
            Call::Expt => {
                let result = cx.recv_oob(&mut [0]);
                self.town.say(self.who, "recv_oob", outcome(&result));
                result.map(drop)
            }
            Call::Error => error.map_or(Ok(()), Err),
            Call::Close => Ok(()),
        }
    }

    fn received(&self, bytes: &[u8]) {
        let mut residents = self.town.residents.borrow_mut();
        let Some(resident) = residents[self.place].as_mut().filter(|each| each.who == self.who)
        else {
            return;
        };
        for byte in bytes {
            assert_eq!(*byte, byte_at(resident.received), "at byte {}", resident.received);
            resident.received += 1;
        }
    }
}

/// The callbacks as they are.
struct Defaults;

impl Dispatcher for Defaults {}

impl Dispatcher for Actor {
    fn readable(&self, _: &Channel) -> bool {
        self.role.readable.get()
    }

    fn writable(&self, _: &Channel) -> bool {
        self.role.writable.get()
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Call::Read, None)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Call::Write, None)
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, Call::Expt, None)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.call(cx, Call::Close, cause)
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.call(cx, Call::Error, Some(error))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.town.say(self.who, "drop", Ok(0));
        let mut residents = self.town.residents.borrow_mut();
        if let Some(resident) = residents[self.place].take_if(|each| each.who == self.who) {
            self.town.stale.borrow_mut()[self.place] = Some((self.who, resident.key));
            self.town.left.borrow_mut().extend(resident.peer.map(|peer| (self.who, peer)));
        }
    }
}
