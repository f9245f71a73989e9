//! One run of one scenario: its channels, the peers in the driver's hands, and its trace.

mod channels;
mod peers;

pub(crate) use channels::errno_named;

use crate::{
    book::{Definition, Kind, Scenario},
    callbacks::Wants,
    grammar::{is_in, split},
    reach::Reach,
    text::bytes,
};
use asyncore::{Channel, Family, Key, State, Type, file_dispatcher};
use nix::{
    poll::PollFlags,
    sys::{
        socket::{self, SockType},
        termios::{self, SetArg},
    },
    unistd,
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    io,
    os::fd::{AsRawFd, OwnedFd},
    panic::panic_any,
    rc::Rc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a run may wait, all in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run panics with if its scenario is wrong.
pub(crate) struct Wrong(pub(crate) String);

pub(crate) struct World {
    channels: BTreeMap<String, Definition>,
    family: Family,
    keys: RefCell<HashMap<String, Watched>>,
    peers: RefCell<HashMap<String, OwnedFd>>,
    /// Nobody's any more, and open.
    kept: RefCell<Vec<OwnedFd>>,
    taken_out: RefCell<HashMap<String, Box<dyn Any>>>,
    /// By channel, in the order in which they came: what is, and what was last written down.
    states: RefCell<Vec<(String, &'static str, &'static str)>>,
    pub(crate) accepted: RefCell<Option<Channel>>,
    deadline: Instant,
    directory: TempDir,
    paths: Cell<usize>,
    trace: RefCell<Vec<String>>,
}

/// A channel that was added.
#[derive(Clone)]
struct Watched {
    key: Key,
    kind: Kind,
    wants: Rc<Wants>,
}

/// The run and what is written down of it.
impl World {
    pub(crate) fn new(scenario: &Scenario, transport: &str) -> Rc<Self> {
        Rc::new(Self {
            channels: scenario.channels.clone(),
            family: match transport {
                "tcp6" | "udp6" => Family::Inet6,
                "unix" => Family::Unix,
                _ => Family::Inet,
            },
            keys: RefCell::default(),
            peers: RefCell::default(),
            kept: RefCell::default(),
            taken_out: RefCell::default(),
            states: RefCell::default(),
            accepted: RefCell::default(),
            deadline: Instant::now() + PATIENCE,
            directory: tempfile::tempdir().unwrap(),
            paths: Cell::new(0),
            trace: RefCell::default(),
        })
    }

    /// The scenario cannot go on like this.
    pub(crate) fn wrong(&self, why: String) -> ! {
        panic_any(Wrong(why))
    }

    /// How much patience is left.
    fn patience(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.wrong(format!("it takes more than {} s", PATIENCE.as_secs()));
        }
        left
    }

    /// How many steps were begun.
    pub(crate) fn steps(&self) -> usize {
        self.trace.borrow().iter().filter(|line| line.starts_with("> ")).count()
    }

    pub(crate) fn take_accepted(&self) -> Channel {
        let accepted = self.accepted.take();
        accepted.unwrap_or_else(|| self.wrong("nothing is accepted any more".to_owned()))
    }

    fn must_be_new(&self, name: &str) {
        if self.keys.borrow().contains_key(name) || self.peers.borrow().contains_key(name) {
            self.wrong(format!("the name {name} is taken"));
        }
    }

    pub(crate) fn write(&self, line: String) {
        self.trace.borrow_mut().push(line);
    }

    pub(crate) fn log(&self, entry: String) {
        self.write(format!("  {entry}"));
    }

    pub(crate) fn definition(&self, name: &str) -> Definition {
        self.channels.get(name).cloned().unwrap_or_default()
    }

    /// Writes down the states that have changed.
    pub(crate) fn log_states(&self) {
        for (name, now, logged) in &mut *self.states.borrow_mut() {
            if now != logged {
                *logged = now;
                self.log(format!("{name} is {now}"));
            }
        }
    }

    pub(crate) fn note_state(&self, name: &str, channel: &Channel) {
        let state = match channel.state() {
            State::Unconnected => "idle",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Listening => "accepting",
            // It is gone when it is dropped.
            State::Closed => return,
        };
        self.set_state(name, state);
    }

    pub(crate) fn note_gone(&self, name: &str) {
        self.set_state(name, "gone");
    }

    fn set_state(&self, name: &str, state: &'static str) {
        let mut states = self.states.borrow_mut();
        match states.iter_mut().find(|(other, ..)| other == name) {
            Some((_, now, _)) => *now = state,
            None => states.push((name.to_owned(), state, "")),
        }
    }

    /// The trace; whatever is still open goes.
    pub(crate) fn end(&self) -> Vec<String> {
        self.taken_out.take();
        self.accepted.take();
        self.trace.take()
    }
}

