//! I4: whatever happens, both backends deliver the same callbacks in the same order.
//!
//! Random histories are run once on each. What is served first depends on the numbers of the
//! descriptors, so nobody else opens any in this binary. There is no TCP in it, where the peers'
//! doings arrive some time later.
//!
//! `ASYNCORE_SEED` runs one history alone.
#![cfg(all(feature = "poll", feature = "select"))]

mod common;

use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, FileWrapper, Interest, Key, Poll,
    Reactor, Select, State, Type,
};
use common::{Log, name_of};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, send},
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::AsRawFd,
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

const HISTORIES: u64 = 300;
const PASSES: u32 = 60;
const MOST_CHANNELS: usize = 100;

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// The later ones are more likely to be alive.
    fn likely_late(&mut self, end: usize) -> usize {
        if self.one_in(3) { self.below(end) } else { end - 1 - self.below(end) / 4 }
    }

    fn interest(&mut self) -> Interest {
        Interest::from_bits_truncate(self.next() as u8)
    }
}

/// The other end of a channel.
enum Peer {
    Stream(UnixStream),
    Datagram(UnixDatagram),
    Pipe(FileWrapper),
    /// There is none, or it is closed.
    Gone,
}

/// What all actors of one history share.
struct World {
    seed: u64,
    log: Log,
    keys: Vec<Key<Actor>>,
    peers: Vec<Peer>,
    /// Where the first channel listens.
    path: PathBuf,
    clients: Vec<UnixStream>,
}

type Shared = Rc<RefCell<World>>;

/// Does at random what a callback can do.
struct Actor {
    id: usize,
    random: Random,
    readable: bool,
    writable: bool,
    world: Shared,
}

/// What works on a reactor and in a callback.
trait Site {
    fn add(&mut self, channel: Channel, actor: Actor) -> Key<Actor>;
    fn del(&mut self, key: Key<Actor>) -> Option<(Channel, Actor)>;
    fn remove(&mut self, key: Key<Actor>) -> bool;
    fn actor(&mut self, key: Key<Actor>) -> Option<&mut Actor>;
    fn channel_of(&mut self, key: Key<Actor>) -> Option<&Channel>;
}

