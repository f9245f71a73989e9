//! The syslog sink, with `logger`, CPython's `SysLogHandler`, and datagrams that are anything.

use crate::{
    echo_server::Server,
    process::{Program, await_input, command, example, noise},
    trials::{Test, tests},
};
use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt},
};
use std::{
    io::{self, BufRead, BufReader},
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    process::Command,
};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = tests![
    says_what_the_header_says,
    takes_what_has_no_header,
    a_message_is_one_line,
    datagrams_of_every_size,
    datagrams_of_anything,
    what_is_too_long_is_cut,
    over_ipv6 needs(IPV6),
    over_a_unix_socket_that_it_removes,
    messages_from_logger needs(LOGGER),
    messages_from_cpython needs(PYTHON),
    lives_on_when_nobody_reads_its_output,
    a_path_that_is_taken,
];

/// The most that IPv4 carries.
const LONGEST_UDP: usize = 65_507;

fn sink(backend: &str, address: &str) -> Command {
    let mut command = example("syslog_sink", backend);
    command.arg(address).env("TZ", "UTC");
    command
}

/// A sink, and a socket that sends to it.
struct Udp {
    server: Server,
    socket: UdpSocket,
}

impl Udp {
    #[track_caller]
    fn start(backend: &str, host: &str) -> Self {
        let server = Server::of(&mut sink(backend, &format!("{host}:0")));
        let socket = UdpSocket::bind((host.trim_matches(['[', ']']), 0)).unwrap();
        socket.connect(&server.address).unwrap();
        Self { server, socket }
    }

    /// What is printed for a datagram, behind its sender and without white space at its end. One at
    /// a time: UDP may lose them.
    #[track_caller]
    fn line(&mut self, datagram: impl AsRef<[u8]>) -> String {
        self.socket.send(datagram.as_ref()).unwrap();
        let line = self.server.program.line();
        let sender = format!("{} ", self.socket.local_addr().unwrap());
        line.strip_prefix(&sender).unwrap_or_else(|| panic!("{line:?}")).to_owned()
    }

    /// Nothing was printed but what was asked for.
    #[track_caller]
    fn stop(self) {
        assert_eq!(String::from_utf8_lossy(&self.server.stop().stdout), "");
    }
}

/// A sink on a Unix socket, and one that sends to it.
struct Unix {
    server: Server,
    socket: UnixDatagram,
    directory: TempDir,
}

impl Unix {
    #[track_caller]
    fn start(backend: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let server = Server::of(&mut sink(backend, path.to_str().unwrap()));
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(&path).unwrap();
        Self { server, socket, directory }
    }
}

fn says_what_the_header_says(backend: &str) {
    let mut sink = Udp::start(backend, "127.0.0.1");
    // The examples of RFC 5424, 6.5, and of RFC 3164, 5.4.
    let line = sink.line(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
    );
    let time = "2003-10-11T22:14:15.003+00:00";
    assert_eq!(line, format!("auth.crit {time} mymachine.example.com su: 'su root' failed"));
    let line = sink.line(
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make \
         the do-nuts.",
    );
    let time = "2003-08-24T05:14:15.000003-07:00";
    let message = "192.0.2.1 myproc[8710]: %% It's time to make the do-nuts.";
    assert_eq!(line, format!("local4.notice {time} {message}"));
    let line = sink.line(
        "<165>1 2003-10-11T22:14:15.003Z example.com evntslog - ID47 \
         [exampleSDID@32473 iut=\"3\" eventSource=\"Application\"] An application event",
    );
    let message = "[exampleSDID@32473 iut=\"3\" eventSource=\"Application\"] An application event";
    assert!(line.ends_with(&format!(" example.com evntslog: {message}")), "{line}");
    // Which year is not said.
    let line = sink.line("<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed for lonvick");
    let message = "-10-11T22:14:15+00:00 mymachine su[12]: 'su root' failed for lonvick";
    assert!(line.starts_with("auth.crit 20") && line.ends_with(message), "{line}");
    sink.stop();
}

fn takes_what_has_no_header(backend: &str) {
    let mut sink = Udp::start(backend, "127.0.0.1");
    for (datagram, line) in [
        ("", "user.notice - - -:"),
        ("Use the BFG!", "user.notice - - -: Use the BFG!"),
        ("<0>", "kern.emerg - - -:"),
        ("<11>app: message", "user.err - - -: app: message"),
        ("<191>app: message", "local7.debug - - -: app: message"),
        ("<192>x", "user.notice - - -: <192>x"),
        ("<-1>x", "user.notice - - -: <-1>x"),
        ("<1", "user.notice - - -: <1"),
        ("<>x", "user.notice - - -: <>x"),
        ("<34>Feb 30 22:14:15 host app: x", "auth.crit - - -: Feb 30 22:14:15 host app: x"),
    ] {
        assert_eq!(sink.line(datagram), line);
    }
    sink.stop();
}

fn a_message_is_one_line(backend: &str) {
    let mut sink = Udp::start(backend, "127.0.0.1");
    for (datagram, message) in [
        (&b"<13>ends as in C\0"[..], "ends as in C"),
        (b"<13>ends as a line\r\n", "ends as a line"),
        (b"<13>two\nlines", "two\\nlines"),
        (b"<13>\x1b[2Jclear\x9b\x7f", "\\u{1b}[2Jclear\u{fffd}\\u{7f}"),
        ("<13>next line\u{85}".as_bytes(), "next line\\u{85}"),
        (b"<13>no UTF-8: \xff\xfe", "no UTF-8: \u{fffd}\u{fffd}"),
        ("<13>à la carte".as_bytes(), "à la carte"),
    ] {
        assert_eq!(sink.line(datagram), format!("user.notice - - -: {message}"));
    }
    sink.stop();
}

