//! The status page: what it says of an echo service beside it, and to whom.

use crate::{
    echo_server::Client,
    process::{Finished, Program, command, example},
    trials::{Test, tests},
};
use nix::sys::{
    signal::Signal,
    socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::AsRawFd,
    thread,
};

pub(crate) const TESTS: &[Test] = tests![
    curl_gets_both_pages needs(CURL),
    the_metrics_are_in_prometheus_format,
    the_numbers_rise_with_the_traffic,
    echoes_while_it_is_scraped,
    one_connection_for_many_requests,
    head_has_no_body,
    bad_requests_are_told_and_end_the_connection,
    what_is_not_there_and_what_is_not_allowed,
    a_client_that_is_idle_has_to_go,
    a_client_that_never_reads_has_to_wait,
    a_half_close_gets_its_answer,
    names_of_peers_are_escaped,
    ends_in_order,
];

struct Server {
    program: Program,
    page: String,
    echo: String,
}

impl Server {
    #[track_caller]
    fn start(backend: &str) -> Self {
        Self::with(backend, &["--echo", "127.0.0.1:0"])
    }

    #[track_caller]
    fn with(backend: &str, arguments: &[&str]) -> Self {
        let mut command = example("status_page", backend);
        let mut program = Program::start(command.arg("127.0.0.1:0").args(arguments));
        let [echo, page] = ["echoing on ", "listening on "].map(|beginning| {
            let line = program.line();
            line.strip_prefix(beginning).expect("it says where it is").to_owned()
        });
        Self { program, page, echo }
    }

    #[track_caller]
    fn stop(self) -> Finished {
        self.program.signal(Signal::SIGTERM);
        self.program.finish().succeeded()
    }

    fn connect(&self) -> TcpStream {
        Client::connect(&self.page).0
    }

    #[track_caller]
    fn say(&self, request: &str) -> String {
        say(&self.page, request)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        get(&self.page, path)
    }

    #[track_caller]
    fn metrics(&self) -> BTreeMap<String, u64> {
        check_format(&self.get("/metrics").body)
    }
}

/// Everything that comes back.
#[track_caller]
fn say(address: &str, request: &str) -> String {
    let mut stream = Client::connect(address).0;
    // It may have been closed before all of it was sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn get(address: &str, path: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    Answer::parse(&say(address, &head))
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap();
        let answer = Self { status: status.parse().unwrap(), head: head.into(), body: body.into() };
        assert_eq!(answer.header("Content-Length"), Some(&*answer.body.len().to_string()));
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Reads one answer of a connection that goes on.
#[track_caller]
fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut text = String::from_utf8(head).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    text.push_str(&String::from_utf8(body).unwrap());
    Answer::parse(&text)
}

/// The rules of the text format 0.0.4, as far as they can be broken here; every sample.
#[track_caller]
fn check_format(text: &str) -> BTreeMap<String, u64> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let (mut samples, mut families) = (BTreeMap::new(), Vec::new());
    let mut helped = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            helped = Some(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped, Some(name), "help comes first");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(!families.contains(&name), "{line}: told twice");
            families.push(name);
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            assert!(is_name(name) && families.last() == Some(&name), "{line}");
            let labels = labels.strip_suffix('}').unwrap();
            if !labels.is_empty() {
                let (label, quoted) = labels.split_once('=').unwrap();
                let value = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let value = value.unwrap_or_else(|| panic!("{line}"));
                assert!(is_name(label) && !value.contains(['"', '\\', '\n']), "{line}");
            }
            let before = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{line}: told twice");
        }
    }
    samples
}

