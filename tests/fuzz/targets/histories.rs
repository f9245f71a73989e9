//! Any history, on both backends: the same callbacks in the same order, no panic but those on
//! purpose, nothing called after its end, and no descriptor left.
//!
//! Who is served first depends on the numbers of the descriptors, so nobody else may open any
//! meanwhile; and there is no TCP in it, where the peers' doings arrive some time later. Timers and
//! timeouts are either due at once or never. What this does not know, tests/model does: numbers
//! that are closed behind the reactor's back, TCP, and what is to come instead of what comes twice.
#![no_main]

use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, Interest, IteratorProducer, Key, Poll,
    Reactor, Remote, Scope, Select, State, Timer, Type,
};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

#[derive(Debug, Arbitrary)]
struct History {
    ask_every_pass: bool,
    accept_batch: u8,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Pass,
    /// Outside of any callback.
    Do(Act),
    /// In a callback of this one, in one of the next.
    Plan(u8, Turn),
    Drain,
}

/// What one callback does, instead of the usual.
#[derive(Debug, Clone, Arbitrary)]
struct Turn {
    acts: [Act; 2],
    usual: bool,
    end: End,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum End {
    Fine,
    WouldBlock,
    Fails,
    Resets,
    Panics,
}

/// A number means one of those that were ever made, the last being 0.
#[derive(Debug, Clone, Arbitrary)]
enum Act {
    Add(Kind),
    Close(u8),
    CloseKey(u8),
    CloseWhenSent(u8),
    Readd(u8),
    Del(u8),
    Wants(u8, bool, bool),
    Touch(u8),
    Pause(u8, u8),
    Resume(u8, u8),
    HalfClose(u8, bool),
    Urgent(u8, bool),
    Shut(u8, How),
    Push(u8, u16),
    Produce(u8, [u8; 3]),
    Send(u8, u8),
    SendOob(u8),
    Recv(u8, u8),
    RecvOob(u8),
    Discard(u8),
    QueueLimit(u8, u16),
    WaterMarks(u8, u16, u16),
    Timeout(u8, Option<bool>),
    Later(Box<[u8; 3]>, bool),
    Every(u8),
    Cancel(u8),
    Reschedule(u8, bool),
    Notify(u8),
    Post(u8),
    Stop,
    PeerSends(u8, u16),
    PeerSendsOob(u8),
    PeerReads(u8, u16),
    PeerEnds(u8),
    PeerCloses(u8),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Stream,
    Datagram,
    PipeIn,
    PipeOut,
    Listener,
    /// Of the last listener.
    Client,
    /// One that our listener may accept, from outside.
    Visitor,
    /// Neither connected nor listening.
    Idle,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum How {
    Read,
    Write,
    Both,
}

fuzz_target!(
    init: {
        // What Rust does before `main`, and libFuzzer's does not: a broken pipe is an error.
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).unwrap();
    },
    |history: History| agrees(&history)
);

fn agrees(history: &History) {
    let before = open_descriptors();
    let poll = run::<Poll>(history);
    let select = run::<Select>(history);
    if poll != select {
        let differs = poll.iter().zip(&select).position(|(poll, select)| poll != select);
        let at = differs.unwrap_or(poll.len().min(select.len()));
        let before = &poll[at.saturating_sub(20)..at];
        panic!("after {before:#?}: poll {:?}, select {:?}", poll.get(at), select.get(at));
    }
    check(&poll);
    assert_eq!(open_descriptors(), before, "a descriptor is left");
}

/// Who, what, and what came of it. Nobody is the reactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(usize, &'static str, Outcome);

type Outcome = Result<usize, Fault>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Errno(Errno),
    Kind(ErrorKind),
}

const NOBODY: usize = usize::MAX;

fn outcome(result: &io::Result<usize>) -> Outcome {
    result.as_ref().map(|count| *count).map_err(|error| match error.raw_os_error() {
        Some(errno) => Fault::Errno(Errno::from_raw(errno)),
        None => Fault::Kind(error.kind()),
    })
}

