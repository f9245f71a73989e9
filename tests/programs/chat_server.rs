//! The chat server, and people of every kind.

use crate::{
    echo_server::{Client, Server},
    process::{PATIENCE, Program, command, example, reset},
    trials::{Test, tests},
};
use nix::sys::signal::Signal;
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Stdio,
};

pub(crate) const TESTS: &[Test] = tests![
    who_comes_what_they_say_and_who_leaves,
    names_that_are_none,
    a_name_is_free_again_when_its_owner_has_left,
    lines_that_end_in_either_way,
    a_line_in_pieces,
    nothing_that_commands_a_terminal,
    a_line_that_is_too_long,
    a_line_without_end needs(PROC),
    a_last_line_without_its_end,
    a_reset_is_a_leave,
    last_words_to_people_who_talk,
    whoever_has_no_name_is_not_there,
    gone_before_the_question,
    one_hundred_people,
    one_who_never_reads,
    one_who_never_reads_the_question needs(PROC),
    with_nc needs(NC),
    with_nc_over_a_unix_socket needs(NC),
    an_orderly_end_for_everybody,
];

const QUESTION: &str = "What is your name?";

fn start(backend: &str) -> Server {
    Server::of(example("chat_server", backend).arg("127.0.0.1:0"))
}

fn start_at(backend: &str, path: &Path) -> Server {
    Server::of(example("chat_server", backend).arg(path))
}

/// Somebody in the room, or about to enter it.
struct Person<S>(BufReader<S>);

impl Person<TcpStream> {
    #[track_caller]
    fn connect(server: &Server) -> Self {
        Self::asked(Client::connect(&server.address).0)
    }

    #[track_caller]
    fn join(server: &Server, name: &str, others: &str) -> Self {
        Self::connect(server).enter(name, others)
    }

    fn shut_down(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Says no more, and hears no more.
    #[track_caller]
    fn leaves(self) {
        self.shut_down();
        self.hears_no_more();
    }

    fn resets(self) {
        reset(self.0.into_inner());
    }
}

impl Person<UnixStream> {
    #[track_caller]
    fn join_at(path: &Path, name: &str, others: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::asked(stream).enter(name, others)
    }
}

impl<S: Read + Write> Person<S> {
    /// Somebody who is asked for a name.
    #[track_caller]
    fn asked(stream: S) -> Self {
        let mut person = Self(BufReader::new(stream));
        person.hears(QUESTION);
        person
    }

    #[track_caller]
    fn enter(mut self, name: &str, others: &str) -> Self {
        self.says(format!("{name}\n"));
        self.hears(&format!("Welcome, {name}. Here with you: {others}"));
        self
    }