macro_rules! site {
    ($($head:tt)*) => {
        $($head)* {
            fn add(&mut self, channel: Channel, actor: Actor) -> Key<Actor> {
                self.add_channel(channel, actor).unwrap()
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
        }
    };
}
site!(impl<B: Backend> Site for Reactor<B>);
site!(impl Site for Context<'_>);

fn result_of<T>(result: io::Result<T>) -> String {
    result.map_or_else(|error| name_of(&error), |_| "ok".into())
}

/// A new channel of any kind, with its actor.
fn create(world: &Shared, random: &mut Random) -> (Channel, Actor) {
    let (channel, peer) = match random.below(10) {
        0 => {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            (Channel::new(ours).unwrap(), Peer::Datagram(theirs))
        }
        1 => {
            let (ours, theirs) = io::pipe().unwrap();
            (Channel::new(ours).unwrap(), Peer::Pipe(FileWrapper::new(theirs).unwrap()))
        }
        2 => {
            let (theirs, ours) = io::pipe().unwrap();
            (Channel::new(ours).unwrap(), Peer::Pipe(FileWrapper::new(theirs).unwrap()))
        }
        3 => {
            let channel = Channel::create_socket(Family::Unix, Type::Stream).unwrap();
            let result = result_of(channel.connect(&*world.borrow().path));
            world.borrow().log.push(format!("connect {result}"));
            (channel, Peer::Gone)
        }
        _ => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            (Channel::new(ours).unwrap(), Peer::Stream(theirs))
        }
    };
    channel.set_half_close(random.one_in(4));
    channel.set_queue_limit(300_000);
    (channel, employ(world, random, peer))
}

fn employ(world: &Shared, random: &mut Random, peer: Peer) -> Actor {
    let mut shared = world.borrow_mut();
    let id = shared.peers.len();
    shared.peers.push(peer);
    Actor {
        id,
        random: Random(shared.seed ^ (id as u64) << 32),
        readable: !random.one_in(8),
        writable: random.one_in(3),
        world: Rc::clone(world),
    }
}

fn add(site: &mut impl Site, world: &Shared, channel: Channel, actor: Actor) {
    let key = site.add(channel, actor);
    world.borrow_mut().keys.push(key);
}

/// Something that anybody may do to anybody, at any time.
fn meddle(site: &mut impl Site, world: &Shared, random: &mut Random) {
    let (count, log) = (world.borrow().keys.len(), world.borrow().log.clone());
    let target = random.likely_late(count);
    let key = world.borrow().keys[target];
    match random.below(24) {
        0 if count < MOST_CHANNELS => {
            let (channel, actor) = create(world, random);
            add(site, world, channel, actor);
        }
        1 => log.push(format!("close {target} {}", site.remove(key))),
        2 => {
            let taken = site.del(key);
            log.push(format!("take {target} {}", taken.is_some()));
            let again = random.one_in(2);
            // One that was closed meanwhile would be refused.
            if let Some((channel, actor)) = taken
                && again
                && channel.state() != State::Closed
            {
                add(site, world, channel, actor);
            }
        }
        3 => {
            if let Some(actor) = site.actor(key) {
                actor.readable = !actor.readable;
                actor.writable = random.one_in(2);
            }
        }
        4..8 => {
            if let Some(channel) = site.channel_of(key) {
                let interest = random.interest();
                match random.below(12) {
                    0..2 => channel.pause(interest),
                    2..5 => channel.resume(Interest::all()),
                    5 => channel.close_when_sent(),
                    6 => channel.close(),
                    7 => {
                        let result = channel.shutdown(Shutdown::Write);
                        log.push(format!("shut down {target} {}", result_of(result)));
                    }
                    8 => {
                        let result = channel.send(b"direct");
                        log.push(format!("send {target} {}", result_of(result)));
                    }
                    _ => {
                        let result = channel.push(&vec![b'p'; random.below(100_000)]);
                        log.push(format!("push {target} {}", result_of(result)));
                    }
                }
            }
        }
        8..20 => {
            let peers = &mut world.borrow_mut().peers;
            let target = random.likely_late(peers.len());
            let length = random.below(9000);
            let data = vec![b'd'; length];
            let peer = &mut peers[target];
            let result = match (&mut *peer, random.below(12)) {
                (Peer::Gone, _) => return,
                (_, 0) => {
                    *peer = Peer::Gone;
                    return log.push(format!("peer of {target} gone"));
                }
                (Peer::Stream(peer), 1) => peer.shutdown(Shutdown::Write),
                (Peer::Stream(peer), 2) => {
                    send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB).map_err(Into::into).map(drop)
                }
                (Peer::Stream(peer), 3..7) => peer.read(&mut vec![0; 20 * length]).map(drop),
                (Peer::Stream(peer), _) => peer.write(&data).map(drop),
                (Peer::Pipe(peer), 1..6) => peer.read(&mut vec![0; 20 * length]).map(drop),
                (Peer::Pipe(peer), _) => peer.write(&data).map(drop),
                (Peer::Datagram(peer), 1..3) => peer.recv(&mut [0; 100]).map(drop),
                (Peer::Datagram(peer), _) => peer.send(&data[..length.min(100)]).map(drop),
            };
            log.push(format!("peer of {target} {}", result_of(result)));
        }
        20 => {
            let path = world.borrow().path.clone();
            match UnixStream::connect(path) {
                Ok(client) => {
                    client.set_nonblocking(true).unwrap();
                    world.borrow_mut().clients.push(client);
                }
                Err(error) => log.push(format!("client {}", name_of(&error))),
            }
        }
        21 => {
            let clients = &mut world.borrow_mut().clients;
            if !clients.is_empty() {
                let which = random.below(clients.len());
                clients.swap_remove(which);
            }
        }
        _ => {}
    }
}

impl Actor {
    fn say(&self, what: &str) {
        self.world.borrow().log.push(format!("{}.{what}", self.id));
    }

