//! What the programs ask of the kernel, as `strace` sees it.

use crate::{
    echo_server::{Client, Server},
    process::{command, example},
    trials::{Test, tests},
};
use std::{
    collections::BTreeSet, fs, io, io::Read, iter::repeat_n, process::Command, time::Duration,
};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = tests![
    one_wait_one_recv_and_one_send_per_message needs(STRACE),
    none_while_a_thousand_connections_are_idle needs(STRACE, FILES),
    one_wait_per_pass_however_many_are_ready needs(STRACE, FILES),
    none_for_a_client_that_never_reads needs(STRACE),
    none_for_a_change_of_interest needs(STRACE),
    only_the_backend_that_was_chosen needs(STRACE),
    those_of_every_message_are_made_in_place needs(STRACE, CALLS_IN_PLACE),
];

/// A server that is traced.
pub(crate) struct Traced {
    pub(crate) server: Server,
    directory: TempDir,
}

pub(crate) const BEGIN: &str = "here it begins";
pub(crate) const END: &str = "here it ends";

impl Traced {
    fn start(backend: &str) -> Self {
        Self::of(example("echo_server", backend).arg("127.0.0.1:0"))
    }

    /// Of a program that says where it listens.
    pub(crate) fn of(server: &mut Command) -> Self {
        Self::with(&[], server)
    }

    fn with(options: &[&str], server: &mut Command) -> Self {
        let directory = TempDir::new().unwrap();
        // With -D the server itself is our child; and strace, a grandchild, ends with it.
        let mut strace = command("strace");
        strace.args(["-D", "-f", "-qq", "-o"]).arg(directory.path().join("trace")).args(options);
        strace.arg(server.get_program()).args(server.get_args());
        Self { server: Server::of(&mut strace), directory }
    }

    /// Every call since it listens, as `name(arguments...`.
    ///
    /// The trace is complete then: strace and the server share the standard error whose end is
    /// awaited.
    pub(crate) fn stop(self) -> Vec<String> {
        self.server.stop();
        let trace = fs::read_to_string(self.directory.path().join("trace")).unwrap();
        let calls = trace.lines().filter_map(|line| {
            let (_, call) = line.split_once(char::is_whitespace)?;
            Some(call.trim_start().to_owned())
        });
        let mut calls = calls.skip_while(|call| !call.contains("listening on"));
        assert!(calls.next().is_some(), "{trace}");
        calls.collect()
    }

    /// The calls after the one that sends `BEGIN` on and before the one that reads `END`, each as
    /// its kind.
    pub(crate) fn between_the_marks(self) -> Vec<&'static str> {
        self.calls_between_the_marks().iter().map(|call| kind(call)).collect()
    }

    fn calls_between_the_marks(self) -> Vec<String> {
        let mut calls = self.stop();
        let begin = calls.iter().position(|call| kind(call) == "send" && call.contains(BEGIN));
        calls.drain(..=begin.expect("the beginning is marked"));
        let end = calls.iter().position(|call| call.contains(END));
        calls.truncate(end.expect("the end is marked"));
        calls
    }
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

fn kind(call: &str) -> &'static str {
    match name(call) {
        "poll" | "ppoll" | "ppoll_time64" | "select" | "pselect6" | "pselect6_time64" => "wait",
        "recv" | "recvfrom" | "read" => "recv",
        "send" | "sendto" | "write" => "send",
        "brk" | "mmap" | "mremap" | "munmap" => "memory",
        // The whole call, for whoever reads the failure.
        _ => call.to_owned().leak(),
    }
}

/// What `count` messages one after the other may cost, and the wait for what comes then.
fn calls_of(count: usize) -> Vec<&'static str> {
    let mut calls = repeat_n(["wait", "recv", "send"], count).collect::<Vec<_>>().concat();
    calls.push("wait");
    calls
}

fn a_thousand_clients(traced: &Traced) -> Vec<Client> {
    let mut clients: Vec<_> = (0..1000).map(|_| traced.server.connect()).collect();
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    clients
}

/// Nothing comes for a second, during which the server is observed.
pub(crate) fn watch_the_silence(Client(stream): &mut Client) {
    let timeout = stream.read_timeout().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    stream.set_read_timeout(timeout).unwrap();
}

fn one_wait_one_recv_and_one_send_per_message(backend: &str) {
    let traced = Traced::start(backend);
    let mut client = traced.server.connect();
    client.exchange(BEGIN);
    for number in 0..100 {
        client.exchange(&format!("message {number}"));
    }
    client.exchange(END);
    assert_eq!(traced.between_the_marks(), calls_of(100));
}

fn none_while_a_thousand_connections_are_idle(backend: &str) {
    let traced = Traced::start(backend);
    let mut clients = a_thousand_clients(&traced);
    clients[0].exchange(BEGIN);
    watch_the_silence(&mut clients[1]);
    clients[999].exchange(END);
    // Before it falls asleep over them all it may look, and wait, for the busy ones.
    let calls = traced.between_the_marks();
    assert!(
        (1..=4).contains(&calls.len()) && calls.iter().all(|call| *call == "wait"),
        "{calls:?}"
    );
}