    #[track_caller]
    fn says(&mut self, text: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(text.as_ref()).unwrap();
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix('\n').expect("every line has its end").to_owned()
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Fails unless this is the end, without another line.
    #[track_caller]
    fn hears_no_more(mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// Anna and Bert, who know of each other.
fn anna_and_bert(server: &Server) -> (Person<TcpStream>, Person<TcpStream>) {
    let mut anna = Person::join(server, "anna", "nobody");
    let bert = Person::join(server, "bert", "anna");
    anna.hears("* bert has joined");
    (anna, bert)
}

fn who_comes_what_they_say_and_who_leaves(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    let mut carl = Person::join(&server, "carl", "anna, bert");
    anna.hears("* carl has joined");
    bert.hears("* carl has joined");

    // Nobody hears their own words: the next thing is what somebody else says.
    anna.says("hello\n");
    bert.hears("<anna> hello");
    carl.hears("<anna> hello");
    bert.says("one\ntwo\n\nand four: it's \"här\"\n");
    for other in [&mut anna, &mut carl] {
        for line in ["one", "two", "", "and four: it's \"här\""] {
            other.hears(&format!("<bert> {line}"));
        }
    }
    bert.leaves();
    anna.hears("* bert has left");
    carl.hears("* bert has left");
    carl.leaves();
    anna.hears("* carl has left");
    anna.leaves();
    Person::join(&server, "dora", "nobody").leaves();
    server.stop();
}

fn names_that_are_none(backend: &str) {
    let server = start(backend);
    let (mut anna, _bert) = anna_and_bert(&server);
    let mut other = Person::connect(&server);
    let long = "x".repeat(31);
    for name in ["", "  ", &long, "two words", "bert> hi", "\x1b[2J", "x\t", "x\0", "\u{202e}x"] {
        other.says(format!("{name}\n"));
        other.hears("A name is a word of at most 30 letters and digits.");
        other.hears(QUESTION);
    }
    other.says(b"\xff\n");
    other.hears("A name is a word of at most 30 letters and digits.");
    other.hears(QUESTION);
    for name in ["anna", " bert \r"] {
        other.says(format!("{name}\n"));
        other.hears("Somebody has that name.");
        other.hears(QUESTION);
    }
    // In characters, not in bytes.
    let name = "ä".repeat(30);
    other.says(format!("  {name} \r\n"));
    other.hears(&format!("Welcome, {name}. Here with you: anna, bert"));
    anna.hears(&format!("* {name} has joined"));
    server.stop();
}

fn a_name_is_free_again_when_its_owner_has_left(backend: &str) {
    let server = start(backend);
    let mut anna = Person::join(&server, "anna", "nobody");
    for _ in 0..3 {
        let bert = Person::join(&server, "bert", "anna");
        anna.hears("* bert has joined");
        bert.leaves();
        anna.hears("* bert has left");
    }
    server.stop();
}

fn lines_that_end_in_either_way(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    anna.says("as telnet does\r\nas nc does\n\ra\rb\r\r\n");
    bert.hears("<anna> as telnet does");
    bert.hears("<anna> as nc does");
    // Only the one before the end belongs to it.
    bert.hears("<anna> \\ra\\rb\\r");
    server.stop();
}

fn a_line_in_pieces(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    for piece in ["a", "bc", "\r", "\nd", "e\n"] {
        anna.says(piece);
        // The server has read the piece when it has passed on two lines that came later, in two
        // passes.
        for _ in 0..2 {
            bert.says("well?\n");
            anna.hears("<bert> well?");
        }
    }
    bert.hears("<anna> abc");
    bert.hears("<anna> de");
    server.stop();
}

fn nothing_that_commands_a_terminal(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    anna.says("\x1b[2J\x07\x08\x00\x7f\t\u{9b}0m\n");
    bert.hears("<anna> \\u{1b}[2J\\u{7}\\u{8}\\u{0}\\u{7f}\\t\\u{9b}0m");
    // As a byte of its own, the last of them is not UTF-8.
    anna.says(b"\x9b0m \xff\xc3\n");
    bert.hears("<anna> \u{fffd}0m \u{fffd}\u{fffd}");
    server.stop();
}

fn a_line_that_is_too_long(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    let most = "x".repeat(1000);
    anna.says(format!("{most}\n{most}x\nafter it\n"));
    bert.hears(&format!("<anna> {most}"));
    anna.hears("A line has at most 1000 bytes; nobody heard it.");
    bert.hears("<anna> after it");
    // Neither is it a name.
    let mut other = Person::connect(&server);
    other.says(format!("{}\nother\n", "y".repeat(2000)));
    other.hears("A line has at most 1000 bytes; nobody heard it.");
    other.hears("Welcome, other. Here with you: anna, bert");
    server.stop();
}

fn a_line_without_end(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    let before = server.program.most_memory();
    anna.says(vec![b'x'; 16 << 20]);
    anna.hears("A line has at most 1000 bytes; nobody heard it.");
    anna.says("\nstill here\n");
    bert.hears("<anna> still here");
    let grown = server.program.most_memory() - before;
    assert!(grown < 1 << 20, "{grown} bytes");
    server.stop();
}

fn a_last_line_without_its_end(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    bert.says("one\nand goodbye");
    bert.leaves();
    anna.hears("<bert> one");
    anna.hears("<bert> and goodbye");
    anna.hears("* bert has left");
    // A name is said as well.
    let mut carl = Person::connect(&server);
    carl.says("carl");
    carl.shut_down();
    carl.hears("Welcome, carl. Here with you: anna");
    carl.hears_no_more();
    anna.hears("* carl has joined");
    anna.hears("* carl has left");
    server.stop();
}

fn a_reset_is_a_leave(backend: &str) {
    let server = start(backend);
    let (mut anna, mut bert) = anna_and_bert(&server);
    bert.says("one\n");
    anna.hears("<bert> one");
    bert.resets();
    anna.hears("* bert has left");
    anna.says("to nobody\n");
    Person::join(&server, "bert", "anna");
    anna.hears("* bert has joined");
    server.stop();
}

fn last_words_to_people_who_talk(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = start_at(backend, &path);
    let mut anna = Person::join_at(&path, "anna", "nobody");
    let mut bert = Person::join_at(&path, "bert", "anna");
    anna.hears("* bert has joined");
    // Anna's words find Bert's connection broken before Bert's are read.
    server.program.while_stopped(|| {
        anna.says("well?\n");
        bert.says("goodbye\n");
        drop(bert);
    });
    anna.hears("<bert> goodbye");
    anna.hears("* bert has left");
    server.stop();
}

fn whoever_has_no_name_is_not_there(backend: &str) {
    let server = start(backend);
    let stranger = Person::connect(&server);
    let (mut anna, mut bert) = anna_and_bert(&server);
    anna.says("are we alone?\n");
    bert.hears("<anna> are we alone?");
    // Neither hears nor is heard of.
    stranger.leaves();
    Person::connect(&server).resets();
    bert.says("we are\n");
    anna.hears("<bert> we are");
    server.stop();
}

fn gone_before_the_question(backend: &str) {
    let server = start(backend);
    for _ in 0..300 {
        reset(TcpStream::connect(&server.address).unwrap());
    }
    anna_and_bert(&server);
    server.stop();
}

fn one_hundred_people(backend: &str) {
    let server = start(backend);
    let mut people: Vec<Person<TcpStream>> = Vec::new();
    for number in 0..100 {
        let mut person = Person::connect(&server);
        person.says(format!("p{number:02}\n"));
        let welcome = person.line();
        assert_eq!(welcome.matches(", p").count(), number.max(1), "{welcome}");
        for other in &mut people {
            other.hears(&format!("* p{number:02} has joined"));
        }
        people.push(person);
    }
    // All at once, and three lines each.
    for (number, person) in people.iter_mut().enumerate() {
        person.says(format!("0 from {number}\n1 from {number}\n2 from {number}\n"));
    }
    for (number, person) in people.iter_mut().enumerate() {
        let mut next = [0; 100];
        for _ in 0..3 * 99 {
            let line = person.line();
            let speaker: usize = line[2..4].parse().unwrap();
            assert_eq!(line, format!("<p{speaker:02}> {} from {speaker}", next[speaker]));
            next[speaker] += 1;
        }
        assert_eq!(next[number], 0);
    }
    let mut last = people.pop().unwrap();
    for (number, person) in people.into_iter().enumerate() {
        if number % 2 == 0 {
            person.resets();
        }
    }
    let left: HashSet<_> = (0..99).map(|_| last.line()).collect();
    assert!(left.iter().all(|line| line.ends_with(" has left")), "{left:?}");
    assert_eq!(left.len(), 99);
    last.leaves();
    server.stop();
}

fn one_who_never_reads(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    // What the kernel buffers for a Unix socket is known and does not grow.
    let server = start_at(backend, &path);
    let mut anna = Person::join_at(&path, "anna", "nobody");
    let mut bert = Person::join_at(&path, "bert", "anna");
    let mut deaf = UnixStream::connect(&path).unwrap();
    deaf.write_all(b"deaf\n").unwrap();
    anna.hears("* bert has joined");
    anna.hears("* deaf has joined");
    bert.hears("* deaf has joined");

    // Whoever reads hears everything, also while it gets too much for the other.
    let mut goes = false;
    for number in 0..5000 {
        let words = format!("{number} {}", "x".repeat(900));
        anna.says(format!("{words}\n"));
        let mut line = bert.line();
        if line == "* deaf has left" {
            goes = true;
            line = bert.line();
        }
        assert_eq!(line, format!("<anna> {words}"));
        if goes {
            break;
        }
    }
    assert!(goes, "nobody has left");
    anna.hears("* deaf has left");
    anna.says("and on\n");
    bert.hears("<anna> and on");
    // It was sent what fitted.
    deaf.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sent = Vec::new();
    deaf.read_to_end(&mut sent).unwrap();
    assert!(sent.starts_with(b"What is your name?\nWelcome, deaf."));
    server.stop();
}

fn one_who_never_reads_the_question(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = start_at(backend, &path);
    let mut anna = Person::join_at(&path, "anna", "nobody");
    let before = server.program.most_memory();
    let mut deaf = UnixStream::connect(&path).unwrap();
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    // Far more answers than are queued for anybody, and more than the kernel takes.
    let error = deaf.write_all(&[b'\n'; 4 << 20]).expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let grown = server.program.most_memory() - before;
    assert!(grown < 1 << 20, "{grown} bytes");
    anna.says("who was that?\n");
    let mut bert = Person::join_at(&path, "bert", "anna");
    anna.hears("* bert has joined");
    anna.says("well?\n");
    bert.hears("<anna> well?");
    server.stop();
}

/// Two terminals, `nc` each.
fn nc_and_nc(arguments: &[&str]) {
    let join = |name: &str, others: &str| {
        let mut nc = Program::start(command("nc").args(arguments).stdin(Stdio::piped()));
        assert_eq!(nc.line(), QUESTION);
        nc.write(format!("{name}\n").as_bytes());
        assert_eq!(nc.line(), format!("Welcome, {name}. Here with you: {others}"));
        nc
    };
    let (mut anna, mut bert) = (join("anna", "nobody"), join("bert", "anna"));
    assert_eq!(anna.line(), "* bert has joined");
    bert.write(b"hello from nc\nand goodbye");
    assert_eq!(anna.line(), "<bert> hello from nc");
    bert.close_stdin();
    assert_eq!(bert.finish().succeeded().stdout, b"");
    assert_eq!(anna.line(), "<bert> and goodbye");
    assert_eq!(anna.line(), "* bert has left");
    anna.close_stdin();
    assert_eq!(anna.finish().succeeded().stdout, b"");
}

fn with_nc(backend: &str) {
    let server = start(backend);
    let (host, port) = server.address.split_once(':').unwrap();
    nc_and_nc(&["-N", host, port]);
    server.stop();
}

fn with_nc_over_a_unix_socket(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let server = start_at(backend, &path);
    assert_eq!(server.address, path.to_str().unwrap());
    nc_and_nc(&["-N", "-U", &server.address]);
    server.stop();
    assert!(!fs::exists(path).unwrap());
}

fn an_orderly_end_for_everybody(backend: &str) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let server = start(backend);
        let (anna, bert) = anna_and_bert(&server);
        server.program.signal(signal);
        server.program.finish().succeeded();
        anna.hears_no_more();
        bert.hears_no_more();
    }
}
