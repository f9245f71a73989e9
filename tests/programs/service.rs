//! What a service lives through: signals, idle clients, and more clients than it has room for.

use crate::{
    echo_server::Server,
    process::{PATIENCE, Program, command, example},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub(crate) const TESTS: &[Test] = tests![
    what_is_queued_goes_out_after_the_signal,
    the_second_signal_ends_it_at_once,
    who_is_idle_is_closed,
    an_idle_mail_client_is_told,
    sighup_reads_the_message_of_the_day_again,
    five_hundred_clients_and_room_for_few needs(SH, PROC),
];

/// A client of an echo server that sends until nothing more is taken, and reads nothing.
fn one_that_does_not_read(path: &Path) -> (UnixStream, usize) {
    let mut client = UnixStream::connect(path).unwrap();
    let mut other = UnixStream::connect(path).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nonblocking(true).unwrap();
    let (begin, mut sent, mut refused) = (Instant::now(), 0, 0);
    // Whom the server answers, for him it has gone through its loop: once may be the end of a round
    // that began before, after twice it has had its chance to read. If there is no more room then,
    // it has stopped to read: as much as it allows is queued.
    while refused < 3 {
        match client.write(&[b'x'; 4096]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                other.write_all(b"?").unwrap();
                other.read_exact(&mut [0]).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(begin.elapsed() < PATIENCE);
    }
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, sent)
}

/// Waits until nobody listens there any more: the server has heard the signal.
#[track_caller]
fn until_it_refuses(path: &Path) {
    let begin = Instant::now();
    while UnixStream::connect(path).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it listens");
        thread::yield_now();
    }
}

fn what_is_queued_goes_out_after_the_signal(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = Server::at(backend, path.to_str().unwrap());
    let (mut client, sent) = one_that_does_not_read(&path);
    server.program.signal(Signal::SIGTERM);
    until_it_refuses(&path);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    // What the server had not read by then, the kernel held: not more than its buffers.
    assert!(received.len() > 256 << 10 && received.len() <= sent, "{} of {sent}", received.len());
    assert!(received.iter().all(|byte| *byte == b'x'));
    server.program.finish().succeeded();
}

fn the_second_signal_ends_it_at_once(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = Server::at(backend, path.to_str().unwrap());
    let (_client, _) = one_that_does_not_read(&path);
    server.program.signal(Signal::SIGTERM);
    until_it_refuses(&path);
    server.program.signal(Signal::SIGINT);
    let finished = server.program.finish();
    // None: the signal has killed it.
    assert_eq!((finished.code, &*finished.stderr), (None, ""));
}

fn who_is_idle_is_closed(backend: &str) {
    let mut command = example("echo_server", backend);
    let server = Server::of(command.args(["127.0.0.1:0", "--idle", "20ms"]));
    let mut client = server.connect();
    let begin = Instant::now();
    client.send("hello");
    let mut received = Vec::new();
    client.0.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"hello");
    assert!(begin.elapsed() >= Duration::from_millis(20));
    server.stop();
}

fn an_idle_mail_client_is_told(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = example("smtp_sink", backend);
    command.args(["127.0.0.1:0", "--idle", "20ms", "--dir"]).arg(directory.path());
    let server = Server::of(&mut command);
    let client = server.connect();
    let lines: Result<Vec<_>, _> = BufReader::new(client.0).lines().collect();
    let lines = lines.unwrap();
    assert!(lines[0].starts_with("220 "), "{lines:?}");
    assert_eq!(lines[1..], ["421 Too long without a word"]);
    server.stop();
}

fn sighup_reads_the_message_of_the_day_again(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let motd = directory.path().join("motd");
    fs::write(&motd, "Monday\n").unwrap();
    let mut command = example("chat_server", backend);
    let mut server = Server::of(command.arg("127.0.0.1:0").arg("--motd").arg(&motd));
    let greeting = || {
        let mut line = String::new();
        BufReader::new(server.connect().0).read_line(&mut line).unwrap();
        line
    };
    assert_eq!(greeting(), "Monday\n");
    fs::write(&motd, "Tuesday\n").unwrap();
    assert_eq!(greeting(), "Monday\n");
    server.program.signal(Signal::SIGHUP);
    let begin = Instant::now();
    while greeting() != "Tuesday\n" {
        assert!(begin.elapsed() < PATIENCE, "not read again");
    }
    // One that cannot be read changes nothing.
    fs::remove_file(&motd).unwrap();
    server.program.signal(Signal::SIGHUP);
    let complaint = server.program.complaint();
    assert!(complaint.contains("motd: No such file"), "{complaint}");
    let mut line = String::new();
    BufReader::new(server.connect().0).read_line(&mut line).unwrap();
    assert_eq!(line, "Tuesday\n");
    server.program.signal(Signal::SIGTERM);
    assert_eq!(server.program.finish().code, Some(0));
}

/// Processor time, in ticks: of user and system.
fn ticks(program: &Program) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn five_hundred_clients_and_room_for_few(backend: &str) {
    const ROOM: usize = 64;
    let program = example("echo_server", backend);
    let mut shell = command("sh");
    shell.args(["-c", &format!("ulimit -n {ROOM} && exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).args(program.get_args()).arg("127.0.0.1:0");
    let server = Server::of(&mut shell);
    let mut clients: Vec<_> = (0..500).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("hello"));
    // The first are in, and nobody leaves: nothing can be done, and nothing is.
    clients[0].expect("hello");
    let begin = Instant::now();
    while server.descriptors().len() < ROOM {
        assert!(begin.elapsed() < PATIENCE, "it has room: {:?}", server.descriptors());
        thread::yield_now();
    }
    let (before, begin) = (ticks(&server.program), Instant::now());
    while begin.elapsed() < Duration::from_secs(1) {
        thread::park_timeout(Duration::from_millis(100));
    }
    // A spin takes a hundred of them, or its share on a busy machine.
    let taken = ticks(&server.program) - before;
    assert!(taken <= 10, "{taken} ticks for nothing");
    // Whoever is served makes room for another, so everybody is, in the order in which they came.
    for (number, mut client) in clients.into_iter().enumerate() {
        if number > 0 {
            client.expect("hello");
        }
        client.exchange("goodbye");
    }
    server.program.signal(Signal::SIGTERM);
    let finished = server.program.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}
