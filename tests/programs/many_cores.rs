//! The echo server with a reactor per thread.

use crate::{
    echo_server::Server,
    process::{Program, example, python},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use std::{collections::HashMap, fs, process::Command};

pub(crate) const TESTS: &[Test] = tests![
    every_thread_serves,
    as_many_threads_as_are_wanted needs(PROC),
    ends_on_a_signal_whoever_is_connected,
    many_megabytes_on_many_connections needs(PYTHON),
    an_address_that_cannot_be_shared,
    a_number_of_threads_that_is_none,
];

fn many_cores(backend: &str, threads: &str) -> Command {
    let mut command = example("many_cores", backend);
    command.args(["127.0.0.1:0", "--threads", threads]);
    command
}

fn every_thread_serves(backend: &str) {
    for threads in [1, 2, 4] {
        let mut server = Server::of(&mut many_cores(backend, &threads.to_string()));
        // That one of four gets none of 200 happens once in 10^24 times.
        let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.exchange("hello");
        }
        let mut served: HashMap<String, Vec<String>> = HashMap::new();
        for _ in &clients {
            let line = server.program.line();
            let (thread, peer) = line.split_once(": incoming connection from ").unwrap();
            served.entry(thread.to_owned()).or_default().push(peer.to_owned());
        }
        let mut names: Vec<_> = served.keys().cloned().collect();
        names.sort();
        let expected: Vec<_> = (0..threads).map(|number| format!("thread {number}")).collect();
        assert_eq!(names, expected);
        let mut peers: Vec<_> = served.into_values().flatten().collect();
        let mut expected: Vec<_> =
            clients.iter().map(|client| client.0.local_addr().unwrap().to_string()).collect();
        peers.sort();
        expected.sort();
        assert_eq!(peers, expected);
        server.stop();
    }
}

fn as_many_threads_as_are_wanted(backend: &str) {
    let count = |server: &Server| {
        fs::read_dir(format!("/proc/{}/task", server.program.id())).unwrap().count()
    };
    let server = Server::of(&mut many_cores(backend, "3"));
    let mut clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    assert_eq!(count(&server), 4);
    server.stop();
    let server = Server::of(example("many_cores", backend).arg("127.0.0.1:0"));
    let mut clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    let cores = std::thread::available_parallelism().unwrap().get();
    if cores < 8 {
        assert_eq!(count(&server), cores + 1);
    }
    server.stop();
}

fn ends_on_a_signal_whoever_is_connected(backend: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = Server::of(&mut many_cores(backend, "3"));
        let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
        clients[0].exchange("hello");
        server.program.signal(signal);
        server.program.finish().succeeded();
    }
    // At once, when the threads may not have begun.
    for _ in 0..20 {
        Server::of(&mut many_cores(backend, "8")).stop();
    }
}

fn many_megabytes_on_many_connections(backend: &str) {
    let server = Server::of(&mut many_cores(backend, "2"));
    let mut clients: Vec<_> = (0..6)
        .map(|_| Program::start(&mut python("bulk_with_half_close", &[&server.address, "4000000"])))
        .collect();
    for client in clients.drain(..) {
        client.finish().succeeded();
    }
    server.stop();
}

fn an_address_that_cannot_be_shared(backend: &str) {
    // Of a server that does not share it.
    let server = Server::start(backend);
    let second = Program::run(example("many_cores", backend).arg(&server.address));
    assert_eq!(second.failed(1, &["many_cores: ", "in use"]).stdout, b"");
    server.stop();
    let directory = tempfile::tempdir().unwrap();
    let mut command = example("many_cores", backend);
    command.args(["--threads", "2"]).arg(directory.path().join("socket"));
    let finished = Program::run(&mut command);
    finished.failed(1, &["many_cores: "]);
}

fn a_number_of_threads_that_is_none(backend: &str) {
    for number in ["0", "1.5", "many", ""] {
        Program::run(&mut many_cores(backend, number)).failed(2, &["--threads"]);
    }
}