/// What holds for every log: whoever is made is dropped, once, and `handle_close` is the last call.
fn check(log: &[Entry]) {
    let mut last: HashMap<usize, &str> = HashMap::new();
    for Entry(who, what, _) in log {
        let callback = matches!(*what, "made" | "drop") || what.starts_with("handle_");
        if *who == NOBODY || !callback {
            continue;
        }
        match (last.insert(*who, what), *what) {
            (None, "made") => {}
            (None | Some("drop"), _) | (Some(_), "made") => panic!("{who}: {what}"),
            (Some("handle_close"), after) => assert_eq!(after, "drop", "{who}"),
            _ => {}
        }
    }
    assert!(last.values().all(|last| *last == "drop"), "{last:?}");
}

fn open_descriptors() -> Vec<i32> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<_> =
        open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

enum Peer {
    Stream(UnixStream),
    Datagram(UnixDatagram),
    Pipe(File),
    Gone,
}

/// What all actors of one history share.
struct World {
    log: RefCell<Vec<Entry>>,
    all: RefCell<Vec<One>>,
    timers: RefCell<Vec<Timer>>,
    remote: Remote,
    listener: RefCell<Option<SocketAddr>>,
    visitors: RefCell<Vec<UnixStream>>,
}

struct One {
    /// `None` between the making and the adding, and when it was taken out.
    key: Option<Key<Actor>>,
    peer: Peer,
    turns: VecDeque<Turn>,
}

struct Actor {
    who: usize,
    readable: bool,
    writable: bool,
    world: Rc<World>,
}

/// The payload of a panic on purpose.
struct Planned;

const MOST: usize = 40;
const MOST_TIMERS: usize = 20;
const NEVER: Duration = Duration::from_secs(1 << 20);