    /// A few things at random, to itself and to others, and a result.
    fn act(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        for _ in 0..self.random.below(3) {
            match self.random.below(8) {
                0 => {
                    let result = cx.push(&vec![b'q'; self.random.below(50_000)]);
                    self.say(&format!("push {}", result_of(result)));
                }
                1 => self.writable = !self.writable,
                2 => cx.pause(self.random.interest()),
                3 if self.random.one_in(4) => cx.close(),
                4 if self.random.one_in(4) => cx.close_when_sent(),
                _ => {
                    let world = Rc::clone(&self.world);
                    meddle(cx, &world, &mut self.random);
                }
            }
        }
        match self.random.below(40) {
            0 => Err(Errno::EPERM.into()),
            1 => Err(Errno::ECONNRESET.into()),
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
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
        self.say("connect");
        self.act(cx)
    }

    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        self.say("accepted");
        let world = Rc::clone(&self.world);
        let child = employ(&world, &mut self.random, Peer::Gone);
        add(cx, &world, channel, child);
        if self.random.one_in(8) { self.act(cx) } else { Ok(()) }
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.random.one_in(10) {
            let result = cx.recv(&mut vec![0; 1 + self.random.below(6000)]);
            self.say(&match &result {
                Ok(count) => format!("read {count}"),
                Err(error) => format!("read {}", name_of(error)),
            });
            result?;
        } else {
            self.say("read nothing");
        }
        self.act(cx)
    }

    fn handle_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.say("write");
        self.writable = self.random.one_in(3);
        self.act(cx)
    }

    fn handle_expt(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let taken =
            if self.random.one_in(2) { result_of(cx.recv_oob(&mut [0])) } else { "".into() };
        self.say(&format!("expt {taken}"));
        self.act(cx)
    }

    fn handle_close(&mut self, cx: &mut Context<'_>, cause: Option<io::Error>) -> io::Result<()> {
        self.say(&format!("closed {}", cause.map_or("in order".into(), |cause| name_of(&cause))));
        self.act(cx)
    }

    fn handle_error(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Result<()> {
        self.say(&format!("error {}", name_of(&error)));
        self.act(cx)?;
        if self.random.one_in(2) { Ok(()) } else { Err(error) }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.say("drop");
    }
}

/// What happens in the history of this seed.
fn history<B: Backend + Default>(seed: u64) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listener");
    let listener = Channel::new(UnixListener::bind(&path).unwrap()).unwrap();
    let (log, mut reactor) = (Log::default(), common::reactor::<B>());
    let world = Rc::new(RefCell::new(World {
        seed,
        log: log.clone(),
        keys: Vec::new(),
        peers: Vec::new(),
        path,
        clients: Vec::new(),
    }));
    let mut random = Random(seed);
    let actor = employ(&world, &mut random, Peer::Gone);
    add(&mut reactor, &world, listener, actor);
    for _ in 0..10 + random.below(15) {
        let (channel, actor) = create(&world, &mut random);
        add(&mut reactor, &world, channel, actor);
    }
    for pass in 0..PASSES {
        for _ in 0..random.below(12) {
            meddle(&mut reactor, &world, &mut random);
        }
        log.push(format!("pass {pass}"));
        let served = reactor.poll(Some(Duration::ZERO)).unwrap();
        log.push(format!("served {served} of {}", reactor.len()));
    }
    reactor.close_all().unwrap();
    log.take()
}

#[test]
fn i04_random_histories_are_the_same_on_both_backends() {
    let seeds = match std::env::var("ASYNCORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..HISTORIES).collect(),
    };
    let single = seeds.len() == 1;
    let mut seen = BTreeSet::new();
    for seed in seeds {
        println!("ASYNCORE_SEED={seed}");
        let (poll, select) = (history::<Poll>(seed), history::<Select>(seed));
        let differs = poll.iter().zip(&select).position(|(poll, select)| poll != select);
        if let Some(index) = differs {
            let before = &poll[index.saturating_sub(30)..index];
            panic!(
                "seed {seed}: after {before:#?} poll says {:?}, and select {:?}",
                poll[index], select[index],
            );
        }
        assert_eq!(poll.len(), select.len(), "seed {seed}");
        seen.extend(poll.into_iter().filter_map(|entry| {
            let (_, what) = entry.split_once('.')?;
            Some(what.split(' ').next().unwrap_or(what).to_owned())
        }));
    }
    // Else it shows nothing.
    for what in ["connect", "accepted", "read", "write", "expt", "closed", "error", "drop"] {
        assert!(single || seen.contains(what), "no {what} in {seen:?}");
    }
}
