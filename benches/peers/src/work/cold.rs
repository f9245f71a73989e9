//! Sparse, and another process writes to idle descriptors: how long until somebody looks.

use super::{
    Round, Work,
    sparse::{Field, PingPong, field, open},
    start,
};
use crate::{
    clock::Clock,
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Peer, Wait},
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{MsgFlags, send},
    time::{ClockId, clock_gettime},
};
use std::{
    env, io,
    io::{BufRead, Write},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How many idle descriptors are written to, each once.
const COLD: usize = 200;
/// How long it is between two of them on average.
const GAP: Duration = Duration::from_micros(2500);

struct Cold {
    hot: PingPong,
    /// Whether a token is one of the idle ones.
    idle: Vec<bool>,
    /// How long each was waited for, in nanoseconds.
    waited: Vec<u64>,
}

impl Work for Cold {
    fn ready(&mut self, token: usize, io: &mut dyn Io) {
        if !self.idle[token] {
            return self.hot.ready(token, io);
        }
        let mut written = [0; 8];
        assert_eq!(io.recv(&mut written).expect("recv"), written.len());
        self.waited.push(now() - u64::from_ne_bytes(written));
    }
}

pub(super) fn run<P: Peer>(round: &Round<'_>, n: usize, active: usize) -> io::Result<Outcome> {
    let Field { ends, active, idle } = field(n, active)?;
    let mut is_idle = vec![false; ends.len()];
    idle.iter().for_each(|(token, _)| is_idle[*token] = true);
    let mut openers = Vec::new();
    for token in active {
        openers.push(ends[token].try_clone()?);
    }
    let hot = PingPong { target: u64::MAX, counts: Counts::default() };
    let cold = Cold { hot, idle: is_idle, waited: Vec::new() };
    let (mut peer, work) = start::<P, _>(round.method, cold)?;
    for (token, end) in ends.into_iter().enumerate() {
        peer.add(token, P::source(end)?, Interest::Read)?;
    }
    open(&openers, &mut work.borrow_mut().hot.counts);
    while work.borrow().hot.counts.messages < 1000 {
        peer.wait(Wait::UntilReady)?;
    }

    // Spread over all by a step that has no divisor in common with their number, mostly.
    let chosen = (0..COLD).map(|index| &idle[(index * 7919 + 13) % idle.len()].1);
    let mut writer = Command::new(env::current_exe()?);
    let writer = writer.arg("write-at-random-times").stdin(Stdio::piped());
    let mut numbers = String::new();
    for fd in chosen {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        numbers.push_str(&format!("{}\n", fd.as_raw_fd()));
    }
    let mut writer = writer.spawn()?;
    writer.stdin.take().expect("it is a pipe").write_all(numbers.as_bytes())?;

    let clock = Clock::new();
    let lap = clock.start();
    let before = work.borrow().hot.counts.messages;
    while work.borrow().waited.len() < COLD {
        peer.wait(Wait::UntilReady)?;
    }
    let spent = lap.stop();
    let messages = work.borrow().hot.counts.messages - before;
    writer.wait()?;

    // The messages under way are read, so that the counts can be compared.
    work.borrow_mut().hot.target = 0;
    while work.borrow().hot.counts.messages < work.borrow().hot.counts.writes {
        peer.wait(Wait::UntilReady)?;
    }
    let Cold { hot, waited, .. } = &mut *work.borrow_mut();
    waited.sort_unstable();
    let at = |percent: usize| waited[waited.len() * percent / 100] as f64;
    let figures = vec![
        ("ns".into(), spent.as_nanos() as f64 / messages as f64),
        ("p50".into(), at(50)),
        ("p99".into(), at(99)),
    ];
    Ok(Outcome { samples: 1, counts: hot.counts, figures })
}

/// The other process: writes what time it is to each descriptor that is named on standard input.
pub(crate) fn write_at_random_times() -> io::Result<()> {
    let numbers = io::stdin().lock().lines().map(|line| {
        line?.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    let numbers: Vec<i32> = numbers.collect::<io::Result<_>>()?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for fd in numbers {
        // xorshift; the same times for every peer.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let even = (random >> 11) as f64 / (1_u64 << 53) as f64;
        thread::sleep(GAP.mul_f64(-(1.0 - even).ln()));
        send(fd, &now().to_ne_bytes(), MsgFlags::MSG_NOSIGNAL)?;
    }
    Ok(())
}

/// The time of the machine, which is the same for all processes.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a monotonic clock");
    Duration::from(time).as_nanos() as u64
}
