//! The proxy, with real clients and targets on both of its sides.

use crate::{
    echo_server::{Client, Server},
    http_client::http_server,
    process::{
        PATIENCE, Program, await_input, command, example, noise, python, refusing_address, reset,
    },
    system_calls::{BEGIN, END, Traced, watch_the_silence},
    trials::{Test, tests},
};
use nix::sys::{
    signal::Signal,
    socket::{Backlog, MsgFlags, getsockopt, listen, send, setsockopt, sockopt},
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    thread,
    time::Instant,
};

pub(crate) const TESTS: &[Test] = tests![
    a_gib_one_way_and_64_mib_the_other needs(PROC),
    the_client_ends_its_half,
    the_target_ends_its_half,
    a_reset_of_the_client,
    a_reset_of_the_target,
    an_end_is_not_undone_by_a_reset needs(PROC),
    a_client_that_leaves_before_the_answer needs(PROC),
    a_target_that_refuses,
    a_target_that_is_not_there,
    a_target_that_dies_in_the_middle,
    a_client_that_leaves_before_the_target_is_connected needs(PROC),
    a_client_that_is_reset_before_the_target_is_connected needs(PROC),
    an_urgent_byte_is_not_lost,
    a_reader_that_is_late needs(PROC),
    a_sender_is_stopped_at_once needs(PROC),
    both_wait_for_each_other needs(PYTHON, PROC),
    both_wait_for_each_other_and_one_leaves needs(PROC),
    two_hundred_clients needs(PYTHON, PROC),
    two_hundred_resets needs(PYTHON, PROC),
    over_ipv6 needs(PYTHON, IPV6),
    from_a_unix_socket_and_to_one needs(PYTHON),
    no_descriptor_for_the_target needs(PROC),
    no_descriptor_for_the_client needs(PROC),
    no_system_calls_for_idle_connections needs(STRACE),
    no_system_calls_for_a_reader_that_is_late needs(STRACE),
    no_system_calls_once_it_has_read needs(STRACE),
    ends_with_status_0_on_a_signal,
    curl_through_it needs(CURL, PYTHON),
    nc_through_it needs(NC),
];

/// The most resident memory that a proxy may ever need, in KiB. It has a fixed buffer for each
/// direction; a queue without limit would soon be larger.
const MOST_MEMORY: usize = 16 << 10;

fn proxy(backend: &str, listen: &str, target: &str) -> Command {
    let mut command = example("proxy", backend);
    command.args([listen, target]);
    command
}

#[track_caller]
fn proxy_to(backend: &str, target: &str) -> Server {
    Server::of(&mut proxy(backend, "127.0.0.1:0", target))
}

/// A proxy, and the target that the test is.
struct Proxy {
    server: Server,
    target: TcpListener,
}

impl Proxy {
    #[track_caller]
    fn start(backend: &str) -> Self {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = proxy_to(backend, &target.local_addr().unwrap().to_string());
        Self { server, target }
    }

    #[track_caller]
    fn connect(&self) -> (Client, Client) {
        let client = self.server.connect();
        (client, accept(&self.target))
    }
}

#[track_caller]
fn accept(listener: &TcpListener) -> Client {
    await_input(listener);
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client(stream)
}

impl Client {
    #[track_caller]
    fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0);
    }

    #[track_caller]
    fn expect_reset(&mut self) {
        let error = self.0.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[track_caller]
    fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }
}

impl Server {
    #[track_caller]
    fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Waits for what the program does by itself.
    #[track_caller]
    pub(crate) fn until_it_has(&self, descriptors: usize) {
        let end = Instant::now() + PATIENCE;
        while self.descriptors().len() != descriptors {
            assert!(Instant::now() < end, "{:?}, not {descriptors}", self.descriptors());
            thread::yield_now();
        }
    }
}

/// Noise that is numbered, so that no part of it comes twice.
struct Bulk {
    block: Vec<u8>,
    count: u64,
}