fn datagrams_of_every_size(backend: &str) {
    let mut sink = Udp::start(backend, "127.0.0.1");
    for size in [0, 1, 2, 480, 2048, 8192, 8193, LONGEST_UDP] {
        let message = "m".repeat(size);
        assert_eq!(sink.line(&message), format!("user.notice - - -: {message}").trim_end());
    }
    sink.stop();
}

fn datagrams_of_anything(backend: &str) {
    let mut sink = Udp::start(backend, "127.0.0.1");
    let headers =
        ["", "<13>", "<13>1 ", "<13>1 - - a - - ", "<13>Oct 11 22:14:15 ", "<13>1 - - - - - ["];
    for (number, bytes) in noise(50_000).chunks(100).enumerate() {
        let header = headers[number % headers.len()];
        sink.line([header.as_bytes(), bytes].concat());
    }
    assert!(sink.line("<13>still there").ends_with(": still there"));
    sink.stop();
}

fn what_is_too_long_is_cut(backend: &str) {
    let mut sink = Unix::start(backend);
    setsockopt(&sink.socket, sockopt::SndBuf, &200_000).unwrap();
    for (size, printed, end) in
        [(65_536, 65_536, ""), (65_537, 65_536, " (cut)"), (100_000, 65_536, " (cut)")]
    {
        sink.socket.send(&vec![b'm'; size]).unwrap();
        let expected = format!("(unnamed) user.notice - - -: {}{end}", "m".repeat(printed));
        assert!(sink.server.program.line() == expected);
    }
    sink.socket.send(b"<13>still there").unwrap();
    assert_eq!(sink.server.program.line(), "(unnamed) user.notice - - -: still there");
    sink.server.stop();
}

fn over_ipv6(backend: &str) {
    let mut sink = Udp::start(backend, "[::1]");
    assert_eq!(sink.line("<14>hello"), "user.info - - -: hello");
    sink.stop();
}

fn over_a_unix_socket_that_it_removes(backend: &str) {
    let mut sink = Unix::start(backend);
    // Nothing is lost here: who sends too much at once has to wait.
    for number in 0..1000 {
        sink.socket.send(format!("<14>{number}").as_bytes()).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(sink.server.program.line(), format!("(unnamed) user.info - - -: {number}"));
    }
    let path = sink.directory.path().join("log");
    let named = UnixDatagram::bind(sink.directory.path().join("sender")).unwrap();
    named.send_to(b"", &path).unwrap();
    let line = sink.server.program.line();
    assert!(line.ends_with("/sender user.notice - - -:"), "{line}");
    sink.server.stop();
    assert!(!path.exists());
}

fn logger(arguments: &[&str]) {
    Program::run(command("logger").args(arguments)).succeeded();
}

fn messages_from_logger(backend: &str) {
    let mut udp = Udp::start(backend, "127.0.0.1").server;
    let address = udp.address.clone();
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut unix = Unix::start(backend);
    let path = unix.directory.path().join("log");
    let unix_address = ["--socket", path.to_str().unwrap()];
    let udp_address = ["--udp", "--server", host, "--port", port];
    for format in ["--rfc3164", "--rfc5424"] {
        let message = [format, "-t", "tag", "-p", "mail.err", "--id=42", "hello there"];
        logger(&[&udp_address[..], &message].concat());
        logger(&[&unix_address[..], &message].concat());
    }
    for program in [&mut udp.program, &mut unix.server.program] {
        for _ in 0..2 {
            let line = program.line();
            assert!(line.contains(" mail.err 20") && line.contains(" tag[42]: "), "{line}");
            assert!(line.ends_with(" hello there"), "{line}");
        }
    }
    udp.stop();
    unix.server.stop();
}

fn messages_from_cpython(backend: &str) {
    let mut udp = Udp::start(backend, "127.0.0.1").server;
    udp.serve("syslog_handler", &["hello", "à la carte"]);
    let mut unix = Unix::start(backend);
    unix.server.serve("syslog_handler", &["hello", "à la carte"]);
    for program in [&mut udp.program, &mut unix.server.program] {
        for message in ["hello", "à la carte"] {
            let line = program.line();
            assert!(line.ends_with(&format!(" local3.err - - -: {message}")), "{line}");
        }
    }
    udp.stop();
    unix.server.stop();
}

fn lives_on_when_nobody_reads_its_output(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let (reader, writer) = io::pipe().unwrap();
    let mut command = sink(backend, path.to_str().unwrap());
    let program = Program::start(command.stdout(writer));
    drop(command);
    await_input(&reader);
    BufReader::new(reader).read_line(&mut String::new()).unwrap();
    let socket = UnixDatagram::unbound().unwrap();
    // Many more than the socket holds: each is taken from it.
    for _ in 0..5000 {
        socket.send_to(b"<13>hello", &path).unwrap();
    }
    program.signal(Signal::SIGTERM);
    program.finish().succeeded();
}

fn a_path_that_is_taken(backend: &str) {
    let sink_there = Unix::start(backend);
    let path = sink_there.directory.path().join("log");
    let second = Program::run(&mut sink(backend, path.to_str().unwrap()));
    assert_eq!(second.failed(1, &["syslog_sink: ", "in use"]).stdout, b"");
    assert!(path.exists());
    sink_there.server.stop();
}
