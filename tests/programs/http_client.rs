//! The HTTP client, against CPython's server, and against servers that get it wrong.

use crate::{
    process::{Finished, PATIENCE, Program, command, example, noise, refusing_address, reset},
    trials::{Test, tests},
};
use asyncore::{Channel, Family, Type};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, channel},
    thread,
};

pub(crate) const TESTS: &[Test] = tests![
    fifty_megabytes_over_ipv4 needs(PYTHON),
    fifty_megabytes_over_ipv6 needs(PYTHON, IPV6),
    gets_what_curl_gets needs(PYTHON, CURL),
    not_found,
    any_other_2xx_is_a_success,
    asks_for_what_the_url_says,
    asks_for_what_the_url_says_over_ipv6 needs(IPV6),
    a_host_by_name,
    without_a_content_length,
    with_a_content_length_and_no_close,
    with_more_than_the_content_length,
    without_a_body,
    a_head_in_pieces,
    a_refused_connection,
    an_unknown_host,
    a_server_that_cannot_be_reached,
    a_server_that_falls_silent,
    a_timeout_that_is_none,
    a_body_that_is_cut_off,
    a_body_that_is_reset,
    an_empty_answer,
    an_answer_that_ends_in_its_head,
    an_answer_that_is_not_http,
    a_head_without_end,
    a_content_length_that_is_none,
    a_coding_that_was_not_asked_for,
    a_scheme_that_is_not_spoken,
    no_url,
    output_that_nobody_reads,
];

#[track_caller]
fn get(backend: &str, url: &str) -> Finished {
    Program::run(example("http_client", backend).arg(url))
}

/// A server for one request, which it makes known.
struct OneAnswer {
    address: SocketAddr,
    request: Receiver<String>,
}

impl OneAnswer {
    fn new(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::at("127.0.0.1:0", move |mut stream| {
            let _ = stream.write_all(&answer);
        })
    }

    /// `respond` gets the connection when the request has been read to its end.
    fn at(address: &str, respond: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, request) = channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            let mut reader = BufReader::new(&stream);
            while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap() > 0 {}
            let _ = sender.send(text);
            respond(stream);
        });
        Self { address, request }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// What the client says of an answer for which the server does not wait longer than it has to.
#[track_caller]
fn answered(backend: &str, answer: impl Into<Vec<u8>>) -> Finished {
    get(backend, &OneAnswer::new(answer).url())
}

/// CPython's `http.server` for a directory; and the URL of its root.
pub(crate) fn http_server(directory: &Path, host: &str) -> (Program, String) {
    let mut command = command("python3");
    command.args(["-u", "-m", "http.server", "0", "--bind", host, "--directory"]).arg(directory);
    let mut program = Program::start(&mut command);
    let line = program.line();
    let url = line.split(['(', ')']).nth(1).expect("it says where it serves").to_owned();
    (program, url)
}

fn fifty_megabytes(backend: &str, host: &str) {
    let directory = tempfile::tempdir().unwrap();
    let content = noise(50_000_000);
    fs::write(directory.path().join("big file"), &content).unwrap();
    let (_server, url) = http_server(directory.path(), host);
    let finished = get(backend, &format!("{url}big%20file"));
    assert_eq!((finished.code, &*finished.stderr), (Some(0), "HTTP/1.0 200 OK\n"));
    assert_eq!(finished.stdout.len(), content.len());
    assert!(finished.stdout == content);
}

fn fifty_megabytes_over_ipv4(backend: &str) {
    fifty_megabytes(backend, "127.0.0.1");
}

fn fifty_megabytes_over_ipv6(backend: &str) {
    fifty_megabytes(backend, "::1");
}

fn gets_what_curl_gets(backend: &str) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), noise(1_000_000)).unwrap();
    fs::write(directory.path().join("empty"), "").unwrap();
    let (_server, root) = http_server(directory.path(), "127.0.0.1");
    for (path, code) in [("", 0), ("file", 0), ("file?q=1#part", 0), ("empty", 0), ("missing", 3)] {
        let url = format!("{root}{path}");
        let curl = Program::run(command("curl").args(["--silent", "--globoff", &url])).succeeded();
        let ours = get(backend, &url);
        assert_eq!(ours.code, Some(code), "{url}: {}", ours.stderr);
        assert!(ours.stdout == curl.stdout, "{url}");
    }
}

fn not_found(backend: &str) {
    let answer = "HTTP/1.0 404 Not Found\r\nContent-Length: 6\r\n\r\nsorry\n";
    let finished = answered(backend, answer);
    assert_eq!((finished.code, &*finished.stderr), (Some(3), "HTTP/1.0 404 Not Found\n"));
    assert_eq!(finished.stdout, b"sorry\n");
}