impl Bulk {
    fn mib(count: u64) -> Self {
        Self { block: noise(1 << 20), count }
    }

    fn next(&mut self, number: u64) -> &[u8] {
        self.block[..8].copy_from_slice(&number.to_le_bytes());
        &self.block
    }

    fn send(mut self, mut stream: &TcpStream) {
        for number in 0..self.count {
            stream.write_all(self.next(number)).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    }

    fn expect(mut self, mut stream: &TcpStream) {
        let mut received = vec![0; self.block.len()];
        for number in 0..self.count {
            stream.read_exact(&mut received).unwrap();
            assert!(received == self.next(number), "MiB {number} is not what was sent");
        }
        assert_eq!(stream.read(&mut received).unwrap(), 0);
    }
}

fn a_gib_one_way_and_64_mib_the_other(backend: &str) {
    let proxy = Proxy::start(backend);
    let (Client(client), Client(target)) = proxy.connect();
    for stream in [&client, &target] {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| Bulk::mib(1024).send(&client));
        scope.spawn(|| Bulk::mib(1024).expect(&target));
        scope.spawn(|| Bulk::mib(64).send(&target));
        scope.spawn(|| Bulk::mib(64).expect(&client));
    });
    let peak = proxy.server.peak_memory();
    assert!(peak < MOST_MEMORY, "{peak} KiB");
    proxy.server.stop();
}

fn the_client_ends_its_half(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut client, mut target) = proxy.connect();
    client.send("question");
    client.end();
    target.expect("question");
    target.expect_end();
    for number in 0..10 {
        target.send(&format!("answer {number}"));
        client.expect(&format!("answer {number}"));
    }
    target.end();
    client.expect_end();
    proxy.server.stop();
}

fn the_target_ends_its_half(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut client, mut target) = proxy.connect();
    target.send("greeting");
    target.end();
    client.expect("greeting");
    client.expect_end();
    for number in 0..10 {
        client.send(&format!("line {number}"));
        target.expect(&format!("line {number}"));
    }
    client.end();
    target.expect_end();
    proxy.server.stop();
}

fn a_reset_of_the_client(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut client, mut target) = proxy.connect();
    client.send("the last words");
    target.expect("the last words");
    reset(client.0);
    target.expect_reset();
    proxy.server.stop();
}

fn a_reset_of_the_target(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut client, mut target) = proxy.connect();
    target.send("the last words");
    client.expect("the last words");
    reset(target.0);
    client.expect_reset();
    proxy.server.stop();
}

fn an_end_is_not_undone_by_a_reset(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut other, mut other_target) = proxy.connect();
    // More passes of the proxy than it takes to serve what is ready.
    let mut meanwhile = || {
        for _ in 0..20 {
            other.send("meanwhile");
            other_target.expect("meanwhile");
        }
    };
    let base = proxy.server.descriptors().len();
    let (mut client, mut target) = proxy.connect();
    // So that most of the answer is still with the proxy's kernel.
    setsockopt(&client.0, sockopt::RcvBuf, &(32 << 10)).unwrap();
    let answer = noise(400_000);
    target.0.write_all(&answer).unwrap();
    drop(target);
    meanwhile();
    // Nobody reads that: the first is answered by a reset, and the second finds it.
    for _ in 0..2 {
        client.send("too late");
        meanwhile();
    }
    proxy.server.until_it_has(base);
    let mut received = Vec::new();
    client.0.read_to_end(&mut received).unwrap();
    assert!(received == answer);
    proxy.server.stop();
}

