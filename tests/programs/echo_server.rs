//! The echo server, and clients of every kind.

use crate::{
    process::{Finished, PATIENCE, Program, await_input, example, python},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::{fd::RawFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[Test] = tests![
    says_where_it_listens_and_who_comes,
    ends_with_status_0_on_sigint,
    ends_with_status_0_on_sigterm,
    closes_its_connections_when_it_ends,
    starts_again_at_once_on_the_same_port needs(LOOPBACK_NET),
    starts_again_on_the_same_path,
    lives_on_when_nobody_reads_its_output,
    echoes_over_ipv4 needs(PYTHON),
    echoes_over_ipv6 needs(PYTHON, IPV6),
    echoes_over_a_unix_socket needs(PYTHON),
    two_thousand_connections needs(PYTHON, PROC, FILES),
    sixty_four_mib_and_a_half_close needs(PYTHON),
    a_half_close_with_much_unread needs(PYTHON),
    five_hundred_resets needs(PYTHON, PROC),
    one_that_never_reads needs(PYTHON),
    a_client_on_cpythons_asyncore needs(ASYNCORE),
];

/// An echo server on a free port.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) address: String,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(backend: &str) -> Self {
        Self::at(backend, "127.0.0.1:0")
    }

    #[track_caller]
    pub(crate) fn at(backend: &str, address: &str) -> Self {
        Self::of(example("echo_server", backend).arg(address))
    }

    /// Of a program that says where it listens.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut program = Program::start(command);
        let line = program.line();
        let address = line.strip_prefix("listening on ").expect("it says where it listens");
        Self { address: address.to_owned(), program }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Ends it as a user does; it must have had nothing to complain about.
    #[track_caller]
    pub(crate) fn stop(self) -> Finished {
        self.program.signal(Signal::SIGTERM);
        self.program.finish().succeeded()
    }

    /// The descriptors that are open in it.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.program.id())).unwrap();
        directory
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect()
    }

    /// Fails if it does not come back to as many open descriptors as it had.
    #[track_caller]
    fn comes_back_to(&self, descriptors: usize, client: &mut Client) {
        for _ in 0..1000 {
            if self.descriptors().len() == descriptors {
                return;
            }
            // Each message takes it through its loop once more.
            client.exchange("anybody left?");
        }
        panic!("had {descriptors} descriptors open and now {:?}", self.descriptors());
    }

    /// Lets a CPython client do its part.
    #[track_caller]
    pub(crate) fn serve(&self, client: &str, arguments: &[&str]) -> Finished {
        Program::run(&mut python(client, &[&[&*self.address], arguments].concat())).succeeded()
    }
}

/// A connection that does not hang.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, message: &str) {
        self.0.write_all(message.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, message: &str) {
        let mut answer = vec![0; message.len()];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), message);
    }

    #[track_caller]
    pub(crate) fn exchange(&mut self, message: &str) {
        self.send(message);
        self.expect(message);
    }
}

fn says_where_it_listens_and_who_comes(backend: &str) {
    let server = Server::start(backend);
    assert!(server.address.starts_with("127.0.0.1:") && !server.address.ends_with(":0"));
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    let expected = clients.iter().map(|Client(stream)| {
        format!("Incoming connection from {}\n", stream.local_addr().unwrap())
    });
    let stdout = server.stop().stdout;
    assert_eq!(String::from_utf8(stdout).unwrap(), expected.collect::<String>());
}

fn ends_with_status_0_on_sigint(backend: &str) {
    let server = Server::start(backend);
    server.program.signal(Signal::SIGINT);
    server.program.finish().succeeded();
}

fn ends_with_status_0_on_sigterm(backend: &str) {
    let server = Server::start(backend);
    server.program.signal(Signal::SIGTERM);
    server.program.finish().succeeded();
}

fn closes_its_connections_when_it_ends(backend: &str) {
    let server = Server::start(backend);
    let mut client = server.connect();
    client.exchange("hello");
    server.stop();
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
}

