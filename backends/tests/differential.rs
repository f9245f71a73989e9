//! Both backends side by side, and the kernel's own word on each descriptor, through random
//! histories: all three say the same after every step.
//!
//! `DIFFERENTIAL_SEED` (the first), `DIFFERENTIAL_SEEDS` (how many) and `DIFFERENTIAL_STEPS` replay
//! a history that failed, or try more and longer ones.
#![cfg(all(target_os = "linux", feature = "poll", feature = "select"))]

mod common;

use asyncore_backends::{Backend, Interest, Poll, Readiness, Select};
use common::*;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        eventfd::{EfdFlags, EventFd},
        socket::{MsgFlags, Shutdown, recv, send, setsockopt, shutdown, sockopt},
    },
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{SocketAddrV4, TcpListener},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

#[test]
fn both_backends_and_the_kernel_agree_after_every_step_of_random_histories() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let steps = number("DIFFERENTIAL_STEPS").unwrap_or(2500);
    let first = number("DIFFERENTIAL_SEED").unwrap_or(1);
    let seeds = number("DIFFERENTIAL_SEEDS").unwrap_or(8);
    let mut seen = HashMap::new();
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        for step in 0..steps {
            let did = world.step();
            world.log.push_back(format!("{step}: {did}"));
            if world.log.len() > 40 {
                world.log.pop_front();
            }
            world.compare();
        }
        for (readiness, count) in world.seen {
            *seen.entry(readiness).or_insert(0) += count;
        }
    }
    // Histories in which nothing happens would always agree.
    for flags in 1..8 {
        let readiness = Readiness::from_bits_truncate(flags);
        let count = seen.get(&readiness).copied().unwrap_or_default();
        assert!(count >= seeds * steps / 100, "{readiness:?} was seen {count} times");
    }
}