fn any_other_2xx_is_a_success(backend: &str) {
    for (status, code) in [(299, 0), (300, 3), (500, 3), (201, 0)] {
        let finished = answered(backend, format!("HTTP/1.1 {status} X\r\n\r\nbody"));
        assert_eq!((finished.code, &*finished.stdout), (Some(code), &b"body"[..]));
        assert_eq!(finished.stderr, format!("HTTP/1.1 {status} X\n"));
    }
}

#[track_caller]
fn asks(backend: &str, host: &str) {
    let server =
        OneAnswer::at(host, |mut stream| stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap());
    let address = server.address;
    let finished = get(backend, &format!("http://{address}/a%20b/?q=1&r=%2f#part"));
    assert_eq!((finished.code, &*finished.stdout), (Some(0), &b""[..]));
    let request = server.request.recv_timeout(PATIENCE).unwrap();
    let (first, headers) = request.split_once("\r\n").unwrap();
    assert_eq!(first, "GET /a%20b/?q=1&r=%2f HTTP/1.0");
    assert!(headers.starts_with(&format!("Host: {address}\r\n")), "{headers}");
}

fn asks_for_what_the_url_says(backend: &str) {
    asks(backend, "127.0.0.1:0");
}

fn asks_for_what_the_url_says_over_ipv6(backend: &str) {
    asks(backend, "[::1]:0");
}

/// It may have an IPv6 address, too, where nobody listens.
fn a_host_by_name(backend: &str) {
    let server = OneAnswer::new("HTTP/1.0 200 OK\r\n\r\nfound");
    let finished = get(backend, &format!("http://localhost:{}", server.address.port()));
    assert_eq!((finished.code, &*finished.stdout), (Some(0), &b"found"[..]), "{}", finished.stderr);
    let request = server.request.recv_timeout(PATIENCE).unwrap();
    assert!(request.contains(&format!("\r\nHost: localhost:{}\r\n", server.address.port())));
}

fn without_a_content_length(backend: &str) {
    let body = noise(300_000);
    let answer = [&b"HTTP/1.0 200 OK\r\nContent-Type: x/y\r\n\r\n"[..], &body].concat();
    let finished = answered(backend, answer);
    assert_eq!((finished.code, &*finished.stderr), (Some(0), "HTTP/1.0 200 OK\n"));
    assert!(finished.stdout == body);
}

/// Sends an answer and does not close, as if there were more to come.
#[track_caller]
fn held_open(backend: &str, answer: &'static [u8]) -> Finished {
    let (stays, connection) = channel();
    let server = OneAnswer::at("127.0.0.1:0", move |mut stream| {
        stream.write_all(answer).unwrap();
        stays.send(stream).unwrap();
    });
    let finished = get(backend, &server.url());
    drop(connection.recv_timeout(PATIENCE));
    finished
}

