//! An echo server and its load, each a process of its own. The load is the same for every peer.

use super::{Work, start};
use crate::{
    outcome::{Counts, Outcome},
    peer::{Interest, Io, Method, Peer, Wait},
    peers::Task,
};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{setsockopt, sockopt::Linger},
    },
    time::clock_getcpuclockid,
    unistd::Pid,
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The length of a message.
const LENGTH: usize = 64;
/// How long the load runs before it counts.
const WARM_UP: Duration = Duration::from_millis(50);

/// The server: one peer, until the last connection has gone.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) method: Method,
}

struct Server {
    listener: TcpListener,
    accepted: Vec<TcpStream>,
    ended: Vec<usize>,
    /// Without the reads that found the end of a connection, which not everybody makes.
    counts: Counts,
}

const LISTENER: usize = 0;

impl Work for Server {
    fn ready(&mut self, token: usize, io: &mut dyn Io) {
        if token == LISTENER {
            while let Ok((stream, _)) = self.listener.accept() {
                self.accepted.push(stream);
            }
            return;
        }
        let mut buffer = [0; 4096];
        match io.recv(&mut buffer) {
            Ok(0) => self.ended.push(token),
            Ok(count) => {
                self.counts.reads += 1;
                self.counts.messages += 1;
                self.counts.writes += 1;
                assert_eq!(io.send(&buffer[..count]).expect("send"), count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.counts.reads += 1,
            // The load resets its idle connections, to leave none behind in TIME_WAIT.
            Err(_) => self.ended.push(token),
        }
    }
}

impl Task for Serve {
    type Output = ();

    fn run<P: Peer>(self) -> io::Result<()> {
        let listener = listen()?;
        println!("{}", listener.local_addr()?.port());
        let watched = P::source(OwnedFd::from(listener.try_clone()?))?;
        let (accepted, ended, counts) = (Vec::new(), Vec::new(), Counts::default());
        let server = Server { listener, accepted, ended, counts };
        let (mut peer, server) = start::<P, _>(self.method, server)?;
        peer.add(LISTENER, watched, Interest::Read)?;
        let (mut connections, mut token) = (0, LISTENER);
        while token == LISTENER || connections > 0 {
            peer.wait(Wait::UntilReady)?;
            for ended in mem::take(&mut server.borrow_mut().ended) {
                drop(peer.remove(ended)?);
                connections -= 1;
            }
            for stream in mem::take(&mut server.borrow_mut().accepted) {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                token += 1;
                connections += 1;
                peer.add(token, P::source(OwnedFd::from(stream))?, Interest::Read)?;
            }
        }
        let Counts { reads, writes, messages } = server.borrow().counts;
        println!("{reads} {writes} {messages}");
        Ok(())
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listener.set_nonblocking(true)?;
    // Again, with the longest backlog that the kernel allows.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::MAXALLOWABLE)?;
    Ok(listener)
}

/// The load: `idle` silent connections to the server of `command`, and ping-pong on `active`.
pub(crate) fn load(
    idle: usize,
    active: usize,
    length: Duration,
    command: &[String],
) -> io::Result<Outcome> {
    let (program, arguments) = command.split_first().expect("clap wants at least one");
    let mut server = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn()?;
    let mut answers = BufReader::new(server.stdout.take().expect("it is a pipe"));
    let result = play(&mut server, &mut answers, idle, active, length);
    if result.is_err() {
        server.kill()?;
    }
    server.wait()?;
    result
}

fn play(
    server: &mut Child,
    answers: &mut impl BufRead,
    idle: usize,
    active: usize,
    length: Duration,
) -> io::Result<Outcome> {
    let mut line = || {
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok::<_, io::Error>(line.trim().to_string())
    };
    let other = |what: &str| io::Error::other(format!("the server's {what}"));
    let port: u16 = line()?.parse().map_err(|_| other("port"))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let connect = |_| TcpStream::connect(address);
    let silent = (0..idle).map(connect).collect::<io::Result<Vec<_>>>()?;
    let mut talking = (0..active).map(connect).collect::<io::Result<Vec<_>>>()?;

    // The server accepts in order: who gets an answer knows that all before it are in.
    let mut sent = 0;
    for stream in &mut talking {
        stream.set_nodelay(true)?;
        stream.write_all(&[0; LENGTH])?;
        stream.read_exact(&mut [0; LENGTH])?;
        stream.set_nonblocking(true)?;
        sent += 1;
    }

    let cpu = clock_getcpuclockid(Pid::from_raw(server.id() as i32))?;
    let cpu = || Ok::<_, io::Error>(Duration::from(cpu.now()?));
    sent += talk(&mut talking, WARM_UP)?.len() as u64;
    let (start, busy) = (Instant::now(), cpu()?);
    let mut latencies = talk(&mut talking, length)?;
    let (passed, busy) = (start.elapsed(), cpu()? - busy);
    sent += latencies.len() as u64;

    for stream in &silent {
        setsockopt(stream, Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    }
    drop(silent);
    drop(talking);
    let counts: Vec<u64> = line()?.split(' ').map_while(|word| word.parse().ok()).collect();
    let [reads, writes, messages] = counts[..] else { return Err(other("counts")) };
    if messages != sent {
        return Err(other(&format!("messages: {messages}, where {sent} were sent")));
    }
    latencies.sort_unstable();
    let per_message = |time: Duration| time.as_nanos() as f64 / latencies.len() as f64;
    let at = |percent: usize| latencies[latencies.len() * percent / 100].as_nanos() as f64;
    let figures = vec![
        ("ns".into(), per_message(passed)),
        ("p50".into(), at(50)),
        ("p99".into(), at(99)),
        ("cpu".into(), per_message(busy)),
    ];
    Ok(Outcome { samples: 1, counts: Counts { reads, writes, messages }, figures })
}

/// Ping-pong on all `streams` for so long; how long each answer took.
fn talk(streams: &mut [TcpStream], length: Duration) -> io::Result<Vec<Duration>> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, stream) in streams.iter().enumerate() {
        epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    }
    let start = Instant::now();
    let mut pings = vec![start; streams.len()];
    let mut latencies = Vec::new();
    for stream in &mut *streams {
        stream.write_all(&[0; LENGTH])?;
    }
    let mut under_way = streams.len();
    let mut events = vec![EpollEvent::empty(); streams.len()];
    while under_way > 0 {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            let index = event.data() as usize;
            streams[index].read_exact(&mut [0; LENGTH])?;
            let now = Instant::now();
            latencies.push(now - pings[index]);
            if now - start < length {
                pings[index] = now;
                streams[index].write_all(&[0; LENGTH])?;
            } else {
                under_way -= 1;
            }
        }
    }
    Ok(latencies)
}