struct World {
    seed: u64,
    random: Random,
    poll: Poll,
    select: Select,
    files: Vec<OwnedFd>,
    watched: BTreeMap<RawFd, Interest>,
    listener: TcpListener,
    address: SocketAddrV4,
    /// Watched for something and closed behind the backends' back in this step.
    closed: Vec<RawFd>,
    log: VecDeque<String>,
    seen: HashMap<Readiness, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            unreachable!()
        };
        Self {
            seed,
            random: Random::new(seed),
            poll: Poll::new(),
            select: Select::new(),
            files: Vec::new(),
            watched: BTreeMap::new(),
            listener,
            address,
            closed: Vec::new(),
            log: VecDeque::new(),
            seen: HashMap::new(),
        }
    }

    fn fail(&self, what: String) -> ! {
        let history: Vec<_> = self.log.iter().map(String::as_str).collect();
        panic!("seed {}: {what}\n{}", self.seed, history.join("\n"));
    }

    // One step.

    fn step(&mut self) -> String {
        if self.files.len() < 4 || (self.files.len() < 40 && self.random.below(8) == 0) {
            return self.open();
        }
        let index = self.random.below(self.files.len());
        let fd = self.files[index].as_raw_fd();
        let interest = self.random.interest();
        match self.random.below(100) {
            0..=19 => {
                let results = (self.poll.add(fd, interest), self.select.add(fd, interest));
                let known = self.watched.contains_key(&fd);
                if results.0.is_err() != known || results.1.is_err() != known {
                    self.fail(format!("add {fd}: {results:?}"));
                }
                self.watched.entry(fd).or_insert(interest);
                format!("add {fd} {interest:?}")
            }
            20..=39 => {
                self.poll.modify(fd, interest);
                self.select.modify(fd, interest);
                self.watched.entry(fd).and_modify(|old| *old = interest);
                format!("modify {fd} {interest:?}")
            }
            40..=44 => {
                self.forget(fd);
                format!("remove {fd}")
            }
            45..=56 => {
                format!("write {fd} {:?}", nix::unistd::write(&self.files[index], b"xyz"))
            }
            57..=60 => {
                let chunk = [b'x'; 16384];
                let mut count = 0;
                // A regular file takes everything.
                while count < 400 && nix::unistd::write(&self.files[index], &chunk).is_ok() {
                    count += 1;
                }
                format!("fill {fd} {count}")
            }
            61..=68 => {
                format!("read {fd} {:?}", nix::unistd::read(&self.files[index], &mut [0; 2]))
            }
            69..=75 => {
                let mut chunk = [0; 65536];
                let mut count = 0;
                while count < 1000
                    && nix::unistd::read(&self.files[index], &mut chunk).is_ok_and(|n| n > 0)
                {
                    count += 1;
                }
                format!("drain {fd} {count}")
            }
            76..=79 => format!("send out of band {fd} {:?}", send(fd, b"!", MsgFlags::MSG_OOB)),
            80..=81 => {
                let result = recv(fd, &mut [0], MsgFlags::MSG_OOB | MsgFlags::MSG_DONTWAIT);
                format!("receive out of band {fd} {result:?}")
            }
            82..=84 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][self.random.below(3)];
                format!("shutdown {fd} {how:?} {:?}", shutdown(fd, how))
            }
            85..=90 => {
                self.forget(fd);
                if self.random.below(3) == 0 {
                    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                    let _ = setsockopt(&self.files[index], sockopt::Linger, &linger);
                }
                self.files.swap_remove(index);
                format!("remove and close {fd}")
            }
            91..=94 => {
                self.files.swap_remove(index);
                // Who is paused is told of only when it is resumed, so it stays.
                if self.watched.get(&fd).is_some_and(|interest| !interest.is_empty()) {
                    self.watched.remove(&fd);
                    self.closed.push(fd);
                }
                format!("close {fd} behind their back")
            }
            95..=97 => {
                let least = [100, 1020, 3000, 5001][self.random.below(4)];
                let again = dup_from(least.min(raise_limit() - 60), &self.files[index]);
                let done = format!("dup {fd} to {}", again.as_raw_fd());
                self.files.push(again);
                done
            }
            98 => {
                let result = nix::sys::socket::connect(
                    fd,
                    &nix::sys::socket::SockaddrIn::from(self.address),
                );
                format!("connect {fd} {result:?}")
            }
            _ => match self.listener.accept() {
                Ok((socket, _)) => {
                    self.push(socket.into());
                    "accept".to_owned()
                }
                Err(error) => format!("accept {error}"),
            },
        }
    }

    fn forget(&mut self, fd: RawFd) {
        self.poll.remove(fd);
        self.select.remove(fd);
        self.watched.remove(&fd);
    }

    fn push(&mut self, file: OwnedFd) {
        let status = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL).unwrap());
        fcntl(&file, FcntlArg::F_SETFL(status | OFlag::O_NONBLOCK)).unwrap();
        self.files.push(file);
    }

    fn open(&mut self) -> String {
        let before = self.files.len();
        let kind = match self.random.below(10) {
            0 => {
                let (a, b) = pipe();
                self.push(a.into());
                self.push(b.into());
                "pipe"
            }
            1 | 2 => {
                let (a, b) = pair();
                self.push(a.into());
                self.push(b.into());
                "unix sockets"
            }
            3..=5 => {
                let (a, b) = tcp_pair();
                self.push(a.into());
                self.push(b.into());
                "tcp sockets"
            }
            6 => {
                let pty = nix::pty::openpty(None, None).unwrap();
                self.push(pty.master);
                self.push(pty.slave);
                "pty"
            }
            7 => {
                self.push(tempfile::tempfile().unwrap().into());
                "regular file"
            }
            8 => {
                let null = std::fs::File::options().read(true).write(true).open("/dev/null");
                self.push(null.unwrap().into());
                self.push(EventFd::from_flags(EfdFlags::empty()).unwrap().into());
                "null device, eventfd"
            }
            _ => {
                self.push(fresh_tcp());
                "fresh tcp socket"
            }
        };
        let fds: Vec<_> = self.files[before..].iter().map(OwnedFd::as_raw_fd).collect();
        // Most of what is opened gets watched.
        for &fd in &fds {
            if self.random.below(4) != 0 && !self.watched.contains_key(&fd) {
                let interest = self.random.interest();
                self.poll.add(fd, interest).unwrap();
                self.select.add(fd, interest).unwrap();
                self.watched.insert(fd, interest);
            }
        }
        format!("open {kind} {fds:?}")
    }

    // The comparison.

    fn compare(&mut self) {
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_unstable();
        let mut first = true;
        // TCP and ptys deliver in their own time: what the kernel says has to be the same before
        // and after, or nothing was compared.
        for _ in 0..1000 {
            let before = self.truth();
            let (mut by_poll, mut by_select) = (told(&mut self.poll), told(&mut self.select));
            self.check_order(&by_poll);
            self.check_order(&by_select);
            if first {
                let invalid_by_poll = take_invalid(&mut by_poll);
                let invalid_by_select = take_invalid(&mut by_select);
                if invalid_by_poll != invalid_by_select || invalid_by_poll != closed {
                    self.fail(format!(
                        "invalid for poll {invalid_by_poll:?}, for select \
                         {invalid_by_select:?}, closed were {closed:?}"
                    ));
                }
                first = false;
            }
            if before == self.truth() {
                if by_poll != by_select || by_poll != before {
                    self.fail(format!(
                        "\npoll   {by_poll:?}\nselect {by_select:?}\ntruth  {before:?}\nwatched \
                         {:?}",
                        self.watched
                    ));
                }
                for (_, readiness) in before {
                    *self.seen.entry(readiness).or_default() += 1;
                }
                return;
            }
        }
        self.fail("the kernel never settled".to_owned());
    }

    fn check_order(&self, events: &[(RawFd, Readiness)]) {
        if !events.is_sorted_by(|a, b| a.0 < b.0) {
            self.fail(format!("not ascending: {events:?}"));
        }
        if events.iter().any(|(_, readiness)| readiness.is_empty()) {
            self.fail(format!("ready for nothing: {events:?}"));
        }
    }

    /// The table of the crate's front page, with the kernel asked of each descriptor alone and
    /// from scratch.
    fn truth(&mut self) -> Vec<(RawFd, Readiness)> {
        let mut truth = Vec::new();
        let mut resumed = Vec::new();
        for (&fd, &interest) in self.watched.iter().filter(|(_, interest)| !interest.is_empty()) {
            // SAFETY: poll(2) takes any number, and nothing else is done with it.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
            let all = PollFlags::POLLIN | PollFlags::POLLOUT | PollFlags::POLLPRI;
            let mut entry = [PollFd::new(borrowed, all)];
            while nix::poll::poll(&mut entry, PollTimeout::ZERO) == Err(Errno::EINTR) {}
            let says = entry[0].revents().unwrap();
            if says.contains(PollFlags::POLLNVAL) {
                resumed.push(fd);
                continue;
            }
            let any = |flags| says.intersects(flags);
            let mut readiness = Readiness::empty();
            readiness.set(
                Readiness::READ,
                any(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR),
            );
            readiness.set(Readiness::WRITE, any(PollFlags::POLLOUT | PollFlags::POLLERR));
            readiness.set(Readiness::PRIORITY, any(PollFlags::POLLPRI));
            let wanted = readiness.wanted(interest);
            if !wanted.is_empty() {
                truth.push((fd, wanted));
            }
        }
        if !resumed.is_empty() {
            self.fail(format!("the model thinks that {resumed:?} are open"));
        }
        truth
    }
}

fn take_invalid(events: &mut Vec<(RawFd, Readiness)>) -> Vec<RawFd> {
    let (invalid, valid) =
        events.iter().partition(|(_, readiness)| readiness.contains(Readiness::INVALID));
    *events = valid;
    numbers(invalid)
}