fn curl_gets_both_pages(backend: &str) {
    let server = Server::start(backend);
    let curl = |arguments: &[&str], path: &str| {
        let url = format!("http://{}{path}", server.page);
        let mut curl = command("curl");
        let finished =
            Program::run(curl.args(["-sSf", "--max-time", "60"]).args(arguments).arg(url));
        String::from_utf8(finished.succeeded().stdout).unwrap()
    };
    let page = curl(&[], "/");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains(&format!("{backend}(2)")), "{page}");
    // Everything is in it, and nothing of it is fetched.
    for other in ["<script", "http://", "https://", "url(", "@import"] {
        assert!(!page.contains(other), "{other}");
    }
    assert!(page.contains("<meta http-equiv=\"refresh\""));
    let metrics = check_format(&curl(&[], "/metrics"));
    assert_eq!(metrics[&format!("asyncore_info{{backend=\"{backend}\"}}")], 1);
    assert!(curl(&["-I"], "/metrics").contains("Content-Type: text/plain; version=0.0.4"));
    server.stop();
}

fn the_metrics_are_in_prometheus_format(backend: &str) {
    let server = Server::start(backend);
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let expected = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("Content-Type"), Some(expected));
    let samples = check_format(&answer.body);
    for name in [
        "asyncore_passes_total",
        "asyncore_waits_total",
        "asyncore_scanned_descriptors_total",
        "asyncore_ready_descriptors_total",
        "asyncore_received_bytes_total",
        "asyncore_sent_bytes_total",
        "asyncore_timers_total",
        "asyncore_accept_pauses_total",
        "asyncore_evictions_total",
        "asyncore_callbacks_total{callback=\"read\"}",
        "asyncore_channels{state=\"listening\"}",
        "asyncore_queued_bytes",
    ] {
        assert!(samples.contains_key(name), "{name} is not in {samples:?}");
    }
    assert_eq!(samples["asyncore_channels{state=\"listening\"}"], 2);
    server.stop();
}

fn the_numbers_rise_with_the_traffic(backend: &str) {
    let server = Server::start(backend);
    let before = server.metrics();
    let mut client = Client::connect(&server.echo);
    let message = "x".repeat(1000);
    for _ in 0..10 {
        client.exchange(&message);
    }
    let after = server.metrics();
    let risen = |name: &str| after[name] - before[name];
    // And what it took to ask.
    assert!((10_000..10_500).contains(&risen("asyncore_received_bytes_total")), "{after:?}");
    assert!((10_000..20_000).contains(&risen("asyncore_sent_bytes_total")), "{after:?}");
    assert!(risen("asyncore_callbacks_total{callback=\"read\"}") >= 11);
    assert!(risen("asyncore_callbacks_total{callback=\"accept\"}") >= 2);
    assert!(risen("asyncore_callbacks_total{callback=\"close\"}") >= 1);
    for name in ["passes", "waits", "scanned_descriptors", "ready_descriptors"] {
        assert!(risen(&format!("asyncore_{name}_total")) >= 10, "{name}: {after:?}");
    }
    assert_eq!(risen("asyncore_evictions_total"), 0);
    let peer = client.0.local_addr().unwrap().to_string();
    let page = server.get("/");
    assert!(page.body.contains(&peer) && page.body.contains("9.8 KiB"), "{}", page.body);
    drop(client);
    server.stop();
}

fn echoes_while_it_is_scraped(backend: &str) {
    let server = Server::start(backend);
    let message = "y".repeat(5000);
    let (page, echo) = (&server.page, &server.echo);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(echo);
                (0..100).for_each(|_| client.exchange(&message));
            });
        }
        for path in ["/", "/metrics"] {
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(get(page, path).status, 200)));
        }
    });
    assert!(server.metrics()["asyncore_received_bytes_total"] >= 4 * 100 * 5000);
    server.stop();
}