/// What works on a reactor, in a callback, and in a timer's.
trait Site {
    fn add(&mut self, channel: Channel, actor: Actor) -> io::Result<Key<Actor>>;
    fn del(&mut self, key: Key<Actor>) -> Option<(Channel, Actor)>;
    fn remove(&mut self, key: Key<Actor>) -> bool;
    fn actor(&mut self, key: Key<Actor>) -> Option<&mut Actor>;
    fn channel_of(&mut self, key: Key<Actor>) -> Option<&Channel>;
    fn touch_it(&mut self, key: Key<Actor>) -> bool;
    fn later(&mut self, delay: Duration, call: Box<dyn FnOnce(&mut Scope<'_>)>) -> Timer;
    fn every(&mut self, period: Duration, call: Box<dyn FnMut(&mut Scope<'_>)>) -> Timer;
    fn cancel_it(&mut self, timer: Timer) -> bool;
    fn move_it(&mut self, timer: Timer, delay: Duration) -> bool;
    fn stop_it(&mut self);
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
            fn later(&mut self, delay: Duration, call: Box<dyn FnOnce(&mut Scope<'_>)>) -> Timer {
                self.call_later(delay, call)
            }
            fn every(&mut self, period: Duration, call: Box<dyn FnMut(&mut Scope<'_>)>) -> Timer {
                self.call_every(period, call)
            }
            fn cancel_it(&mut self, timer: Timer) -> bool {
                self.cancel(timer)
            }
            fn move_it(&mut self, timer: Timer, delay: Duration) -> bool {
                self.reschedule(timer, delay)
            }
            fn stop_it(&mut self) {
                self.stop();
            }
        }
    };
}
site!(impl<B: Backend> Site for Reactor<B>);
site!(impl Site for Context<'_>);
site!(impl Site for Scope<'_>);

fn run<B: Backend + Default>(history: &History) -> Vec<Entry> {
    let mut reactor = Reactor::<Poll>::builder()
        .backend(B::default())
        .ask_every_pass(history.ask_every_pass)
        .accept_batch(history.accept_batch.into())
        .build();
    let world = Rc::new(World {
        log: RefCell::default(),
        all: RefCell::default(),
        timers: RefCell::default(),
        remote: reactor.remote().unwrap(),
        listener: RefCell::default(),
        visitors: RefCell::default(),
    });
    for step in &history.steps {
        match step {
            Step::Pass => guarded(&world, "poll", || reactor.poll(Some(Duration::ZERO))),
            Step::Do(act) => world.act(&mut reactor, act),
            Step::Plan(at, turn) => {
                if let Some(who) = world.pick(*at) {
                    world.all.borrow_mut()[who].turns.push_back(turn.clone());
                }
            }
            Step::Drain => {
                guarded(&world, "drain", || reactor.drain(Duration::ZERO).map(usize::from))
            }
        }
        world.say(NOBODY, "len", Ok(reactor.len()));
    }
    for _ in 0..3 {
        guarded(&world, "poll", || reactor.poll(Some(Duration::ZERO)));
    }
    reactor.close_all().unwrap();
    drop(reactor);
    // A timer that is never due goes with the reactor.
    world.all.take();
    assert_eq!(Rc::strong_count(&world), 1, "somebody is left");
    world.log.take()
}

fn guarded(world: &World, what: &'static str, run: impl FnOnce() -> io::Result<usize>) {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => world.say(NOBODY, what, outcome(&result)),
        Err(payload) if payload.is::<Planned>() => world.say(NOBODY, "panic", Ok(0)),
        Err(payload) => resume_unwind(payload),
    }
}

impl World {
    fn say(&self, who: usize, what: &'static str, outcome: Outcome) {
        self.log.borrow_mut().push(Entry(who, what, outcome));
    }

    fn done<T>(&self, who: usize, what: &'static str, result: io::Result<T>) {
        self.say(who, what, outcome(&result.map(|_| 0)));
    }

    fn pick(&self, at: u8) -> Option<usize> {
        let count = self.all.borrow().len();
        (count > 0).then(|| count - 1 - usize::from(at) % count)
    }

    fn key(&self, at: u8) -> Option<(usize, Key<Actor>)> {
        let who = self.pick(at)?;
        Some((who, self.all.borrow()[who].key?))
    }

    fn employ(self: &Rc<Self>, peer: Peer) -> Actor {
        let who = self.all.borrow().len();
        self.all.borrow_mut().push(One { key: None, peer, turns: VecDeque::new() });
        self.say(who, "made", Ok(0));
        Actor { who, readable: true, writable: false, world: Rc::clone(self) }
    }

    fn join(&self, site: &mut impl Site, channel: Channel, actor: Actor) {
        let who = actor.who;
        let result = site.add(channel, actor);
        if let Ok(key) = result {
            self.all.borrow_mut()[who].key = Some(key);
        }
        self.done(who, "add", result);
    }

    fn add(self: &Rc<Self>, site: &mut impl Site, kind: Kind) {
        if self.all.borrow().len() >= MOST {
            return;
        }
        let (channel, peer) = match kind {
            Kind::Stream => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                theirs.set_nonblocking(true).unwrap();
                (Channel::new(ours), Peer::Stream(theirs))
            }
            Kind::Datagram => {
                let (ours, theirs) = UnixDatagram::pair().unwrap();
                theirs.set_nonblocking(true).unwrap();
                (Channel::new(ours), Peer::Datagram(theirs))
            }
            Kind::PipeIn => {
                let (ours, theirs) = io::pipe().unwrap();
                (Channel::new(ours), Peer::Pipe(nonblocking(theirs)))
            }
            Kind::PipeOut => {
                let (theirs, ours) = io::pipe().unwrap();
                (Channel::new(ours), Peer::Pipe(nonblocking(theirs)))
            }
            Kind::Listener => {
                let name = SocketAddr::from_abstract_name(format!(
                    "asyncore-fuzz-{}-{}",
                    std::process::id(),
                    self.all.borrow().len()
                ));
                let listener = UnixListener::bind_addr(&name.unwrap()).unwrap();
                *self.listener.borrow_mut() = Some(listener.local_addr().unwrap());
                (Channel::new(listener), Peer::Gone)
            }
            Kind::Client | Kind::Visitor => {
                let Some(address) = self.listener.borrow().clone() else { return };
                if let Kind::Visitor = kind {
                    let visitors = &mut self.visitors.borrow_mut();
                    let Ok(visitor) = connect(&address) else { return };
                    return visitors.push(visitor);
                }
                let channel = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
                let name = address.as_abstract_name().unwrap().to_vec();
                self.done(NOBODY, "connect", channel.connect(Address::Abstract(name)));
                (Ok(channel), Peer::Gone)
            }
            Kind::Idle => (Channel::create_socket(Family::Unix, Type::Stream), Peer::Gone),
        };
        let channel = channel.unwrap();
        channel.set_queue_limit(200_000);
        let actor = self.employ(peer);
        self.join(site, channel, actor);
    }

    fn act(self: &Rc<Self>, site: &mut impl Site, act: &Act) {
        match *act {
            Act::Add(kind) => self.add(site, kind),
            Act::Stop => site.stop_it(),
            Act::CloseKey(at) => {
                if let Some((who, key)) = self.key(at) {
                    let closed = site.remove(key);
                    self.say(who, "close_channel", Ok(closed.into()));
                }
            }
            Act::Del(at) | Act::Readd(at) => {
                let Some((who, key)) = self.key(at) else { return };
                let taken = site.del(key);
                self.say(who, "del_channel", Ok(taken.is_some().into()));
                if let (Some((channel, actor)), Act::Readd(_)) = (taken, act)
                    && channel.state() != State::Closed
                {
                    self.join(site, channel, actor);
                }
            }
            Act::Wants(at, readable, writable) => {
                if let Some((_, key)) = self.key(at)
                    && let Some(actor) = site.actor(key)
                {
                    (actor.readable, actor.writable) = (readable, writable);
                }
            }
            Act::Touch(at) => {
                if let Some((who, key)) = self.key(at) {
                    let touched = site.touch_it(key);
                    self.say(who, "touch", Ok(touched.into()));
                }
            }
            Act::Later(ref them, now) if self.timers.borrow().len() < MOST_TIMERS => {
                let (world, them) = (Rc::clone(self), *them.clone());
                let call = Box::new(move |scope: &mut Scope<'_>| {
                    world.say(NOBODY, "later", Ok(0));
                    world.act(scope, &Act::Wants(them[0], true, them[1] % 2 > 0));
                    world.act(scope, &Act::Push(them[2], 10));
                });
                let timer = site.later(if now { Duration::ZERO } else { NEVER }, call);
                self.timers.borrow_mut().push(timer);
            }
            // So short that it is always due in the next pass, and never twice in one.
            Act::Every(at) if self.timers.borrow().len() < MOST_TIMERS => {
                let world = Rc::clone(self);
                let call = Box::new(move |scope: &mut Scope<'_>| {
                    world.say(NOBODY, "every", Ok(0));
                    world.act(scope, &Act::PeerSends(at, 3));
                });
                let timer = site.every(Duration::from_nanos(1), call);
                self.timers.borrow_mut().push(timer);
            }
            Act::Cancel(at) | Act::Reschedule(at, _) => {
                let Some(timer) = self.timer(at) else { return };
                let was = match *act {
                    Act::Reschedule(_, true) => site.move_it(timer, Duration::ZERO),
                    Act::Reschedule(_, false) => site.move_it(timer, NEVER),
                    _ => site.cancel_it(timer),
                };
                self.say(NOBODY, "timer", Ok(was.into()));
            }
            Act::Notify(at) => {
                if let Some((who, key)) = self.key(at) {
                    self.done(who, "notify", self.remote.notify(key));
                }
            }
            Act::Post(what) => {
                // Nothing of this thread can be sent to it; the key can.
                let Some((_, key)) = self.key(what) else { return };
                let posted = self.remote.post(move |scope| {
                    if let Some(actor) = scope.get_mut(key) {
                        actor.writable = !actor.writable;
                    }
                });
                self.say(NOBODY, "post", Ok(posted.is_ok().into()));
            }
            Act::PeerSends(..)
            | Act::PeerSendsOob(_)
            | Act::PeerReads(..)
            | Act::PeerEnds(_)
            | Act::PeerCloses(_) => self.peer_acts(act),
            _ => self.use_channel(site, act),
        }
    }

    fn timer(&self, at: u8) -> Option<Timer> {
        let timers = self.timers.borrow();
        (!timers.is_empty()).then(|| timers[usize::from(at) % timers.len()])
    }

    fn use_channel(&self, site: &mut impl Site, act: &Act) {
        let (Act::Close(at)
        | Act::CloseWhenSent(at)
        | Act::Pause(at, _)
        | Act::Resume(at, _)
        | Act::HalfClose(at, _)
        | Act::Urgent(at, _)
        | Act::Shut(at, _)
        | Act::Push(at, _)
        | Act::Produce(at, _)
        | Act::Send(at, _)
        | Act::SendOob(at)
        | Act::Recv(at, _)
        | Act::RecvOob(at)
        | Act::Discard(at)
        | Act::QueueLimit(at, _)
        | Act::WaterMarks(at, ..)
        | Act::Timeout(at, _)) = *act
        else {
            return;
        };
        let Some((who, key)) = self.key(at) else { return };
        let Some(channel) = site.channel_of(key) else {
            return self.say(who, "gone", Ok(0));
        };
        match *act {
            Act::Close(_) => channel.close(),
            Act::CloseWhenSent(_) => channel.close_when_sent(),
            Act::Pause(_, bits) => channel.pause(Interest::from_bits_truncate(bits)),
            Act::Resume(_, bits) => channel.resume(Interest::from_bits_truncate(bits)),
            Act::HalfClose(_, on) => channel.set_half_close(on),
            Act::Urgent(_, on) => channel.set_urgent(on),
            Act::Shut(_, how) => {
                let how = match how {
                    How::Read => Shutdown::Read,
                    How::Write => Shutdown::Write,
                    How::Both => Shutdown::Both,
                };
                self.done(who, "shutdown", channel.shutdown(how));
            }
            Act::Push(_, length) => {
                self.done(who, "push", channel.push(&vec![b'p'; length.into()]));
            }
            Act::Produce(_, lengths) => {
                let pieces = lengths.map(|length| vec![b'i'; usize::from(length) * 64]);
                let producer = IteratorProducer::new(pieces);
                self.done(who, "produce", channel.push_with_producer(producer));
            }
            Act::Send(_, length) => {
                let result = channel.send(&vec![b's'; length.into()]);
                self.say(who, "send", outcome(&result));
            }
            Act::SendOob(_) => self.say(who, "send_oob", outcome(&channel.send_oob(b"!"))),
            Act::Recv(_, room) => {
                let result = channel.recv(&mut vec![0; room.into()]);
                self.say(who, "recv", outcome(&result));
            }
            Act::RecvOob(_) => self.say(who, "recv_oob", outcome(&channel.recv_oob(&mut [0]))),
            Act::Discard(_) => channel.discard_queue(),
            Act::QueueLimit(_, limit) => channel.set_queue_limit(limit.into()),
            Act::WaterMarks(_, low, high) => {
                let result = channel.set_water_marks(low.into(), high.into());
                assert_eq!(result.is_ok(), low <= high);
            }
            Act::Timeout(_, timeout) => {
                channel.set_timeout(timeout.map(|now| if now { Duration::ZERO } else { NEVER }));
            }
            _ => {}
        }
        let state = match channel.state() {
            State::Unconnected => "unconnected",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Listening => "listening",
            State::Closed => "closed",
        };
        let congested = usize::from(channel.is_congested());
        self.say(who, state, Ok(channel.queued() * 2 + congested));
        assert!(channel.has_output() || channel.queued() == 0);
    }

    fn peer_acts(&self, act: &Act) {
        let (Act::PeerSends(at, _)
        | Act::PeerSendsOob(at)
        | Act::PeerReads(at, _)
        | Act::PeerEnds(at)
        | Act::PeerCloses(at)) = *act
        else {
            return;
        };
        let Some(who) = self.pick(at) else { return };
        let peer = &mut self.all.borrow_mut()[who].peer;
        let result = match (&mut *peer, act) {
            (Peer::Gone, _) => return,
            (_, Act::PeerCloses(_)) => {
                *peer = Peer::Gone;
                Ok(0)
            }
            (Peer::Stream(peer), Act::PeerSends(_, length)) => {
                peer.write(&vec![b'd'; usize::from(*length)])
            }
            (Peer::Datagram(peer), Act::PeerSends(_, length)) => {
                peer.send(&vec![b'd'; usize::from(*length) % 100])
            }
            (Peer::Pipe(peer), Act::PeerSends(_, length)) => {
                peer.write(&vec![b'd'; usize::from(*length)])
            }
            (Peer::Stream(peer), Act::PeerSendsOob(_)) => {
                send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB | MsgFlags::MSG_NOSIGNAL)
                    .map_err(Into::into)
            }
            (Peer::Stream(peer), Act::PeerReads(_, room)) => {
                peer.read(&mut vec![0; 4 * usize::from(*room)])
            }
            (Peer::Pipe(peer), Act::PeerReads(_, room)) => {
                peer.read(&mut vec![0; 4 * usize::from(*room)])
            }
            (Peer::Datagram(peer), Act::PeerReads(..)) => peer.recv(&mut [0; 300]),
            (Peer::Stream(peer), Act::PeerEnds(_)) => peer.shutdown(Shutdown::Write).map(|()| 0),
            _ => return,
        };
        self.say(who, "peer", outcome(&result));
    }
}

fn nonblocking(fd: impl AsFd) -> File {
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    fd.as_fd().try_clone_to_owned().unwrap().into()
}

/// Without a wait where the listener has no room.
fn connect(address: &SocketAddr) -> io::Result<UnixStream> {
    let channel = Channel::create_socket(Family::Unix, Type::Stream)?;
    channel.connect(Address::Abstract(address.as_abstract_name().unwrap().to_vec()))?;
    Ok(channel.into_fd()?.into())
}

impl Actor {
    fn call(
        &mut self,
        cx: &mut Context<'_>,
        what: &'static str,
        error: Option<io::Error>,
        usual: impl FnOnce(&mut Self, &mut Context<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let world = Rc::clone(&self.world);
        world.say(self.who, what, outcome(&error.map_or(Ok(0), Err)));
        let turn = world.all.borrow_mut()[self.who].turns.pop_front();
        let Some(turn) = turn else { return usual(self, cx) };
        for act in &turn.acts {
            // Who runs is not among the others: it changes itself.
            match act {
                Act::Wants(at, readable, writable) if world.pick(*at) == Some(self.who) => {
                    (self.readable, self.writable) = (*readable, *writable);
                }
                act => world.act(cx, act),
            }
        }
        if turn.usual {
            usual(self, cx)?;
        }
        match turn.end {
            End::Fine => Ok(()),
            End::WouldBlock => Err(ErrorKind::WouldBlock.into()),
            End::Fails => Err(Errno::EPERM.into()),
            End::Resets => Err(Errno::ECONNRESET.into()),
            // Without the hook, which would end the process.
            End::Panics => resume_unwind(Box::new(Planned)),
        }
    }
}

impl Dispatcher for Actor {
    fn readable(&self, _: &Channel) -> bool {
        self.readable
    }