fn a_client_that_leaves_before_the_answer(backend: &str) {
    let proxy = Proxy::start(backend);
    let base = proxy.server.descriptors().len();
    let (mut client, mut target) = proxy.connect();
    client.send("question");
    drop(client);
    target.expect("question");
    target.expect_end();
    // An answer without end comes to one all the same.
    let end = Instant::now() + PATIENCE;
    let error = loop {
        if let Err(error) = target.0.write_all(b"answer") {
            break error;
        }
        assert!(Instant::now() < end, "nobody tells it");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    proxy.server.until_it_has(base);
    proxy.server.stop();
}

fn a_target_that_refuses(backend: &str) {
    let (_nobody, target) = refusing_address();
    let mut proxy = proxy_to(backend, &target);
    for _ in 0..3 {
        proxy.connect().expect_reset();
        let complaint = proxy.program.complaint();
        assert!(complaint.starts_with(&format!("proxy: {target}: Connection refused")));
    }
    proxy.stop();
}

fn a_target_that_is_not_there(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let target = path.to_str().unwrap();
    let mut proxy = proxy_to(backend, target);
    proxy.connect().expect_reset();
    let complaint = proxy.program.complaint();
    assert!(complaint.starts_with(&format!("proxy: {target}: No such file")), "{complaint}");
    // It comes, and goes again.
    let echo = Server::at(backend, target);
    proxy.connect().exchange("hello");
    echo.program.signal(Signal::SIGKILL);
    echo.program.finish();
    proxy.connect().expect_reset();
    let complaint = proxy.program.complaint();
    assert!(complaint.starts_with(&format!("proxy: {target}: Connection refused")), "{complaint}");
    proxy.stop();
}

fn a_target_that_dies_in_the_middle(backend: &str) {
    let echo = Server::start(backend);
    let proxy = proxy_to(backend, &echo.address);
    let (mut idle, mut busy) = (proxy.connect(), proxy.connect());
    idle.exchange("hello");
    busy.exchange("hello");
    busy.0.set_write_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        let mut stream = &busy.0;
        let sender = scope.spawn(move || while stream.write_all(&noise(10_000)).is_ok() {});
        let mut answer = [0; 100_000];
        stream.read_exact(&mut answer).unwrap();
        echo.program.signal(Signal::SIGKILL);
        while matches!(stream.read(&mut answer), Ok(1..)) {}
        sender.join().unwrap();
    });
    idle.expect_end();
    // There is no target any more, so a new client is told, and the proxy lives.
    echo.program.finish();
    proxy.connect().expect_reset();
    proxy.program.signal(Signal::SIGTERM);
    let finished = proxy.program.finish().failed(0, &["Connection refused"]);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
}

/// A listener that lets no connection come about until it has accepted the one that is returned.
fn full_listener() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Room for one, whatever std has asked for.
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let filler = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, filler)
}

fn a_client_that_leaves_before_the_target_is_connected(backend: &str) {
    let (target, _filler) = full_listener();
    let proxy = proxy_to(backend, &target.local_addr().unwrap().to_string());
    let base = proxy.descriptors().len();
    let mut client = proxy.connect();
    client.send("said ");
    proxy.until_it_has(base + 2);
    client.send("in time");
    drop(client);
    accept(&target);
    let mut target = accept(&target);
    target.expect("said in time");
    target.expect_end();
    drop(target);
    proxy.until_it_has(base);
    proxy.stop();
}

fn a_client_that_is_reset_before_the_target_is_connected(backend: &str) {
    let (target, _filler) = full_listener();
    let proxy = proxy_to(backend, &target.local_addr().unwrap().to_string());
    let base = proxy.descriptors().len();
    let mut client = proxy.connect();
    client.send("never mind");
    proxy.until_it_has(base + 2);
    reset(client.0);
    proxy.until_it_has(base);
    proxy.stop();
}

fn an_urgent_byte_is_not_lost(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut client, mut target) = proxy.connect();
    client.send("before ");
    assert_eq!(send(client.0.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap(), 1);
    client.send(" after");
    target.expect("before ! after");
    assert_eq!(send(target.0.as_raw_fd(), b"!", MsgFlags::MSG_OOB).unwrap(), 1);
    client.expect("!");
    proxy.server.stop();
}

