//! The programs of PORTING.md: each in Python and in Rust, put through the same.

use crate::{
    needs::ASYNCORE,
    process::{PATIENCE, Program, command, example_program, noise, refusing_address},
};
use libtest_mimic::{Completion, Trial};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
};

/// How a program is started, by its name.
type Start = fn(&str) -> Command;
type Test = fn(&str, Start);

/// The name of each program, and what it is put through.
const PROGRAMS: [(&str, Test); 4] = [
    ("echo_server", echo_server),
    ("http_client", http_client),
    ("room", room),
    ("line_server", line_server),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("porting::the_guide_shows_these_programs", || {
        the_guide_shows_these_programs();
        Ok(())
    })];
    for (name, test) in PROGRAMS {
        trials.push(Trial::test(format!("porting::{name}::rust"), move || {
            test(name, |name| command(example_program(&format!("porting_{name}"))));
            Ok(())
        }));
        trials.push(Trial::ignorable_test(format!("porting::{name}::python"), move || {
            if !ASYNCORE.is_met() {
                return Ok(Completion::ignored_with(format!("needs {}", ASYNCORE.what)));
            }
            test(name, |name| {
                let mut python = command("python3");
                python.args(["-W", "ignore"]).arg(source(&format!("{name}.py")));
                python
            });
            Ok(Completion::Completed)
        }));
    }
    trials
}

fn source(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "examples/porting", file].iter().collect()
}

fn the_guide_shows_these_programs() {
    let guide = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("PORTING.md");
    let guide = fs::read_to_string(guide).unwrap();
    for (name, _) in PROGRAMS {
        for (language, ending) in [("python", "py"), ("rust", "rs")] {
            let file = format!("{name}.{ending}");
            let program = fs::read_to_string(source(&file)).unwrap();
            let shown = format!("\n```{language}\n{program}```\n");
            assert!(guide.contains(&shown), "PORTING.md does not show {file} as it is");
        }
    }
}

/// A server on a free port, and how to connect to it.
fn serve(name: &str, start: Start) -> (Program, impl Fn() -> TcpStream) {
    let mut server = Program::start(start(name).arg("0"));
    let line = server.line();
    let address = line.strip_prefix("listening on ").expect("where it listens").to_owned();
    let connect = move || {
        let client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    };
    (server, connect)
}

fn hears(client: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

fn echo_server(name: &str, start: Start) {
    let (_server, connect) = serve(name, start);
    let (mut one, mut other) = (connect(), connect());
    for part in [&b"hello"[..], b"once more"] {
        one.write_all(part).unwrap();
        hears(&mut one, part);
    }
    let much = noise(100_000);
    other.write_all(&much).unwrap();
    hears(&mut other, &much);
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
}

fn http_client(name: &str, start: Start) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let answer = [b"HTTP/1.0 200 OK\r\n\r\n", &*noise(50_000)].concat();
    let expected = answer.clone();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "GET /page HTTP/1.0");
        assert_eq!(lines.next().unwrap().unwrap(), "");
        (&stream).write_all(&answer).unwrap();
    });
    let finished = Program::run(start(name).args(["127.0.0.1", &port, "/page"])).succeeded();
    assert!(finished.stdout == expected);
    server.join().unwrap();

    let (_nobody, address) = refusing_address();
    let (host, port) = address.split_once(':').unwrap();
    Program::run(start(name).args([host, port, "/page"])).failed(1, &["failed: ", "refused"]);
}

fn room(name: &str, start: Start) {
    let (_server, connect) = serve(name, start);
    let mut all = vec![connect()];
    for newcomer in 1..4 {
        all.push(connect());
        // Whoever is heard has been let in, and so has everybody who came before.
        let text = format!("it is {newcomer}\n");
        all[newcomer].write_all(text.as_bytes()).unwrap();
        for listener in &mut all[..newcomer] {
            hears(listener, text.as_bytes());
        }
    }
    drop(all.remove(0));
    all[0].write_all(b"still here\n").unwrap();
    hears(&mut all[1], b"still here\n");
    hears(&mut all[2], b"still here\n");
    // The speaker has heard nothing of its own.
    all[1].write_all(b"answer\n").unwrap();
    hears(&mut all[0], b"answer\n");
}

fn line_server(name: &str, start: Start) {
    let (_server, connect) = serve(name, start);
    let (mut one, mut other) = (connect(), connect());
    one.write_all(b"hel").unwrap();
    other.write_all(b"two\nlines\nand a ").unwrap();
    hears(&mut other, b"TWO\nLINES\n");
    one.write_all(b"lo\n").unwrap();
    hears(&mut one, b"HELLO\n");
    other.write_all(b"half\n\nquit\n").unwrap();
    hears(&mut other, b"AND A HALF\n\nQUIT\n");
    assert_eq!(other.read(&mut [0]).unwrap(), 0);
}