fn one_connection_for_many_requests(backend: &str) {
    let server = Server::start(backend);
    let mut stream = server.connect();
    let mut passes = 0;
    for _ in 0..5 {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let answer = read_answer(&mut stream);
        assert_eq!(answer.header("Connection"), Some("keep-alive"));
        let now = check_format(&answer.body)["asyncore_passes_total"];
        assert!(now > passes);
        passes = now;
    }
    // At once, in pieces, and the last one says that it is the last.
    let requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n\
                    GET http://x/metrics?c HTTP/1.1\r\nHost: x\r\nConnection: Keep, Close\r\n\r\n";
    for piece in requests.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    let statuses = [(); 3].map(|()| read_answer(&mut stream).status);
    assert_eq!(statuses, [404, 404, 200]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let old = Answer::parse(&server.say("GET / HTTP/1.0\r\n\r\n"));
    assert_eq!((old.status, old.header("Connection")), (200, Some("close")));
    server.stop();
}

fn head_has_no_body(backend: &str) {
    let server = Server::start(backend);
    for path in ["/", "/metrics", "/other"] {
        let text = server.say(&format!("HEAD {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        assert!(body.is_empty() && length != "0", "{text}");
    }
    server.stop();
}

fn bad_requests_are_told_and_end_the_connection(backend: &str) {
    let server = Server::start(backend);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400), // no Host
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\n\nx\r\n\r\n", 400),
        ("GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505),
        (&*many, 431),
        (&*long, 431),
    ] {
        let answer = Answer::parse(&server.say(request));
        assert_eq!(
            (answer.status, answer.header("Connection")),
            (status, Some("close")),
            "{request}"
        );
    }
    // Nothing of it was more than that client's affair.
    assert_eq!(server.get("/").status, 200);
    server.stop();
}

fn what_is_not_there_and_what_is_not_allowed(backend: &str) {
    let server = Server::start(backend);
    for path in ["/x", "/metrics/", "//", "*", "/..%2f"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        // The body is not taken for another request.
        let body = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let length = body.len();
        let head = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let answer = Answer::parse(&server.say(&(head + body)));
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD")), "{method}");
    }
    server.stop();
}

fn a_client_that_is_idle_has_to_go(backend: &str) {
    let server = Server::with(backend, &["--echo", "127.0.0.1:0", "--idle", "1ms"]);
    assert_eq!(server.connect().read(&mut [0]).unwrap(), 0);
    let mut halfway = server.connect();
    // It may have been closed before.
    let _ = halfway.write_all(b"GET / HT");
    assert!(matches!(halfway.read(&mut [0]), Ok(0) | Err(_)));
    // Who echoes may take as long as it wants.
    let mut client = Client::connect(&server.echo);
    client.exchange("there");
    assert_eq!(server.connect().read(&mut [0]).unwrap(), 0);
    client.exchange("still there");
    drop(client);
    server.stop();
}

fn a_client_that_never_reads_has_to_wait(backend: &str) {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost:\r\n\r\n";
    let server = Server::start(backend);
    let mut stream = server.connect();
    stream.set_nonblocking(true).unwrap();
    // Until nothing more is taken: the server has stopped to read, or has closed.
    let mut client = Client::connect(&server.echo);
    let mut full = 0;
    while full < 100 {
        match stream.write(&REQUEST.repeat(100)) {
            Ok(_) => full = 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                full += 1;
                client.exchange("and the others?");
            }
            Err(_) => break,
        }
    }
    assert!(server.metrics()["asyncore_queued_bytes"] <= 8 << 20);
    drop((stream, client));
    server.stop();
}

fn a_half_close_gets_its_answer(backend: &str) {
    let server = Server::start(backend);
    let mut stream = server.connect();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    check_format(&Answer::parse(&answer).body);
    server.stop();
}

fn names_of_peers_are_escaped(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo");
    let server = Server::with(backend, &["--echo", path.to_str().unwrap()]);
    let name = directory.path().join("<script>&\"");
    let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(client.as_raw_fd(), &UnixAddr::new(&name).unwrap()).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    nix::unistd::write(&client, b"x").unwrap();
    nix::unistd::read(&client, &mut [0]).unwrap();
    let page = server.get("/").body;
    assert!(page.contains("&lt;script&gt;&amp;&quot;"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    drop(client);
    server.stop();
    assert!(!fs::exists(path).unwrap());
}

fn ends_in_order(backend: &str) {
    let server = Server::start(backend);
    let mut streams = [server.connect(), Client::connect(&server.echo).0];
    assert_eq!(server.get("/").status, 200);
    server.stop();
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let taken = Server::start(backend);
    let second =
        Program::run(example("status_page", backend).args([&*taken.page, "--echo", "127.0.0.1:0"]));
    assert_eq!(second.failed(1, &["status_page", &taken.page, "in use"]).stdout, b"");
    taken.stop();
}