    fn writable(&self, _: &Channel) -> bool {
        self.writable
    }

    fn handle_connect(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_connect", None, |_, _| Ok(()))
    }

    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        let world = Rc::clone(&self.world);
        if world.all.borrow().len() < MOST {
            let child = world.employ(Peer::Gone);
            world.join(cx, channel, child);
        }
        self.call(cx, "handle_accepted", None, |_, _| Ok(()))
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_read", None, |this, cx| {
            let result = cx.recv(&mut [0; 4096]);
            this.world.say(this.who, "recv", outcome(&result));
            result.map(drop)
        })
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_write", None, |this, _| {
            this.writable = false;
            Ok(())
        })
    }

    fn handle_drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_drained", None, |_, _| Ok(()))
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_expt", None, |this, cx| {
            let result = cx.recv_oob(&mut [0]);
            this.world.say(this.who, "recv_oob", outcome(&result));
            result.map(drop)
        })
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_timeout", None, |_, _| Err(ErrorKind::TimedOut.into()))
    }

    fn handle_notify(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.call(cx, "handle_notify", None, |_, _| Ok(()))
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.call(cx, "handle_close", cause, |_, _| Ok(()))
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        let again = error.raw_os_error().map_or(error.kind().into(), io::Error::from_raw_os_error);
        self.call(cx, "handle_error", Some(error), |_, _| Err(again))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.world.say(self.who, "drop", Ok(0));
    }
}