/// Sends noise until nothing more is taken, for as long as others are served a hundred times; and
/// returns how much it was.
#[track_caller]
fn send_until_stopped(mut stream: impl Write, mut meanwhile: impl FnMut()) -> usize {
    let noise = noise(64 << 20);
    let (mut sent, mut refused) = (0, 0);
    while refused < 100 {
        let part = &noise[sent..][..64 << 10];
        match stream.write(part) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refused += 1;
                meanwhile();
            }
        }
    }
    sent
}

fn a_reader_that_is_late(backend: &str) {
    let proxy = Proxy::start(backend);
    let (mut other, mut other_target) = proxy.connect();
    let mut meanwhile = || {
        other.send("meanwhile");
        other_target.expect("meanwhile");
    };
    for clients in [true, false] {
        let (client, target) = proxy.connect();
        let (sender, mut reader) = if clients { (client, target) } else { (target, client) };
        sender.0.set_nonblocking(true).unwrap();
        let sent = send_until_stopped(&sender.0, &mut meanwhile);
        let peak = proxy.server.peak_memory();
        assert!(peak < MOST_MEMORY, "{peak} KiB after {sent} bytes");
        // It was only late: nothing is lost.
        drop(sender);
        let mut received = Vec::new();
        reader.0.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent);
        assert!(received == noise(sent));
    }
    proxy.server.stop();
}

fn a_sender_is_stopped_at_once(backend: &str) {
    // What the kernel buffers for a Unix socket is known and does not grow.
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name);
    let target = UnixListener::bind(path("target")).unwrap();
    let [listen, to] = ["listen", "target"].map(|name| path(name).to_str().unwrap().to_owned());
    let proxy = Server::of(&mut proxy(backend, &listen, &to));
    let [client, other] = [(); 2].map(|()| UnixStream::connect(path("listen")).unwrap());
    let buffered = getsockopt(&client, sockopt::SndBuf).unwrap();
    let mut targets = [(); 2].map(|()| {
        await_input(&target);
        target.accept().unwrap().0
    });
    client.set_nonblocking(true).unwrap();
    let sent = send_until_stopped(&client, || {
        (&other).write_all(b"meanwhile").unwrap();
        await_input(&targets[1]);
        targets[1].read_exact(&mut [0; 9]).unwrap();
    });
    // Each of the two connections takes one part more than it has room for, and so does the proxy.
    assert!((1..=2 * buffered + 4 * (64 << 10)).contains(&sent), "{sent} bytes");
    drop(client);
    let mut received = Vec::new();
    targets[0].set_read_timeout(Some(PATIENCE)).unwrap();
    targets[0].read_to_end(&mut received).unwrap();
    assert!(received == noise(sent));
    proxy.stop();
}

fn both_wait_for_each_other(backend: &str) {
    let echo = Server::start(backend);
    let proxy = proxy_to(backend, &echo.address);
    proxy.serve("one_never_reads", &["100"]);
    let peak = proxy.peak_memory();
    assert!(peak < MOST_MEMORY, "{peak} KiB");
    proxy.stop();
    echo.stop();
}

fn both_wait_for_each_other_and_one_leaves(backend: &str) {
    for client_leaves in [true, false] {
        let echo = Server::start(backend);
        let proxy = proxy_to(backend, &echo.address);
        let mut other = proxy.connect();
        other.exchange("hello");
        let base = proxy.descriptors().len();
        let deaf = proxy.connect();
        deaf.0.set_nonblocking(true).unwrap();
        send_until_stopped(&deaf.0, || other.exchange("meanwhile"));
        if client_leaves {
            drop(deaf);
            proxy.until_it_has(base);
            other.exchange("still there?");
            proxy.stop();
            echo.stop();
        } else {
            echo.program.signal(Signal::SIGKILL);
            drop(other);
            proxy.until_it_has(base - 2);
            proxy.stop();
        }
    }
}

