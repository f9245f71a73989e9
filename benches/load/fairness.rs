//! How long a hundred polite clients wait beside one who sends without end.

use crate::{
    Result,
    rounds::{Target, compare},
    server::Server,
};
use asyncore::{Backend, Channel, Context, Dispatcher, Reactor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    cell::RefCell,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Of the 99th percentile without the flooder.
const TARGET: Target = Target::AtMost(3.0);

const ROUND: Duration = Duration::from_millis(500);
const POLITE: usize = 100;
const MESSAGE: usize = 100;

/// Sends, waits for the answer, and sends again.
struct Client {
    sent: Instant,
    missing: usize,
    waits: Rc<RefCell<Vec<Duration>>>,
}

impl Client {
    fn send(&mut self, channel: &Channel) -> io::Result<()> {
        (self.sent, self.missing) = (Instant::now(), MESSAGE);
        channel.push(&[b'x'; MESSAGE])
    }
}

impl Dispatcher for Client {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.missing -= cx.recv(&mut [0; MESSAGE])?;
        if self.missing == 0 {
            self.waits.borrow_mut().push(self.sent.elapsed());
            self.send(cx)?;
        }
        Ok(())
    }
}

/// A hundred of them, in a reactor of their own.
struct Polite {
    reactor: Reactor,
    waits: Rc<RefCell<Vec<Duration>>>,
}

impl Polite {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let (mut reactor, waits) = (Reactor::new(), Rc::default());
        for _ in 0..POLITE {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let channel = Channel::new(stream)?;
            let mut client = Client { sent: Instant::now(), missing: 0, waits: Rc::clone(&waits) };
            client.send(&channel)?;
            reactor.add_channel(channel, client)?;
        }
        Ok(Self { reactor, waits })
    }

    /// The 99th percentile of how long an answer takes, in microseconds.
    fn wait(&mut self) -> Result<f64> {
        self.waits.borrow_mut().clear();
        let begin = Instant::now();
        while begin.elapsed() < ROUND {
            self.reactor.poll(Some(ROUND))?;
        }
        let mut waits = self.waits.borrow_mut();
        waits.sort_unstable();
        let at = waits.len() * 99 / 100;
        Ok(waits.get(at).ok_or("no answer")?.as_secs_f64() * 1e6)
    }
}

/// Sends as fast as it is read, and reads what comes back.
fn flood(mut stream: TcpStream, over: &AtomicBool) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut buffer = vec![b'x'; 64 << 10];
    while !over.load(Ordering::Relaxed) {
        let results = [stream.write(&buffer), stream.read(&mut buffer)];
        for result in &results {
            match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.kind().into()),
                Ok(_) => {}
            }
        }
        if results.iter().all(io::Result::is_err) {
            let events = PollFlags::POLLIN | PollFlags::POLLOUT;
            poll(&mut [PollFd::new(stream.as_fd(), events)], PollTimeout::from(100_u8))?;
        }
    }
    Ok(())
}

pub(crate) fn run<B: Backend + Default>(rounds: usize) -> Result<()> {
    let server = Server::start::<B>()?;
    let mut polite = Polite::connect(server.address())?;
    compare("the p99 of 100 beside a flooder", "µs", rounds, TARGET, |with| {
        if !with {
            return polite.wait();
        }
        let over = AtomicBool::new(false);
        let stream = TcpStream::connect(server.address())?;
        thread::scope(|scope| {
            let flooder = scope.spawn(|| flood(stream, &over));
            let wait = polite.wait();
            over.store(true, Ordering::Relaxed);
            flooder.join().expect("the flooder panicked")?;
            wait
        })
    })?;
    drop(polite);
    server.stop()?;
    Ok(())
}