fn one_wait_per_pass_however_many_are_ready(backend: &str) {
    let traced = Traced::start(backend);
    let mut clients = a_thousand_clients(&traced);
    let (first, others) = clients.split_first_mut().unwrap();
    first.exchange(BEGIN);
    others.iter_mut().for_each(|client| client.send("all at once"));
    others.iter_mut().for_each(|client| client.expect("all at once"));
    first.exchange(END);
    let mut calls = traced.between_the_marks();
    // Room for more events than ever before is made once.
    calls.retain(|call| *call != "memory");
    assert_eq!(calls.pop(), Some("wait"));
    // A wait may be preceded by a look at the busy ones, and one at all of them, in vain.
    assert!(calls.split(|call| *call != "wait").all(|waits| waits.len() <= 4), "{calls:?}");
    let mut passes: Vec<_> = calls.split(|call| *call == "wait").collect();
    passes.retain(|pass| !pass.is_empty());
    for pass in &passes {
        let (pairs, rest) = pass.as_chunks();
        assert!(rest.is_empty(), "{pass:?}");
        assert!(pairs.iter().all(|pair| *pair == ["recv", "send"]), "{pass:?}");
    }
    assert_eq!(passes.iter().map(|pass| pass.len()).sum::<usize>(), 2 * 999);
}

/// Writes until the server reads no more, because it cannot write; returns how many bytes.
fn write_until_refused(deaf: &mut Client, other: &mut Client) -> usize {
    use io::Write;
    deaf.0.set_nonblocking(true).unwrap();
    let (mut written, mut refused) = (0, 0);
    while refused < 100 {
        match deaf.0.write(&[b'x'; 64 << 10]) {
            Ok(count @ 1..) => (written, refused) = (written + count, 0),
            Ok(0) => panic!("nothing was written"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                refused += 1;
                other.exchange("meanwhile");
            }
        }
    }
    deaf.0.set_nonblocking(false).unwrap();
    written
}

fn none_for_a_client_that_never_reads(backend: &str) {
    let traced = Traced::start(backend);
    let (mut deaf, mut other) = (traced.server.connect(), traced.server.connect());
    write_until_refused(&mut deaf, &mut other);
    other.exchange(BEGIN);
    for number in 0..100 {
        other.exchange(&format!("message {number}"));
    }
    // Under strace a server that spins looks like one that waits, as long as there is work.
    watch_the_silence(&mut other);
    other.exchange(END);
    assert_eq!(traced.between_the_marks(), calls_of(100));
}

fn none_for_a_change_of_interest(backend: &str) {
    const ROUNDS: usize = 3;
    let traced = Traced::start(backend);
    let (mut client, mut other) = (traced.server.connect(), traced.server.connect());
    other.exchange(BEGIN);
    for _ in 0..ROUNDS {
        // While it serves the other, it waits until it can write to this one; and then no more.
        let written = write_until_refused(&mut client, &mut other);
        client.0.read_exact(&mut vec![0; written]).unwrap();
    }
    other.exchange(END);
    let calls = traced.calls_between_the_marks();
    let others = calls.iter().filter(|call| !["wait", "recv", "send"].contains(&kind(call)));
    let others: Vec<_> = others.filter(|call| kind(call) != "memory").collect();
    assert!(others.is_empty(), "{others:?}");
}

fn only_the_backend_that_was_chosen(backend: &str) {
    let traced = Traced::start(backend);
    for _ in 0..3 {
        traced.server.connect().exchange("hello");
    }
    let calls = traced.stop();
    let chosen: &[&str] = match backend {
        "poll" => &["poll", "ppoll", "ppoll_time64"],
        _ => &["select", "pselect6", "pselect6_time64"],
    };
    let waits: Vec<_> =
        calls.iter().map(|call| name(call)).filter(|name| kind(name) == "wait").collect();
    assert!(waits.len() > 3 && waits.iter().all(|name| chosen.contains(name)), "{waits:?}");
    assert!(!calls.iter().any(|call| name(call).starts_with("epoll")), "{calls:?}");
}

/// libc's functions are cancellation points, which takes atomic instructions in a program that has
/// threads.
fn those_of_every_message_are_made_in_place(backend: &str) {
    // With the address of the instruction before each call.
    let traced = Traced::with(&["-i"], example("echo_server", backend).arg("127.0.0.1:0"));
    for _ in 0..3 {
        traced.server.connect().exchange("hello");
    }
    let mut calls = traced.stop();
    // A signal's handler sends by libc.
    calls.truncate(calls.iter().position(|call| call.contains("SIGTERM")).unwrap());
    // What is far from each other in memory was loaded from different files.
    let places_of = |names: &[&str]| -> BTreeSet<String> {
        let calls = calls.iter().filter_map(|call| call.strip_prefix('[')?.split_once("] "));
        let those = calls.filter(|(_, call)| names.contains(&name(call)));
        those.map(|(address, _)| address[..6].to_owned()).collect()
    };
    let ours = places_of(&["ppoll", "pselect6", "recvfrom", "sendto"]);
    let libcs = places_of(&["accept4"]);
    assert!(ours.len() == 1 && libcs.len() == 1 && ours != libcs, "{ours:?} {libcs:?} {calls:?}");
}