fn with_a_content_length_and_no_close(backend: &str) {
    let finished = held_open(backend, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody");
    assert_eq!((finished.code, &*finished.stdout), (Some(0), &b"body"[..]), "{}", finished.stderr);
}

fn with_more_than_the_content_length(backend: &str) {
    let finished = held_open(backend, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more");
    assert_eq!((finished.code, &*finished.stdout), (Some(0), &b"body"[..]), "{}", finished.stderr);
}

fn without_a_body(backend: &str) {
    for (answer, code) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", 3),
    ] {
        let finished = held_open(backend, answer);
        assert_eq!(
            (finished.code, &*finished.stdout),
            (Some(code), &b""[..]),
            "{}",
            finished.stderr
        );
    }
}

fn a_head_in_pieces(backend: &str) {
    let server = OneAnswer::at("127.0.0.1:0", |mut stream| {
        stream.set_nodelay(true).unwrap();
        for byte in b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody" {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let finished = get(backend, &server.url());
    assert_eq!((finished.code, &*finished.stderr), (Some(0), "HTTP/1.0 200 OK\n"));
    assert_eq!(finished.stdout, b"body");
}

fn a_refused_connection(backend: &str) {
    let (_nobody, address) = refusing_address();
    let finished = get(backend, &format!("http://{address}/"));
    let finished = finished.failed(1, &["http_client: ", &address, "refused"]);
    assert_eq!(finished.stdout, b"");
}

fn an_unknown_host(backend: &str) {
    // A label that long is no name, and no server need be asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let finished = get(backend, &format!("http://{host}/"));
    assert_eq!(finished.failed(1, &["http_client: ", &host, "lookup"]).stdout, b"");
}

fn a_server_that_cannot_be_reached(backend: &str) {
    // A full queue: the kernel drops what else knocks.
    let listener = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
    listener.bind("127.0.0.1:0").unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _filler = [(); 2].map(|()| {
        let channel = Channel::create_socket(Family::Inet, Type::Stream).unwrap();
        channel.connect(&address).unwrap();
        channel
    });
    let mut client = example("http_client", backend);
    client.args(["--connect-timeout", "20ms", &format!("http://{address}/")]);
    let place = address.to_string();
    Program::run(&mut client).failed(1, &["http_client: ", &place, "timed out"]);
}

fn a_server_that_falls_silent(backend: &str) {
    let (stays, connection) = channel();
    let server = OneAnswer::at("127.0.0.1:0", move |mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo").unwrap();
        stays.send(stream).unwrap();
    });
    let mut client = example("http_client", backend);
    let finished = Program::run(client.args(["--idle-timeout", "300ms", &server.url()]));
    finished.failed(1, &["http_client: ", "timed out"]);
    drop(connection.recv_timeout(PATIENCE));
}

fn a_timeout_that_is_none(backend: &str) {
    for option in ["--connect-timeout", "--idle-timeout"] {
        let mut client = example("http_client", backend);
        client.args([option, "soon", "http://127.0.0.1/"]);
        Program::run(&mut client).failed(2, &[option]);
    }
}

fn a_body_that_is_cut_off(backend: &str) {
    let finished = answered(backend, "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nnot\nquite");
    let finished = finished.failed(1, &["HTTP/1.0 200 OK\n", "91 bytes too early"]);
    // What did come is not held back.
    assert_eq!(finished.stdout, b"not\nquite");
}

fn a_body_that_is_reset(backend: &str) {
    let server = OneAnswer::at("127.0.0.1:0", |mut stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nnot quite").unwrap();
        reset(stream);
    });
    get(backend, &server.url()).failed(1, &["http_client: ", "reset"]);
}

fn an_empty_answer(backend: &str) {
    let finished = answered(backend, "").failed(1, &["closed without an answer"]);
    assert_eq!(finished.stdout, b"");
}

fn an_answer_that_ends_in_its_head(backend: &str) {
    let finished = answered(backend, "HTTP/1.0 200 OK\r\nContent-Le");
    assert_eq!(finished.failed(1, &["closed without an answer"]).stdout, b"");
}

fn an_answer_that_is_not_http(backend: &str) {
    let finished = answered(backend, "SSH-2.0-OpenSSH_9.6\r\n");
    let address_and_cause = ["http_client: 127.0.0.1:", "invalid"];
    assert_eq!(finished.failed(1, &address_and_cause).stdout, b"");
}

fn a_head_without_end(backend: &str) {
    let line = "X-Long: and longer\r\n";
    let finished = answered(backend, format!("HTTP/1.0 200 OK\r\nX: {}", "x".repeat(100_000)));
    finished.failed(1, &["the answer's head has no end"]);
    let finished = answered(backend, format!("HTTP/1.0 200 OK\r\n{}", line.repeat(10_000)));
    assert_eq!(finished.failed(1, &["http_client: 127.0.0.1:"]).stdout, b"");
}

fn a_content_length_that_is_none(backend: &str) {
    for length in ["-1", "", "4 and more", "99999999999999999999999"] {
        let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\nbody");
        assert_eq!(answered(backend, answer).failed(1, &["http_client: "]).stdout, b"");
    }
}

fn a_coding_that_was_not_asked_for(backend: &str) {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(answered(backend, answer).failed(1, &["transfer coding"]).stdout, b"");
}

fn a_scheme_that_is_not_spoken(backend: &str) {
    let finished = get(backend, "ftp://127.0.0.1/");
    let finished = finished.failed(1, &["http_client: ftp://127.0.0.1/: ", "only http://"]);
    assert_eq!(finished.stdout, b"");
}

fn no_url(backend: &str) {
    for text in ["nonsense", "http://", "http://127.0.0.1:99999/"] {
        get(backend, text).failed(2, &["<URL>"]);
    }
    Program::run(&mut example("http_client", backend)).failed(2, &["<URL>"]);
}

fn output_that_nobody_reads(backend: &str) {
    let server = OneAnswer::new([&b"HTTP/1.0 200 OK\r\n\r\n"[..], &noise(1_000_000)].concat());
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let finished = Program::run(example("http_client", backend).arg(server.url()).stdout(writer));
    finished.failed(1, &["http_client: ", "Broken pipe"]);
}