/// Actions.
impl World {
    /// `NAME: VERB ARGUMENTS`; a running channel need not name itself.
    pub(crate) fn act(
        self: &Rc<Self>,
        reach: &mut dyn Reach,
        line: &str,
        running: Option<&str>,
    ) -> io::Result<()> {
        let (name, words) = split(line);
        let Some(name) = name.or(running) else { return self.act_on_nobody(reach, &words) };
        if is_in("new_channel", words[0]) {
            self.must_be_new(name);
        }
        if self.taken_out.borrow().contains_key(name) {
            self.wrong(format!("{name} was taken out"));
        }
        let known = self.keys.borrow().get(name).cloned();
        match known {
            Some(watched) => self.act_on_channel(reach, name, &watched, &words),
            None if self.peers.borrow().contains_key(name) => self.act_on_peer(reach, name, &words),
            None => self.make(reach, name, &words),
        }
    }

    fn act_on_nobody(&self, reach: &mut dyn Reach, words: &[&str]) -> io::Result<()> {
        match *words {
            ["await", name, ref flags @ ..] => self.wait(reach, name, flags)?,
            ["pair", one, other] => {
                let (first, second) = self.pair()?;
                self.add_peer(one, first);
                self.add_peer(other, second);
            }
            ["pipe", reader, writer] => {
                let (first, second) = unistd::pipe()?;
                self.add_peer(reader, first);
                self.add_peer(writer, second);
            }
            ["pty", master, slave] => {
                let pty = nix::pty::openpty(None, None)?;
                let mut attributes = termios::tcgetattr(&pty.slave)?;
                termios::cfmakeraw(&mut attributes);
                termios::tcsetattr(&pty.slave, SetArg::TCSANOW, &attributes)?;
                self.add_peer(master, pty.master);
                self.add_peer(slave, pty.slave);
            }
            _ => unreachable!("the check refuses {words:?}"),
        }
        Ok(())
    }

    /// What brings a new name into the world.
    fn make(self: &Rc<Self>, reach: &mut dyn Reach, name: &str, words: &[&str]) -> io::Result<()> {
        let peer = match *words {
            ["create"] => {
                let channel = Channel::create_socket(self.family, Type::Stream)?;
                return self.add_channel(reach, name, channel);
            }
            ["create", "datagram"] => {
                let channel = Channel::create_socket(self.family, Type::Datagram)?;
                return self.add_channel(reach, name, channel);
            }
            ["take", peer] => {
                let channel = Channel::new(self.take_peer(peer))?;
                return self.add_channel(reach, name, channel);
            }
            ["watch", peer] => {
                let channel = file_dispatcher(self.take_peer(peer))?;
                return self.add_channel(reach, name, channel);
            }
            ["listen"] => self.listener(16)?,
            ["listen", backlog] => self.listener(backlog.parse().unwrap())?,
            ["nobody"] => self.bound(SockType::Stream)?,
            ["udp"] => self.bound(SockType::Datagram)?,
            ["file", ref content @ ..] => {
                let path = self.directory.path().join(name);
                fs::write(&path, bytes(&content.concat()))?;
                OpenOptions::new().read(true).write(true).open(path)?.into()
            }
            ["null"] => OpenOptions::new().read(true).write(true).open("/dev/null")?.into(),
            ["dial", target] => {
                let socket = self.socket(SockType::Stream)?;
                socket::connect(socket.as_raw_fd(), &self.address(reach, target)?)?;
                socket
            }
            ["answer", listener] => {
                self.until_ready(self.peer(&self.peers.borrow(), listener), PollFlags::POLLIN);
                let (peer, listener_again) = self.answer(self.take_peer(listener))?;
                self.add_peer(listener, listener_again);
                peer
            }
            _ => self.wrong(format!("there is no {name}")),
        };
        self.add_peer(name, peer);
        Ok(())
    }
}
