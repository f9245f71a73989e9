//! What clients who behave get done beside others who do not.
//!
//! An attack goes on once for every fifty messages, whatever else the machine does: a thousand
//! times a second where the fifty take a millisecond. What the attackers themselves take, who
//! would be elsewhere, is not counted; what they make the server do is.

use crate::{
    Result,
    rounds::{Target, compare},
    server::Server,
};
use asyncore::Backend;
use nix::sys::socket::{setsockopt, sockopt};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Of what they get done without it.
const TARGET: Target = Target::AtLeast(0.80);

const ROUND: Duration = Duration::from_millis(300);
const SETTLE: Duration = Duration::from_millis(100);
const POLITE: usize = 50;
const MESSAGE: usize = 1000;

/// What an attacker holds on to, and does once for every fifty messages.
struct Attack {
    name: &'static str,
    /// How long it has gone on, or nothing has, when counting begins.
    settle: Duration,
    prepare: fn(SocketAddr) -> io::Result<Vec<TcpStream>>,
    act: fn(SocketAddr, &mut [TcpStream], usize) -> io::Result<()>,
}

const ATTACKS: [Attack; 7] = [
    Attack {
        name: "connect and vanish",
        settle: SETTLE,
        prepare: nobody,
        act: |address, _, _| TcpStream::connect(address).map(drop),
    },
    Attack {
        name: "connect, send and reset",
        settle: SETTLE,
        prepare: nobody,
        act: |address, _, _| {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&[b'x'; 4096])?;
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            Ok(setsockopt(&stream, sockopt::Linger, &at_once)?)
        },
    },
    // The reactor has yet to learn who is busy.
    Attack {
        name: "2000 half-open, at first",
        settle: SETTLE,
        prepare: |address| crowd(address, 2000),
        act: nothing,
    },
    Attack {
        name: "2000 half-open, after a second",
        settle: Duration::from_secs(1),
        prepare: |address| crowd(address, 2000),
        act: nothing,
    },
    Attack {
        name: "200 that never read",
        settle: SETTLE,
        prepare: |address| crowd(address, 200),
        // What the kernel does not take is not sent.
        act: |_, crowd, number| {
            let index = number % crowd.len();
            let _ = crowd[index].write(&[b'x'; 16 << 10]);
            Ok(())
        },
    },
    Attack {
        name: "200 that write a byte at a time",
        settle: SETTLE,
        prepare: |address| crowd(address, 200),
        act: |_, crowd, number| {
            let index = number % crowd.len();
            crowd[index].write_all(b"x")
        },
    },
    Attack {
        name: "10 single bytes at once",
        settle: SETTLE,
        prepare: |address| crowd(address, 1),
        act: |_, crowd, _| {
            for _ in 0..10 {
                crowd[0].write_all(b"x")?;
            }
            let _ = crowd[0].read(&mut [0; 4096]);
            Ok(())
        },
    },
];

fn nobody(_: SocketAddr) -> io::Result<Vec<TcpStream>> {
    Ok(Vec::new())
}

fn nothing(_: SocketAddr, _: &mut [TcpStream], _: usize) -> io::Result<()> {
    Ok(())
}

fn crowd(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..count).map(one).collect()
}

pub(crate) fn run<B: Backend + Default>(rounds: usize) -> Result<()> {
    raise_the_limit()?;
    for attack in &ATTACKS {
        let server = Server::start::<B>()?;
        let address = server.address();
        let mut polite = Polite::connect(address)?;
        compare(attack.name, "messages/s", rounds, TARGET, |with| {
            if !with {
                return polite.rate(attack.settle, |_| Ok(()));
            }
            let mut held = (attack.prepare)(address)?;
            polite.rate(attack.settle, |number| (attack.act)(address, &mut held, number))
        })?;
        drop(polite);
        server.stop()?;
    }
    Ok(())
}

/// Each sends, waits for the answer, and sends again.
struct Polite(Vec<TcpStream>);

impl Polite {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let streams = crowd(address, POLITE)?;
        streams.iter().try_for_each(|stream| stream.set_nonblocking(false))?;
        Ok(Self(streams))
    }

    /// How many answers they get in a second, and `meanwhile` is done.
    fn rate(
        &mut self,
        settle: Duration,
        mut meanwhile: impl FnMut(usize) -> io::Result<()>,
    ) -> Result<f64> {
        self.exchange_for(settle, &mut meanwhile)?;
        self.exchange_for(ROUND, &mut meanwhile)
    }

    fn exchange_for(
        &mut self,
        time: Duration,
        meanwhile: &mut dyn FnMut(usize) -> io::Result<()>,
    ) -> Result<f64> {
        let (mut taken, mut rounds) = (Duration::ZERO, 0);
        while taken < time {
            let begin = Instant::now();
            for stream in &mut self.0 {
                stream.write_all(&[b'x'; MESSAGE])?;
            }
            for stream in &mut self.0 {
                stream.read_exact(&mut [0; MESSAGE])?;
            }
            taken += begin.elapsed();
            meanwhile(rounds)?;
            rounds += 1;
        }
        Ok((rounds * POLITE) as f64 / taken.as_secs_f64())
    }
}

fn raise_the_limit() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(10_000)), hard)?;
    Ok(())
}
