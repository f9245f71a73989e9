//! Peers that are many, slow, rude or gone at once; and those beside them who behave, and get every
//! byte. Each test has a process to itself, and leaves it as it was: no channel, no descriptor, no
//! memory. How fast all this is, `cargo bench --bench load` says.

mod common;

use allocation_counter::measure;
use asyncore::{
    Address, Backend, Channel, Context, Dispatcher, Family, Key, Reactor, Remote, Type,
};
use common::{alone, on_both_backends, open_descriptors, poll_until, reactor, reset};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::alarm,
};
use std::{
    cell::RefCell,
    env,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Command, Stdio},
    rc::Rc,
    thread,
    time::Duration,
};

/// A peer that has more than this to read is not read from, and so it is bounded what it costs.
const HIGH_WATER: usize = 64 << 10;
const LOW_WATER: usize = 16 << 10;

/// How much the server reads at once.
const PIECE: usize = 16 << 10;

/// Sends back what comes.
struct Echo;

impl Dispatcher for Echo {
    fn readable(&self, channel: &Channel) -> bool {
        !channel.is_congested()
    }

    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; PIECE];
        let count = cx.recv(&mut buffer)?;
        cx.push(&buffer[..count])?;
        assert!(cx.queued() <= HIGH_WATER + PIECE, "{} are queued", cx.queued());
        Ok(())
    }
}

#[derive(Clone, Default)]
struct EchoServer {
    accepted: Rc<RefCell<Vec<Key<Echo>>>>,
}

impl Dispatcher for EchoServer {
    fn handle_accepted(
        &mut self,
        cx: &mut Context<'_>,
        channel: Channel,
        _: Address,
    ) -> io::Result<()> {
        channel.set_water_marks(LOW_WATER, HIGH_WATER)?;
        self.accepted.borrow_mut().push(cx.add_channel(channel, Echo)?);
        Ok(())
    }
}

/// An echo server in this thread, for clients in another.
struct Server<B> {
    reactor: Reactor<B>,
    remote: Remote,
    address: SocketAddr,
    echo: EchoServer,
    /// What was there before the clients.
    listeners: usize,
    descriptors: usize,
}

impl<B: Backend + Default> Server<B> {
    fn new() -> Self {
        // No wait is longer than this: it ends the process.
        alarm::set(120);
        let listener = listener("127.0.0.1").unwrap();
        let address = listener.local_addr().unwrap().as_inet().unwrap();
        let mut reactor = reactor::<B>();
        let remote = reactor.remote().unwrap();
        let echo = EchoServer::default();
        let mut server = Self { reactor, remote, address, echo, listeners: 0, descriptors: 0 };
        server.listen(listener);
        server
    }

    fn listen(&mut self, listener: Channel) {
        self.reactor.add_channel(listener, self.echo.clone()).unwrap();
        self.listeners += 1;
        self.descriptors = open_descriptors().len();
    }

    /// Serves these clients until they are done.
    fn serve<T: Send>(&mut self, clients: impl FnOnce(SocketAddr) -> T + Send) -> T {
        struct Stop<'r>(&'r Remote);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop().unwrap();
            }
        }
        let Self { reactor, remote, address, .. } = self;
        thread::scope(|scope| {
            let clients = scope.spawn(|| {
                let _stop = Stop(remote);
                clients(*address)
            });
            reactor.run_forever().unwrap();
            clients.join().unwrap()
        })
    }

    /// Makes passes until nobody is left.
    fn see_them_off(&mut self) {
        while self.reactor.len() > self.listeners {
            self.reactor.poll(None).unwrap();
        }
    }

    /// Fails if something is left of those who have gone.
    fn is_as_before(&mut self) {
        self.see_them_off();
        assert_eq!(open_descriptors().len(), self.descriptors);
        let accepted = self.echo.accepted.take();
        assert!(accepted.iter().all(|key| self.reactor.get(*key).is_none()));
        assert_eq!(self.reactor.poll(Some(Duration::ZERO)).unwrap(), 0, "{:?}", self.reactor);
    }
}

/// With a queue that is long enough: the kernel makes who finds it full try again a second later.
fn listener(host: &str) -> io::Result<Channel> {
    let listener = Channel::create_socket(Family::Inet, Type::Stream)?;
    listener.bind(format!("{host}:0"))?;
    listener.listen(4096)?;
    Ok(listener)
}

/// A client that sends, waits for the answer, and sends again.
struct Polite {
    stream: TcpStream,
    turn: u8,
}

impl Polite {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, turn: 0 }
    }

    fn exchange(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let message = pattern(usize::from(turn), 4000);
        self.stream.write_all(&message).unwrap();
        let mut answer = vec![0; message.len()];
        self.stream.read_exact(&mut answer).unwrap();
        assert!(answer == message, "it is not what was sent");
    }
}

const ROUNDS: usize = 20;
const CROWD: usize = 50;

