//! The client for a terminal: standard input and output beside the network.

use crate::{
    echo_server::Server,
    process::{
        Finished, Program, Stream, await_input, example, noise, python, refusing_address, reset,
    },
    trials::{Test, tests},
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    pty::openpty,
    sys::{
        signal::Signal,
        termios::{LocalFlags, SetArg, tcgetattr, tcsetattr},
    },
};
use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Read, Seek, Write},
    net::TcpListener,
    os::fd::AsFd,
    process::{Command, Stdio},
};

pub(crate) const TESTS: &[Test] = tests![
    prints_what_comes_back_and_ends,
    prints_a_line_before_the_input_ends,
    with_nothing_to_send,
    speaks_over_ipv6 needs(IPV6),
    speaks_over_a_unix_socket,
    from_a_file_to_a_slow_reader,
    from_a_file_to_a_file,
    on_a_terminal,
    gives_back_the_flags_of_its_input_and_output,
    gives_back_the_flags_when_it_fails,
    gives_back_the_flags_when_it_is_stopped,
    ends_when_the_server_does,
    a_refused_connection,
    output_that_nobody_reads,
    with_a_server_on_cpythons_asyncore needs(ASYNCORE),
];

const MUCH: usize = 20_000_000;

fn client(backend: &str, address: &str) -> Command {
    let mut command = example("echo_client", backend);
    command.arg(address).stdin(Stdio::piped());
    command
}

/// `printf INPUT | echo_client ADDRESS`
#[track_caller]
fn converse(backend: &str, address: &str, input: &str) -> Finished {
    let mut client = Program::start(&mut client(backend, address));
    client.write(input.as_bytes());
    client.close_stdin();
    client.finish()
}

fn is_blocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

fn file_with(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.rewind().unwrap();
    file
}

fn prints_what_comes_back_and_ends(backend: &str) {
    let server = Server::start(backend);
    assert_eq!(converse(backend, &server.address, "x\n").succeeded().stdout, b"x\n");
    assert_eq!(converse(backend, &server.address, "no newline").succeeded().stdout, b"no newline");
    server.stop();
}

fn prints_a_line_before_the_input_ends(backend: &str) {
    let server = Server::start(backend);
    let mut client = Program::start(&mut client(backend, &server.address));
    for number in 0..10 {
        client.write(format!("line {number}\n").as_bytes());
        assert_eq!(client.line(), format!("line {number}"));
    }
    client.close_stdin();
    assert_eq!(client.finish().succeeded().stdout, b"");
    server.stop();
}

fn with_nothing_to_send(backend: &str) {
    let server = Server::start(backend);
    assert_eq!(converse(backend, &server.address, "").succeeded().stdout, b"");
    let mut command = client(backend, &server.address);
    assert_eq!(Program::run(command.stdin(Stdio::null())).succeeded().stdout, b"");
    server.stop();
}

fn speaks_over_ipv6(backend: &str) {
    let server = Server::of(example("echo_server", backend).arg("[::1]:0"));
    assert_eq!(converse(backend, &server.address, "x\n").succeeded().stdout, b"x\n");
    server.stop();
}

fn speaks_over_a_unix_socket(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::of(example("echo_server", backend).arg(directory.path().join("socket")));
    assert_eq!(converse(backend, &server.address, "x\n").succeeded().stdout, b"x\n");
    server.stop();
}

fn from_a_file_to_a_slow_reader(backend: &str) {
    let server = Server::start(backend);
    let sent = noise(MUCH);
    let (reader, writer) = io::pipe().unwrap();
    let program =
        Program::start(client(backend, &server.address).stdin(file_with(&sent)).stdout(writer));
    // Small sips from a pipe that is full all the time.
    let received = Stream::new(Sips(reader)).rest();
    assert_eq!(received.len(), sent.len());
    assert!(received == sent);
    program.finish().succeeded();
    server.stop();
}

struct Sips(PipeReader);

impl Read for Sips {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let sip = buffer.len().min(500);
        self.0.read(&mut buffer[..sip])
    }
}

fn from_a_file_to_a_file(backend: &str) {
    let server = Server::start(backend);
    let sent = noise(MUCH);
    let mut output = tempfile::tempfile().unwrap();
    let mut command = client(backend, &server.address);
    command.stdin(file_with(&sent)).stdout(output.try_clone().unwrap());
    Program::run(&mut command).succeeded();
    let mut received = Vec::new();
    output.rewind().unwrap();
    output.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    server.stop();
}