fn starts_again_at_once_on_the_same_port(backend: &str) {
    // An address for each, so that no other test can be given the port in between.
    let host = if backend == "poll" { "127.0.0.2" } else { "127.0.0.3" };
    let server = Server::at(backend, &format!("{host}:0"));
    let address = server.address.clone();
    let mut client = server.connect();
    client.exchange("hello");
    // The server closes first, so its end of the connection lingers in TIME_WAIT.
    server.stop();
    drop(client);
    let server = Server::at(backend, &address);
    server.connect().exchange("hello again");
    server.stop();
}

fn starts_again_on_the_same_path(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    for _ in 0..2 {
        let server = Server::at(backend, path.to_str().unwrap());
        UnixStream::connect(&path).unwrap();
        server.stop();
    }
}

fn lives_on_when_nobody_reads_its_output(backend: &str) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = example("echo_server", backend);
    let program = Program::start(command.arg("127.0.0.1:0").stdout(writer));
    drop(command);
    let mut line = String::new();
    await_input(&reader);
    BufReader::new(reader).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    for _ in 0..3 {
        Client::connect(address).exchange("hello");
    }
    program.signal(Signal::SIGTERM);
    program.finish().succeeded();
}

fn echoes_over_ipv4(backend: &str) {
    let server = Server::start(backend);
    server.serve("one_message", &[]);
    server.stop();
}

fn echoes_over_ipv6(backend: &str) {
    let server = Server::at(backend, "[::1]:0");
    assert!(server.address.starts_with("[::1]:"));
    server.serve("one_message", &[]);
    server.stop();
}

fn echoes_over_a_unix_socket(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = Server::at(backend, path.to_str().unwrap());
    assert_eq!(server.address, path.to_str().unwrap());
    server.serve("one_message", &[]);
    server.stop();
}

fn two_thousand_connections(backend: &str) {
    let server = Server::start(backend);
    let mut control = server.connect();
    control.exchange("hello");
    let base = server.descriptors().len();
    let mut command = python("connections_at_once", &[&server.address, "2000"]);
    let mut clients = Program::start(command.stdin(Stdio::piped()));
    for _ in 0..2 {
        assert_eq!(clients.line(), "open");
        let descriptors = server.descriptors();
        assert_eq!(descriptors.len(), base + 2000);
        // More than an fd_set has room for.
        assert!(descriptors.iter().max() > Some(&1024), "{descriptors:?}");
        clients.write(b"go on\n");
    }
    clients.finish().succeeded();
    server.comes_back_to(base, &mut control);
    server.stop();
}

fn sixty_four_mib_and_a_half_close(backend: &str) {
    let server = Server::start(backend);
    server.serve("bulk_with_half_close", &[&(64 << 20).to_string()]);
    server.stop();
}

fn a_half_close_with_much_unread(backend: &str) {
    // What the kernel buffers for a Unix socket is known and does not grow.
    let directory = tempfile::tempdir().unwrap();
    let server = Server::at(backend, directory.path().join("socket").to_str().unwrap());
    server.serve("half_close_unread", &["300000"]);
    server.stop();
}

fn five_hundred_resets(backend: &str) {
    let server = Server::start(backend);
    let mut control = server.connect();
    control.exchange("hello");
    let base = server.descriptors().len();
    server.serve("resets", &["500"]);
    server.comes_back_to(base, &mut control);
    server.connect().exchange("still there?");
    server.stop();
}

fn one_that_never_reads(backend: &str) {
    let server = Server::start(backend);
    server.serve("one_never_reads", &["1000"]);
    server.stop();
}

fn a_client_on_cpythons_asyncore(backend: &str) {
    let server = Server::start(backend);
    let stdout = server.serve("asyncore_client", &["from the original"]).stdout;
    assert_eq!(String::from_utf8(stdout).unwrap(), "from the original");
    server.stop();
}