/// In each round the attack goes on, and then everybody who is polite is answered in full. What
/// the attack holds on to is returned.
fn beside_an_attack<T>(
    address: SocketAddr,
    mut attack: impl FnMut(SocketAddr, &mut Vec<T>),
) -> Vec<T> {
    let mut polite: Vec<_> = (0..4).map(|_| Polite::connect(address)).collect();
    polite.iter_mut().for_each(Polite::exchange);
    let mut held = Vec::new();
    for _ in 0..ROUNDS {
        attack(address, &mut held);
        polite.iter_mut().for_each(Polite::exchange);
    }
    held
}

/// Bytes by which it shows if some were lost, doubled or exchanged: those from `start` on.
fn pattern(start: usize, length: usize) -> Vec<u8> {
    let once: Vec<_> = (0..251).cycle().skip(start % 251).take(length.min(251)).collect();
    once.into_iter().cycle().take(length).collect()
}

fn vanish(address: SocketAddr, number: usize) {
    let stream = TcpStream::connect(address).unwrap();
    if number.is_multiple_of(2) {
        reset(&stream);
    }
}

/// How many there are at once.
const MANY: usize = 15_000;

/// Whether to go on: in a process of the test's own, which may have so many descriptors.
fn alone_with_room_for_many() -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let room = hard >= MANY as u64 + 100;
    if !room {
        eprintln!("skipped: no more than {hard} descriptors");
    }
    room && alone() && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
}

/// In the process of the clients: where the servers are.
const SERVERS: &str = "ASYNCORE_TEST_SERVERS";

/// The clients, in a process of their own: both ends of so many would be too many for one.
fn many_clients(servers: &str) {
    let servers: Vec<&str> = servers.split(' ').collect();
    let connect = |number: usize| TcpStream::connect(servers[number % servers.len()]).unwrap();
    let mut clients: Vec<_> = (0..MANY).map(connect).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&number.to_ne_bytes()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; size_of::<usize>()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(usize::from_ne_bytes(answer), number);
    }
    println!("{SERVED}");
    // Until the server has seen them all at once.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// What the clients say when each has its answer.
const SERVED: &str = "all were served";

/// Reads what the clients' process says.
struct Report(String);

impl Dispatcher for Report {
    fn writable(&self, _: &Channel) -> bool {
        false
    }

    fn handle_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 512];
        let count = cx.recv(&mut buffer)?;
        self.0.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if self.0.contains(SERVED) || count == 0 {
            cx.stop();
        }
        Ok(())
    }
}