fn on_a_terminal(backend: &str) {
    let server = Server::start(backend);
    let terminal = openpty(None, None).unwrap();
    let mut mode = tcgetattr(&terminal.slave).unwrap();
    // What is seen then comes from the server.
    mode.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &mode).unwrap();
    let slave = || terminal.slave.try_clone().unwrap();
    let program = Program::start(client(backend, &server.address).stdin(slave()).stdout(slave()));
    let mut keyboard = File::from(terminal.master.try_clone().unwrap());
    let mut screen = Stream::new(File::from(terminal.master));
    for number in 0..3 {
        writeln!(keyboard, "line {number}").unwrap();
        assert_eq!(screen.line(), Some(format!("line {number}")));
    }
    // Control-D.
    keyboard.write_all(&[4]).unwrap();
    program.finish().succeeded();
    assert!(is_blocking(&terminal.slave));
    server.stop();
}

/// A client between two pipes. What the client has of them is kept here, too.
struct OnPipes {
    program: Program,
    input: PipeWriter,
    output: Stream,
    stdin: PipeReader,
    stdout: PipeWriter,
}

impl OnPipes {
    #[track_caller]
    fn start(backend: &str, address: &str) -> Self {
        let (stdin, input) = io::pipe().unwrap();
        let (output, stdout) = io::pipe().unwrap();
        let mut command = client(backend, address);
        command.stdin(stdin.try_clone().unwrap()).stdout(stdout.try_clone().unwrap());
        let program = Program::start(&mut command);
        Self { program, input, output: Stream::new(output), stdin, stdout }
    }

    /// Sees it in its loop, where nothing blocks.
    #[track_caller]
    fn exchange(&mut self) {
        self.input.write_all(b"line\n").unwrap();
        assert_eq!(self.output.line().as_deref(), Some("line"));
        assert!(!is_blocking(&self.stdin) && !is_blocking(&self.stdout));
    }

    /// Waits for its end, and for the pipes to be as they were.
    #[track_caller]
    fn finish(self) -> Finished {
        let finished = self.program.finish();
        assert!(is_blocking(&self.stdin) && is_blocking(&self.stdout));
        finished
    }
}

fn gives_back_the_flags_of_its_input_and_output(backend: &str) {
    let server = Server::start(backend);
    let mut pipes = OnPipes::start(backend, &server.address);
    pipes.exchange();
    server.stop();
    pipes.finish().succeeded();
}

fn gives_back_the_flags_when_it_fails(backend: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pipes = OnPipes::start(backend, &listener.local_addr().unwrap().to_string());
    await_input(&listener);
    let (mut stream, _) = listener.accept().unwrap();
    pipes.input.write_all(b"line\n").unwrap();
    await_input(&stream);
    stream.read_exact(&mut [0; 5]).unwrap();
    assert!(!is_blocking(&pipes.stdin) && !is_blocking(&pipes.stdout));
    reset(stream);
    pipes.finish().failed(1, &["reset"]);
}

fn gives_back_the_flags_when_it_is_stopped(backend: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = Server::start(backend);
        let mut pipes = OnPipes::start(backend, &server.address);
        pipes.exchange();
        pipes.program.signal(signal);
        pipes.finish().succeeded();
        server.stop();
    }
}

fn ends_when_the_server_does(backend: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Program::start(&mut client(backend, &address));
    await_input(&listener);
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"goodbye\n").unwrap();
    drop(stream);
    // Its input is still open.
    assert_eq!(client.finish().succeeded().stdout, b"goodbye\n");
}

fn a_refused_connection(backend: &str) {
    let (_nobody, address) = refusing_address();
    let mut command = client(backend, &address);
    let finished = Program::run(command.stdin(file_with(b"x\n")));
    let finished = finished.failed(1, &["echo_client: ", &address, "refused"]);
    assert_eq!(finished.stdout, b"");
}

fn output_that_nobody_reads(backend: &str) {
    let server = Server::start(backend);
    let (mut reader, writer) = io::pipe().unwrap();
    let mut command = client(backend, &server.address);
    let program = Program::start(command.stdin(file_with(&noise(MUCH))).stdout(writer));
    await_input(&reader);
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    program.finish().failed(1, &["echo_client: ", "Broken pipe"]);
    server.stop();
}

fn with_a_server_on_cpythons_asyncore(backend: &str) {
    let server = Server::of(&mut python("asyncore_server", &[]));
    let sent = String::from_utf8(noise(10_000).escape_ascii().collect()).unwrap();
    let finished = converse(backend, &server.address, &sent).succeeded();
    assert!(finished.stdout == sent.as_bytes());
}