fn two_hundred_clients(backend: &str) {
    let echo = Server::start(backend);
    let proxy = proxy_to(backend, &echo.address);
    let base = proxy.descriptors().len();
    let mut command = python("connections_at_once", &[&proxy.address, "200"]);
    let mut clients = Program::start(command.stdin(Stdio::piped()));
    for _ in 0..2 {
        assert_eq!(clients.line(), "open");
        assert_eq!(proxy.descriptors().len(), base + 400);
        clients.write(b"go on\n");
    }
    clients.finish().succeeded();
    proxy.until_it_has(base);
    proxy.stop();
    echo.stop();
}

fn two_hundred_resets(backend: &str) {
    let echo = Server::start(backend);
    let proxy = proxy_to(backend, &echo.address);
    let base = proxy.descriptors().len();
    proxy.serve("resets", &["200"]);
    proxy.until_it_has(base);
    proxy.connect().exchange("still there?");
    proxy.stop();
    echo.stop();
}

/// A MiB there and back, to its end, with an echo server as the target.
#[track_caller]
fn there_and_back(backend: &str, listen: &str, target: &str) {
    let echo = Server::at(backend, target);
    let proxy = Server::of(&mut proxy(backend, listen, &echo.address));
    proxy.serve("bulk_with_half_close", &[&(1 << 20).to_string()]);
    proxy.stop();
    echo.stop();
}

fn over_ipv6(backend: &str) {
    there_and_back(backend, "[::1]:0", "[::1]:0");
    there_and_back(backend, "[::1]:0", "127.0.0.1:0");
    there_and_back(backend, "127.0.0.1:0", "[::1]:0");
}

fn from_a_unix_socket_and_to_one(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
    there_and_back(backend, &path("listen"), "127.0.0.1:0");
    there_and_back(backend, "127.0.0.1:0", &path("target"));
    there_and_back(backend, &path("listen"), &path("target"));
}

/// A proxy that may open `more` descriptors than it has when it listens.
#[track_caller]
fn confined(backend: &str, target: &str, more: usize) -> Server {
    let unconfined = proxy_to(backend, target);
    let open = unconfined.descriptors();
    unconfined.stop();
    let limit = 1 + (0..).filter(|number| !open.contains(number)).nth(more - 1).unwrap();
    let program = proxy(backend, "127.0.0.1:0", target);
    let mut shell = command("sh");
    shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
    Server::of(shell.arg(program.get_program()).args(program.get_args()))
}

fn no_descriptor_for_the_target(backend: &str) {
    let echo = Server::start(backend);
    let mut proxy = confined(backend, &echo.address, 5);
    let mut clients = [proxy.connect(), proxy.connect()];
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    for _ in 0..3 {
        proxy.connect().expect_reset();
        let complaint = proxy.program.complaint();
        assert!(complaint.starts_with(&format!("proxy: {}: Too many open", echo.address)));
    }
    let base = proxy.descriptors().len();
    let [mut stays, leaves] = clients;
    stays.exchange("still there?");
    drop(leaves);
    proxy.until_it_has(base - 2);
    proxy.connect().exchange("hello");
    proxy.stop();
    echo.stop();
}

fn no_descriptor_for_the_client(backend: &str) {
    let echo = Server::start(backend);
    let mut proxy = confined(backend, &echo.address, 4);
    let mut clients = [proxy.connect(), proxy.connect()];
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    let mut waits = proxy.connect();
    waits.send("hello");
    let mut complains = || {
        let complaint = proxy.program.complaint();
        assert!(complaint.starts_with("proxy: accept: Too many open"), "{complaint}");
    };
    complains();
    let [mut stays, leaves] = clients;
    stays.exchange("still there?");
    drop(leaves);
    waits.expect("hello");
    // Served, and again there is no room for another one.
    complains();
    stays.exchange("still there?");
    proxy.stop();
    echo.stop();
}