on_both_backends! {
    fn fifteen_thousand_connections_at_once<B>() {
        if let Ok(servers) = env::var(SERVERS) {
            return many_clients(&servers);
        }
        if !alone_with_room_for_many() {
            return;
        }
        let mut server = Server::<B>::new();
        let mut servers = vec![server.address.to_string()];
        // More addresses, so that the clients do not run out of ports; where there are more.
        for host in ["127.0.0.2", "127.0.0.3"] {
            let Ok(listener) = listener(host) else { continue };
            servers.push(listener.local_addr().unwrap().to_string());
            server.listen(listener);
        }
        let mut clients = Command::new(env::current_exe().unwrap());
        let this = format!("fifteen_thousand_connections_at_once::{}", B::NAME);
        clients.args([&this, "--exact", "--test-threads=1", "--nocapture"]);
        clients.env(SERVERS, servers.join(" "));
        let mut clients =
            clients.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let report = Channel::new(clients.stdout.take().unwrap()).unwrap();
        let report = server.reactor.add_channel(report, Report(String::new())).unwrap();

        server.reactor.run().unwrap();
        let said = &server.reactor.get(report).unwrap().0;
        assert!(said.contains(SERVED), "{said}");
        assert_eq!(server.echo.accepted.borrow().len(), MANY);
        assert_eq!(server.reactor.len(), MANY + servers.len() + 1);

        drop(clients.stdin.take());
        server.is_as_before();
        assert!(clients.wait().unwrap().success());
    }

    fn ten_thousand_short_connections_leave_nothing_behind<B>() {
        const SHORT: usize = 10_000;
        fn short(address: SocketAddr, number: usize) {
            let mut stream = TcpStream::connect(address).unwrap();
            match number % 3 {
                0 => {
                    stream.write_all(b"hello").unwrap();
                    stream.read_exact(&mut [0; 5]).unwrap();
                    // Otherwise its port would be taken for a minute.
                    reset(&stream);
                }
                1 => stream.write_all(b"hello").unwrap(),
                _ => reset(&stream),
            }
        }
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        let mut churn = |count| {
            server.serve(|address| (0..count).for_each(|number| short(address, number)));
            server.see_them_off();
            server.echo.accepted.take().len()
        };
        churn(SHORT / 10);
        let left = measure(|| assert_eq!(churn(SHORT), SHORT));
        // The tables may have grown: there may have been more at once than before.
        assert!(left.bytes_current < 64 << 10, "{left:?}");
        server.is_as_before();
    }

    fn connect_and_vanish<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        server.serve(|address| {
            beside_an_attack::<()>(address, |address, _| {
                (0..CROWD).for_each(|number| vanish(address, number));
            })
        });
        server.is_as_before();
    }

    /// In the middle of what they send, and of what they are sent.
    fn a_storm_of_resets<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        server.serve(|address| {
            beside_an_attack::<()>(address, |address, _| {
                let connect = |_| TcpStream::connect(address).unwrap();
                let mut crowd: Vec<_> = (0..CROWD).map(connect).collect();
                crowd.iter_mut().for_each(|stream| stream.write_all(&[b'x'; 20_000]).unwrap());
                crowd.iter_mut().step_by(2).for_each(|stream| {
                    stream.read_exact(&mut [0]).unwrap();
                });
                crowd.iter().for_each(reset);
            })
        });
        server.is_as_before();
    }

    /// Nothing comes from them, not even an end: only a timeout finds them.
    fn half_open_clients<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        let silent = server.serve(|address| {
            beside_an_attack(address, |address, silent| {
                silent.extend((0..CROWD / 5).map(|_| TcpStream::connect(address).unwrap()));
            })
        });
        while server.reactor.len() != 1 + silent.len() {
            server.reactor.poll(None).unwrap();
        }
        for key in server.echo.accepted.borrow().iter() {
            if let Some(channel) = server.reactor.channel(*key) {
                channel.set_timeout(Some(Duration::from_millis(1)));
            }
        }
        poll_until(&mut server.reactor, || {
            silent.iter().all(|mut stream| {
                stream.set_nonblocking(true).unwrap();
                matches!(stream.read(&mut [0]), Ok(0))
            })
        });
        drop(silent);
        server.is_as_before();
    }

    /// They send for as long as anybody takes it, and read nothing until the end; and then they
    /// find everything.
    fn slow_readers<B>() {
        const MOST: usize = 2 << 20;
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        // What the kernel buffers for a Unix socket is little, and does not grow.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("listener");
        server.listen(Channel::new(UnixListener::bind(&path).unwrap()).unwrap());
        server.serve(|address| {
            let slow = beside_an_attack(address, |_, slow: &mut Vec<(UnixStream, usize)>| {
                let stream = UnixStream::connect(&path).unwrap();
                stream.set_nonblocking(true).unwrap();
                slow.push((stream, 0));
                for (stream, sent) in slow {
                    while *sent < MOST {
                        match stream.write(&pattern(*sent, 8192)) {
                            Ok(count) => *sent += count,
                            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
            for (mut stream, sent) in slow {
                assert!(sent < MOST, "the server went on to read");
                stream.set_nonblocking(false).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(received == pattern(0, sent), "{} of {sent}", received.len());
            }
        });
        server.is_as_before();
    }

    /// A byte at a time, and never the end of a line.
    fn slow_writers<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        server.serve(|address| {
            let mut written = 0;
            let slow = beside_an_attack(address, |address, slow: &mut Vec<TcpStream>| {
                if slow.is_empty() {
                    let connect = |_| TcpStream::connect(address).unwrap();
                    slow.extend((0..CROWD).map(connect));
                    slow.iter().for_each(|stream| stream.set_nodelay(true).unwrap());
                }
                written += 1;
                for stream in slow {
                    stream.write_all(&[written]).unwrap();
                }
            });
            let expected: Vec<_> = (1..=written).collect();
            for mut stream in slow {
                let mut received = vec![0; expected.len()];
                stream.read_exact(&mut received).unwrap();
                assert_eq!(received, expected);
            }
        });
        server.is_as_before();
    }

    /// As fast as they can, each byte in a segment of its own.
    fn one_byte_at_a_time<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        server.serve(|address| {
            let mut written = 0_usize;
            let many = beside_an_attack(address, |address, streams: &mut Vec<TcpStream>| {
                if streams.is_empty() {
                    let stream = TcpStream::connect(address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    streams.push(stream);
                }
                for _ in 0..500 {
                    streams[0].write_all(&pattern(written, 1)).unwrap();
                    written += 1;
                }
            });
            for mut stream in many {
                stream.shutdown(Shutdown::Write).unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(received == pattern(0, written));
            }
        });
        server.is_as_before();
    }

    /// Accepted means connected: those who are gone by then come as connections that end.
    fn who_has_gone_before_he_is_accepted<B>() {
        if !alone() {
            return;
        }
        let mut server = Server::<B>::new();
        (0..CROWD).for_each(|number| vanish(server.address, number));
        let mut polite = Polite::connect(server.address);
        server.serve(|_| {
            polite.exchange();
            drop(polite);
        });
        server.is_as_before();
    }
}