/// A proxy that is traced, with connections to the target that the test is.
struct Watched {
    traced: Traced,
    target: TcpListener,
    /// One that is in use, beside those that are watched.
    client: Client,
    accepted: Client,
}

impl Watched {
    #[track_caller]
    fn start(backend: &str) -> Self {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap().to_string();
        let traced = Traced::of(&mut proxy(backend, "127.0.0.1:0", &address));
        let client = traced.server.connect();
        let accepted = accept(&target);
        Self { traced, target, client, accepted }
    }

    #[track_caller]
    fn connect(&self) -> (Client, Client) {
        (self.traced.server.connect(), accept(&self.target))
    }

    #[track_caller]
    fn pass_on(&mut self, message: &str) {
        self.client.send(message);
        self.accepted.expect(message);
    }

    /// Fails unless the proxy sleeps for as long as nothing comes.
    #[track_caller]
    fn sleeps(mut self) {
        self.pass_on(BEGIN);
        watch_the_silence(&mut self.accepted);
        self.pass_on(END);
        assert_eq!(self.traced.between_the_marks(), ["wait"]);
    }
}

fn no_system_calls_for_idle_connections(backend: &str) {
    let watched = Watched::start(backend);
    let mut idle: Vec<_> = (0..10).map(|_| watched.connect()).collect();
    let (client, target) = &mut idle[0];
    client.end();
    target.expect_end();
    let (client, target) = &mut idle[1];
    target.end();
    client.expect_end();
    watched.sleeps();
}

fn no_system_calls_for_a_reader_that_is_late(backend: &str) {
    let mut watched = Watched::start(backend);
    let (sender, _reader) = watched.connect();
    sender.0.set_nonblocking(true).unwrap();
    send_until_stopped(&sender.0, || watched.pass_on("meanwhile"));
    watched.sleeps();
}

fn no_system_calls_once_it_has_read(backend: &str) {
    let mut watched = Watched::start(backend);
    let (sender, mut reader) = watched.connect();
    sender.0.set_nonblocking(true).unwrap();
    let sent = send_until_stopped(&sender.0, || watched.pass_on("meanwhile"));
    reader.0.read_exact(&mut vec![0; sent]).unwrap();
    // The proxy finds out that it may read again.
    watched.pass_on("meanwhile");
    watched.pass_on("meanwhile");
    watched.sleeps();
}

fn ends_with_status_0_on_a_signal(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap().to_string();
        let proxy = Server::of(&mut proxy(backend, path.to_str().unwrap(), &address));
        assert_eq!(proxy.address, path.to_str().unwrap());
        let client = UnixStream::connect(&path).unwrap();
        let mut target = accept(&target);
        proxy.program.signal(signal);
        proxy.program.finish().succeeded();
        target.expect_end();
        assert!(!path.exists());
        drop(client);
    }
}

fn curl_through_it(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let content = noise(5_000_000);
    fs::write(directory.path().join("file"), &content).unwrap();
    let (_server, url) = http_server(directory.path(), "127.0.0.1");
    let target = url.trim_start_matches("http://").trim_end_matches('/');
    let proxy = proxy_to(backend, target);
    let url = format!("http://{}/file", proxy.address);
    for _ in 0..3 {
        let curl = Program::run(command("curl").args(["--silent", "--noproxy", "*", &url]));
        assert!(curl.succeeded().stdout == content);
    }
    proxy.stop();
}

fn nc_through_it(backend: &str) {
    let echo = Server::start(backend);
    let proxy = proxy_to(backend, &echo.address);
    let (host, port) = proxy.address.split_once(':').unwrap();
    let mut nc = Program::start(command("nc").args(["-N", host, port]).stdin(Stdio::piped()));
    nc.write(b"hello\n");
    assert_eq!(nc.line(), "hello");
    nc.write(b"and goodbye");
    nc.close_stdin();
    assert_eq!(nc.finish().succeeded().stdout, b"and goodbye");
    proxy.stop();
    echo.stop();
}
